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

#include "codec/codec_impl.h"
#include "ground/mem.h"
#include "kernels/kernels.h"

#define HEADER BLOSC_MIN_HEADER_LENGTH
#define SHUFFLED 0x01u    /* flags: by bytes */
#define STORED 0x02u      /* the content as it is */
#define BIT_SHUFFLED 0x04u
#define RESERVED 0x08u
#define WHOLE_BLOCKS 0x10u /* blocks are not split */
#define SPLIT_TYPES 16u   /* types up to here are split, ... */
#define SPLIT_ITEMS 128u  /* ... in blocks of so many elements or more */

static const char *const formats[] = {"blosclz", "lz4", "snappy", "zlib", "zstd"};

static int corrupt(struct lsi_error *err, const char *what) {
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "%s", what);
}

/* Block i on its way: `parts` of `part` decoded bytes each, the next one stored at `at`. */
struct block {
  size_t at;
  uint32_t parts, part;
};

static bool find_block(const struct lsi_blosc *b, uint32_t i, struct block *k) {
  const bool rest = i == b->blocks - 1 && b->nbytes % b->block;
  const uint32_t size = rest ? b->nbytes % b->block : b->block;
  k->parts = rest ? 1 : b->splits;
  k->part = size / k->parts;
  k->at = lsi_le32(b->src + HEADER + 4 * (size_t)i);
  return k->at >= HEADER + 4 * (size_t)b->blocks && size % k->parts == 0;
}

/* The next part: NULL when it is not inside of the frame. Its length is read once only. */
static const uint8_t *next_part(const struct lsi_blosc *b, struct block *k, uint32_t *length) {
  if (k->at > b->length || b->length - k->at < 4) return NULL;
  /* Parts that do not shrink are stored, but snappy's may take more than their content. */
  const uint32_t most = k->part + (b->flags >> 5 == BLOSC_SNAPPY_FORMAT ? 32 + k->part / 6 : 0);
  *length = lsi_le32(b->src + k->at);
  k->at += 4;
  if (*length > most || *length > b->length - k->at) return NULL;
  const uint8_t *part = b->src + k->at;
  k->at += *length;
  return part;
}

/* Where the compressed bytes of block i begin and end; false when that is not inside of the frame. */
static bool block_at(const struct lsi_blosc *b, uint32_t i, size_t *begin, size_t *end) {
  struct block k;
  if (!find_block(b, i, &k)) return false;
  *begin = k.at;
  for (uint32_t p = 0, n; p < k.parts; p++)
    if (!next_part(b, &k, &n)) return false;
  *end = k.at;
  return true;
}

static int not_inside(uint32_t i, struct lsi_error *err) {
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "block %u of a blosc frame does not lie in the frame", i);
}

static int check_blocks(const struct lsi_blosc *b, struct lsi_error *err) {
  size_t begin, end;
  if (b->flags & STORED) return 0;
  for (uint32_t i = 0; i < b->blocks; i++)
    if (!block_at(b, i, &begin, &end)) return not_inside(i, err);
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

static bool all_zero(const uint8_t *p, size_t n) {
  return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static int open_frame(const uint8_t *src, size_t len, struct lsi_blosc *b, struct lsi_error *err) {
  *b = (struct lsi_blosc){.src = src, .splits = 1};
  if (len < 1 || src[0] != BLOSC_VERSION_FORMAT)
    return lsi_fail_begin(&lsi_codec_blosc, err);
  if (len < HEADER) return corrupt(err, "a blosc frame is cut short");
  b->version = src[1];
  b->flags = src[2];
  b->type = src[3];
  b->nbytes = lsi_le32(src + 4);
  b->block = lsi_le32(src + 8);
  b->length = lsi_le32(src + 12);
  if (b->length > len) return corrupt(err, "a blosc frame is cut short");
  size_t again = 0;
  if (blosc_cbuffer_validate(src, b->length, &again) < 0 || again != b->nbytes || b->flags & RESERVED)
    return corrupt(err, "the header of a blosc frame is not valid");
  if (!all_zero(src + b->length, len - b->length))
    return corrupt(err, "there are bytes after a blosc frame that are not zero");
  if (b->nbytes) return check_sizes(b, err);
  return b->length == HEADER ? 0 : corrupt(err, "an empty blosc frame holds bytes");
}

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
  if (got >= 0 && (uint32_t)got == b->nbytes) return 0;
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "a blosc frame is corrupt (%s)", formats[b->flags >> 5]);
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

static int fit_copy(struct lsi_decoder *d, size_t bytes, struct lsi_error *err) {
  if (bytes <= d->copy_bytes) return 0;
  lsi_free(d->copy);
  d->copy_bytes = 0;
  d->copy = lsi_malloc(bytes);
  if (!d->copy) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the blosc decoder");
  d->copy_bytes = bytes;
  return 0;
}

/* Blocks [first, first + n) to dst. */
static int our_blocks(struct lsi_decoder *d, const struct lsi_blosc *b, uint32_t first, uint32_t n,
                      uint8_t *dst, struct lsi_error *err) {
  const bool shuffled = b->flags & SHUFFLED && b->type > 1;
  int rc = shuffled ? fit_copy(d, b->block, err) : 0;
  if (!rc && b->flags >> 5 == BLOSC_ZSTD_FORMAT) rc = lsi_zstd_make(d, err);
  if (rc) return rc;
  for (uint32_t i = first; i < first + n; i++) {
    struct block k;
    if (!find_block(b, i, &k)) return not_inside(i, err);
    const size_t size = (size_t)k.parts * k.part;
    uint8_t *to = shuffled ? d->copy : dst;
    for (uint32_t p = 0, length; p < k.parts; p++, to += k.part) {
      const uint8_t *part = next_part(b, &k, &length);
      if (!part) return not_inside(i, err);
      if (!decode_part(d, b, part, length, to, k.part))
        return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "a blosc frame is corrupt (%s)",
                        formats[b->flags >> 5]);
    }
    if (shuffled) lsi_kernels()->unshuffle(d->copy, size, dst, b->type);
    dst += size;
  }
  return 0;
}

static int decode(struct lsi_decoder *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                  struct lsi_error *err) {
  struct lsi_blosc b;
  int rc = open_frame(src, len, &b, err);
  if (rc || !b.nbytes) return rc;
  if ((rc = lsi_outbuf_need(out, b.nbytes, false, err))) return rc;
  if (b.flags & STORED)
    memcpy(out->data, src + HEADER, b.nbytes);
  else if (!(rc = check_blocks(&b, err)))
    rc = is_ours(&b) ? our_blocks(d, &b, 0, b.blocks, out->data, err)
                     : run_library(&b, out->data, err);
  out->length = b.nbytes;
  return rc;
}

/* ---- by pieces ---- */

/* For the library, blocks become frames of their own, copied together: blosc_getitem() would do as well,
 * but it decodes into a third block of memory, copies from there, and walks all blocks of the frame on
 * each call. The copy is of compressed bytes, which are fewer and must be brought into the cache anyway. */

static uint32_t group_of(const struct lsi_blosc *b, size_t size) {
  return (uint32_t)LSI_MAX(LSI_MIN(size / b->block, (size_t)b->blocks), (size_t)1);
}

static uint64_t memory_for(const struct lsi_blosc *b, uint32_t group) {
  if (b->flags & STORED) return 0;
  if (is_ours(b)) return b->block;
  const uint64_t most = (uint64_t)b->block + b->block / 6 + b->splits * 36u + 4;
  return 2 * (uint64_t)b->block + 4u * b->type + 64 + HEADER + group * most;
}

static void put_le32(uint8_t *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* Blocks [first, first + n) as a frame in d->copy; *f describes it. */
static int gather(struct lsi_decoder *d, const struct lsi_blosc *b, uint32_t first, uint32_t n,
                  struct lsi_blosc *f, struct lsi_error *err) {
  const uint64_t from = (uint64_t)first * b->block;
  *f = *b;
  f->nbytes = (uint32_t)LSI_MIN((uint64_t)n * b->block, b->nbytes - from);
  if (f->nbytes < b->block) { /* the rest alone: rests are not split */
    f->block = f->nbytes;
    f->flags |= WHOLE_BLOCKS;
  }
  int rc = fit_copy(d, (size_t)memory_for(b, n), err);
  if (rc) return rc;
  size_t at = HEADER + 4 * (size_t)n;
  for (uint32_t i = 0; i < n; i++) {
    size_t begin, end;
    if (!block_at(b, first + i, &begin, &end) || end - begin > d->copy_bytes - at)
      return not_inside(first + i, err);
    put_le32(d->copy + HEADER + 4 * (size_t)i, (uint32_t)at);
    memcpy(d->copy + at, b->src + begin, end - begin);
    at += end - begin;
  }
  const uint8_t head[4] = {BLOSC_VERSION_FORMAT, f->version, f->flags, f->type};
  memcpy(d->copy, head, sizeof head);
  put_le32(d->copy + 4, f->nbytes);
  put_le32(d->copy + 8, f->block);
  put_le32(d->copy + 12, (uint32_t)at);
  f->src = d->copy;
  f->length = at;
  return 0;
}

static int decode_blocks(struct lsi_decoder *d, const struct lsi_blosc *b, uint32_t first, uint32_t n,
                     void *dst, size_t *got, struct lsi_error *err) {
  const uint64_t from = (uint64_t)first * b->block;
  *got = (size_t)LSI_MIN((uint64_t)n * b->block, b->nbytes - from);
  if (b->flags & STORED) {
    memcpy(dst, b->src + HEADER + from, *got);
    return 0;
  }
  if (is_ours(b)) return our_blocks(d, b, first, n, dst, err);
  struct lsi_blosc f;
  int rc = gather(d, b, first, n, &f, err);
  return rc ? rc : run_library(&f, dst, err);
}

static int fill(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  const uint32_t n = LSI_MIN(p->group, p->blosc.blocks - p->block);
  size_t got;
  int rc = lsi_pieces_room(p, err);
  if (rc) return rc;
  char *dst = (char *)p->out->data + p->out->length;
  rc = decode_blocks(d, &p->blosc, p->block, n, dst, &got, err);
  if (rc) return rc;
  p->out->length += got;
  p->block += n;
  p->ended = p->block == p->blosc.blocks;
  return 0;
}

static int begin(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  int rc = open_frame(p->begin, (size_t)(p->end - p->begin), &p->blosc, err);
  if (rc || !p->blosc.nbytes) return rc;
  struct lsi_outlook o = {.known = true, .content = p->blosc.nbytes,
                      .single = p->blosc.blocks < 2 || lsi_pieces_short(p, p->blosc.nbytes)};
  p->group = group_of(&p->blosc, p->size);
  const size_t unit = (size_t)p->group * p->blosc.block;
  const uint64_t inside = memory_for(&p->blosc, p->group);
  o.memory = lsi_pieces_memory(p, unit, 0, inside);
  rc = lsi_pieces_choose(p, &o, err);
  if (rc <= 0 || (rc = lsi_pieces_expect(p, p->blosc.nbytes, err)) || (rc = check_blocks(&p->blosc, err)) ||
      (rc = lsi_pieces_take(p, unit, 0, inside, err)))
    return rc;
  return 1;
}

/* ---- encoding ---- */

static size_t bound(size_t len) {
  return len <= BLOSC_MAX_BUFFERSIZE ? len + BLOSC_MAX_OVERHEAD : 0;
}

static int64_t encode(int level, const void *src, size_t len, void *dst, size_t cap) {
  if (len > BLOSC_MAX_BUFFERSIZE) return LSIO_ERR_LIMIT;
  const int got = blosc_compress_ctx(level ? level : 5, BLOSC_SHUFFLE, 4, len, src, dst, cap,
                                     BLOSC_LZ4_COMPNAME, 0, 1);
  return got > 0 ? got : LSIO_ERR_LIMIT;
}

/* ---- the row ---- */

static unsigned looks_like(const uint8_t *src, size_t n) {
  return n >= 2 && src[0] == BLOSC_VERSION_FORMAT && src[1] == 1 ? 2 : 0;
}

/* Where its library decodes a frame of one block, that takes two of them of memory. */
const struct lsi_codec_ops lsi_codec_blosc = {
    .name = "blosc",
    .what = "a blosc frame",
    .overhead = 2,
    .rate = 2.4e9, /* blosc 1.21 with lz4 and shuffle on a Xeon */
    .decode = decode,
    .begin = begin,
    .fill = fill,
    .looks_like = looks_like,
    .bound = bound,
    .encode = encode,
};
