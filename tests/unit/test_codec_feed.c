/* Chunks decoded by pieces while their stored bytes come bit by bit: the same bytes as decoding them whole, in
 * pieces of the size that was asked for, wherever the bytes are cut; and damage is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <lz4frame.h>
#include <zstd.h>

#include "codec/codec_impl.h"
#include "codec_support.h"

#define CONTENT_MAX (400u << 10)

/* ---- where bytes come from ---- */

static struct source {
  struct lsi_feed feed;
  const uint8_t *bytes;
  size_t n, used, come;
  uint8_t *shown; /* what is there, in a block of its own: nothing before and behind it may be read */
  uint32_t most;  /* bytes that come at a time */
  unsigned laters;
} from;

static int get(void *ctx, size_t *n, const uint8_t **src, struct lsi_error *err) {
  struct source *s = ctx;
  (void)err;
  assert_true(*n >= 1 && *n <= s->n - s->used && s->feed.left == s->n - s->used);
  if (s->come - s->used < *n) {
    const size_t more = 1 + next(s->most);
    s->come += LSI_MIN(s->n - s->come, more);
    s->laters++;
    return LSI_CODEC_LATER;
  }
  if (next(2)) *n += next((uint32_t)(s->come - s->used - *n + 1));
  lsi_free(s->shown);
  s->shown = lsi_malloc(*n);
  assert_non_null(s->shown);
  memcpy(s->shown, s->bytes + s->used, *n);
  *src = s->shown;
  return 0;
}

static void use(void *ctx, size_t n) {
  struct source *s = ctx;
  assert_true(n && n <= s->come - s->used);
  s->used += n;
}

static int grow(struct lsi_outbuf *out, size_t at_least) {
  char *p = lsi_malloc(at_least);
  if (!p) return LSIO_ERR_NOMEM;
  if (out->length) memcpy(p, out->data, out->length);
  lsi_free(out->data);
  out->data = p;
  out->capacity = at_least;
  return 0;
}

/* All pieces into `to`; how many bytes, or an error. */
static int64_t feed_all(enum lsi_codec codec, const uint8_t *bytes, size_t n, size_t size, uint8_t *to) {
  from = (struct source){.feed = {.left = n, .get = get, .use = use, .ctx = &from}, .bytes = bytes, .n = n,
                         .most = next(2) ? 300 : 90000};
  struct lsi_outbuf hot = {.limit = 64u << 20, .grow = grow};
  size_t at = 0;
  int rc;
  lsi_error_clear(&error);
  while ((rc = lsi_pieces_feed(decoder, codec, &from.feed, size, CONTENT_MAX, &hot, &error)) == LSI_CODEC_LATER)
    continue;
  for (int more = 1; rc == 0 && more;) {
    const void *data;
    size_t length;
    more = lsi_pieces_next(decoder, &data, &length, &error);
    if (more == LSI_CODEC_LATER) continue;
    if (more < 0) rc = more;
    if (rc < 0) break;
    assert_true(data && (more ? length == size : length <= size));
    assert_true(at + length <= CONTENT_MAX);
    if (length) memcpy(to + at, data, length);
    at += length;
  }
  lsi_free(hot.data);
  lsi_free(from.shown);
  if (rc == 0) assert_int_equal(from.used, n);
  return rc < 0 ? rc : (int64_t)at;
}

/* ---- chunks ---- */

static const enum lsi_codec codecs[] = {LSI_CODEC_LZ4, LSI_CODEC_ZSTD, LSI_CODEC_GZIP, LSI_CODEC_ZLIB};

static void make_content(uint8_t *p, size_t n) {
  for (size_t i = 0; i < n;) {
    const size_t end = i + 1 + next(9000);
    const uint32_t kind = next(4);
    for (; i < end && i < n; i++)
      p[i] = (uint8_t)(kind == 0 ? next(256) : kind == 1 ? 7 : i > 60000 ? p[i - 50000 + next(2)] : i);
  }
}

static size_t one_frame(enum lsi_codec codec, const uint8_t *src, size_t n, uint8_t *dst, size_t cap) {
  size_t got;
  if (codec == LSI_CODEC_LZ4) {
    LZ4F_preferences_t p = LZ4F_INIT_PREFERENCES;
    p.frameInfo.blockSizeID = (LZ4F_blockSizeID_t)(LZ4F_max64KB + next(3));
    p.frameInfo.blockMode = next(2) ? LZ4F_blockLinked : LZ4F_blockIndependent;
    p.frameInfo.blockChecksumFlag = next(2) ? LZ4F_blockChecksumEnabled : LZ4F_noBlockChecksum;
    p.frameInfo.contentChecksumFlag = next(2) ? LZ4F_contentChecksumEnabled : LZ4F_noContentChecksum;
    p.frameInfo.contentSize = next(2) ? n : 0;
    got = LZ4F_compressFrame(dst, cap, src, n, &p);
    assert_false(LZ4F_isError(got));
    return got;
  }
  if (codec == LSI_CODEC_ZSTD) {
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, (int)next(2));
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, (int)next(2));
    if (next(2)) ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, (int)(10 + next(10)));
    got = ZSTD_compress2(c, dst, cap, src, n);
    ZSTD_freeCCtx(c);
    assert_false(ZSTD_isError(got));
    return got;
  }
  const int64_t k = lsi_encode(codec, 1 + (int)next(9), src, n, dst, cap);
  assert_true(k > 0);
  return (size_t)k;
}

/* Some frames, one behind the other, and frames that are skipped; those of zlib are always one. */
static size_t make_chunk(enum lsi_codec codec, const uint8_t *content, size_t n, uint8_t *dst, size_t cap) {
  const bool frames = codec == LSI_CODEC_LZ4 || codec == LSI_CODEC_ZSTD;
  size_t at = 0, done = 0;
  do {
    const size_t part = codec != LSI_CODEC_ZLIB && next(2) ? next((uint32_t)(n - done + 1)) : n - done;
    if (frames && next(3) == 0) {
      const uint32_t skipped = next(5000), magic = 0x184D2A50u + next(16);
      memcpy(dst + at, &magic, 4);
      memcpy(dst + at + 4, &skipped, 4);
      memset(dst + at + 8, 0x5A, skipped);
      at += 8 + skipped;
    }
    at += one_frame(codec, content + done, part, dst + at, cap - at);
    done += part;
  } while (done < n && at < cap / 2);
  if (done < n) at += one_frame(codec, content + done, n - done, dst + at, cap - at);
  return at;
}

/* ---- tests ---- */

#define CAP (4u << 20)
static uint8_t content[CONTENT_MAX], got[CONTENT_MAX];

static void as_decoded_whole(void **state) {
  (void)state;
  uint8_t *stored = lsi_malloc(CAP);
  unsigned laters = 0;
  for (unsigned round = 0; round < 300; round++) {
    const enum lsi_codec codec = codecs[round % LSI_COUNTOF(codecs)];
    const size_t n = next(8) ? next(CONTENT_MAX) : next(3), size = 1 + next(next(2) ? 3000 : 200000);
    make_content(content, n);
    const size_t length = make_chunk(codec, content, n, stored, CAP);
    const int64_t rc = feed_all(codec, stored, length, size, got);
    if (rc != (int64_t)n) fail_msg("round %u, %s: %d, not %zu: %s", round, lsi_codec_name(codec), (int)rc, n, error.what);
    assert_memory_equal(got, content, n);
    laters += from.laters;
  }
  assert_true(laters > 5000);
  lsi_free(stored);
}

/* Where decoding it whole fails, so does this, and the other way round. */
static void damage_is_found(void **state) {
  (void)state;
  uint8_t *stored = lsi_malloc(CAP), *whole = lsi_malloc(CONTENT_MAX);
  unsigned bad = 0;
  for (unsigned round = 0; round < 1500; round++) {
    const enum lsi_codec codec = codecs[round % LSI_COUNTOF(codecs)];
    const size_t n = next(40000);
    make_content(content, n);
    size_t length = make_chunk(codec, content, n, stored, CAP);
    if (next(3) == 0) length = 1 + next((uint32_t)length);
    for (unsigned k = next(3); k; k--) {
      const size_t where = next(2) ? LSI_MIN(length, (size_t)40) : length;
      stored[next((uint32_t)where)] ^= (uint8_t)(1 + next(255));
    }
    struct lsi_outbuf out = {.data = whole, .capacity = CONTENT_MAX, .limit = CONTENT_MAX};
    const int want = lsi_decode(decoder, codec, stored, length, &out, &error);
    const int64_t rc = feed_all(codec, stored, length, 1 + next(20000), got);
    if ((want < 0) != (rc < 0) && rc != LSIO_ERR_LIMIT)
      fail_msg("round %u, %s: %d, not %d: %s", round, lsi_codec_name(codec), (int)rc, want, error.what);
    bad += want < 0;
    if (want == 0 && rc >= 0) {
      assert_int_equal(rc, out.length);
      assert_memory_equal(got, whole, out.length);
    }
  }
  assert_true(bad > 200);
  lsi_free(stored);
  lsi_free(whole);
}

int main(void) {
  seed_from_env();
  const struct CMUnitTest tests[] = {TEST(as_decoded_whole), TEST(damage_is_found)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
