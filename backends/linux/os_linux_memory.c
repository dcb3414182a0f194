/* core/seams/os.h on Linux: memory and its pages, random numbers. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "linux/os_linux.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define PAGES ((size_t)64 << 10) /* whole pages, however large they are */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

void *lsi_linux_address_hint(void) {
#ifdef SANITIZED
  return NULL; /* their shadow leaves no room there */
#else
  uint64_t random = lsi_os_random() & 0xfffff; /* 2 TiB of places */
  return (void *)(uintptr_t)(((uint64_t)1 << 44) + random * HUGE_PAGE);
#endif
}

static bool round_size(size_t bytes, size_t *out) {
  if (bytes == 0 || bytes > SIZE_MAX - 2 * HUGE_PAGE) return false;
  *out = (size_t)lsi_round_up(bytes, PAGES);
  return true;
}

void *lsi_os_map(size_t bytes) {
  size_t size;
  if (!round_size(bytes, &size)) return NULL;
  const int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  char *p = mmap(lsi_linux_address_hint(), size, prot, flags, -1, 0);
  if (p == MAP_FAILED) return NULL;
  if (size < HUGE_PAGE) {
    madvise(p, size, MADV_DONTFORK); /* see below */
    return p;
  }
  if ((uintptr_t)p % HUGE_PAGE) { /* the hint was taken: map more and trim */
    munmap(p, size);
    p = mmap(NULL, size + HUGE_PAGE, prot, flags, -1, 0);
    if (p == MAP_FAILED) return NULL;
    char *start = (char *)lsi_round_up((uintptr_t)p, HUGE_PAGE);
    if (start != p) munmap(p, (size_t)(start - p));
    size_t tail = (size_t)(p + size + HUGE_PAGE - (start + size));
    if (tail) munmap(start + size, tail);
    p = start;
  }
  madvise(p, size, MADV_HUGEPAGE); /* advice: without it small pages do */
  /* A fork while the device writes into private memory would split the pages between the two. */
  madvise(p, size, MADV_DONTFORK);
  return p;
}

void lsi_os_unmap(void *p, size_t bytes) {
  size_t size;
  if (p && round_size(bytes, &size)) munmap(p, size);
}

bool lsi_os_populated(const void *p, size_t bytes) {
  enum { SAMPLES = 64 };
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t first = (uintptr_t)p / page, pages = ((uintptr_t)p + bytes - 1) / page - first + 1;
  for (uintptr_t i = 0; i < LSI_MIN(pages, (uintptr_t)SAMPLES); i++) {
    const double step = (double)(pages - 1) / (SAMPLES - 1);
    const uintptr_t at = pages <= SAMPLES ? i : (uintptr_t)((double)i * step);
    unsigned char there;
    /* Of private memory it tells the truth; of files it might not, but these are not waited for. */
    if (mincore((void *)((first + at) * page), page, &there) < 0 || !(there & 1)) return false;
  }
  return true;
}

/* Before Linux 5.14. An exchange of a byte for itself is a write that harms no other writer. */
static void touch(char *p, size_t bytes, size_t page) {
  for (size_t i = 0; i < bytes; i += page) {
    char seen = __atomic_load_n(&p[i], __ATOMIC_RELAXED);
    __atomic_compare_exchange_n(&p[i], &seen, seen, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  }
}

/* Since Linux 5.14; older headers lack it. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

bool lsi_os_populate(void *p, size_t bytes) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t from = (uintptr_t)lsi_round_down((uintptr_t)p, page);
  const uintptr_t to = (uintptr_t)lsi_round_up((uintptr_t)p + bytes, page);
  if (madvise((void *)from, to - from, MADV_POPULATE_WRITE) == 0) return true;
  /* It is also what memory that may not be written gets: ask about some that may. */
  char own;
  void *stack = (void *)lsi_round_down((uintptr_t)&own, page);
  if (errno != EINVAL || madvise(stack, page, MADV_POPULATE_WRITE) == 0) return false;
  touch(p, bytes, page);
  return true;
}

void lsi_os_inherit(void *p, size_t bytes, bool inherit) {
  size_t size;
  if (p && round_size(bytes, &size)) madvise(p, size, inherit ? MADV_DOFORK : MADV_DONTFORK);
}

void lsi_os_discard(void *p, size_t bytes) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  uintptr_t from = (uintptr_t)lsi_round_up((uintptr_t)p, page);
  uintptr_t to = (uintptr_t)lsi_round_down((uintptr_t)p + bytes, page);
  if (to > from) madvise((void *)from, to - from, MADV_DONTNEED);
}

uint64_t lsi_os_random(void) {
  uint64_t v;
  if (getrandom(&v, sizeof v, GRND_NONBLOCK) == (ssize_t)sizeof v) return v;
  /* Early boot: time, address and a step are enough, nothing secret is made of it. */
  static uint64_t state;
  v = lsi_os_now_ns() ^ (uint64_t)(uintptr_t)&v;
  v ^= __atomic_add_fetch(&state, 0x9e3779b97f4a7c15u, __ATOMIC_RELAXED);
  v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
  v = (v ^ v >> 27) * 0x94d049bb133111ebu;
  return v ^ v >> 31;
}
