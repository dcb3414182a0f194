/* Transforms that do not return: after a deadline they are interrupted, where LuaJIT can be. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "late_job.h"
#include "polled.h"

#define ENDLESS(work)                                                                   \
  API_HEAD " state = 'double n;', reduce = { n = 'sum' }, fill = -1,\n"                 \
  " sink = lsio.memory(), transform = function(chunk, state)\n"                         \
  "  state.n = state.n + 1\n"                                                           \
  "  if chunk.index % 2 == 1 then " work " end\n"                                       \
  "  for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end end }\n"

/* Others that run in the same states meanwhile have no part in it. */
static void *other_jobs(void *context) {
  size_t wrong = 0;
  for (int i = 0; i < 20; i++) {
    struct lsio_job_options o = api_options(API_COUNTS, 0);
    lsio_job *job = NULL;
    if (polled_submit(context, &o, &job, NULL) != 0) return (void *)1;
    wrong += polled_wait(job) != 0 || !strstr(lsio_job_summary_json(job), "\"n\":100000");
    polled_destroy(job);
  }
  return (void *)wrong;
}

static void one_that_does_not_return_is_interrupted(void **state) {
  (void)state;
  static float got[API_VALUES];
  if (!late_interrupts()) skip();
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, other_jobs, api_context), 0);
  lsio_job *job = late_submit(ENDLESS("while true do end"), 0, true, got);
  late_check_values(got, late_ends_interrupted(job, 2));
  api_close(job);
  job = late_submit(ENDLESS("local function f() return f() end f()"), 0, false, got);
  assert_int_equal(polled_wait(job), LSIO_ERR_LIMIT);
  assert_int_equal(lsio_job_exit_code(job), 9);
  api_close(job);
  void *wrong;
  assert_int_equal(pthread_join(thread, &wrong), 0);
  assert_null(wrong);
}

/* It is asked again. */
static void one_that_catches_it_too(void **state) {
  (void)state;
  static float got[API_VALUES];
  if (!late_interrupts()) skip();
  lsio_job *job = late_submit(ENDLESS("for i = 1, 3 do pcall(function() while true do end end) end"), 0, true, got);
  assert_int_equal(polled_wait(job), 0);
  assert_int_equal(lsio_job_exit_code(job), 9);
  api_close(job);
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(one_that_does_not_return_is_interrupted),
                                     API_TEST(one_that_catches_it_too)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
