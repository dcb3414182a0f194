/* Frames of blosc 1 (not of blosc2). The header and where every block lies are checked here first, from
 * the description of the format in c-blosc's README_CHUNK_FORMAT.rst. Blocks of lz4 and zstd that are
 * not shuffled by bits are decoded here, with those libraries and our own kernel: that takes a tenth
 * less time than libblosc, and one block of memory. The others go through libblosc, which sees frames
 * only whose blocks lie inside of them, and which fill their place: it would leave what it had in memory
 * in a block that its splits don't cover.
 *
 * Of libblosc only blosc_decompress_ctx with one thread is used, and which compressors it has. It keeps no
 * state between calls and takes no lock; all that it shares is which shuffle the processor has, behind
 * pthread_once. Read in 1.21.3; later versions of 1.21 change nothing about decoding. It takes 2 blocks of
 * memory for each call and does not look whether it got them: see room_for_library(). */
#include <blosc.h>
#include <lz4.h>

#include "codec/codec_blosc.h"
#include "ground/mem.h"
#include "kernels/kernels.h"

#define HEADER LSI_BLOSC_HEADER
#define STORED LSI_BLOSC_STORED
#define SHUFFLED 0x01u    /* flags: by bytes */
#define BIT_SHUFFLED 0x04u
#define RESERVED 0x08u
#define WHOLE_BLOCKS 0x10u /* blocks are not split */
#define SPLIT_TYPES 16u   /* types up to here are split, ... */
#define SPLIT_ITEMS 128u  /* ... in blocks of so many elements or more */

_Static_assert(HEADER == BLOSC_MIN_HEADER_LENGTH, "the library's");

static const char *const formats[] = {"blosclz", "lz4", "snappy", "zlib", "zstd"};

static int corrupt(struct lsi_error *err, const char *what) {
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "%s", what);
}

/* ---- headers ---- */

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

int lsi_blosc_open(const uint8_t *src, uint64_t left, struct lsi_blosc *b, struct lsi_error *err) {
  *b = (struct lsi_blosc){.src = src, .splits = 1};
  if (left < HEADER) return corrupt(err, "a blosc frame is cut short");
  b->version = src[1];
  b->flags = src[2];
  b->type = src[3];
  b->nbytes = lsi_le32(src + 4);
  b->block = lsi_le32(src + 8);
  b->length = lsi_le32(src + 12);
  if (b->length > left) return corrupt(err, "a blosc frame is cut short");
  size_t again = 0;
  if (blosc_cbuffer_validate(src, b->length, &again) < 0 || again != b->nbytes || b->flags & RESERVED)
    return corrupt(err, "the header of a blosc frame is not valid");
  if (b->nbytes) return check_sizes(b, err);
  return b->length == HEADER ? 0 : corrupt(err, "an empty blosc frame holds bytes");
}

bool lsi_blosc_zeros(const uint8_t *p, size_t n) {
  return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

int lsi_blosc_fail_behind(struct lsi_error *err) {
  return corrupt(err, "there are bytes after a blosc frame that are not zero");
}

/* ---- blocks ---- */

int lsi_blosc_fail_block(uint32_t i, struct lsi_error *err) {
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "block %u of a blosc frame does not lie in the frame", i);
}

static uint32_t size_of(const struct lsi_blosc *b, uint32_t i) {
  return LSI_MIN(b->block, b->nbytes - i * b->block);
}

bool lsi_blosc_shape(const struct lsi_blosc *b, uint32_t i, struct lsi_blosc_block *k) {
  const uint32_t size = size_of(b, i);
  k->parts = size == b->block ? b->splits : 1; /* the rest is not split */
  k->part = size / k->parts;
  return size % k->parts == 0;
}

/* Parts that do not shrink are stored, but snappy's may take more than their content. */
uint64_t lsi_blosc_part_most(const struct lsi_blosc *b, uint32_t part) {
  return (uint64_t)part + (b->flags >> 5 == BLOSC_SNAPPY_FORMAT ? 32 + part / 6 : 0);
}

static bool find_block(const struct lsi_blosc *b, uint32_t i, struct lsi_blosc_block *k) {
  const size_t at = lsi_le32(b->src + HEADER + 4 * (size_t)i);
  if (at < HEADER + 4 * (size_t)b->blocks || at > b->length) return false;
  k->at = b->src + at;
  k->end = b->src + b->length;
  return lsi_blosc_shape(b, i, k);
}

/* The next part: NULL when it is not inside of the frame. Its length is read once only. */
static const uint8_t *next_part(const struct lsi_blosc *b, struct lsi_blosc_block *k, uint32_t *length) {
  if (k->end - k->at < 4) return NULL;
  *length = lsi_le32(k->at);
  k->at += 4;
  if (*length > lsi_blosc_part_most(b, k->part) || *length > (size_t)(k->end - k->at)) return NULL;
  const uint8_t *part = k->at;
  k->at += *length;
  return part;
}

/* A block with its end, which is behind its parts; false: that is not inside of the frame. */
static bool whole_block(const struct lsi_blosc *b, uint32_t i, struct lsi_blosc_block *k) {
  if (!find_block(b, i, k)) return false;
  struct lsi_blosc_block walk = *k;
  for (uint32_t p = 0, n; p < k->parts; p++)
    if (!next_part(b, &walk, &n)) return false;
  k->end = walk.at;
  return true;
}

int lsi_blosc_check_blocks(const struct lsi_blosc *b, struct lsi_error *err) {
  struct lsi_blosc_block k;
  if (b->flags & STORED) return 0;
  for (uint32_t i = 0; i < b->blocks; i++)
    if (!whole_block(b, i, &k)) return lsi_blosc_fail_block(i, err);
  return 0;
}

static int fit_copy(struct lsi_decoder *d, size_t bytes, struct lsi_error *err) {
  if (bytes <= d->copy_bytes) return 0;
  lsi_free(d->copy);
  d->copy_bytes = 0;
  d->copy = lsi_malloc(bytes);
  if (!d->copy) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the blosc decoder");
  d->copy_bytes = bytes;
  return 0;
}

static int is_corrupt(const struct lsi_blosc *b, struct lsi_error *err) {
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "a blosc frame is corrupt (%s)", formats[b->flags >> 5]);
}

/* ---- by the library ---- */

/* The library writes through the pointer that malloc gave it, also if that is NULL. So the same is asked
 * for here just before, and given back: where memory is short, that fails instead. */
static int room_for_library(const struct lsi_blosc *b, struct lsi_error *err) {
  void *p = lsi_malloc(2 * (size_t)b->block + 4u * b->type + 64);
  if (!p) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the blosc decoder");
  lsi_free(p);
  return 0;
}

/* The whole of b's frame into dst. What it was built without is asked for before: the library would write
 * to stderr. */
static int run_library(const struct lsi_blosc *b, void *dst, struct lsi_error *err) {
  if (blosc_compname_to_compcode(formats[b->flags >> 5]) < 0)
    return lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "libblosc was built here without %s",
                    formats[b->flags >> 5]);
  int rc = room_for_library(b, err);
  if (rc) return rc;
  const int got = blosc_decompress_ctx(b->src, dst, b->nbytes, 1);
  return got >= 0 && (uint32_t)got == b->nbytes ? 0 : is_corrupt(b, err);
}

/* Blocks become frames of their own, copied together: blosc_getitem() would do as well, but it decodes into
 * a third block of memory, copies from there, and walks all blocks of the frame on each call. The copy is of
 * compressed bytes, which are fewer and must be brought into the cache anyway. */

static void put_le32(uint8_t *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* A frame of blocks [first, first + n) in d->copy, to which they are added; *f describes it. */
static int begin_frame(struct lsi_decoder *d, const struct lsi_blosc *b, uint32_t first, uint32_t n,
                       struct lsi_blosc *f, struct lsi_error *err) {
  *f = *b;
  f->nbytes = (uint32_t)LSI_MIN((uint64_t)n * b->block, b->nbytes - (uint64_t)first * b->block);
  f->blocks = n;
  if (f->nbytes < b->block) { /* the rest alone: rests are not split */
    f->block = f->nbytes;
    f->flags |= WHOLE_BLOCKS;
  }
  int rc = fit_copy(d, (size_t)lsi_blosc_memory(b, n), err);
  f->src = d->copy;
  f->length = HEADER + 4 * (size_t)n;
  return rc;
}

static bool add_block(struct lsi_decoder *d, struct lsi_blosc *f, uint32_t i,
                      const struct lsi_blosc_block *k) {
  const size_t bytes = (size_t)(k->end - k->at);
  if (bytes > d->copy_bytes - f->length) return false;
  put_le32(d->copy + HEADER + 4 * (size_t)i, (uint32_t)f->length);
  memcpy(d->copy + f->length, k->at, bytes);
  f->length += bytes;
  return true;
}

static int run_frame(struct lsi_decoder *d, const struct lsi_blosc *f, void *dst, struct lsi_error *err) {
  const uint8_t head[4] = {BLOSC_VERSION_FORMAT, f->version, f->flags, f->type};
  memcpy(d->copy, head, sizeof head);
  put_le32(d->copy + 4, f->nbytes);
  put_le32(d->copy + 8, f->block);
  put_le32(d->copy + 12, (uint32_t)f->length);
  return run_library(f, dst, err);
}

static int blocks_by_library(struct lsi_decoder *d, const struct lsi_blosc *b, uint32_t first, uint32_t n,
                             void *dst, struct lsi_error *err) {
  struct lsi_blosc f;
  struct lsi_blosc_block k;
  int rc = begin_frame(d, b, first, n, &f, err);
  if (rc) return rc;
  for (uint32_t i = 0; i < n; i++)
    if (!whole_block(b, first + i, &k) || !add_block(d, &f, i, &k))
      return lsi_blosc_fail_block(first + i, err);
  return run_frame(d, &f, dst, err);
}

/* ---- lz4 and zstd ---- */

static bool is_ours(const struct lsi_blosc *b) {
  const unsigned format = b->flags >> 5;
  return (format == BLOSC_LZ4_FORMAT || format == BLOSC_ZSTD_FORMAT) && !(b->flags & BIT_SHUFFLED);
}

static bool decode_part(struct lsi_decoder *d, const struct lsi_blosc *b, const uint8_t *src,
                        uint32_t n, uint8_t *dst, uint32_t size) {
  if (n == size)
    memcpy(dst, src, n);
  else if (b->flags >> 5 == BLOSC_LZ4_FORMAT)
    return LZ4_decompress_safe((const char *)src, (char *)dst, (int)n, (int)size) == (int)size;
  else
    return lsi_zstd_part(d, src, n, dst, size);
  return true;
}

static bool is_shuffled(const struct lsi_blosc *b) { return b->flags & SHUFFLED && b->type > 1; }

static int make_ready(struct lsi_decoder *d, const struct lsi_blosc *b, struct lsi_error *err) {
  int rc = is_shuffled(b) ? fit_copy(d, b->block, err) : 0;
  return !rc && b->flags >> 5 == BLOSC_ZSTD_FORMAT ? lsi_zstd_make(d, err) : rc;
}

static int our_block(struct lsi_decoder *d, const struct lsi_blosc *b, uint32_t i, struct lsi_blosc_block k,
                     uint8_t *dst, struct lsi_error *err) {
  const bool shuffled = is_shuffled(b);
  uint8_t *to = shuffled ? d->copy : dst;
  for (uint32_t p = 0, length; p < k.parts; p++, to += k.part) {
    const uint8_t *part = next_part(b, &k, &length);
    if (!part) return lsi_blosc_fail_block(i, err);
    if (!decode_part(d, b, part, length, to, k.part)) return is_corrupt(b, err);
  }
  if (shuffled) lsi_kernels()->unshuffle(d->copy, (size_t)k.parts * k.part, dst, b->type);
  return 0;
}

static int our_blocks(struct lsi_decoder *d, const struct lsi_blosc *b, uint32_t first, uint32_t n,
                      uint8_t *dst, struct lsi_error *err) {
  int rc = make_ready(d, b, err);
  for (uint32_t i = first; !rc && i < first + n; i++, dst += b->block) {
    struct lsi_blosc_block k;
    rc = find_block(b, i, &k) ? our_block(d, b, i, k, dst, err) : lsi_blosc_fail_block(i, err);
  }
  return rc;
}

/* ---- either way ---- */

uint64_t lsi_blosc_memory(const struct lsi_blosc *b, uint32_t blocks) {
  if (b->flags & STORED) return 0;
  if (is_ours(b)) return b->block;
  const uint64_t most = (uint64_t)b->block + b->block / 6 + b->splits * 36u + 4;
  return 2 * (uint64_t)b->block + 4u * b->type + 64 + HEADER + blocks * most;
}

int lsi_blosc_decode(struct lsi_decoder *d, const struct lsi_blosc *b, uint32_t first, uint32_t n, void *dst,
                     size_t *got, struct lsi_error *err) {
  const uint64_t from = (uint64_t)first * b->block;
  *got = (size_t)LSI_MIN((uint64_t)n * b->block, b->nbytes - from);
  if (b->flags & STORED) {
    memcpy(dst, b->src + HEADER + from, *got);
    return 0;
  }
  return is_ours(b) ? our_blocks(d, b, first, n, dst, err) : blocks_by_library(d, b, first, n, dst, err);
}

int lsi_blosc_decode_all(struct lsi_decoder *d, const struct lsi_blosc *b, void *dst, struct lsi_error *err) {
  size_t got;
  if (b->flags & STORED || is_ours(b)) return lsi_blosc_decode(d, b, 0, b->blocks, dst, &got, err);
  return run_library(b, dst, err);
}

int lsi_blosc_decode_one(struct lsi_decoder *d, const struct lsi_blosc *b, uint32_t i,
                         const struct lsi_blosc_block *k, void *dst, size_t *got, struct lsi_error *err) {
  *got = size_of(b, i);
  struct lsi_blosc f;
  int rc = is_ours(b) ? make_ready(d, b, err) : begin_frame(d, b, i, 1, &f, err);
  if (rc) return rc;
  if (is_ours(b)) return our_block(d, b, i, *k, dst, err);
  return add_block(d, &f, 0, k) ? run_frame(d, &f, dst, err) : lsi_blosc_fail_block(i, err);
}
