/* What is counted of a run while it runs, and what is made of it. */
#ifndef LSI_FIGURES_H
#define LSI_FIGURES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lsi_run;
struct lsi_verdict;
struct lsi_worker;

/* Written by one worker, read by any thread. */
struct lsi_counters {
  atomic_uint_fast64_t steps;
  atomic_uint_fast64_t failed;
  atomic_uint_fast64_t chunks;
  atomic_uint_fast64_t chunks_failed;
  atomic_uint_fast64_t chunks_missing; /* among `chunks` */
  atomic_uint_fast64_t bytes_done;
};

/* Of one worker, and its own until it has ended. */
struct lsi_figures {
  uint64_t operations;
  uint64_t bytes_read;
  uint64_t bytes_beside;   /* that came with them, for direct reads take whole blocks */
  uint64_t bytes_retried;  /* of bytes_read: after reads that failed */
  uint64_t bytes_decoded;
  uint64_t bytes_delivered;
  uint64_t bytes_copied;   /* of results that were not made, or read, in the block that the program gets */
  uint64_t bytes_direct;   /* that the CPU has not copied */
  uint64_t wait_ns;        /* for what is in flight */
  uint64_t submit_ns;      /* in submit, or for other workers */
  uint64_t at_once_ns;     /* reading files as they are opened */
  uint64_t stalled_ns;     /* with results, until others were taken */
  uint64_t in_flight_ns;   /* wait_ns times the reads in flight */
  uint64_t decode_ns;
  uint64_t transform_ns;
  uint64_t place_ns;
};

#define LSI_MEMORY_NS 20000000      /* between looks at the memory in use: one costs about 80 us */
#define LSI_MEMORY_LEAST_NS 5000000

/* What a worker that has ended found out by trying: LSI_TRIED of them. */
void lsi_worker_verdicts(const struct lsi_worker *w, struct lsi_verdict *tune);

#endif
