#include "host/paths.h"

#include <stdlib.h>
#include <string.h>

#include "ground/mem.h"
#include "ground/names.h"
#include "lists/npy.h"
#include "seams/os.h"
#include "seams/store.h"

#define LIST_PART 4u                     /* of the memory that there is: what is made of a list is as large */
#define LINE_MOST ((size_t)1 << 20)      /* bytes of a line of a list: longer than any path */
#define DICTIONARY_MOST ((uint64_t)1 << 31)
#define LINES_BETWEEN 65536u             /* two looks at the watch */

struct lsi_paths {
  struct lsi_watch *watch;
  bool sorted; /* they came in order */
  bool allow_none;
  size_t later; /* patterns among them, yet to be listed */
  struct lsi_names names; /* before each stands 'r' if it is known to be a regular file, '*' if it is one of
                             these patterns, else '?' */
};

struct lsi_paths *lsi_paths_create(struct lsi_watch *watch) {
  struct lsi_paths *p = lsi_calloc(1, sizeof *p);
  if (p) p->watch = watch;
  return p;
}

void lsi_paths_free(struct lsi_paths *p) {
  if (!p) return;
  lsi_names_free(&p->names);
  lsi_free(p);
}

static int no_memory(const struct lsi_paths *p, const char *what, struct lsi_error *err) {
  return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory %s %zu paths", what, (size_t)p->names.n);
}

static int add(struct lsi_paths *p, const char *path, size_t n, bool regular, struct lsi_error *err) {
  return lsi_names_add(&p->names, regular ? 'r' : '?', path, n)
             ? 0 : no_memory(p, "for a list of", err);
}

int lsi_paths_add(struct lsi_paths *p, const char *path, struct lsi_error *err) {
  char *own;
  int rc = lsi_store_name(path, false, &own, err);
  if (rc < 0) return rc;
  if (own) path = own;
  p->sorted = false;
  rc = add(p, path, strlen(path), false, err);
  lsi_free(own);
  return rc;
}

/* Can some store find anything else by it than the name as it stands? */
static bool may_be_pattern(const char *path) { return strpbrk(path, "*?[{\\") || strstr(path, "://"); }

int lsi_paths_later(struct lsi_paths *p, const char *pattern, struct lsi_error *err) {
  const bool later = may_be_pattern(pattern);
  p->sorted = false;
  if (!lsi_names_add(&p->names, later ? '*' : '?', pattern, strlen(pattern)))
    return no_memory(p, "for a list of", err);
  p->later += later;
  return 0;
}

struct globbing {
  struct lsi_paths *paths;
  struct lsi_error *err;
};

static int add_match(void *ctx, const char *path, size_t length, bool regular) {
  struct globbing *g = ctx;
  return add(g->paths, path, length, regular, g->err);
}

static int glob(struct lsi_paths *p, const char *pattern, struct lsi_error *err) {
  struct globbing g = {p, err};
  char *own;
  int rc = lsi_store_name(pattern, true, &own, err);
  if (rc < 0) return rc;
  if (own) pattern = own;
  p->sorted = p->names.n == 0; /* as the matches of one pattern are */
  const struct lsi_store *store = lsi_stores[lsi_store_find(pattern)];
  rc = store->list(NULL, pattern, p->watch, add_match, &g, err);
  if (rc == LSIO_ERR_SOURCE && p->allow_none && lsi_error_kind(err) == LSIO_KIND_NOT_FOUND) {
    if (p->watch) lsi_left_out_add(&p->watch->missing, 1, pattern);
    lsi_error_clear(err);
    rc = 0;
  }
  if (p->watch) p->watch->listed_before = p->names.n;
  lsi_free(own);
  return rc;
}

void lsi_paths_allow_none(struct lsi_paths *p, bool allow) { p->allow_none = allow; }

int lsi_paths_expand(struct lsi_paths *p, struct lsi_error *err) {
  if (!p->later) return 0;
  struct lsi_names given = p->names;
  p->names = (struct lsi_names){0};
  p->later = 0;
  int rc = 0;
  for (uint64_t i = 0; rc == 0 && i < given.n; i++) {
    const char *path = lsi_names_get(&given, i);
    if (lsi_names_mark(&given, i) == '*') {
      rc = glob(p, path, err);
    } else {
      p->sorted = false;
      rc = add(p, path, strlen(path), false, err);
    }
  }
  lsi_names_free(&given);
  return rc;
}

/* Of a list, as far as it has been read. */
struct lines {
  enum lsi_paths_text kind;
  char end;
  size_t seen, begin; /* bytes that have been looked at; where the last line begins */
};

static int line_too_long(const struct lines *l, const char *text, struct lsi_error *err) {
  size_t number = 1;
  for (size_t i = 0; i < l->begin; i++) number += text[i] == l->end;
  lsi_fail(err, LSIO_ERR_LIMIT, 0, "%s %zu of a list is longer than the %zu bytes that it may have",
           l->end ? "line" : "name", number, LINE_MOST);
  static const char *const remedies[] = {
      [LSI_TEXT_LINES] = "is it a list of paths, one a line? With a NUL byte behind each (find -print0) it "
                         "is read with nul = true",
      [LSI_TEXT_NULS] = "is it a list of paths, with a NUL byte behind each?",
      [LSI_TEXT_RANGES] = "is it a CSV or .npy of ranges?"};
  lsi_error_remedy(err, "%s", remedies[l->kind]);
  return LSIO_ERR_LIMIT;
}

static int look_at_lines(void *user, const char *text, size_t n, struct lsi_error *err) {
  struct lines *l = user;
  size_t last = n;
  while (last > l->seen && text[last - 1] != l->end) last--;
  if (last > l->seen) l->begin = last;
  l->seen = n;
  return n - l->begin <= LINE_MOST || lsi_npy_begins(text, n) ? 0 : line_too_long(l, text, err);
}

int lsi_paths_read(struct lsi_watch *watch, const char *name, enum lsi_paths_text kind, char **text,
                   size_t *length, struct lsi_error *err) {
  char *own;
  int rc = lsi_store_name(name, false, &own, err);
  if (rc < 0) return rc;
  if (own) name = own;
  struct lines lines = {.kind = kind, .end = kind == LSI_TEXT_NULS ? 0 : '\n'};
  const bool list = kind != LSI_TEXT_DICTIONARY;
  const struct lsi_whole how = {.limit = list ? lsi_os_memory_available() / LIST_PART : DICTIONARY_MOST,
                                .watch = watch, .look = list ? look_at_lines : NULL, .user = &lines};
  rc = lsi_stores[lsi_store_find(name)]->read_all(NULL, name, &how, text, length, err);
  if (rc == LSIO_ERR_LIMIT && list)
    lsi_error_remedy(err, "a list may take a quarter of the memory that there is: give it in parts");
  lsi_free(own);
  return rc;
}

static int nul_in_line(const char *file, size_t line, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_USAGE, 0, "line %zu of the list of paths holds a NUL byte", line);
  lsi_error_at(err, strcmp(file, "-") == 0 ? "standard input" : file, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  lsi_error_remedy(err, "a list as of find -print0 is lsio.list(\"%.64s\", { nul = true })", file);
  return LSIO_ERR_USAGE;
}

int lsi_paths_list(struct lsi_paths *p, const char *file, bool nul, struct lsi_error *err) {
  char *text;
  size_t length;
  int rc = lsi_paths_read(p->watch, file, nul ? LSI_TEXT_NULS : LSI_TEXT_LINES, &text, &length, err);
  if (rc < 0) return rc;
  const bool marked = !nul && length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0; /* by an editor */
  size_t begin = marked ? 3 : 0, line = 0;
  while (rc == 0 && begin < length) {
    const char *stop = memchr(text + begin, nul ? 0 : '\n', length - begin);
    size_t end = stop ? (size_t)(stop - text) : length;
    size_t n = end - begin;
    if (++line % LINES_BETWEEN == 0 && p->watch) rc = lsi_watch_tell(p->watch, p->names.n, 0, err);
    if (!nul && n && text[end - 1] == '\r') n--;
    if (rc == 0 && !nul && memchr(text + begin, 0, n)) rc = nul_in_line(file, line, err);
    text[begin + n] = 0; /* for the last one, there is room for it */
    if (rc == 0 && n) rc = lsi_paths_add(p, text + begin, err);
    begin = end + 1;
  }
  lsi_free(text);
  return rc;
}

static bool is_sorted(const struct lsi_names *names) {
  for (uint64_t i = 1; i < names->n; i++)
    if (strcmp(lsi_names_get(names, i - 1), lsi_names_get(names, i)) > 0) return false;
  return true;
}

int lsi_paths_sort(struct lsi_paths *p, struct lsi_error *err) {
  struct lsi_names *names = &p->names;
  if (p->sorted || is_sorted(names)) return 0;
  uint64_t *order = lsi_reallocarray(NULL, names->n, 2 * sizeof *order);
  if (!order) return no_memory(p, "to sort", err);
  lsi_names_order(names, order);
  for (uint64_t i = 0; i < names->n; i++) order[i] = names->at[order[i]];
  lsi_free(names->at);
  names->at = order;
  names->at_capacity = 2 * names->n;
  p->sorted = true;
  return 0;
}

bool lsi_paths_regular(const struct lsi_paths *p, size_t i) {
  return lsi_names_mark(&p->names, i) == 'r';
}

size_t lsi_paths_count(const struct lsi_paths *p) { return p->names.n; }

struct lsi_names *lsi_paths_names(struct lsi_paths *p) { return &p->names; }

const char **lsi_paths_array(const struct lsi_paths *p) {
  const struct lsi_names *names = &p->names;
  const char **array = lsi_reallocarray(NULL, names->n + 1, sizeof *array);
  for (size_t i = 0; array && i < names->n; i++) array[i] = lsi_names_get(names, i);
  return array;
}
