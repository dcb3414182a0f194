#include "http/http_transfer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ground/mem.h"

#define LOOK_NS 100000000u /* between looks at those that have not been heard of */

enum { IDLE, QUEUED, FLYING, RESTING, ENDED };

struct lsi_http_pump {
  const struct lsi_wire_ops *ops;
  struct lsi_wire *wire;
  struct lsi_http_origins origins;
  struct lsi_http_transfer *flying;  /* by next and before */
  struct lsi_http_transfer *resting; /* likewise: to be tried again at their due_ns */
  struct lsi_http_transfer *ended, **ended_end;
  uint32_t n, n_flying, at_once, all_at_once;
  uint64_t look_ns;
  uint64_t random;
  struct lsi_http_figures figures;
};

/* ---- lists ---- */

static void enter(struct lsi_http_transfer **list, struct lsi_http_transfer *t) {
  t->next = *list;
  t->before = list;
  if (t->next) t->next->before = &t->next;
  *list = t;
}

static void leave(struct lsi_http_transfer *t) {
  *t->before = t->next;
  if (t->next) t->next->before = t->before;
}

/* Waits for a turn, where its object is to be had now. */
static void put_last(struct lsi_http_transfer *t) {
  struct lsi_http_origin *o = t->origin = t->object->origin;
  t->state = QUEUED;
  t->next = NULL;
  *o->queue_end = t;
  o->queue_end = &t->next;
}

static uint64_t draw(struct lsi_http_pump *p) {
  p->random += 0x9e3779b97f4a7c15u;
  uint64_t z = p->random;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static uint64_t now_of(const struct lsi_http_pump *p) {
  return p->ops->now_ns(p->wire);
}

/* ---- the end of a transfer ---- */

static void end(struct lsi_http_pump *p, struct lsi_http_transfer *t, int code) {
  t->state = ENDED;
  t->code = code;
  t->next = NULL;
  *p->ended_end = t;
  p->ended_end = &t->next;
}

/* How it was tried, behind what the last try came to. */
static void tell_tries(struct lsi_http_pump *p, const struct lsi_http_transfer *t, char *out, size_t size) {
  const uint32_t n = lsi_http_tries_count(&t->tries);
  out[0] = 0;
  if (n > 1)
    snprintf(out, size, ", the last of %" PRIu32 " tries in %.3g s", n,
             (double)(now_of(p) - lsi_http_tries_since(&t->tries)) / 1e9);
}

static void fail(struct lsi_http_pump *p, struct lsi_http_transfer *t, int code, int status, int kind,
                 const char *what, const char *remedy) {
  char tries[80];
  tell_tries(p, t, tries, sizeof tries);
  t->why = lsi_malloc(sizeof *t->why);
  if (t->why) {
    lsi_error_clear(t->why);
    lsi_fail(t->why, code, status, "%s%s", what, tries);
    if (kind) lsi_error_is(t->why, kind);
    if (remedy && *remedy) lsi_error_remedy(t->why, "%s", remedy);
  }
  end(p, t, code);
}

/* ---- a try ---- */

static uint64_t rest_of(const struct lsi_http_transfer *t) {
  return t->length == LSI_HTTP_REST ? LSI_HTTP_REST : t->length - t->got;
}

static bool on_head(void *user, const struct lsi_wire_head *head) {
  struct lsi_http_transfer *t = user;
  const bool whole = t->probes && head->status == 200; /* it knows no ranges: this head is as good */
  const struct lsi_http_asked asked = {.head = (t->head && !t->probes) || whole,
                                       .ranged = t->range[0] != 0,
                                       .first = t->first + t->got,
                                       .length = rest_of(t),
                                       .known = &t->object->known};
  lsi_http_judge(&asked, head, &t->verdict);
  t->expected = t->verdict.expected;
  t->enough = whole && t->verdict.what == LSI_HTTP_ACCEPT;
  return t->verdict.what == LSI_HTTP_ACCEPT && !whole;
}

static bool on_body(void *user, const void *data, size_t n) {
  struct lsi_http_transfer *t = user;
  const uint64_t room = t->length == LSI_HTTP_REST ? t->room - t->got : rest_of(t);
  if (n > room && !(t->grow && t->grow(t, t->got + n))) {
    t->verdict.too_much = true;
    return false;
  }
  memcpy(t->to + t->got, data, n);
  t->got += n;
  t->heard_ns = 0; /* now: the clock is asked once for all */
  return true;
}

static void try_again(struct lsi_http_pump *p, struct lsi_http_transfer *t, enum lsi_http_trouble trouble,
                      uint64_t after_ns, const char *what, int status, const char *remedy) {
  const uint64_t now = now_of(p);
  const uint64_t wait = lsi_http_tries_next(&t->tries, &t->origin->bucket, trouble, after_ns, now, draw(p));
  if (wait == LSI_HTTP_GIVE_UP) {
    fail(p, t, LSIO_ERR_IO, status, trouble == LSI_HTTP_LATE ? LSIO_KIND_TIMEOUT : LSIO_KIND_IO, what,
         remedy);
    return;
  }
  p->figures.retries++;
  p->figures.resumed += t->got > 0;
  t->due_ns = now + wait;
  t->state = RESTING;
  enter(&p->resting, t);
}

static void redirect(struct lsi_http_pump *p, struct lsi_http_transfer *t) {
  struct lsi_error e;
  lsi_error_clear(&e);
  p->figures.redirects++;
  /* Of several that were under way at once the first one moves the object. */
  const bool moved = t->redirects != t->object->redirects;
  const int rc = moved ? 0 : lsi_http_object_move(&p->origins, t->object, t->verdict.location, &e);
  if (rc < 0) {
    fail(p, t, rc, t->verdict.status, lsi_error_kind(&e), e.what, e.remedy);
    return;
  }
  lsi_http_tries_begin(&t->tries, now_of(p)); /* of where it leads */
  put_last(t);
}

/* What the reply's head has made of it, where that is not its body. */
static void by_verdict(struct lsi_http_pump *p, struct lsi_http_transfer *t) {
  const struct lsi_http_verdict *v = &t->verdict;
  switch (v->what) {
  case LSI_HTTP_END:
    lsi_http_learn(&t->object->known, v);
    end(p, t, 0);
    return;
  case LSI_HTTP_REDIRECT: redirect(p, t); return;
  case LSI_HTTP_AGAIN:
    p->figures.throttled += v->throttled;
    if (v->throttled) lsi_http_pace_slower(&t->origin->pace, now_of(p));
    try_again(p, t, v->throttled ? LSI_HTTP_THROTTLED : LSI_HTTP_REFUSED, v->after_ns, v->text, v->status,
              v->remedy);
    return;
  default: break;
  }
  /* A URL that is signed for GET, a server that never heard of HEAD. */
  const int s = v->status;
  if (t->head && !t->probes && (s == 400 || s == 403 || s == 405 || s == 501)) {
    t->probes = true;
    t->to = &t->first_byte;
    t->length = 1;
    lsi_http_tries_begin(&t->tries, now_of(p));
    put_last(t);
    return;
  }
  fail(p, t, v->code, v->status, v->kind, v->text, v->remedy);
}

static void by_end(struct lsi_http_pump *p, struct lsi_http_transfer *t, const struct lsi_wire_end *e) {
  static const struct {
    int kind;
    bool final;
    const char *what, *remedy;
  } ends[] = {
      [LSI_WIRE_NO_NAME] = {0, false, "the server's name has no address",
                            "check the URL's host, and the network"},
      [LSI_WIRE_NO_HOST] = {0, false, "the server can't be reached",
                            "check the URL's host and port, and the network"},
      [LSI_WIRE_LATE] = {0, false, "the server did not take the connection in time", "check the network"},
      [LSI_WIRE_UNTRUSTED] = {LSIO_KIND_PERMISSION, true, "the server's certificate is not trusted",
                              "name the certificates to trust with ca_file, or SSL_CERT_FILE"},
      [LSI_WIRE_NO_TLS] = {0, false, "there is no secure connection to the server", ""},
      [LSI_WIRE_PROXY] = {0, false, "the proxy does not let the request through",
                          "check https_proxy and its like"},
      [LSI_WIRE_CLOSED] = {0, false, "the connection was lost before the reply", ""},
      [LSI_WIRE_BROKEN] = {0, false, "the connection was lost in the middle of the reply", ""},
      [LSI_WIRE_GARBLED] = {0, false, "what came is no HTTP reply", "check the URL's port"},
      [LSI_WIRE_FAILED] = {0, false, "the request failed", ""},
  };
  char what[300];
  if (e->code == LSI_WIRE_NO_MEMORY) {
    fail(p, t, LSIO_ERR_NOMEM, 0, 0, "no memory for a request", "");
    return;
  }
  snprintf(what, sizeof what, "%s%s%s", ends[e->code].what, *e->text ? ": " : "", e->text);
  if (ends[e->code].final)
    fail(p, t, LSIO_ERR_IO, e->os_code, ends[e->code].kind, what, ends[e->code].remedy);
  else
    try_again(p, t, LSI_HTTP_LOST, 0, what, e->os_code, ends[e->code].remedy);
}

static void landed(struct lsi_http_pump *p, struct lsi_http_transfer *t) {
  const uint64_t now = now_of(p);
  lsi_http_bucket_give(&t->origin->bucket);
  lsi_http_pace_landed(&t->origin->pace, t->got - t->had, t->started_ns, now);
  lsi_http_learn(&t->object->known, &t->verdict);
  end(p, t, 0);
}

static void left_the_wire(struct lsi_http_transfer *t) {
  leave(t);
  t->pump->n_flying--;
  t->origin->flying--;
}

static void on_end(void *user, const struct lsi_wire_end *e) {
  struct lsi_http_transfer *t = user;
  struct lsi_http_pump *p = t->pump;
  left_the_wire(t);
  p->figures.bytes_wire += e->wire;
  if (e->code == LSI_WIRE_REFUSED && t->verdict.too_much) {
    fail(p, t, LSIO_ERR_IO, 0, LSIO_KIND_CORRUPT, "the reply is longer than what was asked for", "");
  } else if (e->code == LSI_WIRE_REFUSED && t->enough) {
    landed(p, t);
  } else if (e->code == LSI_WIRE_REFUSED) {
    by_verdict(p, t);
  } else if (e->code != LSI_WIRE_DONE) {
    by_end(p, t, e);
  } else if ((t->head && !t->probes) || t->expected == LSI_HTTP_REST || t->got - t->had == t->expected) {
    landed(p, t);
  } else {
    const struct lsi_wire_end broken = {.code = LSI_WIRE_BROKEN, .text = ""};
    by_end(p, t, &broken);
  }
}

static void set_headers(struct lsi_http_transfer *t) {
  const struct lsi_http_known *known = &t->object->known;
  const uint64_t first = t->first + t->got, rest = rest_of(t);
  unsigned n = 0;
  t->range[0] = t->match[0] = 0;
  const bool head = t->head && !t->probes;
  if (!head && rest != LSI_HTTP_REST)
    snprintf(t->range, sizeof t->range, "Range: bytes=%" PRIu64 "-%" PRIu64, first, first + rest - 1);
  else if (!head && first)
    snprintf(t->range, sizeof t->range, "Range: bytes=%" PRIu64 "-", first);
  if (t->range[0]) t->headers[n++] = t->range;
  if (lsi_http_match(known, t->match, sizeof t->match)) t->headers[n++] = t->match;
  t->headers[n++] = "Accept-Encoding: identity"; /* a range of what is compressed on the way is of no use */
  if (lsi_http_object_url(t->object)->authorization)
    t->headers[n++] = lsi_http_object_url(t->object)->authorization;
  t->headers[n] = NULL;
}

static void start(struct lsi_http_pump *p, struct lsi_http_transfer *t) {
  const uint64_t now = now_of(p);
  if (!lsi_http_tries_count(&t->tries)) lsi_http_tries_begin(&t->tries, now);
  set_headers(t);
  memset(&t->verdict, 0, sizeof t->verdict);
  t->redirects = t->object->redirects;
  t->had = t->got;
  t->expected = LSI_HTTP_REST;
  t->started_ns = t->heard_ns = now;
  t->request = (struct lsi_wire_request){.method = t->head && !t->probes ? "HEAD" : "GET",
                                         .url = lsi_http_object_url(t->object)->text,
                                         .headers = t->headers,
                                         .fresh = lsi_http_tries_count(&t->tries) > 1,
                                         .head = on_head,
                                         .body = on_body,
                                         .end = on_end,
                                         .user = t};
  t->state = FLYING;
  enter(&p->flying, t);
  p->n_flying++;
  t->origin->flying++;
  p->figures.requests++;
  lsi_http_tries_sent(&t->tries);
  if (p->ops->start(p->wire, &t->request)) return;
  left_the_wire(t);
  put_last(t); /* the wire has as many as it may */
}

/* ---- turns ---- */

static void start_queued(struct lsi_http_pump *p) {
  for (struct lsi_http_origin *o = p->origins.first; o; o = o->next) {
    const uint32_t most = LSI_MIN(lsi_http_pace_limit(&o->pace), p->at_once);
    while (o->queue && o->flying < most && p->n_flying < p->all_at_once) {
      struct lsi_http_transfer *t = o->queue;
      o->queue = t->next;
      if (!o->queue) o->queue_end = &o->queue;
      if (t->object->origin != o) { /* led elsewhere while it waited */
        put_last(t);
        continue;
      }
      start(p, t);
      if (t->state == QUEUED) return;
    }
  }
}

static void rouse_rested(struct lsi_http_pump *p, uint64_t now) {
  for (struct lsi_http_transfer *t = p->resting, *next; t; t = next) {
    next = t->next;
    if (t->due_ns > now) continue;
    leave(t);
    put_last(t);
  }
}

/* Of servers that say nothing any more: the connection is given up. */
static void drop_silent(struct lsi_http_pump *p, uint64_t now) {
  for (struct lsi_http_transfer *t = p->flying, *next; t; t = next) {
    next = t->next;
    if (!t->heard_ns) t->heard_ns = now;
    const bool begun = t->verdict.what == LSI_HTTP_ACCEPT && t->verdict.status;
    const uint64_t limit = begun ? LSI_HTTP_PROGRESS_NS : lsi_http_pace_patience(&t->origin->pace);
    if (now - t->heard_ns < limit) continue;
    p->ops->drop(p->wire, &t->request);
    left_the_wire(t);
    lsi_http_pace_slower(&t->origin->pace, now);
    try_again(p, t, LSI_HTTP_LATE, 0,
              begun ? "the server stopped in the middle of its reply" : "the server does not answer", 0, "");
  }
}

struct lsi_http_transfer *lsi_http_pump_run(struct lsi_http_pump *p, int *rc, struct lsi_error *err) {
  const int n = p->n_flying ? p->ops->run(p->wire, err) : 0;
  *rc = LSI_MIN(n, 0);
  if (p->n) {
    const uint64_t now = now_of(p);
    if (now >= p->look_ns) {
      drop_silent(p, now);
      p->look_ns = now + LOOK_NS;
    }
    rouse_rested(p, now);
    start_queued(p);
  }
  struct lsi_http_transfer *ended = p->ended;
  p->ended = NULL;
  p->ended_end = &p->ended;
  for (struct lsi_http_transfer *t = ended; t; t = t->next) p->n--;
  return ended;
}

void lsi_http_pump_add(struct lsi_http_pump *p, struct lsi_http_transfer *t) {
  t->pump = p;
  t->got = 0;
  t->code = 0;
  t->why = NULL;
  memset(&t->tries, 0, sizeof t->tries);
  p->n++;
  put_last(t);
}

static void cancel_queue(struct lsi_http_pump *p, struct lsi_http_origin *o) {
  struct lsi_http_transfer *t = o->queue;
  o->queue = NULL;
  o->queue_end = &o->queue;
  for (struct lsi_http_transfer *next; t; t = next) {
    next = t->next;
    end(p, t, LSIO_ERR_CANCELLED);
  }
}

void lsi_http_pump_cancel(struct lsi_http_pump *p) {
  while (p->flying) {
    struct lsi_http_transfer *t = p->flying;
    p->ops->drop(p->wire, &t->request);
    left_the_wire(t);
    end(p, t, LSIO_ERR_CANCELLED);
  }
  while (p->resting) {
    struct lsi_http_transfer *t = p->resting;
    leave(t);
    end(p, t, LSIO_ERR_CANCELLED);
  }
  for (struct lsi_http_origin *o = p->origins.first; o; o = o->next) cancel_queue(p, o);
}

uint32_t lsi_http_pump_count(const struct lsi_http_pump *p) {
  return p->n;
}
int lsi_http_pump_fd(const struct lsi_http_pump *p) {
  return p->ops->fd(p->wire);
}
uint64_t lsi_http_pump_now_ns(const struct lsi_http_pump *p) {
  return now_of(p);
}

uint64_t lsi_http_pump_next_ns(const struct lsi_http_pump *p) {
  uint64_t next = p->n_flying ? LSI_MIN(p->ops->next_ns(p->wire), p->look_ns) : UINT64_MAX;
  if (p->ended) return 0;
  for (const struct lsi_http_transfer *t = p->resting; t; t = t->next) next = LSI_MIN(next, t->due_ns);
  for (const struct lsi_http_origin *o = p->origins.first; o; o = o->next)
    if (o->queue && o->flying < LSI_MIN(lsi_http_pace_limit(&o->pace), p->at_once) &&
        p->n_flying < p->all_at_once)
      return 0;
  return next;
}

struct lsi_http_figures lsi_http_pump_figures(const struct lsi_http_pump *p) {
  struct lsi_http_figures f = p->figures;
  f.connections = p->ops->connections(p->wire);
  return f;
}

int lsi_http_pump_create(const struct lsi_http_pump_config *config, struct lsi_http_pump **out,
                         struct lsi_error *err) {
  struct lsi_http_pump *p = lsi_calloc(1, sizeof *p);
  if (!p) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for requests");
  p->ops = config->wire;
  p->at_once = p->origins.at_once = LSI_MAX(config->at_once, 1u);
  p->all_at_once = LSI_MAX(config->wire_config.requests, 1u);
  p->random = config->seed;
  p->ended_end = &p->ended;
  const int rc = p->ops->create(&config->wire_config, &p->wire, err);
  if (rc < 0) {
    lsi_free(p);
    return rc;
  }
  p->look_ns = now_of(p);
  *out = p;
  return 0;
}

void lsi_http_pump_destroy(struct lsi_http_pump *p) {
  if (!p) return;
  p->ops->destroy(p->wire);
  lsi_http_origins_clear(&p->origins);
  lsi_free(p);
}

struct lsi_http_origins *lsi_http_pump_origins(struct lsi_http_pump *p) {
  return &p->origins;
}

bool lsi_http_pump_passes(struct lsi_http_pump *p, uint64_t until_ns) {
  if (!p->ops->wait) return false;
  p->ops->wait(p->wire, until_ns);
  return true;
}
