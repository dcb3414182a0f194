/* copy_strided: a box of up to eight dimensions between two arrays. */

/* Whether every element of the box lies within n elements, the first one at `at`. */
static bool strided_within(const struct lsi_strided *b, const int64_t *strides, int64_t at, int64_t n) {
  int64_t low = at, high = at, span;
  for (uint32_t d = 0; d < b->ndim; d++) {
    if (__builtin_mul_overflow(b->shape[d] - 1, strides[d], &span) ||
        (span < 0 ? __builtin_add_overflow(low, span, &low) : __builtin_add_overflow(high, span, &high)))
      return false;
  }
  return low >= 0 && high < n;
}

/* Dimensions of one element go, and two that are one in both arrays become one. */
static uint32_t strided_merge(struct lsi_strided *b) {
  uint32_t kept = 0;
  for (uint32_t d = 0; d < b->ndim; d++) {
    if (b->shape[d] == 1)
      continue;
    int64_t from, to;
    bool one = kept > 0 && !__builtin_mul_overflow(b->from[d], b->shape[d], &from) &&
               !__builtin_mul_overflow(b->to[d], b->shape[d], &to) && b->from[kept - 1] == from &&
               b->to[kept - 1] == to;
    if (one)
      b->shape[kept - 1] *= b->shape[d];
    else
      b->shape[kept++] = b->shape[d];
    b->from[kept - 1] = b->from[d];
    b->to[kept - 1] = b->to[d];
  }
  return kept;
}

#define STRIDED_ROW(bits)                                                                           \
  static void strided_row_##bits(const void *src, int64_t from, void *dst, int64_t to, int64_t n) { \
    const u##bits##_mem *p = src;                                                                   \
    u##bits##_mem *q = dst;                                                                         \
    for (int64_t i = 0; i < n; i++)                                                                 \
      q[i * to] = p[i * from];                                                                      \
  }
STRIDED_ROW(8)
STRIDED_ROW(16)
STRIDED_ROW(32)
STRIDED_ROW(64)

static void strided_row(const char *p, int64_t from, char *q, int64_t to, int64_t n, size_t size) {
  if (from == 1 && to == 1)
    memcpy(q, p, (size_t)n * size);
  else if (size == 1)
    strided_row_8(p, from, q, to, n);
  else if (size == 2)
    strided_row_16(p, from, q, to, n);
  else if (size == 4)
    strided_row_32(p, from, q, to, n);
  else
    strided_row_64(p, from, q, to, n);
}

static int copy_strided(const void *src, void *dst, size_t size, const struct lsi_strided *box) {
  struct lsi_strided b = *box;
  bool empty = false;
  if (b.ndim > 8)
    return 3;
  for (uint32_t d = 0; d < b.ndim; d++) {
    if (b.shape[d] < 0)
      return 3;
    empty |= b.shape[d] == 0;
  }
  if (empty)
    return 0;
  if (!strided_within(&b, b.from, b.from_at, b.from_n))
    return 1;
  if (!strided_within(&b, b.to, b.to_at, b.to_n))
    return 2;
  const uint32_t dims = strided_merge(&b);
  const int64_t row = dims ? b.shape[dims - 1] : 1;
  const int64_t from = dims ? b.from[dims - 1] : 1, to = dims ? b.to[dims - 1] : 1;
  int64_t index[8] = {0}, i = b.from_at, j = b.to_at;
  for (;;) {
    strided_row((const char *)src + i * (int64_t)size, from, (char *)dst + j * (int64_t)size, to, row,
                size);
    uint32_t d = dims > 1 ? dims - 1 : 0;
    for (; d > 0; d--) {
      i += b.from[d - 1];
      j += b.to[d - 1];
      if (++index[d - 1] < b.shape[d - 1])
        break;
      i -= b.from[d - 1] * b.shape[d - 1];
      j -= b.to[d - 1] * b.shape[d - 1];
      index[d - 1] = 0;
    }
    if (d == 0)
      return 0;
  }
}
