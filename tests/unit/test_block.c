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
#include "seams/os.h"

/* Fills a block with results of random lengths, each of its own byte. */
static struct lsi_block *fill(struct lsi_pool *pool, struct engine_job *dice) {
  const uint64_t room = 1 + engine_job_random(dice, 100000), most = 1 + engine_job_random(dice, room);
  struct lsi_block *b = lsi_block_create(pool, NULL, room, (uint32_t)engine_job_random(dice, 400));
  assert_non_null(b);
  assert_non_null(lsi_block_place(b, room)); /* what it was made for */
  assert_null(lsi_block_place(b, b->room));
  for (uint32_t i = 0;; i++) {
    const uint64_t length = engine_job_random(dice, most);
    char *at = lsi_block_place(b, length);
    if (!at) break;
    assert_int_equal((uintptr_t)at % LSI_BLOCK_ALIGN, 0);
    memset(at, (int)(i & 255), length + LSI_BLOCK_ALIGN); /* the bytes behind are not anybody else's */
    assert_int_equal(lsi_block_add(b, at, (struct lsio_result){.step = i, .length = length}), i);
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
  struct lsi_block *b = lsi_block_create(pool, NULL, 1000, 0);
  assert_non_null(b);
  lsi_block_add(b, b->data, (struct lsio_result){0});
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) lsi_block_hold(b);
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, hold_and_drop, b), 0);
  lsi_block_drop(b);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(lsi_pool_lent(pool), 0);
  lsi_pool_drop(pool);
}

/* A block of one's own takes what its results do, and is the same otherwise. */
static void one_of_its_own(struct lsi_ledger *ledger, uint64_t bytes) {
  struct lsi_block *b = lsi_block_create_own(ledger, bytes);
  assert_non_null(b);
  uint64_t data = 0;
  for (char *at; (at = lsi_block_place(b, bytes)); data += bytes) {
    assert_int_equal((uintptr_t)at % LSI_BLOCK_ALIGN, 0);
    memset(at, (int)(b->n & 255), bytes + LSI_BLOCK_ALIGN);
    lsi_block_add(b, at, (struct lsio_result){.step = b->n, .length = bytes});
  }
  check(b);
  if (bytes > 2048) assert_int_equal(b->n, 1);
  else assert_true(data <= 4096 && 4096 - lsi_round_up(bytes, 64) * b->n < LSI_MAX(lsi_round_up(bytes, 64), 4097 * !bytes));
  lsi_block_lend(b);
  struct lsi_ledger_figures f;
  lsi_ledger_look(ledger, &f);
  assert_int_equal(f.shared, 0);
  const uint64_t of_results = b->n * (lsi_round_up(bytes, 64) + sizeof(struct lsio_result));
  assert_true(f.lent >= data + b->n * sizeof(struct lsio_result));
  if (f.lent > of_results + 512 && f.lent > of_results + of_results / 10)
    fail_msg("%llu results of %llu bytes take %llu", (unsigned long long)b->n, (unsigned long long)bytes,
             (unsigned long long)f.lent);
  lsi_block_regain(b);
  lsi_ledger_look(ledger, &f);
  assert_int_equal(f.lent, 0);
}

static void none_takes_more_than_its_results(void **state) {
  (void)state;
  struct lsi_ledger *ledger = lsi_ledger_create();
  assert_non_null(ledger);
  static const uint64_t sizes[] = {0, 1, 63, 64, 65, 100, 2047, 2048, 2049, 4095, 4096, 4097, 65536,
                                   (1u << 20) - 300, (1u << 20) - 1, 1u << 20, 3u << 20, (5u << 20) + 1};
  for (size_t i = 0; i < LSI_COUNTOF(sizes); i++) one_of_its_own(ledger, sizes[i]);
  assert_null(lsi_block_create_own(ledger, UINT64_MAX));
  assert_null(lsi_block_create_own(ledger, SIZE_MAX - 70000));
  assert_null(lsi_block_create(NULL, ledger, UINT64_MAX, 0));
  lsi_ledger_drop(ledger);
}

#define LEASES 200

struct leased {
  char *at;
  uint64_t bytes;
  uint32_t results, added;
};

/* In any order: a result somewhere in one of the leases. */
static void add_one(struct lsi_block *b, struct engine_job *dice, struct leased *l) {
  const uint64_t from = engine_job_random(dice, l->bytes + 1), most = l->bytes - from;
  const uint64_t length = most ? engine_job_random(dice, most + 1) : 0;
  const uint32_t i = lsi_block_add(b, l->at + from, (struct lsio_result){.length = length});
  const struct lsio_result *r = &b->results[i];
  assert_true(b->data + r->begin == l->at + from && r->begin + r->length + LSI_BLOCK_ALIGN <= b->room);
  assert_int_equal(r->flags, length && (uintptr_t)(l->at + from) % 64 ? LSIO_RESULT_UNALIGNED : 0);
  l->added++;
}

static void lease_seed(uint64_t seed) {
  struct engine_job dice = {.rng = seed};
  static struct leased all[LEASES];
  const uint64_t room = 1 + engine_job_random(&dice, 400000);
  const uint32_t results = (uint32_t)engine_job_random(&dice, 5000);
  struct lsi_block *b = lsi_block_create(NULL, NULL, room, results);
  assert_non_null(b);
  assert_int_equal((uintptr_t)b->data % 4096, 0);
  assert_true(b->cap >= results);
  uint32_t n = 0, left = b->cap;
  char *end = b->data;
  while (n < LEASES) {
    const uint64_t align = engine_job_random(&dice, 2) ? 64 : 4096;
    struct leased *l = &all[n];
    *l = (struct leased){.bytes = engine_job_random(&dice, 60000),
                           .results = (uint32_t)engine_job_random(&dice, LSI_MIN(100, b->cap))};
    if (n == 0) l->bytes = room; /* what it was made for, and most of it given back */
    l->at = lsi_block_lease(b, l->bytes, align, l->results);
    if (!l->at) break;
    assert_true((uintptr_t)l->at % align == 0 && l->at >= end && l->results <= left);
    left -= l->results;
    if (n == 0 || engine_job_random(&dice, 4) == 0) {
      l->bytes = engine_job_random(&dice, l->bytes + 1) / 16;
      lsi_block_trim(b, l->at + l->bytes);
    }
    end = l->at + l->bytes;
    assert_true(end + LSI_BLOCK_ALIGN <= b->data + b->room);
    n++;
  }
  assert_true(n);
  for (uint32_t k = 0; k < 4 * LEASES; k++) {
    struct leased *l = &all[engine_job_random(&dice, n)];
    if (l->added < l->results) add_one(b, &dice, l);
  }
  assert_true(b->n <= b->cap);
  lsi_block_drop(b);
}

static void leases_lie_apart(void **state) {
  (void)state;
  assert_null(lsi_block_lease(NULL, 0, 64, 0));
  engine_job_seeds(lease_seed, 1, 1000);
}

/* What has been handed out of it stays, and is never used again. */
static void what_is_given_up_goes_nowhere(void **state) {
  (void)state;
  struct lsi_pool *pool = lsi_pool_create();
  assert_non_null(pool);
  lsi_pool_limit(pool, 64u << 20);
  struct lsi_block *b = lsi_block_create(pool, NULL, 1000, 1);
  assert_non_null(b);
  char *memory = b->data;
  lsi_block_hold(b);
  lsi_block_give_up(b);
  lsi_block_drop(b);
  memory[0] = 1;
  lsi_block_drop(b);
  memory[0] = 2;
  struct lsi_block *other = lsi_block_create(pool, NULL, 1000, 1);
  assert_non_null(other);
  assert_true(other->data != memory && lsi_pool_kept(pool) == 0);
  memory[0] = 3;
  lsi_os_unmap(memory, other->size);
  lsi_block_drop(other);
  lsi_pool_drop(pool);
}

/* What is shared has half of the ledger, wherever it is; what is the program's counts, all of it once. */
static void shared_ones_have_half(void **state) {
  (void)state;
  struct lsi_ledger *ledger = lsi_ledger_create();
  struct lsi_pool *pool = lsi_pool_create();
  assert_true(ledger && pool);
  lsi_ledger_limit(ledger, 4u << 20);
  struct lsi_block *b[64];
  uint32_t n = 0;
  while ((b[n] = lsi_block_create(pool, ledger, 256u << 10, 0))) assert_true(++n < 64);
  assert_true(n == (2u << 20) / b[0]->size);
  struct lsi_ledger_figures f;
  lsi_ledger_look(ledger, &f);
  assert_true(f.shared == n * b[0]->size && f.lent == 0);
  lsi_block_hold(b[0]);
  lsi_block_hold(b[0]);
  lsi_block_lend(b[0]);
  lsi_block_lend(b[0]); /* two parts of it */
  lsi_block_lend_again(b[0]);
  lsi_block_drop(b[0]); /* who filled it */
  for (int i = 0; i < 3; i++) {
    lsi_ledger_look(ledger, &f);
    assert_int_equal(f.lent, b[0]->size);
    lsi_block_regain(b[0]);
  }
  lsi_ledger_look(ledger, &f);
  assert_int_equal(f.lent, 0);
  assert_int_equal(f.shared, (n - 1) * b[1]->size);
  lsi_block_regain(NULL);
  lsi_ledger_drop(ledger); /* their context goes */
  for (uint32_t i = 1; i < n; i++) lsi_block_drop(b[i]);
  lsi_pool_drop(pool);
}

static void *lend_and_regain(void *block) {
  for (int i = 0; i < TIMES; i++) {
    lsi_block_hold(block);
    lsi_block_lend(block);
    if (i % 3 == 0) {
      lsi_block_lend_again(block);
      check(block);
      lsi_block_regain(block);
    }
    lsi_block_regain(block);
  }
  lsi_block_drop(block);
  return NULL;
}

static void parts_come_and_go_at_once(void **state) {
  (void)state;
  struct lsi_ledger *ledger = lsi_ledger_create();
  assert_non_null(ledger);
  struct lsi_block *b = lsi_block_create(NULL, ledger, 1000, 0);
  assert_non_null(b);
  lsi_block_add(b, b->data, (struct lsio_result){0});
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) lsi_block_hold(b);
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, lend_and_regain, b), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  struct lsi_ledger_figures f;
  lsi_ledger_look(ledger, &f);
  assert_true(f.lent == 0 && f.shared == b->size && atomic_load(&b->refs) == 1);
  lsi_block_drop(b);
  lsi_ledger_look(ledger, &f);
  assert_int_equal(f.shared, 0);
  lsi_ledger_drop(ledger);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(results_lie_apart),
                                     cmocka_unit_test(the_last_one_gives_it_back),
                                     cmocka_unit_test(none_takes_more_than_its_results),
                                     cmocka_unit_test(leases_lie_apart),
                                     cmocka_unit_test(what_is_given_up_goes_nowhere),
                                     cmocka_unit_test(shared_ones_have_half),
                                     cmocka_unit_test(parts_come_and_go_at_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
