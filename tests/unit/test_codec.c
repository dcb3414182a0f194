/* Codecs: round trips, frames in a row, cut and damaged chunks, limits, growth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lz4.h>
#include <lz4frame.h>
#include <zstd.h>

#include "codec/codec_impl.h"
#include "codec_support.h"

/* Text-like data that compresses about 3:1, with raw and constant stretches. */
static uint8_t *make_data(size_t n) {
  uint8_t *p = lsi_malloc(n + 1);
  assert_non_null(p);
  for (size_t i = 0; i < n;) {
    size_t end = i + 1 + next(5000);
    uint32_t kind = next(4);
    for (; i < end && i < n; i++)
      p[i] = (uint8_t)(kind == 0 ? next(256) : kind == 1 ? 7 : i > 300 ? p[i - 1 - next(2) * 299] : i);
  }
  return p;
}

/* ---- an output that counts how it grows and whose memory moves every time ---- */

static unsigned grown;
static size_t grown_to;

static int grow(struct lsi_outbuf *out, size_t at_least) {
  assert_true(at_least <= out->limit);
  assert_true(at_least > out->capacity);
  char *p = lsi_malloc(at_least);
  if (!p) return LSIO_ERR_NOMEM;
  if (out->length) memcpy(p, out->data, out->length);
  if (out->data) memset(out->data, 0xDD, out->capacity);
  lsi_free(out->data);
  out->data = p;
  out->capacity = at_least;
  grown++;
  grown_to = LSI_MAX(grown_to, at_least);
  return 0;
}

static struct lsi_outbuf output(size_t capacity, size_t limit) {
  grown = 0;
  grown_to = 0;
  return (struct lsi_outbuf){.data = capacity ? lsi_malloc(capacity) : NULL,
                             .capacity = capacity,
                             .limit = limit,
                             .grow = grow};
}

static int decode(enum lsi_codec codec, const void *src, size_t n, struct lsi_outbuf *out) {
  lsi_error_clear(&error);
  int rc = lsi_decode(decoder, codec, src, n, out, &error);
  assert_int_equal(rc, error.code);
  if (rc) assert_int_equal(out->length, 0);
  assert_true(out->length <= out->limit);
  return rc;
}

static void expect_error(enum lsi_codec codec, const void *src, size_t n, size_t limit, int code,
                         const char *what) {
  struct lsi_outbuf out = output(0, limit);
  int rc = decode(codec, src, n, &out);
  if (rc != code) fail_msg("code %d instead of %d: %s", rc, code, error.what);
  if (!strstr(error.what, what)) fail_msg("'%s' does not say '%s'", error.what, what);
  lsi_free(out.data);
}

struct packed {
  uint8_t *p;
  size_t n;
};

static struct packed pack(enum lsi_codec codec, int level, const void *src, size_t n) {
  size_t cap = lsi_encode_bound(codec, n);
  struct packed k = {lsi_malloc(cap), 0};
  assert_non_null(k.p);
  int64_t got = lsi_encode(codec, level, src, n, k.p, cap);
  assert_true(got >= 0);
  k.n = (size_t)got;
  return k;
}

/* An lz4 frame without content size. */
static struct packed pack_lz4f(const void *src, size_t n, LZ4F_blockSizeID_t id, bool linked,
                               bool block_sum, bool content_sum, bool size) {
  LZ4F_preferences_t p = LZ4F_INIT_PREFERENCES;
  p.frameInfo.blockSizeID = id;
  p.frameInfo.blockMode = linked ? LZ4F_blockLinked : LZ4F_blockIndependent;
  p.frameInfo.blockChecksumFlag = block_sum ? LZ4F_blockChecksumEnabled : LZ4F_noBlockChecksum;
  p.frameInfo.contentChecksumFlag =
      content_sum ? LZ4F_contentChecksumEnabled : LZ4F_noContentChecksum;
  p.frameInfo.contentSize = size ? n : 0;
  struct packed k = {lsi_malloc(LZ4F_compressFrameBound(n, &p)), 0};
  assert_non_null(k.p);
  k.n = LZ4F_compressFrame(k.p, LZ4F_compressFrameBound(n, &p), src, n, &p);
  assert_false(LZ4F_isError(k.n));
  return k;
}

/* A zstd frame as a stream writes it, without content size. */
static struct packed pack_zstd_stream(const void *src, size_t n) {
  ZSTD_CCtx *c = ZSTD_createCCtx();
  size_t cap = ZSTD_compressBound(n) + 1024;
  struct packed k = {lsi_malloc(cap), 0};
  assert_non_null(k.p);
  ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
  ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
  k.n = ZSTD_compress2(c, k.p, cap, src, n);
  assert_false(ZSTD_isError(k.n));
  ZSTD_freeCCtx(c);
  return k;
}

static void check(enum lsi_codec codec, struct packed k, const void *data, size_t n,
                  size_t capacity, size_t limit) {
  struct lsi_outbuf out = output(capacity, limit);
  int rc = decode(codec, k.p, k.n, &out);
  if (rc) fail_msg("%s: %s (%zu bytes, capacity %zu)", lsi_codec_name(codec), error.what, n, capacity);
  assert_int_equal(out.length, n);
  if (n) assert_memory_equal(out.data, data, n);
  lsi_free(out.data);
}

/* ---- tests ---- */

static void names(void **state) {
  (void)state;
  enum lsi_codec c = LSI_CODEC_NONE;
  assert_true(lsi_codec_parse("lz4", &c) && c == LSI_CODEC_LZ4);
  assert_true(lsi_codec_parse("lz4_block", &c) && c == LSI_CODEC_LZ4_BLOCK);
  assert_true(lsi_codec_parse("zstd", &c) && c == LSI_CODEC_ZSTD);
  assert_true(lsi_codec_parse("none", &c) && c == LSI_CODEC_NONE);
  assert_false(lsi_codec_parse("snappy", &c));
  assert_false(lsi_codec_parse("", &c));
  assert_string_equal(lsi_codec_name(LSI_CODEC_LZ4_BLOCK), "lz4_block");
}

static void xxh32_vectors(void **state) {
  (void)state;
  /* From the specification's reference: the empty input and "Nobody inspects the spammish
   * repetition". */
  assert_int_equal(lsi_xxh32("", 0), 0x02CC5D05u);
  static const char text[] = "Nobody inspects the spammish repetition";
  assert_int_equal(lsi_xxh32(text, sizeof text - 1), 0xE2293B2Fu);
  for (size_t cut = 0; cut < sizeof text - 1; cut++) {
    struct lsi_xxh32 x;
    lsi_xxh32_begin(&x);
    lsi_xxh32_add(&x, text, cut);
    lsi_xxh32_add(&x, text + cut, sizeof text - 1 - cut);
    assert_int_equal(lsi_xxh32_end(&x), 0xE2293B2Fu);
  }
}

static const size_t sizes[] = {0, 1, 12, 13, 100, 4096, 65535, 65536, 65537, 300000, 5000000};

static void round_trips(void **state) {
  (void)state;
  static const enum lsi_codec codecs[] = {LSI_CODEC_NONE, LSI_CODEC_LZ4, LSI_CODEC_LZ4_BLOCK,
                                          LSI_CODEC_ZSTD, LSI_CODEC_BLOSC};
  for (size_t i = 0; i < LSI_COUNTOF(sizes); i++) {
    size_t n = sizes[i];
    uint8_t *data = make_data(n);
    for (size_t c = 0; c < LSI_COUNTOF(codecs); c++) {
      for (int level = 0; level < 10; level += 9) {
        struct packed k = pack(codecs[c], level, data, n);
        check(codecs[c], k, data, n, n, n);
        check(codecs[c], k, data, n, 0, n);
        check(codecs[c], k, data, n, n / 3, n + 100);
        assert_true(grown <= 1); /* the size is known */
        assert_int_equal(lsi_decode_once(codecs[c], k.p, k.n, data, n), n);
        if (n) assert_int_equal(lsi_decode_once(codecs[c], k.p, k.n, data, n - 1), LSIO_ERR_LIMIT);
        lsi_free(k.p);
      }
    }
    lsi_free(data);
  }
}

static void lz4_frames_of_every_kind(void **state) {
  (void)state;
  for (size_t i = 0; i < LSI_COUNTOF(sizes); i++) {
    size_t n = sizes[i];
    uint8_t *data = make_data(n);
    for (int id = LZ4F_max64KB; id <= LZ4F_max4MB; id++)
      for (int bits = 0; bits < 16; bits++) {
        struct packed k = pack_lz4f(data, n, (LZ4F_blockSizeID_t)id, bits & 1, bits & 2, bits & 4,
                                    bits & 8);
        check(LSI_CODEC_LZ4, k, data, n, n, n);
        check(LSI_CODEC_LZ4, k, data, n, 1, n);
        check(LSI_CODEC_LZ4, k, data, n, 1, 2 * n + 10);
        assert_true(grown < 24);
        if (n) expect_error(LSI_CODEC_LZ4, k.p, k.n, n - 1, LSIO_ERR_LIMIT, "allowed");
        lsi_free(k.p);
      }
    lsi_free(data);
  }
}

static void put32(uint8_t *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* A block may repeat what stands at the very beginning of a frame. */
static void lz4_blocks_see_the_first_byte(void **state) {
  (void)state;
  enum { FIRST = 100 };
  uint8_t want[2 * FIRST + 5], frame[64 + FIRST];
  for (int i = 0; i < FIRST; i++) want[i] = want[FIRST + i] = (uint8_t)next(256);
  memcpy(want + 2 * FIRST, "abcde", 5);
  LZ4F_preferences_t p = LZ4F_INIT_PREFERENCES;
  p.frameInfo.blockMode = LZ4F_blockLinked;
  LZ4F_cctx *c;
  assert_false(LZ4F_isError(LZ4F_createCompressionContext(&c, LZ4F_VERSION)));
  size_t n = LZ4F_compressBegin(c, frame, sizeof frame, &p);
  assert_false(LZ4F_isError(n));
  LZ4F_freeCompressionContext(c);
  put32(frame + n, FIRST | 0x80000000u); /* as it is */
  memcpy(frame + n + 4, want, FIRST);
  n += 4 + FIRST;
  /* A match of FIRST bytes, FIRST bytes back, and five literals. */
  const uint8_t block[] = {0x0f, FIRST, 0, FIRST - 4 - 15, 0x50, 'a', 'b', 'c', 'd', 'e'};
  put32(frame + n, sizeof block);
  memcpy(frame + n + 4, block, sizeof block);
  n += 4 + sizeof block;
  put32(frame + n, 0);
  check(LSI_CODEC_LZ4, (struct packed){frame, n + 4}, want, sizeof want, sizeof want, 1 << 20);
}

static void zstd_without_size(void **state) {
  (void)state;
  for (size_t i = 0; i < LSI_COUNTOF(sizes); i++) {
    size_t n = sizes[i];
    uint8_t *data = make_data(n);
    struct packed k = pack_zstd_stream(data, n);
    assert_true(ZSTD_getFrameContentSize(k.p, k.n) == ZSTD_CONTENTSIZE_UNKNOWN);
    check(LSI_CODEC_ZSTD, k, data, n, 0, n);
    check(LSI_CODEC_ZSTD, k, data, n, 1, 3 * n + 1);
    assert_true(grown < 24);
    if (n) expect_error(LSI_CODEC_ZSTD, k.p, k.n, n - 1, LSIO_ERR_LIMIT, "allowed");
    lsi_free(k.p);
    lsi_free(data);
  }
}

static void frames_in_a_row(void **state) {
  (void)state;
  uint8_t *data = make_data(400000), *all = lsi_malloc(1 << 20);
  assert_non_null(all);
  for (int c = 0; c < 2; c++) {
    enum lsi_codec codec = c ? LSI_CODEC_ZSTD : LSI_CODEC_LZ4;
    size_t n = 0, at = 0;
    for (int i = 0; i < 40; i++) {
      size_t part = i % 5 == 4 ? 0 : next(20000);
      if (at + part > 400000) part = 400000 - at;
      struct packed k = i % 3 == 0   ? pack(codec, 0, data + at, part)
                        : c          ? pack_zstd_stream(data + at, part)
                                     : pack_lz4f(data + at, part, LZ4F_max64KB, true, i & 1, i & 2, false);
      memcpy(all + n, k.p, k.n);
      n += k.n;
      at += part;
      lsi_free(k.p);
      if (i % 4 != 1) continue;
      uint32_t skip[2] = {0x184D2A50u + (uint32_t)(i & 15), next(50)};
      memcpy(all + n, skip, 8);
      memset(all + n + 8, 0xAB, skip[1]);
      n += 8 + skip[1];
    }
    struct packed k = {all, n};
    check(codec, k, data, at, at, at);
    check(codec, k, data, at, 0, 1 << 20);
    expect_error(codec, all, n, at - 1, LSIO_ERR_LIMIT, "allowed");
    all[n] = 0;
    expect_error(codec, all, n + 1, 1 << 20, LSIO_ERR_CORRUPT, "not another frame");
    memcpy(all + n, "\x50\x2A\x4D\x18\x09\0\0\0", 8);
    expect_error(codec, all, n + 8, 1 << 20, LSIO_ERR_CORRUPT, "cut short");
    expect_error(codec, "\x50\x2A\x4D\x18\0\0", 6, 100, LSIO_ERR_CORRUPT, "cut short");
    expect_error(codec, "garbage", 7, 100, LSIO_ERR_CORRUPT, "does not begin with");
    check(codec, (struct packed){(uint8_t *)"\x5F\x2A\x4D\x18\1\0\0\0z", 9}, "", 0, 0, 0);
  }
  lsi_free(all);
  lsi_free(data);
}

static void every_truncation(void **state) {
  (void)state;
  uint8_t *data = make_data(3000);
  struct packed all[] = {pack(LSI_CODEC_LZ4, 0, data, 3000),
                         pack_lz4f(data, 3000, LZ4F_max64KB, true, true, false, false),
                         pack(LSI_CODEC_ZSTD, 0, data, 3000), pack_zstd_stream(data, 3000)};
  for (size_t i = 0; i < LSI_COUNTOF(all); i++) {
    for (size_t n = 1; n < all[i].n; n++) {
      uint8_t *exact = lsi_malloc(n); /* so that a sanitizer sees a byte read behind it */
      memcpy(exact, all[i].p, n);
      expect_error(i < 2 ? LSI_CODEC_LZ4 : LSI_CODEC_ZSTD, exact, n, 1 << 20, LSIO_ERR_CORRUPT, "");
      lsi_free(exact);
    }
    lsi_free(all[i].p);
  }
  struct packed k = pack(LSI_CODEC_LZ4_BLOCK, 0, data, 3000);
  for (size_t n = 1; n < k.n; n++) {
    struct lsi_outbuf out = output(3000, 3000);
    if (!decode(LSI_CODEC_LZ4_BLOCK, k.p, n, &out)) /* a block says nothing about its end */
      assert_memory_equal(out.data, data, out.length);
    else
      assert_int_equal(error.code, LSIO_ERR_CORRUPT);
    lsi_free(out.data);
  }
  lsi_free(k.p);
  lsi_free(data);
}

static void bit_flips(void **state) {
  (void)state;
  enum { N = 2500 };
  uint8_t *data = make_data(N);
  struct packed all[] = {pack(LSI_CODEC_LZ4, 0, data, N),
                         pack_lz4f(data, N, LZ4F_max64KB, true, true, true, false),
                         pack(LSI_CODEC_ZSTD, 0, data, N), pack_zstd_stream(data, N),
                         pack(LSI_CODEC_LZ4_BLOCK, 0, data, N)};
  static const enum lsi_codec codec[] = {LSI_CODEC_LZ4, LSI_CODEC_LZ4, LSI_CODEC_ZSTD, LSI_CODEC_ZSTD,
                                         LSI_CODEC_LZ4_BLOCK};
  unsigned noticed = 0, tries = 0;
  for (int i = 0; i < 20000; i++) {
    size_t which = next(LSI_COUNTOF(all));
    struct packed k = all[which];
    unsigned flips = 1 + next(3);
    size_t at[3];
    for (unsigned f = 0; f < flips; f++) k.p[at[f] = next((uint32_t)k.n)] ^= 1u << (i & 7);
    struct lsi_outbuf out = output(next(2) ? N : 0, next(4) ? 1 << 20 : N);
    int rc = decode(codec[which], k.p, k.n, &out);
    /* Unsupported: what is damaged may ask for a dictionary. */
    assert_true(rc == 0 || rc == LSIO_ERR_CORRUPT || rc == LSIO_ERR_LIMIT || rc == LSIO_ERR_UNSUPPORTED);
    /* Checksums: what decodes at all is what was stored. The reserved-meaning bits of a header may
     * change without changing the content. */
    if (which < 4) {
      tries++;
      noticed += rc != 0;
      if (!rc && (out.length != N || memcmp(out.data, data, N)) && out.length)
        fail_msg("seed %#llx, try %d: damage was not noticed", (unsigned long long)seed, i);
    }
    lsi_free(out.data);
    for (unsigned f = 0; f < flips; f++) k.p[at[f]] ^= 1u << (i & 7);
  }
  assert_true(noticed > tries * 9 / 10);
  for (size_t i = 0; i < LSI_COUNTOF(all); i++) { /* and the decoder is as good as new */
    check(codec[i], all[i], data, N, 0, N);
    lsi_free(all[i].p);
  }
  lsi_free(data);
}

/* Puts a content size into an lz4 frame's header and mends its checksum. */
static void set_lz4_size(uint8_t *p, uint64_t size) {
  for (int i = 0; i < 8; i++) p[6 + i] = (uint8_t)(size >> 8 * i);
  p[14] = (uint8_t)(lsi_xxh32(p + 4, 10) >> 8);
}

static void huge_sizes_are_not_believed(void **state) {
  (void)state;
  uint8_t *data = make_data(10000);
  struct packed k = pack(LSI_CODEC_LZ4, 0, data, 10000);
  static const uint64_t claims[] = {UINT64_MAX, (uint64_t)1 << 63, (uint64_t)1 << 40, 1u << 31};
  for (size_t i = 0; i < LSI_COUNTOF(claims); i++) {
    set_lz4_size(k.p, claims[i]);
    struct lsi_outbuf out = output(0, SIZE_MAX);
    assert_int_equal(decode(LSI_CODEC_LZ4, k.p, k.n, &out), LSIO_ERR_CORRUPT);
    assert_int_equal(grown, 0);
  }
  set_lz4_size(k.p, 10001);
  expect_error(LSI_CODEC_LZ4, k.p, k.n, 10000, LSIO_ERR_LIMIT, "10000");
  assert_non_null(strstr(error.remedy, "decoded"));
  assert_non_null(strstr(error.remedy, "--memory"));
  expect_error(LSI_CODEC_LZ4, k.p, k.n, 20000, LSIO_ERR_CORRUPT, "less than the size");
  set_lz4_size(k.p, 9999);
  expect_error(LSI_CODEC_LZ4, k.p, k.n, 20000, LSIO_ERR_CORRUPT, "");
  assert_int_equal(grown_to, 9999);
  struct lsi_outbuf roomy = output(20000, 20000);
  assert_int_equal(decode(LSI_CODEC_LZ4, k.p, k.n, &roomy), LSIO_ERR_CORRUPT);
  lsi_free(roomy.data);
  lsi_free(k.p);
  /* zstd: a single-segment frame, 8 bytes of content size, one empty raw block. */
  uint8_t z[] = {0x28, 0xB5, 0x2F, 0xFD, 0xE0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0};
  struct lsi_outbuf out = output(0, SIZE_MAX);
  assert_int_equal(decode(LSI_CODEC_ZSTD, z, sizeof z, &out), LSIO_ERR_CORRUPT);
  assert_non_null(strstr(error.what, "can't hold"));
  assert_int_equal(grown, 0);
  lsi_free(data);
}

static void small_chunk_that_explodes(void **state) {
  (void)state;
  size_t n = 32 << 20;
  uint8_t *zeros = lsi_calloc(1, n);
  struct packed z = pack_zstd_stream(zeros, n),
                l = pack_lz4f(zeros, n, LZ4F_max4MB, false, false, false, false),
                b = pack(LSI_CODEC_LZ4_BLOCK, 0, zeros, n);
  assert_true(z.n < 8192);
  expect_error(LSI_CODEC_ZSTD, z.p, z.n, 1 << 20, LSIO_ERR_LIMIT, "1048576");
  assert_true(grown_to <= 1 << 20);
  expect_error(LSI_CODEC_LZ4, l.p, l.n, 1 << 20, LSIO_ERR_LIMIT, "1048576");
  assert_true(grown_to <= 1 << 20);
  expect_error(LSI_CODEC_LZ4_BLOCK, b.p, b.n, 1 << 20, LSIO_ERR_LIMIT, "1048576");
  assert_int_equal(grown, 0);
  lsi_free(z.p);
  lsi_free(l.p);
  lsi_free(b.p);
  lsi_free(zeros);
}

static void hostile_lz4_headers(void **state) {
  (void)state;
  uint8_t data[64] = "hostile", *p;
  struct packed k = pack(LSI_CODEC_LZ4, 0, data, sizeof data);
  p = k.p;
  for (int bit = 0; bit < 16; bit++) { /* every flag, the checksum mended */
    uint8_t *byte = p + 4 + bit / 8, old = *byte, sum = p[14];
    *byte ^= (uint8_t)(1u << (bit % 8));
    p[14] = (uint8_t)(lsi_xxh32(p + 4, 10) >> 8);
    struct lsi_outbuf out = output(0, 1 << 20);
    int rc = decode(LSI_CODEC_LZ4, p, k.n, &out);
    /* Independence of blocks and a block size of another known value change nothing here. */
    if (rc == 0) assert_memory_equal(out.data, data, sizeof data);
    bool harmless = bit == 5 || (bit >= 12 && bit <= 14);
    if (rc == 0 && !harmless) fail_msg("bit %d of the header was ignored", bit);
    lsi_free(out.data);
    *byte = old;
    p[14] = sum;
  }
  p[14] ^= 1;
  expect_error(LSI_CODEC_LZ4, p, k.n, 1000, LSIO_ERR_CORRUPT, "checksum of an lz4 frame's header");
  p[14] ^= 1;
  memcpy(p + 15, "\xFF\xFF\xFF\x7F", 4);
  expect_error(LSI_CODEC_LZ4, p, k.n, 1000, LSIO_ERR_CORRUPT, "larger than it may be");
  lsi_free(k.p);
}

static void no_memory(void **state) {
  (void)state;
  uint8_t *data = make_data(100000);
  for (int c = LSI_CODEC_LZ4; c <= LSI_CODEC_ZSTD; c++) {
    struct packed k = pack((enum lsi_codec)c, 0, data, 100000);
    struct lsi_outbuf out = output(0, 1 << 20);
    lsi_mem_fail_nth(1, true);
    assert_int_equal(decode((enum lsi_codec)c, k.p, k.n, &out), LSIO_ERR_NOMEM);
    lsi_mem_fail_nth(0, false);
    check((enum lsi_codec)c, k, data, 100000, 0, 1 << 20);
    lsi_free(k.p);
  }
  lsi_mem_fail_nth(1, false);
  assert_null(lsi_decoder_create());
  lsi_mem_fail_nth(0, false);
  lsi_decoder_destroy(NULL);
  lsi_free(data);
}

int main(void) {
  seed_from_env();
  const struct CMUnitTest tests[] = {
      TEST(names),           TEST(xxh32_vectors),        TEST(round_trips),
      TEST(lz4_frames_of_every_kind), TEST(lz4_blocks_see_the_first_byte), TEST(zstd_without_size),
      TEST(frames_in_a_row), TEST(every_truncation), TEST(bit_flips),
      TEST(huge_sizes_are_not_believed), TEST(small_chunk_that_explodes),
      TEST(hostile_lz4_headers), TEST(no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
