/* Random values: the same numbers make one and check it. */
#ifndef LSI_TEST_VALUE_DICE_H
#define LSI_TEST_VALUE_DICE_H

#include <stdint.h>
#include <string.h>

/* xorshift64 (Marsaglia 2003); *r is not 0. */
static inline uint64_t next(uint64_t *r) {
  *r ^= *r << 13;
  *r ^= *r >> 7;
  *r ^= *r << 17;
  return *r;
}

static inline double bits_of(uint64_t u) {
  double d;
  memcpy(&d, &u, sizeof d);
  return d;
}

#endif
