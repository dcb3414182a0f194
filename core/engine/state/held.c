/* See held.h. A step is counted when it has run; one that turns out to have seen something else is taken
 * back here and reported as failed, and its result is never handed out. */
#include "engine/state/held.h"

#include "engine/state/run.h"

void lsi_held_result(struct lsi_worker *w, struct lsi_run_completion *c) {
  struct lsi_held_unit *u = &w->stepper.held.now;
  c->next = NULL;
  if (u->first) u->last->next = c;
  else u->first = c;
  u->last = c;
  u->bytes += c->length;
}

void lsi_held_put(struct lsi_worker *w, struct lsi_slot *slot, uint32_t to) {
  struct lsi_held *h = &w->stepper.held;
  struct lsi_held_unit *u = &h->units[h->n];
  *u = h->now;
  u->slot = slot;
  u->to = to;
  u->bytes = LSI_MAX(u->bytes, h->running->bytes);
  h->n++;
  h->bytes += u->bytes;
}

static void fail_unit(struct lsi_worker *w, struct lsi_held_unit *u, const struct lsi_error *why) {
  const struct lsi_request *r = u->wave->request;
  while (u->first) {
    struct lsi_run_completion *c = u->first;
    u->first = c->next;
    w->figures.bytes_delivered -= c->length;
    lsi_run_free_completion(c);
  }
  for (uint32_t at = u->from; at < u->to; at++) {
    const uint32_t step = u->wave->plan->step_order[at];
    const uint32_t c = lsi_request_chunk_begin(r, step), end = lsi_request_chunk_end(r, step);
    struct lsi_error e = *why;
    lsi_error_at(&e, lsi_request_name(r, r->object[c]), r->offset[c], r->length[c],
                 r->first_index + step);
    atomic_fetch_sub_explicit(&w->counters.steps, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&w->counters.chunks, end - c, memory_order_relaxed);
    lsi_run_step_failed(w, step, &e);
  }
  u->from = u->to;
}

void lsi_held_fail(struct lsi_worker *w, uint32_t to, const struct lsi_error *why) {
  w->stepper.held.now.to = to;
  fail_unit(w, &w->stepper.held.now, why);
}

void lsi_held_settle(struct lsi_worker *w, const struct lsi_slot *slot, const struct lsi_error *why) {
  for (struct lsi_held_unit *u = w->stepper.held.units, *end = u + w->stepper.held.n; u < end; u++) {
    if (u->slot != slot) continue;
    u->slot = NULL;
    if (why) fail_unit(w, u, why);
  }
}

void lsi_held_deliver(struct lsi_worker *w) {
  struct lsi_held *h = &w->stepper.held;
  struct lsi_run_completion *first = NULL, *last = NULL;
  for (struct lsi_held_unit *u = h->units, *end = u + h->n; u < end; u++) {
    if (!u->first) continue;
    if (last) last->next = u->first;
    else first = u->first;
    last = u->last;
  }
  h->n = 0;
  h->bytes = 0;
  h->delivered_ns = lsi_os_now_ns();
  /* At the end of a worker whoever waits is woken once, by that. */
  if (first) lsi_run_complete(w->run, first, w->stage != LSI_STAGE_DONE);
}
