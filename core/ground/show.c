/* What is shown of a URL. Whoever mistypes one sees it in the error, so what is shown must not depend on that
 * it can be parsed: wherever a text could be read in two ways, what may be a secret in either is left out. */
#include "ground/show.h"

#include <stdbool.h>
#include <string.h>

#include "ground/base.h"

struct out {
  char *buf;
  size_t cap, n; /* n counts on past the end */
};

static void put(struct out *o, char c) {
  if (o->n + 1 < o->cap) o->buf[o->n] = c;
  o->n++;
}

/* Bytes that could steer a terminal, or be half a character, as %XX. */
static void put_bytes(struct out *o, const char *p, const char *end) {
  static const char digits[] = "0123456789ABCDEF";
  for (; p < end; p++) {
    const unsigned char b = (unsigned char)*p;
    if (b > 0x20 && b < 0x7f) {
      put(o, *p);
      continue;
    }
    put(o, '%');
    put(o, digits[b >> 4]);
    put(o, digits[b & 15]);
  }
}

static void put_text(struct out *o, const char *text) { put_bytes(o, text, text + strlen(text)); }

static bool is_scheme(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '-' ||
         c == '.';
}

static bool is_of(const char *set, char c) { return c && strchr(set, c); }

static const char *find(const char *p, const char *end, char c) {
  const char *at = p < end ? memchr(p, c, (size_t)(end - p)) : NULL;
  return at ? at : end;
}

static const char *find_last(const char *p, const char *end, char c) {
  for (const char *q = end; q > p; q--)
    if (q[-1] == c) return q - 1;
  return NULL;
}

static bool has(const char *p, const char *end, const char *word) {
  const size_t n = strlen(word);
  for (; (size_t)(end - p) >= n; p++) {
    size_t i = 0;
    while (i < n && (p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i]) == word[i]) i++;
    if (i == n) return true;
  }
  return false;
}

/* ---- the query ---- */

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 32);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Letters and digits of a parameter's name, decoded, in lower case; -1: too many, which no name has. */
static int plain_name(const char *p, const char *end, char *name, size_t cap) {
  size_t n = 0;
  for (; p < end; p++) {
    char c = *p;
    if (c == '%' && end - p >= 3 && hex_value(p[1]) >= 0 && hex_value(p[2]) >= 0) {
      c = (char)(hex_value(p[1]) << 4 | hex_value(p[2]));
      p += 2;
    }
    if (c >= 'A' && c <= 'Z') c = (char)(c + 32);
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) continue;
    if (n + 1 == cap) return -1;
    name[n++] = c;
  }
  name[n] = 0;
  return (int)n;
}

static bool is_secret(const char *p, const char *end) {
  static const char *const within[] = {
      "signature", "token",  "credential", "passw",  "passphrase", "secret", "auth", "session", "accesskey",
      "accessid",  "apikey", "policy",     "ticket", "bearer",     "cookie", "hmac", "jwt"};
  static const char *const edges[] = {"sig", "key", "keyid", "pwd", "pass", "sas", "hdnea", "hdnts", "user"};
  char name[64];
  const int n = plain_name(p, end, name, sizeof name);
  if (n < 0) return true;
  if (!strncmp(name, "xamz", 4) || !strncmp(name, "xgoog", 5)) return true;
  for (size_t i = 0; i < LSI_COUNTOF(within); i++)
    if (strstr(name, within[i])) return true;
  for (size_t i = 0; i < LSI_COUNTOF(edges); i++) {
    const size_t length = strlen(edges[i]);
    if ((size_t)n < length) continue;
    if (!memcmp(name, edges[i], length) || !memcmp(name + n - length, edges[i], length)) return true;
  }
  return false;
}

/* A value may be a URL with secrets of its own. */
static bool holds_url(const char *p, const char *end) {
  return has(p, end, "://") || has(p, end, "%3a%2f%2f") || has(p, end, "%3f") || has(p, end, "%26");
}

#define BARE_MAX 24 /* bytes of a parameter without a value; what is longer is taken for a token */

/* Behind the '?', another one among its separators: it may be a mistake for a '&'. */
static void put_query(struct out *o, const char *p, const char *end) {
  while (p < end) {
    const char *stop = p;
    while (stop < end && !is_of("&;?", *stop)) stop++;
    const char *value = find(p, stop, '=');
    if (value == stop) {
      if (stop - p > BARE_MAX || holds_url(p, stop)) put_text(o, "...");
      else put_bytes(o, p, stop);
    } else if (is_secret(p, value) || holds_url(value, stop)) {
      if (holds_url(p, value)) put_text(o, "...");
      else put_bytes(o, p, value);
      put_text(o, "=...");
    } else {
      put_bytes(o, p, stop);
    }
    p = stop;
    if (p < end) put(o, *p++);
  }
}

/* ---- what stands before it ---- */

/* Behind two slashes there may be another authority, of a URL in a path or of one that was pasted twice. */
static void put_path(struct out *o, const char *p, const char *end) {
  const char *begin = p;
  bool doubled = false;
  while (p < end) {
    const char *stop = find(p, end, '/');
    const char *at = doubled ? find_last(p, stop, '@') : NULL;
    if (at && find(p, at, ':') < at) {
      put_text(o, "...");
      p = at;
    }
    put_bytes(o, p, stop);
    doubled = stop == p && p > begin;
    p = stop;
    if (p < end) put(o, *p++);
  }
}

/* Shows the scheme and returns where host or userinfo begin. */
static const char *put_scheme(struct out *o, const char *p, const char *end) {
  const char *at = p;
  while (end - at >= 3 && memcmp(at, "://", 3)) at++;
  if (end - at >= 3) {
    const char *scheme = at;
    while (scheme > p && is_scheme(scheme[-1])) scheme--;
    if (scheme > p) put_text(o, "...");
    put_bytes(o, scheme, at + 3);
    return at + 3;
  }
  for (at = p; at < end && is_scheme(*at); at++) {
  }
  if (end - at < 2 || *at != ':' || !is_of("/\\", at[1])) return p;
  at++;
  while (at < end && (*at == '/' || *at == '\\')) at++;
  put_bytes(o, p, at);
  return at;
}

/* Host and port, without userinfo; *rest is where they end. */
static void put_authority(struct out *o, const char *p, const char *end, const char **rest) {
  const char *stop = p;
  while (stop < end && !is_of("/?#", *stop)) stop++;
  const char *at = find_last(p, stop, '@');
  const char *host = at ? at + 1 : p;
  const char *bracket = host < stop && *host == '[' ? find_last(host, stop, ']') : NULL;
  const char *colon = find(bracket ? bracket : host, stop, ':'), *digits = colon < stop ? colon + 1 : stop;
  while (digits < stop && *digits >= '0' && *digits <= '9') digits++;
  const bool bad_port = colon < stop && (digits < stop || (!at && colon + 1 == stop));
  /* "user:pass/word@host": a password may hold what ends an authority. */
  if (!at && colon < stop && (bad_port || (stop < end && *stop != '/'))) {
    const char *late = find_last(stop, end, '@');
    if (late) {
      put_authority(o, late + 1, end, rest);
      return;
    }
  }
  put_bytes(o, host, colon);
  if (bad_port) put_text(o, ":...");
  else put_bytes(o, colon, stop);
  *rest = stop;
}

size_t lsi_url_show(const char *text, size_t n, char *buf, size_t cap) {
  if (!cap) return 0;
  struct out o = {buf, cap, 0};
  const char *end = n ? text + n : text, *p = put_scheme(&o, text, end);
  put_authority(&o, p, end, &p);
  end = find(p, end, '#');
  const char *query = find(p, end, '?');
  put_path(&o, p, query);
  if (query < end) put(&o, '?');
  if (query < end) put_query(&o, query + 1, end);
  if (o.n >= cap) {
    o.n = cap - 1;
    for (size_t i = cap > 3 ? cap - 4 : 0; i < o.n; i++) buf[i] = '.';
  }
  buf[o.n] = 0;
  return o.n;
}

size_t lsi_name_show(const char *name, char *out, size_t cap) {
  const size_t n = strlen(name);
  const char *p = name;
  while (is_scheme(*p)) p++;
  if (p > name && strncmp(p, "://", 3) == 0) return lsi_url_show(name, n, out, cap);
  if (!cap) return 0;
  const size_t fits = LSI_MIN(n, cap - 1);
  memcpy(out, name, fits);
  out[fits] = 0;
  return fits;
}
