/* The state of a job as a value: what goes in as a parameter comes out again, bit by bit; large arrays without
 * a copy; what fails. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "ground/mem.h"
#include "polled.h"
#include "value_dice.h"

static struct lsio_value_view look(const lsio_value *v) {
  struct lsio_value_view x = {.struct_size = sizeof x};
  lsio_value_get(v, &x);
  return x;
}

/* Runs it with the parameters, which are handed over; its state. */
static lsio_value *state_of(const char *script, lsio_value *params) {
  struct lsio_job_options o = api_options(script, LSIO_JOB_STATE_VALUE | LSIO_JOB_NO_STATE);
  o.params = params;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (polled_submit(api_context, &o, &job, &error)) fail_msg("%s", lsio_error_message(error));
  lsio_value_release(params);
  lsio_value *v = NULL;
  json_decref(api_ends(job, 0));
  if (lsio_job_state_value(job, &v, &error)) fail_msg("%s", lsio_error_message(error));
  polled_destroy(job);
  return v;
}

static lsio_value *one(const char *name, lsio_value *value) {
  lsio_value *v = NULL;
  assert_int_equal(lsio_value_record(&name, &value, 1, &v, NULL), 0);
  return v;
}

/* ---- round trips ---- */

/* The state is the parameter. */
#define ECHO                                                                                       \
  "local lsio = require 'lsio'\n"                                                                  \
  "return lsio.job { source = lsio.files('a.f32', { whole = true }), type = 'f32',\n"              \
  " params = { t = { {} } }, transform = function() end, state = function(p) return { t = p.t } end,\n" \
  " finish = function(s) return s end, reduce = function(a) return a end }\n"

static const double special[] = {0, -0.0, 1, -1, 0.5, NAN, INFINITY, -INFINITY, 0x1p52, 0x1p53, 0x1p63, -0x1p63,
                                 0x1p64, 1e300, 5e-324};
static const uint64_t edges[] = {0, 1, (uint64_t)1 << 52, ((uint64_t)1 << 53) - 1, (uint64_t)1 << 53,
                                 ((uint64_t)1 << 53) + 1, INT64_MAX, (uint64_t)1 << 63, UINT64_MAX,
                                 (uint64_t)-((int64_t)1 << 53), (uint64_t)-((int64_t)1 << 53) - 1};

static lsio_value *make(uint64_t *r, int deep);

static lsio_value *make_items(uint64_t *r, int deep, bool map) {
  static const char *const names[] = {"", "__array", "n", "a\0b", "\xff\xfe", "1", "key"};
  static const size_t lengths[] = {0, 7, 1, 3, 2, 1, 3};
  lsio_value *items[8], *keys[8], *v = NULL;
  const size_t n = next(r) % 8, at = next(r) % 7;
  for (size_t i = 0; i < n; i++) {
    const size_t k = (at + i) % 7;
    keys[i] = i == 7 || next(r) % 4 == 0 ? lsio_value_int((int64_t)(100 + i)) : lsio_value_bytes(names[k], lengths[k]);
    do items[i] = make(r, deep - 1);
    while (lsio_value_kind(items[i]) == LSIO_VALUE_NIL); /* which Lua has no place for */
  }
  if (!map)
    for (size_t i = 0; i < n; i++) lsio_value_release(keys[i]);
  assert_int_equal(map ? lsio_value_map(keys, items, n, &v, NULL) : lsio_value_list(items, n, &v, NULL), 0);
  return v;
}

static lsio_value *make(uint64_t *r, int deep) {
  const uint64_t kind = next(r) % (deep ? 9 : 6), a = next(r);
  const uint64_t number = a % 3 ? next(r) : edges[next(r) % (sizeof edges / sizeof *edges)];
  static const double elements[5] = {1, -0.0, INFINITY, 0x1p60, 1e-300};
  const int64_t shape = (int64_t)(a % 6);
  const struct lsio_value_source s = {.struct_size = sizeof s, .data = elements, .type = "f64", .ndim = 1,
                                      .shape = &shape};
  lsio_value *v = NULL;
  switch (kind) {
    case 0: return lsio_value_nil();
    case 1: return lsio_value_bool(a % 2);
    case 2: return lsio_value_int((int64_t)number);
    case 3: return lsio_value_uint(number);
    case 4: return lsio_value_double(a % 3 ? bits_of(number) : special[number % (sizeof special / sizeof *special)]);
    case 5: return lsio_value_bytes(&number, a % 8);
    case 6:
      assert_int_equal(lsio_value_array(&s, &v, NULL), shape > 5 ? LSIO_ERR_USAGE : 0);
      return v;
    default: return make_items(r, deep, kind == 7);
  }
}

/* Numbers within 2^53 are doubles in Lua, and whole ones come out as integers: the same number. */
static bool same_number(const struct lsio_value_view *a, const struct lsio_value_view *b) {
  const double limit = 0x1p53, d = a->number;
  if (a->kind == LSIO_VALUE_DOUBLE) {
    if (b->kind == LSIO_VALUE_INT)
      return d == floor(d) && fabs(d) < limit && !signbit(d == 0 ? d : 1) && b->integer == (int64_t)d;
    return b->kind == LSIO_VALUE_DOUBLE && (isnan(d) ? isnan(b->number) : !memcmp(&d, &b->number, sizeof d));
  }
  const bool is_signed = a->kind == LSIO_VALUE_INT, negative = is_signed && a->integer < 0;
  const uint64_t bits = is_signed ? (uint64_t)a->integer : a->natural, size = negative ? -bits : bits;
  if (size > (uint64_t)1 << 53)
    return b->kind == a->kind && (is_signed ? (uint64_t)b->integer : b->natural) == bits;
  if (size == (uint64_t)1 << 53) return b->kind == LSIO_VALUE_DOUBLE && fabs(b->number) == limit && negative == (b->number < 0);
  return b->kind == LSIO_VALUE_INT && (uint64_t)b->integer == bits;
}

static void same(const lsio_value *in, const lsio_value *out);

static void same_items(const struct lsio_value_view *a, const struct lsio_value_view *b) {
  assert_int_equal(a->n, b->n);
  if (b->kind == LSIO_VALUE_MAP && a->n == 0) return; /* an empty list is an empty map */
  assert_int_equal(a->kind, b->kind);
  for (size_t i = 0; i < a->n; i++) same(a->items[i], b->items[i]);
  for (size_t i = 0; a->kind == LSIO_VALUE_MAP && i < a->n; i++) same(a->keys[i], b->keys[i]);
}

static void same(const lsio_value *in, const lsio_value *out) {
  const struct lsio_value_view a = look(in), b = look(out);
  switch (a.kind) {
    case LSIO_VALUE_INT:
    case LSIO_VALUE_UINT:
    case LSIO_VALUE_DOUBLE:
      if (!same_number(&a, &b))
        fail_msg("kind %u, %lld %llu %a became kind %u, %lld %llu %a", a.kind, (long long)a.integer,
                 (unsigned long long)a.natural, a.number, b.kind, (long long)b.integer,
                 (unsigned long long)b.natural, b.number);
      break;
    case LSIO_VALUE_LIST:
    case LSIO_VALUE_MAP: same_items(&a, &b); break;
    default:
      assert_int_equal(a.kind, b.kind);
      assert_int_equal(a.n, b.n);
      assert_true(a.integer == b.integer);
      assert_int_equal(a.length, b.length);
      if (a.length) assert_memory_equal(a.data, b.data, a.length);
  }
}

static void what_goes_in_comes_out(void **state) {
  (void)state;
  const uint64_t seed = (uint64_t)time(NULL);
  fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
  uint64_t r = seed * 0x9e3779b97f4a7c15u | 1;
  for (int i = 0; i < 40; i++) {
    lsio_value *items[50], *in = NULL;
    for (int k = 0; k < 50; k++)
      do items[k] = make(&r, 5);
      while (lsio_value_kind(items[k]) == LSIO_VALUE_NIL);
    assert_int_equal(lsio_value_list(items, 50, &in, NULL), 0);
    lsio_value *out = state_of(ECHO, one("t", lsio_value_retain(in)));
    same(in, lsio_value_find(out, "t"));
    lsio_value_release(out);
    lsio_value_release(in);
  }
}

static void deep_and_large_values(void **state) {
  (void)state;
  lsio_value *v = lsio_value_bytes("x", 1), *in = NULL;
  for (int i = 0; i < LSIO_VALUE_DEPTH_MAX; i++) v = one("x", v);
  lsio_value *out = state_of(ECHO, one("t", lsio_value_retain(v)));
  same(v, lsio_value_find(out, "t"));
  lsio_value_release(out);
  lsio_value_release(v);
  const size_t n = 300000;
  lsio_value **items = malloc(n * sizeof *items);
  for (size_t i = 0; i < n; i++) items[i] = i % 2 ? lsio_value_double((double)i / 3) : lsio_value_int(-(int64_t)i);
  assert_int_equal(lsio_value_list(items, n, &in, NULL), 0);
  free(items);
  out = state_of(ECHO, one("t", lsio_value_retain(in)));
  same(in, lsio_value_find(out, "t"));
  lsio_value_release(out);
  lsio_value_release(in);
}

/* ---- states ---- */

static double number_of(const lsio_value *map, const char *name, uint32_t kind) {
  const lsio_value *v = lsio_value_find(map, name);
  assert_non_null(v);
  if (look(v).kind != kind) fail_msg("%s is of kind %u", name, look(v).kind);
  double d = 0;
  assert_int_equal(lsio_value_as_double(v, &d), 0);
  return d;
}

static void fields_are_as_declared(void **state) {
  (void)state;
  lsio_value *v = state_of(API_HEAD " state = 'double d, e; int32_t i; uint64_t u, v; int64_t h; lsio_moments m; float a[3];'\n"
                                    "  .. 'uint64_t b[2];',\n"
                                    " reduce = { d = 'sum', e = 'max', i = 'sum', u = 'sum', v = 'max', h = 'min',\n"
                                    "  m = 'moments', a = 'max', b = 'max' },\n"
                                    " transform = function(c, s) s.d = s.d + 1 s.e = 1 / 0 s.i = s.i - 1 s.u = s.u + 1\n"
                                    "  s.v = 18446744073709551615ULL s.h = -9223372036854775807LL - 1\n"
                                    "  local n, mean, m2 = 0, 0, 0 s.m.n = s.m.n + 1 s.m.mean = 2\n"
                                    "  s.a[1] = 0.5 s.b[1] = 18446744073709551615ULL end }\n", NULL);
  assert_float_equal(number_of(v, "d", LSIO_VALUE_DOUBLE), API_STEPS, 0);
  assert_true(number_of(v, "e", LSIO_VALUE_DOUBLE) == INFINITY);
  assert_float_equal(number_of(v, "i", LSIO_VALUE_INT), -API_STEPS, 0);
  assert_float_equal(number_of(v, "u", LSIO_VALUE_UINT), API_STEPS, 0);
  assert_true(look(lsio_value_find(v, "v")).natural == UINT64_MAX);
  assert_true(look(lsio_value_find(v, "h")).integer == INT64_MIN);
  const lsio_value *m = lsio_value_find(v, "m");
  assert_float_equal(number_of(m, "n", LSIO_VALUE_DOUBLE), API_STEPS, 0);
  assert_float_equal(number_of(m, "mean", LSIO_VALUE_DOUBLE), 2, 0);
  const struct lsio_value_view a = look(lsio_value_find(v, "a")), b = look(lsio_value_find(v, "b"));
  assert_string_equal(a.type, "f64");
  assert_int_equal(a.n, 3);
  assert_int_equal(a.ndim, 1);
  assert_int_equal(a.shape[0], 3);
  assert_float_equal(((const double *)a.data)[1], 0.5, 0);
  assert_string_equal(b.type, "u64");
  assert_true(((const uint64_t *)b.data)[1] == UINT64_MAX);
  lsio_value_release(v);
}

static void states_of_other_forms(void **state) {
  (void)state;
  lsio_value *v = state_of(API_HEAD " transform = function() end }\n", NULL); /* none */
  assert_int_equal(look(v).kind, LSIO_VALUE_MAP);
  assert_int_equal(look(v).n, 0);
  lsio_value_release(v);
  v = state_of(API_HEAD " transform = function() end, finish = function() return 1 end, reduce = 'max' }\n", NULL);
  assert_float_equal(number_of(v, "result", LSIO_VALUE_INT), 1, 0);
  lsio_value_release(v);
  v = state_of(API_HEAD " transform = function() end, finish = function() return { 'a', { [1] = 1, ['1'] = 2 } } end,\n"
                        " reduce = function(a) return a end }\n", NULL);
  const struct lsio_value_view list = look(v);
  assert_int_equal(list.kind, LSIO_VALUE_LIST);
  assert_int_equal(list.n, 2);
  assert_float_equal(number_of(list.items[1], "1", LSIO_VALUE_INT), 2, 0); /* which JSON can't hold */
  assert_int_equal(look(list.items[1]).n, 2);
  lsio_value_release(v);
}

#define MANY 1000000

/* `done` prints where the array is; the value is there, too, when job and context are gone. */
static void large_arrays_are_not_copied(void **state) {
  (void)state;
  lsio_value *v = NULL;
  char script[2000], address[64] = "";
  snprintf(script, sizeof script,
           API_HEAD " params = { at = '' }, state = 'double x[%d];', reduce = { x = 'sum' },\n"
                    " transform = function(c, s) s.x[c.index] = c.index + 0.5 end,\n"
                    " done = function(r) local f = assert(io.open('address', 'w'))\n"
                    "  f:write(('%%.0f'):format(tonumber(require('ffi').cast('uintptr_t', r.x.ptr)))) f:close() end }\n",
           MANY);
  v = state_of(script, NULL);
  lsio_context_destroy(api_context);
  FILE *f = fopen("address", "r");
  assert_non_null(f);
  assert_non_null(fgets(address, sizeof address, f));
  fclose(f);
  remove("address");
  const struct lsio_value_view x = look(lsio_value_find(v, "x"));
  assert_int_equal(x.n, MANY);
  assert_string_equal(x.type, "f64");
  assert_true((uintptr_t)x.data == (uintptr_t)strtoull(address, NULL, 10));
  for (int i = 0; i < MANY; i++)
    assert_float_equal(((const double *)x.data)[i], i < API_STEPS ? i + 0.5 : 0, 0);
  const int64_t live = lsi_mem_live();
  lsio_value_release(v);
  assert_int_equal(lsi_mem_live(), live - 5); /* map, key, view, and what that is of, with its memory */
  api_begin(NULL);
}

/* ---- what fails ---- */

static void gives_none(const char *script, uint32_t flags, int status, int code, const char *words) {
  struct lsio_job_options o = api_options(script, flags);
  lsio_job *job = NULL;
  lsio_value *v = NULL;
  lsio_error *error = NULL;
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
  assert_int_equal(polled_wait(job), status);
  assert_int_equal(lsio_job_state_value(job, &v, &error), code);
  assert_null(v);
  if (!strstr(lsio_error_message(error), words)) fail_msg("%s", lsio_error_message(error));
  lsio_error_free(error);
  polled_destroy(job);
}

static int entered[2];

/* Of two workers, each of which waits for the other one, so that there is something to reduce. */
static char *reducing(char script[1000], const char *value) {
  entered[0] = entered[1] = 0;
  snprintf(script, 1000,
           "local lsio = require 'lsio'\n"
           "local entered = require('ffi').cast('volatile int *', %.0fULL)\n"
           "return lsio.job { source = lsio.files('?.f32', { whole = true }), type = 'f32',\n"
           " transform = function(c)\n"
           "  entered[c.worker] = 1\n"
           "  local limit = os.time() + 20\n"
           "  while entered[1 - c.worker] == 0 do assert(os.time() < limit, 'one worker had all') end end,\n"
           " finish = function() return 1 end, reduce = function() return %s end }\n",
           (double)(uintptr_t)entered, value);
  return script;
}

static void what_is_no_value_is_named(void **state) {
  (void)state;
  char script[1000];
  FILE *f = fopen("b.f32", "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(api_values, sizeof *api_values, API_VALUES, f), API_VALUES);
  fclose(f);
  gives_none(reducing(script, "{ a = { b = { 1, print } } }"), LSIO_JOB_STATE_VALUE, 0, LSIO_ERR_OUTPUT,
             "there is a function in it; it is at a.b[2]");
  gives_none(reducing(script, "{ [true] = 1 }"), LSIO_JOB_STATE_VALUE, 0, LSIO_ERR_OUTPUT, "a key of type boolean");
  gives_none(reducing(script, "(function() local t = {} t.x = t return t end)()"), LSIO_JOB_STATE_VALUE, 0, LSIO_ERR_OUTPUT,
             "nests deeper than 64 tables");
  remove("b.f32");
  gives_none(API_COUNTS, 0, 0, LSIO_ERR_USAGE, "the flag LSIO_JOB_STATE_VALUE");
  gives_none(API_HEAD " transform = function() error 'no' end }\n", LSIO_JOB_STATE_VALUE, LSIO_ERR_TRANSFORM,
             LSIO_ERR_TRANSFORM, "no");
  struct lsio_job_options o = api_options(API_HEAD " state = 'double n;', reduce = { n = 'sum' },\n"
                                          " transform = function() repeat local f = io.open('go') until f and f:close() end }\n",
                                          LSIO_JOB_STATE_VALUE);
  lsio_job *job = NULL;
  lsio_value *v = NULL;
  assert_int_equal(lsio_submit(api_context, &o, &job, NULL), 0);
  assert_int_equal(lsio_job_state_value(job, &v, NULL), LSIO_ERR_BUSY);
  assert_int_equal(lsio_job_state_value(job, NULL, NULL), LSIO_ERR_USAGE);
  fclose(fopen("go", "wb"));
  assert_int_equal(lsio_wait(job, -1), 0);
  unlink("go");
  lsio_job_release(job);
}

/* The N-th allocation fails: the job does, or the value is whole. */
static void no_memory(void **state) {
  (void)state;
  int failures = 0;
  bool through = false;
  for (uint64_t n = 1; !through; n++) {
    assert_true(n < 3000);
    struct lsio_job_options o = api_options(
        API_HEAD " state = 'double x[100]; int64_t n;', reduce = { x = 'sum', n = 'sum' },\n"
                 " transform = function(c, s) s.n = s.n + 1 end }\n", LSIO_JOB_STATE_VALUE);
    lsio_job *job = NULL;
    lsio_error *error = NULL;
    lsio_value *v = NULL;
    const uint64_t calls = lsi_mem_calls();
    lsi_mem_fail_nth(n, false);
    int rc = polled_submit(api_context, &o, &job, &error);
    if (!rc) rc = polled_wait(job);
    if (!rc) rc = lsio_job_state_value(job, &v, &error);
    through = lsi_mem_calls() - calls < n;
    lsi_mem_fail_nth(0, false);
    if (rc && rc != LSIO_ERR_NOMEM) fail_msg("allocation %d: %d", (int)n, rc);
    if (!rc) assert_float_equal(number_of(v, "n", LSIO_VALUE_INT), API_STEPS, 0);
    failures += rc != 0;
    lsio_error_free(error);
    lsio_value_release(v);
    polled_destroy(job);
  }
  assert_true(failures > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(what_goes_in_comes_out),
      API_TEST(deep_and_large_values),
      API_TEST(fields_are_as_declared),
      API_TEST(states_of_other_forms),
      API_TEST(large_arrays_are_not_copied),
      API_TEST(what_is_no_value_is_named),
      API_TEST(no_memory),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
