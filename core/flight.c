/* A unit in flight: its buffers are leased as a whole, its extents are read by operations of at most
 * the device's op_max, short reads are continued, and what fails is read again chunk by chunk, so
 * that a bad sector fails only the steps that asked for it. */
#include <errno.h>
#include <string.h>

#include "mem.h"
#include "run.h"

#define OP_BLOCK 64
#define RETRIES 5 /* of EAGAIN and EINTR, which no backend should let through */

static struct lsi_eop *op_get(struct lsi_worker *w) {
  if (!w->free_ops) {
    struct lsi_eop **blocks =
        lsi_reallocarray(w->op_blocks, w->n_op_blocks + 1u, sizeof *w->op_blocks);
    if (!blocks) return NULL;
    w->op_blocks = blocks;
    struct lsi_eop *block = lsi_calloc(OP_BLOCK, sizeof *block);
    if (!block) return NULL;
    w->op_blocks[w->n_op_blocks++] = block;
    for (int i = OP_BLOCK - 1; i >= 0; i--) {
      block[i].next_free = w->free_ops;
      w->free_ops = &block[i];
    }
  }
  struct lsi_eop *e = w->free_ops;
  w->free_ops = e->next_free;
  return e;
}

static void op_put(struct lsi_worker *w, struct lsi_eop *e) {
  e->next_free = w->free_ops;
  w->free_ops = e;
}

void lsi_free_flight_pools(struct lsi_worker *w) {
  for (uint32_t i = 0; i < w->n_op_blocks; i++) lsi_free(w->op_blocks[i]);
  lsi_free(w->op_blocks);
  w->op_blocks = NULL;
  w->n_op_blocks = 0;
  w->free_ops = NULL;
  while (w->free_flights) {
    struct lsi_flight *f = w->free_flights;
    w->free_flights = f->next;
    lsi_free(f);
  }
}

static struct lsi_flight *flight_get(struct lsi_worker *w, uint32_t n_extents) {
  struct lsi_flight *f = w->free_flights;
  if (f)
    w->free_flights = f->next;
  else if (!(f = lsi_malloc(sizeof *f)))
    return NULL;
  *f = (struct lsi_flight){.n_extents = n_extents, .extents = &f->one};
  if (n_extents > 1 && !(f->extents = lsi_calloc(n_extents, sizeof *f->extents))) {
    lsi_free(f);
    return NULL;
  }
  return f;
}

void lsi_flight_end(struct lsi_worker *w, struct lsi_flight *f) {
  const struct lsi_backend_ops *backend = w->run->config.backend;
  for (uint32_t i = 0; i < f->n_extents; i++) {
    struct lsi_flight_extent *x = &f->extents[i];
    if (x->lent) {
      backend->release(w->backend, &x->lent->op);
      op_put(w, x->lent);
    }
    if (x->buffer) lsi_arena_release(&w->arena, x->buffer, x->buffer_bytes);
    if (x->slot) x->slot->refs--;
  }
  if (f->extents != &f->one) lsi_free(f->extents);
  lsi_free(f->holes);
  lsi_free(f->old_holes);
  f->next = w->free_flights;
  w->free_flights = f;
}

/* A range that can't be had. Memory for it must not fail: then the whole unit counts as lost. */
static void add_hole(struct lsi_flight *f, const struct lsi_hole *hole) {
  struct lsi_hole *more = lsi_reallocarray(f->holes, f->n_holes + 1u, sizeof *more);
  if (!more) {
    f->lost = true;
    return;
  }
  f->holes = more;
  f->holes[f->n_holes++] = *hole;
}

static int begin_extent(struct lsi_worker *w, struct lsi_flight_extent *x,
                        const struct lsi_extent *e) {
  x->object = e->object;
  x->offset = e->offset;
  x->length = e->length;
  x->device = w->run->request->object_device[e->object];
  x->slot = lsi_object_open(w, e->object);
  if (!x->slot) return w->error.code ? w->error.code : 0;
  if (e->length == 0 || x->slot->handle.lends) return 1;
  uint64_t from = lsi_round_down(e->offset, LSI_ALIGN);
  x->buffer_bytes = (size_t)(lsi_round_up(e->offset + e->length, LSI_ALIGN) - from);
  x->buffer = lsi_arena_lease(&w->arena, x->buffer_bytes);
  if (!x->buffer) return 0;
  x->data = (char *)x->buffer + (e->offset - from);
  return 1;
}

int lsi_flight_begin(struct lsi_worker *w, uint32_t unit) {
  const struct lsi_plan *plan = w->run->config.plan;
  uint32_t first = plan->unit_extent[unit];
  struct lsi_flight *f = flight_get(w, plan->unit_extent[unit + 1] - first);
  if (!f) return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a unit of work");
  f->unit = unit;
  f->next_step = plan->unit_step[unit];
  for (uint32_t i = 0; i < f->n_extents; i++) {
    int rc = begin_extent(w, &f->extents[i], &plan->extents[first + i]);
    if (rc <= 0) {
      bool alone = w->flights == 0 && w->n_ready == 0;
      lsi_flight_end(w, f);
      if (rc == 0 && alone && !w->error.code)
        return lsi_fail(&w->error, LSIO_ERR_LIMIT, 0,
                        "a unit of work does not fit into a worker's memory or open objects");
      return rc;
    }
    f->bytes += plan->extents[first + i].length;
  }
  w->flights++;
  w->issuing = f;
  return 1;
}

/* A read of [offset, offset + length) into its place in extent x of the flight. The backend's own
 * fields are left as they are. */
static void prepare_op(struct lsi_eop *e, struct lsi_flight *f, uint32_t x, uint64_t offset,
                       uint64_t length) {
  struct lsi_flight_extent *extent = &f->extents[x];
  struct lsi_slot *slot = extent->slot;
  e->op.handle = &slot->handle;
  e->op.offset = offset;
  e->op.buf = slot->handle.lends ? NULL : (char *)extent->data + (offset - extent->offset);
  e->op.length = (uint32_t)length;
  e->op.kind = LSI_OP_READ;
  e->op.os_code = 0;
  e->op.data = NULL;
  e->flight = f;
  e->extent = x;
  e->chunk = UINT32_MAX;
  e->retries = 0;
}

static void queue_op(struct lsi_worker *w, struct lsi_eop *e) {
  w->queue[w->n_queue++] = &e->op;
  w->ops_in_flight++;
  e->flight->ops_left++;
}

/* The next operation of an extent: up to a multiple of the device's op_max, so that cuts are aligned. */
static uint64_t next_length(const struct lsi_worker *w, const struct lsi_flight_extent *x) {
  uint64_t at = x->offset + x->issued;
  uint64_t left = x->length - x->issued;
  uint64_t op_max = w->run->config.plan->devices[x->device].op_max;
  if (x->slot->handle.lends) return LSI_MIN(left, (uint64_t)LSI_OP_LONGEST);
  if (x->length <= op_max) return left;
  uint64_t to_cut = op_max - at % op_max;
  return LSI_MIN(LSI_MIN(left, to_cut), (uint64_t)LSI_OP_LONGEST);
}

bool lsi_flight_issue(struct lsi_worker *w) {
  struct lsi_flight *f = w->issuing;
  while (f->issuing < f->n_extents) {
    struct lsi_flight_extent *x = &f->extents[f->issuing];
    while (x->issued < x->length) {
      uint64_t length = next_length(w, x);
      if (w->n_queue >= LSI_QUEUE_ISSUE) return false;
      /* One operation is always allowed, or a window smaller than it would wait for ever. */
      if (w->ops_in_flight && (w->ops_in_flight >= w->window_ops ||
                               w->bytes_in_flight + length > w->window_bytes)) {
        w->window_hit = true;
        return false;
      }
      if (!lsi_take_credit(w, x->device)) return false;
      struct lsi_eop *e = op_get(w);
      if (!e) {
        lsi_give_credit(w, x->device);
        lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for an operation");
        lsi_run_fail(w->run, &w->error);
        return false;
      }
      prepare_op(e, f, f->issuing, x->offset + x->issued, length);
      x->issued += length;
      w->bytes_in_flight += length;
      queue_op(w, e);
    }
    f->issuing++;
  }
  w->issuing = NULL;
  return true;
}

static const struct lsi_hole *touches(const struct lsi_flight *f, uint32_t extent, uint64_t from,
                                      uint64_t to) {
  for (uint32_t h = 0; h < f->n_old_holes; h++) {
    const struct lsi_hole *hole = &f->old_holes[h];
    if (hole->extent == extent && hole->offset < to && hole->offset + hole->length > from)
      return hole;
  }
  return NULL;
}

static void keep_hole(struct lsi_flight *f, const struct lsi_hole *hole, uint32_t chunk) {
  struct lsi_hole own = *hole;
  own.chunk = chunk;
  add_hole(f, &own);
}

/* Reads chunk c by itself, into its own place. False: not now, for want of credit or room. */
static bool retry_chunk(struct lsi_worker *w, struct lsi_flight *f, uint32_t c) {
  const struct lsi_plan *plan = w->run->config.plan;
  const struct lsi_request *r = w->run->request;
  uint64_t from = r->offset[c], to = from + r->length[c];
  if (from == to) return true;
  uint32_t x = f->n_extents == 1
                   ? 0
                   : lsi_plan_find_extent(plan, f->unit, r->object[c], from, r->length[c]) -
                         plan->unit_extent[f->unit];
  const struct lsi_hole *hole = touches(f, x, from, to);
  if (!hole) return true;
  struct lsi_flight_extent *extent = &f->extents[x];
  if (to - from > LSI_OP_LONGEST || extent->slot->handle.lends) {
    keep_hole(f, hole, c);
    return true;
  }
  if (w->n_queue >= LSI_QUEUE_RETRY || !lsi_take_credit(w, extent->device)) return false;
  struct lsi_eop *e = op_get(w);
  if (!e) {
    lsi_give_credit(w, extent->device);
    keep_hole(f, hole, c);
    return true;
  }
  prepare_op(e, f, x, from, to - from);
  e->chunk = c;
  w->bytes_in_flight += to - from;
  queue_op(w, e);
  return true;
}

/* Puts the flight among those whose chunks are read one by one. */
static void begin_retry(struct lsi_worker *w, struct lsi_flight *f) {
  f->retried = f->retrying = true;
  f->old_holes = f->holes;
  f->n_old_holes = f->n_holes;
  f->holes = NULL;
  f->n_holes = 0;
  f->retry_step = w->run->config.plan->unit_step[f->unit];
  f->retry_chunk = 0;
  f->next = w->retrying;
  w->retrying = f;
}

bool lsi_flight_retry(struct lsi_worker *w) {
  const struct lsi_plan *plan = w->run->config.plan;
  const struct lsi_request *r = w->run->request;
  struct lsi_flight *f = w->retrying;
  for (; f->retry_step < plan->unit_step[f->unit + 1]; f->retry_step++, f->retry_chunk = 0) {
    uint32_t step = plan->step_order[f->retry_step];
    uint32_t begin = lsi_request_chunk_begin(r, step), end = lsi_request_chunk_end(r, step);
    for (; begin + f->retry_chunk < end; f->retry_chunk++)
      if (!retry_chunk(w, f, begin + f->retry_chunk)) return false;
  }
  w->retrying = f->next;
  f->retrying = false;
  return true;
}

/* True when the operation goes on with what is left of it. */
static bool continue_op(struct lsi_worker *w, struct lsi_eop *e) {
  struct lsi_op *op = &e->op;
  bool again = op->result == LSIO_ERR_IO && (op->os_code == EAGAIN || op->os_code == EINTR);
  if (again && e->retries++ >= RETRIES) return false;
  if (!again && (op->result <= 0 || op->handle->lends)) return false;
  uint64_t got = again ? 0 : (uint64_t)op->result;
  w->bytes_in_flight -= got;
  w->bytes_read += got;
  op->offset += got;
  op->length -= (uint32_t)got;
  if (op->buf) op->buf = (char *)op->buf + got;
  op->os_code = 0;
  op->result = 0;
  e->flight->ops_left--;
  w->ops_in_flight--;
  queue_op(w, e);
  return true;
}

struct lsi_flight *lsi_flight_landed(struct lsi_worker *w, struct lsi_eop *e) {
  struct lsi_op *op = &e->op;
  struct lsi_flight *f = e->flight;
  struct lsi_flight_extent *x = &f->extents[e->extent];
  bool stopping = atomic_load_explicit(&w->run->stop, memory_order_relaxed) != LSI_STOP_NO;
  w->operations++;
  if (op->result < (int64_t)op->length && !stopping && w->n_queue < LSI_COUNTOF(w->queue) &&
      continue_op(w, e))
    return NULL;
  uint64_t got = op->result > 0 ? (uint64_t)op->result : 0;
  w->bytes_read += got;
  if (op->result < 0)
    add_hole(f, &(struct lsi_hole){op->offset, op->length, (int)op->result, op->os_code, e->extent,
                                   e->chunk, false});
  else if (got < op->length)
    add_hole(f, &(struct lsi_hole){op->offset + got, op->length - got, LSIO_ERR_SOURCE, 0, e->extent,
                                     e->chunk, true});
  w->bytes_in_flight -= op->length;
  w->ops_in_flight--;
  lsi_give_credit(w, x->device);
  if (op->data) { /* lent: kept until the flight ends */
    x->data = op->data;
    x->lent = e;
  } else {
    op_put(w, e);
  }
  f->ops_left--;
  return lsi_flight_settled(w, f) ? f : NULL;
}

bool lsi_flight_settled(struct lsi_worker *w, struct lsi_flight *f) {
  if (f->ops_left || f == w->issuing || f->retrying) return false;
  if (f->n_holes && !f->retried &&
      atomic_load_explicit(&w->run->stop, memory_order_relaxed) == LSI_STOP_NO)
    begin_retry(w, f);
  return !f->retrying;
}
