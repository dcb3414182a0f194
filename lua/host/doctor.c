/* What --doctor says of LuaJIT. */
#include <stdio.h>
#include <string.h>

#include "ground/mem.h"
#include "host/host.h"

#ifdef LSI_LUAJIT_CHECKHOOK
#define DEADLINES "after a deadline, steps that do not return are interrupted\n"
#else
#define DEADLINES "after a deadline, steps that do not return are left behind\n"
#endif

char *lsi_lua_doctor(void) {
  struct lsi_error err;
  lsi_error_clear(&err);
  struct lsi_lua *lua = lsi_lua_open(&err);
  if (!lua) {
    char why[1024], text[1100];
    lsi_error_format(&err, why, sizeof why);
    snprintf(text, sizeof text, "LuaJIT: %s\n", why);
    return lsi_strdup(text);
  }
  struct lsi_lua_call call = {.name = lua->jit};
  char *text = NULL;
  if (lsi_lua_call(lua, "doctor", &call, NULL, LSIO_ERR_BUG, &err) == 0 &&
      (text = lsi_malloc(call.text_length + sizeof DEADLINES))) {
    memcpy(text, call.text, call.text_length);
    memcpy(text + call.text_length, DEADLINES, sizeof DEADLINES);
  }
  lsi_lua_drop(lua);
  return text;
}
