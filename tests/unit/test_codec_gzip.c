/* gzip and zlib: every head, several members, cuts, damage, segments of any length, pieces, limits, little
 * memory; with each library that inflates, and in one go, held against zlib's own reading of gzip. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/codec_gzip.h"
#include "codec/codec_inflate_whole.h"
#include "gzip_chunks.h"

static void use(const struct lsi_inflate_ops *l) {
  lsi_gunzip_free(decoder->own[LSI_CODEC_GZIP]);
  decoder->own[LSI_CODEC_GZIP] = lsi_gunzip_create(l);
  assert_non_null(decoder->own[LSI_CODEC_GZIP]);
}

/* Each library, and then what is decoded in one go where it can be. */
static bool use_way(unsigned way) {
  unsigned n = 0;
  while (lsi_inflate_libraries[n]) n++;
  if (way > n) return false;
  use(lsi_inflate_libraries[way % n]);
  if (way < n) lsi_gunzip_by_library(decoder->own[LSI_CODEC_GZIP]);
  return true;
}

#define EACH_WAY(way) for (unsigned way = 0; use_way(way); way++)

static int grow(struct lsi_outbuf *out, size_t at_least) {
  assert_true(at_least <= out->limit && at_least > out->capacity);
  char *p = lsi_malloc(at_least);
  if (!p) return LSIO_ERR_NOMEM;
  if (out->length) memcpy(p, out->data, out->length);
  lsi_free(out->data);
  out->data = p;
  out->capacity = at_least;
  return 0;
}

static int decode(enum lsi_codec codec, const uint8_t *src, size_t n, size_t capacity, size_t limit,
                  struct lsi_outbuf *out) {
  *out = (struct lsi_outbuf){.data = capacity ? lsi_malloc(capacity) : NULL, .capacity = capacity,
                             .limit = limit, .grow = grow};
  /* Of just its length, so that what reads beyond is seen. */
  uint8_t *exact = lsi_malloc(n + !n);
  memcpy(exact, src, n);
  lsi_error_clear(&error);
  const int rc = lsi_decode(decoder, codec, exact, n, out, &error);
  lsi_free(exact);
  assert_int_equal(rc, error.code);
  return rc;
}

static void decodes_to(enum lsi_codec codec, const uint8_t *src, size_t n, const uint8_t *want, size_t want_n) {
  const size_t capacities[] = {0, 1, want_n / 2, want_n, want_n + 1, want_n + 100000};
  for (size_t i = 0; i < LSI_COUNTOF(capacities); i++) {
    struct lsi_outbuf out;
    const size_t limit = i & 1 ? LSI_MAX(want_n, capacities[i]) : ROOM;
    if (decode(codec, src, n, capacities[i], limit, &out)) fail_msg("%s", error.what);
    assert_int_equal(out.length, want_n);
    if (want_n) assert_memory_equal(out.data, want, want_n);
    if (capacities[i] == want_n) assert_int_equal(out.capacity, want_n); /* no more than it needs */
    lsi_free(out.data);
  }
}

static void fails(enum lsi_codec codec, const uint8_t *src, size_t n, int code, const char *what) {
  struct lsi_outbuf out;
  for (size_t capacity = 0; capacity <= ROOM; capacity += ROOM) { /* with all the room there may be, too */
    const int rc = decode(codec, src, n, capacity, ROOM, &out);
    if (rc != code) fail_msg("code %d instead of %d: %s", rc, code, error.what);
    if (!strstr(error.what, what)) fail_msg("'%s' does not say '%s'", error.what, what);
    lsi_free(out.data);
  }
}

/* Segments and rooms of random lengths. Returns as lsi_decode(). */
static int in_segments(enum lsi_codec codec, const uint8_t *src, size_t n, size_t first, uint32_t most, size_t *got) {
  struct lsi_gunzip *g = decoder->own[LSI_CODEC_GZIP];
  lsi_gunzip_begin(g, codec == LSI_CODEC_ZLIB);
  lsi_error_clear(&error);
  *got = 0;
  for (size_t at = 0;;) {
    const size_t some = first ? first : next(most + 1), k = LSI_MIN(n - at, some);
    first = 0;
    uint8_t *segment = lsi_malloc(k + !k); /* of its own, and gone when it has been read */
    memcpy(segment, src + at, k);
    at += k;
    struct lsi_inflate_io io = {.in = segment, .end = segment + k};
    int rc;
    do {
      const size_t room = next(3) ? next(most + 1) : next(2);
      assert_true(*got + room <= sizeof plain);
      io.out = plain + *got;
      io.room = room;
      rc = lsi_gunzip_run(g, &io, at == n, &error);
      *got += room - io.room;
    } while (rc == 1 && (!io.room || io.in < io.end));
    lsi_free(segment);
    if (rc <= 0) return rc;
    assert_true(at < n);
  }
}

/* ---- tests ---- */

static const enum lsi_codec both[] = {LSI_CODEC_GZIP, LSI_CODEC_ZLIB};

static void round_trips(void **state) {
  (void)state;
  EACH_WAY(way) {
    for (unsigned i = 0; i < 60; i++) {
      const size_t n = i < 4 ? i : next(i % 3 ? 3000 : sizeof data);
      make_data(n);
      for (size_t c = 0; c < 2; c++) {
        size_t used = chunk(both[c], n, stored);
        assert_int_equal(oracle(both[c], stored, used, plain, sizeof plain), n);
        decodes_to(both[c], stored, used, data, n);
        const int64_t k = lsi_encode(both[c], (int)(i % 10), data, n, stored, lsi_encode_bound(both[c], n));
        assert_true(k > 0);
        assert_int_equal(oracle(both[c], stored, (size_t)k, plain, sizeof plain), n);
        decodes_to(both[c], stored, (size_t)k, data, n);
        assert_int_equal(lsi_encode(both[c], 0, data, n, plain, 5), LSIO_ERR_LIMIT);
      }
    }
  }
}

static void heads(void **state) {
  (void)state;
  make_data(500);
  EACH_WAY(way) {
    for (unsigned flags = 0; flags < 256; flags++) {
      const size_t n = member(data, 500, flags, 6, stored);
      if (flags & 0xE0) fails(LSI_CODEC_GZIP, stored, n, LSIO_ERR_CORRUPT, "flags that mean nothing yet");
      else decodes_to(LSI_CODEC_GZIP, stored, n, data, 500);
      if (!(flags & 2) || flags & 0xE0) continue;
      stored[4] ^= 1; /* of the time, which nothing else looks at */
      fails(LSI_CODEC_GZIP, stored, n, LSIO_ERR_CORRUPT, "a head whose checksum is wrong");
    }
    size_t n = member(data, 500, 0, 6, stored);
    stored[2] = 7;
    fails(LSI_CODEC_GZIP, stored, n, LSIO_ERR_CORRUPT, "compressed in an unknown way");
    n = deflate_body(data, 500, 15, 6, stored);
    for (unsigned head = 0; head < 65536; head++) {
      stored[0] = (uint8_t)(head >> 8);
      stored[1] = (uint8_t)head;
      struct lsi_outbuf out;
      const bool right = stored[0] % 16 == 8 && stored[0] < 128 && head % 31 == 0;
      const int want = !right ? LSIO_ERR_CORRUPT : head & 32 ? LSIO_ERR_UNSUPPORTED : 0;
      if (decode(LSI_CODEC_ZLIB, stored, n, 0, ROOM, &out) != want) fail_msg("%x: %s", head, error.what);
      lsi_free(out.data);
    }
    fails(LSI_CODEC_ZLIB, (const uint8_t *)"\x78\x20\1\2\3\4", 6, LSIO_ERR_UNSUPPORTED, "with ID 16909060");
  }
}

static void what_follows(void **state) {
  (void)state;
  make_data(500);
  EACH_WAY(way) {
    for (size_t c = 0; c < 2; c++) {
      size_t n = chunk(both[c], 500, stored);
      memset(stored + n, 0, 5000);
      for (size_t zeros = 0; zeros < 5000; zeros += zeros < 20 ? 1 : 997)
        decodes_to(both[c], stored, n + zeros, data, 500);
      for (size_t at = 0; at < 20; at++) {
        stored[n + at] = 0x1F; /* a member behind zeros is none */
        fails(both[c], stored, n + 20, LSIO_ERR_CORRUPT, c ? "bytes after a zlib stream" : "a gzip member");
        assert_int_equal(oracle(both[c], stored, n + 20, plain, sizeof plain), -1);
        stored[n + at] = 0;
      }
      memcpy(stored + n + 3, stored, n);
      fails(both[c], stored, 2 * n + 3, LSIO_ERR_CORRUPT, c ? "bytes after a zlib stream" : "bytes after a gzip member");
      memcpy(stored + n, stored, n);
      if (c) fails(both[c], stored, 2 * n, LSIO_ERR_CORRUPT, "there are bytes after a zlib stream that are not zero");
    }
    size_t n = chunk(LSI_CODEC_GZIP, 500, stored);
    memcpy(stored + n, "garbage", 7);
    fails(LSI_CODEC_GZIP, stored, n + 7, LSIO_ERR_CORRUPT, "bytes after a gzip member are not another one");
  }
}

static void cut_at_every_place(void **state) {
  (void)state;
  EACH_WAY(way) {
    for (unsigned round = 0; round < 12; round++) {
      const size_t size = round % 2 ? 40 : 800;
      make_data(size);
      for (size_t c = 0; c < 2; c++) {
        const size_t n = chunk(both[c], size, stored);
        for (size_t cut = 0; cut < n; cut++) {
          const int64_t want = cut ? oracle(both[c], stored, cut, plain, sizeof plain) : -1;
          struct lsi_outbuf out;
          assert_int_equal(decode(both[c], stored, cut, 0, ROOM, &out), want < 0 ? LSIO_ERR_CORRUPT : 0);
          assert_true(want < 0 || (int64_t)out.length == want);
          if (cut && want < 0) assert_non_null(strstr(error.what, "is cut short"));
          lsi_free(out.data);
          /* And as a place between two segments. */
          size_t got;
          assert_int_equal(in_segments(both[c], stored, n, cut, (uint32_t)n, &got), 0);
          assert_true(got == size && !memcmp(plain, data, size));
        }
      }
    }
  }
}

static void segments(void **state) {
  (void)state;
  EACH_WAY(way) {
    for (unsigned i = 0; i < 150; i++) {
      const size_t size = next(i % 10 ? 2000 : sizeof data);
      make_data(size);
      for (size_t c = 0; c < 2; c++) {
        size_t n = chunk(both[c], size, stored), got;
        const size_t zeros = next(3) ? 0 : next(30);
        memset(stored + n, 0, zeros);
        const uint32_t most = i % 10 ? 1 + next(i % 2 ? 3 : 50) : 30000;
        if (in_segments(both[c], stored, n + zeros, 0, most, &got)) fail_msg("%s", error.what);
        assert_true(got == size && !memcmp(plain, data, size));
      }
    }
  }
}

/* Whatever is done to a chunk: what zlib says, whole and in segments. */
static void damage(void **state) {
  (void)state;
  static uint8_t theirs[ROOM];
  EACH_WAY(way) {
    unsigned right = 0;
    for (unsigned i = 0; i < 4000; i++) {
      const size_t size = next(600);
      make_data(size);
      const enum lsi_codec codec = both[i % 2];
      size_t n = chunk(codec, size, stored), got;
      for (uint32_t k = 1 + next(2); k; k--) stored[next((uint32_t)n)] ^= (uint8_t)(1 << next(8));
      if (next(4) == 0) n = 1 + next((uint32_t)n);
      const int64_t want = oracle(codec, stored, n, theirs, sizeof theirs);
      struct lsi_outbuf out;
      const int rc = decode(codec, stored, n, next(2) ? 0 : size, ROOM, &out);
      /* Others than zlib take a code that is not complete where what it lacks is not used. */
      const bool lenient = lsi_inflate_libraries[way] != &lsi_inflate_zlib;
      const bool harmless = lenient && !rc && want < 0 && out.length == size && !memcmp(out.data, data, size);
      if ((rc == 0) != (want >= 0) && !harmless) fail_msg("%u: %d, %lld: %s", i, rc, (long long)want, error.what);
      if (harmless) lsi_free(out.data);
      if (harmless) continue;
      assert_true(rc || ((int64_t)out.length == want && (!want || !memcmp(out.data, theirs, out.length))));
      assert_true(!rc || rc == LSIO_ERR_CORRUPT || rc == LSIO_ERR_LIMIT || (i % 2 && rc == LSIO_ERR_UNSUPPORTED));
      lsi_free(out.data);
      right += !rc;
      const int parts = in_segments(codec, stored, n, 0, 1 + next(60), &got);
      assert_true(parts == rc || (rc == LSIO_ERR_LIMIT && parts < 0));
      assert_true(parts || (int64_t)got == want);
    }
    assert_true(right > 20); /* a time, a name */
  }
}

/* A checksum, a size. */
static void ends(void **state) {
  (void)state;
  make_data(300);
  EACH_WAY(way) {
    for (unsigned bit = 0; bit < 64; bit++) {
      const size_t n = member(data, 300, 0, 6, stored);
      stored[n - 8 + bit / 8] ^= (uint8_t)(1 << bit % 8);
      fails(LSI_CODEC_GZIP, stored, n, LSIO_ERR_CORRUPT,
            bit < 32 ? "a gzip member has a checksum that is wrong" : "a gzip member does not hold the size it states");
      if (bit > 31) continue;
      const size_t k = deflate_body(data, 300, 15, 6, stored);
      stored[k - 4 + bit / 8] ^= (uint8_t)(1 << bit % 8);
      fails(LSI_CODEC_ZLIB, stored, k, LSIO_ERR_CORRUPT, "a zlib stream has a checksum that is wrong");
    }
  }
}

static int by_pieces(enum lsi_codec codec, size_t n, size_t size, uint64_t limit, size_t memory, size_t *got,
                     unsigned *pieces) {
  struct lsi_outbuf hot = {.limit = memory, .grow = grow};
  lsi_error_clear(&error);
  *got = *pieces = 0;
  int rc = lsi_pieces_begin(decoder, codec, stored, n, size, limit, ROOM, &hot, &error);
  while (rc == 1) {
    const void *p;
    size_t length;
    if ((rc = lsi_pieces_next(decoder, &p, &length, &error)) < 0) break;
    assert_true(rc == 0 ? length <= size : length == size);
    memcpy(plain + *got, p, length);
    *got += length;
    ++*pieces;
  }
  lsi_free(hot.data);
  return rc;
}

static void pieces(void **state) {
  (void)state;
  EACH_WAY(way) {
    for (unsigned i = 0; i < 120; i++) {
      const size_t size = next(i % 5 ? 5000 : sizeof data), piece = i % 3 ? 1 + next(3000) : 1 + next(150000);
      make_data(size);
      const enum lsi_codec codec = both[i % 2];
      const size_t n = chunk(codec, size, stored);
      size_t got;
      unsigned count;
      if (by_pieces(codec, n, piece, ROOM, ROOM, &got, &count)) fail_msg("%s", error.what);
      if (!count) { /* whole, for it is certain to be short, or empty */
        assert_true(!size || n * 1032 / 2 < piece);
        continue;
      }
      assert_true(got == size && !memcmp(plain, data, size));
      assert_int_equal(count, size % piece || !size ? size / piece + 1 : size / piece); /* no empty last one */
      if (size) assert_int_equal(by_pieces(codec, n, piece, size - 1, ROOM, &got, &count), LSIO_ERR_LIMIT);
      assert_int_equal(by_pieces(codec, n, piece, size, ROOM, &got, &count), 0);
      assert_true(by_pieces(codec, n, piece, ROOM, 1000, &got, &count) == 0 && count == 0); /* does not fit so */
      const size_t at = next((uint32_t)n);
      const uint8_t was = stored[at];
      stored[at] ^= 0x10;
      struct lsi_outbuf out;
      const int whole = decode(codec, stored, n, 0, ROOM, &out);
      lsi_free(out.data);
      assert_int_equal(by_pieces(codec, n, piece, ROOM, ROOM, &got, &count), whole);
      stored[at] = was;
    }
    memcpy(stored, "plain text, and so long that nobody knows how much it is", 57);
    size_t got;
    unsigned count;
    assert_int_equal(by_pieces(LSI_CODEC_GZIP, 57, 10, ROOM, ROOM, &got, &count), LSIO_ERR_CORRUPT);
    assert_non_null(strstr(error.what, "a chunk does not begin with a gzip member"));
    assert_non_null(strstr(error.remedy, "check `codec`"));
  }
}

/* A megabyte of zeros is a kilobyte: no more than the limit is decoded. */
static void bombs(void **state) {
  (void)state;
  static const uint8_t zeros[ROOM];
  EACH_WAY(way) {
    for (size_t c = 0; c < 2; c++) {
      const int64_t n = lsi_encode(both[c], 9, zeros, sizeof zeros, stored, sizeof stored);
      assert_true(n > 0 && n < 2000);
      struct lsi_outbuf out;
      for (size_t limit = 0; limit < 2; limit++) {
        assert_int_equal(decode(both[c], stored, (size_t)n, 0, ROOM - 1 - limit * 100000, &out), LSIO_ERR_LIMIT);
        assert_int_equal(out.length, 0);
        lsi_free(out.data);
      }
      assert_int_equal(decode(both[c], stored, (size_t)n, 0, ROOM, &out), 0);
      lsi_free(out.data);
      uint8_t small[100];
      assert_int_equal(lsi_decode_once(both[c], stored, (size_t)n, small, sizeof small), LSIO_ERR_LIMIT);
      stored[n - 5] ^= 1; /* wrong, but nobody gets so far */
      assert_int_equal(lsi_decode_once(both[c], stored, (size_t)n, small, sizeof small), LSIO_ERR_LIMIT);
    }
  }
}

static void without_memory(void **state) {
  (void)state;
  make_data(sizeof data);
  for (size_t c = 0; c < 2; c++) {
    const size_t n = chunk(both[c], sizeof data, stored);
    unsigned failed = 0;
    EACH_WAY(way) {
      for (uint64_t nth = 1; nth < 40; nth++) {
        use_way(way);
        struct lsi_outbuf out = {.limit = ROOM, .grow = grow};
        lsi_mem_fail_nth(nth, true);
        lsi_error_clear(&error);
        const int rc = lsi_decode(decoder, both[c], stored, n, &out, &error);
        lsi_mem_fail_nth(0, false);
        assert_true(rc == 0 || rc == LSIO_ERR_NOMEM);
        failed += rc != 0;
        lsi_error_clear(&error); /* it stays usable */
        if (lsi_decode(decoder, both[c], stored, n, &out, &error)) fail_msg("%s", error.what);
        assert_true(out.length == sizeof data && !memcmp(out.data, data, sizeof data));
        lsi_free(out.data);
        if (!rc) break;
      }
    }
    assert_true(failed > 3);
    lsi_decoder_destroy(decoder);
    decoder = lsi_decoder_create();
    lsi_mem_fail_nth(1, true);
    struct lsi_outbuf out = {.limit = ROOM, .grow = grow};
    assert_int_equal(lsi_decode(decoder, both[c], stored, n, &out, NULL), LSIO_ERR_NOMEM);
    assert_int_equal(lsi_pieces_begin(decoder, both[c], stored, n, 100, ROOM, ROOM, &out, NULL), LSIO_ERR_NOMEM);
    lsi_mem_fail_nth(0, false);
  }
}

/* Only of what there is room for, and only what is right from its first byte to its last. */
static void in_one_go(void **state) {
  (void)state;
  if (!lsi_inflates_whole) skip();
  struct lsi_inflate_whole *w = NULL;
  make_data(sizeof data);
  for (unsigned round = 0; round < 200; round++)
    for (size_t c = 0; c < 2; c++) {
      const bool zlib = both[c] == LSI_CODEC_ZLIB;
      const size_t size = 1 + next(sizeof data - 1), n = chunk(both[c], size, stored);
      struct lsi_outbuf out = {.data = plain, .capacity = size, .limit = size};
      const bool took = lsi_inflate_whole(&w, zlib, stored, n, &out);
      if (took) assert_true(out.length == size && !memcmp(plain, data, size));
      assert_true(took || !zlib);
      out.length = 0;
      out.limit = size + 1; /* it may be larger, as far as is known */
      assert_true(!lsi_inflate_whole(&w, zlib, stored, n, &out) || !zlib);
      out = (struct lsi_outbuf){.data = plain, .capacity = ROOM, .limit = ROOM};
      assert_false(lsi_inflate_whole(&w, zlib, stored, n - 1, &out));
      stored[n] = 0;
      assert_false(lsi_inflate_whole(&w, zlib, stored, n + 1, &out));
      stored[n - 1 - next(4)] ^= 1u << next(8);
      assert_false(lsi_inflate_whole(&w, zlib, stored, n, &out));
      assert_int_equal(out.length, 0);
    }
  lsi_inflate_whole_free(w);
}

int main(void) {
  seed_from_env();
  const struct CMUnitTest tests[] = {
      TEST(round_trips), TEST(heads),  TEST(what_follows), TEST(cut_at_every_place), TEST(segments),
      TEST(damage),      TEST(ends),   TEST(pieces),       TEST(bombs),              TEST(without_memory),
      TEST(in_one_go),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
