#include "paths.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "os.h"

struct lsi_paths {
  struct lsi_watch *watch;
  bool sorted; /* they came in order */
  char *text;  /* for each, 'r' if it is known to be a regular file, else '?'; then the path, NUL */
  size_t length, capacity;
  size_t *at; /* offsets into text */
  size_t n, at_capacity;
};

struct lsi_paths *lsi_paths_create(struct lsi_watch *watch) {
  struct lsi_paths *p = lsi_calloc(1, sizeof *p);
  if (p) p->watch = watch;
  return p;
}

void lsi_paths_free(struct lsi_paths *p) {
  if (!p) return;
  lsi_free(p->text);
  lsi_free(p->at);
  lsi_free(p);
}

static int add(struct lsi_paths *p, const char *path, size_t n, bool regular, struct lsi_error *err) {
  if (p->length + n + 2 > p->capacity) {
    size_t capacity = LSI_MAX(p->capacity * 2, p->length + n + 4096);
    char *text = lsi_realloc(p->text, capacity);
    if (!text) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a list of %zu paths", p->n);
    p->text = text;
    p->capacity = capacity;
  }
  if (p->n == p->at_capacity) {
    size_t capacity = LSI_MAX(p->at_capacity * 2, (size_t)256);
    size_t *at = lsi_reallocarray(p->at, capacity, sizeof *at);
    if (!at) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a list of %zu paths", p->n);
    p->at = at;
    p->at_capacity = capacity;
  }
  p->text[p->length++] = regular ? 'r' : '?';
  p->at[p->n++] = p->length;
  memcpy(p->text + p->length, path, n);
  p->text[p->length + n] = 0;
  p->length += n + 1;
  return 0;
}

int lsi_paths_add(struct lsi_paths *p, const char *path, struct lsi_error *err) {
  p->sorted = false;
  return add(p, path, strlen(path), false, err);
}

struct globbing {
  struct lsi_paths *paths;
  struct lsi_error *err;
};

static int add_match(void *ctx, const char *path, bool regular) {
  struct globbing *g = ctx;
  return add(g->paths, path, strlen(path), regular, g->err);
}

int lsi_paths_glob(struct lsi_paths *p, const char *pattern, struct lsi_error *err) {
  struct globbing g = {p, err};
  p->sorted = p->n == 0; /* as the matches of one pattern are */
  int rc = lsi_os_glob(pattern, p->watch, add_match, &g, err);
  if (p->watch) p->watch->listed_before = p->n;
  if (rc > 0) return lsi_fail(err, LSIO_ERR_SOURCE, rc, "can't expand '%s'", pattern);
  return rc;
}

int lsi_paths_lines(struct lsi_paths *p, const char *file, struct lsi_error *err) {
  char *text;
  size_t length;
  int rc = lsi_os_read_file(file, (uint64_t)1 << 40, &text, &length, err);
  if (rc > 0) return lsi_fail(err, LSIO_ERR_SOURCE, rc, "can't read the list of paths");
  if (rc < 0) return rc;
  size_t begin = 0, line = 0;
  while (rc == 0 && begin < length) {
    const char *newline = memchr(text + begin, '\n', length - begin);
    size_t end = newline ? (size_t)(newline - text) : length;
    size_t n = end - begin;
    line++;
    if (n && text[end - 1] == '\r') n--;
    if (memchr(text + begin, 0, n))
      rc = lsi_fail(err, LSIO_ERR_USAGE, 0, "line %zu of the list of paths holds a NUL byte", line);
    else if (n)
      rc = add(p, text + begin, n, false, err);
    begin = end + 1;
  }
  lsi_free(text);
  return rc;
}

/* Bottom-up merge sort of the offsets: qsort can't reach the text without a global. */
static void merge_runs(const char *text, const size_t *from, size_t *to, size_t a, size_t middle,
                       size_t end) {
  size_t b = middle;
  for (size_t k = a, i = a; k < end; k++) {
    bool left = i < middle && (b >= end || strcmp(text + from[i], text + from[b]) <= 0);
    to[k] = left ? from[i++] : from[b++];
  }
}

static bool is_sorted(const struct lsi_paths *p) {
  for (size_t i = 1; i < p->n; i++)
    if (strcmp(p->text + p->at[i - 1], p->text + p->at[i]) > 0) return false;
  return true;
}

int lsi_paths_sort(struct lsi_paths *p, struct lsi_error *err) {
  if (p->sorted || is_sorted(p)) return 0;
  size_t *other = lsi_reallocarray(NULL, p->n, sizeof *other);
  if (!other) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to sort %zu paths", p->n);
  size_t *from = p->at, *to = other;
  for (size_t width = 1; width < p->n; width *= 2) {
    for (size_t a = 0; a < p->n; a += 2 * width)
      merge_runs(p->text, from, to, a, LSI_MIN(a + width, p->n), LSI_MIN(a + 2 * width, p->n));
    size_t *swap = from;
    from = to;
    to = swap;
  }
  p->at = from;
  p->at_capacity = p->n;
  lsi_free(to);
  return 0;
}

bool lsi_paths_regular(const struct lsi_paths *p, size_t i) { return p->text[p->at[i] - 1] == 'r'; }

size_t lsi_paths_count(const struct lsi_paths *p) { return p->n; }

const char **lsi_paths_array(const struct lsi_paths *p) {
  const char **array = lsi_reallocarray(NULL, p->n + 1, sizeof *array);
  for (size_t i = 0; array && i < p->n; i++) array[i] = p->text + p->at[i];
  return array;
}
