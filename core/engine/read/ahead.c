/* A step that is streamed has one chunk, whose bytes come in order, some of them ahead of what is used,
 * through a buffer that is far smaller than the chunk:
 *
 *     used            `one.issued`
 *      |  landed | in flight |   room   |
 *      [ segment ][ segment ]............    buffer, `ahead` bytes, used round and round
 *
 * A segment is what one operation brings; a place in the buffer belongs to the byte that lies so far behind
 * the chunk's first, modulo its size. Bytes that lie in the page cache and are lent have no buffer. What is
 * asked for at a time may lie in several segments: then it is stitched together, once. */
#include "engine/read/ahead.h"

#include <inttypes.h>
#include <string.h>

#include "engine/read/retry.h"
#include "ground/mem.h"

/* Of what is resident no more is read at a time than stays in the core's cache until it is used. */
#define HOT_SEGMENT ((uint64_t)256 << 10)
#define AT_ONCE 2u /* flights of a worker: the next one begins before the last one has ended */

static struct lsi_segment *segment_at(struct lsi_ahead *a, uint32_t i) {
  return &a->segments[(a->first + i) % LSI_AHEAD_SEGMENTS];
}

static struct lsi_ahead *take(struct lsi_worker *w) {
  struct lsi_ahead *a = w->reader.free_aheads;
  if (!a) return lsi_calloc(1, sizeof *a);
  w->reader.free_aheads = a->next;
  *a = (struct lsi_ahead){0};
  return a;
}

static void put(struct lsi_worker *w, struct lsi_ahead *a) {
  a->next = w->reader.free_aheads;
  w->reader.free_aheads = a;
}

int lsi_ahead_begin(struct lsi_worker *w, struct lsi_flight *f) {
  struct lsi_flight_extent *x = &f->one;
  if (w->reader.streamed == AT_ONCE) return 0;
  struct lsi_ahead *a = take(w);
  if (!a) return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory to read a chunk bit by bit");
  if (!x->loan) {
    x->buffer_bytes = (size_t)lsi_ahead_buffer(f->wave->plan->ahead);
    x->buffer = lsi_arena_lease(&w->reader.arena, x->buffer_bytes);
    if (!x->buffer) {
      put(w, a);
      return 0;
    }
    x->exact = w->reader.aligns && !x->slot->handle.direct;
    x->data = x->buffer;
  }
  f->ahead = a;
  w->reader.streamed++;
  return LSI_AHEAD_BEGUN;
}

bool lsi_ahead_near_end(const struct lsi_worker *w) {
  if (w->reader.streamed == AT_ONCE) return false;
  for (const struct lsi_flight *f = w->stepper.ready; f; f = f->next)
    if (f->ahead && f->one.issued < f->one.length) return false;
  return true;
}

static void give_back(struct lsi_worker *w, struct lsi_segment *s) {
  if (!s->lent) return;
  w->ops->release(w->backend, &s->lent->op);
  lsi_op_put(w, s->lent);
}

void lsi_ahead_end(struct lsi_worker *w, struct lsi_flight *f) {
  struct lsi_ahead *a = f->ahead;
  if (!a) return;
  for (uint32_t i = 0; i < a->n; i++) give_back(w, segment_at(a, i));
  put(w, a);
  f->ahead = NULL;
  w->reader.streamed--;
}

void lsi_aheads_clear(struct lsi_worker *w) {
  while (w->reader.free_aheads) {
    struct lsi_ahead *a = w->reader.free_aheads;
    w->reader.free_aheads = a->next;
    lsi_free(a);
  }
}

/* ---- reading ---- */

/* Where the buffer's first byte belongs to, in the object. */
static uint64_t base_of(const struct lsi_flight_extent *x) {
  return x->exact ? x->offset : lsi_round_down(x->offset, LSI_ALIGN);
}

/* Bytes ahead of what has been used, as they take place: whole pages, where they are read as such. */
static uint64_t taken(const struct lsi_flight *f, uint64_t more) {
  const struct lsi_flight_extent *x = &f->one;
  const uint64_t from = x->offset + f->ahead->used, to = x->offset + x->issued + more;
  return x->exact || x->loan ? to - from : lsi_round_up(to, LSI_ALIGN) - lsi_round_down(from, LSI_ALIGN);
}

/* Of the next operation; 0: there is no room for it. */
static uint64_t next_length(const struct lsi_worker *w, const struct lsi_flight *f) {
  const struct lsi_flight_extent *x = &f->one;
  const uint64_t at = x->offset + x->issued, ring = f->wave->plan->ahead;
  const bool hot = x->slot->handle.resident;
  uint64_t most = f->wave->plan->devices[x->slot->device].op_max;
  most = LSI_MIN(most, lsi_round_down(ring / 4, LSI_ALIGN));
  if (hot && !x->loan) most = LSI_MIN(most, HOT_SEGMENT);
  uint64_t length = LSI_MIN(x->length - x->issued, most - at % most);
  if (!x->loan) length = LSI_MIN(length, ring - (at - base_of(x)) % ring);
  const uint64_t enough = LSI_MAX(f->ahead->wanted, w->run->config.spec->piece) + 2 * most;
  return taken(f, length) <= (hot ? LSI_MIN(ring, enough) : ring) ? length : 0;
}

static bool issue_one(struct lsi_worker *w, struct lsi_flight *f, uint64_t length) {
  struct lsi_flight_extent *x = &f->one;
  struct lsi_ahead *a = f->ahead;
  if (!lsi_op_may(w, length) || !lsi_take_credit(w, x->slot->device)) return false;
  struct lsi_eop *e = lsi_op_get(w);
  if (!e) {
    lsi_give_credit(w, x->slot->device);
    lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for an operation");
    lsi_run_fail(w->run, &w->error);
    return false;
  }
  const uint64_t at = x->offset + x->issued;
  struct lsi_segment *s = segment_at(a, a->n);
  *s = (struct lsi_segment){.length = length};
  if (!x->loan) s->data = (char *)x->buffer + (at - base_of(x)) % f->wave->plan->ahead;
  lsi_op_prepare(e, f, x, at, length);
  e->op.buf = (void *)(uintptr_t)s->data;
  e->segment = (a->first + a->n++) % LSI_AHEAD_SEGMENTS;
  x->issued += length;
  w->reader.bytes_in_flight += length;
  lsi_op_queue(w, e);
  return true;
}

static bool issue(struct lsi_worker *w, struct lsi_flight *f) {
  while (f->one.issued < f->one.length && f->ahead->n < LSI_AHEAD_SEGMENTS && !f->damaged) {
    const uint64_t length = next_length(w, f);
    if (!length) break;
    if (!issue_one(w, f, length)) return false;
  }
  return true;
}

void lsi_ahead_issue(struct lsi_worker *w) {
  for (struct lsi_flight *f = w->stepper.ready; f && !lsi_stopping(w->run); f = f->next)
    if (f->ahead && !issue(w, f)) return;
}

struct lsi_flight *lsi_ahead_landed(struct lsi_worker *w, struct lsi_eop *e) {
  struct lsi_op *op = &e->op;
  struct lsi_flight *f = e->flight;
  struct lsi_segment *s = &f->ahead->segments[e->segment];
  s->landed = true;
  f->ops_left--;
  if (op->data && !op->buf) { /* lent */
    s->data = op->data;
    s->lent = e;
    f->ahead->lent = true;
  } else {
    if (op->data) {
      if (op->result > 0) memcpy(op->buf, op->data, LSI_MIN((uint64_t)op->result, (uint64_t)op->length));
      w->ops->release(w->backend, op);
    }
    lsi_op_put(w, e);
  }
  return f->spent && !f->ops_left ? f : NULL;
}

/* ---- using ---- */

/* Bytes that have landed and lie one behind the other; as far as `bytes`, all that have landed, in *all. */
static uint64_t reach(struct lsi_ahead *a, uint64_t bytes, uint64_t *all) {
  uint64_t joined = 0;
  bool apart = false;
  const char *end = NULL;
  *all = 0;
  for (uint32_t i = 0; i < a->n; i++) {
    const struct lsi_segment *s = segment_at(a, i);
    apart |= i && s->data != end;
    if (!s->landed || (apart && *all >= bytes)) break;
    *all += s->length - (i ? 0 : a->at);
    if (!apart) joined = *all;
    end = s->data + s->length;
  }
  return joined;
}

static void copy(struct lsi_ahead *a, char *to, uint64_t bytes) {
  for (uint32_t i = 0; bytes; i++) {
    const struct lsi_segment *s = segment_at(a, i);
    const uint64_t skip = i ? 0 : a->at, n = LSI_MIN(bytes, s->length - skip);
    memcpy(to, s->data + skip, n);
    to += n;
    bytes -= n;
  }
}

/* Behind the buffer. What is lent lies in one place, as a rule. */
static char *stitch_in(struct lsi_worker *w, const struct lsi_flight *f, size_t bytes) {
  if (f->one.buffer) return (char *)f->one.buffer + f->wave->plan->ahead + LSI_ALIGN;
  return lsi_buffer_fit(&w->reader.stitches, bytes + LSI_PAD, 0) ? w->reader.stitches.data : NULL;
}

static int too_much(struct lsi_worker *w, size_t bytes, uint64_t most) {
  lsi_fail(&w->error, LSIO_ERR_LIMIT, 0,
           "a block of %zu bytes does not fit into the %" PRIu64 " bytes that a worker has for one", bytes,
           most);
  lsi_error_remedy(&w->error, "give the job more memory (--memory) or fewer workers (--workers)");
  return LSIO_ERR_LIMIT;
}

int lsi_ahead_get(struct lsi_worker *w, struct lsi_flight *f, size_t *bytes, const char **data) {
  struct lsi_ahead *a = f->ahead;
  if (LSI_UNLIKELY(f->damaged)) {
    const uint32_t step = f->wave->plan->step_order[f->wave->plan->unit_step[f->unit]];
    return lsi_flight_bytes(w, f, lsi_request_chunk_begin(f->wave->request, step), step) ? 0 : w->error.code;
  }
  if (*bytes > lsi_ahead_most(f)) return too_much(w, *bytes, lsi_ahead_most(f));
  uint64_t all;
  const uint64_t joined = reach(a, *bytes, &all);
  a->wanted = LSI_MAX(a->wanted, (uint64_t)*bytes);
  if (all < *bytes) return 0;
  *data = *bytes ? segment_at(a, 0)->data + a->at : "";
  if (joined >= *bytes) {
    *bytes = (size_t)joined;
    return 1;
  }
  char *to = stitch_in(w, f, *bytes);
  if (!to) return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory to put together what was read");
  copy(a, to, *bytes);
  *data = to;
  return 1;
}

void lsi_ahead_use(struct lsi_worker *w, struct lsi_flight *f, uint64_t bytes) {
  struct lsi_ahead *a = f->ahead;
  a->used += bytes;
  a->at += bytes;
  w->served += bytes;
  while (a->n && a->at >= segment_at(a, 0)->length && segment_at(a, 0)->landed) {
    struct lsi_segment *s = segment_at(a, 0);
    a->at -= s->length;
    give_back(w, s);
    a->first = (a->first + 1) % LSI_AHEAD_SEGMENTS;
    a->n--;
  }
}
