/* Results that bypass the cache: see lsi_kernels_nontemporal. A strip is computed in the first-level
 * cache and goes from there to memory by non-temporal stores, so that every kernel can do it with its
 * usual loop (int16 to float32: as fast as non-temporal stores in the loop itself, 1.3 times plain
 * stores). */
#define NONTEMPORAL_LEAST (64u << 10) /* bytes */
#define STRIP 1024u /* bytes: with 8 KiB, int16 to float32 from memory to memory takes 10 % longer */

#if defined(__SSE2__)
INLINE bool streams(const void *dst, size_t n, size_t size) {
  return n >= NONTEMPORAL_LEAST / size && (uintptr_t)dst - lsi_nontemporal.begin < lsi_nontemporal.bytes &&
         (uintptr_t)dst % size == 0;
}

/* q lies on a line of the cache, whose size is a multiple of any register's. */
INLINE void strip_out(const u8_mem *strip, size_t bytes, u8_mem *q) {
  size_t i = 0;
  for (; bytes - i >= VW; i += VW)
#if VW == 64
    _mm512_stream_si512((void *)(q + i), _mm512_loadu_si512(strip + i));
#elif VW == 32
    _mm256_stream_si256((__m256i *)(q + i), _mm256_loadu_si256((const __m256i *)(strip + i)));
#else
    _mm_stream_si128((__m128i *)(q + i), _mm_loadu_si128((const __m128i *)(strip + i)));
#endif
  memcpy(q + i, strip + i, bytes - i);
}

/* fn writes elements of `to` bytes each from elements of `from` bytes. */
#define NONTEMPORAL_BY(fn, ...)                                                    \
  _Alignas(64) u8_mem strip[STRIP];                                           \
  const u8_mem *p = src;                                                      \
  u8_mem *q = dst;                                                            \
  size_t k = LSI_MIN(n, (size_t)(-(uintptr_t)q % 64) / to);                   \
  fn(p, k, q __VA_ARGS__);                                                    \
  for (p += k * from, q += k * to, n -= k; n; p += k * from, q += k * to, n -= k) { \
    k = LSI_MIN(n, STRIP / to);                                               \
    fn(p, k, strip __VA_ARGS__);                                              \
    strip_out(strip, k * to, q);                                              \
  }                                                                           \
  _mm_sfence();
#define COMMA ,

static __attribute__((noinline)) void stream_cast(void (*fn)(const void *, size_t, void *),
                                                  const void *src, size_t from, size_t n, void *dst,
                                                  size_t to) {
  NONTEMPORAL_BY(fn, )
}
static __attribute__((noinline)) void stream_scale(
    void (*fn)(const void *, size_t, void *, double, double), const void *src, size_t from, size_t n,
    void *dst, size_t to, double scale, double offset) {
  NONTEMPORAL_BY(fn, COMMA scale COMMA offset)
}
#else
#define streams(dst, n, size) false
#define stream_cast(...) (void)0
#define stream_scale(...) (void)0
#endif
