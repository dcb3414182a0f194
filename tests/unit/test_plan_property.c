/* Plans of thousands of random requests, and of all small ones, before the oracle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "plan/plan.h"
#include "plan_oracle.h"

static uint64_t state;

static uint64_t rnd(uint64_t n) { /* 0 .. n - 1 */
  state += 0x9e3779b97f4a7c15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) % n;
}

static void judge(const struct lsi_request *r, const struct lsi_plan_options *o, uint64_t grain,
                  uint64_t seed) {
  struct lsi_plan *p;
  struct lsi_error err = {0};
  assert_int_equal(lsi_plan_build(r, o, &p, &err), 0);
  const char *wrong = plan_oracle_check(r, o, p, grain);
  if (wrong) {
    plan_oracle_dump(r, o, p);
    fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
  }
  lsi_plan_free(p);
}

static void random_model(struct lsi_device_model *m, uint64_t grain) {
  if (rnd(3) == 0) {
    lsi_device_preset((enum lsi_device_kind)rnd(LSI_DEVICE_KINDS), m);
    return;
  }
  *m = (struct lsi_device_model){.kind = (uint8_t)rnd(LSI_DEVICE_KINDS),
                                 .bandwidth = 1e9,
                                 .ops_per_s = 1e9 / (double)(1 + rnd(40 * grain)),
                                 .latency_s = 1e-4,
                                 .op_max = 4096 * (1 + rnd(4)) * (grain > 4096 ? grain / 4096 : 1),
                                 .merge_max = grain * (1 + rnd(64)) * (grain == 1 ? 256 : 1),
                                 .align = 1u << rnd(14),
                                 .concurrency = 1};
}

static void random_chunk(const struct lsi_request *r, uint64_t grain, uint64_t longest,
                         uint32_t *object, int64_t *offset, int64_t *length) {
  *object = (uint32_t)rnd(r->n_objects);
  const uint64_t cells = r->objects[*object].size / grain;
  const uint64_t at = rnd(8) == 0 ? cells : rnd(cells + 1);
  uint64_t n = rnd(5) == 0 ? 0 : rnd(longest + 1);
  if (rnd(10) == 0) n = cells; /* up to the end */
  n = LSI_MIN(n, cells - at);
  *offset = (int64_t)(at * grain);
  *length = (int64_t)(n * grain);
}

static struct lsi_request *random_request(uint64_t grain, uint32_t devices, uint64_t cells,
                                          uint64_t longest, uint32_t steps_max) {
  struct lsi_request *r = lsi_request_create();
  const uint32_t objects = 1 + (uint32_t)rnd(4);
  for (uint32_t i = 0; i < objects; i++) {
    const struct lsi_object_info info = {.size = rnd(6) == 0 ? 0 : rnd(cells + 1) * grain};
    assert_int_equal(lsi_request_add_object(r, "object", &info, NULL, NULL), 0);
    r->object_device[i] = (uint16_t)rnd(devices);
  }
  const bool many = rnd(2);
  const uint32_t steps = (uint32_t)rnd(steps_max + 1);
  for (uint32_t s = 0; s < steps; s++) {
    uint32_t object[8];
    int64_t offset[8], length[8];
    const uint32_t n = many ? 1 + (uint32_t)rnd(8) : 1;
    for (uint32_t i = 0; i < n; i++) {
      if (i && rnd(6) == 0)
        object[i] = object[i - 1], offset[i] = offset[i - 1], length[i] = length[i - 1];
      else
        random_chunk(r, grain, longest, &object[i], &offset[i], &length[i]);
    }
    assert_int_equal(lsi_request_add_step(r, n, object, offset, length, NULL, NULL), 0);
  }
  if (rnd(4) == 0) {
    const uint32_t n = 1 + (uint32_t)rnd(4);
    assert_int_equal(lsi_request_select(r, (uint32_t)rnd(n), n, rnd(5), NULL), 0);
  }
  return r;
}

static void random_plans(uint64_t from, uint64_t count, uint64_t grain, uint64_t cells,
                         uint64_t longest, uint32_t steps) {
  const int64_t live = lsi_mem_live();
  for (uint64_t seed = from; seed < from + count; seed++) {
    state = seed;
    struct lsi_device_model models[3];
    struct lsi_plan_options o = {.n_devices = 1 + (uint32_t)rnd(3), .devices = models};
    for (uint32_t i = 0; i < o.n_devices; i++) random_model(&models[i], grain);
    const uint64_t modes[] = {LSI_MERGE_AUTO, LSI_MERGE_NEVER, 0, grain, rnd(cells + 1) * grain};
    struct lsi_request *r = random_request(grain, o.n_devices, cells, longest, steps);
    for (size_t i = 0; i < LSI_COUNTOF(modes); i++) {
      o.merge = modes[i];
      o.in_request_order = rnd(3) == 0;
      o.ahead = rnd(2) ? (1 + rnd(longest)) * grain : 0;
      judge(r, &o, grain, seed);
    }
    lsi_request_free(r);
  }
  assert_int_equal(lsi_mem_live(), live);
}

static void small_requests(void **unused) {
  (void)unused;
  random_plans(1, 3000, 1, 3000, 300, 20);
  random_plans(100000, 1000, 1, 200, 20, 60);
  random_plans(200000, 200, 1, 100000, 9000, 40);
}

static void page_requests(void **unused) {
  (void)unused;
  random_plans(300000, 3000, 512, 200, 12, 40);
}

/* A cell stands for 64 KiB, so that units reach their cap and chunks are split. */
static void large_requests(void **unused) {
  (void)unused;
  random_plans(400000, 3000, 65536, 600, 40, 60);
  random_plans(500000, 1000, 65536, 1000, 300, 12);
}

/* All requests of three chunks in an object of five pages, as three, two and one steps. */
static void all_of_three(void **unused) {
  (void)unused;
  enum { PAGES = 5, RANGES = (PAGES + 1) * (PAGES + 2) / 2 };
  int64_t offset[RANGES], length[RANGES];
  int n = 0;
  for (int a = 0; a <= PAGES; a++)
    for (int b = a; b <= PAGES; b++, n++) offset[n] = a * 4096, length[n] = (b - a) * 4096;
  assert_int_equal(n, RANGES);
  struct lsi_device_model m = {.bandwidth = 4096e6, .ops_per_s = 1e6, .op_max = 8192,
                               .merge_max = 16384, .align = 4096, .concurrency = 1};
  struct lsi_plan_options o = {.n_devices = 1, .devices = &m};
  const uint64_t modes[] = {LSI_MERGE_AUTO, LSI_MERGE_NEVER, 0, 4096};
  const struct lsi_object_info info = {.size = PAGES * 4096};
  const uint32_t zero[3] = {0};
  for (int i = 0; i < RANGES * RANGES * RANGES; i++) {
    const int k[3] = {i % RANGES, i / RANGES % RANGES, i / RANGES / RANGES};
    const int64_t at[3] = {offset[k[0]], offset[k[1]], offset[k[2]]};
    const int64_t bytes[3] = {length[k[0]], length[k[1]], length[k[2]]};
    for (uint32_t first = 1; first <= 3; first++) {
      struct lsi_request *r = lsi_request_create();
      assert_int_equal(lsi_request_add_object(r, "object", &info, NULL, NULL), 0);
      assert_int_equal(lsi_request_add_step(r, first, zero, at, bytes, NULL, NULL), 0);
      assert_int_equal(
          lsi_request_add_chunks(r, 3 - first, zero, at + first, bytes + first, NULL, NULL), 0);
      for (size_t j = 0; j < LSI_COUNTOF(modes); j++) {
        o.merge = modes[j];
        o.in_request_order = (i + j) % 3 == 0;
        judge(r, &o, 4096, (uint64_t)i);
      }
      lsi_request_free(r);
    }
  }
}

/* The price that decides about a merge, from its definition: bytes rounded out, one operation E. */
static double price(const struct lsi_plan *p, const struct lsi_request *r) {
  double sum = 0;
  for (uint32_t i = 0; i < p->n_extents; i++) {
    const struct lsi_extent e = p->extents[i];
    const struct lsi_device_model *m = &p->devices[r->object_device[e.object]];
    const double op = (double)lsi_device_gap(m);
    const double bytes = (double)(lsi_round_up(e.offset + e.length, m->align) -
                                  lsi_round_down(e.offset, m->align));
    if (e.length) sum += lsi_device_adds(m) ? op + bytes : LSI_MAX(op, bytes);
  }
  return sum;
}

/* Merging never costs more by the model than reading every chunk by itself. */
static void merging_never_loses(void **unused) {
  (void)unused;
  uint64_t cheaper = 0;
  for (uint64_t seed = 1; seed <= 3000; seed++) {
    state = seed;
    struct lsi_device_model m[2];
    random_model(&m[0], 512);
    random_model(&m[1], 512);
    m[0].op_max = m[1].op_max = LSI_OP_LONGEST; /* no splitting, which has its own price */
    struct lsi_plan_options o = {.merge = LSI_MERGE_AUTO, .n_devices = 2, .devices = m};
    struct lsi_request *r = random_request(512, 2, 400, 12, 60);
    struct lsi_plan *merged, *apart;
    assert_int_equal(lsi_plan_build(r, &o, &merged, NULL), 0);
    o.merge = LSI_MERGE_NEVER;
    assert_int_equal(lsi_plan_build(r, &o, &apart, NULL), 0);
    if (price(merged, r) > price(apart, r) * (1 + 1e-12)) {
      plan_oracle_dump(r, &o, merged);
      fail_msg("seed %llu: merging costs more", (unsigned long long)seed);
    }
    cheaper += price(merged, r) < price(apart, r);
    lsi_plan_free(merged);
    lsi_plan_free(apart);
    lsi_request_free(r);
  }
  assert_in_range(cheaper, 1000, 3000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(small_requests), cmocka_unit_test(page_requests),
      cmocka_unit_test(large_requests), cmocka_unit_test(all_of_three),
      cmocka_unit_test(merging_never_loses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
