/* What becomes of what a step yields (deliver.c). Inside of the engine. */
#ifndef LSI_DELIVER_H
#define LSI_DELIVER_H

#include "engine/step/result.h"

/* What the transform said of its result, or the identity's. Negative: w->error. */
int lsi_step_interpret(struct lsi_worker *w, uint32_t step, struct lsi_yield *y);
/* Takes it to the sink or the stream: 0, or 1 when it is on its way there and counts when it has landed. */
int lsi_step_deliver(struct lsi_worker *w, uint32_t step, struct lsi_yield *y);

#endif
