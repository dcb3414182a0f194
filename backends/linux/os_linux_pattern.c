#include "linux/os_linux_pattern.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#define BYTE 0x110000u /* behind all characters: bytes that belong to none */

bool lsi_pattern_magic(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (s[i] == '*' || s[i] == '?' || s[i] == '[') return true;
  return false;
}

bool lsi_pattern_one_more(const char *rest) {
  while (rest && *rest == '/') rest++;
  return rest && *rest && !strchr(rest, '/') && strcmp(rest, "**") != 0;
}

bool lsi_pattern_sorted(const char *pattern) {
  for (const char *p = pattern; (p = strstr(p, "**")); p += 2) {
    bool whole = (p == pattern || p[-1] == '/') && (p[2] == '/' || !p[2]);
    if (whole && p[2] && !lsi_pattern_one_more(p + 2)) return false;
  }
  return true;
}

bool lsi_pattern_read(const char *pattern, struct lsi_pattern_part *p) {
  size_t n = strcspn(pattern, "/");
  p->rest = pattern[n] ? pattern + n : NULL;
  p->again = n == 2 && memcmp(pattern, "**", 2) == 0 ? pattern : NULL;
  if (p->again) {
    bool both = lsi_pattern_one_more(p->rest);
    pattern = both ? p->rest + strspn(p->rest, "/") : "*";
    n = strlen(pattern);
    if (both) p->rest = NULL;
  }
  if (n >= sizeof p->text) return false;
  memcpy(p->text, pattern, n);
  p->text[n] = 0;
  p->length = n;
  const char *star = strchr(p->text, '*');
  bool simple = star && !strchr(star + 1, '*') && !strpbrk(p->text, "?[\\");
  p->before = simple ? (size_t)(star - p->text) : SIZE_MAX;
  return true;
}

/* ---- one name against one component ---- */

/* A character of UTF-8, or a byte that belongs to none. Not at the end of *s. */
static uint32_t next_char(const char **s) {
  static const uint32_t least[] = {BYTE, 0x80, 0x800, 0x10000};
  const unsigned char *p = (const unsigned char *)*s;
  (*s)++;
  if (*p < 0x80) return *p;
  const unsigned n = *p < 0xC0 || *p >= 0xF8 ? 0 : *p < 0xE0 ? 1 : *p < 0xF0 ? 2 : 3;
  uint32_t c = *p & (0x3Fu >> n);
  unsigned i = 1;
  while (i <= n && (p[i] & 0xC0) == 0x80) c = c << 6 | (p[i++] & 0x3F);
  if (i <= n || c < least[n] || c >= BYTE || (c >= 0xD800 && c < 0xE000)) return BYTE + *p;
  *s += n;
  return c;
}

/* Of ASCII, as in the C locale. */
static bool in_class(const char *name, size_t n, uint32_t c) {
  static const struct {
    const char *name;
    int (*is)(int);
  } classes[] = {{"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"cntrl", iscntrl},
                 {"digit", isdigit}, {"graph", isgraph}, {"lower", islower}, {"print", isprint},
                 {"punct", ispunct}, {"space", isspace}, {"upper", isupper}, {"xdigit", isxdigit}};
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
    if (strlen(classes[i].name) == n && memcmp(classes[i].name, name, n) == 0)
      return c < 0x80 && classes[i].is((int)c);
  return false;
}

/* One end of a range in brackets; *p is not at its end. */
static uint32_t bracket_char(const char **p) {
  const char *s = *p;
  if (*s == '[' && (s[1] == '.' || s[1] == '=') && s[2] && s[3] == s[1] && s[4] == ']') {
    *p += 5; /* [.x.] and [=x=] */
    return (unsigned char)s[2];
  }
  if (*s == '\\' && s[1]) ++*p;
  return next_char(p);
}

/* What is behind the bracket expression at p, and whether it holds c; NULL: it does not end. */
static const char *bracket(const char *p, uint32_t c, bool *holds) {
  const bool others = p[1] == '!' || p[1] == '^';
  bool in = false;
  p += 1 + others;
  for (bool first = true; first || *p != ']'; first = false) {
    if (!*p) return NULL;
    const char *end = p[0] == '[' && p[1] == ':' ? strstr(p + 2, ":]") : NULL;
    if (end) {
      in |= in_class(p + 2, (size_t)(end - p) - 2, c);
      p = end + 2;
      continue;
    }
    const uint32_t low = bracket_char(&p);
    const bool range = p[0] == '-' && p[1] && p[1] != ']';
    p += range;
    const uint32_t high = range ? bracket_char(&p) : low;
    in |= low <= c && c <= high;
  }
  *holds = in != others;
  return p + 1;
}

/* Does what *p begins with, which is no star, match a character? Steps over it. */
static bool matches_one(const char **p, uint32_t c) {
  bool holds;
  const char *end = **p == '[' ? bracket(*p, c, &holds) : NULL;
  if (end) {
    *p = end;
    return holds;
  }
  if (**p == '?') {
    ++*p;
    return true;
  }
  if (**p == '\\' && !*++*p) return false;
  return next_char(p) == c;
}

/* As fnmatch with FNM_PERIOD, but of characters, whatever the program's locale is. */
static bool matches(const char *p, const char *name) {
  const char *star = NULL, *from = NULL; /* what is behind the last star, and what that begins with */
  if (*name == '.' && *p != '.' && !(*p == '\\' && p[1] == '.')) return false;
  while (*name) {
    if (*p == '*') {
      star = ++p;
      from = name;
      continue;
    }
    const char *next = name;
    const uint32_t c = next_char(&next);
    if (*p && matches_one(&p, c)) {
      name = next;
    } else if (star) {
      next_char(&from);
      name = from;
      p = star;
    } else {
      return false;
    }
  }
  while (*p == '*') p++;
  return !*p;
}

bool lsi_pattern_matches(const struct lsi_pattern_part *p, const char *name, size_t n) {
  if (p->before == SIZE_MAX) return matches(p->text, name);
  size_t behind = p->length - p->before - 1;
  if (n < p->before + behind || (name[0] == '.' && p->before == 0)) return false;
  return memcmp(name, p->text, p->before) == 0 &&
         memcmp(name + n - behind, p->text + p->before + 1, behind) == 0;
}
