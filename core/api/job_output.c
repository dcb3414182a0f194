/* Results in memory: whose array they go into, how large it must be, and how the caller gets it. */
#include <string.h>

#include "api/context.h"
#include "memory/array.h"

/* ---- before the run ---- */

int lsi_job_check_output(struct lsio_job *job, struct lsi_error *err) {
  struct lsi_sink_spec *sink = &job->spec.sink;
  if (!job->output && job->output_length)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "output_length is %llu, but output is NULL",
                    (unsigned long long)job->output_length);
  if (!job->output) return 0;
  if (job->stream)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "a streamed job can't have an output array as well");
  if (sink->kind == LSI_SINK_NONE) sink->kind = LSI_SINK_MEMORY;
  if (sink->kind != LSI_SINK_MEMORY) {
    lsi_fail(err, LSIO_ERR_USAGE, 0, "the job has an output array, but its script writes to '%s'",
             sink->path);
    lsi_error_remedy(err, "write sink = lsio.memory() in the script, or leave `output` NULL");
    return LSIO_ERR_USAGE;
  }
  return 0;
}

/* Bytes that results of variable size can take at most; UINT64_MAX: nothing bounds them. */
static uint64_t most_bytes(const struct lsio_job *job) {
  const struct lsi_spec *s = &job->spec;
  const struct lsi_request *r = s->request;
  uint64_t each = s->has_out_max ? s->out_max : s->decoded / lsi_type_size(s->type.type), all;
  if (!s->has_out_max && !s->decoded) return UINT64_MAX;
  if (lsi_mul_overflow(each, s->has_out_max ? r->n_steps : r->n_chunks, &all) ||
      lsi_mul_overflow(all, lsi_type_size(job->sink_type.type), &all))
    return UINT64_MAX;
  return all;
}

static int wrong_size(const struct lsio_job *job, uint64_t bytes, struct lsi_error *err) {
  const uint64_t item = lsi_type_size(job->sink_type.type);
  lsi_fail(err, LSIO_ERR_OUTPUT, 0,
           "the output array has %llu bytes, but the result has %llu (%llu elements of %s)",
           (unsigned long long)job->output_length, (unsigned long long)bytes,
           (unsigned long long)(bytes / item), lsi_type_name(job->sink_type.type));
  lsi_error_remedy(err, "make `output` and `output_length` fit, or leave both 0 and LSIO makes an array");
  return LSIO_ERR_OUTPUT;
}

static int use_callers(struct lsio_job *job, uint64_t bytes, struct lsi_sink_config *c,
                       struct lsi_error *err) {
  const size_t item = lsi_type_size(job->sink_type.type);
  if (!job->sink_variable && job->output_length != bytes) return wrong_size(job, bytes, err);
  if ((uintptr_t)job->output % item)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "the output array is not aligned to elements of %zu bytes",
                    item);
  c->memory = job->output;
  c->memory_bytes = job->output_length;
  return 0;
}

int lsi_job_memory(struct lsio_job *job, struct lsi_sink_config *c, struct lsi_error *err) {
  uint64_t bytes;
  if (job->no_memory_sink) {
    lsi_fail(err, LSIO_ERR_SCRIPT, 0, "lsio.memory() has no use here: results in memory are for programs");
    lsi_error_remedy(err, "write sink = lsio.npy(path) or lsio.raw(path)");
    return LSIO_ERR_SCRIPT;
  }
  if (lsi_mul_overflow(c->total, lsi_type_size(job->sink_type.type), &bytes)) bytes = UINT64_MAX;
  if (job->sink_variable) bytes = most_bytes(job);
  c->shape = &job->shape;
  if (job->output) return use_callers(job, bytes, c, err);
  if (bytes == UINT64_MAX) {
    lsi_fail(err, LSIO_ERR_LIMIT, 0, "how large the result will be can't be known before it is read");
    lsi_error_remedy(err, "give the job `decoded`, or the program an `output` array that is large enough");
    return LSIO_ERR_LIMIT;
  }
  if (!bytes) return 0;
  if (!(job->array = lsi_array_create(job->context->pool, bytes))) {
    lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a result of up to %llu bytes",
             (unsigned long long)bytes);
    lsi_error_remedy(err, "read less at a time, or write to a file with lsio.npy(path)");
    return LSIO_ERR_NOMEM;
  }
  c->memory = job->array->data;
  c->memory_bytes = bytes;
  return 0;
}

/* ---- after it ---- */

static int describe(const struct lsio_job *job, struct lsio_array *out) {
  if (!job->ended) return LSIO_ERR_BUSY;
  if (job->spec.sink.kind != LSI_SINK_MEMORY || job->taken) return LSIO_ERR_USAGE;
  if (!out || out->struct_size < sizeof *out) return LSIO_ERR_USAGE;
  if (job->status) return job->status;
  struct lsio_array a = {.struct_size = out->struct_size,
                         .data = job->array ? job->array->data : job->output,
                         .bytes = (size_t)job->summary.bytes_written,
                         .type = lsi_type_name(job->sink_type.type),
                         .ndim = job->shape.ndim};
  memcpy(a.shape, job->shape.size, job->shape.ndim * sizeof *a.shape);
  *out = a;
  return 0;
}

int lsio_job_output(const lsio_job *job, struct lsio_array *out) { return describe(job, out); }

int lsio_job_take_output(lsio_job *job, struct lsio_array *out) {
  int rc = describe(job, out);
  if (rc < 0) return rc;
  out->owner = job->array;
  job->array = NULL;
  job->taken = true;
  return 0;
}

void lsio_array_free(struct lsio_array *array) {
  if (!array) return;
  lsi_array_free(array->owner);
  array->owner = NULL;
  array->data = NULL;
  array->bytes = 0;
}
