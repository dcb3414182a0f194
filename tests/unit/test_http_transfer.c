/* Transfers over a simulated network: whatever servers do, each ends once, with the bytes of one version of its
 * object or with an error, and within a bound of time and requests. LSIO_HTTP_SEEDS: how many worlds (300). */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "http/http_transfer.h"
#include "test/wire_sim.h"

#define OBJECTS 4
#define TRANSFERS 60
#define SECOND UINT64_C(1000000000)

static uint64_t state;

static uint64_t rnd(uint64_t n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return n ? (state >> 33) % n : 0;
}

struct world {
  struct lsi_wire_sim sim;
  struct lsi_wire_sim_object objects[OBJECTS];
  struct lsi_http_pump *pump;
  struct lsi_http_object asked[OBJECTS];
  struct lsi_http_transfer transfers[TRANSFERS];
  uint32_t of[TRANSFERS];
  bool done[TRANSFERS];
  char *bytes;
  size_t bytes_n;
};

static const char *const paths[OBJECTS] = {"/a", "/b", "/c", "/gone"};
static const char *const names[OBJECTS] = {"http://h/a", "http://u:p@h/b", "http://other:81/c", "http://h/gone"};

/* Credentials go to the server that they were given for, and nowhere else. */
static void check_credentials(const struct lsi_wire_request *r) {
  bool given = false;
  for (const char *const *h = r->headers; *h; h++) given |= strncmp(*h, "Authorization:", 14) == 0;
  assert_int_equal(given, strncmp(r->url, "http://h/b", 10) == 0);
}

/* Half of the redirects lead to another server. */
static void elsewhere(void *user, const struct lsi_wire_sim_ask *ask, struct lsi_wire_sim_plan *plan) {
  static const char *const places[OBJECTS] = {"http://moved:82/a", "//moved/b", "http://u:p@h/c", "/gone"};
  (void)user;
  check_credentials(ask->request);
  if (plan->fault == LSI_WIRE_SIM_REDIRECT && ask->object >= 0 && ask->nth % 2) plan->location = places[ask->object];
}

static void make_world(struct world *w, uint64_t seed) {
  memset(w, 0, sizeof *w);
  state = seed * 7919;
  w->sim.seed = seed;
  w->sim.objects = w->objects;
  w->sim.n_objects = OBJECTS;
  w->sim.script = elsewhere;
  for (uint32_t i = 0; i < OBJECTS; i++)
    w->objects[i] = (struct lsi_wire_sim_object){.path = paths[i], .size = rnd(5) ? rnd(200000) : rnd(3), .missing = i == 3};
  w->sim.connect_ns = rnd(50000000);
  w->sim.latency_ns = rnd(60000000);
  w->sim.bytes_per_s = rnd(2) ? 0 : 1000000 + rnd(100000000);
  w->sim.piece_max = (uint32_t)rnd(20000);
  const uint64_t much = rnd(3) ? rnd(10) : rnd(25); /* in 1,000 each */
  for (int f = 1; f < LSI_WIRE_SIM_FAULT_COUNT; f++)
    if (rnd(2)) w->sim.chance[f] = (uint32_t)rnd(much + 1);
  struct lsi_http_pump_config c = {.wire = &lsi_wire_sim,
                                   .wire_config = {.requests = 1 + (uint32_t)rnd(30), .connect_ms = LSI_HTTP_CONNECT_MS,
                                                   .user_agent = "test", .user = &w->sim},
                                   .at_once = 1 + (uint32_t)rnd(40), .seed = seed};
  assert_int_equal(lsi_http_pump_create(&c, &w->pump, NULL), 0);
  for (uint32_t i = 0; i < OBJECTS; i++)
    assert_int_equal(lsi_http_object_init(lsi_http_pump_origins(w->pump), &w->asked[i], names[i], NULL), 0);
}

static void ask(struct world *w, uint32_t i) {
  struct lsi_http_transfer *t = &w->transfers[i];
  const uint32_t o = w->of[i] = (uint32_t)rnd(OBJECTS);
  const uint64_t size = w->objects[o].size;
  *t = (struct lsi_http_transfer){.object = &w->asked[o], .user = w};
  if (size < 2 || rnd(10) == 0) {
    t->head = true;
  } else {
    t->first = rnd(size);
    t->length = 1 + rnd(rnd(3) ? size - t->first : size); /* some go beyond the end */
    t->to = w->bytes + i * w->bytes_n;
    memset(t->to, 0x5a, w->bytes_n);
  }
  lsi_http_pump_add(w->pump, t);
}

/* The bytes are those of one version, which is that of all that this object has given. */
static void check(struct world *w, uint32_t i, uint64_t *versions) {
  const struct lsi_http_transfer *t = &w->transfers[i];
  const uint32_t o = w->of[i];
  if (t->head || !t->got) return;
  const uint64_t size = w->objects[o].size;
  const uint64_t want = t->first + t->length <= size ? t->length : size - t->first;
  /* Of a server that says that the object is longer, and sends as much, nobody could know better. */
  if (t->got < want || t->got > t->length) fail_msg("seed %" PRIu64 ": %" PRIu64 " bytes of %" PRIu64, w->sim.seed, t->got, want);
  bool right = false;
  for (uint64_t v = 0; v <= versions[o] && !right; v++) {
    right = true;
    for (uint64_t k = 0; k < t->got && right; k++)
      right = (uint8_t)t->to[k] == lsi_wire_sim_byte(&w->sim, o, v, t->first + k);
  }
  if (!right) fail_msg("seed %" PRIu64 ": transfer %u has bytes of no version", w->sim.seed, i);
  for (size_t k = t->got; k < w->bytes_n; k++)
    if (t->to[k] != 0x5a) fail_msg("seed %" PRIu64 ": something behind the end of transfer %u", w->sim.seed, i);
}

static void one_seed(uint64_t seed, uint64_t *good, uint64_t *bad) {
  static struct world w;
  static char bytes[TRANSFERS * 200000];
  make_world(&w, seed);
  w.bytes = bytes;
  w.bytes_n = 200000;
  uint64_t versions[OBJECTS];
  for (uint32_t i = 0; i < OBJECTS; i++) versions[i] = 3; /* ETAG_OTHER brings the next one */
  uint32_t left = 0;
  for (uint32_t i = 0; i < TRANSFERS; i++, left++) ask(&w, i);
  const uint64_t began = lsi_http_pump_now_ns(w.pump);
  const int64_t cancel = rnd(10) == 0 ? (int64_t)rnd(40) : -1;
  for (int64_t turn = 0; left; turn++) {
    int rc;
    struct lsi_error e;
    lsi_error_clear(&e);
    if (turn == cancel) lsi_http_pump_cancel(w.pump);
    for (struct lsi_http_transfer *t = lsi_http_pump_run(w.pump, &rc, &e), *next; t; t = next) {
      const uint32_t i = (uint32_t)(t - w.transfers);
      next = t->next;
      if (w.done[i]) fail_msg("seed %" PRIu64 ": transfer %u ends twice", seed, i);
      w.done[i] = true;
      left--;
      if (t->code == 0) check(&w, i, versions);
      if (t->code == 0 && w.of[i] == 3 && !t->head) /* 200 and an error is no lie that a HEAD shows */
        fail_msg("seed %" PRIu64 ": there is no such object", seed);
      if (t->code < 0 && t->code != LSIO_ERR_CANCELLED) assert_true(t->why && t->why->code == t->code && t->why->what[0]);
      ++*(t->code == 0 ? good : bad);
      lsi_free(t->why);
    }
    assert_int_equal(rc, 0);
    if (!left) break;
    const uint64_t due = lsi_http_pump_next_ns(w.pump);
        lsi_http_pump_passes(w.pump, LSI_MIN(due, lsi_http_pump_now_ns(w.pump) + SECOND));
    if (lsi_http_pump_now_ns(w.pump) - began > 4000 * SECOND) fail_msg("seed %" PRIu64 ": it takes for ever", seed);
  }
  assert_int_equal(lsi_http_pump_count(w.pump), 0);
  const struct lsi_http_figures f = lsi_http_pump_figures(w.pump);
  if (f.requests != w.sim.requests || f.requests > TRANSFERS * (LSI_HTTP_TRIES * 2 + 12))
    fail_msg("seed %" PRIu64 ": %" PRIu64 " requests", seed, f.requests);
  for (uint32_t i = 0; i < OBJECTS; i++) lsi_http_object_clear(&w.asked[i]);
  lsi_http_pump_destroy(w.pump);
}

static void transfers_end_once_and_right(void **unused) {
  (void)unused;
  const char *seeds = getenv("LSIO_HTTP_SEEDS");
  const uint64_t n = seeds ? strtoull(seeds, NULL, 10) : 300;
  const int64_t live = lsi_mem_live();
  uint64_t good = 0, bad = 0;
  for (uint64_t seed = 1; seed <= n; seed++) one_seed(seed, &good, &bad);
  assert_int_equal(lsi_mem_live(), live);
  assert_true(good > bad && bad > n); /* both are tested */
}

/* Without a fault nothing fails, and nothing is asked twice. */
static void honest_servers(void **unused) {
  (void)unused;
  static struct world w;
  static char bytes[TRANSFERS * 1000];
  make_world(&w, 1);
  w.bytes = bytes;
  memset(w.sim.chance, 0, sizeof w.sim.chance);
  for (uint32_t i = 0; i < TRANSFERS; i++) {
    w.objects[i % 3].size = 100000;
    w.transfers[i] = (struct lsi_http_transfer){.object = &w.asked[i % 3], .first = i * 1000, .length = 1000, .to = bytes + i * 1000};
    lsi_http_pump_add(w.pump, &w.transfers[i]);
  }
  for (uint32_t left = TRANSFERS; left;) {
    int rc;
    for (struct lsi_http_transfer *t = lsi_http_pump_run(w.pump, &rc, NULL); t; t = t->next, left--) {
      const uint32_t i = (uint32_t)(t - w.transfers);
      assert_int_equal(t->code, 0);
      for (uint32_t k = 0; k < 1000; k++)
        assert_int_equal((uint8_t)t->to[k], lsi_wire_sim_byte(&w.sim, i % 3, w.objects[i % 3].version, i * 1000 + k));
    }
    if (left) lsi_http_pump_passes(w.pump, lsi_http_pump_next_ns(w.pump));
  }
  const struct lsi_http_figures f = lsi_http_pump_figures(w.pump);
  assert_true(f.requests == TRANSFERS && !f.retries && !f.throttled && !f.redirects);
  for (uint32_t i = 0; i < OBJECTS; i++) lsi_http_object_clear(&w.asked[i]);
  lsi_http_pump_destroy(w.pump);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(honest_servers),
      cmocka_unit_test(transfers_end_once_and_right),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
