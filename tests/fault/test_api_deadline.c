/* Deadlines of jobs, as programs see them. Nothing here depends on how fast the machine is: what is to be too
 * late takes longer than its deadline however fast it goes, and what is to be in time has an hour. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "ground/base.h"
#include "ground/mem.h"
#include "late_job.h"
#include "plain.h"
#include "polled.h"

/* ---- what may fail: the linker's --wrap (tests/CMakeLists.txt) ---- */

static atomic_bool no_thread;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg) {
  return atomic_load(&no_thread) ? EAGAIN : __real_pthread_create(thread, attr, fn, arg);
}

/* ---- jobs ---- */

static lsio_job *submit(const char *script, uint32_t flags, const char *deadline, bool skip) {
  const char *const settings[] = {"workers=2", "merge=never", deadline, "on-error=skip"};
  lsio_error *error = NULL;
  int rc;
  lsio_job *job = late_try(script, flags, settings, skip ? 4 : 3, &rc, &error);
  if (!job) fail_msg("%s", lsio_error_message(error));
  return job;
}

static bool has_passed(const lsio_job *job) {
  struct lsio_progress p = {.struct_size = sizeof p};
  lsio_job_progress(job, &p);
  return p.deadline_passed;
}

/* ---- fail ---- */

static void it_ends_the_job(void **state) {
  (void)state;
  lsio_job *job = late_submit(SLOW(COPY, "sink = lsio.npy('out.npy')"), 0, false, NULL);
  json_t *s = api_ends(job, LSIO_ERR_LIMIT);
  assert_int_equal(lsio_job_exit_code(job), 9);
  assert_int_equal((int)api_number(s, "exit_code"), 9);
  assert_string_equal(json_string_value(json_object_get(s, "status")), "failed");
  late_says(lsio_error_message(lsio_job_error(job)),
       (const char *const[]){"the deadline of ", " has passed after ", " of 1,000 steps; worker 0: ", "; worker 1: ",
                             "allow more time with --deadline", NULL});
  assert_int_equal(lsio_error_kind(lsio_job_error(job)), LSIO_KIND_TIMEOUT);
  assert_true(has_passed(job));
  assert_int_equal(api_files(), 1); /* nothing was published, and nothing is left of it */
  json_decref(s);
  api_close(job);
}

static void nobody_need_poll(void **state) {
  (void)state;
  lsio_job *job = late_submit(SLOW("", ""), 0, false, NULL);
  struct pollfd bell = {.fd = polled_fd(job), .events = POLLIN};
  assert_int_equal(poll(&bell, 1, 60000), 1);
  struct lsio_progress p = {.struct_size = sizeof p, .workers_running = 1};
  for (int i = 0; i < 6000 && p.workers_running; i++) { /* it may ring for a step that was interrupted */
    usleep(10000);
    lsio_job_progress(job, &p);
  }
  assert_true(p.deadline_passed && !p.workers_running && p.steps < p.steps_requested);
  assert_int_equal(polled_wait(job), LSIO_ERR_LIMIT);
  api_close(job);
}

static void in_time_it_changes_nothing(void **state) {
  (void)state;
  for (int skip = 0; skip < 2; skip++) {
    lsio_job *job = submit(API_COUNTS, 0, "deadline=1h", skip);
    json_t *s = api_ends(job, 0);
    assert_int_equal(lsio_job_exit_code(job), 0);
    assert_int_equal((int)api_number(s, "steps"), API_STEPS);
    assert_int_equal((int)api_number(s, "steps_left"), 0);
    assert_true(json_is_null(json_object_get(s, "at_deadline")));
    assert_false(has_passed(job));
    json_decref(s);
    api_close(job);
  }
}

/* Of jobs that are destroyed, cancelled or done before: nobody comes back to them. */
static void jobs_that_are_gone(void **state) {
  (void)state;
  static const char *const deadlines[] = {"deadline=2ms", "deadline=5ms", "deadline=10ms", "deadline=1h"};
  for (int i = 0; i < 200; i++) {
    const char *const settings[] = {"workers=2", "merge=never", deadlines[i / 2 % 4], "on-error=skip"};
    int rc;
    lsio_job *job = late_try(i & 1 ? SLOW("", "") : API_COUNTS, 0, settings, i & 8 ? 4 : 3, &rc, NULL);
    if (!job) assert_int_equal(rc, LSIO_ERR_LIMIT);
    if (!job) continue;
    if (i % 5 == 0) lsio_cancel(job);
    if (i % 3 == 0) usleep((unsigned)(i % 7) * 700);
    if (i % 10 == 0) polled_wait(job);
    api_close(job);
  }
}

/* ---- skip ---- */

static void what_has_run_is_published(void **state) {
  (void)state;
  static float got[API_VALUES];
  lsio_job *job = late_submit(SLOW(COPY, "fill = -1, sink = lsio.raw('out.raw')"), 0, true, NULL);
  const uint64_t ran = late_ends_in_part(job);
  FILE *f = fopen("out.raw", "rb");
  assert_non_null(f);
  assert_int_equal(fread(got, 4, API_VALUES, f), API_VALUES);
  assert_int_equal(fgetc(f), EOF);
  fclose(f);
  late_check_values(got, ran);
  assert_int_equal(api_files(), 2);
  unlink("out.raw");
  api_close(job);
}

static void in_memory_too(void **state) {
  (void)state;
  static float got[API_VALUES];
  lsio_job *job = late_submit(SLOW(COPY, "fill = -1, sink = lsio.memory()"), 0, true, got);
  late_check_values(got, late_ends_in_part(job));
  api_close(job);
}

/* `done` is told, after the output has its name. */
static void done_is_called(void **state) {
  (void)state;
  lsio_job *job = late_submit(SLOW(COPY, "fill = 0, sink = lsio.raw('out.raw'), done = function(r, info)\n"
                              " local f = assert(io.open('out.raw')) f:close()\n"
                              " assert(r.n == info.steps and info.steps_left == 1000 - r.n)\n"
                              " assert(info.exit_code == 9 and info.status == 'skipped')\n"
                              " assert(info.at_deadline:find('worker 0', 1, true)) end"),
                         0, true, NULL);
  late_ends_in_part(job);
  unlink("out.raw");
  api_close(job);
}

/* Each step comes once: as a result, or as one that has failed. */
static void every_step_of_a_stream_comes_once(void **state) {
  (void)state;
  static uint8_t seen[API_STEPS];
  memset(seen, 0, sizeof seen);
  lsio_job *job = late_submit(SLOW(TELL, ""), LSIO_JOB_STREAM, true, NULL);
  struct polled c[7];
  uint64_t results = 0, failed = 0;
  for (bool done = false; !done;) {
    const int n = polled_take(job, c, 7, -1);
    for (int i = 0; i < n; i++) {
      if ((done = c[i].kind == POLLED_DONE)) continue;
      assert_int_equal(seen[c[i].step]++, 0);
      results += c[i].kind == POLLED_STEP;
      if (c[i].kind == POLLED_STEP) {
        char index[16];
        const int length = snprintf(index, sizeof index, "%u", (unsigned)c[i].step);
        assert_int_equal(c[i].length, length);
        assert_memory_equal(c[i].data, index, length);
      } else {
        failed++;
        assert_int_equal(lsio_error_code(c[i].error), LSIO_ERR_LIMIT);
        assert_true(lsio_error_step(c[i].error) == c[i].step);
      }
    }
  }
  assert_int_equal(results + failed, API_STEPS);
  assert_true(failed > 0);
  assert_int_equal(late_ends_in_part(job), results);
  api_close(job);
}

/* ---- before it begins ---- */

#define BYTES ((uint64_t)API_VALUES * 4)
#define LONG_RANGES 100

/* One holds the memory, for nobody polls it; the other one waits for that. */
static void it_counts_in_the_queue(void **state) {
  (void)state;
  static struct plain_range ranges[LONG_RANGES];
  for (int i = 0; i < LONG_RANGES; i++) ranges[i] = (struct plain_range){"a.f32", 0, BYTES, i};
  const char *const of_context[] = {"memory=4MiB", "workers=2"};
  const struct lsio_context_options o = {
      .struct_size = sizeof o, .flags = LSIO_CONTEXT_NO_ENV, .settings = of_context, .n_settings = 2};
  lsio_context *small = NULL;
  assert_int_equal(lsio_context_create(&o, &small, NULL), 0);
  const struct plain first = {.n = LONG_RANGES, .ranges = ranges};
  lsio_job *holds = NULL;
  assert_int_equal(plain_submit(small, &first, &holds, NULL), 0);
  for (int skip = 0; skip < 2; skip++) {
    const char *const settings[] = {"deadline=20ms", "on-error=skip"};
    const struct plain p = {.n = 3, .ranges = ranges, .settings = settings, .n_settings = 1 + (size_t)skip};
    lsio_job *job = NULL;
    assert_int_equal(plain_submit(small, &p, &job, NULL), 0);
    struct pollfd bell = {.fd = polled_fd(job), .events = POLLIN};
    assert_int_equal(poll(&bell, 1, 60000), 1); /* nobody polls */
    struct polled c[8];
    int failed = 0;
    for (bool done = false; !done;)
      for (int i = 0, n = polled_take(job, c, 8, -1); i < n; i++)
        if (!(done = c[i].kind == POLLED_DONE)) failed += c[i].kind == POLLED_STEP_FAILED;
    assert_int_equal(failed, skip ? 3 : 0);
    assert_int_equal(lsio_job_status(job), skip ? 0 : LSIO_ERR_LIMIT);
    assert_int_equal(lsio_job_exit_code(job), 9);
    late_says(lsio_job_summary_json(job), (const char *const[]){skip ? "\"steps_left\": 3" : "\"steps\": 0", NULL});
    if (!skip)
      late_says(lsio_error_message(lsio_job_error(job)),
           (const char *const[]){"has passed after 0 of 3 steps", "it waited for memory that other jobs have", NULL});
    polled_destroy(job);
  }
  polled_destroy(holds);
  lsio_context_destroy(small);
}

/* As above, told to a queue. */
static void it_is_told_to_a_queue(void **state) {
  (void)state;
  static float got[API_VALUES];
  const char *const of_context[] = {"memory=4MiB", "workers=2"};
  const struct lsio_context_options o = {
      .struct_size = sizeof o, .flags = LSIO_CONTEXT_NO_ENV, .settings = of_context, .n_settings = 2};
  lsio_context *small = NULL;
  assert_int_equal(lsio_context_create(&o, &small, NULL), 0);
  static struct plain_range ranges[LONG_RANGES];
  for (int i = 0; i < LONG_RANGES; i++) ranges[i] = (struct plain_range){"a.f32", 0, BYTES, i};
  const struct plain first = {.n = LONG_RANGES, .ranges = ranges};
  lsio_job *holds = NULL;
  assert_int_equal(plain_submit(small, &first, &holds, NULL), 0);
  lsio_queue *queue = NULL;
  assert_int_equal(lsio_queue_create(small, NULL, &queue, NULL), 0);
  for (int skip = 0; skip < 2; skip++) {
    const char *const settings[] = {"merge=never", "deadline=300ms", "on-error=skip"};
    struct lsio_job_options jo = api_options(SLOW(COPY, "fill = -1, sink = lsio.memory()"), 0);
    jo.settings = settings;
    jo.n_settings = 2 + (size_t)skip;
    jo.output = got;
    jo.output_length = sizeof got;
    jo.queue = queue;
    lsio_job *job = NULL;
    assert_int_equal(polled_submit(small, &jo, &job, NULL), 0);
    struct lsio_event e[16];
    uint64_t failed = 0;
    for (bool done = false; !done;)
      for (int i = 0, n = lsio_queue_take(queue, e, 16, 60000); i < n; i++) {
        if ((done = e[i].kind == LSIO_EVENT_DONE)) continue;
        assert_int_equal(e[i].kind, LSIO_EVENT_STEP_FAILED);
        assert_int_equal(lsio_error_kind(e[i].error), LSIO_KIND_TIMEOUT);
        failed++;
      }
    struct lsio_progress p = {.struct_size = sizeof p};
    lsio_job_progress(job, &p);
    assert_int_equal(failed, p.began && skip ? API_STEPS : 0); /* or it was late while sources were listed */
    assert_int_equal(lsio_job_status(job), p.began && skip ? 0 : LSIO_ERR_LIMIT);
    assert_int_equal(lsio_job_exit_code(job), 9);
    if (failed) late_check_values(got, 0);
    lsio_job_release(job);
  }
  lsio_queue_release(queue);
  polled_destroy(holds);
  lsio_context_destroy(small);
}

/* From the submission on: what comes before the listing counts. */
static void it_counts_from_the_submission(void **state) {
  (void)state;
  static const char script[] = API_HEAD
      " setup = function() local t = os.clock() while os.clock() - t < 0.05 do end end }\n";
  const char *const settings[] = {"workers=2", "deadline=50ms"};
  lsio_error *error = NULL;
  int rc;
  assert_null(late_try(script, 0, settings, 2, &rc, &error));
  assert_int_equal(rc, LSIO_ERR_LIMIT);
  late_says(lsio_error_message(error), (const char *const[]){"the deadline has passed while sources were listed", NULL});
  lsio_error_free(error);
}

static int slow_planning(void *user, uint64_t listed, uint64_t looked_at) {
  (void)user, (void)listed, (void)looked_at;
  usleep(30000);
  return 0;
}

static void while_sources_are_listed(void **state) {
  (void)state;
  for (int i = 0; i < 300; i++) {
    char name[32];
    snprintf(name, sizeof name, "list%d.f32", i);
    assert_int_equal(symlink("a.f32", name), 0);
  }
  static const char script[] =
      "local lsio = require 'lsio'\n"
      "return lsio.job { source = lsio.files('{.,./.,././.}/list*.f32', { chunk = 400 }), type = 'f32' }\n";
  const char *const settings[] = {"workers=2", "deadline=10ms", "on-error=skip"};
  for (size_t n = 2; n <= 3; n++) {
    struct lsio_job_options o = api_options(script, 0);
    o.settings = settings;
    o.n_settings = n;
    o.planning = slow_planning;
    lsio_job *job = NULL;
    lsio_error *error = NULL;
    assert_int_equal(polled_submit(api_context, &o, &job, &error), LSIO_ERR_LIMIT);
    assert_null(job);
    late_says(lsio_error_message(error), (const char *const[]){"the deadline has passed while sources were listed: ",
                                                          "--deadline", NULL});
    lsio_error_free(error);
  }
  for (int i = 0; i < 300; i++) {
    char name[32];
    snprintf(name, sizeof name, "list%d.f32", i);
    assert_int_equal(unlink(name), 0);
  }
}

static void no_thread_minds_it(void **state) {
  (void)state;
  lsio_job *job = submit(API_COUNTS, 0, "deadline=never", false); /* the workers' threads are there */
  assert_int_equal(polled_wait(job), 0);
  api_close(job);
  const char *const settings[] = {"workers=2", "deadline=1h"};
  lsio_error *error = NULL;
  int rc;
  atomic_store(&no_thread, true);
  job = late_try(API_COUNTS, 0, settings, 2, &rc, &error);
  atomic_store(&no_thread, false);
  assert_null(job);
  assert_int_equal(rc, LSIO_ERR_LIMIT);
  late_says(lsio_error_message(error), (const char *const[]){"the thread that minds deadlines", "ulimit", NULL});
  lsio_error_free(error);
  job = submit(API_COUNTS, 0, "deadline=1h", false);
  assert_int_equal(polled_wait(job), 0);
  api_close(job);
}

/* ---- many ---- */

static void *client(void *arg) {
  uint64_t seed = (uintptr_t)arg;
  size_t wrong = 0;
  for (int i = 0; i < 40; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    char deadline[32];
    snprintf(deadline, sizeof deadline, "deadline=%ums", 1 + (unsigned)(seed >> 50) % 30);
    const char *const settings[] = {"workers=2", "merge=never", deadline, "on-error=skip"};
    const bool skip = seed >> 63;
    lsio_error *error = NULL;
    int rc;
    lsio_job *job = late_try(SLOW("", ""), 0, settings, skip ? 4 : 3, &rc, &error);
    if (!job) wrong += rc != LSIO_ERR_LIMIT; /* it has passed already */
    else wrong += polled_wait(job) != (skip ? 0 : LSIO_ERR_LIMIT) || lsio_job_exit_code(job) != 9;
    lsio_error_free(error);
    polled_destroy(job);
  }
  return (void *)wrong;
}

static void several_threads_have_them(void **state) {
  (void)state;
  api_clients(client);
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(it_ends_the_job),
                                     API_TEST(nobody_need_poll),
                                     API_TEST(in_time_it_changes_nothing),
                                     API_TEST(jobs_that_are_gone),
                                     API_TEST(what_has_run_is_published),
                                     API_TEST(in_memory_too),
                                     API_TEST(done_is_called),
                                     API_TEST(every_step_of_a_stream_comes_once),
                                     API_TEST(it_counts_in_the_queue),
                                     API_TEST(it_is_told_to_a_queue),
                                     API_TEST(it_counts_from_the_submission),
                                     API_TEST(while_sources_are_listed),
                                     API_TEST(no_thread_minds_it),
                                     API_TEST(several_threads_have_them)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
