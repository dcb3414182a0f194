/* Results as completions: every step exactly once, whatever the size of the batches, with slow pollers,
 * with the bell, and with failures. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "polled.h"

struct seen {
  uint8_t steps[API_STEPS]; /* how often each came */
  int results, failures;
  bool done;
};

static void check_elements(const struct polled *c) {
  if (c->kind != POLLED_STEP) return;
  assert_true(c->step < API_STEPS);
  assert_int_equal(c->length, API_CHUNK);
  assert_memory_equal(c->data, api_values + c->step * (API_CHUNK / 4), API_CHUNK);
  assert_false(c->is_record);
}

/* Polls once and notes what came. */
static int take(lsio_job *job, struct seen *seen, size_t max, int timeout_ms,
                void (*check)(const struct polled *c)) {
  static struct polled batch[256];
  int n = polled_take(job, batch, max, timeout_ms);
  assert_true(n >= 0 && (size_t)n <= max);
  for (int i = 0; i < n; i++) {
    assert_false(seen->done);
    if (batch[i].kind == POLLED_DONE) {
      seen->done = true;
      continue;
    }
    assert_true(batch[i].step < API_STEPS);
    seen->steps[batch[i].step]++;
    seen->results += batch[i].kind == POLLED_STEP;
    seen->failures += batch[i].kind == POLLED_STEP_FAILED;
    assert_true((batch[i].kind == POLLED_STEP_FAILED) == (batch[i].error != NULL));
    if (check) check(&batch[i]);
  }
  return n;
}

static void all_once(const struct seen *seen) {
  for (int i = 0; i < API_STEPS; i++)
    if (seen->steps[i] != 1) fail_msg("step %d came %d times", i, seen->steps[i]);
}

static void test_stream_in_batches(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 7, 256};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    lsio_job *job = api_submit(API_HEAD "}", LSIO_JOB_STREAM);
    struct seen seen = {0};
    while (!seen.done) assert_true(take(job, &seen, sizes[i], -1, check_elements) > 0);
    all_once(&seen);
    assert_int_equal(seen.results, API_STEPS);
    struct polled c;
    assert_int_equal(polled_take(job, &c, 1, -1), 0); /* after the last one: at once */
    assert_int_equal(lsio_job_status(job), 0);
    api_close(job);
  }
}

#define FILES 1200 /* so many that planning looks at few of them */
#define FILE_FLOATS(i) ((i) == 700 ? API_VALUES : (i) % 50)

/* Whole files whose sizes are only known when they are opened. */
static void test_stream_of_many_files(void **state) {
  (void)state;
  char name[32];
  assert_int_equal(mkdir("d", 0755), 0);
  for (size_t i = 0; i < FILES; i++) {
    snprintf(name, sizeof name, "d/%04d.f32", (int)i);
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(api_values, 4, FILE_FLOATS(i), f), FILE_FLOATS(i));
    assert_int_equal(fclose(f), 0);
  }
  lsio_job *job = api_submit("local lsio = require 'lsio' return lsio.job { type = 'f32',"
                             " source = lsio.files('d/*', { whole = true }) }", LSIO_JOB_STREAM);
  uint8_t came[FILES] = {0};
  struct polled c = {0};
  while (polled_take(job, &c, 1, -1) == 1 && c.kind != POLLED_DONE) {
    assert_int_equal(c.kind, POLLED_STEP);
    assert_true(c.step < FILES);
    came[c.step]++;
    assert_int_equal(c.length, 4 * FILE_FLOATS(c.step));
    if (c.length) assert_memory_equal(c.data, api_values, c.length);
  }
  api_close(job);
  for (size_t i = 0; i < FILES; i++) {
    assert_int_equal(came[i], 1);
    snprintf(name, sizeof name, "d/%04d.f32", (int)i);
    assert_int_equal(unlink(name), 0);
  }
  assert_int_equal(rmdir("d"), 0);
}

static void check_record(const struct polled *c) {
  char want[64];
  if (c->kind != POLLED_STEP) return;
  if (c->step % 3 == 0) { /* nothing to deliver, but it has ended */
    assert_int_equal(c->length, 0);
    return;
  }
  assert_true(c->is_record);
  snprintf(want, sizeof want, c->step % 3 == 1 ? "%d" : "{\"at\":%d}", (int)c->step);
  assert_int_equal(c->length, strlen(want));
  assert_memory_equal(c->data, want, c->length);
}

static void test_stream_of_records(void **state) {
  (void)state;
  lsio_job *job = api_submit(API_HEAD
                         " transform = function(chunk)\n"
                         "  if chunk.index % 3 == 0 then return false end\n"
                         "  if chunk.index % 3 == 1 then return ('%d'):format(chunk.index) end\n"
                         "  return { at = chunk.index } end }\n",
                         LSIO_JOB_STREAM);
  struct seen seen = {0};
  while (!seen.done) take(job, &seen, 64, -1, check_record);
  all_once(&seen);
  api_close(job);
}

#define API_PIECES                                                                       \
  "local lsio = require 'lsio'\n"                                                       \
  "return lsio.job { source = lsio.files('a.f32', { whole = true }), type = 'f32',\n"   \
  " piece = '64KiB', on_error = 'skip', out_max = 100,\n"

/* The first completion of a job, which has one step. */
static struct polled only_step(lsio_job *job) {
  struct polled c = {0};
  assert_int_equal(polled_take(job, &c, 1, -1), 1);
  return c;
}

static void no_other(lsio_job *job) {
  struct polled c = {0};
  assert_int_equal(polled_take(job, &c, 1, -1), 1);
  assert_int_equal(c.kind, POLLED_DONE);
  api_close(job);
}

static void test_pieces_yield_one_result(void **state) {
  (void)state;
  lsio_job *job = api_submit(API_PIECES
                             " transform = function(chunk)\n"
                             "  if chunk.pos == 16384 then return false end\n"
                             "  chunk.out[0], chunk.out[1] = chunk.pos, chunk.out.n\n"
                             "  return chunk.last and 1 or 2 end }\n",
                             LSIO_JOB_STREAM);
  struct polled c = only_step(job);
  static const float want[] = {0, 100, 32768, 98, 49152, 96, 65536, 94, 81920, 92, 98304};
  assert_int_equal(c.kind, POLLED_STEP);
  assert_int_equal(c.length, sizeof want);
  assert_memory_equal(c.data, want, sizeof want);
  no_other(job);
  job = api_submit(API_PIECES
                   " transform = function(chunk)\n"
                   "  return chunk.last and ('%d'):format(chunk.pos + chunk.n) end }\n",
                   LSIO_JOB_STREAM);
  c = only_step(job);
  assert_true(c.is_record);
  assert_int_equal(c.length, 6);
  assert_memory_equal(c.data, "100000", 6);
  no_other(job);
}

static void test_records_of_inner_pieces(void **state) {
  (void)state;
  static const char *const bodies[][2] = {
      {"return chunk.first and 'text'", "not the chunk's last"},
      {"if chunk.last then return 'text' end return 1", "after a count"}};
  for (int i = 0; i < 2; i++) {
    char text[1024];
    snprintf(text, sizeof text, API_PIECES " transform = function(chunk) %s end }\n", bodies[i][0]);
    lsio_job *job = api_submit(text, LSIO_JOB_STREAM);
    struct polled c = only_step(job);
    assert_int_equal(c.kind, POLLED_STEP_FAILED);
    assert_non_null(strstr(lsio_error_message(c.error), bodies[i][1]));
    no_other(job);
  }
}

/* Each result is of 200,000 bytes. */
#define API_LARGE API_HEAD " out_max = 50000, transform = function(chunk)\n"              \
                           "  chunk.out[0] = chunk.index return 50000 end }\n"
/* So many may wait: 16 MiB of the queue, and 1 MiB and a result each of what fills it and of what two
 * workers hold. */
#define API_LARGE_MOST ((19u << 20) / 200000 + 4)

/* How many steps are done when none has been for half a second, or more than `most`. */
static uint64_t steps_at_rest(lsio_job *job, uint64_t most) {
  struct lsio_progress p = {.struct_size = sizeof p};
  const struct timespec pause = {.tv_nsec = 10000000};
  uint64_t before = 0;
  for (int same = 0; same < 50 && p.steps <= most; same++) {
    nanosleep(&pause, NULL);
    lsio_job_progress(job, &p);
    if (p.steps != before || !p.steps) same = 0;
    before = p.steps;
  }
  return p.steps;
}

/* 200 MB of results that nobody polls: workers must wait, and nothing may be lost. */
static void test_no_poller(void **state) {
  (void)state;
  lsio_job *job = api_submit(API_LARGE, LSIO_JOB_STREAM);
  struct seen seen = {0};
  const uint64_t first = steps_at_rest(job, API_LARGE_MOST);
  assert_in_range(first, 16, API_LARGE_MOST);
  take(job, &seen, 1, -1, NULL); /* takes over all that waits: room for as much again */
  assert_in_range(steps_at_rest(job, first + API_LARGE_MOST), first + 16, first + API_LARGE_MOST);
  while (!seen.done) take(job, &seen, 16, -1, NULL);
  all_once(&seen);
  assert_int_equal(seen.results, API_STEPS);
  api_close(job);
}

/* Workers that wait for somebody who polls end when the job is cancelled. */
static void test_cancel_without_poller(void **state) {
  (void)state;
  lsio_job *job = api_submit(API_LARGE, LSIO_JOB_STREAM);
  steps_at_rest(job, API_LARGE_MOST);
  lsio_cancel(job);
  struct lsio_progress p = {.struct_size = sizeof p};
  const struct timespec pause = {.tv_nsec = 1000000};
  for (int i = 0; i < 20000; i++) {
    lsio_job_progress(job, &p);
    if (!p.workers_running) break;
    nanosleep(&pause, NULL);
  }
  assert_int_equal(p.workers_running, 0);
  assert_int_equal(polled_wait(job), LSIO_ERR_CANCELLED);
  api_close(job);
}

static void test_bell(void **state) {
  (void)state;
  lsio_job *job = api_submit(API_HEAD " transform = function(chunk) return 'x' end }\n", LSIO_JOB_STREAM);
  struct seen seen = {0};
  struct pollfd fd = {.fd = polled_fd(job), .events = POLLIN};
  assert_true(fd.fd >= 0);
  while (!seen.done) {
    /* Whoever waits for the bell and then takes one completion misses none. */
    if (poll(&fd, 1, 10000) != 1) fail_msg("the bell is silent after %d results", seen.results);
    take(job, &seen, 1, 0, NULL);
  }
  all_once(&seen);
  api_close(job);
}

/* The bell rings as long as a poll has something to return, also when that has been taken from the
 * workers already and none of them is about to add to it. */
static void test_bell_for_what_is_left(void **state) {
  (void)state;
  lsio_job *job = api_submit(API_HEAD " transform = function(chunk)\n"
                             /* Results of quick steps may wait a little; the clock of all threads' CPU time leaps
                              * by a tick (4 ms). */
                             "  if chunk.index == 9 then\n"
                             "    local from = os.clock() repeat until os.clock() - from > 0.03\n"
                             "  elseif chunk.index == 10 then\n"
                             "    local from = os.clock() repeat local f = io.open('go') until f or os.clock() - from > 20\n"
                             "  end\n"
                             "  return 'x' end }\n",
                             LSIO_JOB_STREAM);
  struct seen seen = {0};
  struct lsio_progress p = {.struct_size = sizeof p};
  while (p.steps < 10) lsio_job_progress(job, &p);
  nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* most often all are taken at once then */
  struct pollfd fd = {.fd = polled_fd(job), .events = POLLIN};
  for (int left = 10; left > 0; left--) {
    /* A step counts a moment before its result is there; more than these never come. */
    if (poll(&fd, 1, 10000) != 1) fail_msg("the bell is silent with %d results left", left);
    assert_int_equal(take(job, &seen, 1, 0, NULL), 1);
  }
  assert_int_equal(poll(&fd, 1, 0), 0); /* all have been returned */
  FILE *f = fopen("go", "w");
  assert_non_null(f);
  fclose(f);
  while (!seen.done) take(job, &seen, 256, -1, NULL);
  all_once(&seen);
  api_close(job);
  assert_int_equal(unlink("go"), 0);
}

struct watch {
  lsio_job *job;
  atomic_bool over;
  double longest;
};

static void *watch_progress(void *arg) {
  struct watch *w = arg;
  while (!atomic_load(&w->over)) {
    struct lsio_progress p = {.struct_size = sizeof p};
    lsio_job_progress(w->job, &p);
    if (p.elapsed_s < 0 || p.elapsed_s > w->longest) w->longest = p.elapsed_s;
    if (p.steps + p.steps_failed > p.steps_requested) w->longest = 1e9;
  }
  return NULL;
}

/* Progress may be asked for by any thread, also while the last worker leaves. */
static void test_progress_at_the_end(void **state) {
  (void)state;
  for (int i = 0; i < 30; i++) {
    struct watch w = {.job = api_submit(API_HEAD "}", LSIO_JOB_STREAM)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, watch_progress, &w), 0);
    assert_int_equal(polled_wait(w.job), 0);
    atomic_store(&w.over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(w.longest >= 0 && w.longest < 600);
    api_close(w.job);
  }
}

static void check_every_tenth(const struct polled *c) {
  const bool bad = c->step % 10 == 3;
  assert_int_equal(c->kind, bad ? POLLED_STEP_FAILED : POLLED_STEP);
  if (!bad) return;
  assert_int_equal(lsio_error_code(c->error), LSIO_ERR_TRANSFORM);
  assert_int_equal(lsio_error_step(c->error), c->step);
  assert_int_equal(lsio_error_offset(c->error), c->step * API_CHUNK);
  assert_string_equal(lsio_error_object(c->error), "a.f32");
  assert_non_null(strstr(lsio_error_message(c->error), "job.lua:6: bad step"));
}

static void test_skip(void **state) {
  (void)state;
  lsio_job *job = api_submit(API_HEAD " on_error = 'skip', state = 'double n;', reduce = { n = 'sum' },\n"
                              " transform = function(chunk, state) state.n = state.n + 1\n"
                              "  if chunk.index % 10 == 3 then\n"
                              "   error('bad step ' .. chunk.index) end\n"
                              "  return 'fine' end }\n",
                         LSIO_JOB_STREAM);
  struct seen seen = {0};
  while (!seen.done) take(job, &seen, 32, -1, check_every_tenth);
  all_once(&seen);
  assert_int_equal(seen.failures, API_STEPS / 10);
  json_t *s = api_ends(job, 0);
  assert_int_equal(lsio_job_exit_code(job), 1);
  assert_true(api_number(json_object_get(s, "state"), "n") == API_STEPS - API_STEPS / 10);
  assert_string_equal(json_string_value(json_object_get(s, "status")), "skipped");
  assert_int_equal((int)api_number(s, "chunks_failed"), API_STEPS / 10);
  assert_int_equal(json_array_size(json_object_get(s, "errors")), 100);
  struct lsio_progress p = {.struct_size = sizeof p};
  lsio_job_progress(job, &p);
  assert_int_equal(p.steps, (int)api_number(s, "steps")); /* one name, one figure */
  assert_int_equal(p.steps_failed, (int)api_number(s, "steps_failed"));
  assert_int_equal(p.bytes_requested, (int)api_number(s, "bytes_requested"));
  assert_int_equal(p.steps_requested, API_STEPS);
  json_decref(s);
  assert_int_equal(lsio_job_error_count(job), API_STEPS / 10);
  assert_non_null(lsio_job_step_error(job, 99));
  assert_null(lsio_job_step_error(job, 100));
  assert_int_equal(p.steps_failed, API_STEPS / 10);
  assert_int_equal(p.bytes_done, sizeof api_values);
  api_close(job);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(test_stream_in_batches),
      API_TEST(test_stream_of_many_files),
      API_TEST(test_stream_of_records),
      API_TEST(test_pieces_yield_one_result),
      API_TEST(test_records_of_inner_pieces),
      API_TEST(test_no_poller),
      API_TEST(test_cancel_without_poller),
      API_TEST(test_bell),
      API_TEST(test_bell_for_what_is_left),
      API_TEST(test_progress_at_the_end),
      API_TEST(test_skip),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
