/* Memory that has been touched once and is used again: a context keeps the big blocks of its jobs, since
 * new memory costs more than reading into it (about 0.45 s of CPU a GB). What is kept together with what
 * is lent out never exceeds the limit. Large blocks begin at 2 MiB and have whole 2 MiB. Thread-safe. */
#ifndef LSI_POOL_H
#define LSI_POOL_H

#include "ground/base.h"

struct lsi_pool;

struct lsi_pool *lsi_pool_create(void); /* NULL: no memory. Keeps nothing until a limit is set */
/* One more owner (an array that may outlive the context). */
void lsi_pool_hold(struct lsi_pool *p);
/* One owner less; with the last one the blocks go. NULL is fine. */
void lsi_pool_drop(struct lsi_pool *p);
/* Nothing is kept from now on. */
void lsi_pool_close(struct lsi_pool *p);
/* Bytes to be kept and lent at most; what is too much goes at once. */
void lsi_pool_limit(struct lsi_pool *p, uint64_t bytes);

/* A block of at least `bytes`, with whatever it held last. `counted`: it counts against the limit while
 * it is lent. NULL: no memory. p may be NULL: then it is new. */
void *lsi_pool_take(struct lsi_pool *p, size_t bytes, bool counted);
/* Back from take with the same `bytes` and `counted`; data may be NULL. */
void lsi_pool_give(struct lsi_pool *p, void *data, size_t bytes, bool counted);

#define LSI_POOL_SMALL ((size_t)64 << 10)
/* The same for blocks that may be small, of whole 64 KiB, counted. They begin at a page. */
void *lsi_pool_take_small(struct lsi_pool *p, size_t bytes);
void lsi_pool_give_small(struct lsi_pool *p, void *data, size_t bytes);

uint64_t lsi_pool_kept(struct lsi_pool *p); /* bytes */
uint64_t lsi_pool_lent(struct lsi_pool *p); /* bytes that count */
uint64_t lsi_pool_made(struct lsi_pool *p); /* blocks that were new, ever */

#endif
