/* What did not come as it was asked for: short reads are continued, and what fails is read again chunk by
 * chunk, so that a bad sector fails only the steps that asked for it. What can't be had is a hole in its
 * flight. */
#include "engine/read/retry.h"

#include <errno.h>
#include <inttypes.h>

#include "engine/read/ends.h"
#include "engine/read/operation.h"
#include "engine/read/unread.h"
#include "ground/mem.h"

#define RETRIES 5 /* of EAGAIN and EINTR, which no backend should let through */

/* A range that can't be had. Memory for it must not fail: then the whole unit counts as lost. */
static void add_hole(struct lsi_flight *f, const struct lsi_hole *hole) {
  f->apart = f->damaged = true;
  struct lsi_hole *more = lsi_reallocarray(f->holes, f->n_holes + 1u, sizeof *more);
  if (!more) {
    lsi_free(hole->why);
    f->lost = true;
    return;
  }
  f->holes = more;
  f->holes[f->n_holes++] = *hole;
}

static void free_holes(struct lsi_hole *holes, uint32_t n) {
  for (uint32_t h = 0; h < n; h++) lsi_free(holes[h].why);
  lsi_free(holes);
}

void lsi_holes_free(struct lsi_flight *f) {
  free_holes(f->holes, f->n_holes);
  free_holes(f->old_holes, f->n_old_holes);
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
  own.why = hole->why ? lsi_malloc(sizeof *own.why) : NULL;
  if (own.why) *own.why = *hole->why;
  add_hole(f, &own);
}

/* Reads chunk c by itself, into its own place. False: not now, for want of credit or room. */
static bool retry_chunk(struct lsi_worker *w, struct lsi_flight *f, uint32_t c) {
  const struct lsi_plan *plan = f->wave->plan;
  const struct lsi_request *r = f->wave->request;
  uint64_t from = r->offset[c], to = from + r->length[c];
  if (from == to || lsi_fault_find(r, c)) return true;
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
  struct lsi_eop *e = lsi_op_get(w);
  if (!e) {
    lsi_give_credit(w, extent->slot->device);
    keep_hole(f, hole, c);
    return true;
  }
  lsi_op_prepare(e, f, extent, from, to - from);
  e->chunk = c;
  w->figures.bytes_retried += to - from;
  w->reader.bytes_in_flight += to - from;
  lsi_op_queue(w, e);
  return true;
}

bool lsi_flight_begin_retry(struct lsi_worker *w, struct lsi_flight *f) {
  if (f->retried || lsi_stopping(w->run)) return false;
  bool final = true;
  for (uint32_t h = 0; h < f->n_holes; h++) final &= f->holes[h].final;
  if (final) return false;
  f->retried = f->retrying = true;
  f->old_holes = f->holes;
  f->n_old_holes = f->n_holes;
  f->holes = NULL;
  f->n_holes = 0;
  f->retry_step = f->wave->plan->unit_step[f->unit];
  f->retry_chunk = 0;
  f->next = w->reader.retrying;
  w->reader.retrying = f;
  return true;
}

bool lsi_flight_retry(struct lsi_worker *w) {
  struct lsi_flight *f = w->reader.retrying;
  const struct lsi_plan *plan = f->wave->plan;
  const struct lsi_request *r = f->wave->request;
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

static bool is_transient(const struct lsi_op *op) {
  return op->result == LSIO_ERR_IO && (op->os_code == EAGAIN || op->os_code == EINTR);
}

/* True when the operation goes on with what is left of it. */
static bool continue_op(struct lsi_worker *w, struct lsi_eop *e) {
  struct lsi_op *op = &e->op;
  const bool again = is_transient(op);
  if (again && e->retries++ >= RETRIES) return false;
  if (!again && (op->result <= 0 || e->extent->loan)) return false;
  uint64_t got = again ? 0 : (uint64_t)op->result;
  if (again) lsi_free(lsi_op_take_why(op));
  w->reader.bytes_in_flight -= got;
  w->figures.bytes_read += got;
  w->figures.bytes_direct += op->uncopied ? got : 0;
  op->offset += got;
  op->length -= (uint32_t)got;
  if (op->buf) op->buf = (char *)op->buf + got;
  op->os_code = 0;
  op->beside = 0;
  op->result = 0;
  e->flight->ops_left--;
  w->reader.ops_in_flight--;
  lsi_op_queue(w, e);
  return true;
}

bool lsi_flight_short(struct lsi_worker *w, struct lsi_eop *e) {
  const struct lsi_op *op = &e->op;
  const bool endless = LSI_UNLIKELY(e->extent->slot->handle.endless);
  if (endless && !is_transient(op)) {
    lsi_flight_ends(w, e);
    return false;
  }
  if (!lsi_stopping(w->run) && w->n_queue < LSI_COUNTOF(w->queue) && continue_op(w, e)) return true;
  uint64_t got = op->result > 0 ? (uint64_t)op->result : 0;
  w->figures.bytes_read += got;
  w->figures.bytes_direct += op->uncopied ? got : 0;
  struct lsi_hole hole = {.offset = op->offset + got, .length = op->length - got,
                          .extent = (uint32_t)(e->extent - e->flight->extents), .chunk = e->chunk,
                          .code = LSIO_ERR_SOURCE, .end = op->result >= 0};
  if (op->result < 0) {
    hole.code = (int)op->result;
    hole.os_code = op->os_code;
    hole.final = op->final;
    hole.why = lsi_op_take_why(&e->op);
  }
  if (e->chunk != UINT32_MAX) w->figures.bytes_retried -= hole.length;
  add_hole(e->flight, &hole);
  return false;
}

const char *lsi_flight_bytes(struct lsi_worker *w, const struct lsi_flight *f, uint32_t chunk,
                             uint32_t step) {
  const struct lsi_plan *plan = f->wave->plan;
  const struct lsi_request *r = f->wave->request;
  uint64_t offset = r->offset[chunk], length = r->length[chunk];
  uint32_t x = f->n_extents == 1 || lsi_fault_find(r, chunk)
                   ? 0
                   : lsi_plan_find_extent(plan, f->unit, r->object[chunk], offset, length) -
                         plan->unit_extent[f->unit];
  const char *name = lsi_request_name(r, r->object[chunk]);
  if (LSI_UNLIKELY(f->damaged) && lsi_unread_is(w, f, chunk, x)) return NULL;
  if (LSI_UNLIKELY(f->lost) && length) {
    lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory to keep the record of a failed read");
    lsi_error_at(&w->error, name, offset, length, step);
    return NULL;
  }
  for (uint32_t h = 0; h < f->n_holes && length; h++) {
    const struct lsi_hole *hole = &f->holes[h];
    if (hole->offset >= offset + length || hole->offset + hole->length <= offset) continue;
    if (hole->extent != x || (hole->chunk != UINT32_MAX && hole->chunk != chunk)) continue;
    if (hole->end && !(r->objects[r->object[chunk]].known & LSI_KNOWN_SIZE)) {
      lsi_fail(&w->error, LSIO_ERR_SOURCE, 0, "the range goes beyond the end of its object, at byte %" PRIu64,
               hole->offset);
      lsi_error_is(&w->error, LSIO_KIND_USAGE);
    } else if (hole->end) {
      lsi_fail(&w->error, LSIO_ERR_SOURCE, 0,
               "a source ends at byte %" PRIu64 " but had %" PRIu64 " bytes when the job was planned",
               hole->offset, r->objects[r->object[chunk]].size);
      lsi_error_is(&w->error, LSIO_KIND_CHANGED);
      lsi_error_remedy(&w->error, "it was truncated; run the job again when it is at rest");
    } else if (hole->why) {
      w->error = *hole->why;
    } else {
      lsi_fail(&w->error, hole->code, hole->os_code, "reading failed");
      if (hole->code == LSIO_ERR_SOURCE) lsi_error_is(&w->error, LSIO_KIND_CHANGED);
    }
    lsi_error_at(&w->error, name, offset, length, step);
    return NULL;
  }
  const struct lsi_flight_extent *extent = &f->extents[x];
  return extent->data + (offset - extent->offset);
}
