/* From the bytes of a step to what its transform sees: decoded, in native order, with views. */
#include "engine/step/prepare.h"

#include <math.h>
#include <string.h>

#include "engine/read/flight.h"
#include "engine/state/surplus.h"
#include "engine/step/result.h"
#include "engine/step/scratch.h"
#include "ground/mem.h"
#include "kernels/kernels.h"

static int grow_decoded(struct lsi_outbuf *out, size_t at_least) {
  struct lsi_worker *w = out->ctx;
  size_t base = (size_t)((char *)out->data - (char *)w->stepper.decoded.data);
  size_t want = LSI_MAX(at_least, LSI_MIN(out->capacity * 2, out->limit));
  if (!w->stepper.decoded.data) base = 0;
  /* No more than is reserved, if that does. */
  if (base + at_least <= w->stepper.decode_free) want = LSI_MIN(want, (size_t)w->stepper.decode_free - base);
  else if (!lsi_surplus_covers(w, base + want)) return LSIO_ERR_BUSY;
  if (!lsi_buffer_fit(&w->stepper.decoded, base + want + LSI_PAD, base + out->length)) return LSIO_ERR_NOMEM;
  out->data = (char *)w->stepper.decoded.data + base;
  out->capacity = LSI_MIN(w->stepper.decoded.capacity - LSI_PAD - base, out->limit);
  return 0;
}

static int decode_chunk(struct lsi_worker *w, const char *stored, uint64_t length, size_t *used,
                        size_t *decoded) {
  const struct lsi_spec *spec = w->run->config.spec;
  uint64_t limit = w->stepper.decode_limit > *used ? w->stepper.decode_limit - *used : 0;
  uint64_t first = spec->decoded ? spec->decoded : w->stepper.decoded_max;
  if (spec->decoded) limit = LSI_MIN(limit, spec->decoded);
  if (spec->piece) first = LSI_MIN(first, 2 * spec->piece); /* larger ones are seldom taken whole */
  first = LSI_MIN(first, w->stepper.decode_free - LSI_MIN(w->stepper.decode_free, *used));
  first = LSI_MIN(LSI_MAX(first, (uint64_t)1), limit);
  if (!lsi_buffer_fit(&w->stepper.decoded, *used + first + LSI_PAD, *used))
    return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory to decode into");
  struct lsi_outbuf out = {.data = (char *)w->stepper.decoded.data + *used,
                           .capacity = LSI_MIN(w->stepper.decoded.capacity - LSI_PAD - *used, limit),
                           .limit = limit,
                           .grow = grow_decoded,
                           .ctx = w,
                           .pieces = spec->piece != 0};
  int rc = lsi_decode(w->stepper.decoder, spec->codec, stored, length, &out, &w->error);
  if (rc < 0) return lsi_surplus_waits(w) ? lsi_surplus_later(w) : rc;
  *decoded = out.length;
  *used += lsi_round_up(out.length, 64);
  if (out.length > w->stepper.decoded_max) w->stepper.decoded_max = out.length;
  w->figures.bytes_decoded += out.length;
  return 0;
}

/* Copies into `decoded` in native order: sources are read-only, also where they lie in a buffer. */
static int swap_chunk(struct lsi_worker *w, const void *stored, size_t bytes, bool in_place,
                      size_t *used) {
  size_t size = lsi_type_size(w->run->config.spec->type.type);
  if (!in_place) {
    if (*used + bytes > w->stepper.decode_limit ||
        !lsi_buffer_fit(&w->stepper.decoded, *used + bytes + LSI_PAD, *used))
      return lsi_fail(&w->error, LSIO_ERR_LIMIT, 0, "no memory to bring elements into native order");
    *used += lsi_round_up(bytes, 64);
  }
  char *to = (char *)w->stepper.decoded.data + *used - lsi_round_up(bytes, 64);
  lsi_kernels()->byteswap(stored, bytes / size, to, size);
  return 0;
}

/* What of a view belongs to its object. */
void lsi_name_view(struct lsi_worker *w, struct lsi_chunk *view,
                                                uint32_t object) {
  const struct lsi_request *r = w->run->wave.request; /* it stays */
  view->object = object;
  const uint64_t size = r->objects[object].size;
  view->object_size = size == LSI_ENDLESS ? HUGE_VAL : (double)(int64_t)size;
  view->name = lsi_request_name(r, object);
  view->name_length = strlen(view->name);
  if (view == w->stepper.chunks) w->stepper.shown = object;
}

int lsi_no_whole_elements(struct lsi_worker *w, uint64_t bytes) {
  enum lsi_type type = w->run->config.spec->type.type;
  lsi_fail(&w->error, LSIO_ERR_CORRUPT, 0,
           "%llu decoded bytes are no whole number of elements of type %s (%zu bytes each)",
           (unsigned long long)bytes, lsi_type_name(type), lsi_type_size(type));
  lsi_error_remedy(&w->error, "check `type`, `chunk` and `codec`");
  return w->error.code;
}

static inline bool lies_in(const void *data, uint64_t bytes, const void *base, size_t size) {
  return (uintptr_t)data - (uintptr_t)base <= size && bytes <= size - ((uintptr_t)data - (uintptr_t)base);
}

/* The arena from which the worker's is a part: what lies behind its own bytes may be read there, too. */
static inline const struct lsi_arena *whole_arena(const struct lsi_worker *w) {
  return w->reader.arena.parent ? w->reader.arena.parent : &w->reader.arena;
}

static __attribute__((noinline)) int32_t memory_elsewhere(const struct lsi_worker *w, const void *data,
                                                          uint64_t bytes) {
  const struct lsi_buffer *all[] = {&w->stepper.decoded, &w->stepper.pieces, &w->reader.late.large,
                                    &w->reader.stitches};
  const struct lsi_arena *a = whole_arena(w);
  if (!bytes || lies_in(data, bytes, a->base, a->size)) return 0; /* at its end */
  for (size_t i = 0; i < LSI_COUNTOF(all); i++) {
    if (!lies_in(data, bytes, all[i]->data, all[i]->capacity)) continue;
    return lies_in(data, bytes + LSI_PAD, all[i]->data, all[i]->capacity) ? LSI_MEMORY_PADDED : 0;
  }
  return LSI_MEMORY_LENT;
}

int32_t lsi_memory_of(const struct lsi_worker *w, const void *data, uint64_t bytes) {
  const struct lsi_arena *a = whole_arena(w);
  return LSI_LIKELY(lies_in(data, bytes + LSI_PAD, a->base, a->size)) ? LSI_MEMORY_PADDED
                                                                      : memory_elsewhere(w, data, bytes);
}

static int prepare_chunk(struct lsi_worker *w, struct lsi_flight *f, uint32_t step, uint32_t i,
                         uint32_t chunk, size_t *used) {
  const struct lsi_spec *spec = w->run->config.spec;
  const struct lsi_request *r = w->stepper.wave->request;
  struct lsi_chunk *view = &w->stepper.chunks[i];
  size_t size = lsi_type_size(spec->type.type);
  const char *data = lsi_flight_bytes(w, f, chunk, step);
  if (!data && w->error.code) return w->error.code;
  size_t bytes = r->length[chunk];
  bool in_decoded = false;
  if (spec->codec != LSI_CODEC_NONE) {
    size_t at = *used;
    int rc = decode_chunk(w, data, r->length[chunk], used, &bytes);
    if (rc < 0) return rc;
    w->stepper.chunk_at[i] = at;
    in_decoded = true;
  }
  if (bytes & (size - 1)) return lsi_no_whole_elements(w, bytes);
  if (spec->type.big && size > 1) {
    size_t at = in_decoded ? (size_t)w->stepper.chunk_at[i] : *used;
    const void *from = in_decoded ? (char *)w->stepper.decoded.data + at : data;
    int rc = swap_chunk(w, from, bytes, in_decoded, used);
    if (rc < 0) return rc;
    w->stepper.chunk_at[i] = at;
    in_decoded = true;
  }
  if (!in_decoded) w->stepper.chunk_at[i] = UINT64_MAX;
  lsi_set_view(w, view, chunk, data, bytes);
  return 0;
}

/* What an earlier step needed is given back if somebody waits for memory. False: this one waits itself. */
static bool surplus_ready(struct lsi_worker *w) {
  if (lsi_surplus_waits(w)) return lsi_surplus_came(w);
  if (lsi_ledger_is_short(w->run->config.ledger)) lsi_surplus_rest(w);
  return true;
}

/* The views of a step's chunks; *n elements, the largest chunk has *most bytes. */
static int prepare_chunks(struct lsi_worker *w, struct lsi_flight *f, uint32_t step, double *n,
                          double *most) {
  const struct lsi_request *r = w->stepper.wave->request;
  uint32_t begin = lsi_request_chunk_begin(r, step), end = lsi_request_chunk_end(r, step);
  struct lsi_step *s = &w->stepper.step;
  size_t used = 0;
  if (LSI_UNLIKELY(w->surplus.asked) && !surplus_ready(w)) return LSI_STEP_LATER;
  s->n_chunks = end - begin;
  for (uint32_t c = begin; c < end; c++) {
    int rc = prepare_chunk(w, f, step, c - begin, c, &used);
    if (rc == LSI_STEP_LATER) return rc;
    if (rc < 0) {
      lsi_error_at(&w->error, lsi_request_name(r, r->object[c]), r->offset[c], r->length[c],
                   r->first_index + step);
      return rc;
    }
  }
  for (uint32_t i = 0; i < s->n_chunks; i++) {
    if (w->stepper.chunk_at[i] != UINT64_MAX)
      w->stepper.chunks[i].data = (char *)w->stepper.decoded.data + w->stepper.chunk_at[i];
    *n += w->stepper.chunks[i].n;
    *most = LSI_MAX(*most, w->stepper.chunks[i].bytes);
  }
  return 0;
}

/* Fills w->stepper.step: views, output, scratch. */
int lsi_step_prepare(struct lsi_worker *w, struct lsi_flight *f, uint32_t step) {
  const struct lsi_run_config *config = &w->run->config;
  const struct lsi_request *r = w->stepper.wave->request;
  struct lsi_step *s = &w->stepper.step;
  double n = 0, most = 0; /* elements of the step, bytes of its largest chunk */
  if (LSI_LIKELY(w->stepper.as_stored && f->n_extents == 1 && !f->damaged &&
                 !(r->length[step] & w->stepper.item_mask))) {
    const struct lsi_flight_extent *x = &f->extents[0];
    lsi_set_view(w, w->stepper.chunks, step, x->data + (r->offset[step] - x->offset), r->length[step]);
    s->n_chunks = 1;
    if (!config->spec->transform) return 0; /* or nobody looks at the rest */
    n = w->stepper.chunks[0].n;
    most = w->stepper.chunks[0].bytes;
    s->memory = x->lent ? LSI_MEMORY_LENT : lsi_memory_of(w, s->chunk->data, r->length[step]);
  } else {
    int rc = prepare_chunks(w, f, step, &n, &most);
    if (rc < 0 || !config->spec->transform) return rc;
    s->memory = lsi_memory_of(w, s->chunk->data, (uint64_t)s->chunk->bytes);
  }
  s->index = (double)(int64_t)(r->first_index + step);
  s->pos = config->sink_pos ? (double)(int64_t)config->sink_pos[step] : w->stepper.pos_unknown;
  s->result = LSI_RESULT_FULL;
  s->out_n = 0;
  if (config->sink || config->stream) {
    int rc = lsi_step_out(w, step, n);
    if (rc < 0) return rc;
  }
  return lsi_scratch_begin(w, most);
}
