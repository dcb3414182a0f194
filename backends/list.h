/* The tables of all backends; list.c puts them in order. */
#ifndef LSI_BACKEND_LIST_H
#define LSI_BACKEND_LIST_H

#include "seams/backend.h"

extern const struct lsi_backend_ops lsi_backend_uring;
extern const struct lsi_backend_ops lsi_backend_pread;
extern const struct lsi_backend_ops lsi_backend_mapped;
extern const struct lsi_backend_ops lsi_backend_mem;
extern const struct lsi_backend_ops lsi_backend_sim;

#endif
