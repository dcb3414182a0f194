/* Part of run.h: how a worker uses files that are mapped (mapped.c). */
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

/* objects.c. Looks at an object that is mapped: 0, or negative with w->error when it is not what planning
 * saw. */
int lsi_object_look(struct lsi_worker *w, struct lsi_slot *s);
/* Longest extent of an open object that is used where it lies. */
uint64_t lsi_lend_most(const struct lsi_worker *w, const struct lsi_slot *s);
/* The last object opened is mapped: sets w->maps. */
void lsi_mapped_use(struct lsi_worker *w);
/* Now and then: decides whether what begins next is lent or copied. */
void lsi_mapped_choose(struct lsi_worker *w);

/* The rest only where w->maps. Around lsi_steps_run: where the source has changed, what ran has failed, and
 * so has the run. */
void lsi_mapped_unit_begin(struct lsi_worker *w, const struct lsi_flight *f);
void lsi_mapped_unit_end(struct lsi_worker *w);
/* What the steps of the running unit saw until now is what planning saw: 0, or negative with w->error. */
int lsi_mapped_look(struct lsi_worker *w);
/* The step at w->running->next_step (if any runs) has failed with w->error. True where its source has
 * changed: that is why, w->error then says so, what ran before it has failed too, and so has the run. */
bool lsi_mapped_step_failed(struct lsi_worker *w);

#endif
