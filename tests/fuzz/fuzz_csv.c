/* Fuzz target: a CSV list of ranges. What was read is written as CSV again, all of it in quotes, and must
 * read as the same. */
#include <inttypes.h>

#include "lists/csv.h"
#include "fuzz.h"
#include "ground/mem.h"

static char *write_again(const struct lsi_ranges *r, size_t *length) {
  const size_t cap = 64 + r->n * 80 + 2 * r->n * r->names_length;
  char *text = lsi_malloc(cap);
  FUZZ_CHECK(text);
  size_t n = (size_t)snprintf(text, cap, "path,offset,length%s\n", r->tag ? ",tag" : "");
  for (uint64_t i = 0; i < r->n; i++) {
    text[n++] = '"';
    for (const char *p = lsi_ranges_name(r, r->object[i]); *p; p++) {
      text[n++] = *p;
      if (*p == '"') text[n++] = '"';
    }
    n += (size_t)snprintf(text + n, cap - n, "\",%" PRId64 ",%" PRId64, r->offset[i], r->length[i]);
    if (r->tag) n += (size_t)snprintf(text + n, cap - n, ",%" PRId64, r->tag[i]);
    text[n++] = '\n';
  }
  *length = n;
  return text;
}

static void check_again(const struct lsi_ranges *a) {
  size_t length;
  char *text = write_again(a, &length);
  struct lsi_ranges b = {0};
  FUZZ_CHECK(lsi_csv_ranges(text, length, "again.csv", &b, NULL) == 0);
  FUZZ_CHECK(a->n == b.n && a->n_objects == b.n_objects && !a->tag == !b.tag);
  for (uint64_t i = 0; i < a->n; i++) {
    FUZZ_CHECK(a->object[i] == b.object[i] && a->offset[i] == b.offset[i]);
    FUZZ_CHECK(a->length[i] == b.length[i] && (!a->tag || a->tag[i] == b.tag[i]));
    FUZZ_CHECK(!strcmp(lsi_ranges_name(a, a->object[i]), lsi_ranges_name(&b, b.object[i])));
  }
  lsi_ranges_free(&b);
  lsi_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct lsi_ranges r = {0};
  struct lsi_error error;
  lsi_error_clear(&error);
  int rc = lsi_csv_ranges((const char *)data, size, "fuzz.csv", &r, &error);
  FUZZ_CHECK((rc != 0) == (error.code != 0) && (!rc || rc == LSIO_ERR_USAGE));
  for (uint64_t i = 0; i < r.n; i++) {
    FUZZ_CHECK(r.object[i] < r.n_objects && r.length[i] >= -1);
    FUZZ_CHECK(*lsi_ranges_name(&r, r.object[i]));
  }
  if (!rc && r.n && size < 4096) check_again(&r);
  lsi_ranges_free(&r);
  return 0;
}
