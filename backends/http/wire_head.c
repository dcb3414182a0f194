#include "http/wire_head.h"

#include <string.h>
#include <strings.h>

#include "ground/base.h"

#define LINES_MOST (1u << 17) /* bytes */

void lsi_wire_head_begin(struct lsi_wire_head_text *h) {
  h->head = (struct lsi_wire_head){0};
  h->n = 0;
  h->seen = 0;
  h->told = false;
}

static const char **field_of(struct lsi_wire_head *h, const char *name, size_t n) {
  const struct {
    const char *name;
    const char **field;
  } fields[] = {{"content-length", &h->content_length},
                {"content-range", &h->content_range},
                {"content-type", &h->content_type},
                {"content-encoding", &h->content_encoding},
                {"etag", &h->etag},
                {"last-modified", &h->last_modified},
                {"location", &h->location},
                {"retry-after", &h->retry_after},
                {"date", &h->date},
                {"accept-ranges", &h->accept_ranges},
                {"x-request-id", &h->request_id},
                {"server", &h->server}};
  for (size_t i = 0; i < LSI_COUNTOF(fields); i++)
    if (strlen(fields[i].name) == n && strncasecmp(fields[i].name, name, n) == 0) return fields[i].field;
  return NULL;
}

static enum lsi_wire_line status_line(struct lsi_wire_head_text *h, const char *line, size_t n) {
  const char *space = memchr(line, ' ', n);
  int status = 0;
  if (!space || n - (size_t)(space - line) < 4) return LSI_WIRE_BAD;
  for (int i = 1; i <= 3; i++) {
    if (space[i] < '0' || space[i] > '9') return LSI_WIRE_BAD;
    status = status * 10 + (space[i] - '0');
  }
  const uint64_t seen = h->seen;
  lsi_wire_head_begin(h);
  h->seen = seen;
  h->head.status = status;
  return LSI_WIRE_MORE;
}

static enum lsi_wire_line keep(struct lsi_wire_head_text *h, const char **field, const char *value,
                               size_t n) {
  if (*field) {
    const bool same = strlen(*field) == n && memcmp(*field, value, n) == 0;
    if (!same && (field == &h->head.content_length || field == &h->head.content_range))
      h->head.repeated = true;
    return LSI_WIRE_MORE;
  }
  if (n >= sizeof h->text - h->n) return LSI_WIRE_BAD;
  char *to = h->text + h->n;
  memcpy(to, value, n);
  to[n] = 0;
  h->n += n + 1;
  *field = to;
  return LSI_WIRE_MORE;
}

enum lsi_wire_line lsi_wire_head_line(struct lsi_wire_head_text *h, const char *line, size_t n) {
  h->seen += n;
  if (h->seen > LINES_MOST) return LSI_WIRE_BAD;
  while (n && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
  for (size_t i = 0; i < n; i++) /* an ETag goes back in a header of ours */
    if ((unsigned char)line[i] < 32 && line[i] != '\t') return LSI_WIRE_BAD;
  if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) return h->told ? LSI_WIRE_BAD : status_line(h, line, n);
  if (h->told) return LSI_WIRE_MORE;
  if (!n) {
    h->told = h->head.status >= 200;
    return h->told ? LSI_WIRE_WHOLE : LSI_WIRE_MORE;
  }
  const char *colon = memchr(line, ':', n);
  const char **field = colon ? field_of(&h->head, line, (size_t)(colon - line)) : NULL;
  if (!field) return LSI_WIRE_MORE;
  const char *value = colon + 1, *end = line + n;
  while (value < end && (*value == ' ' || *value == '\t')) value++;
  while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
  return keep(h, field, value, (size_t)(end - value));
}
