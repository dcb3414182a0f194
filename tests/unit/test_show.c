/* What is shown of URLs, and of what was meant to be one: nothing that may be a secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "ground/show.h"

static const char *show(const char *text) {
  static char buf[2048];
  const size_t n = strlen(text);
  char *copy = lsi_malloc(n ? n : 1);
  assert_non_null(copy);
  memcpy(copy, text, n);
  const size_t length = lsi_url_show(copy, n, buf, sizeof buf);
  assert_int_equal(length, strlen(buf));
  lsi_free(copy);
  return buf;
}

static const struct {
  const char *text, *shown;
} rows[] = {
    {"https://h/a/b.f32", "https://h/a/b.f32"},
    {"https://user:secret@h/a", "https://h/a"},
    {"https://secret@h:81/a@b", "https://h:81/a@b"},
    {"https://u:sec@ret@h/a", "https://h/a"},
    {"https://u:sec/ret@h/a", "https://h/a"},
    {"https://u:12#sec@h/a", "https://h/a"},
    {"https://u:12?sec@h/a", "https://h/a"},
    {"u:secret@h/a", "h/a"},
    {"http:u:secret@h/a", "h/a"},
    {"http:/u:secret@h/a", "http:/h/a"},
    {"http:\\\\u:secret@h/a", "http:\\\\h/a"},
    {"u:secret@x/http://h/a", "...http://h/a"},
    {"http://http://u:secret@h/a", "http://h/a"},
    {"http://p/http://u:secret@h/a", "http://p/http://...@h/a"},
    {"http://h:secret/a", "http://h:.../a"},
    {"http://h:secret", "http://h:..."},
    {"http://u:secret@h:x/a", "http://h:.../a"},
    {"http://h/a#secret", "http://h/a"},
    {"http://h?X-Amz-Signature=secret", "http://h?X-Amz-Signature=..."},
    {"http://h/?x-amz-anything=secret&a=1", "http://h/?x-amz-anything=...&a=1"},
    {"http://h/?a=1&sig=secret&b=2", "http://h/?a=1&sig=...&b=2"},
    {"http://h/?sv=2020&SIG=sec%2Fret", "http://h/?sv=2020&SIG=..."},
    {"http://h/?Signature=secret;token=secret", "http://h/?Signature=...;token=..."},
    {"http://h/?access_token=secret", "http://h/?access_token=..."},
    {"http://h/?access%5Ftoken=secret", "http://h/?access%5Ftoken=..."},
    {"http://h/?%73ig=secret", "http://h/?%73ig=..."},
    {"http://h/?api-key=secret&KEY=secret&AWSAccessKeyId=secret", "http://h/?api-key=...&KEY=...&AWSAccessKeyId=..."},
    {"http://h/?password=secret&passwd=secret&Credential=secret", "http://h/?password=...&passwd=...&Credential=..."},
    {"http://h/?Client-Secret=secret&X-Goog-Signature=secret", "http://h/?Client-Secret=...&X-Goog-Signature=..."},
    {"http://h/?a=1?sig=secret", "http://h/?a=1?sig=..."},
    {"http://h/?u=http://x:secret@y/", "http://h/?u=..."},
    {"http://h/?u=http%3A%2f%2Fx%3Fsig%3Dsecret", "http://h/?u=..."},
    {"http://h/?u=a%26sig%3Dsecret", "http://h/?u=..."},
    {"http://h/?sEcReTsEcReTsEcReTsEcReT12", "http://h/?..."},
    {"http://h/?uploads&versionId=3", "http://h/?uploads&versionId=3"},
    {"http://h/?sig=", "http://h/?sig=..."},
    {"http://h/?design=1&monkeys=2", "http://h/?design=1&monkeys=2"},
    {"http://h/\x1b[2J\xff", "http://h/%1B[2J%FF"},
    {"", ""},
    {"?", "?"},
    {"@", ""},
    {":", ":..."},
    {"://", "://"},
    {"a.f32", "a.f32"},
    {"dir/a:b@c", "dir/a:b@c"},
};

static void shown(void **state) {
  (void)state;
  for (size_t i = 0; i < LSI_COUNTOF(rows); i++) {
    assert_string_equal(show(rows[i].text), rows[i].shown);
    assert_null(strstr(show(rows[i].text), "secret"));
  }
  assert_null(strstr(show("//u:secret@h/a"), "secret"));
  char buf[16];
  memset(buf, 'x', sizeof buf);
  assert_int_equal(lsi_url_show("http://h/a/b/c/d", 16, buf, 0), 0);
  assert_int_equal(buf[0], 'x');
  for (size_t cap = 1; cap <= sizeof buf; cap++) {
    memset(buf, 'x', sizeof buf);
    assert_int_equal(lsi_url_show("http://h/a/b/c/d", 16, buf, cap), cap - 1);
    assert_int_equal(strlen(buf), cap - 1);
    if (cap > 3) assert_string_equal(buf + cap - 4, "...");
    if (cap < sizeof buf) assert_int_equal(buf[cap], 'x');
  }
  assert_int_equal(lsi_url_show("u:\0secret@h/", 12, buf, sizeof buf), 2);
  assert_string_equal(buf, "h/");
}

static uint64_t seed;

static uint64_t rnd(uint64_t n) { /* 0 .. n - 1 */
  seed += 0x9e3779b97f4a7c15u;
  uint64_t z = seed;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) % n;
}

/* Wherever a secret stands in what was meant to be a URL with user and password, it is not shown. */
static void random_secrets(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 100000; i++) {
    static const char signs[] = "/?#@:%\\ [];&=";
    char text[200], buf[2048];
    seed = i;
    size_t n = (size_t)snprintf(text, sizeof text, "http%s://user:", i & 1 ? "s" : "");
    n += (size_t)snprintf(text + n, sizeof text - n, "secret%csecret", signs[rnd(sizeof signs - 1)]);
    n += (size_t)snprintf(text + n, sizeof text - n, "@host%s/%s", i & 2 ? ":81" : "", i & 4 ? "path" : "");
    if (i & 8) n += (size_t)snprintf(text + n, sizeof text - n, "?a=b&%s=secret&c=d", i & 16 ? "SAS-Token" : "x-amz-a");
    lsi_url_show(text, n, buf, sizeof buf);
    if (strstr(buf, "secret") || !strstr(buf, "host")) fail_msg("seed %llu: %s: %s", (unsigned long long)i, text, buf);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(shown), cmocka_unit_test(random_secrets)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
