/* Parameters that a program gives as values: typed by the script's defaults, arrays without a copy, and their
 * callbacks once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "ground/mem.h"
#include "polled.h"

static int released;
static void count_up(void *user) {
  (void)user;
  released++;
}

static lsio_value *array(const char *type, const void *data, size_t n) {
  const int64_t shape = (int64_t)n;
  const struct lsio_value_source s = {.struct_size = sizeof s, .data = data, .type = type, .ndim = 1,
                                      .shape = &shape, .release = count_up};
  lsio_value *v = NULL;
  assert_int_equal(lsio_value_array(&s, &v, NULL), 0);
  return v;
}

static lsio_value *text(const char *s) { return lsio_value_bytes(s, strlen(s)); }

/* Hands the value over. */
static lsio_value *one(const char *name, lsio_value *value) {
  lsio_value *v = NULL;
  assert_int_equal(lsio_value_record(&name, &value, 1, &v, NULL), 0);
  return v;
}

static int submit(const char *script, lsio_value *params, lsio_job **job, lsio_error **error) {
  struct lsio_job_options o = api_options(script, 0);
  o.params = params;
  return polled_submit(api_context, &o, job, error);
}

/* The script must be satisfied with its parameters, wherever it looks at them. */
static void accepts(const char *script, lsio_value *params) {
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (submit(script, params, &job, &error)) fail_msg("%s", lsio_error_message(error));
  lsio_value_release(params);
  json_decref(api_ends(job, 0));
  polled_destroy(job);
}

static void refuses(const char *script, lsio_value *params, int code, const char *words) {
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  assert_int_equal(submit(script, params, &job, &error), code);
  assert_null(job);
  if (!strstr(lsio_error_message(error), words)) fail_msg("%s", lsio_error_message(error));
  lsio_error_free(error);
  lsio_value_release(params);
}

#define DECLARES                                                                                   \
  API_HEAD " params = { n = { 1, 'a number' }, s = 'text', b = false, t = { {}, 'any' },\n"        \
           " w = { require('ffi').new('double[2]', 5, 6), 'weights' }, m = lsio.k.array('u8', 1) }\n"

/* Coordinator and workers see the same. */
#define SEES(condition)                                                                            \
  DECLARES ", setup = function(p) assert(" condition ") end,\n"                                    \
           " transform = function(c, s, p) assert(" condition ") end }\n"

static void kinds_are_those_of_the_defaults(void **state) {
  (void)state;
  accepts(SEES("p.n == 1 and p.s == 'text' and p.b == false and next(p.t) == nil and p.w[1] == 6 and p.m.n == 1"),
          NULL);
  accepts(SEES("p.n == -7 and type(p.n) == 'number'"), one("n", lsio_value_int(-7)));
  accepts(SEES("p.n == 9007199254740992 and type(p.n) == 'number'"), one("n", lsio_value_uint((uint64_t)1 << 53)));
  accepts(SEES("p.n == 9007199254740993LL"), one("n", lsio_value_int(((int64_t)1 << 53) + 1)));
  accepts(SEES("p.n == -9223372036854775807LL - 1 and tostring(p.n) == '-9223372036854775808LL'"),
          one("n", lsio_value_int(INT64_MIN)));
  accepts(SEES("p.n == 18446744073709551615ULL and tostring(p.n) == '18446744073709551615ULL'"),
          one("n", lsio_value_uint(UINT64_MAX)));
  accepts(SEES("p.n == 0.1"), one("n", lsio_value_double(0.1)));
  accepts(SEES("p.s == 'a\\0\\255'"), one("s", lsio_value_bytes("a\0\xff", 3)));
  accepts(SEES("p.b == true"), one("b", lsio_value_bool(1)));
  accepts(SEES("p.n == 1"), one("n", lsio_value_nil()));
  lsio_value *items[3] = {text("x"), lsio_value_nil(), lsio_value_int(3)}, *list = NULL;
  assert_int_equal(lsio_value_list(items, 3, &list, NULL), 0);
  accepts(SEES("p.t[1] == 'x' and p.t[2] == nil and p.t[3] == 3"), one("t", list));
  accepts(SEES("p.t.__array == 'f64' and p.t.n == nil"), one("t", one("__array", text("f64"))));
}

/* NaN whose bits LuaJIT would take for nil, or for a pointer. */
static void hostile_nans_are_nan(void **state) {
  (void)state;
  static const uint64_t bits[] = {UINT64_MAX, 0xfffe000000000000u, 0xfffa000012345678u, 0x7ff0000000000001u};
  for (size_t i = 0; i < 4; i++) {
    double d;
    memcpy(&d, &bits[i], sizeof d);
    accepts(SEES("type(p.n) == 'number' and p.n ~= p.n"), one("n", lsio_value_double(d)));
    accepts(SEES("type(p.t.x) == 'number' and p.t.x ~= p.t.x"), one("t", one("x", lsio_value_double(d))));
    accepts(SEES("type(p.w[0]) == 'number' and p.w[0] ~= p.w[0]"), one("w", array("f64", &d, 1)));
  }
}

static void what_does_not_fit_is_named(void **state) {
  (void)state;
  static const double data[3];
  static const struct {
    const char *name, *words;
  } rows[] = {{"n", "the parameter n wants a number, not \"x\""}, {"b", "the parameter b wants a boolean, not \"x\""},
              {"t", "the parameter t wants a list or map, not \"x\""},
              {"w", "the parameter w wants an array of f64, not \"x\""},
              {"m", "the parameter m wants an array of u8, not \"x\""},
              {"nn", "unknown parameter \"nn\"; did you mean \"n\"?"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    refuses(SEES("true"), one(rows[i].name, text("x")), LSIO_ERR_USAGE, rows[i].words);
  refuses(SEES("true"), one("s", lsio_value_int(INT64_MAX)), LSIO_ERR_USAGE,
          "the parameter s wants bytes, not 9223372036854775807LL");
  refuses(SEES("true"), one("n", lsio_value_bool(1)), LSIO_ERR_USAGE, "wants a number, not true");
  refuses(SEES("true"), one("m", lsio_value_int(INT64_MAX)), LSIO_ERR_USAGE, "wants an array of u8, not 9223");
  refuses(SEES("true"), one("n", one("x", lsio_value_int(1))), LSIO_ERR_USAGE, "wants a number, not a list or map");
  released = 0;
  refuses(SEES("true"), one("m", array("f64", data, 3)), LSIO_ERR_USAGE, "u8, not an array of 3 f64");
  refuses(SEES("true"), one("n", array("f64", data, 3)), LSIO_ERR_USAGE, "a number, not an array of 3 f64");
  assert_int_equal(released, 2);
  refuses(SEES("true"), text("x"), LSIO_ERR_USAGE, "params must be a map of names");
  lsio_value *key = lsio_value_int(1), *value = lsio_value_int(1), *map = NULL;
  assert_int_equal(lsio_value_map(&key, &value, 1, &map, NULL), 0);
  refuses(SEES("true"), map, LSIO_ERR_USAGE, "the parameter 1 has no name");
  refuses(API_COUNTS, one("x", text("x")), LSIO_ERR_USAGE, "unknown parameter \"x\": the script declares none");
}

static void a_command_line_cant_give_them(void **state) {
  (void)state;
  struct lsio_job_options o = api_options(SEES("true"), 0);
  const char *args[] = {"--w=3"};
  o.args = args;
  o.n_args = 1;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  assert_int_equal(polled_submit(api_context, &o, &job, &error), LSIO_ERR_USAGE);
  assert_non_null(strstr(lsio_error_message(error), "--w is an array of f64: a program can give it"));
  lsio_error_free(error);
  char *help = NULL;
  assert_int_equal(lsio_script_help(api_context, &o, &help, NULL), LSIO_ERR_USAGE);
  o.n_args = 0;
  assert_int_equal(lsio_script_help(api_context, &o, &help, NULL), 0);
  assert_non_null(strstr(help, "weights (an array of f64, by a program only)"));
  lsio_free(help);
  args[0] = "--n=5"; /* and what both give is what the program gives */
  o.n_args = 1;
  o.script = SEES("p.n == 6 or p.n == 5 and p.s == 'only'");
  o.script_length = strlen(o.script);
  o.params = one("n", lsio_value_int(6));
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
  json_decref(api_ends(job, 0));
  polled_destroy(job);
  lsio_value_release((lsio_value *)(uintptr_t)o.params);
}

/* ---- arrays ---- */

#define MANY 1000000

/* All workers read the caller's memory: its address, and what the caller changes there. */
static void arrays_are_where_they_were(void **state) {
  (void)state;
  double *data = malloc(MANY * sizeof *data);
  for (int i = 0; i < MANY; i++) data[i] = i;
  char script[2000];
  snprintf(script, sizeof script,
           API_HEAD " params = { w = { lsio.k.array('f64', 0) }, t = { {} } },\n"
                    " setup = function(p) assert(p.w.n == 1e6 and p.t.deep[1].n == 3) end,\n"
                    " transform = function(c, s, p)\n"
                    "  assert(tonumber(require('ffi').cast('uintptr_t', p.w.ptr)) == %.0f)\n"
                    "  assert(tonumber(require('ffi').cast('uintptr_t', p.t.deep[1].ptr)) == %.0f)\n"
                    "  assert(p.w.n == 1e6 and p.w[999999] == 999999 and p.t.deep[1][2] == 2)\n"
                    "  assert(lsio.k.sum(p.w, 1000) == 499500)\n"
                    "  local ok, text = pcall(function() p.w[0] = 1 end)\n"
                    "  assert(not ok and text:find 'read%%-only', text)\n"
                    "  assert(not pcall(function() return p.w[1e6] end)) end }\n",
           (double)(uintptr_t)data, (double)(uintptr_t)data);
  lsio_value *inner = array("f64", data, 3), *list = NULL;
  assert_int_equal(lsio_value_list(&inner, 1, &list, NULL), 0);
  static const char *const names[] = {"w", "t"};
  lsio_value *values[] = {array("<f8", data, MANY), one("deep", list)}, *params = NULL;
  assert_int_equal(lsio_value_record(names, values, 2, &params, NULL), 0);
  released = 0;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (submit(script, params, &job, &error)) fail_msg("%s", lsio_error_message(error));
  lsio_value_release(params);
  json_decref(api_ends(job, 0));
  assert_int_equal(released, 0); /* the job has it */
  polled_destroy(job);
  assert_int_equal(released, 2);
  free(data);
}

/* A loaded script that keeps a view finds nothing in it once the job has ended. */
static void kept_views_are_empty(void **state) {
  (void)state;
  struct lsio_job_options o = api_options(
      "local lsio = require 'lsio'\nlocal kept = {}\n"
      "return lsio.job { source = lsio.files('a.f32', { chunk = 400000 }), type = 'f32',\n"
      " params = { w = { lsio.k.array('f64', 2) } },\n"
      " setup = function(p) for _, v in ipairs(kept) do assert(v.n == 0) end kept[#kept + 1] = p.w end,\n"
      " transform = function(c, s, p)\n"
      "  for _, v in ipairs(kept) do assert(v.n == 0 and not pcall(function() return v[0] end)) end\n"
      "  kept[#kept + 1] = p.w end }\n", 0);
  lsio_script *script = NULL;
  assert_int_equal(lsio_script_load(api_context, &o, &script, NULL), 0);
  released = 0;
  for (int i = 0; i < 10; i++) {
    double *data = calloc(3, sizeof *data);
    struct lsio_job_options of_job = api_options("", 0);
    of_job.script = NULL;
    of_job.loaded = script;
    lsio_value *params = one("w", array("f64", data, 3));
    of_job.params = i % 3 == 2 ? NULL : params; /* defaults, too */
    lsio_job *job = NULL;
    assert_int_equal(polled_submit(api_context, &of_job, &job, NULL), 0);
    json_decref(api_ends(job, 0));
    polled_destroy(job);
    lsio_value_release(params);
    assert_int_equal(released, i + 1);
    free(data);
  }
  lsio_script_release(script);
}

/* Whatever goes wrong with a job, the callback comes once. */
static void released_once_on_every_way(void **state) {
  (void)state;
  static const double data[2] = {1, 2};
  static const char *const scripts[] = {
      "syntax error", "return 1", API_HEAD " params = { w = 1 } }\n",
      API_HEAD " params = { w = { lsio.k.array('f64', 0) } }, setup = function() error 'no' end }\n",
      API_HEAD " params = { w = { lsio.k.array('f64', 0) } }, options = { workers = -1 } }\n",
      API_HEAD " params = { w = { lsio.k.array('f64', 0) } }, init = function() error 'no' end,\n"
               " transform = function() end }\n",
      API_HEAD " params = { w = { lsio.k.array('f64', 0) } }, transform = function(c, s, p) error 'no' end }\n",
      API_HEAD " params = { w = { lsio.k.array('f64', 0) } }, transform = function() end,\n"
               " done = function() error 'no' end }\n",
      API_HEAD " params = { w = { lsio.k.array('f64', 0) } }, transform = function() end }\n"};
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
    for (int end = 0; end < 3; end++) {
      lsio_value *params = one("w", array("f64", data, 2));
      released = 0;
      lsio_job *job = NULL;
      const int rc = submit(scripts[i], params, &job, NULL);
      assert_int_equal(rc < 0, i < 5);
      lsio_value_release(params);
      assert_int_equal(released, rc < 0);
      if (!rc && end == 1) lsio_cancel(job);
      if (!rc && end < 2) polled_wait(job);
      polled_destroy(job);
      assert_int_equal(released, 1);
    }
  struct lsio_job_options o = api_options(API_COUNTS, 0);
  o.params = one("w", array("f64", data, 2));
  o.struct_size = offsetof(struct lsio_job_options, params); /* as an older program has it */
  lsio_job *job = NULL;
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
  assert_int_equal(polled_wait(job), 0);
  polled_destroy(job);
  released = 0;
  lsio_value_release((lsio_value *)(uintptr_t)o.params);
  assert_int_equal(released, 1);
}

/* The N-th allocation fails. */
static void no_memory(void **state) {
  (void)state;
  static const double data[2] = {1, 2};
  int failures = 0;
  bool through = false;
  for (uint64_t n = 1; !through; n++) {
    assert_true(n < 2000);
    lsio_value *params = one("w", array("f64", data, 2));
    released = 0;
    lsio_job *job = NULL;
    lsio_error *error = NULL;
    const uint64_t calls = lsi_mem_calls();
    lsi_mem_fail_nth(n, false);
    int rc = submit(SEES("p.w.n == 2"), params, &job, &error);
    if (!rc) rc = polled_wait(job);
    through = lsi_mem_calls() - calls < n;
    lsi_mem_fail_nth(0, false);
    if (rc && rc != LSIO_ERR_NOMEM) fail_msg("allocation %d: %d", (int)n, rc);
    failures += rc != 0;
    lsio_error_free(error);
    lsio_value_release(params);
    polled_destroy(job);
    assert_int_equal(released, 1);
  }
  assert_true(failures > 20);
}

/* ---- deep and large ---- */

static void deep_and_large_values(void **state) {
  (void)state;
  lsio_value *v = lsio_value_int(7);
  for (int i = 0; i < LSIO_VALUE_DEPTH_MAX; i++) v = one("x", v);
  lsio_value *deepest = lsio_value_retain(v);
  accepts(SEES("(function(t) for i = 1, 64 do t = t.x end return t end)(p.t) == 7"), one("t", v));
  lsio_error *error = NULL;
  lsio_value *out = NULL;
  deepest = one("x", deepest); /* with the map of names one more than may be */
  assert_int_equal(lsio_value_record((const char *const[]){"t"}, &deepest, 1, &out, &error), LSIO_ERR_USAGE);
  lsio_error_free(error);
  const size_t n = 200000;
  lsio_value **items = malloc(n * sizeof *items), **keys = malloc(n * sizeof *keys), *list = NULL, *map = NULL;
  for (size_t i = 0; i < n; i++) items[i] = lsio_value_int((int64_t)i);
  assert_int_equal(lsio_value_list(items, n, &list, NULL), 0);
  accepts(DECLARES ", setup = function(p) assert(#p.t == 200000 and p.t[200000] == 199999) end }\n", one("t", list));
  for (size_t i = 0; i < n; i++) {
    char key[20];
    snprintf(key, sizeof key, "%d", (int)i);
    keys[i] = text(key);
    items[i] = lsio_value_int((int64_t)i);
  }
  assert_int_equal(lsio_value_map(keys, items, n, &map, NULL), 0);
  accepts(DECLARES ", setup = function(p) assert(p.t['199999'] == 199999) end }\n", one("t", map));
  free(items);
  free(keys);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(kinds_are_those_of_the_defaults),
      API_TEST(hostile_nans_are_nan),
      API_TEST(what_does_not_fit_is_named),
      API_TEST(a_command_line_cant_give_them),
      API_TEST(arrays_are_where_they_were),
      API_TEST(kept_views_are_empty),
      API_TEST(released_once_on_every_way),
      API_TEST(no_memory),
      API_TEST(deep_and_large_values),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
