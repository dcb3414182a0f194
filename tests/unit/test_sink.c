/* File sinks: npy and raw, fixed sizes, shapes, names. */
#include "sink_support.h"

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

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_fixed), TEST(test_raw_and_empty), TEST(test_shapes),
      TEST(test_big_endian_is_refused), TEST(test_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
