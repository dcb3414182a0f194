/* A context's threads for what takes long by itself and is no worker's, as making an output durable: at most
 * LSI_HELPERS_MOST, each started when there is something to do and none is free, asleep while there is
 * not. Thread-safe but for create and destroy. */
#ifndef LSI_HELPERS_H
#define LSI_HELPERS_H

#include "ground/base.h"

#define LSI_HELPERS_MOST 4u
#define LSI_HELPERS_LOOK_NS 1000000

/* Something to do, once, called on a helper. Its owner's memory until then: when `run` returns it may be
 * gone, or another one. */
struct lsi_task {
  void (*run)(void *arg);
  void *arg;
  struct lsi_task *next;
};

struct lsi_helpers;
struct lsi_helpers *lsi_helpers_create(void);       /* NULL: no memory */
void lsi_helpers_destroy(struct lsi_helpers *h);    /* there are no tasks. NULL is fine */
uint32_t lsi_helpers_size(struct lsi_helpers *h);   /* threads */
/* Has a helper do it, in order of arrival. Where not even one thread can be started, it is done here. */
void lsi_helpers_do(struct lsi_helpers *h, struct lsi_task *t);
/* As lsi_helpers_do, of one that is claimed at once, as a rule: while the last ones were, no thread is woken
 * for it, but within LSI_HELPERS_LOOK_NS one looks whether it still waits. */
void lsi_helpers_offer(struct lsi_helpers *h, struct lsi_task *t);
bool lsi_helpers_are_behind(struct lsi_helpers *h); /* there are tasks that none has begun */
/* True: no helper has begun it, and none will; the caller is to do it. */
bool lsi_helpers_claim(struct lsi_helpers *h, struct lsi_task *t);

#endif
