/* Lua states: opening, the protected call, messages. */
#include "host/host.h"

#include <limits.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/log.h"
#include "ground/mem.h"
#include "host/embedded.h"
#include "seams/os.h"

static const char host_key; /* registry: the table that lsio.host returns */

/* C types that a state may make beside LSIO's own: what states and scripts declare. A type takes 24 bytes and
 * its names; there can be 65,536. */
#define C_TYPES_MORE 6000

static bool made_by_this_luajit(lua_State *L) {
  lua_getglobal(L, "jit");
  lua_getfield(L, -1, "version");
  const char *version = lua_tostring(L, -1);
  const bool same = version && strcmp(version, lsi_embedded_luajit) == 0;
  lua_pop(L, 2);
  return same;
}

/* Pushes the module's function: of its bytecode, which takes a tenth of the time, unless this LuaJIT is
 * another one than it was made with, or refuses it. */
static int push_module(lua_State *L, const char *name) {
  char chunk[64];
  snprintf(chunk, sizeof chunk, "=%s", name);
  const struct lsi_embedded *m = lsi_embedded_bytecode;
  while (m->name && strcmp(m->name, name) != 0) m++;
  if (m->name && made_by_this_luajit(L)) {
    const int rc = luaL_loadbufferx(L, (const char *)m->text, m->length, chunk, "b");
    if (rc != LUA_ERRSYNTAX) return rc;
    lua_pop(L, 1);
  }
  for (m = lsi_embedded_modules; strcmp(m->name, name) != 0;) m++;
  return luaL_loadbufferx(L, (const char *)m->text, m->length, chunk, "t");
}

/* What `require` finds under a module's name. Argument: that. */
static int load_module(lua_State *L) {
  if (push_module(L, luaL_checkstring(L, 1))) return lua_error(L);
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* Opens the libraries and LSIO's modules. Arguments: light userdata of the struct lsi_lua. */
static int open_modules(lua_State *L) {
  struct lsi_lua *lua = lua_touserdata(L, 1);
  luaL_openlibs(L);
  lsi_lua_hook_init(L, lua);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "preload");
  for (const struct lsi_embedded *m = lsi_embedded_modules; m->name; m++) {
    lua_pushcfunction(L, load_module);
    lua_setfield(L, -2, m->name);
  }
  lua_settop(L, 1);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "lsio.core");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "init");
  lua_pushlstring(L, (const char *)lsi_embedded_cdef.text, lsi_embedded_cdef.length);
  lua_pushlstring(L, (const char *)lsi_embedded_kernels.text, lsi_embedded_kernels.length);
  lua_pushlightuserdata(L, (void *)(uintptr_t)lsi_lua_vt());
  lua_pushlightuserdata(L, &lua->err);
  lua_pushlightuserdata(L, &lua->random);
  lua_pushlightuserdata(L, lua);
  lua_call(L, 6, 0);
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
  lua_call(L, 0, 2);
  const char *status = lua_tostring(L, -2);
  static const char *const known[] = {"alive", "off", "dead", "broken"};
  for (size_t i = 0; status && i < LSI_COUNTOF(known); i++)
    if (strcmp(status, known[i]) == 0) lua->jit = known[i];
  lua->c_types_max = lua_tonumber(L, -1) + C_TYPES_MORE;
  return 0;
}

static int message_handler(lua_State *L);
static int call_host(lua_State *L);

/* Makes the C functions that every later call needs, and stack for all of them. */
static int keep_functions(lua_State *L) {
  struct lsi_lua *lua = lua_touserdata(L, 1);
  static const lua_CFunction functions[] = {message_handler, call_host, open_modules};
  for (size_t i = 0; i < LSI_COUNTOF(functions); i++) {
    lua_pushlightuserdata(L, lua);
    lua_pushcclosure(L, functions[i], 1);
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
  if (lsi_lua_after_fork(err) < 0) return NULL;
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
  lua->random = lua->idle;
  lsi_error_clear(&lua->err);
  atomic_init(&lua->users, 1);
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
    lsi_lua_error(lua, lua->L, rc, LSIO_ERR_BUG, err);
    lsi_lua_drop(lua);
    return NULL;
  }
  return lua;
}

void lsi_lua_hold(struct lsi_lua *lua) { atomic_fetch_add(&lua->users, 1); }

void lsi_lua_drop(struct lsi_lua *lua) {
  if (!lua || atomic_fetch_sub(&lua->users, 1) > 1) return;
  lua_close(lua->L);
  for (struct lsi_loaded_here *h = atomic_load(&lua->dead), *next; h; h = next) {
    next = h->next;
    lsi_free(h);
  }
  lsi_free(lua);
}

static bool is_dead(const struct lsi_lua *lua) { return strcmp(lua->jit, "dead") == 0; }

/* One that has made too many C types gives its place to a new one. If there is no memory for that, or none
 * near the library for machine code, it stays. */
static void replace_worn(struct lsi_lua **slot) {
  struct lsi_lua *old = *slot;
  struct lsi_error ignored;
  lsi_error_clear(&ignored);
  struct lsi_lua *fresh = lsi_lua_open(&ignored);
  if (!fresh || (is_dead(fresh) && !is_dead(old))) {
    lsi_lua_drop(fresh);
    old->worn = false;
    old->c_types_max *= 2;
    return;
  }
  fresh->log = old->log;
  *slot = fresh;
  lsi_lua_drop(old);
}

int lsi_lua_current(struct lsi_script_host *host, struct lsi_lua **slot, struct lsi_lua **out,
                    struct lsi_error *err) {
  if (!*slot) {
    *slot = lsi_lua_open(err);
    if (!*slot) return err && err->code ? err->code : LSIO_ERR_NOMEM;
    (*slot)->log = host->log;
    if (is_dead(*slot) && !atomic_flag_test_and_set(&host->warned))
      lsi_log_warn(host->log, 0, "LuaJIT finds no executable memory near its library and runs interpreted, "
                                 "about 40 times slower; see --doctor");
  } else if ((*slot)->worn) {
    replace_worn(slot);
  }
  *out = *slot;
  lsi_lua_hold(*out);
  return 0;
}

void lsi_lua_end(struct lsi_lua *lua, struct lsi_lua_call *call) {
  call->c_types = 0;
  lsi_lua_call(lua, "close", call, NULL, LSIO_ERR_BUG, NULL); /* nothing is left to do about an error */
  if (call->c_types > lua->c_types_max) lua->worn = true;
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

/* Is `text` (n bytes), as a message names a script, the script of this name? Lua shortens long ones. */
static bool is_named(const char *text, size_t n, const char *name) {
  const size_t length = name ? strlen(name) : 0;
  if (!n || !length) return false;
  if (n == length && memcmp(text, name, n) == 0) return true;
  return n > 3 && n - 3 < length && memcmp(text, "...", 3) == 0 &&
         memcmp(text + 3, name + length - (n - 3), n - 3) == 0;
}

static void set_place(struct lsi_lua_place *p, const char *file, int line) {
  const size_t n = strlen(file), room = sizeof p->file;
  p->length = LSI_MIN(n, room);
  memcpy(p->file, file + (n - p->length), p->length);
  p->line = line;
}

/* Where an error comes from, of which the message begins with `own` bytes "job.lua:12: " (0: with no place):
 * that line, if it is one of a function that runs, of the job's script, or of what did not compile; else the
 * line of the innermost function that is not LSIO's. Nothing is allocated. */
static void find_place(lua_State *L, struct lsi_lua *lua, const char *text, size_t own) {
  struct lsi_lua_place *p = &lua->raised;
  size_t n = own ? own - 2 : 0; /* of "job.lua" */
  while (n && text[n - 1] != ':') n--;
  const int line = n ? (int)LSI_MIN(strtol(text + n, NULL, 10), (long)INT_MAX) : 0;
  if (n) n--;
  p->length = 0;
  lua_Debug ar;
  for (int level = 1; lua_getstack(L, level, &ar); level++) {
    if (!lua_getinfo(L, "Sl", &ar) || ar.currentline <= 0 || is_own(ar.source)) continue;
    const char *name = ar.source + (ar.source[0] == '@' || ar.source[0] == '=');
    const bool is_file = name != ar.source; /* else it is text that was compiled without a name */
    const bool here = is_named(text, n, is_file ? name : ar.short_src);
    if (here || !p->length) set_place(p, is_file ? name : ar.short_src, here ? line : ar.currentline);
    if (here) return;
  }
  if (is_named(text, n, lua->script)) set_place(p, lua->script, line);
  else if (is_named(text, n, lua->refused)) set_place(p, lua->refused, line);
}

#define OUT_OF_MEMORY "not enough memory" /* LuaJIT's words */

/* Raised again by something that had caught them. */
static bool is_out_of_memory(const char *text) {
  const size_t n = text ? strlen(text) : 0, words = sizeof OUT_OF_MEMORY - 1;
  return n >= words && strcmp(text + n - words, OUT_OF_MEMORY) == 0;
}

static int message_handler(lua_State *L) {
  struct lsi_lua *lua = lua_touserdata(L, lua_upvalueindex(1));
  if (lua_islightuserdata(L, 1)) {
    find_place(L, lua, "", 0);
    return 1;
  }
  const char *text = lua_tostring(L, 1);
  if (text && strcmp(text, OUT_OF_MEMORY) == 0) return 1; /* there is none to say where */
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
  const size_t placed = place_length(text);
  find_place(L, lua, text, placed);
  if (placed) {
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

/* The error that has just been set comes from where the handler found. Of one about a script as a whole
 * only the file is known. */
static void tell_place(struct lsi_lua *lua, int code, struct lsi_error *err) {
  const struct lsi_lua_place *p = &lua->raised;
  if (p->length) lsi_error_from(err, p->file, p->length, p->line);
  else if (lua->script && code == LSIO_ERR_SCRIPT) lsi_error_from(err, lua->script, strlen(lua->script), 0);
}

int lsi_lua_error(struct lsi_lua *lua, lua_State *L, int rc, int code, struct lsi_error *err) {
  const bool is_new = err && !err->code;
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
    } else if (lua->unwritten && strstr(text, "can't write to standard ")) {
      code = LSIO_ERR_OUTPUT; /* by lsio.host: as of other outputs, the next step would fare no better */
    }
    lsi_fail(err, code, code == LSIO_ERR_OUTPUT ? lua->unwritten : 0, "%s", text);
    if (is_new && code == LSIO_ERR_OUTPUT && lsi_error_kind(err) != LSIO_KIND_NO_SPACE)
      lsi_error_is(err, LSIO_KIND_IO);
    lua->unwritten = 0;
  }
  if (is_new) tell_place(lua, code, err);
  lua->raised.length = 0;
  lsi_error_clear(&lua->err);
  lua_pop(L, 1);
  return code;
}

/* ---- calls ---- */

void lsi_lua_push_handler(struct lsi_lua *lua, lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, lua->kept[0]);
}

struct protected {
  const char *name;
  struct lsi_lua_call *call;
  const struct lsi_lua_hooks *hooks;
};

/* Argument: the address of a struct protected, as a number (user addresses have 47 bits). */
static int call_host(lua_State *L) {
  static const struct lsi_lua_hooks none;
  struct protected *p = (struct protected *)(uintptr_t)lua_tonumber(L, 1);
  const struct lsi_lua_hooks *hooks = p->hooks ? p->hooks : &none;
  lua_settop(L, 0);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&host_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  lua_getfield(L, -1, p->name);
  lua_pushlightuserdata(L, p->call);
  const int more = hooks->push ? hooks->push(L, hooks->arg) : 0;
  lua_call(L, 1 + more, hooks->results);
  if (hooks->take) hooks->take(L, hooks->arg);
  return 0;
}

int lsi_lua_call(struct lsi_lua *lua, const char *name, struct lsi_lua_call *call,
                 const struct lsi_lua_hooks *hooks, int code, struct lsi_error *err) {
  lua_State *L = lua->L;
  struct protected p = {name, call, hooks};
  if (lua->err.code) lsi_error_clear(&lua->err);
  /* Nothing here may need memory, for outside of a protected call Lua would abort the process. */
  lua_pushvalue(L, LSI_LUA_CALL);
  lua_pushnumber(L, (double)(uintptr_t)&p);
  lua->script = call->script ? call->name : NULL;
  lua->job = call->number;
  int rc = lua_pcall(L, 1, 0, LSI_LUA_HANDLER);
  rc = rc ? lsi_lua_error(lua, L, rc, code, err) : 0;
  lua->script = NULL;
  lua->job = 0;
  return rc;
}
