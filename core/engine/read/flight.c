/* A unit in flight: its buffers are leased as a whole, its extents are read by operations of at most
 * the device's op_max, short reads are continued, and what fails is read again chunk by chunk, so
 * that a bad sector fails only the steps that asked for it. */
#include "engine/read/flight.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "engine/read/late.h"
#include "engine/read/lending.h"
#include "engine/read/objects.h"
#include "engine/read/straight.h"
#include "ground/mem.h"

#define OP_BLOCK 64
#define RETRIES 5 /* of EAGAIN and EINTR, which no backend should let through */

static __attribute__((noinline)) bool more_ops(struct lsi_worker *w) {
  struct lsi_eop **blocks = lsi_reallocarray(w->reader.eops.blocks, w->reader.eops.n_blocks + 1u,
                                             sizeof *w->reader.eops.blocks);
  if (!blocks) return false;
  w->reader.eops.blocks = blocks;
  struct lsi_eop *block = lsi_calloc(OP_BLOCK, sizeof *block);
  if (!block) return false;
  w->reader.eops.blocks[w->reader.eops.n_blocks++] = block;
  for (int i = OP_BLOCK - 1; i >= 0; i--) {
    block[i].op.kind = LSI_OP_READ;
    block[i].next_free = w->reader.eops.free;
    w->reader.eops.free = &block[i];
  }
  return true;
}

static inline struct lsi_eop *op_get(struct lsi_worker *w) {
  if (LSI_UNLIKELY(!w->reader.eops.free) && !more_ops(w)) return NULL;
  struct lsi_eop *e = w->reader.eops.free;
  w->reader.eops.free = e->next_free;
  return e;
}

void lsi_flights_lost(struct lsi_worker *w) {
  for (struct lsi_eop *e = w->reader.eops.free; e; e = e->next_free) e->flight = NULL;
  for (uint32_t b = 0; b < w->reader.eops.n_blocks; b++) /* while all flights are there */
    for (struct lsi_eop *e = w->reader.eops.blocks[b]; e < w->reader.eops.blocks[b] + OP_BLOCK; e++)
      if (e->flight && e->extent->lent == e) e->flight = NULL; /* it has come back */
  for (uint32_t b = 0; b < w->reader.eops.n_blocks; b++)
    for (struct lsi_eop *e = w->reader.eops.blocks[b]; e < w->reader.eops.blocks[b] + OP_BLOCK; e++) {
      if (!e->flight) continue;
      e->op.result = LSIO_ERR_CANCELLED;
      struct lsi_flight *f = lsi_flight_landed(w, e);
      if (f) lsi_flight_end(w, f), w->reader.flights--;
    }
}

void lsi_free_flight_pools(struct lsi_worker *w) {
  for (uint32_t i = 0; i < w->reader.eops.n_blocks; i++) lsi_free(w->reader.eops.blocks[i]);
  lsi_free(w->reader.eops.blocks);
  w->reader.eops.blocks = NULL;
  w->reader.eops.n_blocks = 0;
  w->reader.eops.free = NULL;
  while (w->reader.free_flights) {
    struct lsi_flight *f = w->reader.free_flights;
    w->reader.free_flights = f->next;
    lsi_free(f);
  }
}

static inline struct lsi_flight *flight_get(struct lsi_worker *w, uint32_t n_extents) {
  struct lsi_flight *f = w->reader.free_flights;
  if (LSI_LIKELY(f != NULL))
    w->reader.free_flights = f->next;
  else if (!(f = lsi_calloc(1, sizeof *f)))
    return NULL;
  f->n_extents = n_extents;
  f->ops_left = 0;
  f->bytes = 0;
  f->at_once = f->put_off = false;
  f->extents = &f->one;
  if (n_extents > 1 && !(f->extents = lsi_calloc(n_extents, sizeof *f->extents))) {
    lsi_free(f);
    return NULL;
  }
  f->issuing = f->extents;
  return f;
}

void lsi_flight_free(struct lsi_flight *f) {
  if (f->extents != &f->one) lsi_free(f->extents);
  lsi_free(f->holes);
  lsi_free(f->old_holes);
  lsi_free(f);
}

/* A range that can't be had. Memory for it must not fail: then the whole unit counts as lost. */
static void add_hole(struct lsi_flight *f, const struct lsi_hole *hole) {
  f->damaged = true;
  struct lsi_hole *more = lsi_reallocarray(f->holes, f->n_holes + 1u, sizeof *more);
  if (!more) {
    f->lost = true;
    return;
  }
  f->holes = more;
  f->holes[f->n_holes++] = *hole;
}

/* The object, open, as the last one asked for. */
static inline struct lsi_slot *ask(struct lsi_worker *w, uint32_t object) {
  struct lsi_slot *s = w->reader.objects.last;
  if (LSI_LIKELY(s && s->object == object)) {
    s->refs++;
    return s;
  }
  if ((s = lsi_object_open(w, object)) != NULL) lsi_lending_object(w, s);
  return s;
}

/* 1, 0 without room, or negative with w->error. */
static inline int begin_extent(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x,
                               const struct lsi_extent *e) {
  x->offset = e->offset;
  x->length = e->length;
  x->buffer = NULL;
  x->data = NULL;
  x->lent = NULL;
  x->issued = 0;
  if (LSI_UNLIKELY(w->reader.late.any)) {
    const int rc = lsi_late_open(w, f, x, e->object);
    if (rc != 1 || f->put_off || x->data) return rc;
  } else {
    x->slot = ask(w, e->object);
    if (!x->slot) return w->error.code ? w->error.code : 0;
    x->loan = x->slot->handle.lends;
  }
  /* What takes several operations may be lent in several places: it is copied together. */
  if ((x->loan && x->length <= w->reader.lending.most) || x->length == 0) return 1;
  x->loan = x->loan && !x->slot->handle.mapped;
  if (LSI_UNLIKELY(w->reader.straight.possible) && !x->loan && lsi_straight_extent(w, f, x)) return 1;
  uint64_t from = lsi_round_down(e->offset, LSI_ALIGN);
  x->buffer_bytes = (size_t)(lsi_round_up(e->offset + x->length, LSI_ALIGN) - from);
  x->buffer = lsi_arena_lease(&w->reader.arena, x->buffer_bytes);
  if (!x->buffer) return 0;
  x->data = (char *)x->buffer + (e->offset - from);
  return 1;
}

/* A read of [offset, offset + length) into its place in extent x of the flight. The backend's own
 * fields are left as they are. */
static inline void prepare_op(struct lsi_eop *e, struct lsi_flight *f, struct lsi_flight_extent *x,
                              uint64_t offset, uint64_t length) {
  struct lsi_slot *slot = x->slot;
  e->op.handle = &slot->handle;
  e->op.offset = offset;
  e->op.buf = x->loan ? NULL : (char *)x->data + (offset - x->offset);
  e->op.length = (uint32_t)length;
  e->op.os_code = 0;
  e->op.direct = false;
  e->op.exact = !x->buffer; /* its place in the result */
  e->op.data = NULL;
  e->flight = f;
  e->extent = x;
  e->chunk = UINT32_MAX;
  e->retries = 0;
}

static inline void queue_op(struct lsi_worker *w, struct lsi_eop *e) {
  w->queue[w->n_queue++] = &e->op;
  w->reader.ops_in_flight++;
  e->flight->ops_left++;
}

/* The next operation of an extent: up to a multiple of the device's op_max, so that cuts are aligned. */
static inline uint64_t next_length(const struct lsi_worker *w, const struct lsi_flight_extent *x,
                                   uint64_t left) {
  if (x->loan) return LSI_MIN(left, (uint64_t)LSI_OP_LONGEST);
  uint64_t op_max = w->run->config.plan->devices[x->slot->device].op_max;
  if (x->length <= op_max) return left;
  uint64_t to_cut = op_max - (x->offset + x->issued) % op_max;
  return LSI_MIN(LSI_MIN(left, to_cut), (uint64_t)LSI_OP_LONGEST);
}

static __attribute__((noinline)) bool no_memory_for_op(struct lsi_worker *w, uint32_t device) {
  lsi_give_credit(w, device);
  lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for an operation");
  lsi_run_fail(w->run, &w->error);
  return false;
}

/* Makes the next operation of extent x, of which `left` bytes are left to read; false when out of
 * credit or window. */
static inline bool issue_op(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x,
                            uint64_t left) {
  uint64_t length = next_length(w, x, left);
  if (w->n_queue >= LSI_QUEUE_ISSUE) return false;
  /* One operation is always allowed, or a window smaller than it would wait for ever. */
  if (w->reader.ops_in_flight && (w->reader.ops_in_flight >= w->reader.depth.ops ||
                           w->reader.bytes_in_flight + length > w->reader.depth.bytes)) {
    w->reader.depth.hit = true;
    return false;
  }
  uint32_t device = x->slot->device;
  if (!lsi_take_credit(w, device)) return false;
  struct lsi_eop *e = op_get(w);
  if (LSI_UNLIKELY(!e)) return no_memory_for_op(w, device);
  prepare_op(e, f, x, x->offset + x->issued, length);
  x->issued += length;
  w->reader.bytes_in_flight += length;
  queue_op(w, e);
  return true;
}

static inline bool issue(struct lsi_worker *w, struct lsi_flight *f) {
  for (struct lsi_flight_extent *x = f->issuing, *end = f->extents + f->n_extents; x < end; x++) {
    for (uint64_t left; (left = x->length - x->issued) != 0;) {
      if (issue_op(w, f, x, left)) continue;
      f->issuing = x;
      return false;
    }
  }
  return true;
}

/* Undoes a unit that could not begin, or is put off: 1, 0 or negative as begin(). */
static __attribute__((noinline)) int not_begun(struct lsi_worker *w, struct lsi_flight *f, int rc) {
  bool alone = w->reader.flights == 0 && w->stepper.n_ready == 0 && !(w->writer && w->writer->results);
  lsi_flight_end(w, f);
  if (rc == 0 && alone && !w->reader.objects.starving && !w->error.code)
    return lsi_fail(&w->error, LSIO_ERR_LIMIT, 0,
                    "a unit of work does not fit into a worker's memory or open objects");
  return rc;
}

static __attribute__((noinline)) void keep_at_once(struct lsi_worker *w, struct lsi_flight *f) {
  struct lsi_at_once *a = &w->reader.at_once;
  if (!a->n++) a->end = &a->first;
  *a->end = f;
  f->next = NULL;
  a->end = &f->next;
}

/* Leases what the unit needs and makes its operations, as many as there is room for. w->reader.issuing is a
 * unit that waits for room, or that has none and is looked at next.
 * 1 = it is in flight, or put off; 0 = no room now, negative = the run has failed. */
static inline int begin(struct lsi_worker *w, uint32_t unit) {
  const struct lsi_plan *plan = w->run->config.plan;
  uint32_t first = plan->unit_extent[unit];
  const struct lsi_extent *e = &plan->extents[first];
  struct lsi_flight *f = flight_get(w, plan->unit_extent[unit + 1] - first);
  if (!f) return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a unit of work");
  f->unit = unit;
  f->next_step = plan->unit_step[unit];
  for (struct lsi_flight_extent *x = f->extents, *end = x + f->n_extents; x < end; x++, e++) {
    int rc = begin_extent(w, f, x, e);
    if (LSI_UNLIKELY(rc != 1 || f->put_off)) return not_begun(w, f, rc);
    f->bytes += x->length;
  }
  w->reader.flights++;
  if (LSI_UNLIKELY(f->at_once)) keep_at_once(w, f);
  else if (!f->bytes || !issue(w, f)) w->reader.issuing = f;
  return 1;
}

struct lsi_flight *lsi_flight_at_once(struct lsi_worker *w) {
  struct lsi_at_once *a = &w->reader.at_once;
  struct lsi_flight *f = a->first;
  if (!f) return NULL;
  a->first = f->next;
  a->n--;
  a->run = a->n > 0;
  return f;
}

static bool take(struct lsi_worker *w) {
  return lsi_take_units(w) || (w->reader.late.n_resting && lsi_late_rested(w));
}

struct lsi_flight *lsi_flights_begin(struct lsi_worker *w) {
  if (LSI_UNLIKELY(w->reader.at_once.run)) return lsi_flight_at_once(w);
  while (!lsi_stopping(w->run)) {
    struct lsi_flight *f = w->reader.issuing;
    if (f) {
      if (!issue(w, f)) break;
      w->reader.issuing = NULL;
      if (lsi_flight_settled(w, f)) return f;
    }
    if (w->reader.ops_in_flight >= w->reader.depth.ops ||
        w->reader.bytes_in_flight >= w->reader.depth.begin_bytes) {
      w->reader.depth.hit = !w->reader.depth.hot;
      break;
    }
    if (w->reader.next_unit == w->reader.units_end && !take(w)) break;
    int rc = begin(w, w->reader.next_unit);
    if (LSI_UNLIKELY(rc < 0)) lsi_worker_fail(w);
    if (LSI_UNLIKELY(rc <= 0)) break;
    w->reader.next_unit++;
    if (LSI_UNLIKELY(w->reader.at_once.n == LSI_AT_ONCE_BATCH)) break;
  }
  return LSI_UNLIKELY(w->reader.at_once.n) ? lsi_flight_at_once(w) : NULL;
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
  if (to - from > LSI_OP_LONGEST || extent->loan) {
    keep_hole(f, hole, c);
    return true;
  }
  if (w->n_queue >= LSI_QUEUE_RETRY || !lsi_take_credit(w, extent->slot->device)) return false;
  struct lsi_eop *e = op_get(w);
  if (!e) {
    lsi_give_credit(w, extent->slot->device);
    keep_hole(f, hole, c);
    return true;
  }
  prepare_op(e, f, extent, from, to - from);
  e->chunk = c;
  w->reader.bytes_in_flight += to - from;
  queue_op(w, e);
  return true;
}

bool lsi_flight_begin_retry(struct lsi_worker *w, struct lsi_flight *f) {
  if (f->retried || lsi_stopping(w->run)) return false;
  f->retried = f->retrying = true;
  f->old_holes = f->holes;
  f->n_old_holes = f->n_holes;
  f->holes = NULL;
  f->n_holes = 0;
  f->retry_step = w->run->config.plan->unit_step[f->unit];
  f->retry_chunk = 0;
  f->next = w->reader.retrying;
  w->reader.retrying = f;
  return true;
}

bool lsi_flight_retry(struct lsi_worker *w) {
  const struct lsi_plan *plan = w->run->config.plan;
  const struct lsi_request *r = w->run->request;
  struct lsi_flight *f = w->reader.retrying;
  for (; f->retry_step < plan->unit_step[f->unit + 1]; f->retry_step++, f->retry_chunk = 0) {
    uint32_t step = plan->step_order[f->retry_step];
    uint32_t begin = lsi_request_chunk_begin(r, step), end = lsi_request_chunk_end(r, step);
    for (; begin + f->retry_chunk < end; f->retry_chunk++)
      if (!retry_chunk(w, f, begin + f->retry_chunk)) return false;
  }
  w->reader.retrying = f->next;
  f->retrying = false;
  return true;
}

/* True when the operation goes on with what is left of it. */
static bool continue_op(struct lsi_worker *w, struct lsi_eop *e) {
  struct lsi_op *op = &e->op;
  bool again = op->result == LSIO_ERR_IO && (op->os_code == EAGAIN || op->os_code == EINTR);
  if (again && e->retries++ >= RETRIES) return false;
  if (!again && (op->result <= 0 || e->extent->loan)) return false;
  uint64_t got = again ? 0 : (uint64_t)op->result;
  w->reader.bytes_in_flight -= got;
  w->figures.bytes_read += got;
  w->figures.bytes_direct += op->direct ? got : 0;
  op->offset += got;
  op->length -= (uint32_t)got;
  if (op->buf) op->buf = (char *)op->buf + got;
  op->os_code = 0;
  op->result = 0;
  e->flight->ops_left--;
  w->reader.ops_in_flight--;
  queue_op(w, e);
  return true;
}

void lsi_flight_copy(struct lsi_worker *w, struct lsi_eop *e) {
  struct lsi_op *op = &e->op;
  struct lsi_flight_extent *x = e->extent;
  char *to = (char *)x->buffer + x->offset % LSI_ALIGN + (op->offset - x->offset);
  if (op->result > 0) memcpy(to, op->data, LSI_MIN((uint64_t)op->result, (uint64_t)op->length));
  w->ops->release(w->backend, op);
}

bool lsi_flight_short(struct lsi_worker *w, struct lsi_eop *e) {
  const struct lsi_op *op = &e->op;
  if (!lsi_stopping(w->run) && w->n_queue < LSI_COUNTOF(w->queue) && continue_op(w, e)) return true;
  uint64_t got = op->result > 0 ? (uint64_t)op->result : 0;
  w->figures.bytes_read += got;
  w->figures.bytes_direct += op->direct ? got : 0;
  struct lsi_hole hole = {.offset = op->offset + got, .length = op->length - got,
                          .extent = (uint32_t)(e->extent - e->flight->extents), .chunk = e->chunk,
                          .code = LSIO_ERR_SOURCE, .end = op->result >= 0};
  if (op->result < 0) {
    hole.code = (int)op->result;
    hole.os_code = op->os_code;
  }
  add_hole(e->flight, &hole);
  return false;
}

const char *lsi_flight_bytes(struct lsi_worker *w, const struct lsi_flight *f, uint32_t chunk,
                             uint32_t step) {
  const struct lsi_plan *plan = w->run->config.plan;
  const struct lsi_request *r = w->run->request;
  uint64_t offset = r->offset[chunk], length = r->length[chunk];
  uint32_t x = f->n_extents == 1 ? 0
                                 : lsi_plan_find_extent(plan, f->unit, r->object[chunk], offset,
                                                        length) - plan->unit_extent[f->unit];
  const char *name = lsi_request_name(r, r->object[chunk]);
  if (LSI_UNLIKELY(f->lost) && length) {
    lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory to keep the record of a failed read");
    lsi_error_at(&w->error, name, offset, length, step);
    return NULL;
  }
  for (uint32_t h = 0; h < f->n_holes && length; h++) {
    const struct lsi_hole *hole = &f->holes[h];
    if (hole->offset >= offset + length || hole->offset + hole->length <= offset) continue;
    if (hole->extent != x || (hole->chunk != UINT32_MAX && hole->chunk != chunk)) continue;
    if (hole->end) {
      lsi_fail(&w->error, LSIO_ERR_SOURCE, 0,
               "a source ends at byte %" PRIu64 " but had %" PRIu64 " bytes when the job was planned",
               hole->offset, r->objects[r->object[chunk]].size);
      lsi_error_remedy(&w->error, "it was truncated; run the job again when it is at rest");
    } else {
      lsi_fail(&w->error, hole->code, hole->os_code, "reading failed");
    }
    lsi_error_at(&w->error, name, offset, length, step);
    return NULL;
  }
  const struct lsi_flight_extent *extent = &f->extents[x];
  return extent->data + (offset - extent->offset);
}
