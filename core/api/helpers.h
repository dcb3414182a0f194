/* A context's threads for what takes long by itself and is no worker's, as making an output durable: at most
 * LSI_HELPERS_MOST, each started when there is something to do and none is free, asleep while there is
 * not. Thread-safe but for create and destroy. */
#ifndef LSI_HELPERS_H
#define LSI_HELPERS_H

#include "ground/base.h"

#define LSI_HELPERS_MOST 4u

/* Something to do, once; its owner's memory until it has ended. `run` is called on a helper; then, under the
 * mutex of all helpers, `tell`, which only tells. With `goes` it may be gone, or another one, when `run` has
 * returned: then nobody is told. */
struct lsi_task {
  void (*run)(void *arg);
  void (*tell)(void *arg);
  void *arg;
  struct lsi_task *next;
  bool goes;
  bool ended;
};

struct lsi_helpers;
struct lsi_helpers *lsi_helpers_create(void);       /* NULL: no memory */
void lsi_helpers_destroy(struct lsi_helpers *h);    /* all tasks have ended. NULL is fine */
uint32_t lsi_helpers_size(struct lsi_helpers *h);   /* threads */
/* Has a helper do it, in order of arrival. Where not even one thread can be started, it is done here. */
void lsi_helpers_do(struct lsi_helpers *h, struct lsi_task *t);
bool lsi_helpers_are_behind(struct lsi_helpers *h); /* there are tasks that none has begun */
/* True: no helper has begun it, and none will; the caller is to do it: t->run, and what `tell` does. */
bool lsi_helpers_claim(struct lsi_helpers *h, struct lsi_task *t);
/* Waits so long (-1: without limit) for its end. False: it goes on. */
bool lsi_helpers_wait(struct lsi_helpers *h, struct lsi_task *t, int64_t timeout_ns);

#endif
