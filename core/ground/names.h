/* Many names in one block: for paths that are listed, sorted and planned by the million. Not thread-safe. */
#ifndef LSI_NAMES_H
#define LSI_NAMES_H

#include "ground/base.h"

struct lsi_names {
  char *text; /* each NUL-terminated, one after the other */
  uint64_t length, capacity;
  uint64_t *at; /* n offsets into text */
  uint64_t n, at_capacity;
};

static inline const char *lsi_names_get(const struct lsi_names *names, uint64_t i) {
  return names->text + names->at[i];
}
static inline char lsi_names_mark(const struct lsi_names *names, uint64_t i) {
  return names->text[names->at[i] - 1];
}
/* Adds `length` bytes as a name, with a mark of the caller's in the byte before it. False:
 * no memory, the list is as it was. */
bool lsi_names_add(struct lsi_names *names, char mark, const char *name, size_t length);
void lsi_names_free(struct lsi_names *names);
/* Puts the indices of the names into order[0..n), by their bytes (strcmp), stably. `order` has room for
 * 2 n words. n < 2^32. */
void lsi_names_order(const struct lsi_names *names, uint64_t *order);

#endif
