#include "asked.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void check(bool good, const char *what) {
  if (good) return;
  fprintf(stderr, "a transport: %s\n", what);
  abort();
}

static void keep(char *to, size_t room, const char *value) { snprintf(to, room, "%s", value ? value : "-"); }
#define KEEP(to, value) keep(a->to, sizeof a->to, value)

static bool on_head(void *user, const struct lsi_wire_head *h) {
  struct asked *a = user;
  check(!a->heads && !a->ends, "a second head, or one behind the end");
  a->heads++;
  a->status = h->status;
  a->repeated = h->repeated;
  KEEP(length, h->content_length);
  KEEP(content_range, h->content_range);
  KEEP(type, h->content_type);
  KEEP(encoding, h->content_encoding);
  KEEP(etag, h->etag);
  KEEP(modified, h->last_modified);
  KEEP(location, h->location);
  KEEP(retry_after, h->retry_after);
  KEEP(date, h->date);
  KEEP(accept_ranges, h->accept_ranges);
  KEEP(id, h->request_id);
  KEEP(server, h->server);
  return !a->refuse_head;
}

static bool on_body(void *user, const void *data, size_t n) {
  struct asked *a = user;
  check(a->heads && !a->ends && n, "a body before the head, behind the end, or of nothing");
  check(!a->refuse_head && a->got < a->refuse_at, "a body that was refused");
  for (size_t i = 0; a->byte && i < n; i++) a->wrong += ((const uint8_t *)data)[i] != a->byte(a->offset + a->got + i);
  if (a->got < sizeof a->body - 1) {
    const size_t room = sizeof a->body - 1 - a->got;
    memcpy(a->body + a->got, data, n < room ? n : room);
  }
  a->got += n;
  a->pieces++;
  return a->got < a->refuse_at;
}

static void on_end(void *user, const struct lsi_wire_end *end) {
  struct asked *a = user;
  check(!a->ends, "a second end");
  check(end->text && end->address && end->tls && end->body == a->got, "an end that lacks something");
  check((end->code == LSI_WIRE_DONE || end->code == LSI_WIRE_REFUSED) == !*end->text, "an error without words");
  a->ends++;
  a->end = *end;
  KEEP(text, end->text);
  KEEP(address, end->address);
  KEEP(tls, end->tls);
  a->end.text = a->text;
  a->end.address = a->address;
  a->end.tls = a->tls;
  if (a->then) a->then(a);
}

void asked_get(struct asked *a, const char *url) {
  *a = (struct asked){.refuse_at = ASKED_ALL};
  keep(a->url, sizeof a->url, url);
  a->request = (struct lsi_wire_request){
      .method = "GET", .url = a->url, .headers = a->headers, .head = on_head, .body = on_body, .end = on_end, .user = a};
}

void asked_range(struct asked *a, const char *url, uint64_t offset, uint64_t length, uint8_t (*byte)(uint64_t)) {
  asked_get(a, url);
  snprintf(a->range, sizeof a->range, "Range: bytes=%" PRIu64 "-%" PRIu64, offset, offset + length - 1);
  a->headers[0] = a->range;
  a->byte = byte;
  a->offset = offset;
}

static uint64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* One wait and one run. */
static void turn(const struct lsi_wire_ops *ops, struct lsi_wire *w, uint64_t until_ms) {
  const uint64_t next = ops->next_ns(w), now = ops->now_ns(w), clock = now_ms();
  uint64_t ms = until_ms > clock ? until_ms - clock : 0;
  if (next != UINT64_MAX) {
    const uint64_t in = next > now ? (next - now + 999999) / 1000000 : 0;
    ms = in < ms ? in : ms;
  }
  struct pollfd p = {.fd = ops->fd(w), .events = POLLIN};
  poll(&p, 1, (int)ms);
  struct lsi_error err = {0};
  if (ops->run(w, &err) < 0) check(false, err.what);
}

bool asked_wait(const struct lsi_wire_ops *ops, struct lsi_wire *w, const struct asked *list, size_t n) {
  const uint64_t until = now_ms() + 20000;
  for (;;) {
    size_t ended = 0;
    for (size_t i = 0; i < n; i++) ended += list[i].ends;
    if (ended == n) return true;
    if (now_ms() >= until) return false;
    turn(ops, w, until);
  }
}

void asked_pass(const struct lsi_wire_ops *ops, struct lsi_wire *w, unsigned ms) {
  for (const uint64_t until = now_ms() + ms; now_ms() < until;) turn(ops, w, until);
}
