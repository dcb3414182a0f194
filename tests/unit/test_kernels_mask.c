/* The kernels that write or read masks, against comparisons of exact integers; every level, type,
 * length, place and in-place call. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_data.h"

enum { SHORT = 140, LONG = 5003 };

static const struct lsi_kernels *const *levels;
static size_t n_levels;
static struct kd_buffer sources, others, results;
static const size_t longs[] = {LONG, 1024, 0};

/* -1, 0, 1: less, equal, greater; 2: NaN is among them. */
static int compared(struct kd_value a, struct kd_value b) {
  if ((a.is_float && a.f != a.f) || (b.is_float && b.f != b.f))
    return 2;
  if (a.is_float && b.is_float)
    return (a.f > b.f) - (a.f < b.f);
  if (a.is_float)
    return -compared(b, a);
  if (!b.is_float)
    return (a.i > b.i) - (a.i < b.i);
  double limit = 0x1p70, f = b.f < -limit ? -limit : b.f > limit ? limit : b.f;
  kd_wide whole = (kd_wide)floor(f);
  return a.i != whole ? (a.i > whole) - (a.i < whole) : -(f > floor(f));
}

static struct kd_value number(double f) { return (struct kd_value){true, 0, f}; }

enum { GT, GE, LT, LE, EQ, NE, OPS };

static bool holds(int op, int order) {
  switch (op) {
  case GT:
    return order == 1;
  case GE:
    return order == 1 || order == 0;
  case LT:
    return order == -1;
  case LE:
    return order == -1 || order == 0;
  case EQ:
    return order == 0;
  default:
    return order != 0;
  }
}

/* Calls f for each level, length and place with src at its place; it compares with `want`. */
struct place {
  const struct lsi_kernels *k;
  unsigned char *src, *other, *dst;
  size_t n;
  bool in_place;
};
typedef void (*call)(const struct place *p, enum lsi_type type, int op, double a, double b);

static void check(call f, enum lsi_type type, const unsigned char *data, const unsigned char *data2,
                  const unsigned char *want, int op, double a, double b) {
  size_t size = lsi_type_size(type);
  for (size_t i = 0; i <= SHORT + LSI_COUNTOF(longs); i++)
    for (size_t l = 0; l < n_levels; l++) {
      size_t n = i <= SHORT ? i : longs[i - SHORT - 1], gap = (i * 7 + l) % 23;
      bool in_place = (i + l) % 3 == 0;
      struct place p = {.k = levels[l], .n = n, .in_place = in_place};
      p.src = kd_at(sources, n * size, kd_gap(type, (i + l) % KD_GAPS));
      p.other = kd_at(others, n * size, kd_gap(type, (i * 3 + l) % KD_GAPS));
      p.dst = in_place ? p.src : kd_at(results, n, gap);
      memcpy(p.src, data, n * size);
      memcpy(p.other, data2, n * size);
      if (!in_place)
        kd_guard(p.dst, n, gap);
      f(&p, type, op, a, b);
      if (memcmp(p.dst, want, n) != 0 || (!in_place && !kd_guarded(p.dst, n, gap)))
        fail_msg("level %s, type %s, op %d, a %g, b %g, n %zu, in place %d", p.k->level,
                 lsi_type_name(type), op, a, b, n, in_place);
      if (in_place && memcmp(p.src + n, data + n, n * size - n) != 0)
        fail_msg("level %s, type %s, op %d, n %zu: wrote behind the mask", p.k->level,
                 lsi_type_name(type), op, n);
    }
}

static void compare_call(const struct place *p, enum lsi_type type, int op, double a, double b) {
  void (*const f[])(const void *, size_t, void *, double) = {
      p->k->gt[type], p->k->ge[type], p->k->lt[type],
      p->k->le[type], p->k->eq[type], p->k->ne[type]};
  (void)b;
  f[op](p->src, p->n, p->dst, a);
}

static void between_call(const struct place *p, enum lsi_type type, int op, double a, double b) {
  (void)op;
  p->k->between[type](p->src, p->n, p->dst, a, b);
}

static const double limits[] = {0,   -0.0,   0.5,     -1,   100,      127,     127.5,  -129,
                                255, 1e300,  -1e300,  NAN,  INFINITY, -INFINITY, 0x1p63, -0x1p63,
                                0x1p64, 9007199254740993.0, 0.1, 4294967295.0};

static void test_compare(void **state) {
  (void)state;
  static unsigned char data[LONG * 8], want[LONG];
  for (int type = 0; type < LSI_TYPE_COUNT; type++)
    for (int kind = 0; kind < KD_KINDS; kind++) {
      kd_fill((enum kd_kind)kind, (enum lsi_type)type, data, LONG);
      for (size_t j = (size_t)kind; j < LSI_COUNTOF(limits); j += 2) {
        for (int op = 0; op < OPS; op++) {
          for (size_t i = 0; i < LONG; i++)
            want[i] = holds(op, compared(kd_load((enum lsi_type)type, data, i), number(limits[j])));
          check(compare_call, (enum lsi_type)type, data, data, want, op, limits[j], 0);
        }
        double hi = limits[(j * 5 + 3) % LSI_COUNTOF(limits)];
        for (size_t i = 0; i < LONG; i++)
          want[i] = holds(GE, compared(kd_load((enum lsi_type)type, data, i), number(limits[j]))) &&
                    holds(LE, compared(kd_load((enum lsi_type)type, data, i), number(hi)));
        check(between_call, (enum lsi_type)type, data, data, want, 0, limits[j], hi);
      }
    }
}

static void each_call(const struct place *p, enum lsi_type type, int op, double a, double b) {
  void (*const f[OPS])(const void *, size_t, void *, const void *) = {
      [GT] = p->k->gt_each[type], [GE] = p->k->ge_each[type], [LT] = p->k->gt_each[type],
      [LE] = p->k->ge_each[type], [EQ] = p->k->eq_each[type], [NE] = p->k->ne_each[type]};
  bool turned = op == LT || op == LE;
  (void)a;
  (void)b;
  f[op](turned ? p->other : p->src, p->n, p->dst, turned ? p->src : p->other);
}

static void test_each(void **state) {
  (void)state;
  static unsigned char data[LONG * 8], data2[LONG * 8], want[LONG];
  for (int type = 0; type < LSI_TYPE_COUNT; type++)
    for (int kind = 0; kind < KD_KINDS; kind++) {
      size_t size = lsi_type_size((enum lsi_type)type);
      kd_fill((enum kd_kind)kind, (enum lsi_type)type, data, LONG);
      kd_fill((enum kd_kind)kind, (enum lsi_type)type, data2, LONG);
      for (size_t i = 0; i < LONG; i += 3)
        memcpy(data2 + i * size, data + i * size, size);
      for (int op = 0; op < OPS; op++) {
        for (size_t i = 0; i < LONG; i++)
          want[i] = holds(op, compared(kd_load((enum lsi_type)type, data, i),
                                       kd_load((enum lsi_type)type, data2, i)));
        check(each_call, (enum lsi_type)type, data, data2, want, op, 0, 0);
      }
    }
}

static void logic_call(const struct place *p, enum lsi_type type, int op, double a, double b) {
  (void)type;
  (void)a;
  (void)b;
  if (op == 0)
    p->k->band(p->src, p->n, p->dst, p->other);
  else if (op == 1)
    p->k->bor(p->src, p->n, p->dst, p->other);
  else
    p->k->bnot(p->src, p->n, p->dst);
}

static void test_logic(void **state) {
  (void)state;
  static unsigned char data[LONG], data2[LONG], want[3][LONG];
  for (size_t i = 0; i < LONG; i++) {
    data[i] = kd_random() % 2 ? 0 : (unsigned char)kd_random();
    data2[i] = kd_random() % 2 ? 0 : (unsigned char)kd_random();
    want[0][i] = data[i] && data2[i];
    want[1][i] = data[i] || data2[i];
    want[2][i] = !data[i];
  }
  for (int op = 0; op < 3; op++)
    check(logic_call, LSI_U8, data, data2, want[op], op, 0, 0);
}

/* One of 16 ways: a and b single or not; dst apart, a, b or (bytes) the mask. */
static void where_one(const struct lsi_kernels *k, size_t size, size_t n, unsigned way,
                      const unsigned char *mask, const unsigned char *a, const unsigned char *b) {
  static unsigned char want[LONG * 8];
  bool one_a = way & 1, one_b = way >> 1 & 1;
  size_t gap = way * 3 + n % 2;
  unsigned char *m = kd_at(sources, n, way), *x = kd_at(others, n * size + size, gap);
  unsigned char *y = x - n * size - size, *dst = kd_at(results, n * size, gap);
  unsigned where = way >> 2;
  memcpy(m, mask, n);
  memcpy(x, a, (one_a ? 1 : n) * size);
  memcpy(y, b, (one_b ? 1 : n) * size);
  for (size_t i = 0; i < n; i++)
    memcpy(want + i * size, m[i] ? a + (one_a ? 0 : i * size) : b + (one_b ? 0 : i * size), size);
  if (where == 1 && !one_a)
    dst = x;
  else if (where == 2 && !one_b)
    dst = y;
  else if (where == 3 && size == 1)
    dst = m;
  else
    kd_guard(dst, n * size, gap);
  k->where(m, n, dst, size, x, one_a, y, one_b);
  if (memcmp(dst, want, n * size) != 0 ||
      (dst == kd_at(results, n * size, gap) && !kd_guarded(dst, n * size, gap)))
    fail_msg("level %s, size %zu, n %zu, way %u", k->level, size, n, way);
}

static void test_where(void **state) {
  (void)state;
  static unsigned char mask[LONG], a[LONG * 8], b[LONG * 8];
  for (size_t i = 0; i < LONG; i++)
    mask[i] = kd_random() % 2 ? 0 : (unsigned char)kd_random();
  kd_fill(KD_BITS, LSI_U8, a, sizeof a);
  kd_fill(KD_BITS, LSI_U8, b, sizeof b);
  for (size_t size = 1; size <= 8; size *= 2)
    for (size_t i = 0; i <= SHORT + 1; i++)
      for (size_t l = 0; l < n_levels; l++)
        for (unsigned way = 0; way < 16; way++)
          where_one(levels[l], size, i <= SHORT ? i : LONG, way, mask, a, b);
}

int main(void) {
  levels = kd_levels(&n_levels);
  sources = kd_buffer_new();
  others = kd_buffer_new();
  results = kd_buffer_new();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_compare),
      cmocka_unit_test(test_each),
      cmocka_unit_test(test_logic),
      cmocka_unit_test(test_where),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  kd_buffer_free(sources);
  kd_buffer_free(others);
  kd_buffer_free(results);
  return failed;
}
