/* Arrays that LSIO makes for results: page-aligned memory on huge pages, whose addresses are reserved
 * at once and whose pages come as they are written. Thread-safe: an array may outlive its job and its
 * context and be freed by any thread. */
#ifndef LSI_ARRAY_H
#define LSI_ARRAY_H

#include "memory/pool.h"

struct lsi_array {
  void *data;
  uint64_t bytes; /* more than 0 */
  struct lsi_pool *pool; /* it goes back there */
  uint32_t forks;        /* lsi_os_forks when it was made */
};

/* NULL: no memory, or no addresses. */
struct lsi_array *lsi_array_create(struct lsi_pool *pool, uint64_t bytes);
/* Nothing of LSIO writes there any more: a child of fork may have it too. */
void lsi_array_settle(struct lsi_array *a);
/* In a child of fork only the child's copy goes. NULL is fine. */
void lsi_array_free(struct lsi_array *a);
/* The same, but for the memory, which the kernel may still write to: it is lost. */
void lsi_array_give_up(struct lsi_array *a);

#endif
