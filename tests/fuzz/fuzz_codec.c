/* Fuzz target: the first byte chooses the codec, the second the limit; the rest is a chunk. What LSIO
 * decodes, the format's own library must decode to the same bytes; and it must not matter whether the
 * output was large enough from the beginning, nor whether the chunk comes whole, by pieces, or bit by bit. */
#include <blosc.h>
#include <lz4.h>
#include <lz4frame.h>
#include <zstd.h>

#include "feed.h"

#define SLACK 64u
#define CODECS (LSI_CODEC_BLOSC - LSI_CODEC_LZ4 + 1)

static int grow(struct lsi_outbuf *out, size_t at_least) {
  FUZZ_CHECK(at_least <= out->limit);
  char *p = lsi_malloc(at_least);
  if (!p) return LSIO_ERR_NOMEM;
  if (out->length) memcpy(p, out->data, out->length);
  lsi_free(out->data);
  out->data = p;
  out->capacity = at_least;
  return 0;
}

/* All frames in a row, by the library; the decoded length, or -1. */
static int64_t lz4_frames(const uint8_t *src, size_t n, uint8_t *dst, size_t cap) {
  LZ4F_dctx *d;
  FUZZ_CHECK(!LZ4F_isError(LZ4F_createDecompressionContext(&d, LZ4F_VERSION)));
  size_t at = 0, got = 0, hint = 0;
  while (at < n) {
    size_t in = n - at, out = cap - got;
    hint = LZ4F_decompress(d, dst + got, &out, src + at, &in, NULL);
    if (LZ4F_isError(hint) || (!in && !out)) break;
    at += in;
    got += out;
  }
  LZ4F_freeDecompressionContext(d);
  return at == n && hint == 0 ? (int64_t)got : -1;
}

static int64_t by_library(enum lsi_codec codec, const uint8_t *src, size_t n, uint8_t *dst,
                          size_t cap) {
  if (codec == LSI_CODEC_LZ4) return lz4_frames(src, n, dst, cap);
  if (codec == LSI_CODEC_LZ4_BLOCK)
    return LZ4_decompress_safe((const char *)src, (char *)dst, (int)n, (int)cap);
  if (codec == LSI_CODEC_BLOSC) return blosc_decompress_ctx(src, dst, cap, 1);
  const size_t got = ZSTD_decompress(dst, cap, src, n);
  return ZSTD_isError(got) ? -1 : (int64_t)got;
}

static void check_library(enum lsi_codec codec, const uint8_t *src, size_t n,
                          const struct lsi_outbuf *out) {
  const size_t cap = out->length + SLACK; /* more than needed, so that too much is seen */
  uint8_t *dst = lsi_malloc(cap);
  FUZZ_CHECK(dst);
  FUZZ_CHECK(by_library(codec, src, n, dst, cap) == (int64_t)out->length);
  FUZZ_CHECK(!out->length || !memcmp(dst, out->data, out->length));
  lsi_free(dst);
}

static void check_once(enum lsi_codec codec, const uint8_t *src, size_t n,
                       const struct lsi_outbuf *out, int rc) {
  uint8_t *dst = lsi_malloc(out->limit);
  FUZZ_CHECK(dst);
  int64_t got = lsi_decode_once(codec, src, n, dst, out->limit);
  /* An lz4 block must end with five literals. The library sees that it does not only where the output
   * ends with the block, so such a block may decode here and be corrupt in a buffer that grew to fit. */
  const bool lz4 = codec == LSI_CODEC_LZ4 || codec == LSI_CODEC_LZ4_BLOCK;
  /* libzstd calls some damage too little room, but not where there is no room at all. */
  const bool damage = (rc == LSIO_ERR_CORRUPT && got == LSIO_ERR_LIMIT) ||
                      (rc == LSIO_ERR_LIMIT && got == LSIO_ERR_CORRUPT);
  if ((!lz4 || rc != LSIO_ERR_CORRUPT) && !(codec == LSI_CODEC_ZSTD && damage))
    FUZZ_CHECK(got == (rc ? rc : (int64_t)out->length));
  FUZZ_CHECK(rc || !out->length || !memcmp(dst, out->data, out->length));
  lsi_free(dst);
}

/* By pieces: the same bytes, and the same code; see codec.h for what zstd's differ in, and above. */
static void check_pieces(struct lsi_decoder *decoder, enum lsi_codec codec, const uint8_t *src,
                         size_t n, size_t piece, const struct lsi_outbuf *whole, int rc) {
  struct lsi_outbuf hot = {.limit = (size_t)64 << 20, .grow = grow};
  size_t at = 0, length;
  const void *p;
  int got = lsi_pieces_begin(decoder, codec, src, n, piece, whole->limit, whole->limit, &hot, NULL);
  if (got == 0) return lsi_free(hot.data);
  while (got == 1 && (got = lsi_pieces_next(decoder, &p, &length, NULL)) >= 0) {
    FUZZ_CHECK(rc || (length <= whole->length - at && (!length || !memcmp(p, (char *)whole->data + at, length))));
    at += length;
  }
  if (!rc && got) FUZZ_CHECK(codec == LSI_CODEC_ZSTD && (got == LSIO_ERR_CORRUPT || got == LSIO_ERR_LIMIT));
  if (!rc && !got) FUZZ_CHECK(at == whole->length);
  if (rc && !got) FUZZ_CHECK(codec == LSI_CODEC_LZ4 && rc == LSIO_ERR_CORRUPT);
  lsi_free(hot.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct lsi_decoder *decoder; /* one for all: it must stay usable after every error */
  if (size < 2) return 0;
  if (!decoder) decoder = lsi_decoder_create();
  FUZZ_CHECK(decoder);
  const enum lsi_codec codec = (enum lsi_codec)(LSI_CODEC_LZ4 + data[0] % CODECS);
  struct lsi_outbuf out = {.limit = (size_t)1 << data[1] % 21, .grow = grow};
  struct lsi_error error;
  lsi_error_clear(&error);
  int rc = lsi_decode(decoder, codec, data + 2, size - 2, &out, &error);
  FUZZ_CHECK(out.length <= out.limit && (rc != 0) == (error.code != 0));
  FUZZ_CHECK(!rc || rc == LSIO_ERR_CORRUPT || rc == LSIO_ERR_LIMIT ||
             (codec != LSI_CODEC_LZ4_BLOCK && rc == LSIO_ERR_UNSUPPORTED));
  if (!rc && size > 2) check_library(codec, data + 2, size - 2, &out);
  check_once(codec, data + 2, size - 2, &out, rc);
  check_pieces(decoder, codec, data + 2, size - 2, 1 + 16u * (data[0] / CODECS), &out, rc);
  const size_t piece = 1 + 16u * (data[0] / CODECS);
  if (lsi_codec_feeds(codec) && size > 2) fuzz_check_fed(decoder, codec, data + 2, size - 2, piece, data[1], &out, rc);
  lsi_free(out.data);
  return 0;
}
