/* The transport over libcurl against a server on loopback: replies as they come, and ways to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "curl_world.h"

static void ends(const char *path, enum lsi_wire_code code, int os_code, uint64_t body) {
  struct asked a;
  world_get(&a, path);
  if (a.end.code != code || a.end.os_code != os_code || a.got != body)
    fail_msg("%s: code %d, errno %d, %d bytes: %s", path, a.end.code, a.end.os_code, (int)a.got, a.text);
  assert_int_equal(a.heads, code == LSI_WIRE_BROKEN || code == LSI_WIRE_DONE || a.got ? 1 : 0);
  assert_null(strstr(a.text, "://"));
}

/* -- replies -- */

static void test_ranges_come_right_over_one_connection(void **state) {
  (void)state;
  static const struct {
    uint64_t offset, length;
  } ranges[] = {{0, 1}, {1, 4096}, {777777, 1 << 20}, {TINY_HTTP_OBJECT - 5, 5}, {0, TINY_HTTP_OBJECT}};
  for (size_t i = 0; i < LSI_COUNTOF(ranges); i++) {
    struct asked a;
    char expected[64];
    asked_range(&a, world_at("/object"), ranges[i].offset, ranges[i].length, tiny_http_byte);
    assert_true(OPS->start(world_wire, &a.request));
    assert_true(asked_wait(OPS, world_wire, &a, 1));
    assert_int_equal(a.end.code, LSI_WIRE_DONE);
    assert_int_equal(a.status, 206);
    assert_int_equal(a.got, ranges[i].length);
    assert_int_equal(a.wrong, 0);
    assert_int_equal(a.end.reused, i > 0);
    assert_in_range(a.end.wire, a.got + 200, a.got + 500);
    snprintf(expected, sizeof expected, "bytes %llu-%llu/%u", (unsigned long long)ranges[i].offset,
             (unsigned long long)(ranges[i].offset + ranges[i].length - 1), TINY_HTTP_OBJECT);
    assert_string_equal(a.content_range, expected);
  }
  assert_int_equal(world_accepted(), OPS->connections(world_wire));
  assert_int_equal(OPS->connections(world_wire), 1);
}

static void test_head_values(void **state) {
  (void)state;
  struct asked a;
  world_get(&a, "/object?x=/../y");
  assert_int_equal(a.status, 200);
  assert_string_equal(a.length, "8388608");
  assert_string_equal(a.content_range, "-");
  assert_string_equal(a.type, "application/octet-stream");
  assert_string_equal(a.encoding, "-");
  assert_string_equal(a.etag, TINY_HTTP_ETAG);
  assert_string_equal(a.modified, "Mon, 30 Nov 2026 12:00:00 GMT");
  assert_string_equal(a.date, "Tue, 01 Dec 2026 12:00:00 GMT");
  assert_string_equal(a.accept_ranges, "bytes");
  assert_string_equal(a.id, "4711");
  assert_string_equal(a.server, "tiny");
  assert_false(a.repeated);
  assert_string_equal(a.tls, "");
  char address[64];
  snprintf(address, sizeof address, "127.0.0.1:%d", tiny_http_port(world_server));
  assert_string_equal(a.address, address);
  world_get(&a, "/busy");
  assert_int_equal(a.status, 503);
  assert_string_equal(a.retry_after, "7");
  world_get(&a, "/moved"); /* is not followed */
  assert_int_equal(a.status, 307);
  assert_string_equal(a.location, "http://127.0.0.1:1/else");
  world_get(&a, "/repeated");
  assert_true(a.repeated);
  assert_string_equal(a.content_range, "a");
  world_get(&a, "/a/../object"); /* a key like any other */
  assert_int_equal(a.status, 404);
  world_get(&a, "/zipped"); /* is told as it is */
  assert_string_equal(a.encoding, "gzip");
  assert_memory_equal(a.body, "\x1f\x8b\x08\x01", 4);
  assert_int_equal(OPS->connections(world_wire), 1);
}

static void test_only_the_last_head_is_told(void **state) {
  (void)state;
  struct asked a;
  world_get(&a, "/early");
  assert_int_equal(a.status, 200);
  assert_string_equal(a.etag, "-");
  assert_string_equal(a.length, "4");
  assert_string_equal(a.body, "late");
  world_get(&a, "/trailers");
  assert_int_equal(a.status, 200);
  assert_string_equal(a.etag, "\"head\"");
  assert_int_equal(a.end.code, LSI_WIRE_DONE);
  assert_string_equal(a.body, "0123456789");
}

static void test_head_only(void **state) {
  (void)state;
  struct asked a;
  asked_get(&a, world_at("/object"));
  a.request.method = "HEAD";
  world_ask(&a); /* and a GET behind it */
  assert_string_equal(a.length, "8388608");
  assert_int_equal(a.got, 0);
  assert_int_equal(a.end.code, LSI_WIRE_DONE);
  asked_get(&a, world_at("/object"));
  a.request.method = "HEAD";
  a.refuse_head = true;
  world_ask(&a);
  assert_int_equal(a.end.code, LSI_WIRE_REFUSED);
  assert_int_equal(OPS->connections(world_wire), 1);
}

static void test_delimited_by_close_is_a_reply(void **state) {
  (void)state;
  ends("/delimited", LSI_WIRE_DONE, 0, 10);
}

static void test_refused_head_and_body_end_at_once(void **state) {
  (void)state;
  struct asked a;
  asked_get(&a, world_at("/endless"));
  a.refuse_head = true;
  world_ask(&a);
  assert_int_equal(a.end.code, LSI_WIRE_REFUSED);
  assert_int_equal(a.got, 0);
  asked_get(&a, world_at("/endless"));
  a.refuse_at = 100000;
  world_ask(&a);
  assert_int_equal(a.end.code, LSI_WIRE_REFUSED);
  assert_in_range(a.got, 100000, 300000);
  asked_get(&a, world_at("/busy-body"));
  a.refuse_head = true;
  world_ask(&a);
  assert_int_equal(a.status, 503);
  const uint64_t connections = OPS->connections(world_wire);
  asked_get(&a, world_at("/busy")); /* nothing more comes: the connection stays */
  a.refuse_head = true;
  world_ask(&a);
  assert_int_equal(a.end.code, LSI_WIRE_REFUSED);
  assert_int_equal(OPS->connections(world_wire), connections);
}

static void test_fresh_is_another_connection(void **state) {
  (void)state;
  struct asked a;
  for (int i = 0; i < 3; i++) {
    asked_get(&a, world_at("/busy"));
    a.request.fresh = i == 1;
    assert_true(OPS->start(world_wire, &a.request));
    assert_true(asked_wait(OPS, world_wire, &a, 1));
    assert_int_equal(a.end.reused, i == 2);
  }
  assert_int_equal(OPS->connections(world_wire), 2);
}

/* -- what goes wrong -- */

static void test_lost_before_the_head_is_whole(void **state) {
  (void)state;
  ends("/close", LSI_WIRE_CLOSED, 0, 0);
  ends("/half-head", LSI_WIRE_CLOSED, 0, 0);
  ends("/head-no-end", LSI_WIRE_CLOSED, 0, 0);
  ends("/only-early", LSI_WIRE_CLOSED, 0, 0);
  ends("/reset", LSI_WIRE_CLOSED, ECONNRESET, 0);
}

static void test_lost_in_the_body(void **state) {
  (void)state;
  ends("/short", LSI_WIRE_BROKEN, 0, 10);
  ends("/short-chunks", LSI_WIRE_BROKEN, 0, 10);
  ends("/short-reset", LSI_WIRE_BROKEN, ECONNRESET, 10);
}

static void test_what_is_no_http(void **state) {
  (void)state;
  ends("/garbage", LSI_WIRE_GARBLED, 0, 0);
  ends("/bad-status", LSI_WIRE_GARBLED, 0, 0);
  ends("/bad-length", LSI_WIRE_GARBLED, 0, 0);
  ends("/bad-chunks", LSI_WIRE_GARBLED, 0, 10);
  ends("/no-colon", LSI_WIRE_GARBLED, 0, 0);
  ends("/nul", LSI_WIRE_GARBLED, 0, 0);
  ends("/line-no-end", LSI_WIRE_GARBLED, 0, 0);
  ends("/many-lines", LSI_WIRE_GARBLED, 0, 0);
  ends("/many-heads", LSI_WIRE_GARBLED, 0, 0);
}

static void test_no_server(void **state) {
  (void)state;
  struct asked a;
  asked_get(&a, "http://127.0.0.1:1/");
  world_ask(&a);
  assert_int_equal(a.end.code, LSI_WIRE_NO_HOST);
  assert_int_equal(a.end.os_code, ECONNREFUSED);
  assert_string_equal(a.address, "");
  asked_get(&a, "http://no-such-host.invalid/secret?sig=1");
  world_ask(&a);
  assert_int_equal(a.end.code, LSI_WIRE_NO_NAME);
  assert_null(strstr(a.text, "secret"));
  asked_get(&a, "ftp://127.0.0.1/");
  world_ask(&a);
  assert_int_equal(a.end.code, LSI_WIRE_FAILED);
  asked_get(&a, "http://");
  world_ask(&a);
  assert_int_equal(a.end.code, LSI_WIRE_FAILED);
  assert_int_equal(OPS->connections(world_wire), 1);
}

static void test_no_tls(void **state) {
  (void)state;
  struct asked a;
  char url[64];
  snprintf(url, sizeof url, "https://127.0.0.1:%d/", tiny_http_port(world_server));
  asked_get(&a, url);
  world_ask(&a);
  assert_int_equal(a.end.code, LSI_WIRE_NO_TLS);
}

static void proxied(int port, const char *to, enum lsi_wire_code code) {
  char proxy[64];
  snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", port);
  struct lsi_wire *w = world_make(&(struct lsi_wire_config){.requests = 1, .connect_ms = 3100, .proxy = proxy});
  struct asked a;
  asked_get(&a, to);
  assert_true(OPS->start(w, &a.request));
  assert_true(asked_wait(OPS, w, &a, 1));
  if (a.end.code != code) fail_msg("%s by %s: code %d, %s", to, proxy, a.end.code, a.text);
  OPS->destroy(w);
}

static void test_proxies(void **state) {
  (void)state;
  proxied(1, "http://example.test/", LSI_WIRE_PROXY);
  proxied(1, "http://[::1]:7/", LSI_WIRE_PROXY);
  proxied(1, "https://example.test/", LSI_WIRE_PROXY);
  proxied(tiny_http_port(world_server), "https://example.test/", LSI_WIRE_PROXY);
  proxied(tiny_http_port(world_server), "http://example.test/", LSI_WIRE_DONE);
}

/* Whether it was a proxy that can't be reached, libcurl's words tell. */
static void test_servers_that_are_no_proxies(void **state) {
  static const char *const urls[] = {"http://127.0.0.1:1/", "http://[::1]:1/", "http://LOCALHOST:1/x",
                                     "http://localhost:1?y", "https://localhost:1"};
  (void)state;
  struct lsi_wire *w = world_make(&(struct lsi_wire_config){.requests = 1, .connect_ms = 3100});
  for (size_t i = 0; i < LSI_COUNTOF(urls); i++) {
    struct asked a;
    asked_get(&a, urls[i]);
    assert_true(OPS->start(w, &a.request));
    assert_true(asked_wait(OPS, w, &a, 1));
    if (a.end.code != LSI_WIRE_NO_HOST) fail_msg("%s: code %d, %s", urls[i], a.end.code, a.text);
  }
  OPS->destroy(w);
}

static void test_a_proxy_of_the_environment(void **state) {
  (void)state;
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  struct lsi_wire *w = world_make(&(struct lsi_wire_config){.requests = 1, .connect_ms = 3100});
  struct asked a;
  asked_get(&a, "http://example.test/");
  assert_true(OPS->start(w, &a.request));
  assert_true(asked_wait(OPS, w, &a, 1));
  assert_int_equal(a.end.code, LSI_WIRE_PROXY);
  OPS->destroy(w);
  world_get(&a, "/busy"); /* this one has been told that there is none */
  assert_int_equal(a.end.code, LSI_WIRE_DONE);
  unsetenv("http_proxy");
}

#define WIRE(name) cmocka_unit_test_setup_teardown(name, world_begin, world_finish)

int main(void) {
  static const struct CMUnitTest tests[] = {
      WIRE(test_ranges_come_right_over_one_connection),
      WIRE(test_head_values),
      WIRE(test_only_the_last_head_is_told),
      WIRE(test_head_only),
      WIRE(test_delimited_by_close_is_a_reply),
      WIRE(test_refused_head_and_body_end_at_once),
      WIRE(test_fresh_is_another_connection),
      WIRE(test_lost_before_the_head_is_whole),
      WIRE(test_lost_in_the_body),
      WIRE(test_what_is_no_http),
      WIRE(test_no_server),
      WIRE(test_no_tls),
      WIRE(test_proxies),
      WIRE(test_servers_that_are_no_proxies),
      WIRE(test_a_proxy_of_the_environment),
  };
  const int before = world_descriptors();
  const int failed = cmocka_run_group_tests(tests, world_open, world_close);
  const int after = world_descriptors();
  if (before != after) fprintf(stderr, "%d descriptors before, %d after\n", before, after);
  return failed || before != after;
}
