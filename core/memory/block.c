#include "memory/block.h"

#include "ground/mem.h"
#include "seams/os.h"

#define RESULT_BYTES 256u /* of data, for which an entry is there: smaller ones fill the list first */
#define RESULTS_LEAST 16u

struct lsi_block *lsi_block_create(struct lsi_pool *pool, uint64_t room) {
  const uint64_t cap = LSI_MIN(LSI_MAX(room / RESULT_BYTES, RESULTS_LEAST), UINT32_MAX);
  const uint64_t list = lsi_round_up(cap * sizeof(struct lsio_result), LSI_BLOCK_ALIGN);
  uint64_t size = lsi_sat_add(lsi_sat_add(room, LSI_BLOCK_ALIGN), list);
  struct lsi_block *b = size <= SIZE_MAX ? lsi_malloc(sizeof *b) : NULL;
  if (!b) return NULL;
  *b = (struct lsi_block){.cap = (uint32_t)cap, .forks = lsi_os_forks, .pool = pool, .size = (size_t)size,
                          .room = room + LSI_BLOCK_ALIGN};
  atomic_init(&b->refs, 1);
  b->results = lsi_pool_take_small(pool, b->size);
  if (!b->results) {
    lsi_free(b);
    return NULL;
  }
  b->data = (char *)b->results + list;
  if (pool) lsi_pool_hold(pool);
  return b;
}

void lsi_block_hold(struct lsi_block *b) { atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed); }

void lsi_block_drop(struct lsi_block *b) {
  if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1) return;
  if (b->forks == lsi_os_forks) {
    lsi_pool_give_small(b->pool, b->results, b->size);
    lsi_pool_drop(b->pool);
  }
  lsi_free(b);
}

uint32_t lsi_block_add(struct lsi_block *b, struct lsio_result result) {
  result.begin = b->used;
  b->used = LSI_MIN(lsi_round_up(b->used + result.length, LSI_BLOCK_ALIGN), b->room);
  b->results[b->n] = result;
  return b->n++;
}
