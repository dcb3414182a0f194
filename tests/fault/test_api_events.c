/* Queues: many jobs tell in one place what has come of them, and no call waits but the take that may. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"

static lsio_queue *queue;

static void make_queue(const struct lsio_queue_options *o) {
  assert_int_equal(lsio_queue_create(api_context, o, &queue, NULL), 0);
}

static int begin(void **state) {
  const int rc = api_begin(state);
  if (!rc) make_queue(NULL);
  return rc;
}

static int end(void **state) {
  lsio_queue_release(queue);
  return api_end(state);
}

#define QUEUE_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static lsio_job *submit_to(lsio_queue *q, const char *script, uint32_t flags, void *cookie) {
  struct lsio_job_options o = api_options(script, flags);
  o.queue = q;
  o.cookie = cookie;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (lsio_submit(api_context, &o, &job, &error) != 0) fail_msg("%s", lsio_error_message(error));
  return job;
}

static lsio_job *submit(const char *script, uint32_t flags, void *cookie) {
  return submit_to(queue, script, flags, cookie);
}

/* Takes until so many jobs have ended; 0 after 60 s. */
static int take_ends(int n, struct lsio_event *ends) {
  int found = 0;
  struct lsio_event e[16];
  while (found < n) {
    const int k = lsio_queue_take(queue, e, 16, 60000);
    if (!k) return 0;
    for (int i = 0; i < k; i++) {
      if (e[i].kind == LSIO_EVENT_RESULTS) lsio_block_release(e[i].block);
      if (e[i].kind == LSIO_EVENT_DONE) ends[found++] = e[i];
    }
  }
  return 1;
}

#define ECHO API_HEAD " transform = function(chunk) return chunk.index % 3 == 0 and 'x' .. chunk.index end }\n"

struct counts {
  int results[API_STEPS], done;
};

static void check_result(const struct lsio_event *e, const struct lsio_result *r) {
  char want[32];
  const char *data = e->data + r->begin;
  struct counts *c = e->cookie;
  assert_true(r->step < API_STEPS);
  c->results[r->step]++;
  const int n = r->step % 3 ? 0 : snprintf(want, sizeof want, "x%llu", (unsigned long long)r->step);
  assert_int_equal(r->is_record, n > 0);
  assert_int_equal(r->length, n);
  assert_int_equal((uintptr_t)data % 64, 0);
  assert_memory_equal(data, want, (size_t)n);
}

static void results_of_many_jobs(void **state) {
  (void)state;
  enum { JOBS = 12 };
  static struct counts counts[JOBS];
  lsio_job *jobs[JOBS];
  memset(counts, 0, sizeof counts);
  for (int i = 0; i < JOBS; i++) jobs[i] = submit(ECHO, LSIO_JOB_STREAM, &counts[i]);
  for (int left = JOBS; left;) {
    struct lsio_event e[7];
    const int n = lsio_queue_take(queue, e, 7, 60000);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
      struct counts *c = e[i].cookie;
      assert_ptr_equal(e[i].job, jobs[c - counts]);
      assert_int_equal(c->done, 0);
      for (uint32_t k = 0; k < e[i].n; k++) check_result(&e[i], &e[i].results[k]);
      lsio_block_release(e[i].block);
      if (e[i].kind != LSIO_EVENT_DONE) continue;
      assert_int_equal(lsio_job_status(e[i].job), 0);
      c->done = 1;
      left--;
    }
  }
  struct lsio_event none;
  assert_int_equal(lsio_queue_take(queue, &none, 1, 0), 0);
  for (int i = 0; i < JOBS; i++) {
    for (int s = 0; s < API_STEPS; s++) assert_int_equal(counts[i].results[s], 1);
    lsio_job_release(jobs[i]);
  }
}

/* What is wrong is told at the job's end, wherever it is found. */
static void errors_come_with_the_end(void **state) {
  (void)state;
  static const struct {
    const char *script;
    int code;
  } cases[] = {
      {"this is no Lua", LSIO_ERR_SCRIPT},
      {"local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files('absent*') }", LSIO_ERR_SOURCE},
      {API_HEAD " transform = function() error('no') end }", LSIO_ERR_TRANSFORM},
      {API_HEAD " state = 'double n;', reduce = { n = 'sum' }, transform = function() end,\n"
                " done = function() error('late') end }", LSIO_ERR_TRANSFORM},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    lsio_job *job = submit(cases[i].script, 0, NULL);
    struct lsio_event e;
    assert_true(take_ends(1, &e));
    assert_ptr_equal(e.job, job);
    if (lsio_job_status(job) != cases[i].code)
      fail_msg("case %zu: %s", i, lsio_error_name(lsio_job_status(job)));
    assert_non_null(strstr(lsio_job_summary_json(job), "\"failed\""));
    assert_int_equal(lsio_job_explain(job, 0) != NULL, i > 1); /* without a plan there is none */
    assert_true(strlen(lsio_error_message(lsio_job_error(job))) > 10);
    lsio_job_release(job);
  }
}

static void failed_steps_are_told(void **state) {
  (void)state;
  lsio_job *job = submit(API_HEAD " on_error = 'skip', transform = function(chunk)\n"
                                  " if chunk.index % 100 == 7 then error('seven') end return 'x' end }",
                         LSIO_JOB_STREAM, NULL);
  int failed = 0;
  for (int done = 0; !done;) {
    struct lsio_event e[16];
    const int n = lsio_queue_take(queue, e, 16, 60000);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
      if (e[i].kind == LSIO_EVENT_STEP_FAILED) {
        assert_int_equal(lsio_error_step(e[i].error) % 100, 7);
        failed++;
      }
      lsio_block_release(e[i].block);
      done |= e[i].kind == LSIO_EVENT_DONE;
    }
  }
  assert_int_equal(failed, API_STEPS / 100);
  assert_int_equal(lsio_job_exit_code(job), 1);
  lsio_job_release(job);
}

#define SPINS API_HEAD " transform = function() local f repeat f = io.open('go') until f f:close() end }\n"

static void let_go(void) {
  FILE *f = fopen("go", "w");
  assert_non_null(f);
  fclose(f);
}

/* Nothing is told of a job that was released, and its context waits for it. */
static void released_jobs_end_by_themselves(void **state) {
  (void)state;
  lsio_job *spins = submit(SPINS, 0, (void *)1), *other = submit(API_COUNTS, 0, (void *)2);
  struct lsio_progress p = {.struct_size = sizeof p};
  struct lsio_event e;
  assert_true(take_ends(1, &e));
  assert_ptr_equal(e.cookie, (void *)2);
  lsio_job_progress(spins, &p);
  lsio_job_retain(spins);
  lsio_job_release(spins);
  lsio_job_release(spins); /* it spins */
  lsio_job_release(other);
  for (int i = 0; i < 40; i++) lsio_job_release(submit(i % 2 ? API_COUNTS : ECHO, i % 2 ? 0 : LSIO_JOB_STREAM, (void *)3));
  assert_int_equal(lsio_queue_take(queue, &e, 1, 20), 0);
  let_go();
  lsio_queue_release(queue);
  queue = NULL;
  lsio_context_destroy(api_context);
  api_context = NULL;
  assert_int_equal(unlink("go"), 0);
}

static void cancelled_while_it_plans_or_runs(void **state) {
  (void)state;
  for (int i = 0; i < 60; i++) {
    lsio_job *job = submit(ECHO, LSIO_JOB_STREAM, NULL);
    if (i % 3) nanosleep(&(struct timespec){.tv_nsec = 50000 * i}, NULL);
    lsio_cancel(job);
    struct lsio_event e;
    assert_true(take_ends(1, &e));
    const int status = lsio_job_status(job);
    assert_true(status == 0 || status == LSIO_ERR_CANCELLED);
    if (i == 0) assert_int_equal(status, LSIO_ERR_CANCELLED);
    lsio_job_release(job);
  }
}

/* One that waits for memory is ended by a take that finds it cancelled. */
static void cancelled_while_it_waits_for_memory(void **state) {
  (void)state;
  const char *const memory[] = {"memory=8MiB", "workers=1"};
  lsio_context *context;
  lsio_queue *q;
  const struct lsio_context_options c = {.struct_size = sizeof c, .settings = memory, .n_settings = 2};
  assert_int_equal(lsio_context_create(&c, &context, NULL), 0);
  assert_int_equal(lsio_queue_create(context, NULL, &q, NULL), 0);
  lsio_job *jobs[2];
  for (int i = 0; i < 2; i++) {
    struct lsio_job_options o = api_options(API_HEAD " out_max = 700000,"
        " transform = function(chunk) local f repeat f = io.open('go') until f f:close() return 1 end }", LSIO_JOB_STREAM);
    o.settings = NULL;
    o.n_settings = 0;
    o.queue = q;
    assert_int_equal(lsio_submit(context, &o, &jobs[i], NULL), 0);
    struct lsio_context_stats s = {.struct_size = sizeof s};
    while (i ? !s.jobs_queued : !s.memory_reserved) lsio_context_get_stats(context, &s);
  }
  lsio_cancel(jobs[1]);
  struct lsio_event e;
  while (lsio_queue_take(q, &e, 1, 60000) == 1 && e.kind != LSIO_EVENT_DONE) lsio_block_release(e.block);
  assert_ptr_equal(e.job, jobs[1]);
  assert_int_equal(lsio_job_status(jobs[1]), LSIO_ERR_CANCELLED);
  let_go();
  for (int i = 0; i < 2; i++) lsio_job_release(jobs[i]);
  lsio_queue_release(q);
  lsio_context_destroy(context);
  assert_int_equal(unlink("go"), 0);
}

static void blocks_outlive_their_context(void **state) {
  (void)state;
  lsio_block *kept[API_STEPS];
  struct lsio_event events[API_STEPS], e;
  int n = 0;
  lsio_job *job = submit(API_HEAD " out_max = 100, transform = function(chunk)\n"
                                  " for i = 0, 99 do chunk.out[i] = chunk.data[i] end return 100 end }",
                         LSIO_JOB_STREAM, NULL);
  while (lsio_queue_take(queue, &e, 1, 60000) == 1 && e.kind != LSIO_EVENT_DONE) {
    lsio_block_retain(e.block);
    lsio_block_release(e.block);
    events[n] = e;
    kept[n++] = e.block;
  }
  lsio_job_release(job);
  lsio_queue_release(queue);
  queue = NULL;
  lsio_context_destroy(api_context);
  api_context = NULL;
  int results = 0;
  for (int i = 0; i < n; i++) {
    for (uint32_t k = 0; k < events[i].n; k++, results++) {
      const struct lsio_result *r = &events[i].results[k];
      assert_int_equal(r->length, 400);
      assert_memory_equal(events[i].data + r->begin, api_values + r->step * 100, 400);
    }
    lsio_block_release(kept[i]);
  }
  assert_int_equal(results, API_STEPS);
}

static void *release_jobs(void *jobs) {
  for (lsio_job **j = jobs; *j; j++) lsio_job_release(*j);
  return NULL;
}

/* Users of jobs and of their queue let go at once. */
static void queue_and_jobs_are_released_at_once(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    enum { JOBS = 16 };
    lsio_job *jobs[JOBS + 1] = {NULL};
    for (int k = 0; k < JOBS; k++) jobs[k] = submit(k % 2 ? API_COUNTS : ECHO, k % 2 ? 0 : LSIO_JOB_STREAM, NULL);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, release_jobs, jobs), 0);
    lsio_queue_release(queue);
    assert_int_equal(pthread_join(thread, NULL), 0);
    make_queue(NULL);
  }
}

static atomic_int rung, gone;
static void ring(void *user) { atomic_fetch_add((atomic_int *)user, 1); }
static void forget(void *user) { (void)user, atomic_fetch_add(&gone, 1); }

/* By notify and by descriptor nobody has to wait in lsio_queue_take. */
static void consumers_are_woken(void **state) {
  (void)state;
  lsio_queue_release(queue);
  atomic_store(&rung, 0);
  atomic_store(&gone, 0);
  make_queue(&(struct lsio_queue_options){.struct_size = sizeof(struct lsio_queue_options), .notify = ring,
                                          .notify_user = &rung, .notify_destroy = forget});
  struct pollfd fd = {.fd = lsio_queue_fd(queue), .events = POLLIN};
  assert_true(fd.fd >= 0);
  assert_int_equal(poll(&fd, 1, 0), 0);
  lsio_job *job = submit(ECHO, LSIO_JOB_STREAM, NULL);
  int results = 0, takes = 0;
  for (bool done = false; !done; takes++) {
    struct lsio_event e[64];
    if (poll(&fd, 1, 60000) != 1) fail_msg("the bell is silent after %d results", results);
    const int n = lsio_queue_take(queue, e, 64, 0);
    for (int i = 0; i < n; i++) {
      results += (int)e[i].n;
      lsio_block_release(e[i].block);
      done |= e[i].kind == LSIO_EVENT_DONE;
    }
  }
  assert_int_equal(results, API_STEPS);
  while (poll(&fd, 1, 0)) { /* for what has been taken: once, perhaps */
    struct lsio_event e;
    assert_int_equal(lsio_queue_take(queue, &e, 1, 0), 0);
  }
  assert_true(atomic_load(&rung) > 0 && atomic_load(&rung) <= takes + 1);
  lsio_job_release(job);
  assert_int_equal(atomic_load(&gone), 0);
  lsio_queue_release(queue);
  queue = NULL;
  lsio_context_destroy(api_context); /* the job held the queue too */
  api_context = NULL;
  assert_int_equal(atomic_load(&gone), 1);
}

struct owned {
  pthread_mutex_t mutex;
  lsio_queue *queue;
  lsio_job *job;
};

static void release_all(void *user) {
  struct owned *o = user;
  pthread_mutex_lock(&o->mutex); /* until it is known what there is */
  lsio_job_release(o->job);
  lsio_queue_release(o->queue);
  o->job = NULL;
  o->queue = NULL;
  pthread_mutex_unlock(&o->mutex);
}

/* As a task does that is dropped when it is woken. */
static void notify_may_release_its_queue(void **state) {
  (void)state;
  for (int i = 0; i < 200; i++) {
    struct owned o = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    const struct lsio_queue_options how = {.struct_size = sizeof how, .notify = release_all, .notify_user = &o,
                                           .notify_destroy = forget};
    atomic_store(&gone, 0);
    pthread_mutex_lock(&o.mutex);
    assert_int_equal(lsio_queue_create(api_context, &how, &o.queue, NULL), 0);
    o.job = submit_to(o.queue, i % 2 ? API_COUNTS : ECHO, i % 2 ? 0 : LSIO_JOB_STREAM, NULL);
    pthread_mutex_unlock(&o.mutex);
    while (!atomic_load(&gone)) usleep(100);
  }
}

static double cpu_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* No call does what takes long: listing, the script's top level, a merge; and none waits, for a job that spins
 * until this test has ended, or for results. */
static void no_call_waits(void **state) {
  (void)state;
  static const char slow[] =
      "local lsio = require 'lsio'\n"
      "local function spin() local t = os.clock() repeat until os.clock() - t > 0.2 end\n"
      "spin()\n"
      "return lsio.job { source = lsio.files('a.f32', { chunk = 400 }), type = 'f32',\n"
      " state = function() return { n = 0 } end, transform = function(c, s) s.n = s.n + c.n end,\n"
      " reduce = function(a, b) spin() return { n = a.n + b.n } end, done = spin }";
  static const char writes[] = API_HEAD " sink = lsio.npy('out.npy', { type = 'f32' }) }";
  const char *const scripts[] = {slow, SPINS, writes};
  lsio_job *job[3];
  struct lsio_progress p = {.struct_size = sizeof p};
  struct lsio_event e;
  double most = 0, before = cpu_s();
  for (int i = 0; i < 3; i++) job[i] = submit(scripts[i], 0, NULL);
  most = cpu_s() - before;
  for (int ends = 0; ends < 2;) { /* as a program with a loop of its own does */
    before = cpu_s();
    if (lsio_queue_take(queue, &e, 1, 0) == 1) ends += e.kind == LSIO_EVENT_DONE;
    for (int i = 0; i < 3; i++) lsio_job_progress(job[i], &p);
    const double took = cpu_s() - before;
    if (took > most) most = took;
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
  }
  before = cpu_s();
  for (int i = 0; i < 3; i++) lsio_job_release(job[i]);
  if (cpu_s() - before > most) most = cpu_s() - before;
  let_go();
  if (most > 0.1) fail_msg("one call took %g s of the CPU", most); /* each of what is not its task takes twice that */
  assert_int_equal(unlink("out.npy"), 0);
  lsio_queue_release(queue);
  queue = NULL;
  lsio_context_destroy(api_context);
  api_context = NULL;
  assert_int_equal(unlink("go"), 0);
}

/* Until its workers have nothing more to do, or stop for what waits to be taken. */
static void settle(const lsio_job *job) {
  struct lsio_progress p = {.struct_size = sizeof p};
  uint64_t before;
  do {
    before = p.steps;
    usleep(100000);
    lsio_job_progress(job, &p);
  } while (!p.steps || p.steps != before);
}

/* Of what comes while others are being taken nobody tells when those are taken one by one, up to the last. */
static void large_results_one_by_one(void **state) {
  (void)state;
  lsio_job *job = submit("local lsio = require 'lsio'\nlocal at = {} for i = 1, 120 do at[i] = 0 end\n"
                         "return lsio.job { source = lsio.ranges { objects = { 'a.f32' }, object = at,\n"
                         "  offset = at, length = 400000 }, merge = 'never' }\n", LSIO_JOB_STREAM, NULL);
  struct lsio_event e = {.kind = 0};
  int results = 0;
  settle(job);
  while (e.kind != LSIO_EVENT_DONE) {
    if (lsio_queue_take(queue, &e, 1, 10000) != 1) fail_msg("nothing comes after %d results", results);
    if (results == 0) settle(job);
    results += e.kind == LSIO_EVENT_RESULTS ? (int)e.n : 0;
    lsio_block_release(e.block);
  }
  assert_int_equal(results, 120);
  lsio_job_release(job);
}

#define FAILS                                                                                          \
  "local lsio = require 'lsio'\n"                                                                       \
  "return lsio.job { source = lsio.files('a.f32', { chunk = 4 }), on_error = 'skip',\n"                 \
  " transform = function() error('no') end }\n"

/* 100,000 steps that fail, hundreds of MB of errors: those that nobody takes hold up the workers, and nothing is
 * lost. */
static void failures_wait_to_be_taken(void **state) {
  (void)state;
  static uint8_t told[API_VALUES];
  memset(told, 0, sizeof told);
  lsio_job *job = submit(FAILS, 0, NULL);
  struct lsio_progress p = {.struct_size = sizeof p};
  uint64_t before = 0;
  do {
    before = p.steps_failed;
    usleep(100000);
    lsio_job_progress(job, &p);
  } while (p.steps_failed != before || !before);
  assert_in_range(p.queued, 1000, 30000);
  assert_int_equal(p.steps_failed, p.queued);
  struct lsio_event e[64];
  uint64_t n = 0;
  for (bool done = false; !done;) {
    const int k = lsio_queue_take(queue, e, 64, 60000);
    assert_true(k > 0);
    for (int i = 0; i < k; i++) {
      done |= e[i].kind == LSIO_EVENT_DONE;
      if (e[i].kind != LSIO_EVENT_STEP_FAILED) continue;
      assert_int_equal(told[lsio_error_step(e[i].error)]++, 0);
      n++;
    }
  }
  assert_int_equal(n, API_VALUES);
  lsio_job_release(job);
}

int main(void) {
  alarm(600); /* a test that fails leaves jobs open, for which their context would wait */
  const struct CMUnitTest tests[] = {
      QUEUE_TEST(results_of_many_jobs),
      QUEUE_TEST(errors_come_with_the_end),
      QUEUE_TEST(failed_steps_are_told),
      QUEUE_TEST(released_jobs_end_by_themselves),
      QUEUE_TEST(cancelled_while_it_plans_or_runs),
      QUEUE_TEST(cancelled_while_it_waits_for_memory),
      QUEUE_TEST(blocks_outlive_their_context),
      QUEUE_TEST(queue_and_jobs_are_released_at_once),
      QUEUE_TEST(consumers_are_woken),
      QUEUE_TEST(notify_may_release_its_queue),
      QUEUE_TEST(large_results_one_by_one),
      QUEUE_TEST(failures_wait_to_be_taken),
      QUEUE_TEST(no_call_waits),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
