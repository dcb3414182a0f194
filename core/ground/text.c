#include "ground/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ground/mem.h"

/* Room for n more bytes and the 0 behind them. */
static bool room(struct lsi_text *t, size_t n) {
  if (t->failed) return false;
  if (n < t->cap - t->length) return true;
  size_t cap;
  char *at = NULL;
  if (!lsi_add_overflow(t->length + t->cap, n, &cap) && !lsi_add_overflow(cap, (size_t)512, &cap))
    at = lsi_realloc(t->at, cap);
  if (!at) {
    t->failed = true;
    return false;
  }
  t->at = at;
  t->cap = cap;
  return true;
}

void lsi_text_add(struct lsi_text *t, const char *fmt, ...) {
  for (int attempt = 0; attempt < 2; attempt++) {
    va_list ap;
    va_start(ap, fmt);
    const size_t left = t->failed ? 0 : t->cap - t->length;
    const int n = vsnprintf(left ? t->at + t->length : NULL, left, fmt, ap);
    va_end(ap);
    if (n < 0) t->failed = true;
    if (n < 0 || !room(t, (size_t)n)) return;
    if ((size_t)n < left) {
      t->length += (size_t)n;
      return;
    }
  }
}

void lsi_text_bytes(struct lsi_text *t, const char *bytes, size_t n) {
  if (!room(t, n)) return;
  memcpy(t->at + t->length, bytes, n);
  t->length += n;
  t->at[t->length] = 0;
}

char *lsi_text_take(struct lsi_text *t) {
  if (!t->failed && !t->at) lsi_text_bytes(t, "", 0);
  char *at = t->at;
  if (t->failed) lsi_free(at), at = NULL;
  *t = (struct lsi_text){0};
  return at;
}
