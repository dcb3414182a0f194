/* Which decoder or encoder takes a chunk. */
#include "codec/codec.h"

#include <string.h>

#include "codec/codec_impl.h"
#include "ground/mem.h"

/* ---- decoding ---- */

struct lsi_decoder *lsi_decoder_create(void) { return lsi_calloc(1, sizeof(struct lsi_decoder)); }

void lsi_decoder_destroy(struct lsi_decoder *d) {
  if (!d) return;
  lsi_zstd_free(d);
  lsi_free(d->copy);
  lsi_free(d);
}

static int decode_none(const uint8_t *src, size_t len, struct lsi_outbuf *out,
                       struct lsi_error *err) {
  int rc = lsi_outbuf_need(out, len, false, err);
  if (rc) return rc;
  memcpy(out->data, src, len);
  out->length = len;
  return 0;
}

/* A chunk of 0 bytes. `zstd -t` calls such a file one that ends too early, `lz4 -t` takes it. */
static int decode_empty(enum lsi_codec codec, struct lsi_error *err) {
  if (codec == LSI_CODEC_NONE || codec == LSI_CODEC_LZ4) return 0;
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "an empty chunk holds no %s",
                  codec == LSI_CODEC_LZ4_BLOCK ? "lz4 block"
                  : codec == LSI_CODEC_ZSTD    ? "zstd frame"
                                               : "blosc frame");
}

int lsi_decode(struct lsi_decoder *d, enum lsi_codec codec, const void *src, size_t src_len,
               struct lsi_outbuf *out, struct lsi_error *err) {
  out->length = 0;
  if (!src_len) return decode_empty(codec, err);
  int rc;
  switch (codec) {
  case LSI_CODEC_NONE: rc = decode_none(src, src_len, out, err); break;
  case LSI_CODEC_LZ4: rc = lsi_lz4_decode(src, src_len, out, err); break;
  case LSI_CODEC_LZ4_BLOCK: rc = lsi_lz4_block_decode(src, src_len, out, err); break;
  case LSI_CODEC_ZSTD: rc = lsi_zstd_decode(d, src, src_len, out, err); break;
  case LSI_CODEC_BLOSC: rc = lsi_blosc_decode(d, src, src_len, out, err); break;
  default: rc = lsi_fail(err, LSIO_ERR_BUG, 0, "unknown codec %d", (int)codec); break;
  }
  if (rc) out->length = 0;
  return rc;
}

int64_t lsi_decode_once(int codec, const void *src, size_t src_len, void *dst, size_t cap) {
  struct lsi_decoder d = {.zstd = NULL};
  struct lsi_outbuf out = {.data = dst, .capacity = cap, .limit = cap};
  int rc = lsi_decode(&d, (enum lsi_codec)codec, src, src_len, &out, NULL);
  lsi_zstd_free(&d);
  lsi_free(d.copy);
  return rc ? rc : (int64_t)out.length;
}

/* ---- encoding ---- */

size_t lsi_encode_bound(enum lsi_codec codec, size_t src_len) {
  if (src_len > SIZE_MAX / 4) return 0;
  switch (codec) {
  case LSI_CODEC_NONE: return src_len;
  case LSI_CODEC_ZSTD: return lsi_zstd_bound(src_len);
  case LSI_CODEC_BLOSC: return lsi_blosc_bound(src_len);
  default: return lsi_lz4_bound(src_len, codec == LSI_CODEC_LZ4);
  }
}

int64_t lsi_encode(enum lsi_codec codec, int level, const void *src, size_t src_len, void *dst,
                   size_t cap) {
  switch (codec) {
  case LSI_CODEC_NONE:
    if (src_len > cap) return LSIO_ERR_LIMIT;
    if (src_len) memcpy(dst, src, src_len);
    return (int64_t)src_len;
  case LSI_CODEC_ZSTD: return lsi_zstd_encode(level, src, src_len, dst, cap);
  case LSI_CODEC_BLOSC: return lsi_blosc_encode(level, src, src_len, dst, cap);
  default: return lsi_lz4_encode(codec == LSI_CODEC_LZ4, level, src, src_len, dst, cap);
  }
}
