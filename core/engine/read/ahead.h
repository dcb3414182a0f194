/* What is read ahead of a step that is streamed (ahead.c). Inside of the engine. */
#ifndef LSI_AHEAD_H
#define LSI_AHEAD_H

#include "engine/read/operation.h"

#define LSI_AHEAD_BEGUN 2 /* of lsi_ahead_begin: the flight is streamed */

/* The flight's only extent, whose object is open, is read bit by bit. LSI_AHEAD_BEGUN, 0 without room, or
 * negative with w->error. */
int lsi_ahead_begin(struct lsi_worker *w, struct lsi_flight *f);
/* All of what is streamed has been asked for, so that it is time to begin more. What a worker took before
 * would lie there behind a long step, and no other one could have it. */
bool lsi_ahead_near_end(const struct lsi_worker *w);
/* All that the flight has is given back, but for what lsi_flight_end gives back. No operation of its is under
 * way. Nothing if it is not streamed. */
void lsi_ahead_end(struct lsi_worker *w, struct lsi_flight *f);
/* Makes operations while there is room, for all flights that are streamed. */
void lsi_ahead_issue(struct lsi_worker *w);
/* One has come back. The flight, if it was the last one of one whose step has ended. */
struct lsi_flight *lsi_ahead_landed(struct lsi_worker *w, struct lsi_eop *e);
/* 1: *data are the next bytes, *bytes of them or more (at least as many are left), until some are said to
 * have been used; *bytes: how many. 0: they have not come yet. Negative with w->error: they can't be had. */
int lsi_ahead_get(struct lsi_worker *w, struct lsi_flight *f, size_t *bytes, const char **data);
/* So many have been used, at most those that have come. */
void lsi_ahead_use(struct lsi_worker *w, struct lsi_flight *f, uint64_t bytes);
void lsi_aheads_clear(struct lsi_worker *w); /* what is kept for the next flights */

static inline uint64_t lsi_ahead_left(const struct lsi_flight *f) { return f->one.length - f->ahead->used; }
/* Bytes that may be asked for at a time. */
static inline uint64_t lsi_ahead_most(const struct lsi_flight *f) { return f->wave->plan->ahead / 2; }
/* Its next bytes are on their way. */
static inline bool lsi_ahead_waits(const struct lsi_flight *f) {
  const struct lsi_ahead *a = f->ahead;
  return a && a->n && !a->segments[a->first].landed;
}

#endif
