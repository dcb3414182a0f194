/* Frames of blosc whose bytes come bit by bit: the header, where each block begins, then the blocks in the
 * order of the content. Writers with several threads store blocks as they are finished, so that some may lie
 * far behind the ones that the content needs first:
 *
 *       low    held          the feed
 *        |  [ ......... ][ window |       ]
 *               ^ block 7      ^ block 5, which is next
 *
 * What lies within the feed's window stays there until no block needs it any more; `low` is the first byte of
 * those that are left. Only where a block reaches beyond the window, what comes before its end is held here,
 * as far as memory allows. Blocks may overlap, as they may in frames that are all there. */
#include "codec/codec_blosc.h"
#include "ground/mem.h"

#define HEADER LSI_BLOSC_HEADER
#define UNIT ((size_t)128 << 10) /* of stored content, copied at a time */

struct feed {
  uint64_t at;       /* of the frame, bytes that have been used */
  uint32_t *start;   /* of each block; */
  uint32_t *low;     /* the first one of it and of all blocks that come later in the content */
  uint32_t known;    /* starts that have come */
  uint64_t inside;   /* memory that the decoder takes beside what is held */
  uint64_t from;
  uint8_t *held;     /* bytes [from, at) of the frame, from `cut` on, in `room` bytes */
  size_t cut, room;
};

static void release(struct feed *f) {
  lsi_free(f->start);
  lsi_free(f->held);
  *f = (struct feed){0};
}

void lsi_blosc_feed_free(void *own) {
  release(own);
  lsi_free(own);
}

static int no_memory(struct lsi_error *err) {
  return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the blosc decoder");
}

/* ---- header and table ---- */

/* Where blocks begin: 8 bytes for each, of which there may be hundreds of thousands. */
static int make_table(struct lsi_piece_state *p, struct feed *f, struct lsi_error *err) {
  const struct lsi_blosc *b = &p->blosc;
  const bool stored = b->flags & LSI_BLOSC_STORED;
  f->inside = stored ? 0 : lsi_blosc_memory(b, 1) + 8 * (uint64_t)b->blocks;
  int rc = lsi_pieces_take(p, stored ? LSI_MIN(p->size, UNIT) : b->block, 0, f->inside, err);
  if (rc || stored) return rc;
  f->start = lsi_malloc(8 * (size_t)b->blocks);
  if (!f->start) return no_memory(err);
  f->low = f->start + b->blocks;
  return 0;
}

static int open_frame(struct lsi_decoder *d, struct feed *f, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  const uint8_t *src;
  size_t n = (size_t)LSI_MIN(p->feed->left, (uint64_t)HEADER);
  int rc = lsi_feed_get(p, &n, &src, err);
  if (rc) return rc;
  release(f);
  if ((rc = lsi_blosc_open(src, p->feed->left, &p->blosc, err))) return rc;
  p->blosc.src = NULL; /* it does not stay */
  if (p->blosc.nbytes && ((rc = lsi_pieces_expect(p, p->blosc.nbytes, err)) || (rc = make_table(p, f, err))))
    return rc;
  lsi_feed_use(p, HEADER);
  f->at = f->from = HEADER;
  p->within = true;
  p->unsure = !p->blosc.nbytes;
  return 0;
}

static int read_table(struct lsi_piece_state *p, struct feed *f, struct lsi_error *err) {
  const struct lsi_blosc *b = &p->blosc;
  const uint8_t *src;
  size_t n = 4;
  int rc = lsi_feed_get(p, &n, &src, err);
  if (rc) return rc;
  const uint32_t some = (uint32_t)LSI_MIN(n / 4, (size_t)(b->blocks - f->known));
  for (uint32_t i = f->known; i < f->known + some; i++, src += 4) {
    f->start[i] = lsi_le32(src);
    if (f->start[i] < HEADER + 4 * (uint64_t)b->blocks || f->start[i] > b->length - 4)
      return lsi_blosc_fail_block(i, err);
  }
  lsi_feed_use(p, 4 * (size_t)some);
  f->at = f->from += 4 * (size_t)some;
  f->known += some;
  uint32_t low = UINT32_MAX;
  for (uint32_t i = f->known == b->blocks ? b->blocks : 0; i-- > 0;)
    f->low[i] = low = LSI_MIN(low, f->start[i]);
  return 0;
}

/* ---- where bytes are ---- */

/* Nothing below `low` is needed any more. */
static int drop(struct lsi_piece_state *p, struct feed *f, uint64_t low, struct lsi_error *err) {
  const uint64_t held = LSI_MIN(low, f->at);
  if (held > f->from) {
    f->cut += (size_t)(held - f->from);
    f->from = held;
  }
  if (f->from == f->at) f->cut = 0;
  while (f->at < low) {
    const uint8_t *src;
    size_t n = 1;
    int rc = lsi_feed_get(p, &n, &src, err);
    if (rc) return rc;
    n = (size_t)LSI_MIN((uint64_t)n, low - f->at);
    lsi_feed_use(p, n);
    f->from = f->at += n;
  }
  return 0;
}

static int too_much(const struct lsi_piece_state *p, uint64_t memory, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_LIMIT, 0,
           "block %u of a blosc frame takes %llu bytes of memory to decode by pieces of %zu, more than the "
           "%zu allowed: blocks are large, or lie in another order than their content",
           p->block, (unsigned long long)memory, p->size, p->out->limit);
  lsi_error_remedy(err, "give the job more memory (--memory) or fewer workers (--workers), or write the data "
                        "again with smaller blocks or one thread of blosc");
  return LSIO_ERR_LIMIT;
}

/* Room for `more` bytes behind those that are held. */
static int make_room(struct lsi_piece_state *p, struct feed *f, size_t more, struct lsi_error *err) {
  const size_t there = (size_t)(f->at - f->from), need = there + more;
  if (need <= f->room - f->cut) return 0;
  if (there && f->cut) memmove(f->held, f->held + f->cut, there);
  f->cut = 0;
  /* A quarter more, where that is allowed, so that many bytes go by until they are moved again. */
  const uint64_t others = lsi_pieces_memory(p, p->unit, 0, f->inside), most = p->out->limit - others;
  const uint64_t room = LSI_MAX((uint64_t)need, LSI_MIN(need + (uint64_t)need / 4, most));
  if (room <= f->room) return 0;
  if (room > most) return too_much(p, lsi_sat_add(others, room), err);
  int rc = lsi_pieces_take(p, p->unit, 0, f->inside + room, err);
  if (rc) return rc;
  uint8_t *held = lsi_realloc(f->held, (size_t)room);
  if (!held) return no_memory(err);
  f->held = held;
  f->room = (size_t)room;
  return 0;
}

/* All up to `end` has come, and is held as far as it was not dropped. */
static int hold(struct lsi_piece_state *p, struct feed *f, uint64_t end, struct lsi_error *err) {
  while (f->at < end) {
    const uint8_t *src;
    size_t n = 1;
    int rc = lsi_feed_get(p, &n, &src, err);
    if (rc) return rc;
    n = (size_t)LSI_MIN((uint64_t)n, end - f->at);
    if ((rc = make_room(p, f, n, err))) return rc;
    memcpy(f->held + f->cut + (f->at - f->from), src, n);
    lsi_feed_use(p, n);
    f->at += n;
  }
  return 0;
}

/* *src: the frame's bytes from `begin` on, *n of them at least; *n: how many. */
static int reach(struct lsi_piece_state *p, struct feed *f, uint64_t begin, size_t *n, const uint8_t **src,
                 struct lsi_error *err) {
  const uint64_t end = begin + *n;
  if (begin >= f->at && end - f->at <= p->feed->most) {
    const size_t before = (size_t)(begin - f->at);
    size_t all = before + *n;
    int rc = lsi_feed_get(p, &all, src, err);
    if (rc) return rc;
    *src += before;
    *n = (size_t)LSI_MIN((uint64_t)(all - before), p->blosc.length - begin);
    return 0;
  }
  int rc = hold(p, f, end, err);
  if (rc) return rc;
  *src = f->held + f->cut + (begin - f->from);
  *n = (size_t)(f->at - begin);
  return 0;
}

/* ---- blocks ---- */

/* Bytes of the block that begins at `start`, of which n are at src; more than n: so many must be looked at.
 * 0: it does not lie in the frame. */
static size_t extent(const struct lsi_blosc *b, uint32_t start, const struct lsi_blosc_block *k,
                     const uint8_t *src, size_t n) {
  uint64_t need = 0;
  for (uint32_t p = 0; p < k->parts && need <= n; p++) {
    if (need + 4 > b->length - start) return 0;
    if (need + 4 > n) return (size_t)need + 4;
    const uint32_t length = lsi_le32(src + need);
    need += 4 + (uint64_t)length;
    if (length > lsi_blosc_part_most(b, k->part) || need > b->length - start) return 0;
  }
  return (size_t)need;
}

/* What block i should take, from where the one behind it begins: then it is asked for once. */
static size_t guess(const struct lsi_blosc *b, const struct feed *f, uint32_t i,
                    const struct lsi_blosc_block *k) {
  const uint64_t next = i + 1 < b->blocks ? f->start[i + 1] : b->length;
  const uint64_t most = k->parts * (4 + lsi_blosc_part_most(b, k->part));
  return next > f->start[i] + 4 ? (size_t)LSI_MIN(next - f->start[i], most) : 4;
}

static int next_block(struct lsi_decoder *d, struct feed *f, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  const struct lsi_blosc *b = &p->blosc;
  const uint32_t i = p->block, start = f->start[i];
  struct lsi_blosc_block k;
  if (!lsi_blosc_shape(b, i, &k)) return lsi_blosc_fail_block(i, err);
  size_t there, bytes = guess(b, f, i, &k), got;
  int rc = drop(p, f, f->low[i], err);
  do {
    there = bytes;
    if (rc || (rc = reach(p, f, start, &there, &k.at, err))) return rc;
    bytes = extent(b, start, &k, k.at, there);
    if (!bytes) return lsi_blosc_fail_block(i, err);
  } while (bytes > there);
  k.end = k.at + bytes;
  if ((rc = lsi_pieces_room(p, err))) return rc;
  char *dst = (char *)p->out->data + p->out->length;
  if ((rc = lsi_blosc_decode_one(d, b, i, &k, dst, &got, err))) return rc;
  p->out->length += got;
  p->block++;
  p->unsure = p->block == b->blocks;
  return lsi_pieces_count(p, got, err);
}

static int stored_bytes(struct lsi_piece_state *p, struct feed *f, struct lsi_error *err) {
  const uint8_t *src;
  size_t n = 1;
  int rc = lsi_feed_get(p, &n, &src, err);
  if (rc || (rc = lsi_pieces_room(p, err))) return rc;
  const size_t room = LSI_MIN(p->size - lsi_pieces_unread(p), p->out->capacity - p->out->length);
  n = (size_t)LSI_MIN((uint64_t)LSI_MIN(n, room), p->blosc.length - f->at);
  memcpy((char *)p->out->data + p->out->length, src, n);
  lsi_feed_use(p, n);
  p->out->length += n;
  f->from = f->at += n;
  p->unsure = f->at == p->blosc.length;
  return lsi_pieces_count(p, n, err);
}

/* Zeros may follow the frame. */
static int behind(struct lsi_piece_state *p, struct feed *f, struct lsi_error *err) {
  int rc = drop(p, f, p->blosc.length, err);
  while (!rc && p->feed->left) {
    const uint8_t *src;
    size_t n = 1;
    if ((rc = lsi_feed_get(p, &n, &src, err))) break;
    if (!lsi_blosc_zeros(src, n)) return lsi_blosc_fail_behind(err);
    lsi_feed_use(p, n);
  }
  p->ended = !rc;
  return rc;
}

static int go_on(struct lsi_decoder *d, struct feed *f, struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  const struct lsi_blosc *b = &p->blosc;
  if (!p->within) return open_frame(d, f, err);
  if (b->flags & LSI_BLOSC_STORED && f->at < b->length) return stored_bytes(p, f, err);
  if (f->known < b->blocks && f->start) return read_table(p, f, err);
  if (p->block < b->blocks && f->start) return next_block(d, f, err);
  return behind(p, f, err);
}

int lsi_blosc_feed(struct lsi_decoder *d, struct lsi_error *err) {
  void **own = &d->own[LSI_CODEC_BLOSC];
  if (!*own && !(*own = lsi_calloc(1, sizeof(struct feed)))) return no_memory(err);
  int rc = go_on(d, *own, err);
  if (d->pieces.ended || (rc < 0 && rc != LSI_CODEC_LATER)) release(*own);
  return rc;
}
