/* A parent's descriptors and files while its children go about theirs: they poll, take, cancel, release, exit,
 * and whoever waits in the parent is woken all the same, by nothing but its jobs, and finds its output. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "fork_child.h"
#include "polled.h"

/* All files get temporary names that others see, as where the file system knows no nameless ones. */
int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  const int mode = va_arg(ap, int);
  va_end(ap);
  if ((flags & O_TMPFILE) == O_TMPFILE) return -1;
  return __real_openat(dir, path, flags, mode);
}

/* Forks in the middle of removing temporary files, and so while a lock of the whole process is held. */
static const char *writes_a_file(void);
static bool forks_here;
static const char *found_there;
int __real_unlinkat(int dir, const char *path, int flags);
int __wrap_unlinkat(int dir, const char *path, int flags);
int __wrap_unlinkat(int dir, const char *path, int flags) {
  if (forks_here) found_there = fork_child(writes_a_file);
  return __real_unlinkat(dir, path, flags);
}

/* ---- the parent's ---- */

static lsio_queue *queue;
static lsio_job *polled, *queued, *writes;
static atomic_bool go; /* the steps of its jobs may end */

static int32_t step(const lsio_step *s, void *state) {
  (void)state;
  const struct timespec pause = {0, 1000000};
  while (!atomic_load(&go) && !__atomic_load_n(s->stop, __ATOMIC_RELAXED)) nanosleep(&pause, NULL);
  if (s->out) memcpy(s->out, s->data, s->bytes);
  return 0;
}

static lsio_job *submit(const char *text, uint32_t flags, lsio_queue *to) {
  static const struct lsio_transform waits = {.struct_size = sizeof waits, .step = step};
  struct lsio_job_options o = api_options(text, flags);
  o.transform = &waits;
  o.queue = to;
  lsio_job *job = NULL;
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
  return job;
}

static int begin(void **state) {
  if (api_begin(state) != 0) return -1;
  atomic_store(&go, false);
  assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0);
  polled = submit(API_HEAD "}", LSIO_JOB_STREAM, NULL);
  queued = submit(API_HEAD "}", LSIO_JOB_STREAM, queue);
  writes = submit(API_HEAD " sink = lsio.raw('out.f32', { exists = 'replace' }) }\n", 0, NULL);
  struct lsio_progress p = {.struct_size = sizeof p};
  while (p.began == 0) lsio_job_progress(queued, &p);
  while (api_files() < 2) usleep(1000); /* a.f32, and one that is hidden */
  wait_until_others_sleep();
  return 0;
}

static int end(void **state) {
  atomic_store(&go, true);
  polled_destroy(polled);
  lsio_job_release(queued);
  polled_destroy(writes);
  lsio_queue_release(queue);
  unlink("out.f32");
  return api_end(state);
}

/* ---- tests ---- */

static bool rings(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, 0) == 1;
}

static const char *take_what_is_there(void) {
  struct polled completions[4];
  struct lsio_event events[4];
  if (polled_take(polled, completions, 4, 0) != LSIO_ERR_FORKED) return "lsio_queue_take of a job";
  if (lsio_queue_take(queue, events, 4, 0) != LSIO_ERR_FORKED) return "lsio_queue_take";
  return polled_fd(polled) == -1 && lsio_queue_fd(queue) == -1 ? NULL : "descriptors";
}

static const char *let_go(void) {
  lsio_cancel(polled);
  lsio_cancel(queued);
  lsio_job_release(queued);
  polled_destroy(polled);
  lsio_queue_release(queue);
  return NULL;
}

static const char *release(void) {
  lsio_job_release(queued);
  return NULL;
}

static void bells_are_the_parents(void **state) {
  (void)state;
  const int of_job = polled_fd(polled), of_queue = lsio_queue_fd(queue);
  struct lsio_event e;
  assert_int_equal(lsio_queue_take(queue, &e, 1, 0), 0); /* that it began has been told */
  assert_true(of_job >= 0 && of_queue >= 0 && !rings(of_job) && !rings(of_queue));
  fork_child_right(let_go);
  fork_child_right(release);
  assert_true(!rings(of_job) && !rings(of_queue));
  atomic_store(&go, true);
  while (!rings(of_job) || !rings(of_queue)) usleep(1000);
  fork_child_right(take_what_is_there);
  assert_true(rings(of_job) && rings(of_queue));
  assert_int_equal(polled_wait(polled), 0);
  do {
    assert_int_equal(lsio_queue_take(queue, &e, 1, -1), 1);
    if (e.kind == LSIO_EVENT_RESULTS) lsio_block_release(e.block);
  } while (e.kind != LSIO_EVENT_DONE);
  assert_int_equal(lsio_job_status(queued), 0);
}

/* ... by a child's exit, or in its hurry. */
static const char *abandon(void) {
  lsio_job_abandon(writes);
  return NULL;
}

static const char *just_exit(void) { return NULL; }

static void files_are_the_parents(void **state) {
  (void)state;
  fork_child_right(just_exit);
  fork_child_right(abandon);
  assert_int_equal(api_files(), 2);
  atomic_store(&go, true);
  assert_int_equal(polled_wait(writes), 0);
  static float got[API_VALUES + 1];
  FILE *f = fopen("out.f32", "rb");
  assert_non_null(f);
  assert_int_equal(fread(got, 4, API_VALUES + 1, f), API_VALUES);
  fclose(f);
  assert_memory_equal(got, api_values, sizeof api_values);
}

static const char *writes_a_file(void) {
  forks_here = false;
  if (lsio_context_create(NULL, &api_context, NULL) != 0) return "a context";
  atomic_store(&go, true);
  lsio_job *job = submit(API_HEAD " sink = lsio.raw('child.f32') }\n", 0, NULL);
  if (polled_wait(job) != 0) return lsio_error_message(lsio_job_error(job));
  polled_destroy(job);
  lsio_context_destroy(api_context);
  return unlink("child.f32") ? "its file" : NULL;
}

static void children_write_files_whatever_is_locked(void **state) {
  (void)state;
  forks_here = true;
  found_there = "nobody";
  lsio_job_abandon(writes);
  forks_here = false;
  if (found_there) fail_msg("%s", found_there);
  assert_int_equal(api_files(), 1);
}

#define FORK_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      FORK_TEST(bells_are_the_parents),
      FORK_TEST(files_are_the_parents),
      FORK_TEST(children_write_files_whatever_is_locked),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
