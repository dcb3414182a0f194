/* Results in memory that are stored past the cache (past_cache.c). Inside of the engine. */
#ifndef LSI_PAST_CACHE_H
#define LSI_PAST_CACHE_H

#include "engine/state/run.h"

void lsi_past_cache_init(struct lsi_worker *w);
/* Around a transform whose result goes to the place itself. */
void lsi_past_cache_begin(struct lsi_worker *w);
void lsi_past_cache_end(struct lsi_worker *w);

#endif
