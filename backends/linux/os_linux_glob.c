/* The store `file` on Linux: file name patterns. Braces are expanded first; then each pattern is walked
 * (os_linux_walk.c). */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ground/mem.h"
#include "ground/names.h"
#include "linux/os_linux.h"
#include "linux/os_linux_pattern.h"
#include "linux/os_linux_walk.h"
#include "linux/store_file.h"

#define BRACES_MOST 4096u /* patterns that braces may expand to */

struct glob {
  struct lsi_names patterns;
  struct lsi_names found; /* marked 'r' where known to be regular files, else '?' */
  struct lsi_names broken; /* symbolic links that lead nowhere, found by several patterns perhaps */
  uint64_t empty;          /* patterns that find nothing, */
  const char *first_empty; /* and the first of them */
  lsi_each_name *add;
  void *ctx;
  bool any;
  struct lsi_watch *watch;
  struct lsi_error *err;
};

static int no_memory(struct glob *g) {
  return lsi_fail(g->err, LSIO_ERR_NOMEM, 0, "no memory for a list of names");
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

static int expand_braces(struct glob *g, const char *s) {
  const char *open_at, *close_at;
  if (!find_brace(s, &open_at, &close_at)) {
    if (g->patterns.n >= BRACES_MOST)
      return lsi_fail(g->err, LSIO_ERR_SOURCE, 0, "braces expand to more than %u patterns",
                      BRACES_MOST);
    return lsi_names_add(&g->patterns, 0, s, strlen(s)) ? 0 : no_memory(g);
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
      if (!one) return no_memory(g);
      memcpy(one, s, head);
      memcpy(one + head, from, body);
      memcpy(one + head + body, close_at + 1, tail + 1);
      int rc = expand_braces(g, one);
      lsi_free(one);
      if (rc < 0) return rc;
      from = p + 1;
    }
  }
  return 0;
}

/* ---- the whole ---- */

/* What several patterns find, or one that finds in another order, is sorted here. */
static int collect(void *ctx, const char *path, size_t length, bool regular) {
  struct glob *g = ctx;
  return lsi_names_add(&g->found, regular ? 'r' : '?', path, length) ? 0 : no_memory(g);
}

static int report_sorted(struct glob *g) {
  uint64_t *order = lsi_reallocarray(NULL, g->found.n + 1, 2 * sizeof *order);
  if (!order) return no_memory(g);
  lsi_names_order(&g->found, order);
  const char *last = NULL;
  int rc = 0;
  for (uint64_t i = 0; rc == 0 && i < g->found.n; i++) {
    const char *path = lsi_names_get(&g->found, order[i]);
    if (last && strcmp(path, last) == 0) continue; /* {a,a*} */
    last = path;
    rc = g->add(g->ctx, path, strlen(path), lsi_names_mark(&g->found, order[i]) == 'r');
  }
  lsi_free(order);
  return rc;
}

static int report(void *ctx, const char *path, size_t length, bool regular) {
  struct glob *g = ctx;
  g->any = true;
  return g->add(g->ctx, path, length, regular);
}

/* One of the patterns that braces have expanded to. */
static int walk(struct glob *g, const char *pattern, bool sorted) {
  const uint64_t found = g->found.n, broken = g->broken.n;
  struct lsi_folder *root;
  int rc = lsi_walk(pattern, g->watch, &root, &g->broken, g->err);
  if (rc < 0) return rc;
  rc = lsi_folder_each(root, sorted ? report : collect, g);
  lsi_folder_free(root);
  if (g->patterns.n == 1 || g->found.n > found || g->broken.n > broken) return rc;
  if (!g->empty++) g->first_empty = pattern;
  return rc;
}

/* How many of the broken links differ, and the first. */
static int count_broken(struct glob *g, uint64_t *n, const char **first) {
  *n = 0;
  if (!g->broken.n) return 0;
  uint64_t *order = lsi_reallocarray(NULL, g->broken.n, 2 * sizeof *order);
  if (!order) return no_memory(g);
  lsi_names_order(&g->broken, order);
  *first = lsi_names_get(&g->broken, order[0]);
  const char *last = NULL;
  for (uint64_t i = 0; i < g->broken.n; i++) {
    const char *path = lsi_names_get(&g->broken, order[i]);
    *n += !last || strcmp(last, path) != 0;
    last = path;
  }
  lsi_free(order);
  return 0;
}

static int expand(struct glob *g, const char *pattern) {
  int rc = expand_braces(g, pattern);
  bool sorted = rc == 0 && g->patterns.n == 1 && lsi_pattern_sorted(lsi_names_get(&g->patterns, 0));
  for (uint64_t i = 0; rc == 0 && i < g->patterns.n; i++)
    rc = walk(g, lsi_names_get(&g->patterns, i), sorted);
  if (rc == 0 && !sorted) {
    g->any = g->found.n > 0;
    rc = report_sorted(g);
  }
  uint64_t broken;
  const char *first;
  if (rc == 0) rc = count_broken(g, &broken, &first);
  if (rc != 0) return rc;
  if (g->any) {
    if (g->watch && broken) lsi_left_out_add(&g->watch->links, broken, first);
    if (g->watch && g->empty) lsi_left_out_add(&g->watch->alternatives, g->empty, g->first_empty);
    return 0;
  }
  if (broken)
    lsi_fail(g->err, LSIO_ERR_SOURCE, ENOENT,
             "all that matches a pattern is broken symbolic links (%" PRIu64 ")", broken);
  lsi_fail(g->err, LSIO_ERR_SOURCE, ENOENT, "no file matches a pattern");
  lsi_error_at(g->err, pattern, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  lsi_linux_missing_remedy(pattern, "check it with ls; quote it so that the shell leaves it alone", g->err);
  return LSIO_ERR_SOURCE;
}

int lsi_file_list(const void *user, const char *pattern, struct lsi_watch *watch, lsi_each_name *add,
                  void *ctx, struct lsi_error *err) {
  (void)user;
  const char *open_at, *close_at;
  bool plain = !lsi_pattern_magic(pattern, strlen(pattern)) && !find_brace(pattern, &open_at, &close_at);
  /* A file that has such signs in its name is meant when it is there. */
  if (plain || lsi_os_exists(pattern)) return add(ctx, pattern, strlen(pattern), false);
  struct glob g = {.add = add, .ctx = ctx, .watch = watch, .err = err};
  int rc = expand(&g, pattern);
  if (rc < 0 && err->code) lsi_error_at(err, pattern, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  lsi_names_free(&g.found);
  lsi_names_free(&g.broken);
  lsi_names_free(&g.patterns);
  return rc;
}
