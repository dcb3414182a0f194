/* Lua states: opening, the protected call, messages. */
#include "host/host.h"

#include <lualib.h>
#include <stdio.h>
#include <string.h>

#include "ground/mem.h"
#include "host/embedded.h"
#include "seams/os.h"

static const char host_key; /* registry: the table that lsio.host returns */

/* Opens the libraries and LSIO's modules. Arguments: light userdata of the struct lsi_lua. */
static int open_modules(lua_State *L) {
  struct lsi_lua *lua = lua_touserdata(L, 1);
  luaL_openlibs(L);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "preload");
  for (const struct lsi_embedded *m = lsi_embedded_modules; m->name; m++) {
    char chunk[64];
    snprintf(chunk, sizeof chunk, "=%s", m->name);
    if (luaL_loadbufferx(L, (const char *)m->text, m->length, chunk, "t")) return lua_error(L);
    lua_setfield(L, -2, m->name);
  }
  lua_settop(L, 1);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "lsio.core");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "init");
  lua_pushlstring(L, (const char *)lsi_embedded_cdef.text, lsi_embedded_cdef.length);
  lua_pushlightuserdata(L, (void *)(uintptr_t)lsi_lua_vt());
  lua_pushlightuserdata(L, &lua->err);
  lua_call(L, 3, 0);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "lsio.host");
  lua_call(L, 1, 1);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&host_key);
  lua_pushvalue(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
  lua_getglobal(L, "require"); /* what scripts ask for, while the JIT is still off */
  lua_pushliteral(L, "lsio");
  lua_call(L, 1, 0);
  lua_getfield(L, -1, "probe");
  lua_call(L, 0, 1);
  const char *status = lua_tostring(L, -1);
  static const char *const known[] = {"alive", "off", "dead", "broken"};
  for (size_t i = 0; status && i < LSI_COUNTOF(known); i++)
    if (strcmp(status, known[i]) == 0) lua->jit = known[i];
  return 0;
}

static int call_host(lua_State *L);

/* Makes the C functions that every later call needs, and stack for all of them. */
static int keep_functions(lua_State *L) {
  struct lsi_lua *lua = lua_touserdata(L, 1);
  static const lua_CFunction functions[] = {lsi_lua_handler, call_host, open_modules};
  for (size_t i = 0; i < LSI_COUNTOF(functions); i++) {
    lua_pushcfunction(L, functions[i]);
    lua->kept[i] = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  return 0;
}

/* LuaJIT registers its machine code with libgcc, which writes through whatever malloc returns: a state
 * that begins at the very end of the address space (ulimit -v) would crash instead of failing. */
#define STATE_ROOM (8u << 20) /* several times what opening a state takes */

static bool has_room(void) {
  void *p = lsi_os_map(STATE_ROOM);
  lsi_os_unmap(p, STATE_ROOM);
  return p != NULL;
}

struct lsi_lua *lsi_lua_open(struct lsi_error *err) {
  if (!has_room()) {
    lsi_fail(err, LSIO_ERR_NOMEM, 0, "no room for a Lua state in the address space");
    lsi_error_remedy(err, "raise its limit (ulimit -v) or lower --workers");
    return NULL;
  }
  struct lsi_lua *lua = lsi_calloc(1, sizeof *lua);
  if (!lua) {
    lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a Lua state");
    return NULL;
  }
  lua->jit = "dead";
  lua->L = luaL_newstate();
  if (!lua->L) {
    lsi_fail(err, LSIO_ERR_NOMEM, 0, "LuaJIT can't make a state: no memory, or none that it can address");
    lsi_free(lua);
    return NULL;
  }
  int rc = lua_cpcall(lua->L, keep_functions, lua);
  if (!rc) {
    lua_rawgeti(lua->L, LUA_REGISTRYINDEX, lua->kept[0]);
    lua_rawgeti(lua->L, LUA_REGISTRYINDEX, lua->kept[1]);
    lua_pushlightuserdata(lua->L, lua);
    lua_rawgeti(lua->L, LUA_REGISTRYINDEX, lua->kept[2]);
    lua_insert(lua->L, -2);
    rc = lua_pcall(lua->L, 1, 0, LSI_LUA_HANDLER);
  }
  if (rc) {
    lsi_lua_error(lua, rc, LSIO_ERR_BUG, err);
    lsi_lua_close(lua);
    return NULL;
  }
  return lua;
}

void lsi_lua_close(struct lsi_lua *lua) {
  if (!lua) return;
  lua_close(lua->L);
  lsi_free(lua);
}

void lsi_lua_warn_dead(struct lsi_script_host *host, const struct lsi_lua *lua) {
  if (strcmp(lua->jit, "dead") == 0 && !atomic_flag_test_and_set(&host->warned))
    fprintf(stderr, "lsio: warning: LuaJIT finds no executable memory near its library and runs "
                    "interpreted, about 40 times slower; see --doctor\n");
}

/* ---- messages ---- */

/* "job.lua:12: ..." : length up to and with the blank, 0 if the text begins with no place. */
static size_t place_length(const char *text) {
  const char *p = strchr(text, ':');
  while (p) {
    const char *digits = p + 1, *end = digits;
    while (*end >= '0' && *end <= '9') end++;
    if (end > digits && end[0] == ':' && end[1] == ' ') return (size_t)(end + 2 - text);
    if (strchr(" \n", *digits)) return 0; /* prose, not a place */
    p = strchr(digits, ':');
  }
  return 0;
}

static bool is_own(const char *source) {
  return strcmp(source, "=lsio") == 0 || strncmp(source, "=lsio.", 6) == 0;
}

int lsi_lua_handler(lua_State *L) {
  if (lua_islightuserdata(L, 1)) return 1;
  const char *text = lua_tostring(L, 1);
  if (!text) {
    if (luaL_callmeta(L, 1, "__tostring") && lua_isstring(L, -1))
      text = lua_tostring(L, -1);
    else
      text = lua_pushfstring(L, "the error value is a %s", luaL_typename(L, 1));
  }
  if (strncmp(text, "lsio.", 5) == 0 || strncmp(text, "lsio:", 5) == 0) {
    size_t own = place_length(text);
    if (own && strcspn(text, " ") == own - 1) text += own;
  }
  static const char *const constant = "attempt to write to constant location";
  if (strstr(text, constant)) /* LuaJIT's own words for what the metamethods never see */
    text = lua_pushfstring(L, "%s: chunk.data and the fields of a chunk are read-only; write to "
                              "chunk.out or chunk.scratch", text);
  if (place_length(text)) {
    lua_pushstring(L, text);
    return 1;
  }
  lua_Debug ar;
  for (int level = 1; lua_getstack(L, level, &ar); level++) {
    if (!lua_getinfo(L, "Sl", &ar) || ar.currentline <= 0 || is_own(ar.source)) continue;
    lua_pushfstring(L, "%s:%d: %s", ar.short_src, ar.currentline, text);
    return 1;
  }
  lua_pushstring(L, text);
  return 1;
}

/* LuaJIT's own words, raised again by something that had caught them. */
static bool is_out_of_memory(const char *text) {
  static const char words[] = "not enough memory";
  const size_t n = text ? strlen(text) : 0;
  return n >= sizeof words - 1 && strcmp(text + n - (sizeof words - 1), words) == 0;
}

int lsi_lua_error(struct lsi_lua *lua, int rc, int code, struct lsi_error *err) {
  lua_State *L = lua->L;
  if (lua_islightuserdata(L, -1) && lua_touserdata(L, -1) == &lua->err && lua->err.code) {
    if (err && !err->code) *err = lua->err;
    code = lua->err.code;
  } else {
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    if (rc == LUA_ERRMEM) {
      code = LSIO_ERR_NOMEM;
      text = "Lua is out of memory";
    } else if (rc == LUA_ERRERR || !text) {
      text = "the Lua stack overflowed (does a function call itself for ever?), or an error came while "
             "another one was being reported";
    } else if (is_out_of_memory(text)) {
      code = LSIO_ERR_NOMEM;
    }
    lsi_fail(err, code, 0, "%s", text);
  }
  lsi_error_clear(&lua->err);
  lua_pop(L, 1);
  return code;
}

/* ---- calls ---- */

struct protected {
  const char *name;
  struct lsi_lua_call *call;
  lsi_lua_push_fn *push;
  const void *push_arg;
};

/* Argument: the address of a struct protected, as a number (user addresses have 47 bits). */
static int call_host(lua_State *L) {
  struct protected *p = (struct protected *)(uintptr_t)lua_tonumber(L, 1);
  lua_settop(L, 0);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&host_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  lua_getfield(L, -1, p->name);
  lua_pushlightuserdata(L, p->call);
  if (p->push) p->push(L, p->push_arg);
  lua_call(L, p->push ? 2 : 1, 1);
  return 1;
}

int lsi_lua_call(struct lsi_lua *lua, const char *name, struct lsi_lua_call *call, int results,
                 lsi_lua_push_fn *push, const void *push_arg, int code, struct lsi_error *err) {
  lua_State *L = lua->L;
  struct protected p = {name, call, push, push_arg};
  lsi_error_clear(&lua->err);
  /* Nothing here may need memory, for outside of a protected call Lua would abort the process. */
  lua_pushvalue(L, LSI_LUA_CALL);
  lua_pushnumber(L, (double)(uintptr_t)&p);
  int rc = lua_pcall(L, 1, results, LSI_LUA_HANDLER);
  return rc ? lsi_lua_error(lua, rc, code, err) : 0;
}
