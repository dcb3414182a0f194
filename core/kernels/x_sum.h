/* sum, sum_i64 and moments. */

typedef double vd __attribute__((vector_size(VW)));
#define LANES 16
#define VD_COUNT (LANES * 8 / VW)
#define VD_LANES (VW / 8)

/* As many elements as vd has, from memory. Not __builtin_convertvector where there is an instruction:
 * GCC 12 converts halves and puts them together. */
#if VW == 64
INLINE vd f32_widen(const char *p) { return (vd)_mm512_cvtps_pd(_mm256_loadu_ps((const float *)p)); }
#elif VW == 32
INLINE vd f32_widen(const char *p) { return (vd)_mm256_cvtps_pd(_mm_loadu_ps((const float *)p)); }
#elif defined(__SSE2__)
INLINE vd f32_widen(const char *p) {
  double pair;
  memcpy(&pair, p, sizeof pair);
  return (vd)_mm_cvtps_pd(_mm_castpd_ps(_mm_set_sd(pair)));
}
#else
INLINE vd f32_widen(const char *p) {
  float x[VD_LANES];
  vd y;
  memcpy(x, p, sizeof x);
  for (size_t j = 0; j < VD_LANES; j++)
    y[j] = (double)x[j];
  return y;
}
#endif
INLINE vd f64_widen(const char *p) {
  vd x;
  memcpy(&x, p, sizeof x);
  return x;
}

INLINE double fold16(double *a) {
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int j = 0; j < half; j++)
      a[j] += a[j + half];
  return a[0];
}

static double sum_f64(const void *src, size_t n) {
  const char *p = src;
  vd acc[VD_COUNT] = {{0}};
  size_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int k = 0; k < VD_COUNT; k++)
      acc[k] += f64_widen(p + i * 8 + (size_t)k * VW);
  double a[LANES];
  memcpy(a, acc, sizeof a);
  for (size_t j = 0; i + j < n; j++)
    a[j] += ((const f64_mem *)src)[i + j];
  return canonical(fold16(a));
}

static double sum_f32(const void *src, size_t n) {
  const char *p = src;
  vd acc[VD_COUNT] = {{0}};
  size_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int k = 0; k < VD_COUNT; k++)
      acc[k] += f32_widen(p + i * 4 + (size_t)k * (VW / 2));
  double a[LANES];
  memcpy(a, acc, sizeof a);
  for (size_t j = 0; i + j < n; j++)
    a[j] += (double)((const f32_mem *)src)[i + j];
  return canonical(fold16(a));
}

/* Integers: partial sums that cannot overflow in a type that vectorises, blocks of them in
 * `wide`. */
#define SUM_SMALL(name, ctype, part, block)              \
  static wide total_##name(const void *src, size_t n) {  \
    const name##_mem *p = src;                           \
    wide total = 0;                                      \
    for (size_t i = 0; i < n;) {                         \
      size_t m = LSI_MIN(n - i, (size_t)(block));        \
      part s = 0;                                        \
      for (size_t j = 0; j < m; j++)                     \
        s += (part)p[i + j];                             \
      total += s;                                        \
      i += m;                                            \
    }                                                    \
    return total;                                        \
  }
SUM_SMALL(i16, int16_t, int32_t, 1 << 15)
SUM_SMALL(u16, uint16_t, int32_t, 1 << 15)
SUM_SMALL(i32, int32_t, int64_t, 1 << 30)
SUM_SMALL(u32, uint32_t, int64_t, 1 << 30)

typedef uint8_t vb __attribute__((vector_size(VW)));
typedef uint16_t vh __attribute__((vector_size(VW)));
typedef uint32_t vw __attribute__((vector_size(VW)));
typedef uint64_t vq __attribute__((vector_size(VW)));

/* Bytes: pairs in lanes of 16 bits, 128 of them at most, then in lanes of 32. `flip` makes
 * signed ones unsigned, 128 too large. n < 2^24. */
INLINE uint64_t bytes_sum(const u8_mem *p, size_t n, uint8_t flip) {
  vw wider = {0};
  size_t i = 0;
  while (i + VW <= n) {
    size_t rounds = LSI_MIN((n - i) / VW, (size_t)128);
    vh acc = {0};
    for (size_t r = 0; r < rounds; r++, i += VW) {
      vb x;
      memcpy(&x, p + i, VW);
      x ^= flip;
      acc += ((vh)x & 0xff) + ((vh)x >> 8);
    }
    wider += ((vw)acc & 0xffff) + ((vw)acc >> 16);
  }
  uint64_t s = 0;
  for (int k = 0; k < VW / 4; k++)
    s += wider[k];
  for (; i < n; i++)
    s += (uint8_t)(p[i] ^ flip);
  return s;
}

INLINE wide total_8(const void *src, size_t n, uint8_t flip) {
  wide total = 0;
  for (size_t i = 0; i < n;) {
    size_t m = LSI_MIN(n - i, (size_t)1 << 23);
    total += (wide)bytes_sum((const u8_mem *)src + i, m, flip);
    i += m;
  }
  return total - (wide)flip * (wide)n;
}
static wide total_i8(const void *src, size_t n) { return total_8(src, n, 0x80); }
static wide total_u8(const void *src, size_t n) { return total_8(src, n, 0); }

/* The halves of 64-bit elements are summed apart. `flip` makes signed ones unsigned, 2^63 too
 * large. */
INLINE wide total_64(const void *src, size_t n, uint64_t flip) {
  const u64_mem *p = src;
  wide total = 0;
  for (size_t i = 0; i < n;) {
    size_t m = LSI_MIN(n - i, (size_t)1 << 31);
    uint64_t low = 0, high = 0;
    for (size_t j = 0; j < m; j++) {
      uint64_t x = p[i + j] ^ flip;
      low += x & 0xffffffffu;
      high += x >> 32;
    }
    total += ((wide)high << 32) + (wide)low - (wide)flip * (wide)m;
    i += m;
  }
  return total;
}
static wide total_i64(const void *src, size_t n) { return total_64(src, n, (uint64_t)1 << 63); }
static wide total_u64(const void *src, size_t n) { return total_64(src, n, 0); }

#define SUM_INT(name, ctype, utype, least, greatest)                                         \
  static double sum_##name(const void *src, size_t n) { return (double)total_##name(src, n); } \
  static int64_t sum_i64_##name(const void *src, size_t n) {                                 \
    wide t = total_##name(src, n);                                                           \
    return t > INT64_MAX ? INT64_MAX : t < INT64_MIN ? INT64_MIN : (int64_t)t;               \
  }
INT_TYPES(SUM_INT)

#define MOMENTS_BLOCK 2048

/* Two passes over a block that lies in the first-level cache. */
#define MOMENTS_FLOAT(name)                                                            \
  static void moments_block_##name(const void *src, size_t n, lsio_moments *out) {     \
    const name##_mem *p = src;                                                         \
    double mean = sum_##name(src, n) / (double)n;                                      \
    vd acc[VD_COUNT] = {{0}};                                                          \
    size_t i = 0;                                                                      \
    for (; i + LANES <= n; i += LANES)                                                 \
      for (int k = 0; k < VD_COUNT; k++) {                                             \
        vd x = name##_widen((const char *)(p + i + k * VD_LANES)) - mean;              \
        acc[k] += x * x;                                                               \
      }                                                                                \
    double a[LANES];                                                                   \
    memcpy(a, acc, sizeof a);                                                          \
    for (size_t j = 0; i + j < n; j++) {                                               \
      double x = (double)p[i + j] - mean;                                              \
      a[j] += x * x;                                                                   \
    }                                                                                  \
    *out = (lsio_moments){(double)n, mean, canonical(fold16(a))};                      \
  }                                                                                    \
  static void moments_##name(const void *src, size_t n, lsio_moments *out) {           \
    const name##_mem *p = src;                                                         \
    *out = (lsio_moments){0, 0, 0};                                                    \
    for (size_t i = 0; i < n; i += MOMENTS_BLOCK) {                                    \
      lsio_moments b;                                                                  \
      moments_block_##name(p + i, LSI_MIN(n - i, (size_t)MOMENTS_BLOCK), &b);          \
      lsi_moments_merge(out, &b);                                                      \
    }                                                                                  \
  }
MOMENTS_FLOAT(f32)
MOMENTS_FLOAT(f64)

#define MOMENTS_CONVERTED(name)                                               \
  static void moments_##name(const void *src, size_t n, lsio_moments *out) {  \
    const name##_mem *p = src;                                                \
    double block[MOMENTS_BLOCK];                                              \
    *out = (lsio_moments){0, 0, 0};                                           \
    for (size_t i = 0; i < n; i += MOMENTS_BLOCK) {                           \
      size_t m = LSI_MIN(n - i, (size_t)MOMENTS_BLOCK);                       \
      for (size_t j = 0; j < m; j++)                                          \
        block[j] = (double)p[i + j];                                          \
      lsio_moments b;                                                         \
      moments_block_f64(block, m, &b);                                       \
      lsi_moments_merge(out, &b);                                             \
    }                                                                         \
  }
MOMENTS_CONVERTED(i32)
MOMENTS_CONVERTED(u32)
MOMENTS_CONVERTED(i64)
MOMENTS_CONVERTED(u64)

/* From exact sums: m2 = (n * squares - sum^2) / n. `shift` is what was taken from every element. */
static void moments_exact(size_t n, wide sum, wide squares, double shift, lsio_moments *out) {
  if (n == 0) {
    *out = (lsio_moments){0, 0, 0};
    return;
  }
  double count = (double)n;
  wide whole = sum + (wide)shift * (wide)n;
  *out = (lsio_moments){count, (double)whole / count,
                        (double)((wide)n * squares - sum * sum) / count};
}

#if defined(__SSE2__)
#if VW == 64
INLINE vw madd(vh x) { return (vw)_mm512_madd_epi16((__m512i)x, (__m512i)x); }
#elif VW == 32
INLINE vw madd(vh x) { return (vw)_mm256_madd_epi16((__m256i)x, (__m256i)x); }
#else
INLINE vw madd(vh x) { return (vw)_mm_madd_epi16((__m128i)x, (__m128i)x); }
#endif
#else
/* x[2i]^2 + x[2i+1]^2 of signed elements. */
INLINE vw madd(vh x) {
  typedef int32_t vsw __attribute__((vector_size(VW)));
  vsw even = (vsw)((vw)x << 16) >> 16, odd = (vsw)x >> 16;
  return (vw)(even * even) + (vw)(odd * odd);
}
#endif

/* Sum of squares of n <= 2^16 bytes, taken as int8 after `flip`. */
INLINE uint64_t squares_8(const u8_mem *p, size_t n, uint8_t flip) {
  typedef int16_t vsh __attribute__((vector_size(VW)));
  vw acc = {0};
  size_t i = 0;
  for (; i + VW <= n; i += VW) {
    vb x;
    memcpy(&x, p + i, VW);
    x ^= flip;
    acc += madd((vh)((vsh)((vh)x << 8) >> 8)) + madd((vh)((vsh)x >> 8));
  }
  uint64_t s = 0;
  for (int k = 0; k < VW / 4; k++)
    s += acc[k];
  for (; i < n; i++) {
    int32_t x = (int8_t)(p[i] ^ flip);
    s += (uint32_t)(x * x);
  }
  return s;
}

/* The same of 16-bit elements: pairs are up to 2^31 and so unsigned, and summed as 64-bit. */
INLINE uint64_t squares_16(const u16_mem *p, size_t n, uint16_t flip) {
  vq even = {0}, odd = {0};
  size_t i = 0;
  for (; i + VW / 2 <= n; i += VW / 2) {
    vh x;
    memcpy(&x, p + i, VW);
    vq t = (vq)madd(x ^ flip);
    even += t & 0xffffffffu;
    odd += t >> 32;
  }
  even += odd;
  uint64_t s = 0;
  for (int k = 0; k < VW / 8; k++)
    s += even[k];
  for (; i < n; i++) {
    int32_t x = (int16_t)(p[i] ^ flip);
    s += (uint32_t)(x * x);
  }
  return s;
}

/* Blocks stay in the first-level cache between the two sums. */
#define MOMENTS_SMALL(name, bits, flip, shift)                                    \
  static void moments_##name(const void *src, size_t n, lsio_moments *out) {      \
    const u##bits##_mem *p = src;                                                 \
    wide sum = 0, squares = 0;                                                    \
    for (size_t i = 0; i < n; i += 8192) {                                        \
      size_t m = LSI_MIN(n - i, (size_t)8192);                                    \
      sum += total_##name(p + i, m) - (wide)(shift) * (wide)m;                    \
      squares += (wide)squares_##bits(p + i, m, flip);                            \
    }                                                                             \
    moments_exact(n, sum, squares, shift, out);                                   \
  }
MOMENTS_SMALL(i8, 8, 0, 0)
MOMENTS_SMALL(u8, 8, 0x80, 128)
MOMENTS_SMALL(i16, 16, 0, 0)
MOMENTS_SMALL(u16, 16, 0x8000, 32768)
