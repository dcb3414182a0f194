/* Looks behind reads (held.h says why): around the steps of each unit, and when they are due. Inside of
 * the engine; one worker. */
#ifndef LSI_LOOKS_H
#define LSI_LOOKS_H

#include "engine/state/run.h"

/* Around lsi_steps_run, where w->stepper.looks. */
void lsi_looks_unit_begin(struct lsi_worker *w, const struct lsi_flight *f);
void lsi_looks_unit_end(struct lsi_worker *w);
/* After each step of the unit, counted: where results have waited long enough, looks and hands them out. */
void lsi_looks_step_end(struct lsi_worker *w);
/* What the steps of the running unit saw until now is what planning saw: 0, or negative with w->error.
 * For a step whose result does not wait: it is on its way to a file. */
int lsi_looks_now(struct lsi_worker *w);
/* A step of the unit has failed with w->error. True where its source has changed: that is why, w->error
 * then says so, and what ran before it has failed too. */
bool lsi_looks_step_failed(struct lsi_worker *w, const struct lsi_flight *f);
/* Looks at what is held and hands it out. Where something has changed, the run has failed. */
void lsi_looks_flush(struct lsi_worker *w);

#endif
