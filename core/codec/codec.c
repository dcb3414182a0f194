/* Which decoder or encoder takes a chunk, and what a chunk is that its codec can't decode. */
#include "codec/codec.h"

#include <string.h>

#include "codec/codec_impl.h"
#include "ground/mem.h"

/* ---- the table ---- */

#define ROW(id, name) [LSI_CODEC_##id] = &lsi_codec_##name,
const struct lsi_codec_ops *const lsi_codecs[LSI_CODECS] = {LSI_CODEC_LIST(ROW)};
#undef ROW

bool lsi_codec_parse(const char *name, enum lsi_codec *out) {
  for (size_t i = 0; i < LSI_CODECS; i++) {
    if (strcmp(name, lsi_codecs[i]->name)) continue;
    *out = (enum lsi_codec)i;
    return true;
  }
  return false;
}

const char *lsi_codec_name(enum lsi_codec codec) {
  return (size_t)codec < LSI_CODECS ? lsi_codecs[codec]->name : "?";
}

/* ---- which one it is ---- */

enum lsi_codec lsi_codec_find(const void *src, size_t n) {
  for (size_t i = 0; i < LSI_CODECS; i++)
    if (lsi_codecs[i]->looks_like && lsi_codecs[i]->looks_like(src, n) >= 3) return (enum lsi_codec)i;
  return LSI_CODEC_NONE;
}

static enum lsi_codec codec_of(enum lsi_codec codec, const void *src, size_t n) {
  return LSI_UNLIKELY(lsi_codecs[codec]->caps & LSI_CODEC_FOUND) ? lsi_codec_find(src, n) : codec;
}

static int decode_auto(struct lsi_decoder *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                       struct lsi_error *err) {
  return lsi_codecs[lsi_codec_find(src, len)]->decode(d, src, len, out, err);
}

static uint64_t history_auto(const void *head, size_t n, bool *exact) {
  const struct lsi_codec_ops *c = lsi_codecs[lsi_codec_find(head, n)];
  *exact = true;
  return c->history ? c->history(head, n, exact) : 0;
}

static size_t bound_auto(size_t len) { return lsi_codec_none.bound(len); }

static int64_t encode_auto(int level, const void *src, size_t len, void *dst, size_t cap) {
  return lsi_codec_none.encode(level, src, len, dst, cap);
}

/* It stands here, for it needs all the others. */
const struct lsi_codec_ops lsi_codec_auto = {
    .name = "auto",
    .what = "bytes",
    .caps = LSI_CODEC_EMPTY | LSI_CODEC_FOUND | LSI_CODEC_DICTIONARY,
    .rate = 0.5e9, /* the slowest of them */
    .decode = decode_auto,
    .feed_most = LSI_LZ4_FEED_MOST, /* the most of them */
    .history = history_auto,
    .bound = bound_auto,
    .encode = encode_auto,
};

/* ---- what it is instead ---- */

/* Formats that no codec reads. */
static const struct {
  enum lsi_codec only; /* NONE, or the one codec in whose place it is looked for: a byte says little */
  uint8_t n;
  uint8_t bytes[4];
  const char *name;
} foreign[] = {
    {LSI_CODEC_NONE, 4, {0x02, 0x21, 0x4C, 0x18}, "the legacy format of lz4"}, /* `lz4 -l` */
    {LSI_CODEC_NONE, 4, {0xFD, 0x2F, 0xB5, 0x1E}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x22, 0xB5, 0x2F, 0xFD}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x23, 0xB5, 0x2F, 0xFD}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x24, 0xB5, 0x2F, 0xFD}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x25, 0xB5, 0x2F, 0xFD}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x26, 0xB5, 0x2F, 0xFD}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x27, 0xB5, 0x2F, 0xFD}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x37, 0xA4, 0x30, 0xEC}, "a dictionary of zstd"},
    {LSI_CODEC_NONE, 4, {0xFF, 0x06, 0x00, 0x00}, "snappy"},
    {LSI_CODEC_NONE, 4, {0x50, 0x4B, 0x03, 0x04}, "zip"},
    {LSI_CODEC_NONE, 4, {0xFD, 0x37, 0x7A, 0x58}, "xz"},
    {LSI_CODEC_NONE, 3, {0x42, 0x5A, 0x68}, "bzip2"},
    {LSI_CODEC_BLOSC, 1, {0x03}, "blosc2"},
    {LSI_CODEC_BLOSC, 1, {0x04}, "blosc2"},
    {LSI_CODEC_BLOSC, 1, {0x05}, "blosc2"},
};

/* The remedy of an error: which codec the chunk looks like, if it looks like one. What has no beginning of
 * its own (a block of lz4) may begin with any two bytes. */
static void say_what_it_is(enum lsi_codec codec, const uint8_t *src, size_t len, struct lsi_error *err) {
  const unsigned least = lsi_codecs[codec]->looks_like ? 1 : 3;
  for (size_t i = 0; i < LSI_CODECS; i++) {
    const struct lsi_codec_ops *c = lsi_codecs[i];
    if (c->looks_like && c->looks_like(src, len) >= least)
      lsi_error_remedy(err, "it looks like %s: write codec = \"%s\"", c->name, c->name);
  }
  for (size_t i = 0; i < LSI_COUNTOF(foreign); i++) {
    if (foreign[i].n < least || foreign[i].n > len || memcmp(src, foreign[i].bytes, foreign[i].n) ||
        (foreign[i].only && foreign[i].only != codec))
      continue;
    lsi_error_remedy(err, "it looks like %s, which is not supported: write it again with "
                          "one of lz4, zstd, gzip or blosc", foreign[i].name);
  }
}

/* Adds to what a codec says of a chunk: nothing, if it begins as one of its own. */
static int told(enum lsi_codec codec, const uint8_t *src, size_t len, int rc, struct lsi_error *err) {
  const struct lsi_codec_ops *c = lsi_codecs[codec];
  if (LSI_LIKELY(rc != LSIO_ERR_CORRUPT) || (c->looks_like && c->looks_like(src, len))) return rc;
  say_what_it_is(codec, src, len, err);
  if (c->looks_like)
    lsi_error_remedy(err, "check `codec`; what is not compressed is read without it");
  return rc;
}

/* ---- decoding ---- */

struct lsi_decoder *lsi_decoder_create(void) { return lsi_calloc(1, sizeof(struct lsi_decoder)); }

void lsi_decoder_use(struct lsi_decoder *d, const struct lsi_dictionary *dictionary) {
  d->dictionary = dictionary;
}

static void clear(struct lsi_decoder *d) {
  for (size_t i = 0; i < LSI_CODECS; i++)
    if (d->own[i]) lsi_codecs[i]->free(d->own[i]);
  lsi_free(d->copy);
}

void lsi_decoder_destroy(struct lsi_decoder *d) {
  if (!d) return;
  clear(d);
  lsi_free(d);
}

/* A chunk of 0 bytes. `zstd -t` calls such a file one that ends too early, `lz4 -t` takes it. */
static int decode_empty(const struct lsi_codec_ops *c, struct lsi_error *err) {
  if (c->caps & LSI_CODEC_EMPTY) return 0;
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "an empty chunk holds no%s", strchr(c->what, ' '));
}

int lsi_decode(struct lsi_decoder *d, enum lsi_codec codec, const void *src, size_t src_len,
               struct lsi_outbuf *out, struct lsi_error *err) {
  out->length = 0;
  if ((size_t)codec >= LSI_CODECS)
    return lsi_fail(err, LSIO_ERR_BUG, 0, "unknown codec %d", (int)codec);
  if (!src_len) return decode_empty(lsi_codecs[codec], err);
  codec = codec_of(codec, src, src_len);
  const struct lsi_codec_ops *c = lsi_codecs[codec];
  const int rc = c->decode(d, src, src_len, out, err);
  if (rc) out->length = 0;
  return told(codec, src, src_len, rc, err);
}

int64_t lsi_decode_once(int codec, const void *src, size_t src_len, void *dst, size_t cap) {
  struct lsi_decoder d = {.copy = NULL};
  struct lsi_outbuf out = {.data = dst, .capacity = cap, .limit = cap};
  int rc = lsi_decode(&d, (enum lsi_codec)codec, src, src_len, &out, NULL);
  clear(&d);
  return rc ? rc : (int64_t)out.length;
}

int lsi_pieces_begin(struct lsi_decoder *d, enum lsi_codec codec, const void *src, size_t src_len,
                     size_t size, uint64_t limit, uint64_t whole, struct lsi_outbuf *out,
                     struct lsi_error *err) {
  out->length = 0;
  if (src_len) codec = codec_of(codec, src, src_len);
  const struct lsi_codec_ops *c = lsi_codecs[codec];
  if (!src_len || !c->begin) return 0;
  const uint8_t *from = src;
  d->pieces = (struct lsi_piece_state){.codec = c, .begin = from, .at = from, .end = from + src_len,
                                       .size = size, .limit = limit, .whole = whole, .out = out};
  return told(codec, src, src_len, c->begin(d, err), err);
}

bool lsi_codec_feeds(enum lsi_codec codec) {
  return lsi_codecs[codec]->feed || lsi_codecs[codec]->caps & LSI_CODEC_FOUND;
}

/* The chunk's first bytes: enough to see which codec it is of, which frames that are skipped may hide. */
static int feed_head(const struct lsi_feed *feed, bool find, size_t *n, const uint8_t **src,
                     struct lsi_error *err) {
  uint64_t skipped = 0;
  do {
    const uint64_t want = LSI_MIN(feed->left, skipped + LSI_CODEC_HEAD);
    if (want > feed->most) {
      lsi_fail(err, LSIO_ERR_LIMIT, 0,
               "a chunk begins with %llu bytes that lz4 and zstd skip, more than are looked at to see which "
               "one it is of", (unsigned long long)skipped);
      lsi_error_remedy(err, "write the codec's name in place of \"auto\", or give the job more memory "
                            "(--memory)");
      return LSIO_ERR_LIMIT;
    }
    *n = (size_t)want;
    const int rc = feed->get(feed->ctx, n, src, err);
    if (rc || !find) return rc;
    skipped = lsi_frames_skipped(*src, *n);
  } while (skipped + LSI_CODEC_HEAD > *n && *n < feed->left && skipped < feed->left);
  return 0;
}

int lsi_pieces_feed(struct lsi_decoder *d, enum lsi_codec codec, struct lsi_feed *feed, size_t size,
                    uint64_t limit, struct lsi_outbuf *out, struct lsi_error *err) {
  const uint8_t *src;
  size_t n;
  int rc = feed_head(feed, lsi_codecs[codec]->caps & LSI_CODEC_FOUND, &n, &src, err);
  if (rc) return rc;
  codec = codec_of(codec, src, n);
  const struct lsi_codec_ops *c = lsi_codecs[codec];
  if (!c->feed) return feed->left > limit ? lsi_fail_limit(feed->left, limit, true, err) : LSI_CODEC_STORED;
  out->length = 0;
  d->pieces = (struct lsi_piece_state){.codec = c, .feed = feed, .size = size, .limit = limit,
                                       .whole = UINT64_MAX, .out = out, .unsure = true};
  return told(codec, src, n, c->feed_begin(d, src, n, err), err);
}

/* ---- encoding ---- */

size_t lsi_encode_bound(enum lsi_codec codec, size_t src_len) {
  return src_len > SIZE_MAX / 4 ? 0 : lsi_codecs[codec]->bound(src_len);
}

int64_t lsi_encode(enum lsi_codec codec, int level, const void *src, size_t src_len, void *dst,
                   size_t cap) {
  return lsi_codecs[codec]->encode(level, src, src_len, dst, cap);
}
