/* Walks the folders that one pattern of file names (braces expanded) leads through, several at once
 * with several threads: listing is reading, and a million names are not found by one thread in time. */
#ifndef LSI_OS_LINUX_WALK_H
#define LSI_OS_LINUX_WALK_H

#include "seams/os.h"

#define LSI_PATH_LONGEST 4096u

struct lsi_folder; /* what was found in it: names, and folders below */

/* True where a component of a pattern is one, not a name. */
bool lsi_walk_magic(const char *s, size_t n);
/* 0 and *out (lsi_walk_free); LSIO_ERR_SOURCE with the folder's name where one can't be listed,
 * LSIO_ERR_CANCELLED when the watch says stop. */
int lsi_walk(const char *pattern, struct lsi_watch *watch, struct lsi_folder **out,
             struct lsi_error *err);
/* True when lsi_walk_each calls in bytewise order of the whole paths, each once: all patterns but those
 * with several components behind "**". */
bool lsi_walk_sorted(const char *pattern);
/* Calls f for every file, sorted folder by folder. `regular`: the folder's list said that it is a
 * regular file. Ends at the first value that is not 0 and returns it. */
int lsi_walk_each(const struct lsi_folder *root, lsi_each_path *f, void *ctx);
void lsi_walk_free(struct lsi_folder *root);

#endif
