/* LZ4 frames and blocks. Frames are parsed here and their blocks decoded with the library straight to
 * their final place: LZ4F would keep up to 8 MiB of its own buffers for each worker, outside the
 * memory that a job accounts for, and copy every block for which the rest of the output is smaller
 * than the frame's largest block. */
#include <limits.h>
#include <lz4.h>
#include <lz4frame.h>
#include <lz4hc.h>

#include "codec/codec_impl.h"

#define MAGIC 0x184D2204u
#define SHORT_BLOCKS 64 /* of a frame, that are looked at to see whether it is short */
static int corrupt(struct lsi_error *err, const char *what) {
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "%s", what);
}

static int cut_short(struct lsi_error *err) {
  return corrupt(err, "an lz4 frame is cut short");
}

/* The size that a block decodes to, from its tokens alone, nothing written; -1 when it is no valid
 * sequence of tokens. Tells a block that is too large from one that is corrupt. */
static int64_t block_size(const uint8_t *p, size_t len) {
  const uint8_t *end = p + len;
  uint64_t size = 0;
  while (p < end) {
    uint8_t token = *p++, more;
    uint64_t literals = token >> 4, match = token & 15;
    if (literals == 15) {
      do {
        if (p == end) return -1;
        literals += more = *p++;
      } while (more == 255);
    }
    if (literals > (uint64_t)(end - p)) return -1;
    p += literals;
    size += literals;
    if (p == end) return (int64_t)size;
    if (end - p < 2) return -1;
    p += 2;
    if (match == 15) {
      do {
        if (p == end) return -1;
        match += more = *p++;
      } while (more == 255);
    }
    size += match + 4;
  }
  return -1; /* the last sequence has literals only */
}

/* ---- frames ---- */

/* `left`: bytes of the chunk from src on, if not all of them have come. */
static int open_frame(const uint8_t *src, const uint8_t *end, uint64_t left, struct lsi_lz4_frame *f,
                      struct lsi_error *err) {
  *f = (struct lsi_lz4_frame){.at = src, .end = end};
  lsi_xxh32_begin(&f->sum);
  const uint8_t *p = src;
  if (f->end - p < 7) return cut_short(err);
  uint8_t flags = p[4], bd = p[5];
  if (flags >> 6 != 1 || flags & 2 || bd & 0x8F || bd >> 4 < 4)
    return corrupt(err, "the header of an lz4 frame is not valid");
  f->linked = !(flags & 32);
  f->block_checksum = flags & 16;
  f->has_size = flags & 8;
  f->content_checksum = flags & 4;
  f->block_max = (size_t)1 << (8 + 2 * (bd >> 4));
  size_t length = 2 + (f->has_size ? 8 : 0) + (flags & 1 ? 4 : 0);
  if ((size_t)(f->end - p) < 4 + length + 1) return cut_short(err);
  if (f->has_size) f->content_size = lsi_le64(p + 6);
  if ((lsi_xxh32(p + 4, length) >> 8 & 0xFF) != p[4 + length])
    return corrupt(err, "the checksum of an lz4 frame's header is wrong");
  if (flags & 1) /* its ID stands last */
    return lsi_fail_dictionary(&lsi_codec_lz4, lsi_le32(p + 4 + length - 4), err);
  f->at = p + 4 + length + 1;
  /* No sequence of tokens yields more than 255 bytes for each of its own. */
  if (f->has_size && f->content_size / 255 > left)
    return corrupt(err, "an lz4 frame states a size that its bytes can't hold");
  return 0;
}

static int decode_into(const struct lsi_lz4_frame *f, const uint8_t *src, size_t n,
                       const struct lsi_outbuf *out) {
  char *dst = (char *)out->data + out->length;
  int room = (int)LSI_MIN(lsi_outbuf_room(out), f->block_max);
  size_t history = f->linked ? (size_t)LSI_MIN(f->done, (uint64_t)LSI_LZ4_HISTORY) : 0;
  if (!history) return LZ4_decompress_safe((const char *)src, dst, (int)n, room);
  return LZ4_decompress_safe_usingDict((const char *)src, dst, (int)n, room, dst - history,
                                       (int)history);
}

static int compressed_block(const struct lsi_lz4_frame *f, const uint8_t *src, size_t n,
                            struct lsi_outbuf *out, struct lsi_error *err) {
  if (lsi_outbuf_room(out)) {
    int got = decode_into(f, src, n, out);
    if (LSI_LIKELY(got >= 0)) {
      out->length += (size_t)got;
      return 0;
    }
  }
  int64_t size = block_size(src, n);
  if (size == 0 && !lsi_outbuf_room(out)) return 0; /* an empty block behind a full output */
  uint64_t most = f->block_max;
  if (f->has_size) most = LSI_MIN(most, f->content_size - f->done);
  if (size < 0 || (uint64_t)size > most || (uint64_t)size <= lsi_outbuf_room(out))
    return corrupt(err, "a block of an lz4 frame is corrupt");
  int rc = lsi_outbuf_need(out, (uint64_t)size, true, err);
  if (rc) return rc;
  int got = decode_into(f, src, n, out);
  if (got < 0) return corrupt(err, "a block of an lz4 frame is corrupt");
  out->length += (size_t)got;
  return 0;
}

static int block(struct lsi_lz4_frame *f, uint32_t head, struct lsi_outbuf *out, struct lsi_error *err) {
  size_t n = head & 0x7FFFFFFFu;
  if (n > f->block_max) return corrupt(err, "a block of an lz4 frame is larger than it may be");
  if ((size_t)(f->end - f->at) < n + (f->block_checksum ? 4 : 0)) return cut_short(err);
  const uint8_t *src = f->at;
  f->at += n;
  if (f->block_checksum) {
    if (lsi_xxh32(src, n) != lsi_le32(f->at))
      return corrupt(err, "the checksum of an lz4 block is wrong");
    f->at += 4;
  }
  if (!(head >> 31)) return compressed_block(f, src, n, out, err);
  int rc = lsi_outbuf_need(out, n, true, err);
  if (rc) return rc;
  if (n) memcpy((char *)out->data + out->length, src, n);
  out->length += n;
  return 0;
}

/* What stands behind the last block. */
static int end_of_frame(struct lsi_lz4_frame *f, struct lsi_error *err) {
  if (f->content_checksum) {
    if (f->end - f->at < 4) return cut_short(err);
    if (lsi_xxh32_end(&f->sum) != lsi_le32(f->at))
      return corrupt(err, "the content checksum of an lz4 frame is wrong");
    f->at += 4;
  }
  if (f->has_size && f->done != f->content_size)
    return corrupt(err, "an lz4 frame holds less than the size it states");
  return 0;
}

/* The next block, behind out->length; the frame's last LSI_LZ4_HISTORY bytes, or all if they are fewer,
 * must stand before that if blocks are linked. !*more: that was the end of the frame, and all is right. */
static int next_block(struct lsi_lz4_frame *f, struct lsi_outbuf *out, bool *more,
                  struct lsi_error *err) {
  if (f->end - f->at < 4) return cut_short(err);
  const uint32_t head = lsi_le32(f->at);
  f->at += 4;
  *more = head != 0;
  if (!head) return end_of_frame(f, err);
  const size_t before = out->length;
  int rc = block(f, head, out, err);
  if (rc) return rc;
  f->done += out->length - before;
  if (f->has_size && f->done > f->content_size)
    return corrupt(err, "an lz4 frame holds more than the size it states");
  /* Block by block, while it is in the cache. */
  if (f->content_checksum && out->length > before)
    lsi_xxh32_add(&f->sum, (char *)out->data + before, out->length - before);
  return 0;
}

static int decode(struct lsi_decoder *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                  struct lsi_error *err) {
  (void)d;
  const uint8_t *at = src, *end = src + len;
  struct lsi_lz4_frame f;
  int rc;
  while ((rc = lsi_next_frame(&lsi_codec_lz4, MAGIC, src, &at, end, err)) > 0) {
    if ((rc = open_frame(at, end, (uint64_t)(end - at), &f, err))) return rc;
    if (f.has_size && (rc = lsi_outbuf_need(out, f.content_size, false, err))) return rc;
    for (bool more = true; more;)
      if ((rc = next_block(&f, out, &more, err))) return rc;
    at = f.at;
  }
  return rc;
}

/* Right after open: where the frame ends, from the lengths of its blocks; NULL: not within the chunk. */
static const uint8_t *skip_frame(const struct lsi_lz4_frame *f) {
  const uint8_t *at = f->at;
  while (f->end - at >= 4) {
    const uint32_t head = lsi_le32(at);
    at += 4;
    const size_t n = head ? (head & 0x7FFFFFFFu) + (f->block_checksum ? 4 : 0)
                          : f->content_checksum ? 4 : 0;
    if ((size_t)(f->end - at) < n) return NULL;
    at += n;
    if (!head) return at;
  }
  return NULL;
}

/* Right after open: the chunk ends with this frame, which is one block or holds up to `size` bytes. */
static bool is_short(const struct lsi_lz4_frame *f, size_t size) {
  const uint8_t *at = f->at;
  for (unsigned blocks = 0; blocks < SHORT_BLOCKS && f->end - at >= 4; blocks++) {
    const uint32_t head = lsi_le32(at);
    at += 4;
    if (!head)
      return f->end - at == (f->content_checksum ? 4 : 0) &&
             (blocks <= 1 || (f->has_size && f->content_size <= size));
    const size_t n = (head & 0x7FFFFFFFu) + (f->block_checksum ? 4 : 0);
    if ((size_t)(f->end - at) < n) return false;
    at += n;
  }
  return false;
}

/* ---- by pieces ---- */

/* Opens the frame at p->at, if there is one more. */
static int frame(struct lsi_piece_state *p, struct lsi_error *err) {
  int rc = lsi_next_frame(&lsi_codec_lz4, MAGIC, p->begin, &p->at, p->end, err);
  p->ended = rc == 0;
  if (rc <= 0) return rc;
  if ((rc = open_frame(p->at, p->end, (uint64_t)(p->end - p->at), &p->lz4, err))) return rc;
  return p->lz4.has_size ? lsi_pieces_expect(p, p->lz4.content_size, err) : 0;
}

static int take(struct lsi_piece_state *p, struct lsi_error *err) {
  return lsi_pieces_take(p, p->lz4.block_max, p->lz4.linked ? LSI_LZ4_HISTORY : 0, 0, err);
}

static bool at_end(const struct lsi_piece_state *p) {
  return p->lz4.end - p->lz4.at >= 4 && lsi_le32(p->lz4.at) == 0;
}

/* One block, and what is no data behind it: a piece is the last one if nothing but that follows. */
static int fill(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  do {
    bool more;
    int rc = lsi_pieces_room(p, err);
    if (rc) return rc;
    const size_t before = p->out->length;
    rc = next_block(&p->lz4, p->out, &more, err);
    if (!rc) rc = lsi_pieces_count(p, p->out->length - before, err);
    if (!rc && !more) {
      p->at = p->lz4.at;
      rc = frame(p, err);
      if (!rc && !p->ended) rc = take(p, err);
    }
    if (rc) return rc;
  } while (!p->ended && at_end(p));
  return 0;
}

/* Later frames may have larger blocks. What is wrong with one of them is found when its turn comes. */
static void look_ahead(const struct lsi_piece_state *p, struct lsi_outlook *o) {
  struct lsi_lz4_frame f = p->lz4;
  const uint8_t *at;
  do {
    const size_t history = f.linked ? LSI_LZ4_HISTORY : 0;
    o->memory = LSI_MAX(o->memory, lsi_pieces_memory(p, f.block_max, history, 0));
    o->known &= f.has_size;
    o->content = lsi_sat_add(o->content, f.content_size);
    at = skip_frame(&f);
  } while (at && lsi_next_frame(&lsi_codec_lz4, MAGIC, p->begin, &at, p->end, NULL) > 0 &&
           !open_frame(at, p->end, (uint64_t)(p->end - at), &f, NULL));
}

static int begin(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  p->uneven = true;
  int rc = frame(p, err);
  if (rc || p->ended) return rc;
  struct lsi_outlook o = {.known = true, .single = is_short(&p->lz4, 2 * p->size - 1)};
  if (o.single || lsi_pieces_memory(p, LSI_LZ4_BLOCK_MAX, LSI_LZ4_HISTORY, 0) > p->out->limit)
    look_ahead(p, &o);
  rc = lsi_pieces_choose(p, &o, err);
  if (rc <= 0 || (rc = take(p, err))) return rc;
  return 1;
}

/* ---- bit by bit ---- */

#define HEAD 19 /* bytes of a frame's header, at most */

static int feed_begin(struct lsi_decoder *d, const uint8_t *src, size_t n, struct lsi_error *err) {
  d->pieces.uneven = true;
  return lsi_feed_begins(&lsi_codec_lz4, MAGIC, src, n, err);
}

static int feed_open(struct lsi_piece_state *p, struct lsi_error *err) {
  const uint8_t *src;
  size_t n;
  int rc = lsi_feed_frame(p, MAGIC, HEAD, &src, &n, err);
  p->ended = rc == 0;
  if (rc <= 0) return rc;
  if ((rc = open_frame(src, src + n, p->feed->left, &p->lz4, err))) return rc;
  p->within = true;
  lsi_feed_use(p, (size_t)(p->lz4.at - src));
  rc = p->lz4.has_size ? lsi_pieces_expect(p, p->lz4.content_size, err) : 0;
  return rc ? rc : take(p, err);
}

/* Bytes of the next block with its head, or of the frame's end. */
static int feed_length(struct lsi_piece_state *p, uint32_t *head, size_t *n, struct lsi_error *err) {
  const struct lsi_lz4_frame *f = &p->lz4;
  const uint8_t *src;
  if (p->feed->left < 4) return cut_short(err);
  *n = 4;
  int rc = lsi_feed_get(p, n, &src, err);
  if (rc) return rc;
  *head = lsi_le32(src);
  *n = 4;
  if (!*head) *n += f->content_checksum ? 4 : 0;
  else if ((*head & 0x7FFFFFFFu) <= f->block_max) *n += (*head & 0x7FFFFFFFu) + (f->block_checksum ? 4 : 0);
  return p->feed->left < *n ? cut_short(err) : 0;
}

/* One frame's begin, one block, or one frame's end. */
static int feed(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  struct lsi_lz4_frame *f = &p->lz4;
  const uint8_t *src;
  uint32_t head = 0;
  size_t n = 0;
  if (!p->within) return feed_open(p, err);
  int rc = feed_length(p, &head, &n, err);
  if (rc) return rc;
  if (head && lsi_pieces_unread(p) >= p->size) {
    p->unsure = false;
    return 0;
  }
  size_t there = n;
  if ((rc = lsi_feed_get(p, &there, &src, err)) || (rc = lsi_pieces_room(p, err))) return rc;
  const size_t before = p->out->length;
  bool more;
  f->at = src;
  f->end = src + n;
  if ((rc = next_block(f, p->out, &more, err))) return rc;
  lsi_feed_use(p, n);
  p->within = more;
  p->unsure = true;
  return lsi_pieces_count(p, p->out->length - before, err);
}

/* ---- bare blocks ---- */

static int corrupt_block(struct lsi_error *err) { return corrupt(err, "an lz4 block is corrupt"); }

static int decode_block(struct lsi_decoder *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                        struct lsi_error *err) {
  (void)d;
  if (len > INT_MAX) return corrupt(err, "an lz4 block has more than 2 GiB");
  const char *from = (const char *)src;
  size_t room = LSI_MIN(lsi_outbuf_room(out), (size_t)INT_MAX);
  int got = room ? LZ4_decompress_safe(from, out->data, (int)len, (int)room) : -1;
  if (got < 0) {
    int64_t size = block_size(src, len);
    if (size == 0 && !room) return 0;
    if (size < 0 || size > INT_MAX || (uint64_t)size <= room) return corrupt_block(err);
    int rc = lsi_outbuf_need(out, (uint64_t)size, false, err);
    if (rc) return rc;
    if ((got = LZ4_decompress_safe(from, out->data, (int)len, (int)size)) < 0)
      return corrupt_block(err);
  }
  out->length = (size_t)got;
  return 0;
}

/* ---- encoding ---- */

static LZ4F_preferences_t preferences(int level, size_t len) {
  LZ4F_preferences_t p = LZ4F_INIT_PREFERENCES;
  p.frameInfo.contentSize = len;
  p.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
  p.compressionLevel = level;
  return p;
}

static size_t bound(size_t len) {
  LZ4F_preferences_t p = preferences(0, len);
  return LZ4F_compressFrameBound(len, &p);
}

static int64_t encode(int level, const void *src, size_t len, void *dst, size_t cap) {
  LZ4F_preferences_t p = preferences(level, len);
  size_t n = LZ4F_compressFrame(dst, cap, src, len, &p);
  return LZ4F_isError(n) ? LSIO_ERR_LIMIT : (int64_t)n;
}

static size_t bound_block(size_t len) {
  return len <= LZ4_MAX_INPUT_SIZE ? (size_t)LZ4_compressBound((int)len) : 0;
}

static int64_t encode_block(int level, const void *src, size_t len, void *dst, size_t cap) {
  if (len > LZ4_MAX_INPUT_SIZE) return LSIO_ERR_LIMIT;
  int room = (int)LSI_MIN(cap, (size_t)INT_MAX);
  int n = level >= LZ4HC_CLEVEL_MIN ? LZ4_compress_HC(src, dst, (int)len, room, level)
                                    : LZ4_compress_default(src, dst, (int)len, room);
  return n > 0 ? n : LSIO_ERR_LIMIT;
}

/* ---- the rows ---- */

#define RATE 3.1e9 /* liblz4 1.9 on a Xeon */

static unsigned looks_like(const uint8_t *src, size_t n) { return lsi_frame_looks_like(MAGIC, src, n); }

const struct lsi_codec_ops lsi_codec_lz4 = {
    .name = "lz4",
    .what = "an lz4 frame",
    .caps = LSI_CODEC_EMPTY,
    .rate = RATE,
    .decode = decode,
    .begin = begin,
    .fill = fill,
    .feed_begin = feed_begin,
    .feed = feed,
    .feed_most = LSI_LZ4_FEED_MOST,
    .looks_like = looks_like,
    .bound = bound,
    .encode = encode,
};

const struct lsi_codec_ops lsi_codec_lz4_block = {
    .name = "lz4_block",
    .what = "an lz4 block",
    .caps = LSI_CODEC_SIZED,
    .rate = RATE,
    .decode = decode_block,
    .bound = bound_block,
    .encode = encode_block,
};
