/* What calls of a program cost the thread that makes them: none sleeps but takes, and waits for jobs without a
 * queue, that are given a time, and each has at most a millisecond of its CPU, however large a job is and
 * whatever others do. Here the program waits by poll(2), as one with a loop of its own does. Each case runs a few
 * times, and the best time counts: a lock that another thread holds for a moment, or an interrupt, is bad luck;
 * what takes long, or waits for something, does so every time. The linker's --wrap has fdatasync sleep
 * (tests/CMakeLists.txt). */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "counted.h"

#define ROUNDS 10

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd) {
  nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  return __real_fdatasync(fd);
}

/* ---- a program ---- */

static lsio_queue *queue;
static int bell;
static lsio_job *open_jobs[8]; /* for tests that fail */

static void keep_open(lsio_job *from, lsio_job *to) {
  size_t i = 0;
  while (open_jobs[i] != from) i++;
  open_jobs[i] = to;
}

static void let_go(void) {
  const int fd = open("go", O_CREAT | O_WRONLY, 0600);
  assert_true(fd >= 0);
  close(fd);
}

static int end(void **state) {
  let_go();
  for (size_t i = 0; i < sizeof open_jobs / sizeof *open_jobs; i++) lsio_job_release(open_jobs[i]);
  memset(open_jobs, 0, sizeof open_jobs);
  lsio_queue_release(queue);
  queue = NULL;
  counted_reset();
  const int rc = api_end(state);
  return unlink("go") | rc;
}

#define WAITS_TEST(name) cmocka_unit_test_setup_teardown(name, api_begin, end)

static void open_queue(void) {
  COUNTED("queue_create", assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0));
  COUNTED("queue_fd", bell = lsio_queue_fd(queue));
  assert_true(bell >= 0);
}

static void close_queue(void) {
  COUNTED("queue_release", lsio_queue_release(queue));
  queue = NULL;
}

static lsio_job *submit_options(struct lsio_job_options *o) {
  lsio_job *job = NULL;
  o->queue = queue;
  COUNTED("submit", assert_int_equal(lsio_submit(api_context, o, &job, NULL), 0));
  keep_open(NULL, job);
  return job;
}

static lsio_job *submit(const char *script, uint32_t flags) {
  struct lsio_job_options o = api_options(script, flags);
  return submit_options(&o);
}

static void look_at(lsio_job *job) {
  struct lsio_progress p = {.struct_size = sizeof p};
  struct lsio_context_stats s = {.struct_size = sizeof s};
  COUNTED("job_progress", lsio_job_progress(job, &p));
  COUNTED("job_status", lsio_job_status(job));
  COUNTED("context_get_stats", lsio_context_get_stats(api_context, &s));
}

/* Takes what there is without waiting; the job that has ended, or NULL. */
static lsio_job *take(void) {
  struct lsio_event e[16];
  lsio_job *ended = NULL;
  int n = 0;
  COUNTED("queue_take", n = lsio_queue_take(queue, e, 16, 0));
  for (int i = 0; i < n; i++) {
    if (e[i].kind == LSIO_EVENT_DONE) ended = e[i].job;
    if (e[i].kind != LSIO_EVENT_RESULTS) continue;
    COUNTED("block_retain", lsio_block_retain(e[i].block));
    COUNTED("block_release", lsio_block_release(e[i].block));
    lsio_block_release(e[i].block);
  }
  return ended;
}

/* Until it has ended; it is looked at all the while. */
static void run(lsio_job *job) {
  struct pollfd p = {.fd = bell, .events = POLLIN};
  for (lsio_job *ended = NULL; !ended;) {
    poll(&p, 1, 2);
    ended = take();
    if (ended) assert_ptr_equal(ended, job);
    else look_at(job);
  }
}

static void read_end(lsio_job *job, int status) {
  int found;
  const lsio_error *e = NULL;
  COUNTED("job_status", found = lsio_job_status(job));
  COUNTED("job_error", e = lsio_job_error(job));
  if (found != status) fail_msg("%s", e ? lsio_error_message(e) : lsio_error_name(found));
  COUNTED("job_error_count", lsio_job_error_count(job));
  COUNTED("job_exit_code", lsio_job_exit_code(job));
  COUNTED("job_summary_text", assert_non_null(lsio_job_summary_text(job)));
  COUNTED("job_failures_text", assert_non_null(lsio_job_failures_text(job)));
  COUNTED("job_summary_json", assert_non_null(lsio_job_summary_json(job)));

  char *activity = NULL;
  COUNTED("job_activity", activity = lsio_job_activity(job));
  assert_non_null(activity);
  COUNTED("free", lsio_free(activity));
}

/* For the last time, if a thread that ended it holds it no more. */
static void release(lsio_job *job) {
  nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  keep_open(job, NULL);
  COUNTED("job_release", lsio_job_release(job));
}

static void run_to_end(const char *script, uint32_t flags) {
  lsio_job *job = submit(script, flags);
  run(job);
  read_end(job, 0);
  release(job);
}

/* One without a queue, released before its end if not `ends`. */
static void run_alone(const char *script, bool ends) {
  struct lsio_job_options o = api_options(script, 0);
  lsio_job *job = NULL;
  COUNTED("submit alone", assert_int_equal(lsio_submit(api_context, &o, &job, NULL), 0));
  keep_open(NULL, job);
  for (int status = LSIO_ERR_BUSY; ends && status == LSIO_ERR_BUSY;) {
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    COUNTED("wait", status = lsio_wait(job, 0));
    look_at(job);
  }
  if (ends) read_end(job, 0);
  if (ends) COUNTED("wait again", assert_int_equal(lsio_wait(job, -1), 0));
  nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  keep_open(job, NULL);
  COUNTED("job_release alone", lsio_job_release(job));
}

static void run_rounds(const char *script, uint32_t flags) {
  bool fine = false;
  for (int i = 0; i < ROUNDS && !fine; i++) {
    open_queue();
    run_to_end(script, flags);
    close_queue();
    if (!(flags & LSIO_JOB_STREAM)) run_alone(script, true);
    fine = counted_round();
  }
}

/* ---- where large things lie ---- */

static char large[64]; /* a folder in memory if there is one, else the test's own */

static int make_large(void **state) {
  if (api_setup(state) != 0) return -1;
  snprintf(large, sizeof large, "/dev/shm/lsio-waits-XXXXXX");
  if (mkdtemp(large)) return 0;
  return getcwd(large, sizeof large) ? 0 : -1;
}

static int drop_large(void **state) {
  if (strncmp(large, "/dev/shm", 8) == 0) rmdir(large);
  return api_teardown(state);
}

static void need_room(uint64_t bytes, uint64_t files) {
  struct statvfs v;
  if (statvfs(large, &v) != 0 || (uint64_t)v.f_bavail * v.f_frsize < bytes || v.f_favail < files) {
    print_message("%s has no room for %llu bytes, %llu files\n", large, (unsigned long long)bytes,
                  (unsigned long long)files);
    skip();
  }
}

/* ---- cases ---- */

#define TREES 200
#define LEAVES 1000 /* links to one file each: made and removed in a second */
static char tree[100];

static int each_leaf(int (*leaf)(const char *first, const char *name, int i), int (*folder)(const char *name)) {
  char name[160], first[160];
  for (int t = 0; t < TREES; t++) {
    snprintf(name, sizeof name, "%s/%d", tree, t);
    if (folder && folder(name) != 0) return -1;
    snprintf(first, sizeof first, "%s/%d/0.f32", tree, t);
    for (int i = 0; i < LEAVES; i++) {
      snprintf(name, sizeof name, "%s/%d/%d.f32", tree, t, i);
      if (leaf(first, name, i) != 0) return -1;
    }
    snprintf(name, sizeof name, "%s/%d", tree, t);
    if (!folder && rmdir(name) != 0) return -1;
  }
  return 0;
}

static int plant(const char *first, const char *name, int i) {
  if (i) return link(first, name);
  FILE *f = fopen(name, "w");
  return !f || fwrite(api_values, 4, 4, f) != 4 || fclose(f) != 0;
}
static int make_folder(const char *name) { return mkdir(name, 0700); }

static int fell(const char *first, const char *name, int i) {
  (void)first, (void)i;
  return unlink(name);
}

static void listed_files(void **state) {
  (void)state;
  need_room(4 << 20, TREES * (LEAVES + 1) + 100);
  snprintf(tree, sizeof tree, "%s/tree", large);
  assert_int_equal(mkdir(tree, 0700), 0);
  assert_int_equal(each_leaf(plant, make_folder), 0);
  char script[400];
  snprintf(script, sizeof script,
           "local lsio = require 'lsio'\n"
           "return lsio.job { source = lsio.files('%s/**/*.f32'), type = 'f32',\n"
           " state = 'double n;', reduce = { n = 'sum' },\n"
           " transform = function(chunk, state) state.n = state.n + chunk.n end,\n"
           " done = function(r) assert(r.n == 4 * %d) end }", tree, TREES * LEAVES);
  bool fine = false;
  for (int i = 0; i < ROUNDS && !fine; i++) {
    open_queue();
    struct lsio_progress p = {.struct_size = sizeof p};
    lsio_job *listing = submit(script, 0), *running = submit(script, 0);
    for (; !p.listed; nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL))
      COUNTED("job_progress", lsio_job_progress(listing, &p));
    release(listing);
    for (; !p.steps; nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL))
      COUNTED("job_progress", lsio_job_progress(running, &p));
    release(running);
    lsio_job *stopped = submit(script, 0);
    COUNTED("cancel", lsio_cancel(stopped));
    run(stopped);
    read_end(stopped, LSIO_ERR_CANCELLED);
    release(stopped);
    run_to_end(script, 0);
    close_queue();
    run_alone(script, true);
    run_alone(script, false);
    fine = counted_round();
  }
  assert_int_equal(each_leaf(fell, NULL), 0);
  assert_int_equal(rmdir(tree), 0);
  counted_judge();
}

#define RANGES 1000000u
static uint32_t objects[RANGES];
static int64_t offsets[RANGES], lengths[RANGES];

/* A plain read of many ranges, whose results are streamed. */
static void borrowed_ranges(void **state) {
  (void)state;
  static const char *const names[] = {"a.f32"};
  const struct lsio_request_options r = {.struct_size = sizeof r, .flags = LSIO_REQUEST_BORROW, .objects = names,
                                         .n_objects = 1, .n = RANGES, .object = objects, .offset = offsets,
                                         .length = lengths};
  for (size_t i = 0; i < RANGES; i++) {
    offsets[i] = (int64_t)(i % API_VALUES * 4);
    lengths[i] = 4;
  }
  bool fine = false;
  for (int i = 0; i < ROUNDS && !fine; i++) {
    open_queue();
    lsio_request *request = NULL;
    COUNTED("request_create", assert_int_equal(lsio_request_create(&r, &request, NULL), 0));
    struct lsio_job_options o = api_options("", LSIO_JOB_STREAM);
    o.script = NULL;
    o.request = request;
    lsio_job *job = submit_options(&o);
    COUNTED("request_release", lsio_request_release(request));
    run(job);
    read_end(job, 0);
    release(job);
    close_queue();
    fine = counted_round();
  }
  counted_judge();
}

#define GIB ((off_t)1 << 30)

static void large_output_replaced(void **state) {
  (void)state;
  need_room(3 * (uint64_t)GIB, 100);
  char in[100], out[100], script[400];
  snprintf(in, sizeof in, "%s/in", large);
  snprintf(out, sizeof out, "%s/out.bin", large);
  assert_int_equal(close(open(in, O_CREAT | O_WRONLY, 0600)), 0);
  assert_int_equal(truncate(in, GIB), 0); /* takes no room */
  const int fd = open(out, O_CREAT | O_WRONLY, 0600);
  const int rc = posix_fallocate(fd, 0, GIB);
  close(fd);
  snprintf(script, sizeof script,
           "local lsio = require 'lsio'\n"
           "return lsio.job { source = lsio.files('%s', { chunk = '1MiB' }),\n"
           " sink = lsio.raw('%s', { exists = 'replace' }) }", in, out);
  if (!rc) run_rounds(script, 0);
  (void)(unlink(in) | unlink(out));
  if (rc) skip();
  counted_judge();
}

/* Numbers with all their digits, as JSON and as a value. */
static void large_state_merged(void **state) {
  (void)state;
  static const char script[] =
      API_HEAD " state = 'double v[1000000];', reduce = { v = 'sum' }, transform = function(chunk, state)\n"
               " for i = 0, 999 do state.v[chunk.index * 1000 + i] = chunk.data[i % 100] / 7 end end }";
  bool fine = false;
  for (int i = 0; i < ROUNDS && !fine; i++) {
    open_queue();
    lsio_job *job = submit(script, LSIO_JOB_STATE_VALUE);
    run(job);
    read_end(job, 0);
    lsio_value *value = NULL;
    COUNTED("job_state_value", assert_int_equal(lsio_job_state_value(job, &value, NULL), 0));
    struct lsio_value_view view = {.struct_size = sizeof view};
    COUNTED("value_get", lsio_value_get(lsio_value_find(value, "v"), &view));
    assert_int_equal(view.n, 1000000);
    release(job);
    COUNTED("value_release", lsio_value_release(value));
    close_queue();
    fine = counted_round();
  }
  counted_judge();
}

static void large_result_in_memory(void **state) {
  (void)state;
  static const char script[] =
      API_HEAD " out_max = 100000, sink = lsio.memory(), transform = function(chunk)\n"
               " for i = 0, 99999 do chunk.out[i] = i end return 100000 end }";
  run_rounds(script, 0);
  counted_judge();
}

static void many_results(void **state) {
  (void)state;
  static const char script[] = API_HEAD " out_max = 100000, transform = function(chunk)\n"
                                        " for i = 0, 99999 do chunk.out[i] = i end return 100000 end }";
  run_rounds(script, LSIO_JOB_STREAM);
  counted_judge();
}

/* A transform that spins, and another job's coordinator function, which has the script's state meanwhile. */
#define SPIN "repeat f = io.open('go') until f f:close()"
static void others_spin(void **state) {
  (void)state;
  static const char spins[] = API_HEAD " transform = function() local f " SPIN " end }";
  static const char coordinates[] = API_HEAD " setup = function() io.open('reached', 'w'):close() local f " SPIN " end }";
  static const char broken[] = API_HEAD " transform = function() error('no') end }";
  bool fine = false;
  for (int i = 0; i < ROUNDS && !fine; i++) {
    open_queue();
    struct lsio_job_options o = api_options(API_COUNTS, 0);
    lsio_script *loaded = NULL;
    assert_int_equal(lsio_script_load(api_context, &o, &loaded, NULL) | lsio_script_wait(loaded, NULL), 0);
    lsio_job *ended = submit(API_COUNTS, 0);
    run(ended);
    lsio_job *failed = submit(broken, 0);
    run(failed);
    lsio_job *spinning = submit(spins, 0), *held = submit(coordinates, 0);
    while (access("reached", F_OK) != 0) {
      assert_null(take());
      nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    lsio_job *later = submit(API_COUNTS, 0);
    run_alone(API_COUNTS, false);
    look_at(spinning);
    look_at(held);
    COUNTED("cancel", lsio_cancel(later));
    release(later);
    release(spinning);
    read_end(ended, 0);
    release(ended);
    read_end(failed, LSIO_ERR_TRANSFORM);
    release(failed);
    COUNTED("script_release", lsio_script_release(loaded));
    COUNTED("script_load", assert_int_equal(lsio_script_load(api_context, &o, &loaded, NULL), 0));
    COUNTED("script_release", lsio_script_release(loaded)); /* which has never run */
    release(held);
    close_queue();
    let_go();
    lsio_context_destroy(api_context);
    api_context = NULL;
    fine = counted_round();
    assert_int_equal(unlink("go") | unlink("reached"), 0);
    const struct lsio_context_options c = {.struct_size = sizeof c, .flags = LSIO_CONTEXT_NO_ENV};
    assert_int_equal(lsio_context_create(&c, &api_context, NULL), 0);
  }
  counted_judge();
}

int main(void) {
  alarm(600); /* a call that waits for what the test does later never returns */
  const struct CMUnitTest tests[] = {
      WAITS_TEST(listed_files),           WAITS_TEST(borrowed_ranges), WAITS_TEST(large_output_replaced),
      WAITS_TEST(large_state_merged),     WAITS_TEST(large_result_in_memory),
      WAITS_TEST(many_results),           WAITS_TEST(others_spin),
  };
  return cmocka_run_group_tests(tests, make_large, drop_large);
}
