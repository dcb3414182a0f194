/* Values: what they are. */
#include <string.h>

#include "value/value.h"

int lsio_value_kind(const lsio_value *v) { return v->kind; }

void lsio_value_get(const lsio_value *v, struct lsio_value_view *out) {
  struct lsio_value_view x = {.struct_size = out->struct_size, .kind = v->kind};
  switch ((enum lsio_value_kind)v->kind) {
    case LSIO_VALUE_NIL: break;
    case LSIO_VALUE_BOOL:
    case LSIO_VALUE_INT: x.integer = v->is.integer; break;
    case LSIO_VALUE_UINT: x.natural = v->is.natural; break;
    case LSIO_VALUE_DOUBLE: x.number = v->is.number; break;
    case LSIO_VALUE_BYTES:
      x.data = lsi_value_bytes(v);
      x.length = v->is.n;
      break;
    case LSIO_VALUE_MAP:
      x.keys = (const lsio_value *const *)lsi_value_keys(v); /* fallthrough */
    case LSIO_VALUE_LIST:
      x.items = (const lsio_value *const *)lsi_value_items(v);
      x.n = v->is.n;
      break;
    case LSIO_VALUE_ARRAY:
      x.data = lsi_value_elements(v);
      x.n = v->is.n;
      x.length = v->is.n * lsi_type_size(v->type);
      x.type = lsi_type_name(v->type);
      x.ndim = v->ndim;
      x.shape = ((const struct lsi_value_elements *)v)->shape;
  }
  memcpy(out, &x, LSI_MIN(out->struct_size, sizeof x));
}

/* ---- numbers ---- */

int lsio_value_as_int(const lsio_value *v, int64_t *out) {
  const double d = v->is.number;
  if (v->kind == LSIO_VALUE_INT)
    *out = v->is.integer;
  else if (v->kind == LSIO_VALUE_UINT && v->is.natural <= INT64_MAX)
    *out = (int64_t)v->is.natural;
  else if (v->kind == LSIO_VALUE_DOUBLE && d >= -0x1p63 && d < 0x1p63 && (double)(int64_t)d == d)
    *out = (int64_t)d;
  else
    return LSIO_ERR_USAGE;
  return 0;
}

int lsio_value_as_uint(const lsio_value *v, uint64_t *out) {
  const double d = v->is.number;
  if (v->kind == LSIO_VALUE_UINT)
    *out = v->is.natural;
  else if (v->kind == LSIO_VALUE_INT && v->is.integer >= 0)
    *out = (uint64_t)v->is.integer;
  else if (v->kind == LSIO_VALUE_DOUBLE && d >= 0 && d < 0x1p64 && (double)(uint64_t)d == d)
    *out = (uint64_t)d;
  else
    return LSIO_ERR_USAGE;
  return 0;
}

int lsio_value_as_double(const lsio_value *v, double *out) {
  if (v->kind == LSIO_VALUE_DOUBLE) {
    *out = v->is.number;
    return 0;
  }
  /* The ends of both types round to powers of two that they don't hold. */
  const double i = (double)v->is.integer, u = (double)v->is.natural;
  if (v->kind == LSIO_VALUE_INT && i < 0x1p63 && (int64_t)i == v->is.integer)
    *out = i;
  else if (v->kind == LSIO_VALUE_UINT && u < 0x1p64 && (uint64_t)u == v->is.natural)
    *out = u;
  else
    return LSIO_ERR_USAGE;
  return 0;
}

/* ---- maps ---- */

const lsio_value *lsio_value_find(const lsio_value *map, const char *name) {
  if (map->kind != LSIO_VALUE_MAP) return NULL;
  struct lsi_value *const *keys = lsi_value_keys(map);
  const size_t length = strlen(name);
  size_t low = 0, high = map->is.n;
  while (low < high) {
    const size_t at = low + (high - low) / 2;
    const struct lsi_value *k = keys[at];
    int order = -1; /* numbers come first */
    if (k->kind == LSIO_VALUE_BYTES) {
      order = memcmp(lsi_value_bytes(k), name, LSI_MIN(k->is.n, length));
      if (!order) order = (k->is.n > length) - (k->is.n < length);
    }
    if (!order) return lsi_value_items(map)[at];
    if (order < 0) low = at + 1;
    else high = at;
  }
  return NULL;
}
