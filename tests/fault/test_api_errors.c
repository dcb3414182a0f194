/* Errors of jobs as programs handle them: their kind, and where they come from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"

#define JOB(rest) "local lsio = require 'lsio'\nreturn lsio.job { " rest " }"

static void make_file(const char *name, size_t bytes) {
  FILE *f = fopen(name, "wb");
  assert_non_null(f);
  assert_int_equal(ftruncate(fileno(f), (off_t)bytes), 0);
  fclose(f);
}

/* The error that such a job ends with, here or there (lsio_error_free). */
static lsio_error *error_of(const char *script) {
  struct lsio_job_options o = api_options(script, 0);
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (lsio_submit(api_context, &o, &job, &error) != 0) return error;
  lsio_wait(job);
  error = lsio_error_dup(lsio_job_error(job));
  lsio_job_destroy(job);
  if (!error) fail_msg("it works: %s", script);
  return error;
}

static void kinds_of_jobs(void **state) {
  (void)state;
  make_file("there.raw", 8);
  static const struct {
    const char *script;
    int kind, retryable;
  } jobs[] = {
      {JOB("source = lsio.files('none')"), LSIO_KIND_NOT_FOUND, 0},
      {JOB("source = lsio.files('none*')"), LSIO_KIND_NOT_FOUND, 0},
      {JOB("source = lsio.files('.')"), LSIO_KIND_USAGE, 0},
      {JOB("source = lsio.files('/proc/self/maps')"), LSIO_KIND_UNSUPPORTED, 0},
      {JOB("source = lsio.files('s3://b/k')"), LSIO_KIND_UNSUPPORTED, 0},
      {JOB("source = lsio.files('a.f32'), sink = lsio.raw('there.raw')"), LSIO_KIND_EXISTS, 0},
      {JOB("source = lsio.files('a.f32'), sink = lsio.raw('no/folder')"), LSIO_KIND_NOT_FOUND, 0},
      {JOB("source = lsio.files('a.f32'), codec = 'zstd'"), LSIO_KIND_CORRUPT, 0},
      {JOB("source = lsio.files('a.f32'), transform = function() error 'no' end"), LSIO_KIND_TRANSFORM, 0},
      {JOB("source = lsio.files('big.u8', { whole = true }), transform = function() end"), LSIO_KIND_LIMIT, 0},
      {JOB("sauce = 1"), LSIO_KIND_SCRIPT, 0},
      {JOB("source = lsio.files('b.u8', { chunk = 4096 }), transform = function(chunk)\n"
           "  if chunk.index == 0 then local f = io.open('b.u8', 'ab') f:write 'x' f:close() end end"),
       LSIO_KIND_CHANGED, 1},
  };
  make_file("b.u8", 65536);
  make_file("big.u8", 256u << 20);
  for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
    lsio_error *e = error_of(jobs[i].script);
    if (lsio_error_kind(e) != jobs[i].kind || lsio_error_is_retryable(e) != jobs[i].retryable)
      fail_msg("%s: %s, %d: %s", jobs[i].script, lsio_error_kind_name(lsio_error_kind(e)),
               lsio_error_is_retryable(e), lsio_error_message(e));
    lsio_error_free(e);
  }
  unlink("there.raw");
  unlink("b.u8");
  unlink("big.u8");
}

/* A file that ends before planning said, where it is read, not only looked at. */
static void truncated(void **state) {
  (void)state;
  make_file("b.u8", 1 << 20);
  lsio_error *e = error_of(JOB("source = lsio.files('b.u8', { chunk = 4096 }),\n"
                               "options = { workers = 1, queue_depth = 1, backend = 'pread' },\n"
                               "transform = function(chunk) if chunk.index == 0 then\n"
                               "  io.open('b.u8', 'wb'):close() end end"));
  assert_int_equal(lsio_error_code(e), LSIO_ERR_SOURCE);
  assert_int_equal(lsio_error_kind(e), LSIO_KIND_CHANGED);
  lsio_error_free(e);
  unlink("b.u8");
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(kinds_of_jobs), API_TEST(truncated)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
