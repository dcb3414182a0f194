/* Chunks of frames of all kinds, drawn by codec_support.h, after which this is included. */
#ifndef CODEC_CHUNKS_H
#define CODEC_CHUNKS_H

#include <blosc.h>
#include <lz4frame.h>
#include <zstd.h>

#include "blosc_order.h"

static void put32(uint8_t *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t draw(void *ctx, uint32_t n) {
  (void)ctx;
  return next(n);
}

static size_t blosc_frame(const uint8_t *src, size_t n, uint8_t *dst, size_t cap) {
  static const char *const names[] = {"blosclz", "lz4", "lz4hc", "zlib", "zstd"};
  const size_t zeros = next(3) ? 0 : next(3000);
  const int got = blosc_compress_ctx((int)next(10), (int)next(3), 1 + next(next(2) ? 9 : 20), n, src, dst, cap,
                                     names[next(5)], next(2) ? 512 + next(3000) : next(60000), 1);
  assert_true(got > 0 && (size_t)got + zeros <= cap);
  if (next(2)) blosc_disorder(dst, 1 + next(next(2) ? 4 : 1000), draw, NULL);
  memset(dst + got, 0, zeros);
  return (size_t)got + zeros;
}

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
  if (codec == LSI_CODEC_BLOSC) return blosc_frame(src, n, dst, cap);
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

/* Some frames, one behind the other, and frames that are skipped; those of zlib and blosc are always one. */
static size_t make_chunk(enum lsi_codec codec, const uint8_t *content, size_t n, uint8_t *dst, size_t cap) {
  const bool frames = codec == LSI_CODEC_LZ4 || codec == LSI_CODEC_ZSTD;
  const bool alone = codec == LSI_CODEC_ZLIB || codec == LSI_CODEC_BLOSC;
  size_t at = 0, done = 0;
  do {
    const size_t part = !alone && next(2) ? next((uint32_t)(n - done + 1)) : n - done;
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

#endif
