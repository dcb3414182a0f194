/* Files that are lent from a mapping instead of being read: one mapping of the whole file per handle,
 * until it is closed. An operation costs nothing, its pages come into the page table when they are
 * touched. Used on the instance's thread. */
#ifndef LSI_LINUX_MAP_H
#define LSI_LINUX_MAP_H

#include "seams/backend.h"

/* Smaller files are not worth a mapping: making one and ending it costs what copying 256 KiB does. */
#define LSI_MAP_LEAST (1u << 20)

/* The mapping of a handle that is `mapped`. */
struct lsi_linux_map {
  char *base;
  int guard;         /* its place among the guarded ranges */
  uint64_t released; /* bytes given back since the page table was last told */
  uint64_t low;      /* where these begin in the file */
  uint64_t high;     /* and where they end */
};

/* Maps the file of a handle whose descriptor is known: h->lends and h->mapped are set. False: it must be
 * read, as SIGBUS is not handled, the address space is limited or full, or there are mappings enough. */
bool lsi_map_file(struct lsi_handle *h);
void lsi_map_drop(struct lsi_handle *h);
/* Finishes an operation on a mapped handle. */
void lsi_map_lend(struct lsi_op *op);
/* The hook `release`. */
void lsi_map_release(struct lsi_backend *b, struct lsi_op *op);
/* Bytes of it have been lost under a reader. */
bool lsi_map_lost(const struct lsi_handle *h);

#endif
