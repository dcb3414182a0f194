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

/* -1: the name has no scheme, or one that no store has. */
static int by_scheme(const char *name) {
  const char *colon = strchr(name, ':');
  if (!colon || strncmp(colon, "://", 3) != 0) return -1;
  for (int i = 0; lsi_stores[i]; i++)
    for (const char *const *s = lsi_stores[i]->schemes; s && *s; s++)
      if (same(*s, name, (size_t)(colon - name))) return i;
  return -1;
}

uint16_t lsi_store_find(const char *name) {
  const int i = by_scheme(name);
  return i < 0 ? 0 : (uint16_t)i;
}

int lsi_store_named(const char *name) {
  for (int i = 0; lsi_stores[i]; i++)
    if (strcmp(lsi_stores[i]->name, name) == 0) return i;
  return -1;
}

int lsi_store_name(const char *given, bool pattern, char **name, struct lsi_error *err) {
  const int i = by_scheme(given);
  *name = NULL;
  return i < 0 || !lsi_stores[i]->from_url ? 0 : lsi_stores[i]->from_url(given, pattern, name, err);
}

int lsi_store_look(const char *const *names, size_t n, struct lsi_object_info *infos, struct lsi_watch *watch,
                   unsigned keep, struct lsi_error *err) {
  int rc = 0;
  for (size_t i = 0, j; rc >= 0 && i < n; i = j) {
    const uint16_t store = lsi_store_find(names[i]);
    for (j = i + 1; j < n && lsi_store_find(names[j]) == store;) j++;
    rc = lsi_stores[store]->stat_many(NULL, names + i, j - i, infos + i, watch, keep != LSI_KEEP_NONE, err);
    for (size_t k = i; store && k < j; k++) infos[k].store = store;
  }
  for (size_t i = 0; rc >= 0 && keep == LSI_KEEP_MISSING && i < n; i++)
    if (infos[i].known & LSI_KNOWN_FAULT && !lsi_object_is_missing(&infos[i]))
      rc = lsi_stores[infos[i].store]->fault(&infos[i], names[i], err);
  return rc;
}

bool lsi_store_unseen(const char *const *names, size_t n, struct lsi_object_info *infos) {
  for (size_t i = 0; i < n; i++) {
    const uint16_t store = lsi_store_find(names[i]);
    if (!lsi_stores[store]->unseen || !lsi_stores[store]->unseen(NULL, names[i], &infos[i])) return false;
    infos[i].store = store;
  }
  return true;
}
