/* When the consumer of a queue is woken: at once after it has been left alone for LSI_WAKE_NS; else, while
 * enough of its jobs go on, not more often than that. Of the queue, under its mutex. */
#ifndef LSI_WAKES_H
#define LSI_WAKES_H

#include "ground/base.h"

#define LSI_WAKE_NS 200000u
#define LSI_WAKE_JOBS 64u   /* with something to tell are enough at any time */
#define LSI_WAKE_RUNNING 8u /* keep a worker busy, though small, until who is woken has brought more */

struct lsi_wakes {
  uint32_t enough;   /* running jobs, for all workers */
  uint32_t running;  /* the queue's jobs that have not told their end */
  uint64_t woken_ns; /* the last time */
  bool held;         /* there is something to take, for which nobody has been woken */
  bool minded;       /* an alarm is set that will see to that */
  bool never;        /* none can be set: nothing is held */
};

/* `ready` jobs have something to tell, at last one that was submitted at since_ns: is the consumer to be left
 * alone for now? */
bool lsi_wakes_holds(const struct lsi_wakes *w, uint32_t ready, uint64_t since_ns, uint64_t now_ns);
/* What is held has been so for long enough. */
bool lsi_wakes_due(const struct lsi_wakes *w, uint64_t now_ns);
/* When the alarm is to look again; 0: it is not needed until something is held. */
uint64_t lsi_wakes_look(const struct lsi_wakes *w, uint64_t now_ns);

#endif
