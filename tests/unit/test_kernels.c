/* The kernels that reduce: sum, min, max, moments, count, histogram; against plain loops over one
 * element at a time, and every level against the first to the bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_data.h"

enum { LENGTHS = 131, LONG = 20011 };

static const struct lsi_kernels *const *levels;
static size_t n_levels;
static struct kd_buffer buffer;

/* Calls f for every level, type, kind of data, length 0..130 and one long, at every distance. */
struct trial {
  const struct lsi_kernels *k;
  enum lsi_type type;
  enum kd_kind kind;
  const unsigned char *src; /* at its place */
  size_t n;
};

static void each(void (*f)(const struct trial *t, void *expected), size_t room) {
  static unsigned char data[LONG * 8];
  unsigned char expected[512];
  assert_true(room <= sizeof expected);
  for (int type = 0; type < LSI_TYPE_COUNT; type++)
    for (int kind = 0; kind < KD_KINDS; kind++)
      for (size_t n = 0; n <= LENGTHS; n++) {
        size_t count = n == LENGTHS ? LONG : n;
        size_t bytes = count * lsi_type_size((enum lsi_type)type);
        kd_fill((enum kd_kind)kind, (enum lsi_type)type, data, count);
        memset(expected, 0, sizeof expected); /* "not there yet" */
        for (size_t l = 0; l < n_levels; l++)
          for (size_t g = 0; g < KD_GAPS; g += n == LENGTHS ? 5 : 1) {
            unsigned char *p = kd_at(buffer, bytes, kd_gap((enum lsi_type)type, g));
            memcpy(p, data, bytes);
            struct trial t = {levels[l], (enum lsi_type)type, (enum kd_kind)kind, p, count};
            f(&t, expected);
          }
      }
}

#define FAIL(t, ...)                                                                           \
  do {                                                                                         \
    print_error("level %s, type %s, data %d, n %zu: ", (t)->k->level, lsi_type_name((t)->type), \
                (int)(t)->kind, (t)->n);                                                       \
    fail_msg(__VA_ARGS__);                                                                     \
  } while (0)

/* The first result is kept after byte 0 says so; later ones must have the same bits. True: the
 * first. */
static bool first(const struct trial *t, void *expected, const void *result, size_t size) {
  unsigned char *e = expected;
  if (!e[0]) {
    e[0] = 1;
    memcpy(e + 8, result, size);
    return true;
  }
  if (memcmp(e + 8, result, size) != 0)
    FAIL(t, "differs from the first level or place");
  return false;
}

static void sum_one(const struct trial *t, void *expected) {
  double got = t->k->sum[t->type](t->src, t->n);
  if (!first(t, expected, &got, sizeof got))
    return;
  double acc[16] = {0}, want;
  kd_wide total = 0;
  for (size_t i = 0; i < t->n; i++) {
    struct kd_value v = kd_load(t->type, t->src, i);
    acc[i % 16] += v.f;
    total += v.i;
  }
  for (int j = 0; j < 8; j++)
    acc[j] += acc[j + 8];
  for (int j = 0; j < 4; j++)
    acc[j] += acc[j + 4];
  want = (acc[0] + acc[2]) + (acc[1] + acc[3]);
  if (!kd_is_float(t->type))
    want = (double)total;
  if (!kd_same(got, want))
    FAIL(t, "sum %.17g, not %.17g", got, want);
  if (got != got) {
    uint64_t bits;
    memcpy(&bits, &got, 8);
    assert_true(bits == 0x7ff8000000000000u);
  }
}

static void test_sum(void **state) {
  (void)state;
  each(sum_one, 64);
}

static void sum_i64_one(const struct trial *t, void *expected) {
  if (kd_is_float(t->type))
    return;
  int64_t got = t->k->sum_i64[t->type](t->src, t->n);
  if (!first(t, expected, &got, sizeof got))
    return;
  kd_wide total = 0;
  for (size_t i = 0; i < t->n; i++)
    total += kd_load(t->type, t->src, i).i;
  total = total > INT64_MAX ? INT64_MAX : total < INT64_MIN ? INT64_MIN : total;
  if ((kd_wide)got != total)
    FAIL(t, "sum_i64 %lld", (long long)got);
}

static void test_sum_i64(void **state) {
  (void)state;
  each(sum_i64_one, 64);
}

static void minmax_one(const struct trial *t, void *expected) {
  size_t size = lsi_type_size(t->type);
  unsigned char got[2 * 8 + 1], apart[2 * 8];
  memset(got, 0x5a, sizeof got);
  t->k->minmax[t->type](t->src, t->n, got);
  assert_int_equal(got[2 * size], 0x5a);
  t->k->min[t->type](t->src, t->n, apart);
  t->k->max[t->type](t->src, t->n, apart + size);
  if (memcmp(got, apart, 2 * size) != 0)
    FAIL(t, "minmax is not min and max");
  if (!first(t, expected, got, 2 * size))
    return;
  struct kd_value lo = kd_load(t->type, got, 0), hi = kd_load(t->type, got, 1);
  if (kd_is_float(t->type)) {
    double a = INFINITY, b = -INFINITY;
    for (size_t i = 0; i < t->n; i++) {
      double x = kd_load(t->type, t->src, i).f;
      a = x != x || a != a ? (double)NAN : x < a ? x : a;
      b = x != x || b != b ? (double)NAN : x > b ? x : b;
    }
    static const float nan32 = NAN;
    static const double nan64 = (double)NAN;
    const void *nan = t->type == LSI_F32 ? (const void *)&nan32 : (const void *)&nan64;
    if (a != a && (memcmp(got, nan, size) != 0 || memcmp(got + size, nan, size) != 0))
      FAIL(t, "not the positive quiet NaN");
    if (!kd_same(lo.f, a) || !kd_same(hi.f, b))
      FAIL(t, "min %g max %g, not %g and %g", lo.f, hi.f, a, b);
    if ((lo.f == 0 && signbit(lo.f)) || (hi.f == 0 && signbit(hi.f)))
      FAIL(t, "a result is -0");
    return;
  }
  kd_wide a = kd_greatest(t->type), b = kd_least(t->type);
  for (size_t i = 0; i < t->n; i++) {
    kd_wide x = kd_load(t->type, t->src, i).i;
    a = x < a ? x : a;
    b = x > b ? x : b;
  }
  if (lo.i != a || hi.i != b)
    FAIL(t, "min or max");
}

static void test_minmax(void **state) {
  (void)state;
  each(minmax_one, 64);
}

/* A NaN anywhere is seen, and only a NaN is: each place of lengths around the unrolling. */
static void test_minmax_nan(void **state) {
  (void)state;
  static const double others[] = {1, -1, 0, INFINITY, -INFINITY, 5e-324};
  enum { N = 300 };
  for (int type = LSI_F32; type <= LSI_F64; type++)
    for (size_t n = 1; n <= N; n += n < 70 ? 1 : 23)
      for (size_t at = 0; at < n; at++)
        for (size_t l = 0; l < n_levels; l++) {
          double wide[N];
          float narrow[N];
          for (size_t i = 0; i < n; i++)
            wide[i] = others[(i + n) % LSI_COUNTOF(others)];
          for (int with = 0; with <= 1; with++) {
            wide[at] = with ? (double)-NAN : 2;
            for (size_t i = 0; i < n; i++)
              narrow[i] = (float)wide[i];
            const void *src = type == LSI_F64 ? (const void *)wide : (const void *)narrow;
            unsigned char got[16], fused[16];
            levels[l]->minmax[type](src, n, got);
            levels[l]->sum_minmax[type](src, n, fused);
            for (size_t i = 0; i < 2; i++) {
              double x = kd_load((enum lsi_type)type, got, i).f;
              double y = kd_load((enum lsi_type)type, fused, i).f;
              if ((x != x) != with || (y != y) != with)
                fail_msg("level %s, type %d, n %zu: NaN at %zu", levels[l]->level, type, n, at);
            }
          }
        }
}

static void moments_one(const struct trial *t, void *expected) {
  lsio_moments got = {9, 9, 9};
  t->k->moments[t->type](t->src, t->n, &got);
  if (!first(t, expected, &got, sizeof got))
    return;
  if (t->n == 0) {
    assert_true(got.n == 0 && got.mean == 0 && got.m2 == 0);
    return;
  }
  long double mean = 0, m2 = 0, scale = 0;
  for (size_t i = 0; i < t->n; i++) {
    struct kd_value v = kd_load(t->type, t->src, i);
    mean += v.is_float ? (long double)v.f : (long double)v.i;
  }
  mean /= (long double)t->n;
  for (size_t i = 0; i < t->n; i++) {
    struct kd_value v = kd_load(t->type, t->src, i);
    long double x = v.is_float ? (long double)v.f : (long double)v.i;
    m2 += (x - mean) * (x - mean);
    scale += fabsl(x) / (long double)t->n;
  }
  assert_true(got.n == (double)t->n);
  if (!isfinite((double)mean) || !(scale < 1e140L)) {
    if (!isfinite((double)mean))
      assert_true(!isfinite(got.mean) && !isfinite(got.m2));
    return;
  }
  if (!(fabsl(got.mean - mean) <= 1e-13L * scale))
    FAIL(t, "mean %.17g, not %.17Lg", got.mean, mean);
  if (!(fabsl(got.m2 - m2) <= 1e-12L * m2 + 1e-25L * scale * scale * (long double)t->n))
    FAIL(t, "m2 %.17g, not %.17Lg", got.m2, m2);
}

static void test_moments(void **state) {
  (void)state;
  each(moments_one, 64);
}

static void test_moments_merge(void **state) {
  (void)state;
  double data[100];
  kd_fill(KD_SMALL, LSI_F64, data, 100);
  for (size_t l = 0; l < n_levels; l++)
    for (size_t cut = 0; cut <= 100; cut++) {
      lsio_moments a, b, all;
      levels[l]->moments[LSI_F64](data, cut, &a);
      levels[l]->moments[LSI_F64](data + cut, 100 - cut, &b);
      levels[l]->moments[LSI_F64](data, 100, &all);
      levels[l]->moments_merge(&a, &b);
      assert_true(a.n == 100);
      assert_true(fabs(a.mean - all.mean) < 1e-12 && fabs(a.m2 - all.m2) < 1e-12 * all.m2);
    }
}

/* long double holds every i64, u64 and double exactly (x86-64; elsewhere the wide path is used). */
static int order(struct kd_value v, double t) {
  if (v.is_float || t != t)
    return v.f != v.f || t != t ? 2 : v.f < t ? -1 : v.f > t;
  if (t >= 0x1p70 || t <= -0x1p70)
    return t > 0 ? -1 : 1;
  kd_wide whole = (kd_wide)floor(t);
  if (v.i != whole)
    return v.i < whole ? -1 : 1;
  return floor(t) < t ? -1 : 0;
}

static void count_one(const struct trial *t, void *expected) {
  double thresholds[12] = {0, -0.5, 3, NAN, INFINITY, -INFINITY, 0x1p63, 0x1p31, 0.1};
  for (size_t i = 9; i < 12; i++)
    thresholds[i] = t->n ? kd_double(kd_load(t->type, t->src, (i * 37) % t->n)) : 1;
  struct {
    double gt, ge, lt, le, eq, between;
  } got[4];
  size_t base = t->n % 3 * 3; /* four thresholds a length, all of them over three lengths */
  for (size_t i = 0; i < 4; i++) {
    double x = thresholds[(base + i) % 12], y = thresholds[(base + i + 5) % 12];
    got[i].gt = t->k->count_gt[t->type](t->src, t->n, x);
    got[i].ge = t->k->count_ge[t->type](t->src, t->n, x);
    got[i].lt = t->k->count_lt[t->type](t->src, t->n, x);
    got[i].le = t->k->count_le[t->type](t->src, t->n, x);
    got[i].eq = t->k->count_eq[t->type](t->src, t->n, x);
    got[i].between = t->k->count_between[t->type](t->src, t->n, x, y);
  }
  if (!first(t, expected, got, sizeof got))
    return;
  for (size_t i = 0; i < 4; i++) {
    double x = thresholds[(base + i) % 12], y = thresholds[(base + i + 5) % 12];
    double gt = 0, ge = 0, lt = 0, le = 0, eq = 0, between = 0;
    for (size_t j = 0; j < t->n; j++) {
      struct kd_value v = kd_load(t->type, t->src, j);
      int o = order(v, x), q = order(v, y);
      gt += o == 1;
      ge += o == 1 || o == 0;
      lt += o == -1;
      le += o == -1 || o == 0;
      eq += o == 0;
      between += (o == 1 || o == 0) && (q == -1 || q == 0);
    }
    if (got[i].gt != gt || got[i].ge != ge || got[i].lt != lt || got[i].le != le ||
        got[i].eq != eq || got[i].between != between)
      FAIL(t, "count against %.17g (and %.17g): %g %g %g %g %g %g, not %g %g %g %g %g %g", x, y,
           got[i].gt, got[i].ge, got[i].lt, got[i].le, got[i].eq, got[i].between, gt, ge, lt, le,
           eq, between);
  }
}

static void test_count(void **state) {
  (void)state;
  each(count_one, 256);
}

/* Against the single kernels, to the bit; what those give is tested above. */
static void stats_one(const struct trial *t, void *expected) {
  const size_t size = lsi_type_size(t->type);
  double thresholds[12] = {0, -0.5, 3, NAN, INFINITY, -INFINITY, 0x1p63, 0x1p31, 0.1, -0x1p63};
  for (size_t i = 10; i < 12; i++)
    thresholds[i] = t->n ? kd_double(kd_load(t->type, t->src, (i * 37) % t->n)) : 1;
  struct {
    double sum, above[12];
    unsigned char minmax[16];
  } want, got;
  memset(&want, 0, sizeof want);
  memset(&got, 0, sizeof got);
  want.sum = t->k->sum[t->type](t->src, t->n);
  t->k->minmax[t->type](t->src, t->n, want.minmax);
  unsigned char out[2 * 8 + 2];
  memset(out, 0x5a, sizeof out);
  got.sum = t->k->sum_minmax[t->type](t->src, t->n, out + 1); /* any alignment */
  memcpy(got.minmax, out + 1, 2 * size);
  assert_true(out[0] == 0x5a && out[1 + 2 * size] == 0x5a);
  if (memcmp(&got, &want, sizeof got) != 0)
    FAIL(t, "sum_minmax is not sum and minmax");
  for (size_t i = 0; i < LSI_COUNTOF(thresholds); i++) {
    memset(out, 0x5a, sizeof out);
    got.sum = t->k->stats[t->type](t->src, t->n, thresholds[i], out, &got.above[i]);
    memcpy(got.minmax, out, 2 * size);
    assert_true(out[2 * size] == 0x5a);
    want.above[i] = t->k->count_gt[t->type](t->src, t->n, thresholds[i]);
    if (memcmp(&got, &want, sizeof got) != 0)
      FAIL(t, "stats against %.17g is not sum, minmax and count_gt", thresholds[i]);
  }
  first(t, expected, &got, sizeof got);
}

static void test_stats(void **state) {
  (void)state;
  each(stats_one, 256);
}

static double hist_lo, hist_hi;
static size_t hist_bins;

static void histogram_one(const struct trial *t, void *expected) {
  static double got[5000], want[5000];
  for (size_t b = 0; b <= hist_bins; b++)
    got[b] = want[b] = (double)(b % 3);
  double counted = t->k->histogram[t->type](t->src, t->n, hist_lo, hist_hi, hist_bins, got);
  if (got[hist_bins] != (double)(hist_bins % 3))
    FAIL(t, "wrote behind the bins");
  double hash = counted; /* the bins are too many to keep: their weighted sum is exact */
  for (size_t b = 0; b < hist_bins; b++)
    hash += got[b] * (double)(b * b + 7);
  if (!first(t, expected, &hash, sizeof hash))
    return;
  double step = (hist_hi - hist_lo) / (double)hist_bins, total = 0;
  for (size_t i = 0; i < t->n; i++) {
    double x = kd_double(kd_load(t->type, t->src, i));
    if (!(x >= hist_lo && x <= hist_hi))
      continue;
    size_t b = 0, end = hist_bins; /* the last b whose left edge is not right of x */
    while (end - b > 1) {
      size_t mid = (b + end) / 2;
      if ((double)mid * step + hist_lo <= x)
        b = mid;
      else
        end = mid;
    }
    want[b] += 1;
    total += 1;
  }
  if (counted != total)
    FAIL(t, "counted %g, not %g", counted, total);
  for (size_t b = 0; b < hist_bins; b++)
    if (got[b] != want[b])
      FAIL(t, "bin %zu of %zu: %g, not %g", b, hist_bins, got[b], want[b]);
}

static void test_histogram(void **state) {
  (void)state;
  static const struct {
    double lo, hi;
    size_t bins;
  } cases[] = {{-100, 100, 20}, {0, 1, 3}, {-0.3, 77.7, 90}, {-1e19, 2e19, 7}, {0, 128, 4999}};
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++) {
    hist_lo = cases[i].lo;
    hist_hi = cases[i].hi;
    hist_bins = cases[i].bins;
    each(histogram_one, 64);
  }
}

/* An element on an edge belongs to the bin on the right, whatever the estimate of its bin says. */
static void test_histogram_edges(void **state) {
  (void)state;
  enum { MAX = 300 };
  for (size_t bins = 1; bins <= MAX; bins++) {
    double lo = 0.1 * (double)(bins % 7) - 0.3, hi = lo + 0.7 + (double)(bins % 11);
    double step = (hi - lo) / (double)bins, edges[MAX], counts[MAX];
    for (size_t i = 0; i < bins; i++)
      edges[i] = (double)i * step + lo;
    for (size_t l = 0; l < n_levels; l++)
      for (size_t repeat = 1; repeat <= 2; repeat++) { /* few elements take another path */
        memset(counts, 0, sizeof counts);
        double counted = 0;
        for (size_t r = 0; r < repeat; r++)
          counted +=
              levels[l]->histogram[LSI_F64](edges, bins - (repeat - 1), lo, hi, bins, counts);
        assert_true(counted == (double)(repeat * (bins - (repeat - 1))));
        for (size_t i = 0; i + (repeat - 1) < bins; i++)
          if (counts[i] != (double)repeat)
            fail_msg("level %s: edge %zu of %zu: %g", levels[l]->level, i, bins, counts[i]);
      }
  }
}

static void test_histogram_refuses(void **state) {
  (void)state;
  static const struct {
    double lo, hi;
    size_t bins;
  } cases[] = {{0, 0, 4},         {1, 0, 4},   {NAN, 1, 4},  {0, NAN, 4},          {0, INFINITY, 4},
               {-INFINITY, 0, 4}, {0, 1, 0},   {-1.7e308, 1.7e308, 4}, {0, 5e-324, 4},
               {0, 1, (size_t)1 << 31}};
  for (size_t l = 0; l < n_levels; l++)
    for (int type = 0; type < LSI_TYPE_COUNT; type++)
      for (size_t i = 0; i < LSI_COUNTOF(cases); i++) {
        double x = 0, counts[1] = {5};
        assert_true(levels[l]->histogram[type](&x, 1, cases[i].lo, cases[i].hi, cases[i].bins,
                                               counts) == -1);
        assert_true(counts[0] == 5);
      }
}

/* Partial sums that would overflow if they were taken too far. */
static void test_long_extremes(void **state) {
  (void)state;
  enum { BYTES = 40 << 20 };
  unsigned char *p = malloc(BYTES);
  assert_non_null(p);
  for (int type = 0; type < LSI_F32; type++) {
    size_t size = lsi_type_size((enum lsi_type)type), n = BYTES / size;
    kd_wide extremes[2] = {kd_least((enum lsi_type)type), kd_greatest((enum lsi_type)type)};
    for (int e = 0; e < 2; e++) {
      for (size_t i = 0; i < n; i++)
        memcpy(p + i * size, &extremes[e], size);
      double want = (double)(extremes[e] * (kd_wide)n);
      for (size_t l = 0; l < n_levels; l++) {
        assert_true(levels[l]->sum[type](p, n) == want);
        assert_true(levels[l]->count_eq[type](p, n, (double)extremes[e]) ==
                    (size == 8 && e == 1 ? 0 : (double)n));
        assert_true(levels[l]->count_ge[type](p, n, 0) == (extremes[e] >= 0 ? (double)n : 0));
        lsio_moments m;
        levels[l]->moments[type](p, n, &m);
        assert_true(m.n == (double)n && m.mean == (double)extremes[e] && m.m2 == 0);
      }
    }
  }
  free(p);
}

static void test_dispatch(void **state) {
  (void)state;
  const char *best = lsi_kernels_level();
  assert_string_equal(best, levels[n_levels - 1]->level);
  for (size_t l = 0; l < n_levels; l++) {
    assert_true(lsi_kernels_use_level(levels[l]->level));
    assert_string_equal(lsi_kernels_level(), levels[l]->level);
    assert_ptr_equal(lsi_kernels(), levels[l]);
  }
  assert_false(lsi_kernels_use_level("v9"));
  assert_true(lsi_kernels_use_level(NULL));
  assert_string_equal(lsi_kernels_level(), best);
}

int main(void) {
  levels = kd_levels(&n_levels);
  buffer = kd_buffer_new();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dispatch),      cmocka_unit_test(test_sum),
      cmocka_unit_test(test_sum_i64),       cmocka_unit_test(test_minmax),
      cmocka_unit_test(test_minmax_nan),
      cmocka_unit_test(test_moments),       cmocka_unit_test(test_moments_merge),
      cmocka_unit_test(test_stats),
      cmocka_unit_test(test_count),         cmocka_unit_test(test_histogram),
      cmocka_unit_test(test_histogram_edges), cmocka_unit_test(test_histogram_refuses),
      cmocka_unit_test(test_long_extremes),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  kd_buffer_free(buffer);
  return failed;
}
