/* Who takes which unit, asked of the hand-out itself: what goes wrong here shows in a run only as a job that
 * hangs once in a long time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/state/run.h"
#include "ground/mem.h"

#define WORKERS 3u
#define UNITS 40u

static struct lsi_extent extents[UNITS];
static uint32_t unit_extent[UNITS + 1];
static struct lsi_section section;
static struct lsi_plan plan;
static struct lsi_section_state state;
static struct lsi_run *run;

static int set_up(void **unused) {
  (void)unused;
  for (uint32_t u = 0; u <= UNITS; u++) unit_extent[u] = u;
  for (uint32_t u = 0; u < UNITS; u++)
    extents[u] = (struct lsi_extent){.offset = (uint64_t)u << 20, .length = 1u << 20};
  section = (struct lsi_section){.unit_begin = 0, .unit_end = UNITS, .bytes = (uint64_t)UNITS << 20};
  plan = (struct lsi_plan){.n_units = UNITS, .extents = extents, .unit_extent = unit_extent, .n_sections = 1,
                           .sections = &section, .unit_bytes_max = 1u << 20};
  run = lsi_calloc(1, sizeof *run);
  run->workers = lsi_alloc_aligned(LSI_CACHE_LINE, WORKERS * sizeof *run->workers);
  memset((void *)run->workers, 0, WORKERS * sizeof *run->workers);
  static const struct lsi_request request; /* of which only its being whole is asked */
  run->wave.request = &request;
  run->wave.plan = &plan;
  run->n_workers = WORKERS;
  run->wave.sections = &state;
  atomic_init(&state.cursor, 0);
  atomic_init(&state.bytes_taken, 0);
  for (uint32_t i = 0; i < WORKERS; i++) {
    run->workers[i].run = run;
    run->workers[i].reader.wave = &run->wave;
    run->workers[i].index = i;
    run->workers[i].reader.depth.ops = 32;
  }
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  lsi_free(run->workers);
  lsi_free(run);
  return 0;
}

static uint32_t take(struct lsi_worker *w) {
  return lsi_take_units(w) ? w->reader.units_end - w->reader.next_unit : 0;
}

/* The section is handed out; worker 1 has not begun some of its units. */
static void all_but_a_range(void) {
  while (take(&run->workers[0])) {
  }
  atomic_store(&run->workers[1].range, (uint64_t)20 << 32 | 30);
}

static void every_unit_is_taken_once(void **unused) {
  (void)unused;
  unsigned taken[UNITS] = {0};
  for (uint32_t i = 0, idle = 0; idle < WORKERS; i = (i + 1) % WORKERS) {
    struct lsi_worker *w = &run->workers[i];
    idle = take(w) ? 0 : idle + 1;
    for (uint32_t u = idle ? w->reader.units_end : w->reader.next_unit; u < w->reader.units_end; u++) taken[u]++;
  }
  for (uint32_t u = 0; u < UNITS; u++) assert_int_equal(taken[u], 1);
}

static void an_idle_worker_takes_the_upper_half_of_what_is_not_begun(void **unused) {
  (void)unused;
  all_but_a_range();
  assert_int_equal(take(&run->workers[2]), 1);
  assert_int_equal(run->workers[2].reader.next_unit, 25);
  assert_int_equal(atomic_load(&run->workers[1].range), (uint64_t)20 << 32 | 25);
  assert_int_equal(atomic_load(&run->workers[2].range), (uint64_t)26 << 32 | 30);
}

/* Units of each worker ascend while any is in flight: a stolen one that is older than what waits for the
 * window would wait for it for ever. */
static void a_busy_worker_does_not_steal(void **unused) {
  (void)unused;
  all_but_a_range();
  run->workers[2].reader.flights = 1;
  assert_int_equal(take(&run->workers[2]), 0);
  run->workers[2].reader.flights = 0;
  run->workers[2].stepper.n_ready = 1;
  assert_int_equal(take(&run->workers[2]), 0);
  assert_int_equal(atomic_load(&run->workers[1].range), (uint64_t)20 << 32 | 30);
  run->workers[2].stepper.n_ready = 0;
  assert_int_equal(take(&run->workers[2]), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(every_unit_is_taken_once, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_idle_worker_takes_the_upper_half_of_what_is_not_begun, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_busy_worker_does_not_steal, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
