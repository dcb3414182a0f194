/* Fuzz target: text that a job left as its state, in the JSON of the summary; and the same text wherever
 * the summary shows a string. The whole must be JSON for a strict reader. */
#include <jansson.h>

#include "fuzz.h"
#include "ground/mem.h"
#include "job/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = strndup((const char *)data, size);
  FUZZ_CHECK(text);
  struct lsi_error error;
  lsi_error_clear(&error);
  lsi_fail(&error, LSIO_ERR_CORRUPT, 0, "%s", text);
  lsi_error_at(&error, text, size, size, size);
  lsi_error_remedy(&error, "%s", text);
  const struct lsi_worker_summary worker = {.steps = size, .wait_s = 0.5};
  const struct lsi_summary s = {.status = "failed", .backend = "uring", .bound = "device",
                                .n_workers = 1, .workers = &worker, .n_errors = 1,
                                .errors = &error, .n_errors_kept = 1, .state_json = text};
  char *report = lsi_summary_json(&s), *words = lsi_summary_text(&s);
  FUZZ_CHECK(report && words);
  json_t *o = json_loads(report, JSON_ALLOW_NUL, NULL);
  FUZZ_CHECK(json_is_object(o) && json_object_get(o, "state"));
  FUZZ_CHECK(json_array_size(json_object_get(o, "errors")) == 1);
  FUZZ_CHECK(json_integer_value(json_object_get(o, "exit_code")) == 0);
  json_t *state = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
  FUZZ_CHECK(state ? json_equal(state, json_object_get(o, "state"))
                   : json_is_null(json_object_get(o, "state")));
  json_decref(state);
  json_decref(o);
  lsi_free(report);
  lsi_free(words);
  free(text);
  return 0;
}
