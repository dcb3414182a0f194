/* Big blocks that jobs leave to the jobs after them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "memory/pool.h"

#define MIB ((size_t)1 << 20)
#define SMALL ((size_t)64 << 10)

static void blocks_are_used_again(void **state) {
  (void)state;
  struct lsi_pool *p = lsi_pool_create();
  lsi_pool_limit(p, 64 * MIB);
  char *a = lsi_pool_take(p, 5 * MIB, true), *b = lsi_pool_take(p, 1, true);
  assert_true(a && b && (uintptr_t)a % (2 * MIB) == 0 && (uintptr_t)b % (2 * MIB) == 0);
  memset(a, 'a', 6 * MIB); /* all of its 2 MiB */
  memset(b, 'b', 2 * MIB);
  assert_int_equal(lsi_pool_kept(p), 0);
  lsi_pool_give(p, a, 5 * MIB, true);
  lsi_pool_give(p, b, 1, true);
  assert_int_equal(lsi_pool_kept(p), 8 * MIB);
  /* The smallest that is large enough; its rest goes. */
  assert_ptr_equal(lsi_pool_take(p, 2 * MIB, true), b);
  assert_ptr_equal(lsi_pool_take(p, 4 * MIB, true), a);
  assert_true(a[4 * MIB - 1] == 'a' && b[0] == 'b');
  assert_int_equal(lsi_pool_kept(p), 0);
  assert_int_equal(lsi_pool_made(p), 2);
  lsi_pool_give(p, a, 4 * MIB, true);
  char *c = lsi_pool_take(p, 1, true); /* most of a would be lost */
  assert_ptr_equal(c, a);
  lsi_pool_give(p, c, 1, true);
  lsi_pool_give(p, b, 2 * MIB, true);
  char *d = lsi_pool_take(p, 3 * MIB, true); /* none is large enough */
  assert_int_equal(lsi_pool_made(p), 3);
  lsi_pool_give(p, d, 3 * MIB, true);
  lsi_pool_give(p, NULL, 3 * MIB, true);
  char *e = lsi_pool_take(p, 40 * MIB, true);
  lsi_pool_give(p, e, 40 * MIB, true);
  char *f = lsi_pool_take(p, 18 * MIB, true); /* 40 are more than twice as much */
  assert_ptr_not_equal(f, e);
  lsi_pool_give(p, f, 18 * MIB, true);
  lsi_pool_drop(p);
}

static void kept_and_lent_stay_below_the_limit(void **state) {
  (void)state;
  struct lsi_pool *p = lsi_pool_create();
  char *a = lsi_pool_take(p, 4 * MIB, true);
  lsi_pool_give(p, a, 4 * MIB, true); /* no limit has been set: nothing is kept */
  assert_int_equal(lsi_pool_kept(p), 0);
  lsi_pool_limit(p, 16 * MIB);
  char *all[4];
  for (int i = 0; i < 4; i++) assert_non_null(all[i] = lsi_pool_take(p, 4 * MIB, true));
  char *more = lsi_pool_take(p, 8 * MIB, true); /* the limit is for what is kept, none is refused */
  assert_non_null(more);
  lsi_pool_give(p, more, 8 * MIB, true);
  assert_int_equal(lsi_pool_kept(p), 0);
  for (int i = 0; i < 4; i++) lsi_pool_give(p, all[i], 4 * MIB, true);
  assert_int_equal(lsi_pool_kept(p), 16 * MIB);
  more = lsi_pool_take(p, 10 * MIB, true);
  assert_int_equal(lsi_pool_kept(p), 4 * MIB);
  lsi_pool_give(p, more, 10 * MIB, true);
  assert_int_equal(lsi_pool_kept(p), 14 * MIB);
  lsi_pool_limit(p, 11 * MIB); /* the oldest goes first */
  assert_int_equal(lsi_pool_kept(p), 10 * MIB);

  /* What is not counted takes no room while it is lent. */
  char *array = lsi_pool_take(p, 100 * MIB, false);
  assert_int_equal(lsi_pool_kept(p), 10 * MIB);
  lsi_pool_give(p, array, 100 * MIB, false);
  assert_true(lsi_pool_kept(p) <= 11 * MIB);
  array = lsi_pool_take(p, 6 * MIB, false);
  lsi_pool_give(p, array, 6 * MIB, false);
  assert_true(lsi_pool_kept(p) > 0 && lsi_pool_kept(p) <= 11 * MIB);
  lsi_pool_close(p);
  assert_int_equal(lsi_pool_kept(p), 0);
  lsi_pool_drop(p);
}

static void owners_and_errors(void **state) {
  (void)state;
  int64_t live = lsi_mem_live();
  struct lsi_pool *p = lsi_pool_create();
  lsi_pool_limit(p, 16 * MIB);
  assert_null(lsi_pool_take(p, 0, true));
  assert_null(lsi_pool_take(p, SIZE_MAX, true));
  assert_null(lsi_pool_take(p, SIZE_MAX / 2, true));
  char *a = lsi_pool_take(p, MIB, false);
  lsi_pool_hold(p);
  lsi_pool_close(p);
  lsi_pool_drop(p);
  a[0] = 1;
  lsi_pool_give(p, a, MIB, false);
  assert_int_equal(lsi_pool_kept(p), 0);
  lsi_pool_drop(p);
  lsi_pool_drop(NULL);
  a = lsi_pool_take(NULL, MIB, true); /* without a pool: as from the system */
  assert_non_null(a);
  lsi_pool_give(NULL, a, MIB, true);
  assert_int_equal(lsi_mem_live(), live);
  for (uint64_t nth = 1; nth <= 2; nth++) {
    lsi_mem_fail_nth(nth, false);
    assert_null(lsi_pool_create());
    lsi_mem_fail_nth(0, false);
    assert_int_equal(lsi_mem_live(), live);
  }
}

/* A small block of which a part is used again: the rest goes, and nothing of what lies behind it. */
static void small_blocks_leave_their_neighbours(void **state) {
  (void)state;
  struct lsi_pool *p = lsi_pool_create();
  lsi_pool_limit(p, 64 * MIB);
  char *a = lsi_pool_take_small(p, 150000);
  assert_non_null(a);
  memset(a, 'a', 3 * SMALL);
  char *end = (char *)(((uintptr_t)a + 3 * SMALL + 2 * MIB - 1) & ~(uintptr_t)(2 * MIB - 1));
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  char *next = mmap(end, 4 * MIB, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (next == end) memset(next, 'n', 4 * MIB);
  lsi_pool_give_small(p, a, 150000);
  assert_int_equal(lsi_pool_kept(p), 3 * SMALL);
  assert_ptr_equal(lsi_pool_take_small(p, 2 * SMALL), a);
  assert_int_equal(lsi_pool_kept(p), 0);
  assert_int_equal(lsi_pool_lent(p), 2 * SMALL);
  assert_true(a[0] == 'a' && a[2 * SMALL - 1] == 'a');
  for (size_t i = 0; next == end && i < 4 * MIB; i += 4096) assert_true(next[i] == 'n');
  lsi_pool_give_small(p, a, 2 * SMALL);
  /* Of a large one, too. */
  char *b = lsi_pool_take(p, 2 * MIB, true);
  lsi_pool_give(p, b, 2 * MIB, true);
  assert_ptr_equal(lsi_pool_take_small(p, 2 * MIB - SMALL), b);
  memset(b, 'b', 2 * MIB - SMALL);
  lsi_pool_give_small(p, b, 2 * MIB - SMALL);
  char *c = lsi_pool_take(p, 1, true); /* what is left is too small */
  assert_ptr_not_equal(c, b);
  lsi_pool_give(p, c, 1, true);
  lsi_pool_drop(p);
  if (next != MAP_FAILED) munmap(next, 4 * MIB);
}

static uint64_t rng;

static uint64_t draw(uint64_t n) {
  rng = rng * 6364136223846793005u + 1442695040888963407u;
  return (rng >> 33) % n;
}

/* Blocks of any size, each full of a byte of its own from when it is taken until it is given back. */
static void blocks_are_apart(void **state) {
  (void)state;
  enum { BLOCKS = 40 };
  struct {
    unsigned char *data;
    size_t bytes;
    bool small;
  } b[BLOCKS] = {0};
  struct lsi_pool *p = lsi_pool_create();
  lsi_pool_limit(p, 40 * MIB);
  rng = 1;
  for (int round = 0; round < 2000; round++) {
    const size_t i = draw(BLOCKS);
    if (b[i].data) {
      for (size_t k = 0; k < b[i].bytes; k += 509) assert_int_equal(b[i].data[k], 1 + i);
      if (b[i].small) lsi_pool_give_small(p, b[i].data, b[i].bytes);
      else lsi_pool_give(p, b[i].data, b[i].bytes, true);
      b[i].data = NULL;
    } else {
      b[i].small = draw(4);
      b[i].bytes = 1 + draw(b[i].small && draw(5) ? 8 * SMALL : 3 * MIB);
      b[i].data = b[i].small ? lsi_pool_take_small(p, b[i].bytes) : lsi_pool_take(p, b[i].bytes, true);
      assert_non_null(b[i].data);
      memset(b[i].data, 1 + (int)i, b[i].bytes);
    }
  }
  for (size_t i = 0; i < BLOCKS; i++)
    if (b[i].data && b[i].small) lsi_pool_give_small(p, b[i].data, b[i].bytes);
    else if (b[i].data) lsi_pool_give(p, b[i].data, b[i].bytes, true);
  assert_int_equal(lsi_pool_lent(p), 0);
  lsi_pool_drop(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_are_used_again),
                                     cmocka_unit_test(small_blocks_leave_their_neighbours),
                                     cmocka_unit_test(blocks_are_apart),
                                     cmocka_unit_test(kept_and_lent_stay_below_the_limit),
                                     cmocka_unit_test(owners_and_errors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
