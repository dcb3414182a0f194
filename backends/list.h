/* The tables of all stores and backends. linux/list.c lists the stores, each store its backends. */
#ifndef LSI_BACKEND_LIST_H
#define LSI_BACKEND_LIST_H

#include "seams/store.h"

extern const struct lsi_store lsi_store_file;
extern const struct lsi_store lsi_store_stdin;
extern const struct lsi_store lsi_store_http;
extern const struct lsi_store lsi_store_mem;
extern const struct lsi_store lsi_store_sim;

extern const struct lsi_backend_ops lsi_backend_uring;
extern const struct lsi_backend_ops lsi_backend_pread;
extern const struct lsi_backend_ops lsi_backend_mapped;
extern const struct lsi_backend_ops lsi_backend_stream;
extern const struct lsi_backend_ops lsi_backend_http;
extern const struct lsi_backend_ops lsi_backend_mem;
extern const struct lsi_backend_ops lsi_backend_sim;

#endif
