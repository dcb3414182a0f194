/* Threads that run operations which block, for one instance of a backend. All functions are called by
 * the instance's thread. */
#ifndef LSI_OP_POOL_H
#define LSI_OP_POOL_H

#include "seams/backend.h"

struct lsi_op_pool;

/* Threads for one of `workers` instances that share the machine. */
uint32_t lsi_op_pool_threads(uint32_t workers);
/* At most `threads` threads, started as they are needed. `work` does one operation, blocks, and leaves its
 * result in it; any thread. `bell` is rung (core/seams/os.h) when the first finished operation waits for
 * take; -1 = none. NULL: no memory. */
struct lsi_op_pool *lsi_op_pool_create(void (*work)(struct lsi_op *op), uint32_t threads, int bell);
/* Waits for what is being done; what is queued is dropped. */
void lsi_op_pool_destroy(struct lsi_op_pool *p);
/* Queues a list of n operations linked by op->next. Where no thread can be had, does them itself. */
void lsi_op_pool_put(struct lsi_op_pool *p, struct lsi_op *first, uint32_t n);
/* Up to max finished operations; waits for one as core/seams/backend.h says of reap. */
int lsi_op_pool_take(struct lsi_op_pool *p, struct lsi_op **done, int max, int64_t timeout_ns);
/* What no thread has begun finishes with LSIO_ERR_CANCELLED. */
void lsi_op_pool_cancel(struct lsi_op_pool *p);
/* Operations put and not taken. */
uint32_t lsi_op_pool_held(const struct lsi_op_pool *p);

#endif
