/* Outputs that take long to be made durable: who polls with a limit goes on meanwhile. The linker's --wrap
 * puts this program between LSIO and the C library (tests/CMakeLists.txt). */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
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

/* Its `done` runs on the thread of its `setup`. */
#define TO_FILE                                                                            \
  "local lsio, ffi, thread = require 'lsio', require 'ffi'\n"                              \
  "pcall(ffi.cdef, 'int gettid(void);')\n"                                                 \
  "return lsio.job { source = lsio.files('a.f32', { chunk = 40000 }), type = 'f32',\n"     \
  " params = { name = { '', 'of the output' } },\n"                                        \
  " setup = function() thread = ffi.C.gettid() end,\n"                                     \
  " sink = function(p) return lsio.npy(p.name) end,\n"                                     \
  " done = function() assert(ffi.C.gettid() == thread, 'another thread') end }\n"

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

static bool readable(int fd, int timeout_ms) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, timeout_ms) == 1;
}

/* Polls without waiting when the descriptor says so, until a sync is reached. */
static void until_sync(lsio_job *job) {
  struct lsio_completion c;
  for (time_t end = time(NULL) + PATIENCE_S; sem_trywait(&reached) != 0;) {
    assert_true(time(NULL) < end);
    if (readable(lsio_job_fd(job), 1)) assert_int_equal(lsio_poll(job, &c, 1, 0), 0);
  }
}

static void ends(lsio_job *job, int status, int timeout_ms) {
  struct lsio_completion c = {0};
  assert_int_equal(lsio_poll(job, &c, 1, timeout_ms), 1);
  assert_int_equal(c.kind, LSIO_DONE);
  if (lsio_job_status(job) != status) fail_msg("%s", lsio_error_message(lsio_job_error(job)));
  assert_int_equal(lsio_poll(job, &c, 1, timeout_ms), 0);
  lsio_job_destroy(job);
}

static void poll_returns_while_an_output_is_made_durable(void **state) {
  (void)state;
  struct lsio_completion c;
  gate = true;
  lsio_job *job = submit(0);
  until_sync(job);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(lsio_poll(job, &c, 1, 0), 0);
    assert_int_equal(lsio_poll(job, &c, 1, 5), 0);
    assert_false(readable(lsio_job_fd(job), i));
  }
  assert_int_equal(lsio_job_status(job), LSIO_ERR_BUSY);
  assert_null(lsio_job_error(job));
  assert_null(lsio_job_summary_json(job));
  assert_false(is_there(0));
  const int bell = lsio_job_fd(job);
  lsio_cancel(job); /* too late, and nothing to poll for */
  assert_false(readable(bell, 0));
  lsio_job *other = api_submit(API_COUNTS, 0); /* from submit to end, on this thread */
  json_decref(api_ends(other, 0));
  api_close(other);
  sem_post(&open_gate);
  assert_true(readable(lsio_job_fd(job), PATIENCE_S * 1000));
  assert_true(readable(lsio_job_fd(job), 0)); /* asked again */
  assert_true(is_there(0));
  ends(job, 0, 0);
}

/* One that waits without a limit, begun with one: and it says how long it took. */
static void poll_waits_for_what_has_begun(void **state) {
  (void)state;
  gate = true;
  lsio_job *job = submit(0);
  until_sync(job);
  sem_post(&open_gate);
  json_t *summary = api_ends(job, 0);
  assert_true(api_number(summary, "publish_s") > 0);
  assert_true(api_number(summary, "wall_s") > api_number(summary, "publish_s"));
  json_decref(summary);
  assert_true(is_there(0));
  lsio_job_destroy(job);
}

static void several_are_made_durable_at_once(void **state) {
  (void)state;
  enum { JOBS = LSI_HELPERS_MOST + 2 };
  lsio_job *jobs[JOBS];
  struct lsio_completion c;
  gate = true;
  for (int i = 0; i < JOBS; i++) {
    jobs[i] = submit(i);
    if (i < (int)LSI_HELPERS_MOST) until_sync(jobs[i]);
  }
  for (int i = 0; i < JOBS; i++) assert_int_equal(lsio_poll(jobs[i], &c, 1, 50), 0);
  assert_int_equal(lsi_helpers_size(api_context->helpers), LSI_HELPERS_MOST);
  for (int i = 0; i < JOBS; i++) assert_false(is_there(i));
  for (int i = 0; i < JOBS; i++) sem_post(&open_gate);
  for (int i = JOBS; i-- > 0;) {
    ends(jobs[i], 0, PATIENCE_S * 1000);
    assert_true(is_there(i));
  }
}

static void an_output_that_can_not_be_made_durable(void **state) {
  (void)state;
  gate = broken = true;
  lsio_job *job = submit(0);
  until_sync(job);
  assert_null(lsio_job_error(job));
  sem_post(&open_gate);
  ends(job, LSIO_ERR_OUTPUT, PATIENCE_S * 1000);
  assert_int_equal(api_files(), 1);
}

static void what_a_job_that_failed_has_written_is_removed(void **state) {
  (void)state;
  lsio_job *job = api_submit(API_HEAD " sink = lsio.npy('0.npy'), transform = error }", 0);
  for (struct lsio_completion c = {0}; c.kind != LSIO_DONE;)
    if (lsio_poll(job, &c, 1, 0) == 0) readable(lsio_job_fd(job), 100);
  assert_int_equal(lsio_job_status(job), LSIO_ERR_TRANSFORM);
  api_close(job);
  assert_int_equal(api_files(), 1);
}

static void *open_later(void *arg) {
  (void)arg;
  struct timespec t = {.tv_nsec = 20000000};
  nanosleep(&t, NULL);
  sem_post(&open_gate);
  return NULL;
}

static void destroyed_while_its_output_is_made_durable(void **state) {
  (void)state;
  gate = true;
  lsio_job *job = submit(0);
  until_sync(job);
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, open_later, NULL), 0);
  lsio_job_destroy(job);
  assert_true(is_there(0)); /* it was too late */
  pthread_join(thread, NULL);
}

/* A poll without a limit needs no thread more; one with a limit does it itself where it gets none. */
static void threads_are_started_when_they_are_needed(void **state) {
  (void)state;
  lsio_job *job = submit(0);
  json_decref(api_ends(job, 0));
  lsio_job_destroy(job);
  assert_int_equal(lsi_helpers_size(api_context->helpers), 0);
  no_thread = true;
  job = submit(1);
  struct lsio_completion c = {0};
  while (lsio_poll(job, &c, 1, 0) == 0) readable(lsio_job_fd(job), 100);
  assert_int_equal(lsio_job_status(job), 0);
  lsio_job_destroy(job);
  assert_int_equal(lsi_helpers_size(api_context->helpers), 0);
  assert_true(is_there(1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(poll_returns_while_an_output_is_made_durable), TEST(poll_waits_for_what_has_begun),
      TEST(several_are_made_durable_at_once),             TEST(an_output_that_can_not_be_made_durable),
      TEST(what_a_job_that_failed_has_written_is_removed), TEST(destroyed_while_its_output_is_made_durable),
      TEST(threads_are_started_when_they_are_needed)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
