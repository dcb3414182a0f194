/* group_sum, group_count: strips are copied out of the source first, so that each key and value is
 * loaded once, however another process may change the memory meanwhile. */

#define GROUP_STRIP 512
#define GROUP_TABLES 2047 /* groups up to which group_count counts in HIST_TABLES tables */

/* A key that is no group becomes the number `groups`. */
#define GROUP_NUMBERS(name, ctype, utype, least, greatest)                                   \
  static void group_numbers_##name(const void *keys, size_t m, uint32_t groups,              \
                                   int32_t *numbers) {                                       \
    const name##_mem *p = keys;                                                              \
    const wide last = (wide)groups - 1, top = (wide)(greatest);                              \
    const utype most = (utype)LSI_MIN(last, top);                                            \
    for (size_t j = 0; j < m; j++) {                                                         \
      utype key = (utype)p[j];                                                               \
      numbers[j] = (int32_t)(key <= most ? (uint32_t)key : groups);                          \
    }                                                                                        \
    SETTLE(numbers);                                                                         \
  }
INT_TYPES(GROUP_NUMBERS)

#define GROUP_VALUES(name)                                                        \
  static void group_values_##name(const void *src, size_t m, double *values) {    \
    const name##_mem *p = src;                                                    \
    for (size_t j = 0; j < m; j++)                                                \
      values[j] = (double)p[j];                                                   \
    SETTLE(values);                                                               \
  }
#define GROUP_VALUES_INT(name, ctype, utype, least, greatest) GROUP_VALUES(name)
INT_TYPES(GROUP_VALUES_INT)
GROUP_VALUES(f32)
GROUP_VALUES(f64)

#define GROUP_TABLE(f) f##_i8, f##_u8, f##_i16, f##_u16, f##_i32, f##_u32, f##_i64, f##_u64
static void (*const group_numbers[8])(const void *, size_t, uint32_t,
                                      int32_t *) = {GROUP_TABLE(group_numbers)};
static void (*const group_values[10])(const void *, size_t, double *) = {
    GROUP_TABLE(group_values), group_values_f32, group_values_f64};
static const uint8_t group_size[10] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 8};

static double group_sum(const void *values, size_t n, int type, const void *keys, int key_type,
                        size_t groups, void *sums) {
  f64_mem *s = sums;
  double x[GROUP_STRIP], outside = 0;
  int32_t numbers[GROUP_STRIP];
  for (size_t i = 0; i < n; i += GROUP_STRIP) {
    const size_t m = LSI_MIN(n - i, (size_t)GROUP_STRIP);
    group_values[type]((const char *)values + i * group_size[type], m, x);
    group_numbers[key_type]((const char *)keys + i * group_size[key_type], m, (uint32_t)groups,
                            numbers);
    for (size_t j = 0; j < m; j++) {
      const size_t g = (size_t)numbers[j];
      if (g < groups)
        s[g] = canonical(s[g] + x[j]);
      else
        outside += 1;
    }
  }
  return outside;
}

static double group_count(const void *keys, size_t n, int key_type, size_t groups, void *counts) {
  f64_mem *c = counts;
  int32_t numbers[GROUP_STRIP];
  uint32_t tables[HIST_TABLES * (GROUP_TABLES + 1)];
  const bool direct = groups > GROUP_TABLES || n < groups;
  const size_t stride = groups + 1;
  double outside = 0;
  if (!direct)
    memset(tables, 0, HIST_TABLES * stride * sizeof *tables);
  for (size_t i = 0; i < n;) {
    const size_t m = LSI_MIN(n - i, (size_t)GROUP_STRIP);
    group_numbers[key_type]((const char *)keys + i * group_size[key_type], m, (uint32_t)groups,
                            numbers);
    if (!direct)
      hist_tables(numbers, m, tables, stride);
    for (size_t j = 0; direct && j < m; j++) {
      const size_t g = (size_t)numbers[j];
      if (g < groups)
        c[g] += 1;
      else
        outside += 1;
    }
    i += m;
    if (direct || (i % ((size_t)1 << 30) != 0 && i < n))
      continue;
    for (size_t k = 0; k < HIST_TABLES; k++)
      for (size_t g = 0; g < stride; g++)
        if (g < groups)
          c[g] += tables[k * stride + g];
        else
          outside += tables[k * stride + g];
    memset(tables, 0, HIST_TABLES * stride * sizeof *tables);
  }
  return outside;
}
