/* Alarms: each rings once it is due, by time, as often as it asks for, never after it has been dropped; and the
 * thread that minds them takes no CPU while it has to wait. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/state/alarms.h"
#include "engine_job.h"
#include "ground/mem.h"

#define ALARMS 100

struct counted {
  struct lsi_alarm alarm;
  atomic_uint rung;
  uint64_t every_ns; /* 0: once */
  uint64_t last_ns;
};

static struct counted all[ALARMS];
static struct engine_time world;

static uint64_t ring(void *user, uint64_t now) {
  struct counted *c = user;
  assert_true(now >= c->alarm.at_ns);
  assert_true(now >= c->last_ns);
  c->last_ns = now;
  atomic_fetch_add(&c->rung, 1);
  return c->every_ns ? now + c->every_ns : 0;
}

static void set_every(struct lsi_alarms *a, struct counted *c, uint64_t at_ns, uint64_t every_ns) {
  memset(c, 0, sizeof *c);
  c->every_ns = every_ns;
  c->alarm = (struct lsi_alarm){.at_ns = at_ns, .ring = ring, .user = c};
  lsi_alarms_set(a, &c->alarm);
}

static void set(struct lsi_alarms *a, struct counted *c, uint64_t at_ns) { set_every(a, c, at_ns, 0); }

/* ---- by hand, in a time of its own ---- */

static void they_ring_by_time(void **state) {
  (void)state;
  engine_time_begin(&world);
  struct lsi_alarms *a = lsi_alarms_create();
  const uint64_t begin = world.now;
  assert_true(lsi_alarms_look(a) == UINT64_MAX);
  for (uint64_t i = 0; i < ALARMS; i++) set(a, &all[i], begin + 1000000 * (1 + i * 37 % ALARMS));
  for (uint64_t k = 1; k <= ALARMS; k++) {
    assert_true(lsi_alarms_look(a) == begin + 1000000 * k);
    for (uint64_t i = 0; i < ALARMS; i++)
      assert_int_equal(atomic_load(&all[i].rung), 1 + i * 37 % ALARMS < k);
    world.now = begin + 1000000 * k;
  }
  assert_true(lsi_alarms_look(a) == UINT64_MAX);
  for (uint64_t i = 0; i < ALARMS; i++) assert_int_equal(atomic_load(&all[i].rung), 1);
  for (uint64_t i = 0; i < ALARMS; i++) lsi_alarms_drop(a, &all[i].alarm);
  lsi_alarms_destroy(a);
  engine_time_end();
}

static void one_rings_again_until_it_is_dropped(void **state) {
  (void)state;
  engine_time_begin(&world);
  struct lsi_alarms *a = lsi_alarms_create();
  set_every(a, &all[0], world.now + 1000, 1000000);
  set(a, &all[1], world.now + 5000000);
  for (unsigned i = 1; i < 5; i++) {
    world.now = lsi_alarms_look(a);
    lsi_alarms_look(a);
    assert_int_equal(atomic_load(&all[0].rung), i);
  }
  lsi_alarms_drop(a, &all[0].alarm);
  world.now += 100000000;
  assert_true(lsi_alarms_look(a) == UINT64_MAX);
  assert_int_equal(atomic_load(&all[0].rung), 4);
  assert_int_equal(atomic_load(&all[1].rung), 1);
  lsi_alarms_drop(a, &all[1].alarm);
  lsi_alarms_destroy(a);
  engine_time_end();
}

static void dropped_ones_are_gone(void **state) {
  (void)state;
  engine_time_begin(&world);
  struct lsi_alarms *a = lsi_alarms_create();
  for (uint64_t i = 0; i < ALARMS; i++) set(a, &all[i], world.now + 100000 + i * 37 % ALARMS);
  for (uint64_t i = 0; i < ALARMS; i += 3) { /* the first, the last and those between */
    lsi_alarms_drop(a, &all[i].alarm);
    memset(&all[i].alarm, 0xa5, sizeof all[i].alarm);
  }
  world.now += 1000000;
  assert_true(lsi_alarms_look(a) == UINT64_MAX);
  for (uint64_t i = 0; i < ALARMS; i++) assert_int_equal(atomic_load(&all[i].rung), i % 3 != 0);
  lsi_alarms_destroy(a);
  engine_time_end();
}

static uint64_t drop_itself(void *user, uint64_t now) {
  struct lsi_alarm *m = user;
  struct lsi_alarms *a = *(struct lsi_alarms **)(m + 1);
  lsi_alarms_drop(a, m);
  lsi_free(m);
  return now + 1;
}

static void one_drops_itself(void **state) {
  (void)state;
  struct lsi_alarms *a = lsi_alarms_create();
  struct lsi_alarm *m = lsi_calloc(1, sizeof *m + sizeof a);
  memcpy(m + 1, &a, sizeof a);
  *m = (struct lsi_alarm){.at_ns = 1, .ring = drop_itself, .user = m};
  lsi_alarms_set(a, m);
  assert_true(lsi_alarms_look(a) == UINT64_MAX);
  lsi_alarms_destroy(a);
}

static struct lsi_alarms *world_of;

/* Set by somebody who thinks that it will not ring any more, which it is about to say itself. */
static uint64_t set_anew(void *user, uint64_t now) {
  struct counted *c = user;
  if (atomic_fetch_add(&c->rung, 1)) return 0;
  c->last_ns = c->alarm.at_ns = now + 5000000;
  lsi_alarms_set(world_of, &c->alarm);
  return 0;
}

static void one_is_set_anew_while_it_rings(void **state) {
  (void)state;
  engine_time_begin(&world);
  struct lsi_alarms *a = world_of = lsi_alarms_create();
  memset(&all[0], 0, sizeof all[0]);
  all[0].alarm = (struct lsi_alarm){.at_ns = world.now, .ring = set_anew, .user = &all[0]};
  lsi_alarms_set(a, &all[0].alarm);
  const uint64_t next = lsi_alarms_look(a);
  assert_int_equal(atomic_load(&all[0].rung), 1);
  assert_true(next == all[0].last_ns);
  world.now = next;
  assert_true(lsi_alarms_look(a) == UINT64_MAX);
  assert_int_equal(atomic_load(&all[0].rung), 2);
  lsi_alarms_destroy(a);
  engine_time_end();
}

/* ---- with the thread ---- */

static struct lsi_alarms *begin(void) {
  struct lsi_alarms *a = lsi_alarms_create();
  assert_non_null(a);
  assert_int_equal(lsi_alarms_begin(a, NULL), 0);
  assert_int_equal(lsi_alarms_begin(a, NULL), 0);
  return a;
}

static void wait_for(struct counted *c, unsigned times) {
  const uint64_t from = lsi_os_now_ns();
  while (atomic_load(&c->rung) < times) {
    if (lsi_os_now_ns() - from > 60000000000u) fail_msg("it does not ring");
    lsi_os_sleep_ns(200000);
  }
}

static void nearer_ones_wake_the_thread(void **state) {
  (void)state;
  struct lsi_alarms *a = begin();
  const uint64_t now = lsi_os_now_ns();
  set(a, &all[0], now + 3600000000000u);
  set(a, &all[1], now + 2000000);
  set(a, &all[2], now);
  wait_for(&all[2], 1);
  wait_for(&all[1], 1);
  set(a, &all[3], lsi_os_now_ns() + 1000000);
  wait_for(&all[3], 1);
  assert_int_equal(atomic_load(&all[0].rung), 0);
  for (int i = 0; i < 4; i++) lsi_alarms_drop(a, &all[i].alarm);
  lsi_alarms_destroy(a);
}

static uint64_t last_ring(void *user, uint64_t now) {
  atomic_fetch_add((atomic_uint *)user, now == UINT64_MAX ? 1 : 1000);
  return 0;
}

static void those_left_ring_a_last_time(void **state) {
  (void)state;
  struct lsi_alarms *a = begin();
  atomic_uint rung = 0;
  struct lsi_alarm left[5];
  for (unsigned i = 0; i < 5; i++) {
    left[i] = (struct lsi_alarm){.at_ns = lsi_os_now_ns() + 3600000000000u * (i + 1), .ring = last_ring, .user = &rung};
    lsi_alarms_set(a, &left[i]);
  }
  lsi_alarms_destroy(a);
  assert_int_equal(atomic_load(&rung), 5);
}

static atomic_bool in_ring, may_leave, dropped;

static uint64_t slow_ring(void *user, uint64_t now) {
  (void)user;
  atomic_store(&in_ring, 1);
  while (!atomic_load(&may_leave)) lsi_os_sleep_ns(100000);
  assert_int_equal(atomic_load(&dropped), 0); /* whoever drops it waits */
  return now + 1;
}

static void *drop(void *arg) {
  lsi_alarms_drop(arg, &all[0].alarm);
  atomic_store(&dropped, 1);
  return NULL;
}

static void one_that_rings_is_waited_for(void **state) {
  (void)state;
  struct lsi_alarms *a = begin();
  all[0].alarm = (struct lsi_alarm){.at_ns = 1, .ring = slow_ring};
  lsi_alarms_set(a, &all[0].alarm);
  while (!atomic_load(&in_ring)) lsi_os_sleep_ns(100000);
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, drop, a), 0);
  lsi_os_sleep_ns(5000000);
  assert_int_equal(atomic_load(&dropped), 0);
  atomic_store(&may_leave, 1);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(atomic_load(&dropped), 1);
  lsi_alarms_destroy(a);
}

static void *client(void *arg) {
  struct lsi_alarms *a = arg;
  struct counted mine;
  for (unsigned i = 0; i < 2000; i++) {
    set_every(a, &mine, lsi_os_now_ns() + i % 7 * 20000, i % 3 * 1000);
    if (i % 5 == 0) lsi_os_sleep_ns(i % 11 * 10000);
    lsi_alarms_drop(a, &mine.alarm);
  }
  return NULL;
}

static void several_threads_set_and_drop(void **state) {
  (void)state;
  struct lsi_alarms *a = begin();
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, client, a), 0);
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_true(lsi_alarms_look(a) == UINT64_MAX);
  lsi_alarms_destroy(a);
}

/* Of the whole process, in which nothing else happens. */
static void it_sleeps_until_then(void **state) {
  (void)state;
  struct lsi_alarms *a = begin();
  set(a, &all[0], lsi_os_now_ns() + 3600000000000u);
  set(a, &all[1], lsi_os_now_ns() + 7200000000000u);
  lsi_os_sleep_ns(20000000); /* it goes to sleep */
  const uint64_t before = lsi_os_cpu_ns();
  lsi_os_sleep_ns(100000000);
  assert_true(lsi_os_cpu_ns() - before < 20000000);
  lsi_alarms_drop(a, &all[0].alarm);
  lsi_alarms_drop(a, &all[1].alarm);
  lsi_alarms_destroy(a);
}

static void no_memory(void **state) {
  (void)state;
  const int64_t live = lsi_mem_live();
  for (uint64_t n = 1;; n++) {
    lsi_mem_fail_nth(n, true);
    struct lsi_alarms *a = lsi_alarms_create();
    const int rc = a ? lsi_alarms_begin(a, NULL) : LSIO_ERR_NOMEM;
    lsi_mem_fail_nth(0, false);
    lsi_alarms_destroy(a);
    assert_int_equal(lsi_mem_live(), live);
    if (rc == 0) break;
    assert_true(n < 20);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(they_ring_by_time),
                                     cmocka_unit_test(one_rings_again_until_it_is_dropped),
                                     cmocka_unit_test(dropped_ones_are_gone),
                                     cmocka_unit_test(one_drops_itself),
                                     cmocka_unit_test(one_is_set_anew_while_it_rings),
                                     cmocka_unit_test(nearer_ones_wake_the_thread),
                                     cmocka_unit_test(those_left_ring_a_last_time),
                                     cmocka_unit_test(one_that_rings_is_waited_for),
                                     cmocka_unit_test(several_threads_set_and_drop),
                                     cmocka_unit_test(it_sleeps_until_then),
                                     cmocka_unit_test(no_memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
