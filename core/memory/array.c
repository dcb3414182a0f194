#include "memory/array.h"

#include "ground/mem.h"
#include "seams/os.h"

struct lsi_array *lsi_array_create(struct lsi_pool *pool, uint64_t bytes) {
  if (bytes > SIZE_MAX) return NULL;
  struct lsi_array *a = lsi_malloc(sizeof *a);
  if (!a) return NULL;
  *a = (struct lsi_array){lsi_pool_take(pool, (size_t)bytes, false), bytes, pool, lsi_os_forks};
  if (!a->data) {
    lsi_free(a);
    return NULL;
  }
  lsi_pool_hold(pool);
  return a;
}

void lsi_array_settle(struct lsi_array *a) { lsi_os_inherit(a->data, (size_t)a->bytes, true); }

void lsi_array_give_up(struct lsi_array *a) {
  if (!a) return;
  lsi_pool_drop(a->pool);
  lsi_free(a);
}

void lsi_array_free(struct lsi_array *a) {
  if (!a) return;
  if (a->forks != lsi_os_forks) { /* its pages are here, and its pool's locks are not to be had */
    lsi_os_unmap(a->data, (size_t)a->bytes);
    lsi_free(a);
    return;
  }
  lsi_os_inherit(a->data, (size_t)a->bytes, false);
  lsi_pool_give(a->pool, a->data, (size_t)a->bytes, false);
  lsi_array_give_up(a);
}
