/* Chunks that are not compressed. */
#include "codec/codec_impl.h"

static int decode(struct lsi_decoder *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                  struct lsi_error *err) {
  (void)d;
  int rc = lsi_outbuf_need(out, len, false, err);
  if (rc) return rc;
  memcpy(out->data, src, len);
  out->length = len;
  return 0;
}

static int begin(struct lsi_decoder *d, struct lsi_error *err) {
  const struct lsi_piece_state *p = &d->pieces;
  const uint64_t size = (uint64_t)(p->end - p->begin);
  if (lsi_pieces_short(p, size)) return 0;
  const int rc = lsi_pieces_expect(p, size, err);
  return rc ? rc : 1;
}

static size_t bound(size_t len) { return len; }

static int64_t encode(int level, const void *src, size_t len, void *dst, size_t cap) {
  (void)level;
  if (len > cap) return LSIO_ERR_LIMIT;
  if (len) memcpy(dst, src, len);
  return (int64_t)len;
}

const struct lsi_codec_ops lsi_codec_none = {
    .name = "none",
    .what = "bytes",
    .caps = LSI_CODEC_EMPTY,
    .decode = decode,
    .begin = begin,
    .bound = bound,
    .encode = encode,
};
