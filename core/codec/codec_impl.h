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
int lsi_fail_dictionary(enum lsi_codec codec, uint32_t id, struct lsi_error *err);
/* The remedy of an error: which codec the chunk looks like, if it looks like one. */
void lsi_say_what_it_is(enum lsi_codec codec, const uint8_t *src, size_t len, struct lsi_error *err);
/* src does not begin as a chunk of `codec` does: LSIO_ERR_CORRUPT, with the codec that it looks like. */
int lsi_fail_begin(enum lsi_codec codec, const uint8_t *src, size_t len, struct lsi_error *err);

/* Between frames of lz4 or zstd: moves *at past skippable frames. 1 = at a frame of the codec, 0 = at
 * the end; LSIO_ERR_CORRUPT. `begin`: of the chunk. */
int lsi_next_frame(enum lsi_codec codec, const uint8_t *begin, const uint8_t **at,
                   const uint8_t *end, struct lsi_error *err);

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

/* An lz4 frame that is read block by block. */
struct lsi_lz4_frame {
  const uint8_t *at, *end;    /* of the stored bytes: the next block's head, the chunk's end */
  bool linked, block_checksum, content_checksum, has_size;
  uint64_t content_size;
  uint64_t done;              /* decoded bytes so far */
  size_t block_max;
  struct lsi_xxh32 sum;
};
int lsi_lz4_open(const uint8_t *src, const uint8_t *end, struct lsi_lz4_frame *f,
                 struct lsi_error *err);
/* The next block, behind out->length; the frame's last LSI_LZ4_HISTORY bytes, or all if they are fewer,
 * must stand before that if blocks are linked. !*more: that was the end of the frame, and all is right. */
int lsi_lz4_block(struct lsi_lz4_frame *f, struct lsi_outbuf *out, bool *more,
                  struct lsi_error *err);
/* Right after open: where the frame ends, from the lengths of its blocks; NULL: not within the chunk. */
const uint8_t *lsi_lz4_skip(const struct lsi_lz4_frame *f);
/* Right after open: the chunk ends with this frame, which is one block or holds up to `size` bytes. */
bool lsi_lz4_is_short(const struct lsi_lz4_frame *f, size_t size);
int lsi_lz4_decode(const uint8_t *src, size_t len, struct lsi_outbuf *out, struct lsi_error *err);
int lsi_lz4_block_decode(const uint8_t *src, size_t len, struct lsi_outbuf *out,
                         struct lsi_error *err);
int lsi_zstd_decode(struct lsi_decoder *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                    struct lsi_error *err);
void lsi_zstd_free(struct lsi_decoder *d);
int lsi_zstd_make(struct lsi_decoder *d, struct lsi_error *err); /* d->zstd, if it is not there */
/* The same, without a large window of an earlier chunk when this one needs `memory` bytes only. */
int lsi_zstd_shrink(struct lsi_decoder *d, uint64_t memory, struct lsi_error *err);
/* Frames that hold just `size` bytes; false: they don't, or are corrupt. After lsi_zstd_make(). */
bool lsi_zstd_part(struct lsi_decoder *d, const uint8_t *src, size_t n, void *dst, size_t size);

/* A zstd frame that is read bit by bit. */
struct lsi_zstd_frame {
  const uint8_t *src;
  size_t length, used;  /* stored bytes */
  bool known;
  uint64_t size;        /* of the content, if known */
  uint64_t window;      /* how far back it may refer: what it states, or its content if that is less */
  uint64_t memory;      /* that the decoder will take for itself */
  bool streams;         /* false: the window is too large for the library, it must be taken whole */
  uint64_t given;       /* bytes decoded so far */
  uint8_t head[LSI_ZSTD_HEAD];     /* its header with a smaller window, of head_length bytes; 0: as it is */
  size_t head_length;
};
int lsi_zstd_open(struct lsi_decoder *d, const uint8_t *src, const uint8_t *end,
                  struct lsi_zstd_frame *f, struct lsi_error *err);
/* Up to `room` more bytes. !*more: all of the frame has been read and is right. Without room, only
 * finds out whether there is more; that may then turn out to be nothing. */
int lsi_zstd_read(struct lsi_decoder *d, struct lsi_zstd_frame *f, void *dst, size_t room,
                  size_t *got, bool *more, struct lsi_error *err);

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
int lsi_blosc_open(const uint8_t *src, size_t len, struct lsi_blosc *b, struct lsi_error *err);
int lsi_blosc_decode(struct lsi_decoder *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                     struct lsi_error *err);

/* How often a piece of `size` bytes is, in whole blocks; and those blocks, next in order, decoded to
 * dst, which has room for them. What is needed of memory beside: lsi_blosc_memory(). */
uint32_t lsi_blosc_group(const struct lsi_blosc *b, size_t size);
uint64_t lsi_blosc_memory(const struct lsi_blosc *b, uint32_t group);
int lsi_blosc_check(const struct lsi_blosc *b, struct lsi_error *err); /* where blocks lie */
int lsi_blosc_blocks(struct lsi_decoder *d, const struct lsi_blosc *b, uint32_t first, uint32_t n,
                     void *dst, size_t *got, struct lsi_error *err);

/* Of a chunk that is decoded by pieces; see lsi_pieces_begin(). */
struct lsi_piece_state {
  enum lsi_codec codec;
  const uint8_t *begin, *at, *end; /* stored bytes; `at`: the next frame, or codec none's next byte */
  size_t size;
  uint64_t total, limit;           /* decoded so far, and at most */
  uint64_t whole;                  /* decoded bytes that the caller could take at once */
  struct lsi_outbuf *out;          /* [taken, length) has not been given out yet */
  size_t taken;
  bool ended;                      /* all is decoded, and right */
  size_t unit, history;            /* room that the next block takes; what must stay before it */
  uint64_t inside;                 /* memory that the decoder takes beside the buffer */
  struct lsi_lz4_frame lz4;
  struct lsi_zstd_frame zstd;
  struct lsi_blosc blosc;
  uint32_t block, group;           /* of blosc */
};

struct lsi_decoder {
  void *zstd;         /* ZSTD_DCtx, made when first needed */
  uint8_t *copy;      /* blosc: blocks as a frame of their own, or a block before it is unshuffled */
  size_t copy_bytes;
  struct lsi_piece_state pieces;
};

size_t lsi_lz4_bound(size_t len, bool frame);
int64_t lsi_lz4_encode(bool frame, int level, const void *src, size_t len, void *dst, size_t cap);
size_t lsi_zstd_bound(size_t len);
int64_t lsi_zstd_encode(int level, const void *src, size_t len, void *dst, size_t cap);
size_t lsi_blosc_bound(size_t len);
int64_t lsi_blosc_encode(int level, const void *src, size_t len, void *dst, size_t cap);

#endif
