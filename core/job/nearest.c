/* See nearest.h. */
#include "job/nearest.h"

#include <string.h>

static char lower(char c) {
  if (c >= 'A' && c <= 'Z') return (char)(c + 32);
  return c == '_' ? '-' : c;
}

/* Insertions, deletions, substitutions and swaps of neighbours; both at most LSI_WORD_MAX long. */
static size_t edit_distance(const char *a, size_t n, const char *b, size_t m) {
  size_t rows[3][LSI_WORD_MAX + 1];
  size_t *before = rows[0], *last = rows[1], *row = rows[2];
  for (size_t j = 0; j <= m; j++) last[j] = before[j] = j;
  for (size_t i = 1; i <= n; i++) {
    row[0] = i;
    for (size_t j = 1; j <= m; j++) {
      char x = lower(a[i - 1]), y = lower(b[j - 1]);
      size_t best = last[j - 1] + (x != y);
      best = LSI_MIN(best, last[j] + 1);
      best = LSI_MIN(best, row[j - 1] + 1);
      if (i > 1 && j > 1 && x == lower(b[j - 2]) && lower(a[i - 2]) == y)
        best = LSI_MIN(best, before[j - 2] + 1);
      row[j] = best;
    }
    size_t *free_row = before;
    before = last;
    last = row;
    row = free_row;
  }
  return last[m];
}

static bool is_prefix(const char *word, size_t n, const char *of) {
  for (size_t i = 0; i < n; i++)
    if (!of[i] || lower(word[i]) != lower(of[i])) return false;
  return true;
}

const char *lsi_nearest(const char *word, const char *const *candidates, size_t n) {
  const size_t length = strlen(word);
  if (!length || length > LSI_WORD_MAX) return NULL;
  const char *best = NULL;
  size_t best_distance = SIZE_MAX;
  for (size_t i = 0; i < n; i++) {
    size_t m = strlen(candidates[i]);
    if (m > LSI_WORD_MAX) continue;
    size_t distance = edit_distance(word, length, candidates[i], m);
    /* "queue" means "queue-depth" although six letters are missing. */
    if (distance > 1 && length >= 3 && is_prefix(word, length, candidates[i])) distance = 1;
    if (distance < best_distance) {
      best_distance = distance;
      best = candidates[i];
    }
  }
  /* A third of the letters wrong is another word. */
  return best && best_distance <= LSI_MAX(length / 3, (size_t)1) && best_distance < length ? best
                                                                                           : NULL;
}
