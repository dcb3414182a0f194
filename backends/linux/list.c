/* Every backend, in the order in which `auto` tries them. */
#include "list.h"

#include <string.h>

const struct lsi_backend_ops *const lsi_backends[] = {
    &lsi_backend_uring,
    &lsi_backend_pread,
    &lsi_backend_mapped,
    &lsi_backend_mem,
    &lsi_backend_sim,
    NULL,
};

const struct lsi_backend_ops *lsi_backend_find(const char *name) {
  for (size_t i = 0; lsi_backends[i]; i++)
    if (strcmp(lsi_backends[i]->name, name) == 0) return lsi_backends[i];
  return NULL;
}
