/* Sorting by bytes: one radix sort by as much of eight bytes behind the common prefix as differs, then
 * those that are still equal by comparing. A thousand names of a folder take 10 us, a merge sort 85. */
#include "ground/names.h"

#include <string.h>

#include "ground/mem.h"
#include "ground/radix.h"

#define RADIX_LEAST 128u /* names; fewer are sorted in less time than it takes to clear the counters */

bool lsi_names_add(struct lsi_names *names, char mark, const char *name, size_t length) {
  if (names->length + length + 2 > names->capacity) {
    const uint64_t capacity = LSI_MAX(names->capacity * 2, names->length + length + 4096);
    char *text = lsi_realloc(names->text, capacity);
    if (!text) return false;
    names->text = text;
    names->capacity = capacity;
  }
  if (names->n == names->at_capacity) {
    const uint64_t capacity = LSI_MAX(names->at_capacity * 2, UINT64_C(256));
    uint64_t *at = lsi_reallocarray(names->at, capacity, sizeof *at);
    if (!at) return false;
    names->at = at;
    names->at_capacity = capacity;
  }
  char *to = names->text + names->length;
  *to = mark;
  memcpy(to + 1, name, length);
  to[length + 1] = 0;
  names->at[names->n++] = names->length + 1;
  names->length += length + 2;
  return true;
}

void lsi_names_free(struct lsi_names *names) {
  lsi_free(names->text);
  lsi_free(names->at);
  *names = (struct lsi_names){0};
}

static size_t common_prefix(const struct lsi_names *names) {
  const char *first = lsi_names_get(names, 0);
  size_t n = strlen(first);
  for (uint64_t i = 1; i < names->n && n; i++) {
    const char *name = lsi_names_get(names, i);
    if (strncmp(first, name, n) == 0) continue;
    for (size_t k = 0; k < n; k++)
      if (first[k] != name[k]) n = k;
  }
  return n;
}

/* Eight bytes, the first one highest; behind the end of a name come zeros. */
static uint64_t key_of(const char *name) {
  uint64_t key = 0;
  for (int i = 0; i < 8; i++) key = key << 8 | (*name ? (unsigned char)*name++ : 0);
  return key;
}

static unsigned bit_length(uint64_t x) { return x ? 64u - (unsigned)__builtin_clzll(x) : 0; }

/* Makes of `order` words of a key and, in the lowest index_bits, an index; sorted by the key. */
static void sort_by_key(const struct lsi_names *names, uint64_t *order, unsigned index_bits) {
  const uint32_t n = (uint32_t)names->n;
  const size_t prefix = common_prefix(names);
  const uint64_t first = key_of(lsi_names_get(names, 0) + prefix);
  uint64_t differing = 0;
  for (uint32_t i = 0; i < n; i++) {
    order[i] = key_of(lsi_names_get(names, i) + prefix);
    differing |= order[i] ^ first;
  }
  const unsigned room = 64 - index_bits, top = bit_length(differing);
  const unsigned lowest = differing ? (unsigned)__builtin_ctzll(differing) : 0;
  const unsigned low = LSI_MAX(lowest, top > room ? top - room : 0), bits = top - low;
  const uint64_t mask = (UINT64_C(1) << bits) - 1; /* bits <= room < 64 */
  for (uint32_t i = 0; i < n; i++) order[i] = (order[i] >> low & mask) << index_bits | i;
  const uint64_t *sorted = lsi_radix_sort(order, order + n, n, index_bits, bits);
  if (sorted != order) memcpy(order, sorted, n * sizeof *order);
}

/* Bottom-up merge sort of n words by the names that they are the indices of. */
static void sort_by_name(const struct lsi_names *names, uint64_t *word, uint64_t *scratch, uint64_t n,
                         uint64_t index) {
  uint64_t *from = word, *to = scratch;
  for (uint64_t width = 1; width < n; width *= 2) {
    for (uint64_t k = 0, a = 0; a < n; a += 2 * width) {
      const uint64_t middle = LSI_MIN(a + width, n), end = LSI_MIN(a + 2 * width, n);
      for (uint64_t i = a, j = middle; k < end; k++) {
        const bool left = i < middle && (j == end || strcmp(lsi_names_get(names, from[i] & index),
                                                            lsi_names_get(names, from[j] & index)) <= 0);
        to[k] = left ? from[i++] : from[j++];
      }
    }
    uint64_t *swap = from;
    from = to;
    to = swap;
  }
  if (from != word) memcpy(word, from, n * sizeof *word);
}

void lsi_names_order(const struct lsi_names *names, uint64_t *order) {
  const uint64_t n = names->n;
  if (n == 0) return;
  const unsigned index_bits = bit_length(n);
  const uint64_t index = (UINT64_C(1) << index_bits) - 1;
  if (n < RADIX_LEAST)
    for (uint64_t i = 0; i < n; i++) order[i] = i;
  else
    sort_by_key(names, order, index_bits);
  for (uint64_t begin = 0, end; begin < n; begin = end) {
    for (end = begin + 1; end < n && order[end] >> index_bits == order[begin] >> index_bits;) end++;
    if (end - begin > 1) sort_by_name(names, order + begin, order + n, end - begin, index);
  }
  for (uint64_t i = 0; i < n; i++) order[i] &= index;
}
