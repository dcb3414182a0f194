/* The table of settings: values, origins, messages, nearest names. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan/plan.h"
#include "job/nearest.h"
#include "job/settings.h"

static struct lsi_settings s;
static struct lsi_error err;

static int set(const char *name, const char *value) {
  lsi_error_clear(&err);
  return lsi_settings_set(&s, name, value, LSI_FROM_CALLER, &err);
}

static int setup(void **state) {
  (void)state;
  lsi_settings_init(&s);
  lsi_error_clear(&err);
  for (const struct lsio_setting *row = lsio_settings(); row->name; row++) unsetenv(row->env);
  return 0;
}

static void test_defaults(void **state) {
  (void)state;
  assert_int_equal(s.workers, 0);
  assert_int_equal(s.memory, 0);
  assert_string_equal(s.backend, "auto");
  assert_int_equal(s.direct, LSI_AUTO);
  assert_true(s.merge == LSI_MERGE_AUTO);
  assert_int_equal(s.shard_count, 0);
  assert_int_equal(s.on_error, LSI_ON_ERROR_FAIL);
  for (size_t i = 0; i < sizeof s.origin; i++) assert_int_equal(s.origin[i], LSI_FROM_DEFAULT);
}

static void test_good_values(void **state) {
  (void)state;
  assert_int_equal(set("workers", "8"), 0);
  assert_int_equal(s.workers, 8);
  assert_int_equal(set("workers", "auto"), 0);
  assert_int_equal(s.workers, 0);
  assert_int_equal(set("memory", "1.5GiB"), 0);
  assert_true(s.memory == 3ull << 29);
  assert_int_equal(set("memory", "800MB"), 0);
  assert_true(s.memory == 800000000ull);
  assert_int_equal(set("queue_depth", "64"), 0);
  assert_int_equal(s.queue_depth, 64);
  assert_int_equal(set("backend", "pread"), 0);
  assert_string_equal(s.backend, "pread");
  assert_int_equal(set("direct", "never"), 0);
  assert_int_equal(s.direct, LSI_NEVER);
  assert_int_equal(set("direct", "always"), 0);
  assert_int_equal(s.direct, LSI_ALWAYS);
  assert_int_equal(set("merge", "never"), 0);
  assert_true(s.merge == LSI_MERGE_NEVER);
  assert_int_equal(set("merge", "0"), 0);
  assert_true(s.merge == 0);
  assert_int_equal(set("merge", "16KiB"), 0);
  assert_true(s.merge == 16384);
  assert_int_equal(set("limit", "10"), 0);
  assert_true(s.limit == 10);
  assert_true(s.step == LSI_NO_STEP);
  assert_int_equal(set("step", "0"), 0);
  assert_true(s.step == 0);
  assert_int_equal(set("step", "all"), 0);
  assert_true(s.step == LSI_NO_STEP);
  assert_false(s.replace);
  assert_int_equal(set("replace", "yes"), 0);
  assert_true(s.replace);
  assert_int_equal(set("replace", "0"), 0);
  assert_false(s.replace);
  assert_int_equal(set("shard", "3/16"), 0);
  assert_int_equal(s.shard_index, 3);
  assert_int_equal(s.shard_count, 16);
  assert_int_equal(set("on-error", "skip"), 0);
  assert_int_equal(s.on_error, LSI_ON_ERROR_SKIP);
  assert_int_equal(set("pin", "never"), 0);
  assert_int_equal(s.pin, LSI_NEVER);
  assert_int_equal(set("priority", "background"), 0);
  assert_int_equal(s.priority, LSI_BACKGROUND);
  assert_int_equal(set("priority", "normal"), 0);
  assert_int_equal(s.priority, LSI_NORMAL);
  assert_int_equal(set("seed", "18446744073709551615"), 0);
  assert_true(s.seed == UINT64_MAX);
  assert_int_equal(set("tune", "lend=always"), 0);
  assert_true(s.tune.lend == LSI_ALWAYS && s.tune.stores == LSI_AUTO && s.tune.straight == LSI_AUTO);
  assert_int_equal(set("tune", "straight=always,stores=never"), 0); /* replaces all of it */
  assert_true(s.tune.lend == LSI_AUTO && s.tune.stores == LSI_NEVER && s.tune.straight == LSI_ALWAYS);
  assert_int_equal(set("tune", "lend=never,lend=auto,stores=always"), 0);
  assert_true(s.tune.lend == LSI_AUTO && s.tune.stores == LSI_ALWAYS && s.tune.straight == LSI_AUTO);
}

static void test_bad_values(void **state) {
  (void)state;
  static const char *const bad[][3] = {
      /* name, value, what the message must say beside both */
      {"workers", "0", "1 to 1024"},
      {"workers", "1025", "1 to 1024"},
      {"workers", "-1", "1 to 1024"},
      {"workers", "2x", "1 to 1024"},
      {"workers", "", "1 to 1024"},
      {"workers", "18446744073709551617", "1 to 1024"},
      {"memory", "0", "512MiB"},
      {"memory", "lots", "512MiB"},
      {"memory", "-1", "512MiB"},
      {"queue-depth", "0", "32768"},
      {"backend", "io_uring", "uring"},
      {"direct", "yes", "always"},
      {"merge", "sometimes", "never"},
      {"limit", "0", "at least 1"},
      {"limit", "4294967296", "steps"},
      {"step", "18446744073709551615", "number of a step"},
      {"step", "", "number of a step"},
      {"replace", "maybe", "yes or no"},
      {"shard", "4/4", "0 <= I < N"},
      {"shard", "1", "0 <= I < N"},
      {"shard", "/3", "0 <= I < N"},
      {"shard", "0/0", "0 <= I < N"},
      {"shard", "a/b", "0 <= I < N"},
      {"shard", "0/4/2", "0 <= I < N"},
      {"shard", "00000000000000000000000000000000000000000/4", "0 <= I < N"},
      {"on-error", "ignore", "skip"},
      {"pin", "always", "never"},
      {"priority", "high", "normal or background"},
      {"priority", "", "normal or background"},
      {"seed", "1.5", "2^64"},
      {"seed", "18446744073709551616", "2^64"},
      {"tune", "", "lend=always"},
      {"tune", "auto", "stores or straight"},
      {"tune", "lend", "lend=always"},
      {"tune", "lend=", "always or never"},
      {"tune", "lend=always,", "stores or straight"},
      {"tune", ",lend=always", "stores or straight"},
      {"tune", "lend=always;stores=never", "always or never"},
      {"tune", "lend=alwaysalwaysalwaysalwaysalwaysalwaysalwaysalways", "always or never"},
      {"tune", "lend=always,pin=never", "stores or straight"},
  };
  for (size_t i = 0; i < LSI_COUNTOF(bad); i++) {
    struct lsi_settings before = s;
    assert_int_equal(set(bad[i][0], bad[i][1]), LSIO_ERR_USAGE);
    assert_non_null(strstr(err.what, bad[i][0]));
    assert_non_null(strstr(err.what, bad[i][1]));
    assert_non_null(strstr(err.what, bad[i][2]));
    assert_memory_equal(&before, &s, sizeof s);
  }
}

static void test_bad_times(void **state) {
  (void)state;
  static const char *const bad[] = {
      "", "0", "0.0000000001" /* less than a nanosecond */, "-1", "1 s", "s", ".5", "1.", "1.s", "1.2.3", "1e3",
      "1d", "1S", "5min", "inf", "always", "9223372036.854775808", "18446744073.709551616",
      "18446744073709551616h", "99999999999999999999999999999999"};
  for (size_t i = 0; i < LSI_COUNTOF(bad); i++) {
    assert_int_equal(set("deadline", bad[i]), LSIO_ERR_USAGE);
    if (!strstr(err.what, "a time such as 90s, 5m, 1h or 500ms") || !strstr(err.what, bad[i])) fail_msg("%s", err.what);
    assert_true(s.deadline_ns == 0);
  }
}

static void test_times(void **state) {
  (void)state;
  static const struct {
    const char *value;
    uint64_t ns;
  } times[] = {{"1", 1000000000},
               {"90s", 90000000000},
               {"5m", 300000000000},
               {"1h", 3600000000000},
               {"500ms", 500000000},
               {"0.5", 500000000},
               {"0.25ms", 250000},
               {"1.5h", 5400000000000},
               {"0.1m", 6000000000},
               {"1.000000001", 1000000001},
               {"1.0000000019", 1000000001},
               {"0.000000001s", 1},
               {"007s", 7000000000},
               {"9223372036.854775807", INT64_MAX},
               {"never", 0}};
  assert_true(s.deadline_ns == 0);
  for (size_t i = 0; i < LSI_COUNTOF(times); i++) {
    assert_int_equal(set("deadline", times[i].value), 0);
    if (s.deadline_ns != times[i].ns)
      fail_msg("%s: %llu ns", times[i].value, (unsigned long long)s.deadline_ns);
  }
  assert_int_equal(set("deadline", "nver"), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.remedy, "'never'"));
}

static void test_unknown_and_nearest(void **state) {
  (void)state;
  assert_int_equal(set("worker", "1"), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.what, "did you mean 'workers'"));
  assert_non_null(strstr(err.remedy, "queue-depth"));
  assert_int_equal(set("onerror", "skip"), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.what, "did you mean 'on-error'"));
  assert_int_equal(set("colour", "red"), LSIO_ERR_USAGE);
  assert_null(strstr(err.what, "did you mean"));
  assert_non_null(strstr(err.remedy, "seed"));
  assert_int_equal(set("on-error", "skp"), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.remedy, "'skip'"));
  assert_int_equal(set("tune", "lend=always,store=never"), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.remedy, "did you mean 'stores'?"));
  assert_int_equal(set("tune", "stores=nver"), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.remedy, "did you mean 'never'?"));
  assert_int_equal(set("priority", "backgrund"), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.remedy, "did you mean 'background'?"));
  assert_int_equal(set("tune", "colour=never"), LSIO_ERR_USAGE);
  assert_true(!err.remedy[0]);

  static const char *const words[] = {"source", "type", "transform", "queue-depth", "sink"};
  const size_t n = LSI_COUNTOF(words);
  assert_string_equal(lsi_nearest("souce", words, n), "source");
  assert_string_equal(lsi_nearest("Source", words, n), "source");
  assert_string_equal(lsi_nearest("tranfsorm", words, n), "transform");
  assert_string_equal(lsi_nearest("tpye", words, n), "type");
  assert_string_equal(lsi_nearest("queue", words, n), "queue-depth");
  assert_string_equal(lsi_nearest("queue_depth", words, n), "queue-depth");
  assert_null(lsi_nearest("banana", words, n));
  assert_null(lsi_nearest("", words, n));
  assert_null(lsi_nearest("x", words, n));
  assert_null(lsi_nearest("source", words, 0));
  char longer[4096];
  memset(longer, 's', sizeof longer - 1);
  longer[sizeof longer - 1] = 0;
  assert_null(lsi_nearest(longer, words, n));
}

static void test_origins(void **state) {
  (void)state;
  assert_int_equal(lsi_settings_set(&s, "workers", "2", LSI_FROM_CALLER, &err), 0);
  assert_int_equal(lsi_settings_set(&s, "workers", "3", LSI_FROM_ENV, &err), 0);
  assert_int_equal(lsi_settings_set(&s, "workers", "4", LSI_FROM_SCRIPT, &err), 0);
  assert_int_equal(s.workers, 2);
  assert_int_equal(lsi_settings_set(&s, "limit", "4", LSI_FROM_SCRIPT, &err), 0);
  assert_int_equal(lsi_settings_set(&s, "limit", "3", LSI_FROM_ENV, &err), 0);
  assert_true(s.limit == 3);
  assert_int_equal(lsi_settings_set(&s, "limit", "5", LSI_FROM_CALLER, &err), 0);
  assert_true(s.limit == 5);
  /* A loser must be valid all the same, and says where it comes from. */
  assert_int_equal(lsi_settings_set(&s, "limit", "x", LSI_FROM_SCRIPT, &err), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.what, "script's options"));
}

static void test_pairs_and_environment(void **state) {
  (void)state;
  assert_int_equal(lsi_settings_set_pair(&s, "merge=8K", LSI_FROM_CALLER, &err), 0);
  assert_true(s.merge == 8192);
  assert_int_equal(lsi_settings_set_pair(&s, "merge", LSI_FROM_CALLER, &err), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.what, "name=value"));
  lsi_error_clear(&err);
  char pair[300];
  memset(pair, 'm', sizeof pair);
  memcpy(pair + sizeof pair - 3, "=1", 3);
  assert_int_equal(lsi_settings_set_pair(&s, pair, LSI_FROM_CALLER, &err), LSIO_ERR_USAGE);

  lsi_error_clear(&err);
  setenv("LSIO_WORKERS", "5", 1);
  setenv("LSIO_MEMORY", "", 1); /* empty counts as not set */
  setenv("LSIO_MERGE", "never", 1);
  assert_int_equal(lsi_settings_from_env(&s, &err), 0);
  assert_int_equal(s.workers, 5);
  assert_int_equal(s.memory, 0);
  assert_true(s.merge == 8192); /* the caller's wins */
  setenv("LSIO_ON_ERROR", "maybe", 1);
  assert_int_equal(lsi_settings_from_env(&s, &err), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.what, "LSIO_ON_ERROR"));
}

static void test_of_a_context(void **state) {
  (void)state;
  s.scope = LSI_SCOPE_CONTEXT;
  assert_int_equal(set("workers", "3"), 0);
  assert_int_equal(set("memory", "1MiB"), 0);
  assert_int_equal(set("backend", "pread"), 0);
  assert_int_equal(set("pin", "never"), 0);
  assert_int_equal(set("memory", "none"), LSIO_ERR_USAGE);
  const struct lsi_settings before = s;
  static const char *const jobs[] = {"queue-depth", "direct", "merge", "limit", "shard",
                                     "on_error",    "seed",   "tune",  "priority", "step", "replace"};
  for (size_t i = 0; i < LSI_COUNTOF(jobs); i++) {
    assert_int_equal(set(jobs[i], "1"), LSIO_ERR_USAGE);
    assert_non_null(strstr(err.what, "is a job's, not a context's"));
    assert_true(i == 5 ? strstr(err.what, "'on-error'") != NULL : strstr(err.what, jobs[i]) != NULL);
    assert_non_null(strstr(err.remedy, "options"));
  }
  assert_int_equal(set("wokers", "1"), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.what, "did you mean 'workers'?"));
  assert_string_equal(err.remedy, "the settings of a context are workers, memory, backend, pin");
  assert_int_equal(set("limits", "1"), LSIO_ERR_USAGE); /* nothing is meant that it would not take */
  assert_null(strstr(err.what, "did you mean"));
  assert_memory_equal(&before, &s, sizeof s);

  lsi_settings_init(&s);
  s.scope = LSI_SCOPE_CONTEXT;
  lsi_error_clear(&err);
  setenv("LSIO_LIMIT", "none", 1); /* is a job's */
  setenv("LSIO_PIN", "never", 1);
  assert_int_equal(lsi_settings_from_env(&s, &err), 0);
  assert_true(s.pin == LSI_NEVER && s.limit == 0);
  setenv("LSIO_BACKEND", "ring", 1);
  assert_int_equal(lsi_settings_from_env(&s, &err), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.what, "LSIO_BACKEND"));
}

static void give(struct lsi_settings *to, const char *pair, enum lsi_origin origin) {
  lsi_error_clear(&err);
  assert_int_equal(lsi_settings_set_pair(to, pair, origin, &err), 0);
}

/* A context of 4 workers and 64 MiB, by the machine. */
static struct lsi_settings context_of_4(void) {
  struct lsi_settings c;
  lsi_settings_init(&c);
  c.scope = LSI_SCOPE_CONTEXT;
  c.workers = 4;
  c.memory = 64 << 20;
  return c;
}

static void test_a_job_within_its_context(void **state) {
  (void)state;
  struct lsi_settings c = context_of_4();
  assert_int_equal(lsi_settings_within(&s, &c), 0);
  assert_true(s.workers == 4 && s.memory == 64 << 20);
  lsi_settings_init(&s);
  give(&s, "workers=auto", LSI_FROM_CALLER);
  assert_int_equal(lsi_settings_within(&s, &c), 0);
  assert_int_equal(s.workers, 4);

  lsi_settings_init(&s);
  give(&s, "workers=4", LSI_FROM_CALLER);
  give(&s, "memory=1MiB", LSI_FROM_SCRIPT);
  give(&s, "backend=pread", LSI_FROM_SCRIPT); /* which the context leaves to its jobs */
  give(&s, "pin=never", LSI_FROM_ENV);
  assert_int_equal(lsi_settings_within(&s, &c), 0);
  assert_true(s.workers == 4 && s.memory == 1 << 20 && s.pin == LSI_NEVER);
  assert_string_equal(s.backend, "pread");

  give(&s, "workers=5", LSI_FROM_CALLER);
  assert_int_equal(lsi_settings_within(&s, &c), LSI_BEYOND_WORKERS);
  assert_int_equal(s.workers, 4);
  give(&s, "memory=1GiB", LSI_FROM_SCRIPT);
  assert_int_equal(lsi_settings_within(&s, &c), LSI_BEYOND_MEMORY);
  assert_true(s.memory == 64 << 20);
  give(&c, "backend=pread", LSI_FROM_CALLER);
  give(&c, "pin=never", LSI_FROM_ENV);
  assert_int_equal(lsi_settings_within(&s, &c), 0); /* they are the same */
  give(&s, "backend=uring", LSI_FROM_SCRIPT);
  give(&s, "pin=auto", LSI_FROM_CALLER);
  assert_int_equal(lsi_settings_within(&s, &c), LSI_BEYOND_BACKEND | LSI_BEYOND_PIN);
  assert_true(s.pin == LSI_NEVER);
  assert_string_equal(s.backend, "pread");
  give(&c, "backend=auto", LSI_FROM_CALLER); /* is a choice too */
  assert_int_equal(lsi_settings_within(&s, &c), LSI_BEYOND_BACKEND);
  assert_string_equal(s.backend, "auto");
}

/* What the context's caller has overruled says nothing to its jobs either. */
static void test_a_variable_that_was_overruled(void **state) {
  (void)state;
  struct lsi_settings c = context_of_4();
  give(&c, "workers=8", LSI_FROM_CALLER);
  give(&c, "memory=64MiB", LSI_FROM_CALLER);
  give(&c, "backend=pread", LSI_FROM_CALLER);
  give(&c, "pin=auto", LSI_FROM_CALLER);
  static const char *const variables[] = {"workers=2", "memory=1GiB", "backend=uring", "pin=never"};
  for (size_t i = 0; i < LSI_COUNTOF(variables); i++) give(&s, variables[i], LSI_FROM_ENV);
  assert_int_equal(lsi_settings_within(&s, &c), 0);
  assert_true(s.workers == 8 && s.memory == 64 << 20 && s.pin == LSI_AUTO);
  assert_string_equal(s.backend, "pread");
}

static void test_a_context_made_for_a_job(void **state) {
  (void)state;
  struct lsi_settings c;
  lsi_settings_init(&c);
  c.scope = LSI_SCOPE_CONTEXT;
  give(&c, "workers=3", LSI_FROM_CALLER);
  give(&s, "workers=2", LSI_FROM_CALLER);
  give(&s, "memory=1MiB", LSI_FROM_SCRIPT);
  give(&s, "backend=pread", LSI_FROM_ENV);
  lsi_settings_adopt(&c, &s);
  assert_true(c.workers == 3 && c.memory == 1 << 20 && c.pin == LSI_AUTO);
  assert_string_equal(c.backend, "pread");
  struct lsi_settings later;
  lsi_settings_init(&later);
  give(&later, "backend=uring", LSI_FROM_CALLER); /* it is the context's own now */
  give(&later, "pin=never", LSI_FROM_CALLER);     /* and this is still nobody's */
  assert_int_equal(lsi_settings_within(&later, &c), LSI_BEYOND_BACKEND);
  assert_true(later.pin == LSI_NEVER);
}

static void test_table(void **state) {
  (void)state;
  size_t rows = 0;
  for (const struct lsio_setting *row = lsio_settings(); row->name; row++, rows++) {
    char env[64] = "LSIO_";
    size_t n = 5;
    for (const char *p = row->name; *p; p++)
      env[n++] = *p == '-' ? '_' : (char)(*p - ('a' - 'A'));
    env[n] = 0;
    assert_string_equal(row->env, env);
    assert_non_null(row->argument);
    assert_true(strlen(row->help) > 10);
    /* Every row has its setter: an impossible value is refused by this very setting. */
    assert_int_equal(set(row->name, "\x01"), LSIO_ERR_USAGE);
    assert_non_null(strstr(err.what, row->name));
  }
  assert_int_equal(rows, 16);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_defaults, setup),
      cmocka_unit_test_setup(test_good_values, setup),
      cmocka_unit_test_setup(test_bad_values, setup),
      cmocka_unit_test_setup(test_times, setup),
      cmocka_unit_test_setup(test_bad_times, setup),
      cmocka_unit_test_setup(test_unknown_and_nearest, setup),
      cmocka_unit_test_setup(test_origins, setup),
      cmocka_unit_test_setup(test_pairs_and_environment, setup),
      cmocka_unit_test_setup(test_of_a_context, setup),
      cmocka_unit_test_setup(test_a_job_within_its_context, setup),
      cmocka_unit_test_setup(test_a_variable_that_was_overruled, setup),
      cmocka_unit_test_setup(test_a_context_made_for_a_job, setup),
      cmocka_unit_test_setup(test_table, setup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
