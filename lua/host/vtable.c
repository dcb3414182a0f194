/* The C functions that Lua code reaches, in one table, so that it works however the library was loaded
 * and whatever it exports. */
#include <stdio.h>
#include <string.h>

#include "codec/hash.h"
#include "ground/mem.h"
#include "ground/utf8.h"
#include "host/host.h"
#include "host/paths.h"
#include "lists/csv.h"
#include "lists/npy.h"
#include "seams/os.h"
#include "seams/store.h"

#define LATE_LEAST 1024u /* files; fewer are looked at sooner than it matters */

static void vt_fail(struct lsi_error *err, int code, const char *text) {
  lsi_error_clear(err);
  lsi_fail(err, code, 0, "%s", text);
}

static void vt_as_script_error(struct lsi_error *err, const char *where) {
  struct lsi_error old = *err;
  lsi_error_clear(err);
  lsi_fail(err, LSIO_ERR_SCRIPT, 0, "%s%s", where, old.what);
  lsi_error_remedy(err, "%s", old.remedy);
}

static double vt_size(const char *text) {
  uint64_t bytes;
  if (!lsi_size_parse(text, &bytes) || bytes > (1ull << 53)) return -1;
  return (double)bytes;
}

static int vt_codec(const char *name) {
  enum lsi_codec codec;
  return lsi_codec_parse(name, &codec) ? (int)codec : -1;
}

static double vt_decode(int codec, const void *src, size_t n, void *dst, size_t cap) {
  return (double)lsi_decode_once(codec, src, n, dst, cap);
}

static double vt_utf8_clean(const char *text, size_t n, char *out) {
  return (double)lsi_utf8_clean(text, n, out);
}

static bool vt_sink_path(struct lsi_lua_spec *spec, const char *text, size_t length) {
  return (spec->sink_path = lsi_strndup(text, length)) != NULL;
}

static int vt_write(int stream, const char *text, size_t length) {
  FILE *f = stream == 1 ? stdout : stderr;
  return fwrite(text, 1, length, f) == length && fflush(f) == 0 ? 0 : -1;
}

static uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

static double vt_now(void) { return (double)lsi_os_now_ns() / 1e9; }

/* Counter-based: what comes depends on the seed, the step and the position only. */
static double vt_random(uint64_t *g) {
  uint64_t x = mix(mix(mix(g[0]) ^ g[1]) ^ g[2]++);
  return (double)(x >> 11) * 0x1p-53;
}

static int vt_setting(struct lsi_settings *settings, const char *name, const char *value,
                      struct lsi_error *err) {
  return lsi_settings_set(settings, name, value, LSI_FROM_SCRIPT, err);
}

static bool vt_setting_skip(const struct lsi_settings *settings) {
  return settings->on_error == LSI_ON_ERROR_SKIP;
}

/* ---- requests ---- */

/* Looks at what has these names, each stretch that is of one store at once. */
static int look_at(struct lsi_request *r, const char *const *names, size_t n, struct lsi_object_info *infos,
                   struct lsi_error *err) {
  int rc = 0;
  for (size_t i = 0, j; rc >= 0 && i < n; i = j) {
    const uint16_t store = lsi_store_find(names[i]);
    for (j = i + 1; j < n && lsi_store_find(names[j]) == store;) j++;
    rc = lsi_stores[store]->stat_many(NULL, names + i, j - i, infos + i, r->watch, err);
    for (size_t k = i; store && k < j; k++) infos[k].store = store;
  }
  return rc;
}

/* Looks at all names and adds them as objects. */
static int add_objects(struct lsi_request *r, const char *const *names, size_t n, uint32_t *first,
                       struct lsi_error *err) {
  *first = r->n_objects;
  if (n == 0) return 0;
  struct lsi_object_info *infos = lsi_calloc(n, sizeof *infos);
  if (!infos) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to look at %zu files", n);
  int rc = look_at(r, names, n, infos, err);
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
               ? look_at(r, names, n_looked, infos, err)
               : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to look at %zu files", n);
  if (rc >= 0) rc = lsi_request_take_names(r, lsi_paths_names(p), first, err);
  struct lsi_object_info beside = {0};
  for (size_t i = 0, k = 0; rc >= 0 && i < n; i++) {
    if (k == n_looked || looked[k].i != i) {
      lsi_request_set_late(r, *first + (uint32_t)i, &beside);
      continue;
    }
    r->objects[*first + i] = infos[k];
    if (looked[k].regular) beside = infos[k];
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

static int vt_request_files(struct lsi_request *r, struct lsi_paths *p, double offset, double length,
                            double chunk, bool may_be_late, struct lsi_error *err) {
  uint32_t first = 0;
  const bool whole = offset == 0 && length < 0 && chunk == 0;
  const bool late = may_be_late && whole && !r->all_known && lsi_paths_count(p) >= LATE_LEAST;
  int rc = late ? add_late_objects(r, p, &first, err) : with_names(r, p, &first, err);
  if (rc >= 0) rc = lsi_request_reserve(r, r->n_objects - first, err);
  for (uint32_t i = first; rc >= 0 && i < r->n_objects; i++)
    rc = lsi_request_cut(r, i, (uint64_t)offset, length < 0 ? UINT64_MAX : (uint64_t)length,
                         (uint64_t)chunk, err);
  return rc < 0 ? rc : 0;
}

static int vt_request_objects(struct lsi_request *r, const struct lsi_paths *p,
                              struct lsi_error *err) {
  uint32_t first = 0;
  return with_names(r, p, &first, err);
}

static int vt_request_chunks(struct lsi_request *r, double n, const uint32_t *object,
                             const int64_t *offset, const int64_t *length, const int64_t *tag,
                             struct lsi_error *err) {
  return lsi_request_add_chunks(r, (uint64_t)n, object, offset, length, tag, err);
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
  if (ranges->n_objects > lsi_paths_count(p))
    return lsi_fail(err, LSIO_ERR_USAGE, 0,
                    "%s speaks of object %u, but there are %zu objects (they count from 0)", file,
                    ranges->n_objects - 1, lsi_paths_count(p));
  return with_names(r, p, &first, err);
}

static int vt_request_ranges(struct lsi_request *r, struct lsi_paths *p, const char *file,
                             struct lsi_error *err) {
  char *bytes;
  size_t length;
  int rc = lsi_paths_read(file, &bytes, &length, err);
  if (rc < 0) return rc;
  struct lsi_ranges ranges = {0};
  bool npy = length >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0;
  rc = npy ? lsi_npy_ranges(bytes, length, file, &ranges, err)
           : lsi_csv_ranges(bytes, length, file, &ranges, err);
  lsi_free(bytes);
  if (rc < 0) return rc;
  rc = range_objects(r, &ranges, p, file, err);
  if (rc >= 0)
    rc = lsi_request_add_chunks(r, ranges.n, ranges.object, ranges.offset, ranges.length, ranges.tag,
                                err);
  lsi_ranges_free(&ranges);
  return rc < 0 ? rc : 0;
}

const struct lsi_vt *lsi_lua_vt(void) {
  static const struct lsi_vt functions = {
      .fail = vt_fail,
      .as_script_error = vt_as_script_error,
      .size = vt_size,
      .codec = vt_codec,
      .decode = vt_decode,
      .sha256_create = lsi_sha256_create,
      .sha256_free = lsi_sha256_free,
      .sha256_reset = lsi_sha256_reset,
      .sha256_update = lsi_sha256_update,
      .sha256_digest = lsi_sha256_digest,
      .utf8_clean = vt_utf8_clean,
      .hex = lsi_hex,
      .error_text = lsio_strerror,
      .kernels = lsi_kernels,
      .sink_path = vt_sink_path,
      .write = vt_write,
      .now = vt_now,
      .random = vt_random,
      .setting = vt_setting,
      .setting_skip = vt_setting_skip,
      .paths_add = lsi_paths_add,
      .paths_glob = lsi_paths_glob,
      .paths_lines = lsi_paths_lines,
      .paths_sort = lsi_paths_sort,
      .request_files = vt_request_files,
      .request_objects = vt_request_objects,
      .request_chunks = vt_request_chunks,
      .request_ranges = vt_request_ranges,
  };
  return &functions;
}
