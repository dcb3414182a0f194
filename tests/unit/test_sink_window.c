/* Results of variable size: order, window, index, threads. */
#include <stdatomic.h>

#include "sink_support.h"

/* A step's result: between 0 and 2000 numbers that say where they belong. */
static uint64_t result_of(uint32_t step, uint32_t *out) {
  uint64_t count = (step * 2654435761u >> 13) % 2001;
  if (step % 7 == 3) count = 0;
  for (uint64_t i = 0; i < count; i++) out[i] = step * 4096u + (uint32_t)i;
  return count;
}

static void check_in_order(uint32_t n_steps) {
  size_t n;
  size_t length;
  char *whole = slurp(path, &length);
  const uint32_t *v = (const uint32_t *)(whole + 4096);
  n = (length - 4096) / 4;
  uint32_t expected[2001];
  size_t at = 0;
  for (uint32_t step = 0; step < n_steps; step++) {
    uint64_t count = result_of(step, expected);
    assert_true(at + count <= n);
    assert_memory_equal(v + at, expected, count * 4);
    at += count;
  }
  assert_int_equal(at, n);
  free(whole);
}

/* Any order of completion, any window: the file is the same. */
static void test_window_orders(void **state) {
  (void)state;
  enum { N = 500 };
  static const uint64_t windows[] = {0, 10000, 1 << 20, 64 << 20};
  spec.replace = true;
  spec.durability = LSI_DURABLE_NONE;
  for (unsigned seed = 1; seed <= 8; seed++) {
    uint32_t order[N], buffer[2001];
    for (uint32_t i = 0; i < N; i++) order[i] = i;
    unsigned r = seed;
    for (uint32_t i = N - 1; seed > 1 && i > 0; i--) {
      uint32_t j = (uint32_t)rand_r(&r) % (i + 1), t = order[i];
      order[i] = order[j];
      order[j] = t;
    }
    struct lsi_sink_config c = config_for(LSI_U32, N);
    c.variable = true;
    c.window_bytes = windows[seed % 4];
    struct lsi_sink *s;
    assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
    for (uint32_t i = 0; i < N; i++) {
      uint64_t count = result_of(order[i], buffer);
      if (lsi_sink_append(s, order[i], buffer, count, &err)) fail_msg("seed %u", seed);
      memset(buffer, 0xEE, sizeof buffer); /* the worker reuses it */
    }
    assert_int_equal(lsi_sink_publish(s, &err), 0);
    check_in_order(N);
  }
}

static void test_window_reserves(void **state) {
  (void)state;
  struct lsi_sink_config c = config_for(LSI_U8, 100);
  c.variable = true;
  c.window_bytes = 1000;
  struct lsi_sink *s;
  assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
  assert_true(lsi_sink_may_run(s, 0, 1u << 30)); /* the oldest always may */
  assert_true(lsi_sink_may_run(s, 1, 600));
  assert_true(lsi_sink_may_run(s, 1, 600)); /* asked again: the same reservation */
  assert_false(lsi_sink_may_run(s, 2, 600));
  assert_true(lsi_sink_may_run(s, 3, 400));
  assert_false(lsi_sink_may_run(s, 4, 1));
  assert_false(lsi_sink_may_run(s, 5, UINT64_MAX));
  char data[600] = {0};
  /* Less than reserved: the rest is free again, what is held is not. */
  assert_int_equal(lsi_sink_append(s, 1, data, 100, &err), 0);
  assert_true(lsi_sink_may_run(s, 4, 500));
  assert_false(lsi_sink_may_run(s, 6, 1));
  assert_int_equal(lsi_sink_append(s, 4, data, 0, &err), 0);
  assert_true(lsi_sink_may_run(s, 6, 500));
  assert_int_equal(lsi_sink_append(s, 6, data, 500, &err), 0);
  assert_int_equal(lsi_sink_append(s, 3, data, 400, &err), 0);
  assert_false(lsi_sink_may_run(s, 7, 1)); /* 1, 3 and 6 are held */
  assert_true(lsi_sink_may_run(s, 0, 600));
  assert_int_equal(lsi_sink_append(s, 0, data, 600, &err), 0);
  assert_true(lsi_sink_may_run(s, 2, 600)); /* the oldest now */
  assert_false(lsi_sink_may_run(s, 7, 101));
  assert_true(lsi_sink_may_run(s, 7, 100));
  assert_int_equal(lsi_sink_append(s, 2, data, 1, &err), 0); /* and 3, 4 */
  assert_int_equal(lsi_sink_bytes_written(s), 600 + 100 + 1 + 400);
  assert_true(lsi_sink_window_peak(s) >= 1000);
  assert_int_equal(lsi_sink_append(s, 4, data, 1, &err), LSIO_ERR_BUG);
  lsi_sink_discard(s);
  assert_int_equal(files(), 0);
}

/* What is known of steps far ahead takes memory too, also when their results are tiny. */
static void test_window_counts_what_it_knows(void **state) {
  (void)state;
  struct lsi_sink_config c = config_for(LSI_U8, 1u << 30);
  c.variable = true;
  c.window_bytes = 1 << 20;
  struct lsi_sink *s;
  assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
  assert_true(lsi_sink_may_run(s, 1000, 1));
  assert_false(lsi_sink_may_run(s, 1u << 20, 1));
  assert_false(lsi_sink_may_run(s, (1u << 30) - 1, 0));
  assert_true(lsi_sink_window_peak(s) < 2 * c.window_bytes);
  assert_true(lsi_sink_may_run(s, 1000, 1)); /* as before */
  assert_true(lsi_sink_may_run(s, 0, 1));
  lsi_sink_discard(s);
}

static void test_window_misuse(void **state) {
  (void)state;
  struct lsi_sink_config c = config_for(LSI_U8, 4);
  c.variable = true;
  struct lsi_sink *s;
  assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
  assert_int_equal(lsi_sink_append(s, 4, "x", 1, NULL), LSIO_ERR_BUG);
  assert_int_equal(lsi_sink_append(s, 1, "x", UINT64_MAX, NULL), LSIO_ERR_BUG);
  assert_int_equal(lsi_sink_place(s, 0, "x", 1, NULL), LSIO_ERR_BUG);
  assert_int_equal(lsi_sink_append(s, 0, "x", 1, &err), 0);
  assert_int_equal(lsi_sink_append(s, 3, "x", 1, &err), 0);
  /* Two steps are missing: such an output must not get its name. */
  assert_int_equal(lsi_sink_publish(s, &err), LSIO_ERR_BUG);
  assert_int_equal(files(), 0);
}

static void test_order_of_completion(void **state) {
  (void)state;
  enum { N = 5000 };
  struct lsi_sink_config c = config_for(LSI_U32, N);
  c.variable = true;
  c.first_index = 1000;
  c.window_bytes = 4 << 20;
  spec.as_completed = true;
  struct lsi_sink *s;
  uint32_t buffer[2001];
  assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
  for (uint32_t i = 0; i < N; i++) {
    uint32_t step = (uint32_t)((uint64_t)i * 1777 % N);
    assert_true(lsi_sink_may_run(s, step, UINT64_MAX));
    uint64_t count = result_of(step, buffer);
    assert_int_equal(lsi_sink_append(s, step, buffer, count, &err), 0);
  }
  assert_int_equal(lsi_sink_publish(s, &err), 0);
  assert_int_equal(files(), 2);
  size_t n, rows_bytes;
  char *whole = slurp(path, &n);
  char index[160];
  snprintf(index, sizeof index, "%s.index.npy", path);
  char *rows_text = npy_data(index, "<i8", "(5000,3)", &rows_bytes);
  assert_int_equal(rows_bytes, N * 24);
  const int64_t *rows = (const int64_t *)rows_text;
  const uint32_t *v = (const uint32_t *)(whole + 4096);
  int64_t at = 0;
  for (uint32_t i = 0; i < N; i++) {
    const int64_t *row = rows + 3 * (size_t)i;
    uint64_t count = result_of((uint32_t)(row[0] - 1000), buffer);
    assert_int_equal(row[1], at);
    assert_int_equal(row[2], count);
    assert_memory_equal(v + row[1], buffer, count * 4);
    at += row[2];
  }
  assert_int_equal((n - 4096) / 4, at);
  free(whole);
  free(rows_text);

  /* An index in the way is found before the run. */
  unlink(path);
  assert_int_equal(open_code(&c), LSIO_ERR_OUTPUT);
  assert_string_equal(err.object, index);
}

struct crew {
  struct lsi_sink *sink;
  atomic_uint next;
  uint32_t n_steps;
  atomic_int failures;
};

/* A worker: takes steps in order, asks the window, waits when it must. */
static void crew_main(void *arg) {
  struct crew *crew = arg;
  uint32_t *buffer = malloc(2001 * sizeof *buffer);
  for (uint32_t step; (step = atomic_fetch_add(&crew->next, 1)) < crew->n_steps;) {
    while (!lsi_sink_may_run(crew->sink, step, 8004)) lsi_os_sleep_ns(20000);
    uint64_t count = result_of(step, buffer);
    if (step % 13 == 0) lsi_os_sleep_ns(50000);
    if (lsi_sink_append(crew->sink, step, buffer, count, NULL)) atomic_fetch_add(&crew->failures, 1);
  }
  free(buffer);
}

static void test_many_threads(void **state) {
  (void)state;
  static const uint64_t windows[] = {0, 40000, 2 << 20};
  spec.replace = true;
  spec.durability = LSI_DURABLE_NONE;
  for (size_t i = 0; i < LSI_COUNTOF(windows); i++) {
    struct lsi_sink_config c = config_for(LSI_U32, 3000);
    c.variable = true;
    c.window_bytes = windows[i];
    struct crew crew = {.n_steps = c.n_steps};
    assert_int_equal(lsi_sink_open(&c, &crew.sink, &err), 0);
    struct lsi_thread *threads[4];
    for (size_t t = 0; t < 4; t++)
      assert_int_equal(lsi_os_thread_start(&threads[t], "crew", crew_main, &crew), 0);
    for (size_t t = 0; t < 4; t++) lsi_os_thread_join(threads[t]);
    assert_int_equal(crew.failures, 0);
    assert_int_equal(lsi_sink_publish(crew.sink, &err), 0);
    check_in_order(c.n_steps);
  }
}

static void test_no_memory(void **state) {
  (void)state;
  struct lsi_sink_config c = config_for(LSI_U32, 300);
  c.variable = true;
  c.window_bytes = 2 << 20;
  spec.as_completed = true;
  bool opened = false;
  for (uint64_t nth = 1; nth < 100 && !opened; nth++) {
    lsi_mem_fail_nth(nth, false);
    int rc = open_code(&c);
    lsi_mem_fail_nth(0, false);
    opened = rc == 0;
    if (!opened && rc != LSIO_ERR_NOMEM && rc != LSIO_ERR_OUTPUT) fail_msg("code %d", rc);
    assert_int_equal(lsi_mem_live(), live_before);
    assert_int_equal(files(), 0);
  }
  assert_true(opened);
  /* A result that cannot be held is an error, and stays one. */
  spec.as_completed = false;
  struct lsi_sink *s;
  uint32_t one = 1;
  lsi_error_clear(&err);
  assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
  lsi_mem_fail_nth(1, false);
  assert_int_equal(lsi_sink_append(s, 5, &one, 1, &err), LSIO_ERR_NOMEM);
  lsi_mem_fail_nth(0, false);
  assert_int_equal(lsi_sink_append(s, 0, &one, 1, NULL), LSIO_ERR_NOMEM);
  assert_int_equal(lsi_sink_publish(s, NULL), LSIO_ERR_NOMEM);
  assert_int_equal(files(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_window_orders), TEST(test_window_reserves), TEST(test_window_counts_what_it_knows),
      TEST(test_window_misuse),  TEST(test_order_of_completion), TEST(test_many_threads),
      TEST(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
