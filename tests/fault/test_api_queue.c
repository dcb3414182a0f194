/* Jobs that wait for their context's memory: they begin when it is given back, can be cancelled and destroyed
 * while they wait, and whoever waits for them, by a descriptor too, is told. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "ground/base.h"
#include "plain.h"
#include "polled.h"

#define BYTES ((uint64_t)API_VALUES * 4)
#define LONG_RANGES 100 /* more results than wait to be polled: the job keeps its memory until somebody does */

static lsio_context *small;
static struct plain_range long_ranges[LONG_RANGES];

static int begin(void **state) {
  if (api_begin(state) != 0) return -1;
  for (int i = 0; i < LONG_RANGES; i++) long_ranges[i] = (struct plain_range){"a.f32", 0, BYTES, i};
  const char *const settings[] = {"memory=4MiB", "workers=2"};
  const struct lsio_context_options o = {
      .struct_size = sizeof o, .flags = LSIO_CONTEXT_NO_ENV, .settings = settings, .n_settings = 2};
  return lsio_context_create(&o, &small, NULL);
}

static int finish(void **state) {
  polled_destroy_all(); /* of a test that failed */
  struct lsio_context_stats s = {.struct_size = sizeof s};
  lsio_context_get_stats(small, &s);
  lsio_context_destroy(small);
  return s.memory_reserved || s.jobs_queued || s.jobs_running ? -1 : api_end(state);
}

static lsio_job *submit(const struct plain_range *ranges, size_t n) {
  static const char *const apart[] = {"merge=never"}; /* else a worker may tell all of a long one in one turn */
  const struct plain p = {.n = n, .ranges = ranges, .settings = apart, .n_settings = 1};
  lsio_job *job = NULL;
  return plain_submit(small, &p, &job, NULL) == 0 ? job : NULL;
}

static lsio_job *submit_long(void) { return submit(long_ranges, LONG_RANGES); }

static lsio_job *submit_short(void) {
  static const struct plain_range range = {"a.f32", 4000, 4000, 7};
  return submit(&range, 1);
}

/* How many results it had, all right; -1: some were wrong. Any thread. */
static int take_all(lsio_job *job) {
  int n = 0;
  for (;;) {
    struct polled c[8];
    const int got = polled_take(job, c, 8, -1);
    for (int i = 0; i < got; i++) {
      if (c[i].kind == POLLED_DONE) return n;
      const char *right = (const char *)api_values + (c[i].tag == 7 && c[i].length == 4000 ? 4000 : 0);
      if (c[i].kind != POLLED_STEP || memcmp(c[i].data, right, c[i].length) != 0) return -1;
      n++;
    }
  }
}

static uint64_t queued(void) {
  struct lsio_context_stats s = {.struct_size = sizeof s};
  lsio_context_get_stats(small, &s);
  assert_true(s.memory_reserved <= s.memory_limit && s.memory_limit == 4u << 20);
  return s.jobs_queued;
}

static void they_begin_when_there_is_memory(void **state) {
  (void)state;
  lsio_job *first = submit_long(), *jobs[20];
  for (int i = 0; i < 20; i++) jobs[i] = i & 1 ? submit_short() : submit_long();
  assert_int_equal(queued(), 20);
  struct polled c;
  assert_int_equal(polled_take(jobs[0], &c, 1, 0), 0);
  assert_int_equal(polled_take(jobs[1], &c, 1, 30), 0);
  assert_int_equal(take_all(first), LONG_RANGES);
  for (int i = 0; i < 20; i++) assert_int_equal(take_all(jobs[i]), i & 1 ? 1 : LONG_RANGES);
  assert_int_equal(queued(), 0);
  for (int i = 0; i < 20; i++) polled_destroy(jobs[i]);
  polled_destroy(first);
}

static void one_that_waits_is_cancelled(void **state) {
  (void)state;
  lsio_job *first = submit_long(), *a = submit_short(), *b = submit_short(), *last = submit_short();
  assert_int_equal(queued(), 3);
  struct pollfd bell = {.fd = polled_fd(b), .events = POLLIN};
  assert_true(bell.fd >= 0);
  assert_int_equal(poll(&bell, 1, 0), 0);
  lsio_cancel(a);
  lsio_cancel(b);
  assert_int_equal(polled_wait(a), LSIO_ERR_CANCELLED);
  assert_int_equal(poll(&bell, 1, 10000), 1);
  struct polled c;
  assert_int_equal(polled_take(b, &c, 1, 0), 1);
  assert_int_equal(c.kind, POLLED_DONE);
  assert_int_equal(lsio_job_status(b), LSIO_ERR_CANCELLED);
  assert_int_equal(queued(), 1);
  assert_int_equal(take_all(first), LONG_RANGES); /* has not noticed */
  assert_int_equal(take_all(last), 1);
  polled_destroy(a);
  polled_destroy(b);
  polled_destroy(last);
  polled_destroy(first);
}

static void one_that_waits_is_destroyed(void **state) {
  (void)state;
  lsio_job *first = submit_long(), *a = submit_long(), *b = submit_short();
  polled_destroy(a);
  assert_int_equal(queued(), 1);
  polled_destroy(first); /* with its memory, which the next one has */
  assert_int_equal(take_all(b), 1);
  polled_destroy(b);
}

static void *canceller(void *job) {
  usleep(20000);
  lsio_cancel(job);
  return NULL;
}

static void somebody_waits_when_it_is_cancelled(void **state) {
  (void)state;
  static char into[4000];
  static const struct plain_range range = {"a.f32", 4000, 4000, 7};
  const struct plain p = {.n = 1, .ranges = &range, .output = into, .output_length = sizeof into};
  lsio_job *first = submit_long(), *a = submit_short(), *b = NULL;
  assert_int_equal(plain_submit(small, &p, &b, NULL), 0); /* without a queue */
  pthread_t threads[2];
  assert_int_equal(pthread_create(&threads[0], NULL, canceller, a), 0);
  assert_int_equal(polled_wait(a), LSIO_ERR_CANCELLED);
  assert_int_equal(lsio_wait(b, 1), LSIO_ERR_BUSY);
  assert_int_equal(pthread_create(&threads[1], NULL, canceller, b), 0);
  assert_int_equal(lsio_wait(b, -1), LSIO_ERR_CANCELLED);
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  polled_destroy(a);
  polled_destroy(b);
  polled_destroy(first);
}

/* Long and short ones from a thread of its own, some cancelled or destroyed at any time. */
static void *client(void *arg) {
  uint64_t seed = (uintptr_t)arg;
  size_t wrong = 0;
  for (int i = 0; i < 60; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const unsigned how = (unsigned)(seed >> 60);
    const bool is_long = (seed >> 50) % 4 == 0;
    lsio_job *job = is_long ? submit_long() : submit_short();
    if (!job) return (void *)(uintptr_t)1;
    if (how == 0) lsio_cancel(job);
    if (how > 2) wrong += take_all(job) != (is_long ? LONG_RANGES : 1);
    polled_destroy(job);
  }
  return (void *)wrong;
}

static void several_threads_share_it(void **state) {
  (void)state;
  api_clients(client);
}

/* Two workers that end at the same moment: one of them gives it back, whichever. */
static void workers_that_end_together_give_it_back(void **state) {
  (void)state;
  static const struct plain_range ranges[] = {{"a.f32", 4000, 4000, 7}, {"a.f32", 0, 8000, 0}};
  static const char *const apart[] = {"merge=never"};
  const struct plain p = {.n = 2, .ranges = ranges, .settings = apart, .n_settings = 1};
  for (int i = 0; i < 5000; i++) {
    lsio_job *job = NULL;
    assert_int_equal(plain_submit(small, &p, &job, NULL), 0);
    assert_int_equal(take_all(job), 2);
    struct lsio_context_stats s = {.struct_size = sizeof s};
    lsio_context_get_stats(small, &s);
    if (s.memory_reserved) fail_msg("the %d-th job has ended and holds %d bytes", i, (int)s.memory_reserved);
    polled_destroy(job);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(they_begin_when_there_is_memory, begin, finish),
      cmocka_unit_test_setup_teardown(one_that_waits_is_cancelled, begin, finish),
      cmocka_unit_test_setup_teardown(one_that_waits_is_destroyed, begin, finish),
      cmocka_unit_test_setup_teardown(somebody_waits_when_it_is_cancelled, begin, finish),
      cmocka_unit_test_setup_teardown(several_threads_share_it, begin, finish),
      cmocka_unit_test_setup_teardown(workers_that_end_together_give_it_back, begin, finish)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
