/* The Lua modules' bytecode is of their text, with all names and lines, and made by the LuaJIT that is linked. */
#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "host/embedded.h"

static int count(lua_State *L, const void *bytes, size_t n, void *sum) {
  (void)L, (void)bytes;
  *(size_t *)sum += n;
  return 0;
}

/* Loads a module, pops it and tells where it begins and ends, and how long its bytecode is. */
static size_t load(lua_State *L, const struct lsi_embedded *m, const char *mode, lua_Debug *ar) {
  char chunk[64];
  snprintf(chunk, sizeof chunk, "=%s", m->name);
  if (luaL_loadbufferx(L, (const char *)m->text, m->length, chunk, mode)) fail_msg("%s", lua_tostring(L, -1));
  size_t length = 0;
  assert_int_equal(lua_dump(L, count, &length), 0);
  assert_int_equal(lua_getinfo(L, ">S", ar), 1);
  return length;
}

static void is_of_the_text(void **state) {
  (void)state;
  lua_State *L = luaL_newstate();
  assert_non_null(L);
  luaL_openlibs(L);
  lua_getglobal(L, "jit");
  lua_getfield(L, -1, "version");
  if (!lsi_embedded_bytecode[0].name) { /* a cross build */
    assert_string_equal(lsi_embedded_luajit, "");
    lua_close(L);
    skip();
  }
  assert_string_equal(lsi_embedded_luajit, lua_tostring(L, -1));
  const struct lsi_embedded *text = lsi_embedded_modules, *code = lsi_embedded_bytecode;
  for (; text->name && code->name; text++, code++) {
    lua_Debug a, b;
    assert_string_equal(text->name, code->name);
    /* The same bytes but for the order within tables, which a state chooses. */
    assert_int_equal(load(L, text, "t", &a), code->length);
    assert_int_equal(load(L, code, "b", &b), code->length);
    assert_string_equal(a.source, b.source);
    assert_int_equal(a.lastlinedefined, b.lastlinedefined);
  }
  assert_null(text->name);
  assert_null(code->name);
  lua_close(L);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(is_of_the_text)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
