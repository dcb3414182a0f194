/* How a worker uses files that are mapped (mapped.c). */
#ifndef LSI_MAPPED_H
#define LSI_MAPPED_H

#include <stdbool.h>
#include <stdint.h>

struct lsi_flight;
struct lsi_slot;
struct lsi_worker;

/* Their bytes are used where they lie, or copied into a buffer. */
struct lsi_lending {
  bool lend;                   /* now */
  bool fixed;                  /* there is no choice */
  bool comparing, settling;
  bool lends;                  /* what the last comparison said, ... */
  uint64_t keep;               /* ... and for how many bytes */
  uint32_t trials;             /* left of the comparison */
  uint64_t next;               /* w->bytes_read at which something is to be decided, ... */
  uint64_t wait;               /* ... at the latest, while ways to store are compared */
  uint64_t next_file;          /* ... or from which on in another object than this */
  uint32_t object;
  uint64_t from_bytes, from_cpu_ns; /* where the trial began */
  uint64_t cpu_ns[2], bytes[2]; /* of the trials: copied, lent */
};

/* Longest extent of an open object that is used where it lies. */
uint64_t lsi_lend_most(const struct lsi_worker *w, const struct lsi_slot *s);
/* The last object opened is mapped: sets w->maps. */
void lsi_mapped_use(struct lsi_worker *w);
/* Now and then: decides whether what begins next is lent or copied. */
void lsi_mapped_choose(struct lsi_worker *w);

#endif
