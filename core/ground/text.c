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

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool continues(char c) { return ((unsigned char)c & 0xC0) == 0x80; }

static size_t columns_of(const char *text, size_t n) {
  size_t columns = 0;
  for (size_t i = 0; i < n; i++) columns += i == 0 || !continues(text[i]);
  return columns;
}

/* How many bytes of a word that has more columns than these go into a line. */
static size_t cut(const char *word, size_t n, size_t columns) {
  size_t end = 0, slash = 0, column = 0;
  for (; end < n; end++) {
    if ((end == 0 || !continues(word[end])) && ++column > columns) break;
    if (word[end] == '/' && 2 * column > columns) slash = end + 1;
  }
  return slash ? slash : end;
}

/* A number and what it counts are one word. */
static size_t word_length(const char *word) {
  size_t n = strcspn(word, " \n");
  while (n && word[n] == ' ' && strchr("0123456789", word[n - 1]) && is_letter(word[n + 1]))
    n += 1 + strcspn(word + n + 1, " \n");
  return n;
}

static void next_line(struct lsi_text *t, size_t indent, size_t *column) {
  lsi_text_add(t, "\n%*s", (int)indent, "");
  *column = indent;
}

void lsi_text_wrap(struct lsi_text *t, const char *text, size_t columns, size_t indent) {
  size_t column = 0, begin = 0; /* of this line: where it is, and where its first word stands */
  while (*text) {
    const size_t blanks = strspn(text, " ");
    const char *word = text + blanks;
    size_t left = word_length(word), width = columns_of(word, left);
    if (column > begin && width && column + blanks + width > columns)
      next_line(t, begin = indent, &column);
    else if (width && blanks <= columns - column)
      lsi_text_add(t, "%*s", (int)blanks, ""), column += blanks;
    while (width > columns - column) {
      const size_t part = cut(word, left, columns - column);
      lsi_text_bytes(t, word, part);
      word += part, left -= part;
      while (left && *word == ' ') word++, left--;
      width = columns_of(word, left);
      next_line(t, begin = indent, &column);
    }
    lsi_text_bytes(t, word, left);
    column += width;
    text = word + left;
    if (*text == '\n') {
      lsi_text_bytes(t, text++, 1);
      column = begin = 0;
    }
  }
}

char *lsi_text_take(struct lsi_text *t) {
  if (!t->failed && !t->at) lsi_text_bytes(t, "", 0);
  char *at = t->at;
  if (t->failed) lsi_free(at), at = NULL;
  *t = (struct lsi_text){0};
  return at;
}
