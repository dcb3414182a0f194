/* Results that are streamed in an order: what comes before its turn waits behind a gate. Each step has a
 * rank: its own index, or that of its group; those of a rank pass when all steps of lower ranks have ended.
 *   What runs ahead of the oldest missing rank does so only while there is room behind the gate. Of that rank
 * any step may run; units are planned, handed out and begun in the order of ranks (plan.h: in_request_order;
 * handout.c), so its steps are the first of what some worker has, or the next to be handed out to one: there
 * is always somebody who can go on. Inside of the engine. */
#ifndef LSI_GATE_H
#define LSI_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lsi_request;
struct lsi_run_completion;

struct lsi_gate_entry;

/* All but what is atomic under the run's mutex, or when all workers have ended. */
struct lsi_gate {
  bool on;                     /* else all passes as it comes */
  const uint32_t *group_first; /* of the request; NULL: each step is a rank of its own */
  uint32_t n_ranks;
  uint64_t first_index;        /* of step 0 */
  uint64_t limit;              /* bytes that may wait behind the gate */
  atomic_uint next;            /* the oldest rank of which a step has not ended */
  atomic_uint_fast64_t held;   /* bytes that wait */
  uint32_t ended;              /* steps of `next` that have passed */
  struct lsi_gate_entry *heap; /* by rank */
  uint32_t n, cap;
};

/* by_step: each is a rank of its own; else the request's groups are, if it has any. */
void lsi_gate_init(struct lsi_gate *g, const struct lsi_request *r, bool by_step, uint64_t limit);
void lsi_gate_clear(struct lsi_gate *g); /* with what waits */

uint32_t lsi_gate_rank(const struct lsi_gate *g, uint32_t step);
/* A step whose result takes so many bytes may run. Any thread. */
bool lsi_gate_may_run(const struct lsi_gate *g, uint32_t step, uint64_t bytes);
/* The result of `step` may be in one completion with that of `before`, the last one there (both as they are
 * told): they pass together. Any thread. */
bool lsi_gate_joins(const struct lsi_gate *g, uint64_t before, uint64_t step);

/* Takes a list, each of it of one rank, or of successive steps. Returns what passes now, in order: of that,
 * and of what waited. *lost: there was no memory for some, which is gone: the run must fail. */
struct lsi_run_completion *lsi_gate_pass(struct lsi_gate *g, struct lsi_run_completion *list, bool *lost);
/* After the end of all workers: the oldest that waits, if its rank is `most` or less, else NULL. */
struct lsi_run_completion *lsi_gate_take(struct lsi_gate *g, uint32_t most);

#endif
