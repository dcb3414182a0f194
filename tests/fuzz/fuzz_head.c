/* Fuzz target: heads of replies, line by line as a transport brings them. What was read is what a search through
 * the lines of the last head finds. */
#include "fuzz.h"
#include "ground/mem.h"
#include "http/wire_head.h"

struct line {
  const char *at;
  size_t n;
};

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/* The first value under a name, and whether another one differs from it; NULL: there is none. */
static const char *search(const struct line *lines, size_t n, const char *name, size_t *length, bool *differs) {
  const char *found = NULL;
  for (size_t i = 0; i < n; i++) {
    const char *at = lines[i].at, *end = at + lines[i].n;
    size_t k = 0;
    while (name[k] && at + k < end && lower(at[k]) == name[k]) k++;
    if (name[k] || at + k == end || at[k] != ':') continue;
    at += k + 1;
    while (at < end && strchr(" \t\r\n", *at)) at++;
    while (end > at && strchr(" \t\r\n", end[-1])) end--;
    if (found) *differs |= *length != (size_t)(end - at) || memcmp(found, at, *length) != 0;
    if (!found) *length = (size_t)(end - at), found = at;
  }
  return found;
}

static void check(const struct line *lines, size_t n, const char *name, const char *value, bool *differs) {
  size_t length = 0;
  const char *found = search(lines, n, name, &length, differs);
  FUZZ_CHECK(!found == !value);
  if (value) FUZZ_CHECK(strlen(value) == length && memcmp(value, found, length) == 0);
}

static void check_whole(const struct lsi_head *h, const struct line *lines, size_t n) {
  struct lsi_wire_head told;
  bool repeated = false, other = false;
  lsi_head_get(h, &told);
  FUZZ_CHECK(told.status >= 200 && told.status <= 999);
  check(lines, n, "content-length", told.content_length, &repeated);
  check(lines, n, "content-range", told.content_range, &repeated);
  check(lines, n, "content-type", told.content_type, &other);
  check(lines, n, "content-encoding", told.content_encoding, &other);
  check(lines, n, "etag", told.etag, &other);
  check(lines, n, "last-modified", told.last_modified, &other);
  check(lines, n, "location", told.location, &other);
  check(lines, n, "retry-after", told.retry_after, &other);
  check(lines, n, "date", told.date, &other);
  check(lines, n, "accept-ranges", told.accept_ranges, &other);
  check(lines, n, "server", told.server, &other);
  FUZZ_CHECK(told.repeated == repeated);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct line lines[4096];
  struct lsi_head h = {0};
  size_t n = 0;
  bool whole = false;
  lsi_head_start(&h);
  for (const char *at = (const char *)data, *end = at + size; at < end;) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    const size_t length = newline ? (size_t)(newline - at) + 1 : (size_t)(end - at);
    if (length >= 5 && memcmp(at, "HTTP/", 5) == 0 && !whole) n = 0; /* another head */
    if (n == LSI_COUNTOF(lines)) break;
    lines[n++] = (struct line){at, length};
    char *copy = lsi_malloc(length); /* reading past its end is noticed */
    FUZZ_CHECK(copy);
    memcpy(copy, at, length);
    const enum lsi_head_line rc = lsi_head_line(&h, copy, length);
    lsi_free(copy);
    if (rc == LSI_HEAD_GARBLED) break;
    FUZZ_CHECK(rc == LSI_HEAD_MORE || (rc == LSI_HEAD_WHOLE && !whole));
    if (rc == LSI_HEAD_WHOLE) check_whole(&h, lines, n);
    whole |= rc == LSI_HEAD_WHOLE;
    at += length;
  }
  lsi_head_free(&h);
  FUZZ_CHECK(lsi_mem_live() == 0);
  return 0;
}
