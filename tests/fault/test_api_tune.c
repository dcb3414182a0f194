/* The setting `tune` of a program's jobs: whatever is pinned, results are the same, and the summary tells of
 * it. The file lies in the page cache, and the array is large and populated: so each way can be taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "polled.h"

#define BYTES ((size_t)36 << 20)
#define JOB                                                                                        \
  "local lsio = require 'lsio'\n"                                                                  \
  "return lsio.job { source = lsio.files('big.u8', { chunk = '256KiB' }), type = 'u8',\n"          \
  "  sink = lsio.memory(), "
#define COPY JOB "transform = function(c) lsio.k.copy(c.data, c.n, c.out) end }\n"
#define IDENTITY JOB "}\n"

static uint8_t *bytes, *result;

static const char *const words[] = {"auto", "always", "never"};
static const char *const names[] = {"lend", "stores", "straight"};

/* Pinned ways are told as pinned, unless the job leaves no choice. */
static void check_summary(lsio_job *job, const size_t pins[3]) {
  json_t *s = api_ends(job, 0), *worker;
  size_t at;
  json_array_foreach(json_object_get(s, "workers"), at, worker) {
    json_t *tune = json_object_get(worker, "tune");
    assert_int_equal(json_object_size(tune), 4);
    for (size_t i = 0; i < 3; i++) {
      json_t *v = json_object_get(tune, names[i]);
      assert_non_null(v);
      if (json_is_null(v)) continue;
      assert_int_equal(json_is_true(json_object_get(v, "pinned")), pins[i] != 0);
      if (pins[i]) assert_int_equal(json_is_true(json_object_get(v, "verdict")), pins[i] == 1);
    }
    if (pins[2]) assert_true(json_is_object(json_object_get(tune, "straight")));
  }
  json_decref(s);
}

static void run(lsio_context *context, const char *script, const char *direct, const size_t pins[3]) {
  char tune[80];
  snprintf(tune, sizeof tune, "tune=lend=%s,stores=%s,straight=%s", words[pins[0]], words[pins[1]],
           words[pins[2]]);
  const char *settings[] = {tune, direct, "workers=2"};
  struct lsio_job_options o = api_options(script, 0);
  o.settings = settings;
  o.n_settings = 3;
  o.output = result;
  o.output_length = BYTES;
  memset(result, 0xA5, BYTES);
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (polled_submit(context, &o, &job, &error) != 0) fail_msg("%s", lsio_error_message(error));
  check_summary(job, pins);
  polled_destroy(job);
  if (memcmp(result, bytes, BYTES) != 0) fail_msg("%s, %s: %s", tune, direct, script);
}

static void results_are_the_same_whatever_is_pinned(void **state) {
  (void)state;
  struct lsio_context_options co = {.struct_size = sizeof co, .flags = LSIO_CONTEXT_SIGBUS};
  lsio_context *context = NULL;
  assert_int_equal(lsio_context_create(&co, &context, NULL), 0);
  for (size_t i = 0; i < 27; i++) {
    const size_t pins[3] = {i / 9, i / 3 % 3, i % 3};
    run(context, COPY, "direct=auto", pins);
    run(context, IDENTITY, "direct=auto", pins);
    if (pins[0] == 0) run(context, IDENTITY, "direct=always", pins);
  }
  lsio_context_destroy(context);
}

static int setup(void **state) {
  if (api_setup(state) != 0) return -1;
  bytes = malloc(BYTES);
  result = aligned_alloc(4096, BYTES);
  if (!bytes || !result) return -1;
  for (size_t i = 0; i < BYTES; i++) bytes[i] = (uint8_t)(i % 251 + (i >> 18));
  FILE *f = fopen("big.u8", "wb");
  if (!f) return -1;
  const size_t n = fwrite(bytes, 1, BYTES, f);
  return fclose(f) != 0 || n != BYTES ? -1 : 0;
}

static int teardown(void **state) {
  free(bytes);
  free(result);
  unlink("big.u8");
  return api_teardown(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(results_are_the_same_whatever_is_pinned)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
