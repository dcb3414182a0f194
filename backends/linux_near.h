/* Opening many files of few folders: the folder's own path is walked once, not once a file (1.4 us an
 * open instead of 1.65 where all is in memory), and how many small files lie in the page cache is
 * learnt from those read before. One per backend instance; used on its thread. */
#ifndef LSI_LINUX_NEAR_H
#define LSI_LINUX_NEAR_H

#include "base.h"

struct lsi_near {
  int folder;       /* of `path`, once a second file of it is opened; else -1 */
  uint32_t length;  /* of path: up to the last slash, which is part of it; 0 = none yet */
  char path[1024];  /* of the last file; longer ones are opened by their whole path */
  uint32_t absent;  /* so many small files are taken to be out of the page cache before one is tried */
};

void lsi_near_init(struct lsi_near *n);
void lsi_near_clear(struct lsi_near *n);
/* open(2) for reading, O_CLOEXEC. A descriptor, or a negative errno. */
int lsi_near_open(struct lsi_near *n, const char *name);

#endif
