/* The kernels on plain bytes: find, count_bytes, crc32c, copy; against naive loops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "kernel_data.h"

static const struct lsi_kernels *const *levels;
static size_t n_levels;
static struct kd_buffer buffer, other;

static double naive_find(const unsigned char *p, size_t n, const unsigned char *needle, size_t m) {
  for (size_t i = 0; i + m <= n; i++)
    if (memcmp(p + i, needle, m) == 0)
      return (double)i;
  return -1;
}

static double naive_count(const unsigned char *p, size_t n, const unsigned char *needle, size_t m) {
  double count = 0;
  for (size_t i = 0; m > 0 && i + m <= n;)
    if (memcmp(p + i, needle, m) == 0) {
      count++;
      i += m;
    } else {
      i++;
    }
  return count;
}

/* `letters` different bytes: with few, nearly everything is a near miss. */
static void random_text(unsigned char *p, size_t n, unsigned letters) {
  for (size_t i = 0; i < n; i++)
    p[i] = (unsigned char)(200 + kd_random() % letters);
}

static void find_case(size_t n, size_t m, unsigned letters) {
  unsigned char *p = kd_at(buffer, n, 0), *needle = kd_at(other, m, 0);
  random_text(p, n, letters);
  random_text(needle, m, letters);
  if (m <= n && kd_random() % 2)
    memcpy(p + kd_random() % (n - m + 1), needle, m);
  double want = naive_find(p, n, needle, m), count = naive_count(p, n, needle, m);
  for (size_t l = 0; l < n_levels; l++) {
    double got = levels[l]->find(p, n, needle, m);
    double got_count = levels[l]->count_bytes(p, n, needle, m);
    if (got != want || got_count != count)
      fail_msg("level %s, n %zu, m %zu, letters %u: at %g, not %g; %g times, not %g",
               levels[l]->level, n, m, letters, got, want, got_count, count);
  }
}

static void test_find(void **state) {
  (void)state;
  static const size_t needles[] = {0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 33, 64, 65, 100, 131};
  static const unsigned letters[] = {1, 2, 3, 250};
  for (size_t n = 0; n <= 130; n++)
    for (size_t m = 0; m < LSI_COUNTOF(needles); m++)
      for (size_t k = 0; k < LSI_COUNTOF(letters); k++)
        find_case(n, needles[m], letters[k] > 56 ? 56 : letters[k]);
  for (size_t i = 0; i < 200; i++)
    find_case(kd_random() % 20000, kd_random() % 40, 1 + (unsigned)(kd_random() % 4));
}

/* a..a b a..a in a text of a: quadratic for the naive search. */
static void test_find_is_linear(void **state) {
  (void)state;
  enum { N = 4 << 20, M = 2 << 20 };
  unsigned char *p = malloc(N), *needle = malloc(M);
  assert_true(p && needle);
  memset(p, 'a', N);
  memset(needle, 'a', M);
  needle[M - 2] = 'b';
  for (size_t l = 0; l < n_levels; l++) {
    clock_t start = clock();
    assert_true(levels[l]->find(p, N, needle, M) == -1);
    assert_true(levels[l]->count_bytes(p, N, needle, M) == 0);
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 5);
  }
  free(p);
  free(needle);
}

static uint32_t naive_crc(uint32_t crc, const unsigned char *p, size_t n) {
  crc = ~crc;
  for (size_t i = 0; i < n; i++) {
    crc ^= p[i];
    for (int bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

static void test_crc32c(void **state) {
  (void)state;
  static const size_t lengths[] = {4095, 8192, 12287, 12288, 12289, 24576, 40001};
  assert_true(lsi_crc32c_soft(0, "123456789", 9) == 0xe3069283u);
  for (size_t i = 0; i <= 130 + LSI_COUNTOF(lengths); i++) {
    size_t n = i <= 130 ? i : lengths[i - 131];
    for (size_t gap = 0; gap < 8; gap++) {
      unsigned char *p = kd_at(buffer, n, gap);
      kd_fill(KD_BITS, LSI_U8, p, n);
      uint32_t start = gap ? (uint32_t)kd_random() : 0, want = naive_crc(start, p, n);
      assert_true(lsi_crc32c_soft(start, p, n) == want);
      for (size_t l = 0; l < n_levels; l++) {
        if (levels[l]->crc32c(start, p, n) != want)
          fail_msg("level %s, n %zu, gap %zu", levels[l]->level, n, gap);
        uint32_t half = levels[l]->crc32c(start, p, n / 3);
        assert_true(levels[l]->crc32c(half, p + n / 3, n - n / 3) == want);
      }
    }
  }
}

static void test_copy(void **state) {
  (void)state;
  static const size_t lengths[] = {4095, 4096, 4097, 5000, 8191, 65536, 100003};
  for (size_t i = 0; i <= 130 + LSI_COUNTOF(lengths); i++) {
    size_t n = i <= 130 ? i : lengths[i - 131];
    for (size_t gap = 0; gap < 70; gap += i <= 130 ? 3 : 7)
      for (size_t l = 0; l < n_levels; l++)
        for (int stream = 0; stream < 2; stream++) {
          unsigned char *p = kd_at(buffer, n, gap * 5 % 67), *q = kd_at(other, n, gap);
          kd_fill(KD_BITS, LSI_U8, p, LSI_MIN(n, (size_t)512));
          memset(q, 0, n);
          kd_guard(q, n, gap);
          levels[l]->copy(p, n, q, stream);
          if (memcmp(p, q, n) != 0 || !kd_guarded(q, n, gap))
            fail_msg("level %s, n %zu, gap %zu, stream %d", levels[l]->level, n, gap, stream);
          levels[l]->copy(q, n, q, stream);
          assert_memory_equal(p, q, n);
        }
  }
}

int main(void) {
  levels = kd_levels(&n_levels);
  buffer = kd_buffer_new();
  other = kd_buffer_new();
  kd_fill(KD_BITS, LSI_U8, buffer.base, KD_ROOM);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_find),
      cmocka_unit_test(test_find_is_linear),
      cmocka_unit_test(test_crc32c),
      cmocka_unit_test(test_copy),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  kd_buffer_free(buffer);
  kd_buffer_free(other);
  return failed;
}
