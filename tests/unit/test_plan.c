/* What the planner decides, case by case; test_plan_property.c judges whole plans. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "plan/plan.h"
#include "plan_oracle.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)

static uint64_t state;

static uint64_t rnd(uint64_t n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (state >> 33) % n;
}

static struct lsi_request *one_object(uint64_t size) {
  struct lsi_request *r = lsi_request_create();
  const struct lsi_object_info info = {.size = size};
  assert_int_equal(lsi_request_add_object(r, "object", &info, NULL, NULL), 0);
  return r;
}

static void add(struct lsi_request *r, uint64_t offset, uint64_t length) {
  assert_int_equal(lsi_request_add_chunk(r, 0, (int64_t)offset, (int64_t)length, 0, NULL), 0);
}

static struct lsi_plan *plan_of(const struct lsi_request *r, enum lsi_device_kind kind,
                                uint64_t merge, bool in_request_order) {
  struct lsi_device_model m;
  lsi_device_preset(kind, &m);
  const struct lsi_plan_options o = {
      .merge = merge, .in_request_order = in_request_order, .n_devices = 1, .devices = &m};
  struct lsi_plan *p;
  assert_int_equal(lsi_plan_build(r, &o, &p, NULL), 0);
  return p;
}

/* Operations for chunks of these offsets and one length on a device. */
static uint64_t operations(enum lsi_device_kind kind, uint64_t merge, uint64_t length, int n,
                           const uint64_t *offsets) {
  struct lsi_request *r = one_object(UINT64_C(1) << 40);
  for (int i = 0; i < n; i++) add(r, offsets[i], length);
  struct lsi_plan *p = plan_of(r, kind, merge, false);
  const uint64_t operations = p->operations;
  lsi_plan_free(p);
  lsi_request_free(r);
  return operations;
}

static void the_gap_decides(void **unused) {
  (void)unused;
  const uint64_t near[] = {0, 24 * KIB}, far[] = {0, 32 * KIB};
  assert_int_equal(operations(LSI_DEVICE_VIRTUAL, LSI_MERGE_AUTO, 4096, 2, near), 1);
  assert_int_equal(operations(LSI_DEVICE_VIRTUAL, LSI_MERGE_AUTO, 4096, 2, far), 2);
  assert_int_equal(operations(LSI_DEVICE_NVME, LSI_MERGE_AUTO, 4096, 2, near), 2);
  const uint64_t page[] = {0, 8 * KIB};
  assert_int_equal(operations(LSI_DEVICE_NVME, LSI_MERGE_AUTO, 4096, 2, page), 1);
  const uint64_t megabyte[] = {0, MIB}, two[] = {0, 2 * MIB};
  assert_int_equal(operations(LSI_DEVICE_HDD, LSI_MERGE_AUTO, 4096, 2, megabyte), 1);
  assert_int_equal(operations(LSI_DEVICE_HDD, LSI_MERGE_AUTO, 4096, 2, two), 2);
  assert_int_equal(operations(LSI_DEVICE_OBJECT_STORE, LSI_MERGE_AUTO, 4096, 2, two), 2); /* see test_plan_slow */
  /* Devices read whole pages: from the end of the first chunk's to the beginning of the second's is one. */
  const uint64_t inside[] = {0, 12100};
  assert_int_equal(operations(LSI_DEVICE_NVME, LSI_MERGE_AUTO, 100, 2, inside), 1);
  /* Large pieces keep a device's bandwidth busy: a hole between them is not free. */
  const uint64_t hole[] = {0, 84 * KIB};
  assert_int_equal(operations(LSI_DEVICE_VIRTUAL, LSI_MERGE_AUTO, 64 * KIB, 2, hole), 2);
}

/* Operations for n chunks, `step` bytes from one to the next. */
static uint64_t large_chunks(enum lsi_device_kind kind, uint64_t n, uint64_t length, uint64_t step,
                             bool apart) {
  struct lsi_request *r = one_object(UINT64_C(1) << 40);
  for (uint64_t i = 0; i < n; i++) add(r, i * step, length);
  struct lsi_device_model m;
  lsi_device_preset(kind, &m);
  const struct lsi_plan_options o = {
      .merge = LSI_MERGE_AUTO, .large_apart = apart, .n_devices = 1, .devices = &m};
  struct lsi_plan *p;
  assert_int_equal(lsi_plan_build(r, &o, &p, NULL), 0);
  assert_int_equal(p->bytes_over_read, 0);
  const uint64_t operations = p->operations;
  lsi_plan_free(p);
  lsi_request_free(r);
  return operations;
}

static void plenty_of_large_chunks_that_touch_share_operations(void **unused) {
  (void)unused;
  const uint64_t length = 256 * KIB;
  assert_int_equal(large_chunks(LSI_DEVICE_NVME, 4096, length, length, false), 1024);
  assert_int_equal(large_chunks(LSI_DEVICE_VIRTUAL, 4096, length, length, false), 2048);
  /* Few are left apart, so that every worker gets some. */
  assert_int_equal(large_chunks(LSI_DEVICE_NVME, 4095, length, length, false), 4095);
  assert_int_equal(large_chunks(LSI_DEVICE_NVME, 4096, length, length, true), 4096);
  /* Of holes nothing is read. */
  assert_int_equal(large_chunks(LSI_DEVICE_NVME, 4096, length, length + 4096, false), 4096);
  /* A connection that carries one part carries no other meanwhile. */
  assert_int_equal(large_chunks(LSI_DEVICE_OBJECT_STORE, 5000, 2 * MIB, 2 * MIB, false), 5000);
}

static void options_override_the_gap(void **unused) {
  (void)unused;
  const uint64_t apart[] = {0, 100 * KIB}, touching[] = {0, 4096}, same[] = {8192, 8192};
  assert_int_equal(operations(LSI_DEVICE_NVME, 96 * KIB, 4096, 2, apart), 1);
  assert_int_equal(operations(LSI_DEVICE_NVME, 96 * KIB - 1, 4096, 2, apart), 2);
  assert_int_equal(operations(LSI_DEVICE_NVME, 0, 4096, 2, touching), 1);
  assert_int_equal(operations(LSI_DEVICE_NVME, LSI_MERGE_NEVER, 4096, 2, touching), 2);
  assert_int_equal(operations(LSI_DEVICE_NVME, LSI_MERGE_NEVER, 4096, 2, same), 2);
  assert_int_equal(operations(LSI_DEVICE_NVME, LSI_MERGE_AUTO, 4096, 2, same), 1);
  const uint64_t large[] = {0, 256 * KIB}, within_a_page[] = {100, 3000};
  assert_int_equal(operations(LSI_DEVICE_NVME, LSI_MERGE_AUTO, 256 * KIB, 2, large), 2);
  assert_int_equal(operations(LSI_DEVICE_NVME, 0, 256 * KIB, 2, large), 1);
  assert_int_equal(operations(LSI_DEVICE_NVME, LSI_MERGE_AUTO, 100, 2, within_a_page), 1);
}

/* Every page of 64 MiB with probability `part` in 100, in random order. */
static struct lsi_request *pages(unsigned part) {
  enum { N = 16384 };
  static uint32_t page[N];
  state = part;
  for (uint32_t i = 0; i < N; i++) {
    const uint64_t k = rnd(i + 1);
    page[i] = page[k];
    page[k] = i;
  }
  struct lsi_request *r = one_object(N * 4096);
  for (uint32_t i = 0; i < N; i++)
    if (rnd(100) < part) add(r, page[i] * UINT64_C(4096), 4096);
  return r;
}

static void dense_requests_are_read_whole_and_sparse_ones_not(void **unused) {
  (void)unused;
  static const struct {
    unsigned part;
    uint64_t operations_max, bytes_min, bytes_max; /* bytes in MiB */
    double gain_min;                               /* over reading apart, by the model */
  } cases[] = {{100, 128, 64, 64, 5}, {75, 150, 63, 64, 4}, {25, 1200, 30, 50, 2}, {10, 1300, 8, 20, 1.2},
               {1, 200, 0, 2, 1}};
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++) {
    struct lsi_request *r = pages(cases[i].part);
    struct lsi_plan *p = plan_of(r, LSI_DEVICE_VIRTUAL, LSI_MERGE_AUTO, false);
    struct lsi_plan *never = plan_of(r, LSI_DEVICE_VIRTUAL, LSI_MERGE_NEVER, false);
    assert_in_range(p->operations, 1, cases[i].operations_max);
    assert_in_range(p->bytes_planned, cases[i].bytes_min * MIB, cases[i].bytes_max * MIB);
    assert_true(never->expected_s >= cases[i].gain_min * p->expected_s);
    assert_int_equal(never->operations, r->n_chunks);
    assert_int_equal(never->bytes_over_read, 0);
    lsi_plan_free(p);
    lsi_plan_free(never);
    lsi_request_free(r);
  }
}

static void overlaps_chain_up_to_a_unit(void **unused) {
  (void)unused;
  struct lsi_request *r = one_object(64 * MIB);
  for (uint64_t i = 0; i < 63; i++) add(r, i * MIB, MIB + MIB / 2);
  struct lsi_plan *p = plan_of(r, LSI_DEVICE_NVME, LSI_MERGE_AUTO, false);
  assert_int_equal(p->n_units, 9); /* seven chunks make 7.5 MiB */
  assert_int_equal(p->bytes_over_read, 8 * MIB / 2);
  assert_int_equal(p->bytes_twice, 8 * MIB / 2);
  assert_int_equal(p->bytes_gaps, 0);
  assert_int_equal(p->bytes_planned, 63 * MIB + MIB / 2 + 4 * MIB);
  assert_int_equal(p->unit_bytes_max, 7 * MIB + MIB / 2);
  lsi_plan_free(p);
  lsi_request_free(r);
}

static void long_chunks_are_split_at_multiples(void **unused) {
  (void)unused;
  struct lsi_request *r = one_object(64 * MIB);
  add(r, MIB / 2, 10 * MIB);
  add(r, 32 * MIB - 2048, 4096); /* short: one operation although it crosses a multiple */
  struct lsi_plan *p = plan_of(r, LSI_DEVICE_NVME, LSI_MERGE_AUTO, false);
  assert_int_equal(p->n_units, 2);
  assert_int_equal(p->operations, 12);
  assert_int_equal(p->split, 1);
  assert_int_equal(p->merged, 0);
  assert_int_equal(p->operations_before, 2);
  assert_int_equal(p->step_largest, 0);
  assert_int_equal(p->unit_bytes_max, 10 * MIB);
  uint64_t offset, length;
  lsi_extent_operation(&p->extents[0], MIB, 0, &offset, &length);
  assert_int_equal(offset, MIB / 2);
  assert_int_equal(length, MIB / 2);
  lsi_extent_operation(&p->extents[0], MIB, 10, &offset, &length);
  assert_int_equal(offset, 10 * MIB);
  assert_int_equal(length, MIB / 2);
  lsi_plan_free(p);
  lsi_request_free(r);
}

static void a_unit_has_few_extents(void **unused) {
  (void)unused;
  struct lsi_request *r = one_object(UINT64_C(1) << 32);
  const uint32_t object[2] = {0, 0};
  for (int64_t i = 0; i < 1000; i++) {
    const int64_t offset[2] = {i * 4096, (1 << 30) + i * (1 << 20)}, length[2] = {4096, 4096};
    assert_int_equal(lsi_request_add_step(r, 2, object, offset, length, NULL, NULL), 0);
  }
  struct lsi_plan *p = plan_of(r, LSI_DEVICE_NVME, LSI_MERGE_AUTO, false);
  for (uint32_t u = 0; u < p->n_units; u++)
    assert_in_range(p->unit_extent[u + 1] - p->unit_extent[u], 2, 64);
  assert_in_range(p->n_units, 1000 / 63, 1000 / 63 + 1);
  lsi_plan_free(p);
  lsi_request_free(r);
}

static void request_order_is_kept(void **unused) {
  (void)unused;
  struct lsi_request *r = one_object(MIB);
  add(r, 512 * KIB, 4096);
  add(r, 516 * KIB, 4096);
  add(r, 0, 4096);
  add(r, 508 * KIB, 4096);
  add(r, 504 * KIB, 4096); /* in front of the one before */
  struct lsi_plan *p = plan_of(r, LSI_DEVICE_NVME, LSI_MERGE_AUTO, true);
  assert_int_equal(p->n_units, 3);
  for (uint32_t i = 0; i < 5; i++) assert_int_equal(p->step_order[i], i);
  assert_int_equal(p->extents[2].offset, 504 * KIB);
  assert_int_equal(p->extents[2].length, 8192);
  lsi_plan_free(p);
  lsi_request_free(r);
}

static void devices_have_sections(void **unused) {
  (void)unused;
  struct lsi_request *r = lsi_request_create();
  const struct lsi_object_info info = {.size = MIB};
  struct lsi_device_model m[3];
  for (uint32_t i = 0; i < 3; i++) lsi_device_preset(LSI_DEVICE_NVME, &m[i]);
  for (uint32_t i = 0; i < 6; i++) {
    assert_int_equal(lsi_request_add_object(r, "object", &info, NULL, NULL), 0);
    r->object_device[i] = i % 2 ? 2 : 0;
    assert_int_equal(lsi_request_cut(r, i, 0, UINT64_MAX, 512 * KIB, NULL), 0);
  }
  const struct lsi_plan_options o = {.merge = LSI_MERGE_AUTO, .n_devices = 3, .devices = m};
  struct lsi_plan *p;
  assert_int_equal(lsi_plan_build(r, &o, &p, NULL), 0);
  assert_int_equal(p->n_sections, 2);
  assert_int_equal(p->sections[0].device, 0);
  assert_int_equal(p->sections[1].device, 2);
  assert_int_equal(p->sections[1].unit_begin, 6);
  assert_int_equal(p->sections[1].unit_end, 12);
  assert_int_equal(p->sections[1].bytes, 3 * MIB);
  lsi_plan_free(p);
  r->object_device[3] = 3;
  struct lsi_error err = {0};
  assert_int_equal(lsi_plan_build(r, &o, &p, &err), LSIO_ERR_USAGE);
  assert_null(p);
  lsi_request_free(r);
}

static void nothing_to_do(void **unused) {
  (void)unused;
  struct lsi_request *r = lsi_request_create();
  for (int order = 0; order < 2; order++) {
    struct lsi_plan *p = plan_of(r, LSI_DEVICE_NVME, LSI_MERGE_AUTO, order);
    assert_int_equal(p->n_units, 0);
    assert_int_equal(p->n_sections, 0);
    assert_true(p->expected_s == 0);
    lsi_plan_free(p);
  }
  lsi_request_free(r);
  r = one_object(0);
  add(r, 0, 0);
  struct lsi_plan *p = plan_of(r, LSI_DEVICE_NVME, LSI_MERGE_AUTO, false);
  assert_int_equal(p->n_units, 1);
  assert_int_equal(p->operations, 0);
  assert_int_equal(p->unit_bytes_max, 0);
  lsi_plan_free(p);
  lsi_request_free(r);
}

/* Keys that do not fit beside the index: objects beyond 16 bits and odd offsets up to 2^63. */
static void wide_keys_sort_in_stages(void **unused) {
  (void)unused;
  enum { OBJECTS = 70000, CHUNKS = 3000 };
  struct lsi_request *r = lsi_request_create();
  const struct lsi_object_info info = {.size = INT64_MAX};
  struct lsi_device_model m[40];
  for (size_t i = 0; i < LSI_COUNTOF(m); i++) lsi_device_preset(LSI_DEVICE_NVME, &m[i]);
  state = 5;
  for (uint32_t i = 0; i < OBJECTS; i++) {
    assert_int_equal(lsi_request_add_object(r, "o", &info, NULL, NULL), 0);
    r->object_device[i] = (uint16_t)rnd(LSI_COUNTOF(m));
  }
  const uint32_t some[4] = {0, 65535, 65536, 69999};
  for (uint32_t i = 0; i < CHUNKS; i++) {
    const uint64_t at = rnd(3) ? (rnd(UINT32_MAX) << 31 | rnd(UINT32_MAX)) >> rnd(60) : rnd(10);
    assert_int_equal(lsi_request_add_chunk(r, some[rnd(4)], (int64_t)(at & (INT64_MAX / 2)), 1,
                                           (int64_t)i, NULL), 0);
  }
  const struct lsi_plan_options o = {.merge = LSI_MERGE_NEVER, .n_devices = 40, .devices = m};
  struct lsi_plan *p;
  assert_int_equal(lsi_plan_build(r, &o, &p, NULL), 0);
  for (uint32_t k = 1; k < CHUNKS; k++) {
    const uint32_t a = p->step_order[k - 1], b = p->step_order[k];
    const uint16_t d = r->object_device[r->object[a]], e = r->object_device[r->object[b]];
    assert_true(d <= e);
    if (d < e) continue;
    assert_true(r->object[a] <= r->object[b]);
    if (r->object[a] < r->object[b]) continue;
    assert_true(r->offset[a] < r->offset[b] || (r->offset[a] == r->offset[b] && a < b));
  }
  lsi_plan_free(p);
  lsi_request_free(r);
}

/* No number in a model may crash or hang the planner. */
static void any_model_will_do(void **unused) {
  (void)unused;
  const double numbers[] = {0, -1, 1e-300, 1e300, INFINITY, NAN};
  const uint64_t sizes[] = {0, 1, 4097, UINT64_MAX};
  struct lsi_request *r = one_object(INT64_MAX);
  add(r, 0, 10);
  add(r, 5000, 1 << 20);
  add(r, INT64_MAX - 5, 5);
  add(r, 0, UINT64_C(1) << 62);
  for (size_t i = 0; i < LSI_COUNTOF(numbers) * LSI_COUNTOF(numbers) * 16; i++) {
    struct lsi_device_model m = {.kind = (uint8_t)(i % 9),
                                 .bandwidth = numbers[i % 6],
                                 .ops_per_s = numbers[i / 6 % 6],
                                 .op_max = sizes[i / 36 % 4],
                                 .merge_max = sizes[i / 144 % 4],
                                 .align = (uint32_t)sizes[i % 4]};
    const struct lsi_plan_options o = {.merge = LSI_MERGE_AUTO, .n_devices = 1, .devices = &m};
    struct lsi_plan *p;
    assert_int_equal(lsi_plan_build(r, &o, &p, NULL), 0);
    assert_in_range(p->devices[0].op_max, LSI_ALIGN, LSI_OP_LONGEST);
    assert_int_equal(p->devices[0].op_max % LSI_ALIGN, 0);
    assert_int_equal(p->unit_step[p->n_units], 4);
    lsi_plan_free(p);
  }
  lsi_request_free(r);
}

static void presets_are_sane(void **unused) {
  (void)unused;
  for (int k = 0; k < LSI_DEVICE_KINDS; k++) {
    struct lsi_device_model m;
    lsi_device_preset((enum lsi_device_kind)k, &m);
    assert_int_equal(m.kind, k);
    assert_true(m.bandwidth > 1e8 && m.ops_per_s > 100 && m.latency_s > 0 && m.concurrency > 0);
    assert_true(m.op_max % LSI_ALIGN == 0 && m.op_max <= LSI_OP_LONGEST);
    assert_true(m.merge_max <= LSI_UNIT_MAX);
    assert_string_not_equal(lsi_device_kind_name((enum lsi_device_kind)k), "unknown");
  }
  struct lsi_device_model m;
  lsi_device_preset(LSI_DEVICE_NVME, &m);
  assert_int_equal(lsi_device_gap(&m), 7000);
  lsi_device_preset(LSI_DEVICE_HDD, &m);
  assert_int_equal(lsi_device_gap(&m), 1600000);
  assert_string_equal(lsi_device_kind_name(LSI_DEVICE_KINDS), "unknown");
}

static void same_plan(const struct lsi_plan *a, const struct lsi_plan *b) {
  assert_int_equal(a->n_units, b->n_units);
  assert_int_equal(a->n_extents, b->n_extents);
  assert_memory_equal(a->unit_extent, b->unit_extent, (a->n_units + 1) * sizeof *a->unit_extent);
  assert_memory_equal(a->unit_step, b->unit_step, (a->n_units + 1) * sizeof *a->unit_step);
  assert_memory_equal(a->extents, b->extents, a->n_extents * sizeof *a->extents);
}

/* A million scattered chunks: 64 bytes each for request and plan, with tags, when none merge; and the
 * same plan every time. */
static void a_million_chunks(void **unused) {
  (void)unused;
  enum { N = 1000000 };
  uint32_t *object = calloc(N, sizeof *object);
  int64_t *offset = calloc(N, sizeof *offset), *length = calloc(N, sizeof *length);
  state = 9;
  for (int i = 0; i < N; i++) offset[i] = (int64_t)(rnd(1u << 31) << 20), length[i] = 4096;
  struct lsi_request *r = one_object(UINT64_C(1) << 52);
  assert_int_equal(lsi_request_add_chunks(r, N, object, offset, length, offset, NULL), 0);
  struct lsi_plan *p = plan_of(r, LSI_DEVICE_VIRTUAL, LSI_MERGE_AUTO, false);
  assert_in_range(p->n_units, N - 1000, N);
  assert_in_range(lsi_request_memory(r) + lsi_plan_memory(p), N, (uint64_t)64 * N + 4096);
  for (uint32_t k = 1; k < N; k++)
    assert_true(r->offset[p->step_order[k - 1]] <= r->offset[p->step_order[k]]);
  struct lsi_plan *again = plan_of(r, LSI_DEVICE_VIRTUAL, LSI_MERGE_AUTO, false);
  same_plan(p, again);
  lsi_plan_free(p);
  lsi_plan_free(again);
  lsi_request_free(r);
  free(object);
  free(offset);
  free(length);
}

static void no_allocation_failure_leaks(void **unused) {
  (void)unused;
  struct lsi_request *r = one_object(64 * MIB);
  const uint32_t object[80] = {0};
  int64_t offset[80], length[80];
  state = 3;
  for (int s = 0; s < 30; s++) {
    const uint32_t n = s == 20 ? 80 : 1 + (uint32_t)rnd(5);
    for (uint32_t i = 0; i < n; i++)
      offset[i] = (int64_t)rnd(32 * MIB), length[i] = (int64_t)rnd(MIB * 2);
    assert_int_equal(lsi_request_add_step(r, n, object, offset, length, NULL, NULL), 0);
  }
  struct lsi_device_model m;
  lsi_device_preset(LSI_DEVICE_NVME, &m);
  struct lsi_plan_options o = {.merge = LSI_MERGE_AUTO, .n_devices = 1, .devices = &m};
  for (int order = 0; order < 2; order++) {
    o.in_request_order = order;
    const uint64_t before = lsi_mem_calls();
    struct lsi_plan *whole, *p;
    assert_int_equal(lsi_plan_build(r, &o, &whole, NULL), 0);
    const uint64_t calls = lsi_mem_calls() - before;
    assert_in_range(calls, 15, 100);
    int failed = 0;
    for (uint64_t n = 1; n <= calls; n++) {
      const int64_t live = lsi_mem_live();
      struct lsi_error err = {0};
      lsi_mem_fail_nth(n, false);
      const int code = lsi_plan_build(r, &o, &p, &err);
      lsi_mem_fail_nth(0, false);
      if (code == 0) {
        same_plan(whole, p);
        lsi_plan_free(p);
      } else {
        assert_int_equal(code, LSIO_ERR_NOMEM);
        assert_int_equal(err.code, LSIO_ERR_NOMEM);
        assert_null(p);
        failed++;
      }
      assert_int_equal(lsi_mem_live(), live);
    }
    assert_int_equal(failed, calls - 3); /* only shrinking three arrays may fail */
    lsi_plan_free(whole);
  }
  lsi_request_free(r);
}

/* The judge itself must notice a plan that is wrong. */
static void the_oracle_sees_errors(void **unused) {
  (void)unused;
  struct lsi_request *r = one_object(MIB);
  for (uint64_t i = 0; i < 8; i++) add(r, i * 64 * KIB, 8 * KIB);
  struct lsi_device_model m;
  lsi_device_preset(LSI_DEVICE_NVME, &m);
  const struct lsi_plan_options o = {.merge = LSI_MERGE_AUTO, .n_devices = 1, .devices = &m};
  for (int fault = 0; fault < 11; fault++) {
    struct lsi_plan *p = plan_of(r, LSI_DEVICE_NVME, LSI_MERGE_AUTO, false);
    assert_null(plan_oracle_check(r, &o, p, 1024));
    switch (fault) {
    case 0: p->step_order[1] = 0; break;
    case 1: p->extents[3].length -= 1024; break;
    case 2: p->extents[3].offset += 1024; break;
    case 3: p->bytes_over_read++; break;
    case 4: p->extents[7].length += 1024; break;
    case 5: p->merged++; break;
    case 6: p->operations--; break;
    case 7: p->unit_step[2]--; break;
    case 8: p->bytes_gaps++; break;
    case 9: p->bytes_twice++; break;
    default: p->sections[0].unit_end--; break;
    }
    assert_non_null(plan_oracle_check(r, &o, p, 1024));
    lsi_plan_free(p);
  }
  lsi_request_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_gap_decides),
      cmocka_unit_test(options_override_the_gap),
      cmocka_unit_test(plenty_of_large_chunks_that_touch_share_operations),
      cmocka_unit_test(dense_requests_are_read_whole_and_sparse_ones_not),
      cmocka_unit_test(overlaps_chain_up_to_a_unit),
      cmocka_unit_test(long_chunks_are_split_at_multiples),
      cmocka_unit_test(a_unit_has_few_extents),
      cmocka_unit_test(request_order_is_kept),
      cmocka_unit_test(devices_have_sections),
      cmocka_unit_test(nothing_to_do),
      cmocka_unit_test(wide_keys_sort_in_stages),
      cmocka_unit_test(any_model_will_do),
      cmocka_unit_test(presets_are_sane),
      cmocka_unit_test(a_million_chunks),
      cmocka_unit_test(no_allocation_failure_leaks),
      cmocka_unit_test(the_oracle_sees_errors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
