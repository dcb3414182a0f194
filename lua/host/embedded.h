/* The Lua modules carried by the library, made by lua/host/embed.cmake. */
#ifndef LSI_EMBEDDED_H
#define LSI_EMBEDDED_H
#include <stddef.h>

struct lsi_embedded {
  const char *name; /* what `require` calls it */
  const unsigned char *text;
  size_t length;
};
extern const struct lsi_embedded lsi_embedded_modules[]; /* ends with a NULL name */
extern const struct lsi_embedded lsi_embedded_cdef;      /* for ffi.cdef: step.h, kernels.h, abi.h */

#endif
