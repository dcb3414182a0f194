/* Open objects of one worker (objects.c). Inside of the engine. */
#ifndef LSI_OBJECTS_H
#define LSI_OBJECTS_H

#include "engine/state/run.h"

int lsi_objects_init(struct lsi_objects *o, uint32_t slots);
/* An open object, which is then the last one; refs + 1. NULL: w->error, or (code 0) all are in use. */
struct lsi_slot *lsi_object_open(struct lsi_worker *w, uint32_t object);
/* How an object of which only the name was known is opened, and what came of it. */
struct lsi_late_open {
  struct lsi_open order; /* in: what the backend is asked for; its name is filled in */
  bool whole;            /* out: it was read, and is closed again */
  int unrest_ns;         /* out: not 0: somebody writes to it; nothing is open */
};
/* Any other one as lsi_object_open. NULL: w->error, or (code 0) all are in use, or unrest_ns. */
struct lsi_slot *lsi_object_open_late(struct lsi_worker *w, uint32_t object, struct lsi_late_open *how);
/* Closes one that is not needed again, while what the kernel knows of it is in the cache. Negative if it
 * has changed (w->error). */
int lsi_object_close(struct lsi_worker *w, struct lsi_slot *s);
/* Closes what nothing in flight needs; units that are read and wait for the window need none. Negative
 * if one has changed (w->error). */
int lsi_objects_shed(struct lsi_worker *w);
/* Closes all; negative if one has changed (w->error). */
int lsi_objects_close(struct lsi_worker *w);
void lsi_objects_clear(struct lsi_objects *o);

#endif
