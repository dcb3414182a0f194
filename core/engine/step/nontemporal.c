/* Results in memory that are stored past the cache. */
#include "engine/step/nontemporal.h"

#include "kernels/kernels.h"

/* Whether that pays depends on what a transform does (one that reads its result again loses) and on the
 * memory: stores are slower by themselves, but what they leave in the cache is written later and in the
 * way of everything, reading among it. So both are used in turns, and what all of a worker's work takes
 * a byte of result is compared, by its CPU time: waiting for a device says nothing. */
static const struct lsi_trial_rules stores = {
    .kind = LSI_TRIAL_TURNS,
    .worth = 1.05, /* may take more: it spares other workers */
    .settle = (uint64_t)2 << 20,
    .span = (uint64_t)8 << 20,
    .trials = 6,
    .least = true,
    .patience = (uint64_t)64 << 20,
};

void lsi_nontemporal_init(struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  w->stepper.nontemporal.possible = c->in_place && c->spec->transform;
  lsi_trial_init(&w->stepper.nontemporal.trial, &stores, 0);
}

void lsi_nontemporal_begin(struct lsi_worker *w) {
  struct lsi_stores *p = &w->stepper.nontemporal;
  const struct lsi_run_config *c = &w->run->config;
  const uint64_t bytes = (uint64_t)w->stepper.step.out_n * lsi_type_size(c->sink_type.type);
  if (!lsi_sink_nontemporal(c->sink, w->stepper.step.out, bytes)) return;
  if (lsi_trial_due(&p->trial, p->done))
    lsi_trial_step(&p->trial, &w->comparing, (struct lsi_trial_seen){.at = p->done,
                                                                     .units = p->done,
                                                                     .cost = lsi_worker_cpu_ns(w)});
  p->done += bytes;
  if (p->trial.now) lsi_kernels_nontemporal(w->stepper.step.out, bytes);
}

void lsi_nontemporal_end(struct lsi_worker *w) {
  if (w->stepper.nontemporal.trial.now) lsi_kernels_nontemporal(NULL, 0);
}
