#include "ground/show.h"

#include <stdbool.h>
#include <string.h>

#include "ground/base.h"

struct shown {
  char *at;
  size_t n, cap;
};

/* Of ASCII letters, whatever the locale. */
static bool is_same(const char *a, const char *b, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const char x = a[i] >= 'A' && a[i] <= 'Z' ? (char)(a[i] | 32) : a[i];
    if (x != b[i]) return false;
  }
  return true;
}

static void put(struct shown *s, const char *from, size_t n) {
  for (size_t i = 0; i < n; i++, s->n++)
    if (s->n + 1 < s->cap) s->at[s->n] = from[i];
}

static bool holds(const char *key, size_t n, const char *word) {
  const size_t m = strlen(word);
  for (size_t i = 0; i + m <= n; i++)
    if (is_same(key + i, word, m)) return true;
  return false;
}

/* Of a query's parameter: may its value give access? Those of signed URLs (AWS, Google, Azure), and what
 * people call such things. */
static bool is_secret(const char *key, size_t n) {
  static const char *const parts[] = {"token",     "secret",  "passw",  "pwd",     "credential",
                                      "signature", "auth",    "apikey", "api_key", "api-key",
                                      "access",    "session", "x-amz-", "x-goog-", "x-ms-"};
  static const char *const wholes[] = {"sig", "key", "sas", "jwt", "code", "hmac"};
  for (size_t i = 0; i < LSI_COUNTOF(parts); i++)
    if (holds(key, n, parts[i])) return true;
  for (size_t i = 0; i < LSI_COUNTOF(wholes); i++)
    if (strlen(wholes[i]) == n && is_same(key, wholes[i], n)) return true;
  return false;
}

static void put_query(struct shown *s, const char *from, const char *end) {
  while (from < end) {
    const size_t n = (size_t)(end - from), all = strcspn(from, "&;#"), part = LSI_MIN(all, n);
    const char *equals = memchr(from, '=', part);
    if (equals && (is_secret(from, (size_t)(equals - from)) || memchr(from, '%', (size_t)(equals - from)))) {
      put(s, from, (size_t)(equals + 1 - from));
      put(s, "...", 3);
    } else {
      put(s, from, part);
    }
    from += part;
    if (from < end) put(s, from++, 1);
  }
}

/* Behind user and password, if there are any; else `host`. */
static const char *behind_user(const char *host, const char *path, const char *query) {
  const char *behind = host, *colon = memchr(host, ':', (size_t)(path - host));
  for (const char *c = host; c < path; c++)
    if (*c == '@') behind = c + 1;
  if (behind != host || !colon || strspn(colon + 1, "0123456789") == (size_t)(path - colon - 1))
    return behind;
  for (const char *c = path; c < query; c++) /* no port: perhaps a password with a slash in it */
    if (*c == '@') behind = c + 1;
  return behind;
}

size_t lsi_name_show(const char *name, char *out, size_t cap) {
  struct shown s = {out, 0, cap};
  const char *host = strstr(name, "://");
  if (host) {
    host += 3;
    const char *path = host + strcspn(host, "/?#"), *query = host + strcspn(host, "?#");
    put(&s, name, (size_t)(host - name));
    host = behind_user(host, path, query);
    query += *query == '?';
    put(&s, host, (size_t)(query - host));
    put_query(&s, query, host + strcspn(host, "#"));
  } else {
    put(&s, name, strlen(name));
  }
  if (cap) out[LSI_MIN(s.n, cap - 1)] = 0;
  return s.n;
}
