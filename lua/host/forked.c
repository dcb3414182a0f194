/* Lua in a child of fork. LuaJIT raises its errors through libgcc (also those that end the compiling of a
 * trace), which before GCC 13 looks for machine code under a lock of its own, that no handler of fork can
 * take. If another thread of the parent had it then, nobody gives it back, and whoever raises an error waits
 * for ever. So a thread that may do that tries it once, and is helped out where that can be. */
#include <lauxlib.h>
#include <stdatomic.h>

#include "ground/mem.h"
#include "host/host.h"
#include "seams/os.h"

#define LIMIT_NS 5000000000u /* it takes some 100 us */
#define LOOK_NS 10000000 /* so often it is seen whether it can be helped */

struct trial {
  struct lsi_mutex *mutex; /* of what follows */
  struct lsi_cond *cond;
  bool ended;
};

static int raise_error(lua_State *L) { return luaL_error(L, "it works"); }

static void try(void *arg) {
  struct trial *t = arg;
  lua_State *L = luaL_newstate(); /* NULL: who opens one will find that */
  if (L) {
    lua_cpcall(L, raise_error, NULL);
    lua_close(L);
  }
  lsi_os_lock(t->mutex);
  t->ended = true;
  lsi_os_wake_all(t->cond);
  lsi_os_unlock(t->mutex);
}

static void free_trial(struct trial *t) {
  if (t && t->mutex) lsi_os_mutex_destroy(t->mutex);
  if (t && t->cond) lsi_os_cond_destroy(t->cond);
  lsi_free(t);
}

static bool wait_for(struct trial *t, const struct lsi_thread *thread) {
  const uint64_t until = lsi_os_now_ns() + LIMIT_NS;
  lsi_os_lock(t->mutex);
  while (!t->ended && lsi_os_now_ns() < until) {
    if (lsi_os_wait(t->cond, t->mutex, LOOK_NS) || t->ended) continue;
    lsi_os_unlock(t->mutex);
    lsi_os_thread_unblock(thread);
    lsi_os_lock(t->mutex);
  }
  const bool ended = t->ended;
  lsi_os_unlock(t->mutex);
  return ended;
}

/* False: it never ends, and has its thread and its memory for good. */
static int run_trial(bool *ended, struct lsi_error *err) {
  struct trial *t = lsi_calloc(1, sizeof *t);
  struct lsi_thread *thread;
  if (t) t->mutex = lsi_os_mutex_create();
  if (t) t->cond = lsi_os_cond_create();
  const bool made = t && t->mutex && t->cond;
  const int os = made ? lsi_os_thread_start(&thread, "lsio-lua", try, t) : 0;
  if (!made || os) {
    free_trial(t);
    return lsi_fail(err, LSIO_ERR_NOMEM, os, "no memory or thread to try Lua in a child of fork");
  }
  *ended = wait_for(t, thread);
  if (!*ended) return 0;
  lsi_os_thread_join(thread);
  free_trial(t);
  return 0;
}

int lsi_lua_after_fork(struct lsi_error *err) {
  static atomic_uint works_after, fails_after; /* so many forks */
  const uint32_t forks = lsi_os_forks;
  if (atomic_load(&works_after) == forks) return 0;
  bool works = false;
  const int rc = atomic_load(&fails_after) == forks ? 0 : run_trial(&works, err);
  if (rc < 0) return rc;
  atomic_store(works ? &works_after : &fails_after, forks);
  if (works) return 0;
  lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0,
           "Lua does not work in this child of fork: a thread of the parent was in the middle of an error in "
           "Lua, and held a lock");
  lsi_error_remedy(err, "fork again, or while no job with a script runs; libgcc of GCC 13 has no such lock");
  return LSIO_ERR_UNSUPPORTED;
}
