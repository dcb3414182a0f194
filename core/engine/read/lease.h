/* Reading into the blocks that results are handed out in (lease.c). Inside of the engine. */
#ifndef LSI_LEASE_H
#define LSI_LEASE_H

#include "engine/state/run.h"

enum { LSI_LEASE_NONE = -1, LSI_LEASE_LATER = 0, LSI_LEASE_DONE = 1 };

/* The extent, the unit's only one, is to be read into a block, which the flight holds: sets its data. LATER:
 * units that have not ended have too much; NONE: it goes into the arena. */
int lsi_lease_extent(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x);
/* Room for a result of at most so many bytes; NULL: none. Then, at once: how much it has got. */
void *lsi_lease_room(struct lsi_worker *w, struct lsi_flight *f, uint64_t bytes);
void lsi_lease_trim(struct lsi_worker *w, struct lsi_flight *f, const void *room, uint64_t bytes);

/* The unit ends: what has been handed out of it has holders of its own. */
static inline void lsi_lease_end(struct lsi_worker *w, struct lsi_flight *f) {
  if (!f->block) return;
  w->reader.straight.leased -= f->one.buffer_bytes;
  lsi_block_drop(f->block);
  f->block = NULL;
}

#endif
