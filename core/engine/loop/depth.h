/* How much a worker has in flight (depth.c). Inside of the engine. */
#ifndef LSI_DEPTH_H
#define LSI_DEPTH_H

#include "engine/state/run.h"

/* After the arena. */
void lsi_depth_init(struct lsi_worker *w);
/* Now and then, with the time: judges it, and perhaps climbs. */
void lsi_depth_climb(struct lsi_worker *w, uint64_t now);

#endif
