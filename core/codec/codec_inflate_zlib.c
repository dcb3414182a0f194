/* DEFLATE by zlib. */
#define ZLIB_CONST
#include <limits.h>
#include <zlib.h>

#include "codec/codec_gzip.h"
#include "ground/mem.h"

struct state {
  z_stream z;
  bool made, adler;
  uint32_t sum;
};

static voidpf take(voidpf unused, uInt n, uInt size) {
  (void)unused;
  return lsi_calloc(n, size);
}

static void give(voidpf unused, voidpf p) {
  (void)unused;
  lsi_free(p);
}

static int begin(void *state, bool adler, struct lsi_error *err) {
  struct state *s = state;
  s->adler = adler;
  s->sum = adler ? 1 : 0;
  if (s->made) {
    inflateReset(&s->z);
    return 0;
  }
  s->z = (z_stream){.zalloc = take, .zfree = give};
  if (inflateInit2(&s->z, -MAX_WBITS) != Z_OK)
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to inflate");
  s->made = true;
  return 0;
}

static int run(void *state, struct lsi_inflate_io *io, uint8_t *back, unsigned *n_back, const char **why) {
  (void)back;
  struct state *s = state;
  z_stream *z = &s->z;
  *n_back = 0;
  for (;;) {
    const uint8_t *const in = io->in;
    uint8_t *const out = io->out;
    z->next_in = in;
    z->avail_in = (uInt)LSI_MIN((size_t)(io->end - in), (size_t)UINT_MAX);
    z->next_out = out;
    z->avail_out = (uInt)LSI_MIN(io->room, (size_t)UINT_MAX);
    const int rc = inflate(z, Z_NO_FLUSH);
    io->in = z->next_in;
    io->out = z->next_out;
    const size_t got = (size_t)(io->out - out);
    io->room -= got;
    s->sum = (uint32_t)(s->adler ? adler32_z(s->sum, out, got) : crc32_z(s->sum, out, got));
    if (rc == Z_STREAM_END) return 1;
    if (rc == Z_MEM_ERROR) return LSIO_ERR_NOMEM;
    if (rc != Z_OK && rc != Z_BUF_ERROR) {
      *why = z->msg ? z->msg : "it is damaged";
      return LSIO_ERR_CORRUPT;
    }
    if (io->in == io->end || !io->room || (!got && io->in == in)) return 0;
  }
}

static uint32_t sum(const void *state) { return ((const struct state *)state)->sum; }

static void end(void *state) {
  struct state *s = state;
  if (s->made) inflateEnd(&s->z);
  s->made = false;
}

const struct lsi_inflate_ops lsi_inflate_zlib = {
    .bytes = sizeof(struct state),
    .outside = 48 << 10, /* a window of 32 KiB, 7 KiB of tables (zlib.h) */
    .begin = begin,
    .run = run,
    .sum = sum,
    .end = end,
};

/* ---- encoding ---- */

size_t lsi_zlib_bound(size_t len) { return compressBound(len) + 12; } /* gzip's head and end are longer */

int64_t lsi_zlib_encode(bool gzip, int level, const void *src, size_t len, void *dst, size_t cap) {
  if (len > UINT_MAX) return LSIO_ERR_LIMIT;
  z_stream z = {.zalloc = take, .zfree = give};
  if (deflateInit2(&z, level ? level : Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + (gzip ? 16 : 0), 8,
                   Z_DEFAULT_STRATEGY) != Z_OK)
    return LSIO_ERR_NOMEM;
  z.next_in = src;
  z.avail_in = (uInt)len;
  z.next_out = dst;
  z.avail_out = (uInt)LSI_MIN(cap, (size_t)UINT_MAX);
  const int rc = deflate(&z, Z_FINISH);
  const int64_t n = (int64_t)z.total_out;
  deflateEnd(&z);
  return rc == Z_STREAM_END ? n : LSIO_ERR_LIMIT;
}
