#include "engine/loop/home.h"

#include <string.h>

/* Operations in flight on one thread, of all its runs: where the depth of one ends (depth.c), and writes. */
#define INSTANCE_OPS (LSI_OPS_MAX + LSI_WRITE_OPS)
#define OPEN_MAX 1024u

/* ---- memory ---- */

static void clear_arena(struct lsi_home *h) {
  if (h->arena.size) lsi_arena_clear(&h->arena, !h->arena_lost);
  h->arena_lost = false;
}

/* One that nobody uses is replaced when it is too small, or more than the run may have; with it go the
 * instances for which it is registered. */
static void fit_arena(struct lsi_worker *w, size_t bytes) {
  struct lsi_home *h = w->home;
  const uint64_t share = w->run->config.share;
  if (h->arena_users || (h->arena.size >= bytes && h->arena.size <= LSI_MAX((uint64_t)bytes, share))) return;
  for (uint32_t i = 0; i < LSI_HOME_INSTANCES; i++)
    if (h->instances[i].users) return;
  lsi_home_clear(h);
  const uint64_t size = share > LSI_ARENA_USUAL ? LSI_MAX(bytes, LSI_ARENA_USUAL) : bytes;
  lsi_arena_init(&h->arena, (size_t)size, h->pool); /* without one each worker has its own */
}

int lsi_home_arena(struct lsi_worker *w, size_t bytes) {
  fit_arena(w, bytes);
  struct lsi_home *h = w->home;
  if (h->arena.size && !h->arena_lost && lsi_arena_carve(&w->reader.arena, bytes, &h->arena) == 0) {
    h->arena_users++;
    return 0;
  }
  return lsi_arena_init(&w->reader.arena, bytes, h->pool);
}

void lsi_home_arena_end(struct lsi_worker *w) {
  struct lsi_home *h = w->home;
  h->arena_users -= w->reader.arena.parent != NULL;
  lsi_arena_clear(&w->reader.arena, !w->broken);
  if (h->arena_lost && !h->arena_users) clear_arena(h);
  /* Of what is large the pool decides. */
  if (h->arena.size > LSI_ARENA_USUAL) lsi_home_clear(h);
}

/* ---- backends ---- */

static int create(struct lsi_worker *w, const struct lsi_backend_ops *ops, struct lsi_instance *x) {
  const struct lsi_home *h = w->home;
  const uint32_t open_max = LSI_MIN(h->open_limit / 4 / h->threads, OPEN_MAX);
  const struct lsi_backend_config config = {.queue_depth = INSTANCE_OPS,
                                            .open_max = open_max,
                                            .wake = h->bell,
                                            .arena = h->arena.base,
                                            .arena_size = h->arena.size,
                                            .workers = h->threads,
                                            .user = w->run->config.backend_user};
  const int rc = ops->create(&config, &x->backend, &w->error);
  if (rc < 0) return rc;
  x->ops = ops;
  x->user = w->run->config.backend_user;
  return 0;
}

static void destroy(struct lsi_home *h, struct lsi_instance *x) {
  if (!x->ops) return;
  x->ops->destroy(x->backend);
  h->arena_lost |= x->broken; /* the kernel may still write there */
  *x = (struct lsi_instance){0};
}

static int use(struct lsi_worker *w, const struct lsi_backend_ops *ops) {
  struct lsi_home *h = w->home;
  struct lsi_instance *x = NULL, *idle = NULL; /* one that is free, or has no user */
  for (uint32_t i = 0; i < LSI_HOME_INSTANCES; i++) {
    struct lsi_instance *other = &h->instances[i];
    if (other->ops == ops && other->user == w->run->config.backend_user && !other->broken) x = other;
    if (!other->users && (!idle || !other->ops)) idle = other;
  }
  if (!x && !idle)
    return lsi_fail(&w->error, LSIO_ERR_LIMIT, 0, "jobs with more than %d backends at once",
                    LSI_HOME_INSTANCES);
  if (!x) {
    destroy(h, idle);
    const int rc = create(w, ops, x = idle);
    if (rc < 0) return rc;
  }
  x->users++;
  w->instance = x;
  w->ops = ops;
  w->backend = x->backend;
  return 0;
}

int lsi_home_backend(struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  int rc = use(w, c->backend);
  if (rc == LSIO_ERR_UNSUPPORTED && c->fallback) {
    /* It worked when it was chosen, but what it needs is shared with the user's other processes. */
    lsi_error_clear(&w->error);
    rc = use(w, c->fallback);
  }
  return rc;
}

void lsi_home_backend_end(struct lsi_worker *w) {
  struct lsi_instance *x = w->instance;
  w->backend = NULL;
  w->instance = NULL;
  x->broken |= w->broken;
  /* Of a test, whose `user` goes with its run; or of no more use. */
  if (--x->users == 0 && (x->broken || x->user)) destroy(w->home, x);
}

void lsi_home_clear(struct lsi_home *h) {
  for (uint32_t i = 0; i < LSI_HOME_INSTANCES; i++)
    if (!h->instances[i].users) destroy(h, &h->instances[i]);
  if (!h->arena_users) clear_arena(h);
}
