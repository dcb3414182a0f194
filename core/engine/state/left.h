/* Which steps a deadline leaves, where what has run is kept (left.c): those of units that nobody has taken,
 * or that their workers give back. */
#ifndef LSI_LEFT_H
#define LSI_LEFT_H

#include <stdbool.h>
#include <stdint.h>

struct lsi_run;
struct lsi_wave;
struct lsi_worker;

struct lsi_left_range {
  uint32_t from, to; /* places in the plan's order of steps, or numbers of steps that are in order */
};

struct lsi_left {
  struct lsi_left_range *ranges; /* given back; under the run's mutex until all workers have ended */
  uint32_t n, cap;
  bool lost;       /* there was no memory for one */
  uint64_t *steps; /* a bit for each; NULL: all have run, or have failed by themselves */
  uint32_t n_steps;
  uint32_t told;   /* those before this one have been reported */
};

/* The worker does not run the unit's steps from this place in the plan's order on. */
void lsi_left_unit(struct lsi_worker *w, const struct lsi_wave *wave, uint32_t unit, uint32_t from);
/* It ends: the same of units that it has put off. */
void lsi_left_put_off(struct lsi_worker *w);
/* All workers have ended. How many steps it is, or LSIO_ERR_NOMEM. */
int64_t lsi_left_count(struct lsi_run *run);
/* The first one from `step` on; UINT32_MAX: there is none. */
uint32_t lsi_left_next(const struct lsi_run *run, uint32_t step);
void lsi_left_clear(struct lsi_left *left);

#endif
