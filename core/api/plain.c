#include "api/plain.h"

#include <string.h>

#include "api/context.h"
#include "ground/mem.h"
#include "seams/os.h"
#include "seams/store.h"

/* ---- objects: each path once ---- */

struct paths {
  const struct lsi_plain_range *ranges;
  uint32_t *object; /* of each range, index among the paths */
  uint32_t *first;  /* of each path, a range that has it */
  uint32_t n;
  uint32_t *table;  /* index of a path + 1, by its hash */
  uint64_t mask;
};

static uint64_t hash_of(const char *text) {
  uint64_t h = 0xcbf29ce484222325u; /* FNV-1a (Fowler, Noll, Vo) */
  for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
  return h;
}

static const char *path_of(const struct paths *p, uint32_t i) { return p->ranges[p->first[i]].path; }

static uint32_t intern(struct paths *p, uint32_t range) {
  const char *path = p->ranges[range].path;
  if (range && (path == p->ranges[range - 1].path || strcmp(path, p->ranges[range - 1].path) == 0))
    return p->object[range - 1];
  uint64_t at = hash_of(path) & p->mask;
  for (; p->table[at]; at = (at + 1) & p->mask)
    if (strcmp(path_of(p, p->table[at] - 1), path) == 0) return p->table[at] - 1;
  p->first[p->n] = range;
  p->table[at] = ++p->n;
  return p->n - 1;
}

static int find_paths(const struct lsi_plain *plain, struct paths *p, struct lsi_error *err) {
  p->ranges = plain->ranges;
  p->mask = 15;
  while (p->mask < 2 * plain->n) p->mask = 2 * p->mask + 1;
  p->object = lsi_reallocarray(NULL, plain->n + 1, sizeof *p->object);
  p->first = lsi_reallocarray(NULL, plain->n + 1, sizeof *p->first);
  p->table = lsi_calloc(p->mask + 1, sizeof *p->table);
  if (!p->object || !p->first || !p->table)
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a request");
  for (uint32_t i = 0; i < plain->n; i++) {
    if (!plain->ranges[i].path) return lsi_fail(err, LSIO_ERR_USAGE, 0, "range %u has no path", i);
    p->object[i] = intern(p, i);
  }
  return 0;
}

static void free_paths(struct paths *p) {
  lsi_free(p->object);
  lsi_free(p->first);
  lsi_free(p->table);
}

/* ---- the request ---- */

static int add_object(struct lsi_request *r, const char *given, struct lsi_error *err) {
  char *own;
  int rc = lsi_store_name(given, false, &own, err);
  if (rc < 0) return rc;
  const char *name = own ? own : given;
  const uint16_t store = own ? lsi_store_find(given) : lsi_store_find(name);
  struct lsi_object_info info = {0};
  uint32_t index;
  rc = lsi_stores[store]->stat_many(NULL, &name, 1, &info, NULL, err);
  info.store = store;
  if (rc >= 0) rc = lsi_request_add_object(r, name, &info, &index, err);
  lsi_free(own);
  return rc;
}

static int add_range(struct lsi_request *r, uint32_t object, const struct lsi_plain_range *x,
                     struct lsi_error *err) {
  if (x->offset <= INT64_MAX && x->length <= INT64_MAX)
    return lsi_request_add_chunk(r, object, (int64_t)x->offset, (int64_t)x->length, x->tag, err);
  lsi_fail(err, LSIO_ERR_USAGE, 0, "a range is beyond the end of its object");
  lsi_error_at(err, x->path, x->offset, x->length, LSI_NO_STEP);
  return LSIO_ERR_USAGE;
}

static int build(struct lsio_job *job, const struct lsi_plain *plain, struct lsi_error *err) {
  struct lsi_request *r = job->spec.request = lsi_request_create();
  if (!r) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the request");
  if (plain->n >= LSI_MAX_CHUNKS || (plain->n && !plain->ranges))
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "a request has at most %u ranges, and an array of them",
                    LSI_MAX_CHUNKS - 1);
  struct paths p = {0};
  int rc = find_paths(plain, &p, err);
  for (uint32_t i = 0; rc >= 0 && i < p.n; i++) rc = add_object(r, path_of(&p, i), err);
  if (rc >= 0) rc = lsi_request_reserve(r, plain->n, err);
  for (uint32_t i = 0; rc >= 0 && i < plain->n; i++) rc = add_range(r, p.object[i], &plain->ranges[i], err);
  free_paths(&p);
  job->spec.type = (struct lsi_dtype){LSI_U8, false};
  job->spec.identity = true;
  return rc < 0 ? rc : 0;
}

int lsi_submit_plain(lsio_context *context, const struct lsi_plain *plain, lsio_job **out,
                     lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  const struct lsio_job_options o = {.struct_size = sizeof o,
                                     .output = plain->output,
                                     .output_length = plain->output_length,
                                     .settings = plain->settings,
                                     .n_settings = plain->n_settings,
                                     .flags = LSIO_JOB_NO_ENV | LSIO_JOB_NO_STATE |
                                              (plain->output ? 0u : LSIO_JOB_STREAM)};
  uint64_t at = lsi_os_now_ns();
  struct lsio_job *job = lsi_job_create(context, &o);
  int rc = job ? lsi_job_take_settings(job, &o, &e) : LSIO_ERR_NOMEM;
  if (rc >= 0) lsi_job_settle(job);
  if (rc >= 0) rc = build(job, plain, &e);
  if (rc >= 0) job->part_s[LSI_PART_LIST] = lsi_job_since(&at);
  if (rc >= 0) rc = lsi_job_prepare(job, &e);
  if (rc >= 0) job->planned_since_ns = at;
  if (rc >= 0) rc = lsi_job_start(job, 0, &e);
  if (rc < 0) {
    lsi_job_free(job);
    return lsi_error_hand_out(&e, rc, error);
  }
  *out = job;
  return 0;
}
