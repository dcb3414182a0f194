/* The memory that a step's transform may use as it likes (scratch.c). Inside of the engine. */
#ifndef LSI_SCRATCH_H
#define LSI_SCRATCH_H

#include "engine/state/run.h"

/* So much is there for each worker, whether it is priced or not. */
#define LSI_SCRATCH_FREE ((uint64_t)1 << 20)

/* Sets the scratch of the step in hand: so many bytes, which are there, or are to be asked for. Negative:
 * w->error. */
int lsi_scratch_begin(struct lsi_worker *w, double bytes);
/* step->take_scratch. */
int lsi_scratch_take(struct lsi_step *step, struct lsi_error *err);
/* Between steps: gives large ones back if others wait for memory, or `always`. */
void lsi_scratch_rest(struct lsi_worker *w, bool always);

#endif
