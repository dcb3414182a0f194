/* Enough in flight to keep the device busy, and no more, for more is memory that has to be touched: it starts
 * small, is doubled while that brings more bytes a second, and is halved again and left at the first time
 * that it does not. Rates say nothing while a thread works for several runs: then nobody climbs. */
#include "engine/loop/depth.h"

#define OPS 32u                 /* where it starts */
#define BYTES ((uint64_t)2 << 20)

static const struct lsi_trial_rules ladder = {
    .kind = LSI_TRIAL_LADDER, .worth = 1 / 1.03, .span = 20000000};

/* No worker has more than its part of what the devices take, or one would starve another. */
static uint32_t ops_limit(const struct lsi_worker *w) {
  const struct lsi_run *run = w->run;
  uint64_t all = 0;
  for (uint32_t i = 0; i < run->wave.plan->n_devices; i++) all += (uint64_t)run->devices[i]->cap;
  return (uint32_t)LSI_MAX(LSI_MIN(all / run->n_workers, (uint64_t)LSI_OPS_MAX), 1u);
}

static void use(struct lsi_worker *w) {
  struct lsi_depth *d = &w->reader.depth;
  d->ops = (uint32_t)LSI_MIN((uint64_t)OPS << d->trial.now, (uint64_t)d->ops_max);
  d->bytes = BYTES << d->trial.now;
  if (d->ops == d->ops_max && d->bytes >= w->reader.arena.size) lsi_trial_top(&d->trial);
  lsi_depth_begin(d);
}

void lsi_depth_init(struct lsi_worker *w) {
  struct lsi_depth *d = &w->reader.depth;
  const uint32_t asked = w->run->config.queue_depth;
  const uint64_t now = lsi_os_now_ns();
  d->ops_max = ops_limit(w);
  lsi_trial_init(&d->trial, &ladder, now);
  const bool in_order = w->run->config.backend->caps & LSI_CAP_IN_ORDER;
  const bool paced = w->run->config.backend->caps & LSI_CAP_PACES;
  if (!asked && !in_order && !paced) {
    lsi_trial_step(&d->trial, &w->comparing, (struct lsi_trial_seen){.at = now, .cost = now});
    use(w);
    return;
  }
  lsi_trial_pin(&d->trial, 0);
  d->ops = asked ? LSI_MIN(LSI_MAX(asked / w->run->n_workers, 1u), d->ops_max) : d->ops_max;
  if (in_order) d->ops = 1;
  d->bytes = UINT64_MAX;
  lsi_depth_begin(d);
}

void lsi_depth_climb(struct lsi_worker *w, uint64_t now) {
  struct lsi_depth *d = &w->reader.depth;
  if (!d->hit || lsi_others_wait(w) || !lsi_trial_due(&d->trial, now)) return;
  d->hit = false;
  lsi_trial_step(&d->trial, &w->comparing,
                 (struct lsi_trial_seen){.at = now, .units = w->figures.bytes_read, .cost = now});
  use(w);
}

unsigned lsi_depth_rung(const struct lsi_worker *w) { return w->reader.depth.trial.now; }

bool lsi_depth_has_room(unsigned rung, struct lsi_in_flight all) {
  return all.ops < OPS << rung && all.bytes < BYTES << rung;
}
