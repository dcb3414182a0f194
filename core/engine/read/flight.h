/* Units in flight of one worker (flight.c). Inside of the engine. */
#ifndef LSI_FLIGHT_H
#define LSI_FLIGHT_H

#include "engine/read/ahead.h"
#include "engine/read/operation.h"
#include "engine/read/retry.h"

/* Makes the operations of one unit after the other while there is room and something to do. Returns a
 * flight that has settled in here: one with nothing to read or read already, or whose last operation came
 * back while it waited for room. NULL: no more for now. */
struct lsi_flight *lsi_flights_begin(struct lsi_worker *w);
/* The first of those that were read as they were opened, or NULL. */
struct lsi_flight *lsi_flight_at_once(struct lsi_worker *w);
/* Copies what was lent to its place in the extent's buffer and gives it back. */
void lsi_flight_copy(struct lsi_worker *w, struct lsi_eop *e);
void lsi_flight_free(struct lsi_flight *f); /* one that does not go back to the pool */
void lsi_flights_clear(struct lsi_worker *w); /* those that are kept for the next units */
/* The backend is broken: ends those whose operations it never gives back. The run is stopping. */
void lsi_flights_lost(struct lsi_worker *w);

/* True when nothing of the flight is in flight any more; starts the retries of what failed. */
static inline bool lsi_flight_settled(struct lsi_worker *w, struct lsi_flight *f) {
  if (f->ops_left || f == w->reader.issuing || f->retrying) return false;
  return LSI_LIKELY(!f->n_holes) || !lsi_flight_begin_retry(w, f);
}

/* Takes a finished operation; returns the flight when that was its last. */
static inline struct lsi_flight *lsi_flight_landed(struct lsi_worker *w, struct lsi_eop *e) {
  struct lsi_op *op = &e->op;
  struct lsi_flight *f = e->flight;
  struct lsi_flight_extent *x = e->extent;
  w->figures.operations++;
  w->figures.bytes_beside += op->beside;
  if (LSI_LIKELY(op->result >= (int64_t)op->length)) {
    w->figures.bytes_read += (uint64_t)op->result;
    w->figures.bytes_direct += op->uncopied ? (uint64_t)op->result : 0;
  } else if (lsi_flight_short(w, e))
    return NULL;
  w->reader.bytes_in_flight -= op->length;
  w->reader.ops_in_flight--;
  lsi_give_credit(w, x->slot->device);
  if (LSI_UNLIKELY(f->ahead != NULL)) return lsi_ahead_landed(w, e);
  if (op->data && !x->buffer) { /* lent: kept until the flight ends */
    x->data = op->data;
    x->lent = e;
  } else {
    if (LSI_UNLIKELY(op->data != NULL)) lsi_flight_copy(w, e);
    lsi_op_put(w, e);
  }
  f->ops_left--;
  return lsi_flight_settled(w, f) ? f : NULL;
}

static inline void lsi_flight_end(struct lsi_worker *w, struct lsi_flight *f) {
  for (struct lsi_flight_extent *x = f->extents, *end = x + f->n_extents; x < end; x++) {
    if (x->lent) {
      w->ops->release(w->backend, &x->lent->op);
      lsi_op_put(w, x->lent);
    }
    if (x->buffer) lsi_arena_release(&w->reader.arena, x->buffer, x->buffer_bytes);
    if (x->slot) x->slot->refs--;
  }
  if (LSI_UNLIKELY(f->apart || f->extents != &f->one)) {
    lsi_flight_free(f);
    return;
  }
  f->next = w->reader.free_flights; /* clean, so that none must be cleared when it is used again */
  w->reader.free_flights = f;
}

#endif
