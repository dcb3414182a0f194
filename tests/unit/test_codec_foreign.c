/* What a codec is given and can't decode: nothing at all, chunks of other formats, frames that need a
 * dictionary. The error says what it is. */
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

#include "codec_support.h"

static int grow(struct lsi_outbuf *out, size_t at_least) {
  void *p = lsi_realloc(out->data, at_least);
  if (!p) return LSIO_ERR_NOMEM;
  out->data = p;
  out->capacity = at_least;
  return 0;
}

static void fails(enum lsi_codec codec, const void *src, size_t n, int code, const char *what) {
  struct lsi_outbuf out = {.limit = 1 << 20, .grow = grow};
  lsi_error_clear(&error);
  const int rc = lsi_decode(decoder, codec, src, n, &out, &error);
  lsi_free(out.data);
  if (rc != code) fail_msg("code %d instead of %d: %s", rc, code, error.what);
  if (!strstr(error.what, what)) fail_msg("'%s' does not say '%s'", error.what, what);
}

/* As `lz4 -t` and `zstd -t` say of empty files, and liblz4 of an empty block. */
static void empty_chunks(void **state) {
  (void)state;
  for (int c = LSI_CODEC_NONE; c < LSI_CODECS; c++) {
    const int want = c == LSI_CODEC_NONE || c == LSI_CODEC_LZ4 || c == LSI_CODEC_AUTO ? 0 : LSIO_ERR_CORRUPT;
    uint8_t room[8];
    struct lsi_outbuf out = {.limit = 100};
    assert_int_equal(lsi_decode(decoder, (enum lsi_codec)c, NULL, 0, &out, NULL), want);
    assert_int_equal(lsi_decode_once(c, NULL, 0, NULL, 0), want);
    assert_int_equal(lsi_decode_once(c, "", 0, room, sizeof room), want);
    if (want) fails((enum lsi_codec)c, "", 0, want, "an empty chunk holds no");
    /* No pieces of nothing: whole, with the same code. */
    assert_int_equal(lsi_pieces_begin(decoder, (enum lsi_codec)c, "", 0, 10, 100, 100, &out, &error), 0);
  }
  int64_t n = LZ4_decompress_safe("", (char[8]){0}, 0, 8);
  assert_true(n < 0);
}

/* A chunk of another format: what it is, in the remedy. */
static void looks_like_another_codec(void **state) {
  (void)state;
  const struct {
    enum lsi_codec codec;
    const char *bytes, *remedy;
  } rows[] = {
      {LSI_CODEC_LZ4, "\x28\xB5\x2F\xFD", "codec = \"zstd\""},
      {LSI_CODEC_ZSTD, "\x04\x22\x4D\x18", "codec = \"lz4\""},
      {LSI_CODEC_BLOSC, "\x04\x22\x4D\x18", "codec = \"lz4\""},
      {LSI_CODEC_BLOSC, "\x28\xB5\x2F\xFD", "codec = \"zstd\""},
      {LSI_CODEC_LZ4, "\x02\x01\x21\x04", "codec = \"blosc\""},
      {LSI_CODEC_ZSTD, "\x02\x01\x21\x04", "codec = \"blosc\""},
      {LSI_CODEC_BLOSC, "\x05\x01\x21\x04", "blosc2, which is not supported"},
      {LSI_CODEC_ZSTD, "\x05\x01\x21\x04", "check `codec`"},
      {LSI_CODEC_LZ4, "\x1F\x8B\x08\x08", "codec = \"gzip\""},
      {LSI_CODEC_ZLIB, "\x1F\x8B\x08\x08", "codec = \"gzip\""},
      {LSI_CODEC_GZIP, "\x28\xB5\x2F\xFD", "codec = \"zstd\""},
      {LSI_CODEC_GZIP, "\x78\x9C\xED", "codec = \"zlib\""},
      {LSI_CODEC_ZLIB, "\x04\x22\x4D\x18", "codec = \"lz4\""},
      {LSI_CODEC_GZIP, "BZh9", "bzip2"},
      {LSI_CODEC_GZIP, "a", "check `codec`"},
      {LSI_CODEC_ZLIB, "a", "check `codec`"},
      {LSI_CODEC_LZ4, "\x02\x21\x4C\x18", "the legacy format of lz4, which is not supported"},
      {LSI_CODEC_ZSTD, "\x02\x21\x4C\x18", "the legacy format of lz4"},
      {LSI_CODEC_ZSTD, "\x22\xB5\x2F\xFD", "zstd before 0.8, which is not supported"},
      {LSI_CODEC_ZSTD, "\x27\xB5\x2F\xFD", "zstd before 0.8"},
      {LSI_CODEC_LZ4, "\xFD\x2F\xB5\x1E", "zstd before 0.8"},
      {LSI_CODEC_ZSTD, "\x21\xB5\x2F\xFD", "check `codec`"},
      {LSI_CODEC_ZSTD, "\x37\xA4\x30\xEC", "a dictionary of zstd"},
      {LSI_CODEC_ZSTD, "\x78\x9C\xED", "codec = \"zlib\""},
      {LSI_CODEC_BLOSC, "\x78\x01\xED", "codec = \"zlib\""},
      {LSI_CODEC_LZ4, "\x78\x02\xED", "check `codec`"},
      {LSI_CODEC_ZSTD, "PK\3\4", "zip"},
      {LSI_CODEC_LZ4, "\x04\x22\x4D", "check `codec`"},
      {LSI_CODEC_ZSTD, "BZh9", "bzip2"},
      {LSI_CODEC_ZSTD, "\xFD\x37zX", "xz"},
      {LSI_CODEC_BLOSC, "abcd", "check `codec`"},
      {LSI_CODEC_LZ4_BLOCK, "\x04\x22\x4D\x18\x64\x40\xA7", "codec = \"lz4\""},
      {LSI_CODEC_LZ4_BLOCK, "\x28\xB5\x2F\xFD\x04\x58\x61", "codec = \"zstd\""},
      {LSI_CODEC_LZ4_BLOCK, "\x1F\x8B\x08\x08", "codec = \"gzip\""},
  };
  for (size_t i = 0; i < LSI_COUNTOF(rows); i++) {
    struct lsi_decoder *d = lsi_decoder_create();
    struct lsi_outbuf out = {.limit = 64};
    struct lsi_error err;
    lsi_error_clear(&err);
    assert_int_equal(lsi_decode(d, rows[i].codec, rows[i].bytes, strlen(rows[i].bytes), &out, &err),
                     LSIO_ERR_CORRUPT);
    assert_non_null(strstr(err.what, rows[i].codec == LSI_CODEC_LZ4_BLOCK
                                         ? "an lz4 block is corrupt"
                                         : "a chunk does not begin with a"));
    if (!strstr(err.remedy, rows[i].remedy)) fail_msg("row %zu: '%s'", i, err.remedy);
    lsi_decoder_destroy(d);
  }
}

/* `auto`: by the first bytes of each chunk, where they tell. */
static void codecs_that_are_found(void **state) {
  (void)state;
  uint8_t data[3000], stored[8000], decoded[4000];
  for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(next(4) * i);
  for (int c = LSI_CODEC_NONE; c < LSI_CODECS; c++) {
    const int64_t n = lsi_encode((enum lsi_codec)c, 0, data, sizeof data, stored + 11, sizeof stored - 11);
    const bool tells = c == LSI_CODEC_LZ4 || c == LSI_CODEC_ZSTD || c == LSI_CODEC_GZIP;
    assert_int_equal(lsi_codec_find(stored + 11, (size_t)n), tells ? c : LSI_CODEC_NONE);
    for (size_t k = 0; tells && k < 3; k++) assert_int_equal(lsi_codec_find(stored + 11, k), LSI_CODEC_NONE);
    if (!tells) assert_int_equal(lsi_decode_once(LSI_CODEC_AUTO, stored + 11, (size_t)n, decoded, 4000), n);
    else assert_int_equal(lsi_decode_once(LSI_CODEC_AUTO, stored + 11, (size_t)n, decoded, 4000), sizeof data);
    assert_memory_equal(decoded, tells ? data : stored + 11, tells ? sizeof data : (size_t)n);
    struct lsi_outbuf hot = {.limit = 8 << 20, .grow = grow};
    size_t at = 0, length;
    const void *p;
    int rc = lsi_pieces_begin(decoder, LSI_CODEC_AUTO, stored + 11, (size_t)n, 100, 1 << 20, 1 << 20, &hot, &error);
    while (rc == 1 && (rc = lsi_pieces_next(decoder, &p, &length, &error)) >= 0) {
      assert_memory_equal(p, decoded + at, length);
      at += length;
    }
    assert_int_equal(rc, 0);
    assert_true(at == (tells ? sizeof data : (size_t)n) || (c != LSI_CODEC_GZIP && tells && !at)); /* one block */
    lsi_free(hot.data);
    /* Skippable frames before it, as pzstd writes them, belong to both. */
    memcpy(stored, "\x50\x2A\x4D\x18\3\0\0\0abc", 11);
    if (c == LSI_CODEC_LZ4 || c == LSI_CODEC_ZSTD) assert_int_equal(lsi_codec_find(stored, 11 + (size_t)n), c);
    assert_int_equal(lsi_codec_find(stored, 11), LSI_CODEC_NONE);
    if (!tells) continue;
    /* Damage is told in the words of its codec, and not that it looks like it. */
    lsi_error_clear(&error);
    struct lsi_outbuf out = {.limit = 1 << 20, .grow = grow};
    assert_int_equal(lsi_decode(decoder, LSI_CODEC_AUTO, stored + 11, (size_t)n - 3, &out, &error), LSIO_ERR_CORRUPT);
    assert_non_null(strstr(error.what, lsi_codec_name((enum lsi_codec)c)));
    assert_string_equal(error.remedy, "");
    lsi_free(out.data);
  }
}

/* Whole and by pieces. */
static void needs_dictionary(enum lsi_codec codec, const uint8_t *src, size_t n, uint32_t id) {
  char what[120];
  snprintf(what, sizeof what, "needs the dictionary with ID %u, which %s", id,
           codec == LSI_CODEC_ZSTD ? "the job has not been given" : "LSIO can't be given yet");
  fails(codec, src, n, LSIO_ERR_UNSUPPORTED, what);
  assert_non_null(strstr(error.remedy, codec == LSI_CODEC_ZSTD ? "dictionary = \"PATH\"" : "without a dictionary"));
  struct lsi_outbuf hot = {.limit = 64 << 20, .grow = grow};
  const void *data;
  size_t length;
  lsi_error_clear(&error);
  int rc = lsi_pieces_begin(decoder, codec, src, n, 100, 1 << 20, 1 << 20, &hot, &error);
  while (rc == 1) rc = lsi_pieces_next(decoder, &data, &length, &error);
  assert_int_equal(rc, LSIO_ERR_UNSUPPORTED);
  assert_non_null(strstr(error.what, what));
  lsi_free(hot.data);
}

enum { N = 5000, ROOM = 3 * N };
static const uint32_t ids[] = {1, 255, 256, 65535, 65536, UINT32_MAX};

static void lz4_frames_with_a_dictionary(void **state) {
  (void)state;
  uint8_t data[N], frame[ROOM];
  for (size_t i = 0; i < N; i++) data[i] = (uint8_t)(next(4) * i);
  for (size_t i = 0; i < 2 * LSI_COUNTOF(ids); i++) {
    LZ4F_preferences_t p = LZ4F_INIT_PREFERENCES;
    p.frameInfo.dictID = ids[i / 2];
    p.frameInfo.contentSize = i & 1 ? N : 0;
    const size_t n = LZ4F_compressFrame(frame, sizeof frame, data, N, &p);
    assert_false(LZ4F_isError(n));
    needs_dictionary(LSI_CODEC_LZ4, frame, n, ids[i / 2]);
  }
}

/* The header tells: an ID is put into one of a plain frame. Also where a later frame needs it. */
static void zstd_frames_with_a_dictionary(void **state) {
  (void)state;
  uint8_t data[N], plain[ROOM], row[2 * ROOM + 4];
  for (size_t i = 0; i < N; i++) data[i] = (uint8_t)(next(4) * i);
  ZSTD_CCtx *c = ZSTD_createCCtx();
  for (size_t i = 0; i < 2 * LSI_COUNTOF(ids); i++) {
    const uint32_t id = ids[i / 2];
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, i & 1);
    const size_t n = ZSTD_compress2(c, plain, sizeof plain, data, N);
    assert_false(ZSTD_isError(n));
    const size_t at = plain[4] & 0x20 ? 5 : 6, bytes = id > 65535 ? 4 : id > 255 ? 2 : 1;
    uint8_t *frame = row + n;
    memcpy(row, plain, n);
    memcpy(frame, plain, at);
    frame[4] |= bytes == 4 ? 3 : (uint8_t)bytes;
    for (size_t b = 0; b < bytes; b++) frame[at + b] = (uint8_t)(id >> 8 * b);
    memcpy(frame + at + bytes, plain + at, n - at);
    assert_int_equal(ZSTD_getDictID_fromFrame(frame, n + bytes), id);
    needs_dictionary(LSI_CODEC_ZSTD, frame, n + bytes, id);
    needs_dictionary(LSI_CODEC_ZSTD, row, 2 * n + bytes, id);
  }
  ZSTD_freeCCtx(c);
}

/* One for several decoders; and a frame that names none, whole and by pieces. */
static void zstd_frames_with_their_dictionary(void **state) {
  (void)state;
  uint8_t refers_to[N + 500], data[N], frame[ROOM], decoded[N];
  for (size_t i = 0; i < sizeof refers_to; i++) refers_to[i] = (uint8_t)next(256);
  memcpy(data, refers_to + 300, N);
  ZSTD_CCtx *c = ZSTD_createCCtx();
  const size_t n = ZSTD_compress_usingDict(c, frame, sizeof frame, data, N, refers_to, sizeof refers_to, 19);
  ZSTD_freeCCtx(c);
  assert_true(n < N / 2);
  struct lsi_dictionary *dictionary = NULL;
  lsi_error_clear(&error);
  lsi_mem_fail_nth(1, false);
  assert_int_equal(lsi_dictionary_create(refers_to, sizeof refers_to, &dictionary, &error), LSIO_ERR_NOMEM);
  lsi_mem_fail_nth(0, false);
  assert_int_equal(lsi_dictionary_create(refers_to, sizeof refers_to, &dictionary, NULL), 0);
  fails(LSI_CODEC_ZSTD, frame, n, LSIO_ERR_CORRUPT, "a zstd frame"); /* without it */
  for (int i = 0; i < 3; i++) {
    struct lsi_decoder *d = lsi_decoder_create();
    lsi_decoder_use(d, dictionary);
    for (int again = 0; again < 2; again++) {
      struct lsi_outbuf out = {.data = decoded, .capacity = N, .limit = N};
      memset(decoded, 0, N);
      assert_int_equal(lsi_decode(d, LSI_CODEC_ZSTD, frame, n, &out, NULL), 0);
      assert_true(out.length == N && !memcmp(decoded, data, N));
      struct lsi_outbuf hot = {.limit = 8 << 20, .grow = grow};
      size_t at = 0, length;
      const void *p;
      /* It is one window, and too large to be taken whole. */
      int rc = lsi_pieces_begin(d, LSI_CODEC_ZSTD, frame, n, 700, N, N - 1, &hot, NULL);
      assert_int_equal(rc, 1);
      while (rc == 1 && (rc = lsi_pieces_next(d, &p, &length, NULL)) >= 0) {
        assert_memory_equal(p, data + at, length);
        at += length;
      }
      assert_true(rc == 0 && at == N);
      lsi_free(hot.data);
    }
    lsi_decoder_destroy(d);
  }
  lsi_dictionary_free(dictionary);
  lsi_dictionary_free(NULL);
}

int main(void) {
  seed_from_env();
  const struct CMUnitTest tests[] = {
      TEST(empty_chunks),
      TEST(looks_like_another_codec),
      TEST(codecs_that_are_found),
      TEST(lz4_frames_with_a_dictionary),
      TEST(zstd_frames_with_a_dictionary),
      TEST(zstd_frames_with_their_dictionary),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
