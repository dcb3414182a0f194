/* Fuzz target: bytes wherever the summary shows a string, in the line of an error, and as a string of the
 * state. All of it must be JSON for a strict reader. */
#include <jansson.h>

#include "fuzz.h"
#include "ground/mem.h"
#include "ground/utf8.h"
#include "job/summary.h"

/* As the host does: what is no UTF-8 is shown, then JSON's own escapes. */
static char *state_of(const char *text, size_t n) {
  char *clean = malloc(4 * n + 1);
  FUZZ_CHECK(clean);
  json_t *o = json_stringn(clean, lsi_utf8_clean(text, n, clean));
  FUZZ_CHECK(o);
  char *state = json_dumps(o, JSON_ENCODE_ANY);
  FUZZ_CHECK(state);
  json_decref(o);
  free(clean);
  return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = strndup((const char *)data, size);
  FUZZ_CHECK(text);
  struct lsi_error error;
  lsi_error_clear(&error);
  lsi_fail(&error, LSIO_ERR_CORRUPT, 0, "%s", text);
  lsi_error_at(&error, text, size, size, size);
  lsi_error_remedy(&error, "%s", text);
  const struct lsi_worker_summary worker = {.steps = size, .wait_s = 0.5};
  struct lsi_state_json state = {.text = state_of((const char *)data, size), .nonfinite = size,
                                 .error = error};
  const struct lsi_summary s = {.status = "failed", .backend = "uring", .bound = "device",
                                .n_workers = 1, .workers = &worker, .error_count = 1,
                                .errors = &error, .n_errors_kept = 1, .state = &state};
  char *report = lsi_summary_json(&s), *words = lsi_summary_text(&s), *line = lsi_error_json(&error);
  FUZZ_CHECK(report && words && line && !strchr(line, '\n'));
  json_t *o = json_loads(report, JSON_ALLOW_NUL, NULL), *e = json_loads(line, 0, NULL);
  FUZZ_CHECK(json_is_object(o) && json_is_string(json_object_get(o, "state")));
  FUZZ_CHECK(json_array_size(json_object_get(o, "errors")) == 1);
  FUZZ_CHECK(json_equal(json_array_get(json_object_get(o, "errors"), 0), e));
  FUZZ_CHECK(json_equal(json_object_get(o, "state_error"), e));
  FUZZ_CHECK(json_integer_value(json_object_get(o, "exit_code")) == 0);
  json_decref(o);
  json_decref(e);
  lsi_free(report);
  lsi_free(words);
  lsi_free(line);
  free(state.text);
  free(text);
  return 0;
}
