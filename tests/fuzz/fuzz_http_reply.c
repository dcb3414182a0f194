/* Fuzz target: a head of a reply, line by line, and what it is taken for. Whatever a server says, no more bytes are
 * accepted than were asked for, and those only from where they were asked for. */
#include "fuzz.h"
#include "http/http_reply.h"
#include "http/wire_head.h"

static struct lsi_wire_head head;

static void judge(bool is_head, bool ranged, uint64_t first, uint64_t length, const struct lsi_http_known *known) {
  struct lsi_http_verdict v;
  const struct lsi_http_asked a = {.head = is_head, .ranged = ranged, .first = first, .length = length, .known = known};
  lsi_http_judge(&a, &head, &v);
  FUZZ_CHECK(v.what != LSI_HTTP_NOTHING && memchr(v.text, 0, sizeof v.text) && v.remedy);
  if (v.what == LSI_HTTP_FAIL) FUZZ_CHECK(v.code < 0 && v.kind && v.text[0]);
  if (v.what == LSI_HTTP_REDIRECT) FUZZ_CHECK(v.location[0]);
  if (v.what != LSI_HTTP_ACCEPT) return;
  if (length != LSI_HTTP_REST) FUZZ_CHECK(v.expected <= length);
  if (v.learnt.has_size && v.expected != LSI_HTTP_REST) FUZZ_CHECK(first + v.expected <= v.learnt.size);
  if (known->has_size) FUZZ_CHECK(!v.learnt.has_size || v.learnt.size == known->size);
  struct lsi_http_known k = *known;
  char match[LSI_HTTP_VALIDATOR_MAX + 16];
  lsi_http_learn(&k, &v);
  if (lsi_http_match(&k, match, sizeof match)) FUZZ_CHECK(!strpbrk(match, "\r\n"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *at = (const char *)data, *end = at + size;
  static struct lsi_head lines;
  enum lsi_head_line got = LSI_HEAD_MORE;
  lsi_head_start(&lines);
  while (at < end && got == LSI_HEAD_MORE) {
    const char *line = memchr(at, '\n', (size_t)(end - at));
    const size_t n = line ? (size_t)(line + 1 - at) : (size_t)(end - at);
    got = lsi_head_line(&lines, at, n);
    at += n;
  }
  if (got != LSI_HEAD_WHOLE) return 0;
  lsi_head_get(&lines, &head);
  static const struct lsi_http_known none, sized = {.has_size = true, .size = 1000},
                                           pinned = {.has_size = true, .size = 1000, .has_version = true, .version = {1, 2}};
  judge(true, false, 0, LSI_HTTP_REST, &none);
  judge(false, false, 0, LSI_HTTP_REST, &none);
  judge(false, true, 0, 100, &none);
  judge(false, true, 50, 100, &sized);
  judge(false, true, 900, 100, &pinned);
  judge(false, true, 900, LSI_HTTP_REST, &sized);
  judge(false, true, UINT64_C(1) << 62, UINT64_C(1) << 30, &none);
  return 0;
}
