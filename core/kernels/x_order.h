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
