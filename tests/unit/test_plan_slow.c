/* What the planner makes of requests to stores that answer slowly, over many connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "plan/plan.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)

static uint64_t state;

static uint64_t rnd(uint64_t n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (state >> 33) % n;
}

static struct lsi_request *object(void) {
  struct lsi_request *r = lsi_request_create();
  const struct lsi_object_info info = {.size = UINT64_C(1) << 40, .known = LSI_KNOWN_SIZE};
  assert_int_equal(lsi_request_add_object(r, "object", &info, NULL, NULL), 0);
  return r;
}

static void add(struct lsi_request *r, uint64_t offset, uint64_t length) {
  assert_int_equal(lsi_request_add_chunk(r, 0, (int64_t)offset, (int64_t)length, 0, NULL), 0);
}

static struct lsi_plan *plan(struct lsi_request *r, enum lsi_device_kind kind, uint64_t merge) {
  struct lsi_device_model m;
  lsi_device_preset(kind, &m);
  const struct lsi_plan_options o = {.merge = merge, .n_devices = 1, .devices = &m};
  struct lsi_plan *p;
  lsi_free(r->object_device);
  r->object_device = lsi_calloc(r->n_objects, sizeof *r->object_device);
  assert_int_equal(lsi_plan_build(r, &o, &p, NULL), 0);
  return p;
}

/* With the presets before, 2.7 GB were read for these 16 MB. */
static void sparse_ranges_stay_apart(void **unused) {
  (void)unused;
  struct lsi_request *r = object();
  state = 1;
  for (int i = 0; i < 4000; i++) add(r, rnd(MIB) * 4 * KIB, 4 * KIB);
  for (int k = LSI_DEVICE_OBJECT_STORE; k <= LSI_DEVICE_HTTP; k++) {
    struct lsi_plan *p = plan(r, (enum lsi_device_kind)k, LSI_MERGE_AUTO);
    assert_true(p->bytes_planned <= 2 * p->bytes_requested);
    assert_true(p->expected_s < 0.75);
    lsi_plan_free(p);
  }
  lsi_request_free(r);
}

static void dense_ranges_are_merged(void **unused) {
  (void)unused;
  struct lsi_request *r = object();
  state = 2;
  for (uint64_t i = 0; i < GIB / (4 * KIB); i++)
    if (rnd(4)) add(r, i * 4 * KIB, 4 * KIB);
  for (int k = LSI_DEVICE_OBJECT_STORE; k <= LSI_DEVICE_HTTP; k++) {
    struct lsi_plan *p = plan(r, (enum lsi_device_kind)k, LSI_MERGE_AUTO);
    struct lsi_plan *apart = plan(r, (enum lsi_device_kind)k, LSI_MERGE_NEVER);
    assert_true(p->operations * 20 < apart->operations);
    assert_true(apart->expected_s > 3 * p->expected_s);
    assert_true(p->bytes_planned < GIB + MIB);
    lsi_plan_free(p);
    lsi_plan_free(apart);
  }
  lsi_request_free(r);
}

/* Whole objects, and large chunks, keep many connections busy. */
static void large_chunks_are_split(void **unused) {
  (void)unused;
  struct lsi_request *r = object();
  add(r, 0, 64 * MIB);
  struct lsi_plan *p = plan(r, LSI_DEVICE_HTTP, LSI_MERGE_AUTO);
  assert_int_equal(p->operations, 64);
  lsi_plan_free(p);
  for (uint64_t i = 1; i < 200; i++) add(r, i * 64 * MIB, 64 * MIB);
  p = plan(r, LSI_DEVICE_HTTP, LSI_MERGE_AUTO);
  assert_int_equal(p->operations, 200 * 8);
  lsi_plan_free(p);
  lsi_request_free(r);
}

/* Neither never nor any fixed gap is much better, by the model. */
static void nothing_else_is_better(void **unused) {
  (void)unused;
  for (uint64_t seed = 1; seed <= 400; seed++) {
    struct lsi_request *r = object();
    state = seed;
    const uint64_t n = 1 + rnd(3000), length = UINT64_C(1) << rnd(19), spread = UINT64_C(1) << rnd(24);
    uint64_t at = 0;
    for (uint64_t i = 0; i < n; i++) {
      add(r, at, 1 + rnd(length));
      at += length + (rnd(3) ? rnd(spread) : 0);
    }
    const enum lsi_device_kind kind = seed % 2 ? LSI_DEVICE_HTTP : LSI_DEVICE_OBJECT_STORE;
    struct lsi_plan *p = plan(r, kind, LSI_MERGE_AUTO);
    for (int k = -1; k < 24; k += 3) {
      struct lsi_plan *other = plan(r, kind, k < 0 ? LSI_MERGE_NEVER : UINT64_C(1) << k);
      /* What a gap makes of a request is estimated: operations end where they are long enough. */
      const bool modest = other->bytes_gaps <= other->bytes_requested;
      if (modest && p->expected_s > (k < 0 ? 1.05 : 1.15) * other->expected_s)
        fail_msg("seed %d: %g s, but with a gap of 2^%d %g", (int)seed, p->expected_s, k, other->expected_s);
      lsi_plan_free(other);
    }
    lsi_plan_free(p);
    lsi_request_free(r);
  }
}

/* Models that nobody checked: no division by zero, nothing but a plan. */
static void odd_models(void **unused) {
  (void)unused;
  static const double odd[] = {0, -1, 1e-300, 1e300, 1};
  struct lsi_request *r = object();
  for (uint64_t i = 0; i < 50; i++) add(r, i * 10000, 1000 + i);
  r->object_device[0] = 0;
  for (int i = 0; i < 625; i++) {
    struct lsi_device_model m = {.kind = LSI_DEVICE_HTTP, .connections = i % 2 ? 1 : UINT32_MAX,
                                 .bandwidth = odd[i % 5], .ops_per_s = odd[i / 5 % 5], .latency_s = odd[i / 25 % 5],
                                 .conn_bandwidth = odd[i / 125], .align = 1};
    const struct lsi_plan_options o = {.merge = LSI_MERGE_AUTO, .n_devices = 1, .devices = &m};
    struct lsi_plan *p;
    assert_int_equal(lsi_plan_build(r, &o, &p, NULL), 0);
    assert_true(p->n_units >= 1 && p->bytes_planned >= p->bytes_requested);
    lsi_plan_free(p);
  }
  lsi_request_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sparse_ranges_stay_apart), cmocka_unit_test(dense_ranges_are_merged),
      cmocka_unit_test(large_chunks_are_split),   cmocka_unit_test(nothing_else_is_better),
      cmocka_unit_test(odd_models),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
