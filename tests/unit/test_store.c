/* Which store has a name, and what is said of an object that has changed. This program's list of stores takes the
 * place of backends/linux/list.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "seams/store.h"

static const char *const file_schemes[] = {"file", NULL};
static const char *const cloud_schemes[] = {"s3", "gs", "http", "x-1+2.3", NULL};
/* Leaves the scheme off. */
static int from_url(const char *url, bool pattern, char **name, struct lsi_error *err) {
  if (strcmp(url, "FILE://wrong") == 0) return lsi_fail(err, LSIO_ERR_SOURCE, 0, "wrong");
  *name = lsi_strdup(pattern ? "a pattern" : strstr(url, "://") + 3);
  return 0;
}

static const struct lsi_store file = {.name = "file", .schemes = file_schemes, .from_url = from_url};
static const struct lsi_store test = {.name = "test"}; /* of no scheme */
static const struct lsi_store cloud = {.name = "cloud", .schemes = cloud_schemes};
const struct lsi_store *const lsi_stores[] = {&file, &test, &cloud, NULL};

static void the_scheme_finds_the_store(void **state) {
  (void)state;
  static const struct {
    const char *name;
    uint16_t store;
  } cases[] = {
      {"s3://bucket/key", 2}, {"gs://b", 2}, {"http://host:80/a://b", 2}, {"S3://bucket", 2}, {"Gs://b", 2},
      {"s3://", 2}, {"x-1+2.3://x", 2}, {"file:///x", 0},
      /* Paths, as plain as they look or not. */
      {"", 0}, {"/data/x", 0}, {"data/x", 0}, {"s3", 0}, {"s3:", 0}, {"s3:/b", 0}, {"s3:b//c", 0}, {"./s3://b", 0},
      {"/s3://b", 0}, {"a:s3://b", 0}, {"://b", 0}, {" s3://b", 0}, {"s3 ://b", 0}, {"3s://b", 0}, {"s://b", 0},
      {"s33://b", 0}, {"https://b", 0}, {"htt://b", 0}, {"s\xc3\xa9://b", 0}, {"test://b", 0},
  };
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++)
    if (lsi_store_find(cases[i].name) != cases[i].store) fail_msg("'%s'", cases[i].name);
}

static void a_store_makes_names_of_its_urls(void **state) {
  (void)state;
  char *name;
  struct lsi_error err;
  lsi_error_clear(&err);
  assert_int_equal(lsi_store_name("File://x/y", false, &name, &err), 0);
  assert_string_equal(name, "x/y");
  lsi_free(name);
  assert_int_equal(lsi_store_name("file://x/y", true, &name, &err), 0);
  assert_string_equal(name, "a pattern");
  lsi_free(name);
  static const char *const names[] = {"s3://bucket/key", "test://x", "/plain/path", "plain", "file:/x", ""};
  for (size_t i = 0; i < LSI_COUNTOF(names); i++) {
    assert_int_equal(lsi_store_name(names[i], i % 2, &name, &err), 0);
    assert_null(name);
  }
  assert_int_equal(lsi_store_name("FILE://wrong", false, &name, &err), LSIO_ERR_SOURCE);
  assert_null(name);
}

static void it_is_told_what_has_changed(void **state) {
  (void)state;
  enum { SIZE = LSI_KNOWN_SIZE, VERSION = LSI_KNOWN_VERSION, BOTH = SIZE | VERSION, LOG = BOTH | LSI_MAY_GROW };
  static const struct {
    struct lsi_object_info then, now;
    const char *how; /* NULL: nothing shows */
  } cases[] = {
      {{5, {1, 2}, 3, 0, BOTH}, {5, {1, 2}, 3, 0, BOTH}, NULL},
      {{5, {1, 2}, 3, 0, BOTH}, {5, {9, 2}, 3, 0, BOTH}, "was replaced"},
      {{5, {1, 2}, 3, 0, BOTH}, {4, {9, 9}, 3, 0, BOTH}, "was replaced"},
      {{5, {1, 2}, 3, 0, BOTH}, {5, {1, 2}, 4, 0, BOTH}, "was replaced"},
      {{5, {1, 2}, 3, 0, BOTH}, {5, {1, 2}, 3, 0, SIZE}, "was replaced or deleted"},
      {{5, {1, 2}, 3, 0, LOG}, {6, {1, 9}, 3, 0, BOTH}, NULL},
      {{5, {1, 2}, 3, 0, LOG}, {5, {1, 9}, 3, 0, BOTH}, NULL},
      {{5, {1, 2}, 3, 0, LOG}, {4, {1, 9}, 3, 0, BOTH}, "was truncated"},
      {{5, {1, 2}, 3, 0, LOG}, {6, {9, 9}, 3, 0, BOTH}, "was replaced"},
      {{5, {1, 2}, 3, 0, LOG}, {6, {1, 9}, 3, 0, SIZE}, "was replaced or deleted"},
      {{5, {1, 2}, 3, 0, BOTH}, {4, {1, 9}, 3, 0, BOTH}, "was truncated"},
      {{5, {1, 2}, 3, 0, BOTH}, {6, {1, 9}, 3, 0, BOTH}, "has grown"},
      {{5, {1, 2}, 3, 0, BOTH}, {5, {1, 9}, 3, 0, BOTH}, "was modified"},
      {{5, {1, 2}, 3, 0, BOTH}, {6, {1, 2}, 3, 0, VERSION}, NULL}, /* of which no size is known */
      {{5, {0, 0}, 3, 0, SIZE}, {5, {1, 2}, 3, 0, BOTH}, NULL},
      {{5, {0, 0}, 3, 0, SIZE}, {4, {1, 2}, 3, 0, BOTH}, "was truncated"},
      {{5, {1, 2}, 3, 0, VERSION}, {6, {1, 2}, 3, 0, BOTH}, NULL},
      {{5, {1, 2}, 3, 1, BOTH}, {5, {1, 2}, 3, 0, BOTH}, NULL}, /* the store is nobody's to tell */
      /* Zeros are versions, as all others are. */
      {{5, {0, 0}, 0, 0, BOTH}, {5, {0, 0}, 0, 0, BOTH}, NULL},
      {{5, {0, 0}, 0, 0, BOTH}, {5, {1, 0}, 0, 0, BOTH}, "was replaced"},
      {{5, {1, 0}, 0, 0, BOTH}, {5, {0, 0}, 0, 0, BOTH}, "was replaced"},
  };
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++) {
    struct lsi_error err;
    lsi_error_clear(&err);
    const int rc = lsi_object_changed(&cases[i].then, &cases[i].now, &err);
    if (rc != (cases[i].how ? LSIO_ERR_SOURCE : 0)) fail_msg("case %zu: %d", i, rc);
    if (rc && (!strstr(err.what, cases[i].how) || !err.remedy[0])) fail_msg("case %zu: %s", i, err.what);
    assert_int_equal(err.code, rc);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_scheme_finds_the_store),
      cmocka_unit_test(a_store_makes_names_of_its_urls),
      cmocka_unit_test(it_is_told_what_has_changed),
  };
  return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
