/* Whole chunks inflated in one go by libdeflate, which is a tenth to a third faster than a library that
 * inflates bit by bit. Nothing outside core/codec includes it, but tests. */
#ifndef LSI_CODEC_INFLATE_WHOLE_H
#define LSI_CODEC_INFLATE_WHOLE_H

#include "codec/codec_impl.h"

extern const bool lsi_inflates_whole; /* LSIO was built with it */

/* Its state, made when it is first wanted; NULL at first. */
struct lsi_inflate_whole;
void lsi_inflate_whole_free(struct lsi_inflate_whole *w); /* NULL is fine */
/* Decodes all of a chunk behind out->length, if its size shows that there is room for it. False: it is to be
 * decoded in the other way, which tells what is wrong with it, if anything is; behind out->length there may
 * be anything. */
bool lsi_inflate_whole(struct lsi_inflate_whole **w, bool zlib, const uint8_t *src, size_t len,
                       struct lsi_outbuf *out);

#endif
