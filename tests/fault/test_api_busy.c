/* A step of one job takes long: others end all the same, if a thread of the context is free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "polled.h"

/* Its only step goes on while there is a file. */
#define SPINS                                                                       \
  "local lsio = require 'lsio'\n"                                                   \
  "return lsio.job { source = lsio.files('a.f32', { whole = true }),\n"             \
  "  transform = function(chunk)\n"                                                 \
  "    repeat local f = io.open('go') if f then f:close() end until not f end }\n"

#define COUNTS " state = 'double n;', reduce = { n = 'sum' },\n" \
               " transform = function(chunk, state) state.n = state.n + 1 end }\n"
#define SMALL_FILES 40

static const char *const all_threads[] = {"workers=4", "memory=64MiB"};
static const char *const one_thread[] = {"workers=1", "memory=64MiB"};

static lsio_job *submit(const char *script, const char *const *settings, uint32_t flags) {
  struct lsio_job_options o = api_options(script, flags);
  o.settings = settings;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if ((flags & LSIO_JOB_STREAM ? polled_submit : lsio_submit)(api_context, &o, &job, &error) != 0)
    fail_msg("%s", lsio_error_message(error));
  return job;
}

static void touch(const char *name, const char *text) {
  FILE *f = fopen(name, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static lsio_job *begin_spinning(void) {
  touch("go", "");
  lsio_job *job = submit(SPINS, one_thread, 0);
  struct lsio_progress p = {.struct_size = sizeof p};
  while (lsio_job_progress(job, &p), !p.workers_running) usleep(1000);
  usleep(20000); /* the step runs */
  return job;
}

static void end_spinning(lsio_job *job) {
  assert_int_equal(lsio_job_status(job), LSIO_ERR_BUSY);
  assert_int_equal(unlink("go"), 0);
  assert_int_equal(lsio_wait(job, 60000), 0);
  lsio_job_release(job);
}

static void must_end(const char *script, const char *state) {
  lsio_job *job = submit(script, all_threads, 0);
  const int rc = lsio_wait(job, 30000);
  if (rc != 0) {
    unlink("go"); /* or nothing ends */
    const lsio_error *e = lsio_job_error(job);
    fprintf(stderr, "%s\n%s: %s\n", script, lsio_error_name(rc), e ? lsio_error_message(e) : "");
    lsio_job_release(job);
    fail();
  }
  if (!strstr(lsio_job_summary_json(job), state)) fail_msg("%s", lsio_job_summary_json(job));
  lsio_job_release(job);
}

static void test_other_jobs_end(void **state) {
  (void)state;
  char name[32];
  for (int i = 0; i < SMALL_FILES; i++) {
    snprintf(name, sizeof name, "small%d", i);
    touch(name, "text");
  }
  lsio_job *long_one = begin_spinning();
  for (int i = 0; i < 20; i++) {
    must_end(API_COUNTS, "\"state\": {\"n\":100000}");
    must_end(API_APART COUNTS, "\"state\": {\"n\":1000}");
    must_end("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files('small*', { whole = true }),\n" COUNTS,
             "\"state\": {\"n\":40}");
    must_end(API_HEAD " sink = lsio.memory() }\n", "\"steps\": 1000");
  }
  end_spinning(long_one);
  for (int i = 0; i < SMALL_FILES; i++) {
    snprintf(name, sizeof name, "small%d", i);
    unlink(name);
  }
}

static void test_streams_end(void **state) {
  (void)state;
  lsio_job *long_one = begin_spinning();
  for (int i = 0; i < 20; i++) {
    lsio_job *job = submit(API_APART " transform = function(chunk) return 'x' end }\n", all_threads,
                           LSIO_JOB_STREAM);
    assert_int_equal(polled_wait(job), 0);
    polled_destroy(job);
  }
  end_spinning(long_one);
}

static void test_cancelled_jobs_end(void **state) {
  (void)state;
  lsio_job *long_one = begin_spinning();
  for (int i = 0; i < 20; i++) {
    lsio_job *job = submit(API_APART " transform = function(chunk)\n"
                           " local t = os.clock() while os.clock() - t < 0.005 do end end }\n", all_threads, 0);
    usleep(1000u * (unsigned)i);
    lsio_cancel(job);
    const int rc = lsio_wait(job, 30000);
    if (rc == LSIO_ERR_BUSY) unlink("go");
    lsio_job_release(job);
    assert_int_equal(rc, LSIO_ERR_CANCELLED);
  }
  end_spinning(long_one);
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(test_other_jobs_end), API_TEST(test_streams_end),
                                     API_TEST(test_cancelled_jobs_end)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
