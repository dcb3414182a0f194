#include "engine/state/bound.h"

#include "engine/state/run.h"

#define BUSY 0.6 /* of what it takes: a wait ends when the first have landed, others fly on */

/* Waiting is for the device when as much was in flight meanwhile as keeps it busy, else for its answers. */
static const char *waiting_for(const struct lsi_run *run, const struct lsi_summary *s) {
  const struct lsi_plan *plan = run->wave.plan;
  double flying = 0;
  uint64_t waited = 0, at_once = 0;
  for (uint32_t i = 0; i < run->n_workers; i++) {
    const struct lsi_worker *w = &run->workers[i];
    if (w->figures.wait_ns) flying += (double)w->figures.in_flight_ns / (double)w->figures.wait_ns;
    waited += w->figures.wait_ns;
    at_once += w->figures.at_once_ns;
  }
  if (at_once > waited) return "device"; /* reading itself took the time */
  uint32_t busy_at = 0;
  for (uint32_t i = 0; s->operations && i < plan->n_devices; i++)
    busy_at += lsi_device_busy_at(&plan->devices[i], (double)s->bytes_read / (double)s->operations);
  return flying < BUSY * busy_at ? "latency" : "device";
}

/* Where the workers' time went, and that of everybody while the output was published. */
const char *lsi_run_bound(const struct lsi_run *run, const struct lsi_summary *s) {
  double wait = 0, decode = 0, transform = 0, stalled = 0;
  double place = s->part_s[LSI_PART_PUBLISH] * run->n_workers;
  for (uint32_t i = 0; i < run->n_workers; i++) {
    const struct lsi_worker_summary *w = &run->summaries[i];
    wait += w->wait_s;
    decode += w->decode_s;
    transform += w->transform_s;
    place += w->place_s;
    stalled += w->stalled_s;
  }
  double most = LSI_MAX(LSI_MAX(LSI_MAX(wait, decode), LSI_MAX(transform, place)), stalled);
  if (most == stalled && stalled > 0) return "consumer";
  if (most == decode && decode > 0) return "decode";
  if (most == transform && transform > 0) return "transform";
  if (most == place && place > 0) return "sink";
  return waiting_for(run, s);
}
