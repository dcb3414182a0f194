/* Scripts that stay loaded: one environment in each state, for as long as the handle or a job of it lives.
 * What lies in a worker's state only that worker's thread may touch: what has been released waits there until
 * its next job, or until the state is closed. */
#include "ground/mem.h"
#include "host/host.h"
#include "seams/os.h"

static void free_loaded(struct lsi_loaded *l) {
  lsi_lua_drop(l->coordinator);
  lsi_free(l->text);
  lsi_free(l->name);
  lsi_free(l);
}

int lsi_loaded_create(struct lsi_script_host *host, const struct lsi_script_source *src,
                      struct lsi_loaded **out, struct lsi_error *err) {
  struct lsi_loaded *l = lsi_calloc(1, sizeof *l);
  if (!l) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a loaded script");
  l->host = host;
  l->forks = lsi_os_forks;
  l->id = (double)(atomic_fetch_add(&host->next_id, 1) + 1);
  l->length = src->length;
  atomic_init(&l->users, 1);
  l->text = lsi_strndup(src->text, src->length);
  l->name = lsi_strdup(src->name ? src->name : "job");
  if (!l->text || !l->name) {
    free_loaded(l);
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the script");
  }
  *out = l;
  return 0;
}

int lsi_loaded_open(struct lsi_loaded *l, struct lsi_error *err) {
  if (l->coordinator) return 0;
  struct lsi_lua *lua;
  int rc = lsi_lua_current(l->host, &l->host->coordinator, &lua, err);
  if (rc) return rc;
  struct lsi_lua_call call = {.loaded = l->id, .script = l->text, .script_length = l->length,
                              .name = l->name};
  rc = lsi_lua_call(lua, "keep", &call, NULL, LSIO_ERR_SCRIPT, err);
  if (rc) lsi_lua_drop(lua);
  else l->coordinator = lua;
  return rc;
}

static void forget(struct lsi_lua *lua, double id) {
  struct lsi_lua_call call = {.loaded = id};
  lsi_lua_call(lua, "forget", &call, NULL, LSIO_ERR_BUG, NULL);
}

/* Hands it to the thread of its state, or closes the state, if nothing else holds it. */
static void bury(struct lsi_loaded_here *h) {
  struct lsi_lua *lua = h->lua;
  h->next = atomic_load(&lua->dead);
  while (!atomic_compare_exchange_weak(&lua->dead, &h->next, h)) continue;
  lsi_lua_drop(lua);
}

void lsi_loaded_close(struct lsi_loaded *l) {
  for (struct lsi_loaded_here *h = atomic_load(&l->workers), *next; h; h = next) {
    next = h->next;
    bury(h);
  }
  if (l->coordinator) forget(l->coordinator, l->id);
  free_loaded(l);
}

int lsi_loaded_current(struct lsi_loaded *l, unsigned thread, struct lsi_lua **out, uint64_t **steps,
                       struct lsi_error *err) {
  struct lsi_loaded_here *h = atomic_load(&l->workers);
  while (h && h->thread != thread) h = h->next;
  if (!h) {
    h = lsi_calloc(1, sizeof *h);
    if (!h) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a loaded script");
    h->thread = thread;
    h->id = l->id;
    const int rc = lsi_lua_current(l->host, &l->host->workers[thread], &h->lua, err);
    if (rc) {
      lsi_free(h);
      return rc;
    }
    h->next = atomic_load(&l->workers);
    while (!atomic_compare_exchange_weak(&l->workers, &h->next, h)) continue;
  }
  *out = h->lua;
  *steps = &h->steps;
  lsi_lua_hold(*out);
  return 0;
}

void lsi_loaded_sweep(struct lsi_lua *lua) {
  if (!atomic_load_explicit(&lua->dead, memory_order_relaxed)) return;
  for (struct lsi_loaded_here *h = atomic_exchange(&lua->dead, NULL), *next; h; h = next) {
    next = h->next;
    forget(lua, h->id);
    lsi_free(h);
  }
}
