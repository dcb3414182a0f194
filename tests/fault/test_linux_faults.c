/* The Linux backends while the kernel answers what it hardly ever does: EAGAIN, EINTR and ECANCELED in a
 * ring's completions, direct reads that are refused after the file was opened for them, and a file that is
 * replaced between the two opens. The linker's --wrap puts this program between LSIO and the C library and
 * liburing (tests/CMakeLists.txt). */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "linux/linux_handle.h"
#include "list.h"
#include "lsio.h"
#include "polled.h"
#include "seams/backend.h"

#define SIZE (4u << 20)
#define OPS 16
#define LENGTH (64u << 10)

/* ---- between LSIO and the system ---- */

static int answer;                   /* of the ring's completions instead of their own; 0 = none */
static unsigned answers;             /* so many more get it */
static atomic_bool refuse_direct;    /* pread of a descriptor with O_DIRECT answers EINVAL */
static atomic_int syncs_left = 1 << 30; /* then they fail */
static const char *replace_with;     /* gets the name of what is opened for direct reads, just before */

/* Entries that have come since the last look, of operations only. */
static void spoil(struct io_uring *ring) {
  struct io_uring_cqe *cqe;
  unsigned head;
  io_uring_for_each_cqe(ring, head, cqe) {
    if (!answers || cqe->user_data < 4096 || cqe->res == answer) continue;
    cqe->res = answer;
    answers--;
  }
}

#define WRAPPED(result, name, ...)       \
  result __real_##name(__VA_ARGS__);     \
  result __wrap_##name(__VA_ARGS__);     \
  result __wrap_##name(__VA_ARGS__)

WRAPPED(int, io_uring_submit_and_wait, struct io_uring *ring, unsigned n) {
  const int rc = __real_io_uring_submit_and_wait(ring, n);
  spoil(ring);
  return rc;
}

WRAPPED(int, io_uring_submit_and_get_events, struct io_uring *ring) {
  const int rc = __real_io_uring_submit_and_get_events(ring);
  spoil(ring);
  return rc;
}

WRAPPED(ssize_t, pread, int fd, void *to, size_t n, off_t at) {
  if (atomic_load(&refuse_direct) && fcntl(fd, F_GETFL) & O_DIRECT) return errno = EINVAL, -1;
  return __real_pread(fd, to, n, at);
}

WRAPPED(int, fdatasync, int fd) {
  if (atomic_load(&syncs_left) == 0) return errno = EIO, -1;
  atomic_fetch_sub(&syncs_left, 1);
  return __real_fdatasync(fd);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
  if (replace_with && flags & O_DIRECT) rename(replace_with, path);
  return __real_open(path, flags, 0);
}

/* ---- a backend over one file ---- */

static char dir[64];
static char *content, *arena;
static const struct lsi_backend_ops *ops;
static struct lsi_backend *b;
static struct lsi_error error;
static struct lsi_handle handle;
static struct lsi_op all[OPS];

static void put(const char *name, char first) {
  FILE *f = fopen(name, "wb");
  assert_non_null(f);
  content[0] = first;
  assert_int_equal(fwrite(content, 1, SIZE, f), SIZE);
  fflush(f);
  fsync(fileno(f));
  fclose(f);
}

static int open_source(const struct lsi_backend_ops *backend, size_t arena_size) {
  ops = backend;
  lsi_error_clear(&error);
  if (ops->probe(&error) != 0) return LSIO_ERR_UNSUPPORTED;
  const struct lsi_backend_config config = {.queue_depth = OPS, .open_max = 4, .arena = arena, .wake = -1,
                                            .arena_size = arena_size, .workers = 1};
  int rc = ops->create(&config, &b, &error);
  if (rc) return rc;
  memset(&handle, 0, sizeof handle);
  const struct lsi_open order = {.name = "source", .direct = LSI_DIRECT_ALWAYS};
  rc = ops->open(b, &order, &handle, &error);
  if (rc) ops->destroy(b);
  return rc;
}

static void close_source(void) {
  struct lsi_object_info now;
  assert_int_equal(ops->close(b, &handle, &now), 0);
  ops->destroy(b);
}

static void prepare(struct lsi_op *op, uint64_t offset, char *to) {
  memset(to, 0xa5, LENGTH);
  *op = (struct lsi_op){.handle = &handle, .offset = offset, .buf = to, .length = LENGTH, .kind = LSI_OP_READ};
}

/* All operations at once; each must come back once. */
static void read_all(bool cancel) {
  struct lsi_op *list[OPS], *done[OPS];
  for (int i = 0; i < OPS; i++) {
    prepare(&all[i], (uint64_t)i * 3 * LENGTH, arena + (size_t)i * LENGTH);
    list[i] = &all[i];
  }
  assert_int_equal(ops->submit(b, list, OPS), OPS);
  if (cancel) ops->cancel(b);
  for (int n = 0; n < OPS;) {
    const int got = ops->reap(b, done, OPS, -1, &error);
    if (got < 0) fail_msg("%s", error.what);
    n += got;
    assert_true(n <= OPS);
  }
}

static void all_right(void) {
  for (int i = 0; i < OPS; i++) {
    if (all[i].result != LENGTH) fail_msg("%d: %lld, errno %d", i, (long long)all[i].result, all[i].os_code);
    assert_memory_equal(all[i].buf, content + all[i].offset, LENGTH);
  }
}

/* ---- tests ---- */

static void what_is_to_be_asked_again_is(void **state) {
  (void)state;
  static const int codes[] = {-EAGAIN, -EINTR};
  if (open_source(&lsi_backend_uring, OPS * LENGTH)) skip();
  for (size_t i = 0; i < LSI_COUNTOF(codes); i++)
    for (int for_ever = 0; for_ever < 2; for_ever++) {
      answer = codes[i];
      answers = for_ever ? 100000 : OPS;
      read_all(false);
      answers = 0;
      all_right();
    }
  close_source();
}

/* The kernel cancels by itself what it can start no thread for: then it is done here. What LSIO has cancelled
 * is told so. */
static void cancelled_by_whom(void **state) {
  (void)state;
  if (open_source(&lsi_backend_uring, OPS * LENGTH)) skip();
  answer = -ECANCELED;
  answers = OPS;
  read_all(false);
  all_right();
  answers = 2 * OPS;
  read_all(true);
  answers = 0;
  for (int i = 0; i < OPS; i++) {
    assert_int_equal(all[i].result, LSIO_ERR_CANCELLED);
    assert_int_equal(all[i].os_code, 0);
  }
  read_all(false);
  all_right();
  close_source();
}

/* What is registered is a part of the memory that buffers may lie in. */
static void buffers_that_end_behind_the_registered_memory(void **state) {
  (void)state;
  if (open_source(&lsi_backend_uring, OPS / 2 * LENGTH - LSI_ALIGN)) skip();
  read_all(false);
  all_right();
  close_source();
}

/* As overlay over squashfs does: the open works, the read does not. Nobody has ordered direct reads. */
static void refused_direct_reads_are_buffered(void **state) {
  (void)state;
  static const struct lsi_backend_ops *const both[] = {&lsi_backend_uring, &lsi_backend_pread};
  for (int i = 0; i < 2; i++) {
    if (open_source(both[i], OPS * LENGTH)) skip();
    lsi_linux_file(&handle)->flags &= ~(uint32_t)LSI_FILE_FORCED;
    answer = -EINVAL;
    answers = 1;
    atomic_store(&refuse_direct, true);
    read_all(false);
    answers = 0;
    atomic_store(&refuse_direct, false);
    all_right();
    close_source();
  }
}

static void a_file_that_is_replaced_between_two_opens(void **state) {
  (void)state;
  static const struct lsi_backend_ops *const both[] = {&lsi_backend_uring, &lsi_backend_pread};
  for (int i = 0; i < 2; i++) {
    if (open_source(both[i], OPS * LENGTH)) skip();
    close_source();
    put("other", 'x');
    replace_with = "other";
    const int rc = open_source(both[i], OPS * LENGTH);
    replace_with = NULL;
    assert_int_equal(rc, LSIO_ERR_UNSUPPORTED);
    put("source", 's');
  }
}

/* Results that go past the page cache: each is to be on the disk before it counts. */
static void a_result_that_is_not_durable_ends_the_job(void **state) {
  (void)state;
  static const char script[] = "local lsio = require 'lsio'\n"
                               "return lsio.job { source = lsio.files('source', { chunk = '64KiB' }), type = 'u8',\n"
                               "  sink = lsio.raw('out', { durability = 'each' }) }\n";
  static const char *const settings[] = {"workers=1", "direct=always"};
  const struct lsio_job_options o = {.struct_size = sizeof o, .script = script, .script_length = sizeof script - 1,
                                     .settings = settings, .n_settings = 2, .flags = LSIO_JOB_NO_ENV};
  lsio_context *context;
  assert_int_equal(lsio_context_create(NULL, &context, NULL), 0);
  for (int good = 0; good < 4; good += 3) {
    lsio_job *job = NULL;
    atomic_store(&syncs_left, good);
    const int rc = polled_submit(context, &o, &job, NULL);
    if (rc == LSIO_ERR_UNSUPPORTED) break; /* no direct reads here */
    assert_int_equal(rc, 0);
    assert_int_equal(polled_wait(job), LSIO_ERR_OUTPUT);
    atomic_store(&syncs_left, 1 << 30);
    assert_non_null(strstr(lsio_error_message(lsio_job_error(job)), "did not reach the disk"));
    struct lsio_progress p = {.struct_size = sizeof p};
    lsio_job_progress(job, &p);
    assert_int_equal(p.steps, good); /* what was on its way lands after that, but counts no more */
    assert_in_range(p.steps_failed, 1, p.steps_requested - good);
    polled_destroy(job);
    assert_int_not_equal(access("out", F_OK), 0);
  }
  atomic_store(&syncs_left, 1 << 30);
  lsio_context_destroy(context);
}

/* A result of many writes of which one at a time may be on its way. */
static void a_result_counts_when_all_of_it_is_there(void **state) {
  (void)state;
  static const char script[] = "local lsio = require 'lsio'\n"
                               "return lsio.job { source = lsio.files('source', { chunk = '2MiB' }), type = 'u8',\n"
                               "  sink = lsio.raw('out') }\n";
  static const char *const settings[] = {"workers=1", "direct=always", "queue-depth=1"};
  const struct lsio_job_options o = {.struct_size = sizeof o, .script = script, .script_length = sizeof script - 1,
                                     .settings = settings, .n_settings = 3, .flags = LSIO_JOB_NO_ENV};
  lsio_context *context;
  assert_int_equal(lsio_context_create(NULL, &context, NULL), 0);
  lsio_job *job = NULL;
  const int rc = polled_submit(context, &o, &job, NULL);
  if (rc == 0) {
    assert_int_equal(polled_wait(job), 0);
    struct lsio_progress p = {.struct_size = sizeof p};
    lsio_job_progress(job, &p);
    assert_int_equal(p.steps, 2);
    polled_destroy(job);
    char *got = malloc(SIZE);
    FILE *f = fopen("out", "rb");
    assert_non_null(f);
    assert_int_equal(fread(got, 1, SIZE, f), SIZE);
    assert_memory_equal(got, content, SIZE);
    fclose(f);
    free(got);
    unlink("out");
  }
  lsio_context_destroy(context);
  if (rc == LSIO_ERR_UNSUPPORTED) skip(); /* no direct reads here */
  assert_int_equal(rc, 0);
}

static int setup(void **state) {
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/lsio-linux-XXXXXX");
  if (!mkdtemp(dir) || chdir(dir) != 0) return -1;
  content = malloc(SIZE);
  arena = aligned_alloc(LSI_ALIGN, OPS * LENGTH);
  if (!content || !arena) return -1;
  uint32_t v = 1;
  for (size_t i = 0; i < SIZE; i++) content[i] = (char)((v = v * 1664525u + 1013904223u) >> 24);
  put("source", 's');
  return 0;
}

static int teardown(void **state) {
  (void)state;
  free(content);
  free(arena);
  unlink("source");
  unlink("other");
  return chdir("/") || rmdir(dir) || lsi_mem_live() ? -1 : 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_to_be_asked_again_is),
      cmocka_unit_test(cancelled_by_whom),
      cmocka_unit_test(buffers_that_end_behind_the_registered_memory),
      cmocka_unit_test(refused_direct_reads_are_buffered),
      cmocka_unit_test(a_file_that_is_replaced_between_two_opens),
      cmocka_unit_test(a_result_that_is_not_durable_ends_the_job),
      cmocka_unit_test(a_result_counts_when_all_of_it_is_there),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
