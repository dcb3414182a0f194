/* Whether mapped files are used where they lie (lending.c). Inside of the engine. */
#ifndef LSI_LENDING_H
#define LSI_LENDING_H

#include "engine/state/run.h"

/* To be called when an extent of another object than before is begun: notes whether it is resident, and
 * whether it is mapped and so may be lent. */
void lsi_lending_object(struct lsi_worker *w, const struct lsi_slot *s);
/* Now and then: decides whether what begins next is lent or copied. */
void lsi_lending_choose(struct lsi_worker *w);
/* Longest extent of an open object that is used where it lies. */
uint64_t lsi_lending_most(const struct lsi_worker *w, const struct lsi_slot *s);

#endif
