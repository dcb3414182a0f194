/* Inside lua/: states, and jobs that live in them. */
#ifndef LSI_LUA_HOST_H
#define LSI_LUA_HOST_H

#include <lauxlib.h>
#include <lua.h>
#include <stdatomic.h>

#include "host/abi.h"
#include "job/spec.h"

#define LSI_LUA_WORKERS_MAX 1024

/* One Lua state. Used by one thread at a time. `failed` is how Lua code reports an error that already
 * lies in `err`: it raises the address of `err` as a light userdata. */
struct lsi_lua {
  lua_State *L;
  int kept[3];     /* registry references of the functions below */
  struct lsi_error err;
  const char *jit; /* "alive", "dead", "off" or "broken": static */
};

/* What always lies at the bottom of a state's stack. */
enum { LSI_LUA_HANDLER = 1, LSI_LUA_CALL = 2, LSI_LUA_BASE = 2 };

/* Opens a state with LSIO's modules; NULL and *err on failure. */
struct lsi_lua *lsi_lua_open(struct lsi_error *err);
void lsi_lua_close(struct lsi_lua *lua); /* NULL is fine */

/* What a call may push beside its argument; runs protected. */
typedef void lsi_lua_push_fn(lua_State *L, const void *arg);
/* Calls lsio.host's function `name` with the address of `call` (and what `push`, if not NULL, adds).
 * Errors without a code of their own get `code`. `results` values stay on the stack (0 or 1). */
int lsi_lua_call(struct lsi_lua *lua, const char *name, struct lsi_lua_call *call, int results,
                 lsi_lua_push_fn *push, const void *push_arg, int code, struct lsi_error *err);
/* Moves the error that a failed lua_pcall left on the top of the stack into *err. */
int lsi_lua_error(struct lsi_lua *lua, int rc, int code, struct lsi_error *err);
/* The message handler: adds "job.lua:12: " to messages that lack a place. */
int lsi_lua_handler(lua_State *L);

const struct lsi_vt *lsi_lua_vt(void);

struct lsi_script_host {
  struct lsi_lua *coordinator;
  struct lsi_lua *workers[LSI_LUA_WORKERS_MAX]; /* opened by their worker on first use */
  uint32_t next_job;
  atomic_flag warned; /* that the JIT of a state is dead */
};

/* Says on stderr, once, that `lua` has to run interpreted. */
void lsi_lua_warn_dead(struct lsi_script_host *host, const struct lsi_lua *lua);

/* A worker of a job; on cache lines of its own, since it writes here at every step. */
struct lsi_lua_worker {
  _Alignas(LSI_CACHE_LINE) struct lsi_script *script;
  struct lsi_lua *lua;
  struct lsi_step *step;
  uint64_t random[3];   /* seed, step, numbers taken: see lsi_vt.random */
  void *slot;           /* the state struct, 128-byte aligned; NULL: none */
  void *backup;         /* of the slot, before each step, when failed steps are skipped */
  size_t backup_size;
  char *value;          /* what the worker ended with, encoded; NULL: it ran no step */
  size_t value_length;
};

struct lsi_script {
  struct lsi_script_host *host;
  uint32_t id;
  const char *text;  /* borrowed until unload */
  size_t length;
  const char *name;
  char *params;      /* encoded, for the workers */
  size_t params_length;
  size_t state_size, slot_size;
  bool skip;
  uint64_t seed;
  bool has_out_type;
  uint8_t out_type;
  struct lsi_lua_worker workers[LSI_LUA_WORKERS_MAX];
};

extern const struct lsi_transform_ops lsi_lua_transform_ops;

#endif
