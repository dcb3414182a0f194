/* The Lua modules carried by the library: their text, made by lua/host/embed.cmake, and their bytecode, made
 * by lua/host/dump.c. */
#ifndef LSI_EMBEDDED_H
#define LSI_EMBEDDED_H
#include <stddef.h>

struct lsi_embedded {
  const char *name; /* what `require` calls it */
  const unsigned char *text;
  size_t length;
};
extern const struct lsi_embedded lsi_embedded_modules[]; /* ends with a NULL name */
/* Likewise; empty where a build can't run what it makes. For the LuaJIT of that jit.version alone. */
extern const struct lsi_embedded lsi_embedded_bytecode[];
extern const char lsi_embedded_luajit[];
extern const struct lsi_embedded lsi_embedded_cdef;    /* for ffi.cdef: step.h, kernels.h, abi.h */
extern const struct lsi_embedded lsi_embedded_kernels; /* and, of kernels.h, the table */

#endif
