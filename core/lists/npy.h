/* Headers of .npy files: read from untrusted bytes, and written. Thread-safe (no state). */
#ifndef LSI_NPY_H
#define LSI_NPY_H

#include "ground/err.h"
#include "ground/types.h"
#include "lists/ranges.h"

#define LSI_NPY_MAX_NDIM 32u
#define LSI_NPY_DATA 4096u /* what lsi_npy_write_header pads to */

struct lsi_npy_header {
  struct lsi_dtype type;
  bool fortran;         /* elements lie in Fortran order */
  uint32_t ndim;        /* 0 = a scalar: one element */
  int64_t shape[LSI_NPY_MAX_NDIM];
  uint64_t data_offset; /* bytes before the first element */
  uint64_t count;       /* elements; count * element size fits in 63 bits */
};

/* Do bytes[0 .. len) begin as a .npy file does? */
bool lsi_npy_begins(const void *bytes, size_t len);

/* Reads the header in bytes[0 .. len), format versions 1 to 3; the data need not be there. `name`
 * is for messages. 0, or LSIO_ERR_CORRUPT (not a .npy, cut short, nonsense) or LSIO_ERR_USAGE (an
 * element type that LSIO does not have; message names it). *out is set on success only. */
int lsi_npy_read_header(const void *bytes, size_t len, const char *name, struct lsi_npy_header *out,
                        struct lsi_error *err);

/* Writes a version 1.0 header in C order, padded with blanks so that data starts at a multiple of
 * LSI_NPY_DATA (always exactly there: 32 dimensions fit). Returns the header's bytes, 0 when `cap`
 * is smaller, ndim is more than LSI_NPY_MAX_NDIM or a shape is negative. */
size_t lsi_npy_write_header(char *buf, size_t cap, struct lsi_dtype type, uint32_t ndim,
                            const int64_t *shape);

/* A whole .npy file, i64, u64, i32 or u32 of either byte order, shape (N,3) or (N,4), in C or Fortran order:
 * object (0-based), offset, length (-1: to the end), tag. *out is set on success only; lsi_ranges_free.
 * 0, LSIO_ERR_CORRUPT, LSIO_ERR_USAGE (wrong type, shape or value; the message names the row),
 * LSIO_ERR_LIMIT (too many rows) or LSIO_ERR_NOMEM. */
int lsi_npy_ranges(const void *bytes, size_t len, const char *name, struct lsi_ranges *out,
                   struct lsi_error *err);

#endif
