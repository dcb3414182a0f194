/* The simulated transport: its replies are what their heads say, its faults what wire_sim.h says, its time is
 * its own, the seed decides, and it notices what its owner does wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "asked.h"
#include "ground/mem.h"
#include "test/wire_sim.h"

#define SIZE 100000
#define MS UINT64_C(1000000)

static const struct lsi_wire_ops *const ops = &lsi_wire_sim;
static struct lsi_wire_sim_object objects[] = {{"/a", SIZE, 1, false}, {"/gone", 5, 1, true}, {"/empty", 0, 1, false}};
static struct lsi_wire_sim sim;
static struct lsi_wire *wire;
static struct lsi_wire_sim_plan ordered; /* of the next requests */

static uint8_t byte_of_a(uint64_t offset) { return lsi_wire_sim_byte(&sim, 0, 1, offset); }

static void order(void *user, const struct lsi_wire_sim_ask *ask, struct lsi_wire_sim_plan *plan) {
  (void)user, (void)ask;
  *plan = ordered;
}

static void make(uint64_t seed, uint32_t requests) {
  const struct lsi_wire_config config = {.requests = requests, .connect_ms = 3100, .user = &sim};
  sim = (struct lsi_wire_sim){.seed = seed, .objects = objects, .n_objects = 3};
  assert_int_equal(ops->create(&config, &wire, NULL), 0);
}

static int begin(void **state) {
  (void)state;
  objects[0].version = 1;
  ordered = (struct lsi_wire_sim_plan){.status = 500};
  make(7, 8);
  sim.script = order;
  return 0;
}

static int finish(void **state) {
  (void)state;
  ops->destroy(wire);
  assert_int_equal(lsi_mem_live(), 0);
  return 0;
}

static void turn(uint64_t until) {
  ops->wait(wire, until);
  struct pollfd p = {.fd = ops->fd(wire), .events = POLLIN};
  const bool due = poll(&p, 1, 0) == 1 || ops->next_ns(wire) <= ops->now_ns(wire);
  const int ended = ops->run(wire, NULL);
  assert_true(ended >= 0 && (due || !ended)); /* nothing happens that was not told */
}

static void ask(struct asked *a) {
  assert_true(ops->start(wire, &a->request));
  while (!a->ends) turn(UINT64_MAX);
}

static void get(struct asked *a, const char *url) {
  asked_get(a, url);
  ask(a);
}

static void range(struct asked *a, uint64_t offset, uint64_t length) {
  asked_range(a, "https://host/a?x=1", offset, length, byte_of_a);
  ask(a);
}

/* -- replies -- */

static void test_honest_replies(void **state) {
  (void)state;
  struct asked a;
  for (int i = 0; i < 2; i++) {
    range(&a, 777, 50000);
    assert_int_equal(a.end.code, LSI_WIRE_DONE);
    assert_int_equal(a.status, 206);
    assert_string_equal(a.content_range, "bytes 777-50776/100000");
    assert_string_equal(a.length, "50000");
    assert_string_equal(a.etag, "\"0-1\"");
    assert_string_equal(a.tls, "TLSv1.3");
    assert_int_equal(a.got, 50000);
    assert_int_equal(a.wrong, 0);
    assert_true(a.pieces > 3);
    assert_int_equal(a.end.reused, i);
  }
  range(&a, SIZE - 3, 10);
  assert_string_equal(a.content_range, "bytes 99997-99999/100000");
  assert_int_equal(a.got, 3);
  range(&a, SIZE, 10);
  assert_int_equal(a.status, 416);
  assert_string_equal(a.content_range, "bytes */100000");
  asked_range(&a, "http://host/a", 0, 1, byte_of_a);
  snprintf(a.range, sizeof a.range, "Range: bytes=-4");
  a.offset = SIZE - 4;
  ask(&a);
  assert_int_equal(a.got, 4);
  assert_int_equal(a.wrong, 0);
  get(&a, "http://host/a");
  assert_int_equal(a.status, 200);
  assert_int_equal(a.got, SIZE);
  assert_string_equal(a.content_range, "-");
  get(&a, "http://host/empty");
  assert_int_equal(a.status, 200);
  assert_string_equal(a.length, "0");
  get(&a, "http://host/gone");
  assert_int_equal(a.status, 404);
  get(&a, "http://host/else");
  assert_int_equal(a.status, 404);
  assert_int_equal(ops->connections(wire), 1);
}

static void test_heads_only_and_versions(void **state) {
  (void)state;
  struct asked a;
  asked_get(&a, "http://host/a");
  a.request.method = "HEAD";
  ask(&a);
  assert_int_equal(a.status, 200);
  assert_string_equal(a.length, "100000");
  assert_int_equal(a.got, 0);
  for (int i = 0; i < 2; i++) {
    asked_range(&a, "http://host/a", 5, 5, byte_of_a);
    a.headers[1] = "If-Match: \"0-1\"";
    objects[0].version = 1 + (uint64_t)i;
    ask(&a);
    assert_int_equal(a.status, i ? 412 : 206);
    assert_int_equal(a.wrong != 0, i);
  }
  objects[0].version = 1;
}

static void test_refusals(void **state) {
  (void)state;
  struct asked a;
  asked_get(&a, "http://host/a");
  a.refuse_head = true;
  ask(&a);
  assert_int_equal(a.end.code, LSI_WIRE_REFUSED);
  assert_int_equal(a.got, 0);
  asked_get(&a, "http://host/a");
  a.refuse_at = 50000;
  ask(&a);
  assert_int_equal(a.end.code, LSI_WIRE_REFUSED);
  assert_in_range(a.got, 50000, 70000);
  get(&a, "http://host/empty");
  assert_false(a.end.reused); /* what was refused is closed */
  assert_int_equal(ops->connections(wire), 3);
}

/* -- faults: of a request for [1000, 2000) -- */

static void with(struct asked *a, enum lsi_wire_sim_fault fault) {
  ordered.fault = fault;
  ordered.at = 300;
  range(a, 1000, 1000);
  ordered.fault = LSI_WIRE_SIM_NONE;
}

static void test_what_never_gets_a_head(void **state) {
  (void)state;
  static const struct {
    enum lsi_wire_sim_fault fault;
    enum lsi_wire_code code;
    int os_code;
  } table[] = {
      {LSI_WIRE_SIM_NO_NAME, LSI_WIRE_NO_NAME, 0},       {LSI_WIRE_SIM_NO_HOST, LSI_WIRE_NO_HOST, ECONNREFUSED},
      {LSI_WIRE_SIM_LATE, LSI_WIRE_LATE, 0},             {LSI_WIRE_SIM_UNTRUSTED, LSI_WIRE_UNTRUSTED, 0},
      {LSI_WIRE_SIM_NO_TLS, LSI_WIRE_NO_TLS, 0},         {LSI_WIRE_SIM_PROXY, LSI_WIRE_PROXY, 0},
      {LSI_WIRE_SIM_NO_MEMORY, LSI_WIRE_NO_MEMORY, 0},   {LSI_WIRE_SIM_CLOSED, LSI_WIRE_CLOSED, 0},
      {LSI_WIRE_SIM_RESET, LSI_WIRE_CLOSED, ECONNRESET}, {LSI_WIRE_SIM_GARBLED, LSI_WIRE_GARBLED, 0},
  };
  (void)state;
  for (size_t i = 0; i < LSI_COUNTOF(table); i++) {
    struct asked a;
    with(&a, table[i].fault);
    assert_int_equal(a.end.code, table[i].code);
    assert_int_equal(a.end.os_code, table[i].os_code);
    assert_int_equal(a.heads, 0);
  }
}

static void test_other_statuses(void **state) {
  (void)state;
  struct asked a;
  with(&a, LSI_WIRE_SIM_STATUS);
  assert_int_equal(a.status, 500);
  assert_memory_equal(a.body, "<Error>", 7);
  ordered.status = 503;
  ordered.retry_after = "7";
  with(&a, LSI_WIRE_SIM_BUSY);
  assert_int_equal(a.status, 503);
  assert_string_equal(a.retry_after, "7");
  with(&a, LSI_WIRE_SIM_ERROR_200);
  assert_int_equal(a.status, 200);
  assert_memory_equal(a.body, "<Error>", 7);
  with(&a, LSI_WIRE_SIM_REDIRECT);
  assert_int_equal(a.status, 307);
  assert_memory_equal(a.location, "https://host/a?moved=", 21);
  ordered.location = "http://other/b";
  with(&a, LSI_WIRE_SIM_REDIRECT);
  assert_string_equal(a.location, "http://other/b");
}

static void test_heads_that_are_wrong(void **state) {
  static const struct {
    enum lsi_wire_sim_fault fault;
    int status;
    const char *range, *length, *etag;
    uint64_t got, from;
  } table[] = {
      {LSI_WIRE_SIM_WHOLE, 200, "-", "100000", "\"0-1\"", SIZE, 0},
      {LSI_WIRE_SIM_RANGE_OTHER, 206, "bytes 1001-2000/100000", "1000", "\"0-1\"", 1000, 1001},
      {LSI_WIRE_SIM_RANGE_LESS, 206, "bytes 1000-1300/100000", "301", "\"0-1\"", 301, 1000},
      {LSI_WIRE_SIM_RANGE_NONE, 206, "-", "1000", "\"0-1\"", 1000, 1000},
      {LSI_WIRE_SIM_RANGE_STAR, 206, "bytes 1000-1999/*", "1000", "\"0-1\"", 1000, 1000},
      {LSI_WIRE_SIM_RANGE_BAD, 206, "bytes=1000-1999/100000", "1000", "\"0-1\"", 1000, 1000},
      {LSI_WIRE_SIM_TOTAL_OTHER, 206, "bytes 1000-1999/100001", "1000", "\"0-1\"", 1000, 1000},
      {LSI_WIRE_SIM_LENGTH_NONE, 206, "bytes 1000-1999/100000", "-", "\"0-1\"", 1000, 1000},
      {LSI_WIRE_SIM_LENGTH_OTHER, 206, "bytes 1000-1999/100000", "1001", "\"0-1\"", 1001, 1000},
      {LSI_WIRE_SIM_LENGTH_TWICE, 206, "bytes 1000-1999/100000", "1000", "\"0-1\"", 1000, 1000},
      {LSI_WIRE_SIM_ENCODED, 206, "bytes 1000-1999/100000", "1000", "\"0-1\"", 1000, 1000},
      {LSI_WIRE_SIM_MULTIPART, 206, "-", "1000", "\"0-1\"", 1000, 1000},
      {LSI_WIRE_SIM_ETAG_NONE, 206, "bytes 1000-1999/100000", "1000", "-", 1000, 1000},
      {LSI_WIRE_SIM_ETAG_WEAK, 206, "bytes 1000-1999/100000", "1000", "W/\"0-1\"", 1000, 1000},
      {LSI_WIRE_SIM_ETAG_OTHER, 206, "bytes 1000-1999/100000", "1000", "\"0-2\"", 1000, 1000},
      {LSI_WIRE_SIM_MORE, 206, "bytes 1000-1999/100000", "-", "\"0-1\"", 1001, 1000},
      {LSI_WIRE_SIM_TRICKLE, 206, "bytes 1000-1999/100000", "1000", "\"0-1\"", 1000, 1000},
  };
  (void)state;
  for (size_t i = 0; i < LSI_COUNTOF(table); i++) {
    struct asked a;
    asked_range(&a, "https://host/a", 1000, 1000, byte_of_a);
    a.offset = table[i].from;
    ordered = (struct lsi_wire_sim_plan){.fault = table[i].fault, .at = 300};
    ask(&a);
    assert_int_equal(a.end.code, LSI_WIRE_DONE);
    assert_int_equal(a.status, table[i].status);
    assert_string_equal(a.content_range, table[i].range);
    assert_string_equal(a.length, table[i].length);
    assert_string_equal(a.etag, table[i].etag);
    assert_int_equal(a.got, table[i].got);
    assert_int_equal(a.wrong != 0, table[i].fault == LSI_WIRE_SIM_ETAG_OTHER);
    assert_int_equal(a.repeated, table[i].fault == LSI_WIRE_SIM_LENGTH_TWICE);
    assert_string_equal(a.encoding, table[i].fault == LSI_WIRE_SIM_ENCODED ? "gzip" : "-");
    if (table[i].fault == LSI_WIRE_SIM_TRICKLE) assert_int_equal(a.pieces, 1000);
  }
}

static void test_bodies_that_end_early(void **state) {
  static const struct {
    enum lsi_wire_sim_fault fault;
    enum lsi_wire_code code;
    int os_code;
    const char *length;
  } table[] = {{LSI_WIRE_SIM_SHORT, LSI_WIRE_BROKEN, 0, "1000"},
               {LSI_WIRE_SIM_SHORT_CLEAN, LSI_WIRE_DONE, 0, "-"},
               {LSI_WIRE_SIM_BODY_RESET, LSI_WIRE_BROKEN, ECONNRESET, "1000"}};
  (void)state;
  for (size_t i = 0; i < LSI_COUNTOF(table); i++) {
    struct asked a;
    with(&a, table[i].fault);
    assert_int_equal(a.end.code, table[i].code);
    assert_int_equal(a.end.os_code, table[i].os_code);
    assert_string_equal(a.length, table[i].length);
    assert_int_equal(a.got, 300);
    assert_int_equal(a.wrong, 0);
  }
}

/* -- time -- */

static void test_time_is_virtual(void **state) {
  (void)state;
  struct asked a;
  const uint64_t start = ops->now_ns(wire);
  ordered = (struct lsi_wire_sim_plan){.connect_ns = 20 * MS, .latency_ns = 30 * MS, .bytes_per_s = 1000000};
  range(&a, 0, 50000);
  assert_in_range(ops->now_ns(wire) - start, 100 * MS, 101 * MS);
  ordered.latency_ns = 0;
  asked_range(&a, "http://host/a", 0, 1, byte_of_a);
  a.request.fresh = true;
  assert_true(ops->start(wire, &a.request));
  lsi_wire_sim_advance(wire, 19 * MS);
  assert_int_equal(ops->run(wire, NULL), 0);
  assert_int_equal(a.heads, 0);
  lsi_wire_sim_advance(wire, MS);
  ops->run(wire, NULL);
  assert_int_equal(a.heads, 1);
  ops->drop(wire, &a.request);
  assert_int_equal(lsi_wire_sim_busy(wire), 0);
}

static void test_late_by_its_timer_and_silent_for_ever(void **state) {
  static const enum lsi_wire_sim_fault faults[] = {LSI_WIRE_SIM_LATE, LSI_WIRE_SIM_SILENT, LSI_WIRE_SIM_STALL};
  (void)state;
  for (size_t i = 0; i < LSI_COUNTOF(faults); i++) {
    struct asked a;
    const uint64_t start = ops->now_ns(wire);
    asked_range(&a, "http://host/a", 0, 1000, byte_of_a);
    ordered = (struct lsi_wire_sim_plan){.fault = faults[i], .at = 300};
    assert_true(ops->start(wire, &a.request));
    assert_int_equal(ops->next_ns(wire), i ? UINT64_MAX : start + 3100 * MS);
    while (!a.ends && ops->now_ns(wire) < start + 3600000 * MS) turn(start + 3600000 * MS);
    assert_int_equal(a.ends, i == 0);
    assert_int_equal(a.heads, i == 2);
    assert_int_equal(a.got, i == 2 ? 300 : 0);
    if (i) ops->drop(wire, &a.request);
  }
}

/* -- the seed -- */

static uint64_t events; /* a hash of all that was told, and when */

static void note(struct asked *a) {
  const uint64_t told[] = {(uint64_t)a->heads, (uint64_t)a->status, a->got, a->pieces, (uint64_t)a->end.code,
                           ops->now_ns(wire)};
  for (size_t i = 0; i < LSI_COUNTOF(told); i++) events = (events ^ told[i]) * 0x100000001b3u;
}

/* Requests with all faults and drops. Bytes that an honest head tells of are right. */
static void play(uint64_t seed) {
  static struct asked list[300];
  make(seed, 16);
  for (int i = 1; i < LSI_WIRE_SIM_FAULT_COUNT; i++) sim.chance[i] = 15;
  sim.connect_ns = 30 * MS;
  sim.latency_ns = 30 * MS;
  sim.bytes_per_s = 100000000;
  events = 0;
  uint64_t rng = seed;
  for (size_t i = 0; i < LSI_COUNTOF(list); i++) {
    struct asked *a = &list[i];
    rng = rng * 6364136223846793005u + 1;
    asked_range(a, "https://host/a", (rng >> 33) % SIZE, 1 + (rng >> 40) % 5000, byte_of_a);
    a->then = note;
    while (!ops->start(wire, &a->request)) {
      for (size_t k = 0; lsi_wire_sim_busy(wire) == 16 && k < i; k++) { /* who waits for 5 s goes */
        if (!list[k].request.priv || ops->now_ns(wire) < list[k].offset % 7 * 1000 * MS) continue;
        ops->drop(wire, &list[k].request);
      }
      turn(ops->now_ns(wire) + 500 * MS);
    }
  }
  while (lsi_wire_sim_busy(wire)) {
    const uint64_t before = ops->now_ns(wire);
    turn(before + 10000 * MS);
    for (size_t i = 0; ops->now_ns(wire) - before == 10000 * MS && i < LSI_COUNTOF(list); i++)
      if (list[i].request.priv) ops->drop(wire, &list[i].request);
  }
  for (size_t i = 0; i < LSI_COUNTOF(list); i++) {
    const struct asked *a = &list[i];
    char expected[64];
    snprintf(expected, sizeof expected, "bytes %" PRIu64 "-", a->offset);
    const bool honest = a->status == 206 && strncmp(a->content_range, expected, strlen(expected)) == 0 &&
                        strcmp(a->etag, "\"0-1\"") == 0;
    if (honest && a->wrong) fail_msg("seed %" PRIu64 ": wrong bytes of request %zu", seed, i);
  }
  assert_int_equal(sim.requests, LSI_COUNTOF(list));
  ops->destroy(wire);
}

static void test_the_seed_decides(void **state) {
  (void)state;
  uint64_t other = 0, faults = 0;
  for (uint64_t seed = 1; seed <= 60; seed++) {
    play(seed);
    const uint64_t first = events;
    for (int i = 1; i < LSI_WIRE_SIM_FAULT_COUNT; i++) faults |= (uint64_t)!!sim.faults[i] << i;
    if (seed % 10 == 0) play(seed);
    if (events != first) fail_msg("seed %" PRIu64 " does not decide", seed);
    assert_true(events != other);
    other = events;
  }
  assert_int_equal(faults, (UINT64_C(1) << LSI_WIRE_SIM_FAULT_COUNT) - 2);
}

/* -- its owner's mistakes -- */

static struct asked one;

static bool run_within(void *user, const struct lsi_wire_head *head) {
  (void)user, (void)head;
  return ops->run(wire, NULL) == 0;
}
static bool drop_within(void *user, const void *data, size_t n) {
  (void)data, (void)n;
  ops->drop(wire, &((struct asked *)user)->request);
  return true;
}
static void destroy_within(void *user, const struct lsi_wire_end *end) {
  (void)user, (void)end;
  ops->destroy(wire);
}

static void mistake(int i) {
  asked_get(&one, "http://host/a");
  if (i == 0) one.request.url = "http://me:secret@host/a";
  if (i == 1) one.request.url = "http://host/a b";
  if (i == 2) one.request.url = "http://host/a#b";
  if (i == 3) one.request.url = "s3://host/a";
  if (i == 4) one.request.method = "PUT";
  if (i == 5) one.headers[0] = "Range: bytes=0-1\r\nX: y";
  if (i == 6) one.request.body = NULL;
  if (i == 7) ops->drop(wire, &one.request);
  if (i == 8) one.request.head = run_within;
  if (i == 9) one.request.body = drop_within;
  if (i == 10) one.request.end = destroy_within;
  if (i == 11) ordered.fault = LSI_WIRE_SIM_SILENT; /* waits for it without a limit */
  ops->start(wire, &one.request);
  if (i == 12) ops->start(wire, &one.request);
  if (i == 13) one.url[8] = 'x';
  if (i == 14) one.request.priv = NULL;
  while (!one.ends) turn(UINT64_MAX);
  if (i == 15) ops->drop(wire, &one.request);
}
#define MISTAKES 16

static void test_mistakes_are_noticed(void **state) {
  (void)state;
  for (int i = 0; i <= MISTAKES; i++) {
    const pid_t child = fork();
    if (child == 0) {
      if (!freopen("/dev/null", "w", stderr)) _exit(2);
      signal(SIGABRT, SIG_DFL);
      mistake(i);
      _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    const bool noticed = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    if (noticed != (i < MISTAKES)) fail_msg("mistake %d: status %d", i, status);
  }
}

static void test_no_memory_no_world(void **state) {
  (void)state;
  struct lsi_wire *w;
  const struct lsi_wire_config none = {.requests = 1};
  const struct lsi_wire_config config = {.requests = 1, .user = &sim};
  assert_int_equal(ops->create(&none, &w, NULL), LSIO_ERR_UNSUPPORTED);
  for (uint64_t nth = 1; nth <= 2; nth++) {
    lsi_mem_fail_nth(nth, false);
    assert_int_equal(ops->create(&config, &w, NULL), LSIO_ERR_NOMEM);
  }
  lsi_mem_fail_nth(0, false);
}

#define WORLD(name) cmocka_unit_test_setup_teardown(name, begin, finish)

int main(void) {
  static const struct CMUnitTest tests[] = {
      WORLD(test_honest_replies),
      WORLD(test_heads_only_and_versions),
      WORLD(test_refusals),
      WORLD(test_what_never_gets_a_head),
      WORLD(test_other_statuses),
      WORLD(test_heads_that_are_wrong),
      WORLD(test_bodies_that_end_early),
      WORLD(test_time_is_virtual),
      WORLD(test_late_by_its_timer_and_silent_for_ever),
      cmocka_unit_test(test_the_seed_decides),
      WORLD(test_mistakes_are_noticed),
      WORLD(test_no_memory_no_world),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
