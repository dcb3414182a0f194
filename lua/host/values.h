/* Values of a program's (lsio/value.h) as Lua has them, and back. All of it within a protected call. */
#ifndef LSI_LUA_VALUES_H
#define LSI_LUA_VALUES_H

#include "host/host.h"
#include "value/value.h"

/* A hook's `push`, of a struct lsi_value: pushes it, and a table whose keys are the views that were made of
 * its arrays, which show them where they are. NULL: pushes two empty tables. */
int lsi_lua_push_params(lua_State *L, void *value);

/* A table of Lua's as a value. */
struct lsi_lua_taking {
  struct lsi_value *value; /* out; NULL: err says why */
  struct lsi_error err;    /* LSIO_ERR_OUTPUT: something in it has no such form */
  struct lsi_value **stack; /* of what is not yet part of something larger */
  size_t n, room;
  char place[128]; /* where it went wrong: "a.b[2]" */
};
/* A hook's `take`, of two results, the table and a table of what its fields are declared as. Call
 * lsi_lua_taken afterwards whether the call worked or not. */
void lsi_lua_take(lua_State *L, void *taking);
/* Frees all but the value. */
void lsi_lua_taken(struct lsi_lua_taking *t);

/* Arrays that a job's merged values are in: of C's memory, so that a value may share it. */
struct lsi_value *lsi_lua_array(struct lsi_lua_arrays *arrays, int type, double n);
void lsi_lua_arrays_clear(struct lsi_lua_arrays *arrays);

#endif
