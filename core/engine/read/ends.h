/* Objects of which nobody knows beforehand where they end (ends.c). Inside of the engine. */
#ifndef LSI_ENDS_H
#define LSI_ENDS_H

#include "engine/state/run.h"

/* An operation on such an object has come back with less than was asked for: that was its end, or it failed,
 * which ends the run. */
void lsi_flight_ends(struct lsi_worker *w, struct lsi_eop *e);

#endif
