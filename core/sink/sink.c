/* Sinks from open to publish. Of a file: opens a temporary file, places elements (sink_write.c), and
 * gives it its name once all is well. Results of variable size go through sink_window.c. */
#include "sink/sink.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ground/mem.h"
#include "lists/npy.h"
#include "sink/sink_impl.h"

#define NPY_HEADER 4096u /* room for 32 dimensions; data starts on a page so that it can be direct */

/* ---- shape ---- */

static const char *shape_text(const struct lsi_sink_spec *spec, char *buf, size_t cap) {
  size_t used = 0;
  for (uint32_t i = 0; i < spec->ndim && used < cap; i++) {
    int n = snprintf(buf + used, cap - used, "%s%lld", i ? ", " : "", (long long)spec->shape[i]);
    if (n > 0) used += (size_t)n;
  }
  return buf;
}

static bool has_free_axis(const struct lsi_sink_spec *spec) {
  for (uint32_t i = 0; i < spec->ndim; i++)
    if (spec->shape[i] == -1) return true;
  return false;
}

/* Puts the number of elements where the shape says -1. `out` has 32 places. `code` is what a shape
 * that does not fit is: a mistake of the script before the run, an output error after it. A part of the
 * result has its rows, or one dimension. */
static int resolve_shape(const struct lsi_sink_spec *spec, uint64_t total, int code, int64_t *out,
                         uint32_t *ndim, struct lsi_error *err) {
  char text[800] = "";
  if (!spec->ndim) {
    out[0] = (int64_t)total;
    *ndim = 1;
    return 0;
  }
  uint64_t product = 1;
  int free_axis = -1;
  const bool frees_first = spec->part && !has_free_axis(spec);
  for (uint32_t i = 0; i < spec->ndim; i++) {
    out[i] = frees_first && !i ? -1 : spec->shape[i];
    if (out[i] == -1 && free_axis < 0) {
      free_axis = (int)i;
    } else if (out[i] < 0 || lsi_mul_overflow(product, (uint64_t)out[i], &product)) {
      return lsi_fail(err, LSIO_ERR_USAGE, 0,
                      "the sink's shape {%s} is not valid: sizes are 0 or more, one may be -1",
                      shape_text(spec, text, sizeof text));
    }
  }
  *ndim = spec->ndim;
  if (free_axis >= 0 && product && total % product == 0) {
    out[free_axis] = (int64_t)(total / product);
    return 0;
  }
  if (free_axis < 0 && product == total) return 0;
  if (spec->part) {
    out[0] = (int64_t)total;
    *ndim = 1;
    return 0;
  }
  lsi_fail(err, code, 0, "the sink's shape {%s} does not hold %llu elements",
           shape_text(spec, text, sizeof text), (unsigned long long)total);
  if (free_axis >= 0)
    lsi_error_remedy(err, "the count must be a multiple of %llu", (unsigned long long)product);
  else
    lsi_error_remedy(err, "that shape holds %llu; one size may be -1, which stands for the rest",
                     (unsigned long long)product);
  return code;
}

/* A shape that can never be right, found before anything has been read. */
static int check_shape(const struct lsi_sink *s, struct lsi_error *err) {
  int64_t shape[32];
  uint32_t ndim;
  if (s->spec->ndim > LSI_COUNTOF(shape))
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "the sink's shape has %u dimensions, more than 32",
                    s->spec->ndim);
  if (!s->variable)
    return resolve_shape(s->spec, s->total, LSIO_ERR_USAGE, shape, &ndim, err);
  /* The count is not known yet: 0 elements fit every valid shape with a free axis. */
  struct lsi_error e;
  lsi_error_clear(&e);
  int rc = resolve_shape(s->spec, 0, LSIO_ERR_OUTPUT, shape, &ndim, &e);
  if (rc != LSIO_ERR_USAGE) return 0;
  return lsi_fail(err, rc, 0, "%s", e.what);
}

/* ---- paths ---- */

static char *join(const char *a, const char *b) {
  const size_t n = strlen(a), m = strlen(b);
  char *text = lsi_malloc(n + m + 1);
  if (!text) return NULL;
  memcpy(text, a, n);
  memcpy(text + n, b, m + 1);
  return text;
}

/* ---- open, close ---- */

static void sink_free(struct lsi_sink *s) {
  lsi_window_destroy(s->window);
  lsi_free(s->blocks);
  if (s->file) lsi_os_file_discard(s->file);
  if (s->index) lsi_os_file_discard(s->index);
  lsi_free(s->path);
  lsi_free(s->index_path);
  lsi_free(s);
}

static int sink_create_files(struct lsi_sink *s, const struct lsi_sink_config *c,
                             struct lsi_error *err) {
  if (!s->path[0]) return lsi_fail(err, LSIO_ERR_USAGE, 0, "the sink's path is empty");
  int rc = lsi_os_temp_create(s->path, s->spec->replace, &s->file, err);
  if (!rc && s->index_path) rc = lsi_os_temp_create(s->index_path, s->spec->replace, &s->index, err);
  if (!rc && s->variable) rc = lsi_window_create(s, c->window_bytes, &s->window, err);
  if (!rc && !s->variable) rc = lsi_os_file_direct(s->file, c->direct, &s->handle, err);
  uint64_t bytes = s->header;
  if (!rc && !s->variable) {
    if (lsi_mul_overflow(s->total, s->item, &bytes) ||
        lsi_add_overflow(bytes, s->header, &bytes) || bytes > INT64_MAX)
      rc = lsi_fail(err, LSIO_ERR_OUTPUT, EFBIG, "the output would have %llu elements",
                    (unsigned long long)s->total);
    else
      rc = lsi_os_file_reserve(s->file, bytes, err);
  }
  if (rc) lsi_error_at(err, s->path, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return rc;
}

static int sink_prepare(struct lsi_sink *s, const struct lsi_sink_config *c,
                        struct lsi_error *err) {
  if (s->type.big) {
    int rc = lsi_fail(err, LSIO_ERR_USAGE, 0, "a sink cannot write big-endian %s",
                      lsi_type_name((enum lsi_type)s->type.type));
    lsi_error_remedy(err, "write type = \"%s\"", lsi_type_name((enum lsi_type)s->type.type));
    return rc;
  }
  int rc = check_shape(s, err);
  if (!rc && s->spec->kind == LSI_SINK_MEMORY) {
    rc = lsi_sink_memory_open(s, err);
    return rc || !s->variable ? rc : lsi_window_create(s, c->window_bytes, &s->window, err);
  }
  return rc ? rc : sink_create_files(s, c, err);
}

int lsi_sink_open(const struct lsi_sink_config *config, struct lsi_sink **out,
                  struct lsi_error *err) {
  *out = NULL;
  const bool in_file = config->spec->kind == LSI_SINK_NPY || config->spec->kind == LSI_SINK_RAW;
  if (!in_file && config->spec->kind != LSI_SINK_MEMORY)
    return lsi_fail(err, LSIO_ERR_BUG, 0, "a sink of kind %u", config->spec->kind);
  struct lsi_sink *s = lsi_calloc(1, sizeof *s);
  if (!s) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the sink");
  s->spec = config->spec;
  s->type = config->type;
  s->item = lsi_type_size((enum lsi_type)config->type.type);
  s->header = config->spec->kind == LSI_SINK_NPY ? NPY_HEADER : 0;
  s->total = config->total;
  s->first_index = config->first_index;
  s->n_steps = config->n_steps;
  s->variable = config->variable;
  s->memory = config->memory;
  s->memory_bytes = config->memory_bytes;
  s->shape = config->shape;
  s->path = in_file ? lsi_strdup(config->path) : NULL;
  const bool indexed = in_file && config->variable && config->spec->as_completed;
  if (indexed) s->index_path = join(config->path, ".index.npy");
  int rc = (s->path || !in_file) && (!indexed || s->index_path)
               ? sink_prepare(s, config, err)
               : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the output's path");
  if (rc) {
    sink_free(s);
    return rc;
  }
  *out = s;
  return 0;
}

void lsi_sink_discard(struct lsi_sink *s) {
  if (s) sink_free(s);
}

/* ---- results ---- */

int lsi_sink_place(struct lsi_sink *s, uint64_t pos, const void *data, uint64_t count,
                   struct lsi_error *err) {
  uint64_t end;
  if (s->variable || lsi_add_overflow(pos, count, &end) || end > s->total)
    return lsi_fail(err, LSIO_ERR_BUG, 0, "%llu elements placed at %llu of %llu",
                    (unsigned long long)count, (unsigned long long)pos,
                    (unsigned long long)s->total);
  if (!count) return 0;
  return lsi_sink_write(s, data, count * s->item, s->header + pos * s->item, err);
}

void lsi_sink_uncount(struct lsi_sink *s, uint64_t count) {
  atomic_fetch_sub_explicit(&s->written, count * s->item, memory_order_relaxed);
}

bool lsi_sink_may_run(struct lsi_sink *s, uint32_t step, uint64_t bytes_max) {
  return !s->window || lsi_window_may_run(s->window, step, bytes_max);
}

int lsi_sink_append(struct lsi_sink *s, uint32_t step, const void *data, uint64_t count,
                    struct lsi_error *err) {
  if (!s->window) return lsi_fail(err, LSIO_ERR_BUG, 0, "append to a sink of fixed size");
  return lsi_window_append(s->window, step, data, count, err);
}

/* Gathered results count although they reach the file only when it is published. */
void lsi_sink_set_steps(struct lsi_sink *s, uint32_t n_steps) { s->n_steps = n_steps; }

uint64_t lsi_sink_bytes_written(const struct lsi_sink *s) {
  return s->window ? lsi_window_elements(s->window) * s->item : atomic_load(&s->written);
}
uint64_t lsi_sink_window_peak(const struct lsi_sink *s) {
  return s->window ? lsi_window_peak(s->window) : 0;
}

/* ---- publish ---- */

static int write_npy_header(struct lsi_os_file *file, struct lsi_dtype type, uint32_t ndim,
                            const int64_t *shape, struct lsi_error *err) {
  char *header = lsi_malloc(NPY_HEADER);
  if (!header) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the npy header");
  size_t length = lsi_npy_write_header(header, NPY_HEADER, type, ndim, shape);
  int rc = length == NPY_HEADER
               ? lsi_os_file_write(file, header, length, 0, err)
               : lsi_fail(err, LSIO_ERR_BUG, 0, "an npy header of %zu bytes", length);
  lsi_free(header);
  return rc;
}

/* Everything but the name. */
static int finish_files(struct lsi_sink *s, struct lsi_error *err) {
  int64_t shape[32] = {0};
  uint32_t ndim = 0;
  int rc = s->window ? lsi_window_flush(s->window, err) : 0;
  if (rc) return rc;
  const uint64_t total = s->window ? lsi_window_elements(s->window) : s->total;
  rc = resolve_shape(s->spec, total, LSIO_ERR_OUTPUT, shape, &ndim, err);
  if (!rc && s->shape) {
    s->shape->ndim = ndim;
    memcpy(s->shape->size, shape, sizeof shape);
  }
  if (rc || !s->file) return rc;
  if (s->header) rc = write_npy_header(s->file, s->type, ndim, shape, err);
  if (!rc) rc = lsi_os_file_truncate(s->file, s->header + total * s->item, err);
  if (!rc && s->index) {
    const int64_t rows[2] = {(int64_t)lsi_window_rows(s->window), 3};
    rc = write_npy_header(s->index, (struct lsi_dtype){.type = LSI_I64}, 2, rows, err);
  }
  if (rc || s->spec->durability == LSI_DURABLE_NONE) return rc;
  if (atomic_load(&s->sync_failed))
    return lsi_fail(err, LSIO_ERR_OUTPUT, EIO, "the output could not be made durable");
  rc = lsi_os_file_sync(s->file, err);
  return rc || !s->index ? rc : lsi_os_file_sync(s->index, err);
}

int lsi_sink_publish(struct lsi_sink *s, struct lsi_error *err) {
  int rc = finish_files(s, err);
  if (!rc && s->file) {
    struct lsi_os_file *files[2];
    unsigned n = 0;
    if (s->index) files[n++] = s->index;
    files[n++] = s->file;
    s->index = s->file = NULL; /* publish frees them whatever happens */
    rc = lsi_os_files_publish(files, n, s->spec->durability != LSI_DURABLE_NONE, err);
  }
  if (rc && s->path) lsi_error_at(err, s->path, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  sink_free(s);
  return rc;
}
