/* Scripts that stay loaded, through lsio.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api_job.h"
#include "ground/mem.h"
#include "polled.h"

#define COUNTER                                                                          \
  "local lsio = require 'lsio'\nlocal inits, ends = 0, 0\n"                              \
  "return lsio.job { source = lsio.files('a.f32', { chunk = 400000 }), type = 'f32',\n"  \
  " params = { above = 0, only = { 0, 'steps' } },\n"          \
  " state = 'double n, inits;', reduce = { n = 'sum', inits = 'max' },\n"                 \
  " init = function(s) inits = inits + 1 s.inits = inits end,\n"                          \
  " transform = function(c, s, p) s.n = s.n + lsio.k.count_gt(c.data, c.n, p.above) end,\n" \
  " done = function(r) ends = ends + 1 assert(ends == r.inits) end }\n"

static void refuses(int code, const char *part, const struct lsio_job_options *o) {
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  assert_int_equal(polled_submit(api_context, o, &job, &error), code);
  assert_null(job);
  if (!strstr(lsio_error_message(error), part)) fail_msg("%s", lsio_error_message(error));
  lsio_error_free(error);
}

static lsio_script *load(const char *text) {
  struct lsio_job_options o = api_options(text, 0);
  lsio_script *script = NULL;
  lsio_error *error = NULL;
  if (lsio_script_load(api_context, &o, &script, &error) != 0) fail_msg("%s", lsio_error_message(error));
  if (lsio_script_wait(script, &error) != 0) fail_msg("%s", lsio_error_message(error));
  assert_null(error);
  return script;
}

/* One worker, for each has file-level locals of its own. */
static struct lsio_job_options options_of(const lsio_script *script) {
  static const char *const settings[] = {"workers=1", "memory=64MiB"};
  struct lsio_job_options o = api_options("", 0);
  o.script = NULL;
  o.settings = settings;
  o.loaded = script;
  return o;
}

static lsio_job *submit(const lsio_script *script, const char *arg) {
  struct lsio_job_options o = options_of(script);
  o.args = &arg;
  o.n_args = 1;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (polled_submit(api_context, &o, &job, &error) != 0) fail_msg("%s", lsio_error_message(error));
  return job;
}

static void ends(lsio_job *job, double n, double inits) {
  json_t *summary = api_ends(job, 0), *state = json_object_get(summary, "state");
  assert_float_equal(api_number(state, "n"), n, 0);
  assert_float_equal(api_number(state, "inits"), inits, 0);
  json_decref(summary);
}

static double above(double least) {
  double n = 0;
  for (int i = 0; i < API_VALUES; i++) n += api_values[i] > least;
  return n;
}

/* Each with args of its own; what the file's locals count is of all of them. */
static void thousand_jobs_of_one_script(void **state) {
  (void)state;
  lsio_script *script = load(COUNTER);
  for (int k = 1; k <= 1000; k++) {
    char arg[40];
    snprintf(arg, sizeof arg, "--above=%d", k);
    lsio_job *job = submit(script, arg);
    if (k % 100)
      assert_int_equal(polled_wait(job), 0);
    else
      ends(job, above(k), k);
    polled_destroy(job);
  }
  lsio_script_release(script);
}

static void job_outlives_its_script(void **state) {
  (void)state;
  lsio_script *script = load(COUNTER);
  lsio_job *job = submit(script, "--above=7");
  lsio_script_release(script);
  ends(job, above(7), 1);
  polled_destroy(job);
  script = load(COUNTER); /* begins anew */
  job = submit(script, "--above=8");
  ends(job, above(8), 1);
  lsio_script_release(script);
  polled_destroy(job);
  lsio_script_release(NULL);
}

static void what_is_wrong_is_said(void **state) {
  (void)state;
  struct lsio_job_options o = api_options("return 1 +", 0);
  lsio_script *script = NULL;
  lsio_error *error = NULL;
  assert_int_equal(lsio_script_load(api_context, &o, &script, &error), 0);
  const struct lsio_job_options of_broken = options_of(script);
  for (int i = 0; i < 2; i++) { /* whoever asks is told */
    refuses(LSIO_ERR_SCRIPT, ":1: ", &of_broken);
    assert_int_equal(lsio_script_wait(script, &error), LSIO_ERR_SCRIPT);
    assert_non_null(strstr(lsio_error_message(error), ":1: "));
    lsio_error_free(error);
  }
  lsio_script_release(script);
  o.script = NULL;
  assert_int_equal(lsio_script_load(api_context, &o, &script, NULL), LSIO_ERR_USAGE);
  o.script = COUNTER;
  assert_int_equal(lsio_script_load(api_context, &o, NULL, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsio_script_load(NULL, &o, &script, NULL), LSIO_ERR_USAGE);

  script = load(COUNTER);
  o = options_of(script);
  o.script = COUNTER;
  refuses(LSIO_ERR_USAGE, "a script or a loaded one", &o);
  assert_int_equal(lsio_script_load(api_context, &o, &script, NULL), LSIO_ERR_USAGE);
  o.script = NULL;
  const char *arg = "--nope=1";
  o.args = &arg;
  o.n_args = 1;
  refuses(LSIO_ERR_USAGE, "unknown parameter \"--nope\"", &o);
  o.n_args = 0;
  const char *setting = "nope=1";
  o.settings = &setting;
  o.n_settings = 1;
  refuses(LSIO_ERR_USAGE, "nope", &o);
  o.n_settings = 0;
  o.struct_size = offsetof(struct lsio_job_options, loaded); /* as an older program has it */
  refuses(LSIO_ERR_USAGE, "a script or a loaded one", &o);
  o.struct_size = sizeof o;
  char *help = NULL;
  assert_int_equal(lsio_script_help(api_context, &o, &help, NULL), 0);
  assert_non_null(strstr(help, "--only"));
  lsio_free(help);
  lsio_context *other = api_context;
  assert_int_equal(lsio_context_create(NULL, &api_context, NULL), 0);
  refuses(LSIO_ERR_USAGE, "another context", &o);
  lsio_context_destroy(api_context);
  api_context = other;
  lsio_job *job = submit(script, "--above=1"); /* none of it has hurt the script */
  ends(job, above(1), 1);
  polled_destroy(job);
  lsio_script_release(script);
}

/* The N-th allocation fails, from loading to the end of a job; nothing is lost, and the context goes on. */
static void no_memory(void **state) {
  (void)state;
  int failures = 0;
  bool through = false;
  for (uint64_t n = 1; !through; n++) {
    assert_true(n < 2000);
    struct lsio_job_options o = api_options(COUNTER, 0), of_job;
    lsio_script *script = NULL;
    lsio_job *job = NULL;
    lsio_error *error = NULL;
    const uint64_t calls = lsi_mem_calls();
    lsi_mem_fail_nth(n, false);
    int rc = lsio_script_load(api_context, &o, &script, &error);
    if (!rc && n % 2) rc = lsio_script_wait(script, &error); /* else the job has it run */
    if (!rc) {
      of_job = options_of(script);
      rc = polled_submit(api_context, &of_job, &job, &error);
    }
    if (!rc) rc = polled_wait(job);
    lsio_script_release(script);
    through = lsi_mem_calls() - calls < n;
    lsi_mem_fail_nth(0, false);
    if (rc && rc != LSIO_ERR_NOMEM) fail_msg("allocation %d: %d", (int)n, rc);
    failures += rc != 0;
    lsio_error_free(error);
    polled_destroy(job);
  }
  assert_true(failures > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(thousand_jobs_of_one_script),
      API_TEST(job_outlives_its_script),
      API_TEST(what_is_wrong_is_said),
      API_TEST(no_memory),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
