/* Steps that do not return are interrupted after a deadline. Another thread sets a hook on the worker's
 * state, as a handler of a signal may; before the next instruction the hook runs on the worker's own thread,
 * and fails the step. A script that catches that is asked again by whoever minds the deadline, which is also
 * the remedy where the setting of a hook and the compiler get in each other's way. Compiled code looks at
 * hooks only in a LuaJIT that was built for it. */
#include <stddef.h>

#include "host/host.h"
#include "seams/os.h"

static const char state_key; /* registry: the address of the struct lsi_lua */

void lsi_lua_hook_init(lua_State *L, struct lsi_lua *lua) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&state_key);
  lua_pushlightuserdata(L, lua);
  lua_rawset(L, LUA_REGISTRYINDEX);
}

/* Whose step runs in the state, or ran there last: its generator is what chunk.random asks. */
static struct lsi_lua_worker *last_worker(const struct lsi_lua *lua) {
  if (lua->random == lua->idle) return NULL;
  return (struct lsi_lua_worker *)(void *)((char *)lua->random - offsetof(struct lsi_lua_worker, random));
}

/* In any call of the state, perhaps not in a step, or in one of another job: then it was set too late. */
static void on_hook(lua_State *L, lua_Debug *unused) {
  (void)unused;
  lua_sethook(L, NULL, 0, 0);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&state_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  struct lsi_lua *lua = lua_touserdata(L, -1);
  lua_pop(L, 1);
  const struct lsi_lua_worker *w = last_worker(lua);
  if (!w || w->ends || !atomic_load(&w->script->interrupted)) return;
  lsi_error_clear(&lua->err);
  lsi_fail(&lua->err, LSIO_ERR_LIMIT, 0, "interrupted: the deadline has passed while the step ran");
  lsi_error_is(&lua->err, LSIO_KIND_TIMEOUT);
  lsi_error_remedy(&lua->err, "allow more time with --deadline, if the transform would ever end");
  lua_pushlightuserdata(L, &lua->err);
  lua_error(L);
}

void lsi_lua_interrupt(void *job) {
  struct lsi_script *s = job;
  atomic_store(&s->interrupted, true);
  lsi_os_lock(s->host->opening);
  for (const struct lsi_lua_worker *w = atomic_load(&s->workers); w; w = w->next)
    if (w->lua) lua_sethook(w->lua->L, on_hook, LUA_MASKCOUNT, 1);
  lsi_os_unlock(s->host->opening);
}
