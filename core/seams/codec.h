/* A codec: stored bytes to the bytes of a chunk. One const table per codec, one file per codec under
 * core/codec/, one row of the list here; whoever has to tell codecs apart asks a column. What all of them
 * promise about untrusted bytes stands in codec/codec.h, what they share in codec/codec_impl.h. */
#ifndef LSI_SEAM_CODEC_H
#define LSI_SEAM_CODEC_H

#include "ground/base.h"
#include "ground/err.h"

/* X(ENUM, name): the table of the codec is lsi_codec_NAME. */
#define LSI_CODEC_LIST(X)   \
  X(NONE, none)             \
  X(LZ4, lz4)               \
  X(LZ4_BLOCK, lz4_block)   \
  X(ZSTD, zstd)             \
  X(BLOSC, blosc)           \
  X(GZIP, gzip)             \
  X(ZLIB, zlib)             \
  X(AUTO, auto)

#define LSI_CODEC_ROW(id, name) LSI_CODEC_##id,
enum lsi_codec { LSI_CODEC_LIST(LSI_CODEC_ROW) LSI_CODECS /* how many */ };
#undef LSI_CODEC_ROW

struct lsi_decoder;

/* Where decoded bytes go. The caller owns `data`; the decoder writes data[0 .. capacity) and never
 * more than `limit` bytes. When more room is needed it calls `grow`, which must keep the first
 * `length` bytes, may move `data`, and must make `capacity` at least `at_least` (which is never more
 * than `limit`); it returns 0 or a negative LSIO_ERR_*. NULL: the room can't grow. */
struct lsi_outbuf {
  void *data;
  size_t capacity; /* bytes at data */
  size_t length;   /* bytes decoded; set by the decoder */
  size_t limit;    /* decoded bytes of the chunk at most */
  int (*grow)(struct lsi_outbuf *out, size_t at_least);
  void *ctx;       /* for grow */
  bool pieces;     /* messages don't advise to take the chunk in pieces: that was tried */
};

#define LSI_CODEC_LATER INT32_MIN /* the stored bytes that come next are not there yet */
#define LSI_CODEC_STORED 1        /* the stored bytes are the content */

/* Stored bytes of a chunk that come bit by bit. */
struct lsi_feed {
  uint64_t left; /* of the chunk, that have not been used */
  uint64_t most; /* that may be asked for at a time: what asks for more fails with LSIO_ERR_LIMIT */
  /* The bytes that come next, *n or more (1 <= *n <= left), in one place until some are used; *n: how many.
   * 0, LSI_CODEC_LATER, or an LSIO_ERR_* code. */
  int (*get)(void *ctx, size_t *n, const uint8_t **src, struct lsi_error *err);
  void (*use)(void *ctx, size_t n);
  void *ctx;
};

enum lsi_codec_caps {
  LSI_CODEC_EMPTY = 1u << 0, /* no stored bytes are no data; else they are corrupt data */
  LSI_CODEC_SIZED = 1u << 1, /* its bytes do not say what they decode to: a job must (`decoded`) */
  LSI_CODEC_FOUND = 1u << 2, /* it stands for the codec that each chunk is of, by lsi_codec_find() */
  LSI_CODEC_DICTIONARY = 1u << 3, /* it may be given one: lsi_decoder_use() */
};

#define LSI_CODEC_HEAD 18 /* bytes that `history` looks at */

/* Any thread, with a decoder (struct lsi_decoder) of its own. */
struct lsi_codec_ops {
  const char *name; /* in jobs */
  const char *what; /* what a chunk consists of, in messages: "an lz4 frame" */
  unsigned caps;    /* enum lsi_codec_caps */
  /* Bytes that a decoder takes for itself while it works, at most, for each byte that it decodes to. 0: a
   * fixed size. */
  unsigned overhead;
  /* Bytes that one core decodes to in a second, in the cache; 0: no work. It only has to tell what of a job
   * is slowest by far. */
  double rate;
  /* Required. As lsi_decode(), of 1 byte or more; appends to *out, which is empty. */
  int (*decode)(struct lsi_decoder *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                struct lsi_error *err);
  /* Optional, both or none: of a chunk that is decoded by pieces, d->pieces (codec_impl.h). begin: as
   * lsi_pieces_begin(). fill: at least a byte more behind out->length, or it sets `ended`; NULL: the stored
   * bytes are the decoded ones. */
  int (*begin)(struct lsi_decoder *d, struct lsi_error *err);
  int (*fill)(struct lsi_decoder *d, struct lsi_error *err);
  /* Optional: the same of a chunk whose stored bytes come bit by bit, d->pieces.feed. As fill, or
   * LSI_CODEC_LATER: again, when more has come. It sets `unsure` where it is not known whether any data
   * follows. feed_begin sees the chunk's first n bytes before, LSI_CODEC_HEAD or all of it, and uses none. */
  int (*feed_begin)(struct lsi_decoder *d, const uint8_t *src, size_t n, struct lsi_error *err);
  int (*feed)(struct lsi_decoder *d, struct lsi_error *err);
  size_t feed_most; /* bytes that it may ask for in one place; 0: few */
  /* Optional. How far back, in bytes, a chunk that begins with `head` says that it refers: what decoding it
   * by pieces keeps in memory. *exact: its content is stated, and is as long; else it may be less. 0: it
   * does not tell. Without it: little. */
  uint64_t (*history)(const void *head, size_t n, bool *exact);
  /* Optional. By how many of its first bytes a chunk shows that it is of this codec; 0: it does not. */
  unsigned (*looks_like)(const uint8_t *src, size_t n);
  /* Optional. Frees what the codec keeps in a decoder from chunk to chunk, d->own[codec]. */
  void (*free)(void *own);
  /* Required, for tests and data generators; see lsi_encode_bound() and lsi_encode(). */
  size_t (*bound)(size_t len);
  int64_t (*encode)(int level, const void *src, size_t len, void *dst, size_t cap);
};

/* By enum lsi_codec. */
extern const struct lsi_codec_ops *const lsi_codecs[LSI_CODECS];

#endif
