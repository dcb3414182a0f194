#include "linux/linux_resident.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ground/base.h"

/* cachestat(2), Linux 6.5: the number is the same on every architecture. */
#define SYS_CACHESTAT 451

#define PAGE 4096u
#define WHOLE_BYTES (64ull << 20) /* up to here cachestat looks at all of them (about 0.2 ms) */
#define WINDOWS 64u               /* beyond, at so many windows */
#define WINDOW_BYTES (256u << 10)
#define SAMPLES 8u

struct cachestat_range {
  uint64_t off, len;
};
struct cachestat {
  uint64_t nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted;
};

/* Pages of a range in the page cache; false when the kernel won't say. */
static bool cached_pages(int fd, uint64_t offset, uint64_t length, uint64_t *pages) {
  struct cachestat_range range = {offset, length};
  struct cachestat stat;
  if (syscall(SYS_CACHESTAT, fd, &range, &stat, 0u) < 0) return false;
  *pages += stat.nr_cache;
  return true;
}

/* Eight single pages spread over the bytes; a page that is not there counts as "not resident". */
static unsigned sampled_resident(int fd, uint64_t from, uint64_t size) {
  unsigned hits = 0;
  for (unsigned i = 0; i < SAMPLES; i++) {
    char byte;
    struct iovec v = {&byte, 1};
    uint64_t at = lsi_round_down(from + size / SAMPLES * i, PAGE);
    hits += preadv2(fd, &v, 1, (off_t)at, RWF_NOWAIT) == 1;
  }
  return hits * 100 / SAMPLES;
}

unsigned lsi_resident_percent(int fd, uint64_t from, uint64_t size) {
  uint64_t pages = 0, looked = 0;
  size += from % PAGE; /* whole pages are counted */
  from -= from % PAGE;
  if (size <= WHOLE_BYTES) {
    if (!cached_pages(fd, from, size, &pages)) return sampled_resident(fd, from, size);
    looked = (size + PAGE - 1) / PAGE;
  } else {
    for (unsigned i = 0; i < WINDOWS; i++) {
      uint64_t at = lsi_round_down(from + size / WINDOWS * i, PAGE);
      if (!cached_pages(fd, at, WINDOW_BYTES, &pages)) return sampled_resident(fd, from, size);
      looked += WINDOW_BYTES / PAGE;
    }
  }
  return (unsigned)LSI_MIN(pages * 100 / looked, (uint64_t)100);
}
