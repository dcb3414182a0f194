/* The header of a .npy file is a Python dictionary of three known entries; this parser takes those
 * in any order and with any blanks, and nothing else. */
#include "lists/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ground/mem.h"

#define MAGIC "\x93NUMPY"
#define HEADER_MAX ((uint32_t)1 << 20)

struct parser {
  const char *at, *end, *name;
  struct lsi_npy_header *h;
  struct lsi_error *err;
};

static int corrupt(const struct parser *p, const char *what) {
  return lsi_fail(p->err, LSIO_ERR_CORRUPT, 0, "'%s' is not a valid .npy file: %s", p->name, what);
}

/* ---- the dictionary ---- */

static void blanks(struct parser *p) {
  while (p->at < p->end && *p->at && strchr(" \t\r\n\f", *p->at)) p->at++;
}

/* Takes `c` and blanks before it. */
static bool take(struct parser *p, char c) {
  blanks(p);
  if (p->at == p->end || *p->at != c) return false;
  p->at++;
  return true;
}

static bool take_word(struct parser *p, const char *word) {
  size_t n = strlen(word);
  if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n)) return false;
  p->at += n;
  return true;
}

/* A string literal without escapes, cut to what fits; its length does not include the quotes. */
static bool take_string(struct parser *p, char *out, size_t cap) {
  blanks(p);
  if (p->at == p->end || (*p->at != '\'' && *p->at != '"')) return false;
  char quote = *p->at++;
  const char *text = p->at;
  for (; p->at < p->end && *p->at != quote; p->at++)
    if (*p->at == '\\' || (unsigned char)*p->at < 32) return false;
  if (p->at == p->end) return false;
  size_t n = LSI_MIN((size_t)(p->at - text), cap - 1);
  memcpy(out, text, n);
  out[n] = 0;
  p->at++;
  return true;
}

static int read_type(struct parser *p) {
  char text[64];
  blanks(p);
  bool structured = p->at < p->end && (*p->at == '[' || *p->at == '(' || *p->at == '{');
  if (!structured && !take_string(p, text, sizeof text))
    return corrupt(p, "its descr is neither a type nor a structure");
  if (structured)
    snprintf(text, sizeof text, "a structure");
  else if (strchr("<>|=", text[0]) && lsi_dtype_parse(text, &p->h->type))
    return 0;
  lsi_fail(p->err, LSIO_ERR_USAGE, 0, "'%s' has elements of a type that LSIO does not have: %s",
           p->name, text);
  lsi_error_remedy(p->err, "types are i1 to i8, u1 to u8, f4 and f8 of either byte order");
  return LSIO_ERR_USAGE;
}

static int read_fortran(struct parser *p) {
  blanks(p);
  if (take_word(p, "True"))
    p->h->fortran = true;
  else if (take_word(p, "False"))
    p->h->fortran = false;
  else
    return corrupt(p, "its fortran_order is neither True nor False");
  return 0;
}

static int read_dimension(struct parser *p) {
  uint64_t v = 0;
  const char *first = p->at;
  for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
    if (lsi_mul_overflow(v, (uint64_t)10, &v) ||
        lsi_add_overflow(v, (uint64_t)(*p->at - '0'), &v) || v > INT64_MAX)
      return corrupt(p, "a dimension does not fit in 64 bits");
  if (p->at == first) return corrupt(p, "its shape is not a tuple of whole numbers");
  if (p->at < p->end && *p->at == 'L') p->at++; /* written by Python 2 */
  if (p->h->ndim == LSI_NPY_MAX_NDIM) return corrupt(p, "it has more than 32 dimensions");
  p->h->shape[p->h->ndim++] = (int64_t)v;
  return 0;
}

static int read_shape(struct parser *p) {
  p->h->ndim = 0;
  if (!take(p, '(')) return corrupt(p, "its shape is not a tuple");
  bool comma = true;
  while (!take(p, ')')) {
    if (!comma) return corrupt(p, "a comma is missing in its shape");
    int rc = read_dimension(p);
    if (rc) return rc;
    comma = take(p, ',');
  }
  if (p->h->ndim == 1 && !comma) return corrupt(p, "its shape is not a tuple");
  return 0;
}

static int read_dictionary(struct parser *p) {
  static const struct {
    const char *key;
    int (*read)(struct parser *);
  } entries[] = {{"descr", read_type}, {"fortran_order", read_fortran}, {"shape", read_shape}};
  unsigned seen = 0;
  bool comma = true;
  if (!take(p, '{')) return corrupt(p, "its header is not a dictionary");
  while (!take(p, '}')) {
    char key[32];
    if (!comma || !take_string(p, key, sizeof key) || !take(p, ':'))
      return corrupt(p, "its header is not a dictionary");
    size_t i = 0;
    while (i < LSI_COUNTOF(entries) && strcmp(entries[i].key, key)) i++;
    if (i == LSI_COUNTOF(entries) || seen & 1u << i)
      return corrupt(p, "its header has an entry too many");
    seen |= 1u << i;
    int rc = entries[i].read(p);
    if (rc) return rc;
    comma = take(p, ',');
  }
  blanks(p);
  if (p->at != p->end) return corrupt(p, "its header goes on after the dictionary");
  return seen == 7 ? 0 : corrupt(p, "its header lacks descr, fortran_order or shape");
}

static int count_elements(struct parser *p) {
  struct lsi_npy_header *h = p->h;
  uint64_t count = 1, bytes;
  bool fits = true, empty = false;
  for (uint32_t i = 0; i < h->ndim; i++) {
    empty |= !h->shape[i];
    fits &= !lsi_mul_overflow(count, (uint64_t)h->shape[i], &count);
  }
  if (empty) count = 0;
  else if (!fits || lsi_mul_overflow(count, (uint64_t)lsi_type_size(h->type.type), &bytes) ||
           bytes > INT64_MAX)
    return corrupt(p, "its shape is larger than any file");
  h->count = count;
  return 0;
}

bool lsi_npy_begins(const void *bytes, size_t len) { return len >= 6 && memcmp(bytes, MAGIC, 6) == 0; }

int lsi_npy_read_header(const void *bytes, size_t len, const char *name, struct lsi_npy_header *out,
                        struct lsi_error *err) {
  const uint8_t *b = bytes;
  struct lsi_npy_header h = {0};
  struct parser p = {.name = name, .h = &h, .err = err};
  if (!lsi_npy_begins(b, len)) return corrupt(&p, "it does not begin with \\x93NUMPY");
  if (len < 10) return corrupt(&p, "it is cut short");
  if (b[6] < 1 || b[6] > 3) return corrupt(&p, "its format version is unknown");
  size_t start = b[6] == 1 ? 10 : 12;
  if (len < start) return corrupt(&p, "it is cut short");
  uint32_t length = b[8] | (uint32_t)b[9] << 8;
  if (b[6] > 1) length |= (uint32_t)b[10] << 16 | (uint32_t)b[11] << 24;
  if (length > HEADER_MAX) return corrupt(&p, "its header is larger than 1 MiB");
  if (len - start < length) return corrupt(&p, "it is cut short");
  p.at = (const char *)b + start;
  p.end = p.at + length;
  int rc = read_dictionary(&p);
  if (!rc) rc = count_elements(&p);
  if (rc) return rc;
  h.data_offset = start + length;
  *out = h;
  return 0;
}

/* ---- writing ---- */

size_t lsi_npy_write_header(char *buf, size_t cap, struct lsi_dtype type, uint32_t ndim,
                            const int64_t *shape) {
  char descr[4];
  if (cap < LSI_NPY_DATA || ndim > LSI_NPY_MAX_NDIM) return 0;
  lsi_dtype_descr(type, descr);
  memset(buf, ' ', LSI_NPY_DATA);
  memcpy(buf, MAGIC "\1", 8); /* version 1.0, its 0 from the string's end */
  const unsigned length = LSI_NPY_DATA - 10;
  buf[8] = (char)(length & 0xFF);
  buf[9] = (char)(length >> 8);
  /* 32 dimensions of 19 digits take less than 800 bytes. */
  size_t at = 10;
  at += (size_t)snprintf(buf + at, LSI_NPY_DATA - at,
                         "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
  for (uint32_t i = 0; i < ndim; i++) {
    if (shape[i] < 0) return 0;
    at += (size_t)snprintf(buf + at, LSI_NPY_DATA - at, "%s%" PRId64, i ? ", " : "", shape[i]);
  }
  at += (size_t)snprintf(buf + at, LSI_NPY_DATA - at, "%s), }", ndim == 1 ? "," : "");
  buf[at] = ' '; /* was snprintf's NUL */
  buf[LSI_NPY_DATA - 1] = '\n';
  return LSI_NPY_DATA;
}

/* ---- ranges ---- */

static inline uint64_t bytes_at(const uint8_t *p, int n, bool big) {
  uint64_t v = 0;
  for (int i = 0; i < n; i++) v |= (uint64_t)p[big ? n - 1 - i : i] << (8 * i);
  return v;
}

/* A u64 beyond 63 bits comes as a negative number. */
static inline int64_t load(const uint8_t *p, struct lsi_dtype type) {
  if (type.type == LSI_I32) return (int32_t)(uint32_t)bytes_at(p, 4, type.big);
  if (type.type == LSI_U32) return (int64_t)bytes_at(p, 4, type.big);
  return (int64_t)bytes_at(p, 8, type.big);
}

static bool is_of_ranges(enum lsi_type type) {
  return type == LSI_I64 || type == LSI_U64 || type == LSI_I32 || type == LSI_U32;
}

static int check_table(const struct parser *p, size_t len) {
  const struct lsi_npy_header *h = p->h;
  if (!is_of_ranges(h->type.type) || h->ndim != 2 || (h->shape[1] != 3 && h->shape[1] != 4)) {
    lsi_fail(p->err, LSIO_ERR_USAGE, 0,
             "'%s' does not hold ranges: they are int64, uint64, int32 or uint32 of shape (N, 3) or (N, 4)",
             p->name);
    lsi_error_remedy(p->err, "the columns are object, offset, length and, with 4, tag");
    return LSIO_ERR_USAGE;
  }
  const uint64_t bytes = h->count * lsi_type_size(h->type.type); /* fits */
  if (len - h->data_offset != bytes)
    return corrupt(p, len - h->data_offset < bytes ? "it is cut short" : "bytes follow its data");
  if (h->shape[0] > UINT32_MAX)
    return lsi_fail(p->err, LSIO_ERR_LIMIT, 0, "'%s' has more than %u rows", p->name, UINT32_MAX);
  return 0;
}

#define MOST "9223372036854775807"

static int bad_value(const struct parser *p, size_t row, const char *column, int64_t v,
                     const char *expected) {
  char digits[24];
  if (p->h->type.type == LSI_U64) snprintf(digits, sizeof digits, "%" PRIu64, (uint64_t)v);
  else snprintf(digits, sizeof digits, "%" PRId64, v);
  return lsi_fail(p->err, LSIO_ERR_USAGE, 0, "'%s', row %zu: the %s is %s, expected %s", p->name, row, column,
                  digits, expected);
}

static int fill_ranges(const struct parser *p, const uint8_t *data, struct lsi_ranges *r) {
  const struct lsi_npy_header *h = p->h;
  const struct lsi_dtype type = h->type;
  const int64_t least = type.type == LSI_U64 ? 0 : INT64_MIN; /* of what is any number */
  const size_t columns = (size_t)h->shape[1], n = r->n, size = lsi_type_size(type.type);
  const size_t row = size * (h->fortran ? 1 : columns), column = size * (h->fortran ? n : 1);
  for (size_t i = 0; i < n; i++, data += row) {
    int64_t object = load(data, type);
    r->offset[i] = load(data + column, type);
    r->length[i] = load(data + 2 * column, type);
    if (r->tag) r->tag[i] = load(data + 3 * column, type);
    if (object < 0 || object >= UINT32_MAX) return bad_value(p, i, "object", object, "0 to 4294967294");
    if (r->offset[i] < least) return bad_value(p, i, "offset", r->offset[i], "0 to " MOST);
    if (r->length[i] < LSI_MAX(least, -1))
      return bad_value(p, i, "length", r->length[i],
                       least ? "0 or more, or -1 (to the end)" : "0 to " MOST " (int64 has -1, to the end)");
    if (r->tag && r->tag[i] < least) return bad_value(p, i, "tag", r->tag[i], "0 to " MOST);
    r->object[i] = (uint32_t)object;
    r->n_objects = LSI_MAX(r->n_objects, (uint32_t)object + 1);
  }
  return 0;
}

int lsi_npy_ranges(const void *bytes, size_t len, const char *name, struct lsi_ranges *out,
                   struct lsi_error *err) {
  struct lsi_npy_header h;
  struct parser p = {.name = name, .h = &h, .err = err};
  int rc = lsi_npy_read_header(bytes, len, name, &h, err);
  if (!rc) rc = check_table(&p, len);
  if (rc) return rc;
  struct lsi_ranges r = {.n = (uint64_t)h.shape[0]};
  if (r.n) {
    r.object = lsi_reallocarray(NULL, r.n, sizeof *r.object);
    r.offset = lsi_reallocarray(NULL, r.n, sizeof *r.offset);
    r.length = lsi_reallocarray(NULL, r.n, sizeof *r.length);
    if (h.shape[1] == 4) r.tag = lsi_reallocarray(NULL, r.n, sizeof *r.tag);
    if (!r.object || !r.offset || !r.length || (h.shape[1] == 4 && !r.tag))
      rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the ranges of '%s'", name);
  }
  if (!rc) rc = fill_ranges(&p, (const uint8_t *)bytes + h.data_offset, &r);
  if (rc)
    lsi_ranges_free(&r);
  else
    *out = r;
  return rc;
}
