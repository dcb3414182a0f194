/* Where a step's result is made: in its place, where it is written from, or in a buffer; whole or part by
 * part. */
#include "engine/step/result.h"

#include "engine/step/stream.h"
#include "engine/step/write_direct.h"
#include "ground/mem.h"
#include "kernels/kernels.h"

/* Known places hold just what is planned for them; compressed chunks may hold something else. */
int lsi_step_check_room(struct lsi_worker *w, uint32_t step, uint64_t count) {
  const struct lsi_run_config *config = &w->run->config;
  const uint64_t room = config->sink_pos[step + 1] - config->sink_pos[step];
  if (LSI_LIKELY(count == room)) return 0;
  if (config->spec->codec == LSI_CODEC_NONE)
    return lsi_fail(&w->error, LSIO_ERR_BUG, 0, "a result does not fill its place");
  lsi_fail(
      &w->error, LSIO_ERR_CORRUPT, 0,
      "a chunk decodes to %llu elements, but `decoded` and the sink's shape leave it a place of %llu",
      (unsigned long long)count, (unsigned long long)room);
  lsi_error_remedy(&w->error, "where sizes differ, write -1 for one size of the sink's shape");
  return w->error.code;
}

int lsi_step_out(struct lsi_worker *w, uint32_t step, double n) {
  const struct lsi_run_config *config = &w->run->config;
  struct lsi_step *s = &w->stepper.step;
  s->out_n = config->spec->has_out_max ? (double)config->spec->out_max : n;
  if (config->sink && !config->sink_variable) {
    int rc = lsi_step_check_room(w, step, (uint64_t)n);
    if (rc < 0) return rc;
  }
  /* Made where it belongs, or where it is written from. */
  s->out = config->in_place ? lsi_sink_at(config->sink, config->sink_pos[step]) : lsi_write_place(w);
  if (s->out || config->in_place) return 0;
  size_t item = lsi_type_size(config->sink_type.type);
  if (config->stream) s->out = lsi_stream_place(w, (uint64_t)s->out_n * item, !config->spec->has_out_max);
  if (s->out) return 0;
  if (!lsi_buffer_fit(&w->stepper.out, (size_t)s->out_n * item + 64, 0))
    return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a step's output");
  s->out = w->stepper.out.data;
  return 0;
}

#define FILL_BYTES (256u << 10) /* that are written at once, where there are so many */

static int fill(struct lsi_worker *w, uint64_t pos, uint64_t left) {
  const struct lsi_run_config *config = &w->run->config;
  const size_t item = lsi_type_size(config->sink_type.type);
  char small[4096];
  char *large = left > sizeof small / item ? lsi_malloc(FILL_BYTES) : NULL, *block = large ? large : small;
  const uint64_t per_block = (large ? FILL_BYTES : sizeof small) / item;
  lsi_kernels()->fill[config->sink_type.type](block, LSI_MIN(left, per_block), config->spec->fill);
  if (config->sink_type.big) lsi_kernels()->byteswap(block, LSI_MIN(left, per_block), block, item);
  int rc = 0;
  while (left && rc >= 0) {
    const uint64_t n = LSI_MIN(left, per_block);
    rc = lsi_sink_place(config->sink, pos, block, n, &w->error);
    pos += n;
    left -= n;
  }
  lsi_free(large);
  return rc;
}

static int fill_steps(struct lsi_worker *w, uint32_t from, uint32_t to) {
  const uint64_t *pos = w->run->config.sink_pos;
  return fill(w, pos[from], pos[to] - pos[from]);
}

int lsi_step_fill(struct lsi_worker *w, uint32_t step) { return fill_steps(w, step, step + 1); }

int64_t lsi_run_fill_left(struct lsi_run *run, struct lsi_error *err) {
  const struct lsi_run_config *c = &run->config;
  struct lsi_worker *w = &run->workers[0]; /* for its error: it has ended */
  int rc = 0;
  lsi_error_clear(&w->error);
  uint32_t from = 0, to;
  for (; c->sink && rc >= 0 && (from = lsi_left_next(run, from)) != UINT32_MAX; from = to) {
    to = from + 1;
    while (!c->sink_variable && lsi_left_next(run, to) == to) to++;
    rc = c->sink_variable ? lsi_sink_append(c->sink, from, NULL, 0, &w->error) : fill_steps(w, from, to);
  }
  if (rc >= 0) return run->left.n_steps;
  if (err && !err->code) *err = w->error;
  return rc;
}

/* Where all of a result is made ready; NULL where it goes to its place part by part. */
static char *whole_out(const struct lsi_worker *w, uint32_t step) {
  const struct lsi_run_config *config = &w->run->config;
  return config->in_place ? lsi_sink_at(config->sink, config->sink_pos[step]) : lsi_write_place(w);
}

void *lsi_step_part_out(struct lsi_worker *w, uint32_t step, uint64_t first, uint64_t n) {
  const size_t item = lsi_type_size(w->run->config.sink_type.type);
  char *all = whole_out(w, step);
  if (all) return all + first * item;
  return lsi_buffer_fit(&w->stepper.out, n * item + 64, 0) ? w->stepper.out.data : NULL;
}

int lsi_step_part_place(struct lsi_worker *w, uint32_t step, uint64_t first, uint64_t n,
                        const struct lsi_yield *y) {
  const struct lsi_run_config *config = &w->run->config;
  const uint64_t pos = config->sink_pos[step] + first, item = lsi_type_size(config->sink_type.type);
  char *all = whole_out(w, step);
  w->figures.bytes_delivered += y->nothing ? 0 : n * item;
  if (!all) return y->nothing ? fill(w, pos, n)
                              : lsi_sink_place(config->sink, pos, y->data, n, &w->error);
  if (y->nothing)
    lsi_kernels()->fill[config->sink_type.type](all + first * item, n, config->spec->fill);
  return config->in_place ? lsi_sink_place(config->sink, pos, all + first * item, n, &w->error) : 0;
}

void lsi_step_parts_undo(struct lsi_worker *w, uint64_t n) {
  const struct lsi_run_config *config = &w->run->config;
  const bool placed = config->sink && !config->sink_variable && !lsi_write_place(w);
  if (placed) lsi_sink_uncount(config->sink, n);
}

int lsi_step_parts_end(struct lsi_worker *w) {
  return w->writer && w->writer->at ? lsi_write_start(w, lsi_write_place(w)) : 0;
}
