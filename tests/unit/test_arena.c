/* The buffer arena: leases never overlap, everything comes back, neighbours are joined again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "memory/arena.h"
#include "seams/backend.h"
#include "ground/mem.h"

static uint64_t rng = 88172645463325252u;
static uint32_t next(uint32_t n) {
  rng ^= rng << 13;
  rng ^= rng >> 7;
  rng ^= rng << 17;
  return (uint32_t)(rng % n);
}

static void leases_never_overlap(void **state) {
  (void)state;
  struct lsi_arena a;
  assert_int_equal(lsi_arena_init(&a, 4u << 20, NULL), 0);
  struct {
    char *p;
    size_t bytes;
    char mark;
  } live[200];
  int n = 0, refused = 0;
  for (int i = 0; i < 20000; i++) {
    if (n < 200 && next(2)) {
      size_t bytes = next(8) ? 1 + next(20000) : 1 + next(900000);
      char *p = lsi_arena_lease(&a, bytes);
      if (!p) {
        refused++;
      } else {
        assert_int_equal((uintptr_t)p % LSI_ALIGN, 0);
        assert_true(p >= a.base && p + bytes <= a.base + a.size);
        live[n].p = p;
        live[n].bytes = bytes;
        live[n].mark = (char)i;
        memset(p, live[n].mark, bytes);
        n++;
      }
    }
    if (n && next(2)) {
      int k = (int)next((uint32_t)n);
      for (size_t b = 0; b < live[k].bytes; b += 997) assert_int_equal(live[k].p[b], live[k].mark);
      assert_int_equal(live[k].p[live[k].bytes - 1], live[k].mark);
      lsi_arena_release(&a, live[k].p, live[k].bytes);
      live[k] = live[--n];
    }
  }
  assert_true(refused > 0); /* the test has reached the limit */
  while (n) n--, lsi_arena_release(&a, live[n].p, live[n].bytes);
  assert_int_equal(a.used, 0);
  assert_int_equal(a.n_free, 1);
  assert_ptr_equal(lsi_arena_lease(&a, a.size), a.base);
  lsi_arena_clear(&a, true);
}

static void refuses_what_does_not_fit(void **state) {
  (void)state;
  struct lsi_arena a;
  assert_int_equal(lsi_arena_init(&a, 1, NULL), 0);
  assert_int_equal(a.size, 2u << 20);
  assert_null(lsi_arena_lease(&a, a.size + 1));
  char *all = lsi_arena_lease(&a, a.size);
  assert_non_null(all);
  assert_null(lsi_arena_lease(&a, 1));
  lsi_arena_release(&a, all, a.size);
  char *low = lsi_arena_lease(&a, 1);
  assert_ptr_equal(low, a.base); /* the hot end first */
  lsi_arena_clear(&a, true);
}

/* Released one by one, every other first, each makes a range of its own. */
static void any_number_of_ranges(void **state) {
  (void)state;
  enum { LEASES = 400 };
  struct lsi_arena a;
  char *p[LEASES];
  assert_int_equal(lsi_arena_init(&a, 4u << 20, NULL), 0);
  for (int i = 0; i < LEASES; i++) assert_non_null(p[i] = lsi_arena_lease(&a, LSI_ALIGN));
  for (int i = 0; i < LEASES; i += 2) {
    lsi_arena_release(&a, p[i], LSI_ALIGN);
    assert_true(a.n_free <= a.cap_free);
  }
  for (int i = 1; i < LEASES; i += 2) lsi_arena_release(&a, p[i], LSI_ALIGN);
  assert_int_equal(a.n_free, 1);
  lsi_arena_clear(&a, true);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(leases_never_overlap),
                                     cmocka_unit_test(refuses_what_does_not_fit),
                                     cmocka_unit_test(any_number_of_ranges)};
  int64_t before = lsi_mem_live();
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  return failed || lsi_mem_live() != before;
}
