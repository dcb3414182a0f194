/* Results in memory that are stored past the cache (nontemporal.c). Inside of the engine. */
#ifndef LSI_NONTEMPORAL_H
#define LSI_NONTEMPORAL_H

#include "engine/state/run.h"

void lsi_nontemporal_init(struct lsi_worker *w);
/* Around a transform whose result goes to the place itself. */
void lsi_nontemporal_begin(struct lsi_worker *w);
void lsi_nontemporal_end(struct lsi_worker *w);

#endif
