/* A job's results: whether their sizes are known beforehand, into which file or array they go and where in
 * it, and how the caller gets an array. */
#include <stdio.h>
#include <string.h>

#include "api/forked.h"
#include "ground/mem.h"
#include "memory/array.h"

/* ---- what they will be ---- */

int lsi_job_check_output(struct lsio_job *job, struct lsi_error *err) {
  struct lsi_sink_spec *sink = &job->spec.sink;
  if (!job->array.callers && job->array.callers_bytes)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "output_length is %llu, but output is NULL",
                    (unsigned long long)job->array.callers_bytes);
  if (!job->array.callers) return 0;
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

/* Elements of the sink's shape; false if it does not say. */
static bool shape_elements(const struct lsi_sink_spec *sink, uint64_t *elements) {
  *elements = 1;
  for (uint32_t i = 0; i < sink->ndim; i++)
    if (sink->shape[i] < 0 || lsi_mul_overflow(*elements, (uint64_t)sink->shape[i], elements))
      return false;
  return sink->ndim > 0;
}

/* Compressed chunks have known places too where `decoded` and the sink's shape leave them no choice: when
 * as many chunks of just that size, but for the last, which may be shorter, are what the shape holds. */
static bool decoded_is_exact(const struct lsio_job *job) {
  const struct lsi_spec *s = &job->spec;
  const uint64_t each = s->decoded / lsi_type_size(s->type.type);
  uint64_t elements, most, chunks = 0;
  if (!s->decoded || s->has_out_max || !shape_elements(&s->sink, &elements)) return false;
  for (uint32_t c = 0; c < s->request->n_chunks; c++)
    chunks += s->request->length[c] != 0 || lsi_fault_find(s->request, c);
  return !lsi_mul_overflow(each, chunks, &most) && most >= elements && most - elements < each;
}

void lsi_job_decide_results(struct lsio_job *job) {
  const struct lsi_spec *s = &job->spec;
  const bool sink = s->sink.kind != LSI_SINK_NONE;
  job->results.type = s->sink.has_type ? s->sink.type
                                       : (struct lsi_dtype){.type = s->type.type, .big = false};
  job->results.variable =
      sink && (s->has_out_max || s->request->cut || (s->codec != LSI_CODEC_NONE && !decoded_is_exact(job)));
  job->results.in_place = s->sink.kind == LSI_SINK_MEMORY && !job->results.variable;
}

/* ---- in memory ---- */

/* Bytes that results of variable size can take at most; UINT64_MAX: nothing bounds them. */
static uint64_t most_bytes(const struct lsio_job *job) {
  const struct lsi_spec *s = &job->spec;
  const struct lsi_request *r = s->request;
  uint64_t each = s->has_out_max ? s->out_max : s->decoded / lsi_type_size(s->type.type), all;
  if ((!s->has_out_max && !s->decoded) || r->cut) return UINT64_MAX;
  if (lsi_mul_overflow(each, s->has_out_max ? r->n_steps : r->n_chunks, &all) ||
      lsi_mul_overflow(all, lsi_type_size(job->results.type.type), &all))
    return UINT64_MAX;
  return all;
}

static int wrong_size(const struct lsio_job *job, uint64_t bytes, struct lsi_error *err) {
  const uint64_t item = lsi_type_size(job->results.type.type);
  lsi_fail(err, LSIO_ERR_OUTPUT, 0,
           "the output array has %llu bytes, but the result has %llu (%llu elements of %s)",
           (unsigned long long)job->array.callers_bytes, (unsigned long long)bytes,
           (unsigned long long)(bytes / item), lsi_type_name(job->results.type.type));
  lsi_error_remedy(err, "make `output` and `output_length` fit, or leave both 0 and LSIO makes an array");
  return LSIO_ERR_OUTPUT;
}

static int use_callers(struct lsio_job *job, uint64_t bytes, struct lsi_sink_config *c,
                       struct lsi_error *err) {
  const size_t item = lsi_type_size(job->results.type.type);
  if (!job->results.variable && job->array.callers_bytes != bytes) return wrong_size(job, bytes, err);
  if ((uintptr_t)job->array.callers % item)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "the output array is not aligned to elements of %zu bytes",
                    item);
  c->memory = job->array.callers;
  c->memory_bytes = job->array.callers_bytes;
  return 0;
}

/* Puts the memory that results go into in *c. */
static int choose_memory(struct lsio_job *job, struct lsi_sink_config *c, struct lsi_error *err) {
  uint64_t bytes;
  if (job->array.refused) {
    lsi_fail(err, LSIO_ERR_SCRIPT, 0, "lsio.memory() has no use here: results in memory are for programs");
    lsi_error_remedy(err, "write sink = lsio.npy(path) or lsio.raw(path)");
    return LSIO_ERR_SCRIPT;
  }
  if (lsi_mul_overflow(c->total, lsi_type_size(job->results.type.type), &bytes)) bytes = UINT64_MAX;
  if (job->results.variable) bytes = most_bytes(job);
  c->shape = &job->array.shape;
  if (job->array.callers) return use_callers(job, bytes, c, err);
  if (bytes == UINT64_MAX) {
    lsi_fail(err, LSIO_ERR_LIMIT, 0, "how large the result will be can't be known before it is read");
    lsi_error_remedy(err, "give %sthe program an `output` array that is large enough",
                     job->spec.request->cut ? "" : "the job `decoded`, or ");
    return LSIO_ERR_LIMIT;
  }
  if (!bytes) return 0;
  if (!(job->array.own = lsi_array_create(job->context->pool, bytes))) {
    lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a result of up to %llu bytes",
             (unsigned long long)bytes);
    lsi_error_remedy(err, "read less at a time, or write to a file with lsio.npy(path)");
    return LSIO_ERR_NOMEM;
  }
  c->memory = job->array.own->data;
  c->memory_bytes = bytes;
  return 0;
}

/* ---- the sink ---- */

/* A step that runs alone leaves the whole output as it is: "out.npy" becomes "out.step84.npy". */
static int step_path(struct lsio_job *job, struct lsi_error *err) {
  char *path = job->results.path;
  if (job->settings.step == LSI_NO_STEP) return 0;
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
  const size_t n = dot && dot > name ? (size_t)(dot - path) : strlen(path), cap = strlen(path) + 32;
  job->results.path = lsi_malloc(cap);
  if (job->results.path)
    snprintf(job->results.path, cap, "%.*s.step%llu%s", (int)n, path, (unsigned long long)job->settings.step,
             path + n);
  lsi_free(path);
  return job->results.path ? 0 : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a path");
}

/* "{shard}" becomes "0003-of-0016"; a job with shards must have it. */
static int shard_path(struct lsio_job *job, struct lsi_error *err) {
  static const char mark[] = "{shard}";
  const char *path = job->spec.sink.path;
  const char *at = strstr(path, mark);
  if (!at) {
    if (job->settings.shard_count) {
      lsi_fail(err, LSIO_ERR_USAGE, 0, "with --shard, the output path '%s' must contain {shard}",
               path);
      return LSIO_ERR_USAGE;
    }
    job->results.path = lsi_strdup(path);
    return job->results.path ? 0 : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a path");
  }
  size_t cap = strlen(path) + 32;
  job->results.path = lsi_malloc(cap);
  if (!job->results.path) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a path");
  uint32_t n = job->settings.shard_count ? job->settings.shard_count : 1;
  snprintf(job->results.path, cap, "%.*s%04u-of-%04u%s", (int)(at - path), path,
           job->settings.shard_index, n, at + sizeof mark - 1);
  return 0;
}

/* Where each step's elements begin, when sizes are known before anything is read. */
static int fixed_places(struct lsio_job *job, struct lsi_error *err) {
  const struct lsi_spec *s = &job->spec;
  const struct lsi_request *r = s->request;
  const size_t size = lsi_type_size(s->type.type);
  uint64_t all = UINT64_MAX;
  if (s->codec != LSI_CODEC_NONE) shape_elements(&s->sink, &all);
  job->results.pos = lsi_reallocarray(NULL, (size_t)r->n_steps + 1, sizeof *job->results.pos);
  if (!job->results.pos) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for places in the output");
  uint64_t pos = 0;
  for (uint32_t i = 0; i < r->n_steps; i++) {
    job->results.pos[i] = pos;
    for (uint32_t c = lsi_request_chunk_begin(r, i); c < lsi_request_chunk_end(r, i); c++) {
      uint64_t bytes = r->length[c];
      if (s->codec != LSI_CODEC_NONE && (bytes || lsi_fault_find(r, c))) bytes = s->decoded;
      if (lsi_add_overflow(pos, LSI_MIN(bytes / size, all - pos), &pos))
        return lsi_fail(err, LSIO_ERR_LIMIT, 0, "the output has more than 2^64 elements");
    }
  }
  job->results.pos[r->n_steps] = pos;
  return 0;
}

int lsi_job_open_sink(struct lsio_job *job, struct lsi_error *err) {
  if (job->spec.sink.kind == LSI_SINK_NONE) return 0;
  if (job->stream)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "a streamed job can't have a sink as well");
  const bool in_memory = job->spec.sink.kind == LSI_SINK_MEMORY;
  int rc = in_memory ? 0 : shard_path(job, err);
  if (rc >= 0 && !in_memory) rc = step_path(job, err);
  if (rc >= 0 && !job->results.variable) rc = fixed_places(job, err);
  if (rc < 0) return rc;
  struct lsi_sink_config config = {
      .spec = &job->spec.sink,
      .path = job->results.path,
      .type = job->results.type,
      .n_steps = job->spec.request->cut ? UINT32_MAX : job->spec.request->n_steps,
      .variable = job->results.variable,
      .total = job->results.pos ? job->results.pos[job->spec.request->n_steps] : 0,
      .window_bytes = job->window,
      .first_index = job->spec.request->first_index,
      .direct = (enum lsi_direct)job->settings.direct};
  if (in_memory && (rc = choose_memory(job, &config, err)) < 0) return rc;
  return lsi_sink_open(&config, &job->results.sink, err);
}

uint32_t lsi_job_sink_device(const struct lsio_job *job) {
  const struct lsi_request *r = job->spec.request;
  const struct lsi_handle *h = job->results.sink ? lsi_sink_handle(job->results.sink) : NULL;
  /* Outputs are files, as those of the first store. */
  for (uint32_t i = 0; h && i < r->n_objects; i++)
    if (r->objects[i].store == 0 && r->objects[i].device == h->info.device) return r->object_device[i];
  return UINT32_MAX;
}

/* ---- after the run ---- */

void lsi_job_release_output(struct lsio_job *job) {
  void (*const release)(void *) = job->array.release;
  job->array.release = NULL;
  if (release && !(job->run && lsi_run_broke(job->run))) release(job->array.release_user);
}

static int describe(const struct lsio_job *job, struct lsio_array *out) {
  if (lsi_is_parents(job->context)) return LSIO_ERR_FORKED;
  if (!job->ended) return LSIO_ERR_BUSY;
  if (!out || out->struct_size < sizeof *out) return LSIO_ERR_USAGE;
  if (job->status) return job->status; /* it may never have known where its results were to go */
  if (job->spec.sink.kind != LSI_SINK_MEMORY || job->array.taken) return LSIO_ERR_USAGE;
  struct lsio_array a = {.struct_size = out->struct_size,
                         .data = job->array.own ? job->array.own->data : job->array.callers,
                         .bytes = (size_t)job->summary.bytes_written,
                         .type = lsi_type_name(job->results.type.type),
                         .ndim = job->array.shape.ndim};
  memcpy(a.shape, job->array.shape.size, job->array.shape.ndim * sizeof *a.shape);
  *out = a;
  return 0;
}

int lsio_job_output(const lsio_job *job, struct lsio_array *out) { return describe(job, out); }

int lsio_job_take_output(lsio_job *job, struct lsio_array *out) {
  int rc = describe(job, out);
  if (rc < 0) return rc;
  out->owner = job->array.own;
  job->array.own = NULL;
  job->array.taken = true;
  return 0;
}

void lsio_array_free(struct lsio_array *array) {
  if (!array) return;
  lsi_array_free(array->owner);
  array->owner = NULL;
  array->data = NULL;
  array->bytes = 0;
}
