/* Jobs of the public API: submit, poll, cancel, and how a job ends. */
#include <stdio.h>
#include <string.h>

#include "api/context.h"
#include "ground/mem.h"
#include "memory/array.h"
#include "memory/block.h"
#include "seams/os.h"

/* ---- submit ---- */

int lsi_job_take_settings(struct lsio_job *job, const struct lsio_job_options *o, struct lsi_error *err) {
  lsi_settings_init(&job->settings);
  for (size_t i = 0; i < o->n_settings; i++) {
    int rc = lsi_settings_set_pair(&job->settings, o->settings[i], LSI_FROM_CALLER, err);
    if (rc < 0) return rc;
  }
  return o->flags & LSIO_JOB_NO_ENV ? 0 : lsi_settings_from_env(&job->settings, err);
}

static int load(struct lsio_job *job, const struct lsio_job_options *o, struct lsi_error *err) {
  int rc = lsi_job_take_settings(job, o, err);
  if (rc < 0) return rc;
  struct lsi_script_source source = {.args = o->args, .n_args = o->n_args,
                                     .loaded = (struct lsi_loaded *)(uintptr_t)o->loaded};
  if (!o->loaded) {
    job->script_text = lsi_strndup(o->script, o->script_length);
    job->script_name = lsi_strdup(o->script_name ? o->script_name : "job");
    if (!job->script_text || !job->script_name)
      return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the script");
    source.text = job->script_text;
    source.length = o->script_length;
    source.name = job->script_name;
  }
  return lsi_script_host_ops->load(job->context->host, &source, &job->settings, &job->script, err);
}

bool lsi_job_options_read(const struct lsio_job_options *in, struct lsio_job_options *out) {
  static const size_t shortest = offsetof(struct lsio_job_options, flags) + sizeof out->flags;
  *out = (struct lsio_job_options){0};
  if (!in || in->struct_size < shortest) return false;
  memcpy(out, in, LSI_MIN(in->struct_size, sizeof *out));
  return !out->script != !out->loaded;
}

/* `wanted` is the caller's own `out`. *o receives the options. */
static int create_job(lsio_context *context, const struct lsio_job_options *options,
                      const void *wanted, struct lsio_job_options *o, struct lsio_job **out,
                      struct lsi_error *err) {
  if (!lsi_job_options_read(options, o) || !context || !wanted)
    return lsi_fail(err, LSIO_ERR_USAGE, 0,
                    "a job needs a context, a script or a loaded one, `out`, and options whose "
                    "struct_size is set");
  *out = lsi_job_create(context, o);
  return *out ? 0 : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a job");
}

struct lsio_job *lsi_job_create(lsio_context *context, const struct lsio_job_options *o) {
  struct lsio_job *job = lsi_calloc(1, sizeof *job);
  if (!job) return NULL;
  job->context = context;
  lsi_os_lock(context->mutex);
  job->number = ++context->jobs;
  lsi_os_unlock(context->mutex);
  job->status = LSIO_ERR_BUSY;
  lsi_error_clear(&job->error);
  lsi_spec_init(&job->spec);
  job->stream = o->flags & LSIO_JOB_STREAM;
  job->array.refused = o->flags & LSIO_JOB_NO_MEMORY;
  job->no_state = o->flags & LSIO_JOB_NO_STATE;
  job->array.callers = o->output;
  job->array.callers_bytes = o->output_length;
  return job;
}

int lsi_job_start(struct lsio_job *job, bool own_cpus, struct lsi_error *err) {
  int rc = lsi_job_open_sink(job, err);
  if (rc < 0) return rc;
  const bool alone = lsi_context_begin(job->context, job->ceiling);
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
      .window = job->window,
      .ledger = job->context->ledger,
      .pool = job->context->pool,
      .crew = job->context->crew,
      .number = job->number,
      /* What others do takes the CPUs. */
      .spin = alone ? &job->context->spin : NULL,
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

/* What the script asks for, its sources listed. */
static int prepare(struct lsio_job *job, const struct lsio_job_options *o, struct lsi_error *err) {
  struct lsi_watch watch = {.tell = o->planning, .user = o->planning_user};
  if (!(job->spec.request = lsi_request_create()))
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the request");
  job->spec.request->watch = &watch;
  /* What is shown must be known, and so must be the places of results. */
  job->spec.request->all_known = o->flags & LSIO_JOB_PLAN_ONLY || job->array.callers;
  int rc = lsi_script_host_ops->prepare(job->script, &job->spec, err);
  job->spec.request->watch = NULL;
  return rc;
}

void lsi_job_planned(struct lsio_job *job, uint64_t since_ns) {
  job->part_s[LSI_PART_PLAN] = (double)(lsi_run_start_ns(job->run) - since_ns) / 1e9;
}

int lsio_submit(lsio_context *context, const struct lsio_job_options *options, lsio_job **out,
                lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsio_job_options o;
  struct lsio_job *job = NULL;
  uint64_t at = lsi_os_now_ns();
  int rc = create_job(context, options, out, &o, &job, &e);
  if (rc < 0) return lsi_error_hand_out(&e, rc, error);
  rc = load(job, &o, &e);
  job->part_s[LSI_PART_START] = LSI_MAX(o.before_s, 0.0) + lsi_job_since(&at);
  if (rc >= 0) lsi_job_settle(job);
  if (rc >= 0) rc = prepare(job, &o, &e);
  job->part_s[LSI_PART_SETUP] = job->spec.setup_s;
  job->part_s[LSI_PART_LIST] = lsi_job_did(job, LSI_TRACE_LIST, &at) - job->spec.setup_s;
  if (rc >= 0) rc = lsi_job_prepare(job, &e);
  if (rc >= 0 && !(o.flags & LSIO_JOB_PLAN_ONLY)) rc = lsi_job_start(job, o.flags & LSIO_JOB_OWN_CPUS, &e);
  if (rc < 0) {
    lsio_job_destroy(job);
    return lsi_error_hand_out(&e, rc, error);
  }
  if (job->run) {
    lsi_job_planned(job, at);
    lsi_job_did(job, LSI_TRACE_PLAN, &at);
  }
  *out = job;
  lsi_facts_refresh(context->facts); /* the job runs meanwhile */
  return 0;
}

int lsio_script_help(lsio_context *context, const struct lsio_job_options *options, char **text,
                     lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsio_job_options o;
  struct lsio_job *job = NULL;
  int rc = create_job(context, options, text, &o, &job, &e);
  if (rc >= 0) rc = load(job, &o, &e);
  if (rc >= 0) rc = lsi_script_host_ops->help(job->script, text, &e);
  lsio_job_destroy(job);
  return rc < 0 ? lsi_error_hand_out(&e, rc, error) : 0;
}

/* ---- the end ---- */

static void end_sink(struct lsio_job *job, struct lsi_error *e) {
  if (!job->results.sink) return;
  if (e->code)
    lsi_sink_discard(job->results.sink);
  else
    lsi_sink_publish(job->results.sink, e);
  job->results.sink = NULL;
  if (job->array.own) lsi_array_settle(job->array.own);
}

/* What can fail does so before the output gets its name: joins the run and merges. */
static void reduce(struct lsio_job *job) {
  struct lsi_error *e = &job->error;
  struct lsi_summary *s = &job->summary;
  uint64_t at = lsi_os_now_ns();
  int rc = lsi_run_join(job->run, e);
  if (rc < 0 && !e->code) e->code = rc;
  memset(s, 0, sizeof *s);
  lsi_run_summary(job->run, s);
  job->part_s[LSI_PART_READ] = s->part_s[LSI_PART_READ];
  job->part_s[LSI_PART_POLL] =
      (double)(at - lsi_run_start_ns(job->run)) / 1e9 - job->part_s[LSI_PART_READ];
  memcpy(s->part_s, job->part_s, sizeof s->part_s);
  s->workers_wanted = job->workers_wanted;
  if (job->results.sink) s->bytes_written = lsi_sink_bytes_written(job->results.sink);
  if (!e->code && job->script)
    lsi_script_host_ops->merge(job->script, job->no_state ? NULL : &job->state, e);
  s->part_s[LSI_PART_REDUCE] = lsi_job_did(job, LSI_TRACE_REDUCE, &at);
  job->ending.at = at;
  job->ending.begun = true;
}

/* May sleep as long as a disk takes. */
static void publish(void *arg) {
  struct lsio_job *job = arg;
  struct lsi_job_ending *x = &job->ending;
  x->published = job->results.sink && !job->error.code;
  const bool to_file = x->published && job->results.path;
  const uint64_t cpu_before = to_file ? lsi_os_cpu_ns() : 0;
  end_sink(job, &job->error);
  if (to_file) x->cpu_ns = lsi_os_cpu_ns() - cpu_before;
  job->summary.part_s[LSI_PART_PUBLISH] = lsi_job_did(job, LSI_TRACE_PUBLISH, &x->at);
}

/* `done` is called last, to find the output under its name. */
static void finish(struct lsio_job *job) {
  struct lsi_error *e = &job->error;
  struct lsi_summary *s = &job->summary;
  struct lsi_job_ending *x = &job->ending;
  if (x->helped) s->part_s[LSI_PART_POLL] += lsi_job_since(&x->at);
  if (x->published) lsi_run_published(job->run, x->cpu_ns, s);
  s->status = e->code == LSIO_ERR_CANCELLED ? "cancelled"
              : e->code                     ? "failed"
              : s->steps_failed             ? "skipped"
                                            : "done";
  s->exit_code = e->code                    ? lsi_error_exit_code(e->code)
                 : job->state.error.code    ? lsi_error_exit_code(job->state.error.code)
                 : s->steps_failed          ? 1
                                            : 0;
  if (!e->code && job->script) {
    lsi_script_host_ops->done(job->script, s, e);
    s->part_s[LSI_PART_DONE] = lsi_job_since(&x->at);
    if (e->code) {
      s->status = "failed";
      s->exit_code = lsi_error_exit_code(e->code);
    }
  }
  s->state = &job->state;
  job->status = e->code;
  job->exit_code = s->exit_code;
  job->ended = true;
}

static void tell_of_end(void *arg) { lsi_run_ring(((struct lsio_job *)arg)->run, true); }

/* A file is published here only by a caller that would wait for it for ever. */
static void begin_to_end(struct lsio_job *job, bool waits) {
  struct lsi_job_ending *x = &job->ending;
  reduce(job);
  x->helped = !waits && job->results.sink && job->results.path;
  if (!x->helped) {
    publish(job);
    return;
  }
  x->task = (struct lsi_task){.run = publish, .tell = tell_of_end, .arg = job};
  lsi_run_ring(job->run, false);
  lsi_helpers_do(job->context->helpers, &x->task);
}

/* Once the run has ended and all its completions are taken. False: the output was not published in time. */
static bool end(struct lsio_job *job, int64_t timeout_ns) {
  const struct lsi_job_ending *x = &job->ending;
  if (!x->begun) begin_to_end(job, timeout_ns < 0);
  if (x->helped && !lsi_helpers_wait(job->context->helpers, &job->ending.task, timeout_ns)) return false;
  finish(job);
  return true;
}

/* ---- poll ---- */

static void free_list(struct lsi_run_completion *list) {
  while (list) {
    struct lsi_run_completion *next = list->next;
    lsi_run_free_completion(list);
    list = next;
  }
}

static struct lsio_completion completion(const struct lsi_run_completion *c, uint32_t i) {
  if (c->error)
    return (struct lsio_completion){.kind = c->kind, .step = c->step, .tag = c->tag, .error = c->error};
  const struct lsi_result *r = &c->block->results[c->from + i];
  return (struct lsio_completion){.kind = c->kind, .is_record = r->is_record, .step = r->step, .tag = r->tag,
                                  .data = r->length ? c->block->data + r->begin : NULL, .length = r->length};
}

int lsio_poll(lsio_job *job, struct lsio_completion *out, size_t max, int timeout_ms) {
  free_list(job->poll.lent);
  job->poll.lent = NULL;
  if (!job->run || !max || job->poll.done) return 0;
  int64_t left_ns = timeout_ms < 0 ? -1 : (int64_t)timeout_ms * 1000000;
  const uint64_t until_ns = left_ns > 0 ? lsi_os_now_ns() + (uint64_t)left_ns : 0;
  const bool rings = job->poll.pending;
  if (!job->poll.pending && !job->ending.begun) job->poll.pending = lsi_run_take(job->run, left_ns);
  int n = 0;
  struct lsi_run_completion **tail = &job->poll.lent;
  while (job->poll.pending && (size_t)n < max && n < INT32_MAX) {
    struct lsi_run_completion *c = job->poll.pending;
    out[n++] = completion(c, job->poll.at++);
    if (job->poll.at < c->n) continue;
    job->poll.at = 0;
    job->poll.pending = c->next;
    c->next = NULL;
    *tail = c;
    tail = &c->next;
  }
  /* Taking them silenced the bell, but there is more to return. */
  if (job->poll.pending) lsi_run_ring(job->run, true);
  else if (rings) lsi_run_ring_if_due(job->run); /* else it would ring for what has been returned */
  if (n || job->poll.pending || !lsi_run_ended(job->run)) return n;
  /* What arrived between the last take and the end. */
  if (!job->ending.begun && (job->poll.pending = lsi_run_take(job->run, 0)))
    return lsio_poll(job, out, max, 0);
  if (left_ns > 0) left_ns = LSI_MAX((int64_t)(until_ns - lsi_os_now_ns()), 0);
  if (!end(job, left_ns)) return 0;
  job->poll.done = true;
  lsi_run_ring(job->run, false);
  out[0] = (struct lsio_completion){.kind = LSIO_DONE};
  return 1;
}

int lsio_wait(lsio_job *job) {
  struct lsio_completion batch[64];
  while (job->run && !job->poll.done) lsio_poll(job, batch, LSI_COUNTOF(batch), -1);
  return job->status;
}

/* The run has ended, which is not what is waited for any more. */
static void ring_when_published(const struct lsio_job *job) {
  lsi_run_ring(job->run, false);
  if (lsi_helpers_ended(job->context->helpers, &job->ending.task)) lsi_run_ring(job->run, true);
}

int lsio_job_fd(const lsio_job *job) {
  if (!job->run) return -1;
  const int fd = lsi_run_bell(job->run);
  if (job->poll.done) lsi_run_ring(job->run, false);
  else if (job->poll.pending) lsi_run_ring(job->run, true);
  else if (job->ending.helped) ring_when_published(job);
  return fd;
}

void lsio_cancel(lsio_job *job) {
  if (job->run) lsi_run_cancel(job->run);
}

/* Not through the job's sink, which the coordinator may be publishing, and freeing, at this moment. */
void lsio_job_abandon(lsio_job *job) {
  (void)job;
  lsi_os_files_abandon();
}

/* ---- what is known of a job ---- */

void lsio_job_progress(const lsio_job *job, struct lsio_progress *out) {
  struct lsio_progress p = {.struct_size = sizeof p};
  p.steps = job->spec.request ? job->spec.request->n_steps : 0;
  /* Of files that have not been opened it is not known. */
  p.bytes = job->plan && !job->spec.request->late ? job->plan->bytes_requested : 0;
  p.workers = job->workers;
  if (job->run) {
    lsi_run_progress(job->run, &p.steps_done, &p.steps_failed, &p.bytes_done, &p.workers_running);
    p.elapsed_s = lsi_run_elapsed_s(job->run);
  }
  size_t size = LSI_MIN(out->struct_size, sizeof p);
  p.struct_size = out->struct_size;
  memcpy(out, &p, size);
}

char *lsio_job_activity(const lsio_job *job) {
  return job->run ? lsi_run_activity(job->run) : lsi_strdup("not started\n");
}

int lsio_job_status(const lsio_job *job) { return job->status; }
int lsio_job_exit_code(const lsio_job *job) { return job->exit_code; }
const lsio_error *lsio_job_error(const lsio_job *job) {
  return job->ended && job->error.code ? &job->error : NULL;
}
const lsio_error *lsio_job_state_error(const lsio_job *job) {
  return job->state.error.code ? &job->state.error : NULL;
}
uint64_t lsio_job_error_count(const lsio_job *job) { return job->summary.n_errors; }
const lsio_error *lsio_job_step_error(const lsio_job *job, size_t i) {
  return i < job->summary.n_errors_kept ? &job->summary.errors[i] : NULL;
}

const char *lsio_job_summary_json(lsio_job *job) {
  if (job->ended && !job->texts.summary_json) job->texts.summary_json = lsi_summary_json(&job->summary);
  return job->texts.summary_json;
}

const char *lsio_job_summary_text(lsio_job *job) {
  if (job->ended && !job->texts.summary) job->texts.summary = lsi_summary_text(&job->summary);
  return job->texts.summary;
}

void lsio_job_destroy(lsio_job *job) {
  if (!job) return;
  if (job->ending.helped) lsi_helpers_wait(job->context->helpers, &job->ending.task, -1);
  if (job->run && !job->ended) {
    lsi_run_cancel(job->run);
    lsi_run_join(job->run, NULL);
  }
  if (job->run && lsi_run_broke(job->run)) {
    lsi_array_give_up(job->array.own);
    job->array.own = NULL;
  }
  if (job->results.sink) lsi_sink_discard(job->results.sink);
  free_list(job->poll.pending);
  free_list(job->poll.lent);
  lsi_run_destroy(job->run);
  if (job->script) lsi_script_host_ops->unload(job->script);
  lsi_plan_free(job->plan);
  lsi_spec_clear(&job->spec);
  char *owned[] = {job->script_text,   job->script_name,        job->results.path,  job->state.text,
                   job->texts.summary, job->texts.summary_json, job->texts.explain, job->texts.explain_json};
  for (size_t i = 0; i < LSI_COUNTOF(owned); i++) lsi_free(owned[i]);
  lsi_free(job->results.pos);
  lsi_free(job->device_ids);
  lsi_array_free(job->array.own);
  if (job->counted) lsi_context_end(job->context, job->ceiling);
  lsi_free(job);
}
