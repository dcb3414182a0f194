/* What all decoders stand on: room in the output, and how frames begin. */
#include <string.h>

#include "codec/codec_impl.h"

/* ---- room ---- */

int lsi_fail_limit(uint64_t size, uint64_t limit, bool pieces, struct lsi_error *err) {
  if (size)
    lsi_fail(err, LSIO_ERR_LIMIT, 0, "a chunk states that it decodes to %llu bytes, but %llu are allowed",
             (unsigned long long)size, (unsigned long long)limit);
  lsi_fail(err, LSIO_ERR_LIMIT, 0, "a chunk decodes to more than the %llu bytes allowed",
           (unsigned long long)limit); /* the first one counts */
  lsi_error_remedy(err, "raise `decoded` if it is set, else give the job more memory (--memory) or "
                        "fewer workers (--workers)%s",
                   pieces ? "" : ", or take such chunks in pieces (`piece`)");
  return LSIO_ERR_LIMIT;
}

int lsi_outbuf_need(struct lsi_outbuf *out, uint64_t more, bool doubling, struct lsi_error *err) {
  uint64_t need;
  if (lsi_add_overflow((uint64_t)out->length, more, &need)) need = UINT64_MAX;
  if (need > out->limit) return lsi_fail_limit(doubling ? 0 : need, out->limit, out->pieces, err);
  if (need <= out->capacity) return 0;
  if (!out->grow) {
    lsi_fail(err, LSIO_ERR_LIMIT, 0, "a chunk decodes to more than the %zu bytes of its buffer",
             out->capacity);
    return LSIO_ERR_LIMIT;
  }
  uint64_t twice = out->capacity > out->limit / 2 ? out->limit : 2 * (uint64_t)out->capacity;
  int rc = out->grow(out, (size_t)(doubling ? LSI_MAX(need, twice) : need));
  if (rc < 0)
    return lsi_fail(err, rc, 0, rc == LSIO_ERR_NOMEM ? "no memory to decode into"
                                                     : "no room to decode into");
  if (out->capacity < need) return lsi_fail(err, LSIO_ERR_BUG, 0, "a buffer did not grow");
  return 0;
}

static bool is_skippable(const uint8_t *src) { return (lsi_le32(src) & 0xFFFFFFF0u) == 0x184D2A50u; }

/* lz4 and zstd have the same skippable frames. If one stands at src, its whole length is returned;
 * 0 = none; -1 = one that is cut short. */
static int64_t skippable_frame(const uint8_t *src, size_t len) {
  if (len < 4 || !is_skippable(src)) return 0;
  if (len < 8) return -1;
  uint64_t whole = 8 + (uint64_t)lsi_le32(src + 4);
  return whole <= len ? (int64_t)whole : -1;
}

int lsi_fail_begin(const struct lsi_codec_ops *codec, struct lsi_error *err) {
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "a chunk does not begin with %s", codec->what);
}

int lsi_fail_dictionary(const struct lsi_codec_ops *codec, uint32_t id, struct lsi_error *err) {
  const bool may = codec->caps & LSI_CODEC_DICTIONARY;
  lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "%s needs the dictionary with ID %u, which %s", codec->what, id,
           may ? "the job has not been given" : "LSIO can't be given yet");
  if (may)
    lsi_error_remedy(err, "write dictionary = \"PATH\" beside codec = \"%s\"", codec->name);
  lsi_error_remedy(err, "decompress it with its dictionary (`%s -d -D FILE`) and write it again without "
                        "a dictionary", codec->name);
  return LSIO_ERR_UNSUPPORTED;
}

int lsi_next_frame(const struct lsi_codec_ops *codec, uint32_t magic, const uint8_t *begin,
                   const uint8_t **at, const uint8_t *end, struct lsi_error *err) {
  while (*at < end) {
    const size_t left = (size_t)(end - *at);
    const int64_t skip = skippable_frame(*at, left);
    if (skip < 0) return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "%s is cut short", codec->what);
    *at += skip;
    if (skip) continue;
    if (left >= 4 && lsi_le32(*at) == magic) return 1;
    return *at == begin ? lsi_fail_begin(codec, err)
                        : lsi_fail(err, LSIO_ERR_CORRUPT, 0, "bytes after %s are not another frame",
                                   codec->what);
  }
  return 0;
}

uint64_t lsi_frames_skipped(const uint8_t *src, size_t n) {
  uint64_t at = 0;
  while (at + 8 <= n && is_skippable(src + at)) at += 8 + (uint64_t)lsi_le32(src + at + 4);
  return at;
}

/* What is left of one that is skipped. */
static int skip_rest(struct lsi_piece_state *p, struct lsi_error *err) {
  while (p->skips) {
    const uint8_t *src;
    size_t n = 1;
    int rc = lsi_feed_get(p, &n, &src, err);
    if (rc) return rc;
    n = (size_t)LSI_MIN(p->skips, (uint64_t)n);
    p->skips -= n;
    lsi_feed_use(p, n);
  }
  return 0;
}

int lsi_feed_begins(const struct lsi_codec_ops *codec, uint32_t magic, const uint8_t *src, size_t n,
                    struct lsi_error *err) {
  if (skippable_frame(src, n)) return 0; /* however much of it is there */
  const uint8_t *at = src;
  const int rc = lsi_next_frame(codec, magic, src, &at, src + n, err);
  return LSI_MIN(rc, 0);
}

int lsi_feed_frame(struct lsi_piece_state *p, uint32_t magic, size_t head, const uint8_t **src, size_t *n,
                   struct lsi_error *err) {
  for (;;) {
    int rc = skip_rest(p, err);
    if (rc || !p->feed->left) return rc;
    *n = (size_t)LSI_MIN(p->feed->left, (uint64_t)LSI_MAX(head, (size_t)8));
    if ((rc = lsi_feed_get(p, n, src, err))) return rc;
    const uint64_t skips = *n >= 8 && is_skippable(*src) ? 8 + (uint64_t)lsi_le32(*src + 4) : 0;
    if (!skips || skips > p->feed->left) { /* as of a chunk that is all there */
      const uint8_t *at = *src;
      return lsi_next_frame(p->codec, magic, p->total || p->begin ? at - 1 : at, &at, *src + *n, err);
    }
    p->begin = *src; /* something has been before */
    p->skips = skips;
  }
}

unsigned lsi_frame_looks_like(uint32_t magic, const uint8_t *src, size_t n) {
  int64_t skip;
  for (; (skip = skippable_frame(src, n)) > 0; n -= (size_t)skip) src += skip;
  return skip == 0 && n >= 4 && lsi_le32(src) == magic ? 4 : 0;
}
