/* Large results that are written past the cache are the same, to the bit, and nothing around them is
 * touched: every pair of types, at every level, at places that are aligned in different ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ground/base.h"
#include "kernel_data.h"

enum { ROOM = 80000, MOST = ROOM * 8, GUARD = 128 };

static unsigned char *src, *plain, *streamed; /* of MOST bytes, between guards */

static unsigned char *block(void) {
  unsigned char *p = aligned_alloc(64, MOST + 4 * GUARD);
  assert_non_null(p);
  return p;
}

static void call(const struct lsi_kernels *k, int from, int to, bool scaled, size_t n, void *dst,
                 const void *data, double scale) {
  if (scaled)
    k->scale_offset[from][to](data, n, dst, scale, 1.25);
  else
    k->cast[from][to](data, n, dst);
}

/* `at` bytes behind a line of the cache. */
static void compare(const struct lsi_kernels *k, int from, int to, bool scaled, size_t n, size_t at,
                    double scale) {
  const size_t bytes = n * lsi_type_size((enum lsi_type)to);
  unsigned char *a = plain + GUARD + at, *b = streamed + GUARD + at;
  memset(plain, 0x5a, bytes + 3 * GUARD);
  memset(streamed, 0x5a, bytes + 3 * GUARD);
  call(k, from, to, scaled, n, a, src + 1, scale); /* sources lie anywhere */
  lsi_kernels_nontemporal(b, bytes);
  call(k, from, to, scaled, n, b, src + 1, scale);
  lsi_kernels_nontemporal(NULL, 0);
  if (memcmp(plain, streamed, bytes + 3 * GUARD) != 0)
    fail_msg("level %s, %s to %s, %d elements, %d behind a line", k->level,
             lsi_type_name((enum lsi_type)from), lsi_type_name((enum lsi_type)to), (int)n, (int)at);
}

static void results_are_the_same(void **state) {
  (void)state;
  size_t n_levels;
  const struct lsi_kernels *const *levels = kd_levels(&n_levels);
  static const size_t places[] = {0, 8, 32, 3, 61};
  for (size_t l = 0; l < n_levels; l++)
    for (int from = 0; from < LSI_TYPE_COUNT; from++) {
      kd_fill(KD_SPECIAL, (enum lsi_type)from, src + 1, ROOM);
      for (int to = 0; to < LSI_TYPE_COUNT; to++)
        for (size_t i = 0; i < LSI_COUNTOF(places); i++) {
          const size_t least = 65536 / lsi_type_size((enum lsi_type)to);
          compare(levels[l], from, to, i % 2, least + i * 37, places[i], 0.75);
          compare(levels[l], from, to, i % 2 == 0, least - (i == 0) + i * 401, places[i], 1e300);
        }
    }
}

/* Where the result is the source; and a range that is somebody else's. */
static void in_place_and_elsewhere(void **state) {
  (void)state;
  const struct lsi_kernels *k = lsi_kernels();
  const size_t n = ROOM / 4;
  kd_fill(KD_SMALL, LSI_F32, plain, n);
  memcpy(streamed, plain, n * 4);
  k->scale_offset[LSI_F32][LSI_F32](plain, n, plain, 2, 1);
  lsi_kernels_nontemporal(streamed, n * 4);
  k->scale_offset[LSI_F32][LSI_F32](streamed, n, streamed, 2, 1);
  assert_memory_equal(plain, streamed, n * 4);
  k->cast[LSI_F32][LSI_I16](plain, n, plain);
  k->cast[LSI_F32][LSI_I16](streamed, n, streamed);
  assert_memory_equal(plain, streamed, n * 2);
  kd_fill(KD_SMALL, LSI_F32, src, n);
  k->cast[LSI_F32][LSI_F64](src, n, plain);
  lsi_kernels_nontemporal(NULL, 0);
  k->cast[LSI_F32][LSI_F64](src, n, streamed);
  assert_memory_equal(plain, streamed, n * 8);
}

int main(void) {
  src = block();
  plain = block();
  streamed = block();
  const struct CMUnitTest tests[] = {cmocka_unit_test(results_are_the_same),
                                     cmocka_unit_test(in_place_and_elsewhere)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  free(src);
  free(plain);
  free(streamed);
  return failed;
}
