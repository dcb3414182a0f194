/* The mem backend's objects: memory of the caller under made-up names. Tests and benchmarks. */
#ifndef LSI_MEM_OBJECTS_H
#define LSI_MEM_OBJECTS_H

#include "seams/backend.h"

struct lsi_mem_object {
  const char *name;
  const void *data;
  uint64_t size;
  uint64_t device;
};

/* lsi_backend_config.user. Borrowed while instances live; read by all of them. */
struct lsi_mem_objects {
  const struct lsi_mem_object *objects;
  size_t n;
  bool copies; /* false: hands out pointers (lends); true: copies into buffers like a device */
};

extern const struct lsi_backend_ops lsi_backend_mem;

#endif
