#include "test/wire_sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/mem.h"
#include "seams/os.h"
#include "test/wire_sim_reply.h"

#define PIECE_MAX 16384u
#define NEVER UINT64_MAX
#define START_NS 1000000000u /* virtual time does not begin with 0, which may mean "never" to who asks */

enum stage { TO_HEAD, TO_BODY, TO_END };

struct slot {
  struct lsi_wire_request *request; /* NULL: free */
  enum stage stage;
  bool timer;          /* told by next_ns */
  bool reused, connected, refused;
  uint64_t due, tie;   /* when it goes on, or NEVER; what is due at one time goes on in random order */
  uint64_t told;       /* bytes of the body */
  uint64_t mark;       /* of what its owner may not change */
  struct lsi_wire_sim_plan plan;
  struct lsi_wire_sim_reply reply;
};

struct lsi_wire {
  struct lsi_wire_sim *sim;
  uint64_t rng, now, connections;
  uint64_t connect_ns; /* at most */
  uint32_t n, busy;    /* slots, and how many of them have a request */
  uint32_t idle;       /* connections that may be used again */
  uint32_t piece_max;
  int bell;
  bool rung;
  enum { OUTSIDE, TELLING, ENDING } within; /* a hook */
  bool running;
  uint8_t *piece;
  struct slot slots[];
};

static uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static uint64_t draw(struct lsi_wire *w, uint64_t n) {
  return n ? mix(w->rng += 0x9e3779b97f4a7c15u) % n : 0;
}

static void violated(const struct lsi_wire *w, const char *what) {
  fprintf(stderr, "wire_sim, seed %" PRIu64 ": %s\n", w->sim->seed, what);
  abort();
}

static void check(const struct lsi_wire *w, bool good, const char *what) {
  if (!good) violated(w, what);
}

/* -- what its owner does -- */

static uint64_t hash_text(uint64_t h, const char *text) {
  for (; *text; text++) h = (h ^ (uint8_t)*text) * 0x100000001b3u;
  return h ^ (uintptr_t)text;
}

static uint64_t mark_of(const struct lsi_wire_request *r) {
  uint64_t h = hash_text(hash_text(0xcbf29ce484222325u, r->method), r->url) ^ (uintptr_t)r->user;
  for (const char *const *x = r->headers; x && *x; x++) h = hash_text(h, *x);
  return h ^ mix((uintptr_t)r->priv) ^ r->fresh;
}

static bool good_url(const char *url) {
  const char *host = strstr(url, "://");
  if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) return false;
  for (const char *c = url; *c; c++)
    if (*c <= ' ' || *c == 0x7f || *c == '#') return false;
  return !memchr(host + 3, '@', strcspn(host + 3, "/?"));
}

static bool good_headers(const char *const *headers) {
  for (; headers && *headers; headers++) {
    const size_t name = strcspn(*headers, ":\r\n \t");
    if (!name || (*headers)[name] != ':' || strpbrk(*headers, "\r\n")) return false;
  }
  return true;
}

static struct slot *slot_of(struct lsi_wire *w, const struct lsi_wire_request *r) {
  for (uint32_t i = 0; i < w->n; i++)
    if (w->slots[i].request == r) return &w->slots[i];
  return NULL;
}

static void check_request(struct lsi_wire *w, const struct lsi_wire_request *r) {
  check(w, w->within != TELLING, "a start from within `head` or `body`");
  check(w, !slot_of(w, r), "a start of a request that is under way");
  check(w, r->method && (!strcmp(r->method, "GET") || !strcmp(r->method, "HEAD")), "no GET and no HEAD");
  check(w, r->url && good_url(r->url), "a URL that is none, or has userinfo, a fragment or blanks");
  check(w, good_headers(r->headers), "a header that is none");
  check(w, r->head && r->body && r->end, "a request without hooks");
}

/* -- time -- */

static uint64_t sim_now(const struct lsi_wire *w) { return w->sim->by_clock ? lsi_os_now_ns() : w->now; }

static uint64_t earliest(const struct lsi_wire *w, bool timers_only) {
  uint64_t due = NEVER;
  for (uint32_t i = 0; i < w->n; i++)
    if (w->slots[i].request && (w->slots[i].timer || !timers_only)) due = LSI_MIN(due, w->slots[i].due);
  return due;
}

static void ring(struct lsi_wire *w) {
  const bool due = earliest(w, false) <= sim_now(w);
  if (due && !w->rung) lsi_os_bell_ring(w->bell);
  if (!due && w->rung) lsi_os_bell_clear(w->bell);
  w->rung = due;
}

void lsi_wire_sim_advance(struct lsi_wire *w, uint64_t ns) {
  check(w, !w->sim->by_clock, "time is the machine's");
  w->now += ns;
  ring(w);
}

static void sim_wait(struct lsi_wire *w, uint64_t until_ns) {
  check(w, w->within == OUTSIDE, "a wait from within a hook");
  const uint64_t then = LSI_MIN(until_ns, earliest(w, false)), now = sim_now(w);
  check(w, then != NEVER, "a wait for what never comes");
  if (w->sim->by_clock && then > now) lsi_os_sleep_ns(then - now);
  w->now = LSI_MAX(w->now, then);
  ring(w);
}

static uint64_t sim_next(const struct lsi_wire *w) {
  check(w, w->within != TELLING, "next_ns from within `head` or `body`");
  return earliest(w, !w->sim->by_clock);
}

/* -- its life -- */

static int sim_create(const struct lsi_wire_config *config, struct lsi_wire **out, struct lsi_error *err) {
  struct lsi_wire_sim *sim = config->user;
  if (!sim) return lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "the simulated transport is for LSIO's own tests");
  const uint32_t n = LSI_MAX(1u, config->requests);
  struct lsi_wire *w = lsi_calloc(1, sizeof *w + n * sizeof w->slots[0]);
  const uint32_t piece_max = sim->piece_max ? sim->piece_max : PIECE_MAX;
  if (w) w->piece = lsi_malloc(piece_max);
  const int rc = w && w->piece ? lsi_os_bell_create(&w->bell) : 0;
  if (!w || !w->piece || rc) {
    if (w) lsi_free(w->piece);
    lsi_free(w);
    return rc ? lsi_fail(err, LSIO_ERR_IO, rc, "no descriptor for the simulated transport")
              : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the simulated transport");
  }
  w->sim = sim;
  w->n = n;
  w->piece_max = piece_max;
  w->connect_ns = config->connect_ms * UINT64_C(1000000);
  w->rng = mix(sim->seed + sim->wires++ * 1000003u);
  w->now = START_NS;
  *out = w;
  return 0;
}

static void sim_destroy(struct lsi_wire *w) {
  check(w, w->within == OUTSIDE && !w->running, "destroyed from within a hook");
  lsi_os_bell_destroy(w->bell);
  lsi_free(w->piece);
  lsi_free(w);
}

/* -- requests -- */

static enum lsi_wire_sim_fault draw_fault(struct lsi_wire *w) {
  uint64_t at = draw(w, 1000);
  for (int i = 1; i < LSI_WIRE_SIM_FAULT_COUNT; i++) {
    if (at < w->sim->chance[i]) return (enum lsi_wire_sim_fault)i;
    at -= w->sim->chance[i];
  }
  return LSI_WIRE_SIM_NONE;
}

static void draw_plan(struct lsi_wire *w, const struct lsi_wire_sim_ask *ask,
                      struct lsi_wire_sim_plan *plan) {
  static const int statuses[] = {304, 400, 401, 403, 404, 408, 412, 416, 429, 500, 502, 503, 504};
  static const char *const waits[] = {NULL, NULL, "0", "1", "3", "60", "1000000000", "-1", "soon",
                                      "Tue, 01 Dec 2026 12:00:05 GMT", "Mon, 30 Nov 2026 12:00:00 GMT"};
  *plan = (struct lsi_wire_sim_plan){
      .fault = draw_fault(w),
      .connect_ns = draw(w, w->sim->connect_ns + 1),
      .latency_ns = draw(w, w->sim->latency_ns + 1),
      .bytes_per_s = w->sim->bytes_per_s,
      .at = draw(w, ask->length + 1),
      .status = statuses[draw(w, LSI_COUNTOF(statuses))],
      .retry_after = waits[draw(w, LSI_COUNTOF(waits))],
  };
  if (plan->fault == LSI_WIRE_SIM_BUSY) plan->status = draw(w, 2) ? 429 : 503;
  if (w->sim->script) w->sim->script(w->sim->user, ask, plan);
}

/* When it goes on first: it is late by its own timer, all else comes over a connection. */
static void set_out(struct lsi_wire *w, struct slot *s) {
  const enum lsi_wire_sim_fault fault = s->plan.fault;
  const bool unconnected = fault >= LSI_WIRE_SIM_NO_NAME && fault <= LSI_WIRE_SIM_NO_MEMORY;
  s->reused = w->idle && !s->request->fresh && !unconnected;
  if (s->reused) w->idle--;
  s->timer = fault == LSI_WIRE_SIM_LATE;
  uint64_t in = s->timer ? w->connect_ns : s->reused ? 0 : s->plan.connect_ns;
  s->connected = s->reused;
  if (!unconnected) in += s->plan.latency_ns;
  s->due = fault == LSI_WIRE_SIM_SILENT ? NEVER : lsi_sat_add(sim_now(w), in);
}

static bool sim_start(struct lsi_wire *w, struct lsi_wire_request *r) {
  check_request(w, r);
  struct slot *s = slot_of(w, NULL);
  if (!s) return false;
  struct lsi_wire_sim_ask ask;
  *s = (struct slot){.request = r, .tie = draw(w, NEVER)};
  w->busy++;
  r->priv = s;
  lsi_wire_sim_understand(w->sim, r, &ask);
  ask.nth = w->sim->requests++;
  draw_plan(w, &ask, &s->plan);
  if (s->plan.connect_ns > w->connect_ns && !w->idle) s->plan.fault = LSI_WIRE_SIM_LATE;
  w->sim->faults[s->plan.fault]++;
  lsi_wire_sim_answer(w->sim, &ask, &s->plan, &s->reply);
  set_out(w, s);
  s->mark = mark_of(r);
  ring(w);
  return true;
}

static void free_slot(struct lsi_wire *w, struct slot *s) {
  w->busy--;
  s->request->priv = NULL;
  memset(s, 0xdd, sizeof *s); /* what was valid during a call is so no more */
  s->request = NULL;
}

static void sim_drop(struct lsi_wire *w, struct lsi_wire_request *r) {
  check(w, w->within != TELLING, "a drop from within `head` or `body`");
  struct slot *s = slot_of(w, r);
  check(w, s != NULL, "a drop of what is not under way");
  w->sim->dropped++;
  free_slot(w, s);
  ring(w);
}

uint32_t lsi_wire_sim_busy(const struct lsi_wire *w) { return w->busy; }

/* -- what comes -- */

/* Some microseconds of nothing lie in front of one piece in four, so that they come by several runs. */
static void go_on(struct lsi_wire *w, struct slot *s, enum stage stage, uint64_t bytes) {
  const uint64_t rate = s->plan.bytes_per_s;
  const uint64_t takes = rate ? lsi_sat_mul(bytes, 1000000000) / rate : 0;
  s->stage = stage;
  s->tie = draw(w, NEVER);
  s->due = lsi_sat_add(sim_now(w), takes + (draw(w, 4) ? 0 : draw(w, 5000)));
}

static void after(struct lsi_wire *w, struct slot *s, bool wanted, uint64_t bytes) {
  s->refused = !wanted;
  if (wanted && s->told < s->reply.body)
    go_on(w, s, TO_BODY, bytes);
  else if (wanted && s->reply.silent)
    s->due = NEVER;
  else
    go_on(w, s, TO_END, bytes);
}

static void tell_head(struct lsi_wire *w, struct slot *s) {
  if (!s->connected) w->connections++;
  s->connected = true;
  w->within = TELLING;
  const bool wanted = s->request->head(s->request->user, &s->reply.head);
  w->within = OUTSIDE;
  memset(&s->reply.head, 0xdd, sizeof s->reply.head);
  memset(s->reply.range, 0xdd, sizeof s->reply.range);
  memset(s->reply.etag, 0xdd, sizeof s->reply.etag);
  memset(s->reply.length, 0xdd, sizeof s->reply.length);
  memset(s->reply.location, 0xdd, sizeof s->reply.location);
  after(w, s, wanted, 0);
}

static void tell_body(struct lsi_wire *w, struct slot *s) {
  const uint64_t left = s->reply.body - s->told;
  uint64_t n = LSI_MIN(left, w->piece_max);
  if (s->plan.fault == LSI_WIRE_SIM_TRICKLE) n = 1;
  if (n > 1 && draw(w, 2)) n = 1 + draw(w, n - 1);
  lsi_wire_sim_fill(w->sim, &s->reply, s->told, w->piece, n);
  s->told += n;
  w->sim->bytes += n;
  w->within = TELLING;
  const bool wanted = s->request->body(s->request->user, w->piece, n);
  w->within = OUTSIDE;
  memset(w->piece, 0xdd, n);
  after(w, s, wanted, n);
}

static void tell_end(struct lsi_wire *w, struct slot *s) {
  struct lsi_wire_request *r = s->request;
  const struct lsi_wire_sim_reply *p = &s->reply;
  const bool unconnected = s->plan.fault >= LSI_WIRE_SIM_NO_NAME && s->plan.fault <= LSI_WIRE_SIM_NO_MEMORY;
  char text[64], address[32] = "", tls[16] = "";
  snprintf(text, sizeof text, "%s", s->refused ? "" : p->text);
  if (!unconnected) snprintf(address, sizeof address, "192.0.2.%d:443", 1 + (int)draw(w, 4));
  if (!unconnected && strncmp(r->url, "https", 5) == 0) snprintf(tls, sizeof tls, "TLSv1.3");
  if (!unconnected && !s->connected) w->connections++;
  if (!p->closes && s->told == p->body) w->idle++;
  struct lsi_wire_end end = {
      .code = s->refused ? LSI_WIRE_REFUSED : p->code,
      .os_code = s->refused ? 0 : p->os_code,
      .reused = s->reused,
      .body = s->told,
      .wire = s->told + (p->headless ? 0 : 200),
      .text = text,
      .address = address,
      .tls = tls,
  };
  free_slot(w, s); /* which the hook may want */
  w->within = ENDING;
  r->end(r->user, &end);
  w->within = OUTSIDE;
  memset(text, 0xdd, sizeof text - 1);
  memset(address, 0xdd, sizeof address - 1);
}

static struct slot *next_due(struct lsi_wire *w) {
  struct slot *best = NULL;
  const uint64_t now = sim_now(w);
  for (uint32_t i = 0; i < w->n; i++) {
    struct slot *s = &w->slots[i];
    if (!s->request || s->due > now) continue;
    if (!best || s->due < best->due || (s->due == best->due && s->tie < best->tie)) best = s;
  }
  return best;
}

static int sim_run(struct lsi_wire *w, struct lsi_error *err) {
  (void)err;
  check(w, !w->running && w->within == OUTSIDE, "a run from within a hook");
  w->running = true;
  int ended = 0;
  uint64_t steps = 1 + draw(w, 64); /* what else is due comes by the next run */
  for (struct slot *s; steps-- && (s = next_due(w));) {
    check(w, s->mark == mark_of(s->request), "a request was changed while it was under way");
    if (s->stage == TO_BODY) {
      tell_body(w, s);
    } else if (s->stage == TO_HEAD && !s->reply.headless) {
      tell_head(w, s);
    } else {
      tell_end(w, s);
      ended++;
    }
  }
  w->running = false;
  ring(w);
  return ended;
}

static int sim_fd(const struct lsi_wire *w) { return w->bell; }

static uint64_t sim_connections(const struct lsi_wire *w) { return w->connections; }

const struct lsi_wire_ops lsi_wire_sim = {
    .version = LSI_WIRE_VERSION,
    .name = "sim",
    .create = sim_create,
    .destroy = sim_destroy,
    .start = sim_start,
    .drop = sim_drop,
    .run = sim_run,
    .fd = sim_fd,
    .wait = sim_wait,
    .next_ns = sim_next,
    .now_ns = sim_now,
    .connections = sim_connections,
};
