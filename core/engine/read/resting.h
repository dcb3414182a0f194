/* Units whose files are being written to (resting.c). Inside of the engine. */
#ifndef LSI_RESTING_H
#define LSI_RESTING_H

#include "engine/state/run.h"

/* Puts the flight's unit off for so long: sets f->put_off. 1, or negative with w->error. */
int lsi_rest_put(struct lsi_worker *w, struct lsi_flight *f, int unrest_ns);
/* False: it has been put off often enough. */
bool lsi_rest_may(const struct lsi_worker *w, const struct lsi_flight *f);
/* Takes the first unit whose file may be at rest by now: sets the reader's next_unit and units_end. */
bool lsi_rest_take(struct lsi_worker *w);
/* There are some: how long to wait for the first, at most a little. */
uint64_t lsi_rest_ns(const struct lsi_worker *w);
void lsi_rest_clear(struct lsi_worker *w);

#endif
