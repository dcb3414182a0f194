/* Chunks of gzip and zlib, made in every way that their formats know, and what zlib makes of them. */
#ifndef LSI_TEST_GZIP_CHUNKS_H
#define LSI_TEST_GZIP_CHUNKS_H

#include <zlib.h>

#include "codec_support.h"

#define ROOM ((size_t)1 << 20)

static uint8_t data[200000], stored[2 * ROOM], plain[2 * ROOM];

static void make_data(size_t n) {
  for (size_t i = 0; i < n;) {
    const size_t end = i + 1 + next(5000);
    const uint32_t kind = next(5);
    for (; i < end && i < n; i++)
      data[i] = (uint8_t)(kind == 0   ? next(256)
                          : kind == 1 ? 7
                          : i > 32768 ? data[i - 32768 + next(2)]
                          : i > 300   ? data[i - 1 - next(2) * 299]
                                      : i);
  }
}

/* DEFLATE in many ways: levels, strategies, windows, flushes. */
static size_t deflate_body(const uint8_t *src, size_t n, int bits, unsigned how, uint8_t *dst) {
  static const int strategies[] = {Z_DEFAULT_STRATEGY, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE, Z_FILTERED};
  z_stream z = {0};
  assert_int_equal(deflateInit2(&z, (int)(how % 10), Z_DEFLATED, bits, 1 + (int)(how % 9), strategies[how % 5]), Z_OK);
  z.next_in = (Bytef *)(uintptr_t)src;
  z.next_out = dst;
  z.avail_out = (uInt)ROOM;
  for (size_t at = 0; how & 64 && at + 1000 < n; at += 1000) {
    z.avail_in = 1000;
    assert_int_equal(deflate(&z, how & 128 ? Z_FULL_FLUSH : Z_SYNC_FLUSH), Z_OK);
  }
  z.avail_in = (uInt)(src + n - z.next_in);
  assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
  const size_t got = z.total_out;
  deflateEnd(&z);
  return got;
}

static uint8_t *le(uint8_t *p, uint32_t v, int bytes) {
  for (int i = 0; i < bytes; i++) *p++ = (uint8_t)(v >> 8 * i);
  return p;
}

/* A member with what `flags` of its head say. */
static size_t member(const uint8_t *src, size_t n, unsigned flags, unsigned how, uint8_t *dst) {
  uint8_t *p = dst;
  const uint8_t head[10] = {0x1F, 0x8B, 8, (uint8_t)flags, 1, 2, 3, 4, 2, 255};
  memcpy(p, head, 10);
  p += 10;
  if (flags & 4) {
    const uint32_t extra = next(3) ? next(40) : 0;
    p = le(p, extra, 2);
    memset(p, 0x1F, extra);
    p += extra;
  }
  if (flags & 8) p += 1 + snprintf((char *)p, 20, "name-%u", next(1000000));
  if (flags & 16) p += 1 + snprintf((char *)p, 20, "%s", next(2) ? "" : "a comment");
  if (flags & 2) p = le(p, (uint32_t)crc32_z(0, dst, (size_t)(p - dst)), 2);
  p += deflate_body(src, n, -(9 + (int)(how % 7)), how, p);
  p = le(p, (uint32_t)crc32_z(0, src, n), 4);
  return (size_t)(le(p, (uint32_t)n, 4) - dst);
}

/* A chunk of `n` bytes of data, of several members if it is of gzip. */
static size_t chunk(enum lsi_codec codec, size_t n, uint8_t *dst) {
  if (codec == LSI_CODEC_ZLIB) return deflate_body(data, n, 9 + (int)next(7), next(256), dst);
  size_t at = 0, used = 0;
  for (unsigned i = 0; at < n || !i; i++) {
    const size_t most = next(n > 5000 ? 60000 : 300), part = i % 4 == 2 ? 0 : LSI_MIN(n - at, most);
    used += member(data + at, part, next(32), next(256), dst + used);
    at += part;
  }
  return used;
}

/* What zlib makes of it: its length, or -1. */
static int64_t oracle(enum lsi_codec codec, const uint8_t *src, size_t n, uint8_t *dst, size_t cap) {
  size_t at = 0, got = 0;
  do {
    z_stream z = {0};
    assert_int_equal(inflateInit2(&z, codec == LSI_CODEC_GZIP ? 31 : 15), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)(src + at);
    z.avail_in = (uInt)(n - at);
    z.next_out = dst + got;
    z.avail_out = (uInt)(cap - got);
    const int rc = inflate(&z, Z_FINISH);
    at += z.total_in;
    got += z.total_out;
    inflateEnd(&z);
    if (rc != Z_STREAM_END) return -1;
    size_t zeros = at;
    while (zeros < n && !src[zeros]) zeros++;
    if (zeros == n) return (int64_t)got;
  } while (codec == LSI_CODEC_GZIP);
  return -1;
}

#endif
