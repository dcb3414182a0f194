/* Jobs one after the other in a context: the second touches no new memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "api/context.h"
#include "memory/pool.h"
#include "polled.h"

#define DOUBLED                                                                          \
  "local lsio = require 'lsio'\n"                                                        \
  "return lsio.job { source = lsio.files('a.f32', { chunk = 4000 }), type = 'f32',\n"    \
  " sink = lsio.memory { type = 'f64' }, transform = function(chunk)\n"                  \
  " for i = 0, chunk.n - 1 do chunk.out[i] = 2 * chunk.data[i] end end }\n"

static uint64_t made(void) { return lsi_pool_made(api_context->pool); }
static uint64_t kept(void) {
  lsi_crew_trim(api_context->crew); /* what its threads keep for themselves */
  return lsi_pool_kept(api_context->pool);
}

static void run(const char *script, const char *memory, struct lsio_array *out) {
  const char *settings[] = {"workers=2", memory};
  struct lsio_job_options o = api_options(script, 0);
  o.settings = settings;
  o.n_settings = 2;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (polled_submit(api_context, &o, &job, &error) != 0) fail_msg("%s", lsio_error_message(error));
  const int rc = polled_wait(job);
  if (rc == 0 && out) assert_int_equal(lsio_job_take_output(job, out), 0);
  api_close(job);
  assert_int_equal(rc, 0);
}

static void check(const struct lsio_array *a) {
  assert_int_equal(a->bytes, 2 * sizeof api_values);
  for (int i = 0; i < API_VALUES; i++)
    if (((const double *)a->data)[i] != 2.0 * api_values[i]) fail_msg("element %d", i);
}

static void second_job_makes_no_block(void **state) {
  (void)state;
  struct lsio_array a = {.struct_size = sizeof a};
  assert_int_equal(made(), 0);
  run(DOUBLED, "memory=64MiB", &a);
  lsio_array_free(&a);
  const uint64_t first = made(), bytes = kept();
  assert_true(first >= 2 && bytes > 0 && bytes <= 64u << 20);
  for (int i = 0; i < 5; i++) {
    run(DOUBLED, "memory=64MiB", &a);
    check(&a);
    memset(a.data, 0xff, a.bytes); /* what was left there must not show */
    lsio_array_free(&a);
    assert_int_equal(made(), first);
    assert_int_equal(kept(), bytes);
  }
  /* An array that is still in use is nobody else's. */
  struct lsio_array b = {.struct_size = sizeof b};
  run(DOUBLED, "memory=64MiB", &a);
  run(DOUBLED, "memory=64MiB", &b);
  assert_ptr_not_equal(a.data, b.data);
  check(&a);
  check(&b);
  lsio_array_free(&a);
  lsio_array_free(&b);
}

static void a_smaller_ceiling_lets_go(void **state) {
  (void)state;
  run(DOUBLED, "memory=64MiB", NULL);
  assert_true(kept() > 4u << 20);
  run(API_COUNTS, "memory=4MiB", NULL);
  assert_true(kept() <= 4u << 20);
}

/* A job that fails leaves its memory as well. */
static void failed_jobs_give_back(void **state) {
  (void)state;
  run(DOUBLED, "memory=64MiB", NULL);
  const uint64_t bytes = kept();
  lsio_job *job = api_submit(API_HEAD " sink = lsio.memory(), transform = function() error('no') end }", 0);
  assert_int_equal(polled_wait(job), LSIO_ERR_TRANSFORM);
  api_close(job);
  assert_true(kept() >= bytes);
}

/* While a job runs its memory is kept from children; its result is for them too. */
static void children_see_results(void **state) {
  (void)state;
  struct lsio_array a = {.struct_size = sizeof a};
  run(DOUBLED, "memory=64MiB", &a);
  const pid_t child = fork();
  if (child == 0) _exit(((const double *)a.data)[1] == 2.0 * api_values[1] ? 0 : 1);
  int status = -1;
  assert_true(child > 0 && waitpid(child, &status, 0) == child);
  assert_int_equal(status, 0);
  lsio_array_free(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(second_job_makes_no_block),
      API_TEST(a_smaller_ceiling_lets_go),
      API_TEST(failed_jobs_give_back),
      API_TEST(children_see_results),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
