/* Decoders of compressed chunks. The bytes are untrusted: no size in them is believed beyond a limit
 * that the caller sets, and nothing is written past the room that the caller gives.
 *
 * What a chunk may be:
 *   lz4, zstd   one frame or several, one after the other; skippable frames are skipped. Bytes after
 *               the last frame that are not a frame, and a frame cut short, are corrupt data.
 *               Checksums that a frame carries are verified. Frames of formats older than LZ4 1.4
 *               and Zstandard 0.8 are refused as corrupt data, saying what they are, and those that
 *               name a dictionary as LSIO_ERR_UNSUPPORTED, unless it is the one that the decoder has.
 *   lz4_block   one LZ4 block without a frame; it does not say its size, so the limit is its size or
 *               more.
 *   blosc       one frame of blosc 1: any of its compressors that libblosc has, shuffled by bytes, by
 *               bits or not at all. Zeros may follow it (z5 writes chunks so), other bytes are corrupt
 *               data; it carries no checksum. Its bytes must not change while they are decoded: the
 *               library reads its header a second time.
 *   gzip        one member or several, one after the other; zeros may stand behind the last one, as
 *               gzip(1) takes them, other bytes are corrupt data. CRC-32 and size of each member are
 *               verified, the checksum of its head where it has one; its size (modulo 2^32) tells
 *               nothing beforehand. Reserved flags are corrupt data.
 *   zlib        one stream, with zeros behind it or nothing; its Adler-32 is verified. A preset
 *               dictionary is LSIO_ERR_UNSUPPORTED.
 *   auto        what lsi_codec_find() says of each chunk.
 * An empty chunk (0 stored bytes) is what the codec's own tool says of an empty file: no data for lz4 and
 * auto, and without a codec; corrupt data for all others, whose shortest chunks have a few bytes.
 * Skippable frames alone are no data. */
#ifndef LSI_CODEC_H
#define LSI_CODEC_H

#include "seams/codec.h"

/* By its name in jobs. False when there is none of that name (*out is then unchanged). */
bool lsi_codec_parse(const char *name, enum lsi_codec *out);
const char *lsi_codec_name(enum lsi_codec codec);
/* What codec `auto` does with a chunk, by its first bytes: gzip, zstd or lz4, which three bytes or more tell;
 * else none. Two bytes, as of zlib and blosc, would take every hundredth array of numbers for compressed. */
enum lsi_codec lsi_codec_find(const void *src, size_t n);

/* Reusable state, one per worker; not thread-safe. It stays usable after every error. */
struct lsi_decoder *lsi_decoder_create(void); /* NULL: no memory */
void lsi_decoder_destroy(struct lsi_decoder *d); /* NULL is fine */

/* A dictionary of zstd, for any number of decoders at a time; any thread. What does not begin as one is taken
 * as bytes that frames refer to. LSIO_ERR_CORRUPT, LSIO_ERR_NOMEM. */
struct lsi_dictionary;
int lsi_dictionary_create(const void *bytes, size_t n, struct lsi_dictionary **out, struct lsi_error *err);
void lsi_dictionary_free(struct lsi_dictionary *dictionary); /* NULL is fine */
/* Frames of zstd are decoded with it, also those that name none; NULL: without one. Before the first chunk;
 * borrowed until destroy. */
void lsi_decoder_use(struct lsi_decoder *d, const struct lsi_dictionary *dictionary);

/* Decodes src[0 .. src_len) to the start of *out and sets out->length. A frame that states its size
 * makes `out` grow once, to that size, after it has been checked against the limit and against what
 * so many stored bytes can hold at all; else `out` doubles up to the limit.
 * 0, or LSIO_ERR_CORRUPT, LSIO_ERR_UNSUPPORTED (a dictionary; what libblosc was built without),
 * LSIO_ERR_LIMIT (more than out->limit), LSIO_ERR_NOMEM, what grow returned.
 * After an error the contents of `out` are unspecified and its length is 0. */
int lsi_decode(struct lsi_decoder *d, enum lsi_codec codec, const void *src, size_t src_len,
               struct lsi_outbuf *out, struct lsi_error *err);

/* ---- pieces ---- */

/* Decodes a chunk bit by bit into a small buffer: pieces of `size` bytes (1 or more), the last one with
 * what is left. As strict as lsi_decode(), with the same codes; but a checksum that stands behind what
 * it covers can only be wrong after pieces have been given out, and a zstd frame that refers further
 * back than its header says is corrupt here only.
 *
 * begin: 1 = call next; 0 = decode the chunk whole: it is short (less than 2 pieces), one block or one
 *   window, or its codec has no inner blocks, so that pieces would save nothing. src stays borrowed
 *   until the last piece. `limit`: decoded bytes of the chunk at most. `out` is the buffer, kept
 *   between chunks: its `limit` is what it and the decoder may take together of memory beside the
 *   piece (lz4: 64 KiB of history and a block; zstd: its window, or its content where the header
 *   states more; blosc: about 3 blocks, or 2; gzip and zlib: 0.1 MiB). `whole`: decoded bytes that the
 *   caller can take at once. What does not fit one way goes the other way: 0 also for what pieces take
 *   too much for, unless it says that it is larger than `whole`: LSIO_ERR_LIMIT.
 * next: 1 = more pieces follow, 0 = this is the last one, which may be empty; it is given out only once
 *   all of the chunk is known to be right. *data: valid until the next call; in `out`, or in src with
 *   codec none. After 0 or an error, begin again. */
int lsi_pieces_begin(struct lsi_decoder *d, enum lsi_codec codec, const void *src, size_t src_len,
                     size_t size, uint64_t limit, uint64_t whole, struct lsi_outbuf *out,
                     struct lsi_error *err);
/* The same of a chunk of feed->left bytes (1 or more) that come bit by bit: never whole, for it is larger
 * than what is held of it. 0, or LSI_CODEC_LATER: again, when more has come; `next` may return that as well;
 * or LSI_CODEC_STORED: it is of no codec (`auto`), all of it is content, and nothing has been begun.
 * Of a codec that can (lsi_codec_feeds). `feed`: borrowed until the last piece. */
bool lsi_codec_feeds(enum lsi_codec codec);
int lsi_pieces_feed(struct lsi_decoder *d, enum lsi_codec codec, struct lsi_feed *feed, size_t size,
                    uint64_t limit, struct lsi_outbuf *out, struct lsi_error *err);
int lsi_pieces_next(struct lsi_decoder *d, const void **data, size_t *length,
                    struct lsi_error *err);

/* One chunk into `cap` bytes at dst. The decoded length, or a negative LSIO_ERR_*. Thread-safe. */
int64_t lsi_decode_once(int codec, const void *src, size_t src_len, void *dst, size_t cap);

/* For tests and data generators. lz4 makes a frame with content size and checksum, zstd a frame
 * with content size and checksum, lz4_block a block, gzip one member, blosc a frame of 4-byte elements,
 * shuffled, with lz4. `level` as the libraries count it, 0 = their default. The encoded length, or a
 * negative LSIO_ERR_* (LIMIT: dst is too small). Thread-safe. */
size_t lsi_encode_bound(enum lsi_codec codec, size_t src_len); /* 0: too large to encode */
int64_t lsi_encode(enum lsi_codec codec, int level, const void *src, size_t src_len, void *dst,
                   size_t cap);

#endif
