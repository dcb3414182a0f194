/* The objects of the store `mem` and of its backend: memory of the caller under made-up names. For tests and
 * benchmarks. */
#ifndef LSI_MEM_OBJECTS_H
#define LSI_MEM_OBJECTS_H

#include "seams/store.h"

struct lsi_mem_object {
  const char *name;
  const void *data;
  uint64_t size;
  uint32_t device;
};

/* `user` of the store's hooks and of lsi_backend_config. Borrowed while instances live, read by all of
 * them. */
struct lsi_mem_objects {
  const struct lsi_mem_object *objects;
  size_t n;
  bool copies; /* false: hands out pointers (lends); true: copies into buffers like a device */
};

/* NULL with LSIO_ERR_SOURCE: there is none. */
const struct lsi_mem_object *lsi_mem_find(const struct lsi_mem_objects *objects, const char *name,
                                          struct lsi_error *err);
struct lsi_object_info lsi_mem_info(const struct lsi_mem_object *o);

extern const struct lsi_backend_ops lsi_backend_mem;
extern const struct lsi_store lsi_store_mem;
extern const struct lsi_store *const lsi_mem_stores[]; /* for a run over it alone */

#endif
