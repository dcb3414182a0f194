/* How a worker's share of the job's memory is divided (worker_memory.c). Inside of the engine. */
#ifndef LSI_WORKER_MEMORY_H
#define LSI_WORKER_MEMORY_H

#include "engine/state/run.h"

struct lsi_share {
  size_t stored; /* of the arena: bytes as they are read */
  size_t out;    /* of results that are being written; 0: none */
};

/* Divides the share, and sets the stepper's limits (decode, piece, gather) to what is left beside. Before
 * the arena is made. */
struct lsi_share lsi_share_divide(struct lsi_worker *w);

#endif
