/* An output file: os_linux_output.c (its life, messages), and above that os_linux_target.c (where it goes,
 * and what it takes over from the file there), os_linux_publish.c (the name that it has meanwhile, and the
 * one that it gets) and os_linux_output_write.c (making and writing it). Sources: linux_source.h. */
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
  int old;            /* the file that it replaces, open as a path only; -1: none */
  bool replace;
  char *path;         /* as the user named it, for messages */
  char *name;         /* its name in `dir`: the last part of `path`, or of what links lead to from there */
  bool followed;      /* `name` is what links led to */
  const char *what;   /* is wrong with the target; NULL: the errno says it */
  const char *remedy; /* of `what` */
  char *temp;         /* the name that it has meanwhile, or passes through when it is nameless: only
                       * while `linked` can it be opened again by this, always by /proc/self/fd/N */
  char *kept;         /* while publishing: a second name of the file that `name` replaced; NULL: none */
  atomic_bool linked; /* the temporary name is there */
  bool named;         /* while publishing: it has its name */
  bool taken;         /* what stood under `name` has been taken away */
  bool lost_old;      /* what stands under `name` cannot be put back once it is replaced */
  pid_t owner;        /* the process that made it; a fork's files are its parent's */
  struct lsi_os_file *next; /* among those that are open */
};

#define LSI_TEMP_NAME 256 /* bytes of `temp` and `kept` */

/* One that is not open yet, among those that are abandoned when the process ends. NULL: no memory. */
struct lsi_os_file *lsi_output_create(const char *path, bool replace);
/* In a child of fork, before it has a second thread: those that are open are its parent's. */
void lsi_output_forked(void);
/* Removes the temporary name, if there is one. Any thread. */
void lsi_output_unlink(struct lsi_os_file *f);
void lsi_output_free(struct lsi_os_file *f); /* closes; removes nothing */
/* LSIO_ERR_OUTPUT about `path`, with the errno's text and what to do about it. */
int lsi_output_error(const char *path, int code, const char *what, struct lsi_error *err);
/* The same in the words of f->what and f->remedy where they say what is wrong. */
int lsi_output_fail(const struct lsi_os_file *f, int code, const char *what, struct lsi_error *err);
#define LSI_OUTPUT_EXISTS \
  "choose another name, or replace it: with --replace, or exists = \"replace\" in the sink"

/* os_linux_target.c: sets dir, name and old from path and replace. 0 or an errno; EINVAL with
 * f->what: the name is that of something that is no plain file. */
int lsi_output_find(struct lsi_os_file *f);
/* The same of what stands under f->name by now; a link has got there since, so it is EINVAL. */
int lsi_output_find_again(struct lsi_os_file *f);
/* Gives f->fd what it keeps of f->old, if there is one. 0 or an errno. */
int lsi_output_keep(struct lsi_os_file *f, bool *changed);

/* os_linux_publish.c: opens f->fd, a new file in f->dir without a name where that can be, else under
 * f->temp. 0 or an errno. */
int lsi_output_begin(struct lsi_os_file *f);

#endif
