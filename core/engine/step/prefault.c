/* Memory of the result that is made ready before anything is written to it. */
#include "engine/step/prefault.h"

#define AHEAD ((uint64_t)32 << 20) /* of a worker's reading */

/* From where the oldest unit in flight, or thereabouts, has its place. */
bool lsi_prefault(struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  if (!c->plan->n_units) return false;
  uint32_t unit = LSI_MIN(w->reader.next_unit, c->plan->n_units - 1);
  unit -= LSI_MIN(unit, w->reader.flights);
  const uint32_t step = c->plan->step_order[c->plan->unit_step[unit]];
  const uint64_t before = lsi_os_now_ns();
  const bool some = lsi_sink_populate(c->sink, c->sink_pos[step], LSI_MIN(AHEAD, c->share));
  w->figures.submit_ns += lsi_os_now_ns() - before; /* it would have waited */
  return some;
}
