/* The kernels that write an element for each they read: cast, scale_offset, clip, fill,
 * fill_sentinel, fill_nan, byteswap. One long block is checked element by element against a
 * scalar rendering of the rule; then every level, length, place and in-place call must give its
 * beginning. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_data.h"

enum { SHORT = 130, LONG = 3000 };

static const struct lsi_kernels *const *levels;
static size_t n_levels;
static struct kd_buffer sources, results;

/* What a call does: f(src, n, dst) with two numbers; returns the kernel's own result or 0. */
typedef double (*map_call)(const struct lsi_kernels *k, enum lsi_type from, enum lsi_type to,
                           const void *src, size_t n, void *dst, double a, double b);
/* Stores the element that `v` has to become. Counts a replacement by returning 1. */
typedef int (*map_rule)(enum lsi_type from, enum lsi_type to, struct kd_value v, double a, double b,
                        void *dst);

static double now(const struct lsi_kernels *k, map_call call, enum lsi_type from, enum lsi_type to,
                  const unsigned char *data, size_t n, size_t which, bool in_place, double a,
                  double b, unsigned char **dst) {
  size_t ss = lsi_type_size(from), ds = lsi_type_size(to);
  size_t sgap = kd_gap(from, which), dgap = kd_gap(to, (which * 7 + 3) % KD_GAPS);
  unsigned char *src = kd_at(sources, n * ss, sgap);
  *dst = in_place ? src : kd_at(results, n * ds, dgap);
  memcpy(src, data, n * ss);
  if (in_place)
    sgap = dgap = sgap < 64 ? sgap : 64;
  kd_guard(*dst, n * (in_place ? ss : ds), dgap);
  double r = call(k, from, to, src, n, *dst, a, b);
  if (!kd_guarded(*dst, n * (in_place ? ss : ds), dgap))
    fail_msg("level %s, %s to %s, n %zu: wrote outside", k->level, lsi_type_name(from),
             lsi_type_name(to), n);
  if (!in_place && memcmp(src, data, n * ss) != 0)
    fail_msg("level %s, %s to %s, n %zu: changed src", k->level, lsi_type_name(from),
             lsi_type_name(to), n);
  return r;
}

/* Results as numbers: NaN equals NaN, zeros keep their sign. */
static bool same_element(enum lsi_type type, const void *a, const void *b, size_t i) {
  size_t size = lsi_type_size(type);
  if (memcmp((const char *)a + i * size, (const char *)b + i * size, size) == 0)
    return true;
  struct kd_value x = kd_load(type, a, i), y = kd_load(type, b, i);
  return x.is_float && x.f != x.f && y.f != y.f;
}

static void check(map_call call, map_rule rule, enum lsi_type from, enum lsi_type to,
                  enum kd_kind kind, double a, double b) {
  static unsigned char data[LONG * 8], want[LONG * 8], block[LONG * 8];
  static int replaced[LONG + 1];
  size_t ss = lsi_type_size(from), ds = lsi_type_size(to);
  unsigned char *dst;
  kd_fill(kind, from, data, LONG);
  for (size_t i = 0; i < LONG; i++)
    replaced[i + 1] = replaced[i] + rule(from, to, kd_load(from, data, i), a, b, want + i * ds);
  for (size_t l = 0; l < n_levels; l++) {
    double r = now(levels[l], call, from, to, data, LONG, l, false, a, b, &dst);
    assert_true(r == replaced[LONG]);
    for (size_t i = 0; i < LONG; i++)
      if (!same_element(to, dst, want, i))
        fail_msg("level %s, %s to %s, data %d, a %g, b %g: element %zu of %.17g: %.17g, not %.17g",
                 levels[l]->level, lsi_type_name(from), lsi_type_name(to), (int)kind, a, b, i,
                 kd_double(kd_load(from, data, i)), kd_double(kd_load(to, dst, i)),
                 kd_double(kd_load(to, want, i)));
    if (l == 0)
      memcpy(block, dst, LONG * ds);
    else if (memcmp(block, dst, LONG * ds) != 0)
      fail_msg("level %s, %s to %s: not the bits of the first level", levels[l]->level,
               lsi_type_name(from), lsi_type_name(to));
    if (ds <= ss) {
      now(levels[l], call, from, to, data, LONG, l + 1, true, a, b, &dst);
      if (memcmp(block, dst, LONG * ds) != 0)
        fail_msg("level %s, %s to %s: other bits in place", levels[l]->level, lsi_type_name(from),
                 lsi_type_name(to));
    }
    for (size_t n = 0; n <= SHORT; n++)
      for (size_t g = n % 3; g < KD_GAPS; g += 3) {
        r = now(levels[l], call, from, to, data, n, g, ds <= ss && g % 2, a, b, &dst);
        if (r != replaced[n] || memcmp(block, dst, n * ds) != 0)
          fail_msg("level %s, %s to %s, n %zu, place %zu: not the beginning of the long block",
                   levels[l]->level, lsi_type_name(from), lsi_type_name(to), n, g);
      }
  }
}

/* The conversion rule, from an exact integer or a floating-point number. */
static void store(enum lsi_type to, struct kd_value v, void *dst) {
  if (to == LSI_F32) {
    float f = v.is_float ? (float)v.f : (float)v.i;
    memcpy(dst, &f, sizeof f);
    return;
  }
  if (to == LSI_F64) {
    double d = v.is_float ? v.f : (double)v.i;
    memcpy(dst, &d, sizeof d);
    return;
  }
  kd_wide x = v.i, least = kd_least(to), greatest = kd_greatest(to);
  if (v.is_float) {
    double f = v.f != v.f ? 0 : v.f;
    f = f < -0x1p70 ? -0x1p70 : f > 0x1p70 ? 0x1p70 : f;
    double down = floor(f);
    x = (kd_wide)down;
    if (f - down > 0.5 || (f - down == 0.5 && x % 2 != 0))
      x++;
  }
  x = x < least ? least : x > greatest ? greatest : x;
  memcpy(dst, &x, lsi_type_size(to)); /* little-endian */
}

static struct kd_value number(double f) { return (struct kd_value){true, 0, f}; }

static double cast_call(const struct lsi_kernels *k, enum lsi_type from, enum lsi_type to,
                        const void *src, size_t n, void *dst, double a, double b) {
  (void)a;
  (void)b;
  k->cast[from][to](src, n, dst);
  return 0;
}

static int cast_rule(enum lsi_type from, enum lsi_type to, struct kd_value v, double a, double b,
                     void *dst) {
  (void)from;
  (void)a;
  (void)b;
  store(to, v, dst);
  return 0;
}

static void test_cast(void **state) {
  (void)state;
  for (int from = 0; from < LSI_TYPE_COUNT; from++)
    for (int to = 0; to < LSI_TYPE_COUNT; to++)
      for (int kind = 0; kind < KD_KINDS; kind++)
        check(cast_call, cast_rule, (enum lsi_type)from, (enum lsi_type)to, (enum kd_kind)kind, 0,
              0);
}

static double scale_call(const struct lsi_kernels *k, enum lsi_type from, enum lsi_type to,
                         const void *src, size_t n, void *dst, double a, double b) {
  k->scale_offset[from][to](src, n, dst, a, b);
  return 0;
}

static bool narrow(enum lsi_type t) { return t <= LSI_U16 || t == LSI_F32; }

static int scale_rule(enum lsi_type from, enum lsi_type to, struct kd_value v, double a, double b,
                      void *dst) {
  if (narrow(from) && narrow(to)) {
    volatile float x = (float)kd_double(v);
    x = x * (float)a;
    x = x + (float)b;
    store(to, number((double)x), dst);
  } else {
    volatile double x = kd_double(v);
    x = x * a;
    x = x + b;
    store(to, number(x), dst);
  }
  return 0;
}

static void test_scale_offset(void **state) {
  (void)state;
  static const double pairs[][2] = {{0.1, -3.7}, {1, 0}, {-1e5, 0.5}, {INFINITY, 1}, {NAN, 0}};
  for (int from = 0; from < LSI_TYPE_COUNT; from++)
    for (int to = 0; to < LSI_TYPE_COUNT; to++)
      for (size_t i = 0; i < LSI_COUNTOF(pairs); i++)
        check(scale_call, scale_rule, (enum lsi_type)from, (enum lsi_type)to,
              (enum kd_kind)((i + (size_t)from) % KD_KINDS), pairs[i][0], pairs[i][1]);
}

/* NaN times NaN: the elements' own payloads must not come through. */
static void test_scale_by_nan(void **state) {
  (void)state;
  enum { N = 500 };
  double data[N], dst[N], nan = (double)NAN;
  kd_fill(KD_SPECIAL, LSI_F64, data, N);
  for (size_t l = 0; l < n_levels; l++)
    for (int i = 0; i < 2; i++) {
      levels[l]->scale_offset[LSI_F64][LSI_F64](data, N, dst, i ? 1 : -nan, i ? -nan : 1);
      for (size_t j = 0; j < N; j++)
        assert_memory_equal(&dst[j], &nan, sizeof nan);
    }
}

static double clip_call(const struct lsi_kernels *k, enum lsi_type from, enum lsi_type to,
                        const void *src, size_t n, void *dst, double a, double b) {
  (void)to;
  k->clip[from](src, n, dst, a, b);
  return 0;
}

static int clip_rule(enum lsi_type from, enum lsi_type to, struct kd_value v, double a, double b,
                     void *dst) {
  if (v.is_float) {
    double lo = from == LSI_F32 ? (double)(float)a : a, hi = from == LSI_F32 ? (double)(float)b : b;
    if (v.f < lo)
      v.f = lo;
    if (v.f > hi)
      v.f = hi;
    store(to, v, dst);
    return 0;
  }
  unsigned char lo[8], hi[8];
  store(to, number(ceil(a)), lo);
  store(to, number(floor(b)), hi);
  if (a == a && v.i < kd_load(to, lo, 0).i)
    v.i = kd_load(to, lo, 0).i;
  if (b == b && v.i > kd_load(to, hi, 0).i)
    v.i = kd_load(to, hi, 0).i;
  store(to, v, dst);
  return 0;
}

static void test_clip(void **state) {
  (void)state;
  static const double pairs[][2] = {{-10.5, 20.5}, {0, INFINITY}, {NAN, 3},      {1, NAN},
                                    {5, -5},       {-1e30, 1e18}, {0.1, 100.0}};
  for (int type = 0; type < LSI_TYPE_COUNT; type++)
    for (int kind = 0; kind < KD_KINDS; kind++)
      for (size_t i = 0; i < LSI_COUNTOF(pairs); i++)
        check(clip_call, clip_rule, (enum lsi_type)type, (enum lsi_type)type, (enum kd_kind)kind,
              pairs[i][0], pairs[i][1]);
}

static double fill_call(const struct lsi_kernels *k, enum lsi_type from, enum lsi_type to,
                        const void *src, size_t n, void *dst, double a, double b) {
  (void)from;
  (void)src;
  (void)b;
  k->fill[to](dst, n, a);
  return 0;
}

static int fill_rule(enum lsi_type from, enum lsi_type to, struct kd_value v, double a, double b,
                     void *dst) {
  (void)from;
  (void)v;
  (void)b;
  store(to, number(a), dst);
  return 0;
}

static void test_fill(void **state) {
  (void)state;
  static const double values[] = {0, -0.0, 2.5, -3.5, 1e30, -1e30, NAN, 200.5, 0x1p63};
  for (int type = 0; type < LSI_TYPE_COUNT; type++)
    for (size_t i = 0; i < LSI_COUNTOF(values); i++)
      check(fill_call, fill_rule, (enum lsi_type)type, (enum lsi_type)type, KD_BITS, values[i], 0);
}

static double sentinel_call(const struct lsi_kernels *k, enum lsi_type from, enum lsi_type to,
                            const void *src, size_t n, void *dst, double a, double b) {
  (void)to;
  return k->fill_sentinel[from](src, n, dst, a, b);
}

static int sentinel_rule(enum lsi_type from, enum lsi_type to, struct kd_value v, double a,
                         double b, void *dst) {
  (void)from;
  bool hit = v.is_float ? v.f == a : a == floor(a) && fabs(a) < 0x1p70 && v.i == (kd_wide)a;
  store(to, hit ? number(b) : v, dst);
  return hit;
}

static void test_fill_sentinel(void **state) {
  (void)state;
  static const double pairs[][2] = {{0, 77.5}, {-1, 1e9},       {0.5, 3},  {NAN, 1}, {INFINITY, 0},
                                    {2, NAN},  {0x1p63, -1},    {0.1, 9},  {1e300, 4},
                                    {-128, 5}, {9007199254740993.0, 6}, {-0x1p63, 7}};
  for (int type = 0; type < LSI_TYPE_COUNT; type++)
    for (int kind = 0; kind < KD_KINDS; kind++)
      for (size_t i = 0; i < LSI_COUNTOF(pairs); i++)
        check(sentinel_call, sentinel_rule, (enum lsi_type)type, (enum lsi_type)type,
              (enum kd_kind)kind, pairs[i][0], pairs[i][1]);
}

static double nan_call(const struct lsi_kernels *k, enum lsi_type from, enum lsi_type to,
                       const void *src, size_t n, void *dst, double a, double b) {
  (void)to;
  (void)b;
  return k->fill_nan[from](src, n, dst, a);
}

static int nan_rule(enum lsi_type from, enum lsi_type to, struct kd_value v, double a, double b,
                    void *dst) {
  (void)from;
  (void)b;
  bool hit = v.is_float && v.f != v.f;
  store(to, hit ? number(a) : v, dst);
  return hit;
}

static void test_fill_nan(void **state) {
  (void)state;
  for (int type = 0; type < LSI_TYPE_COUNT; type++)
    for (int kind = 0; kind < KD_KINDS; kind++)
      check(nan_call, nan_rule, (enum lsi_type)type, (enum lsi_type)type, (enum kd_kind)kind, 0.1,
            0);
}

static double swap_call(const struct lsi_kernels *k, enum lsi_type from, enum lsi_type to,
                        const void *src, size_t n, void *dst, double a, double b) {
  (void)to;
  (void)a;
  (void)b;
  k->byteswap(src, n, dst, lsi_type_size(from));
  return 0;
}

static int swap_rule(enum lsi_type from, enum lsi_type to, struct kd_value v, double a, double b,
                     void *dst) {
  (void)to;
  (void)a;
  (void)b;
  unsigned char bytes[8], *out = dst;
  size_t size = lsi_type_size(from);
  store(from, v, bytes);
  for (size_t i = 0; i < size; i++)
    out[i] = bytes[size - 1 - i];
  return 0;
}

static void test_byteswap(void **state) {
  (void)state;
  for (int type = 0; type < LSI_F32; type++) /* floats are swapped as integers of their size */
    check(swap_call, swap_rule, (enum lsi_type)type, (enum lsi_type)type, KD_BITS, 0, 0);
}

int main(void) {
  levels = kd_levels(&n_levels);
  sources = kd_buffer_new();
  results = kd_buffer_new();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cast),          cmocka_unit_test(test_scale_offset),
      cmocka_unit_test(test_scale_by_nan),  cmocka_unit_test(test_clip),
      cmocka_unit_test(test_fill),
      cmocka_unit_test(test_fill_sentinel), cmocka_unit_test(test_fill_nan),
      cmocka_unit_test(test_byteswap),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  kd_buffer_free(sources);
  kd_buffer_free(results);
  return failed;
}
