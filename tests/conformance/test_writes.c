/* One suite for every backend that writes, on file systems with O_DIRECT: what core/seams/backend.h promises of
 * LSI_OP_WRITE. Each test writes to a file that is full of a pattern, and looks at all of it afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "seams/backend.h"
#include "confined.h"
#include "ground/mem.h"
#include "linux/linux_handle.h"
#include "list.h"
#include "seams/os.h"

#define DEPTH 32u
#define PAGES 512u /* of the file */
#define BYTES (PAGES * LSI_ALIGN)
#define OLD 0x33

struct variant {
  const struct lsi_backend_ops *backend;
  const char *at;
  bool arena; /* what is written lies in registered memory */
};

static const struct variant variants[] = {
    {&lsi_backend_uring, "/tmp", true},     {&lsi_backend_uring, "/tmp", false},     {&lsi_backend_uring, "/dev/shm", false},
    {&lsi_backend_pread, "/tmp", false},    {&lsi_backend_pread, "/dev/shm", false},
};

static struct stage {
  const struct variant *v;
  const struct lsi_backend_ops *ops;
  struct lsi_backend *b;
  struct lsi_backend_config config;
  struct lsi_error err;
  char path[64];
  struct lsi_handle h;
  struct lsi_linux_file *file; /* in h */
  char *memory; /* what is written: as long as the file, page for page */
  uint64_t rng;
  bool written[PAGES];
} stage;

static uint64_t draw(struct stage *s, uint64_t below) {
  uint64_t z = (s->rng += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) % below;
}

static bool make_file(struct stage *s) {
  snprintf(s->path, sizeof s->path, "%s/lsio-writes-XXXXXX", s->v->at);
  const int fd = mkstemp(s->path);
  if (fd < 0) return false;
  char page[LSI_ALIGN];
  memset(page, OLD, sizeof page);
  for (unsigned i = 0; i < PAGES; i++)
    if (write(fd, page, sizeof page) != sizeof page) return false;
  s->h.direct = true;
  s->file->fd = fd;
  s->file->direct = open(s->path, O_RDWR | O_DIRECT | O_CLOEXEC);
  s->file->align = LSI_ALIGN;
  return s->file->direct >= 0;
}

static int set_up(void **state) {
  struct stage *s = &stage;
  memset(s, 0, sizeof *s);
  s->v = *state;
  s->rng = 7;
  s->file = lsi_linux_file(&s->h);
  lsi_linux_file_init(s->file, -1);
  *state = s;
  s->ops = s->v->backend;
  assert_true(s->ops->caps & LSI_CAP_WRITES);
  s->memory = lsi_os_map(BYTES);
  assert_non_null(s->memory);
  for (size_t i = 0; i < BYTES; i += 8) *(uint64_t *)(s->memory + i) = draw(s, UINT64_MAX);
  if (s->ops->probe(&s->err) < 0 || !make_file(s)) return 0; /* skipped */
  s->config = (struct lsi_backend_config){.queue_depth = DEPTH, .open_max = 4, .workers = 1, .wake = -1};
  if (s->v->arena) s->config.arena = s->memory, s->config.arena_size = BYTES;
  int rc = s->ops->create(&s->config, &s->b, &s->err);
  return rc < 0 && rc != LSIO_ERR_UNSUPPORTED;
}

static int tear_down(void **state) {
  struct stage *s = *state;
  if (s->b) s->ops->destroy(s->b);
  if (s->file->fd >= 0) close(s->file->fd);
  if (s->file->direct >= 0) close(s->file->direct);
  if (s->path[0]) unlink(s->path);
  lsi_os_unmap(s->memory, BYTES);
  return 0;
}

static struct stage *ready(void **state) {
  struct stage *s = *state;
  if (!s->b) skip();
  return s;
}

static void write_op(struct stage *s, struct lsi_op *op, uint32_t page, uint32_t pages) {
  *op = (struct lsi_op){.handle = &s->h, .offset = (uint64_t)page * LSI_ALIGN,
                        .buf = s->memory + (size_t)page * LSI_ALIGN, .length = pages * LSI_ALIGN,
                        .kind = LSI_OP_WRITE, .exact = true};
}

static void run_one(struct stage *s, struct lsi_op *op) {
  struct lsi_op *done[4] = {NULL};
  assert_int_equal(s->ops->submit(s->b, &op, 1), 1);
  int n = 0;
  while (n == 0) n = s->ops->reap(s->b, done, 4, -1, &s->err);
  assert_int_equal(n, 1);
  assert_ptr_equal(done[0], op);
}

/* Through the page cache: it must know of what went round it. */
static void check_file(struct stage *s) {
  char page[LSI_ALIGN], old[LSI_ALIGN];
  memset(old, OLD, sizeof old);
  for (unsigned i = 0; i < PAGES; i++) {
    assert_int_equal(pread(s->file->fd, page, sizeof page, (off_t)i * LSI_ALIGN), LSI_ALIGN);
    assert_memory_equal(page, s->written[i] ? s->memory + (size_t)i * LSI_ALIGN : old, LSI_ALIGN);
  }
}

static void writes_pages_and_nothing_else(void **state) {
  struct stage *s = ready(state);
  static const uint32_t runs[][2] = {{0, 1}, {3, 1}, {5, 17}, {100, 256}, {PAGES - 1, 1}};
  for (size_t i = 0; i < LSI_COUNTOF(runs); i++) {
    struct lsi_op op;
    write_op(s, &op, runs[i][0], runs[i][1]);
    run_one(s, &op);
    assert_int_equal(op.result, runs[i][1] * LSI_ALIGN);
    assert_true(op.uncopied);
    for (uint32_t p = 0; p < runs[i][1]; p++) s->written[runs[i][0] + p] = true;
    check_file(s);
  }
}

/* All pages in random runs and order, as many in flight as there is room for. */
static void many_in_flight_come_back_once(void **state) {
  struct stage *s = ready(state);
  static struct lsi_op ops[PAGES];
  struct lsi_op *queue[PAGES];
  bool seen[PAGES] = {false};
  int n = 0, next = 0, back = 0;
  for (uint32_t page = 0; page < PAGES; n++) {
    const uint32_t run = 1 + (uint32_t)draw(s, LSI_MIN(PAGES - page, 9u));
    write_op(s, &ops[n], page, run);
    page += run;
  }
  for (int i = 0; i < n; i++) queue[i] = &ops[i];
  for (int i = n - 1; i > 0; i--) {
    const int k = (int)draw(s, (uint64_t)i + 1);
    struct lsi_op *t = queue[i];
    queue[i] = queue[k], queue[k] = t;
  }
  while (back < n) {
    if (next < n) next += s->ops->submit(s->b, queue + next, 1 + (int)draw(s, (uint64_t)(n - next)));
    assert_in_range(next - back, 0, DEPTH);
    struct lsi_op *done[8];
    const int got = s->ops->reap(s->b, done, 8, draw(s, 2) ? -1 : 0, &s->err);
    assert_in_range(got, 0, 8);
    for (int i = 0; i < got; i++, back++) {
      assert_false(seen[done[i] - ops]);
      seen[done[i] - ops] = true;
      assert_int_equal(done[i]->result, done[i]->length);
    }
  }
  memset(s->written, true, sizeof s->written);
  check_file(s);
}

static void cancel_brings_all_back(void **state) {
  struct stage *s = ready(state);
  static struct lsi_op ops[DEPTH];
  for (unsigned round = 0; round < 3; round++) {
    struct lsi_op *batch[DEPTH];
    for (uint32_t i = 0; i < DEPTH; i++) write_op(s, &ops[i], i * 16, 16), batch[i] = &ops[i];
    const int taken = s->ops->submit(s->b, batch, DEPTH);
    s->ops->cancel(s->b);
    for (int left = taken; left;) {
      struct lsi_op *done[8];
      const int got = s->ops->reap(s->b, done, 8, -1, &s->err);
      assert_in_range(got, 1, left);
      for (int i = 0; i < got; i++)
        if (done[i]->result != LSIO_ERR_CANCELLED) assert_int_equal(done[i]->result, done[i]->length);
      left -= got;
    }
  }
}

/* A file system that takes the flag and refuses the write: an alignment of 1 lets it come to that. */
static void turns_buffered_where_direct_is_refused(void **state) {
  struct stage *s = ready(state);
  struct lsi_op op;
  s->file->align = 1;
  write_op(s, &op, 8, 4);
  op.buf = (char *)op.buf + 8;
  run_one(s, &op);
  if (op.result == op.length && op.uncopied) skip(); /* any alignment will do here */
  assert_int_equal(op.result, op.length);
  assert_false(op.uncopied);
  assert_int_equal(s->file->align, 0);
  memmove(s->memory + 8 * LSI_ALIGN, op.buf, op.length);
  for (uint32_t i = 8; i < 12; i++) s->written[i] = true;
  check_file(s);
  write_op(s, &op, 20, 2); /* and stays so */
  run_one(s, &op);
  assert_int_equal(op.result, op.length);
  assert_false(op.uncopied);
  s->written[20] = s->written[21] = true;
  check_file(s);
}

static void tells_errors(void **state) {
  struct stage *s = ready(state);
  struct lsi_op op;
  const int good = s->file->direct;
  s->file->direct = open(s->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
  write_op(s, &op, 0, 4);
  run_one(s, &op);
  assert_int_equal(op.result, LSIO_ERR_IO);
  assert_int_equal(op.os_code, EBADF);
  close(s->file->direct);
  s->file->direct = good;
  check_file(s);
}

/* In a child: cmocka's asserts do not work there. */
static int beyond_the_limit(void *arg) {
  struct stage *s = arg;
  const struct rlimit limit = {10 * LSI_ALIGN, 10 * LSI_ALIGN};
  struct lsi_error err = {0};
  struct lsi_backend *b;
  signal(SIGXFSZ, SIG_IGN); /* workers have it blocked */
  if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || !(s->memory = lsi_os_map(BYTES))) return 1;
  s->config.arena = NULL;
  if (s->ops->create(&s->config, &b, &err) != 0) return 50;
  struct lsi_op op, *p = &op, *done[1];
  for (uint32_t i = 0; i < 2; i++) { /* across the limit: what fits, then nothing more */
    write_op(s, &op, 8 + 2 * i, 8);
    if (s->ops->submit(b, &p, 1) != 1 || s->ops->reap(b, done, 1, -1, &err) != 1) return 2;
    if (i == 0 && op.result != 2 * LSI_ALIGN) return 3;
    if (i == 1 && (op.result != LSIO_ERR_IO || op.os_code != EFBIG)) return 4;
  }
  s->ops->destroy(b);
  return 0;
}

static void tells_short_writes(void **state) {
  struct stage *s = ready(state);
  const struct confinement c = {0};
  const int rc = run_confined(&c, beyond_the_limit, s);
  if (rc == 50) skip();
  assert_int_equal(rc, 0);
}

static const struct {
  const char *name;
  void (*fn)(void **state);
} tests[] = {
#define T(fn) {#fn, fn}
    T(writes_pages_and_nothing_else), T(many_in_flight_come_back_once), T(cancel_brings_all_back),
    T(turns_buffered_where_direct_is_refused), T(tells_errors), T(tells_short_writes),
#undef T
};

int main(void) {
  static struct CMUnitTest all[LSI_COUNTOF(tests) * LSI_COUNTOF(variants)];
  static char names[LSI_COUNTOF(all)][96];
  size_t n = 0;
  for (size_t v = 0; v < LSI_COUNTOF(variants); v++)
    for (size_t t = 0; t < LSI_COUNTOF(tests); t++, n++) {
      snprintf(names[n], sizeof names[n], "%s, %s%s: %s", variants[v].backend->name, variants[v].at,
               variants[v].arena ? ", registered" : "", tests[t].name);
      all[n] = (struct CMUnitTest){names[n], tests[t].fn, set_up, tear_down, (void *)&variants[v]};
    }
  return _cmocka_run_group_tests("writes", all, n, NULL, NULL);
}
