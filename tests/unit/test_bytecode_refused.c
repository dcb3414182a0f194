/* Where the library's bytecode was made by another LuaJIT, or is refused, the modules are compiled from their
 * text: this program's own takes the place of the library's (host/embedded.h, which it does not include). */
#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api_job.h"

static const unsigned char of_no_version[] = "\x1bLJ\x7f and more";
const struct {
  const char *name;
  const unsigned char *text;
  size_t length;
} lsi_embedded_bytecode[] = {{"lsio", of_no_version, sizeof of_no_version},
                             {"lsio.core", of_no_version, sizeof of_no_version},
                             {"lsio.k_map", of_no_version, sizeof of_no_version},
                             {NULL, NULL, 0}};
char lsi_embedded_luajit[64] = "LuaJIT 1.0";

static void a_job_runs(void) {
  lsio_job *job = api_submit("local lsio = require 'lsio'\n"
                             "return lsio.job { source = lsio.files('a.f32', { chunk = 400 }), type = 'f32',\n"
                             " transform = function(c) lsio.k.fill(c.scratch, 1, 0) end }\n", 0);
  json_decref(api_ends(job, 0));
  api_close(job);
}

static void test_of_another_luajit(void **state) {
  (void)state;
  a_job_runs();
}

static void test_refused(void **state) {
  (void)state;
  lua_State *L = luaL_newstate();
  assert_non_null(L);
  luaL_openlibs(L);
  lua_getglobal(L, "jit");
  lua_getfield(L, -1, "version");
  snprintf(lsi_embedded_luajit, sizeof lsi_embedded_luajit, "%s", lua_tostring(L, -1));
  lua_close(L);
  lsio_context_destroy(api_context); /* a new one, with states of its own */
  assert_int_equal(lsio_context_create(NULL, &api_context, NULL), 0);
  a_job_runs();
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(test_of_another_luajit), API_TEST(test_refused)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
