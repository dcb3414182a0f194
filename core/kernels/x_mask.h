/* Masks, a byte for each element: comparisons that write one, where, band, bor, bnot. */

/* As in count_*: the comparison is first turned into lo <= x <= hi in the element's own type.
 * `no` is what an element outside becomes; 1 turns eq into ne. */
#define MASK(name, ctype, range, bounds, least, greatest, INSIDE)                                \
  INLINE void mask_##name(const void *src, size_t n, void *dst, ctype lo, ctype hi, uint8_t no) { \
    const name##_mem *p = src;                                                                   \
    u8_mem *q = dst;                                                                             \
    IN_PLACE                                                                                     \
    for (size_t i = 0; i < n; i++) {                                                             \
      ctype x = p[i];                                                                            \
      q[i] = (uint8_t)((INSIDE) ^ no);                                                           \
    }                                                                                            \
  }                                                                                              \
  static void mask_op_##name(const void *src, size_t n, void *dst, enum comparison op, double t, \
                             uint8_t no) {                                                       \
    struct range r = {least, greatest};                                                          \
    if (bounds(op, t, &r))                                                                       \
      mask_##name(src, n, dst, (ctype)r.lo, (ctype)r.hi, no);                                    \
    else if (n > 0)                                                                              \
      memset(dst, no, n);                                                                        \
  }                                                                                              \
  static void gt_##name(const void *src, size_t n, void *dst, double t) {                        \
    mask_op_##name(src, n, dst, GT, t, 0);                                                       \
  }                                                                                              \
  static void ge_##name(const void *src, size_t n, void *dst, double t) {                        \
    mask_op_##name(src, n, dst, GE, t, 0);                                                       \
  }                                                                                              \
  static void lt_##name(const void *src, size_t n, void *dst, double t) {                        \
    mask_op_##name(src, n, dst, LT, t, 0);                                                       \
  }                                                                                              \
  static void le_##name(const void *src, size_t n, void *dst, double t) {                        \
    mask_op_##name(src, n, dst, LE, t, 0);                                                       \
  }                                                                                              \
  static void eq_##name(const void *src, size_t n, void *dst, double t) {                        \
    mask_op_##name(src, n, dst, EQ, t, 0);                                                       \
  }                                                                                              \
  static void ne_##name(const void *src, size_t n, void *dst, double t) {                        \
    mask_op_##name(src, n, dst, EQ, t, 1);                                                       \
  }                                                                                              \
  static void between_##name(const void *src, size_t n, void *dst, double lo, double hi) {       \
    struct range r = {least, greatest};                                                          \
    if (bounds(GE, lo, &r) && bounds(LE, hi, &r))                                                \
      mask_##name(src, n, dst, (ctype)r.lo, (ctype)r.hi, 0);                                     \
    else if (n > 0)                                                                              \
      memset(dst, 0, n);                                                                         \
  }
#define MASK_INT(name, ctype, utype, least, greatest)            \
  MASK(name, ctype, int_range, int_bounds, least, greatest,      \
       (utype)((utype)x - (utype)lo) <= (utype)((utype)hi - (utype)lo))
INT_TYPES(MASK_INT)
MASK(f32, float, f32_range, f32_bounds, -INFINITY, INFINITY, (x >= lo) & (x <= hi))
MASK(f64, double, f64_range, f64_bounds, -INFINITY, INFINITY, (x >= lo) & (x <= hi))

/* Element by element of two arrays. lt and le are gt and ge the other way round. */
#define MASK_EACH(label, name, ctype, op)                                                     \
  static void label##_each_##name(const void *a, size_t n, void *dst, const void *b) {        \
    const name##_mem *p = a, *r = b;                                                          \
    u8_mem *q = dst;                                                                          \
    IN_PLACE                                                                                  \
    for (size_t i = 0; i < n; i++) {                                                          \
      ctype x = p[i], y = r[i];                                                               \
      q[i] = x op y;                                                                          \
    }                                                                                         \
  }
#define MASK_EACH_OF(name, ctype) \
  MASK_EACH(gt, name, ctype, >)   \
  MASK_EACH(ge, name, ctype, >=)  \
  MASK_EACH(eq, name, ctype, ==)  \
  MASK_EACH(ne, name, ctype, !=)
#define MASK_EACH_INT(name, ctype, utype, least, greatest) MASK_EACH_OF(name, ctype)
INT_TYPES(MASK_EACH_INT)
MASK_EACH_OF(f32, float)
MASK_EACH_OF(f64, double)

/* Elements are moved as integers of their size. one_a: a is one element for all. */
#define WHERE(bits)                                                                            \
  INLINE void where_loop_##bits(const u8_mem *m, size_t n, void *dst, const void *a, bool one_a, \
                                const void *b, bool one_b) {                                   \
    const u##bits##_mem *p = a, *r = b;                                                        \
    u##bits##_mem *q = dst;                                                                    \
    const uint##bits##_t x1 = one_a ? *p : 0, y1 = one_b ? *r : 0;                             \
    IN_PLACE                                                                                   \
    for (size_t i = 0; i < n; i++) {                                                           \
      uint##bits##_t x = one_a ? x1 : p[i], y = one_b ? y1 : r[i];                             \
      q[i] = m[i] ? x : y;                                                                     \
    }                                                                                          \
  }                                                                                            \
  static void where_##bits(const void *mask, size_t n, void *dst, const void *a, bool one_a,   \
                           const void *b, bool one_b) {                                        \
    if (one_a && one_b)                                                                        \
      where_loop_##bits(mask, n, dst, a, true, b, true);                                       \
    else if (one_a)                                                                            \
      where_loop_##bits(mask, n, dst, a, true, b, false);                                      \
    else if (one_b)                                                                            \
      where_loop_##bits(mask, n, dst, a, false, b, true);                                      \
    else                                                                                       \
      where_loop_##bits(mask, n, dst, a, false, b, false);                                     \
  }
WHERE(8)
WHERE(16)
WHERE(32)
WHERE(64)

static void where(const void *mask, size_t n, void *dst, size_t size, const void *a, bool one_a,
                  const void *b, bool one_b) {
  if (n == 0)
    return;
  if (size == 1)
    where_8(mask, n, dst, a, one_a, b, one_b);
  else if (size == 2)
    where_16(mask, n, dst, a, one_a, b, one_b);
  else if (size == 4)
    where_32(mask, n, dst, a, one_a, b, one_b);
  else
    where_64(mask, n, dst, a, one_a, b, one_b);
}

#define MASK_LOGIC(label, expression)                                        \
  static void label(const void *a, size_t n, void *dst, const void *b) {     \
    const u8_mem *p = a, *r = b;                                             \
    u8_mem *q = dst;                                                         \
    IN_PLACE                                                                 \
    for (size_t i = 0; i < n; i++)                                           \
      q[i] = (expression);                                                   \
  }
MASK_LOGIC(band, (p[i] != 0) & (r[i] != 0))
MASK_LOGIC(bor, (p[i] | r[i]) != 0)
static void bnot(const void *src, size_t n, void *dst) { eq_u8(src, n, dst, 0); }
