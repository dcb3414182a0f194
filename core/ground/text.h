/* A text that grows, for people. */
#ifndef LSI_TEXT_H
#define LSI_TEXT_H

#include "ground/base.h"

struct lsi_text {
  char *at; /* NULL: nothing was added */
  size_t length, cap;
  bool failed; /* there was no memory: what is there is not all */
};

void lsi_text_add(struct lsi_text *t, const char *fmt, ...) LSI_PRINTF(2, 3);
void lsi_text_bytes(struct lsi_text *t, const char *bytes, size_t n);
/* Adds `text` in lines of at most `columns`, broken between words, but not between a number and the word
 * behind it; those that go on begin with `indent` blanks. A word that is longer than a line is broken too,
 * behind a slash if there is one in its second half: names of files may be of any length. A column is a
 * character of UTF-8, or a byte that is none. */
void lsi_text_wrap(struct lsi_text *t, const char *text, size_t columns, size_t indent);
/* The text (lsi_free); NULL: no memory. */
char *lsi_text_take(struct lsi_text *t);

#endif
