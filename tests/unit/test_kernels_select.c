/* argmin, argmax and topk against plain loops; every level, type, length and place. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_data.h"

enum { SHORT = 200, LONG = 20011 };

static const struct lsi_kernels *const *levels;
static size_t n_levels;
static struct kd_buffer sources, results, indices;
static unsigned char data[LONG * 8];

static bool greater(struct kd_value a, struct kd_value b) {
  return a.is_float ? a.f > b.f : a.i > b.i;
}
static bool is_nan(struct kd_value a) { return a.is_float && a.f != a.f; }

static void arg_one(enum lsi_type type, size_t n, bool most) {
  size_t size = lsi_type_size(type), want = 0;
  for (size_t i = 1; i < n && !is_nan(kd_load(type, data, want)); i++) {
    struct kd_value x = kd_load(type, data, i), best = kd_load(type, data, want);
    if (is_nan(x) || (most ? greater(x, best) : greater(best, x)))
      want = i;
  }
  for (size_t l = 0; l < n_levels; l++)
    for (size_t g = n % 3; g < KD_GAPS; g += 5) {
      unsigned char *p = kd_at(sources, n * size, kd_gap(type, g)), got[9] = {0}, same[8];
      memcpy(p, data, n * size);
      got[size] = 0x5a;
      double index = (most ? levels[l]->argmax[type] : levels[l]->argmin[type])(p, n, got);
      (most ? levels[l]->max[type] : levels[l]->min[type])(p, n, same);
      if (index != (n ? (double)want : -1) || memcmp(got, same, size) != 0 || got[size] != 0x5a)
        fail_msg("level %s, type %s, n %zu, most %d: %g, not %zu", levels[l]->level,
                 lsi_type_name(type), n, most, index, want);
    }
}

static void test_arg(void **state) {
  (void)state;
  for (int type = 0; type < LSI_TYPE_COUNT; type++)
    for (int kind = 0; kind < KD_KINDS; kind++)
      for (size_t i = 0; i <= SHORT + 3; i++) {
        size_t n = i <= SHORT ? i : (size_t[]){LONG, 8192, 1025}[i - SHORT - 1];
        kd_fill((enum kd_kind)kind, (enum lsi_type)type, data, n);
        arg_one((enum lsi_type)type, n, false);
        arg_one((enum lsi_type)type, n, true);
      }
}

/* The extreme at every place of a long block, where blocks of any size meet. */
static void test_arg_everywhere(void **state) {
  (void)state;
  float *x = (float *)data;
  unsigned char out[8];
  for (size_t i = 0; i < LONG; i++)
    x[i] = 0;
  for (size_t l = 0; l < n_levels; l++)
    for (size_t i = 0; i < LONG; i += 1 + i % 7) {
      x[i] = -1;
      assert_true(levels[l]->argmin[LSI_F32](x, LONG, out) == (double)i);
      x[i] = 1;
      assert_true(levels[l]->argmax[LSI_F32](x, LONG, out) == (double)i);
      x[i] = (float)NAN;
      assert_true(levels[l]->argmax[LSI_F32](x, LONG, out) == (double)i);
      x[i] = 0;
    }
}

struct item {
  struct kd_value v;
  size_t at;
};

static int by_value(const void *a, const void *b) {
  const struct item *x = a, *y = b;
  if (greater(x->v, y->v))
    return -1;
  if (greater(y->v, x->v))
    return 1;
  return x->at < y->at ? -1 : 1;
}

static void topk_one(enum lsi_type type, size_t n, size_t k) {
  static struct item items[LONG];
  size_t size = lsi_type_size(type), found = 0;
  for (size_t i = 0; i < n; i++)
    if (!is_nan(kd_load(type, data, i)))
      items[found++] = (struct item){kd_load(type, data, i), i};
  qsort(items, found, sizeof *items, by_value);
  found = LSI_MIN(found, k);
  for (size_t l = 0; l < n_levels; l++) {
    size_t gap = (n + k + l) % 13;
    unsigned char *p = kd_at(sources, n * size, kd_gap(type, n % KD_GAPS));
    unsigned char *q = kd_at(results, k * size, gap), *r = kd_at(indices, k * 8, gap);
    memcpy(p, data, n * size);
    kd_guard(q, k * size, gap);
    kd_guard(r, k * 8, gap);
    double got = levels[l]->topk[type](p, n, k, q, r);
    bool same = got == (double)found && kd_guarded(q, k * size, gap) && kd_guarded(r, k * 8, gap);
    for (size_t i = 0; same && i < found; i++)
      same = memcmp(q + i * size, data + items[i].at * size, size) == 0 &&
             kd_load(LSI_I64, r, i).i == (kd_wide)items[i].at;
    if (!same)
      fail_msg("level %s, type %s, n %zu, k %zu", levels[l]->level, lsi_type_name(type), n, k);
  }
}

static void test_topk(void **state) {
  (void)state;
  static const size_t ks[] = {0, 1, 2, 3, 10, 64, 100, 1000};
  for (int type = 0; type < LSI_TYPE_COUNT; type++)
    for (int kind = 0; kind < KD_KINDS; kind++)
      for (size_t i = 0; i <= 140; i++) {
        size_t n = i <= 138 ? i : i == 139 ? 3000 : LONG;
        kd_fill((enum kd_kind)kind, (enum lsi_type)type, data, n);
        for (size_t j = 0; j < LSI_COUNTOF(ks); j++)
          topk_one((enum lsi_type)type, n, ks[j]);
      }
}

int main(void) {
  levels = kd_levels(&n_levels);
  sources = kd_buffer_new();
  results = kd_buffer_new();
  indices = kd_buffer_new();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_arg),
      cmocka_unit_test(test_arg_everywhere),
      cmocka_unit_test(test_topk),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  kd_buffer_free(sources);
  kd_buffer_free(results);
  kd_buffer_free(indices);
  return failed;
}
