/* Fuzz target: a .npy header, and the same bytes as a list of ranges. A header that was read is written
 * and must read as the same. */
#include "fuzz.h"
#include "lists/npy.h"

static void check_again(const struct lsi_npy_header *a) {
  static char text[LSI_NPY_DATA];
  struct lsi_npy_header b;
  FUZZ_CHECK(lsi_npy_write_header(text, sizeof text, a->type, a->ndim, a->shape) == sizeof text);
  FUZZ_CHECK(lsi_npy_read_header(text, sizeof text, "again.npy", &b, NULL) == 0);
  FUZZ_CHECK(b.type.type == a->type.type && b.type.big == a->type.big && b.ndim == a->ndim);
  FUZZ_CHECK(!b.fortran && b.count == a->count && b.data_offset == sizeof text);
  FUZZ_CHECK(!memcmp(a->shape, b.shape, a->ndim * sizeof *a->shape));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct lsi_npy_header h;
  struct lsi_ranges r = {0};
  struct lsi_error error;
  lsi_error_clear(&error);
  int rc = lsi_npy_read_header(data, size, "fuzz.npy", &h, &error);
  FUZZ_CHECK((rc != 0) == (error.code != 0));
  FUZZ_CHECK(!rc || rc == LSIO_ERR_CORRUPT || rc == LSIO_ERR_USAGE);
  if (!rc) {
    FUZZ_CHECK(h.data_offset <= size && h.ndim <= LSI_NPY_MAX_NDIM && h.type.type < LSI_TYPE_COUNT);
    check_again(&h);
  }
  lsi_error_clear(&error);
  int ranges_rc = lsi_npy_ranges(data, size, "fuzz.npy", &r, &error);
  FUZZ_CHECK((ranges_rc != 0) == (error.code != 0) && (!rc || ranges_rc == rc));
  for (uint64_t i = 0; i < r.n; i++)
    FUZZ_CHECK(r.object[i] < r.n_objects && r.length[i] >= -1);
  lsi_ranges_free(&r);
  return 0;
}
