/* The transport over libcurl with many requests at once, with such as never end, and without memory; and that
 * nothing is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "curl_world.h"
#include "ground/mem.h"
#include "seams/os.h"

/* Stands before the C library's, which libcurl finds in the program: a name whose lookup hangs until it is let
 * go. */
static atomic_int held, let_go;
__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **out) {
  if (name && strcmp(name, "hangs.test") == 0) {
    atomic_fetch_add(&held, 1);
    while (!atomic_load(&let_go)) usleep(1000);
    atomic_fetch_sub(&held, 1);
    return EAI_AGAIN;
  }
  int (*other)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  void *found = dlsym(RTLD_NEXT, "getaddrinfo");
  memcpy(&other, &found, sizeof other);
  return other(name, service, hints, out);
}

/* -- many, and none -- */

static struct asked many[200];
static unsigned left;

static void once_more(struct asked *a) {
  if (a->user || !left) return;
  left--;
  const uint64_t offset = a->offset + 12345;
  asked_range(a, world_at("/object"), offset, 30000, tiny_http_byte);
  a->then = once_more;
  assert_true(OPS->start(world_wire, &a->request));
}

static void test_many_at_once_each_begun_by_the_end_of_another(void **state) {
  (void)state;
  OPS->destroy(world_wire);
  world_wire = world_make(&(struct lsi_wire_config){.requests = 200, .connect_ms = 10000, .proxy = ""});
  left = 1000;
  for (size_t i = 0; i < 200; i++) {
    asked_range(&many[i], world_at("/object"), 1000 * i, 30000, tiny_http_byte);
    many[i].then = once_more;
    assert_true(OPS->start(world_wire, &many[i].request));
  }
  struct asked other;
  asked_get(&other, world_at("/busy"));
  assert_false(OPS->start(world_wire, &other.request)); /* it has as many as it may */
  assert_true(asked_wait(OPS, world_wire, many, 200));
  assert_int_equal(left, 0);
  for (size_t i = 0; i < 200; i++) {
    assert_int_equal(many[i].end.code, LSI_WIRE_DONE);
    assert_int_equal(many[i].got, 30000);
    assert_int_equal(many[i].wrong, 0);
  }
  assert_in_range(OPS->connections(world_wire), 1, 200);
  assert_int_equal(world_accepted(), OPS->connections(world_wire));
}

static void instant(void (*call)(struct asked *), struct asked *a) {
  const uint64_t before = lsi_os_now_ns();
  call(a);
  assert_true(lsi_os_now_ns() - before < 400000000);
}

static void drop(struct asked *a) { OPS->drop(world_wire, &a->request); }

static void destroy(struct asked *a) {
  (void)a;
  OPS->destroy(world_wire);
}

/* Of a world_server that says nothing, one that stops in the body, and one that does not cease. */
static void test_drop_and_destroy_are_instant(void **state) {
  static const char *const paths[] = {"/silent", "/stall", "/endless"};
  (void)state;
  for (int by_destroy = 0; by_destroy < 2; by_destroy++) {
    struct asked a[3];
    for (int i = 0; i < 3; i++) {
      asked_get(&a[i], world_at(paths[i]));
      assert_true(OPS->start(world_wire, &a[i].request));
    }
    asked_pass(OPS, world_wire, 50);
    assert_int_equal(a[0].heads + a[1].heads + a[2].heads, 2);
    assert_int_equal(a[1].got, 10);
    for (int i = 0; i < 3 && !by_destroy; i++) instant(drop, &a[i]);
    if (by_destroy) {
      instant(destroy, a);
      world_begin(NULL);
    }
    asked_pass(OPS, world_wire, 20);
    assert_int_equal(a[0].ends + a[1].ends + a[2].ends, 0);
    struct asked next;
    world_get(&next, "/busy");
  }
}

static void test_drop_before_anything_was_sent_and_from_an_end(void **state) {
  (void)state;
  struct asked a, b;
  asked_get(&a, world_at("/object"));
  assert_true(OPS->start(world_wire, &a.request));
  OPS->drop(world_wire, &a.request);
  asked_pass(OPS, world_wire, 20);
  assert_int_equal(a.heads + a.ends, 0);
  asked_get(&a, world_at("/busy"));
  asked_get(&b, world_at("/silent"));
  a.then = drop; /* of itself: it is its owner's again, and nothing happens */
  assert_true(OPS->start(world_wire, &b.request));
  world_ask(&a);
  assert_int_equal(a.ends, 1);
  OPS->drop(world_wire, &b.request);
}

static void test_a_lookup_that_hangs(void **state) {
  (void)state;
  struct asked a, b;
  atomic_store(&let_go, 0);
  asked_get(&a, "http://hangs.test/");
  asked_get(&b, "http://hangs.test/");
  assert_true(OPS->start(world_wire, &a.request));
  asked_pass(OPS, world_wire, 30);
  assert_int_equal(atomic_load(&held), 1);
  struct asked next;
  world_get(&next, "/busy"); /* the others go on */
  instant(drop, &a);
  assert_true(OPS->start(world_wire, &b.request));
  asked_pass(OPS, world_wire, 30);
  instant(destroy, &b);
  world_wire = world_make(&(struct lsi_wire_config){.requests = 1, .connect_ms = 100, .proxy = ""});
  asked_get(&a, "http://hangs.test/");
  assert_true(OPS->start(world_wire, &a.request));
  assert_true(asked_wait(OPS, world_wire, &a, 1));
  assert_int_equal(a.end.code, LSI_WIRE_LATE);
  atomic_store(&let_go, 1);
  while (atomic_load(&held)) usleep(1000);
  usleep(50000); /* what the lookup's threads have is given back when they end */
}

/* Servers of all kinds, dropped at any moment: sockets are closed and their numbers used again all the time. */
static void test_random_requests_and_drops(void **state) {
  static const char *const paths[] = {"/object", "/object", "/object", "/silent", "/close", "/reset", "/short-reset",
                                      "/stall", "/endless", "/busy", "/early", "/delimited", "/garbage", "/half-head"};
  static struct asked list[32];
  (void)state;
  const char *given = getenv("LSIO_SEED");
  const uint64_t seed = given ? strtoull(given, NULL, 10) : lsi_os_now_ns();
  uint64_t rng = seed;
  memset(list, 0, sizeof list);
  OPS->destroy(world_wire);
  world_wire = world_make(&(struct lsi_wire_config){.requests = 32, .connect_ms = 10000, .proxy = ""});
  for (int i = 0; i < 3000; i++) {
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    struct asked *a = &list[(rng >> 59) % 32];
    if (a->request.priv && (rng >> 50) % 4) {
      OPS->drop(world_wire, &a->request);
      a->request.priv = NULL;
    } else if (!a->request.priv) {
      const bool good = a->end.code == LSI_WIRE_DONE && a->byte && a->got == 20000 && !a->wrong;
      if (a->ends && a->byte && !good) fail_msg("seed %llu: code %d, %s", (unsigned long long)seed, a->end.code, a->text);
      const char *path = paths[(rng >> 40) % LSI_COUNTOF(paths)];
      asked_range(a, world_at(path), rng >> 45, 20000, strcmp(path, "/object") ? NULL : tiny_http_byte);
      if (strcmp(path, "/endless") == 0 && (rng >> 35) % 2) a->refuse_at = 100000;
      a->request.fresh = (rng >> 36) % 8 == 0;
      assert_true(OPS->start(world_wire, &a->request));
    }
    asked_pass(OPS, world_wire, (rng >> 33) % 4 == 0);
  }
  for (int i = 0; i < 32; i++) { /* and then all is well */
    if (list[i].request.priv) OPS->drop(world_wire, &list[i].request);
    asked_range(&list[i], world_at("/object"), (uint64_t)i * 1000, 20000, tiny_http_byte);
    assert_true(OPS->start(world_wire, &list[i].request));
  }
  assert_true(asked_wait(OPS, world_wire, list, 32));
  for (int i = 0; i < 32; i++)
    if (list[i].end.code != LSI_WIRE_DONE || list[i].got != 20000 || list[i].wrong)
      fail_msg("seed %llu: code %d, %s", (unsigned long long)seed, list[i].end.code, list[i].text);
}

/* -- descriptors and memory -- */

static void test_no_descriptor(void **state) {
  struct rlimit limit, few;
  struct asked a;
  (void)state;
  const int next = dup(0);
  close(next);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  few = limit;
  few.rlim_cur = (rlim_t)next;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
  asked_get(&a, world_at("/busy"));
  assert_true(OPS->start(world_wire, &a.request));
  assert_true(asked_wait(OPS, world_wire, &a, 1));
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
  assert_int_equal(a.end.code, LSI_WIRE_FAILED);
  assert_int_equal(a.end.os_code, EMFILE);
  world_get(&a, "/busy");
  assert_int_equal(a.end.code, LSI_WIRE_DONE);
}

static void test_no_memory(void **state) {
  (void)state;
  const int64_t live = lsi_mem_live();
  for (uint64_t nth = 1;; nth++) {
    struct lsi_wire *w = NULL;
    struct lsi_error err = {0};
    struct asked a;
    lsi_mem_fail_nth(nth, false);
    const int rc = OPS->create(
        &(struct lsi_wire_config){.requests = 2, .connect_ms = 3100, .proxy = "", .user_agent = "x"}, &w, &err);
    if (rc < 0) {
      assert_int_equal(rc, LSIO_ERR_NOMEM);
      continue;
    }
    asked_range(&a, world_at("/object"), 0, 10, tiny_http_byte);
    assert_true(OPS->start(w, &a.request));
    for (int i = 0; i < 1000 && !a.ends && rc >= 0; i++) {
      if (OPS->run(w, &err) < 0) break; /* its table of sockets could not grow */
      usleep(1000);
    }
    const bool done = a.ends && a.end.code == LSI_WIRE_DONE;
    if (a.ends && !done) assert_int_equal(a.end.code, LSI_WIRE_NO_MEMORY);
    OPS->destroy(w);
    assert_int_equal(lsi_mem_live(), live);
    lsi_mem_fail_nth(0, false);
    if (nth > 20) assert_true(done);
    if (nth > 20) break; /* it needs fewer than that */
  }
}

/* -- threads -- */

static void *work(void *user) {
  struct asked *list = user;
  struct lsi_wire *w;
  const struct lsi_wire_config config = {.requests = 8, .connect_ms = 10000, .proxy = ""};
  if (OPS->create(&config, &w, NULL) < 0) return NULL;
  for (int i = 0; i < 8; i++) OPS->start(w, &list[i].request);
  const bool all = asked_wait(OPS, w, list, 8);
  OPS->destroy(w);
  return all ? list : NULL;
}

static void test_each_thread_has_its_own(void **state) {
  static struct asked lists[8][8];
  pthread_t threads[8];
  (void)state;
  for (int i = 0; i < 64; i++)
    asked_range(&lists[i / 8][i % 8], world_at("/object"), (uint64_t)i * 1000, 100000, tiny_http_byte);
  for (int i = 0; i < 8; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, lists[i]), 0);
  for (int i = 0; i < 8; i++) {
    void *done;
    pthread_join(threads[i], &done);
    assert_ptr_equal(done, lists[i]);
    for (int k = 0; k < 8; k++) assert_int_equal(lists[i][k].got - lists[i][k].wrong, 100000);
  }
}

#define WIRE(name) cmocka_unit_test_setup_teardown(name, world_begin, world_finish)

int main(void) {
  static const struct CMUnitTest tests[] = {
      WIRE(test_many_at_once_each_begun_by_the_end_of_another),
      WIRE(test_drop_and_destroy_are_instant),
      WIRE(test_drop_before_anything_was_sent_and_from_an_end),
      WIRE(test_a_lookup_that_hangs),
      WIRE(test_random_requests_and_drops),
      WIRE(test_no_descriptor),
      WIRE(test_no_memory),
      WIRE(test_each_thread_has_its_own),
  };
  const int before = world_descriptors();
  const int failed = cmocka_run_group_tests(tests, world_open, world_close);
  const int after = world_descriptors();
  if (before != after) fprintf(stderr, "%d descriptors before, %d after\n", before, after);
  return failed || before != after;
}
