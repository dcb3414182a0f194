/* A source file as the Linux backends open it: direct or buffered is decided once, here, and kept in
 * the handle. Output files: os_linux_output.h. */
#ifndef LSI_LINUX_SOURCE_H
#define LSI_LINUX_SOURCE_H

#include <errno.h>

#include "linux/linux_map.h"
#include "linux/linux_small.h"
#include "seams/backend.h"

#define LSI_FILE_SMALL (32u * 1024) /* smaller files are read through the page cache */

enum lsi_file_flag {
  LSI_FILE_RESIDENT = 1, /* likely in the page cache: a read that may not wait is worth a try */
  LSI_FILE_WAITS = 2,    /* its file system can't promise not to wait; io_uring would use threads */
  LSI_FILE_MEMORY = 4,   /* tmpfs and the like: reading never waits for a device */
  LSI_FILE_FORCED = 8,   /* direct as the user ordered: no way back to buffered */
  LSI_FILE_LINKED = 16   /* it had a name when it was opened */
};

/* What the Linux backends keep in a handle, of a source or of an output. */
struct lsi_linux_file {
  int fd;                   /* through the page cache */
  int direct;               /* the same file with O_DIRECT; -1: none */
  uint32_t align;           /* bytes, of direct operations; 0: all are buffered. Atomic once it is open */
  uint32_t flags;           /* enum lsi_file_flag */
  int slot;                 /* in the table of files of the ring that it is read by (uring.c); -1: none */
  struct lsi_linux_map map; /* where the handle is `mapped` */
};
_Static_assert(sizeof(struct lsi_linux_file) <= LSI_HANDLE_OWN, "it fits into a handle");

static inline struct lsi_linux_file *lsi_linux_file(const struct lsi_handle *h) {
  return (struct lsi_linux_file *)(uintptr_t)h->own; /* handles are never in const memory */
}

/* Which files are lent from a mapping (linux_map.h). */
enum lsi_source_maps { LSI_MAPS_NONE, LSI_MAPS_RESIDENT, LSI_MAPS_ALL };

/* A file that is read or written by `fd` alone. */
static inline void lsi_linux_file_init(struct lsi_linux_file *f, int fd) {
  *f = (struct lsi_linux_file){.fd = fd, .direct = -1, .slot = -1};
}

/* Opens and decides. Fills *h. As the hook `open`; errors as lsi_linux_source_error, LSIO_ERR_UNSUPPORTED
 * when `direct` is LSI_DIRECT_ALWAYS and the file system can't. */
int lsi_source_open(struct lsi_near *near, const struct lsi_open *order, enum lsi_direct direct,
                    enum lsi_source_maps maps, struct lsi_handle *h, struct lsi_error *err);
/* Closes both. A file that has lost its last name meanwhile is told by an inode of 0. 0, or
 * LSIO_ERR_SOURCE when what the object is now can't be known. */
int lsi_source_close(struct lsi_handle *h, struct lsi_object_info *now);
/* The same of one that stays open, for the hook `look`. */
int lsi_source_look(struct lsi_backend *b, const struct lsi_handle *h, struct lsi_object_info *now);
/* What stat(2) says, for the hook `stat`. */
int lsi_source_stat(const void *user, const char *name, struct lsi_object_info *out,
                    struct lsi_error *err);

/* Alignment of direct I/O on an open file, 0 = none; its file system's flags of those above. On what is
 * memory, and where nothing is known, only when `asked`. */
uint32_t lsi_file_direct_align(int fd, uint64_t st_dev, bool asked, uint32_t *flags);

/* The system call that an operation turns into: rounded outwards when the handle is direct and the
 * memory around it is the operation's. */
struct lsi_file_call {
  int fd;
  void *buf;
  uint32_t length;
  uint64_t offset;
};

static inline struct lsi_file_call lsi_file_plan(const struct lsi_op *op) {
  const struct lsi_linux_file *f = lsi_linux_file(op->handle);
  struct lsi_file_call r = {f->fd, op->buf, op->length, op->offset};
  uint64_t align = __atomic_load_n(&f->align, __ATOMIC_RELAXED);
  if (align && op->exact && ((uintptr_t)op->buf | op->offset | op->length) & (align - 1)) align = 0;
  if (align) {
    uint64_t end = lsi_round_up(op->offset + op->length, align);
    r.fd = f->direct;
    r.offset = lsi_round_down(op->offset, align);
    r.buf = (char *)op->buf - (op->offset - r.offset);
    r.length = (uint32_t)(end - r.offset);
  }
  return r;
}

/* An offset that no read(2) can reach: there is nothing there. */
static inline bool lsi_file_beyond(const struct lsi_op *op) {
  return op->offset > (uint64_t)INT64_MAX - op->length - LSI_ALIGN;
}

/* Turns what the call at `offset` returned (a count, or -errno) into the operation's result. */
static inline void lsi_file_finish(struct lsi_op *op, uint64_t offset, int64_t got, bool direct) {
  op->uncopied = direct;
  if (got < 0) {
    op->os_code = (int32_t)-got;
    op->result = op->os_code == ESTALE ? LSIO_ERR_SOURCE : LSIO_ERR_IO;
    return;
  }
  uint64_t before = op->offset - offset, have = (uint64_t)got > before ? (uint64_t)got - before : 0;
  op->os_code = 0;
  op->result = (int64_t)LSI_MIN(have, (uint64_t)op->length);
}

/* True when a direct call failed for its directness and the handle has been turned to buffered, so
 * that the operation must be done again. */
bool lsi_file_turn_buffered(struct lsi_handle *h, int64_t got);

/* Reads or writes, and finishes the operation; blocks. Thread-safe while the handle is open. */
void lsi_file_do(struct lsi_op *op);
/* Reads from the page cache without waiting. False: not there or not possible; op untouched but for
 * its buffer. A short read counts as false unless it ends at the end of the object. */
bool lsi_file_read_resident(struct lsi_near *near, struct lsi_op *op);

#endif
