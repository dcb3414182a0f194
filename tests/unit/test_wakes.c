/* When the consumer of a queue may be left alone although there is something to take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/wakes.h"

#define NOW 1000000000u

/* The consumer was woken 50 us ago, and 100 jobs go on. */
static struct lsi_wakes busy(void) {
  return (struct lsi_wakes){.enough = 16, .running = 100, .woken_ns = NOW - 50000};
}

static const uint64_t before = NOW - 60000, after = NOW - 40000; /* that */

static void while_others_go_on(void **state) {
  (void)state;
  struct lsi_wakes w = busy();
  assert_true(lsi_wakes_holds(&w, 1, before, NOW));
  assert_true(lsi_wakes_holds(&w, 63, before, NOW));
  assert_false(lsi_wakes_holds(&w, 64, before, NOW));
  w.running = 16;
  assert_true(lsi_wakes_holds(&w, 1, before, NOW));
  w.running = 15;
  assert_false(lsi_wakes_holds(&w, 1, before, NOW));
  w.running = 0;
  assert_false(lsi_wakes_holds(&w, 1, before, NOW));
}

static void for_a_while(void **state) {
  (void)state;
  struct lsi_wakes w = busy();
  const uint64_t end = w.woken_ns + LSI_WAKE_NS;
  assert_true(lsi_wakes_holds(&w, 1, before, end - 1));
  assert_false(lsi_wakes_holds(&w, 1, before, end));
  assert_true(lsi_wakes_holds(&w, 1, before, w.woken_ns - 1)); /* other threads' clocks are read earlier */
  w.woken_ns = 0;                                              /* never yet */
  assert_false(lsi_wakes_holds(&w, 1, 0, NOW));
}

static void not_for_what_it_asked_for_since(void **state) {
  (void)state;
  const struct lsi_wakes w = busy();
  assert_false(lsi_wakes_holds(&w, 1, after, NOW));
}

static void not_without_an_alarm(void **state) {
  (void)state;
  struct lsi_wakes w = busy();
  w.never = true;
  assert_false(lsi_wakes_holds(&w, 1, before, NOW));
}

static void what_is_held_becomes_due(void **state) {
  (void)state;
  struct lsi_wakes w = busy();
  const uint64_t end = w.woken_ns + LSI_WAKE_NS;
  assert_false(lsi_wakes_due(&w, end));
  w.held = true;
  assert_false(lsi_wakes_due(&w, end - 1));
  assert_true(lsi_wakes_due(&w, end));
  assert_true(lsi_wakes_due(&w, UINT64_MAX));
}

/* What is held while the alarm is set is looked at within 1 ms. */
static void the_alarm_looks_in_time(void **state) {
  (void)state;
  struct lsi_wakes w = busy();
  w.held = true;
  assert_true(lsi_wakes_look(&w, NOW) == w.woken_ns + LSI_WAKE_NS);
  w.held = false;
  assert_true(lsi_wakes_look(&w, NOW) == NOW + 1000000);
  w.running = 0;
  assert_true(lsi_wakes_look(&w, NOW) == 0);
  w.running = 1;
  assert_true(lsi_wakes_look(&w, w.woken_ns + 100 * (uint64_t)LSI_WAKE_NS) == 0);
  assert_true(lsi_wakes_look(&w, UINT64_MAX) == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(while_others_go_on),
      cmocka_unit_test(for_a_while),
      cmocka_unit_test(not_for_what_it_asked_for_since),
      cmocka_unit_test(not_without_an_alarm),
      cmocka_unit_test(what_is_held_becomes_due),
      cmocka_unit_test(the_alarm_looks_in_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
