/* One machine for what a worker finds out by trying: settle, try, keep. It is pure: how far the work
 * has come (`at`, bytes or ns), what was done (`units`) and what that took (`cost`) are the caller's
 * to say; all of them only grow. The caller uses `now` and, where lsi_trial_due(), says by
 * lsi_trial_step() how things stand. */
#ifndef LSI_TRIAL_H
#define LSI_TRIAL_H

#include "ground/base.h"

enum lsi_trial_kind {
  /* Two ways, 0 and 1, by turns: the one not in use first. A comparison holds the worker's token from
   * its start to its verdict, so that no two disturb each other. */
  LSI_TRIAL_TURNS,
  LSI_TRIAL_WATCH,  /* one way is looked at once; `now` is 1 if a unit costs less than `worth` */
  LSI_TRIAL_LADDER, /* the next rung as long as that pays, else the one before, for good */
};

struct lsi_trial_rules {
  enum lsi_trial_kind kind;
  double worth;       /* way 1, or the next rung, if a unit costs less than so much of the other's */
  uint64_t settle;    /* of `at`, after a change: what began before it does not count */
  uint64_t span;      /* of `at`, that a trial lasts */
  /* of two ways only: */
  uint32_t trials;    /* of a comparison, both ways together */
  bool least;         /* of each way the cheapest trial counts (more is other people's doing), else all */
  uint64_t patience;  /* of `at`, for which another comparison's end is waited for */
  uint64_t keep;      /* of `at`, that a verdict holds, twice as long each time it stays the same, and a
                       * quarter where another subject begins; 0: for good */
  uint64_t keep_most; /* the longest that it may have become */
};

/* How things stand. */
struct lsi_trial_seen {
  uint64_t at, units, cost;
  uint32_t subject; /* what is worked on, if a verdict may differ by that */
};

struct lsi_trial_figures {
  double units, cost;
};

struct lsi_trial {
  const struct lsi_trial_rules *rules;
  uint32_t now;         /* to be used: the way, or the rung */
  uint32_t verdict;     /* of the last comparison, or as pinned */
  uint32_t comparisons; /* that came to a verdict; on a ladder: rungs that were judged */
  uint8_t state;
  bool pinned;
  uint32_t left;        /* trials of the comparison */
  uint32_t subject;     /* of the verdict */
  uint64_t next;        /* the `at` from which there is something to do; UINT64_MAX: never more */
  uint64_t next_other;  /* the same where the subject is another one */
  uint64_t give_up;     /* the `at` up to which the token is waited for; 0: it is not */
  uint64_t keep;        /* for so long the last verdict holds */
  uint64_t from_units;  /* where the trial in hand began */
  uint64_t from_cost;
  /* Of the ways, as far as they have come; on a ladder of the last two rungs that were judged. */
  struct lsi_trial_figures of[2];
  struct lsi_trial_figures kept[2]; /* what the verdict was made of */
};

/* All that a look costs where there is nothing to do. */
static inline bool lsi_trial_due(const struct lsi_trial *t, uint64_t at) {
  return LSI_UNLIKELY(at >= t->next);
}
static inline bool lsi_trial_due_on(const struct lsi_trial *t, uint64_t at, uint32_t subject) {
  return LSI_UNLIKELY(at >= t->next || (at >= t->next_other && subject != t->subject));
}
/* What `now` says it will say for good. */
static inline bool lsi_trial_over(const struct lsi_trial *t) { return t->next == UINT64_MAX; }

/* Way or rung 0 is used, and nothing tried before `at`. `rules`: borrowed. What was pinned stays so. */
void lsi_trial_init(struct lsi_trial *t, const struct lsi_trial_rules *rules, uint64_t at);
/* The same, but `now` is what somebody else found lately: it is used, and not compared, up to `at`. */
void lsi_trial_adopt(struct lsi_trial *t, uint32_t now, uint64_t at);
/* There is no choice: `now` is used, nothing is tried or told. */
void lsi_trial_fix(struct lsi_trial *t, uint32_t now);
/* Somebody else has chosen: the same, but it is told. */
void lsi_trial_pin(struct lsi_trial *t, uint32_t now);
/* There is no rung above this one. */
void lsi_trial_top(struct lsi_trial *t);
/* To be called when something is due: goes on by a state, which may change `now`. `*busy` is the
 * worker's token: whose comparison is under way, or NULL. */
void lsi_trial_step(struct lsi_trial *t, const struct lsi_trial **busy, struct lsi_trial_seen seen);

/* Is there a verdict to tell of, or about to be one? */
static inline bool lsi_trial_tried(const struct lsi_trial *t) {
  return t->pinned || t->comparisons || t->state;
}
/* What a unit took by way i, at the last verdict or, before the first one, so far; NAN: not known. */
double lsi_trial_unit_cost(const struct lsi_trial *t, unsigned i);

#endif
