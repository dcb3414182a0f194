/* What is kept of the steps of a run that fail: their count by kind, and the errors of the first of them. In
 * a job of millions all may fail. One owner at a time. */
#ifndef LSI_FAILURES_H
#define LSI_FAILURES_H

#include "ground/err.h"

#define LSI_ERRORS_KEPT 100
#define LSI_KINDS (LSIO_KIND_BUG + 1)

struct lsi_failed_kind {
  uint64_t n;
  uint64_t step;    /* the first one that has a remedy, of those that have been seen */
  bool differ;      /* others of the kind have another remedy */
  char remedy[256]; /* "" = none has one */
};

struct lsi_failures {
  uint64_t n;                                /* all */
  uint32_t n_kept;
  uint8_t order[LSI_ERRORS_KEPT];            /* before lsi_failures_sort: `kept` by their steps */
  struct lsi_failed_kind kinds[LSI_KINDS];   /* by LSIO_KIND_*; nothing before n > 0 */
  struct lsi_error *kept;                    /* room for LSI_ERRORS_KEPT; NULL: there are none */
};

/* Touches no more than what is to be zero: a run without failures pays for none. */
void lsi_failures_init(struct lsi_failures *f);
/* Frees what is kept. */
void lsi_failures_clear(struct lsi_failures *f);
/* A step has failed, e->step. Kept are those with the lowest steps, whichever come first; none, and they are
 * only counted, where there is no memory for that. */
void lsi_failures_add(struct lsi_failures *f, const struct lsi_error *e);
/* Once all of them have been added: `kept` is in the order of the steps. */
void lsi_failures_sort(struct lsi_failures *f);
/* Behind them: n more of *e's kind, none of which is kept by this. */
void lsi_failures_count(struct lsi_failures *f, const struct lsi_error *e, uint64_t n);
/* Place for one more behind those that are kept; NULL: they are enough, or there is no memory. */
struct lsi_error *lsi_failures_next(struct lsi_failures *f);

#endif
