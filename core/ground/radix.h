/* Sorting words by some of their bits. */
#ifndef LSI_RADIX_H
#define LSI_RADIX_H

#include "ground/base.h"

/* Stable LSD radix sort of a[0..n) by the bits [low, low + bits); b is as large, and scratch. Returns a or
 * b: where the sorted words are. n > 0. */
uint64_t *lsi_radix_sort(uint64_t *a, uint64_t *b, uint32_t n, unsigned low, unsigned bits);

#endif
