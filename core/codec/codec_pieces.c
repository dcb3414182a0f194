/* Chunks decoded by pieces. Blocks are decoded one behind the other into a buffer of about a piece and a
 * block; what has been given out is overwritten, but for what later blocks may refer to. */
#include "codec/codec_impl.h"

#define BUFFER_FIRST (1u << 20)        /* bytes that a buffer gets at first, if its pieces are as large */
#define ZSTD_UNIT ((size_t)128 << 10)  /* a block */
#define LZ4_BLOCK_MAX ((size_t)4 << 20)

static size_t unread(const struct lsi_piece_state *p) { return p->out->length - p->taken; }

static uint64_t plus(uint64_t a, uint64_t b) {
  uint64_t sum;
  return lsi_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static int too_large(const struct lsi_piece_state *p, uint64_t memory, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_LIMIT, 0,
           "%s takes %llu bytes of memory to decode by pieces of %zu, more than the %zu allowed",
           lsi_codec_name(p->codec), (unsigned long long)memory, p->size, p->out->limit);
  lsi_error_remedy(err, "give the job more memory (--memory) or fewer workers (--workers); what it "
                        "takes depends on the size of the blocks or of the window of the data");
  return LSIO_ERR_LIMIT;
}

/* What must fit at once: a block, what stays before it (history, or what no piece has taken yet), and
 * what the decoder takes for itself. Where blocks are just a piece, nothing is left over. */
static uint64_t memory_of(const struct lsi_piece_state *p, size_t unit, size_t history,
                          uint64_t inside) {
  const size_t before = unit == p->size && p->codec != LSI_CODEC_LZ4 ? 0 : LSI_MAX(p->size, history);
  return plus(plus(unit, before), inside);
}

static int take_memory(struct lsi_piece_state *p, size_t unit, size_t history, uint64_t inside,
                       struct lsi_error *err) {
  p->unit = unit;
  p->history = history;
  p->inside = inside;
  const uint64_t memory = memory_of(p, unit, history, inside);
  return memory > p->out->limit ? too_large(p, memory, err) : 0;
}

/* Room for `unit` bytes behind out->length. */
static int make_room(struct lsi_piece_state *p, struct lsi_error *err) {
  struct lsi_outbuf *out = p->out;
  const size_t left = unread(p);
  if (!left && !p->history) p->taken = out->length = 0; /* so the same bytes stay in the cache */
  if (out->capacity - out->length >= p->unit) return 0;
  const size_t keep = LSI_MAX(left, LSI_MIN(out->length, p->history));
  if (keep) memmove(out->data, (char *)out->data + out->length - keep, keep);
  out->length = keep;
  p->taken = keep - left;
  if (out->capacity - out->length >= p->unit) return 0;
  /* More than a block and what must stay only as far as a piece goes: small chunks need less. */
  const uint64_t need = (uint64_t)keep + p->unit, most = out->limit - p->inside;
  const uint64_t full = (uint64_t)p->history + p->size + p->unit;
  if (need > most) return too_large(p, plus(need, p->inside), err);
  const uint64_t some = LSI_MAX(2 * (uint64_t)out->capacity, (uint64_t)BUFFER_FIRST);
  const uint64_t want = LSI_MIN(LSI_MAX(need, LSI_MIN(full, some)), most);
  return lsi_outbuf_need(out, want - out->length, false, err);
}

static int count(struct lsi_piece_state *p, size_t got, struct lsi_error *err) {
  p->total += got;
  return p->total > p->limit ? lsi_fail_limit(0, p->limit, true, err) : 0;
}

/* A frame states its size. */
static int expect(const struct lsi_piece_state *p, uint64_t size, struct lsi_error *err) {
  const uint64_t all = plus(size, p->total);
  return all > p->limit ? lsi_fail_limit(all, p->limit, true, err) : 0;
}

/* ---- lz4 ---- */

/* Opens the frame at p->at, if there is one more. */
static int lz4_frame(struct lsi_piece_state *p, struct lsi_error *err) {
  int rc = lsi_next_frame(LSI_CODEC_LZ4, p->begin, &p->at, p->end, err);
  p->ended = rc == 0;
  if (rc <= 0) return rc;
  if ((rc = lsi_lz4_open(p->at, p->end, &p->lz4, err))) return rc;
  return p->lz4.has_size ? expect(p, p->lz4.content_size, err) : 0;
}

static int lz4_memory(struct lsi_piece_state *p, struct lsi_error *err) {
  return take_memory(p, p->lz4.block_max, p->lz4.linked ? LSI_LZ4_HISTORY : 0, 0, err);
}

static bool lz4_at_end(const struct lsi_piece_state *p) {
  return p->lz4.end - p->lz4.at >= 4 && lsi_le32(p->lz4.at) == 0;
}

/* One block, and what is no data behind it: a piece is the last one if nothing but that follows. */
static int lz4_fill(struct lsi_piece_state *p, struct lsi_error *err) {
  do {
    bool more;
    int rc = make_room(p, err);
    if (rc) return rc;
    const size_t before = p->out->length;
    rc = lsi_lz4_block(&p->lz4, p->out, &more, err);
    if (!rc) rc = count(p, p->out->length - before, err);
    if (!rc && !more) {
      p->at = p->lz4.at;
      rc = lz4_frame(p, err);
      if (!rc && !p->ended) rc = lz4_memory(p, err);
    }
    if (rc) return rc;
  } while (!p->ended && lz4_at_end(p));
  return 0;
}

/* ---- zstd ---- */

static int zstd_frame(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  int rc = lsi_next_frame(LSI_CODEC_ZSTD, p->begin, &p->at, p->end, err);
  p->ended = rc == 0;
  if (rc <= 0) return rc;
  if ((rc = lsi_zstd_open(d, p->at, p->end, &p->zstd, err))) return rc;
  return p->zstd.known ? expect(p, p->zstd.size, err) : 0;
}

/* p->inside is of the largest frame, for the decoder keeps its window. */
static int zstd_memory(struct lsi_piece_state *p, struct lsi_error *err) {
  return take_memory(p, LSI_MIN(p->size, ZSTD_UNIT), 0, LSI_MAX(p->inside, p->zstd.memory), err);
}

/* Some of what the piece lacks, and then a look whether anything follows. */
static int zstd_fill(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  int rc = make_room(p, err);
  if (rc) return rc;
  size_t room = LSI_MIN(p->size - unread(p), p->out->capacity - p->out->length);
  while (!p->ended) {
    bool more;
    size_t got;
    char *dst = (char *)p->out->data + p->out->length;
    rc = lsi_zstd_read(d, &p->zstd, dst, room, &got, &more, err);
    if (!rc) rc = count(p, got, err);
    if (rc) return rc;
    p->out->length += got;
    if (more && !room) return 0;
    room -= got;
    if (more) continue;
    p->at += p->zstd.length;
    rc = zstd_frame(d, err);
    if (!rc && !p->ended) rc = zstd_memory(p, err);
    if (rc) return rc;
  }
  return 0;
}

/* ---- blosc ---- */

static int blosc_fill(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  const uint32_t n = LSI_MIN(p->group, p->blosc.blocks - p->block);
  size_t got;
  int rc = make_room(p, err);
  if (rc) return rc;
  char *dst = (char *)p->out->data + p->out->length;
  rc = lsi_blosc_blocks(d, &p->blosc, p->block, n, dst, &got, err);
  if (rc) return rc;
  p->out->length += got;
  p->block += n;
  p->ended = p->block == p->blosc.blocks;
  return 0;
}

/* ---- all ---- */

static bool is_short(const struct lsi_piece_state *p, uint64_t decoded) {
  return decoded / 2 < p->size;
}

/* What is known of a chunk before any of it is decoded. */
struct outlook {
  uint64_t memory;  /* that pieces take */
  uint64_t content; /* decoded bytes, if all its frames state them */
  bool known;
  bool single;      /* it is short, a block or a window: pieces would save nothing */
};

/* 1 = by pieces, 0 = whole: what does not fit the one way may fit the other. */
static int choose(const struct lsi_piece_state *p, const struct outlook *o, struct lsi_error *err) {
  const bool fits = !o->known || o->content <= p->whole;
  if (o->single && fits) return 0;
  if (o->memory <= p->out->limit) return 1;
  return o->single || fits || o->memory == UINT64_MAX ? 0 : too_large(p, o->memory, err);
}

/* Later frames may have larger blocks. What is wrong with one of them is found when its turn comes. */
static void look_at_lz4(const struct lsi_piece_state *p, struct outlook *o) {
  struct lsi_lz4_frame f = p->lz4;
  const uint8_t *at;
  do {
    const size_t history = f.linked ? LSI_LZ4_HISTORY : 0;
    o->memory = LSI_MAX(o->memory, memory_of(p, f.block_max, history, 0));
    o->known &= f.has_size;
    o->content = plus(o->content, f.content_size);
    at = lsi_lz4_skip(&f);
  } while (at && lsi_next_frame(LSI_CODEC_LZ4, p->begin, &at, p->end, NULL) > 0 &&
           !lsi_lz4_open(at, p->end, &f, NULL));
}

static int begin_lz4(struct lsi_piece_state *p, struct lsi_error *err) {
  int rc = lz4_frame(p, err);
  if (rc || p->ended) return rc;
  struct outlook o = {.known = true, .single = lsi_lz4_is_short(&p->lz4, 2 * p->size - 1)};
  if (o.single || memory_of(p, LZ4_BLOCK_MAX, LSI_LZ4_HISTORY, 0) > p->out->limit) look_at_lz4(p, &o);
  rc = choose(p, &o, err);
  if (rc <= 0 || (rc = lz4_memory(p, err))) return rc;
  return 1;
}

/* Later frames may have larger windows. */
static void look_at_zstd(struct lsi_decoder *d, struct outlook *o) {
  struct lsi_piece_state *p = &d->pieces;
  struct lsi_zstd_frame f = p->zstd;
  const uint8_t *at = p->at;
  do {
    p->inside = LSI_MAX(p->inside, f.streams ? f.memory : UINT64_MAX);
    o->known &= f.known;
    o->content = plus(o->content, f.size);
    at += f.length;
  } while (lsi_next_frame(LSI_CODEC_ZSTD, p->begin, &at, p->end, NULL) > 0 &&
           !lsi_zstd_open(d, at, p->end, &f, NULL));
  o->memory = memory_of(p, LSI_MIN(p->size, ZSTD_UNIT), 0, p->inside);
}

static int begin_zstd(struct lsi_decoder *d, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  int rc = zstd_frame(d, err);
  if (rc || p->ended) return rc;
  const struct lsi_zstd_frame *f = &p->zstd;
  const bool last = f->length == (size_t)(p->end - p->at);
  struct outlook o = {.known = true,
                      .single = last && f->known && (is_short(p, f->size) || f->window >= f->size)};
  look_at_zstd(d, &o);
  rc = choose(p, &o, err);
  if (rc <= 0 || (rc = zstd_memory(p, err)) || (rc = lsi_zstd_shrink(d, p->inside, err))) return rc;
  return 1;
}

static int begin_blosc(struct lsi_piece_state *p, struct lsi_error *err) {
  int rc = lsi_blosc_open(p->begin, (size_t)(p->end - p->begin), &p->blosc, err);
  if (rc || !p->blosc.nbytes) return rc;
  struct outlook o = {.known = true, .content = p->blosc.nbytes,
                      .single = p->blosc.blocks < 2 || is_short(p, p->blosc.nbytes)};
  p->group = lsi_blosc_group(&p->blosc, p->size);
  const size_t unit = (size_t)p->group * p->blosc.block;
  const uint64_t inside = lsi_blosc_memory(&p->blosc, p->group);
  o.memory = memory_of(p, unit, 0, inside);
  rc = choose(p, &o, err);
  if (rc <= 0 || (rc = expect(p, p->blosc.nbytes, err)) || (rc = lsi_blosc_check(&p->blosc, err)) ||
      (rc = take_memory(p, unit, 0, inside, err)))
    return rc;
  return 1;
}

int lsi_pieces_begin(struct lsi_decoder *d, enum lsi_codec codec, const void *src, size_t src_len,
                     size_t size, uint64_t limit, uint64_t whole, struct lsi_outbuf *out,
                     struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  out->length = 0;
  if (!src_len) return 0;
  const uint8_t *from = src;
  *p = (struct lsi_piece_state){.codec = codec, .begin = from, .at = from, .end = from + src_len,
                                .size = size, .limit = limit, .whole = whole, .out = out};
  switch (codec) {
  case LSI_CODEC_NONE: return !is_short(p, src_len);
  case LSI_CODEC_LZ4: return begin_lz4(p, err);
  case LSI_CODEC_ZSTD: return begin_zstd(d, err);
  case LSI_CODEC_BLOSC: return begin_blosc(p, err);
  default: return 0;
  }
}

static int fill(struct lsi_decoder *d, struct lsi_error *err) {
  switch (d->pieces.codec) {
  case LSI_CODEC_LZ4: return lz4_fill(&d->pieces, err);
  case LSI_CODEC_ZSTD: return zstd_fill(d, err);
  default: return blosc_fill(d, err);
  }
}

int lsi_pieces_next(struct lsi_decoder *d, const void **data, size_t *length,
                    struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  if (p->codec == LSI_CODEC_NONE) {
    const size_t left = (size_t)(p->end - p->at);
    *data = p->at;
    *length = LSI_MIN(p->size, left);
    p->at += *length;
    return *length < left;
  }
  while (!p->ended && unread(p) < p->size) {
    int rc = fill(d, err);
    if (rc) return rc;
  }
  *data = (char *)p->out->data + p->taken;
  *length = LSI_MIN(unread(p), p->size);
  p->taken += *length;
  return !p->ended || unread(p);
}
