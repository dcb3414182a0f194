/* Blocks of results: each lies on 64 bytes with as many behind it, none moves, and the memory goes back with
 * the last who holds it, wherever that is. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine_job.h"
#include "memory/block.h"

/* Fills a block with results of random lengths, each of its own byte. */
static struct lsi_block *fill(struct lsi_pool *pool, struct engine_job *dice) {
  const uint64_t room = 1 + engine_job_random(dice, 100000), most = 1 + engine_job_random(dice, room);
  struct lsi_block *b = lsi_block_create(pool, room);
  assert_non_null(b);
  assert_non_null(lsi_block_place(b, room)); /* what it was made for */
  assert_null(lsi_block_place(b, b->room));
  for (uint32_t i = 0;; i++) {
    const uint64_t length = engine_job_random(dice, most);
    char *at = lsi_block_place(b, length);
    if (!at) break;
    assert_int_equal((uintptr_t)at % LSI_BLOCK_ALIGN, 0);
    memset(at, (int)(i & 255), length + LSI_BLOCK_ALIGN); /* the bytes behind are not anybody else's */
    assert_int_equal(lsi_block_add(b, (struct lsio_result){.step = i, .length = length}), i);
  }
  return b;
}

static void check(const struct lsi_block *b) {
  assert_true(b->n && b->n <= b->cap);
  for (uint32_t i = 0; i < b->n; i++) {
    const struct lsio_result *r = &b->results[i];
    assert_int_equal(r->step, i);
    assert_true(r->begin + r->length + LSI_BLOCK_ALIGN <= b->room);
    for (uint64_t k = 0; k < r->length; k++)
      if ((uint8_t)b->data[r->begin + k] != (i & 255)) fail_msg("byte %llu of result %u", (unsigned long long)k, i);
  }
}

static void one_seed(uint64_t seed) {
  struct engine_job dice = {.rng = seed};
  struct lsi_pool *pool = engine_job_random(&dice, 4) ? lsi_pool_create() : NULL;
  if (pool) lsi_pool_limit(pool, 4u << 20);
  struct lsi_block *a = fill(pool, &dice), *b = fill(pool, &dice);
  check(a);
  lsi_block_hold(a);
  lsi_block_drop(a);
  check(b);
  lsi_block_drop(b);
  if (pool) { /* its context goes */
    assert_true(lsi_pool_lent(pool) >= a->size);
    lsi_pool_close(pool);
    lsi_pool_drop(pool);
  }
  check(a);
  lsi_block_drop(a);
}

static void results_lie_apart(void **state) {
  (void)state;
  engine_job_seeds(one_seed, 1, 500);
}

#define THREADS 4
#define TIMES 20000

static void *hold_and_drop(void *block) {
  for (int i = 0; i < TIMES; i++) {
    lsi_block_hold(block);
    check(block);
    lsi_block_drop(block);
  }
  lsi_block_drop(block);
  return NULL;
}

static void the_last_one_gives_it_back(void **state) {
  (void)state;
  struct lsi_pool *pool = lsi_pool_create();
  assert_non_null(pool);
  struct lsi_block *b = lsi_block_create(pool, 1000);
  assert_non_null(b);
  lsi_block_add(b, (struct lsio_result){0});
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) lsi_block_hold(b);
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, hold_and_drop, b), 0);
  lsi_block_drop(b);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(lsi_pool_lent(pool), 0);
  lsi_pool_drop(pool);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(results_lie_apart),
                                     cmocka_unit_test(the_last_one_gives_it_back)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
