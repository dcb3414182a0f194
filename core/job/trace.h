/* What each thread did, and for which job: a ring of the latest events for each thread, and its export for
 * the viewers of Chrome (chrome://tracing) and Perfetto (ui.perfetto.dev). Pure: no clock; who adds an event
 * has asked it already. Off is a ring that is NULL: then an event costs one branch. */
#ifndef LSI_TRACE_H
#define LSI_TRACE_H

#include <stdatomic.h>
#include <stdio.h>

#include "ground/base.h"

enum lsi_trace_kind {
  LSI_TRACE_LIST,      /* files listed and looked at */
  LSI_TRACE_PLAN,
  LSI_TRACE_OPEN,
  LSI_TRACE_WAIT,      /* for what is in flight */
  LSI_TRACE_IDLE,      /* nothing to do */
  LSI_TRACE_DECODE,
  LSI_TRACE_TRANSFORM,
  LSI_TRACE_PLACE,     /* a result handed to its sink */
  LSI_TRACE_REDUCE,
  LSI_TRACE_PUBLISH,
  LSI_TRACE_READ,      /* an operation, from submit until it has come back: several are in flight at once */
  LSI_TRACE_WRITE,     /* likewise */
  LSI_TRACE_KINDS
};

struct lsi_trace_event {
  uint64_t begin_ns;
  uint64_t end_ns;
  uint64_t step;   /* LSI_TRACE_NONE: of none; of an operation its offset */
  uint64_t bytes;  /* 0: not told; of an operation its length, below 4 GiB */
  uint32_t job;    /* its number, from 1 on; 0: of none */
  uint32_t kind;   /* enum lsi_trace_kind */
  uint32_t object; /* of an operation: index in the job's request; UINT32_MAX: none, it writes the result */
  int32_t outcome; /* of an operation: 0, 1 if it came back short, or LSIO_ERR_* */
};
#define LSI_TRACE_NONE UINT64_MAX
#define LSI_TRACE_SHORT 1

/* An event in words that one thread stores and others may load meanwhile. */
#define LSI_TRACE_WORDS 5
struct lsi_trace_slot {
  atomic_uint_fast64_t word[LSI_TRACE_WORDS];
};

/* Of one thread, which alone adds to it. */
struct lsi_trace_ring {
  struct lsi_trace_slot *slots;
  uint64_t mask;                    /* slots - 1 */
  _Alignas(LSI_CACHE_LINE) atomic_uint_fast64_t n; /* events so far, also those that were overwritten */
  char name[24];
};

struct lsi_trace {
  uint32_t n_rings;
  struct lsi_trace_ring *rings;
};

/* `rings` (at least 1) of at least `events` events each. NULL: no memory. Pages that no event reaches are
 * never touched. */
struct lsi_trace *lsi_trace_create(uint32_t rings, uint32_t events);
/* Nobody adds to it any more. NULL is fine. */
void lsi_trace_free(struct lsi_trace *t);
/* How the ring's thread is called in the viewer; "thread 3" if it is not told. Before it adds events. */
void lsi_trace_name(struct lsi_trace_ring *r, const char *name);

void lsi_trace_put(struct lsi_trace_ring *r, const struct lsi_trace_event *e);
/* On the ring's thread. `r` is NULL where nothing is traced. */
static inline void lsi_trace_add(struct lsi_trace_ring *r, enum lsi_trace_kind kind, uint64_t begin_ns,
                                 uint64_t end_ns, uint32_t job, uint64_t step, uint64_t bytes) {
  if (LSI_LIKELY(!r)) return;
  const struct lsi_trace_event e = {begin_ns, end_ns, step, bytes, job, (uint32_t)kind, 0, 0};
  lsi_trace_put(r, &e);
}

/* Copies the ring's latest events, the oldest first, to `out`, which has room for `mask` events. How many;
 * *lost: how many are not there any more. Any thread, also while the ring's own adds to it: what is
 * overwritten meanwhile is lost. */
size_t lsi_trace_copy(struct lsi_trace_ring *r, struct lsi_trace_event *out, uint64_t *lost);

/* All rings as JSON in Chrome's format. Times begin with the earliest event. 0; LSIO_ERR_NOMEM; or
 * LSIO_ERR_IO: writing failed, and errno says why. Any thread, as above. */
int lsi_trace_write(struct lsi_trace *t, FILE *to);

#endif
