#include "linux/linux_source_io.h"

#include <unistd.h>

#include "linux/os_linux.h"

bool lsi_file_turn_buffered(struct lsi_handle *h, int64_t got) {
  /* overlay over squashfs accepts O_DIRECT and refuses the read. */
  struct lsi_linux_file *f = lsi_linux_file(h);
  uint32_t align = __atomic_load_n(&f->align, __ATOMIC_RELAXED);
  if (got != -EINVAL || f->flags & LSI_FILE_FORCED || f->direct < 0) return false;
  if (align) __atomic_store_n(&f->align, 0, __ATOMIC_RELAXED);
  return true;
}

static int64_t call_once(const struct lsi_op *op, const struct lsi_file_call *r) {
  ssize_t got;
  do {
    got = op->kind == LSI_OP_WRITE ? pwrite(r->fd, r->buf, r->length, (off_t)r->offset)
                                   : pread(r->fd, r->buf, r->length, (off_t)r->offset);
  } while (got < 0 && errno == EINTR);
  return got < 0 ? -errno : got;
}

void lsi_file_do(struct lsi_op *op) {
  if (lsi_file_beyond(op)) {
    lsi_file_finish(op, op->offset, 0, false);
    return;
  }
  const int fd = lsi_linux_file(op->handle)->fd;
  struct lsi_file_call r = lsi_file_plan(op);
  int64_t got = call_once(op, &r);
  if (got < 0 && r.fd != fd && lsi_file_turn_buffered(op->handle, got)) {
    r = (struct lsi_file_call){fd, op->buf, op->length, op->offset};
    got = call_once(op, &r);
  }
  lsi_file_finish(op, r.offset, got, r.fd != fd);
}

bool lsi_file_read_resident(struct lsi_near *near, struct lsi_op *op) {
  if (lsi_file_beyond(op)) {
    lsi_file_finish(op, op->offset, 0, false);
    return true;
  }
  const ssize_t got = lsi_linux_pread_now(lsi_linux_file(op->handle)->fd, op->buf, op->length, op->offset);
  if (got < 0 || ((uint64_t)got < op->length && op->offset + (uint64_t)got < op->handle->info.size)) {
    near->absent = LSI_NEAR_RUN;
    return false;
  }
  lsi_file_finish(op, op->offset, got, false);
  return true;
}
