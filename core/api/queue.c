/* See core/lsio/queue.h. A job is in its queue's list of jobs from its submission until its end has been
 * taken (then the queue lets go of it), and among those with something to tell from when it says so until all
 * has been taken. */
#include <string.h>

#include "api/forked.h"
#include "api/wakes.h"
#include "engine/state/alarms.h"
#include "ground/mem.h"
#include "memory/block.h"

#define STREAMS 16 /* events with results: who takes them waits for more, not for an end */
#define LOOK_NS 20000000 /* a wait ends so often while jobs go on: for memory figures, and cancelled jobs */

struct lsio_queue {
  lsio_context *context;
  struct lsio_queue_options options;
  atomic_uint refs;          /* the caller's, and one a job */
  atomic_bool look;          /* a job was cancelled: it may wait for memory, and need not */
  atomic_int bell;           /* -1: nobody has asked for it */
  atomic_uint n_ready, n_tasks;
  struct lsi_mutex *mutex;   /* of what follows */
  struct lsi_cond *cond;
  bool waits;                /* the consumer, for the cond */
  bool takes;                /* it is at it, and sees by itself what comes */
  bool stays;                /* it has come for its job's end, and does what there is to do until then */
  struct lsio_job *jobs;
  struct lsio_job *ready, **ready_end;
  struct lsi_task *tasks, **tasks_end; /* that the consumer is to do */
  struct lsi_wakes wakes;
  struct lsi_alarm alarm;    /* holds the queue while wakes.minded */
  /* the consumer's: */
  struct lsi_run_completion *lent; /* whose errors the last take told */
  uint32_t streamed;               /* events with results since a job has ended */
};

/* ---- queues ---- */

struct lsio_queue *lsi_queue_make(struct lsio_context *context, const struct lsio_queue_options *options) {
  lsio_queue *q = lsi_calloc(1, sizeof *q);
  if (q) {
    if (options) memcpy(&q->options, options, LSI_MIN(options->struct_size, sizeof q->options));
    q->mutex = lsi_os_mutex_create();
    q->cond = lsi_os_cond_create();
  }
  if (!q || !q->mutex || !q->cond) {
    if (q && q->mutex) lsi_os_mutex_destroy(q->mutex);
    if (q && q->cond) lsi_os_cond_destroy(q->cond);
    lsi_free(q);
    return NULL;
  }
  q->context = context;
  q->ready_end = &q->ready;
  q->tasks_end = &q->tasks;
  atomic_init(&q->refs, 1);
  atomic_init(&q->bell, -1);
  return q;
}

int lsio_queue_create(lsio_context *context, const struct lsio_queue_options *options, lsio_queue **out,
                      lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  if (!context || !out || (options && options->struct_size < sizeof options->struct_size)) {
    lsi_fail(&e, LSIO_ERR_USAGE, 0, "lsio_queue_create needs a context, `out`, and options with struct_size");
    return lsi_error_hand_out(&e, e.code, error);
  }
  if (lsi_refuse_parents(lsi_is_parents(context), "the context", &e) < 0)
    return lsi_error_hand_out(&e, e.code, error);
  lsio_queue *q = lsi_queue_make(context, options);
  if (!q) {
    lsi_fail(&e, LSIO_ERR_NOMEM, 0, "no memory for a queue");
    return lsi_error_hand_out(&e, e.code, error);
  }
  *out = q;
  return 0;
}

bool lsi_queue_coordinates(const struct lsio_queue *q) { return q->options.flags & LSIO_QUEUE_COORDINATES; }

struct lsio_context *lsi_queue_context(const struct lsio_queue *q) { return q->context; }

void lsi_queue_hold(struct lsio_queue *q) { atomic_fetch_add(&q->refs, 1); }

void lsi_queue_drop(struct lsio_queue *q) {
  if (atomic_fetch_sub(&q->refs, 1) != 1) return;
  if (q->alarm.ring) lsi_alarms_drop(q->context->alarms, &q->alarm); /* which may still be on its way out */
  lsi_run_free_completions(q->lent);
  if (q->bell >= 0) lsi_os_bell_destroy(q->bell);
  lsi_os_cond_destroy(q->cond);
  lsi_os_mutex_destroy(q->mutex);
  const struct lsio_queue_options o = q->options;
  lsi_free(q);
  if (o.notify_destroy) o.notify_destroy(o.notify_user);
}

/* Of all its jobs: nobody will take what they tell. */
void lsio_queue_release(lsio_queue *q) {
  if (!q || lsi_is_parents(q->context)) return;
  lsi_os_lock(q->mutex);
  for (struct lsio_job *job; (job = q->jobs);) {
    atomic_fetch_add(&job->life.refs, 1); /* its user may let go of it at the same time */
    lsi_os_unlock(q->mutex);
    lsi_queue_leave(job);
    job->life.drop(job);
    lsi_os_lock(q->mutex);
  }
  lsi_os_unlock(q->mutex);
  lsi_queue_drop(q);
}

int lsio_queue_fd(lsio_queue *q) {
  if (lsi_is_parents(q->context)) return -1;
  lsi_os_lock(q->mutex);
  int bell = atomic_load(&q->bell);
  if (bell < 0 && lsi_os_bell_create(&bell) != 0) bell = -1;
  atomic_store(&q->bell, bell);
  if (bell >= 0 && (q->ready || q->tasks)) lsi_os_bell_ring(bell);
  lsi_os_unlock(q->mutex);
  return bell;
}

/* ---- jobs ---- */

void lsi_queue_enter(struct lsio_job *job) {
  struct lsi_job_life *l = &job->life;
  struct lsio_queue *q = l->queue;
  atomic_fetch_add(&l->refs, 1);
  lsi_os_lock(q->mutex);
  l->listed_there = l->goes_on = true;
  q->wakes.running++;
  l->next = q->jobs;
  l->before = &q->jobs;
  if (l->next) l->next->life.before = &l->next;
  q->jobs = job;
  lsi_os_unlock(q->mutex);
}

static void unready(struct lsio_queue *q, struct lsio_job *job) {
  struct lsio_job **at = &q->ready;
  while (*at != job) at = &(*at)->life.next_ready;
  *at = job->life.next_ready;
  if (!*at) q->ready_end = at;
  job->life.ready = false;
  atomic_fetch_sub(&q->n_ready, 1);
}

/* Out of those that wait for the consumer, under the mutex; false: it is not there. */
static bool take_task(struct lsio_queue *q, struct lsi_task *t) {
  struct lsi_task **at = &q->tasks;
  while (*at && *at != t) at = &(*at)->next;
  if (!*at) return false;
  *at = t->next;
  if (!*at) q->tasks_end = at;
  atomic_fetch_sub(&q->n_tasks, 1);
  return true;
}

/* Under the mutex. Nobody will be told of it any more. */
static void told_end(struct lsio_queue *q, struct lsio_job *job) {
  q->wakes.running -= job->life.goes_on;
  job->life.goes_on = false;
}

/* What the consumer was to do is done by a helper. */
void lsi_queue_leave(struct lsio_job *job) {
  struct lsi_job_life *l = &job->life;
  struct lsio_queue *q = l->queue;
  lsi_os_lock(q->mutex);
  const bool was = l->listed_there;
  if (was) {
    *l->before = l->next;
    if (l->next) l->next->life.before = l->before;
    l->listed_there = false;
  }
  if (l->ready) unready(q, job);
  told_end(q, job);
  const bool undone = take_task(q, &l->task);
  q->wakes.held = q->wakes.held && q->ready;
  lsi_os_unlock(q->mutex);
  if (undone) lsi_helpers_do(q->context->helpers, &l->task);
  if (was) job->life.drop(job);
}

static void make_ready(struct lsio_queue *q, struct lsio_job *job) {
  job->life.ready = true;
  job->life.next_ready = NULL;
  *q->ready_end = job;
  q->ready_end = &job->life.next_ready;
  atomic_fetch_add(&q->n_ready, 1);
}

/* ---- waking the consumer ---- */

/* Under the mutex, which it lets go of: there is something for the consumer, who was woken for it if not
 * `wakes`. Under the mutex it would be woken to wait for that. */
static void wake(struct lsio_queue *q, bool wakes) {
  if (q->takes) wakes = false;
  if (wakes) {
    q->wakes.woken_ns = lsi_os_now_ns();
    q->wakes.held = false;
  }
  const bool waits = q->waits;
  lsi_os_unlock(q->mutex);
  if (!wakes) return;
  const int bell = atomic_load(&q->bell);
  if (bell >= 0) lsi_os_bell_ring(bell);
  if (waits) lsi_os_wake_all(q->cond);
  if (q->options.notify) q->options.notify(q->options.notify_user);
}

/* The alarm: wakes for what has been held long enough, and looks again while there may be more. */
static uint64_t look_at_held(void *user, uint64_t now_ns) {
  struct lsio_queue *q = user;
  lsi_os_lock(q->mutex);
  const bool due = lsi_wakes_due(&q->wakes, now_ns);
  if (due) q->wakes.held = false;
  const uint64_t next = lsi_wakes_look(&q->wakes, now_ns);
  if (!next) q->wakes.minded = false;
  wake(q, due);
  if (!next) lsi_queue_drop(q);
  return next;
}

/* Where it can't be set nothing is held from now on. */
static void set_alarm(struct lsio_queue *q) {
  struct lsi_error e;
  lsi_error_clear(&e);
  if (lsi_alarms_begin(q->context->alarms, &e) == 0) {
    lsi_alarms_set(q->context->alarms, &q->alarm);
    return;
  }
  lsi_os_lock(q->mutex);
  q->wakes.never = true;
  q->wakes.minded = false;
  wake(q, q->wakes.held);
  lsi_queue_drop(q);
}

/* Who waits in lsio_queue_take, awake for most of the time, is told at once: it brings more the sooner. The
 * context's workers are known once a job has a run. */
static bool may_be_held(struct lsio_queue *q, const struct lsio_job *job) {
  if (q->takes || q->waits || (!q->options.notify && atomic_load(&q->bell) < 0) || !job->run) return false;
  q->wakes.enough = LSI_WAKE_RUNNING * q->context->settings.workers;
  return lsi_wakes_holds(&q->wakes, atomic_load(&q->n_ready), job->life.since_ns, lsi_os_now_ns());
}

/* As wake, perhaps later: together with what comes until then. */
static void wake_in_time(struct lsio_queue *q, const struct lsio_job *job) {
  struct lsi_wakes *w = &q->wakes;
  if (!may_be_held(q, job)) {
    wake(q, true);
    return;
  }
  const bool minded = w->minded;
  w->held = w->minded = true;
  if (!minded) {
    q->alarm = (struct lsi_alarm){.at_ns = w->woken_ns + LSI_WAKE_NS, .ring = look_at_held, .user = q};
    lsi_queue_hold(q);
  }
  lsi_os_unlock(q->mutex);
  if (!minded) set_alarm(q);
}

/* Under the mutex. What a job tells before it is known to run is told once more then; what was told late has
 * been taken, perhaps: nobody is woken for nothing. */
static bool has_to_tell(const struct lsio_job *job) {
  const int stage = atomic_load(&job->life.stage);
  return job->life.listed_there &&
         (stage == LSI_JOB_ENDED || (stage == LSI_JOB_RUNS && lsi_run_has_told(job->run)));
}

void lsi_queue_tell(struct lsio_job *job) {
  struct lsi_job_life *l = &job->life;
  struct lsio_queue *q = l->queue;
  lsi_os_lock(q->mutex);
  const bool tells = has_to_tell(job), wakes = tells && (q->wakes.held || (!q->ready && !q->tasks));
  if (tells && !l->ready) make_ready(q, job);
  if (atomic_load(&l->stage) == LSI_JOB_ENDED) told_end(q, job);
  if (wakes) wake_in_time(q, job);
  else lsi_os_unlock(q->mutex);
}

/* Under the mutex. Of a queue that was released there is no consumer. */
static bool consumer_does(const struct lsio_queue *q, const struct lsio_job *job) {
  return job->life.listed_there && (q->stays || lsi_queue_coordinates(q));
}

/* Under the mutex, which it lets go of. */
static void give_to_consumer(struct lsio_queue *q, struct lsi_task *t) {
  const bool wakes = q->wakes.held || (!q->ready && !q->tasks);
  t->next = NULL;
  *q->tasks_end = t;
  q->tasks_end = &t->next;
  atomic_fetch_add(&q->n_tasks, 1);
  lsi_queue_hold(q); /* the consumer may do it at once, and let go of all */
  wake(q, wakes);
  lsi_queue_drop(q);
}

void lsi_queue_do(struct lsio_job *job) {
  struct lsio_queue *q = job->life.queue;
  struct lsi_task *t = &job->life.task;
  lsi_os_lock(q->mutex);
  if (consumer_does(q, job)) {
    give_to_consumer(q, t);
    return;
  }
  lsi_os_unlock(q->mutex);
  lsi_helpers_do(q->context->helpers, t);
}

void lsi_queue_stay(struct lsio_queue *q) {
  lsi_os_lock(q->mutex);
  q->stays = true;
  lsi_os_unlock(q->mutex);
}

void lsi_queue_look(struct lsio_queue *q) {
  atomic_store(&q->look, true);
  const int bell = atomic_load(&q->bell);
  if (bell >= 0) lsi_os_bell_ring(bell);
}

/* ---- taking ---- */

static struct lsio_event event_of(const struct lsio_job *job, enum lsio_event_kind kind) {
  return (struct lsio_event){.kind = kind, .job = (lsio_job *)(uintptr_t)job, .cookie = job->life.cookie};
}

static void add(atomic_uint_fast64_t *count, uint64_t n) {
  const uint64_t now = atomic_load_explicit(count, memory_order_relaxed) + n;
  atomic_store_explicit(count, now, memory_order_relaxed); /* there is one writer */
}

static void tell_completion(struct lsio_queue *q, struct lsio_job *job, struct lsi_run_completion *c,
                            struct lsio_event *out) {
  add(&job->taken.steps, c->error ? 1 : c->n);
  add(&job->taken.bytes, c->bytes);
  *out = event_of(job, c->error ? LSIO_EVENT_STEP_FAILED : LSIO_EVENT_RESULTS);
  if (c->error) {
    out->error = c->error;
    c->next = q->lent;
    q->lent = c;
    return;
  }
  out->n = c->n;
  out->block = c->block;
  out->data = c->block->data;
  out->results = c->block->results + c->from;
  lsi_block_count(c->block, c->bytes);
  lsi_block_lend(c->block);
  c->block = NULL;
  lsi_run_free_completion(c);
}

/* What it has to tell, at most `max` events; *more: there is more. What its run has had since it was last
 * taken from was told already. */
static size_t take_from(struct lsio_queue *q, struct lsio_job *job, struct lsio_event *out, size_t max,
                        bool *more) {
  const bool ended = atomic_load(&job->life.stage) == LSI_JOB_ENDED; /* before the last look */
  const bool runs = ended || atomic_load(&job->life.stage) == LSI_JOB_RUNS;
  struct lsi_job_taken *t = &job->taken;
  size_t n = 0;
  while (n < max) {
    if (!t->pending && runs && job->run) t->pending = lsi_run_take(job->run);
    struct lsi_run_completion *c = t->pending;
    if (!c) break;
    t->pending = c->next;
    tell_completion(q, job, c, &out[n++]);
  }
  *more = t->pending || (n == max && (ended || (runs && job->run && lsi_run_has_told(job->run))));
  if (!ended || *more) return n;
  out[n++] = event_of(job, LSIO_EVENT_DONE);
  return n;
}

/* The jobs' turns, in the order in which they said that they have something. */
static size_t drain(struct lsio_queue *q, struct lsio_event *out, size_t max) {
  size_t n = 0;
  lsi_os_lock(q->mutex);
  q->takes = true;
  q->wakes.held = false;
  for (struct lsio_job *job; n < max && (job = q->ready);) {
    unready(q, job);
    atomic_fetch_add(&job->life.refs, 1);
    lsi_os_unlock(q->mutex);
    bool more;
    n += take_from(q, job, out + n, max - n, &more);
    if (n && out[n - 1].kind == LSIO_EVENT_DONE && out[n - 1].job == job) lsi_queue_leave(job);
    lsi_os_lock(q->mutex);
    if (more && job->life.listed_there && !job->life.ready) make_ready(q, job);
    lsi_os_unlock(q->mutex);
    job->life.drop(job);
    lsi_os_lock(q->mutex);
  }
  q->takes = false;
  const bool more = q->ready || q->tasks;
  if (!more && q->bell >= 0) lsi_os_bell_clear(q->bell);
  wake(q, more);
  return n;
}

/* Those that were cancelled while they wait for memory need not wait to begin; and what is used of memory is
 * looked at. */
static void look_after_jobs(struct lsio_queue *q) {
  atomic_store(&q->look, false);
  for (;;) {
    struct lsio_job *found = NULL;
    lsi_os_lock(q->mutex);
    for (struct lsio_job *job = q->jobs; job && !found; job = job->life.next) {
      if (atomic_load(&job->life.stage) != LSI_JOB_RUNS) continue;
      lsi_run_note_memory(job->run, false);
      if (atomic_load(&job->life.cancelled) && lsi_run_queued(job->run)) found = job;
    }
    if (found) atomic_fetch_add(&found->life.refs, 1);
    lsi_os_unlock(q->mutex);
    if (!found) return;
    lsi_run_leave_queue(found->run);
    found->life.drop(found);
  }
}

/* Does what is the consumer's to do; or, if `all`, what a helper would do for one of the jobs and none has
 * begun. */
static bool help(struct lsio_queue *q, bool all) {
  lsi_os_lock(q->mutex);
  struct lsi_task *task = q->tasks;
  if (task) take_task(q, task);
  else all = all && lsi_helpers_are_behind(q->context->helpers); /* one question, not one of each job */
  for (struct lsio_job *job = q->jobs; all && job && !task; job = job->life.next)
    if (lsi_helpers_claim(q->context->helpers, &job->life.task)) task = &job->life.task;
  lsi_os_unlock(q->mutex);
  if (task) task->run(task->arg);
  return task;
}

/* Of a job that streams for long each wait is short, but awake it would take a CPU from the workers. */
static void note_streams(struct lsio_queue *q, const struct lsio_event *events, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (events[i].kind == LSIO_EVENT_RESULTS) q->streamed += q->streamed < STREAMS;
    if (events[i].kind == LSIO_EVENT_DONE) q->streamed = 0;
  }
}

static bool has_something(struct lsio_queue *q) {
  return atomic_load(&q->n_ready) || atomic_load(&q->n_tasks);
}

/* A job that ends at once is waited for awake. */
static bool wait_awake(struct lsio_queue *q, uint64_t until) {
  const struct lsi_spin *spin = &q->context->spin;
  if (!lsi_spin_pays(spin)) return false;
  until = LSI_MIN(until, lsi_os_now_ns() + spin->ns);
  while (!has_something(q) && lsi_os_now_ns() < until) lsi_spin_pause();
  return has_something(q);
}

static void wait_asleep(struct lsio_queue *q, uint64_t until) {
  lsi_os_lock(q->mutex);
  const uint64_t now = lsi_os_now_ns();
  int64_t ns = until == UINT64_MAX ? -1 : (int64_t)(until - LSI_MIN(until, now));
  if (q->jobs) ns = ns < 0 ? LOOK_NS : LSI_MIN(ns, LOOK_NS);
  q->waits = true;
  if (!q->ready && !q->tasks && ns) lsi_os_wait(q->cond, q->mutex, ns);
  q->waits = false;
  lsi_os_unlock(q->mutex);
}

int lsio_queue_take(lsio_queue *q, struct lsio_event *out, size_t max, int timeout_ms) {
  if (lsi_is_parents(q->context)) return LSIO_ERR_FORKED;
  lsi_run_free_completions(q->lent);
  q->lent = NULL;
  max = LSI_MIN(max, (size_t)INT32_MAX);
  const uint64_t before = lsi_os_now_ns();
  const uint64_t until = timeout_ms < 0 ? UINT64_MAX : before + (uint64_t)timeout_ms * 1000000;
  for (;;) {
    if (atomic_load(&q->look)) look_after_jobs(q);
    const size_t n = drain(q, out, max);
    note_streams(q, out, n);
    if (n) lsi_spin_took(&q->context->spin, lsi_os_now_ns() - before);
    if (n || !max) return (int)n;
    if (help(q, timeout_ms < 0)) continue;
    if (until != UINT64_MAX && lsi_os_now_ns() >= until) return 0;
    if (q->streamed < STREAMS && wait_awake(q, until)) continue;
    wait_asleep(q, until);
    look_after_jobs(q);
  }
}

/* ---- blocks ---- */

void lsio_block_retain(lsio_block *block) { lsi_block_lend_again(block); }
void lsio_block_release(lsio_block *block) { lsi_block_regain(block); }
