/* group_sum and group_count against one element at a time; every level, pair of types and length,
 * with keys inside and outside; and with keys that change while they are read. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_data.h"

enum { LONG = 5003, GROUPS_MAX = 5000 };

static const struct lsi_kernels *const *levels;
static size_t n_levels;
static struct kd_buffer keys_at, values_at, results;
static unsigned char keys[LONG * 8], values[LONG * 8];
static double want_sums[GROUPS_MAX], want_counts[GROUPS_MAX];

static double expect(enum lsi_type type, enum lsi_type key_type, size_t n, size_t groups) {
  double outside = 0;
  for (size_t g = 0; g < groups; g++) {
    want_sums[g] = (double)g / 8;
    want_counts[g] = (double)g;
  }
  for (size_t i = 0; i < n; i++) {
    kd_wide key = kd_load(key_type, keys, i).i;
    if (key < 0 || key >= (kd_wide)groups) {
      outside++;
      continue;
    }
    double sum = want_sums[key] + kd_double(kd_load(type, values, i));
    want_sums[key] = sum == sum ? sum : (double)NAN;
    want_counts[key] += 1;
  }
  return outside;
}

static void one(enum lsi_type type, enum lsi_type key_type, size_t n, size_t groups) {
  size_t size = lsi_type_size(type), key_size = lsi_type_size(key_type);
  double outside = expect(type, key_type, n, groups);
  for (size_t l = 0; l < n_levels; l++) {
    size_t gap = (n + l) % 11;
    unsigned char *k = kd_at(keys_at, n * key_size, kd_gap(key_type, (n + l) % KD_GAPS));
    unsigned char *v = kd_at(values_at, n * size, kd_gap(type, n % KD_GAPS));
    unsigned char *r = kd_at(results, groups * 8, gap);
    memcpy(k, keys, n * key_size);
    memcpy(v, values, n * size);
    for (int sum = 0; sum < 2; sum++) {
      for (size_t g = 0; g < groups; g++)
        memcpy(r + g * 8, &(double){sum ? (double)g / 8 : (double)g}, 8);
      kd_guard(r, groups * 8, gap);
      double got = sum ? levels[l]->group_sum(v, n, (int)type, k, (int)key_type, groups, r)
                       : levels[l]->group_count(k, n, (int)key_type, groups, r);
      if (got != outside || memcmp(r, sum ? want_sums : want_counts, groups * 8) != 0 ||
          !kd_guarded(r, groups * 8, gap))
        fail_msg("level %s, %s by %s, n %zu, groups %zu, sum %d: %g outside, not %g",
                 levels[l]->level, lsi_type_name(type), lsi_type_name(key_type), n, groups, sum,
                 got, outside);
    }
  }
}

static void test_groups(void **state) {
  (void)state;
  static const size_t groups[] = {1, 2, 100, 128, 255, 256, 257, 2047, 2048, GROUPS_MAX};
  static const size_t lengths[] = {0, 1, 3, 4, 5, 63, 511, 512, 513, 1025, LONG};
  for (int t = 0; t < LSI_TYPE_COUNT; t++)
    for (int key = LSI_I8; key <= LSI_U64; key++)
      for (int kind = 0; kind < KD_KINDS; kind++) {
        kd_fill((enum kd_kind)kind, (enum lsi_type)t, values, LONG);
        kd_fill((enum kd_kind)(kind ? kind : KD_SMALL), (enum lsi_type)key, keys, LONG);
        for (size_t g = (size_t)kind; g < LSI_COUNTOF(groups); g += 3)
          for (size_t i = 0; i < LSI_COUNTOF(lengths); i++)
            one((enum lsi_type)t, (enum lsi_type)key, lengths[i], groups[g]);
      }
}

/* Another process may write into mapped memory at any time: keys that flip between inside and far
 * outside are either counted or not, and nothing else is written. */
static _Atomic bool stop;
static void *flipper(void *arg) {
  volatile uint32_t *k = arg;
  while (!atomic_load_explicit(&stop, memory_order_relaxed))
    for (size_t i = 0; i < LONG; i++)
      k[i] ^= 0x7ffffff0u;
  return NULL;
}

static void test_keys_that_change(void **state) {
  (void)state;
  static uint32_t k[LONG];
  pthread_t thread;
  unsigned char *r = kd_at(results, 16 * 8, 64);
  for (size_t i = 0; i < LONG; i++)
    k[i] = (uint32_t)i % 16;
  kd_fill(KD_SMALL, LSI_F32, values, LONG);
  kd_guard(r, 16 * 8, 64);
  atomic_store(&stop, false);
  assert_int_equal(pthread_create(&thread, NULL, flipper, k), 0);
  double counts[16];
  for (int round = 0; round < 200; round++)
    for (size_t l = 0; l < n_levels; l++) {
      memset(r, 0, 16 * 8);
      double outside = levels[l]->group_count(k, LONG, LSI_U32, 16, r), inside = 0;
      memcpy(counts, r, sizeof counts);
      for (size_t g = 0; g < 16; g++)
        inside += counts[g];
      assert_true(inside + outside == LONG);
      levels[l]->group_sum(values, LONG, LSI_F32, k, LSI_U32, 16, r);
      assert_true(levels[l]->histogram[LSI_U32](k, LONG, 0, 15, 16, counts) >= 0);
      assert_true(kd_guarded(r, 16 * 8, 64));
    }
  atomic_store(&stop, true);
  pthread_join(thread, NULL);
}

int main(void) {
  levels = kd_levels(&n_levels);
  keys_at = kd_buffer_new();
  values_at = kd_buffer_new();
  results = kd_buffer_new();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_groups),
      cmocka_unit_test(test_keys_that_change),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  kd_buffer_free(keys_at);
  kd_buffer_free(values_at);
  kd_buffer_free(results);
  return failed;
}
