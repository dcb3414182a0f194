/* Values: made and read back, bit by bit; limits; who frees what, and how often. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "lsio.h"
#include "value_dice.h"

static int64_t live_before;

static int begin(void **state) {
  (void)state;
  live_before = lsi_mem_live();
  return 0;
}

static int end(void **state) {
  (void)state;
  lsi_mem_fail_nth(0, false);
  return lsi_mem_live() == live_before ? 0 : -1;
}

static struct lsio_value_view look(const lsio_value *v) {
  struct lsio_value_view x = {.struct_size = sizeof x};
  lsio_value_get(v, &x);
  assert_int_equal(lsio_value_kind(v), x.kind);
  return x;
}

/* ---- random values: the same numbers make one and check it ---- */

static void key_of(char key[40], uint64_t salt, size_t i) { snprintf(key, 40, "k%d-%zu", (int)(salt % 97), i); }

static lsio_value *build(uint64_t *r, int deep) {
  const uint64_t kind = next(r) % (deep ? 9 : 6), a = next(r);
  const size_t n = a % 5;
  lsio_value *items[5], *keys[5], *v = NULL;
  char key[40], text[5];
  switch (kind) {
    case 0: return lsio_value_nil();
    case 1: return lsio_value_bool(a % 2);
    case 2: return lsio_value_int((int64_t)a);
    case 3: return lsio_value_uint(a);
    case 4: return lsio_value_double(bits_of(a));
    case 5:
      memcpy(text, &a, 5);
      return lsio_value_bytes(text, n);
    case 6: {
      static const double memory[5] = {1, 2, 3};
      const int64_t shape[2] = {1, (int64_t)n};
      const struct lsio_value_source s = {.struct_size = sizeof s, .data = memory, .type = "<f8", .ndim = 2,
                                          .shape = shape};
      assert_int_equal(lsio_value_array(&s, &v, NULL), 0);
      return v;
    }
    case 7:
      for (size_t i = 0; i < n; i++) items[i] = build(r, deep - 1);
      assert_int_equal(lsio_value_list(items, n, &v, NULL), 0);
      return v;
    default:
      for (size_t i = 0; i < n; i++) {
        key_of(key, a, n - i);
        keys[i] = i % 2 ? lsio_value_int((int64_t)i - 2) : lsio_value_bytes(key, strlen(key));
        items[i] = build(r, deep - 1);
      }
      assert_int_equal(lsio_value_map(keys, items, n, &v, NULL), 0);
      return v;
  }
}

static void check(uint64_t *r, int deep, const lsio_value *v);

static void check_map(uint64_t *r, int deep, const struct lsio_value_view *x, const lsio_value *v, uint64_t a) {
  for (size_t i = 0; i < x->n; i++) {
    const lsio_value *item = NULL;
    char key[40];
    key_of(key, a, x->n - i);
    if (i % 2 == 0) item = lsio_value_find(v, key);
    for (size_t j = 0; i % 2 && j < x->n; j++)
      if (look(x->keys[j]).kind == LSIO_VALUE_INT && look(x->keys[j]).integer == (int64_t)i - 2) item = x->items[j];
    assert_non_null(item);
    check(r, deep, item);
  }
}

static void check(uint64_t *r, int deep, const lsio_value *v) {
  const uint64_t kind = next(r) % (deep ? 9 : 6), a = next(r);
  const size_t n = a % 5;
  static const uint32_t kinds[] = {LSIO_VALUE_NIL, LSIO_VALUE_BOOL, LSIO_VALUE_INT, LSIO_VALUE_UINT,
                                   LSIO_VALUE_DOUBLE, LSIO_VALUE_BYTES, LSIO_VALUE_ARRAY, LSIO_VALUE_LIST,
                                   LSIO_VALUE_MAP};
  const struct lsio_value_view x = look(v);
  assert_int_equal(x.kind, kinds[kind]);
  if (kind == 1) assert_int_equal(x.integer, a % 2);
  if (kind == 2) assert_true(x.integer == (int64_t)a);
  if (kind == 3) assert_true(x.natural == a);
  if (kind == 4) {
    const double d = bits_of(a);
    assert_memory_equal(&x.number, &d, sizeof d);
  }
  if (kind == 5) {
    assert_int_equal(x.length, n);
    assert_memory_equal(x.data, &a, n);
    assert_int_equal(((const char *)x.data)[n], 0);
  }
  if (kind >= 6) assert_int_equal(x.n, n);
  if (kind == 6) {
    assert_string_equal(x.type, "f64");
    assert_int_equal(x.ndim, 2);
    assert_int_equal(x.shape[1], n);
    assert_int_equal(x.length, 8 * n);
  }
  if (kind == 7)
    for (size_t i = 0; i < n; i++) check(r, deep - 1, x.items[i]);
  if (kind == 8) check_map(r, deep - 1, &x, v, a);
}

static void what_goes_in_comes_out(void **state) {
  (void)state;
  const uint64_t seed = (uint64_t)time(NULL) | 1;
  fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
  uint64_t r = seed * 0x9e3779b97f4a7c15u | 1, nested = 0;
  for (int i = 0; i < 20000; i++) {
    uint64_t again = r;
    lsio_value *v = build(&r, 6);
    check(&again, 6, v);
    assert_true(again == r);
    nested += lsio_value_kind(v) >= LSIO_VALUE_LIST;
    lsio_value_release(v);
  }
  assert_true(nested > 1000);
}

/* ---- limits and errors ---- */

/* `code`, and words that the message must have. */
static void failed(int rc, int code, const char *words, lsio_error **error) {
  assert_int_equal(rc, code);
  if (!strstr(lsio_error_message(*error), words)) fail_msg("%s", lsio_error_message(*error));
  lsio_error_free(*error);
}

static void depth_has_a_limit(void **state) {
  (void)state;
  lsio_value *v = lsio_value_int(7);
  for (int i = 0; i <= LSIO_VALUE_DEPTH_MAX; i++) {
    lsio_value *outer = NULL;
    const char *name = "x";
    assert_int_equal(i % 2 ? lsio_value_list(&v, 1, &outer, NULL) : lsio_value_record(&name, &v, 1, &outer, NULL),
                     0);
    v = outer;
  }
  lsio_value *kept = lsio_value_retain(v);
  lsio_error *error = NULL;
  failed(lsio_value_list(&v, 1, &v, &error), LSIO_ERR_USAGE, "more than 64 lists and maps", &error);
  lsio_value_release(kept);
}

/* Each level holds the one below twice: 2^25 in 25 nodes. */
static void shared_values_count_as_often_as_they_are_met(void **state) {
  (void)state;
  lsio_value *v = lsio_value_nil();
  int rc = 0, levels = 0;
  lsio_error *error = NULL;
  while (!rc) {
    lsio_value *twice[] = {v, lsio_value_retain(v)};
    rc = lsio_value_list(twice, 2, &v, &error);
    levels++;
  }
  assert_int_equal(levels, 24); /* 2^25 - 1 values, one level before 2^24 - 1 */
  failed(rc, LSIO_ERR_USAGE, "more than 16777216 values", &error);
}

static void large_lists(void **state) {
  (void)state;
  const size_t n = 1000000;
  lsio_value **items = malloc(n * sizeof *items), *v = NULL;
  for (size_t i = 0; i < n; i++) items[i] = lsio_value_int((int64_t)i << 33);
  assert_int_equal(lsio_value_list(items, n, &v, NULL), 0);
  free(items);
  struct lsio_value_view x = look(v);
  assert_int_equal(x.n, n);
  for (size_t i = 0; i < n; i += 1000) assert_true(look(x.items[i]).integer == (int64_t)i << 33);
  lsio_value_release(v);
  lsio_value *none = NULL;
  lsio_error *error = NULL;
  failed(lsio_value_list(NULL, SIZE_MAX / 8, &none, &error), LSIO_ERR_USAGE, "needs `out`", &error);
}

static void keys(void **state) {
  (void)state;
  lsio_value *out = NULL;
  lsio_error *error = NULL;
  lsio_value *five[] = {lsio_value_int(5), lsio_value_double(5)}, *nil[] = {lsio_value_nil(), lsio_value_nil()};
  failed(lsio_value_map(five, nil, 2, &out, &error), LSIO_ERR_USAGE, "the key 5 twice", &error);
  lsio_value *text[] = {lsio_value_bytes("5", 1), lsio_value_uint(5)};
  assert_int_equal(lsio_value_map(text, nil, 2, &out, NULL), 0);
  assert_int_equal(look(look(out).keys[0]).kind, LSIO_VALUE_UINT); /* numbers come first */
  assert_non_null(lsio_value_find(out, "5"));
  assert_null(lsio_value_find(out, "55"));
  assert_null(lsio_value_find(out, ""));
  assert_null(lsio_value_find(look(out).items[0], "5"));
  lsio_value_release(out);
  const char *same[] = {"a", "a"};
  failed(lsio_value_record(same, nil, 2, &out, &error), LSIO_ERR_USAGE, "the key 'a' twice", &error);
  lsio_value *bad[] = {lsio_value_double(NAN), lsio_value_int(((int64_t)1 << 53) + 1),
                       lsio_value_uint(((uint64_t)1 << 53) + 1), lsio_value_bool(1)};
  for (size_t i = 0; i < 4; i++)
    failed(lsio_value_map(&bad[i], nil, 1, &out, &error), LSIO_ERR_USAGE, "keys are bytes or numbers", &error);
}

static void numbers(void **state) {
  (void)state;
  static const struct {
    double d;
    bool fits_int, fits_uint;
  } rows[] = {{0, true, true}, {-0.0, true, true}, {5, true, true}, {-5, true, false}, {0.5, false, false},
              {0x1p62, true, true}, {0x1p63, false, true}, {-0x1p63, true, false}, {0x1p64, false, false},
              {NAN, false, false}, {INFINITY, false, false}, {-INFINITY, false, false}, {1e300, false, false}};
  int64_t i;
  uint64_t u;
  double d;
  for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
    lsio_value *v = lsio_value_double(rows[k].d);
    assert_int_equal(lsio_value_as_int(v, &i) == 0, rows[k].fits_int);
    if (rows[k].fits_int) assert_true((double)i == rows[k].d);
    assert_int_equal(lsio_value_as_uint(v, &u) == 0, rows[k].fits_uint);
    if (rows[k].fits_uint) assert_true((double)u == rows[k].d);
    assert_int_equal(lsio_value_as_double(v, &d), 0);
    lsio_value_release(v);
  }
  static const int64_t whole[] = {0, -1, ((int64_t)1 << 53) + 1, INT64_MAX, INT64_MIN, INT64_MAX - 1023};
  static const bool exact[] = {true, true, false, false, true, true};
  for (size_t k = 0; k < sizeof whole / sizeof *whole; k++) {
    lsio_value *v = lsio_value_int(whole[k]), *w = lsio_value_uint((uint64_t)whole[k]);
    assert_int_equal(lsio_value_as_double(v, &d) == 0, exact[k]);
    if (exact[k]) assert_true((int64_t)d == whole[k]);
    assert_int_equal(lsio_value_as_uint(v, &u) == 0, whole[k] >= 0);
    assert_int_equal(lsio_value_as_int(w, &i) == 0, whole[k] >= 0);
    assert_int_equal(lsio_value_as_double(w, &d) == 0, whole[k] == 0 || whole[k] == INT64_MIN ||
                                                          whole[k] == INT64_MAX - 1023);
    lsio_value_release(v);
    lsio_value_release(w);
  }
  assert_int_equal(lsio_value_as_double(lsio_value_nil(), &d), LSIO_ERR_USAGE);
}

/* ---- arrays ---- */

static void count_up(void *user) { ++*(int *)user; }

static void arrays_are_checked_and_released_once(void **state) {
  (void)state;
  _Alignas(8) static const char memory[64];
  const int64_t huge[2] = {INT64_MAX, 4}, negative[1] = {-1}, none[3] = {INT64_MAX, INT64_MAX, 0}, one[1] = {1};
  int released = 0;
  const struct lsio_value_source good = {.struct_size = sizeof good, .data = memory, .type = "f64", .ndim = 1,
                                         .shape = one, .release = count_up, .user = &released};
  struct lsio_value_source bad[7];
  for (size_t i = 0; i < 7; i++) bad[i] = good;
  bad[0].type = "f64be";
  bad[1].type = NULL;
  bad[2].ndim = 33;
  bad[3].shape = negative;
  bad[4].shape = huge;
  bad[4].ndim = 2;
  bad[5].data = memory + 4;
  bad[6].data = NULL;
  static const char *const words[] = {"native byte order", "of type ''", "33 dimensions", "is -1", "more elements",
                                      "not aligned", "has no data"};
  lsio_value *v = NULL;
  for (int i = 0; i < 7; i++) {
    lsio_error *error = NULL;
    failed(lsio_value_array(&bad[i], &v, &error), LSIO_ERR_USAGE, words[i], &error);
    assert_int_equal(released, i + 1);
  }
  assert_int_equal(lsio_value_array(&good, NULL, NULL), LSIO_ERR_USAGE);
  assert_int_equal(released, 8);
  struct lsio_value_source empty = good;
  empty.data = NULL;
  empty.ndim = 3;
  empty.shape = none;
  assert_int_equal(lsio_value_array(&empty, &v, NULL), 0);
  assert_int_equal(look(v).n, 0);
  lsio_value_release(v);
  assert_int_equal(released, 9);
  struct lsio_value_source scalar = good;
  scalar.ndim = 0;
  assert_int_equal(lsio_value_array(&scalar, &v, NULL), 0);
  assert_int_equal(look(v).n, 1);
  assert_ptr_equal(look(v).data, memory);
  lsio_value *list = NULL, *more = lsio_value_retain(v);
  assert_int_equal(lsio_value_list(&v, 1, &list, NULL), 0);
  lsio_value_release(list);
  assert_int_equal(released, 9);
  lsio_value_release(more);
  assert_int_equal(released, 10);
  struct lsio_value_view shorter = {.struct_size = offsetof(struct lsio_value_view, natural), .natural = 77};
  lsio_value_get(lsio_value_bool(1), &shorter); /* a program of an older header */
  assert_int_equal(shorter.integer, 1);
  assert_int_equal(shorter.natural, 77);
}

/* The N-th allocation fails, of a record that holds all kinds; the array is released once in any case. */
static void no_memory(void **state) {
  (void)state;
  static const double memory[3] = {1, 2, 3};
  const int64_t shape[1] = {3};
  int failures = 0;
  bool through = false;
  for (uint64_t n = 1; !through; n++) {
    int released = 0;
    const struct lsio_value_source s = {.struct_size = sizeof s, .data = memory, .type = "f64", .ndim = 1,
                                        .shape = shape, .release = count_up, .user = &released};
    lsio_error *error = NULL;
    const uint64_t calls = lsi_mem_calls();
    lsi_mem_fail_nth(n, false);
    lsio_value *items[6] = {lsio_value_int(1), lsio_value_uint(2), lsio_value_double(3), lsio_value_bytes("4", 1)};
    lsio_value_array(&s, &items[4], NULL);
    lsio_value *list[2] = {lsio_value_int(1), lsio_value_int(2)}, *out = NULL;
    lsio_value_list(list, 2, &items[5], NULL);
    static const char *const names[6] = {"a", "b", "c", "d", "e", "f"};
    const int rc = lsio_value_record(names, items, 6, &out, &error);
    through = lsi_mem_calls() - calls < n;
    lsi_mem_fail_nth(0, false);
    if (rc) assert_int_equal(rc, LSIO_ERR_NOMEM);
    if (rc) assert_int_equal(lsio_error_code(error), LSIO_ERR_NOMEM);
    failures += rc != 0;
    lsio_error_free(error);
    if (!rc) lsio_value_release(out);
    assert_int_equal(released, 1);
  }
  assert_int_equal(failures, 17);
}

/* ---- threads ---- */

static void *share(void *value) {
  for (int i = 0; i < 20000; i++) {
    lsio_value *mine = lsio_value_retain(value), *list = NULL;
    if (!lsio_value_list(&mine, 1, &list, NULL)) lsio_value_release(list);
  }
  lsio_value_release(value);
  return NULL;
}

static void threads_share_values(void **state) {
  (void)state;
  int released = 0;
  const struct lsio_value_source s = {.struct_size = sizeof s, .data = &s, .type = "u8", .release = count_up,
                                      .user = &released};
  lsio_value *v = NULL;
  assert_int_equal(lsio_value_array(&s, &v, NULL), 0);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, share, lsio_value_retain(v)), 0);
  lsio_value_release(v);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  assert_int_equal(released, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_goes_in_comes_out),
      TEST(depth_has_a_limit),
      TEST(shared_values_count_as_often_as_they_are_met),
      TEST(large_lists),
      TEST(keys),
      TEST(numbers),
      TEST(arrays_are_checked_and_released_once),
      TEST(no_memory),
      TEST(threads_share_values),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
