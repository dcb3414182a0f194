/* core/seams/os.h on Linux: the names of output files, which make them public.
 *
 * Until it is complete, a file has no name at all (O_TMPFILE), so that a process that is killed leaves
 * nothing behind. Where a file system, or what guards it, does not allow to name such a file later, it
 * has a hidden name from the start, and a kill leaves that. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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
  const mode_t mode = f->old >= 0 ? 0600 : 0666; /* what it replaces may be nobody else's to read */
  if (!(f->temp = lsi_malloc(LSI_TEMP_NAME))) return ENOMEM;
  if (nameless_works(f)) {
    f->fd = openat(f->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (f->fd >= 0) return 0;
  }
  const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  for (int i = 0; i < TRIES; i++) {
    draw_name(f, f->temp);
    f->fd = openat(f->dir, f->temp, flags, mode);
    if (f->fd >= 0) {
      atomic_store(&f->linked, true);
      return 0;
    }
    if (errno != EEXIST && errno != EINTR) return errno;
  }
  return EEXIST;
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
static int give_name(struct lsi_os_file *f) {
  const bool nameless = !atomic_load(&f->linked), replace = f->replace;
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
static int name_all(struct lsi_os_file *const *files, unsigned n, struct lsi_os_file **at) {
  struct lsi_os_file *last = files[n - 1];
  /* Of several, readers look for the last one: while the others change it is not there, for a kill
   * may come in between, and old data beside a new index would be read as if they were a pair. */
  if (n > 1 && last->kept) last->taken = unlinkat(last->dir, last->name, 0) == 0;
  for (unsigned i = n; n > 1 && i-- > 0;)
    if (files[i]->lost_old) take_away(files[i]);
  for (unsigned i = 0; i < n; i++) {
    int code = give_name(*at = files[i]);
    if (code) return code;
  }
  return 0;
}

/* Where what f was to replace is, for a message. */
static void tell_kept(const struct lsi_os_file *f, char *what, size_t cap) {
  const size_t used = strlen(what);
  char proc[40], folder[PATH_MAX];
  snprintf(proc, sizeof proc, "/proc/self/fd/%d", f->dir);
  const ssize_t n = f->followed ? readlink(proc, folder, sizeof folder) : -1;
  snprintf(what + used, cap - used, "; the file that it was to replace is now '%s'%s%.*s", f->kept,
           n > 0 ? " in " : "", n > 0 ? (int)n : 0, folder);
}

/* After a failure. Adds to the message what could not be undone. */
static void undo_all(struct lsi_os_file *const *files, unsigned n, char *what, size_t cap) {
  const size_t used = strlen(what);
  if (files[n - 1]->named && files[n - 1]->lost_old) {
    snprintf(what + used, cap - used, "; the file stands, whole, but a loss of power may take it away");
    return;
  }
  for (unsigned i = n; i-- > 0;) {
    if (undo_name(files[i])) continue;
    tell_kept(files[i], what, cap);
    lsi_free(files[i]->kept);
    files[i]->kept = NULL;
  }
}

/* All but the names: what stands under them can be replaced, and what they keep of it is theirs. 0 or an
 * errno, about *at, with *what in words. */
static int ready_all(struct lsi_os_file *const *files, unsigned n, bool sync, struct lsi_os_file **at,
                     const char **what) {
  for (unsigned i = 0; i < n; i++) {
    struct lsi_os_file *f = *at = files[i];
    bool changed = false;
    *what = "what stands under the name of an output can't be looked at";
    int code = lsi_output_find_again(f);
    if (code) return code;
    *what = "an output file can't be given the mode of the file that it replaces";
    if ((code = lsi_output_keep(f, &changed)) != 0) return code;
    *what = "the mode of an output file did not reach the disk"; /* fdatasync leaves it out */
    if (changed && sync && fsync(f->fd) < 0) return errno;
  }
  return 0;
}

/* Once a folder. 0 or an errno, about *at. */
static int sync_folders(struct lsi_os_file *const *files, unsigned n, struct lsi_os_file **at) {
  struct stat before = {0}, st;
  for (unsigned i = n; i-- > 0; before = st) {
    *at = files[i];
    if (fstat(files[i]->dir, &st) < 0) return errno;
    if (i < n - 1 && st.st_ino == before.st_ino && st.st_dev == before.st_dev) continue;
    if (fsync(files[i]->dir) < 0 && errno != EINVAL) return errno;
  }
  return 0;
}

/* 0 or LSIO_ERR_OUTPUT. */
static int publish_all(struct lsi_os_file *const *files, unsigned n, bool sync_dir, struct lsi_error *err) {
  char text[768] = "an output file can't be given its name";
  const char *what;
  struct lsi_os_file *at = files[n - 1];
  int code = ready_all(files, n, sync_dir, &at, &what);
  if (code) return lsi_output_fail(at, code, what, err);
  /* One name that nothing follows cannot be taken back, and need not be. */
  if (at->replace && (n > 1 || sync_dir))
    for (unsigned i = 0; i < n; i++) keep_old(files[i]);
  code = name_all(files, n, &at);
  if (code == EEXIST) snprintf(text, sizeof text, "the output exists already");
  if (!code && sync_dir && (code = sync_folders(files, n, &at)) != 0)
    snprintf(text, sizeof text, "the name of an output file did not reach the disk");
  if (!code) return 0;
  undo_all(files, n, text, sizeof text);
  return lsi_output_error(at->path, code, text, err);
}

int lsi_os_files_publish(struct lsi_os_file *const *files, unsigned n, bool sync_dir, struct lsi_error *err) {
  const int rc = publish_all(files, n, sync_dir, err);
  for (unsigned i = 0; i < n; i++) {
    if (files[i]->kept) unlinkat(files[i]->dir, files[i]->kept, 0);
    lsi_os_file_discard(files[i]);
  }
  return rc;
}
