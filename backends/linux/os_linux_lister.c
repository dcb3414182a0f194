#include "linux/os_linux_lister.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ground/mem.h"
#include "linux/os_linux.h"
#include "linux/os_linux_pattern.h"

#define LOOK_EVERY 4096u /* names of one folder between looks at the watch */
#define GIVE_WAY_EVERY 64u /* and between looks at the time */

static int no_memory(struct lsi_lister *l) {
  return lsi_fail(&l->error, LSIO_ERR_NOMEM, 0, "no memory for a list of names");
}

static int too_long(struct lsi_lister *l) {
  return lsi_fail(&l->error, LSIO_ERR_SOURCE, ENAMETOOLONG, "a name is too long");
}

/* ---- entries that matched ---- */

/* Notes l->path, up to `at`, by what it has beyond the folder's own path. */
static int add(struct lsi_lister *l, size_t at, enum lsi_entry kind, struct lsi_folder *folder) {
  const uint64_t n = l->names.n;
  if (n == l->folders_cap) {
    const uint64_t cap = n ? n * 2 : 256;
    struct lsi_folder **more = lsi_reallocarray(l->folders, cap, sizeof(struct lsi_folder *));
    if (!more) return no_memory(l);
    l->folders = more;
    l->folders_cap = cap;
  }
  const size_t skip = l->in->length;
  if (!lsi_names_add(&l->names, (char)kind, l->path + skip, at - skip)) return no_memory(l);
  l->folders[n] = folder;
  return 0;
}

/* Hands the entries over to the folder that they are of, sorted. */
static int keep_entries(struct lsi_lister *l) {
  struct lsi_folder *f = l->in;
  const struct lsi_names *names = &l->names;
  size_t folders = 0;
  for (uint64_t i = 0; i < names->n; i++) folders += l->folders[i] != NULL;
  uint64_t *order = lsi_reallocarray(NULL, names->n + 1, 2 * sizeof *order);
  f->text = lsi_malloc(names->length + 1);
  if (folders) f->folders = lsi_calloc(folders, sizeof(struct lsi_folder *));
  if (!order || !f->text || (folders && !f->folders)) {
    lsi_free(order);
    return no_memory(l);
  }
  lsi_names_order(names, order);
  char *to = f->text;
  for (uint64_t i = 0; i < names->n; i++) {
    const uint64_t k = order[i];
    *to++ = lsi_names_mark(names, k);
    if (l->folders[k]) {
      f->folders[f->n_folders++] = l->folders[k];
      l->folders[k] = NULL;
    } else {
      to = stpcpy(to, lsi_names_get(names, k)) + 1;
    }
  }
  f->text_length = (size_t)(to - f->text);
  lsi_free(order);
  return 0;
}

void lsi_lister_drop(struct lsi_lister *l) {
  for (uint64_t i = 0; i < l->names.n; i++) lsi_folder_free(l->folders[i]);
  l->names.n = l->names.length = 0;
}

void lsi_lister_free(struct lsi_lister *l) {
  lsi_names_free(&l->names);
  lsi_names_free(&l->broken);
  lsi_free(l->folders);
}

/* ---- along a pattern ---- */

/* Appends a name to l->path at `at`; the new length, or 0 when it does not fit. */
static size_t append(struct lsi_lister *l, size_t at, const char *name, size_t n, bool unescape) {
  bool slash = at && l->path[at - 1] != '/';
  if (at + slash + n + 1 >= LSI_PATH_LONGEST) return 0;
  if (slash) l->path[at++] = '/';
  for (size_t i = 0; i < n; i++) {
    if (unescape && name[i] == '\\' && i + 1 < n) i++;
    l->path[at++] = name[i];
  }
  l->path[at] = 0;
  return at;
}

/* Keeps l->path if it names a file. */
static int keep(struct lsi_lister *l, size_t at) {
  struct stat st;
  if (stat(l->path, &st) == 0)
    return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ? add(l, at, LSI_ENTRY_OTHER, NULL) : 0;
  if (lstat(l->path, &st) < 0 || !S_ISLNK(st.st_mode)) return 0;
  return lsi_names_add(&l->broken, 0, l->path, at) ? 0 : no_memory(l);
}

/* Notes that the folder l->path is to be listed for a pattern. */
static int list_later(struct lsi_lister *l, size_t at, const char *pattern) {
  bool slash = at && l->path[at - 1] != '/';
  struct lsi_folder *f = lsi_calloc(1, sizeof *f + at + 2);
  if (!f) return no_memory(l);
  memcpy(f->path, l->path, at);
  if (slash) f->path[at] = '/';
  f->length = at + slash;
  f->pattern = pattern;
  /* Sorted by its name with the slash, folders stand where their files stand among whole paths. */
  l->path[at] = '/';
  int rc = add(l, f->length, LSI_ENTRY_FOLDER, f);
  l->path[at] = 0;
  if (rc < 0) lsi_free(f);
  return rc;
}

static bool is_any_depth(const char *pattern, size_t n) { return n == 2 && memcmp(pattern, "**", 2) == 0; }

/* Of one "**" behind the other the last is all of them: else a folder were listed for each way to share out
 * its depth among them. */
static const char *last_any_depth(const char *pattern) {
  for (const char *next = pattern; is_any_depth(next, strcspn(next, "/")); next += strspn(next, "/")) {
    pattern = next;
    next += 2;
  }
  return pattern;
}

/* Goes from l->path along a pattern up to what must be listed. */
static int resolve(struct lsi_lister *l, size_t at, const char *pattern) {
  for (;;) {
    while (*pattern == '/') pattern++;
    if (!*pattern) return 0; /* a trailing slash asks for a folder */
    pattern = last_any_depth(pattern);
    size_t n = strcspn(pattern, "/");
    const char *rest = pattern[n] ? pattern + n : NULL;
    if (lsi_pattern_magic(pattern, n)) {
      int rc = list_later(l, at, pattern);
      if (rc < 0 || !is_any_depth(pattern, n) || !rest || lsi_pattern_one_more(rest)) return rc;
      /* No folder at all is a depth too. */
    } else {
      at = append(l, at, pattern, n, true);
      if (!at) return too_long(l);
      if (!rest) return keep(l, at);
    }
    pattern = rest;
  }
}

/* ---- one folder ---- */

/* True for a folder that is not reached through a symbolic link. */
static bool real_folder(const struct lsi_lister *l, const struct dirent *e) {
  if (e->d_type == DT_DIR) return true;
  struct stat st;
  return e->d_type == DT_UNKNOWN && lstat(l->path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int list_entry(struct lsi_lister *l, const struct lsi_pattern_part *p, const struct dirent *e) {
  size_t n = strlen(e->d_name), at = l->in->length;
  bool below = p->again && e->d_name[0] != '.' && e->d_type != DT_REG;
  bool match = lsi_pattern_matches(p, e->d_name, n);
  if (!below && !match) return 0;
  /* What the directory says already needs no stat. */
  if (p->rest && e->d_type == DT_REG) return 0;
  if (!p->rest && !below && e->d_type == DT_DIR) return 0;
  size_t end = append(l, at, e->d_name, n, false);
  if (!end) return too_long(l);
  int rc = 0;
  if (p->rest && !p->again) rc = resolve(l, end, p->rest);
  else if (below && real_folder(l, e)) rc = resolve(l, end, p->again);
  else if (match && !p->rest) rc = e->d_type == DT_REG ? add(l, end, LSI_ENTRY_REGULAR, NULL) : keep(l, end);
  l->path[at] = 0;
  return rc;
}

static int folder_error(struct lsi_lister *l, int code) {
  /* A folder that has gone, or a file where a folder was looked for, is no match; one that can't be
   * read would silently lose files. */
  if (code == ENOENT || code == ENOTDIR) return 0;
  if (l->finds_folders && (code == EACCES || code == EPERM) && l->in->length)
    return add(l, l->in->length, LSI_ENTRY_OTHER, NULL);
  lsi_fail(&l->error, LSIO_ERR_SOURCE, code, "a folder can't be listed");
  const struct lsi_folder *f = l->in;
  char name[LSI_PATH_LONGEST];
  size_t n = f->length > 1 ? f->length - 1 : f->length; /* without the last slash */
  memcpy(name, f->path, n);
  name[n] = 0;
  lsi_error_at(&l->error, n ? name : ".", LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return LSIO_ERR_SOURCE;
}

bool lsi_lister_look(struct lsi_lister *l, uint64_t listed) {
  return l->watch && lsi_watch_tell(l->watch, listed, 0, &l->error) < 0;
}

int lsi_lister_folder(struct lsi_lister *l, uint64_t listed) {
  struct lsi_pattern_part p;
  struct lsi_folder *f = l->in;
  memcpy(l->path, f->path, f->length + 1);
  if (!lsi_pattern_read(f->pattern, &p)) return too_long(l);
  int rc = 0;
  DIR *dir = opendir(f->length ? f->path : ".");
  if (!dir) {
    rc = folder_error(l, errno);
    return rc < 0 ? rc : keep_entries(l);
  }
  for (uint64_t n = 1; rc == 0; n++) {
    errno = 0;
    struct dirent *e = readdir(dir);
    if (!e) {
      if (errno) rc = folder_error(l, errno);
      break;
    }
    if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) rc = list_entry(l, &p, e);
    if (n % GIVE_WAY_EVERY == 0) lsi_linux_give_way(&l->gave_way_ns);
    if (n % LOOK_EVERY == 0 && lsi_lister_look(l, listed + n)) rc = l->error.code;
  }
  closedir(dir);
  lsi_linux_give_way(&l->gave_way_ns);
  return rc < 0 ? rc : keep_entries(l);
}

int lsi_lister_begin(struct lsi_lister *l, const char *pattern) {
  size_t at = 0;
  if (*pattern == '/') memcpy(l->path, "/", 2), at = 1;
  int rc = resolve(l, at, pattern);
  return rc < 0 ? rc : keep_entries(l);
}
