/* What heads of replies are worth, and the lines that they are made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/http_reply.h"
#include "http/http_retry.h"
#include "http/wire_head.h"

#define SECOND UINT64_C(1000000000)

static struct lsi_head head;
static struct lsi_wire_head told;

/* Lines, each ended by \n. */
static enum lsi_head_line read_head(const char *text) {
  enum lsi_head_line end = LSI_HEAD_MORE;
  lsi_head_start(&head);
  for (const char *at = text; *at && end == LSI_HEAD_MORE;) {
    const size_t n = strcspn(at, "\n") + 1;
    end = lsi_head_line(&head, at, n);
    at += n;
  }
  lsi_head_get(&head, &told);
  return end;
}

static struct lsi_http_verdict judge(const struct lsi_http_asked *a, const char *text) {
  struct lsi_http_verdict v;
  char whole[600];
  snprintf(whole, sizeof whole, "HTTP/1.1 %s\r\n\r\n", text);
  assert_int_equal(read_head(whole), LSI_HEAD_WHOLE);
  lsi_http_judge(a, &told, &v);
  return v;
}

static const struct lsi_http_known nothing;

/* 100 bytes from 50 on. */
static const struct {
  const char *reply;
  enum lsi_http_what what;
  uint64_t expected;
  int kind;
} ranges[] = {
    {"206 x\nContent-Range: bytes 50-149/1000\nContent-Length: 100", LSI_HTTP_ACCEPT, 100, 0},
    {"206 x\nContent-Range: bytes 50-149/1000", LSI_HTTP_ACCEPT, 100, 0},
    {"206 x\nContent-Range: bytes 50-149/*", LSI_HTTP_ACCEPT, 100, 0},
    {"206 x\nContent-Range: bytes 50-119/120\nContent-Length: 70", LSI_HTTP_ACCEPT, 70, 0}, /* it ends there */
    {"206 x\ncontent-range:BYTES 50-149/150", LSI_HTTP_ACCEPT, 100, 0},
    {"206 x\nContent-Range: bytes 50-148/1000", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 50-119/*", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 0-99/1000", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 50-150/1000", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes=50-149/1000", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 149-50/1000", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 50-149/149", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 50-149/", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: items 50-149/1000", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes */1000", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 18446744073709551666-149/1000", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 50-149/1000\nContent-Length: 99", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 50-149/1000\nContent-Length: 100\nContent-Length: 99", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 50-149/1000\nContent-Length: 100\nContent-Length: 100", LSI_HTTP_ACCEPT, 100, 0},
    {"206 x\nContent-Range: bytes 50-149/1000\nContent-Range: bytes 50-149/2000", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 50-149/1000\nContent-Length: -100", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 50-149/1000\nContent-Length: 4294967396", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 50-149/1000\nContent-Length: 18446744073709551716", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Type: multipart/byteranges; boundary=x\nContent-Length: 100", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"206 x\nContent-Range: bytes 50-149/1000\nContent-Encoding: gzip", LSI_HTTP_FAIL, 0, LSIO_KIND_UNSUPPORTED},
    {"206 x\nContent-Range: bytes 50-149/1000\nContent-Encoding: identity", LSI_HTTP_ACCEPT, 100, 0},
    {"200 x\nContent-Length: 1000", LSI_HTTP_FAIL, 0, LSIO_KIND_UNSUPPORTED},
    {"200 x\nContent-Length: 100", LSI_HTTP_FAIL, 0, LSIO_KIND_UNSUPPORTED},
    {"200 x", LSI_HTTP_FAIL, 0, LSIO_KIND_UNSUPPORTED},
    {"416 x\nContent-Range: bytes */50", LSI_HTTP_END, 0, 0},
    {"416 x\nContent-Range: bytes */0", LSI_HTTP_END, 0, 0},
    {"416 x\nContent-Range: bytes */51", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"416 x", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"301 x\nLocation: /y", LSI_HTTP_REDIRECT, 0, 0},
    {"308 x\nLocation: http://z/", LSI_HTTP_REDIRECT, 0, 0},
    {"302 x", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"304 x", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"300 x\nLocation: /y", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"204 x", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"400 x", LSI_HTTP_FAIL, 0, LSIO_KIND_OTHER},
    {"401 x", LSI_HTTP_FAIL, 0, LSIO_KIND_PERMISSION},
    {"403 x", LSI_HTTP_FAIL, 0, LSIO_KIND_PERMISSION},
    {"404 x", LSI_HTTP_FAIL, 0, LSIO_KIND_NOT_FOUND},
    {"405 x", LSI_HTTP_FAIL, 0, LSIO_KIND_UNSUPPORTED},
    {"410 x", LSI_HTTP_FAIL, 0, LSIO_KIND_NOT_FOUND},
    {"412 x", LSI_HTTP_FAIL, 0, LSIO_KIND_CHANGED},
    {"408 x", LSI_HTTP_AGAIN, 0, 0},
    {"425 x", LSI_HTTP_AGAIN, 0, 0},
    {"429 x", LSI_HTTP_AGAIN, 0, 0},
    {"500 x", LSI_HTTP_AGAIN, 0, 0},
    {"501 x", LSI_HTTP_FAIL, 0, LSIO_KIND_CORRUPT},
    {"502 x", LSI_HTTP_AGAIN, 0, 0},
    {"503 x", LSI_HTTP_AGAIN, 0, 0},
    {"504 x", LSI_HTTP_AGAIN, 0, 0},
    {"999 x", LSI_HTTP_AGAIN, 0, 0},
};

static void replies_to_ranges(void **state) {
  (void)state;
  const struct lsi_http_asked a = {.ranged = true, .first = 50, .length = 100, .known = &nothing};
  for (size_t i = 0; i < LSI_COUNTOF(ranges); i++) {
    const struct lsi_http_verdict v = judge(&a, ranges[i].reply);
    if (v.what != ranges[i].what || v.kind != ranges[i].kind || (v.what == LSI_HTTP_ACCEPT && v.expected != ranges[i].expected))
      fail_msg("%s: %d, kind %d, %d bytes: %s", ranges[i].reply, v.what, v.kind, (int)v.expected, v.text);
    if (v.what == LSI_HTTP_FAIL) assert_true(v.code < 0 && v.text[0] && v.remedy);
  }
}

static void replies_to_whole_objects(void **state) {
  (void)state;
  struct lsi_http_asked a = {.length = LSI_HTTP_REST, .known = &nothing};
  struct lsi_http_verdict v = judge(&a, "200 x\nContent-Length: 77");
  assert_true(v.what == LSI_HTTP_ACCEPT && v.expected == 77 && v.learnt.has_size && v.learnt.size == 77);
  v = judge(&a, "200 x");
  assert_true(v.what == LSI_HTTP_ACCEPT && v.expected == LSI_HTTP_REST);
  v = judge(&a, "206 x\nContent-Range: bytes 0-9/10");
  assert_int_equal(v.what, LSI_HTTP_FAIL);
  a = (struct lsi_http_asked){.ranged = true, .first = 5, .length = LSI_HTTP_REST, .known = &nothing};
  v = judge(&a, "206 x\nContent-Range: bytes 5-9/10");
  assert_true(v.what == LSI_HTTP_ACCEPT && v.expected == 5);
  assert_int_equal(judge(&a, "206 x\nContent-Range: bytes 5-8/10").what, LSI_HTTP_FAIL);
  /* A server that knows no ranges, but has just these bytes. */
  a = (struct lsi_http_asked){.ranged = true, .first = 0, .length = 100, .known = &nothing};
  v = judge(&a, "200 x\nContent-Length: 100");
  assert_true(v.what == LSI_HTTP_ACCEPT && v.expected == 100);
  assert_int_equal(judge(&a, "200 x\nContent-Length: 101").what, LSI_HTTP_FAIL);
  assert_int_equal(judge(&a, "200 x\nContent-Length: 99").what, LSI_HTTP_FAIL); /* perhaps an error */
  const struct lsi_http_known small = {.has_size = true, .size = 99};
  a.known = &small;
  assert_int_equal(judge(&a, "200 x\nContent-Length: 99").what, LSI_HTTP_ACCEPT);
  a = (struct lsi_http_asked){.head = true, .length = LSI_HTTP_REST, .known = &nothing};
  v = judge(&a, "200 x\nContent-Length: 9223372036854775\nETag: \"v\"");
  assert_true(v.what == LSI_HTTP_ACCEPT && v.expected == 0 && v.learnt.size == 9223372036854775);
  assert_int_equal(judge(&a, "206 x\nContent-Range: bytes 0-9/10").what, LSI_HTTP_FAIL);
}

static void versions(void **state) {
  (void)state;
  struct lsi_http_known known = {0};
  char match[LSI_HTTP_VALIDATOR_MAX + 16];
  struct lsi_http_asked a = {.ranged = true, .first = 0, .length = 10, .known = &known};
  const char *const first = "206 x\nContent-Range: bytes 0-9/100\nETag: \"abc\"\nLast-Modified: x";
  struct lsi_http_verdict v = judge(&a, first);
  assert_false(lsi_http_match(&known, match, sizeof match));
  lsi_http_learn(&known, &v);
  assert_true(lsi_http_match(&known, match, sizeof match));
  assert_string_equal(match, "If-Match: \"abc\"");
  assert_int_equal(judge(&a, first).what, LSI_HTTP_ACCEPT);
  static const char *const others[] = {
      "206 x\nContent-Range: bytes 0-9/100\nETag: \"abd\"", "206 x\nContent-Range: bytes 0-9/101\nETag: \"abc\"",
      "206 x\nContent-Range: bytes 0-9/99\nETag: \"abc\"", "206 x\nContent-Range: bytes 0-9/100",
      "206 x\nContent-Range: bytes 0-9/100\nETag: W/\"abc\""};
  for (size_t i = 0; i < LSI_COUNTOF(others); i++) {
    v = judge(&a, others[i]);
    if (v.what != LSI_HTTP_FAIL || v.kind != LSIO_KIND_CHANGED) fail_msg("%s: %d", others[i], v.what);
  }
  a.first = 95, a.length = 5;
  v = judge(&a, "416 x\nContent-Range: bytes */50");
  assert_true(v.what == LSI_HTTP_FAIL && v.kind == LSIO_KIND_CHANGED);
  /* Weak ones are compared, but not sent; without an ETag it is the time. */
  static const char *const weak[] = {"ETag: W/\"abc\"", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "ETag: abc", "ETag: \""};
  for (size_t i = 0; i < LSI_COUNTOF(weak); i++) {
    char text[200];
    known = (struct lsi_http_known){0};
    a.first = 0, a.length = 10;
    snprintf(text, sizeof text, "206 x\nContent-Range: bytes 0-9/100\n%s", weak[i]);
    v = judge(&a, text);
    lsi_http_learn(&known, &v);
    assert_true(known.has_version && known.has_size);
    assert_false(lsi_http_match(&known, match, sizeof match));
    assert_int_equal(judge(&a, text).what, LSI_HTTP_ACCEPT);
  }
}

static void how_long_to_wait(void **state) {
  (void)state;
  static const struct {
    const char *reply;
    uint64_t seconds;
  } rows[] = {{"503 x", 0}, {"503 x\nRetry-After: 7", 7}, {"429 x\nRetry-After: 1000000000", 60},
              {"503 x\nRetry-After: 99999999999999999999999", 0}, {"503 x\nRetry-After: -5", 0},
              {"503 x\nRetry-After: soon", 0}, {"503 x\nRetry-After: 0", 0},
              {"503 x\nDate: Sun, 06 Nov 1994 08:49:37 GMT\nRetry-After: Sun, 06 Nov 1994 08:49:50 GMT", 13},
              {"503 x\nDate: Sun, 06 Nov 1994 08:49:37 GMT\nRetry-After: Sun, 06 Nov 1994 07:49:50 GMT", 0},
              {"503 x\nDate: Sun, 06 Nov 1994 08:49:37 GMT\nRetry-After: Sun, 06 Nov 2094 08:49:37 GMT", 60},
              {"503 x\nRetry-After: Sun, 06 Nov 1994 08:49:50 GMT", 0}};
  const struct lsi_http_asked a = {.ranged = true, .length = 10, .known = &nothing};
  for (size_t i = 0; i < LSI_COUNTOF(rows); i++) {
    const struct lsi_http_verdict v = judge(&a, rows[i].reply);
    assert_int_equal(v.what, LSI_HTTP_AGAIN);
    assert_true(v.throttled);
    if (v.after_ns != rows[i].seconds * SECOND) fail_msg("%s: %g s", rows[i].reply, (double)v.after_ns / 1e9);
  }
}

static void heads_line_by_line(void **state) {
  (void)state;
  assert_int_equal(read_head("HTTP/1.1 100 Continue\r\nETag: \"no\"\r\n\r\nHTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nETag: \"a\"\r\n\r\n"),
                   LSI_HEAD_WHOLE);
  assert_int_equal(told.status, 200);
  assert_string_equal(told.etag, "\"a\"");
  assert_int_equal(lsi_head_line(&head, "X-Trailer: 1\r\n", 14), LSI_HEAD_MORE);
  assert_int_equal(read_head("HTTP/1.1 200 OK\nServer:\t x y \t\nno colon\n: empty\nEtag\n\n"), LSI_HEAD_WHOLE);
  assert_string_equal(told.server, "x y");
  assert_null(told.etag);
  assert_int_equal(read_head("HTTP/1.1 2x0 OK\n\n"), LSI_HEAD_GARBLED);
  assert_int_equal(read_head("HTTP/1.1\n\n"), LSI_HEAD_GARBLED);
  lsi_head_start(&head);
  assert_int_equal(lsi_head_line(&head, "HTTP/1.1 200 OK\r\n", 17), LSI_HEAD_MORE);
  assert_int_equal(lsi_head_line(&head, "ETag: a\0b\r\n", 11), LSI_HEAD_GARBLED);
  assert_int_equal(lsi_head_line(&head, "ETag: \"a\rX: y\"\r\n", 17), LSI_HEAD_GARBLED);
  static char line[9000];
  memset(line, 'x', sizeof line);
  lsi_head_start(&head);
  enum lsi_head_line end = lsi_head_line(&head, "HTTP/1.1 200 OK\r\n", 17);
  for (int i = 0; i < 100 && end == LSI_HEAD_MORE; i++) end = lsi_head_line(&head, line, sizeof line);
  assert_int_equal(end, LSI_HEAD_GARBLED); /* without end */
}

/* ---- tries and pace ---- */

static void tries_end(void **state) {
  (void)state;
  struct lsi_http_bucket b;
  struct lsi_http_tries t = {0};
  lsi_http_bucket_init(&b);
  lsi_http_tries_begin(&t, 5 * SECOND);
  uint64_t now = 5 * SECOND, sum = 0;
  unsigned n = 0;
  for (;; n++) {
    lsi_http_tries_sent(&t);
    const uint64_t wait = lsi_http_tries_next(&t, &b, LSI_HTTP_LOST, 0, now, UINT64_MAX - n);
    if (wait == LSI_HTTP_GIVE_UP) break;
    assert_true(wait <= 20 * SECOND && wait <= (SECOND / 10) << n);
    now += wait;
    sum += wait;
  }
  assert_int_equal(n, LSI_HTTP_TRIES - 1);
  lsi_http_tries_begin(&t, 0);
  lsi_http_tries_sent(&t);
  assert_true(lsi_http_tries_next(&t, &b, LSI_HTTP_THROTTLED, 7 * SECOND, 1, 3) >= 7 * SECOND);
  assert_true(lsi_http_tries_next(&t, &b, LSI_HTTP_THROTTLED, UINT64_MAX, 1, 3) <= 61 * SECOND);
  assert_int_equal(lsi_http_tries_next(&t, &b, LSI_HTTP_LOST, 0, 120 * SECOND, 3), LSI_HTTP_GIVE_UP);
  /* A server that fails all the time is left alone, whoever asks. */
  lsi_http_bucket_init(&b);
  for (n = 0; n < 1000; n++) {
    lsi_http_tries_begin(&t, 0);
    lsi_http_tries_sent(&t);
    if (lsi_http_tries_next(&t, &b, LSI_HTTP_LATE, 0, 1, n) == LSI_HTTP_GIVE_UP) break;
  }
  assert_int_equal(n, 50);
  for (int i = 0; i < 10; i++) lsi_http_bucket_give(&b);
  assert_true(lsi_http_tries_next(&t, &b, LSI_HTTP_LATE, 0, 1, n) != LSI_HTTP_GIVE_UP);
}

/* A link on which so many bytes a second come, and each reply takes a time. Requests/s after a while. */
static double settle(struct lsi_http_pace *p, uint64_t bytes, double link, uint64_t trip_ns, uint64_t *now) {
  uint64_t n = 0, begin = *now;
  for (int round = 0; round < 300; round++) {
    const uint32_t at_once = lsi_http_pace_limit(p);
    const uint64_t ns = LSI_MAX(trip_ns, (uint64_t)((double)at_once * (double)bytes / link * 1e9));
    for (uint32_t i = 0; i < at_once; i++) lsi_http_pace_landed(p, bytes, *now, *now + ns);
    *now += ns;
    n += at_once;
  }
  return (double)n / ((double)(*now - begin) / 1e9);
}

static void pace_follows_what_it_brings(void **state) {
  (void)state;
  struct lsi_http_pace p;
  uint64_t now = SECOND;
  lsi_http_pace_init(&p, 256);
  assert_int_equal(lsi_http_pace_limit(&p), 8);
  assert_true(settle(&p, 4096, 1e9, 30000000, &now) > 6000); /* latency: all that is allowed */
  assert_int_equal(lsi_http_pace_limit(&p), 256);
  lsi_http_pace_slower(&p, now);
  lsi_http_pace_slower(&p, now + 1);
  assert_in_range(lsi_http_pace_limit(&p), 179, 180);
  lsi_http_pace_init(&p, 3);
  assert_int_equal(lsi_http_pace_limit(&p), 3);
  for (int i = 0; i < 100; i++) lsi_http_pace_slower(&p, now += 2 * SECOND);
  assert_int_equal(lsi_http_pace_limit(&p), 1);
  assert_true(lsi_http_pace_patience(&p) >= 5 * SECOND);
  lsi_http_pace_landed(&p, 1, now, now + 10 * SECOND);
  assert_true(lsi_http_pace_patience(&p) >= 39 * SECOND);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(replies_to_ranges), cmocka_unit_test(replies_to_whole_objects), cmocka_unit_test(versions),
      cmocka_unit_test(how_long_to_wait),  cmocka_unit_test(heads_line_by_line),       cmocka_unit_test(tries_end),
      cmocka_unit_test(pace_follows_what_it_brings),
  };
  const int failed = cmocka_run_group_tests(tests, NULL, NULL);
  lsi_head_free(&head);
  return failed;
}
