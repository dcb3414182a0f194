/* A program of the build, linked with the LuaJIT that LSIO is linked with: writes the bytecode of LSIO's Lua
 * modules as C arrays (host/embedded.h), so that no state has to parse them.
 *   lsio-dump OUT.c MODULE.lua... */
#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MOST (1u << 20) /* bytes of a module */

static FILE *out;

static int failed(const char *what, const char *why) {
  fprintf(stderr, "lsio-dump: %s: %s\n", what, why);
  return 1;
}

static int put_bytes(lua_State *L, const void *bytes, size_t n, void *unused) {
  (void)L, (void)unused;
  for (size_t i = 0; i < n; i++) fprintf(out, "%u,", ((const unsigned char *)bytes)[i]);
  return 0;
}

/* What `require` calls the module of a file, behind '=' as a chunk's name has it. */
static const char *name_of(const char *path, char *name, size_t room) {
  const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
  const int n = (int)strcspn(base, ".");
  snprintf(name, room, strncmp(base, "init.", 5) == 0 ? "=lsio" : "=lsio.%.*s", n, base);
  return name + 1;
}

/* With all names and lines: what messages and traces say is as from the text. */
static int put_module(lua_State *L, const char *path, int number) {
  static char text[TEXT_MOST];
  char name[64];
  name_of(path, name, sizeof name);
  FILE *f = fopen(path, "rb");
  const size_t n = f ? fread(text, 1, sizeof text, f) : 0;
  const int error = !f || ferror(f) ? errno : n == sizeof text ? EFBIG : 0;
  if (f) fclose(f);
  if (error) return failed(path, strerror(error));
  if (luaL_loadbufferx(L, text, n, name, "t")) return failed(path, lua_tostring(L, -1));
  fprintf(out, "static const unsigned char code_%d[] = {", number);
  if (lua_dump(L, put_bytes, NULL)) return failed(path, "it can't be dumped");
  fprintf(out, "};\n");
  lua_pop(L, 1);
  return 0;
}

static void put_table(lua_State *L, char **paths, int n) {
  char name[64];
  fprintf(out, "const struct lsi_embedded lsi_embedded_bytecode[] = {\n");
  for (int i = 0; i < n; i++)
    fprintf(out, "  {\"%s\", code_%d, sizeof code_%d},\n", name_of(paths[i], name, sizeof name), i, i);
  lua_getglobal(L, "jit");
  lua_getfield(L, -1, "version");
  fprintf(out, "  {NULL, NULL, 0}};\nconst char lsi_embedded_luajit[] = \"%s\";\n", lua_tostring(L, -1));
}

int main(int argc, char **argv) {
  if (argc < 3) return failed("usage", "lsio-dump OUT.c MODULE.lua...");
  lua_State *L = luaL_newstate();
  if (!L) return failed("LuaJIT", "no memory for a state");
  luaL_openlibs(L);
  out = fopen(argv[1], "w");
  if (!out) return failed(argv[1], strerror(errno));
  fprintf(out, "#include <stddef.h>\n#include \"host/embedded.h\"\n");
  int rc = 0;
  for (int i = 2; i < argc && !rc; i++) rc = put_module(L, argv[i], i - 2);
  if (!rc) put_table(L, argv + 2, argc - 2);
  const int error = ferror(out) ? EIO : 0;
  if ((fclose(out) || error) && !rc) rc = failed(argv[1], "it can't be written");
  lua_close(L);
  if (rc) remove(argv[1]);
  return rc;
}
