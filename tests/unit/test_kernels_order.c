/* The kernels that put elements into another order, against loops over single bytes; every level,
 * length, place and in-place call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_data.h"

static const struct lsi_kernels *const *levels;
static size_t n_levels;
static struct kd_buffer sources, results;

/* The size of element and the number of elements to test: 0 .. 300 and a few that are long. */
#define EACH_LENGTH(n, size)                    \
  for (size_t i_ = 0, n = 0; i_ < 306; i_++)    \
    if (n = i_ < 301 ? i_ : (size_t[]){511, 1000, 4096, 4099, 9001}[i_ - 301], n * size <= KD_ROOM / 2)

static void test_flip(void **state) {
  (void)state;
  static unsigned char data[9001 * 8], want[9001 * 8];
  kd_fill(KD_BITS, LSI_U8, data, sizeof data);
  for (size_t size = 1; size <= 8; size *= 2)
    EACH_LENGTH(n, size) {
      for (size_t i = 0; i < n; i++)
        memcpy(want + i * size, data + (n - 1 - i) * size, size);
      for (size_t l = 0; l < n_levels; l++)
        for (size_t gap = 0; gap < 4; gap++) {
          unsigned char *p = kd_at(sources, n * size, gap * 5), *q = kd_at(results, n * size, gap * 3);
          memcpy(p, data, n * size);
          kd_guard(q, n * size, gap * 3);
          levels[l]->flip(p, n, q, size);
          if (memcmp(q, want, n * size) != 0 || !kd_guarded(q, n * size, gap * 3))
            fail_msg("level %s, size %zu, n %zu", levels[l]->level, size, n);
          levels[l]->flip(p, n, p, size);
          if (memcmp(p, want, n * size) != 0)
            fail_msg("level %s, size %zu, n %zu: in place", levels[l]->level, size, n);
        }
    }
}

static void differences(enum lsi_type type, const unsigned char *src, size_t n, unsigned char *dst) {
  size_t size = lsi_type_size(type);
  memcpy(dst, src, n ? size : 0);
  for (size_t i = 1; i < n; i++) {
    struct kd_value x = kd_load(type, src, i), y = kd_load(type, src, i - 1);
    if (!kd_is_float(type)) {
      kd_wide d = x.i - y.i;
      memcpy(dst + i * size, &d, size); /* little-endian */
      continue;
    }
    double d = x.f - y.f; /* of floats: exact enough to be rounded again */
    kd_store_float(type, d, dst + i * size);
  }
}

static void sums(enum lsi_type type, const unsigned char *src, size_t n, unsigned char *dst) {
  size_t size = lsi_type_size(type);
  memcpy(dst, src, n ? size : 0);
  kd_wide sum = n ? kd_load(type, src, 0).i : 0;
  double f = n ? kd_load(type, src, 0).f : 0;
  for (size_t i = 1; i < n; i++) {
    struct kd_value x = kd_load(type, src, i);
    sum = (int64_t)((uint64_t)sum + (uint64_t)x.i);
    f = type == LSI_F32 ? (double)(float)(f + x.f) : f + x.f;
    if (kd_is_float(type))
      kd_store_float(type, f, dst + i * size);
    else
      memcpy(dst + i * size, &sum, size);
  }
}

typedef void (*oracle)(enum lsi_type type, const unsigned char *src, size_t n, unsigned char *dst);

static void each_delta(bool back, oracle f) {
  static unsigned char data[9001 * 8], want[9001 * 8];
  for (int t = 0; t < LSI_TYPE_COUNT; t++)
    for (int kind = 0; kind < KD_KINDS; kind++) {
      enum lsi_type type = (enum lsi_type)t;
      size_t size = lsi_type_size(type);
      EACH_LENGTH(n, size) {
        kd_fill((enum kd_kind)kind, type, data, n);
        f(type, data, n, want);
        for (size_t l = 0; l < n_levels; l++) {
          size_t gap = (n + l) % 19;
          unsigned char *p = kd_at(sources, n * size, kd_gap(type, n % KD_GAPS));
          unsigned char *q = kd_at(results, n * size, gap);
          memcpy(p, data, n * size);
          kd_guard(q, n * size, gap);
          (back ? levels[l]->undelta[t] : levels[l]->delta[t])(p, n, q);
          if (memcmp(q, want, n * size) != 0 || !kd_guarded(q, n * size, gap))
            fail_msg("level %s, type %s, n %zu", levels[l]->level, lsi_type_name(type), n);
          (back ? levels[l]->undelta[t] : levels[l]->delta[t])(p, n, p);
          if (memcmp(p, want, n * size) != 0)
            fail_msg("level %s, type %s, n %zu: in place", levels[l]->level, lsi_type_name(type), n);
        }
      }
    }
}

static void test_delta(void **state) {
  (void)state;
  each_delta(false, differences);
}

static void test_undelta(void **state) {
  (void)state;
  each_delta(true, sums);
}

static void transpose_one(const unsigned char *data, size_t size, size_t rows, size_t cols) {
  static unsigned char want[KD_ROOM / 2];
  size_t bytes = rows * cols * size;
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < cols; c++)
      memcpy(want + (c * rows + r) * size, data + (r * cols + c) * size, size);
  for (size_t l = 0; l < n_levels; l++) {
    size_t gap = (rows + cols * 3 + l) % 17;
    unsigned char *p = kd_at(sources, bytes, gap * 2 % 17), *q = kd_at(results, bytes, gap);
    memcpy(p, data, bytes);
    kd_guard(q, bytes, gap);
    levels[l]->transpose(p, rows, cols, q, size);
    if (memcmp(q, want, bytes) != 0 || !kd_guarded(q, bytes, gap))
      fail_msg("level %s, size %zu, %zu x %zu", levels[l]->level, size, rows, cols);
  }
}

static void test_transpose(void **state) {
  (void)state;
  static unsigned char data[KD_ROOM / 2];
  kd_fill(KD_BITS, LSI_U8, data, sizeof data);
  for (size_t size = 1; size <= 8; size *= 2) {
    for (size_t rows = 0; rows <= 40; rows++)
      for (size_t cols = 0; cols <= 40; cols++)
        transpose_one(data, size, rows, cols);
    static const size_t shapes[][2] = {{64, 64}, {128, 100}, {1, 9000}, {9000, 1}, {130, 65}, {67, 129}, {3, 1000}};
    for (size_t i = 0; i < LSI_COUNTOF(shapes); i++)
      transpose_one(data, size, shapes[i][0], shapes[i][1]);
  }
}

static void shuffle_one(const unsigned char *data, size_t size, size_t n) {
  static unsigned char want[9001];
  size_t items = n / size;
  for (size_t i = 0; i < n; i++)
    want[i < items * size ? i % size * items + i / size : i] = data[i];
  for (size_t l = 0; l < n_levels; l++) {
    size_t gap = (n + size + l) % 17;
    unsigned char *p = kd_at(sources, n, gap * 5 % 17), *q = kd_at(results, n, gap);
    memcpy(p, data, n);
    kd_guard(q, n, gap);
    levels[l]->shuffle(p, n, q, size);
    if (memcmp(q, want, n) != 0 || !kd_guarded(q, n, gap))
      fail_msg("level %s, shuffle, size %zu, n %zu", levels[l]->level, size, n);
    memcpy(p, want, n);
    levels[l]->unshuffle(p, n, q, size);
    if (memcmp(q, data, n) != 0 || !kd_guarded(q, n, gap))
      fail_msg("level %s, unshuffle, size %zu, n %zu", levels[l]->level, size, n);
  }
}

static void test_shuffle(void **state) {
  (void)state;
  static unsigned char data[9001];
  static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 24, 32, 255, 5000};
  kd_fill(KD_BITS, LSI_U8, data, sizeof data);
  for (size_t i = 0; i < LSI_COUNTOF(sizes); i++)
    EACH_LENGTH(n, 1)
      shuffle_one(data, sizes[i], n);
}

/* A random box, mostly one that fits, against one element at a time. */
static void strided_one(const unsigned char *data, unsigned round) {
  static unsigned char want[4096];
  size_t size = (size_t)1 << round % 4;
  enum { N = 400 };
  struct lsi_strided b = {.ndim = (uint32_t)(kd_random() % 5), .from_n = N, .to_n = N};
  int64_t to = 1;
  b.from_at = (int64_t)(kd_random() % 100);
  for (uint32_t d = b.ndim; d-- > 0;) {
    b.shape[d] = (int64_t)(kd_random() % (round % 11 ? 5 : 1000));
    b.from[d] = (int64_t)(kd_random() % 31) - 5;
    b.to[d] = kd_random() % 3 ? to : -to;
    if (b.to[d] < 0 && b.shape[d] > 0)
      b.to_at += to * (b.shape[d] - 1);
    if (kd_random() % 4 == 0)
      b.from[d] = to; /* so that dimensions merge */
    to *= b.shape[d] + (int64_t)(kd_random() % 2);
  }
  if (round % 50 == 0 && b.ndim)
    b.from[0] = INT64_MAX / 2 + (int64_t)(kd_random() % 3) - 1, b.shape[0] = 3;
  memset(want, 0x33, N * size);
  int expected = 0;
  bool empty = false;
  for (uint32_t d = 0; d < b.ndim; d++)
    empty |= b.shape[d] == 0;
  for (int64_t e = 0; e < 10000 && !empty && !expected; e++) {
    kd_wide i = b.from_at, j = b.to_at, rest = e, all = 1;
    for (uint32_t d = b.ndim; d-- > 0; rest /= b.shape[d]) {
      i += (kd_wide)b.from[d] * (rest % b.shape[d]);
      j += (kd_wide)b.to[d] * (rest % b.shape[d]);
      all *= b.shape[d];
    }
    if (e >= all)
      break;
    expected = i < 0 || i >= N ? 1 : j < 0 || j >= N ? 2 : 0;
    if (!expected)
      memcpy(want + (size_t)j * size, data + (size_t)i * size, size);
  }
  for (size_t l = 0; l < n_levels; l++) {
    unsigned char *p = kd_at(sources, N * size, 0), *q = kd_at(results, N * size, 5);
    memcpy(p, data, N * size);
    memset(q, 0x33, N * size);
    kd_guard(q, N * size, 5);
    int got = levels[l]->copy_strided(p, q, size, &b);
    if ((got != 0) != (expected != 0) || !kd_guarded(q, N * size, 5))
      fail_msg("round %u: %d, not %d", round, got, expected);
    for (size_t i = 0; i < N * size; i++)
      if (q[i] != (got ? 0x33 : want[i]))
        fail_msg("round %u, size %zu, byte %zu", round, size, i);
  }
}

static void test_strided(void **state) {
  (void)state;
  static unsigned char data[4096];
  kd_fill(KD_BITS, LSI_U8, data, sizeof data);
  for (unsigned round = 0; round < 20000; round++)
    strided_one(data, round);
  struct lsi_strided b = {.ndim = 9, .from_n = 1, .to_n = 1};
  assert_int_equal(levels[0]->copy_strided(data, data + 1, 1, &b), 3);
  b = (struct lsi_strided){.ndim = 1, .shape = {-1}, .from_n = 1, .to_n = 1};
  assert_int_equal(levels[0]->copy_strided(data, data + 1, 1, &b), 3);
}

int main(void) {
  levels = kd_levels(&n_levels);
  sources = kd_buffer_new();
  results = kd_buffer_new();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_flip),      cmocka_unit_test(test_delta),
      cmocka_unit_test(test_undelta),   cmocka_unit_test(test_transpose),
      cmocka_unit_test(test_shuffle),   cmocka_unit_test(test_strided),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  kd_buffer_free(sources);
  kd_buffer_free(results);
  return failed;
}
