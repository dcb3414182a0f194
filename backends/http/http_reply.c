#include "http/http_reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "http/http_retry.h"

#define SECOND_NS UINT64_C(1000000000)

static const char no_ranges[] = "read the whole object (`whole = true`), or ask another server";
static const char at_rest[] = "nothing was published; run the job again when the source is at rest";

/* ---- words ---- */

static void fail(struct lsi_http_verdict *v, int code, int kind, const char *remedy, const char *text) {
  v->what = LSI_HTTP_FAIL;
  v->code = code;
  v->kind = kind;
  v->remedy = remedy;
  snprintf(v->text, sizeof v->text, "%s", text);
}

static void garbled(struct lsi_http_verdict *v, const char *text) {
  fail(v, LSIO_ERR_IO, LSIO_KIND_CORRUPT, "", text);
}

static void changed(struct lsi_http_verdict *v, const char *how) {
  fail(v, LSIO_ERR_SOURCE, LSIO_KIND_CHANGED, at_rest, how);
}

/* ---- numbers ---- */

/* Digits from *at on; false: none, or more than 2^63 - 1. */
static bool take_number(const char **at, uint64_t *out) {
  const char *c = *at;
  uint64_t n = 0;
  for (; *c >= '0' && *c <= '9'; c++) {
    if (n > (INT64_MAX - 9) / 10) return false;
    n = n * 10 + (uint64_t)(*c - '0');
  }
  if (c == *at) return false;
  *at = c;
  *out = n;
  return true;
}

static bool number(const char *text, uint64_t *out) {
  return take_number(&text, out) && !*text;
}

struct content_range {
  bool unsatisfied; /* "*" in the place of the range */
  bool has_total;
  uint64_t first, last, total;
};

/* "bytes 0-99/1000", "bytes 0-99/" and a star, "bytes *" and "/1000". */
static bool take_content_range(const char *text, struct content_range *r) {
  *r = (struct content_range){0};
  if (!text || strncasecmp(text, "bytes ", 6) != 0) return false;
  text += 6;
  while (*text == ' ') text++;
  if (*text == '*') {
    r->unsatisfied = true;
    text++;
  } else if (!take_number(&text, &r->first) || *text++ != '-' || !take_number(&text, &r->last) ||
             r->last < r->first) {
    return false;
  }
  if (*text++ != '/') return false;
  if (text[0] == '*' && !text[1]) return !r->unsatisfied;
  r->has_total = true;
  return number(text, &r->total) && (r->unsatisfied || r->last < r->total);
}

/* Seconds since 1970 of "Sun, 06 Nov 1994 08:49:37 GMT"; -1: it is none. */
static int64_t date(const char *text) {
  struct tm t;
  memset(&t, 0, sizeof t);
  const char *end = text ? strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &t) : NULL;
  return end && !*end ? (int64_t)timegm(&t) : -1;
}

/* Seconds, or a date by the server's own clock. What makes no sense is as if it were not there. */
static uint64_t retry_after(const struct lsi_wire_head *h) {
  uint64_t seconds = 0;
  if (!h->retry_after) return 0;
  if (!number(h->retry_after, &seconds)) {
    const int64_t then = date(h->retry_after), now = date(h->date);
    if (then < 0 || now < 0 || then <= now) return 0;
    seconds = (uint64_t)(then - now);
  }
  return seconds < LSI_HTTP_AFTER_MOST_NS / SECOND_NS ? seconds * SECOND_NS : LSI_HTTP_AFTER_MOST_NS;
}

/* ---- versions ---- */

void lsi_http_version(const char *text, uint64_t version[2]) {
  const XXH128_hash_t h = XXH3_128bits(text, strlen(text));
  version[0] = h.high64;
  version[1] = h.low64;
}

/* Strong ETag, else weak ETag, else when it was modified. Servers that say nothing have none. */
static void learn_version(const struct lsi_wire_head *h, struct lsi_http_known *k) {
  const char *text = h->etag && *h->etag ? h->etag : h->last_modified;
  if (!text || !*text) return;
  k->has_version = true;
  lsi_http_version(text, k->version);
  const size_t n = h->etag ? strlen(h->etag) : 0;
  if (n >= 2 && n < sizeof k->etag && h->etag[0] == '"' && h->etag[n - 1] == '"')
    memcpy(k->etag, h->etag, n + 1);
}

bool lsi_http_match(const struct lsi_http_known *k, char *out, size_t size) {
  if (!k->etag[0]) return false;
  snprintf(out, size, "If-Match: %s", k->etag);
  return true;
}

void lsi_http_learn(struct lsi_http_known *k, const struct lsi_http_verdict *v) {
  const struct lsi_http_known *l = &v->learnt;
  if (l->has_size && !k->has_size) {
    k->has_size = true;
    k->size = l->size;
  }
  if (!l->has_version) return;
  if (!k->has_version) {
    k->has_version = true;
    memcpy(k->version, l->version, sizeof k->version);
  }
  if (!k->etag[0]) memcpy(k->etag, l->etag, sizeof k->etag);
}

/* Is it still what is known? */
static bool is_same(const struct lsi_http_known *k, struct lsi_http_verdict *v) {
  const struct lsi_http_known *l = &v->learnt;
  if (k->has_size && l->has_size && k->size != l->size) {
    changed(v, l->size < k->size ? "the source has become shorter while the job was running"
                                 : "the source has grown while the job was running");
    return false;
  }
  if (k->has_version && (!l->has_version || memcmp(k->version, l->version, sizeof k->version) != 0)) {
    changed(v, l->has_version
                   ? "the source was modified while the job was running"
                   : "the server does not tell the source's version any more (ETag, Last-Modified)");
    return false;
  }
  return true;
}

/* ---- replies with a body ---- */

static bool is_encoded(const struct lsi_wire_head *h) {
  return h->content_encoding && *h->content_encoding && strcasecmp(h->content_encoding, "identity") != 0;
}

static void accept_bytes(struct lsi_http_verdict *v, uint64_t expected) {
  v->what = LSI_HTTP_ACCEPT;
  v->expected = expected;
}

/* 206: the range, cut where the object ends. */
static void judge_partial(const struct lsi_http_asked *a, const struct lsi_wire_head *h, bool has_length,
                          uint64_t length, struct lsi_http_verdict *v) {
  struct content_range r;
  if (!a->ranged || a->head) {
    garbled(v, "the server answers with a part of what was asked for whole");
    return;
  }
  if (h->content_type && strncasecmp(h->content_type, "multipart/", 10) == 0) {
    garbled(v, "the server answers with several parts where one range was asked for");
    return;
  }
  if (!take_content_range(h->content_range, &r) || r.unsatisfied) {
    garbled(v, h->content_range ? "the server's Content-Range makes no sense"
                                : "the server does not say which range it sends");
    return;
  }
  const uint64_t n = r.last - r.first + 1;
  v->learnt.has_size = r.has_total;
  v->learnt.size = r.total;
  if (!is_same(a->known, v)) return;
  /* Where nobody knows the size, an end that came too early could not be told from a lie. */
  const bool at_end = r.has_total && r.last + 1 == r.total;
  const bool whole = n == a->length || (at_end && n < a->length);
  if (r.first != a->first || !whole)
    garbled(v, "the server sends another range than was asked for");
  else if (has_length && length != n)
    garbled(v, "the server's Content-Length and Content-Range do not agree");
  else
    accept_bytes(v, n);
}

/* 200: all of it. */
static void judge_whole(const struct lsi_http_asked *a, bool has_length, uint64_t length,
                        struct lsi_http_verdict *v) {
  v->learnt.has_size = has_length;
  v->learnt.size = length;
  const bool part = !a->head && a->length != LSI_HTTP_REST;
  /* Fewer bytes than were asked for may be an error in the object's place. */
  const bool fits = has_length && (length == a->length || (a->known->has_size && length < a->length));
  if (a->first || (part && !fits)) {
    fail(v, LSIO_ERR_SOURCE, LSIO_KIND_UNSUPPORTED, no_ranges, "the server does not send ranges of it");
    return;
  }
  if (is_same(a->known, v)) accept_bytes(v, a->head ? 0 : has_length ? length : LSI_HTTP_REST);
}

/* 416: beyond the end, if it says where that is. */
static void judge_beyond(const struct lsi_http_asked *a, const struct lsi_wire_head *h,
                         struct lsi_http_verdict *v) {
  struct content_range r;
  const bool told = take_content_range(h->content_range, &r) && r.unsatisfied && r.has_total;
  if (told) {
    v->learnt = (struct lsi_http_known){.has_size = true, .size = r.total};
    if (a->known->has_size && a->known->size != r.total) {
      changed(v, "the source has become shorter while the job was running");
      return;
    }
    if (a->first >= r.total) {
      v->what = LSI_HTTP_END;
      return;
    }
  }
  garbled(v, "the server says that the range lies beyond the end, which it does not");
}

/* ---- refusals ---- */

static void judge_refusal(const struct lsi_wire_head *h, struct lsi_http_verdict *v) {
  const int s = h->status;
  static const struct {
    int status, code, kind;
    const char *text, *remedy;
  } known[] = {
      {401, LSIO_ERR_SOURCE, LSIO_KIND_PERMISSION, "the server wants credentials",
       "give user and password, or a token"},
      {403, LSIO_ERR_SOURCE, LSIO_KIND_PERMISSION, "the server does not allow it", "check the credentials"},
      {404, LSIO_ERR_SOURCE, LSIO_KIND_NOT_FOUND, "the server has no such object", "check the URL"},
      {405, LSIO_ERR_SOURCE, LSIO_KIND_UNSUPPORTED, "the server does not take requests of this kind", ""},
      {407, LSIO_ERR_SOURCE, LSIO_KIND_PERMISSION, "the proxy wants credentials",
       "write them into the proxy's URL"},
      {410, LSIO_ERR_SOURCE, LSIO_KIND_NOT_FOUND, "the object is gone for ever", "check the URL"},
      {412, LSIO_ERR_SOURCE, LSIO_KIND_CHANGED, "the source was modified while the job was running", at_rest},
      {414, LSIO_ERR_SOURCE, LSIO_KIND_USAGE, "the server finds the URL too long", ""},
      {451, LSIO_ERR_SOURCE, LSIO_KIND_PERMISSION, "the server may not give it out", ""},
  };
  for (size_t i = 0; i < LSI_COUNTOF(known); i++) {
    if (known[i].status != s) continue;
    fail(v, known[i].code, known[i].kind, known[i].remedy, known[i].text);
    return;
  }
  char text[64];
  snprintf(text, sizeof text, "the server answers with status %d", s);
  if (s == 408 || s == 425 || s == 429 || (s >= 500 && s != 501 && s != 505)) {
    v->what = LSI_HTTP_AGAIN;
    v->throttled = s == 429 || s == 503;
    v->after_ns = retry_after(h);
    v->remedy = v->throttled ? "ask for less at once (queue_depth), or later" : "";
    snprintf(v->text, sizeof v->text, "%s",
             v->throttled ? "the server says that it is asked too much" : text);
    return;
  }
  const bool ours = s >= 400 && s < 500;
  fail(v, ours ? LSIO_ERR_SOURCE : LSIO_ERR_IO, ours ? LSIO_KIND_OTHER : LSIO_KIND_CORRUPT, "", text);
}

static void judge_redirect(const struct lsi_wire_head *h, struct lsi_http_verdict *v) {
  if (!h->location || !*h->location || strlen(h->location) >= sizeof v->location) {
    garbled(v, "the server redirects without saying where to");
    return;
  }
  v->what = LSI_HTTP_REDIRECT;
  memcpy(v->location, h->location, strlen(h->location) + 1);
}

void lsi_http_judge(const struct lsi_http_asked *a, const struct lsi_wire_head *h,
                    struct lsi_http_verdict *v) {
  uint64_t length = 0;
  const int s = h->status;
  memset(v, 0, sizeof *v);
  v->status = s;
  v->remedy = "";
  if (s == 301 || s == 302 || s == 303 || s == 307 || s == 308) {
    judge_redirect(h, v);
    return;
  }
  if (s != 200 && s != 206 && s != 416) {
    judge_refusal(h, v);
    return;
  }
  const bool has_length = h->content_length != NULL;
  if (h->repeated) {
    garbled(v, "the server sends two different lengths or ranges");
  } else if (has_length && !number(h->content_length, &length)) {
    garbled(v, "the server's Content-Length is no number");
  } else if (s == 416) {
    judge_beyond(a, h, v);
  } else if (is_encoded(h)) {
    fail(v, LSIO_ERR_SOURCE, LSIO_KIND_UNSUPPORTED,
         "ask for the object without it, or where it is stored as it is",
         "the server sends it compressed on the way, as nobody has asked");
  } else {
    learn_version(h, &v->learnt);
    if (s == 206)
      judge_partial(a, h, has_length, length, v);
    else
      judge_whole(a, has_length, length, v);
  }
}
