/* XXH32 with seed 0, written from its specification: the checksum that lz4 frames carry. The lz4
 * library has it but does not offer it. */
#include "codec/codec_impl.h"

#define P1 0x9E3779B1u
#define P2 0x85EBCA77u
#define P3 0xC2B2AE3Du
#define P4 0x27D4EB2Fu
#define P5 0x165667B1u

static inline uint32_t rotl(uint32_t x, int r) { return x << r | x >> (32 - r); }
static inline uint32_t round32(uint32_t acc, uint32_t lane) {
  acc += lane * P2;
  /* Nothing happens here, but the compiler can't join the four lanes into a vector: SSE2 has no
   * multiplication for them, and what gcc makes instead takes six times as long. */
  __asm__("" : "+r"(acc));
  return rotl(acc, 13) * P1;
}

void lsi_xxh32_begin(struct lsi_xxh32 *x) {
  *x = (struct lsi_xxh32){.v = {P1 + P2, P2, 0, 0u - P1}};
}

/* `n` is a multiple of 16. */
static void stripes(struct lsi_xxh32 *x, const uint8_t *p, size_t n) {
  uint32_t a = x->v[0], b = x->v[1], c = x->v[2], d = x->v[3];
  for (const uint8_t *end = p + n; p < end; p += 16) {
    a = round32(a, lsi_le32(p));
    b = round32(b, lsi_le32(p + 4));
    c = round32(c, lsi_le32(p + 8));
    d = round32(d, lsi_le32(p + 12));
  }
  x->v[0] = a;
  x->v[1] = b;
  x->v[2] = c;
  x->v[3] = d;
}

void lsi_xxh32_add(struct lsi_xxh32 *x, const void *data, size_t n) {
  const uint8_t *p = data;
  if (!n) return;
  x->length += n;
  if (x->held) {
    size_t take = LSI_MIN(n, sizeof x->hold - x->held);
    memcpy(x->hold + x->held, p, take);
    x->held += (uint32_t)take;
    if (x->held < sizeof x->hold) return;
    stripes(x, x->hold, sizeof x->hold);
    x->held = 0;
    p += take;
    n -= take;
  }
  size_t whole = n & ~(size_t)15;
  stripes(x, p, whole);
  x->held = (uint32_t)(n - whole);
  if (x->held) memcpy(x->hold, p + whole, x->held);
}

uint32_t lsi_xxh32_end(const struct lsi_xxh32 *x) {
  uint32_t h = x->length >= 16 ? rotl(x->v[0], 1) + rotl(x->v[1], 7) + rotl(x->v[2], 12) +
                                     rotl(x->v[3], 18)
                               : P5;
  h += (uint32_t)x->length;
  uint32_t i = 0;
  for (; i + 4 <= x->held; i += 4) h = rotl(h + lsi_le32(x->hold + i) * P3, 17) * P4;
  for (; i < x->held; i++) h = rotl(h + x->hold[i] * P5, 11) * P1;
  h = (h ^ h >> 15) * P2;
  h = (h ^ h >> 13) * P3;
  return h ^ h >> 16;
}

uint32_t lsi_xxh32(const void *p, size_t n) {
  struct lsi_xxh32 x;
  lsi_xxh32_begin(&x);
  lsi_xxh32_add(&x, p, n);
  return lsi_xxh32_end(&x);
}
