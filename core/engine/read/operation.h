/* The engine's operations around the backend's: where they come from and how one is made ready
 * (operation.c). Inside of the engine. */
#ifndef LSI_OPERATION_H
#define LSI_OPERATION_H

#include "engine/state/run.h"

#define LSI_OP_BLOCK 64 /* operations are made so many at a time */

bool lsi_ops_more(struct lsi_worker *w); /* false: no memory */
void lsi_ops_clear(struct lsi_eops *all);

static inline struct lsi_eop *lsi_op_get(struct lsi_worker *w) {
  if (LSI_UNLIKELY(!w->reader.eops.free) && !lsi_ops_more(w)) return NULL;
  struct lsi_eop *e = w->reader.eops.free;
  w->reader.eops.free = e->next_free;
  return e;
}

static inline void lsi_op_put(struct lsi_worker *w, struct lsi_eop *e) {
  e->next_free = w->reader.eops.free;
  w->reader.eops.free = e;
}

/* A read of [offset, offset + length) into its place in extent x of the flight. The backend's own
 * fields are left as they are. */
static inline void lsi_op_prepare(struct lsi_eop *e, struct lsi_flight *f, struct lsi_flight_extent *x,
                              uint64_t offset, uint64_t length) {
  struct lsi_slot *slot = x->slot;
  e->op.handle = &slot->handle;
  e->op.offset = offset;
  e->op.buf = x->loan ? NULL : (char *)x->data + (offset - x->offset);
  e->op.length = (uint32_t)length;
  e->op.os_code = 0;
  e->op.beside = 0;
  e->op.uncopied = e->op.final = false;
  e->op.exact = x->exact;
  e->op.data = NULL;
  e->flight = f;
  e->extent = x;
  e->chunk = UINT32_MAX;
  e->retries = 0;
}

/* What the backend says of a failure (lsi_free), which the operation has no longer. NULL: nothing. */
static inline struct lsi_error *lsi_op_take_why(struct lsi_op *op) {
  if (op->handle->lends || op->handle->mapped) return NULL; /* that place is for what is lent */
  struct lsi_error *why = op->why;
  op->why = NULL;
  return why;
}

/* May one more of so many bytes be in flight? One always may, or with a depth smaller than it all would wait
 * for ever. */
static inline bool lsi_op_may(struct lsi_worker *w, uint64_t length) {
  struct lsi_depth *d = &w->reader.depth;
  if (w->n_queue >= LSI_QUEUE_ISSUE) return false;
  const uint32_t ops = w->reader.ops_in_flight;
  if (!ops || (ops < d->ops && w->reader.bytes_in_flight + length <= d->bytes)) return true;
  d->hit = true;
  return false;
}

static inline void lsi_op_queue(struct lsi_worker *w, struct lsi_eop *e) {
  w->queue[w->n_queue++] = &e->op;
  w->reader.ops_in_flight++;
  e->flight->ops_left++;
}

#endif
