/* What a file system is like, as far as reading and writing its files depends on it. */
#ifndef LSI_LINUX_FS_H
#define LSI_LINUX_FS_H

#include <stdbool.h>
#include <stdint.h>

/* MAPS: a local disk's, whose fstat tells every change at once and whose page cache holds large folios.
 * Of the others tmpfs is slower to map than to read (0.13 against 0.10 CPU s/GB). */
enum lsi_fs_class {
  LSI_FS_WAITS = 1,  /* it can't promise not to wait */
  LSI_FS_MEMORY = 2, /* tmpfs and the like: there is no device */
  LSI_FS_MADE = 4,   /* content is made when it is read (linux_procfs.h) */
  LSI_FS_MAPS = 8
};

/* The class (bits of enum lsi_fs_class, and others that are linux_fs.c's own) of the file system of an open
 * file. Asked for once per st_dev. Thread-safe. */
unsigned lsi_fs_class(uint64_t st_dev, int fd);
/* Alignment of direct I/O on an open file of that class, in bytes; 0: none. On what is memory, and where
 * nothing is known, only when `asked`. */
uint32_t lsi_fs_direct_align(int fd, unsigned class, bool asked);

#endif
