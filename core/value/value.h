/* Values as lsio/value.h has them: trees of nodes that count references and never change. Thread-safe. */
#ifndef LSI_VALUE_H
#define LSI_VALUE_H

#include <stdatomic.h>

#include "ground/err.h"
#include "ground/types.h"

/* The head of each node; behind it lies what its kind has more. */
struct lsi_value {
  atomic_uint users; /* of nil and bool, which nobody frees, any number */
  uint32_t count;    /* of values within, keys and itself too */
  uint8_t kind;      /* enum lsio_value_kind */
  uint8_t depth;     /* of lists and maps, itself too */
  uint8_t type;      /* ARRAY: enum lsi_type */
  uint8_t ndim;      /* ARRAY */
  union {
    int64_t integer; /* BOOL, INT */
    uint64_t natural;
    double number;
    size_t n;        /* bytes, items, keys, elements */
  } is;
};

struct lsi_value_bytes {
  struct lsi_value head;
  char data[]; /* and a NUL */
};

struct lsi_value_items {
  struct lsi_value head;
  struct lsi_value *at[]; /* LIST: n; MAP: n values, then their n keys, in order */
};

struct lsi_value_elements {
  struct lsi_value head;
  const void *data;
  void (*release)(void *user); /* NULL: nobody has to be told */
  void *user;
  int64_t shape[];
};

static inline const char *lsi_value_bytes(const struct lsi_value *v) {
  return ((const struct lsi_value_bytes *)v)->data;
}
static inline struct lsi_value *const *lsi_value_items(const struct lsi_value *v) {
  return ((const struct lsi_value_items *)v)->at;
}
static inline struct lsi_value *const *lsi_value_keys(const struct lsi_value *v) {
  return lsi_value_items(v) + v->is.n;
}
static inline const void *lsi_value_elements(const struct lsi_value *v) {
  return ((const struct lsi_value_elements *)v)->data;
}

/* As the public ones. */
int lsi_value_list(struct lsi_value *const *items, size_t n, struct lsi_value **out, struct lsi_error *err);
int lsi_value_map(struct lsi_value *const *keys, struct lsi_value *const *values, size_t n,
                  struct lsi_value **out, struct lsi_error *err);
int lsi_value_array(const struct lsio_value_source *source, struct lsi_value **out, struct lsi_error *err);

/* An array of one dimension with memory of its own, all zeros, which whoever made it may fill. NULL: no
 * memory, or too large. */
struct lsi_value *lsi_value_zeros(enum lsi_type type, size_t n);

#endif
