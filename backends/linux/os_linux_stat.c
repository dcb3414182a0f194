/* The store `file` on Linux: what files are, one and many at once; parts of them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ground/mem.h"
#include "linux/linux_procfs.h"
#include "linux/os_linux.h"
#include "linux/store_file.h"

#define STAT_RUN 256u      /* paths that a thread takes at once */
#define STAT_PARALLEL 2048u /* fewer are not worth a thread */
#define STAT_THREADS 64u

void lsi_linux_info(const struct stat *st, struct lsi_object_info *out) {
  const uint64_t modified_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
  *out = (struct lsi_object_info){
      .size = st->st_size > 0 ? (uint64_t)st->st_size : 0,
      .version = {st->st_ino, modified_ns},
      .device = lsi_linux_whole_device(S_ISBLK(st->st_mode) ? st->st_rdev : st->st_dev),
      .known = LSI_KNOWN_SIZE | LSI_KNOWN_VERSION};
}

void lsi_linux_missing_remedy(const char *name, const char *usual, struct lsi_error *err) {
  const size_t n = strcspn(name, ":/");
  const bool is_url = n && n < 32 && strncmp(name + n, "://", 3) == 0;
  if (is_url) lsi_error_is(err, LSIO_KIND_UNSUPPORTED);
  if (is_url)
    lsi_error_remedy(err, "LSIO can't read %.*s://, but files, by their paths or as file:///PATH", (int)n,
                     name);
  else
    lsi_error_remedy(err, "%s", usual);
}

int lsi_linux_source_error(const char *name, int code, struct lsi_error *err) {
  bool scarce = code == EMFILE || code == ENFILE || code == ENOMEM || code == EIO || code == EINTR;
  int rc = scarce ? LSIO_ERR_IO : LSIO_ERR_SOURCE;
  const char *what = code == ENOENT || code == ENOTDIR ? "a source does not exist"
                     : code == EISDIR                  ? "a source is a directory"
                     : code == EINVAL                  ? "a source is neither a file nor a disk"
                     : code == ESTALE                  ? "a source has gone from its server"
                     : code == LSI_LINUX_NO_SIZE       ? "a source has no size of its own: its file system "
                                                         "makes the content when it is read"
                                                       : "a source can't be opened";
  lsi_fail(err, rc, code == LSI_LINUX_NO_SIZE ? 0 : code, "%s", what);
  if (code == LSI_LINUX_NO_SIZE) lsi_error_is(err, LSIO_KIND_UNSUPPORTED);
  lsi_error_at(err, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  if (code == ENOENT || code == ENOTDIR)
    lsi_linux_missing_remedy(name, "check the path; relative paths start at the working directory", err);
  else if (code == EISDIR)
    lsi_error_remedy(err, "name the files in it, for example with a pattern such as DIR/**");
  else if (code == EACCES || code == EPERM)
    lsi_error_remedy(err, "it and the folders above it must be readable by user id %u",
                     (unsigned)geteuid());
  else if (code == LSI_LINUX_NO_SIZE)
    lsi_error_remedy(err, "copy it to a file first (cat)");
  else if (code == EMFILE || code == ENFILE)
    lsi_error_remedy(err, "raise the limit of open files (ulimit -n)");
  return rc;
}

/* 0 if data can be read from such an object, else the errno that says why not. */
static int check_kind(mode_t mode) {
  if (S_ISREG(mode) || S_ISBLK(mode)) return 0;
  return S_ISDIR(mode) ? EISDIR : EINVAL;
}

int lsi_linux_fstat(int fd, struct stat *st, struct lsi_object_info *out) {
  struct stat own;
  if (!st) st = &own;
#ifdef __x86_64__ /* where the kernel's struct is the C library's: one look at an empty path less */
  if (syscall(SYS_fstat, fd, st) < 0) return errno;
#else
  if (fstat(fd, st) < 0) return errno;
#endif
  lsi_linux_info(st, out);
  uint64_t bytes;
  if (S_ISBLK(st->st_mode)) {
    if (ioctl(fd, BLKGETSIZE64, &bytes) < 0) return errno;
    out->size = bytes;
    out->version[1] = 0; /* of the node, not of the data */
  }
  return check_kind(st->st_mode);
}

/* 0 or an errno. */
static int stat_path(const char *path, struct lsi_object_info *out) {
  struct stat st;
  if (stat(path, &st) < 0) return errno;
  if (S_ISBLK(st.st_mode)) { /* only an open disk tells its size */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    int code = lsi_linux_fstat(fd, NULL, out);
    close(fd);
    return code;
  }
  lsi_linux_info(&st, out);
  if (S_ISDIR(st.st_mode) && access(path, R_OK | X_OK) < 0) return errno; /* patterns find such folders */
  if (S_ISREG(st.st_mode) && lsi_made_path(path, st.st_dev, out->size)) return LSI_LINUX_NO_SIZE;
  return check_kind(st.st_mode);
}

struct stat_many {
  const char *const *paths;
  struct lsi_object_info *infos;
  size_t n;
  bool faults;
  atomic_size_t next;
  atomic_size_t failed; /* lowest index that failed; SIZE_MAX = none */
};

static void note_failure(struct stat_many *s, size_t i) {
  size_t seen = atomic_load(&s->failed);
  while (i < seen && !atomic_compare_exchange_weak(&s->failed, &seen, i)) {
  }
}

/* False: it is no fault of the object's. */
static bool note_fault(const struct stat_many *s, size_t i, int code) {
  struct lsi_error e;
  if (!s->faults) return false;
  lsi_error_clear(&e);
  if (lsi_linux_source_error(s->paths[i], code, &e) != LSIO_ERR_SOURCE && code != EIO) return false;
  s->infos[i] = (struct lsi_object_info){.version = {(uint64_t)(int64_t)code, (uint64_t)lsi_error_kind(&e)},
                                         .known = LSI_KNOWN_FAULT};
  return true;
}

int lsi_file_fault(const struct lsi_object_info *info, const char *path, struct lsi_error *err) {
  return lsi_linux_source_error(path, (int)(int64_t)info->version[0], err);
}

/* Negative: stopped by the watch. */
static int stat_some(struct stat_many *s, struct lsi_watch *watch, struct lsi_error *err) {
  uint64_t gave_way_ns = 0;
  for (;;) {
    size_t from = atomic_fetch_add(&s->next, STAT_RUN);
    /* Runs are handed out in order, so all below a failure have been or are being looked at. */
    if (from >= s->n || from > atomic_load(&s->failed)) return 0;
    if (from) lsi_linux_give_way(&gave_way_ns);
    int rc = watch ? lsi_watch_tell(watch, s->n, from, err) : 0;
    if (rc < 0) {
      atomic_store(&s->next, s->n);
      return rc;
    }
    size_t to = LSI_MIN(from + STAT_RUN, s->n);
    for (size_t i = from; i < to; i++) {
      const int code = stat_path(s->paths[i], &s->infos[i]);
      if (!code || note_fault(s, i, code)) continue;
      note_failure(s, i);
      return 0;
    }
  }
}

static void stat_runs(void *arg) { stat_some(arg, NULL, NULL); }

int lsi_file_stat_many(const void *user, const char *const *paths, size_t n, struct lsi_object_info *infos,
                       struct lsi_watch *watch, bool faults, struct lsi_error *err) {
  (void)user;
  struct stat_many s = {.paths = paths, .infos = infos, .n = n, .faults = faults};
  atomic_init(&s.next, 0);
  atomic_init(&s.failed, SIZE_MAX);
  struct lsi_thread *threads[STAT_THREADS];
  unsigned started = 0;
  if (n >= STAT_PARALLEL) {
    unsigned wanted = LSI_MIN(lsi_os_cpu_count(), STAT_THREADS) - 1;
    while (started < wanted &&
           lsi_os_thread_start(&threads[started], "lsio-stat", stat_runs, &s) == 0)
      started++; /* without a thread more, this one does its share */
  }
  int stopped = stat_some(&s, watch, err);
  for (unsigned i = 0; i < started; i++) lsi_os_thread_join(threads[i]);
  if (stopped) return stopped;
  size_t failed = atomic_load(&s.failed);
  if (failed == SIZE_MAX) return 0;
  const int code = stat_path(paths[failed], &infos[failed]);
  /* It has come back since: still a failure, the list was not whole. */
  return lsi_linux_source_error(paths[failed], code ? code : ENOENT, err);
}

/* A link to nowhere exists too: its name is taken. */
bool lsi_os_exists(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0;
}

size_t lsi_file_read_part(const void *user, const char *path, uint64_t offset, void *buf, size_t n) {
  (void)user;
  if (offset > INT64_MAX) return 0;
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not of a pipe's other end, either */
  if (fd < 0) return 0;
  struct stat st;
  const ssize_t got = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? pread(fd, buf, n, (off_t)offset) : 0;
  close(fd);
  return got > 0 ? (size_t)got : 0;
}
