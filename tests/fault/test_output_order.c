/* The order of what a job calls for its output: what is durable has reached the disk before it has a name,
 * and the name before the job has ended; a name that somebody else takes at the last moment stays theirs. The
 * linker's --wrap puts this program between LSIO and the C library (tests/CMakeLists.txt). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "lsio.h"
#include "polled.h"

#define VALUES 6000
#define CHUNK 4000 /* bytes: 6 steps */
#define CALLS_MAX 500

/* ---- between LSIO and the C library ---- */

enum call { PWRITE, FTRUNCATE, FDATASYNC, RENAMEAT, RENAMEAT2, LINKAT, FSYNC };

static bool no_nameless, no_rename2; /* what the file system cannot do */
static bool appears; /* somebody makes a file "out" just before ours gets that name */

/* What was called, in order: one worker. */
static struct {
  enum call call;
  int fd;
} trace[CALLS_MAX];
static atomic_int traced;

static void note(enum call call, int fd) {
  const int at = atomic_fetch_add(&traced, 1);
  if (at < CALLS_MAX) trace[at].call = call, trace[at].fd = fd;
}

static void put_old(const char *name) {
  FILE *f = fopen(name, "wb");
  fputs("old", f);
  fclose(f);
}

#define WRAPPED(result, name, ...)       \
  result __real_##name(__VA_ARGS__);     \
  result __wrap_##name(__VA_ARGS__);     \
  result __wrap_##name(__VA_ARGS__)

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
  va_end(ap);
  if (no_nameless && (flags & O_TMPFILE) == O_TMPFILE) return errno = EOPNOTSUPP, -1;
  return __real_openat(dir, path, flags, mode);
}

WRAPPED(ssize_t, pwrite, int fd, const void *data, size_t length, off_t offset) {
  note(PWRITE, fd);
  return __real_pwrite(fd, data, length, offset);
}

WRAPPED(int, ftruncate, int fd, off_t length) {
  note(FTRUNCATE, fd);
  return __real_ftruncate(fd, length);
}

WRAPPED(int, fdatasync, int fd) {
  note(FDATASYNC, fd);
  return __real_fdatasync(fd);
}

WRAPPED(int, fsync, int fd) {
  note(FSYNC, fd);
  return __real_fsync(fd);
}

WRAPPED(int, renameat, int from, const char *old, int to, const char *name) {
  note(RENAMEAT, to);
  return __real_renameat(from, old, to, name);
}

WRAPPED(int, linkat, int from, const char *old, int to, const char *name, int flags) {
  note(LINKAT, to);
  if (appears && strcmp(name, "out") == 0) put_old("out");
  return __real_linkat(from, old, to, name, flags);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
  long a[6];
  va_list ap;
  va_start(ap, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(ap, long);
  va_end(ap);
  if (number == SYS_renameat2) {
    if (no_rename2) return errno = EINVAL, -1;
    note(RENAMEAT2, -1);
    if (appears) put_old("out");
  }
  return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- jobs ---- */

static char dir[64];
static lsio_context *context;
static float values[VALUES];

struct scene {
  const char *sink, *options; /* Lua: how the call that makes the sink begins; its options */
  const char *more; /* keys of the job */
  size_t files;
};

#define COPY "out_max = 1000, transform = function(c) lsio.k.copy(c.data, c.n, c.out) return c.n end,"

static const struct scene scenes[] = {
    {"lsio.npy('out'", "", "", 1},
    {"lsio.raw('out'", "durability = 'each',", "", 1},
    {"lsio.npy('out'", "durability = 'none',", "", 1},
    {"lsio.npy('out'", "", COPY, 1},
    {"lsio.raw('out'", "order = 'completed', durability = 'each',", COPY, 2},
    {"lsio.npy('out'", "order = 'completed',", COPY, 2},
};

struct outcome {
  int rc;
  char message[1700];
};

static struct outcome run_job(const struct scene *s, bool replace) {
  char script[640];
  snprintf(script, sizeof script,
           "local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files('a.f32', { chunk = %d }),\n"
           " type = 'f32', %s sink = %s, { %s %s }) }\n",
           CHUNK, s->more, s->sink, s->options, replace ? "exists = 'replace'" : "");
  static const char *const settings[] = {"workers=1", "memory=64MiB", "merge=never"};
  struct lsio_job_options o = {.struct_size = sizeof o, .script = script,
                               .script_length = strlen(script), .script_name = "job.lua",
                               .settings = settings, .n_settings = 3, .flags = LSIO_JOB_NO_ENV};
  struct outcome out = {0};
  lsio_job *job = NULL;
  atomic_store(&traced, 0);
  out.rc = polled_submit(context, &o, &job, NULL);
  if (!out.rc) out.rc = polled_wait(job);
  if (job && lsio_job_error(job))
    snprintf(out.message, sizeof out.message, "%s", lsio_error_message(lsio_job_error(job)));
  polled_destroy(job);
  return out;
}

static bool is_old(const char *name) {
  char text[64] = "";
  FILE *f = fopen(name, "rb");
  const size_t n = f ? fread(text, 1, sizeof text, f) : 0;
  if (f) fclose(f);
  return n == 3 && memcmp(text, "old", 3) == 0;
}

static int count_files(void) {
  int n = 0;
  DIR *d = opendir(".");
  for (struct dirent *e; (e = readdir(d));) n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
  closedir(d);
  return n;
}

static void remove_all(void) {
  DIR *d = opendir(".");
  for (struct dirent *e; (e = readdir(d));)
    if (e->d_name[0] != 'a') unlink(e->d_name);
  closedir(d);
}

static bool names_something(enum call call) {
  return call == LINKAT || call == RENAMEAT || call == RENAMEAT2;
}

/* What is durable has reached the disk before it has a name, and the name before the job has ended. */
static void check_order(const struct scene *s) {
  const bool durable = !strstr(s->options, "'none'");
  const int n = atomic_load(&traced);
  int written = -1, named = n, last_name = -1, syncs = 0, files = 0;
  assert_in_range(n, 1, CALLS_MAX);
  for (int i = 0; i < n; i++)
    if (trace[i].call == PWRITE || trace[i].call == FTRUNCATE) written = i;
  for (int i = n - 1; i > written; i--)
    if (names_something(trace[i].call)) named = i;
  for (int i = 0; i < n; i++)
    if (names_something(trace[i].call)) last_name = i;
  assert_true(written >= 0 && named < n);
  for (int i = 0; i < named; i++) {
    int last = i; /* call on its file before the name */
    if (trace[i].call != PWRITE && trace[i].call != FTRUNCATE) continue;
    for (int k = i + 1; k < named; k++)
      if (trace[k].fd == trace[i].fd && !names_something(trace[k].call)) last = k;
    if (durable && trace[last].call != FDATASYNC && trace[last].call != FSYNC)
      fail_msg("%s, %s: a file is named unsynced", s->sink, s->options);
  }
  for (int i = 0; i < n; i++) syncs += trace[i].call == FDATASYNC;
  for (int i = last_name; i < n; i++) files += trace[i].call == FSYNC;
  const bool each = strstr(s->options, "'each'") != NULL;
  assert_in_range(syncs, durable ? s->files + each : 0, durable ? CALLS_MAX : 0);
  assert_int_equal(files > 0, durable); /* the folder */
}

static void test_durable_before_it_is_named(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
    for (int way = 0; way < 4; way++) {
      remove_all();
      no_nameless = way & 1;
      if (way & 2) put_old("out");
      const struct outcome o = run_job(&scenes[i], way & 2);
      if (o.rc) fail_msg("%s", o.message);
      check_order(&scenes[i]);
    }
  no_nameless = false;
}

static void test_a_name_that_is_taken_at_last(void **state) {
  (void)state;
  appears = true;
  for (int way = 0; way < 3; way++) {
    remove_all();
    no_nameless = way > 0;
    no_rename2 = way > 1;
    const struct outcome o = run_job(&scenes[0], false);
    assert_int_equal(o.rc, LSIO_ERR_OUTPUT);
    assert_non_null(strstr(o.message, "exists already"));
    assert_true(is_old("out"));
    assert_int_equal(count_files(), 2);
  }
  appears = no_nameless = no_rename2 = false;
}

static int setup(void **state) {
  (void)state;
  snprintf(dir, sizeof dir, "%s/lsio-order-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  if (!mkdtemp(dir) || chdir(dir) != 0) return -1;
  for (int i = 0; i < VALUES; i++) values[i] = (float)i;
  FILE *f = fopen("a.f32", "wb");
  if (!f || fwrite(values, 1, sizeof values, f) != sizeof values) return -1;
  return fclose(f) != 0 || lsio_context_create(NULL, &context, NULL) != 0;
}

static int teardown(void **state) {
  (void)state;
  lsio_context_destroy(context);
  remove_all();
  unlink("a.f32");
  return chdir("/") || rmdir(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_durable_before_it_is_named),
      cmocka_unit_test(test_a_name_that_is_taken_at_last),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
