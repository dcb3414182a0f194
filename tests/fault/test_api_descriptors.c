/* Ordered results of several workers that have fewer descriptors than they could use: who waits for its
 * turn must not keep those that the oldest step needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "polled.h"

#define FILES 150
#define BYTES 16384

static const char script[] =
    "local lsio = require 'lsio'\n"
    "return lsio.job { source = lsio.files('many/*'), type = 'f32', out_max = 4096,\n"
    "  sink = lsio.raw('out.raw', { exists = 'replace' }),\n"
    "  transform = function(chunk)\n"
    "    local sum = 0\n"
    "    for k = 1, 20 do for i = 0, chunk.n - 1 do sum = sum + chunk.data[i] end end\n"
    "    for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end\n"
    "    return sum >= 0 and 4096 end }\n";

static void make_files(void) {
  static float data[BYTES / sizeof(float)];
  assert_int_equal(mkdir("many", 0777), 0);
  for (int i = 0; i < FILES; i++) {
    char path[32];
    snprintf(path, sizeof path, "many/%03d", i);
    for (size_t k = 0; k < BYTES / sizeof *data; k++) data[k] = (float)i;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, BYTES, f), BYTES);
    assert_int_equal(fclose(f), 0);
  }
}

static void remove_files(void) {
  for (int i = 0; i < FILES; i++) {
    char path[32];
    snprintf(path, sizeof path, "many/%03d", i);
    assert_int_equal(unlink(path), 0);
  }
  assert_int_equal(rmdir("many"), 0);
  assert_int_equal(unlink("out.raw"), 0);
}

static void check_output(void) {
  static float got[BYTES / sizeof(float)];
  FILE *f = fopen("out.raw", "rb");
  assert_non_null(f);
  for (int i = 0; i < FILES; i++) {
    assert_int_equal(fread(got, 1, BYTES, f), BYTES);
    for (size_t k = 0; k < BYTES / sizeof *got; k++) assert_true(got[k] == (float)i);
  }
  assert_int_equal(fgetc(f), EOF);
  fclose(f);
}

/* The job must end; whether with or without the descriptors it wants. */
static int run(int descriptors) {
  static const char *const settings[] = {"workers=4", "memory=1MiB", "backend=pread"};
  struct lsio_job_options o = api_options(script, 0);
  o.settings = settings;
  o.n_settings = 3;
  struct rlimit before, few;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  few = before;
  few.rlim_cur = (rlim_t)descriptors;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
  lsio_job *job = NULL;
  int rc = polled_submit(api_context, &o, &job, NULL);
  if (rc == 0) {
    struct polled c[16];
    int n = 1;
    for (int left = 200; left && n >= 0 && lsio_job_status(job) == LSIO_ERR_BUSY; left--)
      n = polled_take(job, c, 16, 100);
    rc = lsio_job_status(job);
    polled_destroy(job);
  }
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  if (rc == LSIO_ERR_BUSY) fail_msg("the job hangs with %d descriptors", descriptors);
  return rc;
}

static void waiting_for_the_window_needs_no_descriptor(void **state) {
  (void)state;
  make_files();
  for (int descriptors = 16; descriptors <= 24; descriptors += 2) {
    assert_int_equal(run(descriptors), 0);
    check_output();
  }
  remove_files();
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(waiting_for_the_window_needs_no_descriptor)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
