#include "late_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ground/base.h"
#include "polled.h"

lsio_job *late_try(const char *script, uint32_t flags, const char *const *settings, size_t n, int *rc,
                   lsio_error **error) {
  struct lsio_job_options o = api_options(script, flags);
  o.settings = settings;
  o.n_settings = n;
  lsio_job *job = NULL;
  *rc = polled_submit(api_context, &o, &job, error);
  return job;
}

lsio_job *late_submit(const char *script, uint32_t flags, bool skip, float *output) {
  for (unsigned ms = 20;; ms *= 2) {
    char deadline[32];
    snprintf(deadline, sizeof deadline, "deadline=%ums", ms);
    const char *const settings[] = {"workers=2", "merge=never", deadline, "on-error=skip"};
    struct lsio_job_options o = api_options(script, flags);
    o.settings = settings;
    o.n_settings = skip ? 4 : 3;
    o.output = output;
    o.output_length = output ? sizeof api_values : 0;
    lsio_job *job = NULL;
    lsio_error *error = NULL;
    if (polled_submit(api_context, &o, &job, &error) == 0) return job;
    const bool listing = strstr(lsio_error_message(error), "while sources were listed") != NULL;
    if (!listing || ms > 5000) fail_msg("%s", lsio_error_message(error));
    lsio_error_free(error);
  }
}

void late_says(const char *text, const char *const *words) {
  for (; *words; words++)
    if (!strstr(text, *words)) fail_msg("'%s' is not in: %s", *words, text);
}

bool late_interrupts(void) {
  char *text = lsio_doctor();
  const bool yes = strstr(text, "steps that do not return are interrupted") != NULL;
  lsio_free(text);
  return yes;
}

void late_check_values(const float *got, uint64_t ran) {
  uint64_t there = 0;
  for (uint32_t s = 0; s < API_STEPS; s++) {
    const float *step = got + s * (API_CHUNK / 4);
    const bool runs = step[0] != -1;
    there += runs;
    for (uint32_t i = 0; i < API_CHUNK / 4; i++) {
      const float want = runs ? api_values[s * (API_CHUNK / 4) + i] : -1;
      if (step[i] != want) fail_msg("step %u, value %u: %g, not %g", s, i, (double)step[i], (double)want);
    }
  }
  assert_int_equal(there, ran);
}

uint64_t late_ends_interrupted(lsio_job *job, uint64_t most) {
  json_t *s = api_ends(job, 0);
  const uint64_t ran = (uint64_t)api_number(s, "steps"), left = (uint64_t)api_number(s, "steps_left");
  const uint64_t failed = (uint64_t)api_number(s, "steps_failed"), interrupted = failed - left;
  assert_true(left > 0 && interrupted <= most && ran + failed == API_STEPS);
  assert_int_equal((uint64_t)api_number(s, "chunks_failed"), failed);
  assert_int_equal((uint64_t)api_number(s, "error_count"), failed);
  assert_int_equal(json_array_size(json_object_get(s, "errors")), LSI_MIN(failed, (uint64_t)100));
  assert_string_equal(json_string_value(json_object_get(s, "status")), "skipped");
  assert_int_equal((int)api_number(s, "exit_code"), 9);
  assert_int_equal(lsio_job_exit_code(job), 9);
  late_says(json_string_value(json_object_get(s, "at_deadline")),
       (const char *const[]){"the deadline of ", " has passed after ", "; worker 1: ", NULL});
  late_says(lsio_job_summary_text(job), (const char *const[]){"stopped at its deadline", "the deadline of ",
                                                         "left out", NULL});
  for (size_t i = 0; i < LSI_MIN(failed, (uint64_t)100); i++) {
    const lsio_error *e = lsio_job_step_error(job, i);
    assert_int_equal(lsio_error_code(e), LSIO_ERR_LIMIT);
    assert_int_equal(lsio_error_kind(e), LSIO_KIND_TIMEOUT);
    late_says(lsio_error_message(e),
         (const char *const[]){i < interrupted ? "interrupted: the deadline has" : "not run: the deadline of ",
                               " passed", "'a.f32'", NULL});
  }
  const json_t *n = json_object_get(json_object_get(s, "state"), "n");
  assert_int_equal((uint64_t)json_number_value(n), ran); /* of what has run, no more and no less */
  json_decref(s);
  return ran;
}

uint64_t late_ends_in_part(lsio_job *job) { return late_ends_interrupted(job, late_interrupts() ? 2 : 0); }
