/* DEFLATE by ISA-L (libisal), which keeps all of its state, the history too, in one struct of 84 KiB. */
#ifdef LSI_WITH_ISAL

#include <isa-l/igzip_lib.h>
#include <limits.h>
#include <string.h>

#include "codec/codec_gzip.h"

struct state {
  struct inflate_state s;
  uint8_t tail[LSI_INFLATE_BACK]; /* the last bytes that the library has taken, their newest last */
};

static int begin(void *state, bool adler, struct lsi_error *err) {
  (void)err;
  struct inflate_state *s = &((struct state *)state)->s;
  isal_inflate_init(s);
  s->crc_flag = adler ? ISAL_ZLIB_NO_HDR : ISAL_GZIP_NO_HDR;
  return 0;
}

static void remember(struct state *s, const uint8_t *in, size_t n) {
  const size_t most = sizeof s->tail, k = LSI_MIN(n, most);
  memmove(s->tail, s->tail + k, most - k);
  if (k) memcpy(s->tail + most - k, in + n - k, k);
}

/* The body has ended, and the library has read n bytes too many: 2.30 keeps them, later versions move next_in
 * back, which may be to before the segment. */
static unsigned read_too_many(struct state *s, struct lsi_inflate_io *io, const uint8_t *in, uint8_t *back) {
  const uint8_t *const next = s->s.next_in;
  const unsigned held = (unsigned)s->s.read_in_length / 8;
  if (next >= in) { /* of a segment the newest bytes; of what was before, none are left */
    remember(s, in, (size_t)(next - in));
    io->in = next;
    for (unsigned i = 0; i < held; i++) back[i] = s->tail[sizeof s->tail - held + i];
    return held;
  }
  const unsigned n = (unsigned)((uintptr_t)in - (uintptr_t)next);
  for (unsigned i = 0; i < n; i++) back[i] = s->tail[sizeof s->tail - n + i];
  io->in = in;
  return n;
}

static int run(void *state, struct lsi_inflate_io *io, uint8_t *back, unsigned *n_back, const char **why) {
  struct state *s = state;
  *n_back = 0;
  for (;;) {
    const uint8_t *const in = io->in;
    uint8_t *const out = io->out;
    s->s.next_in = (uint8_t *)(uintptr_t)in;
    s->s.avail_in = (uint32_t)LSI_MIN((size_t)(io->end - in), (size_t)INT_MAX);
    s->s.next_out = out;
    s->s.avail_out = (uint32_t)LSI_MIN(io->room, (size_t)INT_MAX);
    const int rc = isal_inflate(&s->s);
    io->out = s->s.next_out;
    io->room -= (size_t)(io->out - out);
    if (rc != ISAL_DECOMP_OK) {
      *why = rc == ISAL_INVALID_LOOKBACK ? "invalid distance too far back"
             : rc == ISAL_INVALID_SYMBOL ? "invalid symbol"
                                         : "invalid block";
      return LSIO_ERR_CORRUPT;
    }
    if (s->s.block_state == ISAL_BLOCK_FINISH) {
      *n_back = read_too_many(s, io, in, back);
      return 1;
    }
    io->in = s->s.next_in;
    remember(s, in, (size_t)(io->in - in));
    if (io->in == io->end || !io->room || (io->out == out && io->in == in)) return 0;
  }
}

static uint32_t sum(const void *state) { return ((const struct state *)state)->s.crc; }

const struct lsi_inflate_ops lsi_inflate_isal = {
    .bytes = sizeof(struct state),
    .begin = begin,
    .run = run,
    .sum = sum,
};

#endif
