/* Ranges of a file that need no waiting, read on the caller's thread: it may be one on which a whole program
 * waits, so nothing here goes to a device, to another machine, or to who is at the other end of a pipe. */
#include <errno.h>
#include <stdatomic.h>

#include "ground/base.h"
#include "linux/linux_fs.h"
#include "linux/linux_small.h"
#include "linux/os_linux.h"
#include "linux/store_file.h"

/* Since Linux 5.12: a path is followed as far as that is cached. Older headers do not have it. */
#define CACHED 0x20u
/* As the kernel has it, for files beyond 2 GiB; that of the C library is 0 where open adds it. */
#ifdef __aarch64__
#define LARGE 0400000
#else
#define LARGE 0100000
#endif

static int open_now(const char *path, int flags) {
  static atomic_bool unknown; /* to the kernel */
  if (atomic_load_explicit(&unknown, memory_order_relaxed)) return -1;
  const struct {
    uint64_t flags, mode, resolve; /* struct open_how */
  } how = {(uint64_t)(unsigned)(flags | O_CLOEXEC), 0, CACHED};
  const int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
  if (fd < 0 && (errno == ENOSYS || errno == EINVAL))
    atomic_store_explicit(&unknown, true, memory_order_relaxed);
  return fd;
}

/* What the path leads to, without opening it: to open a pipe or a device may have an effect. */
static bool is_file(const char *path, struct stat *st) {
  const int fd = open_now(path, O_PATH);
  if (fd < 0) return false;
  const bool is = fstat(fd, st) == 0 && S_ISREG(st->st_mode);
  lsi_linux_close(fd);
  return is;
}

/* Of a range in a file of `size` bytes, where it begins and how long it is. False: it does not lie within. */
static bool place(int64_t offset, int64_t length, uint64_t size, uint64_t *at, uint64_t *n) {
  if (offset < 0 && (uint64_t)-(offset + 1) >= size) return false;
  *at = offset < 0 ? size - (uint64_t)-offset : (uint64_t)offset;
  if (*at > size || length < -1) return false;
  *n = length < 0 ? size - *at : (uint64_t)length;
  return *n <= size - *at;
}

static int64_t read_all(int fd, uint64_t size, const int64_t *offset, const int64_t *length, size_t n,
                        char *out, size_t room) {
  size_t total = 0;
  for (size_t i = 0; i < n; i++) {
    uint64_t at, bytes;
    if (!place(offset[i], length[i], size, &at, &bytes) || bytes > room - total) return -1;
    if (bytes && lsi_linux_pread_now(fd, out + total, (size_t)bytes, at) != (ssize_t)bytes) return -1;
    total += (size_t)bytes;
  }
  return (int64_t)total;
}

int64_t lsi_file_read_now(const void *user, const char *path, const int64_t *offset, const int64_t *length,
                          size_t n, void *out, size_t room) {
  (void)user;
  struct stat seen, st;
  const int64_t began_s = lsi_linux_clock_s();
  if (!is_file(path, &seen) || !lsi_linux_settled(&seen, began_s)) return -1;
  const int fd = open_now(path, O_RDONLY | O_NONBLOCK | LARGE); /* nor for who has a lease */
  if (fd < 0) return -1;
  int64_t got = -1;
  if (lsi_fs_class(seen.st_dev, fd) & LSI_FS_MAPS)
    got = read_all(fd, (uint64_t)seen.st_size, offset, length, n, out, room);
  const bool same = got >= 0 && fstat(fd, &st) == 0 && st.st_ino == seen.st_ino && st.st_dev == seen.st_dev &&
                    st.st_size == seen.st_size && lsi_linux_settled(&st, began_s);
  lsi_linux_close(fd);
  return same ? got : -1;
}
