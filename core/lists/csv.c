/* One pass over the text; paths are interned in a hash table as they come. */
#include "lists/csv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ground/mem.h"

#define ROWS_BETWEEN 65536u /* two looks of who watches */

/* What is known of columns; the header says which is which. */
enum column { PATH, OFFSET, LENGTH, TAG, COLUMNS };

static const char *const column_names[COLUMNS] = {"path", "offset", "length", "tag"};

struct place {
  uint64_t at; /* of the row's fields */
  enum column column;
};

struct field {
  const char *text;
  size_t length;
  bool last; /* of its line */
};

struct slot {
  uint32_t hash;
  uint32_t object; /* + 1; 0 = free */
};

struct csv {
  const char *at, *end, *file;
  uint64_t line;        /* of `at`, from 1 */
  uint64_t fields;      /* of each row, those of columns that are not known among them */
  struct place places[COLUMNS];
  unsigned n_places;
  bool tagged;
  enum column column;   /* of the field in hand; COLUMNS: not known */
  char *unquoted;       /* a field whose quotes were doubled */
  size_t unquoted_cap;
  struct slot *slots;   /* n_slots, a power of two */
  uint64_t n_slots, seed;
  uint64_t rows_cap, objects_cap, names_cap;
  struct lsi_ranges r;
  lsi_each_rows *look;
  void *user;
  struct lsi_error *err;
};

/* ---- errors ---- */

static int no_memory(struct csv *c) {
  return lsi_fail(c->err, LSIO_ERR_NOMEM, 0, "no memory for the ranges of '%s'", c->file);
}

static int bad(struct csv *c, uint64_t line, const char *expected, const char *got, size_t length) {
  char shown[48];
  size_t n = LSI_MIN(length, sizeof shown - 4);
  for (size_t i = 0; i < n; i++) {
    unsigned char b = (unsigned char)got[i];
    shown[i] = b < 32 || b == 127 ? '?' : (char)b;
  }
  snprintf(shown + n, sizeof shown - n, "%s", n < length ? "..." : "");
  if (c->column < COLUMNS)
    return lsi_fail(c->err, LSIO_ERR_USAGE, 0, "'%s', line %" PRIu64 ", %s: expected %s, got '%s'",
                    c->file, line, column_names[c->column], expected, shown);
  return lsi_fail(c->err, LSIO_ERR_USAGE, 0, "'%s', line %" PRIu64 ": expected %s, got '%s'",
                  c->file, line, expected, shown);
}

/* ---- fields ---- */

/* Steps over what ends a field: a comma, LF, CRLF or the end of the text. */
static bool end_field(struct csv *c, struct field *f) {
  f->last = true;
  if (c->at == c->end) return true;
  if (*c->at == ',') {
    f->last = false;
    c->at++;
    return true;
  }
  if (*c->at == '\r') {
    if (c->end - c->at < 2 || c->at[1] != '\n') return false;
    c->at++;
  }
  if (*c->at != '\n') return false;
  c->at++;
  c->line++;
  return true;
}

/* Copies a quoted field's text, each pair of quotes as one. */
static int unquote(struct csv *c, struct field *f) {
  if (f->length > c->unquoted_cap) {
    char *p = lsi_realloc(c->unquoted, f->length);
    if (!p) return no_memory(c);
    c->unquoted = p;
    c->unquoted_cap = f->length;
  }
  size_t n = 0;
  for (size_t i = 0; i < f->length; i++) {
    c->unquoted[n++] = f->text[i];
    if (f->text[i] == '"') i++;
  }
  f->text = c->unquoted;
  f->length = n;
  return 0;
}

static bool is_blank(char b) { return b == ' ' || b == '\t'; }

static void skip_blanks(struct csv *c) {
  while (c->at < c->end && is_blank(*c->at)) c->at++;
}

static void trim(struct field *f) {
  while (f->length && is_blank(*f->text)) f->text++, f->length--;
  while (f->length && is_blank(f->text[f->length - 1])) f->length--;
}

static int quoted_field(struct csv *c, struct field *f) {
  const uint64_t line = c->line;
  const char *open = c->at++;
  bool doubled = false;
  f->text = c->at;
  for (;;) {
    if (c->at == c->end)
      return bad(c, line, "a closing quote", open, (size_t)(c->end - open));
    char b = *c->at++;
    if (b == '\n') c->line++;
    if (b != '"') continue;
    if (c->at == c->end || *c->at != '"') break;
    doubled = true;
    c->at++;
  }
  f->length = (size_t)(c->at - 1 - f->text);
  skip_blanks(c);
  if (!end_field(c, f))
    return bad(c, c->line, "a comma or the line's end after the closing quote", c->at,
               (size_t)LSI_MIN(c->end - c->at, 8));
  return doubled ? unquote(c, f) : 0;
}

static int read_field(struct csv *c, struct field *f) {
  skip_blanks(c);
  if (c->at < c->end && *c->at == '"') return quoted_field(c, f);
  const char *text = c->at, *p = text;
  while (p < c->end && *p != ',' && *p != '\n' && *p != '\r' && *p != '"') p++;
  f->text = text;
  f->length = (size_t)(p - text);
  c->at = p;
  trim(f);
  if (end_field(c, f)) return 0;
  return bad(c, c->line, *p == '"' ? "quotes around the whole field"
                                   : "CR only before LF or within quotes",
             text, (size_t)(p - text) + 1);
}

static bool parse_number(const struct field *f, int64_t *out) {
  const char *p = f->text, *end = p + f->length;
  bool negative = p < end && *p == '-';
  uint64_t v = 0;
  if (negative) p++;
  if (p == end) return false;
  for (; p < end; p++) {
    unsigned digit = (unsigned)(unsigned char)*p - '0';
    if (digit > 9 || lsi_mul_overflow(v, (uint64_t)10, &v) || lsi_add_overflow(v, digit, &v))
      return false;
  }
  if (v > (uint64_t)INT64_MAX + negative) return false;
  *out = negative ? (int64_t)(0 - v) : (int64_t)v;
  return true;
}

/* ---- interning ---- */

/* Seeded by an address, so that colliding paths can't be prepared; no result depends on it. */
static uint32_t hash_path(uint64_t seed, const char *p, size_t n) {
  uint64_t h = seed ^ n * 0x9E3779B97F4A7C15u, word = 0;
  for (; n >= 8; n -= 8, p += 8) {
    memcpy(&word, p, 8);
    h = (h ^ word) * 0xD6E8FEB86659FD93u;
    h ^= h >> 32;
  }
  word = 0;
  memcpy(&word, p, n);
  h = (h ^ word) * 0xD6E8FEB86659FD93u;
  h ^= h >> 29;
  h *= 0x9FB21C651E98DF25u;
  return (uint32_t)(h >> 32);
}

static int grow_slots(struct csv *c) {
  uint64_t n = c->n_slots ? 2 * c->n_slots : 64;
  struct slot *slots = lsi_calloc(n, sizeof *slots);
  if (!slots) return no_memory(c);
  if (!c->n_slots) c->seed = (uint64_t)(uintptr_t)slots * 0x9E3779B97F4A7C15u;
  for (uint64_t i = 0; i < c->n_slots; i++) {
    if (!c->slots[i].object) continue;
    uint64_t at = c->slots[i].hash & (n - 1);
    while (slots[at].object) at = (at + 1) & (n - 1);
    slots[at] = c->slots[i];
  }
  lsi_free(c->slots);
  c->slots = slots;
  c->n_slots = n;
  return 0;
}

static int add_name(struct csv *c, const struct field *f) {
  struct lsi_ranges *r = &c->r;
  if (r->n_objects == c->objects_cap) {
    uint64_t cap = c->objects_cap ? 2 * c->objects_cap : 64;
    uint64_t *p = lsi_reallocarray(r->name_at, cap, sizeof *p);
    if (!p) return no_memory(c);
    r->name_at = p;
    c->objects_cap = cap;
  }
  /* Names are no longer than the text, so none of these sums overflows. */
  if (c->names_cap - r->names_length <= f->length) {
    uint64_t cap = LSI_MAX(2 * c->names_cap, r->names_length + f->length + 1);
    char *p = lsi_realloc(r->names, LSI_MAX(cap, (uint64_t)1024));
    if (!p) return no_memory(c);
    r->names = p;
    c->names_cap = LSI_MAX(cap, (uint64_t)1024);
  }
  r->name_at[r->n_objects++] = r->names_length;
  memcpy(r->names + r->names_length, f->text, f->length);
  r->names_length += f->length;
  r->names[r->names_length++] = 0;
  return 0;
}

static bool same(const struct csv *c, uint32_t object, const struct field *f) {
  const struct lsi_ranges *r = &c->r;
  uint64_t end = object + 1 < r->n_objects ? r->name_at[object + 1] : r->names_length;
  return end - r->name_at[object] - 1 == f->length &&
         !memcmp(r->names + r->name_at[object], f->text, f->length);
}

static int intern(struct csv *c, const struct field *f, uint32_t *object) {
  struct lsi_ranges *r = &c->r;
  if (r->n && same(c, r->object[r->n - 1], f)) { /* rows of one object are often neighbours */
    *object = r->object[r->n - 1];
    return 0;
  }
  if (2 * (uint64_t)r->n_objects >= c->n_slots) {
    int rc = grow_slots(c);
    if (rc) return rc;
  }
  uint32_t hash = hash_path(c->seed, f->text, f->length);
  uint64_t at = hash & (c->n_slots - 1);
  for (; c->slots[at].object; at = (at + 1) & (c->n_slots - 1)) {
    *object = c->slots[at].object - 1;
    if (c->slots[at].hash == hash && same(c, *object, f)) return 0;
  }
  *object = r->n_objects;
  int rc = add_name(c, f);
  if (rc) return rc;
  c->slots[at] = (struct slot){hash, r->n_objects};
  return 0;
}

/* ---- rows ---- */

/* Steps over blank lines, and rows of empty fields, with which spreadsheets fill up; true when the text ends
 * after them. */
static bool at_end(struct csv *c) {
  for (;;) {
    const char *p = c->at;
    while (p < c->end && (is_blank(*p) || *p == ',')) p++;
    if (p == c->end) return true;
    if (*p == '\r' && c->end - p > 1 && p[1] == '\n') p++;
    if (*p != '\n') return false;
    c->at = p + 1;
    c->line++;
  }
}

static enum column find_column(const struct field *f) {
  for (unsigned i = 0; i < COLUMNS; i++)
    if (strlen(column_names[i]) == f->length && !memcmp(column_names[i], f->text, f->length))
      return (enum column)i;
  return COLUMNS;
}

static int read_header(struct csv *c) {
  struct field f = {.last = false};
  if (c->end - c->at >= 3 && !memcmp(c->at, "\xEF\xBB\xBF", 3)) c->at += 3;
  const uint64_t number = at_end(c) ? 1 : c->line;
  const char *line = c->at;
  unsigned seen = 0;
  for (; !f.last; c->fields++) {
    c->column = COLUMNS;
    int rc = read_field(c, &f);
    if (rc) return rc;
    trim(&f);
    const enum column column = find_column(&f);
    if (column == COLUMNS) continue;
    c->column = column;
    if (seen & 1u << column) return bad(c, number, "one column of this name", "another", 7);
    seen |= 1u << column;
    c->places[c->n_places++] = (struct place){c->fields, column};
  }
  c->tagged = seen & 1u << TAG;
  if ((seen | 1u << TAG) == (1u << COLUMNS) - 1) return 0;
  c->column = COLUMNS;
  const char *end = line < c->end ? memchr(line, '\n', (size_t)(c->end - line)) : NULL;
  return bad(c, number, "the header path,offset,length (in any order; tag and others may be there)", line,
             (size_t)((end ? end : c->end) - line));
}

static int reserve_row(struct csv *c) {
  struct lsi_ranges *r = &c->r;
  if (r->n < c->rows_cap) return 0;
  if (r->n == UINT32_MAX)
    return lsi_fail(c->err, LSIO_ERR_LIMIT, 0, "'%s' has more than %u rows", c->file, UINT32_MAX);
  uint64_t cap = c->rows_cap ? 2 * c->rows_cap : 256;
  void *p;
  if (!(p = lsi_reallocarray(r->object, cap, sizeof *r->object))) return no_memory(c);
  r->object = p;
  if (!(p = lsi_reallocarray(r->offset, cap, sizeof *r->offset))) return no_memory(c);
  r->offset = p;
  if (!(p = lsi_reallocarray(r->length, cap, sizeof *r->length))) return no_memory(c);
  r->length = p;
  if (c->tagged) {
    if (!(p = lsi_reallocarray(r->tag, cap, sizeof *r->tag))) return no_memory(c);
    r->tag = p;
  }
  c->rows_cap = LSI_MIN(cap, (uint64_t)UINT32_MAX);
  return 0;
}

static int read_path(struct csv *c, uint64_t line, const struct field *f, uint32_t *object) {
  if (!f->length) return bad(c, line, "a path", "", 0);
  if (memchr(f->text, 0, f->length)) return bad(c, line, "no NUL in a path", f->text, f->length);
  return intern(c, f, object);
}

static int read_number(struct csv *c, uint64_t line, struct field *f, int64_t *out) {
  trim(f);
  if (c->column != LENGTH)
    return parse_number(f, out) ? 0 : bad(c, line, "a whole number of 64 bits", f->text, f->length);
  *out = -1;
  if (!f->length || (parse_number(f, out) && *out >= -1)) return 0;
  return bad(c, line, "a number of bytes, 0 or more, or nothing or -1 (to the end)", f->text, f->length);
}

/* A row of another number of fields than the header, of which so many have been read. */
static int wrong_count(struct csv *c, uint64_t line, uint64_t found, struct field f) {
  int rc;
  c->column = COLUMNS;
  for (; !f.last; found++)
    if ((rc = read_field(c, &f))) return rc;
  return lsi_fail(c->err, LSIO_ERR_USAGE, 0,
                  "'%s', line %" PRIu64 ": expected %" PRIu64 " fields, as the header has, found %" PRIu64,
                  c->file, line, c->fields, found);
}

static int read_row(struct csv *c) {
  struct lsi_ranges *r = &c->r;
  int64_t values[COLUMNS] = {0};
  uint32_t object = 0;
  const struct place *next = c->places, *end = next + c->n_places;
  int rc = reserve_row(c);
  if (rc) return rc;
  for (uint64_t i = 0; i < c->fields; i++) {
    struct field f;
    uint64_t line = c->line;
    const bool known = next < end && next->at == i;
    c->column = known ? next++->column : COLUMNS;
    if ((rc = read_field(c, &f))) return rc;
    if (c->column == PATH) rc = read_path(c, line, &f, &object);
    else if (known) rc = read_number(c, line, &f, &values[c->column]);
    if (rc) return rc;
    if (f.last != (i + 1 == c->fields)) return wrong_count(c, line, i + 1, f);
  }
  r->object[r->n] = object;
  r->offset[r->n] = values[OFFSET];
  r->length[r->n] = values[LENGTH];
  if (r->tag) r->tag[r->n] = values[TAG];
  r->n++;
  return 0;
}

static int read_all(struct csv *c) {
  int rc = read_header(c);
  while (!rc && !at_end(c)) {
    rc = read_row(c);
    if (!rc && c->look && c->r.n % ROWS_BETWEEN == 0) rc = c->look(c->user, c->r.n, c->err);
  }
  return rc;
}

int lsi_csv_ranges(const char *text, size_t len, const char *file_name, struct lsi_ranges *out,
                   struct lsi_error *err) {
  return lsi_csv_ranges_watched(text, len, file_name, NULL, NULL, out, err);
}

int lsi_csv_ranges_watched(const char *text, size_t len, const char *file_name, lsi_each_rows *look,
                           void *user, struct lsi_ranges *out, struct lsi_error *err) {
  if (!len) text = "";
  struct csv c = {.at = text, .end = text + len, .file = file_name, .line = 1, .look = look, .user = user,
                  .err = err};
  int rc = read_all(&c);
  lsi_free(c.unquoted);
  lsi_free(c.slots);
  if (rc)
    lsi_ranges_free(&c.r);
  else
    *out = c.r;
  return rc;
}
