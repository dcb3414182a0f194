#include "linux/os_linux_pattern.h"

#include <fnmatch.h>
#include <stdint.h>
#include <string.h>

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

/* As fnmatch, which takes longer than all else that happens to a name. */
bool lsi_pattern_matches(const struct lsi_pattern_part *p, const char *name, size_t n) {
  if (p->before == SIZE_MAX) return fnmatch(p->text, name, FNM_PERIOD) == 0;
  size_t behind = p->length - p->before - 1;
  if (n < p->before + behind || (name[0] == '.' && p->before == 0)) return false;
  return memcmp(name, p->text, p->before) == 0 &&
         memcmp(name + n - behind, p->text + p->before + 1, behind) == 0;
}
