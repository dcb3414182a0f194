/* Heads of replies: names in any case, blanks around values, only the last head, what is none, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "http/wire_head.h"

static struct lsi_head head;

/* All lines of a text; what the last one brought. */
static enum lsi_head_line feed(const char *text) {
  enum lsi_head_line rc = LSI_HEAD_MORE;
  lsi_head_start(&head);
  while (*text && (rc == LSI_HEAD_MORE || rc == LSI_HEAD_WHOLE)) {
    const char *newline = strchr(text, '\n');
    const size_t n = newline ? (size_t)(newline - text) + 1 : strlen(text);
    rc = lsi_head_line(&head, text, n);
    text += n;
  }
  return rc;
}

static void whole(const char *text, struct lsi_wire_head *out) {
  assert_int_equal(feed(text), LSI_HEAD_WHOLE);
  lsi_head_get(&head, out);
}

static int finish(void **state) {
  (void)state;
  lsi_head_free(&head);
  memset(&head, 0, sizeof head);
  assert_int_equal(lsi_mem_live(), 0);
  return 0;
}

static void test_values(void **state) {
  struct lsi_wire_head h;
  (void)state;
  whole("HTTP/1.1 206 Partial Content\r\nCONTENT-LENGTH:5\r\ncontent-range: \t bytes 0-4/9 \r\nContent-Type: a/b; c=d\n"
        "Content-Encoding:\r\nETag: W/\"x y\"\r\nLast-Modified: m\r\nLocation: l\r\nRetry-After: 1\r\nDate: d\r\n"
        "Accept-Ranges: bytes\r\nX-Ms-Request-Id: 1-2\r\nx-amz-request-id: 3\r\nServer: s:t\r\nX-ETag: no\r\nETagg: no\r\n\r\n",
        &h);
  assert_int_equal(h.status, 206);
  assert_string_equal(h.content_length, "5");
  assert_string_equal(h.content_range, "bytes 0-4/9");
  assert_string_equal(h.content_type, "a/b; c=d");
  assert_string_equal(h.content_encoding, "");
  assert_string_equal(h.etag, "W/\"x y\"");
  assert_string_equal(h.last_modified, "m");
  assert_string_equal(h.location, "l");
  assert_string_equal(h.retry_after, "1");
  assert_string_equal(h.date, "d");
  assert_string_equal(h.accept_ranges, "bytes");
  assert_string_equal(h.request_id, "1-2");
  assert_string_equal(h.server, "s:t");
  assert_false(h.repeated);
}

static void test_repeated(void **state) {
  struct lsi_wire_head h;
  (void)state;
  whole("HTTP/1.1 200\r\nContent-Length: 5\r\nContent-Length: 5\r\nETag: a\r\nETag: b\r\n\r\n", &h);
  assert_false(h.repeated);
  assert_string_equal(h.etag, "a");
  whole("HTTP/1.1 200\r\nContent-Length: 5\r\nContent-Length: 55\r\n\r\n", &h);
  assert_true(h.repeated);
  assert_string_equal(h.content_length, "5");
  whole("HTTP/1.1 200\r\nContent-Range: 5\r\nContent-Range:\r\n\r\n", &h);
  assert_true(h.repeated);
}

static void test_only_the_last_head(void **state) {
  struct lsi_wire_head h;
  (void)state;
  assert_int_equal(feed("HTTP/1.1 103 Early\r\nETag: a\r\n\r\n"), LSI_HEAD_MORE);
  whole("HTTP/1.1 100\r\n\r\nHTTP/1.1 103 x\r\nETag: a\r\nContent-Length: 1\r\n\r\nHTTP/2 200 \r\nContent-Length: 2\r\n\r\n", &h);
  assert_int_equal(h.status, 200);
  assert_null(h.etag);
  assert_string_equal(h.content_length, "2");
  assert_false(h.repeated);
  /* What comes behind it are trailers. */
  assert_int_equal(feed("HTTP/1.1 200\r\nETag: a\r\n\r\nETag: b\r\nHTTP/1.1 500 x\r\n\r\n"), LSI_HEAD_MORE);
  lsi_head_get(&head, &h);
  assert_int_equal(h.status, 200);
  assert_string_equal(h.etag, "a");
}

static void test_what_is_no_head(void **state) {
  static const char *const texts[] = {"\r\n", "ETag: a\r\n", "HTTP/1.1\r\n", "HTTP/1.1 20\r\n", "HTTP/1.1 2000\r\n",
                                      "HTTP/1.1 20x\r\n", "HTTP/1.1 099 x\r\n", "HTTP/1.1 -20\r\n", "http/1.1 200\r\n"};
  (void)state;
  for (size_t i = 0; i < LSI_COUNTOF(texts); i++) assert_int_equal(feed(texts[i]), LSI_HEAD_GARBLED);
  assert_int_equal(feed("HTTP/1.1 200\r\n"), LSI_HEAD_MORE);
  assert_int_equal(lsi_head_line(&head, "ETag: \0\r\n", 9), LSI_HEAD_GARBLED);
}

static void test_limits(void **state) {
  static char line[LSI_HEAD_MAX + 2];
  struct lsi_wire_head h;
  (void)state;
  const int n = snprintf(line, sizeof line, "Location: ");
  memset(line + n, 'x', 100000);
  assert_int_equal(feed("HTTP/1.1 302\r\n"), LSI_HEAD_MORE);
  assert_int_equal(lsi_head_line(&head, line, 100000), LSI_HEAD_MORE);
  assert_int_equal(lsi_head_line(&head, "\r\n", 2), LSI_HEAD_WHOLE);
  lsi_head_get(&head, &h);
  assert_int_equal(strlen(h.location), 100000 - n);
  memset(line, 'x', sizeof line);
  assert_int_equal(feed("HTTP/1.1 200\r\n"), LSI_HEAD_MORE);
  assert_int_equal(lsi_head_line(&head, line, LSI_HEAD_MAX - 13), LSI_HEAD_GARBLED);
  assert_int_equal(feed("HTTP/1.1 200\r\n"), LSI_HEAD_MORE);
  assert_int_equal(lsi_head_line(&head, line, LSI_HEAD_MAX - 14), LSI_HEAD_MORE);
  assert_int_equal(lsi_head_line(&head, "\r\n", 2), LSI_HEAD_GARBLED);
  int heads = 0; /* they count together, whatever starts anew in between */
  lsi_head_start(&head);
  while (lsi_head_line(&head, "HTTP/1.1 102 x\r\n", 16) == LSI_HEAD_MORE) heads++;
  assert_int_equal(heads, LSI_HEAD_MAX / 16);
}

static void test_no_memory(void **state) {
  (void)state;
  lsi_mem_fail_nth(1, false);
  assert_int_equal(feed("HTTP/1.1 200\r\nETag: a\r\n"), LSI_HEAD_NO_MEMORY);
  lsi_mem_fail_nth(0, false);
  assert_int_equal(feed("HTTP/1.1 200\r\nETag: a\r\n"), LSI_HEAD_MORE);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(test_values, finish),
      cmocka_unit_test_teardown(test_repeated, finish),
      cmocka_unit_test_teardown(test_only_the_last_head, finish),
      cmocka_unit_test_teardown(test_what_is_no_head, finish),
      cmocka_unit_test_teardown(test_limits, finish),
      cmocka_unit_test_teardown(test_no_memory, finish),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
