/* Enough in flight to keep the device busy, and no more, for more is memory that has to be touched: it starts
 * small, is doubled while that brings more bytes a second, and is halved again and left at the first time
 * that it does not. */
#include "engine/loop/depth.h"

#define OPS 32u                 /* where it starts, ... */
#define BYTES ((uint64_t)2 << 20)
#define OPS_MAX 512u            /* ... and where climbing ends */
#define CLIMB_NS 20000000u      /* over which it is judged */
#define CLIMB_GAIN 1.03

/* No worker has more than its part of what the devices take, or one would starve another. */
static uint32_t ops_max(const struct lsi_worker *w) {
  const struct lsi_run *run = w->run;
  uint64_t all = 0;
  for (uint32_t i = 0; i < run->config.plan->n_devices; i++) all += (uint64_t)run->devices[i].cap;
  return (uint32_t)LSI_MAX(LSI_MIN(all / run->n_workers, (uint64_t)OPS_MAX), 1u);
}

void lsi_depth_init(struct lsi_worker *w) {
  struct lsi_depth *d = &w->reader.depth;
  const uint32_t asked = w->run->config.queue_depth;
  d->fixed = asked != 0;
  d->ops_max = ops_max(w);
  d->ops = LSI_MIN(asked ? LSI_MAX(asked / w->run->n_workers, 1u) : OPS, d->ops_max);
  d->bytes = asked ? UINT64_MAX : BYTES;
  lsi_depth_begin(d);
}

static void back(struct lsi_depth *d) {
  d->ops = LSI_MAX(d->ops / 2, LSI_MIN(d->ops_max, OPS));
  d->bytes = LSI_MAX(d->bytes / 2, BYTES);
  d->fixed = true;
}

static void climb(struct lsi_depth *d, uint64_t bytes_most) {
  d->hit = false;
  d->ops = LSI_MIN(d->ops * 2, d->ops_max);
  d->bytes *= 2;
  d->fixed = d->ops == d->ops_max && d->bytes >= bytes_most;
}

void lsi_depth_climb(struct lsi_worker *w, uint64_t now) {
  struct lsi_depth *d = &w->reader.depth;
  if (d->fixed || !d->hit || now - d->judged_ns < CLIMB_NS) return;
  const uint64_t bytes = w->figures.bytes_read;
  const double rate = (double)(bytes - d->judged_bytes) / (double)(now - d->judged_ns);
  const bool gained = d->rate <= 0 || rate > d->rate * CLIMB_GAIN;
  d->rate = rate;
  d->judged_ns = now;
  d->judged_bytes = bytes;
  if (gained) climb(d, w->reader.arena.size);
  else back(d);
  lsi_depth_begin(d);
}
