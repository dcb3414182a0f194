/* Whole jobs while the N-th system call on their output fails, for every N, once or from then on, with
 * each errno that disks and quotas answer: the job ends with an output error that names the path and
 * says what to do, nothing is left of it, and what stood under its name before stands there still; or
 * there was another way and the output is right. The linker's --wrap puts this program between LSIO and
 * the C library (tests/CMakeLists.txt). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "lsio.h"
#include "ground/mem.h"
#include "polled.h"

#define VALUES 6000
#define CHUNK 4000 /* bytes: 6 steps */
#define CALLS_MAX 500
#define SHORT_WRITE 10000 /* instead of an errno: a write that takes only a part */

/* ---- between LSIO and the C library ---- */

enum call {
  OPENAT, LOOK, FALLOCATE, PWRITE, FTRUNCATE, FDATASYNC, RENAMEAT, RENAMEAT2, LINKAT, FSYNC, READLINKAT, FCHOWN,
  FCHMOD, GETXATTR, FSETXATTR, FREMOVEXATTR, CALLS
};
static const char *const names[CALLS] = {
    "openat", "openat (a look)", "fallocate", "pwrite", "ftruncate", "fdatasync", "renameat", "renameat2",
    "linkat", "fsync", "readlinkat", "fchown", "fchmod", "getxattr", "fsetxattr", "fremovexattr"};

static atomic_int counted;      /* calls since the start of the job */
static atomic_int fail_at;      /* 0 = none */
static atomic_bool fail_forever;
static atomic_int fail_code;
static atomic_int failed_call;  /* the last that was made to fail, -1 = none */
static bool no_nameless, no_links, no_rename2; /* what the file system cannot do */
static int reached[CALLS];

static bool fails(enum call call) {
  const int n = atomic_fetch_add(&counted, 1) + 1, at = atomic_load(&fail_at);
  if (!at || n < at || (n > at && !atomic_load(&fail_forever))) return false;
  const int code = atomic_load(&fail_code);
  if (code == SHORT_WRITE && call != PWRITE) return false;
  /* These are asked again at once, and never answer so for ever; the others never do. */
  if (code == EINTR && call != PWRITE && call != FTRUNCATE && call != FALLOCATE) return false;
  atomic_store(&failed_call, call);
  errno = code;
  return true;
}

#define WRAPPED(result, name, ...)       \
  result __real_##name(__VA_ARGS__);     \
  result __wrap_##name(__VA_ARGS__);     \
  result __wrap_##name(__VA_ARGS__)

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...) {
  if (!(flags & O_CREAT) && (flags & O_TMPFILE) != O_TMPFILE)
    return flags & (O_PATH | O_DIRECTORY) && fails(LOOK) ? -1 : __real_openat(dir, path, flags);
  va_list ap;
  va_start(ap, flags);
  const mode_t mode = va_arg(ap, mode_t);
  va_end(ap);
  if (no_nameless && (flags & O_TMPFILE) == O_TMPFILE) return errno = EOPNOTSUPP, -1;
  return fails(OPENAT) ? -1 : __real_openat(dir, path, flags, mode);
}

WRAPPED(int, fallocate, int fd, int mode, off_t offset, off_t length) {
  return fails(FALLOCATE) ? -1 : __real_fallocate(fd, mode, offset, length);
}

WRAPPED(ssize_t, pwrite, int fd, const void *data, size_t length, off_t offset) {
  if (!fails(PWRITE)) return __real_pwrite(fd, data, length, offset);
  if (errno != SHORT_WRITE) return -1;
  return __real_pwrite(fd, data, length / 2 + 1, offset);
}

WRAPPED(int, ftruncate, int fd, off_t length) {
  return fails(FTRUNCATE) ? -1 : __real_ftruncate(fd, length);
}

static atomic_bool hold, held; /* whoever comes to fdatasync; somebody has */
WRAPPED(int, fdatasync, int fd) {
  for (bool waits = atomic_load(&hold); waits; waits = atomic_load(&hold)) {
    atomic_store(&held, true);
    usleep(100);
  }
  return fails(FDATASYNC) ? -1 : __real_fdatasync(fd);
}
WRAPPED(int, fsync, int fd) { return fails(FSYNC) ? -1 : __real_fsync(fd); }

WRAPPED(ssize_t, readlinkat, int at, const char *path, char *to, size_t cap) {
  return fails(READLINKAT) ? -1 : __real_readlinkat(at, path, to, cap);
}
WRAPPED(int, fchown, int fd, uid_t owner, gid_t group) {
  return fails(FCHOWN) ? -1 : __real_fchown(fd, owner, group);
}
WRAPPED(int, fchmod, int fd, mode_t mode) { return fails(FCHMOD) ? -1 : __real_fchmod(fd, mode); }
WRAPPED(ssize_t, getxattr, const char *path, const char *name, void *value, size_t size) {
  return fails(GETXATTR) ? -1 : __real_getxattr(path, name, value, size);
}
WRAPPED(int, fsetxattr, int fd, const char *name, const void *value, size_t size, int flags) {
  return fails(FSETXATTR) ? -1 : __real_fsetxattr(fd, name, value, size, flags);
}
WRAPPED(int, fremovexattr, int fd, const char *name) {
  return fails(FREMOVEXATTR) ? -1 : __real_fremovexattr(fd, name);
}

WRAPPED(int, renameat, int from, const char *old, int to, const char *name) {
  return fails(RENAMEAT) ? -1 : __real_renameat(from, old, to, name);
}

WRAPPED(int, linkat, int from, const char *old, int to, const char *name, int flags) {
  if (no_links) return errno = EPERM, -1;
  return fails(LINKAT) ? -1 : __real_linkat(from, old, to, name, flags);
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
    if (fails(RENAMEAT2)) return -1;
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
  size_t header, files;
};

static const struct scene scenes[] = {
    {"lsio.npy('out'", "", "", 4096, 1},
    {"lsio.raw('out'", "durability = 'each',", "", 0, 1},
    {"lsio.npy('out'", "durability = 'none',", "", 4096, 1},
    {"lsio.npy('out'", "",
     "out_max = 1000, transform = function(c) lsio.k.copy(c.data, c.n, c.out) return c.n end,", 4096, 1},
    {"lsio.raw('out'", "order = 'completed', durability = 'each',",
     "out_max = 1000, transform = function(c) lsio.k.copy(c.data, c.n, c.out) return c.n end,", 0, 2},
    {"lsio.npy('out'", "order = 'completed',",
     "out_max = 1000, transform = function(c) lsio.k.copy(c.data, c.n, c.out) return c.n end,", 4096, 2},
};

struct outcome {
  int rc, os_code;
  char message[1700], object[400];
};

static struct outcome run_job(const struct scene *s, bool replace) {
  char sink[128], script[512];
  snprintf(sink, sizeof sink, "%s, { %s %s })", s->sink, s->options,
           replace ? "exists = 'replace'" : "");
  snprintf(script, sizeof script,
           "local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files('a.f32', { chunk = %d }),\n"
           " type = 'f32', %s sink = %s }\n",
           CHUNK, s->more, sink);
  static const char *const settings[] = {"workers=1", "memory=64MiB", "merge=never"};
  struct lsio_job_options o = {.struct_size = sizeof o, .script = script,
                               .script_length = strlen(script), .script_name = "job.lua",
                               .settings = settings, .n_settings = 3, .flags = LSIO_JOB_NO_ENV};
  struct outcome out = {0};
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  atomic_store(&counted, 0);
  atomic_store(&failed_call, -1);
  out.rc = polled_submit(context, &o, &job, &error);
  const lsio_error *e = error;
  if (!out.rc) {
    out.rc = polled_wait(job);
    e = lsio_job_error(job);
  }
  if (e) {
    out.os_code = lsio_error_os_code(e);
    snprintf(out.message, sizeof out.message, "%s", lsio_error_message(e));
    snprintf(out.object, sizeof out.object, "%s", lsio_error_object(e));
  }
  lsio_error_free(error);
  polled_destroy(job);
  return out;
}

/* ---- checks ---- */

static size_t read_all(const char *name, char *to, size_t cap) {
  FILE *f = fopen(name, "rb");
  if (!f) return 0;
  size_t n = fread(to, 1, cap, f);
  fclose(f);
  return n;
}

static bool is_old(const char *name) {
  char text[64];
  return read_all(name, text, sizeof text) == 3 && memcmp(text, "old", 3) == 0;
}

/* The new data, in the order of the request: one worker that reads in order makes it so. */
static bool is_new(const struct scene *s) {
  static char got[sizeof values + 8192];
  const size_t n = read_all("out", got, sizeof got);
  return n == s->header + sizeof values && memcmp(got + s->header, values, sizeof values) == 0 &&
         (s->files == 1 || read_all("out.index.npy", got, sizeof got) == 4096 + 6 * 24);
}

/* ---- what is replaced: another user's file, of which a third one may read "out" by its access list ---- */

#define OLD_MODE 0640
#define OLD_USER 12345
#define OLD_GROUP 23456
#define ACL "system.posix_acl_access"

static const struct {
  uint32_t version;
  struct {
    uint16_t tag, perm;
    uint32_t id;
  } entry[5];
} shared = {2, {{1, 6, UINT32_MAX}, {2, 4, 777}, {4, 0, UINT32_MAX}, {16, 4, UINT32_MAX}, {32, 0, UINT32_MAX}}};

static bool linked;   /* "out" is a link to "a.d/out" */
static bool has_acls; /* the file system has access lists */

static int count_in(const char *folder) {
  int n = 0;
  DIR *d = opendir(folder);
  for (struct dirent *e; (e = readdir(d));) n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
  closedir(d);
  return n;
}

/* Without the folder, and the link, which has to be there. */
static int count_files(void) {
  struct stat st;
  if (linked && (lstat("out", &st) != 0 || !S_ISLNK(st.st_mode))) fail_msg("the link is gone");
  return count_in(".") - 1 + count_in("a.d") - linked;
}

static void put_old(const char *name) {
  const bool out = strcmp(name, "out") == 0;
  if (linked && out) assert_int_equal(symlink("a.d/out", "out"), 0);
  FILE *f = fopen(name, "wb");
  fputs("old", f);
  fclose(f);
  if (out) has_acls = setxattr(name, ACL, &shared, sizeof shared, 0) == 0;
  assert_int_equal(chmod(name, OLD_MODE), 0);
  if (geteuid() == 0) assert_int_equal(chown(name, OLD_USER, OLD_GROUP), 0);
}

/* The new file has what the old one had, or is for fewer people. */
static bool is_kept(const char *name, bool exactly) {
  struct stat st;
  if (stat(name, &st) != 0) return false;
  const bool list = getxattr(name, ACL, NULL, 0) > 0, wants = has_acls && strcmp(name, "out") == 0;
  const bool group = geteuid() != 0 || st.st_gid == OLD_GROUP, owner = geteuid() != 0 || st.st_uid == OLD_USER;
  if (exactly) return (st.st_mode & 07777) == OLD_MODE && list == wants && group && owner;
  return !(st.st_mode & 07777 & ~OLD_MODE) && ((group && list == wants) || !(st.st_mode & 077));
}

static void remove_in(const char *folder) {
  char path[300];
  DIR *d = opendir(folder);
  for (struct dirent *e; (e = readdir(d));) {
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    if (folder[0] != '.' || e->d_name[0] != 'a') unlink(path);
  }
  closedir(d);
}

static void remove_all(void) {
  remove_in(".");
  remove_in("a.d");
}

/* The name of the directory failed to reach the disk and the old file has no second name: then the new
 * one, whole, is all there is, and the message says so. */
static bool stands_for_good(const struct scene *s, const struct outcome *o) {
  return strstr(o->message, "the file stands, whole") && is_new(s);
}

/* Nothing could be renamed back: the message says where the old file is. */
static bool told_where(const struct outcome *o) {
  static const char words[] = "the file that it was to replace is now '";
  const char *at = strstr(o->message, words);
  char name[300], folder[300] = ".", path[601];
  if (!at || sscanf(at + sizeof words - 1, "%299[^']' in %299[^:;]", name, folder) < 1) return false;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return is_old(path);
}

static void check(const struct scene *s, bool replace, const struct outcome *o, const char *where) {
  const int old = replace ? (int)s->files : 0;
  if (!o->rc) {
    if (!is_new(s) || count_files() != 1 + (int)s->files) fail_msg("%s: wrong output", where);
    const bool exactly = atomic_load(&failed_call) < FCHOWN;
    if (old && (!is_kept("out", exactly) || (old == 2 && !is_kept("out.index.npy", exactly))))
      fail_msg("%s: not for whom the old file was", where);
    return;
  }
  if (o->rc != LSIO_ERR_OUTPUT) fail_msg("%s: %s: %s", where, lsio_error_name(o->rc), o->message);
  if (strcmp(o->object, "out") != 0 && strcmp(o->object, "out.index.npy") != 0)
    fail_msg("%s: about '%s': %s", where, o->object, o->message);
  const int code = atomic_load(&fail_code);
  if (o->os_code != code) fail_msg("%s: errno %d: %s", where, o->os_code, o->message);
  if (!strstr(o->message, strerror(code))) fail_msg("%s: no cause: %s", where, o->message);
  if ((code == ENOSPC || code == EDQUOT) && !strstr(o->message, "make room"))
    fail_msg("%s: no remedy: %s", where, o->message);
  if (stands_for_good(s, o) || told_where(o)) return;
  /* Without links the old index is lost, but then the new one does not stand beside old data. */
  const bool index = old == 2 && !(no_links && access("out.index.npy", F_OK) != 0);
  if (count_files() != 1 + (old > 0) + index || (old && !is_old("out")) ||
      (index && !is_old("out.index.npy")))
    fail_msg("%s: %d files are left, after %s", where, count_files() - 1, o->message);
}

/* Every N until no call is left to fail. */
static void sweep(const struct scene *s, bool replace, int code, bool forever) {
  for (int n = 1; n < CALLS_MAX; n++) {
    char where[160];
    remove_all();
    if (replace) put_old("out");
    if (replace && s->files == 2) put_old("out.index.npy");
    atomic_store(&fail_code, code);
    atomic_store(&fail_forever, forever);
    atomic_store(&fail_at, n);
    const int64_t live = lsi_mem_live();
    const struct outcome o = run_job(s, replace);
    const int call = atomic_load(&failed_call);
    atomic_store(&fail_at, 0);
    snprintf(where, sizeof where, "%s, %s%s%s%s%s%s: call %d%s (%s) answers %d", s->sink, s->options,
             replace ? ", replace" : "", linked ? " by a link" : "", no_nameless ? ", no O_TMPFILE" : "", no_links ? ", no links" : "",
             no_rename2 ? ", no renameat2" : "", n, forever ? " and later ones" : "",
             call < 0 ? "none" : names[call], code);
    check(s, replace, &o, where);
    if (lsi_mem_live() != live) fail_msg("%s: memory is lost", where);
    if ((code == EINTR || code == SHORT_WRITE) && o.rc) fail_msg("%s: %s", where, o.message);
    if (call >= 0) reached[call]++;
    if (atomic_load(&counted) < n) {
      if (o.rc) fail_msg("%s: fails although nothing was refused", where);
      return;
    }
  }
  fail_msg("the sweep never ends");
}

static void sweep_scenes(int first_code, ...) {
  va_list ap;
  va_start(ap, first_code);
  for (int code = first_code; code; code = va_arg(ap, int))
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
      for (int replace = 0; replace < 2; replace++) {
        sweep(&scenes[i], replace, code, false);
        if (code != SHORT_WRITE && code != EINTR) sweep(&scenes[i], replace, code, true);
      }
  va_end(ap);
}

static void test_every_call(void **state) {
  (void)state;
  sweep_scenes(EIO, EDQUOT, EINTR, SHORT_WRITE, 0);
}

/* The file that is replaced lies in another folder. */
static void test_through_a_link(void **state) {
  (void)state;
  linked = true;
  for (int i = 0; i < 2; i++)
    for (size_t k = 0; k < sizeof scenes / sizeof *scenes; k++) {
      no_links = i == 1;
      sweep(&scenes[k], true, EIO, false);
      sweep(&scenes[k], true, EIO, true);
    }
  linked = no_links = false;
}

/* A hidden name from the start, as on NFS. */
static void test_named_from_the_start(void **state) {
  (void)state;
  no_nameless = true;
  sweep_scenes(ENOSPC, 0);
  no_rename2 = true;
  sweep_scenes(EIO, 0);
  no_links = true;
  no_rename2 = false;
  sweep_scenes(EIO, 0);
  no_nameless = no_links = false;
}

/* /proc is not there, or a sandbox forbids links: found out before anything is read. */
static void test_nameless_files_that_cannot_be_named(void **state) {
  (void)state;
  no_links = true;
  sweep_scenes(EIO, 0);
  no_links = false;
}

/* Leaving from another thread while a job runs, and while it publishes: no file is left. */
static void *abandon(void *job) {
  lsio_job_abandon(job);
  return NULL;
}

static void test_abandon(void **state) {
  (void)state;
  static const char script[] = "local lsio = require 'lsio'\n"
                               "return lsio.job { source = lsio.files('a.f32', { chunk = 4000 }),\n"
                               " type = 'f32', sink = lsio.npy('out', { exists = 'replace' }) }\n";
  struct lsio_job_options o = {.struct_size = sizeof o, .script = script,
                               .script_length = strlen(script), .script_name = "job.lua",
                               .flags = LSIO_JOB_NO_ENV};
  for (int i = 0; i < 40; i++) {
    no_nameless = i % 2;
    remove_all();
    lsio_job *job = NULL;
    pthread_t thread;
    atomic_store(&held, false);
    atomic_store(&hold, i < 4);
    assert_int_equal(lsio_submit(context, &o, &job, NULL), 0);
    if (i < 4) { /* nothing can be published yet */
      while (!atomic_load(&held)) usleep(100);
      assert_int_equal(count_files(), 1 + no_nameless);
      lsio_job_abandon(job);
      assert_int_equal(count_files(), 1);
      atomic_store(&hold, false);
    }
    if (i % 3 == 0) lsio_wait(job, 1); /* at any time of it */
    assert_int_equal(pthread_create(&thread, NULL, abandon, job), 0);
    const int rc = lsio_wait(job, -1);
    pthread_join(thread, NULL);
    assert_true(rc == 0 || rc == LSIO_ERR_OUTPUT); /* the name that was to be renamed has gone */
    assert_int_equal(count_files(), 1 + (rc == 0));
    lsio_job_release(job);
  }
  no_nameless = false;
}

static void test_all_stages_were_reached(void **state) {
  (void)state;
  for (int i = 0; i < CALLS; i++)
    if (!reached[i] && (i != FCHOWN || geteuid() == 0) && (i != FSETXATTR || has_acls)) fail_msg("%s was never made to fail", names[i]);
}

static int setup(void **state) {
  (void)state;
  /* Where syncing costs nothing; with LSIO_SWEEP on a disk. */
  const bool memory = !getenv("LSIO_SWEEP") && access("/dev/shm", W_OK) == 0;
  snprintf(dir, sizeof dir, "%s/lsio-output-XXXXXX", memory ? "/dev/shm" : "/tmp");
  if (!mkdtemp(dir) || chdir(dir) != 0 || mkdir("a.d", 0700) != 0) return -1;
  for (int i = 0; i < VALUES; i++) values[i] = (float)i;
  FILE *f = fopen("a.f32", "wb");
  if (!f || fwrite(values, 1, sizeof values, f) != sizeof values) return -1;
  if (fclose(f) != 0 || lsio_context_create(NULL, &context, NULL) != 0) return -1;
  run_job(&scenes[3], false); /* the worker opens its Lua state, which stays */
  return 0;
}

static int teardown(void **state) {
  (void)state;
  lsio_context_destroy(context);
  remove_all();
  unlink("a.f32");
  rmdir("a.d");
  return chdir("/") || rmdir(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_call),
      cmocka_unit_test(test_through_a_link),
      cmocka_unit_test(test_named_from_the_start),
      cmocka_unit_test(test_nameless_files_that_cannot_be_named),
      cmocka_unit_test(test_abandon),
      cmocka_unit_test(test_all_stages_were_reached),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
