/* Requests of the public API: ranges from a program's arrays, on their way to a job's request. */
#include "api/request.h"

#include <stdatomic.h>
#include <string.h>

#include "api/context.h"
#include "ground/mem.h"
#include "seams/store.h"

/* Ranges that are taken over at once. */
#define TAKEN 1024u

struct lsio_request {
  atomic_uint refs;
  struct lsio_request_options o; /* its arrays are the caller's or, if copied, those of `own` */
  void *own[5];
  struct lsi_names names;        /* copied; else empty */
};

/* ---- handles ---- */

static void free_request(struct lsio_request *g) {
  for (size_t i = 0; i < LSI_COUNTOF(g->own); i++) lsi_free(g->own[i]);
  lsi_names_free(&g->names);
  lsi_free(g);
}

static int check_alignment(const struct lsio_request_options *o, struct lsi_error *err) {
  const struct {
    const char *name;
    const void *at;
    size_t size;
  } arrays[] = {{"object", o->object, sizeof *o->object},
                {"offset", o->offset, sizeof *o->offset},
                {"length", o->length, sizeof *o->length},
                {"tag", o->tag, sizeof *o->tag},
                {"group", o->group, sizeof *o->group}};
  for (size_t i = 0; o->n && i < LSI_COUNTOF(arrays); i++)
    if ((uintptr_t)arrays[i].at % arrays[i].size)
      return lsi_fail(err, LSIO_ERR_USAGE, 0, "the array `%s` is not aligned to its elements of %zu bytes",
                      arrays[i].name, arrays[i].size);
  return 0;
}

static int check(const struct lsio_request_options *o, struct lsi_error *err) {
  if (o->n >= LSI_MAX_CHUNKS || o->n_objects > UINT32_MAX)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "a request has at most %u ranges, and not %zu of %zu objects",
                    LSI_MAX_CHUNKS - 1, o->n, o->n_objects);
  if (o->n_objects && !o->objects)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "n_objects is %zu, but objects is NULL", o->n_objects);
  if (!o->object && o->n_objects != 1 && o->n_objects != o->n)
    return lsi_fail(err, LSIO_ERR_USAGE, 0,
                    "without `object`, a request has one object, or as many as ranges; it has %zu and %zu",
                    o->n_objects, o->n);
  return check_alignment(o, err);
}

/* *array becomes one of the request's own. */
static int copy(struct lsio_request *g, unsigned i, const void *array, size_t size, struct lsi_error *err) {
  const void *const *at = array;
  if (!*at) return 0;
  g->own[i] = lsi_reallocarray(NULL, g->o.n + 1, size);
  if (!g->own[i]) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for %zu ranges", g->o.n);
  memcpy(g->own[i], *at, g->o.n * size);
  *(void **)(uintptr_t)array = g->own[i];
  return 0;
}

static int missing(size_t i, struct lsi_error *err) {
  return lsi_fail(err, LSIO_ERR_USAGE, 0, "object %zu has no name", i);
}

static int copy_all(struct lsio_request *g, struct lsi_error *err) {
  struct lsio_request_options *o = &g->o;
  for (size_t i = 0; i < o->n_objects; i++) {
    if (!o->objects[i]) return missing(i, err);
    if (!lsi_names_add(&g->names, 0, o->objects[i], strlen(o->objects[i])))
      return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the names of %zu objects", o->n_objects);
  }
  int rc = copy(g, 0, &o->object, sizeof *o->object, err);
  if (rc >= 0) rc = copy(g, 1, &o->offset, sizeof *o->offset, err);
  if (rc >= 0) rc = copy(g, 2, &o->length, sizeof *o->length, err);
  if (rc >= 0) rc = copy(g, 3, &o->tag, sizeof *o->tag, err);
  return rc < 0 ? rc : copy(g, 4, &o->group, sizeof *o->group, err);
}

static int create(const struct lsio_request_options *o, struct lsio_request **out, struct lsi_error *err) {
  int rc = check(o, err);
  if (rc < 0) return rc;
  struct lsio_request *g = *out = lsi_calloc(1, sizeof *g);
  if (!g) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a request");
  atomic_init(&g->refs, 1);
  g->o = *o;
  if (o->flags & LSIO_REQUEST_BORROW) return 0;
  rc = copy_all(g, err);
  g->o.release = NULL;
  g->o.objects = NULL;
  return rc;
}

int lsio_request_create(const struct lsio_request_options *options, lsio_request **out, lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsio_request_options o = {0};
  struct lsio_request *g = NULL;
  int rc = LSIO_ERR_USAGE;
  if (options && options->struct_size >= sizeof options->struct_size)
    memcpy(&o, options, LSI_MIN(options->struct_size, sizeof o));
  if (!options || !out || !o.struct_size)
    lsi_fail(&e, rc, 0, "lsio_request_create needs `out`, and options whose struct_size is set");
  else rc = create(&o, &g, &e);
  if (o.release && (rc < 0 || !(o.flags & LSIO_REQUEST_BORROW))) o.release(o.user);
  if (rc < 0) {
    if (g) free_request(g);
    return lsi_error_hand_out(&e, rc, error);
  }
  *out = g;
  return 0;
}

lsio_request *lsio_request_retain(const lsio_request *request) {
  struct lsio_request *g = (struct lsio_request *)(uintptr_t)request;
  atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
  return g;
}

void lsio_request_release(lsio_request *g) {
  if (!g || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1) return;
  if (g->o.release) g->o.release(g->o.user);
  free_request(g);
}

size_t lsi_given_ranges(const struct lsio_request *g) { return g->o.n; }
size_t lsi_given_objects(const struct lsio_request *g) { return g->o.n_objects; }

/* ---- a job's ---- */

/* What the store calls an object, behind the names there are. */
static int add_name(const struct lsio_request *g, size_t i, struct lsi_names *names, struct lsi_error *err) {
  const char *given = g->o.objects ? g->o.objects[i] : lsi_names_get(&g->names, i);
  if (!given) return missing(i, err);
  char *own;
  int rc = lsi_store_name(given, false, &own, err);
  if (rc < 0) return rc;
  const char *name = own ? own : given;
  if (!lsi_names_add(names, 0, name, strlen(name)))
    rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the names of %zu objects", g->o.n_objects);
  lsi_free(own);
  return rc;
}

/* One range of each object, which is known without its size, and read by one operation, or by several of one
 * worker, which sees whether they are of one version. An empty one would not be read at all. */
static bool is_one_of_each(const struct lsio_request *g) {
  const struct lsio_request_options *o = &g->o;
  if (o->object || !o->offset || !o->length || o->n != o->n_objects) return false;
  for (size_t i = 0; i < o->n; i++)
    if (o->offset[i] < 0 || o->length[i] < 1) return false;
  return true;
}

/* They are looked at, unless that can be left to their first reads. */
static int take_objects(const struct lsio_request *g, bool plain, struct lsi_request *r,
                        struct lsi_error *err) {
  const size_t n = g->o.n_objects;
  struct lsi_names names = {0};
  int rc = 0;
  for (size_t i = 0; rc >= 0 && i < n; i++) rc = add_name(g, i, &names, err);
  const char **list = lsi_reallocarray(NULL, n + 1, sizeof *list);
  struct lsi_object_info *infos = lsi_calloc(n + 1, sizeof *infos);
  if (rc >= 0 && (!list || !infos))
    rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to look at %zu objects", n);
  for (size_t i = 0; rc >= 0 && i < n; i++) list[i] = lsi_names_get(&names, i);
  const bool unseen = rc >= 0 && plain && is_one_of_each(g) && lsi_store_unseen(list, n, infos);
  if (rc >= 0 && !unseen) rc = lsi_store_look(list, n, infos, r->watch, r->keeps, err);
  for (size_t i = 0; rc >= 0 && i < n; i++) rc = lsi_request_add_object(r, list[i], &infos[i], NULL, err);
  lsi_free(infos);
  lsi_free(list);
  lsi_names_free(&names);
  return rc;
}

/* `to` are n values of an array that is there, or else `usual`. */
#define FILL(to, array, n, at, usual) \
  for (uint32_t k = 0; k < (n); k++) (to)[k] = (array) ? (array)[(at) + k] : (usual)

/* Ranges [at, at + n), n <= TAKEN. */
static int take_ranges(const struct lsio_request *g, uint32_t at, uint32_t n, struct lsi_request *r,
                       struct lsi_error *err) {
  const struct lsio_request_options *o = &g->o;
  uint32_t object[TAKEN];
  int64_t offset[TAKEN], length[TAKEN];
  const bool one = o->n_objects == 1;
  FILL(object, o->object, n, at, one ? 0 : at + k);
  FILL(offset, o->offset, n, at, 0);
  FILL(length, o->length, n, at, LSI_TO_END);
  return lsi_request_add_chunks(r, n, object, offset, length, o->tag ? o->tag + at : NULL, err);
}

int lsi_given_take(const struct lsio_request *g, bool plain, struct lsi_request *r,
                   struct lsi_error *err) {
  int rc = take_objects(g, plain, r, err);
  if (rc >= 0) rc = lsi_request_reserve(r, g->o.n, err);
  for (size_t at = 0; rc >= 0 && at < g->o.n; at += TAKEN)
    rc = take_ranges(g, (uint32_t)at, (uint32_t)LSI_MIN(g->o.n - at, (size_t)TAKEN), r, err);
  if (rc >= 0 && g->o.group) rc = lsi_request_set_groups(r, g->o.group, g->o.n, err);
  return rc < 0 ? rc : 0;
}
