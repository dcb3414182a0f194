/* The vector kernels. The build compiles this file once per instruction-set level with LSI_LEVEL
 * set to the level's name (v2, v3, v4, base) and -ffp-contract=off; each object exports one
 * table. */
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels/x_common.h"

#include "kernels/x_sum.h"

#include "kernels/x_minmax.h"

#include "kernels/x_count.h"

#include "kernels/x_stats.h"

#include "kernels/x_histogram.h"

#include "kernels/x_nontemporal.h"

#include "kernels/x_map.h"

#include "kernels/x_select.h"

#include "kernels/x_mask.h"

#include "kernels/x_pair.h"

#include "kernels/x_group.h"

#include "kernels/x_order.h"

#include "kernels/x_transpose.h"

#include "kernels/x_strided.h"

#include "kernels/x_hash.h"

#include "kernels/x_bytes.h"

#define ALL(f)                                                                              \
  {                                                                                         \
    f##_i8, f##_u8, f##_i16, f##_u16, f##_i32, f##_u32, f##_i64, f##_u64, f##_f32, f##_f64, \
  }
#define ALL_INT(f)                                                          \
  {                                                                         \
    f##_i8, f##_u8, f##_i16, f##_u16, f##_i32, f##_u32, f##_i64, f##_u64,   \
  }
#define ALL_PAIRS(f)                                                                      \
  {                                                                                       \
    ALL(f##_i8), ALL(f##_u8), ALL(f##_i16), ALL(f##_u16), ALL(f##_i32), ALL(f##_u32),     \
        ALL(f##_i64), ALL(f##_u64), ALL(f##_f32), ALL(f##_f64),                           \
  }

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

const struct lsi_kernels JOIN(lsi_kernels_, LSI_LEVEL) = {
    .level = TEXT(LSI_LEVEL),
    .sum = ALL(sum),
    .sum_i64 = ALL_INT(sum_i64),
    .min = ALL(min),
    .max = ALL(max),
    .minmax = ALL(minmax),
    .sum_minmax = ALL(sum_minmax),
    .stats = ALL(stats),
    .moments = ALL(moments),
    .moments_merge = lsi_moments_merge,
    .count_gt = ALL(count_gt),
    .count_ge = ALL(count_ge),
    .count_lt = ALL(count_lt),
    .count_le = ALL(count_le),
    .count_eq = ALL(count_eq),
    .count_between = ALL(count_between),
    .histogram = ALL(histogram),
    .scale_offset = ALL_PAIRS(scale_offset),
    .cast = ALL_PAIRS(cast),
    .byteswap = byteswap,
    .clip = ALL(clip),
    .fill = ALL(fill),
    .fill_sentinel = ALL(fill_sentinel),
    .fill_nan = ALL(fill_nan),
    .argmin = ALL(argmin),
    .argmax = ALL(argmax),
    .topk = ALL(topk),
    .gt = ALL(gt),
    .ge = ALL(ge),
    .lt = ALL(lt),
    .le = ALL(le),
    .eq = ALL(eq),
    .ne = ALL(ne),
    .between = ALL(between),
    .gt_each = ALL(gt_each),
    .ge_each = ALL(ge_each),
    .eq_each = ALL(eq_each),
    .ne_each = ALL(ne_each),
    .where = where,
    .band = band,
    .bor = bor,
    .bnot = bnot,
    .add = ALL(add),
    .sub = ALL(sub),
    .mul = ALL(mul),
    .div_f32 = ALL(div_f32),
    .div_f64 = ALL(div_f64),
    .add_valid = ALL(add_valid),
    .group_sum = group_sum,
    .group_count = group_count,
    .flip = flip,
    .delta = ALL(delta),
    .undelta = ALL(undelta),
    .transpose = transpose,
    .shuffle = shuffle,
    .unshuffle = unshuffle,
    .copy_strided = copy_strided,
    .xxh3_64 = xxh3_64,
    .find = find,
    .count_bytes = count_bytes,
    .crc32c = crc32c,
    .copy = copy,
};
