#include "ground/radix.h"

#include <string.h>

#define DIGIT_BITS 11u /* 2,048 counters fit the L1 cache; 8 to 11 bits are within 5 %, 13 lose 10 */
#define DIGITS (1u << DIGIT_BITS)
#define PASSES_MAX 6u /* ceil(64 / 11) */

uint64_t *lsi_radix_sort(uint64_t *a, uint64_t *b, uint32_t n, unsigned low, unsigned bits) {
  uint32_t count[PASSES_MAX][DIGITS];
  const unsigned passes = (bits + DIGIT_BITS - 1) / DIGIT_BITS;
  if (passes == 0) return a;
  const unsigned width = (bits + passes - 1) / passes;
  const uint64_t mask = (UINT64_C(1) << width) - 1;
  for (unsigned p = 0; p < passes; p++) memset(count[p], 0, sizeof count[p]);
  for (uint32_t i = 0; i < n; i++) {
    uint64_t key = a[i] >> low;
    for (unsigned p = 0; p < passes; p++, key >>= width) count[p][key & mask]++;
  }
  for (unsigned p = 0; p < passes; p++) {
    const unsigned shift = low + p * width;
    uint32_t *at = count[p];
    if (at[(a[0] >> shift) & mask] == n) continue; /* the same digit everywhere */
    uint32_t sum = 0;
    for (uint64_t d = 0; d <= mask; d++) {
      const uint32_t c = at[d];
      at[d] = sum;
      sum += c;
    }
    for (uint32_t i = 0; i < n; i++) b[at[(a[i] >> shift) & mask]++] = a[i];
    uint64_t *t = a;
    a = b;
    b = t;
  }
  return a;
}
