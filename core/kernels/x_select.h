/* Where the extremes are: argmin, argmax, topk. */

#define ARG_BLOCK 8192 /* bytes, so that the block with the extreme is in the first-level cache */
#define ARG_STEP 64    /* elements looked at in one vector loop */

/* The block that holds the first extreme is found by min or max, then the element in it. Should
 * another process have changed the memory in between, some element of the block is named. A NaN
 * is the extreme, as it is for min and max. */
#define ARG(label, extreme, name, ctype, BETTER)                                          \
  static double label##_##name(const void *src, size_t n, void *out) {                    \
    enum { BLOCK = ARG_BLOCK / sizeof(ctype) };                                           \
    const name##_mem *p = src;                                                            \
    size_t at = 0;                                                                        \
    ctype best, x;                                                                        \
    extreme##_##name(p, LSI_MIN(n, (size_t)BLOCK), &best);                                \
    for (size_t i = BLOCK; i < n && best == best; i += BLOCK) {                           \
      extreme##_##name(p + i, LSI_MIN(n - i, (size_t)BLOCK), &x);                         \
      if (!(x BETTER best) && x == x)                                                     \
        continue;                                                                         \
      best = x;                                                                           \
      at = i;                                                                             \
    }                                                                                     \
    memcpy(out, &best, sizeof best);                                                      \
    if (n == 0)                                                                           \
      return -1;                                                                          \
    const size_t end = at + LSI_MIN(n - at, (size_t)BLOCK);                               \
    const bool ordered = best == best;                                                    \
    while (end - at > ARG_STEP) {                                                         \
      int any = 0;                                                                        \
      for (size_t j = 0; j < ARG_STEP; j++)                                               \
        any |= ordered ? p[at + j] == best : p[at + j] != p[at + j];                      \
      if (any)                                                                            \
        break;                                                                            \
      at += ARG_STEP;                                                                     \
    }                                                                                     \
    while (end - at > 1 && (ordered ? p[at] != best : p[at] == p[at]))                    \
      at++;                                                                               \
    return (double)at;                                                                    \
  }

/* A heap of the k best so far lies in the results, the worst of them first: the lesser value, of
 * equal ones the later. An element is let in when it is greater than that one, so most blocks are
 * passed over by one vector loop. */
#define TOPK(name, ctype)                                                                        \
  INLINE bool name##_worse(ctype x, int64_t i, ctype y, int64_t j) {                             \
    return x < y || (x == y && i > j);                                                           \
  }                                                                                              \
  static void name##_sink(name##_mem *q, i64_mem *r, size_t n, ctype x, int64_t i) {             \
    size_t j = 0;                                                                                \
    for (size_t child; (child = 2 * j + 1) < n; j = child) {                                     \
      if (child + 1 < n && name##_worse(q[child + 1], r[child + 1], q[child], r[child]))         \
        child++;                                                                                 \
      if (!name##_worse(q[child], r[child], x, i))                                               \
        break;                                                                                   \
      q[j] = q[child];                                                                           \
      r[j] = r[child];                                                                           \
    }                                                                                            \
    q[j] = x;                                                                                    \
    r[j] = i;                                                                                    \
  }                                                                                              \
  static void name##_rise(name##_mem *q, i64_mem *r, size_t j, ctype x, int64_t i) {             \
    for (; j > 0 && name##_worse(x, i, q[(j - 1) / 2], r[(j - 1) / 2]); j = (j - 1) / 2) {       \
      q[j] = q[(j - 1) / 2];                                                                     \
      r[j] = r[(j - 1) / 2];                                                                     \
    }                                                                                            \
    q[j] = x;                                                                                    \
    r[j] = i;                                                                                    \
  }                                                                                              \
  static double topk_##name(const void *src, size_t n, size_t k, void *values, void *indices) {  \
    const name##_mem *p = src;                                                                   \
    name##_mem *q = values;                                                                      \
    i64_mem *r = indices;                                                                        \
    size_t have = 0, i = 0;                                                                      \
    for (; i < n && have < k; i++) {                                                             \
      ctype x = p[i];                                                                            \
      if (x == x)                                                                                \
        name##_rise(q, r, have++, x, (int64_t)i);                                                \
    }                                                                                            \
    while (have > 0 && i < n) {                                                                  \
      const size_t m = LSI_MIN(n - i, (size_t)ARG_STEP);                                         \
      const ctype least = q[0];                                                                  \
      int any = 0;                                                                               \
      for (size_t j = 0; j < m; j++)                                                             \
        any |= p[i + j] > least;                                                                 \
      for (size_t j = 0; any && j < m; j++) {                                                    \
        ctype x = p[i + j];                                                                      \
        if (x > q[0])                                                                            \
          name##_sink(q, r, have, x, (int64_t)(i + j));                                          \
      }                                                                                          \
      i += m;                                                                                    \
    }                                                                                            \
    for (size_t end = have; end > 1; end--) {                                                    \
      ctype x = q[end - 1];                                                                      \
      int64_t at = r[end - 1];                                                                   \
      q[end - 1] = q[0];                                                                         \
      r[end - 1] = r[0];                                                                         \
      name##_sink(q, r, end - 1, x, at);                                                         \
    }                                                                                            \
    return (double)have;                                                                         \
  }

#define SELECT(name, ctype)          \
  ARG(argmin, min, name, ctype, <)   \
  ARG(argmax, max, name, ctype, >)   \
  TOPK(name, ctype)
#define SELECT_INT(name, ctype, utype, least, greatest) SELECT(name, ctype)
INT_TYPES(SELECT_INT)
SELECT(f32, float)
SELECT(f64, double)
