/* What is to happen at some time although nobody asks: a context's deadlines. One thread for all of them,
 * which begins with the first and sleeps until the next is due: without any, for ever. Thread-safe but for
 * create and destroy. */
#ifndef LSI_ALARMS_H
#define LSI_ALARMS_H

#include "ground/err.h"

/* Its owner's memory, zeroed; from lsi_alarms_set until lsi_alarms_drop has returned the alarms' own. */
struct lsi_alarm {
  uint64_t at_ns;
  /* Called when it is due, under no lock; short. Returns when to call it again; 0: no more, until it is set
   * anew, be that before this returns. With UINT64_MAX for now_ns it is the last time: returns 0. */
  uint64_t (*ring)(void *user, uint64_t now_ns);
  void *user;
  /* the alarms': */
  bool set, dropped;
  struct lsi_alarm *before, *next;
};

struct lsi_alarms;
struct lsi_alarms *lsi_alarms_create(void);        /* NULL: no memory */
/* Rings those that are set a last time. NULL is fine. */
void lsi_alarms_destroy(struct lsi_alarms *alarms);
/* Before the first lsi_alarms_set: LSIO_ERR_LIMIT, when the thread could not be started. */
int lsi_alarms_begin(struct lsi_alarms *alarms, struct lsi_error *err);
void lsi_alarms_set(struct lsi_alarms *alarms, struct lsi_alarm *alarm);
/* It does not ring any more. One that rings now is waited for, unless it is dropped by its own ring: then it
 * may be gone when that returns. */
void lsi_alarms_drop(struct lsi_alarms *alarms, struct lsi_alarm *alarm);
/* Rings what is due. When to look again; UINT64_MAX: nothing is set. What the thread does; for tests, of
 * alarms that have not begun. */
uint64_t lsi_alarms_look(struct lsi_alarms *alarms);

#endif
