/* Frames of blosc 1 (not of blosc2), through libblosc. The header and where every block lies are
 * checked here first, from the description of the format in c-blosc's README_CHUNK_FORMAT.rst; the
 * library then sees frames only whose blocks lie inside of them, and which fill their place: it would
 * leave what it had in memory in a block that its splits don't cover.
 *
 * Of the library only blosc_decompress_ctx with one thread is used. It keeps no state between calls and
 * takes no lock; all that it shares is which shuffle the processor has, behind pthread_once. Read in
 * 1.21.3; later versions of 1.21 change nothing about decoding. It takes 2 blocks of memory for each
 * call and does not look whether it got them: see room_for_library(). */
#include <blosc.h>

#include "codec_impl.h"
#include "mem.h"

#define HEADER BLOSC_MIN_HEADER_LENGTH
#define STORED 0x02u      /* flags: the content as it is */
#define RESERVED 0x08u
#define WHOLE_BLOCKS 0x10u /* blocks are not split */
#define SPLIT_TYPES 16u   /* types up to here are split, ... */
#define SPLIT_ITEMS 128u  /* ... in blocks of so many elements or more */

static const char *const formats[] = {"blosclz", "lz4", "snappy", "zlib", "zstd"};

static int corrupt(struct lsi_error *err, const char *what) {
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "%s", what);
}

/* Where the compressed bytes of block i begin and end; false when that is not inside of the frame. */
static bool block_at(const struct lsi_blosc *b, uint32_t i, size_t *begin, size_t *end) {
  const bool rest = i == b->blocks - 1 && b->nbytes % b->block;
  const uint32_t size = rest ? b->nbytes % b->block : b->block;
  const uint32_t splits = rest ? 1 : b->splits, part = size / splits;
  /* Parts that do not shrink are stored, but snappy's may take more than their content. */
  const uint32_t most = part + (b->flags >> 5 == BLOSC_SNAPPY_FORMAT ? 32 + part / 6 : 0);
  size_t at = lsi_le32(b->src + HEADER + 4 * (size_t)i);
  if (at < HEADER + 4 * (size_t)b->blocks || size % splits) return false;
  *begin = at;
  for (uint32_t s = 0; s < splits; s++) {
    if (at > b->length || b->length - at < 4) return false;
    const uint32_t n = lsi_le32(b->src + at);
    at += 4;
    if (n > most || n > b->length - at) return false;
    at += n;
  }
  *end = at;
  return true;
}

static int check_blocks(const struct lsi_blosc *b, struct lsi_error *err) {
  size_t begin, end;
  for (uint32_t i = 0; i < b->blocks; i++)
    if (!block_at(b, i, &begin, &end))
      return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "block %u of a blosc frame does not lie in the frame", i);
  return 0;
}

static int check_sizes(struct lsi_blosc *b, struct lsi_error *err) {
  if (b->nbytes > BLOSC_MAX_BUFFERSIZE || !b->type || !b->block || b->block > b->nbytes ||
      b->block > BLOSC_MAX_BLOCKSIZE)
    return corrupt(err, "the header of a blosc frame is not valid");
  b->blocks = b->nbytes / b->block + (b->nbytes % b->block != 0);
  if (b->flags & STORED)
    return (uint64_t)b->nbytes + HEADER == b->length
               ? 0
               : corrupt(err, "a stored blosc frame has not the size of its content");
  if (b->flags >> 5 >= LSI_COUNTOF(formats) || b->version != 1)
    return corrupt(err, "a blosc frame is compressed in an unknown way");
  const bool split = !(b->flags & WHOLE_BLOCKS) && b->type <= SPLIT_TYPES &&
                     b->block / b->type >= SPLIT_ITEMS;
  b->splits = split ? b->type : 1;
  /* lz4 yields at most 255 bytes for one, zstd at most 128 KiB for 4, the others less than zstd. */
  const uint32_t yield = b->flags >> 5 == BLOSC_LZ4_FORMAT ? 255 : 32768;
  if (b->blocks > (b->length - HEADER) / 8 || b->nbytes / yield > b->length)
    return corrupt(err, "a blosc frame states a size that its bytes can't hold");
  return 0;
}

int lsi_blosc_open(const uint8_t *src, size_t len, struct lsi_blosc *b, struct lsi_error *err) {
  *b = (struct lsi_blosc){.src = src, .length = len, .splits = 1};
  if (len < 1 || src[0] != BLOSC_VERSION_FORMAT)
    return corrupt(err, len && src[0] > BLOSC_VERSION_FORMAT && src[0] < 8
                            ? "a chunk is in a format of blosc2, which is not supported"
                            : "a chunk does not begin with a blosc frame");
  if (len < HEADER) return corrupt(err, "a blosc frame is cut short");
  b->version = src[1];
  b->flags = src[2];
  b->type = src[3];
  b->nbytes = lsi_le32(src + 4);
  b->block = lsi_le32(src + 8);
  const uint32_t stated = lsi_le32(src + 12);
  if (stated > len) return corrupt(err, "a blosc frame is cut short");
  if (stated < len && stated >= HEADER) return corrupt(err, "there are bytes after a blosc frame");
  size_t again = 0;
  if (blosc_cbuffer_validate(src, len, &again) < 0 || again != b->nbytes || b->flags & RESERVED)
    return corrupt(err, "the header of a blosc frame is not valid");
  if (b->nbytes) return check_sizes(b, err);
  return len == HEADER ? 0 : corrupt(err, "an empty blosc frame holds bytes");
}

/* The library writes through the pointer that malloc gave it, also if that is NULL. So the same is asked
 * for here just before, and given back: where memory is short, that fails instead. */
static int room_for_library(const struct lsi_blosc *b, struct lsi_error *err) {
  void *p = lsi_malloc(2 * (size_t)b->block + 4u * b->type + 64);
  if (!p) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the blosc decoder");
  lsi_free(p);
  return 0;
}

/* The whole of b's frame into dst. */
static int run_library(const struct lsi_blosc *b, void *dst, struct lsi_error *err) {
  int rc = room_for_library(b, err);
  if (rc) return rc;
  const int got = blosc_decompress_ctx(b->src, dst, b->nbytes, 1);
  if (got >= 0 && (uint32_t)got == b->nbytes) return 0;
  if (got == -5) /* initialize_decompress_func() */
    return lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "libblosc was built here without %s",
                    formats[b->flags >> 5]);
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "a blosc frame is corrupt (%s)", formats[b->flags >> 5]);
}

int lsi_blosc_decode(const uint8_t *src, size_t len, struct lsi_outbuf *out, struct lsi_error *err) {
  struct lsi_blosc b;
  int rc = lsi_blosc_open(src, len, &b, err);
  if (rc || !b.nbytes) return rc;
  if ((rc = lsi_outbuf_need(out, b.nbytes, false, err))) return rc;
  if (b.flags & STORED)
    memcpy(out->data, src + HEADER, b.nbytes);
  else if ((rc = check_blocks(&b, err)) || (rc = run_library(&b, out->data, err)))
    return rc;
  out->length = b.nbytes;
  return 0;
}

/* ---- encoding ---- */

size_t lsi_blosc_bound(size_t len) {
  return len <= BLOSC_MAX_BUFFERSIZE ? len + BLOSC_MAX_OVERHEAD : 0;
}

int64_t lsi_blosc_encode(int level, const void *src, size_t len, void *dst, size_t cap) {
  if (len > BLOSC_MAX_BUFFERSIZE) return LSIO_ERR_LIMIT;
  const int got = blosc_compress_ctx(level ? level : 5, BLOSC_SHUFFLE, 4, len, src, dst, cap,
                                     BLOSC_LZ4_COMPNAME, 0, 1);
  return got > 0 ? got : LSIO_ERR_LIMIT;
}
