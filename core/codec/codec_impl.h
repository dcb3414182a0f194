/* What the files of the codecs share; nothing outside core/codec includes it. */
#ifndef LSI_CODEC_IMPL_H
#define LSI_CODEC_IMPL_H

#include <string.h>

#include "codec/codec.h"

static inline uint32_t lsi_le32(const void *p) {
  const uint8_t *b = p;
  return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}
static inline uint64_t lsi_le64(const void *p) {
  return lsi_le32(p) | (uint64_t)lsi_le32((const uint8_t *)p + 4) << 32;
}

/* Bytes that may be written at out->data + out->length. */
static inline size_t lsi_outbuf_room(const struct lsi_outbuf *out) {
  return LSI_MIN(out->capacity, out->limit) - out->length;
}

/* Makes room for `more` bytes behind out->length. With `doubling`, for at least twice what was there,
 * so that many small steps cost few calls. LSIO_ERR_LIMIT when the limit forbids it. */
int lsi_outbuf_need(struct lsi_outbuf *out, uint64_t more, bool doubling, struct lsi_error *err);
/* `size`: what the chunk states that it decodes to, at least; 0 = it states nothing. `pieces`: that is no
 * remedy, for it is what is done. */
int lsi_fail_limit(uint64_t size, uint64_t limit, bool pieces, struct lsi_error *err);
/* A frame that can be decoded with that dictionary only: LSIO_ERR_UNSUPPORTED. */
int lsi_fail_dictionary(const struct lsi_codec_ops *codec, uint32_t id, struct lsi_error *err);
/* A chunk does not begin as one of `codec` does: LSIO_ERR_CORRUPT. What it is instead, the caller tells. */
int lsi_fail_begin(const struct lsi_codec_ops *codec, struct lsi_error *err);

/* Between frames of lz4 or zstd: moves *at past skippable frames. 1 = at a frame of the codec, which begins
 * with `magic`; 0 = at the end; LSIO_ERR_CORRUPT. `begin`: of the chunk. */
int lsi_next_frame(const struct lsi_codec_ops *codec, uint32_t magic, const uint8_t *begin,
                   const uint8_t **at, const uint8_t *end, struct lsi_error *err);
/* Bytes of the skippable frames that a chunk begins with, as far as the heads of them are in its first n. */
uint64_t lsi_frames_skipped(const uint8_t *src, size_t n);
/* lsi_codec_ops.looks_like of these two, past skippable frames, which both have. */
unsigned lsi_frame_looks_like(uint32_t magic, const uint8_t *src, size_t n);

/* XXH32, the checksum of lz4 frames, seed 0. */
struct lsi_xxh32 {
  uint32_t v[4];
  uint64_t length;
  uint32_t held;     /* bytes in hold */
  uint8_t hold[16];
};
void lsi_xxh32_begin(struct lsi_xxh32 *x);
void lsi_xxh32_add(struct lsi_xxh32 *x, const void *p, size_t n);
uint32_t lsi_xxh32_end(const struct lsi_xxh32 *x);
uint32_t lsi_xxh32(const void *p, size_t n);

#define LSI_LZ4_HISTORY ((size_t)64 << 10) /* how far back a block may refer */
#define LSI_LZ4_BLOCK_MAX ((size_t)4 << 20)
#define LSI_LZ4_FEED_MOST (LSI_LZ4_BLOCK_MAX + 8) /* with its head and its checksum */

/* An lz4 frame that is read block by block. */
struct lsi_lz4_frame {
  const uint8_t *at, *end;    /* of the stored bytes: the next block's head, the chunk's end */
  bool linked, block_checksum, content_checksum, has_size;
  uint64_t content_size;
  uint64_t done;              /* decoded bytes so far */
  size_t block_max;
  struct lsi_xxh32 sum;
};

/* Frames of zstd that are parts of other formats. The decoder's context, if it is not there; and frames that
 * hold just `size` bytes, with it; false: they don't, or are corrupt. */
int lsi_zstd_make(struct lsi_decoder *d, struct lsi_error *err);
bool lsi_zstd_part(struct lsi_decoder *d, const uint8_t *src, size_t n, void *dst, size_t size);

/* A zstd frame that is read bit by bit. */
struct lsi_zstd_frame {
  const uint8_t *src;
  size_t length, used;  /* stored bytes */
  bool known;
  uint64_t size;        /* of the content, if known */
  uint64_t window;      /* how far back it may refer: what it states, or its content if that is less */
  uint64_t memory;      /* that the decoder will take for itself */
  bool sum;             /* a checksum stands at its end */
  bool streams;         /* false: the window is too large for the library, it must be taken whole */
  uint64_t given;       /* bytes decoded so far */
  uint8_t head[LSI_CODEC_HEAD];     /* its header with a smaller window, of head_length bytes; 0: as it is */
  size_t head_length;
};

/* A frame of blosc whose header has been checked. */
struct lsi_blosc {
  const uint8_t *src;
  size_t length;         /* stored bytes, as the frame says; zeros may stand behind them */
  uint32_t nbytes;       /* decoded bytes; the rest is set if there are any */
  uint32_t block;        /* decoded bytes of a block; the last one may be shorter */
  uint32_t blocks;
  uint32_t splits;       /* parts of a block, each compressed by itself */
  uint8_t version, flags, type;
};

/* ---- pieces ---- */

/* Of a chunk that is decoded by pieces; see lsi_pieces_begin(). */
struct lsi_piece_state {
  const struct lsi_codec_ops *codec;
  const uint8_t *begin, *at, *end; /* stored bytes; `at`: the next frame, or codec none's next byte */
  size_t size;
  uint64_t total, limit;           /* decoded so far, and at most */
  uint64_t whole;                  /* decoded bytes that the caller could take at once */
  struct lsi_outbuf *out;          /* [taken, length) has not been given out yet */
  size_t taken;
  bool ended;                      /* all is decoded, and right */
  struct lsi_feed *feed;           /* where stored bytes come from; NULL: they are all there */
  bool unsure;                     /* something may follow, or not */
  bool uneven;                     /* blocks may hold less than they may: parts of pieces stay left over */
  size_t unit, history;            /* room that the next block takes; what must stay before it */
  uint64_t inside;                 /* memory that the decoder takes beside the buffer */
  uint64_t skips;                  /* of a frame that is skipped, bytes that have not come */
  bool within;                     /* a frame has begun; of one whose bytes come bit by bit: */
  bool last;                       /* the block in hand is the frame's last one */
  uint64_t block_left;             /* bytes of it that have not been used */
  struct lsi_lz4_frame lz4;
  struct lsi_zstd_frame zstd;
  struct lsi_blosc blosc;
  uint32_t block, group;           /* of blosc */
};

struct lsi_dictionary {
  void *zstd; /* ZSTD_DDict */
  uint32_t id; /* 0: it has none */
};

struct lsi_decoder {
  const struct lsi_dictionary *dictionary;
  void *own[LSI_CODECS]; /* what each codec keeps from chunk to chunk, made when first needed */
  uint8_t *copy;         /* blosc: blocks as a frame of their own, or a block before it is unshuffled */
  size_t copy_bytes;
  struct lsi_piece_state pieces;
};

/* What is known of a chunk before any of it is decoded. */
struct lsi_outlook {
  uint64_t memory;  /* that pieces take */
  uint64_t content; /* decoded bytes, if all its frames state them */
  bool known;
  bool single;      /* it is short, a block or a window: pieces would save nothing */
};

/* Stored bytes that come bit by bit: n of them at least, which are left. As the hook `get`. */
static inline int lsi_feed_get(struct lsi_piece_state *p, size_t *n, const uint8_t **src,
                               struct lsi_error *err) {
  return p->feed->get(p->feed->ctx, n, src, err);
}
static inline void lsi_feed_use(struct lsi_piece_state *p, size_t n) {
  p->feed->left -= n;
  p->feed->use(p->feed->ctx, n);
}
/* Of lz4 and zstd: the hook feed_begin; and, as lsi_next_frame, what comes next: *src is a frame, of which *n
 * bytes have come, `head` at least where so many are left. */
int lsi_feed_begins(const struct lsi_codec_ops *codec, uint32_t magic, const uint8_t *src, size_t n,
                    struct lsi_error *err);
int lsi_feed_frame(struct lsi_piece_state *p, uint32_t magic, size_t head, const uint8_t **src, size_t *n,
                   struct lsi_error *err);

static inline size_t lsi_pieces_unread(const struct lsi_piece_state *p) {
  return p->out->length - p->taken;
}
/* A chunk of so many decoded bytes is too short for pieces. */
static inline bool lsi_pieces_short(const struct lsi_piece_state *p, uint64_t decoded) {
  return decoded / 2 < p->size;
}
/* What must fit at once: a block, what stays before it (history, or what no piece has taken yet), and
 * what the decoder takes for itself. */
uint64_t lsi_pieces_memory(const struct lsi_piece_state *p, size_t unit, size_t history, uint64_t inside);
/* 1 = by pieces, 0 = whole: what does not fit the one way may fit the other. LSIO_ERR_LIMIT. */
int lsi_pieces_choose(const struct lsi_piece_state *p, const struct lsi_outlook *o, struct lsi_error *err);
/* The blocks that come next take so much: LSIO_ERR_LIMIT where that is more than is allowed. */
int lsi_pieces_take(struct lsi_piece_state *p, size_t unit, size_t history, uint64_t inside,
                    struct lsi_error *err);
/* A frame states its size. */
int lsi_pieces_expect(const struct lsi_piece_state *p, uint64_t size, struct lsi_error *err);
/* Room for a block behind out->length. */
int lsi_pieces_room(struct lsi_piece_state *p, struct lsi_error *err);
/* So many bytes more are decoded. */
int lsi_pieces_count(struct lsi_piece_state *p, size_t got, struct lsi_error *err);

/* ---- the codecs ---- */

#define LSI_CODEC_ROW(id, name) extern const struct lsi_codec_ops lsi_codec_##name;
LSI_CODEC_LIST(LSI_CODEC_ROW)
#undef LSI_CODEC_ROW

#endif
