#include "engine/step/write_direct.h"

#include <errno.h>
#include <string.h>

#include "engine/read/flight.h"
#include "engine/step/looks.h"
#include "ground/mem.h"

#define RETRIES 5 /* of EAGAIN and EINTR, which no backend should let through */
#define SLACK 64u /* kernels may store a vector past the end */

/* ---- the way a result takes ---- */

static bool same_type(const struct lsi_run_config *c) {
  return c->spec->type.type == c->sink_type.type && !c->spec->type.big && !c->sink_type.big;
}

static struct lsi_sink_span span_of(const struct lsi_run_config *c, uint32_t step) {
  const uint64_t pos = c->sink_pos[step];
  return lsi_sink_span(c->sink, pos, c->sink_pos[step + 1] - pos);
}

bool lsi_writer_lends(const struct lsi_run *run) {
  const struct lsi_run_config *c = &run->config;
  return c->spec->identity && c->spec->codec == LSI_CODEC_NONE && same_type(c) &&
         !run->wave.request->step_first;
}

void lsi_writes_size(struct lsi_run *run) {
  const struct lsi_run_config *c = &run->config;
  run->write_bytes = run->write_bytes_least = 0;
  if (!c->sink || c->sink_variable || !lsi_sink_handle(c->sink) ||
      !(c->backend->caps & LSI_CAP_WRITES))
    return;
  uint64_t largest = 0, all = 0;
  for (uint32_t s = 0; s < run->wave.request->n_steps; s++) {
    const struct lsi_sink_span span = span_of(c, s);
    if (span.direct_begin == span.direct_end) continue;
    uint64_t bytes = lsi_round_up(span.end - span.begin + SLACK, LSI_ALIGN) + LSI_ALIGN;
    largest = LSI_MAX(largest, bytes);
    all += bytes;
  }
  run->write_bytes_least = largest;
  run->write_bytes = LSI_MIN(all, LSI_MAX(2 * largest, (uint64_t)LSI_WRITE_BYTES));
}

int lsi_writer_open(struct lsi_worker *w, size_t bytes) {
  const struct lsi_run_config *c = &w->run->config;
  if (!w->run->write_bytes || !(w->ops->caps & LSI_CAP_WRITES)) return 0;
  struct lsi_writer *r = lsi_calloc(1, sizeof *r);
  if (!r) return LSIO_ERR_NOMEM;
  r->handle = *lsi_sink_handle(c->sink);
  r->device = c->sink_device;
  if (bytes && lsi_arena_init(&r->buffers, bytes, w->run->config.pool) < 0) {
    lsi_free(r);
    return LSIO_ERR_NOMEM;
  }
  for (uint32_t i = 0; i < LSI_WRITE_RESULTS; i++) {
    r->all[i].next = r->free;
    r->free = &r->all[i];
  }
  for (uint32_t i = 0; i < LSI_WRITE_OPS; i++) {
    r->ops[i].op.handle = &r->handle;
    r->ops[i].op.kind = LSI_OP_WRITE;
    r->ops[i].op.exact = true;
    r->ops[i].op.owner = w;
    r->ops[i].next = r->free_ops;
    r->free_ops = &r->ops[i];
  }
  w->writer = r;
  return 0;
}

void lsi_writer_close(struct lsi_worker *w) {
  struct lsi_writer *r = w->writer;
  w->writer = NULL;
  if (!r) return;
  lsi_arena_clear(&r->buffers, !w->broken);
  lsi_free(r);
}

/* Where the result lies already, as its place in the file asks for; NULL: nowhere. */
static const char *lies_right(const struct lsi_worker *w, const struct lsi_flight *f, uint32_t step,
                              uint64_t begin) {
  const struct lsi_flight_extent *x = &f->extents[0];
  if (f->n_extents != 1 || !x->buffer || !lsi_writer_lends(w->run)) return NULL;
  const char *data = x->data + (w->run->wave.request->offset[step] - x->offset);
  return ((uintptr_t)data - begin) % LSI_ALIGN == 0 ? data : NULL;
}

bool lsi_write_ready(struct lsi_worker *w, struct lsi_flight *f, uint32_t step) {
  struct lsi_writer *r = w->writer;
  const struct lsi_sink_span span = span_of(&w->run->config, step);
  if (span.direct_begin == span.direct_end) return true;
  if (!r->free) return false;
  const char *data = lies_right(w, f, step, span.begin);
  const size_t at = span.begin % LSI_ALIGN;
  const size_t bytes = (size_t)lsi_round_up(at + (span.end - span.begin) + SLACK, LSI_ALIGN);
  void *buffer = NULL;
  if (!data) {
    if (bytes > r->buffers.size) return true;
    if (!(buffer = lsi_arena_lease(&r->buffers, bytes))) return false;
    data = (char *)buffer + at;
  }
  struct lsi_write *x = r->free;
  r->free = x->next;
  *x = (struct lsi_write){.step = step, .span = span, .data = data, .buffer = buffer,
                          .buffer_bytes = bytes, .flight = buffer ? NULL : f,
                          .to_issue = span.direct_end - span.direct_begin};
  r->results++;
  r->at = x;
  return true;
}

void *lsi_write_place(const struct lsi_worker *w) {
  const struct lsi_write *x = w->writer ? w->writer->at : NULL;
  return x && x->buffer ? (char *)x->buffer + x->span.begin % LSI_ALIGN : NULL;
}

/* Gives back what the result held. */
static void release(struct lsi_worker *w, struct lsi_write *x) {
  struct lsi_writer *r = w->writer;
  if (x->buffer) lsi_arena_release(&r->buffers, x->buffer, x->buffer_bytes);
  x->next = r->free;
  r->free = x;
  r->results--;
}

void lsi_write_drop(struct lsi_worker *w) {
  struct lsi_write *x = w->writer->at;
  if (!x) return;
  w->writer->at = NULL;
  release(w, x);
}

int lsi_write_start(struct lsi_worker *w, const void *data) {
  struct lsi_writer *r = w->writer;
  struct lsi_write *x = r->at;
  void *place = lsi_write_place(w);
  if (place && data != place) memcpy(place, data, x->span.end - x->span.begin);
  int rc = lsi_looks_now(w); /* it counts when it has landed, not when its unit ends */
  if (rc >= 0) rc = lsi_sink_write_edges(w->run->config.sink, &x->span, x->data, &w->error);
  if (rc < 0) return rc;
  r->at = NULL;
  if (x->flight) x->flight->writes++;
  x->next = NULL;
  if (r->first)
    r->last->next = x;
  else
    r->first = x;
  r->last = x;
  lsi_writes_issue(w);
  return 1;
}

/* ---- operations ---- */

static void queue(struct lsi_worker *w, struct lsi_write_op *o) {
  w->queue[w->n_queue++] = &o->op;
}

/* Makes the next operation of the oldest result. False: no room. */
static bool issue_op(struct lsi_worker *w, struct lsi_writer *r) {
  struct lsi_write *x = r->first;
  struct lsi_write_op *o = r->free_ops;
  if (!o || w->n_queue >= LSI_QUEUE_RETRY) return false;
  if (r->device != UINT32_MAX && !lsi_take_credit(w, r->device)) return false;
  const uint64_t offset = x->span.direct_begin + x->issued;
  const uint64_t length = LSI_MIN(x->to_issue, (uint64_t)LSI_WRITE_OP_BYTES);
  r->free_ops = o->next;
  o->write = x;
  o->retries = 0;
  o->op.offset = offset;
  o->op.buf = (char *)(uintptr_t)x->data + (offset - x->span.begin); /* only read from */
  o->op.length = (uint32_t)length;
  o->op.uncopied = false;
  o->op.os_code = 0;
  o->op.result = 0;
  x->issued += length;
  x->to_issue -= length;
  x->ops_left++;
  r->in_flight++;
  queue(w, o);
  return true;
}

void lsi_writes_issue(struct lsi_worker *w) {
  struct lsi_writer *r = w->writer;
  while (r->again && w->n_queue < LSI_QUEUE_RETRY) {
    struct lsi_write_op *o = r->again;
    r->again = o->next;
    queue(w, o);
  }
  for (; r->first; r->first = r->first->next)
    while (r->first->to_issue)
      if (!issue_op(w, r)) return;
}

/* All operations of the result have come back. Returns as lsi_write_landed. */
static int finish(struct lsi_worker *w, struct lsi_write *x) {
  const uint64_t length = x->span.direct_end - x->span.direct_begin;
  struct lsi_flight *f = x->flight;
  const bool lost = x->lost;
  release(w, x);
  if (f && --f->writes == 0 && f->spent) {
    f->spent = false;
    lsi_flight_end(w, f);
  }
  if (lost) return 0;
  const uint64_t before = lsi_os_now_ns(); /* each result may have to be made durable */
  const int rc = lsi_sink_landed(w->run->config.sink, length, &w->error);
  w->figures.place_ns += lsi_os_now_ns() - before;
  return rc < 0 ? rc : 1;
}

/* What came back is not all that was to be written: true when the rest is tried again. */
static bool go_on(struct lsi_worker *w, struct lsi_write_op *o) {
  struct lsi_op *op = &o->op;
  const bool again = op->result == LSIO_ERR_IO && (op->os_code == EAGAIN || op->os_code == EINTR);
  if (lsi_abandoned(w->run) || (again ? o->retries++ >= RETRIES : op->result <= 0)) return false;
  const uint64_t put = again ? 0 : (uint64_t)op->result;
  w->figures.bytes_direct += op->uncopied ? put : 0;
  op->offset += put;
  op->buf = (char *)op->buf + put;
  op->length -= (uint32_t)put;
  op->os_code = 0;
  op->result = 0;
  o->next = w->writer->again;
  w->writer->again = o;
  lsi_writes_issue(w);
  return true;
}

/* The result is lost: negative with w->error, unless that is known or the run ends already. */
static int lose(struct lsi_worker *w, struct lsi_write_op *o) {
  const struct lsi_op *op = &o->op;
  const bool first = !o->write->lost;
  o->write->lost = true;
  if (!first || lsi_abandoned(w->run)) return 0;
  const int code = op->result < 0 ? op->os_code : ENOSPC; /* a write of nothing: there is no room */
  return lsi_sink_not_written(w->run->config.sink, code, op->offset, op->length, &w->error);
}

int lsi_write_landed(struct lsi_worker *w, struct lsi_op *op, uint32_t *step) {
  struct lsi_writer *r = w->writer;
  struct lsi_write_op *o = (struct lsi_write_op *)op;
  struct lsi_write *x = o->write;
  int rc = 0;
  *step = x->step;
  if (op->result >= (int64_t)op->length) {
    w->figures.bytes_direct += op->uncopied ? op->length : 0;
  } else {
    if (go_on(w, o)) return 0;
    rc = lose(w, o);
  }
  if (r->device != UINT32_MAX) lsi_give_credit(w, r->device);
  o->next = r->free_ops;
  r->free_ops = o;
  r->in_flight--;
  if (--x->ops_left || x->to_issue) return rc;
  const int landed = finish(w, x);
  return rc < 0 ? rc : landed;
}

void lsi_writes_lost(struct lsi_worker *w) {
  struct lsi_writer *r = w->writer;
  uint32_t step;
  for (struct lsi_write_op *o = r->free_ops; o; o = o->next) o->write = NULL;
  for (uint32_t i = 0; i < LSI_WRITE_OPS; i++) {
    if (!r->ops[i].write) continue;
    r->ops[i].op.result = LSIO_ERR_CANCELLED;
    lsi_write_landed(w, &r->ops[i].op, &step);
  }
}

void lsi_writes_stop(struct lsi_worker *w) {
  struct lsi_writer *r = w->writer;
  uint32_t step;
  while (r->again) { /* what is left of them was never submitted */
    struct lsi_write_op *o = r->again;
    r->again = o->next;
    o->op.result = LSIO_ERR_CANCELLED;
    lsi_write_landed(w, &o->op, &step);
  }
  while (r->first) {
    struct lsi_write *x = r->first;
    r->first = x->next;
    x->lost = true;
    x->to_issue = 0;
    if (!x->ops_left) finish(w, x);
  }
}
