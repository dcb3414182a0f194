/* A thread of a crew, its workers and whose turn it is (member.c). Of the thread itself but for mail and what
 * is asked of it. Inside of the crew. */
#ifndef LSI_MEMBER_H
#define LSI_MEMBER_H

#include "engine/loop/crew.h"
#include "ground/spin.h"

#define LSI_MEMBER_KINDS 4u /* short or long, normal or in the background */

struct lsi_member {
  struct lsi_home home; /* first: a worker knows its member by that */
  struct lsi_thread *thread;
  bool pinned;
  struct lsi_worker *workers; /* in the order in which they came */
  uint32_t n_of[LSI_MEMBER_KINDS]; /* of them */
  bool contested;             /* in this turn normal ones and some in the background can do something */
  int64_t owed;               /* bytes that the former began in such turns, less 16 times the latter's */
  struct lsi_member_queue {
    struct lsi_worker *first, **end;
  } waiting[LSI_MEMBER_KINDS]; /* for room among those of their kind */
  atomic_uint load;           /* workers, with those that wait to be taken up */
  atomic_uint_fast64_t bytes_read;
  struct lsi_spin spin;       /* for mail */
  struct lsi_mutex *mutex;
  struct lsi_cond *cond;
  /* under the mutex */
  struct lsi_worker *mail, **mail_end;
  struct lsi_crew_task *tasks; /* at most one, of a thread without workers, as a rule */
  bool leaves, trims;
  const struct lsi_run *used; /* under the crew's mutex: the run that is being taken up has it */
};

/* What its thread does, until it is told to leave. */
void lsi_member_work(void *member);
/* One turn of one of its workers, which waits at most most_ns if it is the only one. */
enum lsi_crew_turn lsi_member_step(struct lsi_member *m, int64_t most_ns);
/* Gives back what none of its workers uses. Under its mutex. */
void lsi_member_trim(struct lsi_member *m);
/* Any thread: a worker that has got its home for a new one to take up. */
void lsi_member_post(struct lsi_worker *w);
void lsi_member_ask(struct lsi_member *m, struct lsi_crew_task *t);

#endif
