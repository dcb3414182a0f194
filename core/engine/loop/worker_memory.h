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

/* Bytes that all workers of a run take together, as far as it is known: what is stored in flight, the largest
 * step, as large as steps are as a rule where nothing says more, and results on their way to the caller. */
uint64_t lsi_run_need(struct lsi_run *run);

#endif
