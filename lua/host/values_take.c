/* Tables of Lua's to values. What is finished waits on a stack of C's until what holds it is finished too: so
 * nothing is lost when Lua leaves by an error. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/mem.h"
#include "host/values.h"

struct take {
  lua_State *L;
  struct lsi_lua_taking *to;
  int declared, describe, blocks; /* in L's stack */
};

/* Grows a list of values by one. */
static bool append(struct lsi_value ***list, size_t *n, size_t *room, struct lsi_value *v) {
  if (*n == *room) {
    const size_t more = *room ? 2 * *room : 64;
    struct lsi_value **grown = lsi_reallocarray(*list, more, sizeof *grown);
    if (!grown) return false;
    *list = grown;
    *room = more;
  }
  (*list)[(*n)++] = v;
  return true;
}

static int no_memory(struct take *t) {
  return lsi_fail(&t->to->err, LSIO_ERR_NOMEM, 0, "no memory for the state as a value");
}

/* Hands v over. */
static int put(struct take *t, struct lsi_value *v) {
  if (v && append(&t->to->stack, &t->to->n, &t->to->room, v)) return 0;
  lsio_value_release(v);
  return no_memory(t);
}

/* ---- numbers ---- */

static struct lsi_value *number(double d, int declared) {
  const bool whole = d == floor(d) && fabs(d) < 0x1p53 && !(d == 0 && signbit(d));
  if (declared == LSIO_VALUE_UINT && whole && d >= 0) return lsio_value_uint((uint64_t)d);
  if (declared != LSIO_VALUE_DOUBLE && whole) return lsio_value_int((int64_t)d);
  return lsio_value_double(d);
}

static int put_integer(struct take *t, int kind, int declared) {
  const uint64_t bits = (uint64_t)lua_tonumber(t->L, -4) << 32 | (uint64_t)lua_tonumber(t->L, -3);
  const bool fits = bits <= INT64_MAX;
  if (fits && (declared == LSIO_VALUE_INT || declared == LSIO_VALUE_UINT)) kind = declared;
  return put(t, kind == LSIO_VALUE_INT ? lsio_value_int((int64_t)bits) : lsio_value_uint(bits));
}

/* ---- arrays ---- */

static void release_value(void *v) { lsio_value_release(v); }

/* A view of what lies in a value of C's. */
static int put_shared(struct take *t, int type, const void *data, size_t n, struct lsi_value *block) {
  const int64_t shape = (int64_t)n;
  const struct lsio_value_source s = {.struct_size = sizeof s, .data = data,
                                      .type = lsi_type_name(type), .ndim = 1, .shape = &shape,
                                      .release = release_value, .user = lsio_value_retain(block)};
  struct lsi_value *v = NULL;
  lsi_value_array(&s, &v, &t->to->err);
  return put(t, v);
}

/* What describe has returned lies on the top: kind, type, address, elements, block. */
static int put_array(struct take *t) {
  const int type = (int)lua_tonumber(t->L, -4);
  const void *data = (const void *)(uintptr_t)lua_tonumber(t->L, -3);
  const double n = lua_tonumber(t->L, -2);
  struct lsi_value *block = (struct lsi_value *)(uintptr_t)lua_tonumber(t->L, -1);
  if (block) return put_shared(t, type, data, (size_t)n, block);
  struct lsi_value *v = lsi_value_zeros(type, (size_t)n);
  if (v && n > 0)
    memcpy((void *)(uintptr_t)lsi_value_elements(v), data, (size_t)n * lsi_type_size(type));
  return put(t, v);
}

/* ---- tables ---- */

static int put_any(struct take *t, int declared, int depth);

/* It went wrong within what lies on the top: the key below it comes in front of the place. */
static void add_place(struct take *t) {
  char key[64], rest[sizeof t->to->place];
  memcpy(rest, t->to->place, sizeof rest);
  if (lua_type(t->L, -2) == LUA_TSTRING)
    snprintf(key, sizeof key, "%s", lua_tostring(t->L, -2));
  else
    snprintf(key, sizeof key, "[%.14g]", lua_tonumber(t->L, -2));
  snprintf(t->to->place, sizeof t->to->place, "%s%s%.60s", key, *rest && *rest != '[' ? "." : "", rest);
}

/* How many keys the table on the top has; *list: they are 1 to n, and there are some. */
static size_t count_keys(lua_State *L, bool *list) {
  size_t n = 0;
  double most = 0;
  bool whole = true;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    const double k = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
    whole = whole && k >= 1 && k == floor(k);
    if (k > most) most = k;
    n++;
  }
  *list = n && whole && most == (double)n;
  return n;
}

static int put_keys(struct take *t) {
  lua_State *L = t->L;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    size_t length;
    int rc;
    if (lua_type(L, -2) == LUA_TSTRING) {
      const char *key = lua_tolstring(L, -2, &length);
      rc = put(t, lsio_value_bytes(key, length));
    } else if (lua_type(L, -2) == LUA_TNUMBER) {
      rc = put(t, number(lua_tonumber(L, -2), LSIO_VALUE_NIL));
    } else {
      rc = lsi_fail(&t->to->err, LSIO_ERR_OUTPUT, 0, "the state has a key of type %s", luaL_typename(L, -2));
    }
    if (rc) return rc;
  }
  return 0;
}

/* Of the field whose key and value lie on the top, at the root; else as what holds it. */
static int declared_as(struct take *t, int declared, int depth) {
  if (depth || lua_type(t->L, -2) != LUA_TSTRING) return declared;
  lua_pushvalue(t->L, -2);
  lua_rawget(t->L, t->declared);
  const int found = (int)lua_tonumber(t->L, -1); /* 0 for nil */
  lua_pop(t->L, 1);
  return found;
}

/* The value on the top, whose key lies below it. */
static int put_item(struct take *t, int declared, int depth) {
  const int top = lua_gettop(t->L), rc = put_any(t, declared, depth + 1);
  if (!rc) return 0;
  lua_settop(t->L, top);
  add_place(t);
  return rc;
}

static int put_items(struct take *t, size_t n, bool list, int declared, int depth) {
  lua_State *L = t->L;
  int rc = 0;
  if (!list)
    for (lua_pushnil(L); !rc && lua_next(L, -2); lua_pop(L, 1))
      rc = put_item(t, declared_as(t, declared, depth), depth);
  for (size_t i = 1; list && !rc && i <= n; i++) {
    lua_pushnumber(L, (double)i);
    lua_rawgeti(L, -2, (int)i);
    rc = put_item(t, declared, depth);
    lua_pop(L, 2);
  }
  return rc;
}

/* The table on the top. */
static int put_table(struct take *t, int declared, int depth) {
  struct lsi_lua_taking *to = t->to;
  if (depth > LSIO_VALUE_DEPTH_MAX)
    return lsi_fail(&to->err, LSIO_ERR_OUTPUT, 0,
                    "the state nests deeper than %d tables (or contains itself)", LSIO_VALUE_DEPTH_MAX);
  bool list;
  const size_t n = count_keys(t->L, &list), first = to->n;
  if (n > LSIO_VALUE_COUNT_MAX)
    return lsi_fail(&to->err, LSIO_ERR_OUTPUT, 0, "the state has a table of %zu: a value holds at most %d", n,
                    LSIO_VALUE_COUNT_MAX);
  int rc = list ? 0 : put_keys(t);
  if (!rc) rc = put_items(t, n, list, declared, depth);
  if (rc) return rc;
  struct lsi_value *v = NULL, **items = to->stack + first;
  to->n = first; /* handed over */
  rc = list ? lsi_value_list(items, n, &v, &to->err) : lsi_value_map(items, items + n, n, &v, &to->err);
  if (rc == LSIO_ERR_USAGE) rc = to->err.code = LSIO_ERR_OUTPUT; /* too many in all */
  return rc ? rc : put(t, v);
}

/* What C can't look into. */
static int put_other(struct take *t, int declared) {
  lua_State *L = t->L;
  lua_pushvalue(L, t->describe);
  lua_pushvalue(L, -2);
  lua_pushvalue(L, t->blocks);
  lua_call(L, 2, 5);
  const int kind = (int)lua_tonumber(L, -5);
  int rc;
  if (kind == LSIO_VALUE_ARRAY)
    rc = put_array(t);
  else if (kind == LSIO_VALUE_INT || kind == LSIO_VALUE_UINT)
    rc = put_integer(t, kind, declared);
  else
    rc = lsi_fail(&t->to->err, LSIO_ERR_OUTPUT, 0, "the state can't be given as a value: there is a %s in it",
                  luaL_typename(L, -6));
  lua_pop(L, 5);
  return rc;
}

/* What lies on the top, and stays there. */
static int put_any(struct take *t, int declared, int depth) {
  lua_State *L = t->L;
  size_t length;
  const char *text;
  switch (lua_type(L, -1)) {
    case LUA_TNIL: return put(t, lsio_value_nil());
    case LUA_TBOOLEAN: return put(t, lsio_value_bool(lua_toboolean(L, -1)));
    case LUA_TNUMBER: return put(t, number(lua_tonumber(L, -1), declared));
    case LUA_TSTRING:
      text = lua_tolstring(L, -1, &length);
      return put(t, lsio_value_bytes(text, length));
    case LUA_TTABLE: return put_table(t, declared, depth);
    default: return put_other(t, declared);
  }
}

void lsi_lua_take(lua_State *L, void *taking) {
  struct lsi_lua_taking *to = taking;
  const int top = lua_gettop(L);
  struct take t = {L, to, top - 2, top - 1, top};
  lsi_error_clear(&to->err);
  luaL_checkstack(L, 4 * (LSIO_VALUE_DEPTH_MAX + 2) + 16, "the state");
  lua_pushvalue(L, top - 3);
  const int rc = put_any(&t, LSIO_VALUE_NIL, 0);
  if (!rc) to->value = to->stack[--to->n];
  if (rc && *to->place)
    lsi_error_remedy(&to->err, "it is at %s: let finish or reduce return something else", to->place);
}

void lsi_lua_taken(struct lsi_lua_taking *t) {
  for (size_t i = 0; i < t->n; i++) lsio_value_release(t->stack[i]);
  lsi_free(t->stack);
}

/* ---- arrays of merged values ---- */

struct lsi_value *lsi_lua_array(struct lsi_lua_arrays *arrays, int type, double n) {
  struct lsi_value *v = lsi_value_zeros(type, (size_t)n);
  if (v && append(&arrays->list, &arrays->n, &arrays->room, v)) return v;
  lsio_value_release(v);
  return NULL;
}

void lsi_lua_arrays_clear(struct lsi_lua_arrays *arrays) {
  for (size_t i = 0; i < arrays->n; i++) lsio_value_release(arrays->list[i]);
  lsi_free(arrays->list);
}
