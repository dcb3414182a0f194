/* What the fuzz targets share. A target is one function of libFuzzer's, which reads any bytes and aborts
 * where what it fed them to broke a promise; replay.c runs the same function over the kept inputs. */
#ifndef LSI_FUZZ_H
#define LSI_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Like assert, but also in release builds. */
#define FUZZ_CHECK(condition)                                                        \
  do {                                                                               \
    if (!(condition)) {                                                              \
      fprintf(stderr, "%s:%d: this does not hold: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                                       \
    }                                                                                \
  } while (0)

/* Numbers taken from the front of the input; zeros when it has ended. */
struct fuzz_bytes {
  const uint8_t *at, *end;
};

static inline uint64_t fuzz_take(struct fuzz_bytes *b, unsigned bytes) {
  uint64_t v = 0;
  for (unsigned i = 0; i < bytes; i++)
    v |= (uint64_t)(b->at < b->end ? *b->at++ : 0) << (8 * i);
  return v;
}

#endif
