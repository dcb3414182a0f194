/* CSV lists of ranges: what is read, and what every kind of mistake is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lists/csv.h"
#include "ground/mem.h"

static struct lsi_error error;

/* From a block of exactly that size, so that a sanitizer sees a byte read behind it. */
static int read_bytes(const char *text, size_t n, struct lsi_ranges *r) {
  char *copy = lsi_malloc(n ? n : 1);
  assert_non_null(copy);
  memcpy(copy, text, n);
  lsi_error_clear(&error);
  memset(r, 0, sizeof *r);
  int rc = lsi_csv_ranges(n ? copy : NULL, n, "r.csv", r, &error);
  lsi_free(copy);
  assert_int_equal(rc, error.code);
  if (rc) assert_null(r->object);
  return rc;
}

static void expect_row(const struct lsi_ranges *r, uint64_t i, const char *path, int64_t offset,
                       int64_t length, int64_t tag) {
  assert_true(i < r->n);
  assert_string_equal(lsi_ranges_name(r, r->object[i]), path);
  assert_int_equal(r->offset[i], offset);
  assert_int_equal(r->length[i], length);
  if (r->tag) assert_int_equal(r->tag[i], tag);
}

static void expect_ok(const char *text, struct lsi_ranges *r) {
  if (read_bytes(text, strlen(text), r)) fail_msg("%s", error.what);
}

static void plain(void **state) {
  (void)state;
  struct lsi_ranges r;
  expect_ok("path,offset,length\na,0,10\nb,5,0\na,-4,4\n", &r);
  assert_int_equal(r.n, 3);
  assert_int_equal(r.n_objects, 2);
  assert_null(r.tag);
  expect_row(&r, 0, "a", 0, 10, 0);
  expect_row(&r, 1, "b", 5, 0, 0);
  expect_row(&r, 2, "a", -4, 4, 0);
  assert_int_equal(r.object[2], 0);
  assert_int_equal(r.names_length, 4);
  lsi_ranges_free(&r);
  lsi_ranges_free(&r);
}

static void tags_and_extremes(void **state) {
  (void)state;
  struct lsi_ranges r;
  expect_ok("path,offset,length,tag\nx,-9223372036854775808,9223372036854775807,-1\n"
            "x,9223372036854775807,007,9223372036854775807",
            &r);
  assert_int_equal(r.n, 2);
  expect_row(&r, 0, "x", INT64_MIN, INT64_MAX, -1);
  expect_row(&r, 1, "x", INT64_MAX, 7, INT64_MAX);
  lsi_ranges_free(&r);
}

static void to_the_end(void **state) {
  (void)state;
  struct lsi_ranges r;
  expect_ok("path,offset,length,tag\na,1,,5\na,-2,\"\",6\na,3,-1,7\n", &r);
  assert_int_equal(r.n, 3);
  expect_row(&r, 0, "a", 1, -1, 5);
  expect_row(&r, 1, "a", -2, -1, 6);
  expect_row(&r, 2, "a", 3, -1, 7);
  lsi_ranges_free(&r);
  expect_ok("path,offset,length\r\na,1,\r\na,2,", &r);
  assert_int_equal(r.n, 2);
  expect_row(&r, 0, "a", 1, -1, 0);
  expect_row(&r, 1, "a", 2, -1, 0);
  lsi_ranges_free(&r);
}

static void line_ends_bom_and_blank_ends(void **state) {
  (void)state;
  static const char *const texts[] = {
      "path,offset,length\r\na,1,2\r\nb,3,4\r\n",
      "\xEF\xBB\xBFpath,offset,length\na,1,2\nb,3,4",
      "path,offset,length\na,1,2\nb,3,4\n\n\r\n\n",
      "\"path\",\"offset\",\"length\"\n\"a\",\"1\",\"2\"\n\"b\",3,\"4\"\r\n",
  };
  for (size_t i = 0; i < LSI_COUNTOF(texts); i++) {
    struct lsi_ranges r;
    expect_ok(texts[i], &r);
    assert_int_equal(r.n, 2);
    expect_row(&r, 0, "a", 1, 2, 0);
    expect_row(&r, 1, "b", 3, 4, 0);
    lsi_ranges_free(&r);
  }
}

static void other_columns_and_orders(void **state) {
  (void)state;
  static const char *const texts[] = {
      "offset,path,length\n1,a,2\n3,b,4\n",
      "length,offset,path\r\n2,1,a\r\n4,3,b",
      "path,offset,length,\na,1,2,x\nb,3,4,\n",          /* a column without a name */
      ",path,offset,length\n0,a,1,2\n1,b,3,4\n",          /* as pandas writes its index */
      "Path,length,weight,path,offset\n\"x,\ny\",2,,a,1\n,4,0.5,b,3\n",
      "x,x,path,offset,length\n,,a,1,2\n,,b,3,4\n",
  };
  for (size_t i = 0; i < LSI_COUNTOF(texts); i++) {
    struct lsi_ranges r;
    expect_ok(texts[i], &r);
    assert_int_equal(r.n, 2);
    assert_null(r.tag);
    expect_row(&r, 0, "a", 1, 2, 0);
    expect_row(&r, 1, "b", 3, 4, 0);
    lsi_ranges_free(&r);
  }
  struct lsi_ranges r;
  expect_ok("tag,length,note,offset,path\n7,2,\"\"\"\",1,\"a\"\"\"\n-8,,,-3,\"a\"\"\"\n", &r);
  expect_row(&r, 0, "a\"", 1, 2, 7);
  expect_row(&r, 1, "a\"", -3, -1, -8);
  assert_int_equal(r.n_objects, 1);
  lsi_ranges_free(&r);
}

static void blanks(void **state) {
  (void)state;
  static const char *const texts[] = {
      "path , offset, length\na, 1,\t2\nb ,3 , 4 \n",
      "\n \t\r\n path\t,\"offset\" ,\" length \"\n\n\"a\" , \" 1\",\"2 \" \n\t\nb,3,4\n \n  ",
      "\xEF\xBB\xBF\r\npath,offset,length\r\n\r\na,1,2  \r\n  \r\n  b,3,4",
  };
  for (size_t i = 0; i < LSI_COUNTOF(texts); i++) {
    struct lsi_ranges r;
    expect_ok(texts[i], &r);
    assert_int_equal(r.n, 2);
    expect_row(&r, 0, "a", 1, 2, 0);
    expect_row(&r, 1, "b", 3, 4, 0);
    lsi_ranges_free(&r);
  }
  struct lsi_ranges r;
  expect_ok("path,offset,length\n  a b\t, 1 , \n \" a b\t\" , -2,\t\" \"", &r);
  expect_row(&r, 0, "a b", 1, -1, 0);
  expect_row(&r, 1, " a b\t", -2, -1, 0);
  assert_int_equal(r.n, 2);
  lsi_ranges_free(&r);
}

static void no_rows(void **state) {
  (void)state;
  struct lsi_ranges r;
  static const char *const texts[] = {"path,offset,length", "path,offset,length,tag\n\n"};
  for (size_t i = 0; i < LSI_COUNTOF(texts); i++) {
    expect_ok(texts[i], &r);
    assert_int_equal(r.n, 0);
    assert_int_equal(r.n_objects, 0);
    lsi_ranges_free(&r);
  }
}

static void quoted_paths(void **state) {
  (void)state;
  struct lsi_ranges r;
  expect_ok("path,offset,length\n"
            "\"a,b\",1,2\n"
            "\"say \"\"hi\"\"\",3,4\n"
            "\"two\r\nlines\",5,6\n"
            "\"\"\"\"\"\",7,8\n"
            "a b/\xC3\xA9,9,10\n"
            "\"a b/\xC3\xA9\",11,12\n",
            &r);
  assert_int_equal(r.n, 6);
  assert_int_equal(r.n_objects, 5);
  expect_row(&r, 0, "a,b", 1, 2, 0);
  expect_row(&r, 1, "say \"hi\"", 3, 4, 0);
  expect_row(&r, 2, "two\r\nlines", 5, 6, 0);
  expect_row(&r, 3, "\"\"", 7, 8, 0);
  expect_row(&r, 4, "a b/\xC3\xA9", 9, 10, 0);
  assert_int_equal(r.object[5], r.object[4]);
  lsi_ranges_free(&r);
}

#define HEAD "path,offset,length\n"

static void mistakes(void **state) {
  (void)state;
  static const struct {
    const char *text, *where, *expected;
  } cases[] = {
      {"", "line 1", "the header path,offset,length"},
      {"\n", "line 1", "the header"},
      {"a,1,2\n", "line 1", "the header"},
      {"path,offset\n", "line 1", "the header"},
      {"\n \n", "line 1", "the header"},
      {"\n\npath,offset\n", "line 3", "got 'path,offset'"},
      {"path,offset,tag\n", "line 1", "the header"},
      {"path,offset,length,offset\n", "line 1, offset", "one column of this name"},
      {"Path,offset,length\n", "line 1", "the header"},
      {"path,off set,length\n", "line 1", "got 'path,off set,length'"},
      {"path;offset;length\n", "line 1", "the header"},
      {HEAD "a,1\n", "line 2", "expected 3 fields, as the header has, found 2"},
      {HEAD "a\n", "line 2", "3 fields, as the header has, found 1"},
      {HEAD "a,1,2,3\n", "line 2", "3 fields, as the header has, found 4"},
      {"path,offset,length,tag\na,1,2\n", "line 2", "4 fields"},
      {HEAD ",1,2\n", "line 2, path", "a path"},
      {HEAD "\"\",1,2\n", "line 2, path", "a path"},
      {HEAD "a,,2\n", "line 2, offset", "a whole number"},
      {HEAD "a,-,2\n", "line 2, offset", "a whole number"},
      {HEAD "a,+1,2\n", "line 2, offset", "a whole number"},
      {HEAD "a,1 1,2\n", "line 2, offset", "got '1 1'"},
      {HEAD "a,- 1,2\n", "line 2, offset", "a whole number"},
      {HEAD "a, ,2\n", "line 2, offset", "a whole number"},
      {HEAD " ,1,2\n", "line 2, path", "a path"},
      {"x,length,path,y,offset\n1,2,a,3\n", "line 2", "5 fields, as the header has, found 4"},
      {"x,length,path,y,offset\n1,2,a,3,4,5\n", "line 2", "5 fields, as the header has, found 6"},
      {"x,length,path,y,offset\n\n1,z,a,3,4\n", "line 3, length", "got 'z'"},
      {"x,length,path,y,offset\n1\"2,,a,3,4\n", "line 2:", "quotes around the whole field"},
      {HEAD "a,1.0,2\n", "line 2, offset", "got '1.0'"},
      {HEAD "a,0x10,2\n", "line 2, offset", "a whole number"},
      {HEAD "a,1e3,2\n", "line 2, offset", "a whole number"},
      {HEAD "a,9223372036854775808,2\n", "line 2, offset", "a whole number of 64 bits"},
      {HEAD "a,-9223372036854775809,2\n", "line 2, offset", "a whole number of 64 bits"},
      {HEAD "a,18446744073709551617,2\n", "line 2, offset", "a whole number of 64 bits"},
      {HEAD "a,1,-2\n", "line 2, length", "0 or more"},
      {HEAD "a,1,-\n", "line 2, length", "nothing or -1"},
      {HEAD "a,1,9223372036854775808\n", "line 2, length", "0 or more"},
      {HEAD "a,1,2\n \t\n,,\n,\na,1,2,,\"x,\"\n", "line 6", "3 fields, as the header has, found 5"},
      {HEAD "a,1,2\r\r\n", "line 2, length", "CR only before LF"},
      {HEAD "a,1,2\nb\"c,1,2\n", "line 3, path", "quotes around the whole field"},
      {HEAD "a,1,2\n\"bc,1,2\n", "line 3, path", "a closing quote"},
      {HEAD "\"b\"c,1,2\n", "line 2, path", "after the closing quote"},
      {HEAD "\"b\" c,1,2\n", "line 2, path", "got 'c,1,2"},
      {HEAD "\"x\ny\",1,2\nb,1,z\n", "line 4, length", "got 'z'"},
      {HEAD "a\rb,1,2\n", "line 2, path", "CR only before LF"},
      {HEAD "a,1,2\r", "line 2, length", "CR only before LF"},
  };
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++) {
    struct lsi_ranges r;
    int rc = read_bytes(cases[i].text, strlen(cases[i].text), &r);
    if (rc != LSIO_ERR_USAGE) fail_msg("case %zu: code %d", i, rc);
    if (!strstr(error.what, "'r.csv'") || !strstr(error.what, cases[i].where) ||
        !strstr(error.what, cases[i].expected))
      fail_msg("case %zu: '%s' does not say '%s', '%s'", i, error.what, cases[i].where,
               cases[i].expected);
  }
}

static void nul_in_path(void **state) {
  (void)state;
  struct lsi_ranges r;
  static const char text[] = HEAD "a\0b,1,2\n";
  assert_int_equal(read_bytes(text, sizeof text - 1, &r), LSIO_ERR_USAGE);
  assert_non_null(strstr(error.what, "no NUL"));
  assert_non_null(strstr(error.what, "'a?b'"));
}

static void long_fields_are_shown_cut(void **state) {
  (void)state;
  char text[4096];
  struct lsi_ranges r;
  int n = snprintf(text, sizeof text, HEAD "a,1%03000d,1\n", 7);
  assert_int_equal(read_bytes(text, (size_t)n, &r), LSIO_ERR_USAGE);
  assert_non_null(strstr(error.what, "0...'"));
  assert_true(strlen(error.what) < 200);
}

static uint64_t rng;
static uint32_t next(uint32_t n) {
  rng ^= rng << 13;
  rng ^= rng >> 7;
  rng ^= rng << 17;
  return (uint32_t)((rng >> 16) % n);
}

static void many_rows(void **state) {
  (void)state;
  enum { N = 300000 };
  char *text = lsi_malloc((size_t)N * 64);
  assert_non_null(text);
  size_t n = (size_t)snprintf(text, 64, "path,offset,length,tag\n");
  for (int i = 0; i < N; i++)
    n += (size_t)snprintf(text + n, 64, "dir/%d,%d,%d,%d\n", i * 7 % 200003, i, 2 * i, -i);
  struct lsi_ranges r;
  assert_int_equal(read_bytes(text, n, &r), 0);
  assert_int_equal(r.n, N);
  assert_int_equal(r.n_objects, 200003);
  for (int i = 0; i < N; i++) {
    char path[32];
    snprintf(path, sizeof path, "dir/%d", i * 7 % 200003);
    expect_row(&r, (uint64_t)i, path, i, 2 * (int64_t)i, -i);
    if (i < 200003) assert_int_equal(r.object[i], i); /* in the order of their first row */
  }
  lsi_ranges_free(&r);
  lsi_free(text);
}

/* Any text gives rows that are well formed, or an error that says something. */
static int end_it_at(void *user, uint64_t rows, struct lsi_error *e) {
  return rows >= *(const uint64_t *)user ? lsi_fail(e, LSIO_ERR_CANCELLED, 0, "it is enough") : 0;
}

static void who_watches_ends_it(void **state) {
  (void)state;
  static char text[20 + 8 * 200000];
  size_t n = (size_t)snprintf(text, sizeof text, "path,offset,length\n");
  for (int i = 0; i < 200000; i++, n += 6) memcpy(text + n, "a,1,2\n", 6);
  uint64_t enough = 100000;
  struct lsi_ranges r;
  struct lsi_error e;
  lsi_error_clear(&e);
  const int64_t live = lsi_mem_live();
  assert_int_equal(lsi_csv_ranges_watched(text, n, "f", end_it_at, &enough, &r, &e), LSIO_ERR_CANCELLED);
  assert_int_equal(lsi_mem_live(), live);
  lsi_error_clear(&e);
  enough = 200001;
  assert_int_equal(lsi_csv_ranges_watched(text, n, "f", end_it_at, &enough, &r, &e), 0);
  assert_int_equal(r.n, 200000);
  lsi_ranges_free(&r);
}

static void random_texts(void **state) {
  (void)state;
  const char *given = getenv("LSIO_TEST_SEED");
  const uint64_t seed = rng = given ? strtoull(given, NULL, 0) | 1 : 0x2545F4914F6CDD1Du;
  static const char *const parts[] = {",", "\n", "\r\n", "\"", "\"\"", "a", "b,1,2\n", "-", "7", "\r",
                                      "\"q,\",1,2\n", "99999999999999999999", " ", "\xEF\xBB\xBF"};
  for (int i = 0; i < 30000; i++) {
    char text[256];
    size_t n = 0;
    static const char *const heads[] = {HEAD, "path,offset,length,tag\n", "\nx,length, path,\"tag\",offset\r\n"};
    if (next(8)) n = (size_t)snprintf(text, sizeof text, "%s", heads[next(LSI_COUNTOF(heads))]);
    for (uint32_t k = next(12); k; k--) {
      const char *part = parts[next(LSI_COUNTOF(parts))];
      memcpy(text + n, part, strlen(part));
      n += strlen(part);
    }
    struct lsi_ranges r;
    int rc = read_bytes(text, n, &r);
    if (rc != 0 && (rc != LSIO_ERR_USAGE || !error.what[0]))
      fail_msg("seed %#llx, text %d: code %d", (unsigned long long)seed, i, rc);
    for (uint64_t k = 0; k < r.n; k++)
      if (r.object[k] >= r.n_objects || r.length[k] < -1 || !*lsi_ranges_name(&r, r.object[k]))
        fail_msg("seed %#llx, text %d: a bad row", (unsigned long long)seed, i);
    lsi_ranges_free(&r);
  }
}

static void memory_fails_at_every_place(void **state) {
  (void)state;
  char text[8192];
  size_t n = (size_t)snprintf(text, sizeof text, "path,offset,length,tag\n");
  for (int i = 0; i < 300; i++)
    n += (size_t)snprintf(text + n, sizeof text - n, "\"p\"\"%d\",%d,1,2\n", i, i);
  const int64_t live = lsi_mem_live();
  for (uint64_t k = 1;; k++) {
    struct lsi_ranges r = {0};
    lsi_error_clear(&error);
    lsi_mem_fail_nth(k, false);
    int rc = lsi_csv_ranges(text, n, "r.csv", &r, &error);
    lsi_mem_fail_nth(0, false);
    if (rc == 0) {
      assert_true(k > 8);
      assert_int_equal(r.n, 300);
      lsi_ranges_free(&r);
      break;
    }
    assert_int_equal(rc, LSIO_ERR_NOMEM);
    assert_int_equal(lsi_mem_live(), live);
  }
  assert_int_equal(lsi_mem_live(), live);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plain),
      cmocka_unit_test(tags_and_extremes),
      cmocka_unit_test(to_the_end),
      cmocka_unit_test(line_ends_bom_and_blank_ends),
      cmocka_unit_test(other_columns_and_orders),
      cmocka_unit_test(blanks),
      cmocka_unit_test(no_rows),
      cmocka_unit_test(quoted_paths),
      cmocka_unit_test(mistakes),
      cmocka_unit_test(nul_in_path),
      cmocka_unit_test(long_fields_are_shown_cut),
      cmocka_unit_test(many_rows),
      cmocka_unit_test(who_watches_ends_it),
      cmocka_unit_test(random_texts),
      cmocka_unit_test(memory_fails_at_every_place),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
