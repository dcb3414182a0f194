/* Standard input in a program of several jobs: each goes on where the last one stopped. */
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"

#define BYTES 100000u
#define SHARED 1000 /* what the first test takes */

#define ADDS                                                                                        \
  "local lsio = require 'lsio'\n"                                                                   \
  "return lsio.job { source = lsio.stdin { chunk = 1000 }, type = 'u8', state = 'double n, sum, from;',\n" \
  " reduce = { n = 'sum', sum = 'sum', from = 'min' },\n"                                           \
  " transform = function(c, s) s.n, s.sum = s.n + c.n, s.sum + lsio.k.sum(c.data, c.n)\n"           \
  "   s.from = math.min(s.from, c.offset) end }\n"

#define SKIPS                                                                                       \
  "local lsio = require 'lsio'\n"                                                                   \
  "return lsio.job { source = lsio.stdin { chunk = 1000 }, type = 'u8', on_error = 'skip',\n"        \
  " transform = function() end }\n"

static uint8_t byte_at(uint64_t i) { return (uint8_t)(i * 31 + i / 251); }

/* A file of its own as standard input: what comes from a pipe or not is the backend's affair. */
static void give(void) {
  FILE *f = fopen("in", "wb");
  for (uint64_t i = 0; i < BYTES; i++) fputc(byte_at(i), f);
  fclose(f);
  const int fd = open("in", O_RDONLY | O_CLOEXEC);
  assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
  close(fd);
  unlink("in");
}

static lsio_job *submit(const char *script, const char *limit) {
  struct lsio_job_options o = api_options(script, 0);
  const char *const settings[] = {"workers=3", "memory=64MiB", limit};
  o.settings = settings;
  o.n_settings = 3;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (lsio_submit(api_context, &o, &job, &error)) fail_msg("%s", lsio_error_message(error));
  return job;
}

static void adds(const char *limit, uint64_t from, uint64_t n, uint64_t start) {
  lsio_job *job = submit(ADDS, limit);
  json_t *s = api_ends(job, 0), *state = json_object_get(s, "state");
  uint64_t sum = 0;
  for (uint64_t i = from; i < from + n; i++) sum += byte_at(i);
  assert_true(api_number(state, "n") == (double)n && api_number(state, "sum") == (double)sum);
  if (n) assert_true(api_number(state, "from") == (double)(start + from));
  assert_true(api_number(s, "bytes_requested") == (double)n);
  json_decref(s);
  api_close(job);
}

/* An end stays one, for all that follows. */
static void a_job_goes_on_where_the_last_one_stopped(void **state) {
  (void)state;
  give();
  adds("limit=7", 0, 7000, SHARED);
  adds("limit=1", 7000, 1000, SHARED);
  adds("limit=1000", 8000, BYTES - 8000, SHARED);
  adds("limit=5", 0, 0, BYTES);
}

static lsio_job *begins(void) {
  lsio_job *job = submit(SKIPS, "limit=1");
  struct lsio_progress p = {.struct_size = sizeof p};
  for (int i = 0; i < 10000 && !p.began; i++) {
    usleep(1000);
    lsio_job_progress(job, &p);
  }
  assert_true(p.began);
  return job;
}

/* Both want the same bytes. Which of them gets these nobody knows; to the other it is no failed step. */
static void of_two_jobs_at_once_one_reads(void **state) {
  (void)state;
  int fd[2];
  assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
  assert_int_equal(dup2(fd[0], STDIN_FILENO), STDIN_FILENO);
  close(fd[0]);
  lsio_job *jobs[2] = {begins(), begins()};
  static const char bytes[SHARED];
  assert_int_equal(write(fd[1], bytes, SHARED), SHARED);
  int got = 0, missed = 0, other = 0;
  for (int i = 0; i < 2; i++) {
    const int rc = lsio_wait(jobs[i], 60000);
    const lsio_error *e = lsio_job_error(jobs[i]);
    const bool told = e && lsio_error_kind(e) == LSIO_KIND_CHANGED && !strcmp(lsio_error_object(e), "standard input") &&
                      strstr(lsio_error_message(e), "have gone to another job");
    if (rc == 0) got++;
    else if (rc == LSIO_ERR_SOURCE && told) missed++;
    else other++;
    lsio_job_release(jobs[i]);
  }
  close(fd[1]);
  assert_true(got == 1 && missed == 1 && !other);
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(of_two_jobs_at_once_one_reads),
                                     API_TEST(a_job_goes_on_where_the_last_one_stopped)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
