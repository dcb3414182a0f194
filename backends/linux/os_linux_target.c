/* core/seams/os.h on Linux: where an output file goes, and what it takes over from the file that it
 * replaces.
 *
 * A name that is a symbolic link stands for what it leads to: that is replaced, in its own folder.
 * Each link is looked at and read by one descriptor, and folders are entered from the one before, so
 * that nobody can put another file in between.
 *
 * The new file may be read by nobody who could not read the old one. It takes over mode, owner, group
 * and access list; what of these can't be had narrows its mode. All of it is set by its descriptor,
 * before it has its name. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ground/mem.h"
#include "linux/os_linux_output.h"

#define LINKS_MAX 40 /* as many as the kernel follows */
#define ACL "system.posix_acl_access"

/* ---- where ---- */

static int refuse(struct lsi_os_file *f, int code, const char *what, const char *remedy) {
  f->what = what;
  f->remedy = remedy;
  return code;
}

/* What stands there can't be replaced: renaming over /dev/null would take it away from everybody. */
static int refuse_kind(struct lsi_os_file *f, mode_t mode) {
  static const char remedy[] = "give the sink the path of a file";
  if (S_ISDIR(mode)) return refuse(f, EISDIR, "the output is a directory", remedy);
  return refuse(f, EINVAL, "the output exists and is not a plain file", remedy);
}

/* Opens the folder of `path`, seen from f->dir, as f->dir, and keeps its last part as f->name. 0 or
 * an errno. */
static int enter(struct lsi_os_file *f, const char *path) {
  const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
  if (!*last || !strcmp(last, ".") || !strcmp(last, "..")) return refuse_kind(f, S_IFDIR);
  if (strlen(last) > NAME_MAX) return ENAMETOOLONG;
  char *name = lsi_strdup(last), *folder = lsi_strdup(slash ? path : ".");
  if (slash && folder) folder[slash == path ? 1 : slash - path] = 0;
  int code = name && folder ? 0 : ENOMEM;
  const int dir = code ? -1 : openat(f->dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!code && dir < 0) code = errno;
  lsi_free(folder);
  if (code) {
    lsi_free(name);
    return code;
  }
  if (f->dir >= 0) close(f->dir);
  lsi_free(f->name);
  f->dir = dir;
  f->name = name;
  return 0;
}

/* May f go where the link `at` in f->dir leads? As fs.protected_symlinks has it, whether that is on
 * or not: in a folder like /tmp anybody could have laid a link under a name that is known to be
 * written. */
static int may_follow(struct lsi_os_file *f, const struct stat *at) {
  struct stat dir;
  struct statfs fs;
  if (fstat(f->dir, &dir) < 0 || fstatfs(f->dir, &fs) < 0) return errno;
  const mode_t shared = S_ISVTX | S_IWOTH;
  if ((dir.st_mode & shared) == shared && at->st_uid != geteuid() && at->st_uid != dir.st_uid)
    return refuse(f, EACCES, "the output is a link of another user in a folder where everybody may write",
                  "remove the link, or choose another name");
  /* /dev/stdout and its like: what such links say is not a path. */
  return (uint64_t)fs.f_type == PROC_SUPER_MAGIC ? refuse_kind(f, 0) : 0;
}

/* Goes on to where the link `at` under f->name leads. 0 or an errno. */
static int follow(struct lsi_os_file *f, int at, const struct stat *st) {
  char to[PATH_MAX];
  const int code = may_follow(f, st);
  if (code) return code;
  const ssize_t n = readlinkat(at, "", to, sizeof to);
  if (n < 0) return errno;
  if ((size_t)n == sizeof to) return ENAMETOOLONG;
  to[n] = 0;
  f->followed = true;
  return enter(f, to);
}

/* Looks at what stands under f->name: *at is a descriptor of it, or -1 if there is nothing. 0 or an
 * errno. */
static int look(struct lsi_os_file *f, int *at, struct stat *st) {
  *at = openat(f->dir, f->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (*at < 0) return errno == ENOENT ? 0 : errno;
  if (fstat(*at, st) == 0) return 0;
  const int code = errno;
  close(*at);
  return code;
}

/* `at` is what f replaces, if it can be replaced. Takes `at`. 0 or an errno. */
static int take_old(struct lsi_os_file *f, int at, const struct stat *st) {
  if (!S_ISREG(st->st_mode) || !f->replace) {
    close(at);
    if (S_ISDIR(st->st_mode) || f->replace) return refuse_kind(f, st->st_mode);
    return refuse(f, EEXIST, "the output exists already", LSI_OUTPUT_EXISTS);
  }
  if (f->old >= 0) close(f->old);
  f->old = at;
  return 0;
}

int lsi_output_find(struct lsi_os_file *f) {
  f->dir = AT_FDCWD;
  int code = enter(f, f->path);
  for (int links = 0; !code; links++) {
    struct stat st;
    int at;
    code = look(f, &at, &st);
    if (code || at < 0) return code;
    if (!S_ISLNK(st.st_mode) || !f->replace) return take_old(f, at, &st);
    code = links < LINKS_MAX ? follow(f, at, &st)
                             : refuse(f, ELOOP, "the output's links lead to each other",
                                      "remove one, or choose another name");
    close(at);
  }
  return code;
}

int lsi_output_find_again(struct lsi_os_file *f) {
  struct stat st;
  int at;
  const int code = look(f, &at, &st);
  return code || at < 0 ? code : take_old(f, at, &st);
}

/* ---- what it takes over ---- */

enum acl { ACL_NONE, ACL_KEPT, ACL_LOST };

/* Gives f the old file's access list, or takes away what its folder gives to new files. */
static enum acl keep_acl(const struct lsi_os_file *f) {
  char from[40], list[4096];
  snprintf(from, sizeof from, "/proc/self/fd/%d", f->old);
  const ssize_t n = getxattr(from, ACL, list, sizeof list);
  if (n > 0) return fsetxattr(f->fd, ACL, list, (size_t)n, 0) == 0 ? ACL_KEPT : ACL_LOST;
  if (n < 0 && errno != ENODATA && errno != EOPNOTSUPP) return ACL_LOST;
  if (fremovexattr(f->fd, ACL) == 0 || errno == ENODATA || errno == EOPNOTSUPP) return ACL_NONE;
  return ACL_LOST;
}

/* The old mode, less what it would give to people who had less. */
static mode_t narrow(mode_t old, bool same_group, enum acl acl) {
  const mode_t group = old >> 3 & 7, others = old & 7;
  if (acl == ACL_LOST || (acl == ACL_KEPT && !same_group)) return old & S_IRWXU;
  if (same_group) return old & (S_IRWXU | S_IRWXG | S_IRWXO);
  return (old & S_IRWXU) | (group & others) << 3 | (group & others); /* either may be the other now */
}

int lsi_output_keep(struct lsi_os_file *f, bool *changed) {
  struct stat old, own;
  *changed = false;
  if (f->old < 0) return 0;
  if (fstat(f->old, &old) < 0 || fstat(f->fd, &own) < 0) return errno;
  if (own.st_uid != old.st_uid || own.st_gid != old.st_gid) {
    /* Only root gives files away; everybody may choose among the groups that he is in. */
    if (fchown(f->fd, old.st_uid, old.st_gid) < 0 && fchown(f->fd, (uid_t)-1, old.st_gid) < 0) errno = 0;
    if (fstat(f->fd, &own) < 0) return errno;
    *changed = true;
  }
  const enum acl acl = keep_acl(f);
  const mode_t mode = narrow(old.st_mode, own.st_gid == old.st_gid, acl);
  *changed = *changed || acl == ACL_KEPT || (own.st_mode & 07777) != mode;
  if (fstat(f->fd, &own) < 0) return errno;
  return (own.st_mode & 07777) == mode || fchmod(f->fd, mode) == 0 ? 0 : errno;
}
