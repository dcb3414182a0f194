/* The steps of a unit whose bytes are there (steps.c). Inside of the engine. */
#ifndef LSI_STEPS_H
#define LSI_STEPS_H

#include "engine/state/run.h"

/* Steps run in the order of their offsets, which is not that of the request: what the request says of
 * the steps to come is fetched this many ahead, else each costs three misses of the cache. */
#define LSI_PREFETCH_STEPS 12u
/* The step at position `at` of the plan's order. Always inline: GCC takes a function that only
 * prefetches for one without effect and drops its calls. */
static inline __attribute__((always_inline)) uint32_t lsi_step_at(const struct lsi_wave *wave,
                                                                  uint32_t at) {
  const struct lsi_request *r = wave->request;
  if (!r->step_first && at + LSI_PREFETCH_STEPS < r->n_steps) {
    uint32_t ahead = wave->plan->step_order[at + LSI_PREFETCH_STEPS];
    __builtin_prefetch(&r->offset[ahead]);
    __builtin_prefetch(&r->length[ahead]);
    __builtin_prefetch(&r->object[ahead]);
  }
  return wave->plan->step_order[at];
}
/* Runs the flight's steps from next_step on; false when it must wait: for the window, for a write, for
 * a poll, or until other runs have had their turn. */
bool lsi_steps_run(struct lsi_worker *w, struct lsi_flight *f);
/* Counts a step whose result is where it belongs. */
void lsi_step_done(struct lsi_worker *w, uint32_t step);
/* Keeps w->error as the step's, of flight f (NULL: its result was on its way). False: it ends the run. */
bool lsi_step_failed(struct lsi_worker *w, const struct lsi_flight *f, uint32_t step);

#endif
