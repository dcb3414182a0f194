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

int main(void) {
  levels = kd_levels(&n_levels);
  sources = kd_buffer_new();
  results = kd_buffer_new();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_flip),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  kd_buffer_free(sources);
  kd_buffer_free(results);
  return failed;
}
