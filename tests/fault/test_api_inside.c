/* What a context tells of itself while jobs run and afterwards: jobs, threads, bytes, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api_job.h"
#include "polled.h"

static void test_looks_inside(void **state) {
  (void)state;
  struct lsio_context_stats s = {.struct_size = sizeof s};
  lsio_context_get_stats(api_context, &s);
  assert_true(s.jobs == 0 && s.jobs_running == 0 && s.memory_lent == 0 && s.memory_limit > 0);
  assert_true(s.memory_reserved == 0 && s.jobs_queued == 0);
  lsio_job *a = api_submit_polled(API_COUNTS, 0), *b = api_submit_polled(API_COUNTS, 0);
  lsio_context_get_stats(api_context, &s);
  assert_true(s.jobs == 2 && s.jobs_running == 2 && s.threads > 0 && s.memory_limit > 0);
  assert_int_equal(polled_wait(a), 0);
  assert_int_equal(polled_wait(b), 0);
  api_close(a);
  api_close(b);
  lsio_context_get_stats(api_context, &s);
  assert_true(s.jobs == 2 && s.jobs_running == 0 && s.attended == 0 && s.waiting == 0);
  assert_true(s.memory_reserved == 0 && s.jobs_queued == 0);
  assert_true(s.memory_kept + s.memory_lent > 0); /* for the next ones */
  uint64_t bytes = 0;
  struct lsio_thread_stats t = {.struct_size = sizeof t};
  for (uint32_t i = 0; i < s.threads; i++) {
    assert_int_equal(lsio_context_get_thread_stats(api_context, i, &t), 0);
    assert_true(t.attended == 0 && t.waiting == 0 && t.struct_size == sizeof t);
    bytes += t.bytes_read;
  }
  assert_true(bytes == s.bytes_read && bytes >= 2 * sizeof api_values);
  assert_int_equal(lsio_context_get_thread_stats(api_context, s.threads, &t), LSIO_ERR_USAGE);
  /* A program that knows less of it. */
  struct lsio_context_stats older = {.struct_size = offsetof(struct lsio_context_stats, threads), .threads = 77};
  lsio_context_get_stats(api_context, &older);
  assert_true(older.jobs == 2 && older.threads == 77);
  lsio_error *e = NULL;
  assert_int_equal(lsio_context_trace(api_context, "t.json", &e), LSIO_ERR_USAGE); /* was not asked for */
  lsio_error_free(e);
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(test_looks_inside)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
