/* One pattern of file names (braces expanded), component by component. Text only. Names that start with a
 * point match only a pattern that does. `?` and brackets stand for one character of UTF-8, or for a byte that
 * belongs to none. */
#ifndef LSI_OS_LINUX_PATTERN_H
#define LSI_OS_LINUX_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

/* True where a component of a pattern is one, not a name. */
bool lsi_pattern_magic(const char *s, size_t n);
/* True when behind "**" there is one component, which names files: both are looked for at once. */
bool lsi_pattern_one_more(const char *rest);
/* True when walking finds files in bytewise order of the whole paths, each once: all patterns but those
 * with several components behind "**". */
bool lsi_pattern_sorted(const char *pattern);

/* What the entries of one folder are held against. */
struct lsi_pattern_part {
  const char *rest;   /* of the pattern behind this component, NULL at the last */
  const char *again;  /* "**": the pattern from here on, else NULL. Then `text` is the component
                         behind it when that names files, else a star. */
  size_t before;      /* SIZE_MAX, or the component is one star behind so many bytes */
  size_t length;
  char text[256];
};

/* Reads the first component of a pattern, which is borrowed. False: it is too long. */
bool lsi_pattern_read(const char *pattern, struct lsi_pattern_part *p);
bool lsi_pattern_matches(const struct lsi_pattern_part *p, const char *name, size_t n);

#endif
