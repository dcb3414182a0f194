/* Extents of which nothing is read, for their object can't be had. Where failed steps are skipped, that is
 * the affair of the steps that ask for it (unread.c). Inside of the engine. */
#ifndef LSI_UNREAD_H
#define LSI_UNREAD_H

#include "engine/state/run.h"

/* Of a request with faults (plan/faults.h): a unit with some is damaged. True: the whole object is one, and
 * is not opened. */
bool lsi_unread_planned(struct lsi_flight *f, struct lsi_flight_extent *x, uint32_t object);
/* The object of extent x could not be opened, or its step does not fit into memory, with w->error. 1: the
 * steps that ask for it will fail; negative: the run does. */
int lsi_unread_refused(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x);
/* Of a damaged flight: with w->error, if the chunk, which lies in this extent, can't be had. */
bool lsi_unread_is(struct lsi_worker *w, const struct lsi_flight *f, uint32_t chunk, uint32_t extent);
/* The last error is that of an object that is not there, and the job does not call that a failure. */
bool lsi_unread_is_missing(const struct lsi_worker *w);
void lsi_unread_free(struct lsi_flight *f);

#endif
