/* The threads of a context (crew.c): made when a run first needs them, kept until the crew ends, asleep
 * while there is nothing to do. Each works for many runs at once, in turn by bytes. Inside of the engine;
 * thread-safe but for lsi_crew_destroy. */
#ifndef LSI_CREW_H
#define LSI_CREW_H

#include "engine/state/run.h"

/* Has the run's workers taken up by as many threads, those with the least to do. On failure nothing of it
 * runs: LSIO_ERR_LIMIT, when a thread could not be started. */
int lsi_crew_take_up(struct lsi_crew *c, struct lsi_run *run, struct lsi_error *err);

/* For tests, of a crew that was made `by_hand`: thread i takes one turn, of one of its
 * workers, and waits for nothing. LSI_CREW_WAITS: none can do anything before something in flight comes back,
 * or for *wait_ns. LSI_CREW_FREE: it has none. */
enum lsi_crew_turn { LSI_CREW_WENT, LSI_CREW_WAITS, LSI_CREW_FREE };
enum lsi_crew_turn lsi_crew_turn(struct lsi_crew *c, uint32_t i, uint64_t *wait_ns);

#endif
