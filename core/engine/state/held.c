/* See held.h. A step is counted when it has run; one that turns out to have seen something else is taken
 * back here and reported as failed, and its result is never handed out. */
#include "engine/state/held.h"

#include "engine/state/run.h"
#include "ground/mem.h"

int lsi_held_result(struct lsi_worker *w, struct lsi_block *b, const void *at,
                    const struct lsio_result *result) {
  struct lsi_held_unit *u = &w->stepper.held.now;
  struct lsi_run_completion *c = u->last;
  if (!u->first || c->block != b || c->from + c->n != b->n ||
      !lsi_gate_joins(&w->run->gate, b->results[b->n - 1].step, result->step)) {
    c = lsi_calloc(1, sizeof *c);
    if (!c) return LSIO_ERR_NOMEM;
    c->block = b;
    c->from = b->n;
    lsi_block_hold(b);
    if (u->first) u->last->next = c;
    else u->first = c;
    u->last = c;
  }
  lsi_block_add(b, at, *result);
  c->n++;
  c->bytes += result->length;
  u->bytes += result->length;
  return 0;
}

void lsi_held_put(struct lsi_worker *w, struct lsi_slot *slot, uint32_t to) {
  struct lsi_held *h = &w->stepper.held;
  struct lsi_held_unit *u = &h->units[h->n];
  *u = h->now;
  lsi_wave_use(u->wave);
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
    w->figures.bytes_delivered -= c->bytes;
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
    lsi_run_step_failed(w, u->wave, step, &e);
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

/* Results that go on where the last ones end are handed out with them. */
static void append(const struct lsi_gate *gate, struct lsi_run_completion **first,
                   struct lsi_run_completion **last, struct lsi_held_unit *u) {
  struct lsi_run_completion *c = u->first, *before = *last;
  const bool adjoins = before && before->block == c->block && before->from + before->n == c->from;
  if (adjoins && lsi_gate_joins(gate, c->block->results[c->from - 1].step, c->block->results[c->from].step)) {
    before->n += c->n;
    before->bytes += c->bytes;
    struct lsi_run_completion *next = c->next;
    lsi_run_free_completion(c);
    if (!next) return;
    c = next;
  }
  if (before) before->next = c;
  else *first = c;
  *last = u->last;
}

void lsi_held_deliver(struct lsi_worker *w) {
  struct lsi_held *h = &w->stepper.held;
  struct lsi_run_completion *first = NULL, *last = NULL;
  for (struct lsi_held_unit *u = h->units, *end = u + h->n; u < end; u++) {
    if (u->first) append(&w->run->gate, &first, &last, u);
    lsi_wave_leave(u->wave);
  }
  h->n = 0;
  h->bytes = 0;
  h->delivered_ns = lsi_os_now_ns();
  /* At the end of a worker whoever waits is woken once, by that. */
  if (first) lsi_run_complete(w->run, first, w->stage != LSI_STAGE_DONE);
}
