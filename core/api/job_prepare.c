/* From a script's spec to everything that a run needs: steps selected, backend chosen, devices
 * modelled, plan built, memory priced, sink opened. */
#include <stdio.h>
#include <string.h>

#include "api/context.h"
#include "ground/mem.h"
#include "job/price.h"
#include "seams/os.h"

#define MEMORY_DEFAULT (1ull << 30)
#define DEVICES_MAX UINT16_MAX

static uint64_t default_ceiling(void) {
  uint64_t available = LSI_MIN(lsi_os_memory_available(), lsi_os_memory_cgroup_limit());
  return LSI_MIN(MEMORY_DEFAULT, available / 4);
}

/* ---- backend ---- */

static int choose_backend(struct lsio_job *job, struct lsi_error *err) {
  const char *wanted = job->settings.backend;
  if (strcmp(wanted, "auto") != 0 && wanted[0]) {
    job->backend = lsi_backend_find(wanted);
    if (!job->backend || job->backend->caps & LSI_CAP_TEST)
      return lsi_fail(err, LSIO_ERR_USAGE, 0, "there is no backend '%s'", wanted);
    if (job->backend->caps & LSI_CAP_MAPS && !job->context->maps) {
      lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "mapped reading needs a handler of SIGBUS, which this "
                                             "program has not allowed");
      lsi_error_remedy(err, "make the context with LSIO_CONTEXT_SIGBUS, or leave the backend at auto");
      return LSIO_ERR_UNSUPPORTED;
    }
    return job->backend->probe(err);
  }
  for (size_t i = 0; lsi_backends[i]; i++) {
    const struct lsi_backend_ops *b = lsi_backends[i];
    if (!(b->caps & LSI_CAP_OS_FILES) || b->caps & (LSI_CAP_TEST | LSI_CAP_MAPS)) continue;
    if (job->backend) {
      job->fallback = b;
      return 0;
    }
    struct lsi_error ignored;
    lsi_error_clear(&ignored);
    if (b->probe(&ignored) == 0) job->backend = b;
  }
  if (job->backend) return 0;
  return lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "no backend works on this system (lsio-lua --doctor)");
}

/* ---- devices ---- */

struct devices {
  struct lsi_device_model *models;
  uint64_t *ids;
  uint32_t n, cap;
};

static int find_device(struct devices *d, uint64_t id, const char *name, uint16_t *index,
                       struct lsi_error *err) {
  for (uint32_t i = d->n; i > 0; i--)
    if (d->ids[i - 1] == id) return *index = (uint16_t)(i - 1), 0;
  if (d->n == DEVICES_MAX)
    return lsi_fail(err, LSIO_ERR_LIMIT, 0, "a job may read from at most %u devices", DEVICES_MAX);
  if (d->n == d->cap) {
    uint32_t cap = d->cap ? d->cap * 2 : 4;
    void *models = lsi_reallocarray(d->models, cap, sizeof *d->models);
    if (models) d->models = models;
    void *ids = lsi_reallocarray(d->ids, cap, sizeof *d->ids);
    if (ids) d->ids = ids;
    if (!models || !ids) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for device models");
    d->cap = cap;
  }
  lsi_os_device_model(id, name, &d->models[d->n]);
  d->ids[d->n] = id;
  *index = (uint16_t)d->n++;
  return 0;
}

static int model_devices(struct lsi_request *r, struct devices *d, struct lsi_error *err) {
  lsi_free(r->object_device);
  r->object_device = lsi_calloc(r->n_objects, sizeof *r->object_device);
  if (!r->object_device) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for device numbers");
  for (uint32_t i = 0; i < r->n_objects; i++) {
    if (i && r->objects[i].device == r->objects[i - 1].device) {
      r->object_device[i] = r->object_device[i - 1];
      continue;
    }
    int rc = find_device(d, r->objects[i].device, lsi_request_name(r, i), &r->object_device[i], err);
    if (rc < 0) return rc;
  }
  return 0;
}

static int build_plan(struct lsio_job *job, struct lsi_error *err) {
  struct devices d = {0};
  int rc = model_devices(job->spec.request, &d, err);
  if (rc >= 0) {
    struct lsi_plan_options options = {
        .merge = job->settings.merge,
        /* Results that find their place only in order are read in order. */
        .in_request_order = job->sink_variable && !job->spec.sink.any_order,
        /* A file may be written from where the chunks were read. */
        .large_apart = job->spec.identity && job->spec.sink.kind != LSI_SINK_NONE &&
                       job->spec.sink.kind != LSI_SINK_MEMORY,
        .n_devices = d.n,
        .devices = d.models};
    rc = lsi_plan_build(job->spec.request, &options, &job->plan, err);
  }
  lsi_free(d.models);
  lsi_free(d.ids);
  return rc;
}

/* ---- memory ---- */

static uint64_t times(uint64_t a, uint64_t b) {
  uint64_t product;
  return lsi_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* What the largest step needs when its chunks decode to `decoded` bytes. */
static struct lsi_price_request need_of(const struct lsio_job *job, uint64_t decoded) {
  const struct lsi_spec *s = &job->spec;
  struct lsi_price_request need = {
      .workers = job->settings.workers ? job->settings.workers : lsi_os_cpu_count(),
      .ceiling = job->ceiling - job->window};
  const bool sink = s->sink.kind != LSI_SINK_NONE && !job->in_place;
  lsi_price_step(s, decoded, job->sink_type, sink, job->stream, &need);
  return need;
}

static int price(struct lsio_job *job, struct lsi_error *err) {
  const struct lsi_spec *s = &job->spec;
  const struct lsi_plan *plan = job->plan;
  uint64_t ceiling = job->settings.memory ? job->settings.memory : default_ceiling();
  job->ceiling = ceiling;
  /* Results that wait for their turn live beside the workers' shares. */
  job->window = job->sink_variable ? ceiling / 4 : 0;
  struct lsi_price_request want = need_of(job, s->decoded ? s->decoded : plan->step_bytes_max);
  struct lsi_price p;
  int rc = lsi_price(plan, job->spec.request, &want, &p, err);
  if (rc < 0) return rc;
  if (s->codec != LSI_CODEC_NONE && !s->decoded) {
    /* How much it decodes to is known too late to run fewer workers: leave them room for the usual. */
    struct lsi_price_request usual = need_of(job, times(plan->step_bytes_max, LSI_USUAL_RATIO));
    struct lsi_error ignored;
    lsi_error_clear(&ignored);
    if (lsi_price(plan, job->spec.request, &usual, &p, &ignored) < 0) p.workers = 1;
  }
  job->workers = LSI_MAX(1u, LSI_MIN(p.workers, plan->n_units));
  job->workers_wanted = p.workers < want.workers ? want.workers : job->workers;
  job->share = want.ceiling / job->workers;
  return 0;
}

/* ---- steps and results ---- */

static int select_steps(struct lsio_job *job, struct lsi_error *err) {
  const struct lsi_settings *s = &job->settings;
  if (!s->shard_count && !s->limit) return 0;
  return lsi_request_select(job->spec.request, s->shard_index, s->shard_count ? s->shard_count : 1,
                            s->limit, err);
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
  for (uint32_t c = 0; c < s->request->n_chunks; c++) chunks += s->request->length[c] != 0;
  return !lsi_mul_overflow(each, chunks, &most) && most >= elements && most - elements < each;
}

static void decide_results(struct lsio_job *job) {
  const struct lsi_spec *s = &job->spec;
  const bool sink = s->sink.kind != LSI_SINK_NONE;
  job->sink_type = s->sink.has_type ? s->sink.type
                                    : (struct lsi_dtype){.type = s->type.type, .big = false};
  job->sink_variable =
      sink && (s->has_out_max || (s->codec != LSI_CODEC_NONE && !decoded_is_exact(job)));
  job->in_place = s->sink.kind == LSI_SINK_MEMORY && !job->sink_variable;
}

int lsi_job_prepare(struct lsio_job *job, struct lsi_error *err) {
  struct lsi_spec *spec = &job->spec;
  if (spec->on_error == LSI_ON_ERROR_SKIP) {
    int rc = lsi_settings_set(&job->settings, "on-error", "skip", LSI_FROM_SCRIPT, err);
    if (rc < 0) return rc;
  }
  spec->on_error = job->settings.on_error;
  int rc = lsi_job_check_output(job, err);
  if (rc >= 0) rc = select_steps(job, err);
  if (rc < 0) return rc;
  decide_results(job);
  if (spec->on_error == LSI_ON_ERROR_SKIP && spec->sink.kind != LSI_SINK_NONE &&
      !job->sink_variable && !spec->has_fill) {
    lsi_fail(err, LSIO_ERR_SCRIPT, 0, "on_error = \"skip\" with a sink of fixed places needs `fill`");
    lsi_error_remedy(err, "add `fill = 0` (or another value) to the job: it stands for skipped steps");
    return LSIO_ERR_SCRIPT;
  }
  rc = choose_backend(job, err);
  if (rc >= 0) rc = build_plan(job, err);
  if (rc >= 0) rc = price(job, err);
  return rc;
}

/* ---- sink ---- */

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
    job->sink_path = lsi_strdup(path);
    return job->sink_path ? 0 : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a path");
  }
  size_t cap = strlen(path) + 32;
  job->sink_path = lsi_malloc(cap);
  if (!job->sink_path) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a path");
  uint32_t n = job->settings.shard_count ? job->settings.shard_count : 1;
  snprintf(job->sink_path, cap, "%.*s%04u-of-%04u%s", (int)(at - path), path,
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
  job->sink_pos = lsi_reallocarray(NULL, (size_t)r->n_steps + 1, sizeof *job->sink_pos);
  if (!job->sink_pos) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for places in the output");
  uint64_t pos = 0;
  for (uint32_t i = 0; i < r->n_steps; i++) {
    job->sink_pos[i] = pos;
    for (uint32_t c = lsi_request_chunk_begin(r, i); c < lsi_request_chunk_end(r, i); c++) {
      uint64_t bytes = r->length[c];
      if (s->codec != LSI_CODEC_NONE && bytes) bytes = s->decoded;
      if (lsi_add_overflow(pos, LSI_MIN(bytes / size, all - pos), &pos))
        return lsi_fail(err, LSIO_ERR_LIMIT, 0, "the output has more than 2^64 elements");
    }
  }
  job->sink_pos[r->n_steps] = pos;
  return 0;
}

int lsi_job_open_sink(struct lsio_job *job, struct lsi_error *err) {
  if (job->spec.sink.kind == LSI_SINK_NONE) return 0;
  if (job->stream)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "a streamed job can't have a sink as well");
  const bool in_memory = job->spec.sink.kind == LSI_SINK_MEMORY;
  int rc = in_memory ? 0 : shard_path(job, err);
  if (rc >= 0 && !job->sink_variable) rc = fixed_places(job, err);
  if (rc < 0) return rc;
  struct lsi_sink_config config = {
      .spec = &job->spec.sink,
      .path = job->sink_path,
      .type = job->sink_type,
      .n_steps = job->spec.request->n_steps,
      .variable = job->sink_variable,
      .total = job->sink_pos ? job->sink_pos[job->spec.request->n_steps] : 0,
      .window_bytes = job->window,
      .first_index = job->spec.request->first_index,
      .direct = (enum lsi_direct)job->settings.direct};
  if (in_memory && (rc = lsi_job_memory(job, &config, err)) < 0) return rc;
  return lsi_sink_open(&config, &job->sink, err);
}

uint32_t lsi_job_sink_device(const struct lsio_job *job) {
  const struct lsi_request *r = job->spec.request;
  const struct lsi_handle *h = job->sink ? lsi_sink_handle(job->sink) : NULL;
  for (uint32_t i = 0; h && i < r->n_objects; i++)
    if (r->objects[i].device == h->info.device) return r->object_device[i];
  return UINT32_MAX;
}
