/* One suite for every backend in each of its ways of reading: what core/seams/backend.h promises. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend_variants.h"
#include "confined.h"
#include "ground/mem.h"
#include "seams/os.h"

#define MANY 1500

static struct stage stage;

static int set_up(void **state) {
  int rc = stage_open(&stage, *state);
  if (rc == 77) fprintf(stderr, "%s: %s\n", stage.v->label, stage.err.what);
  if (rc == 1) fprintf(stderr, "%s: can't be set up: %s\n", stage.v->label, stage.err.what);
  *state = &stage;
  return rc == 1;
}

static int tear_down(void **state) {
  stage_close(*state);
  return 0;
}

static struct stage *ready(void **state) {
  struct stage *s = *state;
  if (!s->b) skip();
  stage_guard();
  return s;
}

static void open_object(struct stage *s, int i, struct lsi_handle *h) {
  memset(h, 0, sizeof *h);
  lsi_error_clear(&s->err);
  int rc = s->ops->open(s->b, STAGE_ORDER(s, s->names[i]), h, &s->err);
  if (rc < 0) fail_msg("%s: open: %s", s->v->label, s->err.what);
  assert_int_equal(h->info.size, object_sizes[i]);
  assert_int_equal(h->lends, h->mapped ? s->v->maps : s->v->lends); /* test_mapped.c: which are */
}

static void close_object(struct stage *s, struct lsi_handle *h) {
  struct lsi_object_info then = h->info, now;
  assert_int_equal(s->ops->close(s->b, h, &now), 0);
  assert_memory_equal(&now, &then, sizeof now);
}

/* The right bytes, and nothing touched outside the hull that belongs to the operation. */
static void check(struct stage *s, const struct lsi_op *op, int object, unsigned slot) {
  uint64_t size = object_sizes[object];
  uint64_t want = op->offset < size ? LSI_MIN(size - op->offset, (uint64_t)op->length) : 0;
  if (op->result != (int64_t)want)
    fail_msg("%s: object %d, %u at %llu: result %lld, errno %d", s->v->label, object, op->length,
             (unsigned long long)op->offset, (long long)op->result, op->os_code);
  const void *got = op->buf ? op->buf : op->data;
  if (want) assert_memory_equal(got, s->data[object] + op->offset, want);
  if (!op->buf) {
    if (op->data) s->ops->release(s->b, (struct lsi_op *)op);
    return;
  }
  const unsigned char *base = (unsigned char *)s->arena + slot * SLOT;
  uint64_t hull = lsi_round_up(op->offset % LSI_ALIGN + op->length, LSI_ALIGN);
  for (uint64_t i = 0; i < LSI_ALIGN; i++) {
    assert_int_equal(base[i], GUARD);
    assert_int_equal(base[LSI_ALIGN + hull + i], GUARD);
  }
}

/* Submits one, waits for it. */
static void run_one(struct stage *s, struct lsi_op *op) {
  struct lsi_op *done[4] = {NULL};
  assert_int_equal(s->ops->submit(s->b, &op, 1), 1);
  int n = 0;
  while (n == 0) n = s->ops->reap(s->b, done, 4, -1, &s->err);
  assert_int_equal(n, 1);
  assert_ptr_equal(done[0], op);
}

/* ---- reading ---- */

static void reads_any_range(void **state) {
  struct stage *s = ready(state);
  static const int64_t around[] = {-4097, -4096, -513, -1, 0, 1, 511, 4096};
  static const uint32_t lengths[] = {1, 2, 511, 512, 513, 4095, 4096, 4097, 70000};
  for (int i = 0; i < OBJECTS; i++) {
    struct lsi_handle h;
    open_object(s, i, &h);
    for (size_t a = 0; a < LSI_COUNTOF(around) * 2; a++) {
      /* About the start and about the end of the object, and past it. */
      int64_t at = around[a / 2] + (a % 2 ? (int64_t)object_sizes[i] : 0);
      for (size_t l = 0; at >= 0 && l < LSI_COUNTOF(lengths); l++) {
        struct lsi_op op;
        stage_op(s, &op, &h, 0, (uint64_t)at, lengths[l]);
        run_one(s, &op);
        check(s, &op, i, 0);
      }
    }
    close_object(s, &h);
  }
}

static void reads_nothing_far_past_the_end(void **state) {
  struct stage *s = ready(state);
  static const uint64_t far[] = {1ull << 40, INT64_MAX - 4096, INT64_MAX, UINT64_MAX - 8192};
  struct lsi_handle h;
  open_object(s, BIG, &h);
  for (size_t i = 0; i < LSI_COUNTOF(far); i++) {
    struct lsi_op op;
    stage_op(s, &op, &h, 0, far[i], 100);
    run_one(s, &op);
    /* The kernel may refuse an offset that no file of its kind can have. */
    if (op.result != 0) assert_int_equal(op.result, LSIO_ERR_IO);
  }
  close_object(s, &h);
}

static int64_t a_timeout(struct stage *s) {
  static const int64_t choices[] = {0, 1000, 1000000, -1};
  return choices[stage_random(s, LSI_COUNTOF(choices))];
}

/* Keeps up to DEPTH operations of random ranges in flight until `total` have come back. */
static void keep_busy(struct stage *s, struct lsi_handle *handles, int total) {
  static struct lsi_op ops[DEPTH];
  int object[DEPTH], in_flight = 0, started = 0, finished = 0;
  bool busy[DEPTH] = {false};
  while (finished < total) {
    struct lsi_op *batch[DEPTH];
    int n = 0;
    int want = 1 + (int)stage_random(s, DEPTH);
    for (unsigned i = 0; i < DEPTH && n < want && started + n < total; i++) {
      if (busy[i]) continue;
      object[i] = (int)stage_random(s, EMPTY);
      uint64_t at = stage_random(s, object_sizes[object[i]] + 10);
      uint32_t most = stage_random(s, 20) ? 9000 : 150000;
      stage_op(s, &ops[i], &handles[object[i]], i, at, 1 + (uint32_t)stage_random(s, most));
      batch[n++] = &ops[i];
    }
    int taken = s->ops->submit(s->b, batch, n);
    assert_in_range(taken, 0, n);
    if (in_flight == 0 && n) assert_true(taken > 0);
    for (int i = 0; i < taken; i++) busy[batch[i] - ops] = true;
    in_flight += taken;
    started += taken;
    struct lsi_op *done[DEPTH];
    int max = 1 + (int)stage_random(s, DEPTH);
    int64_t timeout = a_timeout(s);
    int got = s->ops->reap(s->b, done, max, timeout, &s->err);
    assert_in_range(got, 0, max);
    if (timeout < 0 && in_flight) assert_true(got > 0);
    for (int i = 0; i < got; i++) {
      unsigned k = (unsigned)(done[i] - ops);
      assert_true(k < DEPTH && busy[k]); /* each once */
      check(s, &ops[k], object[k], k);
      busy[k] = false;
    }
    in_flight -= got;
    finished += got;
  }
  assert_int_equal(in_flight, 0);
}

static void many_in_flight_come_back_once(void **state) {
  struct stage *s = ready(state);
  struct lsi_handle handles[OBJECTS];
  for (int i = 0; i < OBJECTS; i++) open_object(s, i, &handles[i]);
  keep_busy(s, handles, MANY);
  for (int i = 0; i < OBJECTS; i++) close_object(s, &handles[i]);
}

/* ---- queue ---- */

/* Reaps `left` operations; the number that ended as `code`. */
static int reap_all(struct stage *s, struct lsi_op *ops, int left, int code) {
  bool seen[2 * DEPTH] = {false};
  int hits = 0;
  while (left) {
    struct lsi_op *done[8];
    int n = s->ops->reap(s->b, done, 8, -1, &s->err);
    assert_true(n > 0 && n <= left);
    for (int i = 0; i < n; i++) {
      unsigned k = (unsigned)(done[i] - ops);
      assert_true(k < 2 * DEPTH && !seen[k]);
      seen[k] = true;
      hits += done[i]->result == code;
    }
    left -= n;
  }
  return hits;
}

static int submit_blocks(struct stage *s, struct lsi_op *ops, struct lsi_handle *h, int n) {
  struct lsi_op *batch[2 * DEPTH];
  for (int i = 0; i < n; i++) {
    stage_op(s, &ops[i], h, (unsigned)i % DEPTH, (uint64_t)i * 8192, 4096);
    batch[i] = &ops[i];
  }
  return s->ops->submit(s->b, batch, n);
}

static void takes_a_prefix_when_full(void **state) {
  struct stage *s = ready(state);
  static struct lsi_op ops[2 * DEPTH];
  struct lsi_handle h;
  open_object(s, BIG, &h);
  int taken = submit_blocks(s, ops, &h, (int)DEPTH + 10);
  assert_in_range(taken, 1, DEPTH);
  struct lsi_op *more = &ops[2 * DEPTH - 1];
  *more = (struct lsi_op){.handle = &h, .length = 1, .kind = LSI_OP_READ};
  if (taken == (int)DEPTH) assert_int_equal(s->ops->submit(s->b, &more, 1), 0);
  assert_int_equal(reap_all(s, ops, taken, 4096), taken);
  stage_op(s, more, &h, 0, 0, 100);
  run_one(s, more);
  close_object(s, &h);
}

static void cancel_brings_all_back(void **state) {
  struct stage *s = ready(state);
  static struct lsi_op ops[2 * DEPTH];
  struct lsi_handle h;
  for (int round = 0; round < 3; round++) {
    open_object(s, BIG, &h);
    int taken = submit_blocks(s, ops, &h, (int)DEPTH);
    if (s->ops->cancel) s->ops->cancel(s->b);
    int good = reap_all(s, ops, taken, 4096), cancelled = 0;
    for (int i = 0; i < taken; i++) cancelled += ops[i].result == LSIO_ERR_CANCELLED;
    assert_int_equal(good + cancelled, taken);
    close_object(s, &h);
  }
}

static void reap_does_not_wait_for_nothing(void **state) {
  struct stage *s = ready(state);
  struct lsi_op *done[4];
  static const int64_t timeouts[] = {0, 1000000, -1};
  for (size_t i = 0; i < LSI_COUNTOF(timeouts); i++)
    assert_int_equal(s->ops->reap(s->b, done, 4, timeouts[i], &s->err), 0);
}

/* Every allocation of a whole life fails once: an error or success, and nothing is left over. */
static void survives_lack_of_memory(void **state) {
  struct stage *s = ready(state);
  for (uint64_t nth = 1;; nth++) {
    struct lsi_backend *b;
    struct lsi_handle h = {0};
    struct lsi_object_info now;
    struct lsi_error err = {0};
    int64_t live = lsi_mem_live();
    uint64_t calls = lsi_mem_calls();
    lsi_mem_fail_nth(nth, false);
    int rc = s->ops->create(&s->config, &b, &err);
    bool created = rc == 0;
    if (created) rc = s->ops->open(b, STAGE_ORDER(s, s->names[BIG]), &h, &err);
    if (created && rc == 0) {
      struct lsi_op op, *p = &op, *done[1];
      stage_op(s, &op, &h, 0, 5, 5000);
      assert_int_equal(s->ops->submit(b, &p, 1), 1);
      assert_int_equal(s->ops->reap(b, done, 1, -1, &err), 1);
      check(s, &op, BIG, 0);
      assert_int_equal(s->ops->close(b, &h, &now), 0);
    }
    if (created) s->ops->destroy(b);
    lsi_mem_fail_nth(0, false);
    if (rc < 0) assert_int_equal(rc, LSIO_ERR_NOMEM);
    assert_int_equal(lsi_mem_live(), live);
    if (lsi_mem_calls() - calls < nth) break;
  }
}

/* ---- opening ---- */

static void stat_and_open_agree(void **state) {
  struct stage *s = ready(state);
  for (int i = 0; i < OBJECTS; i++) {
    struct lsi_object_info info;
    struct lsi_handle h;
    const char *name = s->names[i];
    assert_int_equal(s->store->stat_many(s->config.user, &name, 1, &info, NULL, false, &s->err), 0);
    open_object(s, i, &h);
    assert_memory_equal(&info, &h.info, sizeof info);
    close_object(s, &h);
  }
}

static void tells_what_is_missing(void **state) {
  struct stage *s = ready(state);
  struct lsi_handle h = {0};
  struct lsi_error err = {0};
  assert_int_equal(s->ops->open(s->b, STAGE_ORDER(s, "/nowhere/at all"), &h, &err), LSIO_ERR_SOURCE);
  assert_string_equal(err.object, "/nowhere/at all");
  assert_true(err.what[0]);
  if (!s->files) return;
  lsi_error_clear(&err);
  assert_int_equal(s->ops->open(s->b, STAGE_ORDER(s, s->dir), &h, &err), LSIO_ERR_SOURCE);
  assert_int_equal(err.os_code, EISDIR);
  assert_string_equal(err.object, s->dir);
  assert_true(err.remedy[0]);
}

/* Files only: what happens to one that changes while it is open. */
static void close_tells_a_change(void **state) {
  struct stage *s = ready(state);
  if (!s->files) skip();
  struct lsi_handle h;
  struct lsi_object_info now;
  open_object(s, 4, &h);
  assert_int_equal(truncate(s->names[4], 50000), 0);
  struct lsi_op op;
  stage_op(s, &op, &h, 0, 49000, 4000);
  run_one(s, &op);
  if (!h.mapped) assert_int_equal(op.result, 1000); /* else zeros follow, and only a look tells */
  assert_int_equal(s->ops->close(s->b, &h, &now), 0);
  assert_int_equal(now.size, 50000);
  assert_int_equal(now.version[0], h.info.version[0]);

  open_object(s, BIG, &h);
  assert_int_equal(rename(s->names[4], s->names[BIG]), 0);
  stage_op(s, &op, &h, 0, 60000, 4000);
  run_one(s, &op);
  check(s, &op, BIG, 0); /* still of the old one */
  assert_int_equal(s->ops->close(s->b, &h, &now), 0);
  assert_false(now.known & LSI_KNOWN_VERSION);
  struct lsi_error err = {0};
  assert_int_equal(s->store->changed(&h.info, &now, &err), LSIO_ERR_SOURCE);
  assert_non_null(strstr(err.what, "was replaced"));
}

/* ---- under limits, in a child ---- */

/* A number that says where it went wrong; cmocka's asserts do not work in the child. */
#define MUST(where, condition) if (!(condition)) return where

#define NOT_HERE 50 /* refused for want of locked memory, with a cause */

static int read_in_child(struct stage *s) {
  struct lsi_backend *b;
  struct lsi_error err = {0};
  int rc = s->ops->create(&s->config, &b, &err);
  if (rc == LSIO_ERR_UNSUPPORTED && err.os_code == ENOMEM && err.remedy[0]) return NOT_HERE;
  MUST(1, rc == 0);
  struct lsi_handle h = {0};
  MUST(2, s->ops->open(b, STAGE_ORDER(s, s->names[BIG]), &h, &err) == 0);
  for (unsigned i = 0; i < 50; i++) {
    struct lsi_op op, *p = &op, *done[1];
    stage_op(s, &op, &h, i % DEPTH, i * 60001, 5000);
    MUST(3, s->ops->submit(b, &p, 1) == 1);
    MUST(4, s->ops->reap(b, done, 1, -1, &err) == 1);
    MUST(5, op.result == 5000 && memcmp(op.buf ? op.buf : op.data, s->data[BIG] + op.offset, 5000) == 0);
  }
  struct lsi_object_info now;
  MUST(6, s->ops->close(b, &h, &now) == 0);
  s->ops->destroy(b);
  return 0;
}

/* The parent's arena is not inherited by fork; the child makes its own. */
static int small_memlock(void *arg) {
  struct stage *s = arg;
  const size_t bytes = (size_t)64 << 20; /* more than may be locked */
  MUST(10, (s->arena = lsi_os_map(bytes)));
  s->config.arena = s->arena;
  s->config.arena_size = bytes;
  return read_in_child(s);
}

static void works_without_locked_memory(void **state) {
  struct stage *s = ready(state);
  if (!s->files) skip();
  struct confinement c = {.nobody = true};
  struct rlimit here;
  assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &here), 0);
  /* The usual limit, then hardly any and none: works, or says why not. The limit is the user's, so that
   * what a child before this one is still giving back counts too. */
  static const rlim_t limits[] = {8 << 20, 65536, 16384, 1};
  for (size_t i = 0; i < LSI_COUNTOF(limits); i++) {
    c.locked_memory = limits[i];
    int rc = run_confined(&c, small_memlock, s);
    if (rc != NOT_HERE || (i == 0 && here.rlim_max >= limits[0])) assert_int_equal(rc, 0);
  }
}

static int run_out_of_descriptors(void *arg) {
  struct stage *s = arg;
  MUST(10, (s->arena = lsi_os_map(ARENA_BYTES)));
  s->config.arena = s->arena;
  struct lsi_backend *b;
  struct lsi_error err = {0};
  MUST(11, s->ops->create(&s->config, &b, &err) == 0);
  struct lsi_handle h[64];
  int n = 0, rc;
  memset(h, 0, sizeof h);
  while ((rc = s->ops->open(b, STAGE_ORDER(s, s->names[BIG]), &h[n], &err)) == 0 && n < 63) n++;
  MUST(12, rc == LSIO_ERR_IO && err.os_code == EMFILE);
  MUST(13, n >= 1);
  struct lsi_object_info now;
  MUST(14, s->ops->close(b, &h[--n], &now) == 0);
  lsi_error_clear(&err);
  memset(&h[n], 0, sizeof h[n]);
  MUST(15, s->ops->open(b, STAGE_ORDER(s, s->names[BIG]), &h[n], &err) == 0);
  for (; n >= 0; n--) MUST(16, s->ops->close(b, &h[n], &now) == 0);
  s->ops->destroy(b);
  return 0;
}

static void tells_that_descriptors_are_out(void **state) {
  struct stage *s = ready(state);
  if (!s->files) skip();
  struct confinement c = {.open_files = 24};
  assert_int_equal(run_confined(&c, run_out_of_descriptors, s), 0);
}

static int open_secret(void *arg) {
  struct stage *s = arg;
  s->config.arena = NULL;
  struct lsi_backend *b;
  struct lsi_error err = {0};
  struct lsi_handle h = {0};
  MUST(1, s->ops->create(&s->config, &b, &err) == 0);
  MUST(2, s->ops->open(b, STAGE_ORDER(s, s->names[BIG]), &h, &err) == LSIO_ERR_SOURCE);
  MUST(3, err.os_code == EACCES && err.remedy[0] && strcmp(err.object, s->names[BIG]) == 0);
  s->ops->destroy(b);
  return 0;
}

static void tells_what_may_not_be_read(void **state) {
  struct stage *s = ready(state);
  if (!s->files || geteuid() != 0) skip();
  assert_int_equal(chmod(s->names[BIG], 0), 0);
  struct confinement c = {.nobody = true};
  assert_int_equal(run_confined(&c, open_secret, s), 0);
}

static int uring_refused(void *arg) {
  struct stage *s = arg;
  struct lsi_error err = {0};
  const struct lsi_backend_ops *uring = backend_find("uring", NULL);
  MUST(1, uring->probe(&err) == LSIO_ERR_UNSUPPORTED);
  MUST(2, err.os_code == EPERM && err.what[0] && strstr(err.remedy, "pread"));
  lsi_error_clear(&err);
  struct lsi_backend *b = NULL;
  MUST(3, uring->create(&s->config, &b, &err) == LSIO_ERR_UNSUPPORTED && !b);
  if (s->ops == uring) return 0;
  MUST(10, (s->arena = lsi_os_map(ARENA_BYTES)));
  s->config.arena = s->arena;
  return read_in_child(s);
}

static void lives_where_io_uring_is_forbidden(void **state) {
  struct stage *s = ready(state);
  if (!s->files) skip();
  struct confinement c = {.no_io_uring = true};
  assert_int_equal(run_confined(&c, uring_refused, s), 0);
}

/* ---- all on all ---- */

static const struct {
  const char *name;
  void (*fn)(void **state);
} tests[] = {
#define T(fn) {#fn, fn}
    T(reads_any_range),
    T(reads_nothing_far_past_the_end),
    T(many_in_flight_come_back_once),
    T(takes_a_prefix_when_full),
    T(cancel_brings_all_back),
    T(reap_does_not_wait_for_nothing),
    T(survives_lack_of_memory),
    T(stat_and_open_agree),
    T(tells_what_is_missing),
    T(close_tells_a_change),
    T(works_without_locked_memory),
    T(tells_that_descriptors_are_out),
    T(tells_what_may_not_be_read),
    T(lives_where_io_uring_is_forbidden),
#undef T
};

int main(void) {
  static struct CMUnitTest all[LSI_COUNTOF(tests) * 24];
  static char names[LSI_COUNTOF(all)][96];
  size_t n = 0;
  assert_true(n_variants <= 24);
  for (unsigned v = 0; v < n_variants; v++)
    for (size_t t = 0; t < LSI_COUNTOF(tests); t++, n++) {
      snprintf(names[n], sizeof names[n], "%s: %s", variants[v].label, tests[t].name);
      all[n] = (struct CMUnitTest){names[n], tests[t].fn, set_up, tear_down, (void *)&variants[v]};
    }
  return _cmocka_run_group_tests("backends", all, n, NULL, NULL);
}
