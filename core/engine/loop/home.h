/* Backends and memory that outlive a run (home.c). Inside of the engine; the home's own thread. */
#ifndef LSI_LOOP_HOME_H
#define LSI_LOOP_HOME_H

#include "engine/state/run.h"

/* Sets the worker's arena of at least `bytes`: part of the home's where that has room, else its own. 0 or
 * LSIO_ERR_NOMEM. */
int lsi_home_arena(struct lsi_worker *w, size_t bytes);
/* The worker has nothing in flight. Gives the arena back, or up when its backend is broken. */
void lsi_home_arena_end(struct lsi_worker *w);
/* Sets w->instance, w->backend and w->ops: the run's backend, or its fallback where that is UNSUPPORTED.
 * After the arena. 0, or negative with w->error. */
int lsi_home_backend(struct lsi_worker *w);
/* The worker has nothing open. */
void lsi_home_backend_end(struct lsi_worker *w);
/* Gives back all that nobody uses. */
void lsi_home_clear(struct lsi_home *h);

#endif
