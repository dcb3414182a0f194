/* gzip (RFC 1952) and zlib (RFC 1950): heads, ends and what may follow; bodies are inflated by a library
 * (codec_inflate_*.c). Everything comes in segments, however short. */
#include <zlib.h>

#include "codec/codec_gzip.h"
#include "codec/codec_inflate_whole.h"
#include "ground/mem.h"

#define UNIT ((size_t)128 << 10)  /* of a piece, decoded at a time */
#define YIELD 1032                /* bytes that a byte of DEFLATE decodes to, at most */
#define ROOM_FIRST ((uint64_t)64 << 10)

/* Flags of a gzip member. */
#define HEAD_SUM 0x02u
#define EXTRA 0x04u
#define NAME 0x08u
#define COMMENT 0x10u
#define RESERVED 0xE0u

/* What comes next of a chunk, in this order; what is there of a head, its flags say. */
enum part {
  FIXED, EXTRA_LENGTH, EXTRA_BYTES, NAME_TEXT, COMMENT_TEXT, SUM_OF_HEAD, BODY, END, BEHIND, ZEROS
};

struct lsi_gunzip {
  const struct lsi_inflate_ops *library;
  const struct lsi_codec_ops *codec; /* whose messages they are */
  enum part part;
  bool zlib, another;                /* another: a member has ended well */
  uint8_t some[10];                  /* of the head or the end, so far */
  unsigned n_some;
  uint8_t back[LSI_INFLATE_BACK];    /* of the input, before io->in */
  unsigned n_back, back_at;
  uint32_t extra;                    /* bytes of it left */
  uint32_t flags, head_sum;
  uint64_t size;                     /* decoded bytes of the member so far */
  bool bit_by_bit;                   /* also what could be inflated in one go */
  struct lsi_inflate_whole *whole;   /* for that; NULL: not yet */
  max_align_t state[];
};

#ifdef LSI_WITH_ISAL
const struct lsi_inflate_ops *const lsi_inflate_libraries[] = {&lsi_inflate_isal, &lsi_inflate_zlib, NULL};
#else
const struct lsi_inflate_ops *const lsi_inflate_libraries[] = {&lsi_inflate_zlib, NULL};
#endif

struct lsi_gunzip *lsi_gunzip_create(const struct lsi_inflate_ops *library) {
  struct lsi_gunzip *g = lsi_calloc(1, sizeof *g + library->bytes);
  if (g) g->library = library;
  return g;
}

void lsi_gunzip_free(void *own) {
  struct lsi_gunzip *g = own;
  if (g && g->library->end) g->library->end(g->state);
  if (g) lsi_inflate_whole_free(g->whole);
  lsi_free(g);
}

void lsi_gunzip_by_library(struct lsi_gunzip *g) { g->bit_by_bit = true; }

static uint32_t be32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void begin_member(struct lsi_gunzip *g) {
  g->part = FIXED;
  g->n_some = 0;
  g->head_sum = 0;
  g->size = 0;
}

void lsi_gunzip_begin(struct lsi_gunzip *g, bool zlib) {
  g->zlib = zlib;
  g->codec = zlib ? &lsi_codec_zlib : &lsi_codec_gzip;
  g->another = false;
  g->n_back = g->back_at = 0;
  begin_member(g);
}

static int corrupt(const struct lsi_gunzip *g, const char *what, struct lsi_error *err) {
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "%s %s", g->codec->what, what);
}

static int garbage(const struct lsi_gunzip *g, struct lsi_error *err) {
  return lsi_fail(err, LSIO_ERR_CORRUPT, 0,
                  g->zlib ? "there are bytes after %s that are not zero"
                          : "bytes after %s are not another one, and not zero",
                  g->codec->what);
}

/* ---- heads ---- */

/* Adds to g->some until it has n bytes, first what the library has read too much; false: it has not yet. */
static bool collect(struct lsi_gunzip *g, struct lsi_inflate_io *io, unsigned n) {
  while (g->n_some < n) {
    if (g->back_at < g->n_back) g->some[g->n_some++] = g->back[g->back_at++];
    else if (io->in < io->end) g->some[g->n_some++] = *io->in++;
    else return false;
  }
  return true;
}

/* The first bytes of a head, as far as they are there. */
static int check_zlib(struct lsi_gunzip *g, struct lsi_error *err) {
  const uint8_t *h = g->some;
  if (g->n_some && ((h[0] & 15) != 8 || h[0] >> 4 > 7)) return lsi_fail_begin(g->codec, err);
  return g->n_some > 1 && (h[0] << 8 | h[1]) % 31 ? lsi_fail_begin(g->codec, err) : 0;
}

static int check_gzip(struct lsi_gunzip *g, struct lsi_error *err) {
  static const uint8_t magic[] = {0x1F, 0x8B};
  const uint8_t *h = g->some;
  if (memcmp(h, magic, LSI_MIN(g->n_some, 2u)))
    return g->another ? garbage(g, err) : lsi_fail_begin(g->codec, err);
  if (g->n_some > 2 && h[2] != 8) return corrupt(g, "is compressed in an unknown way", err);
  if (g->n_some > 3 && h[3] & RESERVED) return corrupt(g, "has flags that mean nothing yet", err);
  return 0;
}

static void sum_head(struct lsi_gunzip *g, const uint8_t *p, size_t n) {
  g->head_sum = (uint32_t)crc32_z(g->head_sum, p, n);
}

/* Up to the 0 that ends a text. */
static bool skip_text(struct lsi_gunzip *g, struct lsi_inflate_io *io) {
  const size_t n = (size_t)(io->end - io->in);
  const uint8_t *zero = n ? memchr(io->in, 0, n) : NULL;
  const uint8_t *to = zero ? zero + 1 : io->end;
  sum_head(g, io->in, (size_t)(to - io->in));
  io->in = to;
  return zero != NULL;
}

static bool skip_extra(struct lsi_gunzip *g, struct lsi_inflate_io *io) {
  const uint32_t n = (uint32_t)LSI_MIN((size_t)(io->end - io->in), (size_t)g->extra);
  sum_head(g, io->in, n);
  io->in += n;
  g->extra -= n;
  return !g->extra;
}

/* A part of a head that is there only if its flag is; 1 = it is over, 0 = it goes on with more input. */
static int optional(struct lsi_gunzip *g, struct lsi_inflate_io *io, struct lsi_error *err) {
  static const uint8_t flags[] = {[EXTRA_LENGTH] = EXTRA, [EXTRA_BYTES] = EXTRA, [NAME_TEXT] = NAME,
                                  [COMMENT_TEXT] = COMMENT, [SUM_OF_HEAD] = HEAD_SUM};
  if (!(g->flags & flags[g->part])) return 1;
  switch (g->part) {
  case EXTRA_LENGTH:
    if (!collect(g, io, 2)) return 0;
    sum_head(g, g->some, 2);
    g->extra = g->some[0] | (uint32_t)g->some[1] << 8;
    return 1;
  case EXTRA_BYTES: return skip_extra(g, io);
  case NAME_TEXT:
  case COMMENT_TEXT: return skip_text(g, io);
  default:
    if (!collect(g, io, 2)) return 0;
    return (g->some[0] | (uint32_t)g->some[1] << 8) == (g->head_sum & 0xFFFF)
               ? 1
               : corrupt(g, "has a head whose checksum is wrong", err);
  }
}

static int fixed(struct lsi_gunzip *g, struct lsi_inflate_io *io, struct lsi_error *err) {
  const bool all = collect(g, io, g->zlib ? 2 : 10);
  int rc = g->zlib ? check_zlib(g, err) : check_gzip(g, err);
  if (rc || !all) return rc;
  if (g->zlib) {
    g->flags = 0;
    if (!(g->some[1] & 0x20)) return 1;
    if (!collect(g, io, 6)) return 0;
    lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0,
             "a zlib stream needs the dictionary with ID %u, which LSIO can't be given", be32(g->some + 2));
    lsi_error_remedy(err, "write it again without a dictionary");
    return LSIO_ERR_UNSUPPORTED;
  }
  g->flags = g->some[3];
  sum_head(g, g->some, 10);
  return 1;
}

/* 1 = a body begins, 0 = it goes on with more input. */
static int head(struct lsi_gunzip *g, struct lsi_inflate_io *io, struct lsi_error *err) {
  while (g->part < BODY) {
    int rc = g->part == FIXED ? fixed(g, io, err) : optional(g, io, err);
    if (rc <= 0) return rc;
    g->n_some = 0;
    g->part++;
  }
  int rc = g->library->begin(g->state, g->zlib, err);
  return rc ? rc : 1;
}

/* ---- bodies and ends ---- */

/* 1 = it is over, 0 = it goes on with more input or more room. */
static int body(struct lsi_gunzip *g, struct lsi_inflate_io *io, struct lsi_error *err) {
  const uint8_t *const out = io->out;
  const char *why = NULL;
  g->back_at = 0;
  int rc = g->library->run(g->state, io, g->back, &g->n_back, &why);
  g->size += (uint64_t)(io->out - out);
  if (rc == LSIO_ERR_NOMEM) return lsi_fail(err, rc, 0, "no memory to inflate %s", g->codec->what);
  if (rc == 0 && io->room && io->in < io->end) rc = LSIO_ERR_CORRUPT, why = "it does not go on";
  if (rc < 0) return lsi_fail(err, rc, 0, "%s is corrupt (%s)", g->codec->what, why);
  g->n_some = 0;
  return rc;
}

static int end(struct lsi_gunzip *g, struct lsi_inflate_io *io, struct lsi_error *err) {
  if (!collect(g, io, g->zlib ? 4 : 8)) return 0;
  const uint8_t *s = g->some;
  const uint32_t stated = g->zlib ? be32(s) : lsi_le32(s);
  if (stated != g->library->sum(g->state)) return corrupt(g, "has a checksum that is wrong", err);
  if (!g->zlib && lsi_le32(s + 4) != (uint32_t)g->size)
    return corrupt(g, "does not hold the size it states", err);
  g->another = true;
  return 1;
}

/* What follows: another member of gzip, or zeros up to the end of the chunk, as gzip(1) takes them. */
static int behind(struct lsi_gunzip *g, struct lsi_inflate_io *io, struct lsi_error *err) {
  for (;;) {
    const bool held = g->back_at < g->n_back;
    if (!held && io->in == io->end) return 0;
    const uint8_t next = held ? g->back[g->back_at] : *io->in;
    if (next && (g->part == ZEROS || g->zlib)) return garbage(g, err);
    if (next) {
      begin_member(g);
      return 1;
    }
    g->part = ZEROS;
    if (held) g->back_at++;
    else io->in++;
  }
}

int lsi_gunzip_run(struct lsi_gunzip *g, struct lsi_inflate_io *io, bool last, struct lsi_error *err) {
  for (;;) {
    const enum part part = g->part;
    int rc = part < BODY    ? head(g, io, err)
             : part == BODY ? body(g, io, err)
             : part == END  ? end(g, io, err)
                            : behind(g, io, err);
    if (rc < 0) return rc;
    if (rc) {
      if (part == BODY || part == END) g->part++;
      continue;
    }
    if (part == BODY && !io->room) return 1;
    if (!last) return 1;
    return part < BEHIND ? corrupt(g, "is cut short", err) : 0;
  }
}

/* ---- chunks ---- */

static struct lsi_gunzip *gunzip_of(struct lsi_decoder *d, bool zlib, struct lsi_error *err) {
  struct lsi_gunzip *g = d->own[LSI_CODEC_GZIP];
  if (!g) g = d->own[LSI_CODEC_GZIP] = lsi_gunzip_create(lsi_inflate_libraries[0]);
  if (g) lsi_gunzip_begin(g, zlib);
  else lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to inflate");
  return g;
}

static int grow(struct lsi_outbuf *out, struct lsi_error *err) {
  const uint64_t most = out->limit - out->length;
  if (!most) return lsi_fail_limit(0, out->limit, out->pieces, err);
  return lsi_outbuf_need(out, LSI_MIN(ROOM_FIRST, most), true, err);
}

static int decode(struct lsi_decoder *d, bool zlib, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                  struct lsi_error *err) {
  struct lsi_gunzip *g = gunzip_of(d, zlib, err);
  if (!g) return LSIO_ERR_NOMEM;
  if (!g->bit_by_bit && lsi_inflate_whole(&g->whole, zlib, src, len, out)) return 0;
  struct lsi_inflate_io io = {.in = src, .end = src + len};
  for (;;) {
    uint8_t one; /* beyond the room: only if there is one more byte, more room is asked for */
    const size_t room = lsi_outbuf_room(out);
    io.out = room ? (uint8_t *)out->data + out->length : &one;
    io.room = LSI_MAX(room, (size_t)1);
    int rc = lsi_gunzip_run(g, &io, true, err);
    if (rc < 0) return rc;
    if (room) {
      out->length += room - io.room;
    } else if (!io.room) {
      const int more = grow(out, err);
      if (more) return more;
      ((uint8_t *)out->data)[out->length++] = one;
    }
    if (!rc) return 0;
  }
}

/* Some of what the piece lacks, and then a look whether anything follows. */
static int fill(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  uint8_t none;
  int rc = lsi_pieces_room(p, err);
  if (rc) return rc;
  const size_t room = LSI_MIN(p->size - lsi_pieces_unread(p), p->out->capacity - p->out->length);
  struct lsi_inflate_io io = {.in = p->at, .end = p->end, .room = room,
                              .out = (uint8_t *)p->out->data + p->out->length};
  rc = lsi_gunzip_run(d->own[LSI_CODEC_GZIP], &io, true, err);
  if (rc == 1) { /* it stopped for want of room */
    io.out = &none;
    rc = lsi_gunzip_run(d->own[LSI_CODEC_GZIP], &io, true, err);
  }
  if (rc < 0) return rc;
  p->at = io.in;
  p->out->length += room - io.room;
  p->ended = rc == 0;
  return lsi_pieces_count(p, room - io.room, err);
}

/* Nothing tells how much comes; what can't be two pieces comes whole. */
static int begin(struct lsi_decoder *d, bool zlib, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  const size_t unit = LSI_MIN(p->size, UNIT);
  if (lsi_pieces_short(p, lsi_sat_mul((uint64_t)(p->end - p->begin), YIELD))) return 0;
  struct lsi_gunzip *g = gunzip_of(d, zlib, err);
  if (!g) return LSIO_ERR_NOMEM;
  const uint64_t inside = sizeof *g + g->library->bytes + g->library->outside;
  const struct lsi_outlook o = {.memory = lsi_pieces_memory(p, unit, 0, inside)};
  int rc = lsi_pieces_choose(p, &o, err);
  if (rc <= 0 || (rc = lsi_pieces_take(p, unit, 0, inside, err))) return rc;
  uint8_t none;
  struct lsi_inflate_io io = {.in = p->at, .end = p->end, .out = &none};
  rc = lsi_gunzip_run(g, &io, true, err); /* so that what is no gzip at all is told at once */
  p->at = io.in;
  return rc;
}

/* ---- bit by bit ---- */

static int feed_begin(struct lsi_decoder *d, bool zlib, const uint8_t *src, size_t n, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  struct lsi_gunzip *g = gunzip_of(d, zlib, err);
  if (!g) return LSIO_ERR_NOMEM;
  memcpy(g->some, src, LSI_MIN(n, (size_t)4));
  g->n_some = (unsigned)LSI_MIN(n, (size_t)(zlib ? 2 : 4));
  int rc = zlib ? check_zlib(g, err) : check_gzip(g, err);
  g->n_some = 0;
  if (rc) return rc;
  const uint64_t inside = sizeof *g + g->library->bytes + g->library->outside;
  return lsi_pieces_take(p, LSI_MIN(p->size, UNIT), 0, inside, err);
}

/* Some of what the piece lacks, of what has come. */
static int feed(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  const uint8_t *src = NULL;
  uint8_t none;
  size_t n = p->feed->left > 0;
  int rc = lsi_pieces_room(p, err);
  if (!rc && n) rc = lsi_feed_get(p, &n, &src, err);
  if (rc) return rc;
  const size_t room = LSI_MIN(p->size - lsi_pieces_unread(p), p->out->capacity - p->out->length);
  struct lsi_inflate_io io = {.in = n ? src : &none, .end = n ? src + n : &none, .room = room,
                              .out = room ? (uint8_t *)p->out->data + p->out->length : &none};
  rc = lsi_gunzip_run(d->own[LSI_CODEC_GZIP], &io, n == p->feed->left, err);
  if (rc < 0) return rc;
  const size_t used = n ? (size_t)(io.in - src) : 0, got = room - io.room;
  const bool stands = !used && !got && rc;
  if (used) lsi_feed_use(p, used);
  p->out->length += got;
  p->ended = rc == 0;
  p->unsure = !stands; /* what waits for room is there */
  return lsi_pieces_count(p, got, err);
}

/* ---- the rows ---- */

static int decode_gzip(struct lsi_decoder *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                       struct lsi_error *err) {
  return decode(d, false, src, len, out, err);
}

static int decode_zlib(struct lsi_decoder *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                       struct lsi_error *err) {
  return decode(d, true, src, len, out, err);
}

static int begin_gzip(struct lsi_decoder *d, struct lsi_error *err) { return begin(d, false, err); }
static int begin_zlib(struct lsi_decoder *d, struct lsi_error *err) { return begin(d, true, err); }

static int feed_begin_gzip(struct lsi_decoder *d, const uint8_t *src, size_t n, struct lsi_error *err) {
  return feed_begin(d, false, src, n, err);
}

static int feed_begin_zlib(struct lsi_decoder *d, const uint8_t *src, size_t n, struct lsi_error *err) {
  return feed_begin(d, true, src, n, err);
}

static unsigned like_gzip(const uint8_t *src, size_t n) {
  return n >= 3 && src[0] == 0x1F && src[1] == 0x8B && src[2] == 8 ? 3 : 0;
}

/* As the libraries begin it at each level, with the usual window. */
static unsigned like_zlib(const uint8_t *src, size_t n) {
  return n >= 2 && src[0] == 0x78 && (src[1] == 0x01 || src[1] == 0x5E || src[1] == 0x9C || src[1] == 0xDA)
             ? 2
             : 0;
}

static int64_t encode_gzip(int level, const void *src, size_t len, void *dst, size_t cap) {
  return lsi_zlib_encode(true, level, src, len, dst, cap);
}

static int64_t encode_zlib(int level, const void *src, size_t len, void *dst, size_t cap) {
  return lsi_zlib_encode(false, level, src, len, dst, cap);
}

#ifdef LSI_WITH_ISAL
#define RATE 0.8e9 /* ISA-L 2.30 on a Xeon: text 0.66 GB/s, numbers 1.3 */
#else
#define RATE 0.3e9 /* zlib 1.2.13 there: 0.25 and 0.44 */
#endif

const struct lsi_codec_ops lsi_codec_gzip = {
    .name = "gzip",
    .what = "a gzip member",
    .rate = RATE,
    .decode = decode_gzip,
    .begin = begin_gzip,
    .fill = fill,
    .feed_begin = feed_begin_gzip,
    .feed = feed,
    .looks_like = like_gzip,
    .free = lsi_gunzip_free,
    .bound = lsi_zlib_bound,
    .encode = encode_gzip,
};

const struct lsi_codec_ops lsi_codec_zlib = {
    .name = "zlib",
    .what = "a zlib stream",
    .rate = RATE,
    .decode = decode_zlib,
    .begin = begin_zlib,
    .fill = fill,
    .feed_begin = feed_begin_zlib,
    .feed = feed,
    .looks_like = like_zlib,
    .bound = lsi_zlib_bound,
    .encode = encode_zlib,
};
