/* Values: parameters of jobs, and states that they end with. Read lsio.h first; programs include that. */
#ifndef LSIO_VALUE_H
#define LSIO_VALUE_H

#include "lsio/error.h"

LSIO_BEGIN

/* ---- Values -------------------------------------------------------------------------------------
 * What goes into a job as a parameter and comes out of it as its reduced state, without text on the way:
 * integers keep all their bits, bytes are bytes, NaN and infinities are what they are.
 *   A value is whole when it is made and never changes: it can't hold itself, and any threads may read,
 * retain and release it at once. It counts its references. Whoever makes one, or gets one by an `out`,
 * holds one reference and gives it back by lsio_value_release; what is within a value lives as long as that.
 *   Values are made from the inside out: first the items, then the list that takes them over. A NULL among
 * them, for which there was no memory, makes the list fail with LSIO_ERR_NOMEM, so that a program may check
 * the last call only.
 *   Limits: at most LSIO_VALUE_DEPTH_MAX lists and maps lie around another one, and LSIO_VALUE_COUNT_MAX
 * values in one; keys count, and what is shared counts as often as it is met. What is beyond that is
 * LSIO_ERR_USAGE. */
#define LSIO_VALUE_DEPTH_MAX 64
#define LSIO_VALUE_COUNT_MAX 16777216
#define LSIO_VALUE_NDIM_MAX 32

enum lsio_value_kind {
  LSIO_VALUE_NIL = 0, /* nothing is there */
  LSIO_VALUE_BOOL = 1,
  LSIO_VALUE_INT = 2, /* int64 */
  LSIO_VALUE_UINT = 3, /* uint64 */
  LSIO_VALUE_DOUBLE = 4,
  LSIO_VALUE_BYTES = 5, /* text too; any bytes, NUL among them */
  LSIO_VALUE_LIST = 6,
  LSIO_VALUE_MAP = 7,
  LSIO_VALUE_ARRAY = 8 /* elements of one type, in native byte order */
};

typedef struct lsi_value lsio_value; /* opaque */

/* NULL: no memory, which nil and bool never need. */
LSIO_API lsio_value *lsio_value_nil(void);
LSIO_API lsio_value *lsio_value_bool(int v);
LSIO_API lsio_value *lsio_value_int(int64_t v);
LSIO_API lsio_value *lsio_value_uint(uint64_t v);
LSIO_API lsio_value *lsio_value_double(double v);
LSIO_API lsio_value *lsio_value_bytes(const void *data, size_t length); /* copied */

/* Of n items, in their order. `items` itself is borrowed until the call returns; the items in it are handed
 * over, also when the call fails. */
LSIO_API int lsio_value_list(lsio_value *const *items, size_t n, lsio_value **out, lsio_error **error);
/* Of n keys and what each stands for, both handed over as items of a list are. A key is bytes, or a number:
 * an INT, UINT or DOUBLE, but no NaN, no integer beyond 2^53. Two keys that are one (5 and 5.0) are
 * LSIO_ERR_USAGE. A map keeps its keys in order: numbers, then bytes as memcmp has them. */
LSIO_API int lsio_value_map(lsio_value *const *keys, lsio_value *const *values, size_t n, lsio_value **out,
                            lsio_error **error);
/* The same, with names for keys, which are copied. */
LSIO_API int lsio_value_record(const char *const *names, lsio_value *const *values, size_t n,
                               lsio_value **out, lsio_error **error);

/* An array of the caller's, which is not copied: it must stay as it is until `release` is called. */
struct lsio_value_source {
  size_t struct_size;
  const void *data;     /* aligned to its elements; borrowed until release; NULL: there are no elements */
  const char *type;     /* of an element: "u8", "f64", ..., or as numpy has it ("<f8"); in native byte
                           order; copied */
  uint32_t ndim;        /* at most LSIO_VALUE_NDIM_MAX; 0: one element */
  const int64_t *shape; /* ndim of them; elements lie without gaps, the last index runs fastest; copied */
  /* NULL, or called once when the last reference is gone, on the thread that gave it back (of the program's,
   * or of a context's); also when lsio_value_array fails, before that returns, but for a struct_size that is
   * too small. It must call nothing of LSIO but lsio_value_release. */
  void (*release)(void *user);
  void *user;
};
LSIO_API int lsio_value_array(const struct lsio_value_source *source, lsio_value **out,
                              lsio_error **error);

/* One reference more; returns v. */
LSIO_API lsio_value *lsio_value_retain(const lsio_value *v);
/* One less; with the last one the value goes, and what it holds. NULL is fine. */
LSIO_API void lsio_value_release(lsio_value *v);

/* All that there is to know of a value, by one call. What does not belong to its kind is zero. Pointers
 * belong to the value. */
struct lsio_value_view {
  size_t struct_size; /* in: what the caller has room for */
  uint32_t kind;      /* enum lsio_value_kind */
  uint32_t ndim;      /* ARRAY */
  int64_t integer;    /* INT; BOOL: 0 or 1 */
  uint64_t natural;   /* UINT */
  double number;      /* DOUBLE */
  size_t n;           /* items of a LIST, keys of a MAP, elements of an ARRAY */
  const void *data;   /* BYTES (a NUL stands behind them), ARRAY */
  size_t length;      /* of data, in bytes */
  const lsio_value *const *items; /* LIST: n of them; MAP: what the keys stand for */
  const lsio_value *const *keys;  /* MAP */
  const char *type;   /* ARRAY: "f64", ...; static */
  const int64_t *shape; /* ARRAY: ndim of them */
};
LSIO_API void lsio_value_get(const lsio_value *v, struct lsio_value_view *out);
LSIO_API int lsio_value_kind(const lsio_value *v); /* enum lsio_value_kind */
/* Of an INT, UINT or DOUBLE, if *out holds just that number; a DOUBLE is NaN or infinite for the last one
 * only. Else LSIO_ERR_USAGE, and *out is as it was. */
LSIO_API int lsio_value_as_int(const lsio_value *v, int64_t *out);
LSIO_API int lsio_value_as_uint(const lsio_value *v, uint64_t *out);
LSIO_API int lsio_value_as_double(const lsio_value *v, double *out);
/* What a name stands for in a map; belongs to the map. NULL: it has no such key, or is no map. */
LSIO_API const lsio_value *lsio_value_find(const lsio_value *map, const char *name);

LSIO_END

#endif
