/* add, sub, mul, div and add_valid against one element at a time; every level, type, length and
 * place, and with dst at either operand. Results must have the very bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_data.h"

enum { SHORT = 140, LONG = 4099 };
enum { ADD, SUB, MUL, DIV_F32, DIV_F64, OPS };

static const struct lsi_kernels *const *levels;
static size_t n_levels;
static struct kd_buffer firsts, seconds, results;
static unsigned char a[LONG * 8], b[LONG * 8], want[LONG * 8];

static double op_double(int op, double x, double y) {
  return op == ADD ? x + y : op == SUB ? x - y : op == MUL ? x * y : x / y;
}

/* Sums, differences, products and quotients of floats, computed in double, are exact enough to
 * round once more: the double has more than twice the bits. */
static void element(enum lsi_type type, enum lsi_type to, int op, size_t i) {
  struct kd_value x = kd_load(type, a, i), y = kd_load(type, b, i);
  unsigned char *dst = want + i * lsi_type_size(to);
  if (kd_is_float(type) || op >= DIV_F32) {
    volatile double r = op_double(op, kd_double(x), kd_double(y));
    kd_store_float(to, r, dst);
    return;
  }
  /* Products of 64-bit elements need 128 bits, unsigned: modulo 2^64 that is right. */
  __extension__ typedef unsigned __int128 wide;
  wide r = op == ADD ? (wide)x.i + (wide)y.i : op == SUB ? (wide)x.i - (wide)y.i
                                                         : (wide)x.i * (wide)y.i;
  memcpy(dst, &r, lsi_type_size(type)); /* little-endian */
}

static void run(const struct lsi_kernels *k, enum lsi_type type, int op, const void *x, size_t n,
                void *dst, const void *y) {
  void (*const f[])(const void *, size_t, void *, const void *) = {
      k->add[type], k->sub[type], k->mul[type], k->div_f32[type], k->div_f64[type]};
  f[op](x, n, dst, y);
}

/* way: dst apart, at the first operand, at the second. */
static void one(enum lsi_type type, enum lsi_type to, int op, size_t n, size_t l, unsigned way) {
  size_t size = lsi_type_size(type), dsize = lsi_type_size(to), gap = (n + l) % 9;
  unsigned char *x = kd_at(firsts, n * size, kd_gap(type, n % KD_GAPS));
  unsigned char *y = kd_at(seconds, n * size, kd_gap(type, (n * 3 + l) % KD_GAPS));
  unsigned char *dst = way == 0 || dsize > size ? kd_at(results, n * dsize, gap) : way == 1 ? x : y;
  bool apart = dst != x && dst != y;
  memcpy(x, a, n * size);
  memcpy(y, b, n * size);
  if (apart)
    kd_guard(dst, n * dsize, gap);
  run(levels[l], type, op, x, n, dst, y);
  if (apart && !kd_guarded(dst, n * dsize, gap))
    fail_msg("level %s, type %s, op %d, n %zu: wrote outside", levels[l]->level,
             lsi_type_name(type), op, n);
  for (size_t i = 0; i < n; i++)
    if (memcmp(dst + i * dsize, want + i * dsize, dsize) != 0)
      fail_msg("level %s, type %s, op %d, n %zu, way %u: element %zu: %g, %g: %.17g, not %.17g",
               levels[l]->level, lsi_type_name(type), op, n, way, i,
               kd_double(kd_load(type, a, i)), kd_double(kd_load(type, b, i)),
               kd_double(kd_load(to, dst, i)), kd_double(kd_load(to, want, i)));
}

static void test_pairs(void **state) {
  (void)state;
  for (int t = 0; t < LSI_TYPE_COUNT; t++)
    for (int kind = 0; kind < KD_KINDS; kind++)
      for (int op = 0; op < OPS; op++) {
        enum lsi_type type = (enum lsi_type)t;
        enum lsi_type to = op == DIV_F32 ? LSI_F32 : op == DIV_F64 ? LSI_F64 : type;
        kd_fill((enum kd_kind)kind, type, a, LONG);
        kd_fill((enum kd_kind)kind, type, b, LONG);
        for (size_t i = 0; i < LONG; i++)
          element(type, to, op, i);
        for (size_t i = 0; i <= SHORT + 1; i++)
          for (size_t l = 0; l < n_levels; l++)
            for (unsigned way = 0; way < 3; way++)
              one(type, to, op, i <= SHORT ? i : LONG, l, way);
      }
}

static void valid_one(enum lsi_type type, size_t n, size_t l, const double *sums,
                      const double *counts, const double *new_sums, const double *new_counts) {
  size_t size = lsi_type_size(type), gap = (n + l) % 9;
  unsigned char *p = kd_at(firsts, n * size, kd_gap(type, n % KD_GAPS));
  unsigned char *s = kd_at(seconds, n * 8, gap), *c = kd_at(results, n * 8, gap);
  double found = 0;
  memcpy(p, a, n * size);
  memcpy(s, sums, n * 8);
  memcpy(c, counts, n * 8);
  kd_guard(s, n * 8, gap);
  kd_guard(c, n * 8, gap);
  for (size_t i = 0; i < n; i++)
    found += new_counts[i] - counts[i];
  double got = levels[l]->add_valid[type](p, n, s, c);
  if (got != found || memcmp(s, new_sums, n * 8) != 0 || memcmp(c, new_counts, n * 8) != 0 ||
      !kd_guarded(s, n * 8, gap) || !kd_guarded(c, n * 8, gap))
    fail_msg("level %s, type %s, n %zu: %g, not %g", levels[l]->level, lsi_type_name(type), n, got,
             found);
}

static void test_add_valid(void **state) {
  (void)state;
  static double sums[LONG], counts[LONG], new_sums[LONG], new_counts[LONG];
  for (int t = 0; t < LSI_TYPE_COUNT; t++)
    for (int kind = 0; kind < KD_KINDS; kind++) {
      enum lsi_type type = (enum lsi_type)t;
      kd_fill((enum kd_kind)kind, type, a, LONG);
      kd_fill(KD_SPECIAL, LSI_F64, sums, LONG);
      for (size_t i = 0; i < LONG; i++) {
        double x = kd_double(kd_load(type, a, i));
        volatile double sum = sums[i] + x;
        counts[i] = (double)(i % 5);
        new_sums[i] = x != x ? sums[i] : sum == sum ? sum : (double)NAN;
        new_counts[i] = counts[i] + (x == x);
      }
      for (size_t i = 0; i <= SHORT + 1; i++)
        for (size_t l = 0; l < n_levels; l++)
          valid_one(type, i <= SHORT ? i : LONG, l, sums, counts, new_sums, new_counts);
    }
}

int main(void) {
  levels = kd_levels(&n_levels);
  firsts = kd_buffer_new();
  seconds = kd_buffer_new();
  results = kd_buffer_new();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pairs),
      cmocka_unit_test(test_add_valid),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  kd_buffer_free(firsts);
  kd_buffer_free(seconds);
  kd_buffer_free(results);
  return failed;
}
