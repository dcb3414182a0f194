/* min, max and minmax. Integers: any order gives the same, so plain loops. Floats: lanes by
 * index mod 32 (f32) or 16 (f64) at every level, because the order decides between -0 and +0. */

#define MINMAX_INT(name, ctype, utype, least, greatest)                          \
  static void min_##name(const void *src, size_t n, void *out) {                 \
    const name##_mem *p = src;                                                   \
    ctype m = greatest;                                                          \
    for (size_t i = 0; i < n; i++)                                               \
      m = p[i] < m ? p[i] : m;                                                   \
    memcpy(out, &m, sizeof m);                                                   \
  }                                                                              \
  static void max_##name(const void *src, size_t n, void *out) {                 \
    const name##_mem *p = src;                                                   \
    ctype m = least;                                                             \
    for (size_t i = 0; i < n; i++)                                               \
      m = p[i] > m ? p[i] : m;                                                   \
    memcpy(out, &m, sizeof m);                                                   \
  }                                                                              \
  static void minmax_##name(const void *src, size_t n, void *out) {              \
    const name##_mem *p = src;                                                   \
    ctype m[2] = {greatest, least};                                              \
    ctype lo = greatest, hi = least;                                             \
    for (size_t i = 0; i < n; i++) {                                             \
      lo = p[i] < lo ? p[i] : lo;                                                \
      hi = p[i] > hi ? p[i] : hi;                                                \
    }                                                                            \
    m[0] = lo;                                                                   \
    m[1] = hi;                                                                   \
    memcpy(out, m, sizeof m);                                                    \
  }
INT_TYPES(MINMAX_INT)

#define MM_BYTES 128
#define MM_COUNT (MM_BYTES / VW)

/* A NaN, once taken, compares false with everything and stays. */
#define MINMAX_FLOAT(name, ctype, itype)                                                        \
  typedef ctype name##_mmv __attribute__((vector_size(VW)));                                    \
  typedef itype name##_mmi __attribute__((vector_size(VW)));                                    \
  INLINE name##_mmv name##_choose(name##_mmi take, name##_mmv x, name##_mmv y) {                \
    return (name##_mmv)((take & (name##_mmi)x) | (~take & (name##_mmi)y));                      \
  }                                                                                             \
  INLINE ctype name##_lesser(ctype m, ctype x) { return x < m || x != x ? x : m; }              \
  INLINE ctype name##_greater(ctype m, ctype x) { return x > m || x != x ? x : m; }             \
  INLINE void name##_extremes(const void *src, size_t n, ctype *lo, ctype *hi) {                \
    enum { L = MM_BYTES / sizeof(ctype) };                                                      \
    const name##_mem *p = src;                                                                  \
    const ctype inf = (ctype)INFINITY;                                                          \
    name##_mmv vlo[MM_COUNT], vhi[MM_COUNT];                                                    \
    for (int k = 0; k < MM_COUNT; k++) {                                                        \
      vlo[k] = (name##_mmv){0} + inf;                                                           \
      vhi[k] = (name##_mmv){0} - inf;                                                           \
    }                                                                                           \
    size_t i = 0;                                                                               \
    for (; i + L <= n; i += L)                                                                  \
      for (int k = 0; k < MM_COUNT; k++) {                                                      \
        name##_mmv x;                                                                           \
        memcpy(&x, (const char *)(p + i) + (size_t)k * VW, VW);                                 \
        if (lo) {                                                                               \
          name##_mmi take = (x < vlo[k]) | (x != x);                                            \
          vlo[k] = name##_choose(take, x, vlo[k]);                                              \
        }                                                                                       \
        if (hi) {                                                                               \
          name##_mmi take = (x > vhi[k]) | (x != x);                                            \
          vhi[k] = name##_choose(take, x, vhi[k]);                                              \
        }                                                                                       \
      }                                                                                         \
    ctype a[L], b[L];                                                                           \
    memcpy(a, vlo, sizeof a);                                                                   \
    memcpy(b, vhi, sizeof b);                                                                   \
    for (size_t j = 0; i + j < n; j++) {                                                        \
      a[j] = name##_lesser(a[j], p[i + j]);                                                     \
      b[j] = name##_greater(b[j], p[i + j]);                                                    \
    }                                                                                           \
    for (int half = L / 2; half > 0; half /= 2)                                                 \
      for (int j = 0; j < half; j++) {                                                          \
        a[j] = name##_lesser(a[j], a[j + half]);                                                \
        b[j] = name##_greater(b[j], b[j + half]);                                               \
      }                                                                                         \
    if (lo)                                                                                     \
      *lo = a[0] == a[0] ? a[0] : (ctype)NAN;                                                   \
    if (hi)                                                                                     \
      *hi = b[0] == b[0] ? b[0] : (ctype)NAN;                                                   \
  }                                                                                             \
  static void min_##name(const void *src, size_t n, void *out) {                                \
    ctype m;                                                                                    \
    name##_extremes(src, n, &m, NULL);                                                          \
    memcpy(out, &m, sizeof m);                                                                  \
  }                                                                                             \
  static void max_##name(const void *src, size_t n, void *out) {                                \
    ctype m;                                                                                    \
    name##_extremes(src, n, NULL, &m);                                                          \
    memcpy(out, &m, sizeof m);                                                                  \
  }                                                                                             \
  static void minmax_##name(const void *src, size_t n, void *out) {                             \
    ctype m[2];                                                                                 \
    name##_extremes(src, n, &m[0], &m[1]);                                                      \
    memcpy(out, m, sizeof m);                                                                   \
  }
MINMAX_FLOAT(f32, float, int32_t)
MINMAX_FLOAT(f64, double, int64_t)
