/* The C API as a program uses it, with what programs get wrong: bad options, a context that is busy,
 * cancel and destroy in mid-run, jobs one after the other in one context. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "polled.h"

#define BUSY_FOR "local t = os.clock() + %g while os.clock() < t do end\n"

static void refused(const struct lsio_job_options *o, int code, const char *part) {
  lsio_job *job = (lsio_job *)1;
  lsio_error *error = NULL;
  assert_int_equal(polled_submit(api_context, o, &job, &error), code);
  assert_ptr_equal(job, (lsio_job *)1);
  assert_int_equal(lsio_error_code(error), code);
  if (!strstr(lsio_error_message(error), part)) fail_msg("%s", lsio_error_message(error));
  lsio_error_free(error);
  assert_int_equal(polled_submit(api_context, o, &job, NULL), code); /* the error object is optional */
}

struct planning {
  int calls, answer;
  uint64_t listed, looked_at;
};

static int planning(void *user, uint64_t listed, uint64_t looked_at) {
  struct planning *p = user;
  p->calls++;
  p->listed = listed;
  p->looked_at = looked_at;
  return p->answer;
}

/* Listing may take long: the caller hears of it and may end it. */
static void test_planning_is_told(void **state) {
  (void)state;
  const char *const jobs[] = {
      "return require 'lsio'.job { source = require 'lsio'.files('*.f32'),"
      " transform = function() end, type = 'f32' }",
      API_COUNTS};
  for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
    struct planning p = {.answer = 1};
    struct lsio_job_options o = api_options(jobs[i], 0);
    o.planning = planning;
    o.planning_user = &p;
    lsio_job *job = NULL;
    lsio_error *error = NULL;
    assert_int_equal(polled_submit(api_context, &o, &job, &error), LSIO_ERR_CANCELLED);
    assert_int_equal(p.calls, 1); /* never again after it said no */
    assert_int_equal(lsio_error_code(error), LSIO_ERR_CANCELLED);
    lsio_error_free(error);
    p = (struct planning){0};
    assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
    assert_true(p.calls >= 1);
    assert_int_equal(polled_wait(job), 0);
    polled_destroy(job);
  }
}

static void test_bad_options(void **state) {
  (void)state;
  struct lsio_job_options o = api_options(API_COUNTS, 0);
  o.struct_size = 0;
  refused(&o, LSIO_ERR_USAGE, "struct_size");
  o = api_options(API_COUNTS, 0);
  o.script = NULL;
  refused(&o, LSIO_ERR_USAGE, "script");
  refused(NULL, LSIO_ERR_USAGE, "script");
  lsio_job *job;
  o = api_options(API_COUNTS, 0);
  assert_int_equal(polled_submit(NULL, &o, &job, NULL), LSIO_ERR_USAGE);
  assert_int_equal(polled_submit(api_context, &o, NULL, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsio_script_help(api_context, &o, NULL, NULL), LSIO_ERR_USAGE);

  static const struct {
    const char *setting, *part;
  } bad[] = {{"workers=0", "workers"},    {"wrokers=1", "workers"}, {"memory", "name=value"},
             {"memory=-1", "memory"},     {"=1", "setting"},        {"backend=mem", "backend"},
             {"shard=3/3", "0 <= I < N"}, {"merge=x", "merge"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    o.settings = &bad[i].setting;
    o.n_settings = 1;
    refused(&o, LSIO_ERR_USAGE, bad[i].part);
  }
  const char *argument = "--nonsense=1";
  o = api_options(API_COUNTS, 0);
  o.args = &argument;
  o.n_args = 1;
  refused(&o, LSIO_ERR_USAGE, "nonsense");

  static const char *const scripts[] = {"return 1", "syntax error", "\x1bLJ\x02", "", "error('x')"};
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
    o = api_options(scripts[i], 0);
    refused(&o, LSIO_ERR_SCRIPT, "job.lua");
  }
  o = api_options("return require 'lsio'.job { source = require 'lsio'.files('none') }", 0);
  refused(&o, LSIO_ERR_SOURCE, "none");
  o = api_options(API_HEAD "sink = require 'lsio'.raw('out') }", LSIO_JOB_STREAM);
  refused(&o, LSIO_ERR_USAGE, "stream");

  struct lsio_context_options none = {0};
  lsio_context *other = NULL;
  assert_int_equal(lsio_context_create(&none, &other, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsio_context_create(NULL, NULL, NULL), LSIO_ERR_USAGE);
  struct lsio_context_options flags = {.struct_size = sizeof flags, .flags = 1u << 31};
  assert_int_equal(lsio_context_create(&flags, &other, NULL), LSIO_ERR_USAGE);
  flags.struct_size = sizeof flags.struct_size; /* of a header that knew no flags */
  assert_int_equal(lsio_context_create(&flags, &other, NULL), 0);
  lsio_context_destroy(other);
  polled_destroy(NULL);
  lsio_context_destroy(NULL);
  lsio_error_free(NULL);
  lsio_free(NULL);
  assert_non_null(lsio_strerror(12345));
  assert_non_null(lsio_error_name(12345));
  assert_int_equal(api_files(), 1);
}

/* Jobs with scripts, several at once, from a thread of its own. */
static void *submitter(void *arg) {
  const lsio_script *loaded = arg;
  size_t wrong = 0;
  for (int i = 0; i < 40; i++) {
    struct lsio_job_options o = api_options(API_COUNTS, 0), l = {.struct_size = sizeof l, .loaded = loaded};
    lsio_job *a = NULL, *b = NULL;
    wrong += polled_submit(api_context, &o, &a, NULL) != 0 || polled_submit(api_context, &l, &b, NULL) != 0;
    if (i % 5 == 0) lsio_cancel(a);
    const int rc = polled_wait(a);
    wrong += polled_wait(b) != 0 || (rc != 0 && !(i % 5 == 0 && rc == LSIO_ERR_CANCELLED));
    wrong += !strstr(lsio_job_summary_json(b), "100000"); /* API_VALUES, its state */
    polled_destroy(b);
    polled_destroy(a);
  }
  return (void *)wrong;
}

static void test_many_threads(void **state) {
  (void)state;
  lsio_script *loaded = NULL;
  const struct lsio_job_options o = api_options(API_COUNTS, 0);
  assert_int_equal(lsio_script_load(api_context, &o, &loaded, NULL), 0);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, submitter, loaded), 0);
  for (int i = 0; i < 4; i++) {
    void *wrong;
    assert_int_equal(pthread_join(threads[i], &wrong), 0);
    assert_null(wrong);
  }
  lsio_script_release(loaded);
}

static void test_many_jobs(void **state) {
  (void)state;
  enum { JOBS = 6 };
  struct lsio_job_options o = api_options(API_COUNTS, 0);
  lsio_job *jobs[JOBS], *job;
  for (int i = 0; i < JOBS; i++) assert_int_equal(polled_submit(api_context, &o, &jobs[i], NULL), 0);
  char *text = NULL;
  assert_int_equal(lsio_script_help(api_context, &o, &text, NULL), 0);
  lsio_free(text);
  for (int i = JOBS - 1; i >= 0; i--) { /* in another order than they came, one of them before its end */
    json_t *s = i == 2 ? NULL : api_ends(jobs[i], 0);
    if (s) assert_true(api_number(json_object_get(s, "state"), "n") == API_VALUES);
    json_decref(s);
    polled_destroy(jobs[i]);
  }

  /* Two contexts do not meet. */
  lsio_context *other = NULL;
  lsio_job *second = NULL;
  assert_int_equal(lsio_context_create(NULL, &other, NULL), 0);
  job = api_submit(API_COUNTS, 0);
  assert_int_equal(polled_submit(other, &o, &second, NULL), 0);
  json_t *a = api_ends(job, 0), *b = api_ends(second, 0);
  assert_true(api_number(json_object_get(a, "state"), "n") == API_VALUES);
  assert_true(api_number(json_object_get(b, "state"), "n") == API_VALUES);
  json_decref(a);
  json_decref(b);
  api_close(job);
  polled_destroy(second);
  lsio_context_destroy(other);
}

static void test_plan_only(void **state) {
  (void)state;
  lsio_job *job = api_submit_polled(API_HEAD "sink = require 'lsio'.raw('out') }", LSIO_JOB_PLAN_ONLY);
  json_t *plan = json_loads(lsio_job_explain(job, 1), 0, NULL);
  static const char *const keys[] = {"chunks",        "operations",      "merged",
                                     "split",         "bytes_requested", "bytes_planned",
                                     "bytes_over_read", "memory",        "expected_s",
                                     "bound",         "devices"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (!json_object_get(plan, keys[i])) fail_msg("the plan has no %s", keys[i]);
  assert_int_equal((int)api_number(plan, "chunks"), API_STEPS);
  json_decref(plan);
  struct polled c;
  assert_int_equal(polled_take(job, &c, 1, -1), 1); /* nothing runs, nothing comes but its end */
  assert_int_equal(c.kind, POLLED_DONE);
  json_t *summary = api_ends(job, 0);
  assert_string_equal(json_string_value(json_object_get(summary, "status")), "planned");
  json_decref(summary);
  assert_null(lsio_job_error(job));
  lsio_cancel(job);
  char *activity = lsio_job_activity(job);
  assert_non_null(activity);
  lsio_free(activity);
  api_close(job);
  assert_int_equal(api_files(), 1);
}

/* ---- ends that nobody planned ---- */

static void slow_script(char *text, size_t cap, const char *more) {
  snprintf(text, cap, API_HEAD " transform = function(chunk)\n" BUSY_FOR " %s end }\n", 0.001, more);
}

static void test_cancel(void **state) {
  (void)state;
  char text[512];
  slow_script(text, sizeof text, "");
  lsio_job *job = api_submit(text, 0);
  struct lsio_progress p = {.struct_size = sizeof p};
  struct timespec pause = {.tv_nsec = 1000000};
  do {
    nanosleep(&pause, NULL);
    lsio_job_progress(job, &p);
  } while (p.steps < 10);
  char *activity = lsio_job_activity(job);
  assert_non_null(strstr(activity, "worker 0"));
  lsio_free(activity);
  lsio_cancel(job);
  lsio_cancel(job);
  json_t *s = api_ends(job, LSIO_ERR_CANCELLED);
  assert_string_equal(json_string_value(json_object_get(s, "status")), "cancelled");
  assert_int_equal((int)api_number(s, "exit_code"), 130);
  assert_int_equal(lsio_job_exit_code(job), 130);
  assert_true(api_number(s, "chunks") >= 10 && api_number(s, "chunks") < API_STEPS);
  json_decref(s);
  lsio_cancel(job); /* after the end too */
  api_close(job);
}

/* A poller that has gone away must not keep workers that wait for it. */
static void test_destroy_in_mid_run(void **state) {
  (void)state;
  static const char *const scripts[] = {
      API_HEAD " out_max = 50000, transform = function(chunk) return 50000 end }\n",
      API_HEAD " out_max = 50000, transform = function(chunk) return 50000 end,\n"
           " sink = lsio.npy('out') }\n",
      API_COUNTS};
  static const uint32_t flags[] = {LSIO_JOB_STREAM, 0, 0};
  for (int i = 0; i < 12; i++) {
    lsio_job *job = api_submit(scripts[i % 3], flags[i % 3]);
    struct timespec pause = {.tv_nsec = 4000000L * (i / 3)};
    nanosleep(&pause, NULL);
    struct polled c;
    if (i % 2 && flags[i % 3]) polled_take(job, &c, 1, 0);
    if (i % 2 && !flags[i % 3]) lsio_wait(job, 0);
    api_close(job);
    assert_int_equal(api_files(), 1);
  }
}

/* ---- reports ---- */

/* What the program took before counts as the start, and what it takes before it does the end is told. */
static void test_times_of_the_program(void **state) {
  (void)state;
  static const struct {
    double before_s, least;
  } cases[] = {{5, 5}, {0, 0}, {-1, 0}, {NAN, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct lsio_job_options o = api_options(API_HEAD " state = 'double n;', reduce = { n = 'sum' },\n"
                                            " transform = function() repeat local f = io.open('go') until f and f:close() end }\n", 0);
    o.before_s = cases[i].before_s;
    lsio_job *job = NULL;
    assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
    fclose(fopen("go", "wb"));
    struct lsio_progress p = {.struct_size = sizeof p};
    do lsio_job_progress(job, &p);
    while (p.workers_running);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    json_t *s = api_ends(job, 0);
    const double start = api_number(s, "start_s"), poll = api_number(s, "poll_s");
    assert_true(start > cases[i].least && start < cases[i].least + 2);
    assert_true(poll >= 0.02);
    assert_true(api_number(s, "total_s") >= start + poll + api_number(s, "read_s"));
    json_decref(s);
    api_close(job);
    unlink("go");
  }
}

static void test_summary(void **state) {
  (void)state;
  lsio_job *job = api_submit(API_COUNTS, 0);
  json_t *s = api_ends(job, 0);
  static const char *const numbers[] = {
      "exit_code",  "chunks",        "chunks_failed",   "operations",    "bytes_requested",
      "bytes_read", "bytes_decoded", "bytes_delivered", "bytes_written", "bytes_direct",
      "wall_s",     "cpu_s",         "peak_memory"};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    assert_true(api_number(s, numbers[i]) >= 0);
  static const char *const texts[] = {"status", "backend", "bound"};
  for (size_t i = 0; i < 3; i++)
    if (!json_is_string(json_object_get(s, texts[i]))) fail_msg("%s is no text", texts[i]);
  assert_int_equal((int)api_number(s, "bytes_requested"), sizeof api_values);
  assert_int_equal((int)api_number(s, "chunks"), API_STEPS);
  assert_true(api_number(json_object_get(s, "state"), "n") == API_VALUES);
  assert_int_equal(json_array_size(json_object_get(s, "errors")), 0);
  double steps = 0;
  size_t i;
  json_t *worker;
  json_array_foreach(json_object_get(s, "workers"), i, worker) {
    steps += api_number(worker, "steps");
    assert_true(api_number(worker, "wait_s") >= 0 && api_number(worker, "decode_s") >= 0 &&
                api_number(worker, "transform_s") >= 0 && api_number(worker, "place_s") >= 0);
  }
  assert_true(steps == API_STEPS);
  json_decref(s);
  struct lsio_progress p = {.struct_size = sizeof p};
  lsio_job_progress(job, &p);
  assert_int_equal(p.steps_requested, API_STEPS);
  assert_int_equal(p.steps, API_STEPS);
  assert_int_equal(p.bytes_requested, sizeof api_values);
  assert_int_equal(p.bytes_done, sizeof api_values);
  assert_int_equal(p.workers_running, 0);
  assert_true(p.elapsed_s > 0);
  /* A caller built against a shorter struct gets no byte more. */
  struct lsio_progress shorter;
  memset(&shorter, 0x55, sizeof shorter);
  shorter.struct_size = offsetof(struct lsio_progress, bytes_requested);
  lsio_job_progress(job, &shorter);
  assert_int_equal(shorter.steps_requested, API_STEPS);
  assert_int_equal(shorter.bytes_requested, 0x5555555555555555);
  api_close(job);
}

static void test_summary_without_state(void **state) {
  (void)state;
  json_t *s = api_ends(api_submit(API_COUNTS, LSIO_JOB_NO_STATE), 0);
  assert_true(json_is_null(json_object_get(s, "state")));
  assert_int_equal((int)api_number(s, "chunks"), API_STEPS);
  json_decref(s);
}

static void test_after_a_failure(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    lsio_job *job = api_submit(API_HEAD " sink = lsio.npy('out'), out_max = 1, transform = function(chunk)\n"
                                "  if chunk.index == 500 then error('no') end\n"
                                "  return 0 end }\n", 0);
    json_t *s = api_ends(job, LSIO_ERR_TRANSFORM);
    assert_int_equal((int)api_number(s, "exit_code"), 7);
    json_decref(s);
    const lsio_error *e = lsio_job_error(job);
    assert_non_null(strstr(lsio_error_message(e), "job.lua:4: no"));
    assert_int_equal(lsio_error_step(e), 500);
    api_close(job);
    assert_int_equal(api_files(), 1);
    job = api_submit(API_COUNTS, 0);
    s = api_ends(job, 0);
    assert_true(api_number(json_object_get(s, "state"), "n") == API_VALUES);
    json_decref(s);
    api_close(job);
  }
}

/* What a job leaves in upvalues, in its environment or in tables of the library of Lua is not there
 * for the next one; with the same text nothing is taken from a cache either. */
static void test_fresh_for_each_job(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    lsio_job *job = api_submit("local lsio = require 'lsio'\n"
                           "local calls, started = 0, {}\n"
                           "return lsio.job {\n"
                           " source = lsio.files('a.f32', { chunk = 400 }), type = 'f32',\n"
                           " state = 'double first, n;', reduce = { first = 'sum', n = 'sum' },\n"
                           " init = function(state, worker) started[#started + 1] = worker\n"
                           "  assert(#started == 1) end,\n"
                           " transform = function(chunk, state) calls = calls + 1\n"
                           "  if calls == 1 then state.first = state.first + 1 end\n"
                           "  state.n = state.n + chunk.n end,\n"
                           " done = function(r, info)\n"
                           "  local ran = 0\n"
                           "  for _, w in ipairs(info.workers) do\n"
                           "   if w.steps > 0 then ran = ran + 1 end end\n"
                           "  assert(r.first == ran and #started == 0) end }\n", 0);
    json_t *s = api_ends(job, 0);
    assert_true(api_number(json_object_get(s, "state"), "n") == API_VALUES);
    json_decref(s);
    api_close(job);
  }
}

/* ---- threads ---- */

static void *run_jobs(void *arg) {
  int *wrong = arg;
  lsio_context *own = NULL;
  *wrong = lsio_context_create(NULL, &own, NULL);
  for (int i = 0; i < 5 && !*wrong; i++) {
    struct lsio_job_options o = api_options(API_COUNTS, 0);
    lsio_job *job = NULL;
    *wrong = polled_submit(own, &o, &job, NULL);
    if (*wrong) break;
    *wrong = polled_wait(job);
    json_t *s = json_loads(lsio_job_summary_json(job), 0, NULL);
    if (json_number_value(json_object_get(json_object_get(s, "state"), "n")) != API_VALUES) *wrong = 1;
    json_decref(s);
    polled_destroy(job);
  }
  lsio_context_destroy(own);
  return NULL;
}

static void test_contexts_in_threads(void **state) {
  (void)state;
  pthread_t threads[4];
  int wrong[4];
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, run_jobs, &wrong[i]), 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < 4; i++) assert_int_equal(wrong[i], 0);
}

static void *watch_and_cancel(void *arg) {
  lsio_job *job = arg;
  struct lsio_progress p = {.struct_size = sizeof p};
  do {
    lsio_job_progress(job, &p);
    lsio_free(lsio_job_activity(job));
  } while (p.steps < 5);
  lsio_cancel(job);
  return NULL;
}

/* One thread polls, another looks on and cancels. */
static void test_cancel_from_a_thread(void **state) {
  (void)state;
  char text[512];
  slow_script(text, sizeof text, "return 'x'");
  for (int i = 0; i < 5; i++) {
    lsio_job *job = api_submit(text, LSIO_JOB_STREAM);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, watch_and_cancel, job), 0);
    json_decref(api_ends(job, LSIO_ERR_CANCELLED));
    pthread_join(thread, NULL);
    api_close(job);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(test_bad_options),
      API_TEST(test_many_jobs),
      API_TEST(test_many_threads),
      API_TEST(test_plan_only),
      API_TEST(test_cancel),
      API_TEST(test_planning_is_told),
      API_TEST(test_destroy_in_mid_run),
      API_TEST(test_times_of_the_program),
      API_TEST(test_summary), API_TEST(test_summary_without_state),
      API_TEST(test_after_a_failure),
      API_TEST(test_fresh_for_each_job),
      API_TEST(test_contexts_in_threads),
      API_TEST(test_cancel_from_a_thread),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
