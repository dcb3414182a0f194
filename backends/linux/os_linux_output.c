/* core/seams/os.h on Linux: output files as such: the list of those that are open, what is left of them when
 * they or the process end, and messages about them. */
#include "linux/os_linux_output.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "ground/mem.h"

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

/* Another thread of the parent may have held the mutex, and been at the list: neither is looked at. */
void lsi_output_forked(void) {
  live_mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
  live = NULL;
}

struct lsi_os_file *lsi_output_create(const char *path, bool replace) {
  struct lsi_os_file *f = lsi_calloc(1, sizeof *f);
  if (!f) return NULL;
  f->fd = f->direct = f->dir = f->old = -1;
  f->replace = replace;
  atomic_init(&f->linked, false);
  f->path = lsi_strdup(path);
  if (!f->path) {
    lsi_free(f);
    return NULL;
  }
  remember(f);
  return f;
}

void lsi_output_unlink(struct lsi_os_file *f) {
  if (atomic_exchange(&f->linked, false)) unlinkat(f->dir, f->temp, 0);
}

void lsi_output_free(struct lsi_os_file *f) {
  forget(f);
  if (f->fd >= 0) close(f->fd);
  if (f->direct >= 0) close(f->direct);
  if (f->dir >= 0) close(f->dir);
  if (f->old >= 0) close(f->old);
  lsi_free(f->path);
  lsi_free(f->name);
  lsi_free(f->temp);
  lsi_free(f->kept);
  lsi_free(f);
}

void lsi_os_file_discard(struct lsi_os_file *f) {
  if (!f) return;
  lsi_output_unlink(f);
  lsi_output_free(f);
}

/* ---- the end of the process ---- */

void lsi_os_files_abandon(void) {
  pthread_mutex_lock(&live_mutex);
  for (struct lsi_os_file *f = live; f; f = f->next)
    if (f->owner == getpid()) lsi_output_unlink(f);
  pthread_mutex_unlock(&live_mutex);
}

/* A script that calls os.exit, or a program that returns from main, in the middle of a job. A child that
 * nobody was told of (_Fork) may have a copy of the mutex while it was held, but then the files are not its
 * own. */
static __attribute__((destructor)) void leave(void) {
  if (live && live->owner == getpid()) lsi_os_files_abandon();
}

/* ---- messages ---- */

int lsi_output_error(const char *path, int code, const char *what, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_OUTPUT, code, "%s", what);
  lsi_error_at(err, path, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  if (code == ENOSPC || code == EDQUOT)
    lsi_error_remedy(err, "make room on its file system or choose another place");
  else if (code == EROFS)
    lsi_error_remedy(err, "its file system is read-only, perhaps since an error (dmesg)");
  else if (code == EACCES || code == EPERM)
    lsi_error_remedy(err, "its folder must be writable by user id %u", (unsigned)geteuid());
  else if (code == ENOENT || code == ENOTDIR)
    lsi_error_remedy(err, "create its folder first");
  else if (code == EEXIST)
    lsi_error_remedy(err, "%s", LSI_OUTPUT_EXISTS);
  else if (code == EFBIG)
    lsi_error_remedy(err, "raise the limit of file sizes (ulimit -f) or use another file system");
  return LSIO_ERR_OUTPUT;
}

int lsi_output_fail(const struct lsi_os_file *f, int code, const char *what, struct lsi_error *err) {
  if (!f->what) return lsi_output_error(f->path, code, what, err);
  lsi_fail(err, LSIO_ERR_OUTPUT, code == EINVAL ? 0 : code, "%s", f->what);
  lsi_error_at(err, f->path, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  lsi_error_remedy(err, "%s", f->remedy);
  return LSIO_ERR_OUTPUT;
}
