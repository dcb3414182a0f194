/* Units whose sizes are learnt when their files are opened (late.c). Inside of the engine. */
#ifndef LSI_LATE_H
#define LSI_LATE_H

#include "engine/state/run.h"

void lsi_late_init(struct lsi_worker *w);
/* Opens the object of extent x, the flight's only one, and learns its size. Sets x->data where no buffer is
 * to be leased for it, f->at_once when all of it has been read and it is closed again, and f->put_off
 * when it must wait. 1, 0 without room, negative with w->error. */
int lsi_late_open(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x,
                  uint32_t object);
/* A unit has ended: its file (NULL: none is open) is not needed again. */
void lsi_late_end(struct lsi_worker *w, struct lsi_slot *slot);
/* Nothing else is left: takes a unit that was put off. LSI_LATE_WAITS: not yet, ask again after *wait_ns. */
enum lsi_late_found { LSI_LATE_NONE, LSI_LATE_TAKEN, LSI_LATE_WAITS };
enum lsi_late_found lsi_late_take(struct lsi_worker *w, uint64_t *wait_ns);
/* A worker that never worked leaves. */
void lsi_late_leave(struct lsi_worker *w);

#endif
