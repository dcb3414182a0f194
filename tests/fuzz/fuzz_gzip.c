/* Fuzz target: heads, members and bodies of gzip and zlib. The first byte chooses the codec, the library and
 * the size of pieces, the second the limit, the third how the chunk is cut into segments; the rest is the
 * chunk. zlib must read it so too, by its own reading of heads; and it must not matter which library inflates,
 * whether all comes at once, in segments, by pieces or bit by bit. */
#include <zlib.h>

#include "codec/codec_gzip.h"
#include "feed.h"

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

/* All of it by zlib: its length, -1 = it is damaged, -2 = it is more than `cap`. */
static int64_t oracle(bool gzip, const uint8_t *src, size_t n, uint8_t *dst, size_t cap) {
  size_t at = 0, got = 0;
  do {
    z_stream z = {0};
    FUZZ_CHECK(inflateInit2(&z, gzip ? 31 : 15) == Z_OK);
    z.next_in = (Bytef *)(uintptr_t)(src + at);
    z.avail_in = (uInt)(n - at);
    z.next_out = dst + got;
    z.avail_out = (uInt)(cap - got);
    const int rc = inflate(&z, Z_FINISH);
    const bool full = !z.avail_out;
    at += z.total_in;
    got += z.total_out;
    inflateEnd(&z);
    if (rc != Z_STREAM_END) return full ? -2 : -1;
    size_t zeros = at;
    while (zeros < n && !src[zeros]) zeros++;
    if (zeros == n) return (int64_t)got;
  } while (gzip);
  return -1;
}

/* In segments, each of memory of its own; as lsi_decode(), but that nothing is said of the limit. */
static int in_segments(struct lsi_gunzip *g, bool zlib, const uint8_t *src, size_t n, uint32_t cuts, uint8_t *dst,
                       size_t cap, size_t *got) {
  lsi_gunzip_begin(g, zlib);
  *got = 0;
  for (size_t at = 0;;) {
    cuts = cuts * 1664525 + 1013904223;
    const size_t some = 1 + (cuts >> 16) % (1u << (cuts >> 8) % 10), k = LSI_MIN(n - at, some);
    uint8_t *segment = lsi_malloc(k + !k);
    FUZZ_CHECK(segment);
    memcpy(segment, src + at, k);
    at += k;
    struct lsi_inflate_io io = {.in = segment, .end = segment + k};
    int rc;
    do {
      const size_t room = LSI_MIN(cap - *got, (size_t)((cuts >> 24) % 100));
      io.out = dst + *got;
      io.room = room;
      rc = lsi_gunzip_run(g, &io, at == n, NULL);
      *got += room - io.room;
      cuts = cuts * 1664525 + 1013904223;
    } while (rc == 1 && *got < cap && (!io.room || io.in < io.end));
    lsi_free(segment);
    if (rc <= 0) return rc;
    if (*got == cap) return LSIO_ERR_LIMIT;
    FUZZ_CHECK(at < n);
  }
}

static int by_pieces(struct lsi_decoder *d, enum lsi_codec codec, const uint8_t *src, size_t n, size_t piece,
                     size_t limit, uint8_t *dst, size_t *got) {
  struct lsi_outbuf hot = {.limit = (size_t)64 << 20, .grow = grow};
  *got = 0;
  int rc = lsi_pieces_begin(d, codec, src, n, piece, limit, limit, &hot, NULL);
  if (rc == 0) rc = 2; /* whole */
  while (rc == 1) {
    const void *p;
    size_t length;
    if ((rc = lsi_pieces_next(d, &p, &length, NULL)) < 0) break;
    FUZZ_CHECK(length <= piece && *got + length <= limit && (!rc || length == piece));
    memcpy(dst + *got, p, length);
    *got += length;
  }
  lsi_free(hot.data);
  return rc;
}

/* With all the room that there may be: what is right otherwise is, and comes out the same. */
static void check_in_one_go(enum lsi_codec codec, const uint8_t *src, size_t n, const struct lsi_outbuf *other,
                            int rc) {
  static struct lsi_decoder *decoder;
  if (!decoder) decoder = lsi_decoder_create();
  struct lsi_outbuf out = {.data = lsi_malloc(other->limit), .capacity = other->limit, .limit = other->limit};
  FUZZ_CHECK(decoder && out.data);
  const int own = lsi_decode(decoder, codec, src, n, &out, NULL);
  FUZZ_CHECK(!own || rc); /* it may take what others do not, but not the other way round */
  FUZZ_CHECK(rc || (out.length == other->length && (!out.length || !memcmp(out.data, other->data, out.length))));
  lsi_free(out.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint8_t theirs[1 << 20], ours[1 << 20];
  static struct lsi_decoder *decoders[2];
  static unsigned libraries;
  if (size < 4) return 0;
  for (; libraries < 2 && lsi_inflate_libraries[libraries]; libraries++) {
    decoders[libraries] = lsi_decoder_create();
    decoders[libraries]->own[LSI_CODEC_GZIP] = lsi_gunzip_create(lsi_inflate_libraries[libraries]);
    FUZZ_CHECK(decoders[libraries]->own[LSI_CODEC_GZIP]);
    lsi_gunzip_by_library(decoders[libraries]->own[LSI_CODEC_GZIP]);
  }
  struct lsi_decoder *d = decoders[(data[0] >> 1 & 1) % libraries];
  const enum lsi_codec codec = data[0] & 1 ? LSI_CODEC_ZLIB : LSI_CODEC_GZIP;
  const size_t limit = (size_t)1 << data[1] % 21, piece = 1 + 16u * (data[0] >> 2), n = size - 3;
  const uint8_t *src = data + 3;
  const int64_t want = oracle(codec == LSI_CODEC_GZIP, src, n, theirs, limit);
  struct lsi_outbuf out = {.limit = limit, .grow = grow};
  struct lsi_error error;
  lsi_error_clear(&error);
  const int rc = lsi_decode(d, codec, src, n, &out, &error);
  FUZZ_CHECK(rc == error.code && out.length <= limit);
  FUZZ_CHECK(!rc || rc == LSIO_ERR_CORRUPT || rc == LSIO_ERR_LIMIT || (data[0] & 1 && rc == LSIO_ERR_UNSUPPORTED));
  if (want == -1 && !rc && libraries > 1) goto end; /* ISA-L takes codes with gaps that are not used */
  if (want != -2) FUZZ_CHECK((rc == 0) == (want >= 0)); /* with its output full it can't tell */
  FUZZ_CHECK(rc || want < 0 || ((int64_t)out.length == want && (!want || !memcmp(out.data, theirs, out.length))));
  check_in_one_go(codec, src, n, &out, rc);
  size_t got;
  const int parts = in_segments(d->own[LSI_CODEC_GZIP], data[0] & 1, src, n, data[2], ours, sizeof ours, &got);
  if (!rc) FUZZ_CHECK(!parts && got == out.length && (!got || !memcmp(ours, out.data, got)));
  if (rc && rc != LSIO_ERR_LIMIT) FUZZ_CHECK(parts == rc || parts == LSIO_ERR_LIMIT);
  const int pieces = by_pieces(d, codec, src, n, piece, limit, ours, &got);
  if (pieces != 2) {
    FUZZ_CHECK(rc ? pieces < 0 : !pieces && got == out.length);
    FUZZ_CHECK(rc || !got || !memcmp(ours, out.data, got));
  }
  if (n) fuzz_check_fed(d, codec, src, n, piece, data[2], &out, rc);
end:
  lsi_free(out.data);
  return 0;
}
