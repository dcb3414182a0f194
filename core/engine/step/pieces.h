/* Steps that are taken piece by piece (pieces.c). Inside of the engine. */
#ifndef LSI_PIECES_H
#define LSI_PIECES_H

#include "engine/state/run.h"

/* All of a step, by pieces; *rc as of lsi_step_deliver(). False: its chunk is to be taken whole. */
bool lsi_step_by_pieces(struct lsi_worker *w, struct lsi_flight *f, uint32_t step, int *rc);

#endif
