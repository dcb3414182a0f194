/* The vector kernels behind `lsio.k`: one table of C functions per instruction-set level, all
 * with the same results to the bit, chosen once for the processor we run on.
 *
 * What holds for every kernel
 * - n counts elements of the type that indexes the array (order of enum lsi_type: i8 u8 i16 u16
 *   i32 u32 i64 u64 f32 f64) unless a comment says bytes. n = 0 is allowed everywhere, with any
 *   pointers.
 * - Any alignment, also an odd address. Nothing past n elements is read or written.
 * - dst == src is allowed when dst's elements are not larger than src's. Apart from that dst and
 *   src must not overlap.
 * - Thread-safe: no state (but lsi_kernels_nontemporal). No errors, no allocation; at most 40 KiB of stack.
 * - Counts are doubles because LuaJIT reads them as plain numbers (exact up to 2^53).
 * - A NaN that is a result (not an element of dst) is always the positive quiet NaN.
 * - The rounding mode is taken to be the default one, denormals to be on.
 *
 * Conversion rule ("by the conversion rule" below): float to integer rounds half to even and
 * saturates, NaN gives 0; integer to integer saturates; anything to float rounds to nearest. */
#ifndef LSI_KERNELS_H
#define LSI_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is between these two lines is also fed to LuaJIT's ffi.cdef: plain declarations only. */
/* cdef begin */
/* Number, mean and sum of squared deviations from the mean: variance = m2 / n. All zero = empty. */
typedef struct lsio_moments {
  double n;
  double mean;
  double m2;
} lsio_moments;

/* A box of elements in two arrays. Lengths, places and strides count elements. */
struct lsi_strided {
  uint32_t ndim;                      /* at most 8; 0: one element */
  int64_t shape[8], from[8], to[8];   /* strides in src and dst; may be negative or 0 */
  int64_t from_at, to_at;             /* where the first element is */
  int64_t from_n, to_n;               /* how many elements there are */
};

struct lsi_kernels {
  const char *level; /* "v2", "v3", "v4" or "base" */

  /* Sum. Integers: the exact sum, rounded once to double. Floats: in double, 16 accumulators by
   * index mod 16, folded 8+8, 4+4, 2+2, 1+1. n = 0: 0. */
  double (*sum[10])(const void *src, size_t n);
  /* Integer types only (index < 8). Exact; a sum that int64 cannot hold saturates. */
  int64_t (*sum_i64[8])(const void *src, size_t n);

  /* Write one element (minmax: two, least first) of src's own type to out, at any alignment. A
   * NaN in src gives NaN, as in numpy. -0 and +0 are equal: a zero that is a result is +0. n = 0:
   * the type's greatest for min, its least for max (floats: +inf, -inf). */
  void (*min[10])(const void *src, size_t n, void *out);
  void (*max[10])(const void *src, size_t n, void *out);
  void (*minmax[10])(const void *src, size_t n, void *out);
  /* In one pass over memory, with the results of the single kernels to the bit: returns sum and
   * writes minmax to out; stats also writes count_gt of t to *above (aligned). */
  double (*sum_minmax[10])(const void *src, size_t n, void *out);
  double (*stats[10])(const void *src, size_t n, double t, void *out, double *above);

  /* Overwrites *out with the moments of src. 8- and 16-bit integers: computed from exact integer
   * sums. Others: in double, two passes over blocks of 2,048 elements, the blocks merged in
   * order. */
  void (*moments[10])(const void *src, size_t n, lsio_moments *out);
  /* *into becomes the moments of both sets together. The order of merging decides the last bits. */
  void (*moments_merge)(lsio_moments *into, const lsio_moments *from);

  /* How many elements are > t and so on. The comparison is exact: an element is never rounded to
   * compare it (i64 and u64 neither), t is not rounded to src's type. NaN elements and a NaN t:
   * none. */
  double (*count_gt[10])(const void *src, size_t n, double t);
  double (*count_ge[10])(const void *src, size_t n, double t);
  double (*count_lt[10])(const void *src, size_t n, double t);
  double (*count_le[10])(const void *src, size_t n, double t);
  double (*count_eq[10])(const void *src, size_t n, double t);
  /* lo <= x <= hi */
  double (*count_between[10])(const void *src, size_t n, double lo, double hi);

  /* ADDS to counts[0 .. bins-1] the number of elements in each of `bins` equal bins of [lo, hi],
   * like numpy.histogram: edge i is lo + i * ((hi - lo) / bins) in double, the last edge is hi;
   * a bin has its left edge, the last one both. Elements outside and NaN are ignored; elements
   * compare as doubles (f32 too, where numpy rounds the edges to float32). Returns how many were
   * counted, or -1 (and counts is untouched) unless lo < hi, 1 <= bins < 2^31, and lo, hi, hi - lo
   * and bins / (hi - lo) are finite. */
  double (*histogram[10])(const void *src, size_t n, double lo, double hi, size_t bins,
                          double *counts);

  /* [src type][dst type]. dst[i] = src[i] * scale + offset (product rounded, then the sum),
   * converted by the conversion rule. Computed in float, with scale and offset rounded to float,
   * when both types are of i8 u8 i16 u16 f32; else in double. A NaN scale or offset gives NaN (0
   * in integers) everywhere. */
  void (*scale_offset[10][10])(const void *src, size_t n, void *dst, double scale, double offset);
  /* [src type][dst type]. By the conversion rule. */
  void (*cast[10][10])(const void *src, size_t n, void *dst);
  /* n elements of `size` bytes: 2, 4 or 8; any other size copies n * size bytes. */
  void (*byteswap)(const void *src, size_t n, void *dst, size_t size);
  /* dst[i] = min(hi, max(lo, src[i])). Integers: lo is rounded up and hi down; f32: both to
   * nearest. A NaN bound is no bound, a NaN element stays NaN, lo > hi gives hi. */
  void (*clip[10])(const void *src, size_t n, void *dst, double lo, double hi);
  /* dst[i] = value, by the conversion rule. */
  void (*fill[10])(void *dst, size_t n, double value);
  /* dst[i] = src[i] == sentinel (exactly) ? value by the conversion rule : src[i]. Returns how
   * many were replaced. A sentinel that the type cannot hold, or NaN: none. */
  double (*fill_sentinel[10])(const void *src, size_t n, void *dst, double sentinel, double value);
  /* dst[i] = src[i] is NaN ? value : src[i]. Returns how many were replaced. Integers: copies. */
  double (*fill_nan[10])(const void *src, size_t n, void *dst, double value);

  /* Index of the first element that min (max) gives, which is written to out as by min (max): the
   * first NaN if there is one. n = 0: -1. */
  double (*argmin[10])(const void *src, size_t n, void *out);
  double (*argmax[10])(const void *src, size_t n, void *out);
  /* Writes the k greatest elements (less when there are less: the return value) to values, the
   * greatest first, of equal ones the first, and their indices to indices (int64_t, any alignment).
   * NaN is left out. src, values and indices may not overlap. */
  double (*topk[10])(const void *src, size_t n, size_t k, void *values, void *indices);

  /* Masks: a byte for each element, 1 or 0. dst[i] = src[i] > t and so on; the comparison is exact,
   * as in count_gt. A NaN element, or a NaN t, compares as 0, with ne as 1. dst may be src. */
  void (*gt[10])(const void *src, size_t n, void *dst, double t);
  void (*ge[10])(const void *src, size_t n, void *dst, double t);
  void (*lt[10])(const void *src, size_t n, void *dst, double t);
  void (*le[10])(const void *src, size_t n, void *dst, double t);
  void (*eq[10])(const void *src, size_t n, void *dst, double t);
  void (*ne[10])(const void *src, size_t n, void *dst, double t);
  /* lo <= x <= hi */
  void (*between[10])(const void *src, size_t n, void *dst, double lo, double hi);
  /* dst[i] = a[i] > b[i] and so on. dst may be a or b. */
  void (*gt_each[10])(const void *a, size_t n, void *dst, const void *b);
  void (*ge_each[10])(const void *a, size_t n, void *dst, const void *b);
  void (*eq_each[10])(const void *a, size_t n, void *dst, const void *b);
  void (*ne_each[10])(const void *a, size_t n, void *dst, const void *b);
  /* dst[i] = mask[i] != 0 ? a[i] : b[i], of elements of `size` bytes: 1, 2, 4 or 8. Where one_a is
   * true, a is one element that stands for all; one_b likewise. dst may be a, b, or with size 1
   * the mask. */
  void (*where)(const void *mask, size_t n, void *dst, size_t size, const void *a, bool one_a,
                const void *b, bool one_b);
  /* Of masks; a byte that is not 0 counts as true, results are 1 or 0. dst may be a or b. */
  void (*band)(const void *a, size_t n, void *dst, const void *b);
  void (*bor)(const void *a, size_t n, void *dst, const void *b);
  void (*bnot)(const void *src, size_t n, void *dst);

  /* dst[i] = a[i] + b[i] and so on, all of one type. Integers wrap. dst may be a or b. */
  void (*add[10])(const void *a, size_t n, void *dst, const void *b);
  void (*sub[10])(const void *a, size_t n, void *dst, const void *b);
  void (*mul[10])(const void *a, size_t n, void *dst, const void *b);
  /* dst[i] = a[i] / b[i] as f32 or f64, the type of dst: the quotient of both as doubles, for f32
   * rounded again. x / 0 is an infinity or NaN, for integers too. */
  void (*div_f32[10])(const void *a, size_t n, void *dst, const void *b);
  void (*div_f64[10])(const void *a, size_t n, void *dst, const void *b);
  /* Where src[i] is not NaN: sums[i] += src[i], counts[i] += 1. Both are doubles, at any alignment.
   * Returns for how many that was. src, sums and counts may not overlap. */
  double (*add_valid[10])(const void *src, size_t n, void *sums, void *counts);

  /* sums[keys[i]] += values[i] in the order of i, sums being doubles at any alignment. `type` is
   * the values' type, key_type (an integer one) the keys'. A key outside [0, groups) is left out:
   * returns how many. 1 <= groups < 2^31. Values and keys are loaded once, so that they may lie in
   * memory that someone else changes. values and keys may not overlap sums. */
  double (*group_sum)(const void *values, size_t n, int type, const void *keys, int key_type,
                      size_t groups, void *sums);
  /* counts[keys[i]] += 1, counts being doubles at any alignment; the rest as for group_sum. */
  double (*group_count)(const void *keys, size_t n, int key_type, size_t groups, void *counts);

  /* dst[i] = src[n - 1 - i], of elements of `size` bytes: 1, 2, 4 or 8. */
  void (*flip)(const void *src, size_t n, void *dst, size_t size);
  /* dst[0] = src[0], dst[i] = src[i] - src[i - 1]. Integers wrap. */
  void (*delta[10])(const void *src, size_t n, void *dst);
  /* dst[i] = src[0] + ... + src[i]: takes back delta, floats as far as rounding allows. Integers
   * wrap, floats are added one after the other in their own type. */
  void (*undelta[10])(const void *src, size_t n, void *dst);
  /* dst[c * rows + r] = src[r * cols + c], of elements of `size` bytes: 1, 2, 4 or 8. src and dst
   * may not overlap. rows * cols * size must not overflow. */
  void (*transpose)(const void *src, size_t rows, size_t cols, void *dst, size_t size);
  /* Bytes. The first bytes of all items of `size` bytes (1 and more), then the second ones, and so
   * on; what is behind the last whole item stays where it is. As blosc does it. unshuffle takes it
   * back. src and dst may not overlap. */
  void (*shuffle)(const void *src, size_t bytes, void *dst, size_t size);
  void (*unshuffle)(const void *src, size_t bytes, void *dst, size_t size);
  /* Copies a box of elements of `size` bytes (1, 2, 4 or 8). 0: done; nothing is written when the
   * box leaves src (1) or dst (2), or has a negative length or too many dimensions (3). src and
   * dst may not overlap. A `to` stride of 0: one of the elements that go there. */
  int (*copy_strided)(const void *src, void *dst, size_t size, const struct lsi_strided *box);

  /* Bytes. Position (0-based) of the first occurrence of needle[0 .. m-1] in src[0 .. n-1], or
   * -1. m = 0 is found at 0. Linear time. */
  double (*find)(const void *src, size_t n, const void *needle, size_t m);
  /* Bytes. Occurrences that do not overlap, from the left. m = 0: 0. */
  double (*count_bytes)(const void *src, size_t n, const void *needle, size_t m);
  /* Bytes. CRC-32C (Castagnoli). Start with crc = 0; pass the result back in to go on. */
  uint32_t (*crc32c)(uint32_t crc, const void *src, size_t n);
  /* Bytes. XXH3 of 64 bits with seed 0, written to out as a uint64_t at any alignment. */
  void (*xxh3_64)(const void *src, size_t n, void *out);
  /* Bytes. `stream`: with non-temporal stores, which pay for large n into populated memory that
   * is not read again soon, and cost elsewhere. The stores are fenced before it returns. */
  void (*copy)(const void *src, size_t n, void *dst, bool stream);
};
/* cdef end */

/* The best table for this processor (or the one chosen below); found once, then cached.
 * Thread-safe. NULL only on an x86-64 processor without SSE4.2 (older than x86-64-v2). */
const struct lsi_kernels *lsi_kernels(void);
/* "v4" and so on; "none" where lsi_kernels() is NULL. */
const char *lsi_kernels_level(void);
/* For tests. From now on lsi_kernels() gives the table of this level; NULL goes back to the best.
 * False (and nothing changes) when the build or the processor lacks it. Thread-safe. */
bool lsi_kernels_use_level(const char *level);

/* From now on, results of `scale_offset` and `cast` of 64 KiB and more that this thread writes to
 * [begin, begin + bytes) bypass the cache. That pays for memory that is populated and not read again soon.
 * Results are the same. bytes = 0 ends it. */
void lsi_kernels_nontemporal(const void *begin, size_t bytes);
struct lsi_nontemporal {
  uintptr_t begin;
  size_t bytes;
};
extern _Thread_local struct lsi_nontemporal lsi_nontemporal; /* the kernels' own */

/* The same as the table's moments_merge and crc32c, at the baseline and without a table. */
void lsi_moments_merge(lsio_moments *into, const lsio_moments *from);
uint32_t lsi_crc32c_soft(uint32_t crc, const void *src, size_t n);

#if defined(__x86_64__)
extern const struct lsi_kernels lsi_kernels_v2, lsi_kernels_v3, lsi_kernels_v4;
#else
extern const struct lsi_kernels lsi_kernels_base;
#endif

#endif
