/* Lists of names and their order, against qsort and strcmp. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "ground/names.h"

static uint64_t state_of_random = 7;

static uint64_t draw(uint64_t n) {
  state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
  return (state_of_random >> 33) % n;
}

static const struct lsi_names *compared;

static int by_bytes_then_place(const void *a, const void *b) {
  const uint64_t i = *(const uint64_t *)a, j = *(const uint64_t *)b;
  const int c = strcmp(lsi_names_get(compared, i), lsi_names_get(compared, j));
  return c ? c : i < j ? -1 : 1;
}

static void check_order(const struct lsi_names *names) {
  uint64_t *order = lsi_reallocarray(NULL, names->n + 1, 2 * sizeof *order);
  uint64_t *want = lsi_reallocarray(NULL, names->n + 1, sizeof *want);
  assert_true(order && want);
  for (uint64_t i = 0; i < names->n; i++) want[i] = i;
  compared = names;
  if (names->n) qsort(want, names->n, sizeof *want, by_bytes_then_place);
  lsi_names_order(names, order);
  assert_memory_equal(order, want, names->n * sizeof *want);
  lsi_free(order);
  lsi_free(want);
}

/* How names differ: in digits, in a folder before them, in few or in any bytes, in length alone, and
 * beyond the eight bytes that are sorted by first. */
enum kind { DIGITS, FOLDERS, TWO_BYTES, ANY_BYTES, LENGTHS, FAR_OUT, EQUAL, KINDS };

static size_t make_name(enum kind kind, uint64_t i, char *out, size_t size) {
  switch (kind) {
  case DIGITS:
    return (size_t)snprintf(out, size, "a/common/prefix/%06llu.bin", (unsigned long long)draw(1000000));
  case FOLDERS:
    return (size_t)snprintf(out, size, "%llu/%llu/x", (unsigned long long)draw(40),
                            (unsigned long long)draw(1000));
  case TWO_BYTES:
    return (size_t)snprintf(out, size, "p%c%c", 'a' + (char)draw(26), 'a' + (char)draw(26));
  case ANY_BYTES: {
    const size_t n = draw(20);
    for (size_t k = 0; k < n; k++) out[k] = (char)(1 + draw(255));
    out[n] = 0;
    return n;
  }
  case LENGTHS: {
    const size_t n = draw(size - 1);
    memset(out, '\xff', n);
    out[n] = 0;
    return n;
  }
  case FAR_OUT:
    return (size_t)snprintf(out, size, "%c-a part that is the same in many-%llu", 'a' + (char)draw(3),
                            (unsigned long long)draw(5000));
  default:
    (void)i;
    return (size_t)snprintf(out, size, "the same");
  }
}

static void order_is_that_of_strcmp(void **unused) {
  (void)unused;
  static const uint64_t counts[] = {0, 1, 2, 3, 127, 128, 129, 1000, 5000};
  for (int kind = 0; kind < KINDS; kind++)
    for (size_t c = 0; c < LSI_COUNTOF(counts); c++) {
      struct lsi_names names = {0};
      for (uint64_t i = 0; i < counts[c]; i++) {
        char name[64];
        const size_t n = make_name((enum kind)kind, i, name, sizeof name);
        assert_true(lsi_names_add(&names, (char)('0' + i % 10), name, n));
        assert_string_equal(lsi_names_get(&names, i), name);
      }
      check_order(&names);
      for (uint64_t i = 0; i < counts[c]; i++) assert_int_equal(lsi_names_mark(&names, i), '0' + i % 10);
      lsi_names_free(&names);
    }
}

static void no_memory_leaves_the_list(void **unused) {
  (void)unused;
  struct lsi_names names = {0};
  char name[100];
  memset(name, 'n', sizeof name);
  uint64_t failed = 0;
  for (uint64_t i = 0; i < 3000; i++) {
    for (uint64_t nth = 1; nth <= 2; nth++) { /* where it grows */
      const uint64_t n = names.n, length = names.length;
      lsi_mem_fail_nth(nth, true);
      const bool added = lsi_names_add(&names, 'm', name, i % sizeof name);
      lsi_mem_fail_nth(0, false);
      if (added) continue;
      assert_int_equal(names.n, n);
      assert_int_equal(names.length, length);
      failed++;
    }
    assert_true(lsi_names_add(&names, 'm', name, i % sizeof name));
    assert_int_equal(strlen(lsi_names_get(&names, names.n - 1)), i % sizeof name);
  }
  assert_in_range(failed, 4, 100);
  lsi_names_free(&names);
  assert_int_equal(lsi_mem_live(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(order_is_that_of_strcmp),
                                     cmocka_unit_test(no_memory_leaves_the_list)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
