/* Bytes as text: names and strings may hold anything, JSON is UTF-8. */
#ifndef LSI_UTF8_H
#define LSI_UTF8_H

#include "ground/base.h"

/* Copies n bytes to `out`, those that belong to no UTF-8 sequence as \xNN (four characters). Returns the
 * length of that, at most 4 n; it is n just if all is UTF-8. `out` NULL: nothing is copied. */
size_t lsi_utf8_clean(const char *text, size_t n, char *out);

#endif
