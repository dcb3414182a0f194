/* Outputs that take long to be made durable: who waits with a limit goes on meanwhile. The linker's --wrap
 * puts this program between LSIO and the C library (tests/CMakeLists.txt). */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "api/context.h"
#include "api/helpers.h"

#define PATIENCE_S 30 /* what has not happened by then never will */

/* ---- between LSIO and the C library ---- */

static sem_t reached, open_gate;
static atomic_bool gate, broken, no_thread;

static bool soon(sem_t *s) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_sec += PATIENCE_S;
  return sem_timedwait(s, &t) == 0;
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd) {
  if (atomic_load(&gate)) {
    sem_post(&reached);
    if (!soon(&open_gate)) return errno = ETIMEDOUT, -1;
  }
  if (atomic_load(&broken)) return errno = EIO, -1;
  return __real_fdatasync(fd);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg) {
  return atomic_load(&no_thread) ? EAGAIN : __real_pthread_create(thread, attr, fn, arg);
}

static int begin(void **state) {
  sem_init(&reached, 0, 0);
  sem_init(&open_gate, 0, 0);
  gate = broken = no_thread = false;
  return api_begin(state);
}

static int end(void **state) {
  const int rc = api_end(state);
  sem_destroy(&reached);
  sem_destroy(&open_gate);
  for (char name[] = "0.npy"; name[0] < '8'; name[0]++) unlink(name);
  return rc;
}

/* ---- jobs ---- */

#define TO_FILE                                                                            \
  "local lsio = require 'lsio'\n"                                                          \
  "return lsio.job { source = lsio.files('a.f32', { chunk = 40000 }), type = 'f32',\n"     \
  " params = { name = { '', 'of the output' } }, sink = function(p) return lsio.npy(p.name) end }\n"

/* To the file NUMBER.npy. */
static lsio_job *submit(int number) {
  char arg[40];
  const char *args[] = {arg};
  snprintf(arg, sizeof arg, "--name=%d.npy", number);
  struct lsio_job_options o = api_options(TO_FILE, 0);
  o.args = args;
  o.n_args = 1;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (lsio_submit(api_context, &o, &job, &error) != 0) fail_msg("%s", lsio_error_message(error));
  return job;
}

static bool is_there(int number) {
  char name[40];
  snprintf(name, sizeof name, "%d.npy", number);
  return access(name, F_OK) == 0;
}

static void ends(lsio_job *job, int status) {
  assert_int_equal(lsio_wait(job, PATIENCE_S * 1000), status);
  assert_int_equal(lsio_job_status(job), status);
  assert_int_equal(lsio_wait(job, 0), status);
  lsio_job_release(job);
}

static void waits_return_while_an_output_is_made_durable(void **state) {
  (void)state;
  gate = true;
  lsio_job *job = submit(0);
  assert_true(soon(&reached));
  for (int i = 0; i < 3; i++) {
    assert_int_equal(lsio_wait(job, 0), LSIO_ERR_BUSY);
    assert_int_equal(lsio_wait(job, 5), LSIO_ERR_BUSY);
  }
  assert_int_equal(lsio_job_status(job), LSIO_ERR_BUSY);
  assert_null(lsio_job_error(job));
  assert_null(lsio_job_summary_json(job));
  assert_false(is_there(0));
  lsio_cancel(job); /* too late */
  assert_int_equal(lsio_wait(job, 0), LSIO_ERR_BUSY);
  lsio_job *other = api_submit(API_COUNTS, 0); /* others have threads to begin and end on */
  json_decref(api_ends(other, 0));
  api_close(other);
  sem_post(&open_gate);
  assert_int_equal(lsio_wait(job, PATIENCE_S * 1000), 0);
  assert_true(is_there(0));
  ends(job, 0);
}

/* The same for a program with a loop: its descriptor is silent, and then is not. */
static void a_queue_is_silent_meanwhile(void **state) {
  (void)state;
  lsio_queue *queue;
  assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0);
  char arg[] = "--name=0.npy";
  const char *args[] = {arg};
  struct lsio_job_options o = api_options(TO_FILE, 0);
  o.args = args;
  o.n_args = 1;
  o.queue = queue;
  lsio_job *job = NULL;
  gate = true;
  assert_int_equal(lsio_submit(api_context, &o, &job, NULL), 0);
  assert_true(soon(&reached));
  struct pollfd bell = {.fd = lsio_queue_fd(queue), .events = POLLIN};
  struct lsio_event e;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(lsio_queue_take(queue, &e, 1, i), 0);
    assert_int_equal(poll(&bell, 1, i), 0);
  }
  sem_post(&open_gate);
  assert_int_equal(poll(&bell, 1, PATIENCE_S * 1000), 1);
  assert_true(is_there(0));
  assert_int_equal(lsio_queue_take(queue, &e, 1, 0), 1);
  assert_int_equal(e.kind, LSIO_EVENT_DONE);
  assert_int_equal(lsio_job_status(job), 0);
  lsio_job_release(job);
  lsio_queue_release(queue);
}

/* One that waits without a limit, while a thread is at it: and it says how long it took. */
static void waits_for_what_has_begun(void **state) {
  (void)state;
  gate = true;
  lsio_job *job = submit(0);
  assert_true(soon(&reached));
  sem_post(&open_gate);
  assert_int_equal(lsio_wait(job, -1), 0);
  json_t *summary = api_ends(job, 0);
  assert_true(api_number(summary, "publish_s") > 0);
  assert_true(api_number(summary, "wall_s") > api_number(summary, "publish_s"));
  json_decref(summary);
  assert_true(is_there(0));
  lsio_job_release(job);
}

static void several_are_made_durable_at_once(void **state) {
  (void)state;
  enum { JOBS = LSI_HELPERS_MOST + 2 };
  lsio_job *jobs[JOBS];
  gate = true;
  for (int i = 0; i < JOBS; i++) {
    jobs[i] = submit(i);
    if (i < (int)LSI_HELPERS_MOST) assert_true(soon(&reached));
  }
  for (int i = 0; i < JOBS; i++) assert_int_equal(lsio_wait(jobs[i], 50), LSIO_ERR_BUSY);
  assert_int_equal(lsi_helpers_size(api_context->helpers), LSI_HELPERS_MOST);
  for (int i = 0; i < JOBS; i++) assert_false(is_there(i));
  for (int i = 0; i < JOBS; i++) sem_post(&open_gate);
  for (int i = JOBS; i-- > 0;) {
    ends(jobs[i], 0);
    assert_true(is_there(i));
  }
}

static void an_output_that_can_not_be_made_durable(void **state) {
  (void)state;
  gate = broken = true;
  lsio_job *job = submit(0);
  assert_true(soon(&reached));
  assert_null(lsio_job_error(job));
  sem_post(&open_gate);
  ends(job, LSIO_ERR_OUTPUT);
  assert_int_equal(api_files(), 1);
}

static void what_a_job_that_failed_has_written_is_removed(void **state) {
  (void)state;
  lsio_job *job = NULL;
  const struct lsio_job_options o = api_options(API_HEAD " sink = lsio.npy('0.npy'), transform = error }", 0);
  assert_int_equal(lsio_submit(api_context, &o, &job, NULL), 0);
  while (lsio_wait(job, 1) == LSIO_ERR_BUSY) {
  }
  ends(job, LSIO_ERR_TRANSFORM);
  assert_int_equal(api_files(), 1);
}

static void released_while_its_output_is_made_durable(void **state) {
  (void)state;
  gate = true;
  lsio_job *job = submit(0);
  assert_true(soon(&reached));
  lsio_job_release(job); /* returns at once */
  assert_false(is_there(0));
  sem_post(&open_gate);
  lsio_context_destroy(api_context);
  api_context = NULL;
  assert_true(is_there(0)); /* it was too late */
}

/* Without any thread the end is made by the worker that sees it, and the beginning by who submits. */
static void where_no_thread_can_be_started(void **state) {
  (void)state;
  lsio_job *job = api_submit_polled(API_COUNTS, 0);
  json_decref(api_ends(job, 0)); /* its workers' threads are there, and it has begun and ended on this one */
  api_close(job);
  assert_int_equal(lsi_helpers_size(api_context->helpers), 0);
  no_thread = true;
  job = submit(1);
  ends(job, 0);
  assert_int_equal(lsi_helpers_size(api_context->helpers), 0);
  assert_true(is_there(1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(waits_return_while_an_output_is_made_durable),  TEST(a_queue_is_silent_meanwhile),
      TEST(waits_for_what_has_begun),                      TEST(several_are_made_durable_at_once),
      TEST(an_output_that_can_not_be_made_durable),        TEST(what_a_job_that_failed_has_written_is_removed),
      TEST(released_while_its_output_is_made_durable),     TEST(where_no_thread_can_be_started)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
