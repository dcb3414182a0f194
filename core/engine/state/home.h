/* What a thread of the crew keeps from run to run, and what its workers of several runs share: the backends'
 * instances and the memory that they read into (home.c). One thread; `others` is anybody's. */
#ifndef LSI_HOME_H
#define LSI_HOME_H

#include <stdatomic.h>

#include "job/trace.h"
#include "memory/arena.h"
#include "seams/backend.h"

#define LSI_HOME_INSTANCES 4
#define LSI_CROWDED 0x80000000u

/* Of one backend. */
struct lsi_instance {
  const struct lsi_backend_ops *ops; /* NULL: none */
  const void *user;
  struct lsi_backend *backend;
  uint32_t users;      /* workers that have it */
  bool broken;         /* it gave some operations not back: no new user */
};

/* Open objects of all runs of a crew. */
struct lsi_descriptors {
  atomic_uint open;
  atomic_uint starving; /* workers that wait for one to be closed */
};

struct lsi_home {
  uint32_t index;      /* of the thread in its crew */
  uint32_t threads;    /* that the crew usually has */
  uint32_t open_limit; /* of descriptors, of the process */
  struct lsi_descriptors *descriptors; /* of the crew; NULL: a test without one */
  struct lsi_pool *pool;
  struct lsi_trace_ring *trace; /* what its workers did; NULL: nobody wants to know */
  struct lsi_instance instances[LSI_HOME_INSTANCES];
  struct lsi_arena arena; /* workers' arenas are parts of it while there is room; size 0: none yet */
  uint32_t arena_users;
  int8_t lends;        /* whether lending paid, when that was compared last; -1: never */
  bool arena_lost;     /* a backend that broke may still write there */
  int bell;            /* ends a wait for what is in flight, where the backend can; -1: none */
  atomic_bool reaping; /* the thread waits so, or is about to: whoever has something for it rings */
  /* 0: one run has all of the thread. Else how many of its workers wait to be taken up, and LSI_CROWDED while
   * it has workers of several runs. */
  atomic_uint others;
};

#endif
