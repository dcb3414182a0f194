/* What the files of blosc share. Nothing outside core/codec includes it. */
#ifndef LSI_CODEC_BLOSC_H
#define LSI_CODEC_BLOSC_H

#include "codec/codec_impl.h"

#define LSI_BLOSC_HEADER 16u
#define LSI_BLOSC_STORED 0x02u /* flags: the content as it is */

/* A block on its way: `parts` of `part` decoded bytes each; the stored ones that come next, and their end. */
struct lsi_blosc_block {
  const uint8_t *at, *end;
  uint32_t parts, part;
};

/* Checks the header of a frame, of whose chunk `left` bytes are left; as many of them are at src, or
 * LSI_BLOSC_HEADER. What stands behind the frame is not looked at. LSIO_ERR_CORRUPT. */
int lsi_blosc_open(const uint8_t *src, uint64_t left, struct lsi_blosc *b, struct lsi_error *err);
bool lsi_blosc_zeros(const uint8_t *p, size_t n); /* nothing else may stand behind a frame */
int lsi_blosc_fail_behind(struct lsi_error *err);
int lsi_blosc_fail_block(uint32_t i, struct lsi_error *err); /* block i does not lie in the frame */
/* The parts of block i; false: it can't be cut so. */
bool lsi_blosc_shape(const struct lsi_blosc *b, uint32_t i, struct lsi_blosc_block *k);
uint64_t lsi_blosc_part_most(const struct lsi_blosc *b, uint32_t part); /* stored bytes of one, at most */

/* Memory that decoding so many blocks at once takes, beside their place. */
uint64_t lsi_blosc_memory(const struct lsi_blosc *b, uint32_t blocks);
/* Of a frame that is all there, at b->src: that all of its blocks lie inside of it, and blocks
 * [first, first + n) to dst, or all of them; *got: their bytes. */
int lsi_blosc_check_blocks(const struct lsi_blosc *b, struct lsi_error *err);
int lsi_blosc_decode(struct lsi_decoder *d, const struct lsi_blosc *b, uint32_t first, uint32_t n, void *dst,
                     size_t *got, struct lsi_error *err);
int lsi_blosc_decode_all(struct lsi_decoder *d, const struct lsi_blosc *b, void *dst, struct lsi_error *err);
/* The same of block i, whose stored bytes are [k->at, k->end), all of them. */
int lsi_blosc_decode_one(struct lsi_decoder *d, const struct lsi_blosc *b, uint32_t i,
                         const struct lsi_blosc_block *k, void *dst, size_t *got, struct lsi_error *err);

/* See lsi_codec_ops. */
int lsi_blosc_feed(struct lsi_decoder *d, struct lsi_error *err);
void lsi_blosc_feed_free(void *own);

#endif
