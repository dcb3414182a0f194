/* core/os.h on Linux: output files that get their name only when they are whole. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "os_linux_output.h"

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

void lsi_os_files_abandon(void) {
  pthread_mutex_lock(&live_mutex);
  for (struct lsi_os_file *f = live; f; f = f->next)
    if (f->owner == getpid()) lsi_output_unlink(f);
  pthread_mutex_unlock(&live_mutex);
}

/* A script that calls os.exit, or a program that returns from main, in the middle of a job. A fork may
 * have copied the mutex while it was held, but then the files are not its own. */
static __attribute__((destructor)) void leave(void) {
  if (live && live->owner == getpid()) lsi_os_files_abandon();
}

int lsi_output_error(const char *path, int code, const char *what, struct lsi_error *err) {
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

void lsi_output_free(struct lsi_os_file *f) {
  forget(f);
  if (f->fd >= 0) close(f->fd);
  if (f->dir >= 0) close(f->dir);
  lsi_free(f->path);
  lsi_free(f->temp);
  lsi_free(f->kept);
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

int lsi_os_temp_create(const char *path, struct lsi_os_file **out, struct lsi_error *err) {
  struct lsi_os_file *f = lsi_calloc(1, sizeof *f);
  if (!f) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for an output file");
  f->fd = f->dir = -1;
  atomic_init(&f->linked, false);
  remember(f);
  int code = open_parent(f, path);
  if (!code && strlen(f->name) > 255) code = ENAMETOOLONG;
  if (!code) code = lsi_output_begin(f);
  if (code) {
    lsi_output_free(f);
    if (code == ENOMEM) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for an output file");
    return lsi_output_error(path, code, "an output file can't be created", err);
  }
  *out = f;
  return 0;
}

int lsi_os_file_reserve(struct lsi_os_file *f, uint64_t bytes, struct lsi_error *err) {
  if (bytes == 0) return 0;
  if (bytes > INT64_MAX) return lsi_output_error(f->path, EFBIG, "an output file is too large", err);
  int rc;
  do {
    rc = fallocate(f->fd, 0, 0, (off_t)bytes);
  } while (rc < 0 && errno == EINTR);
  if (rc == 0 || (errno != ENOSPC && errno != EDQUOT && errno != EFBIG)) return 0;
  return lsi_output_error(f->path, errno, "there is no room for an output file", err);
}

int lsi_os_file_write(struct lsi_os_file *f, const void *data, uint64_t length, uint64_t offset,
                      struct lsi_error *err) {
  const char *p = data;
  while (length) {
    size_t part = (size_t)LSI_MIN(length, (uint64_t)1 << 30);
    ssize_t put = pwrite(f->fd, p, part, (off_t)offset);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0)
      return lsi_output_error(f->path, put < 0 ? errno : ENOSPC, "an output file can't be written",
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
  return rc == 0 ? 0 : lsi_output_error(f->path, errno, "an output file can't be given its size", err);
}

int lsi_os_file_sync(struct lsi_os_file *f, struct lsi_error *err) {
  /* No second try: after a failure the kernel may say yes though the data is lost. */
  if (fdatasync(f->fd) == 0) return 0;
  return lsi_output_error(f->path, errno, "an output file did not reach the disk", err);
}

void lsi_os_file_discard(struct lsi_os_file *f) {
  if (!f) return;
  lsi_output_unlink(f);
  lsi_output_free(f);
}
