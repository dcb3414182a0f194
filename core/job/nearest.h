/* What was probably meant by a word that is not known. */
#ifndef LSI_NEAREST_H
#define LSI_NEAREST_H

#include "ground/base.h"

#define LSI_WORD_MAX 48 /* bytes: longer ones are near to nothing */

/* The candidate nearest to `word` by edit distance, or NULL if none is near. */
const char *lsi_nearest(const char *word, const char *const *candidates, size_t n);

#endif
