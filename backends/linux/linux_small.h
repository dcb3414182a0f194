/* Opening many files of few folders: the folder's own path is walked once, not once a file (1.4 us an
 * open instead of 1.65 where all is in memory), and how many small files lie in the page cache is
 * learnt from those read before. One per backend instance; used on its thread. */
#ifndef LSI_LINUX_SMALL_H
#define LSI_LINUX_SMALL_H

#include <sys/stat.h>

#include "seams/backend.h"

/* The clock that ctime is taken from, in whole seconds. */
int64_t lsi_linux_clock_s(void);
/* True when what was read of a file is as it was at one moment: reading began at `began_s` of that clock, st
 * was asked for after it, and the file's last change of any kind (ctime, which no program can set) is older
 * than reading. Writes set it before they change a byte. Of a truncation that sets it last (ext4) the size
 * may be seen first: the bytes are then those of the shorter file. Only for local file systems, which take
 * the time from this clock. */
bool lsi_linux_settled(const struct stat *st, int64_t began_s);

#define LSI_NEAR_REST_NS 20000000
#define LSI_NEAR_RUN 64u /* small files that are not tried after one that was tried in vain */

struct lsi_near {
  int folder;         /* of `path`, once a second file of it is opened; else -1 */
  uint32_t run;       /* that it was opened for */
  uint32_t length;    /* of path: up to the last slash, which is part of it; 0 = none yet */
  char path[1024];    /* of the last file; longer ones are opened by their whole path */
  uint32_t absent;    /* small files that are taken to be out of the page cache before one is tried */
  uint32_t unsettled; /* small files that are taken to be too large or too new for lsi_near_read */
  int64_t began_s;    /* when the instance was made, by the clock of the file systems */
};

void lsi_near_init(struct lsi_near *n);
void lsi_near_clear(struct lsi_near *n);
/* Forgets a folder that another run has opened: since then it may have been replaced, or the working
 * directory changed. */
void lsi_near_run(struct lsi_near *n, uint32_t run);
/* open(2) for reading, O_CLOEXEC. A descriptor, or a negative errno. */
int lsi_near_open(struct lsi_near *n, const char *name);
/* Reads what `room` has room for, if it is worth a try and takes no waiting: bytes read, or negative. */
int64_t lsi_near_read(struct lsi_near *n, int fd, void *room, uint32_t room_bytes);
/* A write that began before a file is first looked at and goes on while it is read changes no time that
 * shows. So one that changed within the last LSI_NEAR_REST_NS is to be looked at again when such a write has
 * had time to end. How many ns that is from now on; 0: it is at rest. */
int lsi_near_unrest_ns(const struct stat *st);
/* True when these `got` bytes are all of the file as it was at one moment, as above, since the instance was
 * made. */
bool lsi_near_settled(const struct lsi_near *n, uint32_t room_bytes, const struct stat *st, int64_t got);

#endif
