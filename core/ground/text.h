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
/* The text (lsi_free); NULL: no memory. */
char *lsi_text_take(struct lsi_text *t);

#endif
