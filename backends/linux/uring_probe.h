/* Making a ring, and proving that it works. */
#ifndef LSI_URING_PROBE_H
#define LSI_URING_PROBE_H

#include <liburing.h>

#include "ground/err.h"

/* A ring for the calling thread alone, with the best flags that this kernel takes, not inherited by
 * fork. 0 or a negative errno. */
int lsi_uring_ring_create(struct io_uring *ring, unsigned entries, unsigned completions);
void lsi_uring_ring_destroy(struct io_uring *ring);
/* Makes a ring, runs a NOP and a real read through it. LSIO_ERR_UNSUPPORTED with cause and remedy. */
int lsi_uring_probe(struct lsi_error *err);
/* The error that an errno of ring creation stands for. */
int lsi_uring_refused(int code, struct lsi_error *err);

#endif
