/* libFuzzer target: a .npy header, and the same bytes as a list of ranges.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Icore tests/fuzz/fuzz_npy.c \
 *     core/npy.c core/ranges.c core/types.c core/err.c core/mem.c -lm */
#include <stdlib.h>

#include "npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct lsi_npy_header h;
  struct lsi_ranges r = {0};
  struct lsi_error error;
  lsi_error_clear(&error);
  int rc = lsi_npy_read_header(data, size, "fuzz.npy", &h, &error);
  if ((rc != 0) != (error.code != 0) || (rc && rc != LSIO_ERR_CORRUPT && rc != LSIO_ERR_USAGE))
    abort();
  if (!rc && (h.data_offset > size || h.ndim > LSI_NPY_MAX_NDIM || h.type.type >= LSI_TYPE_COUNT))
    abort();
  if (lsi_npy_ranges(data, size, "fuzz.npy", &r, NULL) == 0) {
    for (uint64_t i = 0; i < r.n; i++)
      if (r.object[i] >= r.n_objects || r.length[i] < 0) abort();
    lsi_ranges_free(&r);
  }
  return 0;
}
