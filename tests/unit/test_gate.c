/* The gate: what comes in any order passes in that of ranks, all of it, as soon as it may; also where there is
 * no memory for what waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/state/engine.h"
#include "engine/state/gate.h"
#include "ground/mem.h"
#include "memory/block.h"
#include "plan/request.h"

#define STEPS_MOST 300u
#define FIRST_INDEX 1000u

static uint64_t rng;

static uint32_t draw(uint32_t n) {
  rng = rng * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((rng >> 33) % n);
}

/* A block of all steps' results, whose count of users does not matter. */
static struct lsio_result results[STEPS_MOST];
static struct lsi_block block = {.results = results};

static struct lsi_run_completion *completion(uint32_t step, uint32_t n) {
  struct lsi_run_completion *c = lsi_calloc(1, sizeof *c);
  *c = (struct lsi_run_completion){.from = step, .n = n, .block = &block, .bytes = 10 * n};
  if (n == 1 && draw(4) == 0) {
    c->error = lsi_malloc(sizeof *c->error);
    c->step = FIRST_INDEX + step;
    c->block = NULL;
    c->n = c->bytes = 0;
  } else {
    lsi_block_hold(&block);
  }
  return c;
}

static uint32_t first_of(const struct lsi_run_completion *c) {
  return (uint32_t)((c->error ? c->step : block.results[c->from].step) - FIRST_INDEX);
}

/* Steps in pieces of one rank or of successive steps, in any order. */
static uint32_t cut(const struct lsi_gate *g, uint32_t n, struct lsi_run_completion **list) {
  uint32_t count = 0;
  for (uint32_t at = 0, end; at < n; at = end) {
    const uint32_t most = 1 + draw(5);
    for (end = at + 1; end < n && end - at < most; end++)
      if (!lsi_gate_joins(g, FIRST_INDEX + end - 1, FIRST_INDEX + end)) break;
    list[count++] = completion(at, end - at);
  }
  for (uint32_t i = count; i > 1; i--) {
    const uint32_t k = draw(i);
    struct lsi_run_completion *c = list[i - 1];
    list[i - 1] = list[k];
    list[k] = c;
  }
  return count;
}

/* Adds what passes to *passed; its ranks never fall. */
static void take(const struct lsi_gate *g, struct lsi_run_completion *c, uint32_t *rank, uint32_t *passed) {
  for (struct lsi_run_completion *next; c; c = next) {
    next = c->next;
    const uint32_t r = lsi_gate_rank(g, first_of(c));
    if (r < *rank) fail_msg("rank %u comes after %u", r, *rank);
    if (!g->group_first) assert_int_equal(first_of(c), *passed);
    *rank = r;
    *passed += c->error ? 1 : c->n;
    lsi_run_free_completion(c);
  }
}

static struct lsi_request random_request(uint32_t *group_first) {
  struct lsi_request r = {.n_steps = 1 + draw(STEPS_MOST), .first_index = FIRST_INDEX};
  if (draw(3) == 0) return r;
  r.group_first = group_first;
  const uint32_t one_in = 1 + draw(30);
  for (uint32_t i = 0; i < r.n_steps; i++)
    if (i == 0 || draw(one_in) == 0) group_first[r.n_groups++] = i;
  group_first[r.n_groups] = r.n_steps;
  return r;
}

/* As many as may have passed, have: all steps up to the first rank that lacks one. */
static uint32_t may_have_passed(const struct lsi_gate *g, const bool *came, uint32_t n) {
  uint32_t step = 0;
  while (step < n && came[step]) step++;
  if (step == n || !g->group_first) return step;
  const uint32_t rank = lsi_gate_rank(g, step);
  for (uint32_t i = step; i < g->group_first[rank + 1]; i++) step += came[i];
  return step;
}

static void one_seed(uint64_t seed) {
  static uint32_t group_first[STEPS_MOST + 1];
  static struct lsi_run_completion *list[STEPS_MOST];
  bool came[STEPS_MOST] = {0};
  rng = seed;
  const struct lsi_request r = random_request(group_first);
  struct lsi_gate g;
  lsi_gate_init(&g, &r, !r.group_first, 100);
  assert_true(g.on);
  const uint32_t n = cut(&g, r.n_steps, list);
  uint32_t rank = 0, passed = 0;
  bool lost = false;
  for (uint32_t i = 0; i < n;) {
    struct lsi_run_completion *first = NULL, **end = &first;
    for (uint32_t k = 1 + draw(4); k && i < n; k--, end = &(*end)->next) {
      struct lsi_run_completion *c = *end = list[i++];
      for (uint32_t s = 0; s < (c->error ? 1 : c->n); s++) came[first_of(c) + s] = true;
    }
    take(&g, lsi_gate_pass(&g, first, &lost), &rank, &passed);
    assert_int_equal(passed, may_have_passed(&g, came, r.n_steps));
    if (passed == r.n_steps) continue;
    /* Of the oldest rank any step may run, of others only what there is room for. */
    const uint32_t oldest = g.group_first ? g.group_first[g.next] : g.next;
    assert_true(lsi_gate_may_run(&g, oldest, UINT64_MAX));
    assert_int_equal(lsi_gate_may_run(&g, r.n_steps - 1, 100),
                     !g.held || lsi_gate_rank(&g, r.n_steps - 1) == g.next);
    assert_true(lsi_gate_may_run(&g, r.n_steps - 1, 101) == (lsi_gate_rank(&g, r.n_steps - 1) == g.next));
  }
  assert_true(!lost && passed == r.n_steps && !g.held && !g.n);
  lsi_gate_clear(&g);
}

static void all_passes_in_order(void **state) {
  (void)state;
  const int64_t live = lsi_mem_live();
  for (uint64_t seed = 1; seed <= 3000; seed++) one_seed(seed);
  assert_int_equal(lsi_mem_live(), live);
}

/* What is lost is freed, and so is what still waits; after the end the oldest come first. */
static void no_memory(void **state) {
  (void)state;
  const int64_t live = lsi_mem_live();
  const struct lsi_request r = {.n_steps = STEPS_MOST, .first_index = FIRST_INDEX};
  for (int nth = 1; nth < 4; nth++) {
    struct lsi_gate g;
    bool lost = false;
    lsi_gate_init(&g, &r, true, 0);
    struct lsi_run_completion *first = NULL, **end = &first;
    for (uint32_t i = 1; i < STEPS_MOST; i++, end = &(*end)->next) *end = completion(STEPS_MOST - i, 1);
    lsi_mem_fail_nth((uint64_t)nth, false);
    assert_null(lsi_gate_pass(&g, first, &lost));
    lsi_mem_fail_nth(0, false);
    assert_true(lost);
    assert_null(lsi_gate_take(&g, 0));
    for (uint32_t last = 0, k = g.n / 2; k; k--) {
      struct lsi_run_completion *c = lsi_gate_take(&g, UINT32_MAX);
      assert_true(c && !c->next && first_of(c) > last);
      last = first_of(c);
      lsi_run_free_completion(c);
    }
    lsi_gate_clear(&g);
    assert_int_equal(lsi_mem_live(), live);
  }
}

static void groups_that_are_none(void **state) {
  (void)state;
  struct lsi_error e;
  struct lsi_request r = {.n_steps = 4};
  static const struct {
    int64_t group[4];
    uint64_t n;
    const char *part;
  } wrong[] = {
      {{0, 1, -2, 3}, 4, "the group of step 2 is -2; groups count from 0"},
      {{0, 5, 5, 4}, 4, "the group of step 3 is 4, but that of the step before it 5"},
      {{0, 0, 0}, 3, "there are 3 groups of steps, but 4 steps"},
  };
  for (size_t i = 0; i < LSI_COUNTOF(wrong); i++) {
    lsi_error_clear(&e);
    assert_int_equal(lsi_request_set_groups(&r, wrong[i].group, wrong[i].n, &e), LSIO_ERR_USAGE);
    if (!strstr(e.what, wrong[i].part)) fail_msg("%s", e.what);
    assert_null(r.group_first);
  }
  const int64_t good[] = {0, 7, 7, INT64_MAX};
  assert_int_equal(lsi_request_set_groups(&r, good, 4, &e), 0);
  assert_true(r.n_groups == 3 && r.group_first[1] == 1 && r.group_first[2] == 3 && r.group_first[3] == 4);
  lsi_free(r.group_first);
}

/* A shard and a limit of a request have the groups of their steps. */
static void groups_of_a_part(void **state) {
  (void)state;
  struct lsi_error e;
  for (uint64_t seed = 1; seed < 500; seed++) {
    rng = seed;
    struct lsi_request *r = lsi_request_create();
    uint32_t object;
    const struct lsi_object_info info = {.size = 100, .known = LSI_KNOWN_SIZE};
    assert_int_equal(lsi_request_add_object(r, "a", &info, &object, &e), 0);
    const uint32_t n = draw(40);
    int64_t group[40] = {0};
    for (uint32_t i = 0; i < n; i++) {
      assert_int_equal(lsi_request_add_chunk(r, 0, i, 1, 0, &e), 0);
      group[i] = (i ? group[i - 1] : 0) + draw(2);
    }
    assert_int_equal(lsi_request_set_groups(r, group, n, &e), 0);
    const uint32_t shards = 1 + draw(5);
    assert_int_equal(lsi_request_select(r, draw(shards), shards, draw(3) ? 0 : 1 + draw(9), &e), 0);
    assert_int_equal(r->group_first[r->n_groups], r->n_steps);
    for (uint32_t i = 0; i < r->n_groups; i++) {
      const int64_t *g = group + r->first_index;
      assert_true(r->group_first[i] < r->group_first[i + 1] && (i || r->group_first[0] == 0));
      for (uint32_t s = r->group_first[i]; s < r->group_first[i + 1]; s++)
        assert_true(g[s] == g[r->group_first[i]] && (i == 0 || g[s] != g[r->group_first[i] - 1]));
    }
    lsi_request_free(r);
  }
}

int main(void) {
  for (uint32_t i = 0; i < STEPS_MOST; i++) results[i].step = FIRST_INDEX + i;
  atomic_init(&block.refs, 1u << 30);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_passes_in_order), cmocka_unit_test(no_memory), cmocka_unit_test(groups_that_are_none),
      cmocka_unit_test(groups_of_a_part),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
