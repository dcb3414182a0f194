/* What is read together: a request, its plan, and how far its units have been handed out. An explicit request
 * is one wave, its run's. Of an object whose end nobody knows the chunks come in waves that follow one
 * another (waves.c): whoever works on a unit asks that unit's wave. */
#ifndef LSI_WAVE_H
#define LSI_WAVE_H

#include <stdatomic.h>

#include "plan/plan.h"

struct lsi_run;
struct lsi_section_state;
struct lsi_worker;

struct lsi_wave {
  const struct lsi_request *request;
  const struct lsi_plan *plan;
  struct lsi_section_state *sections; /* of the plan; owned */
  uint32_t first_step;  /* the run's number of its step 0. Where it is not 0, each step is a unit */
  bool counted;         /* it goes, with request and plan, once nobody uses it */
  atomic_uint users;    /* flights, results held for a look, workers that take from it, and the run whose last
                           one it is */
};

/* The run's number of a step of the wave's: what sinks, gates and people know it by. */
static inline uint32_t lsi_wave_number(const struct lsi_wave *wave, uint32_t step) {
  return wave->first_step + step;
}

static inline void lsi_wave_use(const struct lsi_wave *wave) {
  if (LSI_UNLIKELY(wave->counted))
    atomic_fetch_add_explicit(&((struct lsi_wave *)(uintptr_t)wave)->users, 1, memory_order_relaxed);
}
void lsi_wave_drop(const struct lsi_wave *wave); /* of a counted one, which may be gone by this */
static inline void lsi_wave_leave(const struct lsi_wave *wave) {
  if (LSI_UNLIKELY(wave->counted)) lsi_wave_drop(wave);
}

/* Has the worker take from the run's last wave, or from one made behind it. False: nothing is left to be
 * taken, or w's run has failed. */
bool lsi_waves_go_on(struct lsi_worker *w);
void lsi_waves_clear(struct lsi_run *run);

/* numbers.c: */
/* The object has ended before the step of this number (run-wide): all lower ones are there. Any worker, in
 * any order. */
void lsi_run_ends_before(struct lsi_run *run, uint32_t number);
/* Where a step lies, by its run-wide number: also of waves that are gone. */
struct lsi_step_place {
  const char *name;
  uint64_t offset, length; /* of its first chunk */
};
struct lsi_step_place lsi_run_place(const struct lsi_run *run, uint32_t number);

#endif
