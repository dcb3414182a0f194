/* Chunks of blosc that are all there: whole, and by pieces; frames and blocks: codec_blosc_frame.c. */
#include <blosc.h>

#include "codec/codec_blosc.h"

static int begins(const uint8_t *src, size_t len, struct lsi_error *err) {
  return len < 1 || src[0] != BLOSC_VERSION_FORMAT ? lsi_fail_begin(&lsi_codec_blosc, err) : 0;
}

static int open_frame(const uint8_t *src, size_t len, struct lsi_blosc *b, struct lsi_error *err) {
  int rc = begins(src, len, err);
  if (rc || (rc = lsi_blosc_open(src, len, b, err))) return rc;
  return lsi_blosc_zeros(src + b->length, len - b->length) ? 0 : lsi_blosc_fail_behind(err);
}

static int decode(struct lsi_decoder *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                  struct lsi_error *err) {
  struct lsi_blosc b;
  int rc = open_frame(src, len, &b, err);
  if (rc || !b.nbytes) return rc;
  if ((rc = lsi_outbuf_need(out, b.nbytes, false, err)) || (rc = lsi_blosc_check_blocks(&b, err))) return rc;
  out->length = b.nbytes;
  return lsi_blosc_decode_all(d, &b, out->data, err);
}

/* ---- by pieces ---- */

static uint32_t group_of(const struct lsi_blosc *b, size_t size) {
  return (uint32_t)LSI_MAX(LSI_MIN(size / b->block, (size_t)b->blocks), (size_t)1);
}

static int fill(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  const uint32_t n = LSI_MIN(p->group, p->blosc.blocks - p->block);
  size_t got;
  int rc = lsi_pieces_room(p, err);
  if (rc) return rc;
  char *dst = (char *)p->out->data + p->out->length;
  rc = lsi_blosc_decode(d, &p->blosc, p->block, n, dst, &got, err);
  if (rc) return rc;
  p->out->length += got;
  p->block += n;
  p->ended = p->block == p->blosc.blocks;
  return 0;
}

static int begin(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  int rc = open_frame(p->begin, (size_t)(p->end - p->begin), &p->blosc, err);
  if (rc || !p->blosc.nbytes) return rc;
  struct lsi_outlook o = {.known = true, .content = p->blosc.nbytes,
                      .single = p->blosc.blocks < 2 || lsi_pieces_short(p, p->blosc.nbytes)};
  p->group = group_of(&p->blosc, p->size);
  const size_t unit = (size_t)p->group * p->blosc.block;
  const uint64_t inside = lsi_blosc_memory(&p->blosc, p->group);
  o.memory = lsi_pieces_memory(p, unit, 0, inside);
  rc = lsi_pieces_choose(p, &o, err);
  if (rc <= 0 || (rc = lsi_pieces_expect(p, p->blosc.nbytes, err)) ||
      (rc = lsi_blosc_check_blocks(&p->blosc, err)) || (rc = lsi_pieces_take(p, unit, 0, inside, err)))
    return rc;
  return 1;
}

static int feed_begin(struct lsi_decoder *d, const uint8_t *src, size_t n, struct lsi_error *err) {
  (void)d;
  return begins(src, n, err);
}

/* ---- encoding ---- */

static size_t bound(size_t len) {
  return len <= BLOSC_MAX_BUFFERSIZE ? len + BLOSC_MAX_OVERHEAD : 0;
}

static int64_t encode(int level, const void *src, size_t len, void *dst, size_t cap) {
  if (len > BLOSC_MAX_BUFFERSIZE) return LSIO_ERR_LIMIT;
  const int got = blosc_compress_ctx(level ? level : 5, BLOSC_SHUFFLE, 4, len, src, dst, cap,
                                     BLOSC_LZ4_COMPNAME, 0, 1);
  return got > 0 ? got : LSIO_ERR_LIMIT;
}

/* ---- the row ---- */

static unsigned looks_like(const uint8_t *src, size_t n) {
  return n >= 2 && src[0] == BLOSC_VERSION_FORMAT && src[1] == 1 ? 2 : 0;
}

/* Where its library decodes a frame of one block, that takes two of them of memory. */
const struct lsi_codec_ops lsi_codec_blosc = {
    .name = "blosc",
    .what = "a blosc frame",
    .overhead = 2,
    .rate = 2.4e9, /* blosc 1.21 with lz4 and shuffle on a Xeon */
    .decode = decode,
    .begin = begin,
    .fill = fill,
    .feed_begin = feed_begin,
    .feed = lsi_blosc_feed,
    .looks_like = looks_like,
    .free = lsi_blosc_feed_free,
    .bound = bound,
    .encode = encode,
};
