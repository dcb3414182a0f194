/* Element by element: cast, scale_offset, clip, fill, fill_sentinel, fill_nan, byteswap. */

/* conv_S_D(x): one element by the conversion rule. */
#define CONV_INT_INT(sname, stype, sleast, sgreatest, dname, dtype, dleast, dgreatest)    \
  INLINE dtype conv_##sname##_##dname(stype x) {                                          \
    if ((wide)(sleast) < (wide)(dleast))                                                  \
      x = x <= (stype)(dleast) ? (stype)(dleast) : x;                                      \
    if ((wide)(sgreatest) > (wide)(dgreatest))                                            \
      x = x >= (stype)(dgreatest) ? (stype)(dgreatest) : x;                                \
    return (dtype)x;                                                                      \
  }
#define CONV_FROM_INT(sname, stype, su, sleast, sgreatest)                                       \
  CONV_INT_INT(sname, stype, sleast, sgreatest, i8, int8_t, INT8_MIN, INT8_MAX)                  \
  CONV_INT_INT(sname, stype, sleast, sgreatest, u8, uint8_t, 0, UINT8_MAX)                       \
  CONV_INT_INT(sname, stype, sleast, sgreatest, i16, int16_t, INT16_MIN, INT16_MAX)              \
  CONV_INT_INT(sname, stype, sleast, sgreatest, u16, uint16_t, 0, UINT16_MAX)                    \
  CONV_INT_INT(sname, stype, sleast, sgreatest, i32, int32_t, INT32_MIN, INT32_MAX)              \
  CONV_INT_INT(sname, stype, sleast, sgreatest, u32, uint32_t, 0, UINT32_MAX)                    \
  CONV_INT_INT(sname, stype, sleast, sgreatest, i64, int64_t, INT64_MIN, INT64_MAX)              \
  CONV_INT_INT(sname, stype, sleast, sgreatest, u64, uint64_t, 0, UINT64_MAX)                    \
  INLINE float conv_##sname##_f32(stype x) { return (float)x; }                                  \
  INLINE double conv_##sname##_f64(stype x) { return (double)x; }
INT_TYPES(CONV_FROM_INT)

/* Clamped before it is rounded, so that the integer conversion is always defined. */
#define CONV_FLOAT_SMALL(sname, stype, rounded, dname, dtype, least, greatest) \
  INLINE dtype conv_##sname##_##dname(stype x) {                               \
    x = x == x ? x : 0;                                                        \
    x = x < (stype)(least) ? (stype)(least) : x;                               \
    x = x > (stype)(greatest) ? (stype)(greatest) : x;                         \
    return (dtype)(int32_t)rounded(x);                                         \
  }
CONV_FLOAT_SMALL(f32, float, rintf, i8, int8_t, INT8_MIN, INT8_MAX)
CONV_FLOAT_SMALL(f32, float, rintf, u8, uint8_t, 0, UINT8_MAX)
CONV_FLOAT_SMALL(f32, float, rintf, i16, int16_t, INT16_MIN, INT16_MAX)
CONV_FLOAT_SMALL(f32, float, rintf, u16, uint16_t, 0, UINT16_MAX)
CONV_FLOAT_SMALL(f64, double, rint, i8, int8_t, INT8_MIN, INT8_MAX)
CONV_FLOAT_SMALL(f64, double, rint, u8, uint8_t, 0, UINT8_MAX)
CONV_FLOAT_SMALL(f64, double, rint, i16, int16_t, INT16_MIN, INT16_MAX)
CONV_FLOAT_SMALL(f64, double, rint, u16, uint16_t, 0, UINT16_MAX)
CONV_FLOAT_SMALL(f64, double, rint, i32, int32_t, INT32_MIN, INT32_MAX)

/* Wider integers. `half` is 2^(bits - 1): signed conversions stop below it, and only they are
 * single instructions below v4. */
#define CONV_FLOAT_WIDE(sname, stype, rounded, bits, half, top)                         \
  INLINE int##bits##_t conv_##sname##_i##bits(stype x) {                                \
    bool over = x >= half;                                                              \
    x = x == x ? x : 0;                                                                 \
    x = x < -half ? -half : x;                                                          \
    int##bits##_t v = (int##bits##_t)rounded(over ? 0 : x);                             \
    return over ? INT##bits##_MAX : v;                                                  \
  }                                                                                     \
  INLINE uint##bits##_t conv_##sname##_u##bits(stype x) {                               \
    bool high = x >= half, over = x >= 2 * half;                                        \
    stype low = x - half;                                                               \
    x = x > 0 ? x : 0;                                                                  \
    x = high ? low : x;                                                                 \
    uint##bits##_t v = (uint##bits##_t)(int##bits##_t)rounded(over ? 0 : x);            \
    v ^= high ? top : 0;                                                                \
    return over ? UINT##bits##_MAX : v;                                                 \
  }
CONV_FLOAT_WIDE(f32, float, rintf, 32, 0x1p31f, 0x80000000u)
CONV_FLOAT_WIDE(f32, float, rintf, 64, 0x1p63f, (uint64_t)1 << 63)
CONV_FLOAT_WIDE(f64, double, rint, 64, 0x1p63, (uint64_t)1 << 63)
INLINE uint32_t conv_f64_u32(double x) {
  x = x == x ? x : 0;
  x = x < 0 ? 0 : x;
  x = x > UINT32_MAX ? UINT32_MAX : x;
  return (uint32_t)(int32_t)(rint(x) - 0x1p31) ^ 0x80000000u;
}
INLINE float conv_f32_f32(float x) { return x; }
INLINE double conv_f32_f64(float x) { return (double)x; }
INLINE float conv_f64_f32(double x) { return (float)x; }
INLINE double conv_f64_f64(double x) { return x; }

/* DST_TYPES(X, source name, width class of the source): X(src, dst, the type they compute in) */
#define PAIRS_NARROW(X, s)                                                                     \
  X(s, i8, float, f32) X(s, u8, float, f32) X(s, i16, float, f32) X(s, u16, float, f32)        \
  X(s, i32, double, f64) X(s, u32, double, f64) X(s, i64, double, f64) X(s, u64, double, f64)  \
  X(s, f32, float, f32) X(s, f64, double, f64)
#define PAIRS_WIDE(X, s)                                                                       \
  X(s, i8, double, f64) X(s, u8, double, f64) X(s, i16, double, f64) X(s, u16, double, f64)    \
  X(s, i32, double, f64) X(s, u32, double, f64) X(s, i64, double, f64) X(s, u64, double, f64)  \
  X(s, f32, double, f64) X(s, f64, double, f64)
#define PAIRS(X)                                                                               \
  PAIRS_NARROW(X, i8) PAIRS_NARROW(X, u8) PAIRS_NARROW(X, i16) PAIRS_NARROW(X, u16)            \
  PAIRS_WIDE(X, i32) PAIRS_WIDE(X, u32) PAIRS_WIDE(X, i64) PAIRS_WIDE(X, u64)                  \
  PAIRS_NARROW(X, f32) PAIRS_WIDE(X, f64)

#define CAST(s, d, ctype, c)                                       \
  static void cast_##s##_##d(const void *src, size_t n, void *dst) { \
    const s##_mem *p = src;                                        \
    d##_mem *q = dst;                                              \
    if (LSI_UNLIKELY(streams(dst, n, sizeof *q))) {                \
      stream_cast(cast_##s##_##d, src, sizeof *p, n, dst, sizeof *q); \
      return;                                                      \
    }                                                              \
    IN_PLACE                                                       \
    for (size_t i = 0; i < n; i++)                                 \
      q[i] = conv_##s##_##d(p[i]);                                 \
  }
PAIRS(CAST)

/* With a NaN factor the elements do not matter; that they are left out fixes the payload of the
 * NaN. */
#define SCALE_OFFSET(s, d, ctype, c)                                                              \
  static void scale_offset_##s##_##d(const void *src, size_t n, void *dst, double scale,          \
                                     double offset) {                                             \
    const s##_mem *p = src;                                                                       \
    d##_mem *q = dst;                                                                             \
    const ctype a = (ctype)scale, b = (ctype)offset;                                              \
    if (a != a || b != b) {                                                                       \
      for (size_t i = 0; i < n; i++)                                                              \
        q[i] = conv_##c##_##d((ctype)NAN);                                                        \
      return;                                                                                     \
    }                                                                                             \
    if (LSI_UNLIKELY(streams(dst, n, sizeof *q))) {                                               \
      stream_scale(scale_offset_##s##_##d, src, sizeof *p, n, dst, sizeof *q, scale, offset);     \
      return;                                                                                     \
    }                                                                                             \
    IN_PLACE                                                                                      \
    for (size_t i = 0; i < n; i++) {                                                              \
      ctype x = (ctype)p[i] * a;                                                                  \
      q[i] = conv_##c##_##d(x + b);                                                               \
    }                                                                                             \
  }
PAIRS(SCALE_OFFSET)

#define FILL(name)                                          \
  static void fill_##name(void *dst, size_t n, double value) { \
    const name##_mem v = conv_f64_##name(value);            \
    name##_mem *q = dst;                                    \
    for (size_t i = 0; i < n; i++)                          \
      q[i] = v;                                             \
  }
FILL(i8)
FILL(u8)
FILL(i16)
FILL(u16)
FILL(i32)
FILL(u32)
FILL(i64)
FILL(u64)
FILL(f32)
FILL(f64)

#define CLIP_LOOP(name, ctype, lo, hi)                            \
  {                                                               \
    const name##_mem *p = src;                                    \
    name##_mem *q = dst;                                          \
    const ctype a = lo, b = hi;                                   \
    IN_PLACE                                                      \
    for (size_t i = 0; i < n; i++) {                              \
      ctype x = p[i];                                             \
      x = x < a ? a : x;                                          \
      q[i] = x > b ? b : x;                                       \
    }                                                             \
  }
#define CLIP_INT(name, ctype, utype, least, greatest)                                             \
  static void clip_##name(const void *src, size_t n, void *dst, double lo, double hi) {           \
    const ctype least_ = lo == lo ? conv_f64_##name(ceil(lo)) : least;                            \
    const ctype greatest_ = hi == hi ? conv_f64_##name(floor(hi)) : greatest;                     \
    CLIP_LOOP(name, ctype, least_, greatest_)                                                     \
  }
INT_TYPES(CLIP_INT)
#define CLIP_FLOAT(name, ctype)                                                           \
  static void clip_##name(const void *src, size_t n, void *dst, double lo, double hi) {   \
    const ctype least_ = lo == lo ? (ctype)lo : -(ctype)INFINITY;                         \
    const ctype greatest_ = hi == hi ? (ctype)hi : (ctype)INFINITY;                       \
    CLIP_LOOP(name, ctype, least_, greatest_)                                             \
  }
CLIP_FLOAT(f32, float)
CLIP_FLOAT(f64, double)

/* Blocks are counted first: most have nothing to replace and are only copied. */
#define REPLACE_BYTES 4096
#define REPLACE(label, name, ctype, COUNT, TEST)                                          \
  static double label##_##name(const void *src, size_t n, void *dst, ctype s, ctype v) {  \
    enum { BLOCK = REPLACE_BYTES / sizeof(ctype) };                                       \
    const name##_mem *p = src;                                                            \
    name##_mem *q = dst;                                                                  \
    uint64_t total = 0;                                                                   \
    (void)s;                                                                              \
    for (size_t i = 0; i < n; i += BLOCK, p += BLOCK, q += BLOCK) {                       \
      size_t m = LSI_MIN(n - i, (size_t)BLOCK);                                           \
      uint64_t count = COUNT;                                                             \
      total += count;                                                                     \
      if (count == 0) {                                                                   \
        if (p != q)                                                                       \
          memcpy(q, p, m * sizeof(ctype));                                                \
        continue;                                                                         \
      }                                                                                   \
      IN_PLACE                                                                            \
      for (size_t j = 0; j < m; j++) {                                                    \
        ctype x = p[j];                                                                   \
        q[j] = (TEST) ? v : x;                                                            \
      }                                                                                   \
    }                                                                                     \
    return (double)total;                                                                 \
  }

static void copy_plain(const void *src, size_t n, void *dst) {
  if (n != 0 && dst != src)
    memcpy(dst, src, n);
}

#define REPLACE_INT(name, ctype, utype, least, greatest)                                     \
  REPLACE(replace, name, ctype, count_##name(p, m, s, s), x == s)                            \
  static double fill_sentinel_##name(const void *src, size_t n, void *dst, double sentinel,  \
                                     double value) {                                         \
    struct int_range r = {least, greatest};                                                  \
    if (int_bounds(EQ, sentinel, &r))                                                        \
      return replace_##name(src, n, dst, (ctype)r.lo, conv_f64_##name(value));               \
    copy_plain(src, n * sizeof(ctype), dst);                                                 \
    return 0;                                                                                \
  }                                                                                          \
  static double fill_nan_##name(const void *src, size_t n, void *dst, double value) {        \
    (void)value;                                                                             \
    copy_plain(src, n * sizeof(ctype), dst);                                                 \
    return 0;                                                                                \
  }
INT_TYPES(REPLACE_INT)

#define REPLACE_FLOAT(name, ctype)                                                           \
  REPLACE(replace, name, ctype, count_##name(p, m, s, s), x == s)                            \
  REPLACE(replace_nan, name, ctype,                                                          \
          m - count_##name(p, m, -(ctype)INFINITY, (ctype)INFINITY), x != x)                 \
  static double fill_sentinel_##name(const void *src, size_t n, void *dst, double sentinel,  \
                                     double value) {                                         \
    const ctype s = (ctype)sentinel;                                                         \
    if ((double)s == sentinel)                                                               \
      return replace_##name(src, n, dst, s, (ctype)value);                                   \
    copy_plain(src, n * sizeof(ctype), dst);                                                 \
    return 0;                                                                                \
  }                                                                                          \
  static double fill_nan_##name(const void *src, size_t n, void *dst, double value) {        \
    return replace_nan_##name(src, n, dst, 0, (ctype)value);                                 \
  }
REPLACE_FLOAT(f32, float)
REPLACE_FLOAT(f64, double)

#define SWAP_LOOP(name, swap)         \
  {                                   \
    const name##_mem *p = src;        \
    name##_mem *q = dst;              \
    IN_PLACE                          \
    for (size_t i = 0; i < n; i++)    \
      q[i] = swap(p[i]);              \
  }
static void swap_2(const void *src, size_t n, void *dst) SWAP_LOOP(u16, __builtin_bswap16)
static void swap_4(const void *src, size_t n, void *dst) SWAP_LOOP(u32, __builtin_bswap32)
static void swap_8(const void *src, size_t n, void *dst) SWAP_LOOP(u64, __builtin_bswap64)

static void byteswap(const void *src, size_t n, void *dst, size_t size) {
  if (size == 2)
    swap_2(src, n, dst);
  else if (size == 4)
    swap_4(src, n, dst);
  else if (size == 8)
    swap_8(src, n, dst);
  else
    copy_plain(src, n * size, dst);
}
