/* Zstandard frames, each decoded in one call to its final place: that needs no window, so the only
 * memory of its own is a context of fixed size (about 150 KiB), whatever a frame asks for. */
#include <stdio.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "codec/codec_impl.h"
#include "ground/mem.h"

/* Of zstd's versions only the last one's frames: each older one would take a decoder of its own. */
#define MAGIC 0xFD2FB528u
#define BLOCK_MAX ((uint64_t)128 << 10)
#define WINDOW_LOG_MAX (sizeof(size_t) == 4 ? 30 : 31) /* that the library streams with */
#define UNIT ((size_t)BLOCK_MAX)
#define KEPT_MAX ((uint64_t)5 << 20) /* of a decoder beyond what the next chunk needs */

static ZSTD_DCtx *context(const struct lsi_decoder *d) { return d->own[LSI_CODEC_ZSTD]; }

static int corrupt(struct lsi_error *err, const char *what) {
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "%s", what);
}

/* What it finds wrong. A frame that names no dictionary and needs one (`--no-dictID`) looks like a damaged
 * one, but where it begins with tables of the dictionary's. */
static int library_says(size_t result, struct lsi_error *err) {
  if (ZSTD_getErrorCode(result) == ZSTD_error_dictionary_corrupted)
    return corrupt(err, "a zstd frame uses tables that are not in it: it is damaged, or was written with a "
                        "dictionary");
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "a zstd frame is corrupt (%s)", ZSTD_getErrorName(result));
}

/* ---- dictionaries ---- */

int lsi_dictionary_create(const void *bytes, size_t n, struct lsi_dictionary **out, struct lsi_error *err) {
  struct lsi_dictionary *d = lsi_malloc(sizeof *d);
  if (!d) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a dictionary");
  *d = (struct lsi_dictionary){.zstd = ZSTD_createDDict(bytes, n)};
  if (!d->zstd) {
    const bool named = ZSTD_getDictID_fromDict(bytes, n) != 0;
    lsi_free(d);
    return named ? lsi_fail(err, LSIO_ERR_CORRUPT, 0, "a dictionary of zstd is damaged")
                 : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a dictionary");
  }
  d->id = ZSTD_getDictID_fromDDict(d->zstd);
  *out = d;
  return 0;
}

void lsi_dictionary_free(struct lsi_dictionary *d) {
  if (d) ZSTD_freeDDict(d->zstd);
  lsi_free(d);
}

/* What a frame names must be what there is; one that names none may need it all the same. */
static int check_dictionary(const struct lsi_decoder *d, uint32_t id, struct lsi_error *err) {
  const struct lsi_dictionary *has = d->dictionary;
  if (!id || (has && has->id == id)) return 0;
  if (!has) return lsi_fail_dictionary(&lsi_codec_zstd, id, err);
  char text[32] = "none";
  if (has->id) snprintf(text, sizeof text, "the ID %u", has->id);
  lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0,
           "a zstd frame needs the dictionary with ID %u, but that of the job has %s", id, text);
  lsi_error_remedy(err, "give the job the dictionary that the frame was written with (`dictionary`)");
  return LSIO_ERR_UNSUPPORTED;
}

/* ---- whole chunks ---- */

/* The frame's length and, when it states one, the size of its content. */
static int measure(const struct lsi_decoder *d, const uint8_t *src, size_t left, size_t *length, bool *known,
                   uint64_t *size, struct lsi_error *err) {
  *length = ZSTD_findFrameCompressedSize(src, left);
  if (ZSTD_isError(*length))
    return ZSTD_getErrorCode(*length) == ZSTD_error_srcSize_wrong
               ? corrupt(err, "a zstd frame is cut short")
               : library_says(*length, err);
  int rc = check_dictionary(d, ZSTD_getDictID_fromFrame(src, *length), err);
  if (rc) return rc;
  *size = ZSTD_getFrameContentSize(src, *length);
  if (*size == ZSTD_CONTENTSIZE_ERROR)
    return corrupt(err, "the header of a zstd frame is not valid");
  *known = *size != ZSTD_CONTENTSIZE_UNKNOWN;
  /* A block takes at least 4 bytes and yields at most 128 KiB. */
  if (*known && *size / BLOCK_MAX > *length / 4)
    return corrupt(err, "a zstd frame states a size that its bytes can't hold");
  return 0;
}

static int frame(struct lsi_decoder *d, const uint8_t **src, size_t left, struct lsi_outbuf *out,
                 struct lsi_error *err) {
  size_t length;
  uint64_t size;
  bool known;
  int rc = measure(d, *src, left, &length, &known, &size, err);
  if (rc) return rc;
  if (known && (rc = lsi_outbuf_need(out, size, false, err))) return rc;
  for (;;) {
    size_t room = lsi_outbuf_room(out);
    char none, *dst = room ? (char *)out->data + out->length : &none;
    size_t got = ZSTD_decompressDCtx(context(d), dst, room, *src, length);
    if (!ZSTD_isError(got)) {
      if (known && got != size)
        return corrupt(err, "a zstd frame does not hold the size it states");
      out->length += got;
      *src += length;
      return 0;
    }
    ZSTD_DCtx_reset(context(d), ZSTD_reset_session_only);
    ZSTD_ErrorCode code = ZSTD_getErrorCode(got);
    if (code == ZSTD_error_memory_allocation)
      return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the zstd decoder");
    if (code != ZSTD_error_dstSize_tooSmall || known) return library_says(got, err);
    /* It does not state its size: again from its beginning, with twice the room. All tries together
     * decode less than twice the content; a worker's buffer keeps its size for the next chunk. */
    uint64_t more = LSI_MAX((uint64_t)room + 1, BLOCK_MAX), most = out->limit - out->length;
    if (room == most) return lsi_fail_limit(0, out->limit, out->pieces, err);
    if ((rc = lsi_outbuf_need(out, LSI_MIN(more, most), true, err))) return rc;
  }
}

int lsi_zstd_make(struct lsi_decoder *d, struct lsi_error *err) {
  if (context(d)) return 0;
  ZSTD_DCtx *c = d->own[LSI_CODEC_ZSTD] = ZSTD_createDCtx();
  if (!c) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the zstd decoder");
  /* Who decodes by pieces holds what a frame takes against a limit of his own. */
  ZSTD_DCtx_setParameter(c, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
  if (d->dictionary) ZSTD_DCtx_refDDict(c, d->dictionary->zstd); /* for all frames to come */
  return 0;
}

static void free_context(void *own) { ZSTD_freeDCtx(own); }

/* The same, without a large window of an earlier chunk when this one needs `memory` bytes only. */
static int shrink(struct lsi_decoder *d, uint64_t memory, struct lsi_error *err) {
  const size_t has = context(d) ? ZSTD_sizeof_DCtx(context(d)) : 0;
  if (has > KEPT_MAX && has - KEPT_MAX > memory) {
    ZSTD_freeDCtx(context(d));
    d->own[LSI_CODEC_ZSTD] = NULL;
  }
  return lsi_zstd_make(d, err);
}

bool lsi_zstd_part(struct lsi_decoder *d, const uint8_t *src, size_t n, void *dst, size_t size) {
  const size_t got = ZSTD_decompressDCtx(context(d), dst, size, src, n);
  if (got == size) return true;
  ZSTD_DCtx_reset(context(d), ZSTD_reset_session_only);
  return false;
}

static int decode(struct lsi_decoder *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                  struct lsi_error *err) {
  int rc = shrink(d, 0, err);
  if (rc) return rc;
  const uint8_t *at = src, *end = src + len;
  while ((rc = lsi_next_frame(&lsi_codec_zstd, MAGIC, src, &at, end, err)) > 0)
    if ((rc = frame(d, &at, (size_t)(end - at), out, err))) return rc;
  return rc;
}

/* ---- by pieces ---- */

/* How far back a frame may refer, from its header (RFC 8878, 3.1.1.1). */
static uint64_t window_of(const uint8_t *frame, uint64_t content) {
  if (frame[4] & 0x20) return content; /* a single segment */
  const uint64_t base = (uint64_t)1 << (10 + (frame[5] >> 3));
  return base + base / 8 * (frame[5] & 7);
}

static uint64_t history(const void *head, size_t n, bool *exact) {
  *exact = false;
  if (n < LSI_CODEC_HEAD) return 0;
  const unsigned long long content = ZSTD_getFrameContentSize(head, n);
  if (content == ZSTD_CONTENTSIZE_ERROR) return 0;
  *exact = content != ZSTD_CONTENTSIZE_UNKNOWN;
  const uint64_t window = window_of(head, *exact ? content : 0);
  return *exact ? LSI_MIN(window, (uint64_t)content) : window;
}

static size_t header_length(const uint8_t *frame) {
  static const uint8_t dictionary[] = {0, 1, 2, 4}, content[] = {0, 2, 4, 8};
  const bool single = frame[4] & 0x20;
  return 5u + !single + dictionary[frame[4] & 3] + content[frame[4] >> 6] +
         (single && frame[4] >> 6 == 0);
}

/* What the blocks of a frame, measured before, hold at most. False: one of them is compressed and has no
 * bytes, which is not valid, but the library takes it when it decodes a stream (1.5), and only then.
 * RFC 8878, 3.1.1.1 and 3.1.1.2. */
static bool walk_blocks(const uint8_t *frame, size_t length, uint64_t *most) {
  *most = 0;
  for (size_t at = header_length(frame); at + 3 <= length;) {
    const uint32_t head = frame[at] | (uint32_t)frame[at + 1] << 8 | (uint32_t)frame[at + 2] << 16;
    const uint32_t kind = head >> 1 & 3, size = head >> 3;
    if (kind == 2 && size == 0) return false;
    *most += kind == 2 ? BLOCK_MAX : size;
    if (head & 1) break;
    at += 3 + (kind == 1 ? 1 : size); /* 1: one byte, repeated */
  }
  return true;
}

/* The library reserves the window that the header states. Frames written from a pipe (`zstd --long=31`)
 * may state 2 GiB for some MiB, so it gets to see a header that states what its blocks can hold, which is
 * as good: nothing refers further back than to the content's beginning. */
static void state_less(struct lsi_zstd_frame *f, uint64_t most) {
  most = LSI_MAX(most, BLOCK_MAX); /* below, it would bound the blocks' sizes as well */
  if (f->src[4] & 0x20 || f->window <= most) return;
  f->head_length = header_length(f->src);
  memcpy(f->head, f->src, f->head_length);
  for (f->head[5] = 0; window_of(f->head, 0) < most;) f->head[5]++;
  f->window = window_of(f->head, 0);
}

static int open_frame(struct lsi_decoder *d, const uint8_t *src, const uint8_t *end,
                      struct lsi_zstd_frame *f, struct lsi_error *err) {
  int rc = lsi_zstd_make(d, err);
  if (rc) return rc;
  *f = (struct lsi_zstd_frame){.src = src};
  rc = measure(d, src, (size_t)(end - src), &f->length, &f->known, &f->size, err);
  if (rc) return rc;
  uint64_t most;
  if (!walk_blocks(src, f->length, &most)) return corrupt(err, "a zstd frame has a block of no bytes");
  if (f->known) most = LSI_MIN(most, f->size);
  f->window = window_of(src, f->known ? f->size : 0);
  state_less(f, most);
  f->memory = LSI_MIN(f->window, f->known ? f->size : UINT64_MAX) + 2 * BLOCK_MAX + 4096;
  f->streams = f->window <= (uint64_t)1 << WINDOW_LOG_MAX;
  ZSTD_DCtx_reset(context(d), ZSTD_reset_session_only);
  return 0;
}

/* Up to `room` more bytes. !*more: all of the frame has been read and is right. Without room, only
 * finds out whether there is more; that may then turn out to be nothing. */
static int read_frame(struct lsi_decoder *d, struct lsi_zstd_frame *f, void *dst, size_t room, size_t *got,
                      bool *more, struct lsi_error *err) {
  char none;
  const size_t before = f->used;
  ZSTD_inBuffer head = {f->head, f->head_length, f->used}, in = {f->src, f->length, f->used};
  ZSTD_outBuffer out = {room ? dst : &none, room, 0};
  size_t left = 0;
  if (f->used < f->head_length) {
    left = ZSTD_decompressStream(context(d), &out, &head);
    in.pos = head.pos;
  }
  if (!ZSTD_isError(left)) left = ZSTD_decompressStream(context(d), &out, &in);
  if (ZSTD_isError(left)) {
    const ZSTD_ErrorCode code = ZSTD_getErrorCode(left);
    ZSTD_DCtx_reset(context(d), ZSTD_reset_session_only);
    return code == ZSTD_error_memory_allocation
               ? lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the zstd decoder")
               : library_says(left, err);
  }
  const bool stuck = room && !out.pos && in.pos == before;
  f->used = in.pos;
  f->given += out.pos;
  *got = out.pos;
  *more = left != 0;
  /* The library asks that of most frames, but not of those that end with an empty block. */
  if (!left && f->known && f->given != f->size)
    return corrupt(err, "a zstd frame does not hold the size it states");
  return stuck && left ? corrupt(err, "a zstd frame is cut short") : 0;
}

static int next_frame(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  int rc = lsi_next_frame(&lsi_codec_zstd, MAGIC, p->begin, &p->at, p->end, err);
  p->ended = rc == 0;
  if (rc <= 0) return rc;
  if ((rc = open_frame(d, p->at, p->end, &p->zstd, err))) return rc;
  return p->zstd.known ? lsi_pieces_expect(p, p->zstd.size, err) : 0;
}

/* p->inside is of the largest frame, for the decoder keeps its window. */
static int take(struct lsi_piece_state *p, struct lsi_error *err) {
  return lsi_pieces_take(p, LSI_MIN(p->size, UNIT), 0, LSI_MAX(p->inside, p->zstd.memory), err);
}

/* Some of what the piece lacks, and then a look whether anything follows. */
static int fill(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  int rc = lsi_pieces_room(p, err);
  if (rc) return rc;
  size_t room = LSI_MIN(p->size - lsi_pieces_unread(p), p->out->capacity - p->out->length);
  while (!p->ended) {
    bool more = true;
    size_t got = 0;
    char *dst = (char *)p->out->data + p->out->length;
    rc = read_frame(d, &p->zstd, dst, room, &got, &more, err);
    if (!rc) rc = lsi_pieces_count(p, got, err);
    if (rc) return rc;
    p->out->length += got;
    if (more && !room) return 0;
    room -= got;
    if (more) continue;
    p->at += p->zstd.length;
    rc = next_frame(d, err);
    if (!rc && !p->ended) rc = take(p, err);
    if (rc) return rc;
  }
  return 0;
}

/* Later frames may have larger windows. */
static void look_ahead(struct lsi_decoder *d, struct lsi_outlook *o) {
  struct lsi_piece_state *p = &d->pieces;
  struct lsi_zstd_frame f = p->zstd;
  const uint8_t *at = p->at;
  do {
    p->inside = LSI_MAX(p->inside, f.streams ? f.memory : UINT64_MAX);
    o->known &= f.known;
    o->content = lsi_sat_add(o->content, f.size);
    at += f.length;
  } while (lsi_next_frame(&lsi_codec_zstd, MAGIC, p->begin, &at, p->end, NULL) > 0 &&
           !open_frame(d, at, p->end, &f, NULL));
  o->memory = lsi_pieces_memory(p, LSI_MIN(p->size, UNIT), 0, p->inside);
}

static int begin(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  int rc = next_frame(d, err);
  if (rc || p->ended) return rc;
  const struct lsi_zstd_frame *f = &p->zstd;
  const bool last = f->length == (size_t)(p->end - p->at);
  struct lsi_outlook o = {.known = true,
                      .single = last && f->known && (lsi_pieces_short(p, f->size) || f->window >= f->size)};
  look_ahead(d, &o);
  rc = lsi_pieces_choose(p, &o, err);
  if (rc <= 0 || (rc = take(p, err)) || (rc = shrink(d, p->inside, err))) return rc;
  return 1;
}

/* ---- bit by bit ---- */

static int feed_begin(struct lsi_decoder *d, const uint8_t *src, size_t n, struct lsi_error *err) {
  (void)d;
  return lsi_feed_begins(&lsi_codec_zstd, MAGIC, src, n, err);
}

static int failed(const struct lsi_decoder *d, size_t result, struct lsi_error *err) {
  ZSTD_DCtx_reset(context(d), ZSTD_reset_session_only);
  return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation
             ? lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the zstd decoder")
             : library_says(result, err);
}

/* What a header says, of which n bytes have come. */
static int read_header(const struct lsi_decoder *d, const uint8_t *src, size_t n, struct lsi_zstd_frame *f,
                       struct lsi_error *err) {
  *f = (struct lsi_zstd_frame){.length = n > 5 ? header_length(src) : n + 1};
  if (f->length > n) return corrupt(err, "a zstd frame is cut short");
  int rc = check_dictionary(d, ZSTD_getDictID_fromFrame(src, n), err);
  if (rc) return rc;
  const unsigned long long size = ZSTD_getFrameContentSize(src, n);
  if (size == ZSTD_CONTENTSIZE_ERROR) return corrupt(err, "the header of a zstd frame is not valid");
  f->known = size != ZSTD_CONTENTSIZE_UNKNOWN;
  f->size = f->known ? size : 0;
  if (f->known && size / BLOCK_MAX > d->pieces.feed->left / 4)
    return corrupt(err, "a zstd frame states a size that its bytes can't hold");
  f->sum = src[4] & 4;
  f->window = window_of(src, f->size);
  f->memory = LSI_MIN(f->window, f->known ? f->size : UINT64_MAX) + 2 * BLOCK_MAX + 4096;
  if (f->window > (uint64_t)1 << WINDOW_LOG_MAX) f->memory = UINT64_MAX;
  return 0;
}

static int feed_open(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  struct lsi_zstd_frame *f = &p->zstd;
  const uint8_t *src;
  char none;
  size_t n;
  int rc = lsi_feed_frame(p, MAGIC, LSI_CODEC_HEAD, &src, &n, err);
  p->ended = rc == 0;
  if (rc <= 0) return rc;
  if ((rc = read_header(d, src, n, f, err)) || (f->known && (rc = lsi_pieces_expect(p, f->size, err))) ||
      (rc = take(p, err)) || (rc = shrink(d, p->inside, err)))
    return rc;
  ZSTD_DCtx_reset(context(d), ZSTD_reset_session_only);
  ZSTD_inBuffer in = {src, f->length, 0};
  ZSTD_outBuffer out = {&none, 0, 0};
  const size_t left = ZSTD_decompressStream(context(d), &out, &in);
  if (ZSTD_isError(left)) return failed(d, left, err);
  lsi_feed_use(p, f->length);
  p->within = true;
  p->last = false;
  p->block_left = 0;
  return 0;
}

/* The head of the next block (RFC 8878, 3.1.1.2); behind the last one the frame's checksum may stand. */
static int feed_block(struct lsi_piece_state *p, struct lsi_error *err) {
  const uint8_t *src;
  size_t n = 3;
  if (p->feed->left < 3) return corrupt(err, "a zstd frame is cut short");
  int rc = lsi_feed_get(p, &n, &src, err);
  if (rc) return rc;
  const uint32_t head = src[0] | (uint32_t)src[1] << 8 | (uint32_t)src[2] << 16;
  const uint32_t kind = head >> 1 & 3, size = head >> 3;
  if (kind == 2 && size == 0) return corrupt(err, "a zstd frame has a block of no bytes");
  p->last = head & 1;
  p->block_left = 3 + (kind == 1 ? 1 : (uint64_t)size) + (p->last && p->zstd.sum ? 4 : 0);
  return p->block_left > p->feed->left ? corrupt(err, "a zstd frame is cut short") : 0;
}

/* A frame's begin, or some of a block's bytes. */
static int feed(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  struct lsi_zstd_frame *f = &p->zstd;
  const uint8_t *src = NULL;
  size_t n = 0;
  char none;
  if (!p->within) return feed_open(d, err);
  int rc = lsi_pieces_room(p, err);
  if (!rc && !p->block_left && !p->last) rc = feed_block(p, err);
  if (!rc && p->block_left) n = 1, rc = lsi_feed_get(p, &n, &src, err);
  if (rc) return rc;
  const size_t room = LSI_MIN(p->size - lsi_pieces_unread(p), p->out->capacity - p->out->length);
  ZSTD_inBuffer in = {src, (size_t)LSI_MIN(p->block_left, (uint64_t)n), 0};
  ZSTD_outBuffer out = {room ? (char *)p->out->data + p->out->length : &none, room, 0};
  const size_t left = ZSTD_decompressStream(context(d), &out, &in);
  if (ZSTD_isError(left)) return failed(d, left, err);
  if (in.pos) lsi_feed_use(p, in.pos);
  p->block_left -= in.pos;
  p->out->length += out.pos;
  f->given += out.pos;
  p->within = left != 0;
  if (!left && f->known && f->given != f->size)
    return corrupt(err, "a zstd frame does not hold the size it states");
  const bool stands = !in.pos && !out.pos && left;
  if (stands && room) return corrupt(err, "a zstd frame is cut short");
  p->unsure = !stands; /* what waits for room is there */
  return lsi_pieces_count(p, out.pos, err);
}

/* ---- encoding ---- */

static size_t bound(size_t len) { return ZSTD_compressBound(len); }

static int64_t encode(int level, const void *src, size_t len, void *dst, size_t cap) {
  ZSTD_CCtx *c = ZSTD_createCCtx();
  if (!c) return LSIO_ERR_NOMEM;
  ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
  size_t n = ZSTD_compress2(c, dst, cap, src, len);
  ZSTD_freeCCtx(c);
  if (!ZSTD_isError(n)) return (int64_t)n;
  return ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation ? LSIO_ERR_NOMEM : LSIO_ERR_LIMIT;
}

/* ---- the row ---- */

static unsigned looks_like(const uint8_t *src, size_t n) { return lsi_frame_looks_like(MAGIC, src, n); }

const struct lsi_codec_ops lsi_codec_zstd = {
    .name = "zstd",
    .what = "a zstd frame",
    .caps = LSI_CODEC_DICTIONARY,
    .rate = 0.45e9, /* zstd 1.5 on a Xeon, of data that shrinks to half */
    .decode = decode,
    .begin = begin,
    .fill = fill,
    .feed_begin = feed_begin,
    .feed = feed,
    .history = history,
    .looks_like = looks_like,
    .free = free_context,
    .bound = bound,
    .encode = encode,
};
