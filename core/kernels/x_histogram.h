/* histogram: bin numbers of a block by vector code, then four interleaved tables of counts, so that
 * equal neighbours do not wait for each other's store. */

#define HIST_BLOCK 512
#define HIST_TABLES 4
#define HIST_BINS 2047 /* more are counted in place: 4 tables of 2,048 take 32 KiB of stack */

struct bins {
  double lo, hi, step, norm, last; /* last: number of the last bin */
};

INLINE bool bins_make(double lo, double hi, size_t count, struct bins *b) {
  double width = hi - lo;
  if (!(lo < hi) || !(width <= DBL_MAX) || lo < -DBL_MAX || hi > DBL_MAX || count < 1 ||
      count > INT32_MAX)
    return false;
  *b = (struct bins){lo, hi, width / (double)count, (double)count / width, (double)(count - 1)};
  return b->norm <= DBL_MAX;
}

/* The bin of x, or last + 1 when it is in none: estimated, then put right by the edges around
 * it. */
INLINE int32_t bin_of(double x, struct bins b) {
  double d = (x - b.lo) * b.norm;
  d = d < b.last ? d : b.last; /* and NaN: the last */
  d = d > 0 ? d : 0;
  int32_t k = (int32_t)d;
  d = (double)k;
  double left = d * b.step + b.lo, right = (d + 1) * b.step + b.lo;
  right = d < b.last ? right : INFINITY;
  k -= x < left;
  k += x >= right;
  int32_t none = (int32_t)b.last + 1;
  k = x >= b.lo ? k : none;
  k = x <= b.hi ? k : none;
  return k;
}

typedef int64_t vl __attribute__((vector_size(VW)));
typedef int32_t vhi __attribute__((vector_size(VW / 2)));

INLINE vd vd_select(vl take, vd x, vd y) { return (vd)((take & (vl)x) | (~take & (vl)y)); }

/* bin_of for m elements, in the same operations; the compiler threads jumps through the scalar
 * form and then cannot vectorise it. Up to a whole vector behind m is read and written as well. */
static void bins_of(const double *values, size_t m, const struct bins *b, int32_t *numbers) {
  const vd zero = {0}, one = zero + 1, last = zero + b->last, none = last + 1;
  for (size_t j = 0; j < m; j += VD_LANES) {
    vd x;
    memcpy(&x, values + j, VW);
    vd d = (x - b->lo) * b->norm;
    d = vd_select(d < last, d, last);
    d = vd_select(d > zero, d, zero);
    d = __builtin_convertvector(__builtin_convertvector(d, vhi), vd);
    vd left = d * b->step + b->lo, right = (d + 1) * b->step + b->lo;
    vl right_of = (x >= right) & (d < last);
    d -= (vd)((vl)one & (x < left));
    d += (vd)((vl)one & right_of);
    d = vd_select((x >= b->lo) & (x <= b->hi), d, none);
    vhi k = __builtin_convertvector(d, vhi);
    memcpy(numbers + j, &k, sizeof k);
  }
}

/* numbers[0 .. m-1] are in 0 .. bins. */
static double hist_direct(const int32_t *numbers, size_t m, int32_t none, double *counts) {
  double counted = 0;
  for (size_t j = 0; j < m; j++)
    if (numbers[j] != none) {
      counts[numbers[j]] += 1;
      counted += 1;
    }
  return counted;
}

static void hist_tables(const int32_t *numbers, size_t m, uint32_t *tables, size_t stride) {
  size_t j = 0;
  for (; j + HIST_TABLES <= m; j += HIST_TABLES)
    for (size_t k = 0; k < HIST_TABLES; k++)
      tables[k * stride + (size_t)numbers[j + k]]++;
  for (; j < m; j++)
    tables[(size_t)numbers[j]]++;
}

static double hist_flush(uint32_t *tables, size_t stride, double *counts) {
  double counted = 0;
  for (size_t i = 0; i + 1 < stride; i++) {
    double c = 0;
    for (size_t k = 0; k < HIST_TABLES; k++)
      c += tables[k * stride + i];
    counts[i] += c;
    counted += c;
  }
  memset(tables, 0, HIST_TABLES * stride * sizeof *tables);
  return counted;
}

#define HISTOGRAM(name)                                                                          \
  static double histogram_##name(const void *src, size_t n, double lo, double hi, size_t count,  \
                                 double *counts) {                                               \
    const name##_mem *p = src;                                                                   \
    struct bins b;                                                                               \
    if (!bins_make(lo, hi, count, &b))                                                           \
      return -1;                                                                                 \
    double values[HIST_BLOCK] = {0};                                                             \
    int32_t numbers[HIST_BLOCK];                                                                 \
    uint32_t tables[HIST_TABLES * (HIST_BINS + 1)];                                              \
    const bool direct = count > HIST_BINS || n < count;                                          \
    const size_t stride = count + 1;                                                             \
    double counted = 0;                                                                          \
    if (!direct)                                                                                 \
      memset(tables, 0, HIST_TABLES * stride * sizeof *tables);                                  \
    for (size_t i = 0; i < n;) {                                                                 \
      size_t m = LSI_MIN(n - i, (size_t)HIST_BLOCK);                                             \
      for (size_t j = 0; j < m; j++)                                                             \
        values[j] = (double)p[i + j];                                                            \
      SETTLE(values);                                                                            \
      bins_of(values, m, &b, numbers);                                                           \
      if (direct)                                                                                \
        counted += hist_direct(numbers, m, (int32_t)b.last + 1, counts);                         \
      else                                                                                       \
        hist_tables(numbers, m, tables, stride);                                                 \
      i += m;                                                                                    \
      if (!direct && i % ((size_t)1 << 30) == 0)                                                 \
        counted += hist_flush(tables, stride, counts);                                           \
    }                                                                                            \
    return direct ? counted : counted + hist_flush(tables, stride, counts);                      \
  }
HISTOGRAM(i16)
HISTOGRAM(u16)
HISTOGRAM(i32)
HISTOGRAM(u32)
HISTOGRAM(i64)
HISTOGRAM(u64)
HISTOGRAM(f32)
HISTOGRAM(f64)

/* Bytes: count the 256 values, then place each value once. */
INLINE double histogram_bytes(const u8_mem *p, size_t n, int offset, uint8_t flip,
                              const struct bins *b, double *counts) {
  uint32_t tables[HIST_TABLES * 256] = {0};
  double counted = 0;
  for (size_t i = 0; i < n;) {
    size_t end = i + LSI_MIN(n - i, (size_t)1 << 30);
    for (; i + HIST_TABLES <= end; i += HIST_TABLES)
      for (size_t k = 0; k < HIST_TABLES; k++)
        tables[k * 256 + p[i + k]]++;
    for (; i < end; i++)
      tables[p[i]]++;
    for (int v = 0; v < 256; v++) {
      double c = 0;
      for (size_t k = 0; k < HIST_TABLES; k++)
        c += tables[k * 256 + (uint8_t)(v ^ flip)];
      int32_t k = bin_of(v + offset, *b);
      if (c == 0 || k > b->last)
        continue;
      counts[k] += c;
      counted += c;
    }
    memset(tables, 0, sizeof tables);
  }
  return counted;
}
static double histogram_i8(const void *src, size_t n, double lo, double hi, size_t count,
                           double *counts) {
  struct bins b;
  return bins_make(lo, hi, count, &b) ? histogram_bytes(src, n, -128, 0x80, &b, counts) : -1;
}
static double histogram_u8(const void *src, size_t n, double lo, double hi, size_t count,
                           double *counts) {
  struct bins b;
  return bins_make(lo, hi, count, &b) ? histogram_bytes(src, n, 0, 0, &b, counts) : -1;
}
