#include "kernel_data.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ground/base.h"

const struct lsi_kernels *const *kd_levels(size_t *n) {
  static const struct lsi_kernels *found[8];
  static const char *const names[] = {"base", "v2", "v3", "v4"};
  size_t count = 0;
  for (size_t i = 0; i < LSI_COUNTOF(names); i++)
    if (lsi_kernels_use_level(names[i]))
      found[count++] = lsi_kernels();
  lsi_kernels_use_level(NULL);
  if (count == 0) {
    fprintf(stderr, "no level of the kernels runs here\n");
    exit(77);
  }
  *n = count;
  return found;
}

struct kd_buffer kd_buffer_new(void) {
  unsigned char *p =
      mmap(NULL, KD_ROOM + 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED || mprotect(p + KD_ROOM, 65536, PROT_NONE) != 0) {
    perror("mmap");
    exit(1);
  }
  return (struct kd_buffer){p};
}

void kd_buffer_free(struct kd_buffer b) { munmap(b.base, KD_ROOM + 65536); }

unsigned char *kd_at(struct kd_buffer b, size_t bytes, size_t gap) {
  return b.base + KD_ROOM - gap - bytes;
}

static unsigned char pattern(size_t i) { return (unsigned char)(0xa5 ^ (i * 29)); }

void kd_guard(unsigned char *p, size_t bytes, size_t gap) {
  for (size_t i = 0; i < 64; i++)
    *(p - 64 + i) = pattern(i);
  for (size_t i = 0; i < gap; i++)
    p[bytes + i] = pattern(i);
}

bool kd_guarded(const unsigned char *p, size_t bytes, size_t gap) {
  for (size_t i = 0; i < 64; i++)
    if (*(p - 64 + i) != pattern(i))
      return false;
  for (size_t i = 0; i < gap; i++)
    if (p[bytes + i] != pattern(i))
      return false;
  return true;
}

size_t kd_gap(enum lsi_type type, size_t which) {
  return which / 2 * lsi_type_size(type) + which % 2 * 3;
}

uint64_t kd_random(void) {
  static uint64_t state = 0x9e3779b97f4a7c15u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state * 0x2545f4914f6cdd1du;
}

struct kd_value kd_load(enum lsi_type type, const void *p, size_t i) {
  size_t size = lsi_type_size(type);
  const unsigned char *at = (const unsigned char *)p + i * size;
  if (type == LSI_F32) {
    float x;
    memcpy(&x, at, 4);
    return (struct kd_value){true, 0, (double)x};
  }
  if (type == LSI_F64) {
    double x;
    memcpy(&x, at, 8);
    return (struct kd_value){true, 0, x};
  }
  uint64_t bits = 0; /* little-endian: the low bytes come first */
  memcpy(&bits, at, size);
  kd_wide v = (kd_wide)bits;
  return (struct kd_value){false, v > kd_greatest(type) ? v - ((kd_wide)1 << (size * 8)) : v, 0};
}

kd_wide kd_least(enum lsi_type type) {
  return type % 2 ? 0 : -((kd_wide)1 << (lsi_type_size(type) * 8 - 1));
}

kd_wide kd_greatest(enum lsi_type type) {
  return ((kd_wide)1 << (lsi_type_size(type) * 8 - (type % 2 ? 0 : 1))) - 1;
}

bool kd_is_float(enum lsi_type type) { return type == LSI_F32 || type == LSI_F64; }

double kd_double(struct kd_value v) { return v.is_float ? v.f : (double)v.i; }

void kd_store_float(enum lsi_type type, double x, void *dst) {
  float f = x == x ? (float)x : (float)NAN;
  x = x == x ? x : (double)NAN;
  memcpy(dst, type == LSI_F32 ? (const void *)&f : (const void *)&x, lsi_type_size(type));
}

static double special_float(enum lsi_type type) {
  static const double values[] = {0.0,   -0.0,  0.5,    -0.5,   1.5,       -1.5,      2.5,
                                  -2.5,  127.5, -128.5, 255.5,  127.49999, 32767.5,   -32768.5,
                                  65535.5, 2147483647.0, 2147483647.5, -2147483648.5, 4294967295.5,
                                  0x1p31, -0x1p31, 0x1p32, 0x1p53, 0x1p63, -0x1p63, 0x1p64,
                                  -0x1.8p63, 1e19, 1e30, -1e30, 0.49999999999999994, 3e-39, -1e-45,
                                  1e-30, 16777217.0, 0x1p52, 4503599627370497.5, 9e18};
  uint64_t r = kd_random();
  switch (r >> 32 & 31) {
  case 0: {
    /* Signs and payloads differ, so that it shows when a result depends on which NaN was taken. */
    uint64_t bits = 0x7ff8000000000000u | (r & 1) << 63 | (r >> 8 & 0xff) << 40;
    double nan;
    memcpy(&nan, &bits, 8);
    return nan;
  }
  case 1:
    return INFINITY;
  case 2:
    return -INFINITY;
  case 3:
    return type == LSI_F32 ? FLT_MAX : DBL_MAX;
  case 4:
    return type == LSI_F32 ? -FLT_MAX : -DBL_MAX;
  case 5:
    return 4.9e-324;
  case 6:
    return -DBL_MIN;
  default:
    return values[(r & 0xffffffffu) % LSI_COUNTOF(values)];
  }
}

static void fill_float(enum kd_kind kind, enum lsi_type type, unsigned char *dst) {
  double v = 0;
  if (kind == KD_SMALL)
    v = (double)((int64_t)(kd_random() % 200001) - 100000) / 1000;
  else if (kind == KD_SPECIAL)
    v = special_float(type);
  if (type == LSI_F32) {
    float f = (float)v;
    while (kind == KD_BITS) {
      uint32_t bits = (uint32_t)kd_random();
      memcpy(&f, &bits, 4);
      if (isfinite(f))
        break;
    }
    memcpy(dst, &f, 4);
    return;
  }
  while (kind == KD_BITS) {
    uint64_t bits = kd_random();
    memcpy(&v, &bits, 8);
    if (isfinite(v))
      break;
  }
  memcpy(dst, &v, 8);
}

void kd_fill(enum kd_kind kind, enum lsi_type type, void *dst, size_t n) {
  size_t size = lsi_type_size(type);
  for (size_t i = 0; i < n; i++) {
    unsigned char *at = (unsigned char *)dst + i * size;
    if (kd_is_float(type)) {
      fill_float(kind, type, at);
      continue;
    }
    uint64_t r = kd_random();
    kd_wide v = (kd_wide)(r % (type % 2 ? 101 : 201)) - (type % 2 ? 0 : 100);
    if (kind == KD_BITS)
      v = (kd_wide)r;
    else if (kind == KD_SPECIAL)
      v = r >> 62 == 0   ? kd_least(type) + (kd_wide)(r % 3)
          : r >> 62 == 1 ? kd_greatest(type) - (kd_wide)(r % 3)
          : r >> 62 == 2 ? (kd_wide)(r % 3)
                         : ((kd_wide)1 << (r % 64)) - (kd_wide)(r >> 40 & 1);
    memcpy(at, &v, size); /* little-endian */
  }
}

bool kd_same(double a, double b) { return (a != a && b != b) || a == b; }
