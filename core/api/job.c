/* Jobs of the public API: how they are made, planned and started, what is known of them, and their end. */
#include <stdio.h>
#include <string.h>

#include "api/forked.h"
#include "ground/mem.h"
#include "memory/array.h"
#include "memory/block.h"

/* ---- from options to a run ---- */

int lsi_job_take_settings(struct lsio_job *job, const struct lsio_job_options *o, struct lsi_error *err) {
  lsi_settings_init(&job->settings);
  for (size_t i = 0; i < o->n_settings; i++) {
    if (!o->settings || !o->settings[i])
      return lsi_fail(err, LSIO_ERR_USAGE, 0, "settings[%zu] is NULL", i);
    int rc = lsi_settings_set_pair(&job->settings, o->settings[i], LSI_FROM_CALLER, err);
    if (rc < 0) return rc;
  }
  for (size_t i = 0; i < o->n_args; i++)
    if (!o->args || !o->args[i]) return lsi_fail(err, LSIO_ERR_USAGE, 0, "args[%zu] is NULL", i);
  return o->flags & LSIO_JOB_NO_ENV ? 0 : lsi_settings_from_env(&job->settings, err);
}

int lsi_job_copy_script(struct lsio_job *job, const struct lsio_job_options *o, struct lsi_error *err) {
  if (!o->script) return 0;
  job->script_text = lsi_strndup(o->script, o->script_length);
  job->script_name = lsi_strdup(o->script_name ? o->script_name : "job");
  return job->script_text && job->script_name ? 0
                                              : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the script");
}

bool lsi_job_is_plain(const struct lsio_job *job, const struct lsio_job_options *o) {
  return !job->script_text && !o->loaded;
}

int lsi_job_load(struct lsio_job *job, const struct lsio_job_options *o, struct lsi_error *err) {
  const int rc = lsi_c_transform_check(&job->transform, err);
  if (rc < 0 || lsi_job_is_plain(job, o)) return rc;
  const struct lsi_script_source source = {.text = job->script_text,
                                           .length = o->script_length,
                                           .name = job->script_name,
                                           .args = o->args,
                                           .n_args = o->n_args,
                                           .loaded = (struct lsi_loaded *)(uintptr_t)o->loaded,
                                           .params = job->params,
                                           .transformed = job->transform.given,
                                           .has_state = lsi_c_transform_has_state(&job->transform),
                                           .sourced = job->given,
                                           .job = job->number};
  return lsi_script_host_ops->load(job->context->host, &source, &job->settings, &job->script, err);
}

bool lsi_job_options_read(const struct lsio_job_options *in, struct lsio_job_options *out) {
  static const size_t shortest = offsetof(struct lsio_job_options, flags) + sizeof out->flags;
  *out = (struct lsio_job_options){0};
  if (!in || in->struct_size < shortest) return false;
  memcpy(out, in, LSI_MIN(in->struct_size, sizeof *out));
  if (!out->script && !out->loaded) return out->request && !out->n_args && !out->params;
  return !out->script || !out->loaded;
}

struct lsio_job *lsi_job_create(lsio_context *context, const struct lsio_job_options *o) {
  struct lsio_job *job = lsi_calloc(1, sizeof *job);
  if (!job) return NULL;
  job->context = context;
  lsi_os_lock(context->mutex);
  job->number = ++context->jobs;
  lsi_os_unlock(context->mutex);
  job->submitted_ns = lsi_os_now_ns();
  lsi_error_clear(&job->error);
  lsi_spec_init(&job->spec);
  job->stream = o->flags & LSIO_JOB_STREAM;
  job->results.order = o->order;
  job->array.refused = o->flags & LSIO_JOB_NO_MEMORY;
  job->state.unwanted = o->flags & LSIO_JOB_NO_STATE;
  job->wants_value = o->flags & LSIO_JOB_STATE_VALUE;
  lsi_c_transform_take(&job->transform, o->transform);
  job->array.callers = o->output;
  job->array.callers_bytes = o->output_length;
  job->array.release = o->output_release;
  job->array.release_user = o->output_user;
  if (o->params) job->params = lsio_value_retain(o->params);
  if (o->request) job->given = lsio_request_retain(o->request);
  return job;
}

/* When it is; 0: never. */
static uint64_t deadline_of(const struct lsio_job *job) {
  const uint64_t ns = job->settings.deadline_ns;
  return ns ? lsi_sat_add(job->submitted_ns, ns) : 0;
}

int lsi_job_start(struct lsio_job *job, bool own_cpus, struct lsi_error *err) {
  int rc = lsi_job_open_sink(job, err);
  if (rc < 0) return rc;
  lsi_context_begin(job->context, job->ceiling);
  job->counted = true;
  struct lsi_run_config config = {
      .spec = &job->spec,
      .plan = job->plan,
      .stores = lsi_stores,
      .backend = job->backend,
      .fallback = job->fallback,
      .sink = job->results.sink,
      .sink_variable = job->results.variable,
      .in_place = job->results.in_place,
      .sink_pos = job->results.pos,
      .sink_type = job->results.type,
      .sink_device = lsi_job_sink_device(job),
      .stream = job->stream,
      .by_step = job->results.order == LSIO_ORDER_REQUEST,
      .window = job->window,
      .ledger = job->context->ledger,
      .pool = job->context->pool,
      .crew = job->context->crew,
      .number = job->number,
      .alarms = job->context->alarms,
      .deadline_at_ns = deadline_of(job),
      .deadline_ns = job->settings.deadline_ns,
      .untold = job->life.own_queue,
      .tell = job->life.tell,
      .tell_user = job,
      .device_ids = job->device_ids,
      .workers = job->workers,
      .share = job->share,
      .queue_depth = job->settings.queue_depth,
      .direct = (enum lsi_direct)job->settings.direct,
      .maps = job->context->maps,
      .pin = lsi_job_pins(job, own_cpus),
      .background = job->settings.priority == LSI_BACKGROUND,
      .tune = job->settings.tune};
  return lsi_run_start(&config, &job->run, err);
}

/* What a plain read is, without its request. */
static void describe_plain(struct lsio_job *job) {
  struct lsi_spec *s = &job->spec;
  s->type = (struct lsi_dtype){LSI_U8, false};
  s->identity = !job->transform.given;
  if (s->identity && !job->stream) s->sink.kind = LSI_SINK_MEMORY;
}

/* Nobody else needs it any more. */
static int take_given(struct lsio_job *job, bool plan_only, struct lsi_error *err) {
  const bool plain = !job->script && !job->transform.given && !plan_only;
  const int rc = lsi_given_take(job->given, plain, job->spec.request, err);
  lsio_request_release(job->given);
  job->given = NULL;
  return rc;
}

/* What the job asks for, its sources listed. */
static int list(struct lsio_job *job, const struct lsio_job_options *o, struct lsi_watch *watch,
                struct lsi_error *err) {
  if (!(job->spec.request = lsi_request_create()))
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the request");
  job->spec.request->watch = watch;
  watch->until_ns = deadline_of(job);
  /* What is shown must be known, and so must be the places of results. */
  job->spec.request->all_known =
      o->flags & LSIO_JOB_PLAN_ONLY || job->array.callers || job->results.order == LSIO_ORDER_REQUEST;
  if (job->settings.on_error == LSI_ON_ERROR_SKIP) {
    job->spec.request->keeps = LSI_KEEP_ALL;
    watch->finds_folders = true;
  }
  int rc = 0;
  if (job->script) rc = lsi_script_host_ops->prepare(job->script, &job->spec, err);
  else describe_plain(job);
  if (rc >= 0 && job->given) rc = take_given(job, o->flags & LSIO_JOB_PLAN_ONLY, err);
  job->spec.request->watch = NULL;
  return rc;
}

int lsi_job_plan(struct lsio_job *job, const struct lsio_job_options *o, struct lsi_watch *watch, uint64_t at,
                 struct lsi_error *err) {
  int rc = lsi_job_load(job, o, err);
  job->part_s[LSI_PART_START] = LSI_MAX(o->before_s, 0.0) + lsi_job_since(&at);
  if (rc >= 0) lsi_job_settle(job);
  if (rc >= 0) rc = list(job, o, watch, err);
  job->part_s[LSI_PART_SETUP] = job->spec.setup_s;
  job->part_s[LSI_PART_LIST] = lsi_job_did(job, LSI_TRACE_LIST, &at) - job->spec.setup_s;
  job->planned_since_ns = at;
  if (rc >= 0) rc = lsi_job_prepare(job, err);
  lsi_job_did(job, LSI_TRACE_PLAN, &at);
  if (rc < 0 || o->flags & LSIO_JOB_PLAN_ONLY) return rc;
  return lsi_job_start(job, o->flags & LSIO_JOB_OWN_CPUS, err);
}

/* Not through the job's sink, which the coordinator may be publishing, and freeing, at this moment. */
void lsio_job_abandon(lsio_job *job) {
  (void)job;
  lsi_os_files_abandon();
}

/* ---- what is known of a job ---- */

static void look_at_run(const lsio_job *job, struct lsio_progress *p) {
  const struct lsi_request *r = job->spec.request;
  p->steps_requested = r ? r->cut ? UINT64_MAX : r->n_steps : 0;
  /* Of files that have not been opened it is not known. */
  p->bytes_requested = job->plan && !r->late && !r->cut ? job->plan->bytes_requested : 0;
  p->workers = job->workers;
  p->began = job->run != NULL;
  if (!job->run) return;
  lsi_run_progress(job->run, &p->steps, &p->steps_failed, &p->bytes_done, &p->workers_running);
  p->elapsed_s = lsi_run_elapsed_s(job->run);
  if (r->cut && lsi_run_was_whole(job->run)) p->steps_requested = p->steps + p->steps_failed;
  /* What has been taken first: it was told before. */
  const uint64_t steps = atomic_load_explicit(&job->taken.steps, memory_order_acquire);
  const uint64_t bytes = atomic_load_explicit(&job->taken.bytes, memory_order_acquire);
  lsi_run_told(job->run, &p->queued, &p->held_bytes);
  p->queued -= LSI_MIN(steps, p->queued);
  p->held_bytes -= LSI_MIN(bytes, p->held_bytes);
  p->held_bytes += lsi_run_lent(job->run);
  p->stalled = lsi_run_stalled(job->run);
  p->deadline_passed = lsi_run_at_deadline(job->run)[0] != 0;
}

void lsio_job_progress(const lsio_job *job, struct lsio_progress *out) {
  struct lsio_progress p = {.struct_size = sizeof p};
  const struct lsi_job_life *l = &job->life;
  p.listed = atomic_load_explicit(&l->listed, memory_order_relaxed);
  p.looked_at = atomic_load_explicit(&l->looked_at, memory_order_relaxed);
  if (lsi_is_parents(job->context)) p.listed = p.looked_at = 0;
  else if (atomic_load(&l->stage) != LSI_JOB_PLANS) look_at_run(job, &p);
  size_t size = LSI_MIN(out->struct_size, sizeof p);
  p.struct_size = out->struct_size;
  memcpy(out, &p, size);
}

char *lsio_job_activity(const lsio_job *job) {
  if (lsi_is_parents(job->context)) return lsi_strdup("whatever the parent of this process has it do\n");
  if (atomic_load(&job->life.stage) == LSI_JOB_PLANS)
    return lsi_strdup("the script, which is still being prepared (setup, source, planning)\n");
  return job->run ? lsi_run_activity(job->run) : lsi_strdup("not started\n");
}

/* It has ended, and is this process's own. */
static bool is_known(const lsio_job *job) { return !lsi_is_parents(job->context) && job->ended; }

uint64_t lsio_job_number(const lsio_job *job) { return job->number; }
int lsio_job_status(const lsio_job *job) {
  if (lsi_is_parents(job->context)) return LSIO_ERR_FORKED;
  return job->ended ? job->status : LSIO_ERR_BUSY;
}
int lsio_job_exit_code(const lsio_job *job) {
  if (lsi_is_parents(job->context)) return lsi_error_exit_code(LSIO_ERR_FORKED);
  return job->ended ? job->exit_code : 0;
}
const lsio_error *lsio_job_error(const lsio_job *job) {
  if (lsi_is_parents(job->context)) return lsi_error_of_parents();
  return job->ended && job->error.code ? &job->error : NULL;
}
const lsio_error *lsio_job_state_error(const lsio_job *job) {
  return is_known(job) && job->state.error.code ? &job->state.error : NULL;
}
void *lsio_job_state(const lsio_job *job) {
  return is_known(job) && !job->status ? lsi_c_transform_state(&job->transform) : NULL;
}
uint64_t lsio_job_error_count(const lsio_job *job) { return is_known(job) ? job->summary.error_count : 0; }
const lsio_error *lsio_job_step_error(const lsio_job *job, size_t i) {
  return is_known(job) && i < job->summary.n_errors_kept ? &job->summary.errors[i] : NULL;
}

const char *lsio_job_summary_json(lsio_job *job) {
  if (lsi_is_parents(job->context)) return NULL;
  if (job->ended && !job->texts.summary_json) job->texts.summary_json = lsi_summary_json(&job->summary);
  return job->texts.summary_json;
}

const char *lsio_job_summary_text(lsio_job *job) {
  if (lsi_is_parents(job->context)) return NULL;
  if (job->ended && !job->texts.summary) job->texts.summary = lsi_summary_text(&job->summary);
  return job->texts.summary;
}

const char *lsio_job_failures_text(lsio_job *job) {
  if (lsi_is_parents(job->context)) return NULL;
  if (job->ended && !job->texts.failures) job->texts.failures = lsi_failures_text(&job->summary);
  return job->texts.failures;
}

void lsi_job_free(struct lsio_job *job) {
  if (!job) return;
  if (job->run && lsi_run_broke(job->run)) {
    lsi_array_give_up(job->array.own);
    job->array.own = NULL;
  }
  if (job->results.sink) lsi_sink_discard(job->results.sink);
  lsi_job_release_output(job);
  lsi_run_free_completions(job->taken.pending);
  lsi_run_destroy(job->run);
  lsi_c_transform_end(&job->transform);
  if (job->script) lsi_script_host_ops->unload(job->script);
  lsio_value_release(job->state_value.value);
  lsio_request_release(job->given);
  lsio_value_release(job->params); /* the script's views of it are gone */
  lsi_plan_free(job->plan);
  lsi_spec_clear(&job->spec);
  char *owned[] = {job->script_text,   job->script_name,   job->results.path,  job->state.text,
                   job->state.reduce,  job->texts.summary, job->texts.failures, job->texts.explain,
                   job->texts.explain_json, job->texts.summary_json};
  for (size_t i = 0; i < LSI_COUNTOF(owned); i++) lsi_free(owned[i]);
  lsi_free(job->results.pos);
  lsi_free(job->device_ids);
  lsi_array_free(job->array.own);
  if (job->counted) lsi_context_end(job->context, job->ceiling);
  lsi_free(job);
}
