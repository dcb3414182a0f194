/* Arithmetic on two arrays: add, sub, mul, div, add_valid. */

/* `1u *`: 16-bit elements would be multiplied as int, which may not overflow. */
#define PAIR_INT(label, op, name, ctype, utype)                                          \
  static void label##_##name(const void *a, size_t n, void *dst, const void *b) {        \
    const name##_mem *p = a, *r = b;                                                     \
    name##_mem *q = dst;                                                                 \
    IN_PLACE                                                                             \
    for (size_t i = 0; i < n; i++)                                                       \
      q[i] = (ctype)(utype)(1u * (utype)p[i] op (utype)r[i]);                            \
  }
#define PAIRS_INT(name, ctype, utype, least, greatest) \
  PAIR_INT(add, +, name, ctype, utype)                 \
  PAIR_INT(sub, -, name, ctype, utype)                 \
  PAIR_INT(mul, *, name, ctype, utype)
INT_TYPES(PAIRS_INT)

/* Which operand's payload a NaN keeps is up to the compiler, so none is kept. */
#define PAIR_FLOAT(label, op, sname, dname, dtype, ctype)                                \
  static void label##_##sname(const void *a, size_t n, void *dst, const void *b) {       \
    const sname##_mem *p = a, *r = b;                                                    \
    dname##_mem *q = dst;                                                                \
    IN_PLACE                                                                             \
    for (size_t i = 0; i < n; i++) {                                                     \
      ctype x = (ctype)p[i] op (ctype)r[i];                                              \
      q[i] = (dtype)(x == x ? x : (ctype)NAN);                                           \
    }                                                                                    \
  }
#define PAIRS_FLOAT(name, ctype)            \
  PAIR_FLOAT(add, +, name, name, ctype, ctype) \
  PAIR_FLOAT(sub, -, name, name, ctype, ctype) \
  PAIR_FLOAT(mul, *, name, name, ctype, ctype)
PAIRS_FLOAT(f32, float)
PAIRS_FLOAT(f64, double)

/* A quotient of numbers of 24 bits that is rounded to double and then to float is the one that is
 * rounded once, so it may be computed in float. */
#define DIV_F32(name, ctype) PAIR_FLOAT(div_f32, /, name, f32, float, ctype)
DIV_F32(i8, float)
DIV_F32(u8, float)
DIV_F32(i16, float)
DIV_F32(u16, float)
DIV_F32(i32, double)
DIV_F32(u32, double)
DIV_F32(i64, double)
DIV_F32(u64, double)
DIV_F32(f32, float)
DIV_F32(f64, double)
#define DIV_F64(name) PAIR_FLOAT(div_f64, /, name, f64, double, double)
#define DIV_F64_INT(name, ctype, utype, least, greatest) DIV_F64(name)
INT_TYPES(DIV_F64_INT)
DIV_F64(f32)
DIV_F64(f64)

#define ADD_VALID(name)                                                                       \
  static double add_valid_##name(const void *src, size_t n, void *sums, void *counts) {       \
    const name##_mem *p = src;                                                                \
    f64_mem *s = sums, *c = counts;                                                           \
    uint64_t valid = 0;                                                                       \
    IN_PLACE                                                                                  \
    for (size_t i = 0; i < n; i++) {                                                          \
      double x = (double)p[i], old = s[i], sum = canonical(old + x);                          \
      bool is = x == x;                                                                       \
      s[i] = is ? sum : old;                                                                  \
      c[i] += is ? 1.0 : 0.0;                                                                 \
      valid += is;                                                                            \
    }                                                                                         \
    return (double)valid;                                                                     \
  }
#define ADD_VALID_INT(name, ctype, utype, least, greatest) ADD_VALID(name)
INT_TYPES(ADD_VALID_INT)
ADD_VALID(f32)
ADD_VALID(f64)
