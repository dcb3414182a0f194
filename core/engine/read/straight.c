/* Reading straight into the result's memory: steps without a transform whose bytes are the result need no
 * copy of ours. */
#include "engine/read/straight.h"

#include "engine/read/lease.h"

/* Is the extent just what its steps yield, in the order of their places? *pos: of its first element.
 * A unit of one-chunk steps has one extent. */
static bool is_result(const struct lsi_worker *w, const struct lsi_flight *f,
                      const struct lsi_flight_extent *x, uint64_t *pos) {
  const struct lsi_plan *plan = f->wave->plan;
  const struct lsi_request *r = f->wave->request;
  const uint64_t *places = w->run->config.sink_pos;
  uint64_t at = x->offset, next = 0;
  for (uint32_t k = plan->unit_step[f->unit]; k < plan->unit_step[f->unit + 1]; k++) {
    const uint32_t s = plan->step_order[k];
    if (!r->length[s]) continue;
    if (at == x->offset) *pos = next = places[s];
    if (r->offset[s] != at || places[s] != next || r->length[s] & w->stepper.item_mask) return false;
    at += r->length[s];
    next = places[s + 1];
  }
  return at == x->offset + x->length;
}

/* A device writes into a small arena faster than across a large array (2.6 against 2.25 GB/s on the disk
 * this was measured on), but then the CPU copies: 0.1 s/GB. So a worker's first 20 ms tell what bounds
 * the run: the CPU, if it waits for less than an eighth of the time. */
static const struct lsi_trial_rules bound = {
    .kind = LSI_TRIAL_WATCH, .worth = 0.125, .span = 20000000};

static bool cpu_is_the_bound(struct lsi_worker *w) {
  struct lsi_trial *t = &w->reader.straight.trial;
  if (lsi_trial_over(t)) return t->now;
  const uint64_t now = lsi_os_now_ns(), waited = w->figures.wait_ns + w->figures.submit_ns;
  if (lsi_trial_due(t, now))
    lsi_trial_step(t, &w->comparing,
                   (struct lsi_trial_seen){.at = now, .units = now, .cost = waited});
  return t->now;
}

void lsi_straight_init(struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  struct lsi_straight *x = &w->reader.straight;
  x->into_blocks = c->stream && w->stepper.untransformed && c->spec->identity;
  x->possible = x->into_blocks ||
                (c->in_place && w->stepper.untransformed && c->sink_type.type == c->spec->type.type);
  lsi_trial_init(&x->trial, &bound, 0);
  if (c->direct == LSI_DIRECT_ALWAYS && !x->trial.pinned) lsi_trial_fix(&x->trial, true);
}

int lsi_straight_extent(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x) {
  const struct lsi_handle *h = &x->slot->handle;
  const struct lsi_straight *s = &w->reader.straight;
  uint64_t pos = 0;
  if (s->into_blocks && h->direct && s->trial.pinned && !s->trial.now) return LSI_LEASE_NONE;
  if (s->into_blocks) return lsi_lease_extent(w, f, x);
  if (!is_result(w, f, x, &pos)) return LSI_LEASE_NONE;
  char *to = lsi_sink_at(w->run->config.sink, pos);
  /* What is not aligned would go through the page cache. */
  if (h->direct && (((uintptr_t)to | x->offset | x->length) % LSI_ALIGN || !cpu_is_the_bound(w)))
    return LSI_LEASE_NONE;
  x->data = to;
  return LSI_LEASE_DONE;
}
