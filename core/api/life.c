/* The life of a job: planned and ended by threads of its context, known to whoever counts it. */
#include <string.h>

#include "api/forked.h"
#include "ground/mem.h"
#include "memory/array.h"

/* What a worker plans at most: about a millisecond of its time. */
#define SMALL_RANGES (16u << 10)
#define SMALL_OBJECTS 64u

#define LARGE_BYTES ((uint64_t)1 << 20) /* which a caller's thread does not make or give back */
#define LISTED_BYTES 60u                /* of a request and its plan, for each chunk or object */

/* ---- counting ---- */

static void begin_life(struct lsio_context *c) {
  lsi_os_lock(c->mutex);
  c->lives++;
  lsi_os_unlock(c->mutex);
}

/* From here on the context may be gone. */
static void end_life(struct lsio_context *c) {
  lsi_os_lock(c->mutex);
  c->lives--;
  lsi_os_wake_all(c->rest);
  lsi_os_unlock(c->mutex);
}

static void free_job(void *arg) {
  struct lsio_job *job = arg;
  struct lsio_context *c = job->context;
  struct lsio_queue *queue = job->life.queue;
  lsi_job_free(job);
  lsi_queue_drop(queue);
  end_life(c);
}

/* Has it memory that takes long to be given back? */
static bool is_large(const struct lsio_job *job) {
  const struct lsi_request *r = job->spec.request;
  const uint64_t listed = r ? lsi_sat_mul(lsi_sat_add(r->n_chunks, r->n_objects), LISTED_BYTES) : 0;
  const uint64_t result = job->array.own ? job->array.own->bytes : 0;
  return lsi_sat_add(lsi_sat_add(listed, result), job->texts.state_bytes) >= LARGE_BYTES;
}

static void drop(struct lsio_job *job) {
  if (atomic_fetch_sub(&job->life.refs, 1) != 1) return;
  if (!is_large(job)) {
    free_job(job);
    return;
  }
  job->life.task = (struct lsi_task){.run = free_job, .arg = job};
  lsi_helpers_do(job->context->helpers, &job->life.task);
}

/* Who plans it sees that it is cancelled. */
static void cancel(struct lsio_job *job) {
  struct lsi_job_life *l = &job->life;
  atomic_store(&l->cancelled, true);
  if (atomic_load(&l->stage) != LSI_JOB_PLANS && job->run) lsi_run_cancel(job->run);
}

void lsio_cancel(lsio_job *job) {
  if (lsi_is_parents(job->context)) return;
  cancel(job);
  if (atomic_load(&job->life.stage) != LSI_JOB_ENDED) lsi_queue_look(job->life.queue);
}

void lsio_job_retain(lsio_job *job) {
  atomic_fetch_add(&job->life.users, 1);
}

void lsio_job_release(lsio_job *job) {
  if (!job || lsi_is_parents(job->context) || atomic_fetch_sub(&job->life.users, 1) != 1) return;
  lsi_queue_leave(job); /* which need not look after it any more */
  cancel(job);
  if (atomic_load(&job->life.stage) == LSI_JOB_RUNS) lsi_run_leave_queue(job->run);
  drop(job);
}

/* ---- waiting ---- */

/* Of its own queue only the end is told. */
int lsio_wait(lsio_job *job, int timeout_ms) {
  const struct lsi_job_life *l = &job->life;
  struct lsio_event end;
  if (lsi_is_parents(job->context)) return LSIO_ERR_FORKED;
  if (!l->own_queue) return LSIO_ERR_USAGE;
  const bool known = atomic_load(&l->stage) == LSI_JOB_ENDED;
  if (!known && timeout_ms < 0) lsi_queue_stay(l->queue);
  return known || lsio_queue_take(l->queue, &end, 1, timeout_ms) ? job->status : LSIO_ERR_BUSY;
}

/* ---- the end ---- */

/* Its completions are there to be taken, and its figures known. Its script goes already here: who lets go of
 * the job last must not wait for the coordinator's state, which may be another job's for a long time. */
static void ended(struct lsio_job *job) {
  if (job->script) lsi_script_host_ops->unload(job->script);
  job->script = NULL;
  atomic_store(&job->life.stage, LSI_JOB_ENDED);
  lsi_queue_tell(job);
  drop(job);
}

/* Into the summary, which is to be asked for without waiting. */
static void write_large_state(struct lsio_job *job) {
  const uint64_t bytes = job->state.text ? strlen(job->state.text) : 0;
  if (bytes < LARGE_BYTES || !lsio_job_summary_json(job)) return;
  job->texts.state_bytes = bytes;
  lsi_free(job->state.text); /* it stands there now */
  job->state.text = NULL;
}

static void end(void *arg) {
  struct lsio_job *job = arg;
  lsi_job_reduce(job);
  lsi_job_publish(job);
  lsi_job_finish(job);
  write_large_state(job);
  ended(job);
}

static void tell(void *user, bool has_ended) {
  struct lsio_job *job = user;
  const bool takes_long = job->script || job->results.path || job->transform.given;
  if (!has_ended) {
    lsi_queue_tell(job);
  } else if (takes_long) {
    job->life.task = (struct lsi_task){.run = end, .arg = job};
    lsi_queue_do(job);
  } else {
    end(job);
  }
}

/* ---- the beginning ---- */

static int listing(void *user, uint64_t listed, uint64_t looked_at) {
  struct lsi_job_life *l = user;
  atomic_store_explicit(&l->listed, listed, memory_order_relaxed);
  atomic_store_explicit(&l->looked_at, looked_at, memory_order_relaxed);
  const struct lsio_job_options *o = &l->options;
  return atomic_load(&l->cancelled) || (o->planning && o->planning(o->planning_user, listed, looked_at));
}

static void free_args(struct lsi_job_life *l) {
  const char *const *args = l->options.args;
  for (size_t i = 0; args && i < l->options.n_args; i++) lsi_free((char *)(uintptr_t)args[i]);
  lsi_free((void *)(uintptr_t)args);
  l->options.args = NULL;
}

/* It may have ended by now. Who cancelled it before did not know its run. */
static void started(struct lsio_job *job) {
  int planned = LSI_JOB_PLANS;
  atomic_compare_exchange_strong(&job->life.stage, &planned, LSI_JOB_RUNS);
  lsi_queue_tell(job); /* what it has to be taken by now */
  if (!atomic_load(&job->life.cancelled)) return;
  lsi_run_cancel(job->run);
  lsi_run_leave_queue(job->run);
}

static void plan(void *arg) {
  struct lsio_job *job = arg;
  struct lsi_job_life *l = &job->life;
  struct lsi_watch watch = {.tell = listing, .user = l};
  struct lsi_error e;
  lsi_error_clear(&e);
  const struct lsio_job_options o = l->options;
  int rc = atomic_load(&l->cancelled) ? LSIO_ERR_CANCELLED : 0;
  /* With its start it may end, and be gone. */
  atomic_fetch_add(&l->refs, 1);
  if (rc >= 0) rc = lsi_job_plan(job, &o, &watch, l->since_ns, &e);
  free_args(l);
  if (o.loaded) lsio_script_release((lsio_script *)(uintptr_t)o.loaded);
  if (rc == LSIO_ERR_CANCELLED && !e.code) lsi_fail(&e, rc, 0, "the job was cancelled");
  if (rc < 0) e.code = rc;
  if (rc < 0 || !job->run) {
    job->error = e;
    lsi_job_never_ran(job);
    ended(job);
  } else {
    started(job);
  }
  lsi_facts_refresh(job->context->facts);
  drop(job);
}

/* A plain read of few ranges, planned in less time than it takes to wake one thread for that and another one
 * to read. Facts that are to be asked anew are a helper's. */
static bool planned_by_worker(struct lsio_job *job) {
  struct lsi_job_life *l = &job->life;
  if (!lsi_job_is_plain(job, &l->options) || lsi_queue_coordinates(l->queue)) return false;
  const lsio_request *g = job->given;
  if (lsi_given_ranges(g) > SMALL_RANGES || lsi_given_objects(g) > SMALL_OBJECTS) return false;
  if (lsi_facts_are_old(job->context->facts)) return false;
  l->planner = (struct lsi_crew_task){.run = plan, .arg = job};
  return lsi_crew_do(job->context->crew, &l->planner);
}

/* The options that are still of use, their arrays copied. */
static int keep_options(struct lsio_job *job, const struct lsio_job_options *o, struct lsi_error *err) {
  struct lsi_job_life *l = &job->life;
  l->options = (struct lsio_job_options){.struct_size = sizeof *o,
                                         .script_length = o->script_length,
                                         .flags = o->flags,
                                         .loaded = o->loaded,
                                         .before_s = o->before_s};
  if (o->queue && lsi_queue_coordinates(o->queue)) {
    l->options.planning = o->planning;
    l->options.planning_user = o->planning_user;
  }
  char **args = o->n_args ? lsi_calloc(o->n_args, sizeof *args) : NULL;
  l->options.args = (const char *const *)args;
  if (o->n_args && !args) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a job's parameters");
  l->options.n_args = o->n_args;
  for (size_t i = 0; i < o->n_args; i++)
    if (!(args[i] = lsi_strdup(o->args[i])))
      return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a job's parameters");
  return 0;
}

/* One of its own, where it is given none. */
static int hold_queue(struct lsio_job *job, lsio_queue *given, struct lsi_error *err) {
  struct lsi_job_life *l = &job->life;
  l->own_queue = !given;
  l->queue = given ? given : lsi_queue_make(job->context, NULL);
  if (!l->queue) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a job");
  if (given) lsi_queue_hold(given);
  return 0;
}

int lsi_job_submit(struct lsio_job *job, const struct lsio_job_options *o, uint64_t at,
                   struct lsi_error *err) {
  struct lsi_job_life *l = &job->life;
  int rc = keep_options(job, o, err);
  if (rc >= 0) rc = hold_queue(job, o->queue, err);
  if (rc < 0) {
    free_args(l);
    return rc;
  }
  l->cookie = o->cookie;
  l->since_ns = at;
  l->tell = tell;
  l->drop = drop;
  atomic_init(&l->users, 1);
  atomic_init(&l->refs, 2); /* the caller's, and its life's */
  atomic_init(&l->stage, LSI_JOB_PLANS);
  if (o->loaded) lsi_script_host_ops->hold((struct lsi_loaded *)(uintptr_t)o->loaded);
  begin_life(job->context);
  lsi_queue_enter(job);
  if (planned_by_worker(job)) return 0;
  l->task = (struct lsi_task){.run = plan, .arg = job};
  /* Who has no queue waits for it now, as a rule. */
  if (l->own_queue) lsi_helpers_offer(job->context->helpers, &l->task);
  else lsi_queue_do(job);
  return 0;
}
