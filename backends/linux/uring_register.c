#include "linux/uring_register.h"

#include <sys/resource.h>
#include <unistd.h>

#include "ground/mem.h"
#include "linux/linux_handle.h"
#include "seams/os.h"

#define FIXED_FILE (1u << 20) /* objects from this size get a slot */
#define FILES_MOST 4096u
#define REGISTER_LEAST (256u * 1024)
#define REGISTER_MOST ((size_t)1 << 30) /* the kernel's limit for one buffer */

void lsi_uring_register_files(struct io_uring *ring, struct lsi_uring_registered *r, uint32_t n) {
#ifdef IORING_RSRC_REGISTER_SPARSE
  n = LSI_MIN(LSI_MAX(n, 1u), LSI_MIN(lsi_os_open_limit(), FILES_MOST));
  r->free_slots = lsi_calloc(n, sizeof *r->free_slots);
  if (!r->free_slots || io_uring_register_files_sparse(ring, n) < 0) return; /* goes without */
  r->n_free_slots = n;
  for (uint32_t i = 0; i < n; i++) r->free_slots[i] = (int32_t)(n - 1 - i);
#else
  (void)ring, (void)r, (void)n;
#endif
}

void lsi_uring_slot_get(struct io_uring *ring, struct lsi_uring_registered *r, struct lsi_handle *h) {
  struct lsi_linux_file *f = lsi_linux_file(h);
  if (!r->n_free_slots || h->info.size < FIXED_FILE || f->flags & LSI_FILE_WAITS) return;
  int fd = h->direct ? f->direct : f->fd;
  int slot = r->free_slots[r->n_free_slots - 1];
  if (io_uring_register_files_update(ring, (unsigned)slot, &fd, 1) != 1) return;
  r->n_free_slots--;
  f->slot = slot;
}

void lsi_uring_slot_put(struct io_uring *ring, struct lsi_uring_registered *r, struct lsi_handle *h) {
  struct lsi_linux_file *f = lsi_linux_file(h);
  const int slot = f->slot, none = -1;
  if (slot < 0) return;
  /* The table would hold the file open. */
  if (io_uring_register_files_update(ring, (unsigned)slot, &none, 1) == 1)
    r->free_slots[r->n_free_slots++] = slot;
  f->slot = -1;
}

/* A worker's part of what this user may lock; half of it all is left to the rings themselves. */
static size_t lockable(uint32_t workers) {
  struct rlimit l;
  if (geteuid() == 0 || getrlimit(RLIMIT_MEMLOCK, &l) < 0 || l.rlim_cur == RLIM_INFINITY)
    return REGISTER_MOST;
  return (size_t)LSI_MIN((uint64_t)l.rlim_cur / 2 / LSI_MAX(workers, 1u), (uint64_t)REGISTER_MOST);
}

void lsi_uring_register_arena(struct io_uring *ring, struct lsi_uring_registered *r, uint32_t workers) {
  void *arena = r->offered;
  r->offered = NULL;
  if (!arena) return;
  size_t size = (size_t)lsi_round_down(LSI_MIN(r->offered_bytes, lockable(workers)), LSI_ALIGN);
  for (; size >= REGISTER_LEAST; size = (size_t)lsi_round_down(size / 2, LSI_ALIGN)) {
    struct iovec v = {arena, size};
    int rc = io_uring_register_buffers(ring, &v, 1);
    if (rc == 0) {
      r->arena = arena;
      r->arena_bytes = size;
    }
    if (rc != -ENOMEM) return;
  }
}
