/* libFuzzer target: a CSV list of ranges.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Icore tests/fuzz/fuzz_csv.c \
 *     core/csv.c core/ranges.c core/err.c core/mem.c */
#include <stdlib.h>

#include "csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct lsi_ranges r = {0};
  struct lsi_error error;
  lsi_error_clear(&error);
  int rc = lsi_csv_ranges((const char *)data, size, "fuzz.csv", &r, &error);
  if ((rc != 0) != (error.code != 0) || (rc && rc != LSIO_ERR_USAGE)) abort();
  for (uint64_t i = 0; i < r.n; i++)
    if (r.object[i] >= r.n_objects || r.length[i] < 0 || !*lsi_ranges_name(&r, r.object[i])) abort();
  lsi_ranges_free(&r);
  return 0;
}
