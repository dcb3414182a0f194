/* What a job reads, from what its script has said to a request. Lists and looks at files for as long as that
 * takes, so none of it touches Lua: it goes on while the coordinator's state is another job's. */
#ifndef LSI_LUA_SOURCES_H
#define LSI_LUA_SOURCES_H

#include "host/abi.h"

struct lsi_request;

enum lsi_lua_source_kind { LSI_SOURCE_FILES = 1, LSI_SOURCE_LIST, LSI_SOURCE_ARRAYS, LSI_SOURCE_RANGES,
                           LSI_SOURCE_STDIN };

/* Makes room for n ranges, once: objects are 0, the rest is Lua's to fill. */
int lsi_lua_source_arrays(struct lsi_lua_source *s, double n, bool tags, bool groups,
                          struct lsi_error *err);
/* Adds all of it to the request. Gives back what is as long as the request as soon as it can. */
int lsi_lua_source_open(struct lsi_lua_source *s, struct lsi_request *r, struct lsi_error *err);
void lsi_lua_source_clear(struct lsi_lua_source *s); /* frees what it holds */

#endif
