#include "memory/buffer.h"

#include <string.h>

#include "ground/base.h"
#include "memory/pool.h"
#include "seams/backend.h"

bool lsi_buffer_fit(struct lsi_buffer *b, size_t bytes, size_t keep) {
  if (bytes <= b->capacity) return true;
  size_t capacity = lsi_round_up(LSI_MAX(bytes, (size_t)64 << 10), LSI_ALIGN);
  void *data = lsi_pool_take(b->pool, capacity, true);
  if (!data) return false;
  if (keep) memcpy(data, b->data, keep);
  lsi_pool_give(b->pool, b->data, b->capacity, true);
  b->data = data;
  b->capacity = capacity;
  return true;
}

void lsi_buffer_clear(struct lsi_buffer *b) {
  lsi_pool_give(b->pool, b->data, b->capacity, true);
  b->data = NULL;
  b->capacity = 0;
}
