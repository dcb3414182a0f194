/* Bytes that are read straight into the result (straight.c). Inside of the engine. */
#ifndef LSI_STRAIGHT_H
#define LSI_STRAIGHT_H

#include "engine/state/run.h"

void lsi_straight_init(struct lsi_worker *w); /* knows `untransformed` */
/* Has the extent read straight into the sink's memory, or a block of results, if its bytes are the result and
 * that pays: LSI_LEASE_DONE, or NONE: it goes into the arena, or LATER, when there is room. */
int lsi_straight_extent(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x);

#endif
