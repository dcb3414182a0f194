/* Fuzz target: lines as the words of the runner's command line. */
#include "fuzz.h"
#include "runner.h"

#define WORDS_MAX 64

void say(const char *fmt, ...) { FUZZ_CHECK(*fmt); } /* the message is not looked at */

static void check(const struct flags *f, char **argv, int argc, int rc) {
  FUZZ_CHECK(rc == 0 || rc == EXIT_USAGE);
  for (size_t i = 0; i < f->n_settings; i++) {
    const char *equals = strchr(f->settings[i], '=');
    FUZZ_CHECK(equals && equals > f->settings[i] && equals[1]);
  }
  if (rc) return;
  FUZZ_CHECK(f->action != ACTION_RUN || f->script || f->code);
  /* The script's own words are the last ones of the line, all of them. */
  FUZZ_CHECK(f->n_args <= (size_t)argc);
  FUZZ_CHECK((char *const *)f->args + f->n_args == argv + argc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *argv[WORDS_MAX + 2] = {(char *)"lsio-lua"};
  int argc = 1;
  char *text = strndup((const char *)data, size);
  FUZZ_CHECK(text);
  for (char *p = text; p && argc <= WORDS_MAX;) {
    char *newline = strchr(p, '\n');
    if (newline) *newline++ = 0;
    argv[argc++] = p;
    p = newline;
  }
  struct flags f;
  int rc = flags_parse(&f, argc, argv);
  check(&f, argv, argc, rc);
  flags_free(&f);
  free(text);
  return 0;
}
