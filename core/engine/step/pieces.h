/* Steps that are taken piece by piece (pieces.c). Inside of the engine. */
#ifndef LSI_PIECES_H
#define LSI_PIECES_H

#include "engine/state/run.h"

/* All of a step, by pieces; *rc as of lsi_step_deliver(), or LSI_STEP_LATER: it goes on when this is called
 * again, once more has been read. False: its chunk is to be taken whole. */
bool lsi_step_by_pieces(struct lsi_worker *w, struct lsi_flight *f, uint32_t step, int *rc);
/* The step of a flight that is streamed does not go on, if it has begun: no trace of it is left. */
void lsi_step_leave(struct lsi_worker *w, const struct lsi_flight *f);

#endif
