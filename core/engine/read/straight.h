/* Bytes that are read straight into the result (straight.c). Inside of the engine. */
#ifndef LSI_STRAIGHT_H
#define LSI_STRAIGHT_H

#include "engine/state/run.h"

void lsi_straight_init(struct lsi_worker *w); /* knows `untransformed` */
/* Has the extent read straight into the sink's memory, if its bytes are the result and that pays. */
bool lsi_straight_extent(struct lsi_worker *w, const struct lsi_flight *f, struct lsi_flight_extent *x);

#endif
