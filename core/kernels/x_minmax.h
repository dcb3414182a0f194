/* min, max and minmax. Any order gives the same: floats too, because a zero comes out as +0. */

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

typedef float f32_mmv __attribute__((vector_size(VW)));
typedef double f64_mmv __attribute__((vector_size(VW)));

/* name_least and name_most: m where x is NaN, as the instructions have it. name_seen: whether a
 * NaN was among the vectors that went through name_note, two of them for one comparison. */
#if VW == 64
typedef __mmask16 f32_seen;
typedef __mmask8 f64_seen;
#define f32_least(x, m) ((f32_mmv)_mm512_min_ps((__m512)(x), (__m512)(m)))
#define f32_most(x, m) ((f32_mmv)_mm512_max_ps((__m512)(x), (__m512)(m)))
#define f32_note(seen, x, y) \
  ((f32_seen)((seen) | _mm512_cmp_ps_mask((__m512)(x), (__m512)(y), _CMP_UNORD_Q)))
#define f32_any(seen) ((seen) != 0)
#define f64_least(x, m) ((f64_mmv)_mm512_min_pd((__m512d)(x), (__m512d)(m)))
#define f64_most(x, m) ((f64_mmv)_mm512_max_pd((__m512d)(x), (__m512d)(m)))
#define f64_note(seen, x, y) \
  ((f64_seen)((seen) | _mm512_cmp_pd_mask((__m512d)(x), (__m512d)(y), _CMP_UNORD_Q)))
#define f64_any(seen) ((seen) != 0)
#elif VW == 32
typedef __m256 f32_seen;
typedef __m256d f64_seen;
#define f32_least(x, m) ((f32_mmv)_mm256_min_ps((__m256)(x), (__m256)(m)))
#define f32_most(x, m) ((f32_mmv)_mm256_max_ps((__m256)(x), (__m256)(m)))
#define f32_note(seen, x, y) \
  _mm256_or_ps((seen), _mm256_cmp_ps((__m256)(x), (__m256)(y), _CMP_UNORD_Q))
#define f32_any(seen) (_mm256_movemask_ps(seen) != 0)
#define f64_least(x, m) ((f64_mmv)_mm256_min_pd((__m256d)(x), (__m256d)(m)))
#define f64_most(x, m) ((f64_mmv)_mm256_max_pd((__m256d)(x), (__m256d)(m)))
#define f64_note(seen, x, y) \
  _mm256_or_pd((seen), _mm256_cmp_pd((__m256d)(x), (__m256d)(y), _CMP_UNORD_Q))
#define f64_any(seen) (_mm256_movemask_pd(seen) != 0)
#elif defined(__SSE2__)
typedef __m128 f32_seen;
typedef __m128d f64_seen;
#define f32_least(x, m) ((f32_mmv)_mm_min_ps((__m128)(x), (__m128)(m)))
#define f32_most(x, m) ((f32_mmv)_mm_max_ps((__m128)(x), (__m128)(m)))
#define f32_note(seen, x, y) _mm_or_ps((seen), _mm_cmpunord_ps((__m128)(x), (__m128)(y)))
#define f32_any(seen) (_mm_movemask_ps(seen) != 0)
#define f64_least(x, m) ((f64_mmv)_mm_min_pd((__m128d)(x), (__m128d)(m)))
#define f64_most(x, m) ((f64_mmv)_mm_max_pd((__m128d)(x), (__m128d)(m)))
#define f64_note(seen, x, y) _mm_or_pd((seen), _mm_cmpunord_pd((__m128d)(x), (__m128d)(y)))
#define f64_any(seen) (_mm_movemask_pd(seen) != 0)
#else
#define MM_PLAIN(name, itype)                                                       \
  typedef itype name##_seen __attribute__((vector_size(VW)));                       \
  INLINE name##_mmv name##_choose(name##_seen take, name##_mmv x, name##_mmv y) {   \
    return (name##_mmv)((take & (name##_seen)x) | (~take & (name##_seen)y));        \
  }                                                                                 \
  INLINE name##_mmv name##_least(name##_mmv x, name##_mmv m) {                      \
    return name##_choose((name##_seen)(x < m), x, m);                               \
  }                                                                                 \
  INLINE name##_mmv name##_most(name##_mmv x, name##_mmv m) {                       \
    return name##_choose((name##_seen)(x > m), x, m);                               \
  }                                                                                 \
  INLINE name##_seen name##_note(name##_seen seen, name##_mmv x, name##_mmv y) {    \
    return seen | (name##_seen)(x != x) | (name##_seen)(y != y);                    \
  }                                                                                 \
  INLINE bool name##_any(name##_seen seen) {                                        \
    bool any = false;                                                               \
    for (size_t j = 0; j < sizeof seen / sizeof seen[0]; j++)                       \
      any |= seen[j] != 0;                                                          \
    return any;                                                                     \
  }
MM_PLAIN(f32, int32_t)
MM_PLAIN(f64, int64_t)
#endif

/* Vectors in a round: the accumulators are independent to hide the latency. Even. */
#define MM_COUNT 4

/* Least and greatest of accumulators; -0 becomes +0. */
#define MINMAX_FOLD(name, ctype)                                                              \
  INLINE ctype name##_fold_least(const name##_mmv *m, int count) {                            \
    ctype least = (ctype)INFINITY;                                                            \
    name##_mmv v = m[0];                                                                      \
    for (int k = 1; k < count; k++)                                                           \
      v = name##_least(m[k], v);                                                              \
    for (size_t j = 0; j < VW / sizeof(ctype); j++)                                           \
      least = v[j] < least ? v[j] : least;                                                    \
    return least + 0;                                                                         \
  }                                                                                           \
  INLINE ctype name##_fold_most(const name##_mmv *m, int count) {                             \
    ctype most = -(ctype)INFINITY;                                                            \
    name##_mmv v = m[0];                                                                      \
    for (int k = 1; k < count; k++)                                                           \
      v = name##_most(m[k], v);                                                               \
    for (size_t j = 0; j < VW / sizeof(ctype); j++)                                           \
      most = v[j] > most ? v[j] : most;                                                       \
    return most + 0;                                                                          \
  }
MINMAX_FOLD(f32, float)
MINMAX_FOLD(f64, double)

/* Of n elements that fill a vector at least; the last vector overlaps the one before it. */
#define MINMAX_FLOAT(name, ctype)                                                               \
  INLINE bool name##_extremes(const void *src, size_t n, ctype *lo, ctype *hi) {                \
    enum { L = VW / sizeof(ctype), STEP = L * MM_COUNT };                                       \
    const name##_mem *p = src;                                                                  \
    name##_mmv vlo[MM_COUNT], vhi[MM_COUNT];                                                     \
    name##_seen seen = (name##_seen){0};                                                        \
    for (int k = 0; k < MM_COUNT; k++) {                                                        \
      vlo[k] = (name##_mmv){0} + (ctype)INFINITY;                                               \
      vhi[k] = (name##_mmv){0} - (ctype)INFINITY;                                               \
    }                                                                                           \
    size_t i = 0;                                                                               \
    for (; i + STEP <= n; i += STEP)                                                            \
      for (int k = 0; k < MM_COUNT; k += 2) {                                                   \
        name##_mmv x, y;                                                                        \
        memcpy(&x, (const char *)(p + i) + (size_t)k * VW, VW);                                 \
        memcpy(&y, (const char *)(p + i) + (size_t)k * VW + VW, VW);                            \
        if (lo) {                                                                               \
          vlo[k] = name##_least(x, vlo[k]);                                                     \
          vlo[k + 1] = name##_least(y, vlo[k + 1]);                                             \
        }                                                                                       \
        if (hi) {                                                                               \
          vhi[k] = name##_most(x, vhi[k]);                                                      \
          vhi[k + 1] = name##_most(y, vhi[k + 1]);                                              \
        }                                                                                       \
        seen = name##_note(seen, x, y);                                                         \
      }                                                                                         \
    for (; i < n; i += L) {                                                                     \
      name##_mmv x;                                                                             \
      memcpy(&x, p + LSI_MIN(i, n - L), VW);                                                    \
      vlo[0] = name##_least(x, vlo[0]);                                                         \
      vhi[0] = name##_most(x, vhi[0]);                                                          \
      seen = name##_note(seen, x, x);                                                           \
    }                                                                                           \
    if (lo)                                                                                     \
      *lo = name##_fold_least(vlo, MM_COUNT);                                                   \
    if (hi)                                                                                     \
      *hi = name##_fold_most(vhi, MM_COUNT);                                                    \
    return !name##_any(seen);                                                                   \
  }                                                                                             \
  INLINE void name##_minmax(const void *src, size_t n, ctype *lo, ctype *hi) {                  \
    const name##_mem *p = src;                                                                  \
    ctype a = (ctype)INFINITY, b = -(ctype)INFINITY;                                            \
    bool ordered = true;                                                                        \
    if (n >= VW / sizeof(ctype)) {                                                              \
      ordered = name##_extremes(src, n, lo ? &a : NULL, hi ? &b : NULL);                        \
    } else {                                                                                    \
      for (size_t i = 0; i < n; i++) {                                                          \
        a = p[i] < a ? p[i] : a;                                                                \
        b = p[i] > b ? p[i] : b;                                                                \
        ordered &= p[i] == p[i];                                                                \
      }                                                                                         \
      a += 0;                                                                                   \
      b += 0;                                                                                   \
    }                                                                                           \
    if (lo)                                                                                     \
      *lo = ordered ? a : (ctype)NAN;                                                           \
    if (hi)                                                                                     \
      *hi = ordered ? b : (ctype)NAN;                                                           \
  }                                                                                             \
  static void min_##name(const void *src, size_t n, void *out) {                                \
    ctype m;                                                                                    \
    name##_minmax(src, n, &m, NULL);                                                            \
    memcpy(out, &m, sizeof m);                                                                  \
  }                                                                                             \
  static void max_##name(const void *src, size_t n, void *out) {                                \
    ctype m;                                                                                    \
    name##_minmax(src, n, NULL, &m);                                                            \
    memcpy(out, &m, sizeof m);                                                                  \
  }                                                                                             \
  static void minmax_##name(const void *src, size_t n, void *out) {                             \
    ctype m[2];                                                                                 \
    name##_minmax(src, n, &m[0], &m[1]);                                                        \
    memcpy(out, m, sizeof m);                                                                   \
  }
MINMAX_FLOAT(f32, float)
MINMAX_FLOAT(f64, double)
