/* A chunk decoded while its bytes come bit by bit, for the targets of codecs: it must not matter to what has
 * been decoded whole. */
#ifndef LSI_FUZZ_FEED_H
#define LSI_FUZZ_FEED_H

#include "codec/codec.h"
#include "fuzz.h"
#include "ground/mem.h"

struct fuzz_source {
  struct lsi_feed feed;
  const uint8_t *bytes; /* that come next */
  uint64_t come;        /* of them */
  uint8_t *shown;       /* in memory of its own: a sanitizer sees what is read beside them */
  uint32_t cuts;
};

static inline uint32_t fuzz_cut(struct fuzz_source *s) {
  s->cuts = s->cuts * 1664525 + 1013904223;
  return 1 + (s->cuts >> 16) % (1u << (s->cuts >> 8) % 12);
}

static inline int fuzz_feed_get(void *ctx, size_t *n, const uint8_t **src, struct lsi_error *err) {
  struct fuzz_source *s = ctx;
  (void)err;
  FUZZ_CHECK(*n >= 1 && *n <= s->feed.left && *n <= s->feed.most);
  if (s->come < *n) {
    const uint64_t come = s->come + fuzz_cut(s);
    s->come = LSI_MIN(come, s->feed.left);
    return LSI_CODEC_LATER;
  }
  const uint64_t shown = *n + (uint64_t)fuzz_cut(s);
  *n = (size_t)LSI_MIN(s->come, shown);
  lsi_free(s->shown);
  s->shown = lsi_malloc(*n);
  FUZZ_CHECK(s->shown);
  memcpy(s->shown, s->bytes, *n);
  *src = s->shown;
  return 0;
}

static inline void fuzz_feed_use(void *ctx, size_t n) {
  struct fuzz_source *s = ctx;
  FUZZ_CHECK(n && n <= s->come);
  s->bytes += n;
  s->come -= n;
}

/* `whole`, `rc`: of lsi_decode(), within whole->limit. What is too much, or needs a dictionary, one may find
 * before the other finds damage; a window of zstd's that is less than what is used is damage only here; and see
 * fuzz_codec.c for the last literals of an lz4 block. */
static inline void fuzz_check_fed(struct lsi_decoder *decoder, enum lsi_codec codec, const uint8_t *src, size_t n,
                                  size_t piece, uint32_t cuts, const struct lsi_outbuf *whole, int rc) {
  struct fuzz_source s = {.bytes = src, .cuts = cuts};
  struct lsi_outbuf hot = {.limit = (size_t)64 << 20, .grow = whole->grow};
  s.feed = (struct lsi_feed){.left = n, .most = LSI_MAX(lsi_codecs[codec]->feed_most, (size_t)64 << cuts % 12),
                             .get = fuzz_feed_get, .use = fuzz_feed_use, .ctx = &s};
  size_t at = 0, length;
  const void *p;
  int got;
  do got = lsi_pieces_feed(decoder, codec, &s.feed, piece, whole->limit, &hot, NULL);
  while (got == LSI_CODEC_LATER);
  for (int more = 1; !got && more;) {
    more = lsi_pieces_next(decoder, &p, &length, NULL);
    if (more == LSI_CODEC_LATER) continue;
    if (more < 0) got = more;
    if (got) break;
    FUZZ_CHECK(more ? length == piece : length <= piece);
    FUZZ_CHECK(rc || (length <= whole->length - at && (!length || !memcmp(p, (char *)whole->data + at, length))));
    at += length;
  }
  lsi_free(s.shown);
  lsi_free(hot.data);
  const bool zstd = codec == LSI_CODEC_ZSTD, lz4 = codec == LSI_CODEC_LZ4;
  if (!rc && !got) FUZZ_CHECK(at == whole->length && !s.feed.left);
  if (!rc && got) FUZZ_CHECK(zstd && (got == LSIO_ERR_CORRUPT || got == LSIO_ERR_LIMIT));
  if (rc && !got) FUZZ_CHECK(lz4 && rc == LSIO_ERR_CORRUPT);
  if (rc && got && rc != got)
    FUZZ_CHECK(rc == LSIO_ERR_LIMIT || got == LSIO_ERR_LIMIT ||
               (zstd && (rc == LSIO_ERR_UNSUPPORTED || got == LSIO_ERR_UNSUPPORTED)));
}

#endif
