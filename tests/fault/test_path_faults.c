/* Jobs of every way through LSIO (support/path_jobs.h), all in the same contexts, while the N-th of
 * something fails, for every N: allocations, maps of memory, maps of files, operations, looks at what is
 * mapped. Each job ends with the right result or with an error that says what and names its object;
 * nothing is lost (blocks, maps, descriptors), nobody writes to memory that was given back, and the next
 * job finds nothing of the one before. The linker's --wrap puts this program between the pool, the
 * system and the table of mapped files (tests/CMakeLists.txt); its list of backends takes the place of
 * backends/linux/list.c. LSIO_SWEEP=1 leaves no N out: minutes. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/context.h"
#include "linux/linux_sigbus.h"
#include "list.h"
#include "ground/mem.h"
#include "path_jobs.h"
#include "polled.h"
#include "memory/pool.h"

#define CALLS_MAX 20000
#define DENSE 12 /* the first N, of which none is left out */
#define POISON 0xa5
#define POISONED ((size_t)256 << 10) /* bytes of each block at most */

/* ---- what fails ---- */

enum fault { NOTHING, ALLOC, MAP, POPULATE, GUARD, READ, WRITE, OPEN, CLOSE, REAP, LOOK, FAULTS };
static const char *const names[FAULTS] = {"nothing", "allocation", "map",   "populate", "map of a file",
                                          "read",    "write",      "open",  "close",    "reap", "look"};

static enum fault failing;
static atomic_int counted, fail_at; /* of `failing` only */
static atomic_bool fail_forever;
static int reached[FAULTS];

static bool fails(enum fault fault) {
  if (fault != failing) return false;
  const int n = atomic_fetch_add(&counted, 1) + 1, at = atomic_load(&fail_at);
  return at && (n == at || (n > at && atomic_load(&fail_forever)));
}

/* ---- memory ---- */

/* Blocks that lie in the pool begin with a pattern, which must be there still when they leave it. */
static struct poison {
  char *data;
  size_t bytes;
} poisoned[512];
static pthread_mutex_t poison_mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_llong mapped_bytes;
static atomic_int written_later; /* blocks whose pattern was gone */

static void poison(char *data, size_t bytes) {
  pthread_mutex_lock(&poison_mutex);
  struct poison *p = poisoned;
  while (p->data) p++;
  *p = (struct poison){data, LSI_MIN(bytes, POISONED)};
  memset(data, POISON, p->bytes);
  pthread_mutex_unlock(&poison_mutex);
}

/* What begins in here leaves the pool. */
static void unpoison(const char *data, size_t bytes) {
  pthread_mutex_lock(&poison_mutex);
  for (size_t i = 0; i < LSI_COUNTOF(poisoned); i++) {
    struct poison *p = &poisoned[i];
    if (p->data < data || p->data >= data + bytes) continue;
    for (size_t k = 0; k < p->bytes; k++)
      if ((unsigned char)p->data[k] != POISON) {
        atomic_fetch_add(&written_later, 1);
        break;
      }
    p->data = NULL;
  }
  pthread_mutex_unlock(&poison_mutex);
}

#define WRAPPED(result, name, ...)   \
  result __real_##name(__VA_ARGS__); \
  result __wrap_##name(__VA_ARGS__); \
  result __wrap_##name(__VA_ARGS__)

WRAPPED(void *, lsi_pool_take, struct lsi_pool *p, size_t bytes, bool is_counted) {
  char *data = __real_lsi_pool_take(p, bytes, is_counted);
  if (data) unpoison(data, 1);
  return data;
}

WRAPPED(void, lsi_pool_give, struct lsi_pool *p, void *data, size_t bytes, bool is_counted) {
  if (data) poison(data, bytes);
  __real_lsi_pool_give(p, data, bytes, is_counted);
}

static atomic_int small_out; /* of the pool */

WRAPPED(void *, lsi_pool_take_small, struct lsi_pool *p, size_t bytes) {
  char *data = __real_lsi_pool_take_small(p, bytes);
  if (data) unpoison(data, 1), atomic_fetch_add(&small_out, 1);
  return data;
}

WRAPPED(void, lsi_pool_give_small, struct lsi_pool *p, void *data, size_t bytes) {
  if (data) poison(data, bytes / 2); /* what leaves the pool is cut first, in half at most */
  if (data) atomic_fetch_sub(&small_out, 1);
  __real_lsi_pool_give_small(p, data, bytes);
}

WRAPPED(void *, lsi_os_map, size_t bytes) {
  void *p = fails(MAP) ? NULL : __real_lsi_os_map(bytes);
  if (p) atomic_fetch_add(&mapped_bytes, (long long)bytes);
  return p;
}

WRAPPED(void, lsi_os_unmap, void *p, size_t bytes) {
  if (p) {
    unpoison(p, bytes);
    atomic_fetch_sub(&mapped_bytes, (long long)bytes);
  }
  __real_lsi_os_unmap(p, bytes);
}

WRAPPED(bool, lsi_os_populate, void *p, size_t bytes) {
  return !fails(POPULATE) && __real_lsi_os_populate(p, bytes);
}

WRAPPED(int, lsi_guard_add, const void *from, size_t bytes) {
  return fails(GUARD) ? -1 : __real_lsi_guard_add(from, bytes);
}

/* ---- backends ---- */

static struct lsi_backend_ops faulty, faulty_mapped;
static const struct lsi_backend_ops *real;

static const struct lsi_backend_ops *const backends[] = {&faulty, &faulty_mapped, NULL};
static struct lsi_store files; /* as the real one, but for its backends */
const struct lsi_store *const lsi_stores[] = {&files, NULL};

/* What was done stays done: an operation may have reached the disk and be reported as failed. */
static int spoil(struct lsi_op *const *done, int n) {
  for (int i = 0; i < n; i++) {
    if (done[i]->result <= 0 || !fails(done[i]->kind == LSI_OP_WRITE ? WRITE : READ)) continue;
    done[i]->result = LSIO_ERR_IO;
    done[i]->os_code = EIO;
  }
  return n;
}

static int broken(struct lsi_error *err) { return lsi_fail(err, LSIO_ERR_IO, EBADF, "the backend is broken"); }

static int no_open(const char *name, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_IO, EIO, "a file can't be opened");
  lsi_error_at(err, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return LSIO_ERR_IO;
}

#define FAULTY(prefix, ops)                                                                        \
  static int prefix##_reap(struct lsi_backend *b, struct lsi_op **done, int max,                   \
                           int64_t timeout_ns, struct lsi_error *err) {                            \
    return fails(REAP) ? broken(err) : spoil(done, (ops)->reap(b, done, max, timeout_ns, err));    \
  }                                                                                                \
  static int prefix##_open(struct lsi_backend *b, const struct lsi_open *order,                    \
                           struct lsi_handle *h, struct lsi_error *err) {                          \
    return fails(OPEN) ? no_open(order->name, err) : (ops)->open(b, order, h, err);                \
  }                                                                                                \
  static int prefix##_close(struct lsi_backend *b, struct lsi_handle *h,                           \
                            struct lsi_object_info *now) {                                         \
    const int rc = (ops)->close(b, h, now);                                                        \
    return fails(CLOSE) ? LSIO_ERR_IO : rc;                                                        \
  }                                                                                                \
  static int prefix##_look(struct lsi_backend *b, const struct lsi_handle *h,                      \
                           struct lsi_object_info *now) {                                          \
    return fails(LOOK) ? LSIO_ERR_IO : (ops)->look(b, h, now);                                     \
  }                                                                                                \
  static void prefix##_use(struct lsi_backend_ops *to) {                                           \
    *to = *(ops);                                                                                  \
    to->reap = prefix##_reap;                                                                      \
    to->open = prefix##_open;                                                                      \
    to->close = prefix##_close;                                                                    \
    if (to->look) to->look = prefix##_look;                                                        \
  }

FAULTY(plain, real)
FAULTY(mapped, &lsi_backend_mapped)

static atomic_int created;

static int counted_create(const struct lsi_backend_config *config, struct lsi_backend **out,
                          struct lsi_error *err) {
  atomic_fetch_add(&created, 1);
  return real->create(config, out, err);
}

/* ---- a job and what is left of it ---- */

static lsio_context *contexts[2]; /* the second one maps files */
static struct sigaction handler;  /* LSIO's of SIGBUS: cmocka puts its own in its place for each test */
static long long abandoned;       /* bytes */
static bool every;

static int descriptors(void) {
  int n = 0;
  DIR *d = opendir("/proc/self/fd");
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

static bool file_is_mapped(void) {
  char line[600];
  bool found = false;
  FILE *f = fopen("/proc/self/maps", "r");
  while (!found && fgets(line, sizeof line, f)) found = strstr(line, "/lsio-paths-") != NULL;
  fclose(f);
  return found;
}

/* Nothing that threads keep from job to job. */
static void trim(void) {
  lsi_crew_trim(contexts[0]->crew);
  lsi_crew_trim(contexts[1]->crew);
}

static long long bytes_lost(void) {
  return mapped_bytes - abandoned -
         (long long)(lsi_pool_kept(contexts[0]->pool) + lsi_pool_kept(contexts[1]->pool));
}

static int64_t live_blocks(void) { return polled_live(contexts[0]) - lsi_helpers_size(contexts[1]->helpers); }

static struct path_end run(const struct path_kind *k, const char *where) {
  trim();
  const int64_t live = live_blocks();
  const int open_before = descriptors();
  const struct path_end end =
      path_run(contexts[k->sigbus], k, k->mapped ? faulty_mapped.name : faulty.name, where);
  trim();
  if (live_blocks() != live) fail_msg("%s: %d blocks lost", where, (int)(live_blocks() - live));
  if (descriptors() != open_before) fail_msg("%s: descriptors lost", where);
  const long long lost = bytes_lost();
  /* What a broken backend may still write to belongs to nobody any more. */
  if (lost > 0 && failing == REAP && fail_forever)
    abandoned += lost;
  else if (lost)
    fail_msg("%s: %lld bytes are mapped and not kept", where, lost);
  if (file_is_mapped()) fail_msg("%s: a file is still mapped", where);
  if (k->into == PATH_ARRAY && end.releases != 1)
    fail_msg("%s: the caller's array was given back %d times", where, end.releases);
  if (written_later) fail_msg("%s: memory was written to after it was given back", where);
  return end;
}

static void run_well(const struct path_kind *k, const char *where) {
  failing = NOTHING;
  const struct path_end end = run(k, where);
  if (end.rc || end.exit_code) fail_msg("%s: %s: %s", where, k->name, end.message);
}

static bool is_about(const struct path_end *end, enum fault fault) {
  return strstr(end->object, fault == WRITE ? "out" : "."); /* of every source's name */
}

static void check_end(enum fault fault, const struct path_kind *k, const struct path_end *end,
                      const char *where) {
  if (!end->rc && !end->exit_code) return;
  const bool skipped = !end->rc && k->skips && end->exit_code == 1;
  if (!end->rc && !skipped) fail_msg("%s: exit code %d", where, end->exit_code);
  if (!end->message[0]) fail_msg("%s: no message", where);
  if (fault == POPULATE || fault == GUARD) fail_msg("%s: there is another way: %s", where, end->message);
  if (fault <= MAP) {
    if (end->rc && end->rc != LSIO_ERR_NOMEM && end->rc != LSIO_ERR_LIMIT)
      fail_msg("%s: %s: %s", where, lsio_error_name(end->rc), end->message);
    return;
  }
  const int wanted = fault == WRITE ? LSIO_ERR_OUTPUT : LSIO_ERR_IO;
  if (end->rc && end->rc != wanted) fail_msg("%s: %s: %s", where, lsio_error_name(end->rc), end->message);
  if (fault != REAP && !is_about(end, fault)) fail_msg("%s: about '%s': %s", where, end->object, end->message);
  if ((fault == READ || fault == WRITE || fault == OPEN) && end->os_code != EIO)
    fail_msg("%s: errno %d: %s", where, end->os_code, end->message);
}

/* Makes the N-th fail. False: there are not so many. */
static bool run_badly(enum fault fault, int n, bool forever, const struct path_kind *k) {
  /* What such a backend still reads into the caller's array nobody can keep from it. */
  if (fault == REAP && k->into == PATH_ARRAY) forever = false;
  char where[160];
  snprintf(where, sizeof where, "%s: %s %d%s fails", k->name, names[fault], n, forever ? " and all later" : "");
  const uint64_t calls = lsi_mem_calls();
  failing = fault;
  atomic_store(&fail_forever, forever);
  atomic_store(&counted, 0);
  atomic_store(&fail_at, n);
  if (fault == ALLOC) lsi_mem_fail_nth((uint64_t)n, forever);
  const struct path_end end = run(k, where);
  lsi_mem_fail_nth(0, false);
  failing = NOTHING;
  check_end(fault, k, &end, where);
  const int got = fault == ALLOC ? (int)(lsi_mem_calls() - calls) : atomic_load(&counted);
  if (got >= n) {
    reached[fault]++;
    return true;
  }
  if (end.rc || end.exit_code) fail_msg("%s: nothing did: %s", where, end.message);
  return false;
}

static int next(int n, const struct path_kind *k) {
  if (k->large) return n * 4 + 1;
  if (every && !k->many) return n + 1;
  const int dense = every ? 8 * DENSE : k->many ? 2 : DENSE;
  return n < dense ? n + 1 : n + 1 + n / (every ? 64 : k->many ? 1 : 8) + (int)(k - path_kinds) % 3;
}

static void sweep(enum fault fault) {
  sigaction(SIGBUS, &handler, NULL);
  reached[fault] = 0;
  for (int i = 0; i < path_n_kinds; i++) {
    const struct path_kind *k = &path_kinds[i];
    for (int forever = 0; forever < (every || fault == MAP || fault == READ ? 2 : 1); forever++)
      for (int n = 1; run_badly(fault, n, forever, k); n = next(n, k))
        if (n > CALLS_MAX) fail_msg("%s, %s: never ends", k->name, names[fault]);
    run_well(k, names[fault]);
  }
}

#define SWEEP(name, fault)              \
  static void name(void **state) {      \
    (void)state;                        \
    sweep(fault);                       \
    assert_true(reached[fault] > 0);    \
  }

SWEEP(test_allocations, ALLOC)
SWEEP(test_maps_of_memory, MAP)
SWEEP(test_maps_of_files, GUARD)
SWEEP(test_reads, READ)
SWEEP(test_opening, OPEN)
SWEEP(test_closing, CLOSE)
SWEEP(test_backend_that_breaks, REAP)
SWEEP(test_looks, LOOK)

/* These happen only where the machine lets them. */
static void test_population(void **state) {
  (void)state;
  sweep(POPULATE);
}

static void test_direct_writes(void **state) {
  (void)state;
  sweep(WRITE);
}

/* Each kind after each other one that failed in each way. */
static void test_next_job(void **state) {
  (void)state;
  sigaction(SIGBUS, &handler, NULL);
  int after = 0;
  for (int i = 0; i < path_n_kinds; i++) run_well(&path_kinds[i], "before all");
  for (enum fault f = ALLOC; f < FAULTS; f++)
    for (int i = 0; i < path_n_kinds; i++, after++) {
      const struct path_kind *bad = &path_kinds[i], *good = &path_kinds[(i + 1 + after / 7) % path_n_kinds];
      char where[160];
      run_badly(f, f == ALLOC ? 40 + after : 1 + after % 3, after % 2, bad);
      snprintf(where, sizeof where, "after %s with a failed %s", bad->name, names[f]);
      run_well(good->many || good->large ? &path_kinds[0] : good, where);
    }
  for (int i = 0; i < path_n_kinds; i++) run_well(&path_kinds[i], "after all");
}

/* A run of this kind whose backend gives nothing back: what it may still write to is lost. */
static struct path_end run_broken(const struct path_kind *k) {
  trim();
  failing = REAP;
  atomic_store(&fail_forever, true);
  atomic_store(&counted, 0);
  atomic_store(&fail_at, 1);
  const struct path_end end = path_run(contexts[k->sigbus], k, faulty.name, "broken");
  failing = NOTHING;
  assert_int_equal(end.rc, LSIO_ERR_IO);
  trim();
  abandoned += bytes_lost();
  return end;
}

/* A backend that gave some of its operations not back serves no later job; any other one does. */
static void test_a_broken_backend_is_replaced(void **state) {
  (void)state;
  const struct path_kind *k = &path_kinds[5];
  sigaction(SIGBUS, &handler, NULL);
  trim();
  assert_int_equal(path_run(contexts[k->sigbus], k, faulty.name, "first").rc, 0);
  const int before = created;
  assert_int_equal(path_run(contexts[k->sigbus], k, faulty.name, "second").rc, 0);
  assert_int_equal(created, before);
  run_broken(k);
  assert_int_equal(path_run(contexts[k->sigbus], k, faulty.name, "after it").rc, 0);
  assert_true(created > before);
}

/* Into the caller's array the kernel may still write then, and nobody is told that it does not; nor are blocks
 * given back that results were read into. */
static void test_memory_of_a_broken_backend_is_not_given_back(void **state) {
  (void)state;
  const struct path_kind *array = path_kinds, *stream = path_kinds;
  while (strcmp(array->name, "transformed into an array") != 0) array++; /* of the test nothing is read there */
  while (strcmp(stream->name, "stream as stored") != 0) stream++;
  assert_int_equal(run_broken(array).releases, 0);
  run_well(array, "after it");
  const int before = atomic_load(&small_out);
  run_broken(stream);
  assert_true(atomic_load(&small_out) > before);
  run_well(stream, "after it");
}

/* The trace tells how a context's operations ended. */
static void check_trace(enum fault fault, const struct path_kind *k) {
  static const char failed[] = "\"outcome\":\"LSIO_ERR_IO\"";
  char line[400], kind[40];
  bool found = false, others = false;
  sigaction(SIGBUS, &handler, NULL);
  const bool reached_it = run_badly(fault, 1, false, k);
  snprintf(kind, sizeof kind, "{\"name\":\"%s\"", names[fault]);
  assert_int_equal(lsio_context_trace(contexts[k->sigbus], "trace.json", NULL), 0);
  FILE *f = fopen("trace.json", "r");
  assert_non_null(f);
  while (fgets(line, sizeof line, f)) {
    const bool of_kind = strncmp(line, kind, strlen(kind)) == 0;
    found |= of_kind && strstr(line, failed);
    others |= of_kind && strstr(line, "\"outcome\":\"done\"");
  }
  fclose(f);
  if (reached_it && !(found && others)) fail_msg("no %s that failed, or none that did not", names[fault]);
}

static void test_traces(void **state) {
  (void)state;
  check_trace(READ, &path_kinds[1]);
  check_trace(READ, &path_kinds[5]);
  check_trace(WRITE, &path_kinds[0]);
}

static void test_nothing_is_left(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) lsio_context_destroy(contexts[i]);
  assert_int_equal(lsi_mem_live(), 0);
  assert_int_equal(mapped_bytes, abandoned);
}

static int setup(void **state) {
  (void)state;
  struct lsi_error err;
  lsi_error_clear(&err);
  every = getenv("LSIO_SWEEP") != NULL;
  real = lsi_backend_uring.probe(&err) == 0 ? &lsi_backend_uring : &lsi_backend_pread;
  files = lsi_store_file;
  files.backends = backends;
  plain_use(&faulty);
  faulty.create = counted_create;
  mapped_use(&faulty_mapped);
  const struct lsio_context_options o = {.struct_size = sizeof o, .trace_events = 2000},
                                    maps = {.struct_size = sizeof o, .flags = LSIO_CONTEXT_SIGBUS,
                                            .trace_events = 2000};
  if (path_setup() || lsio_context_create(&o, &contexts[0], NULL) ||
      lsio_context_create(&maps, &contexts[1], NULL) || sigaction(SIGBUS, NULL, &handler))
    return -1;
  /* What is kept from job to job: states of Lua. */
  for (int i = 0; i < path_n_kinds; i++)
    path_run(contexts[path_kinds[i].sigbus], &path_kinds[i],
             path_kinds[i].mapped ? faulty_mapped.name : faulty.name, path_kinds[i].name);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  return path_teardown();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_allocations),   cmocka_unit_test(test_maps_of_memory),
      cmocka_unit_test(test_maps_of_files), cmocka_unit_test(test_population),
      cmocka_unit_test(test_reads),         cmocka_unit_test(test_direct_writes),
      cmocka_unit_test(test_opening),       cmocka_unit_test(test_closing),
      cmocka_unit_test(test_backend_that_breaks), cmocka_unit_test(test_looks),
      cmocka_unit_test(test_next_job),      cmocka_unit_test(test_traces),
      cmocka_unit_test(test_a_broken_backend_is_replaced),
      cmocka_unit_test(test_memory_of_a_broken_backend_is_not_given_back),
      cmocka_unit_test(test_nothing_is_left),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
