/* The store `mem`: what there is of objects in memory. The reference for authors of stores, so every hook
 * says what is asked of it. */
#include <string.h>

#include "ground/mem.h"
#include "test/mem_objects.h"

/* Required: for planning, and for a last look at names at the end of a run. A slow origin would ask for
 * many at once, and still name the first that fails. */
static int mem_stat_many(const void *user, const char *const *names, size_t n, struct lsi_object_info *infos,
                         struct lsi_watch *watch, bool faults, struct lsi_error *err) {
  struct lsi_error unused;
  for (size_t i = 0; i < n; i++) {
    const int rc = watch ? lsi_watch_tell(watch, n, i, err) : 0;
    if (rc < 0) return rc;
    lsi_error_clear(&unused);
    const struct lsi_mem_object *o = lsi_mem_find(user, names[i], faults ? &unused : err);
    if (!o && !faults) return LSIO_ERR_SOURCE;
    infos[i] = o ? lsi_mem_info(o)
                 : (struct lsi_object_info){.version = {0, LSIO_KIND_NOT_FOUND}, .known = LSI_KNOWN_FAULT};
  }
  return 0;
}

/* Required with faults: there is one, that it is not there. */
static int mem_fault(const struct lsi_object_info *info, const char *name, struct lsi_error *err) {
  (void)info;
  lsi_mem_find(NULL, name, err);
  return LSIO_ERR_SOURCE;
}

/* Required: from what the planner prices operations. */
static void mem_model(const void *user, uint32_t device, const char *name, struct lsi_device_model *out) {
  (void)user, (void)device, (void)name;
  lsi_device_preset(LSI_DEVICE_MEMORY, out);
}

/* Of patterns it knows one star. */
static bool matches(const char *name, const char *pattern, const char *star) {
  const size_t before = (size_t)(star - pattern), behind = strlen(star + 1), n = strlen(name);
  return n >= before + behind && memcmp(name, pattern, before) == 0 &&
         strcmp(name + n - behind, star + 1) == 0;
}

/* The next name behind `last` in bytewise order; NULL: none. */
static const char *next_match(const struct lsi_mem_objects *objects, const char *pattern, const char *star,
                              const char *last) {
  const char *best = NULL;
  for (size_t i = 0; objects && i < objects->n; i++) {
    const char *name = objects->objects[i].name;
    if (!matches(name, pattern, star) || (last && strcmp(name, last) <= 0)) continue;
    if (!best || strcmp(name, best) < 0) best = name;
  }
  return best;
}

/* Required. What comes page by page would be handed on page by page, as long as it comes in order. */
static int mem_list(const void *user, const char *pattern, struct lsi_watch *watch, lsi_each_name *add,
                    void *ctx, struct lsi_error *err) {
  const char *star = strchr(pattern, '*');
  if (!star) return add(ctx, pattern, strlen(pattern), false);
  uint64_t n = 0;
  int rc = 0;
  for (const char *name = NULL; rc == 0 && (name = next_match(user, pattern, star, name)); n++) {
    rc = watch ? lsi_watch_tell(watch, n, 0, err) : 0;
    if (rc == 0) rc = add(ctx, name, strlen(name), true);
  }
  if (rc < 0) lsi_error_at(err, pattern, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  if (rc || n) return rc;
  lsi_fail(err, LSIO_ERR_SOURCE, 0, "no object in memory matches a pattern");
  lsi_error_is(err, LSIO_KIND_NOT_FOUND);
  lsi_error_at(err, pattern, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return LSIO_ERR_SOURCE;
}

/* Required: for lists of names and ranges, and what describes other objects. */
static int mem_read_all(const void *user, const char *name, const struct lsi_whole *how, char **text,
                        size_t *length, struct lsi_error *err) {
  const struct lsi_mem_object *o = lsi_mem_find(user, name, err);
  if (!o) return LSIO_ERR_SOURCE;
  int rc = how->watch ? lsi_watch_tell(how->watch, 0, 0, err) : 0;
  if (rc == 0 && o->size > how->limit)
    rc = lsi_fail(err, LSIO_ERR_LIMIT, 0, "an object is longer than the %llu bytes that are read of it",
                  (unsigned long long)how->limit);
  for (size_t n = 0; rc == 0 && how->look && n < o->size;) { /* as if it came bit by bit */
    n += LSI_MIN(o->size - n, (size_t)LSI_WHOLE_STRETCH);
    rc = how->look(how->user, o->data, n, err);
  }
  if (rc == 0 && !(*text = lsi_strndup(o->data, o->size)))
    rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to read an object whole");
  if (rc < 0) {
    lsi_error_at(err, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
    return rc;
  }
  *length = o->size;
  return 0;
}

/* Optional: only where it costs no round trip. */
static size_t mem_read_part(const void *user, const char *name, uint64_t offset, void *buf, size_t n) {
  struct lsi_error ignored;
  lsi_error_clear(&ignored);
  const struct lsi_mem_object *o = lsi_mem_find(user, name, &ignored);
  if (!o || offset >= o->size) return 0;
  n = LSI_MIN(n, (size_t)(o->size - offset));
  memcpy(buf, (const char *)o->data + offset, n);
  return n;
}

static const struct lsi_backend_ops *const backends[] = {&lsi_backend_mem, NULL};

const struct lsi_store lsi_store_mem = {
    .version = LSI_STORE_VERSION,
    .name = "mem",
    .backends = backends,
    .stat_many = mem_stat_many,
    .fault = mem_fault,
    .model = mem_model,
    .changed = lsi_object_changed,
    .list = mem_list,
    .read_all = mem_read_all,
    .read_part = mem_read_part,
};

const struct lsi_store *const lsi_mem_stores[] = {&lsi_store_mem, NULL};
