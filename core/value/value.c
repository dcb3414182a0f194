/* Values: making, sharing and freeing them. */
#include "value/value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ground/mem.h"

/* ---- of one piece ---- */

static struct lsi_value nothing = {.users = 1, .count = 1, .kind = LSIO_VALUE_NIL};
static struct lsi_value truths[] = {
    {.users = 1, .count = 1, .kind = LSIO_VALUE_BOOL},
    {.users = 1, .count = 1, .kind = LSIO_VALUE_BOOL, .is.integer = 1},
};

lsio_value *lsio_value_nil(void) { return &nothing; }
lsio_value *lsio_value_bool(int v) { return &truths[v != 0]; }

static bool is_static(const struct lsi_value *v) { return v->kind <= LSIO_VALUE_BOOL; }

/* `more` bytes lie behind the head, and n things that take `each` bytes. */
static void *make(enum lsio_value_kind kind, size_t more, size_t n, size_t each) {
  size_t bytes;
  if (lsi_mul_overflow(n, each, &bytes) || lsi_add_overflow(bytes, sizeof(struct lsi_value) + more, &bytes))
    return NULL;
  struct lsi_value *v = lsi_malloc(bytes);
  if (!v) return NULL;
  *v = (struct lsi_value){.count = 1, .kind = (uint8_t)kind};
  atomic_init(&v->users, 1);
  return v;
}

lsio_value *lsio_value_int(int64_t i) {
  struct lsi_value *v = make(LSIO_VALUE_INT, 0, 0, 0);
  if (v) v->is.integer = i;
  return v;
}

lsio_value *lsio_value_uint(uint64_t u) {
  struct lsi_value *v = make(LSIO_VALUE_UINT, 0, 0, 0);
  if (v) v->is.natural = u;
  return v;
}

lsio_value *lsio_value_double(double d) {
  struct lsi_value *v = make(LSIO_VALUE_DOUBLE, 0, 0, 0);
  if (v) v->is.number = d;
  return v;
}

lsio_value *lsio_value_bytes(const void *data, size_t length) {
  struct lsi_value_bytes *v = make(LSIO_VALUE_BYTES, 1, length, 1);
  if (!v) return NULL;
  v->head.is.n = length;
  if (length) memcpy(v->data, data, length);
  v->data[length] = 0;
  return &v->head;
}

/* ---- references ---- */

lsio_value *lsio_value_retain(const lsio_value *v) {
  struct lsi_value *own = (struct lsi_value *)(uintptr_t)v; /* none of them lies in const memory */
  if (!is_static(own)) atomic_fetch_add_explicit(&own->users, 1, memory_order_relaxed);
  return own;
}

static void release_all(struct lsi_value *const *list, size_t n) {
  for (size_t i = 0; i < n; i++) lsio_value_release(list[i]);
}

/* Calls itself, but never deeper than values are. */
void lsio_value_release(lsio_value *v) {
  if (!v || is_static(v) || atomic_fetch_sub_explicit(&v->users, 1, memory_order_acq_rel) > 1) return;
  if (v->kind == LSIO_VALUE_LIST) release_all(lsi_value_items(v), v->is.n);
  if (v->kind == LSIO_VALUE_MAP) release_all(lsi_value_items(v), 2 * v->is.n);
  if (v->kind == LSIO_VALUE_ARRAY) {
    const struct lsi_value_elements *a = (const struct lsi_value_elements *)v;
    if (a->release) a->release(a->user);
  }
  lsi_free(v);
}

/* ---- of many ---- */

/* Adds one more to what v holds. */
static int add(struct lsi_value *v, const struct lsi_value *item, size_t i, const char *what,
               struct lsi_error *err) {
  static const char *const remedy = "values are made from the inside out: see lsio/value.h";
  if (!item) {
    lsi_fail(err, LSIO_ERR_NOMEM, 0, "%s %zu is NULL: there was no memory to make it", what, i);
    return LSIO_ERR_NOMEM;
  }
  v->count += item->count; /* below 2^25 */
  if (v->count > LSIO_VALUE_COUNT_MAX) {
    lsi_fail(err, LSIO_ERR_USAGE, 0, "more than %d values in one, with %s %zu", LSIO_VALUE_COUNT_MAX, what,
             i);
    lsi_error_remedy(err, "numbers of one type fit into an array, which counts as one");
    return LSIO_ERR_USAGE;
  }
  if (item->depth >= v->depth) v->depth = (uint8_t)(item->depth + 1);
  if (v->depth > LSIO_VALUE_DEPTH_MAX + 1) {
    lsi_fail(err, LSIO_ERR_USAGE, 0, "more than %d lists and maps around another one, with %s %zu",
             LSIO_VALUE_DEPTH_MAX, what, i);
    lsi_error_remedy(err, "%s", remedy);
    return LSIO_ERR_USAGE;
  }
  return 0;
}

static struct lsi_value_items *make_items(enum lsio_value_kind kind, size_t n, size_t each,
                                          struct lsi_error *err) {
  struct lsi_value_items *v = n <= LSIO_VALUE_COUNT_MAX ? make(kind, 0, n * each, sizeof *v->at) : NULL;
  if (v) {
    v->head.depth = 1;
    v->head.is.n = n;
  } else if (n > LSIO_VALUE_COUNT_MAX) {
    lsi_fail(err, LSIO_ERR_USAGE, 0, "%zu values in one: at most %d", n, LSIO_VALUE_COUNT_MAX);
    lsi_error_remedy(err, "numbers of one type fit into an array, which counts as one");
  } else {
    lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a value of %zu", n);
  }
  return v;
}

static int code_of(const struct lsi_error *err) { return err->code; }

int lsi_value_list(struct lsi_value *const *items, size_t n, struct lsi_value **out, struct lsi_error *err) {
  struct lsi_value_items *v = make_items(LSIO_VALUE_LIST, n, 1, err);
  int rc = v ? 0 : code_of(err);
  for (size_t i = 0; i < n && !rc; i++) rc = add(&v->head, v->at[i] = items[i], i, "item", err);
  if (rc) {
    release_all(items, n);
    lsi_free(v);
    return rc;
  }
  *out = &v->head;
  return 0;
}

struct pair {
  struct lsi_value *key, *value;
};

static double key_number(const struct lsi_value *k) {
  if (k->kind == LSIO_VALUE_INT) return (double)k->is.integer;
  return k->kind == LSIO_VALUE_UINT ? (double)k->is.natural : k->is.number;
}

static int compare_keys(const struct lsi_value *a, const struct lsi_value *b) {
  const bool text_a = a->kind == LSIO_VALUE_BYTES, text_b = b->kind == LSIO_VALUE_BYTES;
  if (text_a != text_b) return text_a - text_b;
  if (!text_a) {
    const double x = key_number(a), y = key_number(b);
    return (x > y) - (x < y);
  }
  const int order = memcmp(lsi_value_bytes(a), lsi_value_bytes(b), LSI_MIN(a->is.n, b->is.n));
  return order ? order : (a->is.n > b->is.n) - (a->is.n < b->is.n);
}

static int compare_pairs(const void *a, const void *b) {
  return compare_keys(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

#define EXACT ((int64_t)1 << 53) /* whole numbers up to here are doubles */

static int check_key(const struct lsi_value *k, size_t i, struct lsi_error *err) {
  if (k->kind == LSIO_VALUE_BYTES || (k->kind == LSIO_VALUE_DOUBLE && !isnan(k->is.number)) ||
      (k->kind == LSIO_VALUE_INT && k->is.integer >= -EXACT && k->is.integer <= EXACT) ||
      (k->kind == LSIO_VALUE_UINT && k->is.natural <= (uint64_t)EXACT))
    return 0;
  return lsi_fail(err, LSIO_ERR_USAGE, 0,
                  "key %zu of a map is of kind %d: keys are bytes or numbers, no NaN and no integer beyond "
                  "2^53",
                  i, k->kind);
}

static int check_same(const struct lsi_value *a, const struct lsi_value *b, struct lsi_error *err) {
  if (compare_keys(a, b) != 0) return 0;
  if (a->kind == LSIO_VALUE_BYTES)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "a map has the key '%.64s' twice", lsi_value_bytes(a));
  return lsi_fail(err, LSIO_ERR_USAGE, 0, "a map has the key %.17g twice", key_number(a));
}

int lsi_value_map(struct lsi_value *const *keys, struct lsi_value *const *values, size_t n,
                  struct lsi_value **out, struct lsi_error *err) {
  struct lsi_value_items *v = make_items(LSIO_VALUE_MAP, n, 2, err);
  struct pair *pairs = v ? lsi_reallocarray(NULL, n, sizeof *pairs) : NULL;
  int rc = !v      ? code_of(err)
           : pairs ? 0
                   : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a map of %zu keys", n);
  for (size_t i = 0; i < n && !rc; i++) {
    rc = add(&v->head, keys[i], i, "key", err);
    if (!rc) rc = check_key(keys[i], i, err);
    if (!rc) rc = add(&v->head, values[i], i, "value", err);
    if (!rc) pairs[i] = (struct pair){keys[i], values[i]};
  }
  if (!rc && n) qsort(pairs, n, sizeof *pairs, compare_pairs);
  for (size_t i = 0; i < n && !rc; i++) {
    v->at[i] = pairs[i].value;
    v->at[n + i] = pairs[i].key;
    if (i) rc = check_same(pairs[i - 1].key, pairs[i].key, err);
  }
  lsi_free(pairs);
  if (rc) {
    release_all(keys, n);
    release_all(values, n);
    lsi_free(v);
    return rc;
  }
  *out = &v->head;
  return 0;
}

/* ---- arrays ---- */

static int count_elements(const struct lsio_value_source *s, size_t *n, struct lsi_error *err) {
  if (s->ndim > LSIO_VALUE_NDIM_MAX || (s->ndim && !s->shape))
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "an array of %u dimensions: from 0 to %d, with their shape",
                    s->ndim, LSIO_VALUE_NDIM_MAX);
  bool empty = false;
  size_t product = 1;
  for (uint32_t i = 0; i < s->ndim; i++) empty = empty || s->shape[i] == 0;
  for (uint32_t i = 0; i < s->ndim; i++) {
    if (s->shape[i] < 0)
      return lsi_fail(err, LSIO_ERR_USAGE, 0, "dimension %u of an array is %lld: at least 0", i,
                      (long long)s->shape[i]);
    if (!empty && (lsi_mul_overflow(product, (size_t)s->shape[i], &product) || product > PTRDIFF_MAX / 8))
      return lsi_fail(err, LSIO_ERR_USAGE, 0, "an array has more elements than there is room for addresses");
  }
  *n = empty ? 0 : product;
  return 0;
}

static int check_source(const struct lsio_value_source *s, struct lsi_dtype *type, size_t *n,
                        struct lsi_error *err) {
  if (!s->type || !lsi_dtype_parse(s->type, type) || type->big)
    return lsi_fail(err, LSIO_ERR_USAGE, 0,
                    "an array of type '%.32s': valid are u8, i16, f64 and the like, in native byte order",
                    s->type ? s->type : "");
  const int rc = count_elements(s, n, err);
  if (rc) return rc;
  if (*n && !s->data) return lsi_fail(err, LSIO_ERR_USAGE, 0, "an array of %zu elements has no data", *n);
  if ((uintptr_t)s->data % lsi_type_size(type->type))
    return lsi_fail(err, LSIO_ERR_USAGE, 0,
                    "the data of an array is not aligned to its elements of %zu bytes",
                    lsi_type_size(type->type));
  return 0;
}

int lsi_value_array(const struct lsio_value_source *s, struct lsi_value **out, struct lsi_error *err) {
  struct lsi_dtype type = {0};
  size_t n = 0;
  int rc = check_source(s, &type, &n, err);
  struct lsi_value_elements *v = NULL;
  if (!rc) {
    v = make(LSIO_VALUE_ARRAY, sizeof *v - sizeof v->head, s->ndim, sizeof *v->shape);
    if (!v) rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for an array");
  }
  if (rc) {
    if (s->release) s->release(s->user);
    return rc;
  }
  v->head.type = type.type;
  v->head.ndim = (uint8_t)s->ndim;
  v->head.is.n = n;
  v->data = s->data;
  v->release = s->release;
  v->user = s->user;
  if (s->ndim) memcpy(v->shape, s->shape, s->ndim * sizeof *v->shape);
  *out = &v->head;
  return 0;
}

struct lsi_value *lsi_value_zeros(enum lsi_type type, size_t n) {
  size_t bytes;
  if (n > PTRDIFF_MAX / 8 || lsi_mul_overflow(n, lsi_type_size(type), &bytes)) return NULL;
  void *data = lsi_alloc_aligned(LSI_CACHE_LINE, bytes);
  if (!data) return NULL;
  const int64_t shape = (int64_t)n;
  const struct lsio_value_source s = {.struct_size = sizeof s, .data = data, .type = lsi_type_name(type),
                                      .ndim = 1, .shape = &shape, .release = lsi_free, .user = data};
  struct lsi_value *v = NULL;
  lsi_value_array(&s, &v, NULL);
  return v;
}
