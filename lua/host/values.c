/* Values to Lua. Limits of depth and count hold for whatever has become a value. */
#include "host/values.h"

#define EXACT ((int64_t)1 << 53) /* whole numbers up to here are Lua numbers */

struct push {
  lua_State *L;
  int module; /* lsio.value, in L's stack */
  int lent;   /* the table of views */
};

static void push_integer(struct push *p, uint64_t bits, bool is_unsigned) {
  lua_getfield(p->L, p->module, "integer");
  lua_pushnumber(p->L, (double)(bits >> 32));
  lua_pushnumber(p->L, (double)(bits & UINT32_MAX));
  lua_pushboolean(p->L, is_unsigned);
  lua_call(p->L, 3, 1);
}

static void push_array(struct push *p, const struct lsi_value *v) {
  lua_getfield(p->L, p->module, "array");
  lua_pushnumber(p->L, v->type);
  lua_pushnumber(p->L, (double)(uintptr_t)lsi_value_elements(v)); /* user addresses have 47 bits */
  lua_pushnumber(p->L, (double)v->is.n);
  lua_pushvalue(p->L, p->lent);
  lua_call(p->L, 4, 1);
}

static void push_items(struct push *p, const struct lsi_value *v);

static void push(struct push *p, const struct lsi_value *v) {
  switch ((enum lsio_value_kind)v->kind) {
    case LSIO_VALUE_NIL: lua_pushnil(p->L); break;
    case LSIO_VALUE_BOOL: lua_pushboolean(p->L, v->is.integer != 0); break;
    case LSIO_VALUE_INT:
      if (v->is.integer >= -EXACT && v->is.integer <= EXACT)
        lua_pushnumber(p->L, (double)v->is.integer);
      else
        push_integer(p, v->is.natural, false);
      break;
    case LSIO_VALUE_UINT:
      if (v->is.natural <= (uint64_t)EXACT)
        lua_pushnumber(p->L, (double)v->is.natural);
      else
        push_integer(p, v->is.natural, true);
      break;
    case LSIO_VALUE_DOUBLE: lua_pushnumber(p->L, v->is.number); break; /* makes one NaN of all */
    case LSIO_VALUE_BYTES: lua_pushlstring(p->L, lsi_value_bytes(v), v->is.n); break;
    case LSIO_VALUE_LIST:
    case LSIO_VALUE_MAP: push_items(p, v); break;
    case LSIO_VALUE_ARRAY: push_array(p, v);
  }
}

static void push_items(struct push *p, const struct lsi_value *v) {
  const size_t n = v->is.n; /* at most LSIO_VALUE_COUNT_MAX */
  const bool list = v->kind == LSIO_VALUE_LIST;
  lua_createtable(p->L, list ? (int)n : 0, list ? 0 : (int)n);
  for (size_t i = 0; i < n; i++) {
    if (!list) push(p, lsi_value_keys(v)[i]);
    push(p, lsi_value_items(v)[i]);
    if (list)
      lua_rawseti(p->L, -2, (int)i + 1);
    else
      lua_rawset(p->L, -3);
  }
}

int lsi_lua_push_params(lua_State *L, void *value) {
  luaL_checkstack(L, 3 * (LSIO_VALUE_DEPTH_MAX + 2) + 16, "params");
  lua_getfield(L, 1, "value"); /* of lsio.host, which lies at the bottom */
  lua_newtable(L);
  struct push p = {L, lua_gettop(L) - 1, lua_gettop(L)};
  if (value)
    push(&p, value);
  else
    lua_newtable(L);
  lua_insert(L, p.module);
  lua_remove(L, p.module + 1);
  return 2;
}
