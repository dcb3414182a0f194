/* What was found in a folder: names, and folders below. */
#ifndef LSI_OS_LINUX_FOLDER_H
#define LSI_OS_LINUX_FOLDER_H

#include "seams/store.h"

#define LSI_PATH_LONGEST 4096u

enum lsi_entry { LSI_ENTRY_REGULAR = 1, LSI_ENTRY_OTHER, LSI_ENTRY_FOLDER };

struct lsi_folder {
  struct lsi_folder *next;     /* that waits to be listed */
  const char *pattern;         /* what its entries are held against; it outlives the walk */
  char *text;                  /* kind and name\0 of each entry that matched, in order */
  size_t text_length;
  struct lsi_folder **folders; /* of the entries of LSI_ENTRY_FOLDER, in order */
  size_t n_folders;
  size_t length;               /* of path */
  char path[];                 /* with a slash at its end, or empty */
};

/* Calls f for every file, sorted folder by folder. `regular`: the folder's list said that it is a
 * regular file. Ends at the first value that is not 0 and returns it. */
int lsi_folder_each(const struct lsi_folder *root, lsi_each_name *f, void *ctx);
/* With all below. */
void lsi_folder_free(struct lsi_folder *f);

#endif
