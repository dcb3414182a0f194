/* The summary as JSON and as text: all fields, hostile strings, no memory. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "ground/mem.h"
#include "job/summary.h"

static const struct lsi_worker_summary workers[2] = {
    {3, 0.25, 0.5, 1.0, 0.125, 0.0625,
     .tune = {[LSI_TRIED_LEND] = {true, true, false, 1, 3, {0.5, 0.25}},
              [LSI_TRIED_STORES] = {true, false, false, 1, 0, {2, NAN}},
              [LSI_TRIED_DEPTH] = {true, true, true, 64, 0, {NAN, NAN}}}},
    {4, 1, 2, 3, 4, .tune = {[LSI_TRIED_STRAIGHT] = {true, true, false, 0, 1, {0.125, NAN}}}}};

static const struct lsi_state_json reduced = {.text = "{\"sum\": 0.1, \"n\": 9007199254740993}", .nonfinite = 3,
                                             .reduce = "{\"sum\": \"max\"}"};

static struct lsi_summary example(void) {
  return (struct lsi_summary){
      .status = "done",
      .chunks = 1234567,
      .steps = 1234567,
      .operations = 99,
      .bytes_requested = 1000,
      .bytes_read = 3000000000u,
      .bytes_decoded = 6000000000u,
      .bytes_delivered = 77,
      .bytes_copied = 66,
      .bytes_written = 4096,
      .bytes_direct = 88,
      .bytes_gaps = 300000000,
      .bytes_twice = 5000000,
      .bytes_alignment = 4096000,
      .bytes_retried = 65536 * 100,
      .wall_s = 1.75,
      .cpu_s = 2.5,
      .part_s = {[LSI_PART_START] = 0.01, [LSI_PART_LIST] = 0.5, [LSI_PART_PLAN] = 0.0625, [LSI_PART_READ] = 1.5,
                 [LSI_PART_PUBLISH] = 0.25, [LSI_PART_DONE] = 0.125},
      .peak_memory = 1 << 20,
      .backend = "uring",
      .bound = "device",
      .n_workers = 2,
      .workers = workers,
      .state = &reduced,
  };
}

static json_t *parse(const struct lsi_summary *s) {
  char *text = lsi_summary_json(s);
  assert_non_null(text);
  json_error_t e;
  json_t *o = json_loads(text, 0, &e);
  if (!o) fail_msg("%s at %d: %s", e.text, e.position, text);
  lsi_free(text);
  return o;
}

static json_int_t integer(json_t *o, const char *key) {
  json_t *v = json_object_get(o, key);
  if (!json_is_integer(v)) fail_msg("'%s' is no integer", key);
  return json_integer_value(v);
}

static void test_json_fields(void **state) {
  (void)state;
  struct lsi_summary s = example();
  json_t *o = parse(&s);
  assert_string_equal(json_string_value(json_object_get(o, "status")), "done");
  assert_int_equal(integer(o, "exit_code"), 0);
  assert_int_equal(integer(o, "chunks"), 1234567);
  assert_int_equal(integer(o, "chunks_failed"), 0);
  assert_int_equal(integer(o, "operations"), 99);
  assert_int_equal(integer(o, "bytes_requested"), 1000);
  assert_int_equal(integer(o, "bytes_read"), 3000000000);
  assert_int_equal(integer(o, "bytes_decoded"), 6000000000);
  assert_int_equal(integer(o, "bytes_delivered"), 77);
  assert_int_equal(integer(o, "bytes_copied"), 66);
  assert_int_equal(integer(o, "bytes_written"), 4096);
  assert_int_equal(integer(o, "bytes_direct"), 88);
  assert_int_equal(integer(o, "peak_memory"), 1 << 20);
  assert_int_equal(integer(o, "bytes_gaps"), 300000000);
  assert_int_equal(integer(o, "bytes_twice"), 5000000);
  assert_int_equal(integer(o, "bytes_alignment"), 4096000);
  assert_int_equal(integer(o, "bytes_retried"), 6553600);
  assert_true(json_real_value(json_object_get(o, "wall_s")) == 1.75);
  assert_true(json_real_value(json_object_get(o, "cpu_s")) == 2.5);
  assert_string_equal(json_string_value(json_object_get(o, "backend")), "uring");
  assert_string_equal(json_string_value(json_object_get(o, "bound")), "device");
  json_t *list = json_object_get(o, "workers");
  assert_int_equal(json_array_size(list), 2);
  json_t *w = json_array_get(list, 0);
  assert_int_equal(integer(w, "steps"), 3);
  assert_true(json_real_value(json_object_get(w, "wait_s")) == 0.25);
  assert_true(json_real_value(json_object_get(w, "decode_s")) == 0.5);
  assert_true(json_real_value(json_object_get(w, "transform_s")) == 1.0);
  assert_true(json_real_value(json_object_get(w, "place_s")) == 0.125);
  assert_true(json_real_value(json_object_get(w, "stalled_s")) == 0.0625);
  /* The state keeps all its digits. */
  json_t *end = json_object_get(o, "state");
  assert_true(json_real_value(json_object_get(end, "sum")) == 0.1);
  assert_true(integer(end, "n") == 9007199254740993);
  assert_int_equal(integer(o, "state_nonfinite"), 3);
  assert_true(json_is_null(json_object_get(o, "state_error")));
  assert_string_equal(json_string_value(json_object_get(json_object_get(o, "reduce"), "sum")), "max");
  assert_int_equal(json_array_size(json_object_get(o, "errors")), 0);
  json_decref(o);
}

/* The names are documented: see lsio.h. */
static void test_json_times(void **state) {
  (void)state;
  static const char *const names[LSI_PARTS] = {"start_s", "setup_s",  "list_s",    "plan_s", "read_s",
                                               "poll_s",  "reduce_s", "publish_s", "done_s"};
  struct lsi_summary s = example();
  double sum = 0;
  for (size_t i = 0; i < LSI_PARTS; i++) sum += s.part_s[i] = 0.125 * (double)(1u << i);
  json_t *o = parse(&s);
  for (size_t i = 0; i < LSI_PARTS; i++)
    assert_true(json_real_value(json_object_get(o, names[i])) == s.part_s[i]);
  assert_true(json_real_value(json_object_get(o, "total_s")) == sum);
  json_decref(o);
}

static json_t *verdict_of(json_t *summary, size_t worker, const char *kind) {
  json_t *w = json_array_get(json_object_get(summary, "workers"), worker);
  return json_object_get(json_object_get(w, "tune"), kind);
}

static void test_json_verdicts(void **state) {
  (void)state;
  struct lsi_summary s = example();
  json_t *o = parse(&s);
  static const struct {
    size_t worker;
    const char *kind, *text;
  } all[] = {
      {0, "lend", "{\"verdict\":true,\"pinned\":false,\"comparisons\":3,\"cpu_ns_per_byte\":[0.5,0.25]}"},
      {0, "stores", "{\"verdict\":null,\"pinned\":false,\"comparisons\":0,\"cpu_ns_per_byte\":[2.0,null]}"},
      {0, "straight", "null"},
      {0, "depth", "{\"verdict\":64,\"pinned\":true,\"comparisons\":0,\"ns_per_byte\":[null,null]}"},
      {1, "lend", "null"},
      {1, "stores", "null"},
      {1, "straight", "{\"verdict\":false,\"pinned\":false,\"comparisons\":1,\"waited\":0.125}"},
      {1, "depth", "null"},
  };
  for (size_t i = 0; i < LSI_COUNTOF(all); i++) {
    json_t *want = json_loads(all[i].text, JSON_DECODE_ANY, NULL), *got = verdict_of(o, all[i].worker, all[i].kind);
    assert_non_null(want);
    if (!got || !json_equal(want, got)) fail_msg("%s", all[i].text);
    json_decref(want);
  }
  json_decref(o);
}

static void test_json_errors(void **state) {
  (void)state;
  struct lsi_error errors[2] = {0};
  lsi_fail(&errors[0], LSIO_ERR_CORRUPT, 0, "bad \"frame\"\n");
  lsi_error_at(&errors[0], "a\xff\xc3\xa9.f32", 10, 20, 7); /* a name that is no UTF-8 */
  lsi_fail(&errors[1], LSIO_ERR_IO, 5, "read failed");
  struct lsi_summary s = example();
  s.status = "skipped";
  s.exit_code = 1;
  s.steps_failed = s.chunks_failed = s.error_count = 205;
  s.errors = errors;
  s.n_errors_kept = 2;
  struct lsi_state_json none = {.text = NULL};
  lsi_fail(&none.error, LSIO_ERR_OUTPUT, 0, "no JSON");
  s.state = &none;
  json_t *o = parse(&s);
  assert_int_equal(integer(o, "error_count"), 205);
  assert_true(json_is_null(json_object_get(o, "state")));
  json_t *e = json_object_get(o, "state_error");
  assert_string_equal(json_string_value(json_object_get(e, "code")), "LSIO_ERR_OUTPUT");
  assert_string_equal(json_string_value(json_object_get(e, "message")), "no JSON");
  json_t *list = json_object_get(o, "errors");
  assert_int_equal(json_array_size(list), 2);
  e = json_array_get(list, 0);
  assert_string_equal(json_string_value(json_object_get(e, "code")), "LSIO_ERR_CORRUPT");
  assert_string_equal(json_string_value(json_object_get(e, "object")), "a\\xFF\xc3\xa9.f32");
  assert_int_equal(integer(e, "offset"), 10);
  assert_int_equal(integer(e, "length"), 20);
  assert_int_equal(integer(e, "step"), 7);
  assert_non_null(strstr(json_string_value(json_object_get(e, "message")), "bad \"frame\"\n"));
  e = json_array_get(list, 1);
  assert_true(json_is_null(json_object_get(e, "object")));
  assert_true(json_is_null(json_object_get(e, "offset")));
  assert_int_equal(integer(e, "os_code"), 5);
  json_decref(o);
}

static void test_odd_numbers(void **state) {
  (void)state;
  struct lsi_summary s = {.status = NULL, .wall_s = NAN, .cpu_s = INFINITY,
                          .bytes_read = UINT64_MAX};
  json_t *o = parse(&s);
  assert_true(json_real_value(json_object_get(o, "wall_s")) == 0);
  assert_true(integer(o, "bytes_read") == INT64_MAX);
  assert_true(json_is_null(json_object_get(o, "state")));
  json_decref(o);
  char *text = lsi_summary_text(&s);
  assert_non_null(text);
  lsi_free(text);
}

static void test_text(void **state) {
  (void)state;
  struct lsi_summary s = example();
  s.cpu_s = 2;
  char *text = lsi_summary_text(&s);
  assert_string_equal(text,
                      "done: 1,234,567 steps, 2.79 GiB read (1.86 GiB/s), 5.59 GiB decoded\n"
                      "    (3.73 GiB/s), 4 KiB written; 99 operations by uring, 2 workers, 2 s of CPU,\n"
                      "    peak memory 1 MiB\n"
                      "time: 2.45 s = 500 ms listing + 62.5 ms planning + 1.50 s reading + 250 ms\n"
                      "    publishing + 125 ms done\n"
                      "read beyond what was asked for: 286 MiB in gaps between chunks that share an\n"
                      "    operation; 4.77 MiB more than once, for chunks that overlap; 3.91 MiB around\n"
                      "    chunks, for direct reads take whole blocks; 6.25 MiB again, chunk by chunk,\n"
                      "    after reads that failed\n"
                      "bound by the storage: workers mostly waited for it, so more cores would not help\n");
  lsi_free(text);
  s.cpu_s = 3;
  s.workers_wanted = 4;
  text = lsi_summary_text(&s);
  assert_non_null(strstr(text, "bound by copying from the page cache")); /* busy all the time */
  assert_non_null(strstr(text, "no more; 4 were wanted)"));
  lsi_free(text);
}

/* Parts that are too small to be shown stand there together. */
static void test_text_of_times(void **state) {
  (void)state;
  struct lsi_summary s = example();
  for (size_t i = 0; i < LSI_PARTS; i++) s.part_s[i] = i == LSI_PART_READ ? 1 : 0.004;
  char *text = lsi_summary_text(&s);
  assert_non_null(strstr(text, "\ntime: 1.03 s = 1 s reading + 32 ms other\n"));
  lsi_free(text);
  memset(s.part_s, 0, sizeof s.part_s);
  text = lsi_summary_text(&s);
  assert_null(strstr(text, "time"));
  lsi_free(text);
}

/* Each cause that there is, and no line where there is next to none. */
static void test_text_of_over_read(void **state) {
  (void)state;
  struct lsi_summary s = example();
  uint64_t *const causes[] = {&s.bytes_gaps, &s.bytes_twice, &s.bytes_alignment, &s.bytes_retried};
  static const char *const words[] = {"5.72 MiB in gaps", "5.72 MiB more than once", "5.72 MiB around chunks",
                                      "5.72 MiB again"};
  for (size_t i = 0; i < LSI_COUNTOF(causes); i++) {
    for (size_t j = 0; j < LSI_COUNTOF(causes); j++) *causes[j] = i == j ? 6000000 : 0;
    char *text = lsi_summary_text(&s);
    const char *line = strstr(text, "\nread beyond what was asked for: ");
    assert_non_null(line);
    assert_non_null(strstr(line, words[i]));
    assert_null(strchr(line, ';'));
    lsi_free(text);
    *causes[i] = 3000000; /* of 3,000,000,000 */
    text = lsi_summary_text(&s);
    assert_null(strstr(text, "beyond"));
    lsi_free(text);
  }
}

/* Hands over what is kept of these, and shows it in the summary. */
static struct lsi_failures *failures(struct lsi_summary *s, uint32_t n, const struct lsi_error *e) {
  struct lsi_failures *f = lsi_malloc(sizeof *f);
  assert_non_null(f);
  lsi_failures_init(f);
  for (uint32_t i = 0; i < n; i++) lsi_failures_add(f, &e[i]);
  lsi_failures_sort(f);
  s->errors = f->kept;
  s->n_errors_kept = f->n_kept;
  s->error_count = f->n;
  s->kinds = f->n ? f->kinds : NULL;
  return f;
}

static void test_text_of_failures(void **state) {
  (void)state;
  struct lsi_summary s = example();
  struct lsi_error e = {0};
  lsi_fail(&e, LSIO_ERR_TRANSFORM, 0, "job.lua:3: no");
  lsi_error_at(&e, "x", LSI_NO_OFFSET, 0, 2);
  s.status = "skipped";
  s.exit_code = 1;
  s.steps_failed = 1;
  struct lsi_failures *f = failures(&s, 1, &e);
  char *text = lsi_summary_text(&s);
  assert_non_null(strstr(text, "done, with failures"));
  assert_non_null(strstr(text, "1 step failed and was left out (transform)\n"));
  assert_null(strstr(text, "deadline"));
  lsi_free(text);
  s.exit_code = 9;
  s.steps_failed = 8;
  s.steps_left = 7;
  s.at_deadline = "the deadline of 2 s has passed";
  text = lsi_summary_text(&s);
  assert_non_null(strstr(text, "stopped at its deadline: "));
  assert_non_null(strstr(text, "\nthe deadline of 2 s has passed\n"));
  assert_non_null(strstr(text, "8 steps failed and were left out, 7 of them not run (transform)\n"));
  lsi_free(text);
  json_t *o = parse(&s);
  assert_int_equal(integer(o, "steps_left"), 7);
  assert_string_equal(json_string_value(json_object_get(o, "at_deadline")), "the deadline of 2 s has passed");
  json_decref(o);
  lsi_failures_clear(f);
  lsi_free(f);
  s.at_deadline = NULL;
  s.steps_left = 0;
  char name[300];
  memset(name, 'n', sizeof name - 1);
  name[sizeof name - 1] = 0;
  lsi_error_clear(&e);
  lsi_fail(&e, LSIO_ERR_TRANSFORM, 0, "job.lua:3: no");
  lsi_error_at(&e, name, 0, 1, 2);
  f = failures(&s, 1, &e);
  text = lsi_failures_text(&s);
  size_t column = 0, ns = 0;
  for (const char *p = text; *p; p++) {
    column = *p == '\n' ? 0 : column + 1;
    ns += *p == 'n';
    assert_in_range(column, 0, 80);
  }
  assert_in_range(ns, 299, 400);
  lsi_free(text);
  lsi_failures_clear(f);
  lsi_free(f);
}

/* A step fails in one of four ways. */
static struct lsi_error failed_step(uint64_t step) {
  struct lsi_error e = {0};
  char name[16];
  snprintf(name, sizeof name, "%llu\n", (unsigned long long)step);
  if (step % 8 == 0) lsi_fail(&e, LSIO_ERR_SOURCE, ENOENT, "it is gone");
  else if (step % 8 == 1) lsi_fail(&e, LSIO_ERR_TRANSFORM, 0, "two\nlines");
  else lsi_fail(&e, LSIO_ERR_CORRUPT, 0, "bad");
  lsi_error_at(&e, name, step % 3, 7, step);
  if (step % 8 == 0) lsi_error_remedy(&e, "put it back");
  if (step % 8 >= 2) lsi_error_remedy(&e, step == 602 ? "write it again" : "read it again");
  return e;
}

/* Whatever the order in which they come. */
static void test_failures_that_are_kept(void **state) {
  (void)state;
  enum { N = 700 };
  static struct lsi_error e[N];
  uint64_t dice = 1;
  for (int round = 0; round < 20; round++) {
    for (uint32_t i = 0; i < N; i++) e[i] = failed_step(round ? i : N - 1 - i);
    for (uint32_t i = N - 1; round > 1 && i; i--) {
      dice = dice * 6364136223846793005u + 1442695040888963407u;
      const uint32_t j = (uint32_t)((dice >> 33) % (i + 1));
      const struct lsi_error swapped = e[i];
      e[i] = e[j], e[j] = swapped;
    }
    struct lsi_summary s = example();
    const uint32_t n = round % 2 ? N : (uint32_t)round;
    struct lsi_failures *f = failures(&s, n, e);
    assert_int_equal(f->n, n);
    assert_int_equal(f->n_kept, n < LSI_ERRORS_KEPT ? n : LSI_ERRORS_KEPT);
    for (uint32_t i = 1; i < f->n_kept; i++) assert_true(f->kept[i - 1].step < f->kept[i].step);
    if (n == N) {
      assert_int_equal(f->kept[LSI_ERRORS_KEPT - 1].step, LSI_ERRORS_KEPT - 1);
      assert_int_equal(f->kinds[LSIO_KIND_NOT_FOUND].n, 88);
      assert_int_equal(f->kinds[LSIO_KIND_TRANSFORM].n, 88);
      assert_int_equal(f->kinds[LSIO_KIND_CORRUPT].n, 524);
      assert_string_equal(f->kinds[LSIO_KIND_CORRUPT].remedy, "read it again");
      assert_true(f->kinds[LSIO_KIND_CORRUPT].differ && !f->kinds[LSIO_KIND_NOT_FOUND].differ);
    }
    lsi_failures_clear(f);
  lsi_free(f);
  }
}

static void test_failures_at_a_glance(void **state) {
  (void)state;
  static struct lsi_error e[20];
  for (uint32_t i = 0; i < 20; i++) e[i] = failed_step(i);
  struct lsi_summary s = example();
  struct lsi_failures *f = failures(&s, 20, e);
  s.steps_failed = 20;
  char *text = lsi_failures_text(&s);
  assert_string_equal(text, "0?: step 0: it is gone: No such file or directory\n"
                            "1?: offset 1, step 1: two lines\n"
                            "2?: offset 2, step 2: bad\n"
                            "3?: step 3: bad\n"
                            "4?: offset 1, step 4: bad\n"
                            "5?: offset 2, step 5: bad\n"
                            "6?: step 6: bad\n"
                            "7?: offset 1, step 7: bad\n"
                            "8?: offset 2, step 8: it is gone: No such file or directory\n"
                            "9?: step 9: two lines\n"
                            "10 more (8 corrupt, 1 not found, 1 transform)\n"
                            "not found: put it back\n"
                            "corrupt: read it again\n");
  lsi_free(text);
  text = lsi_summary_text(&s);
  assert_non_null(strstr(text, "20 steps failed (14 corrupt, 3 not found, 3 transform)\n"));
  lsi_free(text);
  lsi_failures_clear(f);
  lsi_free(f);
  f = failures(&s, 2, e);
  s.steps_left = 1; /* what was not run has no line */
  text = lsi_failures_text(&s);
  assert_string_equal(text, "0?: step 0: it is gone: No such file or directory\n"
                            "1 more (transform)\n"
                            "not found: put it back\n");
  lsi_free(text);
  lsi_failures_clear(f);
  lsi_free(f);
  s = example();
  text = lsi_failures_text(&s);
  assert_string_equal(text, "");
  lsi_free(text);
}

static void test_each_bound_has_its_sentence(void **state) {
  (void)state;
  static const char *const bounds[] = {"device", "decode", "transform", "sink", "latency", "consumer"};
  for (size_t i = 0; i < LSI_COUNTOF(bounds); i++) {
    struct lsi_summary s = example();
    s.bound = bounds[i];
    char *text = lsi_summary_text(&s);
    assert_non_null(strstr(text, "\nbound by "));
    lsi_free(text);
  }
}

static void test_no_memory(void **state) {
  (void)state;
  struct lsi_summary s = example();
  int64_t live = lsi_mem_live();
  lsi_mem_fail_nth(1, true);
  assert_null(lsi_summary_json(&s));
  assert_null(lsi_summary_text(&s));
  lsi_mem_fail_nth(0, false);
  assert_int_equal(lsi_mem_live(), live);
}

/* Without memory for them errors are counted only. */
static void test_failures_without_memory(void **state) {
  (void)state;
  struct lsi_error e;
  lsi_error_clear(&e);
  lsi_fail(&e, LSIO_ERR_CORRUPT, 0, "damaged");
  struct lsi_failures f;
  lsi_failures_init(&f);
  assert_null(f.kept); /* half a megabyte, which a job without failures does not have */
  lsi_mem_fail_nth(1, true);
  lsi_failures_add(&f, &e);
  assert_null(lsi_failures_next(&f));
  lsi_mem_fail_nth(0, false);
  assert_int_equal(f.n, 1);
  assert_int_equal(f.n_kept, 0);
  lsi_failures_add(&f, &e);
  assert_non_null(lsi_failures_next(&f));
  assert_int_equal(f.n, 2);
  assert_int_equal(f.n_kept, 2);
  lsi_failures_clear(&f);
  assert_null(f.kept);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_json_fields),   cmocka_unit_test(test_json_errors),
      cmocka_unit_test(test_json_verdicts),
      cmocka_unit_test(test_odd_numbers),   cmocka_unit_test(test_text),
      cmocka_unit_test(test_json_times),    cmocka_unit_test(test_text_of_times),
      cmocka_unit_test(test_text_of_over_read), cmocka_unit_test(test_text_of_failures),
      cmocka_unit_test(test_failures_that_are_kept),
      cmocka_unit_test(test_failures_at_a_glance),
      cmocka_unit_test(test_each_bound_has_its_sentence),
      cmocka_unit_test(test_no_memory),
      cmocka_unit_test(test_failures_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
