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

static lsio_job *spinning, *beside;

static int begin(void **state) {
  int rc = api_begin(state);
  if (rc) return rc;
  touch("go", "");
  spinning = submit(SPINS, one_thread, 0);
  struct lsio_progress p = {.struct_size = sizeof p};
  while (lsio_job_progress(spinning, &p), !p.workers_running) usleep(1000);
  usleep(20000); /* the step runs */
  return 0;
}

/* Also behind a test that has failed. */
static int end(void **state) {
  const bool spins = lsio_job_status(spinning) == LSIO_ERR_BUSY;
  unlink("go");
  const int rc = lsio_wait(spinning, 60000);
  lsio_job_release(spinning);
  lsio_job_release(beside);
  beside = NULL;
  return api_end(state) || !spins || rc ? -1 : 0;
}

#define BUSY_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void must_end(const char *script, int code) {
  beside = submit(script, all_threads, 0);
  if (code == LSIO_ERR_CANCELLED) lsio_cancel(beside);
  const int rc = lsio_wait(beside, 30000);
  const lsio_error *e = lsio_job_error(beside);
  if (rc != code) fail_msg("%s\n%s: %s", script, lsio_error_name(rc), e ? lsio_error_message(e) : "");
}

static void leaves(const char *state) {
  if (!strstr(lsio_job_summary_json(beside), state)) fail_msg("%s", lsio_job_summary_json(beside));
  lsio_job_release(beside);
  beside = NULL;
}

static void test_other_jobs_end(void **state) {
  (void)state;
  char name[32];
  for (int i = 0; i < SMALL_FILES; i++) {
    snprintf(name, sizeof name, "small%d", i);
    touch(name, "text");
  }
  for (int i = 0; i < 20; i++) {
    must_end(API_COUNTS, 0);
    leaves("\"state\": {\"n\":100000}");
    must_end(API_APART COUNTS, 0);
    leaves("\"state\": {\"n\":1000}");
    must_end("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files('small*', { whole = true }),\n" COUNTS, 0);
    leaves("\"state\": {\"n\":40}");
    must_end(API_HEAD " sink = lsio.memory() }\n", 0);
    leaves("\"steps\": 1000");
  }
  for (int i = 0; i < SMALL_FILES; i++) {
    snprintf(name, sizeof name, "small%d", i);
    unlink(name);
  }
}

static void test_streams_end(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    lsio_job *job = submit(API_APART " transform = function(chunk) return 'x' end }\n", all_threads,
                           LSIO_JOB_STREAM);
    assert_int_equal(polled_wait(job), 0);
    polled_destroy(job);
  }
}

static void test_cancelled_jobs_end(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    must_end(API_APART " transform = function(chunk)\n"
             " local t = os.clock() while os.clock() - t < 0.005 do end end }\n", LSIO_ERR_CANCELLED);
    leaves("\"status\": \"cancelled\"");
  }
}

int main(void) {
  alarm(600); /* a stream that does not end would be waited for */
  const struct CMUnitTest tests[] = {BUSY_TEST(test_other_jobs_end), BUSY_TEST(test_streams_end),
                                     BUSY_TEST(test_cancelled_jobs_end)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
