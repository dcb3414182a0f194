/* Values of a program's (lsio/value.h) as Lua has them, and back. All of it within a protected call. */
#ifndef LSI_LUA_VALUES_H
#define LSI_LUA_VALUES_H

#include "host/host.h"
#include "value/value.h"

/* A hook's `push`, of a struct lsi_value: pushes it, and a table whose keys are the views that were made of
 * its arrays, which show them where they are. NULL: pushes two empty tables. */
int lsi_lua_push_params(lua_State *L, void *value);

#endif
