#include "test/wire_sim_reply.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char denial[] = "<Error><Code>Simulated</Code><Message>as the seed wants it</Message></Error>";
static const char moved[] = "elsewhere";

static uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/* An object's words are mix(what is its own ^ their index). */
static uint64_t own_of(const struct lsi_wire_sim *sim, uint32_t object, uint64_t version) {
  return sim->seed ^ ((uint64_t)(object + 1) << 48) ^ mix(version + 1);
}

uint8_t lsi_wire_sim_byte(const struct lsi_wire_sim *sim, uint32_t object, uint64_t version,
                          uint64_t offset) {
  return (uint8_t)(mix(own_of(sim, object, version) ^ (offset / 8)) >> (offset % 8 * 8));
}

void lsi_wire_sim_fill(const struct lsi_wire_sim *sim, const struct lsi_wire_sim_reply *reply, uint64_t at,
                       uint8_t *to, size_t n) {
  if (reply->literal) {
    memcpy(to, reply->literal + at, n);
    return;
  }
  const uint64_t own = own_of(sim, reply->object, reply->version), first = reply->from + at;
  for (uint64_t i = 0, word = 0; i < n; i++) {
    if (i == 0 || (first + i) % 8 == 0) word = mix(own ^ ((first + i) / 8));
    to[i] = (uint8_t)(word >> ((first + i) % 8 * 8));
  }
}

const char *lsi_wire_sim_fault_text(enum lsi_wire_sim_fault fault) {
  static const char *const texts[] = {
#define TEXT(name, what) #name ": " what,
      LSI_WIRE_SIM_FAULTS(TEXT)
#undef TEXT
  };
  return texts[fault];
}

/* -- what is asked for -- */

static int find(const struct lsi_wire_sim *sim, const char *url) {
  const char *host = strstr(url, "://"), *path = host ? strchr(host + 3, '/') : NULL;
  const size_t n = path ? strcspn(path, "?") : 0;
  for (uint32_t i = 0; i < sim->n_objects; i++)
    if (strlen(sim->objects[i].path) == n && n && memcmp(path, sim->objects[i].path, n) == 0) return (int)i;
  return -1;
}

static const char *header(const struct lsi_wire_request *r, const char *name) {
  const size_t n = strlen(name);
  for (const char *const *h = r->headers; h && *h; h++) {
    if (strncmp(*h, name, n) != 0 || (*h)[n] != ':') continue;
    return *h + n + 1 + strspn(*h + n + 1, " ");
  }
  return NULL;
}

static void tell_etag(char out[64], uint32_t object, uint64_t version) {
  snprintf(out, 64, "\"%" PRIu32 "-%" PRIu64 "\"", object, version);
}

static void understand_range(const char *range, uint64_t size, struct lsi_wire_sim_ask *ask) {
  if (strncmp(range, "bytes=", 6) != 0) return; /* another unit: the header does not count */
  const bool end = range[6] == '-'; /* "-n": the last ones */
  char *dash;
  uint64_t first = strtoull(range + 6 + end, &dash, 10), last = size ? size - 1 : 0;
  if (end)
    first = first < size ? size - first : 0;
  else if (dash[0] && dash[1])
    last = LSI_MIN(last, (uint64_t)strtoull(dash + 1, NULL, 10));
  ask->ranged = true;
  ask->beyond = first >= size;
  ask->offset = first;
  ask->length = ask->beyond || last < first ? 0 : last - first + 1;
}

void lsi_wire_sim_understand(const struct lsi_wire_sim *sim, const struct lsi_wire_request *r,
                             struct lsi_wire_sim_ask *ask) {
  const int object = find(sim, r->url);
  const bool there = object >= 0 && !sim->objects[object].missing;
  *ask = (struct lsi_wire_sim_ask){.request = r, .object = there ? object : -1, .matches = true};
  if (!there) return;
  const struct lsi_wire_sim_object *o = &sim->objects[object];
  const char *range = header(r, "Range"), *match = header(r, "If-Match");
  char etag[64];
  tell_etag(etag, (uint32_t)object, o->version);
  ask->matches = !match || strcmp(match, "*") == 0 || strcmp(match, etag) == 0;
  ask->length = o->size;
  if (range) understand_range(range, o->size, ask);
}

/* -- an honest reply -- */

static void set_length(struct lsi_wire_sim_reply *p, uint64_t n) {
  snprintf(p->length, sizeof p->length, "%" PRIu64, n);
  p->head.content_length = p->length;
}

static void set_range(struct lsi_wire_sim_reply *p, uint64_t from, uint64_t n, uint64_t total) {
  snprintf(p->range, sizeof p->range, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, from, from + n - 1, total);
  p->head.content_range = p->range;
}

static void deny(struct lsi_wire_sim_reply *p, int status, const char *body) {
  p->head.status = status;
  p->head.content_type = "application/xml";
  p->head.content_range = p->head.etag = p->head.last_modified = NULL;
  p->literal = body;
  p->from = 0;
  p->body = strlen(body);
  set_length(p, p->body);
}

static void be_honest(const struct lsi_wire_sim *sim, const struct lsi_wire_sim_ask *ask,
                      struct lsi_wire_sim_reply *p) {
  *p = (struct lsi_wire_sim_reply){.text = ""};
  p->head.date = "Tue, 01 Dec 2026 12:00:00 GMT";
  p->head.request_id = "sim-1";
  p->head.server = "sim";
  if (ask->object < 0) {
    deny(p, 404, denial);
    return;
  }
  const struct lsi_wire_sim_object *o = &sim->objects[ask->object];
  p->object = (uint32_t)ask->object;
  p->version = o->version;
  if (!ask->matches || (ask->ranged && !ask->length)) {
    deny(p, ask->matches ? 416 : 412, denial);
    if (ask->matches) snprintf(p->range, sizeof p->range, "bytes */%" PRIu64, o->size);
    if (ask->matches) p->head.content_range = p->range;
    return;
  }
  tell_etag(p->etag, p->object, p->version);
  p->head.etag = p->etag;
  p->head.content_type = "application/octet-stream";
  p->head.accept_ranges = "bytes";
  p->head.last_modified = "Mon, 30 Nov 2026 12:00:00 GMT";
  p->head.status = ask->ranged ? 206 : 200;
  p->from = ask->offset;
  p->body = ask->length;
  set_length(p, ask->length);
  if (ask->ranged) set_range(p, ask->offset, ask->length, o->size);
}

/* -- faults -- */

/* True: the fault is one of those that let no head come. */
static bool fail_before_head(const struct lsi_wire_sim_plan *plan, struct lsi_wire_sim_reply *p) {
  static const struct {
    enum lsi_wire_sim_fault fault;
    enum lsi_wire_code code;
    int os_code;
    const char *text;
  } ends[] = {
      {LSI_WIRE_SIM_NO_NAME, LSI_WIRE_NO_NAME, 0, "simulated: there is no such name"},
      {LSI_WIRE_SIM_NO_HOST, LSI_WIRE_NO_HOST, ECONNREFUSED, "simulated: the connection was refused"},
      {LSI_WIRE_SIM_LATE, LSI_WIRE_LATE, 0, "simulated: no connection in time"},
      {LSI_WIRE_SIM_UNTRUSTED, LSI_WIRE_UNTRUSTED, 0, "simulated: nobody knows who has signed this"},
      {LSI_WIRE_SIM_NO_TLS, LSI_WIRE_NO_TLS, 0, "simulated: there is no cipher that both know"},
      {LSI_WIRE_SIM_PROXY, LSI_WIRE_PROXY, 0, "simulated: the proxy says 407"},
      {LSI_WIRE_SIM_NO_MEMORY, LSI_WIRE_NO_MEMORY, 0, "simulated: there is no memory"},
      {LSI_WIRE_SIM_CLOSED, LSI_WIRE_CLOSED, 0, "simulated: closed before the head"},
      {LSI_WIRE_SIM_RESET, LSI_WIRE_CLOSED, ECONNRESET, "simulated: reset before the head"},
      {LSI_WIRE_SIM_GARBLED, LSI_WIRE_GARBLED, 0, "simulated: this is no HTTP"},
      {LSI_WIRE_SIM_SILENT, LSI_WIRE_FAILED, 0, ""},
  };
  for (size_t i = 0; i < LSI_COUNTOF(ends); i++) {
    if (ends[i].fault != plan->fault) continue;
    p->headless = p->closes = true;
    p->silent = plan->fault == LSI_WIRE_SIM_SILENT;
    p->code = ends[i].code;
    p->os_code = ends[i].os_code;
    p->text = ends[i].text;
    return true;
  }
  return false;
}

/* True: the fault is another reply, whatever is asked for. */
static bool answer_else(const struct lsi_wire_sim_ask *ask, const struct lsi_wire_sim_plan *plan,
                        struct lsi_wire_sim_reply *p) {
  switch (plan->fault) {
    case LSI_WIRE_SIM_STATUS:
      deny(p, plan->status, denial);
      return true;
    case LSI_WIRE_SIM_BUSY:
      deny(p, plan->status, denial);
      p->head.retry_after = plan->retry_after;
      return true;
    case LSI_WIRE_SIM_ERROR_200:
      deny(p, 200, denial);
      return true;
    case LSI_WIRE_SIM_REDIRECT:
      deny(p, 307, moved);
      snprintf(p->location, sizeof p->location, "%.*s?moved=%" PRIu64, (int)strcspn(ask->request->url, "?"),
               ask->request->url, ask->nth);
      p->head.location = plan->location ? plan->location : p->location;
      return true;
    default:
      return false;
  }
}

/* Of an honest 200 or 206. */
static void bend_head(const struct lsi_wire_sim *sim, const struct lsi_wire_sim_ask *ask,
                      const struct lsi_wire_sim_plan *plan, struct lsi_wire_sim_reply *p) {
  const uint64_t size = sim->objects[ask->object].size;
  const bool ranged = ask->ranged;
  switch (plan->fault) {
    case LSI_WIRE_SIM_WHOLE:
      p->head.status = 200;
      p->head.content_range = NULL;
      p->from = 0;
      p->body = size;
      set_length(p, size);
      break;
    case LSI_WIRE_SIM_RANGE_OTHER:
      p->from += p->from + p->body < size ? 1 : 0;
      p->from -= p->from == ask->offset && p->from ? 1 : 0;
      if (ranged) set_range(p, p->from, p->body, size);
      break;
    case LSI_WIRE_SIM_RANGE_LESS:
      if (ranged && p->body > 1) p->body = 1 + plan->at % (p->body - 1);
      if (ranged) set_range(p, p->from, p->body, size);
      set_length(p, p->body);
      break;
    case LSI_WIRE_SIM_RANGE_NONE: p->head.content_range = NULL; break;
    case LSI_WIRE_SIM_RANGE_STAR:
      if (ranged) snprintf(strchr(p->range, '/'), 3, "/*");
      break;
    case LSI_WIRE_SIM_RANGE_BAD:
      if (ranged) p->range[5] = '='; /* "bytes=0-7/N", as some do */
      break;
    case LSI_WIRE_SIM_TOTAL_OTHER:
      if (ranged) set_range(p, p->from, p->body, size + 1);
      break;
    case LSI_WIRE_SIM_LENGTH_NONE: p->head.content_length = NULL; break;
    case LSI_WIRE_SIM_LENGTH_OTHER:
      p->body -= p->body > 1 && plan->at % 2 ? 1 : 0;
      p->body += p->body == ask->length ? 1 : 0;
      set_length(p, p->body);
      break;
    case LSI_WIRE_SIM_LENGTH_TWICE: p->head.repeated = true; break;
    case LSI_WIRE_SIM_ENCODED: p->head.content_encoding = "gzip"; break;
    case LSI_WIRE_SIM_MULTIPART:
      p->head.content_type = "multipart/byteranges; boundary=sim";
      p->head.content_range = NULL;
      break;
    case LSI_WIRE_SIM_ETAG_NONE: p->head.etag = NULL; break;
    case LSI_WIRE_SIM_ETAG_WEAK:
      snprintf(p->etag, sizeof p->etag, "W/\"%" PRIu32 "-%" PRIu64 "\"", p->object, p->version);
      break;
    case LSI_WIRE_SIM_ETAG_OTHER: tell_etag(p->etag, p->object, ++p->version); break;
    case LSI_WIRE_SIM_MORE:
      p->head.content_length = NULL;
      p->closes = true;
      p->body += 1 + plan->at % 100;
      break;
    default: break;
  }
}

/* Of any body. */
static void break_body(const struct lsi_wire_sim_plan *plan, struct lsi_wire_sim_reply *p) {
  const bool reset = plan->fault == LSI_WIRE_SIM_BODY_RESET;
  switch (plan->fault) {
    case LSI_WIRE_SIM_SHORT:
    case LSI_WIRE_SIM_BODY_RESET:
      p->code = LSI_WIRE_BROKEN;
      p->os_code = reset ? ECONNRESET : 0;
      p->text = reset ? "simulated: reset in the body" : "simulated: closed in the body";
      break;
    case LSI_WIRE_SIM_SHORT_CLEAN: p->head.content_length = NULL; break;
    case LSI_WIRE_SIM_STALL: p->silent = true; break;
    default: return;
  }
  p->closes = true;
  if (p->body) p->body = plan->at % p->body;
}

void lsi_wire_sim_answer(const struct lsi_wire_sim *sim, const struct lsi_wire_sim_ask *ask,
                         const struct lsi_wire_sim_plan *plan, struct lsi_wire_sim_reply *p) {
  be_honest(sim, ask, p);
  if (fail_before_head(plan, p)) return;
  if (!answer_else(ask, plan, p) && p->head.status < 300) bend_head(sim, ask, plan, p);
  if (strcmp(ask->request->method, "HEAD") == 0)
    p->body = 0;
  else
    break_body(plan, p);
}
