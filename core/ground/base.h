/* Small things every file of core may use: attributes, checked arithmetic, alignment. */
#ifndef LSI_BASE_H
#define LSI_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LSI_LIKELY(x) __builtin_expect(!!(x), 1)
#define LSI_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define LSI_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define LSI_CACHE_LINE 128 /* two lines: adjacent-line prefetch makes 64-byte neighbours share */

#define LSI_MIN(a, b) ((a) < (b) ? (a) : (b))
#define LSI_MAX(a, b) ((a) > (b) ? (a) : (b))
#define LSI_COUNTOF(a) (sizeof(a) / sizeof((a)[0]))

/* Overflow-safe arithmetic: true when the result does not fit (and *out is then unspecified). */
#define lsi_add_overflow(a, b, out) __builtin_add_overflow((a), (b), (out))
#define lsi_sub_overflow(a, b, out) __builtin_sub_overflow((a), (b), (out))
#define lsi_mul_overflow(a, b, out) __builtin_mul_overflow((a), (b), (out))

/* UINT64_MAX where it would be more. */
static inline uint64_t lsi_sat_add(uint64_t a, uint64_t b) {
  uint64_t sum;
  return lsi_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}
static inline uint64_t lsi_sat_mul(uint64_t a, uint64_t b) {
  uint64_t product;
  return lsi_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* `align` is a power of two. */
static inline uint64_t lsi_round_down(uint64_t x, uint64_t align) { return x & ~(align - 1); }
static inline uint64_t lsi_round_up(uint64_t x, uint64_t align) {
  return (x + align - 1) & ~(align - 1);
}

#endif
