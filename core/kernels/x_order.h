/* Elements in another order: flip. */

/* v backwards. GCC needs to be told that it is one permutation, clang sees it. */
#if defined(__clang__)
#define PERMUTED(v, order, out)                            \
  for (size_t j_ = 0; j_ < sizeof(v) / sizeof(v)[0]; j_++) \
  (out)[j_] = (v)[(order)[j_]]
#else
#define PERMUTED(v, order, out) (out) = __builtin_shuffle(v, order)
#endif
#define REVERSED(label, bits)                                           \
  typedef uint##bits##_t label##_ov __attribute__((vector_size(VW)));   \
  INLINE label##_ov label##_reversed(label##_ov v) {                    \
    label##_ov order, out;                                              \
    for (size_t j = 0; j < VW * 8 / bits; j++)                          \
      order[j] = (uint##bits##_t)(VW * 8 / bits - 1 - j);               \
    PERMUTED(v, order, out);                                            \
    return out;                                                         \
  }

/* From both ends at once: what is overwritten has been read, so dst may be src. */
#define FLIP(label, bits)                                               \
  REVERSED(label, bits)                                                 \
  static void flip_##bits(const void *src, size_t n, void *dst) {       \
    enum { L = VW * 8 / bits };                                         \
    const label##_mem *p = src;                                         \
    label##_mem *q = dst;                                               \
    size_t i = 0, end = n;                                              \
    for (; end - i >= 2 * L; i += L, end -= L) {                        \
      label##_ov a, b;                                                  \
      memcpy(&a, p + i, VW);                                            \
      memcpy(&b, p + end - L, VW);                                      \
      a = label##_reversed(a);                                          \
      b = label##_reversed(b);                                          \
      memcpy(q + i, &b, VW);                                            \
      memcpy(q + end - L, &a, VW);                                      \
    }                                                                   \
    for (; end - i >= 2; i++, end--) {                                  \
      uint##bits##_t a = p[i], b = p[end - 1];                          \
      q[i] = b;                                                         \
      q[end - 1] = a;                                                   \
    }                                                                   \
    if (i < end)                                                        \
      q[i] = p[i];                                                      \
  }
FLIP(u8, 8)
FLIP(u16, 16)
FLIP(u32, 32)
FLIP(u64, 64)

static void flip(const void *src, size_t n, void *dst, size_t size) {
  if (size == 1)
    flip_8(src, n, dst);
  else if (size == 2)
    flip_16(src, n, dst);
  else if (size == 4)
    flip_32(src, n, dst);
  else
    flip_64(src, n, dst);
}

/* From the end, so that in place each element is read before it is written. A vector of
 * differences is that of the elements less that of those one place before. */
#define DELTA(name, etype, FIX)                                            \
  typedef etype name##_dv __attribute__((vector_size(VW)));                \
  static void delta_##name(const void *src, size_t n, void *dst) {         \
    enum { L = VW / sizeof(etype) };                                       \
    const name##_mem *p = src;                                             \
    name##_mem *q = dst;                                                   \
    size_t i = n;                                                          \
    for (; i > L; i -= L) {                                                \
      name##_dv x, y;                                                      \
      memcpy(&x, p + (i - L), VW);                                         \
      memcpy(&y, p + (i - L - 1), VW);                                     \
      x -= y;                                                              \
      FIX(name##_dv, x);                                                   \
      memcpy(q + (i - L), &x, VW);                                         \
    }                                                                      \
    for (; i > 1; i--) {                                                   \
      etype x = (etype)((etype)p[i - 1] - (etype)p[i - 2]);                \
      q[i - 1] = x == x ? x : (etype)DELTA_NAN_##name;                     \
    }                                                                      \
    if (i == 1)                                                            \
      q[0] = p[0];                                                         \
  }
#define DELTA_AS_IS(vtype, x)
/* Every NaN becomes the same one. */
#define DELTA_ONE_NAN(vtype, x)                                   \
  do {                                                            \
    vtype nan_ = (vtype){0} + NAN;                                \
    x = (vtype)(((x == x) & (__typeof__(x == x))x) |              \
                (~(x == x) & (__typeof__(x == x))nan_));          \
  } while (0)
#define DELTA_NAN_i8 0
#define DELTA_NAN_u8 0
#define DELTA_NAN_i16 0
#define DELTA_NAN_u16 0
#define DELTA_NAN_i32 0
#define DELTA_NAN_u32 0
#define DELTA_NAN_i64 0
#define DELTA_NAN_u64 0
#define DELTA_NAN_f32 NAN
#define DELTA_NAN_f64 NAN
#define DELTA_INT(name, ctype, utype, least, greatest) DELTA(name, utype, DELTA_AS_IS)
INT_TYPES(DELTA_INT)
DELTA(f32, float, DELTA_ONE_NAN)
DELTA(f64, double, DELTA_ONE_NAN)

/* Sums of a register's lanes up to each lane come from shifts by 1, 2, 4 and 8 lanes; from one
 * register to the next only the total is handed on. */
#if defined(__SSE2__)
#define UNDELTA_SHIFTED(utype, x, bytes)                              \
  if (bytes < 16)                                                     \
  x += (utype##_uv)_mm_slli_si128((__m128i)x, bytes < 16 ? bytes : 0)
#define UNDELTA_REGISTERS(utype)                            \
  for (; i + L <= n; i += L) {                              \
    utype##_uv x;                                           \
    memcpy(&x, p + i, 16);                                  \
    UNDELTA_SHIFTED(utype, x, sizeof(utype));               \
    UNDELTA_SHIFTED(utype, x, 2 * sizeof(utype));           \
    UNDELTA_SHIFTED(utype, x, 4 * sizeof(utype));           \
    UNDELTA_SHIFTED(utype, x, 8 * sizeof(utype));           \
    utype##_uv total = (utype##_uv){0} + x[L - 1];          \
    x += before;                                            \
    before += total;                                        \
    memcpy(q + i, &x, 16);                                  \
  }
#else
#define UNDELTA_REGISTERS(utype) (void)L;
#endif
typedef uint8_t uint8_t_uv __attribute__((vector_size(16)));
typedef uint16_t uint16_t_uv __attribute__((vector_size(16)));
typedef uint32_t uint32_t_uv __attribute__((vector_size(16)));
typedef uint64_t uint64_t_uv __attribute__((vector_size(16)));
#define UNDELTA_INT(name, ctype, utype, least, greatest)             \
  static void undelta_##name(const void *src, size_t n, void *dst) { \
    enum { L = 16 / sizeof(utype) };                                 \
    const name##_mem *p = src;                                       \
    name##_mem *q = dst;                                             \
    utype##_uv before = {0};                                         \
    size_t i = 0;                                                    \
    UNDELTA_REGISTERS(utype)                                         \
    utype sum = before[0];                                           \
    for (; i < n; i++) {                                             \
      sum = (utype)(sum + (utype)p[i]);                              \
      q[i] = (ctype)sum;                                             \
    }                                                                \
  }
INT_TYPES(UNDELTA_INT)
#define UNDELTA_FLOAT(name, ctype)                                   \
  static void undelta_##name(const void *src, size_t n, void *dst) { \
    const name##_mem *p = src;                                       \
    name##_mem *q = dst;                                             \
    if (n == 0)                                                      \
      return;                                                        \
    ctype sum = p[0];                                                \
    q[0] = p[0];                                                     \
    for (size_t i = 1; i < n; i++) {                                 \
      sum += p[i];                                                   \
      q[i] = sum == sum ? sum : (ctype)NAN;                          \
    }                                                                \
  }
UNDELTA_FLOAT(f32, float)
UNDELTA_FLOAT(f64, double)
