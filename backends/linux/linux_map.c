#include "linux/linux_map.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "linux/linux_handle.h"
#include "linux/linux_sigbus.h"
#include "linux/os_linux.h"

/* Bytes after whose use the page table forgets them. The page cache keeps them; what counts as this
 * process's memory stays small. */
#define BEHIND (8ull << 20)
#define TRIES 4
/* Of the address space, for all mappings together: a quarter. */
#define MAPPED_MOST ((uint64_t)1 << (sizeof(void *) == 8 ? 45 : 30))

static _Atomic uint64_t mapped; /* bytes, of all handles */

static uint64_t page_size(void) { return (uint64_t)sysconf(_SC_PAGESIZE); }

static uint64_t mapping_bytes(const struct lsi_handle *h) {
  return lsi_round_up(h->info.size, page_size());
}

/* Where a limit is set (ulimit -v), addresses are for those who have no other way. */
static bool addresses_are_free(void) {
  struct rlimit r;
  return getrlimit(RLIMIT_AS, &r) == 0 && r.rlim_cur == RLIM_INFINITY;
}

/* Far from libraries, as LuaJIT needs the addresses near itself; the kernel takes it for a hint, so
 * that a place that is taken leads to one near the libraries. */
static void *map_far(int fd, size_t bytes) {
  for (int i = 0;; i++) {
    void *hint = lsi_linux_address_hint();
    void *p = mmap(hint, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (p == MAP_FAILED || p == hint || !hint || i == TRIES) return p;
    munmap(p, bytes);
  }
}

/* Mappings are left to children of fork, whose handler knows them as well: the table of guarded ranges
 * must be true there too. */
bool lsi_map_file(struct lsi_handle *h) {
  if (!lsi_guard_works() || !addresses_are_free() || h->info.size > MAPPED_MOST) return false;
  const uint64_t bytes = mapping_bytes(h);
  if (atomic_fetch_add(&mapped, bytes) + bytes <= MAPPED_MOST) {
    void *p = map_far(lsi_linux_file(h)->fd, (size_t)bytes);
    int place = p == MAP_FAILED ? -1 : lsi_guard_add(p, (size_t)bytes);
    if (place >= 0) {
      lsi_linux_file(h)->map = (struct lsi_linux_map){.base = p, .guard = place, .low = UINT64_MAX};
      h->lends = h->mapped = true;
      return true;
    }
    if (p != MAP_FAILED) munmap(p, (size_t)bytes);
  }
  atomic_fetch_sub(&mapped, bytes);
  return false;
}

void lsi_map_drop(struct lsi_handle *h) {
  if (!h->mapped) return;
  const struct lsi_linux_map *m = &lsi_linux_file(h)->map;
  const uint64_t bytes = mapping_bytes(h);
  lsi_guard_remove(m->guard);
  munmap(m->base, (size_t)bytes);
  atomic_fetch_sub(&mapped, bytes);
  h->lends = h->mapped = false;
}

/* No MADV_POPULATE_READ: it costs more than the faults that it saves. Per GB read and summed from
 * neighbouring 256 KiB on an EPYC of 2026, CPU seconds: 0.038 by faults (64 KiB each), 0.041 with it,
 * 0.049 by pread; of 64 KiB: 0.042, 0.053, 0.054. A lost page is the handler's to find either way. */
void lsi_map_lend(struct lsi_op *op) {
  const struct lsi_handle *h = op->handle;
  const uint64_t size = h->info.size, left = op->offset < size ? size - op->offset : 0;
  const struct lsi_linux_file *f = lsi_linux_file(h);
  op->os_code = 0;
  op->result = (int64_t)LSI_MIN(left, (uint64_t)op->length);
  op->uncopied = true;
  if (!left) return;
  op->data = f->map.base + op->offset;
  if (f->flags & LSI_FILE_RESIDENT) return;
  /* From the device: ahead and in large reads, while others are in flight. */
  uint64_t from = lsi_round_down(op->offset, page_size());
  madvise(f->map.base + from, (size_t)(op->offset + (uint64_t)op->result - from),
          MADV_WILLNEED);
}

void lsi_map_release(struct lsi_backend *b, struct lsi_op *op) {
  (void)b;
  struct lsi_linux_map *m = &lsi_linux_file(op->handle)->map;
  m->low = LSI_MIN(m->low, op->offset);
  m->high = LSI_MAX(m->high, op->offset + (uint64_t)op->result);
  m->released += (uint64_t)op->result;
  if (m->released < BEHIND) return;
  /* What another unit still uses in there comes back by a fault. */
  const uint64_t from = lsi_round_down(m->low, page_size());
  madvise(m->base + from, (size_t)(m->high - from), MADV_DONTNEED);
  m->low = UINT64_MAX;
  m->high = m->released = 0;
}

bool lsi_map_lost(const struct lsi_handle *h) {
  return h->mapped && lsi_guard_lost(lsi_linux_file(h)->map.guard);
}
