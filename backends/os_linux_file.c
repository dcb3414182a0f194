/* core/os.h on Linux: output files that get their name only when they are whole. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mem.h"
#include "os_linux.h"

#define TRIES 64

/* Everything goes through the directory's descriptor: should the directory be renamed meanwhile, the
 * file is still published where it was begun. */
struct lsi_os_file {
  int fd;
  int dir;
  char *path;         /* as the user named it, for messages */
  char *name;         /* its last part */
  char *temp;         /* the name it has until then */
  atomic_bool linked; /* the temporary name is there */
  pid_t owner;        /* the process that made it; a fork's files are its parent's */
  struct lsi_os_file *next; /* among `live` */
};

static pthread_mutex_t live_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct lsi_os_file *live; /* every open one, under live_mutex */

static void remember(struct lsi_os_file *f) {
  f->owner = getpid();
  pthread_mutex_lock(&live_mutex);
  f->next = live;
  live = f;
  pthread_mutex_unlock(&live_mutex);
}

static void forget(struct lsi_os_file *f) {
  pthread_mutex_lock(&live_mutex);
  for (struct lsi_os_file **at = &live; *at; at = &(*at)->next)
    if (*at == f) {
      *at = f->next;
      break;
    }
  pthread_mutex_unlock(&live_mutex);
}

/* A script that calls os.exit, or a program that returns from main, in the middle of a job. */
static __attribute__((destructor)) void unlink_live(void) {
  if (!live || live->owner != getpid()) return;
  pthread_mutex_lock(&live_mutex);
  for (struct lsi_os_file *f = live; f; f = f->next)
    if (f->owner == getpid()) lsi_os_file_unlink(f);
  pthread_mutex_unlock(&live_mutex);
}

static int output_error(const char *path, int code, const char *what, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_OUTPUT, code, "%s", what);
  lsi_error_at(err, path, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  if (code == ENOSPC || code == EDQUOT)
    lsi_error_remedy(err, "make room on its file system or choose another place");
  else if (code == EACCES || code == EPERM || code == EROFS)
    lsi_error_remedy(err, "its folder must be writable by user id %u", (unsigned)geteuid());
  else if (code == ENOENT || code == ENOTDIR)
    lsi_error_remedy(err, "create its folder first");
  else if (code == EEXIST)
    lsi_error_remedy(err, "choose another name, or write exists = \"replace\" in the sink");
  else if (code == EFBIG)
    lsi_error_remedy(err, "raise the limit of file sizes (ulimit -f) or use another file system");
  return LSIO_ERR_OUTPUT;
}

static void file_free(struct lsi_os_file *f) {
  forget(f);
  if (f->fd >= 0) close(f->fd);
  if (f->dir >= 0) close(f->dir);
  lsi_free(f->path);
  lsi_free(f->temp);
  lsi_free(f);
}

/* Splits path into an open directory and a name. 0 or an errno. */
static int open_parent(struct lsi_os_file *f, const char *path) {
  if (!(f->path = lsi_strdup(path))) return ENOMEM;
  char *slash = strrchr(f->path, '/');
  f->name = slash ? slash + 1 : f->path;
  if (!*f->name || !strcmp(f->name, ".") || !strcmp(f->name, "..")) return EISDIR;
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  if (!slash) {
    f->dir = open(".", flags);
  } else if (slash == f->path) {
    f->dir = open("/", flags);
  } else {
    *slash = 0;
    f->dir = open(f->path, flags);
    *slash = '/';
  }
  return f->dir < 0 ? errno : 0;
}

/* ".NAME.lsio-0123456789ab.tmp", NAME cut so that the whole fits into 255 bytes. 0 or an errno. */
static int create_temp(struct lsi_os_file *f) {
  if (!(f->temp = lsi_malloc(256))) return ENOMEM;
  const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  for (int i = 0; i < TRIES; i++) {
    snprintf(f->temp, 256, ".%.200s.lsio-%012llx.tmp", f->name,
             (unsigned long long)lsi_os_random() & 0xffffffffffffull);
    f->fd = openat(f->dir, f->temp, flags, 0666);
    if (f->fd >= 0) return 0;
    if (errno != EEXIST && errno != EINTR) return errno;
  }
  return EEXIST;
}

int lsi_os_temp_create(const char *path, struct lsi_os_file **out, struct lsi_error *err) {
  struct lsi_os_file *f = lsi_calloc(1, sizeof *f);
  if (!f) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for an output file");
  f->fd = f->dir = -1;
  int code = open_parent(f, path);
  if (!code && strlen(f->name) > 255) code = ENAMETOOLONG;
  if (!code) code = create_temp(f);
  if (code) {
    file_free(f);
    if (code == ENOMEM) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for an output file");
    return output_error(path, code, "an output file can't be created", err);
  }
  atomic_init(&f->linked, true);
  remember(f);
  *out = f;
  return 0;
}

int lsi_os_file_reserve(struct lsi_os_file *f, uint64_t bytes, struct lsi_error *err) {
  if (bytes == 0) return 0;
  if (bytes > INT64_MAX) return output_error(f->path, EFBIG, "an output file is too large", err);
  int rc;
  do {
    rc = fallocate(f->fd, 0, 0, (off_t)bytes);
  } while (rc < 0 && errno == EINTR);
  if (rc == 0 || (errno != ENOSPC && errno != EDQUOT && errno != EFBIG)) return 0;
  return output_error(f->path, errno, "there is no room for an output file", err);
}

int lsi_os_file_write(struct lsi_os_file *f, const void *data, uint64_t length, uint64_t offset,
                      struct lsi_error *err) {
  const char *p = data;
  while (length) {
    size_t part = (size_t)LSI_MIN(length, (uint64_t)1 << 30);
    ssize_t put = pwrite(f->fd, p, part, (off_t)offset);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0)
      return output_error(f->path, put < 0 ? errno : ENOSPC, "an output file can't be written",
                          err);
    p += put;
    offset += (uint64_t)put;
    length -= (uint64_t)put;
  }
  return 0;
}

int lsi_os_file_truncate(struct lsi_os_file *f, uint64_t bytes, struct lsi_error *err) {
  int rc;
  do {
    rc = ftruncate(f->fd, (off_t)bytes);
  } while (rc < 0 && errno == EINTR);
  return rc == 0 ? 0 : output_error(f->path, errno, "an output file can't be given its size", err);
}

int lsi_os_file_sync(struct lsi_os_file *f, struct lsi_error *err) {
  /* No second try: after a failure the kernel may say yes though the data is lost. */
  if (fdatasync(f->fd) == 0) return 0;
  return output_error(f->path, errno, "an output file did not reach the disk", err);
}

/* 0 or an errno. Without replace the name must be free at the moment of naming, not before it. */
static int give_name(struct lsi_os_file *f, bool replace) {
  if (replace) return renameat(f->dir, f->temp, f->dir, f->name) < 0 ? errno : 0;
  if (syscall(SYS_renameat2, f->dir, f->temp, f->dir, f->name, RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS && errno != EPERM) return errno;
  /* A file system without that flag: a link fails too when the name is taken. */
  if (linkat(f->dir, f->temp, f->dir, f->name, 0) < 0) return errno;
  return unlinkat(f->dir, f->temp, 0) < 0 ? errno : 0;
}

int lsi_os_file_publish(struct lsi_os_file *f, bool replace, bool sync_dir, struct lsi_error *err) {
  int rc = 0, code = give_name(f, replace);
  if (code) {
    rc = output_error(f->path, code,
                      code == EEXIST ? "an output file exists already"
                                     : "an output file can't be given its name",
                      err);
    lsi_os_file_unlink(f);
  } else if (sync_dir && fsync(f->dir) < 0 && errno != EINVAL) {
    rc = output_error(f->path, errno, "the name of an output file did not reach the disk", err);
  }
  atomic_store(&f->linked, false);
  file_free(f);
  return rc;
}

void lsi_os_file_unlink(struct lsi_os_file *f) {
  if (atomic_exchange(&f->linked, false)) unlinkat(f->dir, f->temp, 0);
}

void lsi_os_file_discard(struct lsi_os_file *f) {
  if (!f) return;
  lsi_os_file_unlink(f);
  file_free(f);
}
