/* What becomes of a run: the error that ended it, those of its steps, and completions on their way to who
 * takes them. All of it may be called by any worker. */
#ifndef LSI_OUTCOME_H
#define LSI_OUTCOME_H

#include <stdatomic.h>

#include "ground/err.h"
#include "job/failures.h"

struct lsi_run;
struct lsi_run_completion;
struct lsi_wave;
struct lsi_worker;

#define LSI_QUEUED_BYTES_MAX ((uint64_t)16 << 20) /* of results that nobody takes */

/* Under the run's mutex. */
struct lsi_outcome {
  struct lsi_error error;            /* that ended the run; code 0: none */
  struct lsi_failures *failures;     /* of steps */
  struct lsi_run_completion *first;  /* waiting to be taken */
  struct lsi_run_completion *last;
  atomic_uint_fast64_t queued_bytes; /* that they take; read without the mutex */
  atomic_uint_fast64_t told_steps, told_bytes; /* ever, with results that wait or have been taken */
  atomic_bool expired;               /* its deadline has passed before all workers had ended */
  char at_deadline[768];             /* how far it was then, and what each worker was doing */
};

/* Ends the run; the first error wins. */
void lsi_run_fail(struct lsi_run *run, const struct lsi_error *e);
/* The same with w->error, which is clear then. */
void lsi_worker_fail(struct lsi_worker *w);
/* Puts a list of completions behind those that wait; handed over. Without `wake` lsi_run_worker_ended
 * follows, which wakes who waits for them. */
void lsi_run_complete(struct lsi_run *run, struct lsi_run_completion *list, bool wake);
/* A worker of the run has given back what it held; so many others never began, and never will. */
void lsi_run_worker_ended(struct lsi_run *run, uint32_t withdrawn);
void lsi_worker_never_began(struct lsi_worker *w);
/* All of them, of a run that could not begin. */
void lsi_run_never_began(struct lsi_run *run);
/* Counts a step of the wave that has failed and reports it. */
void lsi_run_step_failed(struct lsi_worker *w, const struct lsi_wave *wave, uint32_t step,
                         const struct lsi_error *e);

#endif
