/* Chunks decoded by pieces while their stored bytes come bit by bit: the same bytes as decoding them whole, in
 * pieces of the size that was asked for, wherever the bytes are cut; and damage is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "codec/codec_impl.h"
#include "codec_support.h"
#include "codec_chunks.h"

#define CONTENT_MAX (400u << 10)

/* ---- where bytes come from ---- */

static struct source {
  struct lsi_feed feed;
  const uint8_t *bytes;
  size_t n, used, come;
  uint8_t *shown; /* what is there, in a block of its own: nothing before and behind it may be read */
  uint32_t step;  /* bytes that come at a time */
  size_t cut;     /* not 0: these come, then all others */
  unsigned laters;
} from;

static int get(void *ctx, size_t *n, const uint8_t **src, struct lsi_error *err) {
  struct source *s = ctx;
  (void)err;
  assert_true(*n >= 1 && *n <= s->n - s->used && *n <= s->feed.most && s->feed.left == s->n - s->used);
  if (s->come - s->used < *n) {
    const size_t more = s->cut ? (s->come ? s->n : s->cut) : 1 + next(s->step);
    s->come += LSI_MIN(s->n - s->come, more);
    s->laters++;
    return LSI_CODEC_LATER;
  }
  if (next(2)) *n += next((uint32_t)(s->come - s->used - *n + 1));
  free(s->shown);
  s->shown = malloc(*n); /* never one that is made to fail */
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

static size_t memory = 64u << 20; /* of pieces and the decoder */
static size_t window;             /* what may be asked for at a time; 0: what the codec needs, or more */

/* A codec gets along with what it says that it asks for, or with a header's bytes. */
static size_t most_of(enum lsi_codec codec) {
  const size_t least = LSI_MAX(lsi_codecs[codec]->feed_most, (size_t)32);
  if (window) return window;
  return next(2) ? 64u << 20 : least + next(1u << next(20));
}


/* All pieces into `to`; how many bytes, or an error. */
static int64_t feed_all(enum lsi_codec codec, const uint8_t *bytes, size_t n, size_t size, size_t cut, uint8_t *to) {
  from = (struct source){.feed = {.left = n, .most = most_of(codec), .get = get, .use = use, .ctx = &from},
                         .bytes = bytes, .n = n, .step = next(2) ? 300 : 90000, .cut = cut};
  struct lsi_outbuf hot = {.limit = memory, .grow = grow};
  size_t at = 0;
  int rc;
  lsi_error_clear(&error);
  while ((rc = lsi_pieces_feed(decoder, codec, &from.feed, size, CONTENT_MAX, &hot, &error)) == LSI_CODEC_LATER)
    continue;
  if (rc == LSI_CODEC_STORED) {
    assert_true(codec == LSI_CODEC_AUTO && n <= CONTENT_MAX);
    memcpy(to, bytes, n);
    free(from.shown);
    return (int64_t)n;
  }
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
  free(from.shown);
  if (rc == 0) assert_int_equal(from.used, n);
  return rc < 0 ? rc : (int64_t)at;
}

/* ---- chunks ---- */

static const enum lsi_codec codecs[] = {LSI_CODEC_LZ4, LSI_CODEC_ZSTD, LSI_CODEC_GZIP, LSI_CODEC_ZLIB,
                                        LSI_CODEC_BLOSC};

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
    const bool found = lsi_codec_find(stored, length) == codec; /* by "auto", it is the same */
    const int64_t rc = feed_all(found && next(2) ? LSI_CODEC_AUTO : codec, stored, length, size, 0, got);
    if (rc != (int64_t)n) fail_msg("round %u, %s: %d, not %zu: %s", round, lsi_codec_name(codec), (int)rc, n, error.what);
    assert_memory_equal(got, content, n);
    laters += from.laters;
  }
  assert_true(laters > 5000);
  lsi_free(stored);
}

/* What comes whole is inflated by a library that takes some codes which others do not, where its sums hold. */
static bool is_lenient(enum lsi_codec codec, const uint8_t *stored, size_t length, int whole, int64_t fed) {
  if (codec == LSI_CODEC_AUTO) codec = lsi_codec_find(stored, length);
  return !whole && fed == LSIO_ERR_CORRUPT && (codec == LSI_CODEC_GZIP || codec == LSI_CODEC_ZLIB);
}

/* Where decoding it whole fails, so does this, and the other way round. */
static void damage_is_found(void **state) {
  (void)state;
  uint8_t *stored = lsi_malloc(CAP), *whole = lsi_malloc(CONTENT_MAX);
  unsigned bad = 0;
  for (unsigned round = 0; round < 1500; round++) {
    enum lsi_codec codec = codecs[round % LSI_COUNTOF(codecs)];
    const size_t n = next(40000);
    make_content(content, n);
    size_t length = make_chunk(codec, content, n, stored, CAP);
    if (next(4) == 0) codec = LSI_CODEC_AUTO;
    if (next(3) == 0) length = 1 + next((uint32_t)length);
    for (unsigned k = next(3); k; k--) {
      const size_t where = next(2) ? LSI_MIN(length, (size_t)40) : length;
      stored[next((uint32_t)where)] ^= (uint8_t)(1 + next(255));
    }
    struct lsi_outbuf out = {.data = whole, .capacity = CONTENT_MAX, .limit = CONTENT_MAX};
    const int want = lsi_decode(decoder, codec, stored, length, &out, &error);
    const int64_t rc = feed_all(codec, stored, length, 1 + next(20000), 0, got);
    if (is_lenient(codec, stored, length, want, rc)) {
      assert_true(out.length == n && !memcmp(whole, content, n));
      continue;
    }
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

/* ---- small chunks: whatever can be tried ---- */

#define SMALL 700u

/* A chunk of each row that feeds; what a codec is made of that is added later, its encoder says. */
static size_t small_chunk(enum lsi_codec codec, size_t n, uint8_t *stored) {
  make_content(content, n);
  for (size_t i = 0; i < LSI_COUNTOF(codecs); i++)
    if (codecs[i] == codec) return make_chunk(codec, content, n, stored, CAP);
  const int64_t length = lsi_encode(codec, 0, content, n, stored, CAP);
  assert_true(length >= 0);
  return (size_t)length;
}

static int whole_of(enum lsi_codec codec, const uint8_t *stored, size_t length, uint8_t *to, size_t *n) {
  struct lsi_outbuf out = {.data = to, .capacity = CONTENT_MAX, .limit = CONTENT_MAX};
  struct lsi_error e;
  lsi_error_clear(&e);
  const int rc = lsi_decode(decoder, codec, stored, length, &out, &e);
  *n = out.length;
  return rc;
}

static void wherever_it_is_cut(void **state) {
  (void)state;
  uint8_t *stored = lsi_malloc(CAP);
  unsigned chunks = 0;
  for (int c = 0; c < LSI_CODECS; c++)
    for (unsigned round = 0; round < 6; round++) {
      const enum lsi_codec codec = (enum lsi_codec)c;
      const size_t n = 1 + next(SMALL);
      if (!lsi_codec_feeds(codec)) continue;
      size_t length;
      do length = small_chunk(codec, n, stored);
      while (length > 3 * SMALL); /* it has frames that are skipped */
      const size_t sizes[] = {1, 2, 1 + next(100), LSI_MAX(n / 2, (size_t)1), n, n + 1, 4 * SMALL};
      for (size_t cut = 1; cut <= length; cut++)
        for (size_t s = 0; s < LSI_COUNTOF(sizes); s++) {
          const int64_t rc = feed_all(codec, stored, length, sizes[s], cut, got);
          if (rc != (int64_t)n || memcmp(got, content, n))
            fail_msg("seed %#llx, %s, cut at %zu, pieces of %zu: %d, %s", (unsigned long long)seed,
                     lsi_codec_name(codec), cut, sizes[s], (int)rc, error.what);
        }
      chunks++;
    }
  assert_true(chunks >= 6 * (LSI_COUNTOF(codecs) + 1));
  lsi_free(stored);
}

/* Every beginning of a chunk, and every byte of it changed: what decoding it whole says, with its code;
 * but one may find that something is too much, or needs a dictionary, before it finds the damage, and see codec.h
 * for windows of zstd. */
static void whatever_is_wrong(void **state) {
  (void)state;
  uint8_t *stored = lsi_malloc(CAP), *whole = lsi_malloc(CONTENT_MAX);
  unsigned wrong = 0;
  for (int c = 0; c < LSI_CODECS; c++)
    for (unsigned round = 0; round < 20; round++) {
      const enum lsi_codec codec = (enum lsi_codec)c;
      if (!lsi_codec_feeds(codec)) continue;
      const size_t all = LSI_MIN(small_chunk(codec, next(SMALL), stored), (size_t)(4 * SMALL));
      for (size_t i = 0; i < 2 * all; i++) {
        const size_t length = i < all ? i + 1 : all, at = i - (i < all ? 0 : all);
        const uint8_t held = stored[at];
        if (i >= all) stored[at] ^= (uint8_t)(next(2) ? 1u << next(8) : 1 + next(255));
        size_t n;
        const int want = whole_of(codec, stored, length, whole, &n);
        const int64_t rc = feed_all(codec, stored, length, 1 + next(SMALL), next(2) ? 0 : 1 + next((uint32_t)length), got);
        const bool zstd = lsi_codec_find(stored, length) == LSI_CODEC_ZSTD || codec == LSI_CODEC_ZSTD;
        const bool lenient = is_lenient(codec, stored, length, want, rc) && !memcmp(whole, content, n);
        const bool other = lenient || rc == LSIO_ERR_LIMIT || want == LSIO_ERR_LIMIT ||
                           (zstd && (rc == LSIO_ERR_CORRUPT || (want && rc == LSIO_ERR_UNSUPPORTED)));
        if ((want ? rc != want : rc != (int64_t)n || memcmp(got, whole, n)) && !other)
          fail_msg("seed %#llx, %s, byte %zu of %zu: %d, not %d: %s", (unsigned long long)seed, lsi_codec_name(codec),
                   at, length, (int)rc, want, error.what);
        wrong += want < 0;
        stored[at] = held;
      }
    }
  assert_true(wrong > 20000);
  lsi_free(stored);
  lsi_free(whole);
}

/* ---- blosc ---- */

enum { APART_BLOCK = 4096, APART = 90 }; /* blocks */

/* Noise: stored bytes are as many as there is content. The block that comes first is stored last. */
static size_t blocks_apart(uint8_t *stored) {
  const size_t n = (size_t)APART * APART_BLOCK;
  for (size_t i = 0; i < n; i++) content[i] = (uint8_t)(i % APART_BLOCK < 3000 ? next(256) : 1);
  const int length = blosc_compress_ctx(5, 0, 1, n, content, stored, CAP, "zstd", APART_BLOCK, 1);
  assert_true(length > 0 && !(stored[2] & 2) && lsi_le32(stored + 8) == APART_BLOCK);
  const uint32_t first = lsi_le32(stored + 16), second = lsi_le32(stored + 20), size = second - first;
  uint8_t block[2 * APART_BLOCK];
  memcpy(block, stored + first, size);
  memmove(stored + first, stored + second, (size_t)length - second);
  memcpy(stored + (size_t)length - size, block, size);
  put32(stored + 16, (uint32_t)length - size);
  for (int i = 1; i < APART; i++) put32(stored + 16 + 4 * i, lsi_le32(stored + 16 + 4 * i) - size);
  return (size_t)length;
}

/* What lies farther apart than memory reaches is no damage, and says so. */
static void blocks_far_apart(void **state) {
  (void)state;
  uint8_t *stored = lsi_malloc(CAP);
  const size_t length = blocks_apart(stored), n = (size_t)APART * APART_BLOCK;
  unsigned fits = 0, too_much = 0;
  for (memory = 64u << 10; memory < 512u << 10; memory += 1 + next(8000)) {
    const int64_t rc = feed_all(LSI_CODEC_BLOSC, stored, length, 1 + next(9000), 0, got);
    if (rc == LSIO_ERR_LIMIT) {
      assert_non_null(strstr(error.what, "another order"));
      assert_non_null(strstr(error.remedy, "--memory"));
      assert_true(memory < length + 64u * 1024 && from.feed.most < length);
      too_much++;
      continue;
    }
    assert_int_equal(rc, n);
    assert_memory_equal(got, content, n);
    assert_true(memory + from.feed.most >= length - 16 - 4 * APART); /* a part of it may be in the window */
    fits++;
  }
  assert_true(fits > 10 && too_much > 10);
  memory = 64u << 20;
  lsi_free(stored);
}

static void blocks_that_begin_in_the_table(void **state) {
  (void)state;
  uint8_t *stored = lsi_malloc(CAP);
  const size_t length = blocks_apart(stored);
  for (uint32_t start = 0; start < 16 + 4 * APART; start += 1 + next(9)) {
    const uint32_t which = next(APART), held = lsi_le32(stored + 16 + 4 * which);
    put32(stored + 16 + 4 * which, start);
    assert_int_equal(feed_all(LSI_CODEC_BLOSC, stored, length, 5000, 0, got), LSIO_ERR_CORRUPT);
    assert_non_null(strstr(error.what, "does not lie in the frame"));
    assert_true(from.used <= 16 + 4 * APART); /* before any block is looked at */
    put32(stored + 16 + 4 * which, held);
  }
  lsi_free(stored);
}

/* A header alone: what it says that the table takes is not taken. */
static void a_table_that_is_too_large(void **state) {
  (void)state;
  uint8_t head[LSI_CODEC_HEAD] = {2, 1, 1 << 5 | 16, 1};
  put32(head + 4, 1u << 29);
  put32(head + 8, 4); /* 2^27 blocks */
  put32(head + 12, INT32_MAX);
  from = (struct source){.feed = {.left = INT32_MAX, .most = 1u << 20, .get = get, .use = use, .ctx = &from},
                         .bytes = head, .n = sizeof head, .come = sizeof head};
  from.n = INT32_MAX; /* of which no more is ever asked for */
  struct lsi_outbuf hot = {.limit = 16u << 20, .grow = grow};
  lsi_error_clear(&error);
  const void *data;
  size_t n;
  assert_int_equal(lsi_pieces_feed(decoder, LSI_CODEC_BLOSC, &from.feed, 4096, UINT64_MAX, &hot, &error), 0);
  assert_int_equal(lsi_pieces_next(decoder, &data, &n, &error), LSIO_ERR_LIMIT);
  assert_non_null(strstr(error.what, "takes 1073"));
  assert_int_equal(from.used, 0);
  free(from.shown);
  lsi_free(hot.data);
}

static void no_memory(void **state) {
  (void)state;
  uint8_t *stored = lsi_malloc(CAP);
  const size_t length = blocks_apart(stored);
  unsigned failed = 0;
  for (unsigned nth = 1; nth < 400; nth++) {
    lsi_decoder_destroy(decoder);
    decoder = lsi_decoder_create();
    from = (struct source){.feed = {.left = length, .most = 5000, .get = get, .use = use, .ctx = &from},
                           .bytes = stored, .n = length, .come = length};
    struct lsi_outbuf hot = {.limit = memory, .grow = grow};
    const void *data;
    size_t n;
    lsi_error_clear(&error);
    int rc = lsi_pieces_feed(decoder, LSI_CODEC_BLOSC, &from.feed, 4096, UINT64_MAX, &hot, &error);
    lsi_mem_fail_nth(nth, true);
    while (!rc && (rc = lsi_pieces_next(decoder, &data, &n, &error)) > 0) rc = 0;
    lsi_mem_fail_nth(0, false);
    if (rc) assert_int_equal(rc, LSIO_ERR_NOMEM);
    failed += rc != 0;
    lsi_free(hot.data);
    free(from.shown);
  }
  assert_true(failed > 3 && failed < 300);
  lsi_free(stored);
}

/* ---- "auto" ---- */

/* Frames that both lz4 and zstd skip, and what may follow. */
static void frames_that_hide_the_codec(void **state) {
  (void)state;
  uint8_t *stored = lsi_malloc(CAP), *whole = lsi_malloc(CONTENT_MAX);
  unsigned too_far = 0, found = 0;
  static const uint32_t skipped[] = {0, 4, 5, 6, 9, 10, 11, 100, 5000, 70000};
  for (unsigned round = 0; round < 200; round++) {
    const uint32_t bytes = skipped[round % LSI_COUNTOF(skipped)], kind = next(4);
    size_t at = 0;
    for (unsigned frames = 1 + next(2); frames; frames--) {
      put32(stored + at, 0x184D2A50u + next(16));
      put32(stored + at + 4, bytes);
      memset(stored + at + 8, 0x5A, bytes);
      at += 8 + bytes;
    }
    make_content(content, 300);
    if (kind < 2) at += one_frame(codecs[kind], content, 300, stored + at, CAP - at);
    else if (kind == 2) memcpy(stored + at, content, 300), at += 300;
    else if (next(2)) at -= 1; /* cut short: plain bytes */
    size_t n;
    assert_int_equal(whole_of(LSI_CODEC_AUTO, stored, at, whole, &n), 0);
    assert_int_equal(n, kind < 2 ? 300 : at);
    window = 400 + next(1u << next(18));
    const int64_t rc = feed_all(LSI_CODEC_AUTO, stored, at, 100, 0, got);
    if (rc == LSIO_ERR_LIMIT) {
      assert_true(from.feed.most < at && strstr(error.remedy, "in place of"));
      too_far++;
      continue;
    }
    found += n == 300;
    assert_int_equal(rc, n);
    assert_memory_equal(got, whole, n);
  }
  assert_true(too_far > 5 && found > 50);
  window = 0;
  lsi_free(stored);
  lsi_free(whole);
}

/* `decoded` is of all that a job takes for content, in whatever way it comes. */
static void bytes_of_no_codec_have_a_cap(void **state) {
  (void)state;
  enum { N = 5000 };
  memset(content, 'x', N);
  for (size_t limit = N - 1; limit <= N; limit++) {
    const int want = limit < N ? LSIO_ERR_LIMIT : 0;
    struct lsi_outbuf out = {.data = got, .capacity = N, .limit = limit}, hot = {.limit = memory, .grow = grow};
    assert_int_equal(lsi_decode(decoder, LSI_CODEC_AUTO, content, N, &out, &error), want);
    from = (struct source){.feed = {.left = N, .most = N, .get = get, .use = use, .ctx = &from},
                           .bytes = content, .n = N, .come = N};
    assert_int_equal(lsi_pieces_feed(decoder, LSI_CODEC_AUTO, &from.feed, 100, limit, &hot, &error),
                     want ? want : LSI_CODEC_STORED);
    assert_int_equal(lsi_pieces_begin(decoder, LSI_CODEC_AUTO, content, N, 100, limit, 0, &hot, &error), want ? want : 1);
    free(from.shown);
    lsi_free(hot.data);
  }
}

int main(void) {
  seed_from_env();
  const struct CMUnitTest tests[] = {
      TEST(as_decoded_whole),   TEST(damage_is_found),  TEST(wherever_it_is_cut),
      TEST(whatever_is_wrong),  TEST(blocks_far_apart), TEST(a_table_that_is_too_large),
      TEST(no_memory),          TEST(frames_that_hide_the_codec), TEST(bytes_of_no_codec_have_a_cap),
      TEST(blocks_that_begin_in_the_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
