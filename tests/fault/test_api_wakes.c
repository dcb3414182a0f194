/* When the consumer of a queue is woken: for all that it can take, once while it is busy, and for nothing else. */
#include <poll.h>
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
static atomic_int rung; /* how often notify was called */

static void ring(void *user) { atomic_fetch_add((atomic_int *)user, 1); }

static int begin(void **state) {
  const struct lsio_queue_options o = {.struct_size = sizeof o, .notify = ring, .notify_user = &rung};
  const int rc = api_begin(state);
  atomic_store(&rung, 0);
  return rc ? rc : lsio_queue_create(api_context, &o, &queue, NULL);
}

static int end(void **state) {
  lsio_queue_release(queue);
  return api_end(state);
}

static void pause_ms(int ms) { nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL); }

static atomic_bool holds, held;

/* Worker 1 stays in its first step until it is let go of; worker 0 begins when it is there. */
static int32_t copy_or_stay(const lsio_step *s, void *state) {
  (void)state;
  memcpy(s->out, s->data, s->bytes);
  if (s->worker == 1) atomic_store(&held, true);
  while (!*s->stop && (s->worker == 1 ? atomic_load(&holds) : !atomic_load(&held))) pause_ms(1);
  return 0;
}

/* All stay. */
static int32_t copy_and_stay(const lsio_step *s, void *state) {
  (void)state;
  memcpy(s->out, s->data, s->bytes);
  atomic_store(&held, true);
  while (!*s->stop && atomic_load(&holds)) pause_ms(1);
  return 0;
}

static lsio_job *submit(int32_t (*step)(const lsio_step *, void *)) {
  const struct lsio_transform t = {.struct_size = sizeof t, .step = step};
  struct lsio_job_options o = api_options(API_APART " }", LSIO_JOB_STREAM);
  o.queue = queue;
  o.transform = &t;
  atomic_store(&holds, true);
  atomic_store(&held, false);
  lsio_job *job;
  assert_int_equal(lsio_submit(api_context, &o, &job, NULL), 0);
  return job;
}

/* How many results one take got; -1: the job's end was among it. */
static int take(int timeout_ms, int *results) {
  struct lsio_event e[8];
  const int n = lsio_queue_take(queue, e, 8, timeout_ms);
  for (int i = 0; i < n; i++) {
    if (e[i].kind == LSIO_EVENT_RESULTS) *results += (int)e[i].n;
    lsio_block_release(e[i].block);
    if (e[i].kind == LSIO_EVENT_DONE) return -1;
  }
  return n;
}

/* A job that begins has nothing to tell, one that is let go of neither; and who is busy is woken once for all
 * that comes meanwhile. */
static void nobody_is_woken_for_nothing(void **state) {
  (void)state;
  struct pollfd fd = {.fd = lsio_queue_fd(queue), .events = POLLIN};
  lsio_job *job = submit(copy_and_stay);
  while (!atomic_load(&held)) pause_ms(1);
  pause_ms(20); /* what is told wrongly is told by now */
  const int rung_early = atomic_load(&rung), readable_early = poll(&fd, 1, 0);
  atomic_store(&holds, false);
  assert_int_equal(rung_early, 0);
  assert_int_equal(readable_early, 0);
  while (lsio_job_status(job) == LSIO_ERR_BUSY) pause_ms(1);
  pause_ms(20);
  assert_int_equal(poll(&fd, 1, 0), 1);
  int results = 0, wakes = 1, n;
  do {
    assert_int_equal(atomic_load(&rung), wakes);
    n = take(0, &results);
    wakes += n == 8; /* there was more */
  } while (n > 0);
  assert_int_equal(n, -1);
  assert_int_equal(results, API_STEPS);
  lsio_cancel(job);
  assert_int_equal(poll(&fd, 1, 0), 0);
  lsio_job_release(job);
  assert_int_equal(poll(&fd, 1, 0), 0);
  assert_int_equal(atomic_load(&rung), wakes);
}

/* Runs a job whose worker 1 stays in a step until the other one has ended, and what that told can be taken: that
 * must be all of it. How many results that were; 0: worker 1 had all of them. */
static int take_before_the_last_step(void) {
  lsio_job *job = submit(copy_or_stay);
  struct lsio_progress p = {.struct_size = sizeof p};
  int results = 0, n = 1;
  for (; p.workers_running != 1; take(0, &results)) lsio_job_progress(job, &p);
  lsio_job_progress(job, &p); /* steps are looked at first */
  while (n > 0 && results < (int)p.steps) n = take(2000, &results);
  const int of_worker = results;
  atomic_store(&holds, false);
  while (n != -1) n = take(60000, &results);
  lsio_job_release(job);
  assert_int_equal(of_worker, p.steps);
  assert_int_equal(results, API_STEPS);
  return of_worker;
}

/* What a worker has in the end is told at once, though another one is at a step that takes long. */
static void last_results_of_a_worker(void **state) {
  (void)state;
  for (int runs = 0; runs < 20;) runs += take_before_the_last_step() > 0;
}

int main(void) {
  alarm(600); /* a test that fails leaves jobs open, for which their context would wait */
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(nobody_is_woken_for_nothing, begin, end),
      cmocka_unit_test_setup_teardown(last_results_of_a_worker, begin, end),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
