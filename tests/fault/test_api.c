/* The C API as a program uses it, with what programs get wrong: bad options, a context that is busy,
 * slow pollers, cancel and destroy in mid-run, jobs one after the other in one context. */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lsio.h"
#include "mem.h"

#define VALUES 100000
#define CHUNK 400 /* bytes */
#define STEPS (VALUES * 4 / CHUNK)

static char dir[64];
static float values[VALUES];
static lsio_context *context; /* of the test */
static lsio_job *open_job;    /* in it: closed for tests that fail */
static int64_t live_before;

static int setup(void **state) {
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/lsio-api-XXXXXX");
  if (!mkdtemp(dir) || chdir(dir) != 0) return -1;
  for (int i = 0; i < VALUES; i++) values[i] = (float)(i % 1013);
  FILE *f = fopen("a.f32", "wb");
  if (!f || fwrite(values, sizeof *values, VALUES, f) != VALUES || fclose(f) != 0) return -1;
  return 0;
}

static int begin(void **state) {
  (void)state;
  live_before = lsi_mem_live();
  return lsio_context_create(NULL, &context, NULL);
}

static int files(void) {
  int n = 0;
  DIR *d = opendir(".");
  for (struct dirent *e; (e = readdir(d));) n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
  closedir(d);
  return n;
}

static void close_job(lsio_job *job) {
  open_job = NULL;
  lsio_job_destroy(job);
}

static int end(void **state) {
  (void)state;
  close_job(open_job);
  lsio_context_destroy(context);
  if (lsi_mem_live() == live_before) return 0;
  fprintf(stderr, "%d blocks are lost\n", (int)(lsi_mem_live() - live_before));
  return -1;
}

static int teardown(void **state) {
  (void)state;
  unlink("a.f32");
  return chdir("/") || rmdir(dir);
}

#define HEAD                                                                            \
  "local lsio = require 'lsio'\n"                                                       \
  "return lsio.job { source = lsio.files('a.f32', { chunk = 400 }), type = 'f32',\n"
#define COUNTS HEAD                                                                     \
  " state = 'double n;', reduce = { n = 'sum' },\n"                                     \
  " transform = function(chunk, state) state.n = state.n + chunk.n end }\n"
#define BUSY_FOR "local t = os.clock() + %g while os.clock() < t do end\n"

static const char *const two_workers[] = {"workers=2", "memory=64MiB"};

static struct lsio_job_options options_of(const char *script, uint32_t flags) {
  return (struct lsio_job_options){.struct_size = sizeof(struct lsio_job_options),
                                   .script = script,
                                   .script_length = strlen(script),
                                   .script_name = "job.lua",
                                   .settings = two_workers,
                                   .n_settings = 2,
                                   .flags = flags | LSIO_JOB_NO_ENV};
}

static lsio_job *submit(const char *script, uint32_t flags) {
  struct lsio_job_options o = options_of(script, flags);
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (lsio_submit(context, &o, &job, &error) != 0)
    fail_msg("%s", error ? lsio_error_message(error) : "no error object");
  open_job = job;
  return job;
}

static void refused(const struct lsio_job_options *o, int code, const char *part) {
  lsio_job *job = (lsio_job *)1;
  lsio_error *error = NULL;
  assert_int_equal(lsio_submit(context, o, &job, &error), code);
  assert_ptr_equal(job, (lsio_job *)1);
  assert_int_equal(lsio_error_code(error), code);
  if (!strstr(lsio_error_message(error), part)) fail_msg("%s", lsio_error_message(error));
  lsio_error_free(error);
  assert_int_equal(lsio_submit(context, o, &job, NULL), code); /* the error object is optional */
}

/* The job ends with this code; returns the JSON of its summary. */
static json_t *ends(lsio_job *job, int code) {
  int status = lsio_wait(job);
  if (status != code)
    fail_msg("%s, %s", lsio_error_name(status),
             lsio_job_error(job) ? lsio_error_message(lsio_job_error(job)) : "");
  assert_int_equal(lsio_job_status(job), code);
  json_error_t where;
  json_t *summary = json_loads(lsio_job_summary_json(job), 0, &where);
  if (!summary) fail_msg("summary: %s", where.text);
  assert_non_null(lsio_job_summary_text(job));
  return summary;
}

static double number(const json_t *o, const char *key) {
  const json_t *v = json_object_get(o, key);
  if (!json_is_number(v)) fail_msg("%s is no number", key);
  return json_number_value(v);
}

/* ---- */

static void test_bad_options(void **state) {
  (void)state;
  struct lsio_job_options o = options_of(COUNTS, 0);
  o.struct_size = 0;
  refused(&o, LSIO_ERR_USAGE, "struct_size");
  o = options_of(COUNTS, 0);
  o.script = NULL;
  refused(&o, LSIO_ERR_USAGE, "script");
  refused(NULL, LSIO_ERR_USAGE, "script");
  lsio_job *job;
  o = options_of(COUNTS, 0);
  assert_int_equal(lsio_submit(NULL, &o, &job, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsio_submit(context, &o, NULL, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsio_script_help(context, &o, NULL, NULL), LSIO_ERR_USAGE);

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
  o = options_of(COUNTS, 0);
  o.args = &argument;
  o.n_args = 1;
  refused(&o, LSIO_ERR_USAGE, "nonsense");

  static const char *const scripts[] = {"return 1", "syntax error", "\x1bLJ\x02", "", "error('x')"};
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
    o = options_of(scripts[i], 0);
    refused(&o, LSIO_ERR_SCRIPT, "job.lua");
  }
  o = options_of("return require 'lsio'.job { source = require 'lsio'.files('none') }", 0);
  refused(&o, LSIO_ERR_SOURCE, "none");
  o = options_of(HEAD "sink = require 'lsio'.raw('out') }", LSIO_JOB_STREAM);
  refused(&o, LSIO_ERR_USAGE, "stream");

  struct lsio_context_options none = {0};
  lsio_context *other = NULL;
  assert_int_equal(lsio_context_create(&none, &other, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsio_context_create(NULL, NULL, NULL), LSIO_ERR_USAGE);
  lsio_job_destroy(NULL);
  lsio_context_destroy(NULL);
  lsio_error_free(NULL);
  lsio_free(NULL);
  assert_non_null(lsio_strerror(12345));
  assert_non_null(lsio_error_name(12345));
  assert_int_equal(files(), 1);
}

static void test_busy_context(void **state) {
  (void)state;
  lsio_job *job = submit(COUNTS, 0);
  struct lsio_job_options o = options_of(COUNTS, 0);
  refused(&o, LSIO_ERR_BUSY, "another context");
  char *text = NULL;
  assert_int_equal(lsio_script_help(context, &o, &text, NULL), LSIO_ERR_BUSY);
  assert_null(text);
  json_decref(ends(job, 0));
  refused(&o, LSIO_ERR_BUSY, "another context"); /* it is open until it is destroyed */
  close_job(job);
  close_job(submit(COUNTS, 0));

  /* Two contexts do not meet. */
  lsio_context *other = NULL;
  lsio_job *second = NULL;
  assert_int_equal(lsio_context_create(NULL, &other, NULL), 0);
  job = submit(COUNTS, 0);
  assert_int_equal(lsio_submit(other, &o, &second, NULL), 0);
  json_t *a = ends(job, 0), *b = ends(second, 0);
  assert_true(number(json_object_get(a, "state"), "n") == VALUES);
  assert_true(number(json_object_get(b, "state"), "n") == VALUES);
  json_decref(a);
  json_decref(b);
  close_job(job);
  lsio_job_destroy(second);
  lsio_context_destroy(other);
}

static void test_plan_only(void **state) {
  (void)state;
  lsio_job *job = submit(HEAD "sink = require 'lsio'.raw('out') }", LSIO_JOB_PLAN_ONLY);
  json_t *plan = json_loads(lsio_job_explain(job, 1), 0, NULL);
  static const char *const keys[] = {"chunks",        "operations",      "merged",
                                     "split",         "bytes_requested", "bytes_planned",
                                     "bytes_over_read", "memory",        "expected_s",
                                     "bound",         "devices"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (!json_object_get(plan, keys[i])) fail_msg("the plan has no %s", keys[i]);
  assert_int_equal((int)number(plan, "chunks"), STEPS);
  json_decref(plan);
  struct lsio_completion c;
  assert_int_equal(lsio_poll(job, &c, 1, -1), 0); /* nothing runs, nothing comes */
  assert_int_equal(lsio_wait(job), LSIO_ERR_BUSY);
  assert_null(lsio_job_summary_json(job));
  assert_null(lsio_job_error(job));
  lsio_cancel(job);
  char *activity = lsio_job_activity(job);
  assert_non_null(activity);
  lsio_free(activity);
  close_job(job);
  assert_int_equal(files(), 1);
}

/* ---- streams ---- */

struct seen {
  uint8_t steps[STEPS]; /* how often each came */
  int results, failures;
  bool done;
};

static void check_elements(const struct lsio_completion *c) {
  if (c->kind != LSIO_STEP) return;
  assert_true(c->step < STEPS);
  assert_int_equal(c->length, CHUNK);
  assert_memory_equal(c->data, values + c->step * (CHUNK / 4), CHUNK);
  assert_false(c->is_record);
}

/* Polls once and notes what came. */
static int take(lsio_job *job, struct seen *seen, size_t max, int timeout_ms,
                void (*check)(const struct lsio_completion *c)) {
  static struct lsio_completion batch[256];
  int n = lsio_poll(job, batch, max, timeout_ms);
  assert_true(n >= 0 && (size_t)n <= max);
  for (int i = 0; i < n; i++) {
    assert_false(seen->done);
    if (batch[i].kind == LSIO_DONE) {
      seen->done = true;
      continue;
    }
    assert_true(batch[i].step < STEPS);
    seen->steps[batch[i].step]++;
    seen->results += batch[i].kind == LSIO_STEP;
    seen->failures += batch[i].kind == LSIO_STEP_FAILED;
    assert_true((batch[i].kind == LSIO_STEP_FAILED) == (batch[i].error != NULL));
    if (check) check(&batch[i]);
  }
  return n;
}

static void all_once(const struct seen *seen) {
  for (int i = 0; i < STEPS; i++)
    if (seen->steps[i] != 1) fail_msg("step %d came %d times", i, seen->steps[i]);
}

static void test_stream_in_batches(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 7, 256};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    lsio_job *job = submit(HEAD "}", LSIO_JOB_STREAM);
    struct seen seen = {0};
    while (!seen.done) assert_true(take(job, &seen, sizes[i], -1, check_elements) > 0);
    all_once(&seen);
    assert_int_equal(seen.results, STEPS);
    struct lsio_completion c;
    assert_int_equal(lsio_poll(job, &c, 1, -1), 0); /* after the last one: at once */
    assert_int_equal(lsio_job_status(job), 0);
    close_job(job);
  }
}

static void check_record(const struct lsio_completion *c) {
  char want[64];
  if (c->kind != LSIO_STEP) return;
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
  lsio_job *job = submit(HEAD
                         " transform = function(chunk)\n"
                         "  if chunk.index % 3 == 0 then return false end\n"
                         "  if chunk.index % 3 == 1 then return ('%d'):format(chunk.index) end\n"
                         "  return { at = chunk.index } end }\n",
                         LSIO_JOB_STREAM);
  struct seen seen = {0};
  while (!seen.done) take(job, &seen, 64, -1, check_record);
  all_once(&seen);
  close_job(job);
}

/* 200 MB of results for a poller that sleeps: workers must wait for it, and nothing may be lost. */
static void test_slow_poller(void **state) {
  (void)state;
  lsio_job *job = submit(HEAD " out_max = 50000, transform = function(chunk)\n"
                              "  chunk.out[0] = chunk.index return 50000 end }\n",
                         LSIO_JOB_STREAM);
  struct seen seen = {0};
  struct lsio_progress p = {.struct_size = sizeof p};
  struct timespec pause = {.tv_nsec = 2000000};
  uint64_t ahead = 0, polled = 0;
  while (!seen.done) {
    nanosleep(&pause, NULL);
    lsio_job_progress(job, &p);
    if (p.steps_done > polled && p.steps_done - polled > ahead) ahead = p.steps_done - polled;
    polled += (uint64_t)take(job, &seen, 16, -1, NULL);
  }
  all_once(&seen);
  assert_int_equal(seen.results, STEPS);
  /* 64 MiB in the queue, as much again taken from it by the poll before, and one a worker. */
  assert_true(ahead > 16);
  assert_true(ahead < 2 * (64u << 20) / 200000 + 8);
  close_job(job);
}

static void test_bell(void **state) {
  (void)state;
  lsio_job *job = submit(HEAD " transform = function(chunk) return 'x' end }\n", LSIO_JOB_STREAM);
  struct seen seen = {0};
  struct pollfd fd = {.fd = lsio_job_fd(job), .events = POLLIN};
  assert_true(fd.fd >= 0);
  while (!seen.done) {
    /* Whoever waits for the bell and then takes one completion misses none. */
    if (poll(&fd, 1, 10000) != 1) fail_msg("the bell is silent after %d results", seen.results);
    take(job, &seen, 1, 0, NULL);
  }
  all_once(&seen);
  close_job(job);
}

/* ---- ends that nobody planned ---- */

static void slow_script(char *text, size_t cap, const char *more) {
  snprintf(text, cap, HEAD " transform = function(chunk)\n" BUSY_FOR " %s end }\n", 0.001, more);
}

static void test_cancel(void **state) {
  (void)state;
  char text[512];
  slow_script(text, sizeof text, "");
  lsio_job *job = submit(text, 0);
  struct lsio_progress p = {.struct_size = sizeof p};
  struct timespec pause = {.tv_nsec = 1000000};
  do {
    nanosleep(&pause, NULL);
    lsio_job_progress(job, &p);
  } while (p.steps_done < 10);
  char *activity = lsio_job_activity(job);
  assert_non_null(strstr(activity, "worker 0"));
  lsio_free(activity);
  lsio_cancel(job);
  lsio_cancel(job);
  json_t *s = ends(job, LSIO_ERR_CANCELLED);
  assert_string_equal(json_string_value(json_object_get(s, "status")), "cancelled");
  assert_int_equal((int)number(s, "exit_code"), 130);
  assert_int_equal(lsio_job_exit_code(job), 130);
  assert_true(number(s, "chunks") >= 10 && number(s, "chunks") < STEPS);
  json_decref(s);
  lsio_cancel(job); /* after the end too */
  close_job(job);
}

/* A poller that has gone away must not keep workers that wait for it. */
static void test_destroy_in_mid_run(void **state) {
  (void)state;
  static const char *const scripts[] = {
      HEAD " out_max = 50000, transform = function(chunk) return 50000 end }\n",
      HEAD " out_max = 50000, transform = function(chunk) return 50000 end,\n"
           " sink = lsio.npy('out') }\n",
      COUNTS};
  static const uint32_t flags[] = {LSIO_JOB_STREAM, 0, 0};
  for (int i = 0; i < 12; i++) {
    lsio_job *job = submit(scripts[i % 3], flags[i % 3]);
    struct timespec pause = {.tv_nsec = 4000000L * (i / 3)};
    nanosleep(&pause, NULL);
    struct lsio_completion c;
    if (i % 2) lsio_poll(job, &c, 1, 0);
    close_job(job);
    assert_int_equal(files(), 1);
  }
}

static void check_every_tenth(const struct lsio_completion *c) {
  const bool bad = c->step % 10 == 3;
  assert_int_equal(c->kind, bad ? LSIO_STEP_FAILED : LSIO_STEP);
  if (!bad) return;
  assert_int_equal(lsio_error_code(c->error), LSIO_ERR_TRANSFORM);
  assert_int_equal(lsio_error_step(c->error), c->step);
  assert_int_equal(lsio_error_offset(c->error), c->step * CHUNK);
  assert_string_equal(lsio_error_object(c->error), "a.f32");
  assert_non_null(strstr(lsio_error_message(c->error), "job.lua:6: bad step"));
}

static void test_skip(void **state) {
  (void)state;
  lsio_job *job = submit(HEAD " on_error = 'skip', state = 'double n;', reduce = { n = 'sum' },\n"
                              " transform = function(chunk, state) state.n = state.n + 1\n"
                              "  if chunk.index % 10 == 3 then\n"
                              "   error('bad step ' .. chunk.index) end\n"
                              "  return 'fine' end }\n",
                         LSIO_JOB_STREAM);
  struct seen seen = {0};
  while (!seen.done) take(job, &seen, 32, -1, check_every_tenth);
  all_once(&seen);
  assert_int_equal(seen.failures, STEPS / 10);
  json_t *s = ends(job, 0);
  assert_int_equal(lsio_job_exit_code(job), 1);
  assert_true(number(json_object_get(s, "state"), "n") == STEPS - STEPS / 10);
  assert_string_equal(json_string_value(json_object_get(s, "status")), "skipped");
  assert_int_equal((int)number(s, "chunks_failed"), STEPS / 10);
  assert_int_equal(json_array_size(json_object_get(s, "errors")), 100);
  json_decref(s);
  assert_int_equal(lsio_job_error_count(job), STEPS / 10);
  assert_non_null(lsio_job_step_error(job, 99));
  assert_null(lsio_job_step_error(job, 100));
  struct lsio_progress p = {.struct_size = sizeof p};
  lsio_job_progress(job, &p);
  assert_int_equal(p.steps_failed, STEPS / 10);
  assert_int_equal(p.bytes_done, sizeof values);
  close_job(job);
}

/* ---- reports ---- */

static void test_summary(void **state) {
  (void)state;
  lsio_job *job = submit(COUNTS, 0);
  json_t *s = ends(job, 0);
  static const char *const numbers[] = {
      "exit_code",  "chunks",        "chunks_failed",   "operations",    "bytes_requested",
      "bytes_read", "bytes_decoded", "bytes_delivered", "bytes_written", "bytes_direct",
      "wall_s",     "cpu_s",         "peak_memory"};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    assert_true(number(s, numbers[i]) >= 0);
  static const char *const texts[] = {"status", "backend", "bound"};
  for (size_t i = 0; i < 3; i++)
    if (!json_is_string(json_object_get(s, texts[i]))) fail_msg("%s is no text", texts[i]);
  assert_int_equal((int)number(s, "bytes_requested"), sizeof values);
  assert_int_equal((int)number(s, "chunks"), STEPS);
  assert_true(number(json_object_get(s, "state"), "n") == VALUES);
  assert_int_equal(json_array_size(json_object_get(s, "errors")), 0);
  double steps = 0;
  size_t i;
  json_t *worker;
  json_array_foreach(json_object_get(s, "workers"), i, worker) {
    steps += number(worker, "steps");
    assert_true(number(worker, "wait_s") >= 0 && number(worker, "decode_s") >= 0 &&
                number(worker, "transform_s") >= 0 && number(worker, "place_s") >= 0);
  }
  assert_true(steps == STEPS);
  json_decref(s);
  struct lsio_progress p = {.struct_size = sizeof p};
  lsio_job_progress(job, &p);
  assert_int_equal(p.steps, STEPS);
  assert_int_equal(p.steps_done, STEPS);
  assert_int_equal(p.bytes, sizeof values);
  assert_int_equal(p.bytes_done, sizeof values);
  assert_int_equal(p.workers_running, 0);
  assert_true(p.elapsed_s > 0);
  /* A caller built against a shorter struct gets no byte more. */
  struct lsio_progress shorter;
  memset(&shorter, 0x55, sizeof shorter);
  shorter.struct_size = offsetof(struct lsio_progress, bytes);
  lsio_job_progress(job, &shorter);
  assert_int_equal(shorter.steps, STEPS);
  assert_int_equal(shorter.bytes, 0x5555555555555555);
  close_job(job);
}

static void test_after_a_failure(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    lsio_job *job = submit(HEAD " sink = lsio.npy('out'), out_max = 1, transform = function(chunk)\n"
                                "  if chunk.index == 500 then error('no') end\n"
                                "  return 0 end }\n", 0);
    json_t *s = ends(job, LSIO_ERR_TRANSFORM);
    assert_int_equal((int)number(s, "exit_code"), 7);
    json_decref(s);
    const lsio_error *e = lsio_job_error(job);
    assert_non_null(strstr(lsio_error_message(e), "job.lua:4: no"));
    assert_int_equal(lsio_error_step(e), 500);
    close_job(job);
    assert_int_equal(files(), 1);
    job = submit(COUNTS, 0);
    s = ends(job, 0);
    assert_true(number(json_object_get(s, "state"), "n") == VALUES);
    json_decref(s);
    close_job(job);
  }
}

/* What a job leaves in upvalues, in its environment or in tables of the library of Lua is not there
 * for the next one; with the same text nothing is taken from a cache either. */
static void test_fresh_for_each_job(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    lsio_job *job = submit("local lsio = require 'lsio'\n"
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
    json_t *s = ends(job, 0);
    assert_true(number(json_object_get(s, "state"), "n") == VALUES);
    json_decref(s);
    close_job(job);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_bad_options),
      TEST(test_busy_context),
      TEST(test_plan_only),
      TEST(test_stream_in_batches),
      TEST(test_stream_of_records),
      TEST(test_slow_poller),
      TEST(test_bell),
      TEST(test_cancel),
      TEST(test_destroy_in_mid_run),
      TEST(test_skip),
      TEST(test_summary),
      TEST(test_after_a_failure),
      TEST(test_fresh_for_each_job),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
