/* File sinks: npy and raw, fixed and variable sizes, order, names, shapes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem.h"
#include "os.h"
#include "sink.h"

static char dir[64];
static char path[128];
static struct lsi_error err;
static struct lsi_sink_spec spec;
static int64_t live_before;

static int setup(void **state) {
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/lsio-sink-XXXXXX");
  assert_non_null(mkdtemp(dir));
  snprintf(path, sizeof path, "%s/out.npy", dir);
  memset(&spec, 0, sizeof spec);
  spec.kind = LSI_SINK_NPY;
  spec.durability = LSI_DURABLE_BATCH;
  lsi_error_clear(&err);
  live_before = lsi_mem_live();
  return 0;
}

/* Files in the test's directory, hidden ones too. */
static int files(void) {
  int n = 0;
  DIR *d = opendir(dir);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));)
    if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) n++;
  closedir(d);
  return n;
}

static int teardown(void **state) {
  (void)state;
  assert_int_equal(lsi_mem_live(), live_before);
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", dir);
  return system(command);
}

static struct lsi_sink_config config_for(enum lsi_type type, uint32_t n_steps) {
  return (struct lsi_sink_config){.spec = &spec, .path = path, .type = {.type = (uint8_t)type},
                                  .n_steps = n_steps, .window_bytes = 1 << 16};
}

static char *slurp(const char *name, size_t *length) {
  FILE *f = fopen(name, "rb");
  if (!f) fail_msg("%s is not there", name);
  fseek(f, 0, SEEK_END);
  *length = (size_t)ftell(f);
  rewind(f);
  char *text = calloc(1, *length + 1);
  assert_non_null(text);
  assert_int_equal(fread(text, 1, *length, f), *length);
  fclose(f);
  return text;
}

/* The elements of an npy file after its header has been compared. */
static char *npy_data(const char *name, const char *descr, const char *shape, size_t *bytes) {
  size_t length;
  char *text = slurp(name, &length);
  assert_true(length >= 4096);
  assert_memory_equal(text, "\x93NUMPY", 6);
  char expected[128];
  snprintf(expected, sizeof expected, "'descr': '%s'", descr);
  if (!strstr(text + 10, expected)) fail_msg("no %s in %.100s", expected, text + 10);
  const char *at = strstr(text + 10, "'shape': (");
  assert_non_null(at);
  /* Compared without blanks: "(2, 3)" and "(2,3)" are the same. */
  char got[64];
  size_t n = 0;
  for (at += 9; *at && n < sizeof got - 1; at++) {
    if (*at != ' ') got[n++] = *at;
    if (*at == ')') break;
  }
  got[n] = 0;
  if (n > 2 && got[n - 2] == ',' && strchr(got, ',') != got + n - 2) {
    got[n - 2] = ')'; /* "(2,3,)" */
    got[n - 1] = 0;
  }
  assert_string_equal(got, shape);
  *bytes = length - 4096;
  memmove(text, text + 4096, *bytes);
  return text;
}

static void test_fixed(void **state) {
  (void)state;
  struct lsi_sink_config c = config_for(LSI_F32, 3);
  c.total = 6;
  spec.ndim = 2;
  spec.shape[0] = -1;
  spec.shape[1] = 3;
  struct lsi_sink *s;
  assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
  const float v[6] = {1, 2, 3, 4, 5, 6};
  assert_int_equal(lsi_sink_place(s, 4, v + 4, 2, &err), 0);
  assert_int_equal(lsi_sink_place(s, 0, v, 4, &err), 0);
  assert_int_equal(lsi_sink_place(s, 6, v, 0, &err), 0);
  assert_int_equal(lsi_sink_place(s, 5, v, 2, NULL), LSIO_ERR_BUG);
  assert_int_equal(lsi_sink_place(s, UINT64_MAX, v, 2, NULL), LSIO_ERR_BUG);
  assert_int_equal(lsi_sink_bytes_written(s), 24);
  assert_true(access(path, F_OK) != 0); /* no name before it is complete */
  assert_int_equal(lsi_sink_publish(s, &err), 0);
  size_t n;
  char *data = npy_data(path, "<f4", "(2,3)", &n);
  assert_int_equal(n, sizeof v);
  assert_memory_equal(data, v, n);
  free(data);
  assert_int_equal(files(), 1);
}

static void test_raw_and_empty(void **state) {
  (void)state;
  struct lsi_sink_config c = config_for(LSI_I16, 1);
  struct lsi_sink *s;
  size_t n;
  assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
  assert_int_equal(lsi_sink_publish(s, &err), 0);
  char *data = npy_data(path, "<i2", "(0,)", &n);
  assert_int_equal(n, 0);
  free(data);

  spec.kind = LSI_SINK_RAW;
  spec.replace = true;
  c.total = 2;
  for (int durability = LSI_DURABLE_NONE; durability <= LSI_DURABLE_EACH; durability++) {
    spec.durability = (uint8_t)durability;
    assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
    const int16_t v[2] = {7, (int16_t)durability};
    assert_int_equal(lsi_sink_place(s, 0, v, 2, &err), 0);
    assert_int_equal(lsi_sink_publish(s, &err), 0);
    data = slurp(path, &n);
    assert_int_equal(n, sizeof v);
    assert_memory_equal(data, v, n);
    free(data);
  }
  assert_int_equal(files(), 1);
}

static int open_code(const struct lsi_sink_config *c) {
  struct lsi_sink *s;
  lsi_error_clear(&err);
  int rc = lsi_sink_open(c, &s, &err);
  if (!rc) lsi_sink_discard(s);
  return rc;
}

static void test_shapes(void **state) {
  (void)state;
  struct lsi_sink_config c = config_for(LSI_U8, 1);
  static const struct {
    uint64_t total;
    uint32_t ndim;
    int64_t shape[3];
    int code;
    const char *says;
  } cases[] = {
      {12, 2, {3, 4}, 0, ""},
      {12, 2, {-1, 4}, 0, ""},
      {12, 3, {2, -1, 2}, 0, ""},
      {0, 2, {0, 4}, 0, ""},
      {0, 2, {-1, 4}, 0, ""},
      {12, 2, {3, 5}, LSIO_ERR_USAGE, "{3, 5} does not hold 12 elements"},
      {12, 2, {-1, 5}, LSIO_ERR_USAGE, "{-1, 5} does not hold 12 elements"},
      {0, 2, {-1, 0}, LSIO_ERR_USAGE, "does not hold 0"},
      {12, 2, {-1, -1}, LSIO_ERR_USAGE, "one may be -1"},
      {12, 2, {-2, -6}, LSIO_ERR_USAGE, "0 or more"},
      {0, 3, {INT64_MAX, INT64_MAX, 4}, LSIO_ERR_USAGE, "not valid"},
  };
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++) {
    c.total = cases[i].total;
    spec.ndim = cases[i].ndim;
    memcpy(spec.shape, cases[i].shape, sizeof cases[i].shape);
    assert_int_equal(open_code(&c), cases[i].code);
    assert_non_null(strstr(err.what, cases[i].says));
  }
  spec.ndim = 33;
  assert_int_equal(open_code(&c), LSIO_ERR_USAGE);
  /* Variable: only what can never be right is refused before the run, the rest at its end. */
  c.variable = true;
  spec.ndim = 2;
  spec.shape[0] = spec.shape[1] = -1;
  assert_int_equal(open_code(&c), LSIO_ERR_USAGE);
  spec.shape[0] = 7;
  spec.shape[1] = 1;
  struct lsi_sink *s;
  lsi_error_clear(&err);
  assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
  assert_int_equal(lsi_sink_append(s, 0, "abc", 3, &err), 0);
  assert_int_equal(lsi_sink_publish(s, &err), LSIO_ERR_OUTPUT);
  assert_non_null(strstr(err.what, "{7, 1} does not hold 3 elements"));
  assert_string_equal(err.object, path);
  assert_int_equal(files(), 0);
}

static void test_big_endian_is_refused(void **state) {
  (void)state;
  struct lsi_sink_config c = config_for(LSI_F32, 1);
  c.type.big = true;
  assert_int_equal(open_code(&c), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.remedy, "\"f32\""));
}

static void test_names(void **state) {
  (void)state;
  struct lsi_sink_config c = config_for(LSI_U8, 1);
  c.total = 1;
  FILE *f = fopen(path, "w");
  fputs("mine", f);
  fclose(f);
  assert_int_equal(open_code(&c), LSIO_ERR_OUTPUT);
  assert_string_equal(err.object, path);
  assert_non_null(strstr(err.remedy, "exists = \"replace\""));
  size_t n;
  char *text = slurp(path, &n);
  assert_string_equal(text, "mine");
  free(text);
  assert_int_equal(files(), 1);

  /* Taken while the job ran: still not overwritten. */
  unlink(path);
  struct lsi_sink *s;
  lsi_error_clear(&err);
  assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
  f = fopen(path, "w");
  fputs("mine", f);
  fclose(f);
  assert_int_equal(lsi_sink_place(s, 0, "x", 1, &err), 0);
  assert_int_equal(lsi_sink_publish(s, &err), LSIO_ERR_OUTPUT);
  assert_string_equal(err.object, path);
  text = slurp(path, &n);
  assert_string_equal(text, "mine");
  free(text);
  assert_int_equal(files(), 1);

  /* With replace the old one stands until the new one is complete; discarding leaves it. */
  spec.replace = true;
  lsi_error_clear(&err);
  assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
  lsi_sink_discard(s);
  text = slurp(path, &n);
  assert_string_equal(text, "mine");
  free(text);
  assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
  assert_int_equal(lsi_sink_place(s, 0, "x", 1, &err), 0);
  assert_int_equal(lsi_sink_publish(s, &err), 0);
  text = npy_data(path, "|u1", "(1,)", &n);
  assert_int_equal(text[0], 'x');
  free(text);
  assert_int_equal(files(), 1);

  c.path = "";
  assert_int_equal(open_code(&c), LSIO_ERR_USAGE);
  c.path = dir;
  assert_int_equal(open_code(&c), LSIO_ERR_OUTPUT);
  assert_non_null(strstr(err.what, "directory"));
  c.path = "/dev/null";
  assert_int_equal(open_code(&c), LSIO_ERR_OUTPUT);
  assert_non_null(strstr(err.what, "not a plain file"));
  lsi_sink_discard(NULL);
}

static void test_abandon(void **state) {
  (void)state;
  struct lsi_sink_config c = config_for(LSI_U8, 1);
  c.variable = true;
  spec.any_order = true;
  struct lsi_sink *s;
  assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
  assert_int_equal(files(), 2);
  lsi_sink_abandon(s);
  assert_int_equal(files(), 0);
  lsi_sink_abandon(NULL);
  lsi_sink_discard(s);
}

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

static void test_any_order(void **state) {
  (void)state;
  enum { N = 5000 };
  struct lsi_sink_config c = config_for(LSI_U32, N);
  c.variable = true;
  c.first_index = 1000;
  c.window_bytes = 4 << 20;
  spec.any_order = true;
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
  spec.any_order = true;
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
  spec.any_order = false;
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_fixed),         TEST(test_raw_and_empty),  TEST(test_shapes),
      TEST(test_big_endian_is_refused), TEST(test_names),  TEST(test_abandon),
      TEST(test_window_orders), TEST(test_window_reserves), TEST(test_window_misuse),
      TEST(test_any_order),     TEST(test_many_threads),   TEST(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
