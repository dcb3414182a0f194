/* count_*: every comparison is first turned into lo <= x <= hi in the element's own type,
 * exactly. */

#define COUNT_UNROLL 4

/* Elements of `vec` (as unsigned integers of the element's size) are counted in lanes of that
 * size; a lane takes `limit` counts before it is emptied. */
#define COUNT_LOOP(name, ctype, utype, limit, EXPRESSION)                                       \
  typedef ctype name##_cv __attribute__((vector_size(VW)));                                     \
  typedef utype name##_cu __attribute__((vector_size(VW)));                                     \
  INLINE uint64_t name##_within(const void *src, size_t n, ctype lo, ctype hi) {                \
    enum { L = VW / sizeof(ctype), STEP = L * COUNT_UNROLL };                                   \
    const name##_mem *p = src;                                                                  \
    uint64_t total = 0;                                                                         \
    size_t i = 0;                                                                               \
    while (i + STEP <= n) {                                                                     \
      size_t rounds = LSI_MIN((n - i) / STEP, (size_t)(limit));                                 \
      name##_cu acc[COUNT_UNROLL] = {{0}};                                                      \
      for (size_t r = 0; r < rounds; r++, i += STEP)                                            \
        for (int k = 0; k < COUNT_UNROLL; k++) {                                                \
          name##_cv x;                                                                          \
          memcpy(&x, (const char *)(p + i) + (size_t)k * VW, VW);                               \
          acc[k] -= (name##_cu)(EXPRESSION);                                                    \
        }                                                                                       \
      for (int k = 0; k < COUNT_UNROLL; k++)                                                    \
        for (int j = 0; j < L; j++)                                                             \
          total += acc[k][j];                                                                   \
    }                                                                                           \
    for (; i < n; i++)                                                                          \
      total += p[i] >= lo && p[i] <= hi;                                                        \
    return total;                                                                               \
  }

#define COUNT_INT(name, ctype, utype, limit)                                                    \
  COUNT_LOOP(name, ctype, utype, limit,                                                         \
             ((name##_cu)x - (utype)lo) <= (name##_cu){0} + (utype)((utype)hi - (utype)lo))
COUNT_INT(i8, int8_t, uint8_t, 255)
COUNT_INT(u8, uint8_t, uint8_t, 255)
COUNT_INT(i16, int16_t, uint16_t, 65535)
COUNT_INT(u16, uint16_t, uint16_t, 65535)
COUNT_INT(i32, int32_t, uint32_t, 1 << 30)
COUNT_INT(u32, uint32_t, uint32_t, 1 << 30)
COUNT_INT(i64, int64_t, uint64_t, 1 << 30)
COUNT_INT(u64, uint64_t, uint64_t, 1 << 30)
COUNT_LOOP(f32, float, uint32_t, 1 << 30, (x >= lo) & (x <= hi))
COUNT_LOOP(f64, double, uint64_t, 1 << 30, (x >= lo) & (x <= hi))

#define COUNT_ALL(name, ctype, range, bounds, least, greatest)                               \
  static uint64_t count_##name(const void *src, size_t n, ctype lo, ctype hi) {              \
    return name##_within(src, n, lo, hi);                                                    \
  }                                                                                          \
  INLINE double count_op_##name(const void *src, size_t n, enum comparison op, double t) {   \
    struct range r = {least, greatest};                                                      \
    return bounds(op, t, &r) ? (double)count_##name(src, n, (ctype)r.lo, (ctype)r.hi) : 0;   \
  }                                                                                          \
  static double count_gt_##name(const void *src, size_t n, double t) {                       \
    return count_op_##name(src, n, GT, t);                                                   \
  }                                                                                          \
  static double count_ge_##name(const void *src, size_t n, double t) {                       \
    return count_op_##name(src, n, GE, t);                                                   \
  }                                                                                          \
  static double count_lt_##name(const void *src, size_t n, double t) {                       \
    return count_op_##name(src, n, LT, t);                                                   \
  }                                                                                          \
  static double count_le_##name(const void *src, size_t n, double t) {                       \
    return count_op_##name(src, n, LE, t);                                                   \
  }                                                                                          \
  static double count_eq_##name(const void *src, size_t n, double t) {                       \
    return count_op_##name(src, n, EQ, t);                                                   \
  }                                                                                          \
  static double count_between_##name(const void *src, size_t n, double lo, double hi) {      \
    struct range r = {least, greatest};                                                      \
    if (!bounds(GE, lo, &r) || !bounds(LE, hi, &r))                                          \
      return 0;                                                                              \
    return (double)count_##name(src, n, (ctype)r.lo, (ctype)r.hi);                           \
  }
#define COUNT_ALL_INT(name, ctype, utype, least, greatest) \
  COUNT_ALL(name, ctype, int_range, int_bounds, least, greatest)
INT_TYPES(COUNT_ALL_INT)
COUNT_ALL(f32, float, f32_range, f32_bounds, -INFINITY, INFINITY)
COUNT_ALL(f64, double, f64_range, f64_bounds, -INFINITY, INFINITY)
