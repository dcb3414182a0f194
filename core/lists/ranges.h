/* A list of ranges as a file gave it: rows in flat arrays that lsi_request_add_chunks takes as they
 * are. Read from CSV (csv.h) or .npy (npy.h). Not thread-safe while it is filled. */
#ifndef LSI_RANGES_H
#define LSI_RANGES_H

#include "ground/base.h"

struct lsi_ranges {
  uint64_t n;            /* rows, at most 2^32 - 1 */
  uint32_t *object;      /* n */
  int64_t *offset;       /* n, bytes; negative counts from the object's end */
  int64_t *length;       /* n, bytes, >= 0, or -1: up to the object's end */
  int64_t *tag;          /* n, or NULL: the file has none */
  /* CSV: the distinct paths in the order of their first row. .npy: names and name_at are NULL and
   * n_objects is the greatest index + 1. */
  uint32_t n_objects;
  uint64_t *name_at;     /* n_objects offsets into names */
  char *names;           /* NUL-terminated, one after the other */
  uint64_t names_length; /* bytes, with the NULs */
};

static inline const char *lsi_ranges_name(const struct lsi_ranges *r, uint32_t object) {
  return r->names + r->name_at[object];
}
/* Frees the arrays and zeroes *r; fine on a zeroed one. */
void lsi_ranges_free(struct lsi_ranges *r);

#endif
