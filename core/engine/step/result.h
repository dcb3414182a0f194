/* Where a step's result is made, as a whole or part by part (result.c). Inside of the engine. */
#ifndef LSI_RESULT_H
#define LSI_RESULT_H

#include "engine/state/run.h"

/* Where a step of n elements writes: sets the step's out and out_n. */
int lsi_step_out(struct lsi_worker *w, uint32_t step, double n);
/* `fill` in the place of a step that delivers nothing. */
int lsi_step_fill(struct lsi_worker *w, uint32_t step);
/* Of a step with a fixed place: that its result has `count` elements as the place does. */
int lsi_step_check_room(struct lsi_worker *w, uint32_t step, uint64_t count);
/* A part of such a result, elements [first, first + n). First: where it is made; NULL: no memory. */
void *lsi_step_part_out(struct lsi_worker *w, uint32_t step, uint64_t first, uint64_t n);
/* Then: takes it to its place, or fills that if *y is nothing. */
int lsi_step_part_place(struct lsi_worker *w, uint32_t step, uint64_t first, uint64_t n,
                        const struct lsi_yield *y);
/* After the last part: returns as lsi_step_deliver(). */
int lsi_step_parts_end(struct lsi_worker *w);
/* The step has failed after its first n elements were taken there. */
void lsi_step_parts_undo(struct lsi_worker *w, uint64_t n);

#endif
