/* From a script's spec to everything that a run needs: steps selected, backend chosen, devices
 * modelled, plan built, memory priced; and what the plan will do, in words. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/forked.h"
#include "ground/mem.h"
#include "job/price.h"
#include "plan/explain.h"
#include "seams/os.h"
#include "seams/store.h"

#define DEVICES_MAX UINT16_MAX

/* ---- backend ---- */

/* That of its objects. */
static const struct lsi_store *store_of(const struct lsio_job *job) {
  const struct lsi_request *r = job->spec.request;
  return lsi_stores[r->n_objects ? r->objects[0].store : 0];
}

/* Workers have one backend each, which knows the objects of one store. */
static int check_stores(const struct lsio_job *job, struct lsi_error *err) {
  const struct lsi_request *r = job->spec.request;
  for (uint32_t i = 1; i < r->n_objects; i++) {
    if (r->objects[i].store == r->objects[0].store) continue;
    lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "a job can't read from two kinds of stores yet, here %s and %s",
             lsi_stores[r->objects[0].store]->name, lsi_stores[r->objects[i].store]->name);
    lsi_error_at(err, lsi_request_name(r, i), LSI_NO_OFFSET, 0, LSI_NO_STEP);
    lsi_error_remedy(err, "make a job of each");
    return LSIO_ERR_UNSUPPORTED;
  }
  return 0;
}

static int choose_backend(struct lsio_job *job, struct lsi_error *err) {
  const int mixed = check_stores(job, err);
  if (mixed < 0) return mixed;
  const struct lsi_backend_ops *const *all = store_of(job)->backends;
  const char *wanted = job->settings.backend;
  /* A setting is meant for what can be read in several ways. */
  if (strcmp(wanted, "auto") != 0 && wanted[0] && all[1]) {
    while (*all && strcmp((*all)->name, wanted) != 0) all++;
    job->backend = *all;
    if (!job->backend) return lsi_fail(err, LSIO_ERR_USAGE, 0, "there is no backend '%s'", wanted);
    if (job->backend->caps & LSI_CAP_MAPS && !job->context->maps) {
      lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "mapped reading needs a handler of SIGBUS, which this "
                                             "program has not allowed");
      lsi_error_remedy(err, "make the context with LSIO_CONTEXT_SIGBUS, or leave the backend at auto");
      return LSIO_ERR_UNSUPPORTED;
    }
    return lsi_facts_probe(job->context->facts, job->backend, err);
  }
  for (; *all; all++) {
    const struct lsi_backend_ops *b = *all;
    if (b->caps & LSI_CAP_MAPS) continue;
    if (job->backend) {
      job->fallback = b;
      return 0;
    }
    struct lsi_error ignored;
    lsi_error_clear(&ignored);
    if (lsi_facts_probe(job->context->facts, b, &ignored) == 0) job->backend = b;
  }
  if (job->backend) return 0;
  return lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "no backend works on this system (lsio-lua --doctor)");
}

/* ---- devices ---- */

struct devices {
  struct lsi_device_model *models;
  uint64_t *ids; /* store << 32 | device */
  uint32_t n, cap;
};

static uint64_t device_id(const struct lsi_object_info *o) { return (uint64_t)o->store << 32 | o->device; }

static int find_device(struct lsi_facts *facts, struct devices *d, const struct lsi_object_info *o,
                       const char *name, uint16_t *index, struct lsi_error *err) {
  const uint64_t id = device_id(o);
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
  lsi_facts_model(facts, lsi_stores[o->store], o->device, name, &d->models[d->n]);
  d->ids[d->n] = id;
  *index = (uint16_t)d->n++;
  return 0;
}

static int model_devices(struct lsi_facts *facts, struct lsi_request *r, struct devices *d,
                         struct lsi_error *err) {
  lsi_free(r->object_device);
  r->object_device = lsi_calloc(r->n_objects, sizeof *r->object_device);
  if (!r->object_device) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for device numbers");
  for (uint32_t i = 0; i < r->n_objects; i++) {
    /* What can't be had lies wherever its neighbour does. */
    if (r->objects[i].known & LSI_KNOWN_FAULT && d->n) {
      r->object_device[i] = i ? r->object_device[i - 1] : 0;
      continue;
    }
    if (i && device_id(&r->objects[i]) == device_id(&r->objects[i - 1])) {
      r->object_device[i] = r->object_device[i - 1];
      continue;
    }
    int rc = find_device(facts, d, &r->objects[i], lsi_request_name(r, i), &r->object_device[i], err);
    if (rc < 0) return rc;
  }
  return 0;
}

/* Results find their place, or are told, only in the order of the request, and so they are read. */
static bool is_ordered(const struct lsio_job *job) {
  const bool streamed = job->results.order == LSIO_ORDER_REQUEST || job->spec.request->group_first;
  return job->stream ? streamed : job->results.variable && !job->spec.sink.as_completed;
}

/* What is read ahead of chunks that come by pieces: enough in flight for any device to be busy. */
#define AHEAD_USUAL ((uint64_t)8 << 20)
#define AHEAD_LEAST ((uint64_t)256 << 10)

/* Chunks that are longer are streamed. 0: none are. A piece, or a block of the codec's, must fit twice. */
static uint64_t ahead_of(const struct lsio_job *job) {
  const struct lsi_spec *s = &job->spec;
  if (!s->piece || s->request->cut || (s->codec != LSI_CODEC_NONE && !lsi_codec_feeds(s->codec))) return 0;
  const uint64_t share = job->settings.memory / LSI_MAX(job->settings.workers, 1u);
  const uint64_t usual = LSI_MAX(AHEAD_USUAL, 2 * (uint64_t)lsi_codecs[s->codec]->feed_most);
  const uint64_t ahead = LSI_MAX(LSI_MIN(usual, share / 4), AHEAD_LEAST);
  const uint64_t least = lsi_sat_mul(s->piece, 2);
  if (least >= ahead) return LSI_MIN(least, (uint64_t)LSI_OP_LONGEST);
  /* So that no piece lies at both ends of it. */
  return s->codec || s->piece % LSI_ALIGN ? ahead : ahead - ahead % s->piece;
}

static int build_plan(struct lsio_job *job, struct lsi_error *err) {
  struct devices d = {0};
  lsi_plan_free(job->plan);
  lsi_free(job->device_ids);
  job->plan = NULL;
  job->device_ids = NULL;
  int rc = model_devices(job->context->facts, job->spec.request, &d, err);
  const bool in_order = job->spec.request->cut != 0; /* each chunk is read by itself */
  if (rc >= 0) {
    struct lsi_plan_options options = {
        .merge = in_order ? LSI_MERGE_NEVER : job->settings.merge,
        .in_request_order = in_order || is_ordered(job),
        /* A file may be written from where the chunks were read. */
        .large_apart = job->spec.identity && job->spec.sink.kind != LSI_SINK_NONE &&
                       job->spec.sink.kind != LSI_SINK_MEMORY,
        .ahead = ahead_of(job),
        .n_devices = d.n,
        .devices = d.models};
    rc = lsi_plan_build(job->spec.request, &options, &job->plan, err);
  }
  lsi_free(d.models);
  job->device_ids = d.ids;
  return rc;
}

/* ---- memory ---- */

/* What the largest step needs when its chunks decode to `decoded` bytes. */
static struct lsi_price_request need_of(const struct lsio_job *job, uint64_t decoded) {
  const struct lsi_spec *s = &job->spec;
  struct lsi_price_request need = {.workers = job->settings.workers, .ceiling = job->ceiling - job->window};
  const bool sink = s->sink.kind != LSI_SINK_NONE && !job->results.in_place;
  lsi_price_step(s, decoded, job->results.type, sink, job->stream, &need);
  return need;
}

/* What the largest step's first frame keeps of its content while it is decoded by pieces, beyond what is
 * priced for each. A frame that does not state its content may use less than it states: then no more than a
 * chunk of its size usually holds. */
static uint64_t history_of(const struct lsio_job *job) {
  const struct lsi_request *r = job->spec.request;
  const struct lsi_codec_ops *codec = lsi_codecs[job->spec.codec];
  if (!codec->history || !job->spec.piece) return 0;
  const struct lsi_store *store = store_of(job);
  if (!job->plan->n_units || r->late || !store->read_part) return 0;
  const uint32_t c = lsi_request_chunk_begin(r, job->plan->step_largest);
  unsigned char head[LSI_CODEC_HEAD];
  const size_t n = store->read_part(NULL, lsi_request_name(r, r->object[c]), r->offset[c], head,
                                    LSI_MIN(r->length[c], (uint64_t)sizeof head));
  bool exact;
  uint64_t history = codec->history(head, n, &exact);
  /* Long windows are asked for where much repeats. */
  if (!exact) history = LSI_MIN(history, lsi_sat_mul(r->length[c], 2 * LSI_USUAL_RATIO));
  return history - LSI_MIN(history, (uint64_t)LSI_PIECE_INNER);
}

/* How many workers find the usual room. */
static uint32_t usual_workers(const struct lsio_job *job) {
  const struct lsi_spec *s = &job->spec;
  const uint64_t stored = lsi_plan_step_most(job->plan, s->request);
  const uint64_t known = s->decoded ? s->decoded : lsi_sat_mul(stored, LSI_USUAL_RATIO);
  struct lsi_price_request usual = need_of(job, known);
  if (lsi_add_overflow(usual.decoded, history_of(job), &usual.decoded)) usual.decoded = UINT64_MAX;
  struct lsi_price p;
  struct lsi_error ignored;
  lsi_error_clear(&ignored);
  return lsi_price(job->plan, s->request, &usual, &p, &ignored) < 0 ? 1 : p.workers;
}

static int price(struct lsio_job *job, struct lsi_error *err) {
  const struct lsi_spec *s = &job->spec;
  const struct lsi_plan *plan = job->plan;
  const uint64_t ceiling = job->settings.memory;
  job->ceiling = ceiling;
  /* Results that wait for their turn live beside the workers' shares. */
  job->window = job->results.variable || (job->stream && is_ordered(job)) ? ceiling / 4 : 0;
  const uint64_t known = s->decoded ? s->decoded : lsi_plan_step_most(plan, s->request);
  struct lsi_price_request want = need_of(job, known);
  struct lsi_price p;
  int rc = lsi_price(plan, job->spec.request, &want, &p, err);
  if (rc < 0) return rc;
  /* How much it decodes to is known too late to run fewer workers: leave them room for the usual. */
  if (s->codec != LSI_CODEC_NONE && (!s->decoded || s->piece)) p.workers = usual_workers(job);
  job->workers = LSI_MAX(1u, LSI_MIN(p.workers, plan->n_units));
  job->workers_wanted = p.workers < want.workers ? want.workers : job->workers;
  job->share = want.ceiling / job->workers;
  return 0;
}

/* Makes faults of steps that do not fit into the memory of the whole job. How many. */
static int64_t leave_large_out(struct lsio_job *job, struct lsi_error *err) {
  const struct lsi_spec *s = &job->spec;
  struct lsi_request *r = s->request;
  const uint32_t before = r->faults.n;
  uint32_t next = 0; /* of those that there were, which come in the order of chunks */
  for (uint32_t step = 0; step < r->n_steps; step++) {
    const uint32_t begin = lsi_request_chunk_begin(r, step), end = lsi_request_chunk_end(r, step);
    uint64_t bytes = 0, buffers = 0;
    bool faulty = false;
    for (uint32_t c = begin; c < end; c++) {
      const struct lsi_extent e = {.offset = r->offset[c], .length = r->length[c], .object = r->object[c]};
      while (next < before && r->faults.at[next].chunk < c) next++;
      faulty |= next < before && r->faults.at[next].chunk == c;
      bytes = lsi_sat_add(bytes, e.length);
      if (!faulty) buffers = lsi_sat_add(buffers, lsi_extent_buffer(&e));
    }
    if (faulty) continue;
    if (end - begin == 1 && lsi_plan_streams(job->plan, bytes)) buffers = lsi_ahead_buffer(job->plan->ahead);
    struct lsi_price_request want = need_of(job, s->decoded ? s->decoded : bytes);
    lsi_price_least(&want);
    const uint64_t need = lsi_price_need(&want, buffers);
    for (uint32_t c = begin; need > want.ceiling && c < end; c++) {
      const struct lsi_fault fault = {c, LSI_FAULT_LARGE, (int64_t)LSI_MIN(need, (uint64_t)INT64_MAX),
                                      (int64_t)LSI_MIN(want.ceiling, (uint64_t)INT64_MAX)};
      if (lsi_fault_add(r, &fault, err) < 0) return LSIO_ERR_NOMEM;
    }
  }
  const uint32_t more = r->faults.n - before;
  lsi_faults_sort(r);
  return more;
}

/* The plan, and the memory that it takes. */
static int plan_and_price(struct lsio_job *job, struct lsi_error *err) {
  int rc = build_plan(job, err);
  if (rc >= 0) rc = price(job, err);
  if (rc != LSIO_ERR_LIMIT || !job->plan || job->spec.on_error != LSI_ON_ERROR_SKIP) return rc;
  struct lsi_error own;
  lsi_error_clear(&own);
  const int64_t n = leave_large_out(job, &own);
  if (n <= 0 || (uint32_t)n == job->spec.request->n_chunks) return rc; /* no step at all fits */
  lsi_error_clear(err);
  rc = build_plan(job, err);
  return rc < 0 ? rc : price(job, err);
}

/* ---- steps ---- */

static int no_such_step(const struct lsio_job *job, uint64_t all, struct lsi_error *err) {
  const struct lsi_settings *s = &job->settings;
  const struct lsi_request *r = job->spec.request;
  char range[64] = "";
  if (r->n_steps)
    snprintf(range, sizeof range, ", %" PRIu64 " to %" PRIu64, r->first_index,
             r->first_index + r->n_steps - 1);
  if (s->step >= all)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "there is no step %" PRIu64 ": the request has %" PRIu64 " %s%s",
                    s->step, all, all == 1 ? "step" : "steps", s->shard_count ? "" : range);
  lsi_fail(err, LSIO_ERR_USAGE, 0,
           "step %" PRIu64 " is not in shard %" PRIu32 "/%" PRIu32 ", which has %" PRIu32 " of %" PRIu64
           " steps%s", s->step, s->shard_index, s->shard_count, r->n_steps, all, range);
  lsi_error_remedy(err, "leave --shard out, or take the shard that has it");
  return LSIO_ERR_USAGE;
}

/* How many steps there are, or what stands before one, is known when it has been read. */
static int cant_select(const char *option, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_USAGE, 0, "--%s can't be had of data whose end shows when it is read", option);
  lsi_error_remedy(err, "write it to a file, and read that with lsio.files");
  return LSIO_ERR_USAGE;
}

static int select_steps(struct lsio_job *job, struct lsi_error *err) {
  const struct lsi_settings *s = &job->settings;
  if (job->spec.request->cut && s->step != LSI_NO_STEP) return cant_select("step", err);
  if (job->spec.request->cut && s->shard_count > 1) return cant_select("shard", err);
  const uint64_t all = job->spec.request->n_steps;
  const bool alone = s->step != LSI_NO_STEP; /* how many there may be is no question then */
  int rc = s->shard_count || s->limit
               ? lsi_request_select(job->spec.request, s->shard_index, s->shard_count ? s->shard_count : 1,
                                    alone ? 0 : s->limit, err)
               : 0;
  if (rc < 0 || !alone) return rc;
  job->spec.sink.part = true;
  return lsi_request_select_step(job->spec.request, s->step) ? 0 : no_such_step(job, all, err);
}

static int check_order(const struct lsio_job *job, struct lsi_error *err) {
  if (job->results.order > LSIO_ORDER_REQUEST)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "%u is no enum lsio_order", (unsigned)job->results.order);
  if (!job->results.order || job->stream) return 0;
  lsi_fail(err, LSIO_ERR_USAGE, 0, "the job has an order of results, but streams none");
  lsi_error_remedy(err, "outputs are in request order by themselves; or submit it with LSIO_JOB_STREAM");
  return LSIO_ERR_USAGE;
}

/* Where results have fixed places, something must stand in those of steps that yield none. */
static int check_fill(const struct lsio_job *job, struct lsi_error *err) {
  const struct lsi_spec *spec = &job->spec;
  struct lsi_request *r = spec->request;
  if (spec->sink.kind == LSI_SINK_NONE || job->results.variable || spec->has_fill) return 0;
  const bool skips = spec->on_error == LSI_ON_ERROR_SKIP;
  if (r->missing == LSI_MISSING_SKIP) r->missing = LSI_MISSING_ERROR; /* what goes away now has its place */
  if (!skips && r->missing != LSI_MISSING_FILL) return 0;
  lsi_fail(err, LSIO_ERR_SCRIPT, 0, "%s with a sink of fixed places needs `fill`",
           skips ? "on_error = \"skip\"" : "missing = \"fill\"");
  lsi_error_remedy(err, "add `fill = 0` (or another value) to the job: it stands for %s",
                   skips ? "skipped steps" : "what is missing");
  return LSIO_ERR_SCRIPT;
}

int lsi_job_prepare(struct lsio_job *job, struct lsi_error *err) {
  struct lsi_spec *spec = &job->spec;
  if (spec->on_error == LSI_ON_ERROR_SKIP) {
    int rc = lsi_settings_set(&job->settings, "on-error", "skip", LSI_FROM_SCRIPT, err);
    if (rc < 0) return rc;
  }
  spec->on_error = job->settings.on_error;
  if (job->settings.replace) spec->sink.replace = true;
  int rc = check_order(job, err);
  if (rc >= 0) rc = lsi_job_check_output(job, err);
  if (rc >= 0) rc = select_steps(job, err);
  if (rc >= 0) rc = lsi_job_check_numbers(job, err);
  if (rc < 0) return rc;
  lsi_job_decide_results(job);
  rc = lsi_c_transform_use(&job->transform, spec, job->results.type, job->results.in_place, job->script, err);
  if (rc < 0) return rc;
  rc = check_fill(job, err);
  if (rc < 0) return rc;
  rc = choose_backend(job, err);
  return rc < 0 ? rc : plan_and_price(job, err);
}

/* ---- the plan in words (--explain) ---- */

/* What is guessed here of decoding and writing only has to tell which of the parts is the slowest by far. */

/* A result that is made durable waits for its data, the file system's journal and the disk's cache. */
#define SYNC_LATENCIES 4

/* Bytes of all elements. Where a codec does not say, as much as is usual; `decoded` may be a cap that
 * chunks do not reach. */
static double element_bytes(const struct lsio_job *job) {
  const struct lsi_spec *s = &job->spec;
  const double stored = (double)job->plan->bytes_requested;
  if (s->codec == LSI_CODEC_NONE) return stored;
  const double most = (double)s->decoded * s->request->n_chunks;
  const double usual = stored * LSI_USUAL_RATIO;
  return s->decoded ? LSI_MIN(most, 4 * usual) : usual;
}

static double sink_seconds(const struct lsio_job *job, double elements) {
  const struct lsi_spec *s = &job->spec;
  struct lsi_device_model m;
  if (s->sink.kind != LSI_SINK_NPY && s->sink.kind != LSI_SINK_RAW) return 0;
  lsi_os_output_model(s->sink.path, &m);
  const double count = elements / (double)lsi_type_size(s->type.type);
  const double writing = count * (double)lsi_type_size(job->results.type.type) / m.bandwidth;
  return s->sink.durability == LSI_DURABLE_EACH
             ? writing + s->request->n_steps * m.latency_s * SYNC_LATENCIES
             : writing;
}

const char *lsio_job_explain(lsio_job *job, int json) {
  if (lsi_is_parents(job->context)) return NULL;
  char **text = json ? &job->texts.explain_json : &job->texts.explain;
  if (atomic_load(&job->life.stage) == LSI_JOB_PLANS || !job->plan || !job->backend) return NULL;
  if (*text) return *text;
  const double elements = element_bytes(job), rate = lsi_codecs[job->spec.codec]->rate;
  const struct lsi_explain_input in = {
      .plan = job->plan,
      .request = job->spec.request,
      .workers = job->workers,
      .memory = (uint64_t)job->workers * job->share + job->window,
      .backend = job->backend->name,
      .queue_depth = job->settings.queue_depth,
      .decode_s = rate > 0 ? elements / (rate * job->workers) : 0,
      .sink_s = sink_seconds(job, elements),
      .transform = job->spec.transform != NULL};
  *text = json ? lsi_explain_json(&in) : lsi_explain_text(&in);
  return *text;
}
