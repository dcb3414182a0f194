/* What the Linux backends keep in a handle, of a source (linux_source.h) or of an output. */
#ifndef LSI_LINUX_HANDLE_H
#define LSI_LINUX_HANDLE_H

#include "linux/linux_fs.h"
#include "linux/linux_map.h"
#include "seams/backend.h"

enum lsi_file_flag {
  LSI_FILE_RESIDENT = 1, /* likely in the page cache: a read that may not wait is worth a try */
  LSI_FILE_WAITS = 2,    /* its file system can't promise not to wait; io_uring would use threads */
  LSI_FILE_MEMORY = 4,   /* tmpfs and the like: reading never waits for a device */
  LSI_FILE_FORCED = 8,   /* direct as the user ordered: no way back to buffered */
  LSI_FILE_LINKED = 16   /* it had a name when it was opened */
};

struct lsi_linux_file {
  int fd;                   /* through the page cache */
  int direct;               /* the same file with O_DIRECT; -1: none */
  uint32_t align;           /* bytes, of direct operations; 0: all are buffered. Atomic once it is open */
  uint32_t flags;           /* enum lsi_file_flag */
  int16_t slot;             /* in the table of files of its ring (uring_register.h); -1: none */
  uint16_t reads;           /* through a ring, while it has none */
  struct lsi_linux_map map; /* where the handle is `mapped` */
};
_Static_assert(sizeof(struct lsi_linux_file) <= LSI_HANDLE_OWN, "it fits into a handle");

static inline struct lsi_linux_file *lsi_linux_file(const struct lsi_handle *h) {
  return (struct lsi_linux_file *)(uintptr_t)h->own; /* handles are never in const memory */
}

/* A file that is read or written by `fd` alone. */
static inline void lsi_linux_file_init(struct lsi_linux_file *f, int fd) {
  *f = (struct lsi_linux_file){.fd = fd, .direct = -1, .slot = -1};
}

/* Its flags by its file system's class (linux_fs.h). */
static inline uint32_t lsi_linux_file_flags(unsigned class) {
  return (class & LSI_FS_WAITS ? LSI_FILE_WAITS : 0u) | (class & LSI_FS_MEMORY ? LSI_FILE_MEMORY : 0u);
}

#endif
