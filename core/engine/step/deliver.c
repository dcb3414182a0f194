/* What becomes of what a step yields: placed, appended or streamed. */
#include "engine/step/deliver.h"

#include <string.h>

#include "engine/step/stream.h"
#include "engine/step/write_direct.h"
#include "ground/mem.h"
#include "kernels/kernels.h"

/* Identity: the chunks of the step, one after the other. */
static int gather(struct lsi_worker *w, struct lsi_yield *y) {
  struct lsi_step *s = &w->stepper.step;
  const struct lsi_run_config *config = &w->run->config;
  y->data = w->stepper.chunks[0].data;
  y->count = (uint64_t)w->stepper.chunks[0].n;
  if (s->n_chunks == 1) return 0;
  size_t bytes = 0, at = 0;
  for (uint32_t i = 0; i < s->n_chunks; i++) bytes += (size_t)w->stepper.chunks[i].bytes;
  char *out = config->spec->type.type == config->sink_type.type ? lsi_write_place(w) : NULL;
  if (!out && !lsi_buffer_fit(&w->stepper.out, bytes, 0))
    return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a step's output");
  if (!out) out = w->stepper.out.data;
  for (uint32_t i = 0; i < s->n_chunks; i++) {
    if (w->stepper.chunks[i].bytes > 0)
      memcpy(out + at, w->stepper.chunks[i].data, (size_t)w->stepper.chunks[i].bytes);
    at += (size_t)w->stepper.chunks[i].bytes;
  }
  y->data = out;
  y->count = bytes / lsi_type_size(config->spec->type.type);
  return 0;
}

int lsi_step_interpret(struct lsi_worker *w, uint32_t step, struct lsi_yield *y) {
  const struct lsi_run_config *config = &w->run->config;
  struct lsi_step *s = &w->stepper.step;
  *y = (struct lsi_yield){0};
  if (config->spec->identity) return gather(w, y);
  switch (s->result) {
  case LSI_RESULT_FULL:
    y->data = s->out;
    y->count = (uint64_t)s->out_n;
    y->nothing = !config->sink && !(config->stream && config->spec->has_out_max);
    return 0;
  case LSI_RESULT_WHOLE:
    y->data = s->out;
    y->count = (uint64_t)s->out_n;
    y->nothing = !config->sink && !config->stream;
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
    lsi_fail(
        &w->error, LSIO_ERR_TRANSFORM, 0,
        "the transform returned a record (a table or a string) but the job has no stream to take it");
    lsi_error_remedy(&w->error, "print it, keep it in the state, or write numbers to chunk.out");
    return LSIO_ERR_TRANSFORM;
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

/* Brings elements into the sink's type and byte order. A transform has written that type already;
 * what it wrote is swapped where it lies, sources are read-only. */
static int to_sink_type(struct lsi_worker *w, uint32_t step, struct lsi_yield *y) {
  const struct lsi_run_config *config = &w->run->config;
  enum lsi_type from = config->spec->type.type, to = config->sink_type.type;
  size_t item = lsi_type_size(to);
  bool cast = config->spec->identity && from != to;
  bool swap = config->sink_type.big && item > 1;
  if (!y->count || (!cast && !swap)) return 0;
  void *dst = (void *)(uintptr_t)y->data; /* of the worker's own, unless it is a source's: */
  if (config->spec->identity)
    dst = config->in_place ? lsi_sink_at(config->sink, config->sink_pos[step]) : lsi_write_place(w);
  if (!dst) {
    if (!lsi_buffer_fit(&w->stepper.scratch, y->count * item, 0))
      return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory to convert elements");
    dst = w->stepper.scratch.data;
  }
  if (cast) {
    lsi_kernels()->cast[from][to](y->data, y->count, dst);
    y->data = dst;
  }
  if (swap) lsi_kernels()->byteswap(y->data, y->count, dst, item);
  y->data = dst;
  return 0;
}

int lsi_step_deliver(struct lsi_worker *w, uint32_t step, struct lsi_yield *y) {
  const struct lsi_run_config *config = &w->run->config;
  if (config->stream) return lsi_stream_out(w, step, y);
  if (!config->sink) return 0;
  size_t item = lsi_type_size(config->sink_type.type);
  int rc = 0;
  if (!config->sink_variable && !y->nothing) rc = lsi_step_check_room(w, step, y->count);
  if (rc >= 0) rc = to_sink_type(w, step, y);
  if (rc < 0) return rc;
  if (config->sink_variable) {
    w->figures.bytes_delivered += y->nothing ? 0 : y->count * item;
    const uint32_t number = lsi_wave_number(w->stepper.wave, step);
    return lsi_sink_append(config->sink, number, y->data, y->nothing ? 0 : y->count, &w->error);
  }
  if (y->nothing) {
    if (w->writer) lsi_write_drop(w);
    return lsi_step_fill(w, step);
  }
  w->figures.bytes_delivered += y->count * item;
  if (w->writer && w->writer->at) return lsi_write_start(w, y->data);
  return lsi_sink_place(config->sink, config->sink_pos[step], y->data, y->count, &w->error);
}
