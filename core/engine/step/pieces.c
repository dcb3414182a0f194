/* A step whose chunk is decoded and transformed by pieces (the job's `piece`), in order, on one worker.
 * The step stays the unit: what its pieces yield is put together, and when one of them fails, all of
 * them have: the transform's state is as before the first one, and the step's place holds `fill`.
 *
 * Where a step's place is known, each piece is placed as soon as it is there. Elsewhere the elements
 * of all pieces are gathered in w->stepper.out and delivered as one result. */
#include "engine/step/pieces.h"

#include <inttypes.h>

#include "engine/read/flight.h"
#include "engine/step/deliver.h"
#include "engine/step/prepare.h"
#include "engine/step/scratch.h"
#include "kernels/kernels.h"

static void spent(struct lsi_by_pieces *p, uint64_t *on) {
  const uint64_t now = lsi_os_now_ns();
  *on += now - p->at_ns;
  p->at_ns = now;
}

static int grow_pieces(struct lsi_outbuf *out, size_t at_least) {
  struct lsi_worker *w = out->ctx;
  if (!lsi_buffer_fit(&w->stepper.pieces, at_least + LSI_PAD, out->length)) return LSIO_ERR_NOMEM;
  out->data = w->stepper.pieces.data;
  out->capacity = LSI_MIN(w->stepper.pieces.capacity - LSI_PAD, out->limit);
  return 0;
}

/* Fixed places: the part of the result that is this piece's. */
static int fixed_out(struct lsi_worker *w, const struct lsi_by_pieces *p, uint64_t n, bool more) {
  const struct lsi_run_config *config = &w->run->config;
  const uint64_t room = config->sink_pos[p->step + 1] - config->sink_pos[p->step];
  const uint64_t end = p->elements + n;
  int rc = end > room || !more ? lsi_step_check_room(w, p->step, end) : 0;
  if (rc < 0) return rc;
  w->stepper.step.out_n = (double)n;
  w->stepper.step.out = lsi_step_part_out(w, p->step, p->elements, n);
  if (w->stepper.step.out) return 0;
  return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a step's output");
}

/* Behind what earlier pieces left. With out_max, what is left of that. */
static int gathered_out(struct lsi_worker *w, const struct lsi_by_pieces *p, uint64_t n) {
  const struct lsi_run_config *config = &w->run->config;
  const uint64_t item = lsi_type_size(config->sink_type.type), at = p->gathered * item;
  const uint64_t count = config->spec->has_out_max ? config->spec->out_max - p->gathered : n;
  uint64_t bytes;
  if (lsi_mul_overflow(p->gathered + count, item, &bytes) ||
      (!config->spec->has_out_max && bytes > w->stepper.gather_limit)) {
    lsi_fail(&w->error, LSIO_ERR_LIMIT, 0,
             "the results of a chunk's pieces take more than the %" PRIu64 " bytes of memory allowed",
             w->stepper.gather_limit);
    lsi_error_remedy(&w->error, "write out_max, or give the job more memory (--memory)");
    return w->error.code;
  }
  size_t want = bytes + 64;
  if (want > w->stepper.out.capacity && at) /* twice as much, so that many pieces cost few moves */
    want = LSI_MAX(want, LSI_MIN(2 * w->stepper.out.capacity, (size_t)w->stepper.gather_limit));
  if (!lsi_buffer_fit(&w->stepper.out, want, at))
    return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a step's output");
  w->stepper.step.out = (char *)w->stepper.out.data + at;
  w->stepper.step.out_n = (double)count;
  return 0;
}

/* Decoded bytes in native order. What later blocks refer to must stay as it is. */
static const void *native(struct lsi_worker *w, const void *data, size_t bytes) {
  if (!w->run->config.spec->type.big || !w->stepper.item_shift) return data;
  if (!lsi_buffer_fit(&w->stepper.decoded, bytes + LSI_PAD, 0)) return NULL;
  const size_t item = (size_t)w->stepper.item_mask + 1;
  lsi_kernels()->byteswap(data, bytes / item, w->stepper.decoded.data, item);
  return w->stepper.decoded.data;
}

/* Fills w->stepper.step for a piece of `bytes` bytes. */
static int show(struct lsi_worker *w, const struct lsi_by_pieces *p, const void *data, size_t bytes,
                bool more) {
  const struct lsi_run_config *config = &w->run->config;
  struct lsi_step *s = &w->stepper.step;
  if (bytes & w->stepper.item_mask) return lsi_no_whole_elements(w, p->bytes + bytes);
  if (!(data = native(w, data, bytes)))
    return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory to bring elements into native order");
  const uint64_t n = bytes >> w->stepper.item_shift;
  lsi_set_view(w, w->stepper.chunks, p->chunk, data, bytes);
  s->n_chunks = 1;
  s->index = (double)(int64_t)(w->stepper.wave->request->first_index + p->step);
  s->pos = (double)(int64_t)((config->sink_pos ? config->sink_pos[p->step] : 0) + p->elements);
  s->piece = (p->bytes ? LSI_PIECE_LATER : 0) | (more ? LSI_PIECE_MORE : 0);
  s->result = LSI_RESULT_FULL;
  s->memory = lsi_memory_of(w, data, bytes);
  s->out_n = 0;
  const int rc = lsi_scratch_begin(w, (double)bytes);
  if (rc < 0) return rc;
  if (config->sink && !config->sink_variable) return fixed_out(w, p, n, more);
  return config->sink || config->stream ? gathered_out(w, p, n) : 0;
}

/* Takes what a piece yielded to its place, or to what is gathered. *last: the result of the step. */
static int collect(struct lsi_worker *w, struct lsi_by_pieces *p, bool more, struct lsi_yield *last) {
  const struct lsi_run_config *config = &w->run->config;
  struct lsi_yield y;
  int rc = lsi_step_interpret(w, p->step, &y);
  if (rc < 0) return rc;
  if (config->sink && !config->sink_variable) {
    lsi_set_phase(w, LSI_PHASE_PLACE, p->step);
    return lsi_step_part_place(w, p->step, p->elements, (uint64_t)w->stepper.chunks[0].n, &y);
  }
  if (y.record && (more || p->yielded))
    return lsi_fail(&w->error, LSIO_ERR_TRANSFORM, 0,
                    more ? "the transform returned a record for a piece that is not the chunk's last"
                         : "the transform returned a record after a count for an earlier piece");
  if (!y.nothing && !y.record) p->gathered += y.count;
  p->yielded |= !y.nothing;
  *last = y;
  return 0;
}

static int one_piece(struct lsi_worker *w, struct lsi_by_pieces *p, const void *data, size_t bytes, bool more,
                     struct lsi_yield *last) {
  const struct lsi_run_config *config = &w->run->config;
  int rc = show(w, p, data, bytes, more);
  spent(p, &w->figures.decode_ns);
  if (rc < 0) return rc;
  lsi_set_phase(w, LSI_PHASE_TRANSFORM, p->step);
  w->stepper.ran = true;
  rc = config->spec->transform->step(w->stepper.transform, &w->stepper.step, &w->error);
  spent(p, &w->figures.transform_ns);
  if (rc < 0) {
    p->ran = false; /* the transform has undone all of it */
    return rc;
  }
  p->ran = true;
  rc = collect(w, p, more, last);
  spent(p, &w->figures.place_ns);
  return rc;
}

/* Of a chunk that is streamed as it is stored. As lsi_pieces_next. */
static int next_as_stored(struct lsi_worker *w, struct lsi_flight *f, const void **data, size_t *bytes) {
  const uint64_t left = lsi_ahead_left(f);
  const size_t size = (size_t)LSI_MIN(left, w->run->config.spec->piece);
  const char *at;
  *bytes = size;
  const int rc = lsi_ahead_get(w, f, bytes, &at);
  *bytes = size;
  *data = at;
  return rc <= 0 ? (rc ? rc : LSI_STEP_LATER) : size < left;
}

/* ---- what a decoder takes of a chunk that is streamed ---- */

static int feed_get(void *ctx, size_t *n, const uint8_t **src, struct lsi_error *err) {
  struct lsi_worker *w = ctx;
  const char *data;
  (void)err; /* it is w->error */
  const int rc = lsi_ahead_get(w, w->stepper.by_pieces.flight, n, &data);
  *src = (const uint8_t *)data;
  return rc > 0 ? 0 : rc ? rc : LSI_CODEC_LATER;
}

static void use(struct lsi_worker *w, struct lsi_flight *f, uint64_t bytes) {
  lsi_ahead_use(w, f, bytes);
  lsi_count(&w->counters.bytes_done, bytes);
}

static void feed_use(void *ctx, size_t n) {
  struct lsi_worker *w = ctx;
  use(w, w->stepper.by_pieces.flight, n);
}

_Static_assert(LSI_CODEC_LATER == LSI_STEP_LATER, "what is not there yet is handed on");

static int next_piece(struct lsi_worker *w, struct lsi_flight *f, const void **data, size_t *bytes) {
  return w->stepper.by_pieces.as_stored ? next_as_stored(w, f, data, bytes)
                                        : lsi_pieces_next(w->stepper.decoder, data, bytes, &w->error);
}

/* Reading ahead must go on meanwhile, and other runs. */
static bool is_time(const struct lsi_worker *w, const struct lsi_by_pieces *p) {
  return p->at_ns - w->last_refill_ns >= LSI_REFILL_NS;
}

/* 0; LSI_STEP_LATER: it goes on from here, once there is more; negative: it has failed. */
static int all_pieces(struct lsi_worker *w, struct lsi_flight *f, struct lsi_by_pieces *p) {
  int more;
  do {
    const void *data;
    size_t bytes;
    lsi_set_phase(w, LSI_PHASE_DECODE, p->step);
    more = next_piece(w, f, &data, &bytes);
    if (more < 0) return more;
    int rc = one_piece(w, p, data, bytes, more != 0, &p->last);
    if (rc < 0) return rc;
    p->bytes += bytes;
    p->elements = p->bytes >> w->stepper.item_shift;
    if (p->as_stored) use(w, f, bytes);
    if (f->ahead && more && is_time(w, p)) return LSI_STEP_LATER;
  } while (more);
  return 0;
}

/* Once all pieces are in: the result, or what is left to do for one that went piece by piece. */
static int deliver(struct lsi_worker *w, struct lsi_by_pieces *p, struct lsi_yield *y) {
  const struct lsi_run_config *config = &w->run->config;
  if (!config->stream && !config->sink) return 0;
  lsi_set_phase(w, LSI_PHASE_PLACE, p->step);
  if (!y->record) {
    y->data = w->stepper.out.data;
    y->count = p->gathered;
    y->nothing = !p->yielded;
  }
  const bool parts = config->sink && !config->sink_variable;
  int rc = parts ? lsi_step_parts_end(w) : lsi_step_deliver(w, p->step, y);
  spent(p, &w->figures.place_ns);
  return rc;
}

static void make_hot(struct lsi_worker *w, struct lsi_by_pieces *p) {
  const size_t there = w->stepper.pieces.capacity; /* 0: none yet */
  p->hot = (struct lsi_outbuf){.data = w->stepper.pieces.data,
                               .capacity = LSI_MIN(there ? there - LSI_PAD : 0, w->stepper.piece_limit),
                               .limit = w->stepper.piece_limit,
                               .grow = grow_pieces,
                               .ctx = w};
}

/* 0, or LSI_STEP_LATER. */
static int begin_streamed(struct lsi_worker *w, struct lsi_flight *f, struct lsi_by_pieces *p) {
  const struct lsi_spec *spec = w->run->config.spec;
  p->as_stored = spec->codec == LSI_CODEC_NONE;
  if (p->as_stored) return 0;
  p->flight = f;
  p->feed = (struct lsi_feed){.left = lsi_ahead_left(f), .most = lsi_ahead_most(f), .get = feed_get,
                              .use = feed_use, .ctx = w};
  make_hot(w, p);
  const int rc = lsi_pieces_feed(w->stepper.decoder, spec->codec, &p->feed, spec->piece,
                                 spec->decoded ? spec->decoded : UINT64_MAX, &p->hot, &w->error);
  p->as_stored = rc == LSI_CODEC_STORED;
  return p->as_stored ? 0 : rc;
}

/* 1 = it is to be taken whole. */
static int begin(struct lsi_worker *w, struct lsi_flight *f, struct lsi_by_pieces *p) {
  const struct lsi_spec *spec = w->run->config.spec;
  const struct lsi_request *r = w->stepper.wave->request;
  if (f->ahead) return begin_streamed(w, f, p);
  if (lsi_request_chunk_end(r, p->step) - p->chunk != 1) return 1;
  const char *stored = lsi_flight_bytes(w, f, p->chunk, p->step);
  if (!stored) return w->error.code ? w->error.code : 1;
  make_hot(w, p);
  int rc = lsi_pieces_begin(w->stepper.decoder, spec->codec, stored, r->length[p->chunk], spec->piece,
                            spec->decoded ? spec->decoded : UINT64_MAX, w->stepper.decode_limit, &p->hot,
                            &w->error);
  return rc < 0 ? rc : !rc;
}

/* Progress is told as the bytes of a step that is streamed go by; in the end they count once. */
static void end(struct lsi_worker *w, const struct lsi_flight *f, struct lsi_by_pieces *p) {
  if (f->ahead) lsi_count(&w->counters.bytes_done, 0 - f->ahead->used);
  w->stepper.step.piece = 0;
  p->begun = false;
}

static void undo(struct lsi_worker *w, const struct lsi_by_pieces *p) {
  const struct lsi_spec *spec = w->run->config.spec;
  if (p->ran && spec->transform->undo) spec->transform->undo(w->stepper.transform);
  lsi_step_parts_undo(w, p->elements);
}

void lsi_step_leave(struct lsi_worker *w, const struct lsi_flight *f) {
  struct lsi_by_pieces *p = &w->stepper.by_pieces;
  if (!p->begun || p->step != f->wave->plan->step_order[f->wave->plan->unit_step[f->unit]]) return;
  w->stepper.wave = f->wave;
  end(w, f, p);
  undo(w, p);
}

bool lsi_step_by_pieces(struct lsi_worker *w, struct lsi_flight *f, uint32_t step, int *rc) {
  const struct lsi_spec *spec = w->run->config.spec;
  struct lsi_by_pieces *p = &w->stepper.by_pieces;
  const uint64_t now = lsi_os_now_ns();
  lsi_set_phase(w, LSI_PHASE_DECODE, step);
  if (p->begun) {
    p->at_ns = now;
  } else {
    *p = (struct lsi_by_pieces){.step = step,
                                .chunk = lsi_request_chunk_begin(w->stepper.wave->request, step),
                                .at_ns = now,
                                .last = {.nothing = true}};
    *rc = begin(w, f, p);
    if (*rc) return *rc < 0;
    p->begun = true;
  }
  *rc = all_pieces(w, f, p);
  if (*rc == LSI_STEP_LATER) return true;
  end(w, f, p);
  if (spec->codec != LSI_CODEC_NONE) w->figures.bytes_decoded += p->bytes;
  if (*rc < 0) {
    undo(w, p);
    return true;
  }
  w->stepper.decoded_max = LSI_MAX(w->stepper.decoded_max, p->bytes);
  *rc = deliver(w, p, &p->last);
  return true;
}
