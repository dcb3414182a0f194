/* Walks the folders that one pattern of file names (braces expanded) leads through, several at once
 * with several threads: listing is reading, and a million names are not found by one thread in time. */
#ifndef LSI_OS_LINUX_WALK_H
#define LSI_OS_LINUX_WALK_H

#include "linux/os_linux_folder.h"

struct lsi_names;

/* 0, *out (lsi_folder_free), and whole paths of symbolic links that the pattern finds and that lead nowhere,
 * in no order, added to `broken`. LSIO_ERR_SOURCE with the folder's name where one can't be listed,
 * LSIO_ERR_CANCELLED when the watch says stop. */
int lsi_walk(const char *pattern, struct lsi_watch *watch, struct lsi_folder **out, struct lsi_names *broken,
             struct lsi_error *err);

#endif
