/* Results in memory that are stored past the cache. */
#include "engine/step/past_cache.h"

#include "kernels/kernels.h"

#define TRIALS 6u /* stores through the cache and past it, by turns; each: */
#define SETTLE_BYTES ((uint64_t)2 << 20) /* of results first, ... */
#define TRIAL_BYTES ((uint64_t)8 << 20)  /* ... then these count */
#define WORSE 1.05 /* what stores past the cache may take more, for they spare other workers */

/* Whether that pays depends on what a transform does (one that reads its result again loses) and on the
 * memory: stores are slower by themselves, but what they leave in the cache is written later and in the
 * way of everything, reading among it. So both are used in turns, and what all of a worker's work takes
 * a byte of result is compared, by its CPU time: waiting for a device says nothing. */
static void compare_stores(struct lsi_past_cache *p) {
  const uint64_t cpu = lsi_os_thread_cpu_ns();
  if (p->settling) {
    p->settling = false;
    p->from = p->done;
    p->from_cpu_ns = cpu;
    p->next = p->done + TRIAL_BYTES;
    return;
  }
  if (p->trials) {
    const double took = (double)(cpu - p->from_cpu_ns) / (double)(p->done - p->from);
    double *least = &p->least[p->on];
    /* The least of each kind: what is more is other people's doing. */
    if (*least == 0 || took < *least) *least = took;
  }
  if (p->trials == TRIALS) {
    p->on = p->least[1] < WORSE * p->least[0];
    p->chosen = true;
    return;
  }
  p->on = p->trials++ % 2;
  p->settling = true;
  p->next = p->done + SETTLE_BYTES;
}

void lsi_past_cache_begin(struct lsi_worker *w) {
  struct lsi_past_cache *p = &w->stepper.past_cache;
  const struct lsi_run_config *c = &w->run->config;
  const uint64_t bytes = (uint64_t)w->stepper.step.out_n * lsi_type_size(c->sink_type.type);
  if (!lsi_sink_streams(c->sink, w->stepper.step.out, bytes)) return;
  if (!p->chosen && p->done >= p->next) compare_stores(p);
  p->done += bytes;
  if (p->on) lsi_kernels_stream(w->stepper.step.out, bytes);
}

void lsi_past_cache_end(struct lsi_worker *w) {
  if (w->stepper.past_cache.on) lsi_kernels_stream(NULL, 0);
}
