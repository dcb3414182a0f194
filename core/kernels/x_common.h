/* What the parts of kernels.c share: the list of types, vectors as wide as the level's
 * registers, and bounds of a comparison in an element type. Included once, by kernels.c only.
 *
 * Sources may be mapped files that another process changes while a kernel reads them. So a kernel must
 * stay within its memory whatever it reads: what becomes an index, a count or a branch on which an index
 * depends is loaded once, into a local array or a variable that is clamped after its last computation,
 * and no second pass relies on what the first one found. That the values are wrong is told afterwards. */
#ifndef LSI_X_COMMON_H
#define LSI_X_COMMON_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "ground/base.h"
#include "kernels/kernels.h"

/* X(name, C type, unsigned type of that size, least, greatest) */
#define INT_TYPES(X)                           \
  X(i8, int8_t, uint8_t, INT8_MIN, INT8_MAX)   \
  X(u8, uint8_t, uint8_t, 0, UINT8_MAX)        \
  X(i16, int16_t, uint16_t, INT16_MIN, INT16_MAX) \
  X(u16, uint16_t, uint16_t, 0, UINT16_MAX)    \
  X(i32, int32_t, uint32_t, INT32_MIN, INT32_MAX) \
  X(u32, uint32_t, uint32_t, 0, UINT32_MAX)    \
  X(i64, int64_t, uint64_t, INT64_MIN, INT64_MAX) \
  X(u64, uint64_t, uint64_t, 0, UINT64_MAX)

/* Element types as they lie in memory: at any address, and whatever was stored there before. */
#define ANYWHERE __attribute__((aligned(1), may_alias))
typedef int8_t i8_mem ANYWHERE;
typedef uint8_t u8_mem ANYWHERE;
typedef int16_t i16_mem ANYWHERE;
typedef uint16_t u16_mem ANYWHERE;
typedef int32_t i32_mem ANYWHERE;
typedef uint32_t u32_mem ANYWHERE;
typedef int64_t i64_mem ANYWHERE;
typedef uint64_t u64_mem ANYWHERE;
typedef float f32_mem ANYWHERE;
typedef double f64_mem ANYWHERE;

__extension__ typedef __int128 wide;

/* Bytes in a register of this level. */
#if defined(__AVX512BW__)
#define VW 64
#elif defined(__AVX2__)
#define VW 32
#else
#define VW 16
#endif

#define INLINE static inline __attribute__((always_inline))
/* dst == src is allowed, so the compiler must not fall back to scalar code when they meet. Every
 * loop under this mark reads element i at or behind byte i of what it writes, hence never reads
 * what an earlier round has written. */
#if defined(__clang__)
#define IN_PLACE _Pragma("clang loop vectorize(assume_safety)")
#else
#define IN_PLACE _Pragma("GCC ivdep")
#endif

/* What the array holds now is what is read from it later: the compiler may not load a source again
 * instead, in which another process may have changed an index that was checked. */
#define SETTLE(array) __asm__ volatile("" : : "r"(array) : "memory")

/* Which operand's payload a NaN gets depends on how the compiler orders an addition. */
INLINE double canonical(double x) { return x == x ? x : (double)NAN; }

/* The integers a comparison admits: lo <= x <= hi. */
struct int_range {
  wide lo, hi;
};

enum comparison { GT, GE, LT, LE, EQ };

INLINE wide wide_of(double t) { return (wide)(t < -0x1p70 ? -0x1p70 : t > 0x1p70 ? 0x1p70 : t); }

/* False when nothing within [least, greatest] compares so. */
static bool int_bounds(enum comparison op, double t, struct int_range *r) {
  if (t != t)
    return false;
  wide lo = op == GT ? wide_of(floor(t)) + 1 : wide_of(ceil(t));
  wide hi = op == LT ? wide_of(ceil(t)) - 1 : wide_of(floor(t));
  if (op != LT && op != LE && lo > r->lo)
    r->lo = lo;
  if (op != GT && op != GE && hi < r->hi)
    r->hi = hi;
  return r->lo <= r->hi;
}

/* The least float > t (strict) or >= t; t is not NaN and, when strict, not +inf. */
static float f32_above(double t, bool strict) {
  float f = (float)t;
  return (strict ? (double)f <= t : (double)f < t) ? nextafterf(f, INFINITY) : f;
}

static double f64_above(double t, bool strict) { return strict ? nextafter(t, INFINITY) : t; }

#define FLOAT_BOUNDS(name, ctype)                                                              \
  struct name##_range {                                                                        \
    ctype lo, hi;                                                                              \
  };                                                                                           \
  static bool name##_bounds(enum comparison op, double t, struct name##_range *r) {            \
    if (t != t || (op == GT && t == INFINITY) || (op == LT && t == -INFINITY))                 \
      return false;                                                                            \
    if (op != LT && op != LE) {                                                                \
      ctype lo = name##_above(t, op == GT);                                                    \
      r->lo = lo > r->lo ? lo : r->lo;                                                         \
    }                                                                                          \
    if (op != GT && op != GE) {                                                                \
      ctype hi = -name##_above(-t, op == LT);                                                  \
      r->hi = hi < r->hi ? hi : r->hi;                                                         \
    }                                                                                          \
    return r->lo <= r->hi;                                                                     \
  }
FLOAT_BOUNDS(f32, float)
FLOAT_BOUNDS(f64, double)

#endif
