/* stats and sum_minmax: sum, minmax and count_gt in one pass over memory, the same to the bit.
 * Floats: in one loop, because the sum alone is bound by latency and leaves room. Integers: strips
 * that stay in the first-level cache. */

#define STATS_STRIP 16384 /* bytes */
/* Bytes to fetch ahead: a page, where the processor's own prefetching ends. What a device has just
 * written is in no near cache. Nothing is loaded, so it may lie behind the end. */
#define STATS_AHEAD 4096

#define STATS_INT(name, ctype, utype, least, greatest)                                         \
  INLINE double stats_any_##name(const void *src, size_t n, bool counts, double t, void *out,  \
                                 double *above) {                                              \
    enum { STRIP = STATS_STRIP / sizeof(ctype) };                                              \
    const name##_mem *p = src;                                                                 \
    struct int_range r = {least, greatest};                                                    \
    counts = counts && int_bounds(GT, t, &r);                                                  \
    wide total = 0;                                                                            \
    uint64_t count = 0;                                                                        \
    ctype all[2] = {greatest, least};                                                          \
    for (size_t i = 0; i < n;) {                                                               \
      const size_t m = LSI_MIN(n - i, (size_t)STRIP);                                          \
      ctype strip[2];                                                                          \
      total += total_##name(p + i, m);                                                         \
      minmax_##name(p + i, m, strip);                                                          \
      all[0] = LSI_MIN(strip[0], all[0]);                                                      \
      all[1] = strip[1] > all[1] ? strip[1] : all[1];                                          \
      if (counts)                                                                              \
        count += count_##name(p + i, m, (ctype)r.lo, (ctype)r.hi);                             \
      i += m;                                                                                  \
    }                                                                                          \
    memcpy(out, all, sizeof all);                                                              \
    *above = (double)count;                                                                    \
    return (double)total;                                                                      \
  }
INT_TYPES(STATS_INT)

/* over: a count in each lane, one more where x >= lo. */
#if VW == 64
#define f32_tally(over, x, lo) \
  ((f32_cu)_mm512_mask_add_epi32((__m512i)(over), \
                                 _mm512_cmp_ps_mask((__m512)(x), _mm512_set1_ps(lo), _CMP_GE_OQ), \
                                 (__m512i)(over), _mm512_set1_epi32(1)))
#define f64_tally(over, x, lo) \
  ((f64_cu)_mm512_mask_add_epi64((__m512i)(over), \
                                 _mm512_cmp_pd_mask((__m512d)(x), _mm512_set1_pd(lo), _CMP_GE_OQ), \
                                 (__m512i)(over), _mm512_set1_epi64(1)))
#else
#define f32_tally(over, x, lo) ((over) - (f32_cu)((x) >= (lo)))
#define f64_tally(over, x, lo) ((over) - (f64_cu)((x) >= (lo)))
#endif

/* Sixteen registers of 16 bytes hold no counters too: there a strip is counted after the rest. */
#define COUNT_TOO (VW > 16)

/* The accumulators of `sum`, and two more of each kind. A NaN makes the sum one; it is the only
 * trace of it, so a NaN sum (inf - inf gives one too) has minmax look again. */
#define STATS_FLOAT(name, ctype)                                                               \
  INLINE double stats_any_##name(const void *src, size_t n, bool counts, double t, void *out,  \
                                 double *above) {                                              \
    enum { L = VW / sizeof(ctype), STEP = LANES > 2 * L ? LANES : 2 * L };                     \
    const name##_mem *p = src;                                                                 \
    struct name##_range r = {-(ctype)INFINITY, (ctype)INFINITY};                               \
    counts = counts && name##_bounds(GT, t, &r);                                               \
    vd acc[VD_COUNT] = {{0}};                                                                  \
    name##_mmv lo[2], hi[2];                                                                   \
    for (int k = 0; k < 2; k++) {                                                              \
      lo[k] = (name##_mmv){0} + (ctype)INFINITY;                                               \
      hi[k] = (name##_mmv){0} - (ctype)INFINITY;                                               \
    }                                                                                          \
    uint64_t count = 0;                                                                        \
    size_t i = 0;                                                                              \
    while (i + STEP <= n) {                                                                    \
      enum { STRIP = STATS_STRIP / sizeof(ctype) };                                            \
      const name##_mem *strip = p + i;                                                         \
      const size_t m = LSI_MIN((n - i) / STEP * STEP, (size_t)STRIP);                          \
      name##_cu over[2] = {{0}};                                                               \
      for (const size_t stop = i + m; i < stop; i += STEP) {                                   \
        const char *at = (const char *)(p + i);                                                \
        for (size_t b = 0; b < STEP * sizeof(ctype); b += 64)                                  \
          __builtin_prefetch(at + STATS_AHEAD + b, 0, 3);                                      \
        for (int k = 0; k < STEP / VD_LANES; k++)                                              \
          acc[k % VD_COUNT] += name##_widen(at + (size_t)k * VD_LANES * sizeof(ctype));        \
        for (int k = 0; k < STEP / L; k++) {                                                   \
          name##_mmv x;                                                                        \
          memcpy(&x, at + (size_t)k * VW, VW);                                                 \
          lo[k % 2] = name##_least(x, lo[k % 2]);                                              \
          hi[k % 2] = name##_most(x, hi[k % 2]);                                               \
          if (counts && COUNT_TOO)                                                             \
            over[k % 2] = name##_tally(over[k % 2], x, r.lo);                                  \
        }                                                                                      \
      }                                                                                        \
      if (counts && COUNT_TOO) {                                                               \
        over[0] += over[1];                                                                    \
        for (int j = 0; j < L; j++)                                                            \
          count += over[0][j];                                                                 \
      } else if (counts) {                                                                     \
        count += count_##name(strip, m, r.lo, r.hi);                                           \
      }                                                                                        \
    }                                                                                          \
    double a[LANES];                                                                           \
    memcpy(a, acc, sizeof a);                                                                  \
    ctype all[2] = {name##_fold_least(lo, 2), name##_fold_most(hi, 2)};                        \
    for (size_t j = 0; i < n; i++, j++) {                                                      \
      a[j % LANES] += (double)p[i];                                                            \
      all[0] = p[i] < all[0] ? p[i] : all[0];                                                  \
      all[1] = p[i] > all[1] ? p[i] : all[1];                                                  \
      count += counts && p[i] >= r.lo;                                                         \
    }                                                                                          \
    const double sum = canonical(fold16(a));                                                   \
    all[0] += 0;                                                                               \
    all[1] += 0;                                                                               \
    if (sum == sum)                                                                            \
      memcpy(out, all, sizeof all);                                                            \
    else                                                                                       \
      minmax_##name(src, n, out);                                                              \
    *above = (double)count;                                                                    \
    return sum;                                                                                \
  }
STATS_FLOAT(f32, float)
STATS_FLOAT(f64, double)

#define STATS(name)                                                                          \
  static double sum_minmax_##name(const void *src, size_t n, void *out) {                    \
    double none;                                                                             \
    return stats_any_##name(src, n, false, 0, out, &none);                                   \
  }                                                                                          \
  static double stats_##name(const void *src, size_t n, double t, void *out, double *above) { \
    return stats_any_##name(src, n, true, t, out, above);                                    \
  }
#define STATS_OF(name, ctype, utype, least, greatest) STATS(name)
INT_TYPES(STATS_OF)
STATS(f32)
STATS(f64)
