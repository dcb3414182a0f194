/* What `done` is told of a run: the summary as a Lua table. */
#ifndef LSI_LUA_INFO_H
#define LSI_LUA_INFO_H

#include <lua.h>

/* arg: a struct lsi_summary. Pushes the table, as a hook of lsi_lua_call. */
int lsi_lua_push_info(lua_State *L, void *arg);

#endif
