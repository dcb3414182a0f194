/* What the tests of the vector kernels share: levels, buffers that end at a page nobody may touch,
 * elements of every type seen as one struct, and data full of awkward values. */
#ifndef LSI_TEST_KERNEL_DATA_H
#define LSI_TEST_KERNEL_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "ground/types.h"

__extension__ typedef __int128 kd_wide;

/* An element: `i` for integer types, `f` for float types. */
struct kd_value {
  bool is_float;
  kd_wide i;
  double f;
};

/* The tables this processor can run; count in *n. Fails the test when there is none. */
const struct lsi_kernels *const *kd_levels(size_t *n);

/* A block of KD_ROOM bytes followed by an unreadable page. Freed with kd_buffer_free. */
enum { KD_ROOM = 256 * 1024 };
struct kd_buffer {
  unsigned char *base;
};
struct kd_buffer kd_buffer_new(void);
void kd_buffer_free(struct kd_buffer b);
/* Where `bytes` bytes begin that end `gap` bytes before the unreadable page. */
unsigned char *kd_at(struct kd_buffer b, size_t bytes, size_t gap);
/* Sets the 64 bytes before and the `gap` bytes after to a pattern; kd_guarded checks them. */
void kd_guard(unsigned char *p, size_t bytes, size_t gap);
bool kd_guarded(const unsigned char *p, size_t bytes, size_t gap);

/* KD_GAPS distances from the page: 0 (nothing after may be read), elements of 1..7, odd bytes. */
enum { KD_GAPS = 16 };
size_t kd_gap(enum lsi_type type, size_t which);

uint64_t kd_random(void); /* from a fixed seed, the same in every run */
struct kd_value kd_load(enum lsi_type type, const void *p, size_t i);
/* Least and greatest value of an integer type. */
kd_wide kd_least(enum lsi_type type);
kd_wide kd_greatest(enum lsi_type type);
bool kd_is_float(enum lsi_type type);
double kd_double(struct kd_value v);
/* Rounds to an element of a float type; NaN becomes the positive quiet one. */
void kd_store_float(enum lsi_type type, double x, void *dst);

enum kd_kind {
  KD_SMALL,   /* integers within +-100 (floats: with fractions) */
  KD_BITS,    /* any bits; floats: finite */
  KD_SPECIAL, /* extremes, zeros of both signs, denormals, infinities, NaN, halves */
  KD_KINDS
};
void kd_fill(enum kd_kind kind, enum lsi_type type, void *dst, size_t n);

/* NaN in both, or the same value (0 == -0). */
bool kd_same(double a, double b);

#endif
