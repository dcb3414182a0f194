#include "http/url.h"

#include <string.h>
#include <strings.h>

#include "ground/mem.h"

#define LONGEST 65536u

static const char refused_remedy[] =
    "write https://HOST/PATH, with %20 and its like for what a URL can't hold";

static int refuse(struct lsi_error *err, const char *what) {
  lsi_fail(err, LSIO_ERR_SOURCE, 0, "a URL %s", what);
  lsi_error_is(err, LSIO_KIND_USAGE);
  lsi_error_remedy(err, "%s", refused_remedy);
  return LSIO_ERR_SOURCE;
}

static int no_memory(struct lsi_error *err) {
  return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a URL");
}

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Parts of a URL, in the text that was given. */
struct parts {
  bool tls;
  const char *user, *user_end; /* userinfo; NULL: none */
  const char *host, *host_end; /* of an IPv6 address with its brackets */
  unsigned port;
  const char *path, *end; /* path and query */
};

/* ---- taking apart ---- */

static int take_port(const char *from, const char *to, struct parts *p, struct lsi_error *err) {
  unsigned port = 0;
  for (const char *c = from; c < to; c++) {
    if (*c < '0' || *c > '9') return refuse(err, "has a port that is no number");
    port = port * 10 + (unsigned)(*c - '0');
    if (port > 65535) return refuse(err, "has a port beyond 65535");
  }
  if (from < to) p->port = port;
  return p->port ? 0 : refuse(err, "has port 0");
}

static bool is_host_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         strchr("-._~%!$&'()*+,;=", c);
}

static int take_host(const char *from, const char *to, struct parts *p, struct lsi_error *err) {
  const char *end;
  p->host = from;
  if (from < to && *from == '[') {
    end = memchr(from, ']', (size_t)(to - from));
    if (!end) return refuse(err, "has a [ without ] in its host");
    for (const char *c = from + 1; c < end; c++)
      if (hex(*c) < 0 && *c != ':' && *c != '.') return refuse(err, "has an address in [] that is none");
    end++;
  } else {
    for (end = from; end < to && *end != ':'; end++)
      if (!is_host_byte(*end)) return refuse(err, "has a host with bytes that no name has");
  }
  p->host_end = end;
  if (end == from || end - from > 255)
    return refuse(err, end == from ? "has no host" : "has a host that is too long");
  if (end == to) return 0;
  return *end == ':' ? take_port(end + 1, to, p, err)
                     : refuse(err, "has something behind the address of its host");
}

static int take_apart(const char *given, struct parts *p, struct lsi_error *err) {
  const bool tls = strncasecmp(given, "https://", 8) == 0;
  if (!tls && strncasecmp(given, "http://", 7) != 0)
    return refuse(err, "does not begin with http:// or https://");
  if (strnlen(given, LONGEST) == LONGEST) return refuse(err, "is longer than 64 KiB");
  const char *from = given + (tls ? 8 : 7), *end = from + strcspn(from, "/?#");
  *p = (struct parts){.tls = tls, .port = tls ? 443 : 80, .path = end, .end = end + strcspn(end, "#")};
  for (const char *c = given; *c; c++)
    if ((unsigned char)*c < 32 || *c == 127) return refuse(err, "has control characters");
  for (const char *at = end; at > from; at--) { /* the last @ ends userinfo */
    if (at[-1] != '@') continue;
    p->user = from;
    p->user_end = at - 1;
    from = at;
    break;
  }
  return take_host(from, end, p, err);
}

/* ---- putting together ---- */

struct text {
  char *at;
  size_t n;
};

static void put(struct text *t, char c) {
  t->at[t->n++] = c;
}

static void put_all(struct text *t, const char *from, const char *to) {
  memcpy(t->at + t->n, from, (size_t)(to - from));
  t->n += (size_t)(to - from);
}

static void put_lower(struct text *t, const char *from, const char *to) {
  for (; from < to; from++) put(t, *from >= 'A' && *from <= 'Z' ? (char)(*from | 32) : *from);
}

static void put_number(struct text *t, unsigned n) {
  char digits[8];
  int i = 0;
  do digits[i++] = (char)('0' + n % 10);
  while (n /= 10);
  while (i) put(t, digits[--i]);
}

/* Of path and query, as they go out: three bytes for one at most. */
static void put_encoded(struct text *t, const char *from, const char *to) {
  static const char digits[] = "0123456789ABCDEF";
  for (; from < to; from++) {
    const unsigned char c = (unsigned char)*from;
    const bool escape = c == '%' && to - from > 2 && hex(from[1]) >= 0 && hex(from[2]) >= 0;
    if (c > 32 && c < 127 && !strchr("\"<>\\^`{|}", c) && (c != '%' || escape)) {
      put(t, *from);
    } else {
      put(t, '%');
      put(t, digits[c >> 4]);
      put(t, digits[c & 15]);
    }
  }
}

static void put_origin(struct text *t, const struct parts *p, bool with_port) {
  const char *scheme = p->tls ? "https://" : "http://";
  put_all(t, scheme, scheme + strlen(scheme));
  put_lower(t, p->host, p->host_end);
  if (!with_port) return;
  put(t, ':');
  put_number(t, p->port);
}

static char *origin_text(const struct parts *p) {
  struct text t = {lsi_malloc((size_t)(p->host_end - p->host) + 24), 0};
  if (!t.at) return NULL;
  put_origin(&t, p, true);
  put(&t, 0);
  return t.at;
}

/* "user:password", decoded, as Basic credentials. */
static char *authorization(const struct parts *p) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static const char header[] = "Authorization: Basic ";
  const size_t most = (size_t)(p->user_end - p->user) + 2;
  unsigned char *plain = lsi_malloc(most);
  struct text t = {plain ? lsi_malloc(sizeof header + most / 3 * 4 + 8) : NULL, 0};
  size_t n = 0;
  bool colon = false;
  for (const char *c = p->user; t.at && c < p->user_end; c++) {
    const bool escape = *c == '%' && p->user_end - c > 2 && hex(c[1]) >= 0 && hex(c[2]) >= 0;
    colon |= *c == ':';
    plain[n++] = escape ? (unsigned char)(hex(c[1]) << 4 | hex(c[2])) : (unsigned char)*c;
    if (escape) c += 2;
  }
  if (t.at) {
    if (!colon) plain[n++] = ':';
    put_all(&t, header, header + sizeof header - 1);
    for (size_t i = 0; i < n; i += 3) {
      const unsigned a = plain[i], b = i + 1 < n ? plain[i + 1] : 0, c = i + 2 < n ? plain[i + 2] : 0;
      put(&t, letters[a >> 2]);
      put(&t, letters[(a & 3) << 4 | b >> 4]);
      put(&t, i + 1 < n ? letters[(b & 15) << 2 | c >> 6] : '=');
      put(&t, i + 2 < n ? letters[c & 63] : '=');
    }
    put(&t, 0);
  }
  if (plain) memset(plain, 0, most);
  lsi_free(plain);
  return t.at;
}

static int put_together(const struct parts *p, struct lsi_url *out, struct lsi_error *err) {
  struct text t = {lsi_malloc((size_t)(p->host_end - p->host) + 3 * (size_t)(p->end - p->path) + 32), 0};
  *out = (struct lsi_url){.text = t.at, .origin = origin_text(p), .tls = p->tls};
  if (p->user) out->authorization = authorization(p);
  if (!t.at || !out->origin || (p->user && !out->authorization)) {
    lsi_url_clear(out);
    return no_memory(err);
  }
  put_origin(&t, p, p->port != (p->tls ? 443u : 80u));
  out->path = t.n;
  if (p->path == p->end || *p->path != '/') put(&t, '/');
  put_encoded(&t, p->path, p->end);
  put(&t, 0);
  return 0;
}

int lsi_url_parse(const char *given, struct lsi_url *out, struct lsi_error *err) {
  struct parts p;
  const int rc = take_apart(given, &p, err);
  return rc < 0 ? rc : put_together(&p, out, err);
}

void lsi_url_clear(struct lsi_url *u) {
  if (u->authorization) memset(u->authorization, 0, strlen(u->authorization));
  lsi_free(u->text);
  lsi_free(u->origin);
  lsi_free(u->authorization);
  *u = (struct lsi_url){0};
}

/* ---- references ---- */

/* Removes . and .. from a path, in place; returns its new end (RFC 3986, 5.2.4). */
static char *remove_dots(char *path, char *end) {
  char *to = path;
  for (char *from = path; from < end;) {
    char *next = from + 1;
    while (next < end && *next != '/') next++;
    const size_t n = (size_t)(next - from);
    const bool dot = n == 2 && from[1] == '.', dots = n == 3 && from[1] == '.' && from[2] == '.';
    if (dots)
      while (to > path && *--to != '/') {
      }
    if (!dot && !dots) {
      memmove(to, from, n);
      to += n;
    } else if (next == end) {
      *to++ = '/';
    }
    from = next;
  }
  return to;
}

/* What `location` means behind the base's path: its text without origin. Room for both. */
static char *join(const struct lsi_url *base, const char *location) {
  const char *path = base->text + base->path;
  const size_t path_n = strcspn(path, "?"), all = strlen(base->text) + strlen(location) + 2;
  struct text t = {lsi_malloc(all), 0};
  if (!t.at) return NULL;
  put_all(&t, base->text, base->text + base->path);
  const size_t begin = t.n;
  size_t keep = path_n; /* of the base's path */
  if (!*location || *location == '#') keep = strlen(path); /* the same, with its query */
  else if (*location == '/')
    keep = 0;
  else if (*location && *location != '?')
    while (keep && path[keep - 1] != '/') keep--;
  put_all(&t, path, path + keep);
  const size_t n = strcspn(location, "?#");
  put_all(&t, location, location + n);
  t.n = (size_t)(remove_dots(t.at + begin, t.at + t.n) - t.at);
  put_all(&t, location + n, location + strlen(location));
  put(&t, 0);
  return t.at;
}

int lsi_url_resolve(const struct lsi_url *base, const char *location, struct lsi_url *out,
                    struct lsi_error *err) {
  const size_t scheme = strspn(location, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
  char *text = NULL;
  if (strnlen(location, LONGEST) == LONGEST)
    return refuse(err, "that the server redirects to is longer than 64 KiB");
  if (location[0] == '/' && location[1] == '/') { /* of the same scheme */
    const size_t n = strlen(location) + 8;
    struct text t = {lsi_malloc(n), 0};
    if ((text = t.at)) {
      put_all(&t, base->text, base->text + (base->tls ? 6 : 5));
      put_all(&t, location, location + strlen(location) + 1);
    }
  } else if (!scheme || location[scheme] != ':') {
    text = join(base, location);
  } else {
    text = lsi_strndup(location, strlen(location));
  }
  if (!text) return no_memory(err);
  const int rc = lsi_url_parse(text, out, err);
  lsi_free(text);
  if (rc < 0 || !out->authorization) return rc;
  memset(out->authorization, 0, strlen(out->authorization));
  lsi_free(out->authorization);
  out->authorization = NULL;
  return 0;
}
