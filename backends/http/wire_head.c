#include "http/wire_head.h"

#include <string.h>

#include "ground/mem.h"

enum value { LENGTH, RANGE, TYPE, ENCODING, ETAG, MODIFIED, LOCATION, RETRY, DATE, ACCEPT, ID, SERVER };

/* Lower case. Who serves objects calls the id of a request as he likes; the first one counts. */
static const struct name {
  const char *text;
  uint8_t length, value;
} names[] = {
    {"content-length", 14, LENGTH},    {"content-range", 13, RANGE},     {"content-type", 12, TYPE},
    {"content-encoding", 16, ENCODING}, {"etag", 4, ETAG},                {"last-modified", 13, MODIFIED},
    {"location", 8, LOCATION},         {"retry-after", 11, RETRY},       {"date", 4, DATE},
    {"accept-ranges", 13, ACCEPT},     {"server", 6, SERVER},            {"x-amz-request-id", 16, ID},
    {"x-ms-request-id", 15, ID},       {"x-guploader-uploadid", 20, ID}, {"x-request-id", 12, ID},
};

void lsi_head_start(struct lsi_head *h) {
  *h = (struct lsi_head){.text = h->text, .room = h->room};
}

void lsi_head_free(struct lsi_head *h) { lsi_free(h->text); }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c; }

static bool same_name(const char *line, const struct name *name) {
  for (uint32_t i = 0; i < name->length; i++)
    if (lower(line[i]) != name->text[i]) return false;
  return true;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* "HTTP/1.1 206 Partial Content": 206, or 0. */
static int status_of(const char *line, size_t n) {
  size_t i = 5;
  while (i < n && line[i] != ' ') i++;
  while (i < n && line[i] == ' ') i++;
  int status = 0;
  const size_t first = i;
  for (; i < n && line[i] >= '0' && line[i] <= '9' && i - first < 4; i++)
    status = 10 * status + (line[i] - '0');
  return i - first == 3 && (i == n || is_blank(line[i])) && status >= 100 ? status : 0;
}

static bool keep(struct lsi_head *h, enum value value, const char *text, size_t n) {
  if (h->room - h->used <= n) {
    const uint32_t room = LSI_MAX(2 * h->room, h->used + (uint32_t)n + 256);
    char *more = lsi_realloc(h->text, room);
    if (!more) return false;
    h->text = more;
    h->room = room;
  }
  h->at[value] = h->used + 1;
  memcpy(h->text + h->used, text, n);
  h->text[h->used + n] = 0;
  h->used += (uint32_t)n + 1;
  return true;
}

static enum lsi_head_line header(struct lsi_head *h, const char *line, size_t n) {
  const char *colon = memchr(line, ':', n);
  const size_t length = colon ? (size_t)(colon - line) : 0;
  for (const struct name *name = names; name < names + LSI_COUNTOF(names); name++) {
    if (name->length != length || !same_name(line, name)) continue;
    const char *from = colon + 1, *to = line + n;
    while (from < to && is_blank(*from)) from++;
    while (to > from && is_blank(to[-1])) to--;
    const size_t size = (size_t)(to - from);
    if (!h->at[name->value]) return keep(h, name->value, from, size) ? LSI_HEAD_MORE : LSI_HEAD_NO_MEMORY;
    const char *before = h->text + h->at[name->value] - 1;
    const bool same = strlen(before) == size && memcmp(before, from, size) == 0;
    if (!same && (name->value == LENGTH || name->value == RANGE)) h->repeated = true;
    return LSI_HEAD_MORE;
  }
  return LSI_HEAD_MORE;
}

/* But for the end of the line. An ETag, for one, goes back in a header of ours. */
static bool has_control(const char *line, size_t n) {
  while (n && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)line[i] < 32 && line[i] != '\t') return true;
  return false;
}

enum lsi_head_line lsi_head_line(struct lsi_head *h, const char *line, size_t n) {
  if (n > LSI_HEAD_MAX || (h->bytes += (uint32_t)n) > LSI_HEAD_MAX) return LSI_HEAD_GARBLED;
  if (h->whole) return LSI_HEAD_MORE;
  if (has_control(line, n)) return LSI_HEAD_GARBLED;
  if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
    const uint32_t bytes = h->bytes;
    lsi_head_start(h);
    h->bytes = bytes;
    h->status = status_of(line, n);
    return h->status ? LSI_HEAD_MORE : LSI_HEAD_GARBLED;
  }
  if (!h->status) return LSI_HEAD_GARBLED;
  if (line[0] != '\r' && line[0] != '\n') return header(h, line, n);
  if (h->status < 200) return LSI_HEAD_MORE;
  h->whole = true;
  return LSI_HEAD_WHOLE;
}

void lsi_head_get(const struct lsi_head *h, struct lsi_wire_head *out) {
  const char *value[LSI_HEAD_VALUES];
  for (uint32_t i = 0; i < LSI_HEAD_VALUES; i++) value[i] = h->at[i] ? h->text + h->at[i] - 1 : NULL;
  *out = (struct lsi_wire_head){
      .status = h->status,
      .content_length = value[LENGTH],
      .content_range = value[RANGE],
      .content_type = value[TYPE],
      .content_encoding = value[ENCODING],
      .etag = value[ETAG],
      .last_modified = value[MODIFIED],
      .location = value[LOCATION],
      .retry_after = value[RETRY],
      .date = value[DATE],
      .accept_ranges = value[ACCEPT],
      .request_id = value[ID],
      .server = value[SERVER],
      .repeated = h->repeated,
  };
}
