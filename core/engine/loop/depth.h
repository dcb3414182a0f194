/* How much a worker has in flight (depth.c). Inside of the engine. */
#ifndef LSI_DEPTH_H
#define LSI_DEPTH_H

#include "engine/state/run.h"

/* After the arena. */
void lsi_depth_init(struct lsi_worker *w);
/* Now and then, with the time: judges it, and perhaps climbs. */
void lsi_depth_climb(struct lsi_worker *w, uint64_t now);

/* How deep a worker is by its own judgement, and whether several of one thread, the deepest of which is on
 * that rung, may have more in flight together. */
struct lsi_in_flight {
  uint64_t ops, bytes;
};
unsigned lsi_depth_rung(const struct lsi_worker *w);
bool lsi_depth_has_room(unsigned rung, struct lsi_in_flight all);

#endif
