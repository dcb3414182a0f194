#include "seams/store.h"

#include <string.h>

/* The scheme of a store is in lower case, that of a name need not be, whatever the locale. */
static bool same(const char *scheme, const char *name, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const char c = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
    if (scheme[i] != c) return false;
  }
  return scheme[n] == 0;
}

uint16_t lsi_store_find(const char *name) {
  const char *colon = strchr(name, ':');
  if (!colon || strncmp(colon, "://", 3) != 0) return 0;
  for (uint16_t i = 0; lsi_stores[i]; i++)
    for (const char *const *s = lsi_stores[i]->schemes; s && *s; s++)
      if (same(*s, name, (size_t)(colon - name))) return i;
  return 0;
}
