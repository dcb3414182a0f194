/* See codec_inflate_whole.h. What libdeflate takes is right: it holds sums and sizes against what it decodes.
 * All else is left to the other way, so that what a chunk is taken for does not depend on its size. */
#include "codec/codec_inflate_whole.h"

#ifdef LSI_WITH_LIBDEFLATE
#include <libdeflate.h>

const bool lsi_inflates_whole = true;

#define GZIP_LEAST 18u     /* bytes of a member that holds nothing */
#define GZIP_HEAD_SUM 0x02 /* a flag: libdeflate passes over the checksum of the head */

static bool is_member(const uint8_t *p, size_t n) {
  return n >= GZIP_LEAST && p[0] == 0x1F && p[1] == 0x8B && !(p[3] & GZIP_HEAD_SUM);
}

/* Is there all the room that there may be, or what the chunk says that it takes? Of several members the last
 * one says so of itself alone. */
static bool has_room(bool zlib, const uint8_t *src, size_t len, const struct lsi_outbuf *out) {
  const size_t room = lsi_outbuf_room(out);
  if (out->capacity >= out->limit) return true;
  return !zlib && len >= GZIP_LEAST && lsi_le32(src + len - 4) <= room;
}

static bool members(struct libdeflate_decompressor *d, const uint8_t *src, size_t len, struct lsi_outbuf *out,
                    size_t *got) {
  do {
    size_t used, n;
    if (!is_member(src, len) ||
        libdeflate_gzip_decompress_ex(d, src, len, (uint8_t *)out->data + out->length + *got,
                                      lsi_outbuf_room(out) - *got, &used, &n) != LIBDEFLATE_SUCCESS)
      return false;
    *got += n;
    src += used;
    len -= used;
  } while (len);
  return true;
}

bool lsi_inflate_whole(struct lsi_inflate_whole **w, bool zlib, const uint8_t *src, size_t len,
                       struct lsi_outbuf *out) {
  if (!len || !out->data || !has_room(zlib, src, len, out)) return false;
  if (!*w) *w = (struct lsi_inflate_whole *)libdeflate_alloc_decompressor();
  struct libdeflate_decompressor *d = (struct libdeflate_decompressor *)*w;
  size_t got = 0, used = 0;
  if (!d) return false;
  if (zlib) {
    const int rc = libdeflate_zlib_decompress_ex(d, src, len, (uint8_t *)out->data + out->length,
                                                 lsi_outbuf_room(out), &used, &got);
    if (rc != LIBDEFLATE_SUCCESS || used != len) return false;
  } else if (!members(d, src, len, out, &got)) {
    return false;
  }
  out->length += got;
  return true;
}

void lsi_inflate_whole_free(struct lsi_inflate_whole *w) {
  if (w) libdeflate_free_decompressor((struct libdeflate_decompressor *)w);
}

#else

const bool lsi_inflates_whole = false;

bool lsi_inflate_whole(struct lsi_inflate_whole **w, bool zlib, const uint8_t *src, size_t len,
                       struct lsi_outbuf *out) {
  (void)w, (void)zlib, (void)src, (void)len, (void)out;
  return false;
}

void lsi_inflate_whole_free(struct lsi_inflate_whole *w) { (void)w; }

#endif
