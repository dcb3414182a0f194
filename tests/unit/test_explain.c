/* Pricing memory and explaining plans. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "plan/explain.h"
#include "ground/mem.h"
#include "job/price.h"

#define MIB (UINT64_C(1) << 20)

static struct lsi_request *request;
static struct lsi_plan *plan;

/* Three files: one of 64 chunks of 64 KiB, one of a single chunk of 24 MiB, a small one on a disk. */
static int setup(void **unused) {
  (void)unused;
  request = lsi_request_create();
  static const char *const names[] = {"many.bin", "one.bin", "disk.bin"};
  const uint64_t sizes[] = {4 * MIB, 24 * MIB, 1000};
  for (uint32_t i = 0; i < 3; i++) {
    const struct lsi_object_info info = {.size = sizes[i]};
    if (lsi_request_add_object(request, names[i], &info, NULL, NULL)) return -1;
    if (lsi_request_cut(request, i, 0, UINT64_MAX, i ? 0 : 65536, NULL)) return -1;
  }
  request->object_device[2] = 1;
  request->first_index = 100;
  struct lsi_device_model m[3];
  lsi_device_preset(LSI_DEVICE_VIRTUAL, &m[0]);
  m[0].merge_max = MIB; /* what follows counts operations */
  lsi_device_preset(LSI_DEVICE_HDD, &m[1]);
  lsi_device_preset(LSI_DEVICE_HTTP, &m[2]); /* nobody's */
  const struct lsi_plan_options o = {.merge = LSI_MERGE_AUTO, .n_devices = 3, .devices = m};
  return lsi_plan_build(request, &o, &plan, NULL);
}

static int teardown(void **unused) {
  (void)unused;
  lsi_plan_free(plan);
  lsi_request_free(request);
  return 0;
}

static void as_many_workers_as_fit(void **unused) {
  (void)unused;
  struct lsi_price_request want = {.workers = 4, .ceiling = 200 * MIB, .decoded = 24 * MIB,
                                   .out = MIB, .scratch = MIB};
  struct lsi_price price;
  assert_int_equal(lsi_price(plan, request, &want, &price, NULL), 0);
  assert_int_equal(price.need, 50 * MIB);
  assert_int_equal(price.workers, 4);
  assert_int_equal(price.share, 50 * MIB);
  want.ceiling--;
  assert_int_equal(lsi_price(plan, request, &want, &price, NULL), 0);
  assert_int_equal(price.workers, 3);
  assert_int_equal(price.share, (200 * MIB - 1) / 3);
  want.ceiling = 50 * MIB;
  assert_int_equal(lsi_price(plan, request, &want, &price, NULL), 0);
  assert_int_equal(price.workers, 1);
  want.workers = 0;
  assert_int_equal(lsi_price(plan, request, &want, &price, NULL), 0);
  assert_int_equal(price.workers, 1);
}

static void what_does_not_fit_is_named(void **unused) {
  (void)unused;
  struct lsi_price_request want = {.workers = 4, .ceiling = 50 * MIB - 1, .decoded = 24 * MIB,
                                   .out = MIB, .scratch = MIB};
  struct lsi_price price;
  struct lsi_error err = {0};
  assert_int_equal(lsi_price(plan, request, &want, &price, &err), LSIO_ERR_LIMIT);
  assert_string_equal(err.object, "one.bin");
  assert_int_equal(err.offset, 0);
  assert_int_equal(err.length, 24 * MIB);
  assert_int_equal(err.step, 164);
  assert_non_null(strstr(err.what, "52428800"));
  assert_non_null(strstr(err.remedy, "--memory 50MiB"));
  assert_null(strstr(err.remedy, "--merge"));
  want.decoded = UINT64_MAX; /* a cap that nobody can have */
  assert_int_equal(lsi_price(plan, request, &want, &price, NULL), LSIO_ERR_LIMIT);
}

static void a_merged_unit_that_does_not_fit(void **unused) {
  (void)unused;
  struct lsi_device_model m;
  lsi_device_preset(LSI_DEVICE_HDD, &m);
  struct lsi_request *r = lsi_request_create();
  const struct lsi_object_info info = {.size = 4 * MIB};
  assert_int_equal(lsi_request_add_object(r, "object", &info, NULL, NULL), 0);
  assert_int_equal(lsi_request_cut(r, 0, 0, UINT64_MAX, MIB, NULL), 0);
  struct lsi_plan_options o = {.merge = LSI_MERGE_AUTO, .n_devices = 1, .devices = &m};
  const struct lsi_price_request want = {.workers = 1, .ceiling = MIB};
  struct lsi_price price;
  for (int never = 0; never < 2; never++) {
    struct lsi_plan *p;
    struct lsi_error err = {0};
    o.merge = never ? LSI_MERGE_NEVER : LSI_MERGE_AUTO;
    assert_int_equal(lsi_plan_build(r, &o, &p, NULL), 0);
    assert_int_equal(lsi_price(p, r, &want, &price, &err), never ? 0 : LSIO_ERR_LIMIT);
    assert_true(never || strstr(err.remedy, "--merge never"));
    lsi_plan_free(p);
  }
  lsi_request_free(r);
}

static struct lsi_explain_input input(void) {
  return (struct lsi_explain_input){.plan = plan, .request = request, .workers = 2,
                                    .memory = 256 * MIB, .backend = "uring"};
}

static json_int_t integer(const json_t *o, const char *key) {
  const json_t *value = json_object_get(o, key);
  assert_true(json_is_integer(value));
  return json_integer_value(value);
}

static void json_has_every_field(void **unused) {
  (void)unused;
  const struct lsi_explain_input in = input();
  char *text = lsi_explain_json(&in);
  assert_non_null(text);
  json_t *o = json_loads(text, 0, NULL);
  assert_non_null(o);
  assert_int_equal(integer(o, "chunks"), 66);
  assert_int_equal(integer(o, "operations"), 4 + 24 + 1);
  assert_int_equal(integer(o, "operations_before"), 66);
  assert_int_equal(integer(o, "merged"), 64);
  assert_int_equal(integer(o, "split"), 1);
  assert_int_equal(integer(o, "bytes_requested"), (int)(28 * MIB) + 1000);
  assert_int_equal(integer(o, "bytes_planned"), (int)(28 * MIB) + 1000);
  assert_int_equal(integer(o, "bytes_over_read"), 0);
  assert_int_equal(integer(o, "memory"), 256 * MIB);
  assert_int_equal(integer(o, "workers"), 2);
  assert_true(json_is_real(json_object_get(o, "expected_s")));
  assert_string_equal(json_string_value(json_object_get(o, "bound")), "device");
  assert_true(json_is_null(json_object_get(o, "transform_s_per_step_most")));
  const json_t *devices = json_object_get(o, "devices");
  assert_int_equal(json_array_size(devices), 2);
  const json_t *disk = json_array_get(devices, 1);
  assert_string_equal(json_string_value(json_object_get(disk, "kind")), "hdd");
  assert_int_equal(integer(disk, "objects"), 1);
  assert_int_equal(integer(disk, "bytes_planned"), 1000);
  assert_int_equal(integer(json_array_get(devices, 0), "operations"), 28);
  json_decref(o);
  lsi_free(text);
}

static double real(const struct lsi_explain_input *in, const char *key, const char *bound) {
  char *text = lsi_explain_json(in);
  assert_non_null(text);
  json_t *o = json_loads(text, 0, NULL);
  assert_non_null(o);
  assert_string_equal(json_string_value(json_object_get(o, "bound")), bound);
  assert_true(json_is_real(json_object_get(o, key)));
  const double value = json_real_value(json_object_get(o, key));
  json_decref(o);
  lsi_free(text);
  return value;
}

static bool near(double a, double b) { return fabs(a / b - 1) < 1e-9; }

static void the_slowest_part_is_the_bound(void **unused) {
  (void)unused;
  struct lsi_explain_input in = input();
  const double read = real(&in, "expected_s", "device");
  in.decode_s = read / 2;
  in.sink_s = read / 3;
  assert_true(near(real(&in, "expected_s", "device"), read));
  in.decode_s = 2 * read;
  assert_true(near(real(&in, "expected_s", "decode"), 2 * read));
  assert_true(near(real(&in, "read_s", "decode"), read));
  in.sink_s = 3 * read;
  assert_true(near(real(&in, "sink_s", "sink"), 3 * read));
  in.transform = true; /* 66 steps by two workers */
  assert_true(near(real(&in, "transform_s_per_step_most", "sink") * 33, 3 * read));
  char *text = lsi_explain_text(&in);
  assert_non_null(strstr(text, " of decoding, about "));
  assert_non_null(strstr(text, " of writing, bound by writing the output\n"));
  assert_non_null(strstr(text, "sets the pace if it takes more than "));
  lsi_free(text);
}

static void too_few_in_flight_leave_latency_bare(void **unused) {
  (void)unused;
  struct lsi_device_model m;
  lsi_device_preset(LSI_DEVICE_VIRTUAL, &m);
  assert_int_equal(lsi_device_busy_at(&m, 1 << 20), 1);
  assert_int_equal(lsi_device_busy_at(&m, 4096), (uint32_t)(m.ops_per_s * m.latency_s));
  m.latency_s = 1;
  assert_int_equal(lsi_device_busy_at(&m, 4096), m.concurrency);
  lsi_device_preset(LSI_DEVICE_VIRTUAL, &m);
  struct lsi_request *r = lsi_request_create();
  const struct lsi_object_info info = {.size = 4000 * 4096};
  assert_int_equal(lsi_request_add_object(r, "object", &info, NULL, NULL), 0);
  assert_int_equal(lsi_request_cut(r, 0, 0, UINT64_MAX, 4096, NULL), 0);
  const struct lsi_plan_options o = {.merge = LSI_MERGE_NEVER, .n_devices = 1, .devices = &m};
  struct lsi_plan *p;
  assert_int_equal(lsi_plan_build(r, &o, &p, NULL), 0);
  struct lsi_explain_input in = {.plan = p, .request = r, .workers = 1, .memory = MIB};
  assert_true(near(real(&in, "expected_s", "device"), 4000 / m.ops_per_s));
  in.queue_depth = 64;
  real(&in, "expected_s", "device");
  in.queue_depth = 4;
  assert_true(near(real(&in, "expected_s", "latency"), 1000 * m.latency_s));
  lsi_plan_free(p);
  assert_int_equal(lsi_request_select(r, 0, 1, 3, NULL), 0); /* so few by themselves */
  assert_int_equal(lsi_plan_build(r, &o, &p, NULL), 0);
  in = (struct lsi_explain_input){.plan = p, .request = r, .workers = 1, .memory = MIB};
  assert_true(near(real(&in, "expected_s", "latency"), m.latency_s));
  lsi_plan_free(p);
  lsi_request_free(r);
}

static void text_is_for_people(void **unused) {
  (void)unused;
  const struct lsi_explain_input in = input();
  char *text = lsi_explain_text(&in);
  assert_non_null(text);
  static const char *const parts[] = {
      "Plan: 66 chunks of 3 objects in 66 steps, 28.0 MiB\n",
      "operations   29, where one for each chunk would be 66; 64 chunks share one, 1 is split\n",
      "0.0 % of it over-read (0 B)\n",
      "memory       256 MiB for 2 workers; the largest unit takes 24 MiB, the largest step 24 MiB\n",
      "virtual: 2 objects, 28 operations, 28 MiB",
      "hdd: 1 object, 1 operation, 1000 B, 8.01 ms (by its operations)\n",
      "taken to do 191 MiB/s, 125 operations/s, 8 ms latency",
      "gaps up to 1.53 MiB are read through",
      "through uring, bound by",
  };
  for (size_t i = 0; i < LSI_COUNTOF(parts); i++)
    if (!strstr(text, parts[i])) fail_msg("no '%s' in\n%s", parts[i], text);
  assert_null(strstr(text, "http"));
  lsi_free(text);
}

static void no_allocation_failure_leaks(void **unused) {
  (void)unused;
  const struct lsi_explain_input in = input();
  char *(*const explain[])(const struct lsi_explain_input *) = {lsi_explain_text,
                                                                lsi_explain_json};
  for (size_t i = 0; i < 2; i++) {
    const uint64_t before = lsi_mem_calls();
    lsi_free(explain[i](&in));
    const uint64_t calls = lsi_mem_calls() - before;
    assert_in_range(calls, 2, 50);
    const int64_t live = lsi_mem_live();
    for (uint64_t n = 1; n <= calls; n++) {
      lsi_mem_fail_nth(n, false);
      char *text = explain[i](&in);
      lsi_mem_fail_nth(0, false);
      assert_null(text);
      assert_int_equal(lsi_mem_live(), live);
    }
  }
}

/* A chunk that states what no memory holds. */
static void prices_do_not_wrap(void **state) {
  (void)state;
  struct lsi_spec spec;
  lsi_spec_init(&spec);
  spec.type = (struct lsi_dtype){LSI_U8, false};
  spec.identity = true;
  struct lsi_price_request want;
  lsi_price_step(&spec, UINT64_MAX / 4, (struct lsi_dtype){LSI_F64, false}, true, false, &want);
  assert_true(want.scratch == UINT64_MAX);
  lsi_spec_clear(&spec);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(as_many_workers_as_fit),
      cmocka_unit_test(what_does_not_fit_is_named),
      cmocka_unit_test(a_merged_unit_that_does_not_fit),
      cmocka_unit_test(json_has_every_field),
      cmocka_unit_test(the_slowest_part_is_the_bound),
      cmocka_unit_test(too_few_in_flight_leave_latency_bare),
      cmocka_unit_test(text_is_for_people),
      cmocka_unit_test(no_allocation_failure_leaks),
      cmocka_unit_test(prices_do_not_wrap),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
