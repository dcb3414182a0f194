/* Workers that wait for a descriptor (descriptors.c). Inside of the engine. */
#ifndef LSI_DESCRIPTORS_H
#define LSI_DESCRIPTORS_H

#include "engine/state/run.h"

/* The worker has none and none to give. False: no worker will ever give one back. */
bool lsi_descriptors_may_wait(struct lsi_worker *w);
/* It has got one, has closed one, and waits for none any more. */
void lsi_descriptors_has(struct lsi_worker *w);
void lsi_descriptors_gave(struct lsi_worker *w);
void lsi_descriptors_leave(struct lsi_worker *w);
/* Someone waits for what this worker may have to give. */
bool lsi_descriptors_wanted(const struct lsi_worker *w);

#endif
