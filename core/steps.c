/* What happens to a step once its bytes are there, all on one core: decode, byte order, transform,
 * placement. Errors of one step stay with it. */
#include <inttypes.h>
#include <string.h>

#include "kernels.h"
#include "mem.h"
#include "run.h"

/* Steps smaller than this are timed one in SAMPLE: reading the clock would cost more than they do. */
#define TIME_EVERY_BYTES (32u << 10)
#define SAMPLE 16u

static void set_phase(struct lsi_worker *w, enum lsi_phase phase, uint32_t step) {
  atomic_store_explicit(&w->activity, (uint64_t)phase << 56 | step, memory_order_relaxed);
}

static bool buffer_fit(struct lsi_buffer *b, size_t bytes, size_t keep) {
  if (bytes <= b->capacity) return true;
  size_t capacity = lsi_round_up(LSI_MAX(bytes, (size_t)64 << 10), LSI_ALIGN);
  void *data = lsi_os_map(capacity);
  if (!data) return false;
  if (keep) memcpy(data, b->data, keep);
  if (b->data) lsi_os_unmap(b->data, b->capacity);
  *b = (struct lsi_buffer){data, capacity};
  return true;
}

static int grow_decoded(struct lsi_outbuf *out, size_t at_least) {
  struct lsi_worker *w = out->ctx;
  size_t base = (size_t)((char *)out->data - (char *)w->decoded.data);
  size_t want = LSI_MAX(at_least, LSI_MIN(out->capacity * 2, out->limit));
  if (!w->decoded.data) base = 0;
  if (!buffer_fit(&w->decoded, base + want, base + out->length)) return LSIO_ERR_NOMEM;
  out->data = (char *)w->decoded.data + base;
  out->capacity = LSI_MIN(w->decoded.capacity - base, out->limit);
  return 0;
}

static int decode_chunk(struct lsi_worker *w, const char *stored, uint64_t length, size_t *used,
                        size_t *decoded) {
  const struct lsi_spec *spec = w->run->config.spec;
  uint64_t limit = w->decode_limit > *used ? w->decode_limit - *used : 0;
  uint64_t first = spec->decoded ? spec->decoded : w->decoded_max;
  if (spec->decoded) limit = LSI_MIN(limit, spec->decoded);
  first = LSI_MIN(LSI_MAX(first, (uint64_t)1), limit);
  if (!buffer_fit(&w->decoded, *used + first, *used))
    return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory to decode into");
  struct lsi_outbuf out = {.data = (char *)w->decoded.data + *used,
                           .capacity = LSI_MIN(w->decoded.capacity - *used, limit),
                           .limit = limit,
                           .grow = grow_decoded,
                           .ctx = w};
  int rc = lsi_decode(w->decoder, spec->codec, stored, length, &out, &w->error);
  if (rc < 0) return rc;
  *decoded = out.length;
  *used += lsi_round_up(out.length, 64);
  if (out.length > w->decoded_max) w->decoded_max = out.length;
  w->bytes_decoded += out.length;
  return 0;
}

/* Copies into `decoded` in native order: sources are read-only, also where they lie in a buffer. */
static int swap_chunk(struct lsi_worker *w, const void *stored, size_t bytes, bool in_place,
                      size_t *used) {
  size_t size = lsi_type_size(w->run->config.spec->type.type);
  if (!in_place) {
    if (*used + bytes > w->decode_limit || !buffer_fit(&w->decoded, *used + bytes, *used))
      return lsi_fail(&w->error, LSIO_ERR_LIMIT, 0, "no memory to bring elements into native order");
    *used += lsi_round_up(bytes, 64);
  }
  char *to = (char *)w->decoded.data + *used - lsi_round_up(bytes, 64);
  lsi_kernels()->byteswap(stored, bytes / size, to, size);
  return 0;
}

/* What of a view belongs to its object. */
static __attribute__((noinline)) void name_view(struct lsi_worker *w, struct lsi_chunk *view,
                                                uint32_t object) {
  const struct lsi_request *r = w->run->request;
  view->object = object;
  view->object_size = (double)(int64_t)r->objects[object].size;
  view->name = lsi_request_name(r, object);
  view->name_length = strlen(view->name);
  if (view == w->chunks) w->named = object;
}

/* Signed conversions: one instruction each where unsigned ones are many. All are below 2^63. */
static inline void set_view(struct lsi_worker *w, struct lsi_chunk *view, uint32_t chunk,
                            const void *data, uint64_t bytes) {
  const struct lsi_request *r = w->run->request;
  const uint32_t object = r->object[chunk];
  const uint64_t offset = r->offset[chunk], length = r->length[chunk];
  const int64_t tag = r->tag ? r->tag[chunk] : 0;
  view->data = data;
  view->n = (double)(int64_t)(bytes >> w->item_shift);
  view->bytes = (double)(int64_t)bytes;
  view->offset = (double)(int64_t)offset;
  view->length = (double)(int64_t)length;
  view->tag = tag;
  if (w->named != object || view != w->chunks) name_view(w, view, object);
}

static int no_whole_elements(struct lsi_worker *w, size_t bytes) {
  enum lsi_type type = w->run->config.spec->type.type;
  lsi_fail(&w->error, LSIO_ERR_CORRUPT, 0,
           "%zu decoded bytes are no whole number of elements of type %s (%zu bytes each)", bytes,
           lsi_type_name(type), lsi_type_size(type));
  lsi_error_remedy(&w->error, "check `type`, `chunk` and `codec`");
  return w->error.code;
}

static int prepare_chunk(struct lsi_worker *w, struct lsi_flight *f, uint32_t step, uint32_t i,
                         uint32_t chunk, size_t *used) {
  const struct lsi_spec *spec = w->run->config.spec;
  const struct lsi_request *r = w->run->request;
  struct lsi_chunk *view = &w->chunks[i];
  size_t size = lsi_type_size(spec->type.type);
  const char *data = lsi_flight_bytes(w, f, chunk, step);
  if (!data && r->length[chunk]) return w->error.code;
  size_t bytes = r->length[chunk];
  bool in_decoded = false;
  if (spec->codec != LSI_CODEC_NONE) {
    size_t at = *used;
    int rc = decode_chunk(w, data, r->length[chunk], used, &bytes);
    if (rc < 0) return rc;
    w->chunk_at[i] = at;
    in_decoded = true;
  }
  if (bytes & (size - 1)) return no_whole_elements(w, bytes);
  if (spec->type.big && size > 1) {
    size_t at = in_decoded ? (size_t)w->chunk_at[i] : *used;
    const void *from = in_decoded ? (char *)w->decoded.data + at : data;
    int rc = swap_chunk(w, from, bytes, in_decoded, used);
    if (rc < 0) return rc;
    w->chunk_at[i] = at;
    in_decoded = true;
  }
  if (!in_decoded) w->chunk_at[i] = UINT64_MAX;
  set_view(w, view, chunk, data, bytes);
  return 0;
}

/* The views of a step's chunks; *n elements, the largest chunk has *most bytes. */
static int prepare_chunks(struct lsi_worker *w, struct lsi_flight *f, uint32_t step, double *n,
                          double *most) {
  const struct lsi_request *r = w->run->request;
  uint32_t begin = lsi_request_chunk_begin(r, step), end = lsi_request_chunk_end(r, step);
  struct lsi_step *s = &w->step;
  size_t used = 0;
  s->n_chunks = end - begin;
  for (uint32_t c = begin; c < end; c++) {
    int rc = prepare_chunk(w, f, step, c - begin, c, &used);
    if (rc < 0) {
      lsi_error_at(&w->error, lsi_request_name(r, r->object[c]), r->offset[c], r->length[c],
                   r->first_index + step);
      return rc;
    }
  }
  for (uint32_t i = 0; i < s->n_chunks; i++) {
    if (w->chunk_at[i] != UINT64_MAX) w->chunks[i].data = (char *)w->decoded.data + w->chunk_at[i];
    *n += w->chunks[i].n;
    *most = LSI_MAX(*most, w->chunks[i].bytes);
  }
  return 0;
}

/* Fills w->step: views, output, scratch. */
static inline int prepare_step(struct lsi_worker *w, struct lsi_flight *f, uint32_t step) {
  const struct lsi_run_config *config = &w->run->config;
  const struct lsi_request *r = w->run->request;
  struct lsi_step *s = &w->step;
  double n = 0, most = 0; /* elements of the step, bytes of its largest chunk */
  if (LSI_LIKELY(w->plain && f->n_extents == 1 && !f->damaged &&
                 !(r->length[step] & w->item_mask))) {
    const struct lsi_flight_extent *x = &f->extents[0];
    set_view(w, w->chunks, step, x->data + (r->offset[step] - x->offset), r->length[step]);
    s->n_chunks = 1;
    if (!config->spec->transform) return 0; /* or nobody looks at the rest */
    n = w->chunks[0].n;
    most = w->chunks[0].bytes;
  } else {
    int rc = prepare_chunks(w, f, step, &n, &most);
    if (rc < 0 || !config->spec->transform) return rc;
  }
  s->index = (double)(int64_t)(r->first_index + step);
  s->pos = config->sink_pos ? (double)(int64_t)config->sink_pos[step] : -1;
  s->result = LSI_RESULT_FULL;
  s->out_n = 0;
  if (config->sink || config->stream) {
    s->out_n = config->spec->has_out_max ? (double)config->spec->out_max : n;
    size_t item = lsi_type_size(config->sink_type.type);
    if (!buffer_fit(&w->out, (size_t)s->out_n * item + 64, 0))
      return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a step's output");
    s->out = w->out.data;
  }
  if (!buffer_fit(&w->scratch, (size_t)most + 64, 0))
    return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a step's scratch");
  s->scratch = w->scratch.data;
  s->scratch_bytes = most;
  return 0;
}

/* What the step yields: elements (data, count) or a record. */
struct yield {
  const void *data;
  uint64_t count;
  bool record, nothing;
  size_t length;
};

/* Identity: the chunks of the step, one after the other. */
static int gather(struct lsi_worker *w, struct yield *y) {
  struct lsi_step *s = &w->step;
  y->data = w->chunks[0].data;
  y->count = (uint64_t)w->chunks[0].n;
  if (s->n_chunks == 1) return 0;
  size_t bytes = 0, at = 0;
  for (uint32_t i = 0; i < s->n_chunks; i++) bytes += (size_t)w->chunks[i].bytes;
  if (!buffer_fit(&w->out, bytes, 0))
    return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a step's output");
  for (uint32_t i = 0; i < s->n_chunks; i++) {
    if (w->chunks[i].bytes > 0)
      memcpy((char *)w->out.data + at, w->chunks[i].data, (size_t)w->chunks[i].bytes);
    at += (size_t)w->chunks[i].bytes;
  }
  y->data = w->out.data;
  y->count = bytes / lsi_type_size(w->run->config.spec->type.type);
  return 0;
}

static int interpret(struct lsi_worker *w, uint32_t step, struct yield *y) {
  const struct lsi_run_config *config = &w->run->config;
  struct lsi_step *s = &w->step;
  *y = (struct yield){0};
  if (config->spec->identity) return gather(w, y);
  switch (s->result) {
  case LSI_RESULT_FULL:
    y->data = s->out;
    y->count = (uint64_t)s->out_n;
    y->nothing = !config->sink && !(config->stream && config->spec->has_out_max);
    return 0;
  case LSI_RESULT_COUNT:
    y->data = s->out;
    y->count = (uint64_t)s->result_n;
    if (!config->sink && !config->stream)
      return lsi_fail(&w->error, LSIO_ERR_TRANSFORM, 0,
                      "the transform returned a count but the job has no sink to write to");
    if (config->spec->has_out_max && s->result_n >= 0 && s->result_n <= s->out_n) return 0;
    return lsi_fail(&w->error, LSIO_ERR_TRANSFORM, 0,
                    "the transform returned the count %.17g; a count needs `out_max` in the job and "
                    "at most out.n = %.0f",
                    s->result_n, s->out_n);
  case LSI_RESULT_RECORD:
    y->record = true;
    y->data = s->record;
    y->length = s->record_length;
    if (config->stream) return 0;
    return lsi_fail(&w->error, LSIO_ERR_TRANSFORM, 0,
                    "the transform returned a record but the job has no stream to take it");
  case LSI_RESULT_NONE:
    y->nothing = true;
    if (config->sink && !config->sink_variable && !config->spec->has_fill)
      return lsi_fail(&w->error, LSIO_ERR_TRANSFORM, 0,
                      "step %u delivers nothing but its place in the output is fixed; give the job "
                      "`out_max` or `fill`",
                      step);
    return 0;
  default:
    return lsi_fail(&w->error, LSIO_ERR_BUG, 0, "unknown result of a transform");
  }
}

static int place_fill(struct lsi_worker *w, uint32_t step) {
  const struct lsi_run_config *config = &w->run->config;
  uint64_t pos = config->sink_pos[step], left = config->sink_pos[step + 1] - pos;
  size_t item = lsi_type_size(config->sink_type.type);
  char block[4096];
  uint64_t per_block = sizeof block / item;
  lsi_kernels()->fill[config->sink_type.type](block, per_block, config->spec->fill);
  if (config->sink_type.big) lsi_kernels()->byteswap(block, per_block, block, item);
  while (left) {
    uint64_t n = LSI_MIN(left, per_block);
    int rc = lsi_sink_place(config->sink, pos, block, n, &w->error);
    if (rc < 0) return rc;
    pos += n;
    left -= n;
  }
  return 0;
}

static int stream_out(struct lsi_worker *w, uint32_t step, const struct yield *y) {
  const struct lsi_request *r = w->run->request;
  struct lsi_run_completion *c = lsi_calloc(1, sizeof *c);
  if (!c) return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a completion");
  c->kind = LSIO_STEP;
  c->is_record = y->record;
  c->step = r->first_index + step;
  uint32_t chunk = lsi_request_chunk_begin(r, step);
  c->tag = r->tag ? r->tag[chunk] : 0;
  bool elements = !y->record && !y->nothing;
  enum lsi_type type = w->run->config.spec->identity ? w->run->config.spec->type.type
                                                     : w->run->config.sink_type.type;
  c->length = elements ? y->count * lsi_type_size(type) : y->record ? y->length : 0;
  if (c->length) {
    if (!(c->data = lsi_malloc(c->length))) {
      lsi_free(c);
      return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a completion");
    }
    memcpy(c->data, y->data, c->length);
  }
  w->bytes_delivered += c->length;
  lsi_run_complete(w->run, c);
  return 0;
}

/* Brings elements into the sink's type and byte order. A transform has written that type already;
 * what it wrote is swapped where it lies, sources are read-only. */
static int to_sink_type(struct lsi_worker *w, struct yield *y) {
  const struct lsi_run_config *config = &w->run->config;
  enum lsi_type from = config->spec->type.type, to = config->sink_type.type;
  size_t item = lsi_type_size(to);
  bool cast = config->spec->identity && from != to;
  bool swap = config->sink_type.big && item > 1;
  if (!y->count || (!cast && !swap)) return 0;
  void *dst = w->out.data;
  if (config->spec->identity) {
    if (!buffer_fit(&w->scratch, y->count * item, 0))
      return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory to convert elements");
    dst = w->scratch.data;
  }
  if (cast) {
    lsi_kernels()->cast[from][to](y->data, y->count, dst);
    y->data = dst;
  }
  if (swap) lsi_kernels()->byteswap(y->data, y->count, dst, item);
  y->data = dst;
  return 0;
}

static int deliver(struct lsi_worker *w, uint32_t step, struct yield *y) {
  const struct lsi_run_config *config = &w->run->config;
  if (config->stream) return stream_out(w, step, y);
  if (!config->sink) return 0;
  size_t item = lsi_type_size(config->sink_type.type);
  int rc = to_sink_type(w, y);
  if (rc < 0) return rc;
  if (config->sink_variable) {
    w->bytes_delivered += y->nothing ? 0 : y->count * item;
    return lsi_sink_append(config->sink, step, y->data, y->nothing ? 0 : y->count, &w->error);
  }
  if (y->nothing) return place_fill(w, step);
  uint64_t room = config->sink_pos[step + 1] - config->sink_pos[step];
  if (y->count != room)
    return lsi_fail(&w->error, LSIO_ERR_BUG, 0, "a result does not fill its place");
  w->bytes_delivered += y->count * item;
  return lsi_sink_place(config->sink, config->sink_pos[step], y->data, y->count, &w->error);
}

/* Keeps w->error as the step's. False: it ends the run. */
static __attribute__((noinline)) bool step_failed(struct lsi_worker *w, uint32_t step) {
  const struct lsi_run_config *config = &w->run->config;
  struct lsi_error own = w->error, *e = &own;
  lsi_error_clear(&w->error);
  const struct lsi_request *r = w->run->request;
  uint32_t c = lsi_request_chunk_begin(r, step);
  lsi_error_at(e, lsi_request_name(r, r->object[c]), r->offset[c], r->length[c],
               r->first_index + step);
  bool fatal = w->run->on_error == LSI_ON_ERROR_FAIL || e->code == LSIO_ERR_SOURCE ||
               e->code == LSIO_ERR_OUTPUT || e->code == LSIO_ERR_NOMEM || e->code == LSIO_ERR_BUG;
  lsi_run_step_failed(w, step, e);
  if (fatal) {
    lsi_run_fail(w->run, e);
    return false;
  }
  if (!config->sink) return true;
  int rc = config->sink_variable ? lsi_sink_append(config->sink, step, NULL, 0, &w->error)
                                 : place_fill(w, step);
  if (rc < 0) lsi_run_fail(w->run, &w->error);
  return rc >= 0;
}

/* t: NULL, or takes the times before and after the three parts. Inlined twice, so that a step that is
 * not timed does not ask at each of them. */
static inline __attribute__((always_inline)) int run_step(struct lsi_worker *w, struct lsi_flight *f,
                                                          uint32_t step, uint64_t *t) {
  const struct lsi_run_config *config = &w->run->config;
  set_phase(w, LSI_PHASE_DECODE, step);
  if (t) t[0] = lsi_os_now_ns();
  int rc = prepare_step(w, f, step);
  if (t) t[1] = t[2] = t[3] = lsi_os_now_ns();
  if (rc < 0 || !w->yields) return rc;
  if (config->spec->transform) {
    set_phase(w, LSI_PHASE_TRANSFORM, step);
    w->ran = true;
    rc = config->spec->transform->step(w->transform, &w->step, &w->error);
    if (t) t[2] = t[3] = lsi_os_now_ns();
  }
  struct yield y;
  if (rc >= 0 && (rc = interpret(w, step, &y)) < 0 && config->spec->transform &&
      config->spec->transform->undo)
    config->spec->transform->undo(w->transform);
  if (rc >= 0 && (config->sink || config->stream)) {
    set_phase(w, LSI_PHASE_PLACE, step);
    rc = deliver(w, step, &y);
  }
  if (t) t[3] = lsi_os_now_ns();
  return rc;
}

static __attribute__((noinline)) int run_timed(struct lsi_worker *w, struct lsi_flight *f,
                                               uint32_t step, unsigned weight) {
  const struct lsi_spec *spec = w->run->config.spec;
  bool decodes = spec->codec != LSI_CODEC_NONE || spec->type.big;
  uint64_t t[4];
  int rc = run_step(w, f, step, t);
  uint64_t *prepare = decodes ? &w->decode_ns : &w->transform_ns;
  *prepare += (t[1] - t[0]) * weight;
  w->transform_ns += (t[2] - t[1]) * weight;
  w->place_ns += (t[3] - t[2]) * weight;
  return rc;
}

static void add(atomic_uint_fast64_t *counter, uint64_t n) {
  /* One writer: no need for a locked instruction. */
  atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                        memory_order_relaxed);
}

static inline void count_step(struct lsi_worker *w, uint32_t step, bool done) {
  const struct lsi_request *r = w->run->request;
  struct lsi_counters *n = &w->counters;
  uint32_t chunks = 1;
  uint64_t bytes = 0;
  if (LSI_LIKELY(!r->step_first)) {
    bytes = r->length[step];
  } else {
    chunks = r->step_first[step + 1] - r->step_first[step];
    for (uint32_t i = 0; i < chunks; i++) bytes += r->length[r->step_first[step] + i];
  }
  add(&n->bytes_done, bytes);
  if (!done) return;
  add(&n->steps, 1);
  add(&n->chunks, chunks);
}

/* Bytes that a step may need in the window. */
static uint64_t result_bytes_max(const struct lsi_worker *w, uint32_t step) {
  const struct lsi_run_config *config = &w->run->config;
  const struct lsi_request *r = w->run->request;
  size_t item = lsi_type_size(config->sink_type.type);
  if (config->spec->has_out_max) return config->spec->out_max * item;
  uint64_t stored = 0;
  for (uint32_t c = lsi_request_chunk_begin(r, step); c < lsi_request_chunk_end(r, step); c++)
    stored += r->length[c];
  if (config->spec->codec == LSI_CODEC_NONE) return stored;
  stored = config->spec->decoded ? config->spec->decoded : LSI_MAX(w->decoded_max, 4 * stored);
  return stored / lsi_type_size(config->spec->type.type) * item;
}

bool lsi_steps_run(struct lsi_worker *w, struct lsi_flight *f) {
  const struct lsi_run *run = w->run;
  const struct lsi_plan *plan = run->config.plan;
  const struct lsi_request *r = run->request;
  const uint32_t end = plan->unit_step[f->unit + 1];
  for (; f->next_step < end; f->next_step++) {
    if (lsi_stopping(run)) return true;
    const uint32_t step = lsi_step_at(run, f->next_step);
    if (run->config.sink_variable &&
        !lsi_sink_may_run(run->config.sink, step, result_bytes_max(w, step)))
      return false;
    const bool large = r->length[lsi_request_chunk_begin(r, step)] >= TIME_EVERY_BYTES;
    const bool timed = large || w->sample++ % SAMPLE == 0;
    const int rc = LSI_UNLIKELY(timed) ? run_timed(w, f, step, large ? 1 : SAMPLE)
                                       : run_step(w, f, step, NULL);
    if (LSI_UNLIKELY(rc < 0) && !step_failed(w, step)) return true;
    count_step(w, step, rc >= 0);
  }
  set_phase(w, LSI_PHASE_READ, 0);
  return true;
}
