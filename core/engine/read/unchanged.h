/* Objects that must be what planning saw (unchanged.c). Each function: 0, or negative with w->error,
 * which names the object and what happened to it. Inside of the engine. */
#ifndef LSI_UNCHANGED_H
#define LSI_UNCHANGED_H

#include "engine/state/run.h"

/* `now` is what the object is at this moment. */
int lsi_unchanged(struct lsi_worker *w, uint32_t object, const struct lsi_object_info *now);
/* The same with what a backend's `look` or `close` returned. */
int lsi_unchanged_by(struct lsi_worker *w, uint32_t object, int rc, const struct lsi_object_info *now);
/* The same of one that is or was open; settles what is held for a look behind its reads (held.h). */
int lsi_unchanged_settle(struct lsi_worker *w, const struct lsi_slot *s, int rc,
                         const struct lsi_object_info *now);
/* Looks at an open object, and does that. */
int lsi_object_look(struct lsi_worker *w, struct lsi_slot *s);
/* Looks its name up. */
int lsi_unchanged_name(struct lsi_worker *w, uint32_t object);

#endif
