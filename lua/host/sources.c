/* See sources.h. */
#include "host/sources.h"

#include <inttypes.h>
#include <string.h>

#include "ground/mem.h"
#include "host/paths.h"
#include "lists/csv.h"
#include "lists/npy.h"
#include "plan/request.h"
#include "seams/store.h"
#include "seams/watch.h"

#define LATE_LEAST 1024u /* files; fewer are looked at sooner than it matters */

int lsi_lua_source_arrays(struct lsi_lua_source *s, double n, bool tags, bool groups,
                          struct lsi_error *err) {
  const size_t count = (size_t)n + 1;
  s->n = n;
  s->object = lsi_calloc(count, sizeof *s->object);
  s->offset = lsi_reallocarray(NULL, count, sizeof *s->offset);
  s->length = lsi_reallocarray(NULL, count, sizeof *s->length);
  if (tags) s->tag = lsi_reallocarray(NULL, count, sizeof *s->tag);
  if (groups) s->group = lsi_reallocarray(NULL, count, sizeof *s->group);
  if (s->object && s->offset && s->length && (s->tag || !tags) && (s->group || !groups)) return 0;
  lsi_error_clear(err);
  return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for %.0f ranges", n);
}

static void free_arrays(struct lsi_lua_source *s) {
  void *arrays[] = {s->object, s->offset, s->length, s->tag, s->group};
  for (size_t i = 0; i < LSI_COUNTOF(arrays); i++) lsi_free(arrays[i]);
  s->object = NULL;
  s->offset = s->length = s->tag = s->group = NULL;
}

void lsi_lua_source_clear(struct lsi_lua_source *s) {
  lsi_paths_free(s->paths);
  lsi_free(s->file);
  lsi_free(s->dictionary);
  free_arrays(s);
  *s = (struct lsi_lua_source){0};
}

/* ---- objects ---- */

/* Looks at all names and adds them as objects. */
static int add_objects(struct lsi_request *r, const char *const *names, size_t n, uint32_t *first,
                       struct lsi_error *err) {
  *first = r->n_objects;
  if (n == 0) return 0;
  struct lsi_object_info *infos = lsi_calloc(n, sizeof *infos);
  if (!infos) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to look at %zu files", n);
  int rc = lsi_store_look(names, n, infos, r->watch, r->keeps, err);
  for (size_t i = 0; rc >= 0 && i < n; i++) {
    uint32_t index;
    rc = lsi_request_add_object(r, names[i], &infos[i], &index, err);
  }
  lsi_free(infos);
  return rc < 0 ? rc : 0;
}

/* Length of the path of a file's folder, with the slash. */
static size_t folder_length(const char *path) {
  const char *end = strrchr(path, '/');
  return end ? (size_t)(end - path) + 1 : 0;
}

/* A file that is looked at before the run. */
struct looked_at {
  uint32_t i;   /* among the paths */
  bool regular; /* others may lie on another device than their folder */
};

/* Of many files that are read whole, only the first of each folder is looked at, for the device, and what
 * may be no regular file. Lists them, in order; returns how many. */
static size_t to_look_at(struct lsi_paths *p, struct looked_at *looked, const char **names) {
  const struct lsi_names *all = lsi_paths_names(p);
  const char *folder = NULL; /* of the last regular one */
  size_t n = 0, length = 0;
  for (size_t i = 0; i < all->n; i++) {
    const char *name = lsi_names_get(all, i);
    const bool regular = lsi_paths_regular(p, i);
    if (regular && folder && strncmp(name, folder, length) == 0 && !strchr(name + length, '/')) continue;
    looked[n] = (struct looked_at){(uint32_t)i, regular};
    names[n++] = name;
    if (!regular) continue;
    folder = name;
    length = folder_length(name);
  }
  return n;
}

static int add_late_objects(struct lsi_request *r, struct lsi_paths *p, uint32_t *first,
                            struct lsi_error *err) {
  const size_t n = lsi_paths_count(p);
  struct looked_at *looked = lsi_reallocarray(NULL, n, sizeof *looked);
  const char **names = lsi_reallocarray(NULL, n, sizeof *names);
  const size_t n_looked = looked && names ? to_look_at(p, looked, names) : 0;
  struct lsi_object_info *infos = lsi_calloc(n_looked + 1, sizeof *infos);
  int rc = looked && names && infos
               ? lsi_store_look(names, n_looked, infos, r->watch, r->keeps, err)
               : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to look at %zu files", n);
  if (rc >= 0) rc = lsi_request_take_names(r, lsi_paths_names(p), first, err);
  struct lsi_object_info beside = {0};
  for (size_t i = 0, k = 0; rc >= 0 && i < n; i++) {
    if (k == n_looked || looked[k].i != i) {
      lsi_request_set_late(r, *first + (uint32_t)i, &beside);
      continue;
    }
    r->objects[*first + i] = infos[k];
    if (looked[k].regular && !(infos[k].known & LSI_KNOWN_FAULT)) beside = infos[k];
    k++;
  }
  lsi_free(infos);
  lsi_free(names);
  lsi_free(looked);
  return rc < 0 ? rc : 0;
}

static int with_names(struct lsi_request *r, const struct lsi_paths *p, uint32_t *first,
                      struct lsi_error *err) {
  const char **names = lsi_paths_array(p);
  if (!names) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for %zu paths", lsi_paths_count(p));
  int rc = add_objects(r, names, lsi_paths_count(p), first, err);
  lsi_free(names);
  return rc;
}

/* ---- objects that are not there ---- */

/* Is the object left out of the request? Then it is told of. */
static bool left_out(const struct lsi_lua_source *s, struct lsi_request *r, uint32_t object) {
  if (s->missing != LSI_MISSING_SKIP || object >= r->n_objects || !lsi_object_is_missing(&r->objects[object]))
    return false;
  if (r->watch) lsi_left_out_add(&r->watch->missing, 1, lsi_request_name(r, object));
  r->n_missing++;
  return true;
}

/* The arrays of n ranges (NULL: there is none), without those of such objects; how many are left. */
static uint64_t compact(const struct lsi_lua_source *s, struct lsi_request *r, uint64_t n,
                        uint32_t *object, int64_t *const arrays[], size_t n_arrays) {
  uint64_t kept = 0;
  if (s->missing != LSI_MISSING_SKIP) return n;
  for (uint64_t i = 0; i < n; i++) {
    if (left_out(s, r, object[i])) continue;
    object[kept] = object[i];
    for (size_t k = 0; k < n_arrays; k++)
      if (arrays[k]) arrays[k][kept] = arrays[k][i];
    kept++;
  }
  return kept;
}

/* ---- kinds of sources ---- */

static int files(struct lsi_lua_source *s, struct lsi_request *r, struct lsi_error *err) {
  const struct lsi_lua_cut *c = &s->cut;
  uint32_t first = 0;
  const bool whole = c->offset == 0 && c->length < 0 && c->chunk == 0;
  const bool late = c->may_be_late && whole && !r->all_known && !s->may_grow &&
                    lsi_paths_count(s->paths) >= LATE_LEAST;
  int rc = late ? add_late_objects(r, s->paths, &first, err) : with_names(r, s->paths, &first, err);
  if (rc >= 0) rc = lsi_request_reserve(r, r->n_objects - first, err);
  for (uint32_t i = first; rc >= 0 && i < r->n_objects; i++)
    if (!left_out(s, r, i))
      rc = lsi_request_cut(r, i, (int64_t)c->offset, c->length < 0 ? UINT64_MAX : (uint64_t)c->length,
                           (uint64_t)c->chunk, err);
  return rc;
}

/* How many objects patterns stand for shows only now. */
static int check_objects(const struct lsi_lua_source *s, struct lsi_error *err) {
  const size_t n = lsi_paths_count(s->paths);
  if (s->of_one && n != 1) {
    lsi_fail(err, LSIO_ERR_SCRIPT, 0, "lsio.ranges: object is missing, and there are %zu objects", n);
    lsi_error_remedy(err, "write for each range which of them it is of, from 0 on: object = { 0, ... }");
    return LSIO_ERR_SCRIPT;
  }
  for (size_t i = 0; i < (size_t)s->n; i++)
    if (s->object[i] >= n)
      return lsi_fail(err, LSIO_ERR_SCRIPT, 0,
                      "lsio.ranges: object %" PRIu32 " (position %zu) is not among the %zu objects; they "
                      "count from 0", s->object[i], i, n);
  return 0;
}

static int arrays(struct lsi_lua_source *s, struct lsi_request *r, struct lsi_error *err) {
  uint32_t first = 0;
  int rc = lsi_paths_expand(s->paths, err);
  if (rc >= 0) rc = check_objects(s, err);
  if (rc >= 0) rc = with_names(r, s->paths, &first, err);
  const uint64_t n = rc < 0 ? 0 : compact(s, r, (uint64_t)s->n, s->object,
                                          (int64_t *const[]){s->offset, s->length, s->tag, s->group}, 4);
  if (rc >= 0) rc = lsi_request_add_chunks(r, n, s->object, s->offset, s->length, s->tag, err);
  if (rc >= 0 && s->group) rc = lsi_request_set_groups(r, s->group, n, err);
  free_arrays(s);
  return rc;
}

static int csv_objects(struct lsi_request *r, const struct lsi_ranges *ranges, struct lsi_paths *p,
                       const char *file, struct lsi_error *err) {
  uint32_t first = 0;
  const char **names = lsi_reallocarray(NULL, ranges->n_objects + 1, sizeof *names);
  if (!names) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the paths of %s", file);
  bool urls = false;
  int rc = 0;
  for (uint32_t i = 0; rc >= 0 && i < ranges->n_objects; i++) {
    char *own;
    names[i] = lsi_ranges_name(ranges, i);
    rc = lsi_store_name(names[i], false, &own, err);
    urls |= own != NULL;
    lsi_free(own);
  }
  /* Names that stay as they are need no copies. */
  for (uint32_t i = 0; rc >= 0 && urls && i < ranges->n_objects; i++) rc = lsi_paths_add(p, names[i], err);
  if (rc >= 0 && urls) rc = with_names(r, p, &first, err);
  else if (rc >= 0) rc = add_objects(r, names, ranges->n_objects, &first, err);
  lsi_free(names);
  return rc;
}

/* The paths of a CSV stand in it; those of a .npy were given beside it. */
static int range_objects(struct lsi_request *r, const struct lsi_ranges *ranges, struct lsi_paths *p,
                         const char *file, struct lsi_error *err) {
  uint32_t first = 0;
  if (ranges->names) {
    if (lsi_paths_count(p))
      return lsi_fail(err, LSIO_ERR_USAGE, 0,
                      "%s is a CSV, which names its objects itself: leave out objects", file);
    return csv_objects(r, ranges, p, file, err);
  }
  int rc = lsi_paths_expand(p, err);
  if (rc < 0) return rc;
  if (ranges->n_objects > lsi_paths_count(p))
    return lsi_fail(err, LSIO_ERR_USAGE, 0,
                    "%s speaks of object %u, but there are %zu objects (they count from 0)", file,
                    ranges->n_objects - 1, lsi_paths_count(p));
  return with_names(r, p, &first, err);
}

static int watch_rows(void *user, uint64_t rows, struct lsi_error *err) {
  struct lsi_watch *watch = user;
  return watch ? lsi_watch_tell(watch, rows, 0, err) : 0;
}

static int list_of_ranges(struct lsi_lua_source *s, struct lsi_request *r, struct lsi_error *err) {
  char *bytes;
  size_t length;
  int rc = lsi_paths_read(r->watch, s->file, LSI_TEXT_RANGES, &bytes, &length, err);
  if (rc < 0) return rc;
  struct lsi_ranges ranges = {0};
  rc = lsi_npy_begins(bytes, length)
           ? lsi_npy_ranges(bytes, length, s->file, &ranges, err)
           : lsi_csv_ranges_watched(bytes, length, s->file, watch_rows, r->watch, &ranges, err);
  lsi_free(bytes);
  if (rc < 0) return rc;
  rc = range_objects(r, &ranges, s->paths, s->file, err);
  if (rc >= 0)
    ranges.n = compact(s, r, ranges.n, ranges.object,
                       (int64_t *const[]){ranges.offset, ranges.length, ranges.tag}, 3);
  if (rc >= 0)
    rc = lsi_request_add_chunks(r, ranges.n, ranges.object, ranges.offset, ranges.length, ranges.tag,
                                err);
  lsi_ranges_free(&ranges);
  return rc;
}

/* What has not been read of it yet, from another job's end on. */
static int standard_input(const struct lsi_lua_source *s, struct lsi_request *r, struct lsi_error *err) {
  static const char *const name = "standard input";
  const int i = lsi_store_named("stdin");
  if (i < 0) return lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "standard input can't be read on this system");
  struct lsi_object_info info;
  int rc = lsi_stores[i]->stat_many(NULL, &name, 1, &info, r->watch, false, err);
  if (rc < 0) return rc;
  info.store = (uint16_t)i;
  rc = lsi_request_add_object(r, name, &info, NULL, err);
  const uint64_t from = lsi_stores[i]->unread_from(NULL, name);
  return rc < 0 ? rc : lsi_request_cut_on(r, 0, from, (uint64_t)s->cut.chunk, err);
}

int lsi_lua_source_open(struct lsi_lua_source *s, struct lsi_request *r, struct lsi_error *err) {
  int rc;
  if (s->missing) r->keeps |= LSI_KEEP_MISSING;
  r->missing = (uint8_t)s->missing;
  lsi_paths_allow_none(s->paths, s->missing != LSI_MISSING_ERROR);
  switch (s->kind) {
    case LSI_SOURCE_FILES:
      rc = lsi_paths_expand(s->paths, err);
      if (rc >= 0) rc = lsi_paths_sort(s->paths, err);
      break;
    case LSI_SOURCE_LIST: rc = lsi_paths_list(s->paths, s->file, s->nul, err); break;
    case LSI_SOURCE_ARRAYS: rc = arrays(s, r, err); break;
    case LSI_SOURCE_STDIN: return standard_input(s, r, err);
    default: rc = list_of_ranges(s, r, err);
  }
  if (rc >= 0 && s->kind <= LSI_SOURCE_LIST) rc = files(s, r, err);
  for (uint32_t i = 0; rc >= 0 && s->may_grow && i < r->n_objects; i++) r->objects[i].known |= LSI_MAY_GROW;
  return rc < 0 ? rc : 0;
}
