/* core/seams/os.h on Linux: the names of output files.
 *
 * Until it is complete, a file has no name at all (O_TMPFILE), so that a process that is killed leaves
 * nothing behind. Where a file system, or what guards it, does not allow to name such a file later, it
 * has a hidden name from the start, and a kill leaves that. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ground/mem.h"
#include "linux/os_linux_output.h"

#define TRIES 64

/* ".NAME.lsio-0123456789ab.tmp", NAME cut so that the whole fits into 255 bytes. */
static void draw_name(const struct lsi_os_file *f, char *out) {
  snprintf(out, LSI_TEMP_NAME, ".%.200s.lsio-%012llx.tmp", f->name,
           (unsigned long long)lsi_os_random() & 0xffffffffffffull);
}

/* Gives the nameless file that `fd` has open a name in f->dir. 0 or an errno. */
static int link_descriptor(const struct lsi_os_file *f, int fd, const char *name) {
  char from[40];
  snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
  return linkat(AT_FDCWD, from, f->dir, name, AT_SYMLINK_FOLLOW) < 0 ? errno : 0;
}

/* Can a nameless file get a name here? Tried with another one, for it works only once for each: no
 * job shall learn at its end that its output cannot be named. */
static bool nameless_works(struct lsi_os_file *f) {
  int fd = openat(f->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  draw_name(f, f->temp);
  const bool works = link_descriptor(f, fd, f->temp) == 0;
  if (works) unlinkat(f->dir, f->temp, 0);
  close(fd);
  return works;
}

int lsi_output_begin(struct lsi_os_file *f) {
  if (!(f->temp = lsi_malloc(LSI_TEMP_NAME))) return ENOMEM;
  if (nameless_works(f)) {
    f->fd = openat(f->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    if (f->fd >= 0) return 0;
  }
  const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  for (int i = 0; i < TRIES; i++) {
    draw_name(f, f->temp);
    f->fd = openat(f->dir, f->temp, flags, 0666);
    if (f->fd >= 0) {
      atomic_store(&f->linked, true);
      return 0;
    }
    if (errno != EEXIST && errno != EINTR) return errno;
  }
  return EEXIST;
}

void lsi_output_unlink(struct lsi_os_file *f) {
  if (atomic_exchange(&f->linked, false)) unlinkat(f->dir, f->temp, 0);
}

/* ---- publishing ---- */

/* Names a nameless file f->temp, from which it can be renamed. 0 or an errno. */
static int pass_through_temp(struct lsi_os_file *f) {
  for (int i = 0; i < TRIES; i++) {
    draw_name(f, f->temp);
    int code = link_descriptor(f, f->fd, f->temp);
    if (!code) atomic_store(&f->linked, true);
    if (code != EEXIST) return code;
  }
  return EEXIST;
}

/* Renames without replacing: the name must be free at the moment of naming, not before it. */
static int rename_to_free(struct lsi_os_file *f) {
  if (syscall(SYS_renameat2, f->dir, f->temp, f->dir, f->name, RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS && errno != EPERM) return errno;
  /* A file system without that flag: a link fails too when the name is taken. */
  if (linkat(f->dir, f->temp, f->dir, f->name, 0) < 0) return errno;
  unlinkat(f->dir, f->temp, 0);
  return 0;
}

/* 0 or an errno. */
static int give_name(struct lsi_os_file *f, bool replace) {
  const bool nameless = !atomic_load(&f->linked);
  int code = 0;
  if (nameless && !replace) {
    code = link_descriptor(f, f->fd, f->name);
  } else {
    if (nameless) code = pass_through_temp(f);
    if (!code && replace) code = renameat(f->dir, f->temp, f->dir, f->name) < 0 ? errno : 0;
    if (!code && !replace) code = rename_to_free(f);
  }
  if (code) return code;
  atomic_store(&f->linked, false);
  f->named = true;
  return 0;
}

/* Gives the file that `f` is going to replace a second name, by which it can be put back. Not every
 * file system has links, nor may everybody link a file of others: then it is lost. */
static void keep_old(struct lsi_os_file *f) {
  int code = ENOMEM;
  if ((f->kept = lsi_malloc(LSI_TEMP_NAME))) {
    code = EEXIST;
    for (int i = 0; code == EEXIST && i < TRIES; i++) {
      draw_name(f, f->kept);
      code = linkat(f->dir, f->name, f->dir, f->kept, 0) < 0 ? errno : 0;
    }
  }
  if (!code) return;
  f->lost_old = code != ENOENT;
  lsi_free(f->kept);
  f->kept = NULL;
}

/* The same where there are no links: the old file leaves its name at once. */
static void take_away(struct lsi_os_file *f) {
  if (!(f->kept = lsi_malloc(LSI_TEMP_NAME))) return;
  draw_name(f, f->kept);
  f->taken = renameat(f->dir, f->name, f->dir, f->kept) == 0;
  f->lost_old = !f->taken;
  if (f->taken) return;
  lsi_free(f->kept);
  f->kept = NULL;
}

/* What stood under the name before stands there again, or nothing does. False: it stays under f->kept. */
static bool undo_name(struct lsi_os_file *f) {
  if (f->kept && (f->named || f->taken)) return renameat(f->dir, f->kept, f->dir, f->name) == 0;
  if (f->named) unlinkat(f->dir, f->name, 0);
  return true;
}

/* Names all of them; at a failure *at is the file that it is about. 0 or an errno. */
static int name_all(struct lsi_os_file *const *files, unsigned n, bool replace,
                    struct lsi_os_file **at) {
  struct lsi_os_file *last = files[n - 1];
  /* Of several, readers look for the last one: while the others change it is not there, for a kill
   * may come in between, and old data beside a new index would be read as if they were a pair. */
  if (n > 1 && last->kept) last->taken = unlinkat(last->dir, last->name, 0) == 0;
  for (unsigned i = n; n > 1 && i-- > 0;)
    if (files[i]->lost_old) take_away(files[i]);
  for (unsigned i = 0; i < n; i++) {
    int code = give_name(*at = files[i], replace);
    if (code) return code;
  }
  return 0;
}

/* After a failure. Adds to the message what could not be undone. */
static void undo_all(struct lsi_os_file *const *files, unsigned n, char *what, size_t cap) {
  size_t used = strlen(what);
  if (files[n - 1]->named && files[n - 1]->lost_old) {
    snprintf(what + used, cap - used, "; the file stands, whole, but a loss of power may take it away");
    return;
  }
  for (unsigned i = n; i-- > 0;) {
    if (undo_name(files[i])) continue;
    used = strlen(what);
    snprintf(what + used, cap - used, "; the file that it was to replace is now '%s'", files[i]->kept);
    lsi_free(files[i]->kept);
    files[i]->kept = NULL;
  }
}

int lsi_os_files_publish(struct lsi_os_file *const *files, unsigned n, bool replace, bool sync_dir,
                         struct lsi_error *err) {
  char what[768] = "an output file can't be given its name";
  struct lsi_os_file *at = files[n - 1];
  int rc = 0;
  /* One name that nothing follows cannot be taken back, and need not be. */
  if (replace && (n > 1 || sync_dir))
    for (unsigned i = 0; i < n; i++) keep_old(files[i]);
  int code = name_all(files, n, replace, &at);
  if (code == EEXIST) snprintf(what, sizeof what, "an output file exists already");
  if (!code && sync_dir && fsync(at->dir) < 0 && errno != EINVAL) {
    code = errno;
    snprintf(what, sizeof what, "the name of an output file did not reach the disk");
  }
  if (code) {
    undo_all(files, n, what, sizeof what);
    rc = lsi_output_error(at->path, code, what, err);
  }
  for (unsigned i = 0; i < n; i++) {
    if (files[i]->kept) unlinkat(files[i]->dir, files[i]->kept, 0);
    lsi_os_file_discard(files[i]);
  }
  return rc;
}
