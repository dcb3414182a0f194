/* core/os.h on Linux: file name patterns. Braces are expanded first; then each pattern is walked part
 * by part. Names that start with a point match only a pattern that does, and "**" follows no
 * symbolic link to a folder, so that it always ends. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "os_linux.h"

#define PATH_LONGEST 4096u
#define BRACES_MOST 4096u /* patterns that braces may expand to */

struct names {
  char **at;
  size_t n, cap;
};

struct walk {
  struct names found, patterns;
  char path[PATH_LONGEST]; /* what has been walked so far */
  struct lsi_error *err;
};

static void names_free(struct names *list) {
  for (size_t i = 0; i < list->n; i++) lsi_free(list->at[i]);
  lsi_free(list->at);
}

static int no_memory(struct walk *w) {
  return lsi_fail(w->err, LSIO_ERR_NOMEM, 0, "no memory for a list of names");
}

static int names_add(struct walk *w, struct names *list, const char *name, size_t length) {
  if (list->n == list->cap) {
    size_t cap = list->cap ? list->cap * 2 : 64;
    char **more = lsi_reallocarray(list->at, cap, sizeof *more);
    if (!more) return no_memory(w);
    list->at = more;
    list->cap = cap;
  }
  char *copy = lsi_strndup(name, length);
  if (!copy) return no_memory(w);
  list->at[list->n++] = copy;
  return 0;
}

static int too_long(struct walk *w) {
  return lsi_fail(w->err, LSIO_ERR_SOURCE, ENAMETOOLONG, "a name is too long");
}

/* ---- braces ---- */

/* The end of a bracket expression that starts at p, or p itself where none does. */
static const char *skip_bracket(const char *p) {
  const char *q = p + 1;
  if (*q == '!' || *q == '^') q++;
  if (*q == ']') q++;
  while (*q && *q != ']' && *q != '/') q++;
  return *q == ']' ? q : p;
}

/* Finds the first brace with a partner and a comma. */
static bool find_brace(const char *s, const char **open_at, const char **close_at) {
  for (const char *p = s; *p; p++) {
    if (*p == '\\' && p[1]) p++;
    else if (*p == '[') p = skip_bracket(p);
    else if (*p == '{') {
      int depth = 0;
      bool comma = false;
      for (const char *q = p; *q; q++) {
        if (*q == '\\' && q[1]) q++;
        else if (*q == '{') depth++;
        else if (*q == ',' && depth == 1) comma = true;
        else if (*q == '}' && --depth == 0) {
          if (!comma) break;
          *open_at = p;
          *close_at = q;
          return true;
        }
      }
    }
  }
  return false;
}

static int expand_braces(struct walk *w, const char *s) {
  const char *open_at, *close_at;
  if (!find_brace(s, &open_at, &close_at)) {
    if (w->patterns.n >= BRACES_MOST)
      return lsi_fail(w->err, LSIO_ERR_SOURCE, 0, "braces expand to more than %u patterns",
                      BRACES_MOST);
    return names_add(w, &w->patterns, s, strlen(s));
  }
  int depth = 0;
  const char *from = open_at + 1;
  for (const char *p = from; p <= close_at; p++) {
    if (*p == '\\' && p[1]) p++;
    else if (*p == '{') depth++;
    else if (*p == '}' && p < close_at) depth--;
    else if ((*p == ',' && depth == 0) || p == close_at) {
      size_t head = (size_t)(open_at - s), body = (size_t)(p - from), tail = strlen(close_at + 1);
      char *one = lsi_malloc(head + body + tail + 1);
      if (!one) return no_memory(w);
      memcpy(one, s, head);
      memcpy(one + head, from, body);
      memcpy(one + head + body, close_at + 1, tail + 1);
      int rc = expand_braces(w, one);
      lsi_free(one);
      if (rc < 0) return rc;
      from = p + 1;
    }
  }
  return 0;
}

/* ---- walking ---- */

static bool magic(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (s[i] == '*' || s[i] == '?' || s[i] == '[') return true;
  return false;
}

/* Appends a name to w->path at `at`; the new length, or 0 when it does not fit. */
static size_t append(struct walk *w, size_t at, const char *name, size_t n, bool unescape) {
  bool slash = at && w->path[at - 1] != '/';
  if (at + slash + n + 1 >= PATH_LONGEST) return 0;
  if (slash) w->path[at++] = '/';
  for (size_t i = 0; i < n; i++) {
    if (unescape && name[i] == '\\' && i + 1 < n) i++;
    w->path[at++] = name[i];
  }
  w->path[at] = 0;
  return at;
}

static int walk(struct walk *w, size_t at, const char *pattern);

/* The end of a walk: keeps w->path if it names a file. */
static int keep(struct walk *w, size_t at) {
  struct stat st;
  if (stat(w->path, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) return 0;
  return names_add(w, &w->found, w->path, at);
}

static int folder_error(struct walk *w) {
  /* A folder that has gone, or a file where a folder was looked for, is no match; one that can't be
   * read would silently lose files. */
  if (errno == ENOENT || errno == ENOTDIR) return 0;
  int code = errno;
  lsi_fail(w->err, LSIO_ERR_SOURCE, code, "a folder can't be listed");
  lsi_error_at(w->err, w->path[0] ? w->path : ".", LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return LSIO_ERR_SOURCE;
}

struct part {
  const char *rest;  /* pattern behind the part, NULL at the last */
  const char *again; /* "**": the pattern from here on, else NULL */
  char text[256];
};

/* True for a folder that is not reached through a symbolic link. */
static bool real_folder(const struct walk *w, const struct dirent *e) {
  if (e->d_type == DT_DIR) return true;
  struct stat st;
  return e->d_type == DT_UNKNOWN && lstat(w->path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int walk_entry(struct walk *w, size_t at, const struct part *p, const struct dirent *e) {
  size_t n = strlen(e->d_name);
  if (p->again && e->d_name[0] == '.') return 0;
  if (!p->again && fnmatch(p->text, e->d_name, FNM_PERIOD) != 0) return 0;
  /* What the directory says already needs no stat. */
  if (!p->again && p->rest && e->d_type == DT_REG) return 0;
  if (!p->rest && !p->again && e->d_type == DT_DIR) return 0;
  size_t end = append(w, at, e->d_name, n, false);
  if (!end) return too_long(w);
  int rc = 0;
  if (!p->again) {
    if (p->rest) rc = walk(w, end, p->rest);
    else if (e->d_type == DT_REG) rc = names_add(w, &w->found, w->path, end);
    else rc = keep(w, end);
  } else if (real_folder(w, e)) {
    rc = walk(w, end, p->again);
  } else if (!p->rest) {
    rc = e->d_type == DT_REG ? names_add(w, &w->found, w->path, end) : keep(w, end);
  }
  w->path[at] = 0;
  return rc;
}

static int walk_folder(struct walk *w, size_t at, const struct part *p) {
  DIR *dir = opendir(at ? w->path : ".");
  if (!dir) return folder_error(w);
  int rc = 0;
  while (rc == 0) {
    errno = 0;
    struct dirent *e = readdir(dir);
    if (!e) {
      if (errno) rc = folder_error(w);
      break;
    }
    if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) rc = walk_entry(w, at, p, e);
  }
  closedir(dir);
  return rc;
}

static int walk(struct walk *w, size_t at, const char *pattern) {
  while (*pattern == '/') pattern++;
  if (!*pattern) return 0; /* a trailing slash asks for a folder */
  size_t n = strcspn(pattern, "/");
  const char *rest = pattern[n] ? pattern + n : NULL;
  if (!magic(pattern, n)) {
    size_t end = append(w, at, pattern, n, true);
    if (!end) return too_long(w);
    int rc = rest ? walk(w, end, rest) : keep(w, end);
    w->path[at] = 0;
    return rc;
  }
  struct part p = {.rest = rest};
  if (n >= sizeof p.text) return too_long(w);
  memcpy(p.text, pattern, n);
  if (strcmp(p.text, "**") == 0) {
    p.again = pattern;
    /* No folder at all is a depth too. */
    int rc = rest ? walk(w, at, rest) : 0;
    if (rc < 0) return rc;
  }
  return walk_folder(w, at, &p);
}

/* ---- the whole ---- */

static int by_bytes(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static int expand(struct walk *w, const char *pattern) {
  int rc = expand_braces(w, pattern);
  for (size_t i = 0; rc == 0 && i < w->patterns.n; i++) {
    const char *p = w->patterns.at[i];
    w->path[0] = 0;
    size_t at = 0;
    if (*p == '/') memcpy(w->path, "/", 2), at = 1;
    rc = walk(w, at, p);
  }
  return rc;
}

static int report(struct walk *w, const char *pattern, int (*add)(void *ctx, const char *path),
                  void *ctx) {
  if (w->found.n == 0) {
    lsi_fail(w->err, LSIO_ERR_SOURCE, ENOENT, "no file matches a pattern");
    lsi_error_at(w->err, pattern, LSI_NO_OFFSET, 0, LSI_NO_STEP);
    lsi_error_remedy(w->err, "check it with ls; quote it so that the shell leaves it alone");
    return LSIO_ERR_SOURCE;
  }
  qsort(w->found.at, w->found.n, sizeof *w->found.at, by_bytes);
  for (size_t i = 0; i < w->found.n; i++) {
    if (i && strcmp(w->found.at[i], w->found.at[i - 1]) == 0) continue; /* {a,a*} */
    int rc = add(ctx, w->found.at[i]);
    if (rc < 0) return rc;
  }
  return 0;
}

int lsi_os_glob(const char *pattern, int (*add)(void *ctx, const char *path), void *ctx,
                struct lsi_error *err) {
  const char *open_at, *close_at;
  bool plain = !magic(pattern, strlen(pattern)) && !find_brace(pattern, &open_at, &close_at);
  /* A file that has such signs in its name is meant when it is there. */
  if (plain || lsi_os_exists(pattern)) return add(ctx, pattern);
  struct walk *w = lsi_calloc(1, sizeof *w);
  if (!w) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a list of names");
  w->err = err;
  int rc = expand(w, pattern);
  if (rc == 0)
    rc = report(w, pattern, add, ctx);
  else
    lsi_error_at(err, pattern, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  names_free(&w->found);
  names_free(&w->patterns);
  lsi_free(w);
  return rc;
}
