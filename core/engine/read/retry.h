/* Short and failed reads (retry.c). Inside of the engine. */
#ifndef LSI_RETRY_H
#define LSI_RETRY_H

#include "engine/state/run.h"

/* An operation brought less than it asked for: true when it goes on, else the rest is a hole. */
bool lsi_flight_short(struct lsi_worker *w, struct lsi_eop *e);
/* Puts a flight with holes among those whose chunks are read one by one; false: not, or not again. */
bool lsi_flight_begin_retry(struct lsi_worker *w, struct lsi_flight *f);
void lsi_holes_free(struct lsi_flight *f);
/* Goes on with the first flight of w->reader.retrying; false when out of credit or room. */
bool lsi_flight_retry(struct lsi_worker *w);
/* The bytes of a chunk as they lie in its extent; NULL with w->error if some could not be read. NULL is
 * also what an empty chunk may get. */
const char *lsi_flight_bytes(struct lsi_worker *w, const struct lsi_flight *f, uint32_t chunk,
                             uint32_t step);

#endif
