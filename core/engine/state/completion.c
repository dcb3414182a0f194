/* Results and failures on their way to who polls. */
#include "engine/state/engine.h"
#include "ground/mem.h"
#include "memory/block.h"

void lsi_run_free_completion(struct lsi_run_completion *c) {
  lsi_block_drop(c->block);
  lsi_free(c->error);
  lsi_free(c);
}

void lsi_run_free_completions(struct lsi_run_completion *list) {
  while (list) {
    struct lsi_run_completion *next = list->next;
    lsi_run_free_completion(list);
    list = next;
  }
}
