/* An output file, shared by os_linux_file.c (making and writing it) and os_linux_name.c (the name that
 * it has meanwhile, and the one that it gets). */
#ifndef LSI_OS_LINUX_OUTPUT_H
#define LSI_OS_LINUX_OUTPUT_H

#include <stdatomic.h>
#include <sys/types.h>

#include "linux/os_linux.h"

/* Everything goes through the directory's descriptor: should the directory be renamed meanwhile, the
 * file is still published where it was begun. */
struct lsi_os_file {
  int fd;
  int direct;         /* the same file with O_DIRECT, or -1 */
  int dir;
  char *path;         /* as the user named it, for messages */
  char *name;         /* its last part */
  char *temp;         /* the name that it has meanwhile, or passes through when it is nameless: only
                       * while `linked` can it be opened again by this, always by /proc/self/fd/N */
  char *kept;         /* while publishing: a second name of the file that `name` replaced; NULL: none */
  atomic_bool linked; /* the temporary name is there */
  bool named;         /* while publishing: it has its name */
  bool taken;         /* what stood under `name` has been taken away */
  bool lost_old;      /* and cannot be put back once it is */
  pid_t owner;        /* the process that made it; a fork's files are its parent's */
  struct lsi_os_file *next; /* among those that are open */
};

#define LSI_TEMP_NAME 256 /* bytes of `temp` and `kept` */

/* LSIO_ERR_OUTPUT about `path`, with the errno's text and what to do about it. */
int lsi_output_error(const char *path, int code, const char *what, struct lsi_error *err);
/* Opens f->fd, a new file in f->dir without a name where that can be, else under f->temp. 0 or errno. */
int lsi_output_begin(struct lsi_os_file *f);
/* Removes the temporary name, if there is one. Any thread. */
void lsi_output_unlink(struct lsi_os_file *f);
void lsi_output_free(struct lsi_os_file *f); /* closes; removes nothing */

#endif
