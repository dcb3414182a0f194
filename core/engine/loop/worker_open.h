/* A worker from nothing to its loop, and back (worker_open.c). Inside of the engine. */
#ifndef LSI_WORKER_OPEN_H
#define LSI_WORKER_OPEN_H

#include "engine/state/run.h"

/* Negative: w->error; what is open then is closed by lsi_worker_close(). */
int lsi_worker_open(struct lsi_worker *w);
/* Where what has run is kept, has the transform finish. */
void lsi_worker_close(struct lsi_worker *w);

#endif
