#include "blosc_order.h"

#include <stdlib.h>
#include <string.h>

#include "codec/codec_impl.h"
#include "ground/mem.h"

static void put32(uint8_t *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

void blosc_disorder(uint8_t *frame, uint32_t far, uint32_t (*draw)(void *ctx, uint32_t n), void *ctx) {
  const uint32_t nbytes = lsi_le32(frame + 4), block = lsi_le32(frame + 8), length = lsi_le32(frame + 12);
  if (frame[2] & 2 || !nbytes) return; /* it is stored: there are no blocks */
  const uint32_t blocks = nbytes / block + (nbytes % block != 0);
  uint8_t *old = lsi_malloc(length);
  uint32_t *order = lsi_calloc(blocks, sizeof *order), at = 16 + 4 * blocks;
  if (!old || !order) abort();
  memcpy(old, frame, length);
  for (uint32_t i = 0; i < blocks; i++) order[i] = i;
  for (uint32_t i = 0; i < blocks; i++) {
    const uint32_t k = i + draw(ctx, LSI_MIN(far, blocks - i)), held = order[i];
    order[i] = order[k];
    order[k] = held;
  }
  for (uint32_t i = 0; i < blocks; i++) {
    const uint32_t begin = lsi_le32(old + 16 + 4 * order[i]);
    const uint32_t end = order[i] + 1 < blocks ? lsi_le32(old + 16 + 4 * (order[i] + 1)) : length;
    put32(frame + 16 + 4 * order[i], at);
    memcpy(frame + at, old + begin, end - begin);
    at += end - begin;
  }
  if (at != length) abort();
  lsi_free(order);
  lsi_free(old);
}
