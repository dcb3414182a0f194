/* Files that are lent from a mapping instead of being read: one mapping of the whole file per handle,
 * until it is closed. An operation costs nothing, its pages come into the page table when they are
 * touched. Used on the instance's thread. */
#ifndef LSI_LINUX_MAP_H
#define LSI_LINUX_MAP_H

#include "seams/backend.h"

/* Smaller files are not worth a mapping: making one and ending it costs what copying 256 KiB does. */
#define LSI_MAP_LEAST (1u << 20)

/* Maps the file behind h->fd[0]: h->lends and h->mapped are set. False: it must be read, as SIGBUS is
 * not handled, the address space is limited or full, or there are mappings enough. */
bool lsi_map_file(struct lsi_handle *h);
void lsi_map_drop(struct lsi_handle *h);
/* Finishes an operation on a mapped handle. */
void lsi_map_lend(struct lsi_op *op);
/* The hook `release`. */
void lsi_map_release(struct lsi_backend *b, struct lsi_op *op);
/* Bytes of it have been lost under a reader. */
bool lsi_map_lost(const struct lsi_handle *h);

#endif
