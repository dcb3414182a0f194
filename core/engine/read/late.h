/* Units whose sizes are learnt when their files are opened (late.c). Inside of the engine. */
#ifndef LSI_LATE_H
#define LSI_LATE_H

#include "engine/state/run.h"

void lsi_late_init(struct lsi_worker *w);
/* The first opening of an object of which only the name was known. */
void lsi_late_seen(struct lsi_worker *w, uint32_t object, const struct lsi_object_info *info);
/* Opens the object of extent x, the flight's only one, and learns its size. What a unit's beginning comes
 * to (run.h): LSI_READ when all of it has been read and it is closed again; LSI_PUT_OFF when it is larger
 * than w->late_max; 1 when nothing more is needed, 0 without room, negative with w->error. */
int lsi_late_begin(struct lsi_worker *w, const struct lsi_flight *f, struct lsi_flight_extent *x,
                   uint32_t object);
/* A unit has ended: its file is not needed again. */
void lsi_late_end(struct lsi_worker *w, struct lsi_flight *f);
/* Takes a unit that was put off, when nothing else is left: sets next_unit and units_end. */
bool lsi_late_take(struct lsi_worker *w);
/* A worker that never worked leaves. */
void lsi_late_leave(struct lsi_worker *w);

#endif
