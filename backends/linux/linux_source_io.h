/* One operation on a file that is open: the system call that it turns into, and its result. Of sources;
 * direct writes to outputs go the same way. */
#ifndef LSI_LINUX_SOURCE_IO_H
#define LSI_LINUX_SOURCE_IO_H

#include <errno.h>

#include "linux/linux_handle.h"
#include "linux/linux_small.h"

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
  op->beside = (uint32_t)(got - op->result);
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
