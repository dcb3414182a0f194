/* The helper threads of a context: who does what is handed over, and when it is known. */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/helpers.h"
#include "fork_child.h"
#include "ground/mem.h"
#include "seams/os.h"

static struct lsi_helpers *helpers;
static int64_t live_before;

static int begin(void **state) {
  (void)state;
  live_before = lsi_mem_live();
  helpers = lsi_helpers_create();
  return helpers ? 0 : -1;
}

static int end(void **state) {
  (void)state;
  lsi_helpers_destroy(helpers);
  return lsi_mem_live() == live_before ? 0 : -1;
}

/* A task that waits to be let through. */
struct errand {
  struct lsi_task task;
  sem_t *gate; /* NULL: there is none */
  unsigned number;
  sem_t done;
};

static sem_t began;
static atomic_uint at_once, most, done;
static atomic_uint order[64]; /* round and round: two may write to one place */

static void run(void *arg) {
  struct errand *e = arg;
  const unsigned n = atomic_fetch_add(&at_once, 1) + 1;
  for (unsigned seen = atomic_load(&most); n > seen && !atomic_compare_exchange_weak(&most, &seen, n);) {
  }
  sem_post(&began);
  if (e->gate) sem_wait(e->gate);
  order[atomic_fetch_add(&done, 1) % LSI_COUNTOF(order)] = e->number;
  atomic_fetch_sub(&at_once, 1);
  sem_post(&e->done);
}

static void make(struct errand *e, sem_t *gate, unsigned number) {
  *e = (struct errand){.task = {.run = run, .arg = e}, .gate = gate, .number = number};
  sem_init(&e->done, 0, 0);
}

static void hand_over(struct errand *e, sem_t *gate, unsigned number) {
  make(e, gate, number);
  lsi_helpers_do(helpers, &e->task);
}

static void ends(struct errand *e) {
  sem_wait(&e->done);
  sem_destroy(&e->done);
}

static void anew(void) {
  sem_init(&began, 0, 0);
  atomic_store(&most, 0);
  atomic_store(&done, 0);
}

/* Whoever is asleep does the next one: one thread does them all. */
static void free_thread_is_used_again(void **state) {
  (void)state;
  anew();
  assert_int_equal(lsi_helpers_size(helpers), 0);
  for (unsigned i = 0; i < 200; i++) {
    struct errand e;
    hand_over(&e, NULL, i);
    ends(&e);
    assert_int_equal(atomic_load(&done), i + 1);
    wait_until_others_sleep();
  }
  assert_int_equal(lsi_helpers_size(helpers), 1);
}

static void at_most_so_many_at_once_in_order(void **state) {
  (void)state;
  enum { MORE = 8 };
  struct errand held[LSI_HELPERS_MOST], more[MORE];
  sem_t gates[LSI_HELPERS_MOST];
  anew();
  for (unsigned i = 0; i < LSI_HELPERS_MOST; i++) {
    sem_init(&gates[i], 0, 0);
    hand_over(&held[i], &gates[i], i);
    sem_wait(&began);
  }
  for (unsigned i = 0; i < MORE; i++) hand_over(&more[i], NULL, 100 + i);
  assert_true(lsi_helpers_are_behind(helpers));
  assert_int_equal(lsi_helpers_size(helpers), LSI_HELPERS_MOST);
  assert_int_equal(atomic_load(&done), 0);
  sem_post(&gates[2]); /* the only one that is free does the rest */
  for (unsigned i = 0; i < MORE; i++) ends(&more[i]);
  assert_int_equal(order[0], 2);
  for (unsigned i = 0; i < MORE; i++) assert_int_equal(order[1 + i], 100 + i);
  for (unsigned i = 0; i < LSI_HELPERS_MOST; i++) {
    if (i != 2) sem_post(&gates[i]);
    ends(&held[i]);
    sem_destroy(&gates[i]);
  }
  assert_int_equal(atomic_load(&most), LSI_HELPERS_MOST);
  assert_int_equal(lsi_helpers_size(helpers), LSI_HELPERS_MOST);
}

/* What is offered is claimed again and again: the thread that is there sleeps on. What is not is done all the same. */
static void offers_wait_to_be_claimed(void **state) {
  (void)state;
  struct errand e;
  unsigned claimed = 0;
  anew();
  for (unsigned i = 0; i < 2000; i++) {
    make(&e, NULL, i);
    lsi_helpers_offer(helpers, &e.task);
    const bool mine = lsi_helpers_claim(helpers, &e.task);
    claimed += mine;
    if (!mine) ends(&e);
    assert_int_equal(atomic_load(&done), i + 1 - claimed);
  }
  assert_true(claimed > 0);
  for (unsigned i = 0; i < 20; i++) {
    make(&e, NULL, i);
    lsi_helpers_offer(helpers, &e.task);
    ends(&e);
  }
}

/* Who offers one more has not come for the first. */
static void two_offers_are_not_left_waiting(void **state) {
  (void)state;
  anew();
  for (unsigned i = 0; i < 200; i++) {
    struct errand e[3];
    for (unsigned k = 0; k < 3; k++) make(&e[k], NULL, k);
    lsi_helpers_offer(helpers, &e[0].task);
    const bool mine = lsi_helpers_claim(helpers, &e[0].task); /* somebody looks from now on, as a rule */
    for (unsigned k = 1; k < 3; k++) lsi_helpers_offer(helpers, &e[k].task);
    for (unsigned k = mine; k < 3; k++) ends(&e[k]);
  }
  assert_true(atomic_load(&done) >= 400);
}

/* Their memory is the caller's again at once. */
static void hand_over_many(void *arg) {
  atomic_uint *count = arg;
  for (unsigned i = 0; i < 500; i++) {
    struct errand e[3];
    for (unsigned k = 0; k < 3; k++) hand_over(&e[k], NULL, k);
    for (unsigned k = 0; k < 3; k++) ends(&e[k]);
    atomic_fetch_add(count, 3);
  }
}

static void several_threads_hand_over(void **state) {
  (void)state;
  anew();
  atomic_uint count = 0;
  struct lsi_thread *threads[3];
  for (int i = 0; i < 3; i++)
    assert_int_equal(lsi_os_thread_start(&threads[i], "test", hand_over_many, &count), 0);
  for (int i = 0; i < 3; i++) lsi_os_thread_join(threads[i]);
  assert_int_equal(count, 3 * 500 * 3);
  assert_int_equal(atomic_load(&done), 3 * 500 * 3);
  assert_true(lsi_helpers_size(helpers) <= LSI_HELPERS_MOST);
  assert_true(atomic_load(&most) <= LSI_HELPERS_MOST);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(free_thread_is_used_again, begin, end),
      cmocka_unit_test_setup_teardown(at_most_so_many_at_once_in_order, begin, end),
      cmocka_unit_test_setup_teardown(offers_wait_to_be_claimed, begin, end),
      cmocka_unit_test_setup_teardown(two_offers_are_not_left_waiting, begin, end),
      cmocka_unit_test_setup_teardown(several_threads_hand_over, begin, end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
