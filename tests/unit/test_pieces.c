/* Chunks decoded by pieces: the same bytes as decoding them whole, and the same codes for damage, for
 * every codec, kind of frame and size of piece; and within the memory that was given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <blosc.h>
#include <cmocka.h>
#include <lz4frame.h>
#include <zstd.h>

#include "codec/codec_impl.h"
#include "codec_support.h"

static uint8_t *make_data(size_t n) {
  uint8_t *p = lsi_malloc(n + 1);
  assert_non_null(p);
  for (size_t i = 0; i < n;) {
    size_t end = i + 1 + next(9000);
    uint32_t kind = next(5);
    for (; i < end && i < n; i++)
      p[i] = (uint8_t)(kind == 0   ? next(256)
                       : kind == 1 ? 7
                       : i > 60000 ? p[i - 50000 + next(2)] /* far back */
                       : i > 300   ? p[i - 1 - next(2) * 299]
                                   : i);
  }
  return p;
}

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
  return 0;
}

struct packed {
  uint8_t *p;
  size_t n;
};

static struct packed pack_lz4(const void *src, size_t n, unsigned bits) {
  LZ4F_preferences_t p = LZ4F_INIT_PREFERENCES;
  p.frameInfo.blockSizeID = (LZ4F_blockSizeID_t)(LZ4F_max64KB + (bits >> 4) % 4);
  p.frameInfo.blockMode = bits & 1 ? LZ4F_blockLinked : LZ4F_blockIndependent;
  p.frameInfo.blockChecksumFlag = bits & 2 ? LZ4F_blockChecksumEnabled : LZ4F_noBlockChecksum;
  p.frameInfo.contentChecksumFlag = bits & 4 ? LZ4F_contentChecksumEnabled : LZ4F_noContentChecksum;
  p.frameInfo.contentSize = bits & 8 ? n : 0;
  p.autoFlush = 1;
  struct packed k = {lsi_malloc(LZ4F_compressFrameBound(n, &p)), 0};
  k.n = LZ4F_compressFrame(k.p, LZ4F_compressFrameBound(n, &p), src, n, &p);
  assert_false(LZ4F_isError(k.n));
  return k;
}

static struct packed pack_zstd(const void *src, size_t n, unsigned bits) {
  ZSTD_CCtx *c = ZSTD_createCCtx();
  size_t cap = ZSTD_compressBound(n) + 1024;
  struct packed k = {lsi_malloc(cap), 0};
  ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, 1);
  ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, bits & 1);
  ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, bits >> 1 & 1);
  if (bits & 4) ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, (int)(10 + (bits >> 3) % 9));
  k.n = ZSTD_compress2(c, k.p, cap, src, n);
  assert_false(ZSTD_isError(k.n));
  ZSTD_freeCCtx(c);
  return k;
}

static struct packed pack_blosc(const void *src, size_t n, unsigned bits) {
  static const char *const names[] = {"blosclz", "lz4", "lz4hc", "zlib", "zstd"};
  const size_t zeros = bits & 128 ? 1 + bits % 50 : 0; /* behind the frame */
  struct packed k = {lsi_malloc(n + BLOSC_MAX_OVERHEAD + zeros), 0};
  int got = blosc_compress_ctx(bits & 64 ? 9 : 1, (int)(bits % 3), 1 + bits % 9, n, src, k.p,
                               n + BLOSC_MAX_OVERHEAD, names[bits % 5], bits & 32 ? 4096 : 50000, 1);
  assert_true(got > 0);
  memset(k.p + got, 0, zeros); /* the encoder writes there, too */
  k.n = (size_t)got + zeros;
  return k;
}

static struct packed pack(enum lsi_codec codec, const void *src, size_t n, unsigned bits) {
  switch (codec) {
  case LSI_CODEC_LZ4: return pack_lz4(src, n, bits);
  case LSI_CODEC_ZSTD: return pack_zstd(src, n, bits);
  case LSI_CODEC_BLOSC: return pack_blosc(src, n, bits);
  default: {
    struct packed k = {lsi_malloc(n + 1), n};
    if (n) memcpy(k.p, src, n);
    return k;
  }
  }
}

/* Several frames in a row, empty ones and skippable ones among them. */
static struct packed pack_row(enum lsi_codec codec, const uint8_t *src, size_t n) {
  struct packed all = {lsi_malloc(2 * n + (64 << 10)), 0};
  size_t at = 0;
  for (unsigned i = 0; at < n || i < 3; i++) {
    size_t part = i % 4 == 2 ? 0 : next(60000);
    part = LSI_MIN(part, n - at);
    struct packed k = pack(codec, src + at, part, next(256));
    memcpy(all.p + all.n, k.p, k.n);
    all.n += k.n;
    at += part;
    lsi_free(k.p);
    if (next(3)) continue;
    const uint8_t skip[] = {0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3};
    memcpy(all.p + all.n, skip, sizeof skip);
    all.n += sizeof skip;
  }
  return all;
}

static int whole(enum lsi_codec codec, struct packed k, uint64_t limit, struct lsi_outbuf *out) {
  *out = (struct lsi_outbuf){.limit = limit, .grow = grow};
  lsi_error_clear(&error);
  return lsi_decode(decoder, codec, k.p, k.n, out, &error);
}

static unsigned pieces; /* of the last chunk; 0: it was decoded whole */
static uint64_t room = UINT64_MAX; /* for a whole one */

/* By pieces, put together again in *out. */
static int by_pieces(enum lsi_codec codec, struct packed k, size_t size, uint64_t limit,
                     size_t memory, struct lsi_outbuf *out) {
  struct lsi_outbuf hot = {.limit = memory, .grow = grow};
  lsi_error_clear(&error);
  pieces = 0;
  int rc = lsi_pieces_begin(decoder, codec, k.p, k.n, size, limit, room, &hot, &error);
  if (rc == 0) return whole(codec, k, limit, out);
  *out = (struct lsi_outbuf){.limit = SIZE_MAX, .grow = grow};
  while (rc == 1) {
    const void *data;
    size_t n;
    rc = lsi_pieces_next(decoder, &data, &n, &error);
    if (rc < 0) break;
    pieces++;
    if (rc == 1) assert_int_equal(n, size);
    assert_true(n <= size);
    if (out->length + n > out->capacity) assert_int_equal(grow(out, 2 * (out->length + n)), 0);
    if (n) memcpy((char *)out->data + out->length, data, n);
    out->length += n;
  }
  lsi_free(hot.data);
  assert_int_equal(rc, error.code);
  return rc;
}

static void same(enum lsi_codec codec, struct packed k, const void *data, size_t n, size_t size) {
  struct lsi_outbuf out;
  int rc = by_pieces(codec, k, size, n, 64 << 20, &out);
  if (rc)
    fail_msg("seed %#llx: %s, pieces of %zu: %s", (unsigned long long)seed, lsi_codec_name(codec), size,
             error.what);
  assert_int_equal(out.length, n);
  if (n) assert_memory_equal(out.data, data, n);
  lsi_free(out.data);
}

static const enum lsi_codec codecs[] = {LSI_CODEC_NONE, LSI_CODEC_LZ4, LSI_CODEC_ZSTD,
                                        LSI_CODEC_BLOSC};
static const size_t sizes[] = {0, 1, 1000, 65536, 131072, 300003, 1500000};

static void the_same_bytes(void **state) {
  (void)state;
  static const size_t piece[] = {8, 1000, 4096, 65536, 100000, 262144};
  unsigned cut = 0;
  for (size_t i = 0; i < LSI_COUNTOF(sizes); i++) {
    uint8_t *data = make_data(sizes[i]);
    for (size_t c = 0; c < LSI_COUNTOF(codecs); c++)
      for (unsigned t = 0; t < 24; t++) {
        struct packed k = pack(codecs[c], data, sizes[i], next(256));
        same(codecs[c], k, data, sizes[i], piece[t % LSI_COUNTOF(piece)]);
        if (pieces && sizes[i])
          assert_int_equal(pieces, (sizes[i] - 1) / piece[t % LSI_COUNTOF(piece)] + 1);
        cut += pieces > 1;
        lsi_free(k.p);
      }
    lsi_free(data);
  }
  assert_true(cut > 100);
}

static void frames_in_a_row(void **state) {
  (void)state;
  for (int t = 0; t < 60; t++) {
    size_t n = next(500000);
    uint8_t *data = make_data(n);
    for (int c = 1; c < 3; c++) {
      struct packed k = pack_row(codecs[c], data, n);
      same(codecs[c], k, data, n, 1 + next(100000));
      lsi_free(k.p);
    }
    lsi_free(data);
  }
}

static void short_ones_and_single_blocks_stay_whole(void **state) {
  (void)state;
  size_t n = 4 << 20;
  uint8_t *data = make_data(n);
  struct lsi_outbuf hot = {.limit = 64 << 20, .grow = grow};
  struct {
    enum lsi_codec codec;
    struct packed k;
    size_t size;
    int begins;
  } all[] = {
      {LSI_CODEC_NONE, pack(LSI_CODEC_NONE, data, 1999, 0), 1000, 0},
      {LSI_CODEC_NONE, pack(LSI_CODEC_NONE, data, 2000, 0), 1000, 1},
      {LSI_CODEC_LZ4, pack(LSI_CODEC_LZ4, data, n, 0x30), 65536, 0}, /* a block of 4 MiB */
      {LSI_CODEC_LZ4, pack(LSI_CODEC_LZ4, data, n, 0x20), 65536, 1},
      {LSI_CODEC_LZ4, pack(LSI_CODEC_LZ4, data, 131071, 8), 65536, 0},
      {LSI_CODEC_LZ4, pack(LSI_CODEC_LZ4, data, 131072, 8), 65536, 1},
      {LSI_CODEC_ZSTD, pack(LSI_CODEC_ZSTD, data, 400000, 2), 65536, 0}, /* a single segment */
      {LSI_CODEC_ZSTD, pack(LSI_CODEC_ZSTD, data, n, 6), 65536, 1},
      {LSI_CODEC_ZSTD, pack(LSI_CODEC_ZSTD, data, n, 6), 3 << 20, 0},
      {LSI_CODEC_BLOSC, pack(LSI_CODEC_BLOSC, data, 40000, 1), 1000, 0}, /* one block */
      {LSI_CODEC_BLOSC, pack(LSI_CODEC_BLOSC, data, n, 36), 65536, 1},
      {LSI_CODEC_BLOSC, pack(LSI_CODEC_BLOSC, data, n, 36), 3 << 20, 0},
      {LSI_CODEC_LZ4_BLOCK, pack(LSI_CODEC_NONE, data, n, 0), 1000, 0},
  };
  for (size_t i = 0; i < LSI_COUNTOF(all); i++) {
    int rc = lsi_pieces_begin(decoder, all[i].codec, all[i].k.p, all[i].k.n, all[i].size, UINT64_MAX,
                              UINT64_MAX, &hot, &error);
    if (rc != all[i].begins) fail_msg("chunk %zu: %d", i, rc);
    lsi_free(all[i].k.p);
  }
  lsi_free(hot.data);
  lsi_free(data);
}

static void damage_has_the_same_code(void **state) {
  (void)state;
  unsigned wrong = 0, windows = 0;
  for (int t = 0; t < 3000; t++) {
    size_t n = 20000 + next(60000);
    enum lsi_codec codec = codecs[1 + t % 3];
    uint8_t *data = make_data(n);
    struct packed k = codec != LSI_CODEC_BLOSC && t & 8 ? pack_row(codec, data, n)
                                                         : pack(codec, data, n, next(256) | 32);
    if (next(4) == 0) k.n = 1 + next((uint32_t)k.n); /* cut short */
    for (unsigned f = next(3); f; f--) k.p[next(next(2) && k.n > 64 ? 64 : (uint32_t)k.n)] ^= 1u << next(8);
    struct packed exact = {lsi_malloc(k.n), k.n}; /* so that a sanitizer sees a byte read behind it */
    memcpy(exact.p, k.p, k.n);
    struct lsi_outbuf a, b;
    int rc = whole(codec, exact, 64 << 20, &a);
    int got = by_pieces(codec, exact, 1 + next(30000), 64 << 20, 512 << 20, &b);
    /* A total beyond its limit can be seen sooner or later than damage; and where a zstd frame refers
     * further back than its header says, only pieces find nothing there. */
    const bool window = codec == LSI_CODEC_ZSTD && !rc && got == LSIO_ERR_CORRUPT;
    windows += window;
    if (rc != got && rc != LSIO_ERR_LIMIT && got != LSIO_ERR_LIMIT && !window)
      fail_msg("seed %#llx, try %d, %s: code %d whole, %d by pieces", (unsigned long long)seed, t,
               lsi_codec_name(codec), rc, got);
    if (!rc && !got) {
      assert_int_equal(a.length, b.length);
      assert_memory_equal(a.data, b.data, a.length);
    }
    wrong += got != 0;
    lsi_free(a.data);
    lsi_free(b.data);
    lsi_free(exact.p);
    lsi_free(k.p);
    lsi_free(data);
  }
  assert_true(wrong > 500);
  assert_true(windows < 20);
}

static void limits(void **state) {
  (void)state;
  size_t n = 1500000;
  uint8_t *data = make_data(n);
  for (size_t c = 1; c < LSI_COUNTOF(codecs); c++)
    for (unsigned bits = 0; bits < 16; bits += 2) { /* sizes that frames state, and not */
      struct packed k = pack(codecs[c], data, n, bits | 4);
      struct lsi_outbuf out;
      assert_int_equal(by_pieces(codecs[c], k, 65536, n - 1, 64 << 20, &out), LSIO_ERR_LIMIT);
      assert_non_null(strstr(error.what, "1499999"));
      lsi_free(out.data);
      assert_null(strstr(error.remedy, "`piece`"));
      /* Pieces would take more memory than they may: whole, unless it says that this takes too much, too. */
      const bool known = codecs[c] == LSI_CODEC_BLOSC || bits & (codecs[c] == LSI_CODEC_LZ4 ? 8 : 2);
      room = n;
      assert_int_equal(by_pieces(codecs[c], k, 65536, n, 100000, &out), 0);
      assert_int_equal(pieces, 0);
      lsi_free(out.data);
      room = n - 1;
      assert_int_equal(by_pieces(codecs[c], k, 65536, n, 100000, &out), known ? LSIO_ERR_LIMIT : 0);
      if (known) assert_non_null(strstr(error.what, "by pieces of 65536"));
      if (known) assert_non_null(strstr(error.remedy, "--memory"));
      room = UINT64_MAX;
      lsi_free(out.data);
      lsi_free(k.p);
    }
  lsi_free(data);
}

/* 64 MiB of content: the buffer stays small, whatever there is. */
static void a_large_chunk_in_little_memory(void **state) {
  (void)state;
  size_t n = 64 << 20, most = 5 << 20;
  uint8_t *zeros = lsi_calloc(1, n);
  for (size_t i = 0; i < n; i += 65536) zeros[i] = (uint8_t)(i >> 16);
  for (size_t c = 1; c < LSI_COUNTOF(codecs); c++) {
    struct packed k = pack(codecs[c], zeros, n, codecs[c] == LSI_CODEC_BLOSC ? 4 : 8 + 5);
    struct lsi_outbuf hot = {.limit = most, .grow = grow};
    size_t at = 0, length;
    const void *data;
    lsi_error_clear(&error);
    int rc = lsi_pieces_begin(decoder, codecs[c], k.p, k.n, 256 << 10, UINT64_MAX, 0, &hot, &error);
    while (rc == 1) {
      rc = lsi_pieces_next(decoder, &data, &length, &error);
      if (rc < 0) break;
      assert_memory_equal(data, zeros + at, length);
      at += length;
    }
    if (rc || at != n) fail_msg("%s: %s, %zu bytes", lsi_codec_name(codecs[c]), error.what, at);
    assert_true(hot.capacity <= most);
    lsi_free(hot.data);
    lsi_free(k.p);
  }
  lsi_free(zeros);
}

/* ---- windows of zstd ---- */

enum { WINDOW_2G = 21 << 3, WINDOW_MOST = WINDOW_2G + 7 }; /* 2 and 3.75 GiB, as headers state them */

/* A frame of n bytes that states another window than it uses. */
static struct packed pack_window(const void *src, size_t n, bool known, uint8_t window) {
  struct packed k = pack_zstd(src, n, 4 + 8 * 8 + (known ? 3 : 1)); /* 256 KiB */
  assert_false(k.p[4] & 0x20);
  k.p[5] = window;
  return k;
}

static void append(struct packed *all, struct packed k) {
  all->p = lsi_realloc(all->p, all->n + k.n);
  memcpy(all->p + all->n, k.p, k.n);
  all->n += k.n;
  lsi_free(k.p);
}

/* What is stated and not used takes no memory. */
static void windows_that_are_stated_only(void **state) {
  (void)state;
  static const uint8_t windows[] = {WINDOW_2G, WINDOW_2G + 1, WINDOW_MOST, 17 << 3};
  size_t n = 1500000;
  uint8_t *data = make_data(n);
  for (size_t i = 0; i < LSI_COUNTOF(windows); i++)
    for (int frames = 1; frames < 4; frames++)
      for (int known = 0; known < 2; known++) {
        struct packed k = {NULL, 0};
        for (int f = 0; f < frames; f++) {
          const size_t at = n * (size_t)f / (size_t)frames, end = n * ((size_t)f + 1) / (size_t)frames;
          append(&k, pack_window(data + at, end - at, known, windows[i]));
        }
        struct lsi_outbuf out;
        int rc = by_pieces(LSI_CODEC_ZSTD, k, 65536, n, 3 << 20, &out);
        if (rc) fail_msg("window %u: %s", windows[i], error.what);
        assert_int_equal(out.length, n);
        assert_memory_equal(out.data, data, n);
        /* Of one frame that states its size, the window is all of it. */
        assert_int_equal(pieces, known && frames == 1 ? 0 : (n - 1) / 65536 + 1);
        assert_true(ZSTD_sizeof_DCtx(decoder->own[LSI_CODEC_ZSTD]) < 3 << 20);
        lsi_free(out.data);
        lsi_free(k.p);
      }
  lsi_free(data);
}

/* What is used and too large for pieces is found before the first one, also in a later frame. */
static void windows_that_do_not_fit(void **state) {
  (void)state;
  size_t n = 3 << 20;
  uint8_t *data = make_data(n);
  for (int known = 0; known < 2; known++) {
    struct packed k = pack_zstd(data, n, 4 + (known ? 2 : 0)); /* 1 KiB */
    append(&k, pack_window(data, n, known, WINDOW_2G));
    struct lsi_outbuf out;
    room = 2 * n;
    assert_int_equal(by_pieces(LSI_CODEC_ZSTD, k, 65536, 2 * n, 3 << 20, &out), 0);
    assert_int_equal(out.length, 2 * n);
    assert_int_equal(pieces, 0);
    lsi_free(out.data);
    assert_int_equal(by_pieces(LSI_CODEC_ZSTD, k, 65536, 2 * n, 5 << 20, &out), 0);
    assert_int_equal(pieces, 2 * n / 65536);
    lsi_free(out.data);
    room = n;
    const int want = known ? LSIO_ERR_LIMIT : 0; /* without sizes that is only found by trying */
    assert_int_equal(by_pieces(LSI_CODEC_ZSTD, k, 65536, 2 * n, 3 << 20, &out), want);
    lsi_free(out.data);
    lsi_free(k.p);
  }
  room = UINT64_MAX;
  lsi_free(data);
}

/* Whole would save a copy, but fits less; and a window of 8 MiB is not kept for chunks that need none. */
static void a_single_window_comes_by_pieces_where_it_must(void **state) {
  (void)state;
  size_t n = 8 << 20;
  uint8_t *data = make_data(n);
  struct packed k = pack_window(data, n, true, WINDOW_2G), tiny = pack_zstd(data, 1000, 1);
  struct lsi_outbuf out;
  room = n;
  assert_int_equal(by_pieces(LSI_CODEC_ZSTD, k, 65536, n, 16 << 20, &out), 0);
  assert_int_equal(pieces, 0);
  lsi_free(out.data);
  room = n - 1;
  assert_int_equal(by_pieces(LSI_CODEC_ZSTD, k, 65536, n, 16 << 20, &out), 0);
  assert_int_equal(pieces, n / 65536);
  assert_memory_equal(out.data, data, n);
  assert_true(ZSTD_sizeof_DCtx(decoder->own[LSI_CODEC_ZSTD]) > n);
  lsi_free(out.data);
  assert_int_equal(whole(LSI_CODEC_ZSTD, tiny, 1000, &out), 0);
  assert_true(ZSTD_sizeof_DCtx(decoder->own[LSI_CODEC_ZSTD]) < 1 << 20);
  room = UINT64_MAX;
  lsi_free(out.data);
  lsi_free(k.p);
  lsi_free(tiny.p);
  lsi_free(data);
}

static void no_memory(void **state) {
  (void)state;
  uint8_t *data = make_data(300000);
  for (size_t c = 1; c < LSI_COUNTOF(codecs); c++) {
    struct packed k = pack(codecs[c], data, 300000, 4);
    struct lsi_outbuf hot = {.limit = 8 << 20, .grow = grow};
    int rc = 0;
    unsigned failed = 0;
    for (unsigned nth = 1; !failed || rc; nth++) {
      const void *p;
      size_t n;
      lsi_decoder_destroy(decoder);
      decoder = lsi_decoder_create();
      lsi_free(hot.data);
      hot.data = NULL;
      hot.capacity = 0;
      lsi_mem_fail_nth(nth, false);
      rc = lsi_pieces_begin(decoder, codecs[c], k.p, k.n, 4096, UINT64_MAX, 0, &hot, NULL);
      while (rc == 1) rc = lsi_pieces_next(decoder, &p, &n, NULL);
      lsi_mem_fail_nth(0, false);
      assert_true(rc == 0 || rc == LSIO_ERR_NOMEM);
      failed += rc != 0;
      if (!rc) break;
    }
    assert_true(failed >= 1);
    lsi_free(hot.data);
    lsi_free(k.p);
  }
  lsi_free(data);
}

int main(void) {
  seed_from_env();
  const struct CMUnitTest tests[] = {
      TEST(the_same_bytes),
      TEST(frames_in_a_row),
      TEST(short_ones_and_single_blocks_stay_whole),
      TEST(damage_has_the_same_code),
      TEST(limits),
      TEST(a_large_chunk_in_little_memory),
      TEST(windows_that_are_stated_only),
      TEST(windows_that_do_not_fit),
      TEST(a_single_window_comes_by_pieces_where_it_must),
      TEST(no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
