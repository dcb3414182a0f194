/* blosc frames: every compressor, shuffle and size that the library makes, against the library's own
 * encoder; hostile headers and blocks; memory that is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <blosc.h>
#include <cmocka.h>

#include "codec_support.h"

static void put32(uint8_t *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

static unsigned grown;

static int grow(struct lsi_outbuf *out, size_t at_least) {
  assert_true(at_least <= out->limit);
  lsi_free(out->data);
  grown++;
  if (!(out->data = lsi_malloc(at_least))) return LSIO_ERR_NOMEM;
  memset(out->data, 0xDD, at_least);
  out->capacity = at_least;
  return 0;
}

static int decode(const void *src, size_t n, struct lsi_outbuf *out) {
  lsi_error_clear(&error);
  grown = 0;
  int rc = lsi_decode(decoder, LSI_CODEC_BLOSC, src, n, out, &error);
  assert_int_equal(rc, error.code);
  return rc;
}

static void check(const void *frame, size_t length, const void *data, size_t n) {
  struct lsi_outbuf out = {.limit = n, .grow = grow};
  if (decode(frame, length, &out)) fail_msg("%s (%zu bytes)", error.what, n);
  assert_true(grown <= 1);
  assert_int_equal(out.length, n);
  if (n) assert_memory_equal(out.data, data, n);
  lsi_free(out.data);
}

static void refused(const void *frame, size_t length, size_t limit, int code, const char *what) {
  uint8_t *exact = lsi_malloc(length + !length); /* so that a sanitizer sees a byte read behind it */
  memcpy(exact, frame, length);
  struct lsi_outbuf out = {.limit = limit, .grow = grow};
  int rc = decode(exact, length, &out);
  if (rc != code) fail_msg("code %d instead of %d: %s", rc, code, error.what);
  if (!strstr(error.what, what)) fail_msg("'%s' does not say '%s'", error.what, what);
  assert_int_equal(out.length, 0);
  lsi_free(out.data);
  lsi_free(exact);
}

/* Numbers that go up and down, as 4-byte elements, with some noise. */
static uint8_t *make_data(size_t n) {
  uint8_t *p = lsi_malloc(n + 8);
  assert_non_null(p);
  uint32_t v = 1000;
  for (size_t i = 0; i < n; i += 4) {
    v += next(64) - 20;
    memcpy(p + i, &v, 4);
  }
  return p;
}

static uint8_t *pack(const char *name, int level, int shuffle, size_t type, size_t block,
                     const void *data, size_t n, size_t *length) {
  uint8_t *frame = lsi_malloc(n + BLOSC_MAX_OVERHEAD);
  assert_non_null(frame);
  int got = blosc_compress_ctx(level, shuffle, type, n, data, frame, n + BLOSC_MAX_OVERHEAD, name,
                               block, 1);
  assert_true(got > 0);
  *length = (size_t)got;
  return frame;
}

static const char *const names[] = {"blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"};

static void all_that_the_library_writes(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 3, 15, 127, 128, 1000, 4096, 65536, 300003};
  static const size_t types[] = {1, 2, 3, 4, 7, 8, 16, 17, 255};
  static const size_t blocks[] = {0, 1, 777, 4096, 65536};
  uint8_t *data = make_data(300003);
  unsigned compressors = 0;
  for (size_t c = 0; c < LSI_COUNTOF(names); c++) {
    if (blosc_compname_to_compcode(names[c]) < 0) continue;
    compressors++;
    for (size_t i = 0; i < LSI_COUNTOF(sizes); i++)
      for (size_t t = 0; t < LSI_COUNTOF(types); t++)
        for (int shuffle = 0; shuffle < 3; shuffle++) {
          size_t length;
          uint8_t *k = pack(names[c], (int)(1 + next(5)), shuffle, types[t],
                            blocks[next(LSI_COUNTOF(blocks))], data, sizes[i], &length);
          check(k, length, data, sizes[i]);
          if (sizes[i]) refused(k, length, sizes[i] - 1, LSIO_ERR_LIMIT, "allowed");
          lsi_free(k);
        }
  }
  assert_true(compressors >= 5); /* snappy is not in every build */
  lsi_free(data);
}

/* A build of the library without a compressor, which would say so on stderr. */
static const char *missing;
int __real_blosc_compname_to_compcode(const char *name);
int __wrap_blosc_compname_to_compcode(const char *name);
int __wrap_blosc_compname_to_compcode(const char *name) {
  return missing && strcmp(name, missing) == 0 ? -1 : __real_blosc_compname_to_compcode(name);
}

static void what_the_library_lacks(void **state) {
  (void)state;
  uint8_t *data = make_data(65536);
  static const char *const some[] = {"blosclz", "zlib"};
  for (size_t i = 0; i < LSI_COUNTOF(some); i++) {
    size_t n;
    uint8_t *k = pack(some[i], 5, 1, 4, 16384, data, 65536, &n);
    check(k, n, data, 65536);
    missing = some[i];
    refused(k, n, SIZE_MAX, LSIO_ERR_UNSUPPORTED, some[i]);
    missing = NULL;
    lsi_free(k);
  }
  lsi_free(data);
}

/* Zeros that stand behind a frame are no part of it; anything else is not right. */
static void zeros_behind_a_frame(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 3, 1000, 65536, 300000}, tails[] = {1, 15, 16, 4096};
  uint8_t *data = make_data(300000), *noise = lsi_malloc(300000);
  for (size_t i = 0; i < 300000; i++) noise[i] = (uint8_t)next(256);
  for (size_t i = 0; i < LSI_COUNTOF(sizes); i++)
    for (size_t t = 0; t < LSI_COUNTOF(tails); t++)
      for (int kind = 0; kind < 8; kind++) {
        const uint8_t *content = kind < 6 ? data : noise; /* what can't shrink is stored */
        const size_t tail = tails[t];
        size_t n;
        uint8_t *k = pack(names[kind % 6], 5, kind % 3, 4, kind & 1 ? 0 : 16384, content, sizes[i], &n);
        uint8_t *all = lsi_calloc(1, n + tail);
        memcpy(all, k, n);
        check(all, n + tail, content, sizes[i]);
        const size_t at = n + next((uint32_t)tail);
        all[at] = (uint8_t)(1u << next(8));
        refused(all, n + tail, SIZE_MAX, LSIO_ERR_CORRUPT, "bytes after a blosc frame");
        lsi_free(all);
        lsi_free(k);
      }
  lsi_free(noise);
  lsi_free(data);
}

static void content_that_is_stored(void **state) {
  (void)state;
  uint8_t noise[5000];
  for (size_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)next(256);
  size_t length;
  uint8_t *k = pack("lz4", 5, 1, 4, 0, noise, sizeof noise, &length);
  assert_int_equal(length, sizeof noise + 16);
  check(k, length, noise, sizeof noise);
  refused(k, length, 4999, LSIO_ERR_LIMIT, "allowed");
  put32(k + 4, 4999); /* one byte less than there are */
  put32(k + 8, 4999);
  refused(k, length, 5000, LSIO_ERR_CORRUPT, "stored blosc frame");
  lsi_free(k);
  k = pack("zstd", 0, 1, 4, 0, noise, 100, &length); /* level 0 stores */
  check(k, length, noise, 100);
  lsi_free(k);
}

static void hostile_headers(void **state) {
  (void)state;
  enum { N = 400000 }; /* 7 blocks, 4 parts each */
  uint8_t *data = make_data(N), old[64];
  size_t length;
  uint8_t *k = pack("lz4", 5, 1, 4, 16384, data, N, &length);
  assert_int_equal(k[9], 0);
  assert_int_equal(k[10], 1);
  memcpy(old, k, sizeof old);
  const struct {
    size_t at;
    uint32_t value;
    const char *what;
  } words[] = {
      {4, 0x80000000u, "not valid"},       {4, UINT32_MAX, "not valid"},
      {4, INT32_MAX, "not valid"},         {4, INT32_MAX - 16, "can't hold"},
      {4, N + 1, "is corrupt"}, {4, 0, "empty blosc frame"},
      {8, 0, "not valid"},                 {8, N + 1, "not valid"},
      {8, UINT32_MAX, "not valid"},        {8, 1, "can't hold"},
      {12, UINT32_MAX, "cut short"},       {12, (uint32_t)length + 1, "cut short"},
      {12, (uint32_t)length / 2, "bytes after"}, {12, 15, "not valid"},
      {12, 0, "not valid"},                {16, 0, "block 0"},
      {16, UINT32_MAX, "block 0"},         {16, (uint32_t)length - 3, "block 0"},
      {16, (uint32_t)length, "block 0"},   {16, 39, "block 0"},
      {44, UINT32_MAX, "block 0"},         {44, 16385, "block 0"},
  };
  for (size_t i = 0; i < LSI_COUNTOF(words); i++) {
    put32(k + words[i].at, words[i].value);
    refused(k, length, SIZE_MAX, LSIO_ERR_CORRUPT, words[i].what);
    assert_true(grown <= (words[i].at >= 16 || words[i].value == N + 1));
    memcpy(k, old, sizeof old);
  }
  for (int v = 0; v < 256; v++) {
    k[0] = (uint8_t)v;
    if (v != 2)
      refused(k, length, N, LSIO_ERR_CORRUPT, "does not begin");
  }
  memcpy(k, old, sizeof old);
  k[1] = 2;
  refused(k, length, N, LSIO_ERR_CORRUPT, "unknown way");
  k[1] = 1;
  for (int format = 5; format < 8; format++) {
    k[2] = (uint8_t)((old[2] & 31) | format << 5);
    refused(k, length, N, LSIO_ERR_CORRUPT, "unknown way");
  }
  k[2] = old[2] | 8;
  refused(k, length, N, LSIO_ERR_CORRUPT, "not valid");
  k[2] = old[2];
  k[3] = 0;
  refused(k, length, N, LSIO_ERR_CORRUPT, "not valid");
  k[3] = 3; /* 65536 bytes are no whole number of these: the splits would leave bytes as they were */
  refused(k, length, N, LSIO_ERR_CORRUPT, "block 0");
  memcpy(k, old, sizeof old);
  for (size_t n = 1; n < length; n += n < 200 ? 1 : 997)
    refused(k, n, N, LSIO_ERR_CORRUPT, "cut short");
  check(k, length, data, N);
  lsi_free(k);
  lsi_free(data);
}

/* The last part of a block states one byte more than the frame has. */
static void a_part_that_reaches_beyond(void **state) {
  (void)state;
  uint8_t *data = make_data(4096);
  int tried = 0;
  for (size_t c = 0; c < LSI_COUNTOF(names); c++) {
    if (blosc_compname_to_compcode(names[c]) < 0) continue;
    for (int shuffle = 0; shuffle < 3; shuffle++) {
      size_t length, at = 16 + 4, last = 0;
      uint8_t *k = pack(names[c], 5, shuffle, 4, 4096, data, 4096, &length);
      if (k[2] & 2) { /* did not shrink */
        lsi_free(k);
        continue;
      }
      while (at < length) {
        last = at;
        at += 4 + (k[at] | (size_t)k[at + 1] << 8 | (size_t)k[at + 2] << 16);
      }
      assert_int_equal(at, length);
      tried++;
      put32(k + last, (uint32_t)(length - last - 4 + 1));
      refused(k, length, SIZE_MAX, LSIO_ERR_CORRUPT, "block 0 of a blosc frame does not lie in the frame");
      lsi_free(k);
    }
  }
  assert_true(tried > 5);
  lsi_free(data);
}

static void damage(void **state) {
  (void)state;
  enum { N = 5000 };
  uint8_t *data = make_data(N);
  for (int i = 0; i < 6000; i++) {
    size_t length;
    uint8_t *k = pack(names[next(6)], 5, (int)next(3), 1 + next(9), 1024, data, N, &length);
    for (unsigned f = 1 + next(3); f; f--) k[next(2) ? next((uint32_t)length) : next(48)] ^= 1u << next(8);
    uint8_t *exact = lsi_malloc(length);
    memcpy(exact, k, length);
    struct lsi_outbuf out = {.limit = next(2) ? N : 1 << 20, .grow = grow};
    int rc = decode(exact, length, &out);
    if (rc && rc != LSIO_ERR_CORRUPT && rc != LSIO_ERR_LIMIT)
      fail_msg("seed %#llx, try %d: code %d", (unsigned long long)seed, i, rc);
    lsi_free(out.data);
    lsi_free(exact);
    lsi_free(k);
  }
  lsi_free(data);
}

static void no_memory(void **state) {
  (void)state;
  uint8_t *data = make_data(100000);
  size_t length;
  uint8_t *k = pack("lz4", 5, 1, 4, 0, data, 100000, &length);
  for (unsigned nth = 1; nth <= 2; nth++) { /* the output's, the library's */
    struct lsi_outbuf out = {.limit = 1 << 20, .grow = grow};
    lsi_mem_fail_nth(nth, true);
    assert_int_equal(decode(k, length, &out), LSIO_ERR_NOMEM);
    lsi_mem_fail_nth(0, false);
    lsi_free(out.data);
  }
  check(k, length, data, 100000);
  lsi_free(k);
  lsi_free(data);
}

int main(void) {
  seed_from_env();
  const struct CMUnitTest tests[] = {
      TEST(all_that_the_library_writes), TEST(what_the_library_lacks), TEST(zeros_behind_a_frame),
      TEST(content_that_is_stored),      TEST(hostile_headers),
      TEST(a_part_that_reaches_beyond),  TEST(damage),
      TEST(no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
