/* What the files of gzip and zlib share: their bodies, which are DEFLATE (RFC 1951), and decoding them from
 * segments of input to segments of output. Nothing outside core/codec includes it, but tests. */
#ifndef LSI_CODEC_GZIP_H
#define LSI_CODEC_GZIP_H

#include "codec/codec_impl.h"

#define LSI_INFLATE_BACK 8 /* bytes that run() may have looked at behind the end of a body */

/* What is decoded next, from where to where; all of it moves up. */
struct lsi_inflate_io {
  const uint8_t *in, *end;
  uint8_t *out; /* not NULL, also where there is no room */
  size_t room;
};

/* A library that inflates. */
struct lsi_inflate_ops {
  size_t bytes;   /* of a state: zeroed at first */
  size_t outside; /* bytes that it takes beside that, at most */
  /* Begins a body. `adler`: the checksum is zlib's, else gzip's. LSIO_ERR_NOMEM. */
  int (*begin)(void *state, bool adler, struct lsi_error *err);
  /* Goes on until the body ends (1), or there is no more input or no more room (0), or it is damaged:
   * LSIO_ERR_CORRUPT and *why; LSIO_ERR_NOMEM. What the library has read of the input behind the end of the
   * body is in back[0 .. *n_back). */
  int (*run)(void *state, struct lsi_inflate_io *io, uint8_t back[LSI_INFLATE_BACK], unsigned *n_back,
             const char **why);
  uint32_t (*sum)(const void *state); /* of all that has been given out */
  void (*end)(void *state);           /* frees what begin has taken; NULL: that is nothing */
};
extern const struct lsi_inflate_ops *const lsi_inflate_libraries[]; /* NULL-terminated, the fastest first */
extern const struct lsi_inflate_ops lsi_inflate_isal, lsi_inflate_zlib;

/* A chunk of gzip or zlib on its way. It needs nothing of the input but the segment that it is given. */
struct lsi_gunzip;
struct lsi_gunzip *lsi_gunzip_create(const struct lsi_inflate_ops *library); /* NULL: no memory */
void lsi_gunzip_free(void *g);
void lsi_gunzip_by_library(struct lsi_gunzip *g); /* for tests: never in one go (codec_inflate_whole.h) */
void lsi_gunzip_begin(struct lsi_gunzip *g, bool zlib); /* a new chunk; also after an error */
/* 1 = it goes on, with more room where io->room is 0, else with the next segment; 0 = that was all, and all
 * is right. `last`: behind io->end nothing follows. Without room, it may find that nothing more comes. */
int lsi_gunzip_run(struct lsi_gunzip *g, struct lsi_inflate_io *io, bool last, struct lsi_error *err);

/* See lsi_codec_ops. */
size_t lsi_zlib_bound(size_t len);
int64_t lsi_zlib_encode(bool gzip, int level, const void *src, size_t len, void *dst, size_t cap);

#endif
