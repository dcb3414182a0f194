#include "engine/read/operation.h"

#include "ground/mem.h"

bool __attribute__((noinline)) lsi_ops_more(struct lsi_worker *w) {
  struct lsi_eops *all = &w->reader.eops;
  struct lsi_eop **blocks = lsi_reallocarray(all->blocks, all->n_blocks + 1u, sizeof *blocks);
  if (!blocks) return false;
  all->blocks = blocks;
  struct lsi_eop *block = lsi_calloc(LSI_OP_BLOCK, sizeof *block);
  if (!block) return false;
  all->blocks[all->n_blocks++] = block;
  for (int i = LSI_OP_BLOCK - 1; i >= 0; i--) {
    block[i].op.kind = LSI_OP_READ;
    block[i].op.owner = w;
    block[i].next_free = all->free;
    all->free = &block[i];
  }
  return true;
}

void lsi_ops_clear(struct lsi_eops *all) {
  for (uint32_t i = 0; i < all->n_blocks; i++) lsi_free(all->blocks[i]);
  lsi_free(all->blocks);
  *all = (struct lsi_eops){0};
}
