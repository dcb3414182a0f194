/* A unit in flight: its buffers are leased as a whole, and its extents are read by operations of at most
 * the device's op_max. */
#include "engine/read/flight.h"

#include <string.h>

#include "engine/read/ahead.h"
#include "engine/read/late.h"
#include "engine/read/lease.h"
#include "engine/read/lending.h"
#include "engine/read/objects.h"
#include "engine/read/resting.h"
#include "engine/read/straight.h"
#include "engine/read/unread.h"
#include "ground/mem.h"

void lsi_flights_clear(struct lsi_worker *w) {
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
  if (f->apart) lsi_wave_leave(f->wave);
  if (f->extents != &f->one) lsi_free(f->extents);
  lsi_holes_free(f);
  lsi_unread_free(f);
  lsi_free(f);
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

/* The object of a unit that may be late, or streamed: then it is begun; or of a wave that is counted. Returns
 * as begin_extent. */
static __attribute__((noinline)) int open_apart(struct lsi_worker *w, struct lsi_flight *f,
                                                struct lsi_flight_extent *x, uint32_t object) {
  if (LSI_UNLIKELY(f->wave->request->faults.n) && lsi_unread_planned(f, x, object)) return 1;
  if (w->reader.late.any) return lsi_late_open(w, f, x, object);
  if (f->wave->counted) {
    f->apart = true;
    lsi_wave_use(f->wave);
  }
  x->slot = ask(w, object);
  if (!x->slot) return w->error.code ? w->error.code : 0;
  x->loan = x->slot->handle.lends;
  return lsi_unit_streams(f->wave->plan, f->wave->request, f->unit) ? lsi_ahead_begin(w, f) : 1;
}

/* 1, 0 without room, or negative with w->error. */
static inline int begin_extent(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x,
                               const struct lsi_extent *e) {
  x->offset = e->offset;
  x->length = e->length;
  x->buffer = NULL;
  x->data = NULL;
  x->exact = true;
  x->lent = NULL;
  x->issued = 0;
  if (LSI_UNLIKELY(w->reader.opens_apart)) {
    const int rc = open_apart(w, f, x, e->object);
    if (rc < 0) return lsi_unread_refused(w, f, x);
    if (rc != 1 || f->put_off || x->data) return rc;
  } else {
    x->slot = ask(w, e->object);
    if (!x->slot) return w->error.code ? lsi_unread_refused(w, f, x) : 0;
    x->loan = x->slot->handle.lends;
  }
  /* What takes several operations may be lent in several places: it is copied together. */
  if ((x->loan && x->length <= w->reader.lending.most) || x->length == 0) return 1;
  x->loan = x->loan && !x->slot->handle.mapped;
  if (LSI_UNLIKELY(w->reader.straight.possible) && !x->loan) {
    const int rc = lsi_straight_extent(w, f, x);
    if (rc != LSI_LEASE_NONE) return rc;
  }
  uint64_t from = lsi_round_down(e->offset, LSI_ALIGN);
  x->buffer_bytes = (size_t)(lsi_round_up(e->offset + x->length, LSI_ALIGN) - from);
  x->buffer = lsi_arena_lease(&w->reader.arena, x->buffer_bytes);
  if (!x->buffer) return 0;
  /* Direct reads take whole blocks. Others are copies by the CPU, to any address at the same speed. */
  x->exact = w->reader.aligns && !x->slot->handle.direct;
  x->data = (char *)x->buffer + (x->exact ? 0 : e->offset - from);
  return 1;
}

/* The next operation of an extent: up to a multiple of the device's op_max, so that cuts are aligned. */
static inline uint64_t next_length(const struct lsi_worker *w, const struct lsi_flight_extent *x,
                                   uint64_t left) {
  if (x->loan) return LSI_MIN(left, (uint64_t)LSI_OP_LONGEST);
  uint64_t op_max = w->reader.wave->plan->devices[x->slot->device].op_max;
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
 * credit or depth. */
static inline bool issue_op(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x,
                            uint64_t left) {
  uint64_t length = next_length(w, x, left);
  if (!lsi_op_may(w, length)) return false;
  uint32_t device = x->slot->device;
  if (!lsi_take_credit(w, device)) return false;
  struct lsi_eop *e = lsi_op_get(w);
  if (LSI_UNLIKELY(!e)) return no_memory_for_op(w, device);
  lsi_op_prepare(e, f, x, x->offset + x->issued, length);
  x->issued += length;
  w->reader.bytes_in_flight += length;
  lsi_op_queue(w, e);
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
  lsi_lease_end(w, f);
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

/* It is among those that are ready from its begin, and its operations are made as there is room for them. */
static __attribute__((noinline)) int streamed(struct lsi_worker *w, struct lsi_flight *f) {
  w->served += LSI_ALIGN;
  lsi_ready_put(w, f);
  lsi_ahead_issue(w);
  return 1;
}

/* Leases what the unit needs and makes its operations, as many as there is room for. w->reader.issuing is a
 * unit that waits for room, or that has none and is looked at next.
 * 1 = it is in flight, or put off; 0 = no room now, negative = the run has failed. */
static inline int begin(struct lsi_worker *w, uint32_t unit) {
  const struct lsi_plan *plan = w->reader.wave->plan;
  uint32_t first = plan->unit_extent[unit];
  const struct lsi_extent *e = &plan->extents[first];
  struct lsi_flight *f = flight_get(w, plan->unit_extent[unit + 1] - first);
  if (!f) return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a unit of work");
  f->wave = w->reader.wave;
  f->unit = unit;
  f->next_step = plan->unit_step[unit];
  for (struct lsi_flight_extent *x = f->extents, *end = x + f->n_extents; x < end; x++, e++) {
    int rc = begin_extent(w, f, x, e);
    if (LSI_UNLIKELY(rc == LSI_AHEAD_BEGUN)) return streamed(w, f);
    if (LSI_UNLIKELY(rc != 1 || f->put_off)) return not_begun(w, f, rc);
    f->bytes += x->length;
  }
  w->served += f->bytes + LSI_ALIGN; /* a unit costs something, also an empty one */
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
  w->reader.refrains = LSI_UNLIKELY(w->reader.streamed) && !lsi_ahead_near_end(w);
  if (LSI_UNLIKELY(w->reader.refrains)) return false;
  return lsi_take_units(w) || (w->reader.late.n_resting && lsi_rest_take(w));
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
    if (LSI_UNLIKELY(w->may_begin == 0)) break;
    w->may_begin--;
    int rc = begin(w, w->reader.next_unit);
    if (LSI_UNLIKELY(rc < 0)) lsi_worker_fail(w);
    if (LSI_UNLIKELY(rc <= 0)) break;
    w->reader.next_unit++;
    if (LSI_UNLIKELY(w->reader.at_once.n == LSI_AT_ONCE_BATCH)) break;
  }
  return LSI_UNLIKELY(w->reader.at_once.n) ? lsi_flight_at_once(w) : NULL;
}

void lsi_flight_copy(struct lsi_worker *w, struct lsi_eop *e) {
  struct lsi_op *op = &e->op;
  struct lsi_flight_extent *x = e->extent;
  char *to = (char *)(uintptr_t)x->data + (op->offset - x->offset);
  if (op->result > 0) memcpy(to, op->data, LSI_MIN((uint64_t)op->result, (uint64_t)op->length));
  w->ops->release(w->backend, op);
}

void lsi_flights_lost(struct lsi_worker *w) {
  for (struct lsi_eop *e = w->reader.eops.free; e; e = e->next_free) e->flight = NULL;
  for (uint32_t b = 0; b < w->reader.eops.n_blocks; b++) /* while all flights are there */
    for (struct lsi_eop *e = w->reader.eops.blocks[b]; e < w->reader.eops.blocks[b] + LSI_OP_BLOCK; e++)
      if (e->flight && e->extent->lent == e) e->flight = NULL; /* it has come back */
  for (uint32_t b = 0; b < w->reader.eops.n_blocks; b++)
    for (struct lsi_eop *e = w->reader.eops.blocks[b]; e < w->reader.eops.blocks[b] + LSI_OP_BLOCK;
         e++) {
      if (!e->flight) continue;
      e->op.result = LSIO_ERR_CANCELLED;
      struct lsi_flight *f = lsi_flight_landed(w, e);
      if (!f) continue;
      if (f->block) lsi_block_give_up(f->block);
      lsi_lease_end(w, f);
      lsi_ahead_end(w, f);
      f->spent = false;
      lsi_flight_end(w, f);
      w->reader.flights--;
    }
}
