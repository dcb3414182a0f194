/* URLs: as people write them, as they go out, as they are shown, and where references lead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "ground/show.h"
#include "http/url.h"

static void urls_as_they_go_out(void **state) {
  (void)state;
  static const struct {
    const char *given, *text, *origin, *authorization;
  } rows[] = {
      {"http://h", "http://h/", "http://h:80", NULL},
      {"HTTP://HoSt/Path", "http://host/Path", "http://host:80", NULL},
      {"https://h:443/x", "https://h/x", "https://h:443", NULL},
      {"https://h:80/x", "https://h:80/x", "https://h:80", NULL},
      {"http://h:/x", "http://h/x", "http://h:80", NULL},
      {"http://h?q=1", "http://h/?q=1", "http://h:80", NULL},
      {"http://h/a?q=1#part", "http://h/a?q=1", "http://h:80", NULL},
      {"http://h/a b", "http://h/a%20b", "http://h:80", NULL},
      {"http://h/\xC3\xA9", "http://h/%C3%A9", "http://h:80", NULL},
      {"http://h/a%2Fb%41", "http://h/a%2Fb%41", "http://h:80", NULL},
      {"http://h/100%/%zz", "http://h/100%25/%25zz", "http://h:80", NULL},
      {"http://h/a/../b/./c", "http://h/a/../b/./c", "http://h:80", NULL}, /* as it was written */
      {"http://h/k=v/+@:,!", "http://h/k=v/+@:,!", "http://h:80", NULL},
      {"http://[::1]:8080/x", "http://[::1]:8080/x", "http://[::1]:8080", NULL},
      {"http://u:p@h/x", "http://h/x", "http://h:80", "Authorization: Basic dTpw"},
      {"http://u@h/x", "http://h/x", "http://h:80", "Authorization: Basic dTo="},
      {"http://us%3Aer:p%40ss@h/x", "http://h/x", "http://h:80", "Authorization: Basic dXM6ZXI6cEBzcw=="},
      {"http://a@b:p@h/x", "http://h/x", "http://h:80", "Authorization: Basic YUBiOnA="},
      {"http://127.0.0.1:65535/", "http://127.0.0.1:65535/", "http://127.0.0.1:65535", NULL},
  };
  for (size_t i = 0; i < LSI_COUNTOF(rows); i++) {
    struct lsi_url u;
    struct lsi_error e;
    lsi_error_clear(&e);
    if (lsi_url_parse(rows[i].given, &u, &e) < 0) fail_msg("%s: %s", rows[i].given, e.what);
    assert_string_equal(u.text, rows[i].text);
    assert_string_equal(u.origin, rows[i].origin);
    assert_int_equal(u.text[u.path], '/');
    assert_int_equal(u.tls, rows[i].origin[4] == 's');
    if (rows[i].authorization) assert_string_equal(u.authorization, rows[i].authorization);
    else assert_null(u.authorization);
    lsi_url_clear(&u);
  }
}

static void what_is_no_url(void **state) {
  (void)state;
  static const char *const rows[] = {"", "http", "http:/h", "ftp://h/", "http://", "http:///x", "http://:80/", "http://h:x/",
                                     "http://h:65536/", "http://h:99999999999999999999/", "http://h:0/", "http://h h/",
                                     "http://h\n/", "http://h/\x7f", "http://h/a\rb", "http://[::1/", "http://[x]/",
                                     "http://[::1]x/", "http://u@/", "http://h\\x/", "http://h\"/"};
  for (size_t i = 0; i < LSI_COUNTOF(rows); i++) {
    struct lsi_url u = {0};
    struct lsi_error e;
    lsi_error_clear(&e);
    if (lsi_url_parse(rows[i], &u, &e) != LSIO_ERR_SOURCE) fail_msg("'%s' was taken", rows[i]);
    assert_int_equal(lsi_error_kind(&e), LSIO_KIND_USAGE);
    assert_true(e.remedy[0]);
  }
  static char longest[70000];
  memset(longest, 'x', sizeof longest - 1);
  memcpy(longest, "http://", 7);
  struct lsi_url u;
  assert_int_equal(lsi_url_parse(longest, &u, NULL), LSIO_ERR_SOURCE);
}

/* RFC 3986, section 5.4, as far as it is about http. */
static void where_references_lead(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"g", "http://a/b/c/g"},          {"./g", "http://a/b/c/g"},        {"g/", "http://a/b/c/g/"},
      {"/g", "http://a/g"},             {"//g", "http://g/"},             {"?y", "http://a/b/c/d;p?y"},
      {"g?y", "http://a/b/c/g?y"},      {"#s", "http://a/b/c/d;p?q"}, {"", "http://a/b/c/d;p?q"},       {"g#s", "http://a/b/c/g"},
      {"g?y#s", "http://a/b/c/g?y"},    {";x", "http://a/b/c/;x"},        {"g;x", "http://a/b/c/g;x"},
      {".", "http://a/b/c/"},           {"./", "http://a/b/c/"},          {"..", "http://a/b/"},
      {"../", "http://a/b/"},           {"../g", "http://a/b/g"},         {"../..", "http://a/"},
      {"../../g", "http://a/g"},        {"../../../g", "http://a/g"},     {"/./g", "http://a/g"},
      {"/../g", "http://a/g"},          {"g.", "http://a/b/c/g."},        {".g", "http://a/b/c/.g"},
      {"g..", "http://a/b/c/g.."},      {"./../g", "http://a/b/g"},       {"./g/.", "http://a/b/c/g/"},
      {"g/./h", "http://a/b/c/g/h"},    {"g/../h", "http://a/b/c/h"},     {"g?y/../x", "http://a/b/c/g?y/../x"},
      {"https://x:1/y", "https://x:1/y"}, {"HTTP://X/y", "http://x/y"},   {"//u:p@x/y", "http://x/y"},
      {"http://u:p@x/y", "http://x/y"}, {"/a b", "http://a/a%20b"},
  };
  struct lsi_url base, u;
  assert_int_equal(lsi_url_parse("http://a/b/c/d;p?q", &base, NULL), 0);
  for (size_t i = 0; i < LSI_COUNTOF(rows); i++) {
    assert_int_equal(lsi_url_resolve(&base, rows[i][0], &u, NULL), 0);
    if (strcmp(u.text, rows[i][1]) != 0) fail_msg("%s: %s", rows[i][0], u.text);
    assert_null(u.authorization); /* nobody's credentials come out of a reply */
    lsi_url_clear(&u);
  }
  static const char *const elsewhere[] = {"file:///etc/passwd", "ftp://x/", "javascript:alert(1)", "http://", "http://x y/"};
  for (size_t i = 0; i < LSI_COUNTOF(elsewhere); i++)
    assert_int_equal(lsi_url_resolve(&base, elsewhere[i], &u, NULL), LSIO_ERR_SOURCE);
  lsi_url_clear(&base);
}

static void what_is_shown(void **state) {
  (void)state;
  char out[20];
  assert_int_equal(lsi_name_show("/a/b@c?sig=1", out, sizeof out), 12); /* no URL */
  assert_string_equal(out, "/a/b@c?sig=1");
  assert_int_equal(lsi_name_show("/a/b@c?sig=1", out, 5), 4);
  assert_string_equal(out, "/a/b");
  struct lsi_error e;
  lsi_error_clear(&e);
  lsi_fail(&e, LSIO_ERR_SOURCE, 404, "it is not there");
  lsi_error_at(&e, "http://me:secret@h/a?sig=hidden", 0, 1, 2);
  char text[500];
  lsi_error_format(&e, text, sizeof text);
  assert_null(strstr(text, "secret"));
  if (strstr(text, "hidden")) fail_msg("%s", text);
  assert_non_null(strstr(text, "HTTP status 404"));
  assert_false(lsi_error_passes(&e));
  e.code = LSIO_ERR_IO, e.os_code = 503;
  assert_true(lsi_error_passes(&e));
}

static void lack_of_memory(void **state) {
  (void)state;
  const int64_t live = lsi_mem_live();
  struct lsi_url base, u;
  assert_int_equal(lsi_url_parse("http://u:p@h/a", &base, NULL), 0);
  for (uint64_t n = 1; n <= 8; n++) {
    lsi_mem_fail_nth(n, false);
    if (lsi_url_parse("http://u:p@h/a", &u, NULL) == 0) lsi_url_clear(&u);
    lsi_mem_fail_nth(n, false);
    if (lsi_url_resolve(&base, "//u:p@x/b", &u, NULL) == 0) lsi_url_clear(&u);
    lsi_mem_fail_nth(0, false);
  }
  lsi_url_clear(&base);
  assert_int_equal(lsi_mem_live(), live);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(urls_as_they_go_out), cmocka_unit_test(what_is_no_url),
      cmocka_unit_test(where_references_lead), cmocka_unit_test(what_is_shown),
      cmocka_unit_test(lack_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
