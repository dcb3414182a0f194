/* States of transforms in C, through lsio.h: the script's and the program's own, what failed steps leave of
 * them, and how they are merged; against the same in Lua, or computed here. */
#include <lauxlib.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api_job.h"

/* ---- states of Lua that are made ---- */

static atomic_int luas;
lua_State *__real_luaL_newstate(void);
lua_State *__wrap_luaL_newstate(void);
lua_State *__wrap_luaL_newstate(void) {
  atomic_fetch_add(&luas, 1);
  return __real_luaL_newstate();
}

/* ---- the script's state ---- */

#define STATS                                                                                      \
  " state = 'double sum, peak[4]; int64_t n; float least; lsio_moments m; uint8_t bits; double one',\n" \
  " reduce = { sum = 'sum', peak = 'max', n = 'sum', least = 'min', m = 'moments', bits = 'bor', one = 'prod' },\n"

struct stats {
  double sum, peak[4];
  int64_t n;
  float least;
  struct {
    double n, mean, m2;
  } m;
  uint8_t bits;
  double one;
};

static const char lua_stats[] = API_APART STATS
    " transform = function(c, s)\n"
    "  for i = 0, c.n - 1 do\n"
    "    local v = c.data[i]\n"
    "    s.sum, s.n, s.least = s.sum + v, s.n + 1, math.min(s.least, v)\n"
    "    s.peak[i % 4] = math.max(s.peak[i % 4], v)\n"
    "  end\n"
    "  lsio.k.moments(c.data, c.n, s.m)\n"
    "  s.bits = bit.bor(s.bits, c.index % 256)\n"
    " end }\n";

static int32_t add_stats(const lsio_step *step, void *state) {
  struct stats *s = state;
  const float *v = step->data;
  api_meet(step, s->n == 0);
  double mean = 0, m2 = 0;
  for (uint64_t i = 0; i < step->n; i++) {
    s->sum += v[i];
    s->n++;
    s->least = v[i] < s->least ? v[i] : s->least;
    s->peak[i % 4] = v[i] > s->peak[i % 4] ? v[i] : s->peak[i % 4];
    mean += (double)v[i] / (double)step->n;
  }
  for (uint64_t i = 0; i < step->n; i++) m2 += (v[i] - mean) * (v[i] - mean);
  const double n = (double)step->n, all = s->m.n + n, d = mean - s->m.mean;
  s->m.m2 += m2 + d * d * (s->m.n * n / all);
  s->m.mean += d * n / all;
  s->m.n = all;
  s->bits |= (uint8_t)step->index;
  return 0;
}

static json_t *state_of(lsio_job *job) {
  json_t *summary = api_ends(job, 0), *state = json_incref(json_object_get(summary, "state"));
  json_decref(summary);
  api_close(job);
  return state;
}

static void near(const json_t *a, const json_t *b, const char *what) {
  const double x = json_number_value(a), y = json_number_value(b);
  if (!json_is_number(a) || !json_is_number(b) || fabs(x - y) > 1e-9 * fabs(x))
    fail_msg("%s: %.17g in Lua, %.17g in C", what, x, y);
}

static void test_as_in_lua(void **unused) {
  (void)unused;
  const struct lsio_transform t = {.struct_size = sizeof t, .step = add_stats};
  json_t *lua = state_of(api_submit(lua_stats, 0));
  atomic_store(&api_arrived, 0);
  const int before = atomic_load(&luas);
  json_t *c = state_of(api_submit_c(API_APART STATS " done = function(r) assert(r.n == 100000 and r.peak[3] > 1) end }\n",
                                    0, &t));
  assert_int_equal(atomic_load(&luas), before);
  const char *key;
  json_t *value;
  assert_int_equal(json_object_size(lua), 7);
  json_object_foreach(lua, key, value) {
    const json_t *other = json_object_get(c, key);
    if (json_is_number(value)) near(value, other, key);
    for (size_t i = 0; i < json_array_size(value); i++) near(json_array_get(value, i), json_array_get(other, i), key);
    if (json_is_object(value))
      for (int i = 0; i < 3; i++) {
        static const char *const parts[] = {"n", "mean", "m2"};
        near(json_object_get(value, parts[i]), json_object_get(other, parts[i]), parts[i]);
      }
  }
  assert_int_equal(json_array_size(json_object_get(c, "peak")), 4);
  json_decref(lua);
  json_decref(c);
}

/* Four states, where the workers of the context have none yet: no Lua is opened for them. */
static void test_no_lua_in_workers(void **unused) {
  (void)unused;
  const struct lsio_transform t = {.struct_size = sizeof t, .step = add_stats};
  const int before = atomic_load(&luas);
  json_decref(state_of(api_submit_c(API_APART STATS "}", 0, &t)));
  assert_int_equal(atomic_load(&luas), before);
  json_decref(state_of(api_submit(lua_stats, 0)));
  assert_true(atomic_load(&luas) > before);
}

#define EMPTY "local lsio = require 'lsio'\nreturn lsio.job { source = lsio.ranges { objects = { 'a.f32' },\n" \
  " offset = {}, length = {} }, type = 'f32',\n"

static void test_what_reducers_begin_with(void **unused) {
  (void)unused;
  const struct lsio_transform t = {.struct_size = sizeof t, .step = add_stats};
  json_t *lua = state_of(api_submit(EMPTY STATS "transform = function() end }", 0));
  json_t *c = state_of(api_submit_c(EMPTY STATS "}", 0, &t));
  assert_true(json_equal(lua, c));
  assert_true(api_number(c, "one") == 1);
  json_decref(lua);
  json_decref(c);
}

static int32_t add_nan(const lsio_step *step, void *state) {
  struct stats *s = state;
  memset(&s->sum, 0xff, sizeof s->sum); /* nil, were it taken for a value of Lua's */
  memset(&s->least, 0xff, sizeof s->least);
  memset(&s->peak[1], 0xff, sizeof s->peak[1]);
  memset(&s->m.m2, 0xff, sizeof s->m.m2);
  s->n += (int64_t)step->n;
  return 0;
}

static void test_bits_that_are_no_number(void **unused) {
  (void)unused;
  const struct lsio_transform t = {.struct_size = sizeof t, .step = add_nan};
  json_decref(state_of(api_submit_c(API_APART STATS " done = function(r)\n"
                        "  for _, v in ipairs { r.sum, r.least, r.peak[1], r.m.m2 } do\n"
                        "    assert(type(v) == 'number' and v ~= v) end\n"
                        "  assert(type(r.sum) == 'number' and type(r.m.m2) == 'number' and r.n == 100000) end }", 0, &t)));
}

/* ---- skip ---- */

static int32_t some_fail(const lsio_step *step, void *state) {
  const int32_t rc = add_stats(step, state); /* and leaves its trace */
  const int mod = (int)(step->index % 7);
  if (mod == 3) {
    snprintf(step->message, step->message_size, "step %d is a third", (int)step->index);
    return LSIO_ERR_CORRUPT;
  }
  return mod == 5 ? INT32_MIN : mod == 6 ? 1 : rc; /* 1: there is no out_max */
}

static bool is_well(uint64_t step) { return step % 7 != 3 && step % 7 < 5; }

static double well_sum(void) {
  double sum = 0;
  for (uint64_t i = 0; i < API_VALUES; i++) sum += is_well(i / (API_CHUNK / 4)) ? api_values[i] : 0;
  return sum;
}

static void test_skipped_steps_leave_no_trace(void **unused) {
  (void)unused;
  const struct lsio_transform t = {.struct_size = sizeof t, .step = some_fail};
  lsio_job *job = api_submit_c(API_APART STATS " on_error = 'skip' }", 0, &t);
  json_t *summary = api_ends(job, 0), *state = json_object_get(summary, "state");
  assert_true(api_number(state, "sum") == well_sum());
  assert_true(api_number(summary, "steps_failed") == 143 + 143 + 142);
  for (size_t i = 0; i < 100; i++) {
    const lsio_error *e = lsio_job_step_error(job, i);
    const uint64_t step = lsio_error_step(e);
    char text[40];
    snprintf(text, sizeof text, "step %d is a third", (int)step);
    assert_false(is_well(step));
    assert_int_equal(lsio_error_code(e), step % 7 == 3 ? LSIO_ERR_CORRUPT : LSIO_ERR_TRANSFORM);
    if (step % 7 == 3) assert_non_null(strstr(lsio_error_message(e), text));
    else if (step % 7 == 5) assert_non_null(strstr(lsio_error_message(e), "returned -2147483648"));
    else assert_non_null(strstr(lsio_error_message(e), "no out_max"));
    assert_string_equal(lsio_error_object(e), "a.f32");
    assert_int_equal(lsio_error_offset(e), step * API_CHUNK);
  }
  json_decref(summary);
}

/* ---- states of the program's ---- */

struct own {
  double sum, *kept; /* kept: memory of its own */
  double saved;
  int workers[8], n_workers;
  uint64_t steps, called;
};

static atomic_int opened, closed, finished, released, saves;

static int32_t open_own(void *user, uint32_t worker, void **state, char *message, size_t size) {
  (void)message, (void)size;
  if (!*state) *state = calloc(1, sizeof(struct own));
  struct own *s = *state;
  if (!s || user != &opened || s->sum != 0 || (uintptr_t)s % 16) return LSIO_ERR_NOMEM;
  if (!(s->kept = calloc(1, sizeof *s->kept))) return LSIO_ERR_NOMEM;
  s->workers[s->n_workers++] = (int)worker;
  atomic_fetch_add(&opened, 1);
  return 0;
}

static int32_t step_own(const lsio_step *step, void *state) {
  struct own *s = state;
  const float *v = step->data;
  api_meet(step, !s->called++);
  for (uint64_t i = 0; i < step->n; i++) s->sum += v[i];
  *s->kept = s->sum;
  s->steps++;
  return step->index % 7 == 3 ? -1000 : !is_well(step->index) ? INT32_MAX : 0;
}

static int32_t finish_own(void *user, void *state, char *message, size_t size) {
  (void)message, (void)size;
  const struct own *s = state;
  if (user != &opened || *s->kept != s->sum) return LSIO_ERR_BUG;
  atomic_fetch_add(&finished, 1);
  return 0;
}

static int32_t merge_own(void *user, void *into, void *from, char *message, size_t size) {
  (void)user, (void)message, (void)size;
  struct own *a = into, *b = from;
  a->sum += b->sum;
  a->steps += b->steps;
  for (int i = 0; i < b->n_workers; i++) a->workers[a->n_workers++] = b->workers[i];
  return 0;
}

static void close_own(void *user, void *state) {
  (void)user;
  struct own *s = state;
  free(s->kept);
  s->kept = NULL;
  atomic_fetch_add(&closed, 1);
}

static void close_and_free(void *user, void *state) {
  close_own(user, state);
  free(state);
}

static void save_own(void *user, void *state) {
  (void)user;
  struct own *s = state;
  s->saved = s->sum;
  atomic_fetch_add(&saves, 1);
}

static void undo_own(void *user, void *state) {
  (void)user;
  struct own *s = state;
  *s->kept = s->sum = s->saved;
  s->steps--;
}

static void release_own(void *user) {
  assert_ptr_equal(user, &opened);
  atomic_fetch_add(&released, 1);
}

#define OWN                                                                                              \
  { .struct_size = sizeof(struct lsio_transform), .user = &opened, .open_worker = open_own, .step = step_own, \
    .finish = finish_own, .close = close_own, .release = release_own, .merge = merge_own, .save = save_own,  \
    .undo = undo_own, .state_size = sizeof(struct own), .state_align = 4096 }

static void check_own(lsio_job *job) {
  json_t *summary = api_ends(job, 0);
  assert_true(api_number(summary, "steps_failed") == 143 + 143 + 142);
  const struct own *s = lsio_job_state(job);
  assert_non_null(s);
  assert_true(s->sum == well_sum());
  assert_int_equal(s->steps, API_STEPS - 428);
  assert_int_equal(atomic_load(&saves), API_STEPS);
  assert_int_equal(s->n_workers, 2);
  for (int i = 1; i < s->n_workers; i++) assert_true(s->workers[i] > s->workers[i - 1]);
  assert_int_equal(atomic_load(&finished), s->n_workers);
  assert_int_equal(atomic_load(&closed), atomic_load(&opened) - 1);
  assert_int_equal(atomic_load(&released), 0);
  json_decref(summary);
  api_close(job);
  assert_int_equal(atomic_load(&closed), atomic_load(&opened));
  assert_int_equal(atomic_load(&released), 1);
}

static void test_own_states(void **unused) {
  (void)unused;
  for (int bytes = 0; bytes < 2; bytes++) {
    struct lsio_transform t = OWN;
    if (!bytes) t.state_size = 0, t.close = close_and_free;
    atomic_store(&opened, 0), atomic_store(&closed, 0), atomic_store(&finished, 0);
    atomic_store(&released, 0), atomic_store(&saves, 0), atomic_store(&api_arrived, 0);
    lsio_job *job = api_submit_c(API_APART " on_error = 'skip', done = function(r) assert(r == nil) end }", 0, &t);
    memset(&t, 0xff, sizeof t); /* it was copied */
    check_own(job);
  }
}

/* Without undo the bytes are put back by LSIO, whatever they hold. */
static int32_t step_bytes(const lsio_step *step, void *state) {
  struct own *s = state;
  const float *v = step->data;
  for (uint64_t i = 0; i < step->n; i++) s->sum += v[i];
  s->steps++;
  return is_well(step->index) ? 0 : LSIO_ERR_TRANSFORM;
}

static void test_own_bytes(void **unused) {
  (void)unused;
  struct lsio_transform t = {.struct_size = sizeof t, .step = step_bytes, .state_size = sizeof(struct own),
                             .merge = merge_own};
  lsio_job *job = api_submit_c(API_APART " on_error = 'skip' }", 0, &t);
  json_decref(api_ends(job, 0));
  const struct own *s = lsio_job_state(job);
  assert_true(s->sum == well_sum() && s->steps == API_STEPS - 428);
  api_close(job);
  t.merge = NULL; /* nobody wants them */
  job = api_submit_c(API_APART " on_error = 'skip' }", 0, &t);
  json_decref(api_ends(job, 0));
  assert_null(lsio_job_state(job));
}

static void test_own_state_without_steps(void **unused) {
  (void)unused;
  struct lsio_transform t = OWN;
  atomic_store(&opened, 0), atomic_store(&closed, 0), atomic_store(&released, 0);
  lsio_job *job = api_submit_c(EMPTY "}", 0, &t);
  json_decref(api_ends(job, 0));
  const struct own *s = lsio_job_state(job);
  assert_true(s && s->sum == 0 && s->steps == 0);
  api_close(job);
  assert_int_equal(atomic_load(&closed), atomic_load(&opened));
  assert_int_equal(atomic_load(&released), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(test_as_in_lua),
      API_TEST(test_no_lua_in_workers),
      API_TEST(test_what_reducers_begin_with),
      API_TEST(test_bits_that_are_no_number),
      API_TEST(test_skipped_steps_leave_no_trace),
      API_TEST(test_own_states),
      API_TEST(test_own_bytes),
      API_TEST(test_own_state_without_steps),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
