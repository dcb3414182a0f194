/* What the files of the codecs share; nothing outside core/codec*.c includes it. */
#ifndef LSI_CODEC_IMPL_H
#define LSI_CODEC_IMPL_H

#include <string.h>

#include "codec.h"

struct lsi_decoder {
  void *zstd; /* ZSTD_DCtx, made when first needed */
};

static inline uint32_t lsi_le32(const void *p) {
  const uint8_t *b = p;
  return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}
static inline uint64_t lsi_le64(const void *p) {
  return lsi_le32(p) | (uint64_t)lsi_le32((const uint8_t *)p + 4) << 32;
}

/* Bytes that may be written at out->data + out->length. */
static inline size_t lsi_outbuf_room(const struct lsi_outbuf *out) {
  return LSI_MIN(out->capacity, out->limit) - out->length;
}

/* Makes room for `more` bytes behind out->length. With `doubling`, for at least twice what was there,
 * so that many small steps cost few calls. LSIO_ERR_LIMIT when the limit forbids it. */
int lsi_outbuf_need(struct lsi_outbuf *out, uint64_t more, bool doubling, struct lsi_error *err);
int lsi_fail_limit(const struct lsi_outbuf *out, struct lsi_error *err);

/* Both formats have the same skippable frames. If one stands at src, its whole length is returned;
 * 0 = none; -1 = one that is cut short. */
int64_t lsi_skippable_frame(const uint8_t *src, size_t len);

int lsi_lz4_decode(const uint8_t *src, size_t len, struct lsi_outbuf *out, struct lsi_error *err);
int lsi_lz4_block_decode(const uint8_t *src, size_t len, struct lsi_outbuf *out,
                         struct lsi_error *err);
int lsi_zstd_decode(struct lsi_decoder *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                    struct lsi_error *err);
void lsi_zstd_free(struct lsi_decoder *d);

/* A frame of blosc whose header has been checked. */
struct lsi_blosc {
  const uint8_t *src;
  size_t length;         /* stored bytes */
  uint32_t nbytes;       /* decoded bytes; the rest is set if there are any */
  uint32_t block;        /* decoded bytes of a block; the last one may be shorter */
  uint32_t blocks;
  uint32_t splits;       /* parts of a block, each compressed by itself */
  uint8_t version, flags, type;
};
int lsi_blosc_open(const uint8_t *src, size_t len, struct lsi_blosc *b, struct lsi_error *err);
int lsi_blosc_decode(const uint8_t *src, size_t len, struct lsi_outbuf *out, struct lsi_error *err);

size_t lsi_lz4_bound(size_t len, bool frame);
int64_t lsi_lz4_encode(bool frame, int level, const void *src, size_t len, void *dst, size_t cap);
size_t lsi_zstd_bound(size_t len);
int64_t lsi_zstd_encode(int level, const void *src, size_t len, void *dst, size_t cap);
size_t lsi_blosc_bound(size_t len);
int64_t lsi_blosc_encode(int level, const void *src, size_t len, void *dst, size_t cap);

/* XXH32, the checksum of lz4 frames, seed 0. */
struct lsi_xxh32 {
  uint32_t v[4];
  uint64_t length;
  uint32_t held;     /* bytes in hold */
  uint8_t hold[16];
};
void lsi_xxh32_begin(struct lsi_xxh32 *x);
void lsi_xxh32_add(struct lsi_xxh32 *x, const void *p, size_t n);
uint32_t lsi_xxh32_end(const struct lsi_xxh32 *x);
uint32_t lsi_xxh32(const void *p, size_t n);

#endif
