/* Whole jobs over a backend whose N-th operation fails, for every N: reads and writes with an errno, short
 * or to be asked again; objects that cannot be opened or closed; and a backend that breaks while
 * operations are in flight. Each job ends with an error that names object and offset, or with the right
 * output; nothing is left of it, and no block is lost. This program's list of stores takes the place of
 * backends/linux/list.c: files by io_uring, or where that is refused the threads of pread, with faults in between. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/context.h"
#include "ground/mem.h"
#include "list.h"
#include "polled.h"

#define CHUNK 131472 /* bytes: whole pages and an edge, enough to be written past the page cache */
#define VALUES (3 * CHUNK / 4) /* of each file */
#define FILES 2
#define CALLS_MAX 400
#define SHORT (-1) /* instead of an errno */

/* ---- the backend ---- */

enum call { READ, WRITE, OPEN, CLOSE, REAP, CALLS };
static const char *const names[CALLS] = {"read", "write", "open", "close", "reap"};

static enum call failing;
static atomic_int counted, fail_at, fail_code; /* of `failing` only */
static atomic_bool fail_forever;
static atomic_int hits;

static struct lsi_backend_ops faulty;
static const struct lsi_backend_ops *real;

static const struct lsi_backend_ops *const backends[] = {&faulty, NULL};
static struct lsi_store files; /* as the real one, but for its backends */
const struct lsi_store *const lsi_stores[] = {&files, NULL};

static bool fails(enum call call) {
  if (call != failing) return false;
  const int n = atomic_fetch_add(&counted, 1) + 1, at = atomic_load(&fail_at);
  if (!at || n < at || (n > at && !atomic_load(&fail_forever))) return false;
  atomic_fetch_add(&hits, 1);
  return true;
}

/* What was done stays done: an operation may have reached the disk and be reported as failed. */
static void spoil(struct lsi_op *op) {
  if (op->result <= 0 || !fails(op->kind == LSI_OP_WRITE ? WRITE : READ)) return;
  const int code = atomic_load(&fail_code);
  const int64_t part = op->result / 2 / 4096 * 4096;
  if (code == SHORT && part) op->result = part;
  if (code == SHORT) return;
  op->result = LSIO_ERR_IO;
  op->os_code = code;
}

static int faulty_reap(struct lsi_backend *b, struct lsi_op **done, int max, int64_t timeout_ns,
                       struct lsi_error *err) {
  if (fails(REAP)) return lsi_fail(err, LSIO_ERR_IO, EBADF, "the backend is broken");
  int n = real->reap(b, done, max, timeout_ns, err);
  for (int i = 0; i < n; i++) spoil(done[i]);
  return n;
}

static int faulty_open(struct lsi_backend *b, const struct lsi_open *order, struct lsi_handle *h,
                       struct lsi_error *err) {
  if (!fails(OPEN)) return real->open(b, order, h, err);
  lsi_fail(err, LSIO_ERR_IO, atomic_load(&fail_code), "a file can't be opened");
  lsi_error_at(err, order->name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return LSIO_ERR_IO;
}

static int faulty_close(struct lsi_backend *b, struct lsi_handle *h, struct lsi_object_info *now) {
  int rc = real->close(b, h, now);
  return fails(CLOSE) ? LSIO_ERR_IO : rc;
}

/* ---- jobs ---- */

static char dir[64];
static lsio_context *context;
static float values[FILES][VALUES];

struct scene {
  const char *keys, *direct;
  size_t header; /* of `out` */
  size_t files;  /* that success leaves */
  bool doubled, fills;
};

static const struct scene scenes[] = {
    {"sink = lsio.npy('out', { durability = 'none' }),", "direct=always", 4096, 1, false, false},
    {"sink = lsio.raw('out', { durability = 'none' }), transform = function(c)\n"
     " lsio.k.scale_offset(c.data, c.n, c.out, 2, 0) end,", "direct=always", 0, 1, true, false},
    {"sink = lsio.npy('out', { durability = 'none' }), on_error = 'skip', fill = -1,", "direct=never", 4096,
     1, false, true},
    {"sink = lsio.npy('out', { durability = 'none' }), out_max = 32868, transform = function(c)\n"
     " lsio.k.scale_offset(c.data, c.n, c.out, 2, 0) return c.n end,", "direct=auto", 4096, 1, true, false},
    {"sink = lsio.raw('out', { order = 'completed', durability = 'none' }), on_error = 'skip', out_max = 32868,\n"
     " transform = function(c) lsio.k.scale_offset(c.data, c.n, c.out, 2, 0) return c.n end,",
     "direct=always", 0, 2, true, false},
};

struct outcome {
  int rc, exit_code, os_code;
  uint64_t offset;
  char object[400], message[1700];
};

static void note(struct outcome *out, int rc, const lsio_error *e) {
  out->rc = rc;
  if (!e) return;
  out->os_code = lsio_error_os_code(e);
  out->offset = lsio_error_offset(e);
  snprintf(out->object, sizeof out->object, "%s", lsio_error_object(e));
  snprintf(out->message, sizeof out->message, "%s", lsio_error_message(e));
}

static struct outcome run_job(const struct scene *s, const char *workers) {
  char script[1024];
  snprintf(script, sizeof script,
           "local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files('*.f32', { chunk = %d }),\n"
           " type = 'f32', %s }\n", CHUNK, s->keys);
  char backend[32];
  snprintf(backend, sizeof backend, "backend=%s", faulty.name);
  const char *const settings[] = {workers, "memory=64MiB", "merge=never", s->direct, backend};
  struct lsio_job_options o = {.struct_size = sizeof o, .script = script,
                               .script_length = strlen(script), .script_name = "job.lua",
                               .settings = settings, .n_settings = 5, .flags = LSIO_JOB_NO_ENV};
  struct outcome out = {0};
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  const int rc = polled_submit(context, &o, &job, &error);
  if (rc) {
    note(&out, rc, error);
  } else {
    const int status = polled_wait(job);
    note(&out, status, lsio_job_error(job));
    out.exit_code = lsio_job_exit_code(job);
    if (out.exit_code == 1 && !out.rc) { /* what was skipped */
      note(&out, 0, lsio_job_step_error(job, 0));
      assert_string_not_equal(out.object, "");
    }
  }
  lsio_error_free(error);
  polled_destroy(job);
  lsi_crew_trim(context->crew); /* its threads keep nothing for the next job */
  return out;
}

/* ---- checks ---- */

static int left(const char *prefix) {
  int n = 0;
  DIR *d = opendir(".");
  for (struct dirent *e; (e = readdir(d));) n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
  closedir(d);
  return n;
}

/* The right elements; with `skipped`, any step may hold the fill or be left out. */
static bool output_is_right(const struct scene *s, bool skipped) {
  static float got[FILES * VALUES + 4096];
  FILE *f = fopen("out", "rb");
  if (!f) return false;
  if (s->header) fseek(f, (long)s->header, SEEK_SET);
  const size_t n = fread(got, sizeof *got, sizeof got / sizeof *got, f), step = CHUNK / sizeof *got;
  fclose(f);
  if ((!skipped || s->fills) && n != (size_t)FILES * VALUES) return false;
  if (n % step) return false;
  for (size_t at = 0; at < n; at += step) {
    /* The value tells which step it is: they may come in any order, or be missing. */
    const bool filled = skipped && s->fills && got[at] == -1;
    const float first = filled ? -1 : s->doubled ? got[at] / 2 : got[at];
    if (!filled && (size_t)first % step) return false;
    for (size_t i = 0; i < step; i++)
      if (got[at + i] != (filled ? -1 : (first + (float)i) * (s->doubled ? 2 : 1))) return false;
  }
  return true;
}

static void check(const struct scene *s, const struct outcome *o, const char *where) {
  const int code = atomic_load(&fail_code);
  const bool again = code == SHORT || code == EAGAIN || code == EINTR;
  const bool skips = strstr(s->keys, "skip") != NULL;
  if (!o->rc) {
    if (!output_is_right(s, o->exit_code == 1)) fail_msg("%s: wrong output", where);
    if ((size_t)left("out") != s->files) fail_msg("%s: %d outputs", where, left("out"));
  } else {
    if (left("out") || left(".out")) fail_msg("%s: files are left after %s", where, o->message);
  }
  if (again && failing <= WRITE && !atomic_load(&fail_forever) && (o->rc || o->exit_code))
    fail_msg("%s: %s", where, o->message);
  if (!o->rc && !o->exit_code) return;
  if (!o->rc && !(skips && o->exit_code == 1)) fail_msg("%s: exit %d", where, o->exit_code);
  /* What a close says is what became of the object meanwhile. */
  const int wanted = failing == WRITE ? LSIO_ERR_OUTPUT : LSIO_ERR_IO;
  if (o->rc && o->rc != wanted) fail_msg("%s: %s: %s", where, lsio_error_name(o->rc), o->message);
  if (failing == REAP) return;
  if (o->os_code != code && code != SHORT && failing != CLOSE)
    fail_msg("%s: errno %d: %s", where, o->os_code, o->message);
  const bool source = strstr(o->object, ".f32") != NULL;
  if (failing == WRITE ? strcmp(o->object, "out") != 0 : !source)
    fail_msg("%s: about '%s': %s", where, o->object, o->message);
  if (failing <= WRITE && o->offset >= FILES * VALUES * 4 + 4096)
    fail_msg("%s: no offset: %s", where, o->message);
}

static void clean(void) {
  unlink("out");
  unlink("out.index.npy");
}

static void sweep(const struct scene *s, enum call call, int code, bool forever, const char *workers) {
  failing = call;
  for (int n = 1; n < CALLS_MAX; n++) {
    char where[200];
    snprintf(where, sizeof where, "%.60s %s %s: %s %d%s answers %d", s->keys, s->direct, workers,
             names[call], n, forever ? " and later ones" : "", code);
    clean();
    const int64_t live = lsi_mem_live();
    atomic_store(&fail_code, code);
    atomic_store(&fail_forever, forever);
    atomic_store(&counted, 0);
    atomic_store(&fail_at, n);
    const struct outcome o = run_job(s, workers);
    atomic_store(&fail_at, 0);
    check(s, &o, where);
    if (lsi_mem_live() != live) fail_msg("%s: %d blocks lost", where, (int)(lsi_mem_live() - live));
    if (atomic_load(&counted) >= n) continue;
    if (o.rc || o.exit_code) fail_msg("%s: nothing was made to fail: %s", where, o.message);
    return;
  }
  fail_msg("the sweep never ends");
}

static void sweep_all(enum call call, const int *codes, size_t n) {
  const int before = atomic_load(&hits);
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
    for (size_t c = 0; c < n; c++)
      for (int k = 0; k < (c ? 1 : 3); k++) /* the first code in more ways */
        sweep(&scenes[i], call, codes[c], k == 1, k ? "workers=2" : "workers=1");
  if (atomic_load(&hits) == before) skip(); /* no direct writes here */
}

#define SWEEP(name, call, ...)                                   \
  static void name(void **state) {                               \
    (void)state;                                                 \
    static const int codes[] = {__VA_ARGS__};                    \
    sweep_all(call, codes, sizeof codes / sizeof *codes);        \
  }

static void use(const struct lsi_backend_ops *ops) {
  real = ops;
  files = lsi_store_file;
  files.backends = backends;
  faulty = *real;
  faulty.open = faulty_open;
  faulty.close = faulty_close;
  faulty.reap = faulty_reap;
}

SWEEP(test_reads, READ, EIO, SHORT, EAGAIN, EINTR)
SWEEP(test_direct_writes, WRITE, EIO, ENOSPC, SHORT, EAGAIN)
SWEEP(test_opening, OPEN, EIO, EACCES)
SWEEP(test_closing, CLOSE, EIO)
SWEEP(test_backend_that_breaks, REAP, EBADF)

/* What a job gets its array at, NULL when it fails. The array is larger than any other block of memory. */
static const void *array_of(void) {
  static const char script[] = "local lsio = require 'lsio'\nlocal all = {}\n"
                               "for i = 1, 12 do all[2 * i - 1], all[2 * i] = '0.f32', '1.f32' end\n"
                               "return lsio.job { source = lsio.files(all, { chunk = 65536 }), type = 'f32',\n"
                               " sink = lsio.memory() }\n";
  struct lsio_job_options o = {.struct_size = sizeof o, .script = script, .script_length = sizeof script - 1,
                               .flags = LSIO_JOB_NO_ENV};
  lsio_job *job = NULL;
  struct lsio_array a = {.struct_size = sizeof a};
  assert_int_equal(polled_submit(context, &o, &job, NULL), 0);
  if (polled_wait(job) == 0) {
    assert_int_equal(lsio_job_output(job, &a), 0);
    assert_memory_equal(a.data, values[0], sizeof values[0]);
  }
  polled_destroy(job);
  return a.data;
}

/* Arrays are used again, but not those into which the kernel may still read. */
static void test_arrays_of_jobs_that_break(void **state) {
  (void)state;
  failing = REAP;
  const int64_t live = polled_live(context);
  const void *first = array_of();
  assert_ptr_equal(array_of(), first);
  atomic_store(&fail_forever, true);
  atomic_store(&counted, 0);
  atomic_store(&fail_at, 1);
  assert_null(array_of());
  atomic_store(&fail_at, 0);
  assert_ptr_not_equal(array_of(), first);
  *(char *)(uintptr_t)first = 1; /* as the kernel might */
  lsi_crew_trim(context->crew);
  assert_int_equal(polled_live(context), live);
}

static int setup(void **state) {
  (void)state;
  struct lsi_error err;
  lsi_error_clear(&err);
  use(lsi_backend_uring.probe(&err) == 0 ? &lsi_backend_uring : &lsi_backend_pread);
  snprintf(dir, sizeof dir, "/tmp/lsio-backend-XXXXXX");
  if (!mkdtemp(dir) || chdir(dir) != 0) return -1;
  for (int f = 0; f < FILES; f++) {
    char name[16];
    snprintf(name, sizeof name, "%d.f32", f);
    for (int i = 0; i < VALUES; i++) values[f][i] = (float)(f * VALUES + i);
    FILE *out = fopen(name, "wb");
    if (!out || fwrite(values[f], 1, sizeof values[f], out) != sizeof values[f] || fclose(out)) return -1;
  }
  if (lsio_context_create(NULL, &context, NULL) != 0) return -1;
  run_job(&scenes[1], "workers=2"); /* what is kept from job to job is there: states of Lua, memory */
  return 0;
}

static int teardown(void **state) {
  (void)state;
  lsio_context_destroy(context);
  clean();
  unlink("0.f32");
  unlink("1.f32");
  return chdir("/") || rmdir(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reads),   cmocka_unit_test(test_direct_writes),
      cmocka_unit_test(test_opening), cmocka_unit_test(test_closing),
      cmocka_unit_test(test_backend_that_breaks),
      cmocka_unit_test(test_arrays_of_jobs_that_break),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
