/* Units whose sizes are learnt when their files are opened (late.c). Inside of the engine. */
#ifndef LSI_LATE_H
#define LSI_LATE_H

#include "run.h"

void lsi_late_init(struct lsi_worker *w);
/* The first opening of an object of which only the name was known. */
void lsi_late_seen(struct lsi_worker *w, uint32_t object, const struct lsi_object_info *info);
/* Opens the object of extent x, the flight's only one: x->slot, or NULL (w->error, or no room now). True
 * when it has been read already, all of it, and is closed: x is as any that has landed. */
bool lsi_late_open(struct lsi_worker *w, const struct lsi_flight *f, struct lsi_flight_extent *x,
                   uint32_t object);
/* The length of the flight's only chunk, now known to be the object's size; and memory for it when it
 * is larger than w->late_max: then 1, LSI_PUT_OFF, or negative with w->error. */
int lsi_late_extent(struct lsi_worker *w, const struct lsi_flight *f, struct lsi_flight_extent *x,
                    uint32_t object);
/* A unit has ended: its file is not needed again. */
void lsi_late_end(struct lsi_worker *w, struct lsi_flight *f);
/* Takes a unit that was put off, when nothing else is left: sets next_unit and units_end. */
bool lsi_late_take(struct lsi_worker *w);
/* A worker that never worked leaves. */
void lsi_late_leave(struct lsi_worker *w);

#endif
