/* What is known of results that nobody has taken yet: how many, how large, and who waits for that. A job whose
 * workers waited for the program says so. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "polled.h"

#define RESULT sizeof api_values /* bytes of each */
#define RESULTS 120
#define WAITING_MOST ((uint64_t)16 << 20) /* results of so many bytes may wait, and those that are made then */

/* The whole file, so many times. */
#define MANY                                                                                        \
  "local lsio = require 'lsio'\nlocal at = {} for i = 1, 120 do at[i] = 0 end\n"                    \
  "return lsio.job { source = lsio.ranges { objects = { 'a.f32' }, object = at, offset = at,\n"     \
  "  length = 400000 }, type = 'f32', merge = 'never' }\n"

static struct lsio_progress progress_of(const lsio_job *job) {
  struct lsio_progress p = {.struct_size = sizeof p};
  lsio_job_progress(job, &p);
  return p;
}

/* Until all workers wait for the program. */
static struct lsio_progress stalled(const lsio_job *job) {
  struct lsio_progress p = progress_of(job);
  for (int i = 0; i < 20000 && p.stalled < p.workers; i++, p = progress_of(job)) usleep(1000);
  assert_true(p.workers == 2 && p.stalled == 2 && p.workers_running == 2);
  return p;
}

/* While all workers wait: so long that whatever else they did, on however busy a machine, took less. */
static void let_them_wait(const lsio_job *job) { usleep(500000 + (useconds_t)(6e6 * progress_of(job).elapsed_s)); }

static json_t *summary_of(lsio_job *job) {
  json_t *s = json_loads(lsio_job_summary_json(job), 0, NULL);
  assert_non_null(s);
  return s;
}

static double stalled_s(const json_t *s) {
  double sum = 0;
  size_t i;
  json_t *worker;
  json_array_foreach(json_object_get(s, "workers"), i, worker) sum += api_number(worker, "stalled_s");
  return sum;
}

static const char *bound_of(const json_t *s) { return json_string_value(json_object_get(s, "bound")); }

static void is_bound_by_the_program(lsio_job *job) {
  json_t *s = summary_of(job);
  assert_string_equal(bound_of(s), "consumer");
  assert_true(stalled_s(s) > 0.5);
  assert_non_null(strstr(lsio_job_summary_text(job), "bound by the program"));
  json_decref(s);
}

static lsio_queue *queue;
static lsio_job *queued; /* of it */

static int release(void **state) {
  lsio_job_release(queued);
  lsio_queue_release(queue);
  return api_end(state);
}

static void test_a_slow_program(void **state) {
  (void)state;
  assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0);
  struct lsio_job_options o = api_options(MANY, LSIO_JOB_STREAM);
  o.queue = queue;
  assert_int_equal(polled_submit(api_context, &o, &queued, NULL), 0);
  for (int i = 0; i < 20000 && !progress_of(queued).began; i++) usleep(1000);
  struct lsio_progress p = stalled(queued);
  assert_true(p.queued > WAITING_MOST / RESULT && p.queued < RESULTS && p.held_bytes == p.queued * RESULT);
  char *doing = lsio_job_activity(queued);
  assert_non_null(strstr(doing, "waiting for results to be taken"));
  lsio_free(doing);
  let_them_wait(queued);
  struct lsio_event e;
  assert_int_equal(lsio_queue_take(queue, &e, 1, -1), 1);
  assert_int_equal(e.kind, LSIO_EVENT_RESULTS);
  uint64_t n = e.n;
  lsio_block *const kept = e.block;
  p = stalled(queued);
  assert_true(p.queued + n > 2 * WAITING_MOST / RESULT);
  assert_int_equal(p.held_bytes, (p.queued + n) * RESULT); /* the program has some of them */
  while (e.kind != LSIO_EVENT_DONE) {
    assert_int_equal(lsio_queue_take(queue, &e, 1, -1), 1);
    if (e.kind == LSIO_EVENT_RESULTS) n += e.n;
    if (e.kind == LSIO_EVENT_RESULTS) lsio_block_release(e.block);
    p = progress_of(queued);
    assert_true(p.queued + n <= RESULTS);
  }
  assert_int_equal(n, RESULTS);
  p = progress_of(queued);
  assert_true(p.steps == RESULTS && !p.queued && !p.stalled && !p.workers_running);
  assert_true(p.held_bytes >= RESULT && p.held_bytes <= 4 * RESULT); /* of one block */
  lsio_block_retain(kept);
  lsio_block_release(kept);
  assert_int_equal(progress_of(queued).held_bytes, p.held_bytes);
  lsio_block_release(kept);
  assert_int_equal(progress_of(queued).held_bytes, 0);
  is_bound_by_the_program(queued);
}

/* Small results: that they wait stops nobody. */
static void test_a_slow_transform(void **state) {
  (void)state;
  lsio_job *job = api_submit(API_APART " transform = function(chunk) local t = os.clock()\n"
                                       " while os.clock() - t < 0.0005 do end return 'x' end }\n",
                             LSIO_JOB_STREAM);
  struct lsio_progress p = progress_of(job);
  for (; p.workers_running; p = progress_of(job)) usleep(1000);
  assert_true(p.queued == API_STEPS && p.held_bytes == API_STEPS && !p.stalled);
  assert_int_equal(polled_wait(job), 0);
  json_t *s = summary_of(job);
  assert_string_equal(bound_of(s), "transform");
  assert_true(stalled_s(s) == 0);
  json_decref(s);
  api_close(job);
}

/* Also of jobs that stream nothing, and of those that a deadline has left, which are told late. */
static void test_failures_wait_too(void **state) {
  (void)state;
  lsio_job *job = api_submit_polled(API_APART " on_error = 'skip', transform = function(chunk)\n"
                                       " if chunk.index % 4 == 0 then error('no') end end }\n", 0);
  while (progress_of(job).workers_running) usleep(1000);
  const uint64_t waits = progress_of(job).queued, taken = API_STEPS / 4 - waits; /* by polled_submit */
  assert_true(taken <= 1 && progress_of(job).held_bytes == 0);
  struct polled c[100];
  assert_int_equal(polled_take(job, c, 100, -1), taken ? 1 : 100);
  assert_int_equal(progress_of(job).queued, taken ? waits : waits - 100);
  assert_int_equal(polled_wait(job), 0);
  assert_int_equal(progress_of(job).queued, 0);
  api_close(job);

  static const char *const soon[] = {"workers=2", "deadline=50ms"};
  struct lsio_job_options o = api_options(API_APART " on_error = 'skip', transform = function(chunk)\n"
                                          " local t = os.clock() while os.clock() - t < 0.002 do end\n"
                                          " return 'x' end }\n", LSIO_JOB_STREAM);
  o.settings = soon;
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
  int n = 0;
  for (int got; (got = polled_take(job, c, 7, -1)) > 0 && c[got - 1].kind != POLLED_DONE; n += got)
    assert_true(progress_of(job).queued <= API_STEPS);
  assert_true(n >= API_STEPS - 7);
  assert_int_equal(lsio_job_exit_code(job), 9);
  assert_int_equal(progress_of(job).queued, 0);
  polled_destroy(job);
}

static atomic_bool over;

static void *watch(void *job) {
  uintptr_t wrong = 0;
  while (!atomic_load(&over)) {
    const struct lsio_progress p = progress_of(job);
    wrong += p.queued > RESULTS || p.held_bytes > RESULTS * RESULT || p.stalled > 2;
  }
  return (void *)wrong;
}

static void test_watched_by_others(void **state) {
  (void)state;
  lsio_job *job = api_submit(MANY, LSIO_JOB_STREAM);
  pthread_t thread;
  void *wrong;
  atomic_store(&over, false);
  assert_int_equal(pthread_create(&thread, NULL, watch, job), 0);
  assert_int_equal(polled_wait(job), 0);
  atomic_store(&over, true);
  assert_int_equal(pthread_join(thread, &wrong), 0);
  assert_null(wrong);
  api_close(job);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_a_slow_program, api_begin, release),
      API_TEST(test_a_slow_transform),
      API_TEST(test_failures_wait_too),
      API_TEST(test_watched_by_others),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
