/* Inside of the Linux side of core/seams/os.h: helpers shared by os_linux*.c and the backends. */
#ifndef LSI_OS_LINUX_H
#define LSI_OS_LINUX_H

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "seams/backend.h"
#include "seams/os.h"

/* Calls that every file takes, without the C library's cancellation points (no thread of LSIO is ever
 * cancelled), which cost 20 ns each. They return as open, close, preadv2 and fstat do. */
static inline int lsi_linux_openat(int folder, const char *name, int flags) {
  return (int)syscall(SYS_openat, folder, name, flags, 0);
}
static inline int lsi_linux_close(int fd) { return (int)syscall(SYS_close, fd); }
/* Reads what needs no waiting. */
static inline ssize_t lsi_linux_pread_now(int fd, void *buf, size_t n, uint64_t offset) {
  struct iovec v = {buf, n};
  /* The kernel takes the offset in two halves; on 64 bits the upper one counts for nothing. */
  return (ssize_t)syscall(SYS_preadv2, fd, &v, 1L, (long)offset, (long)(offset >> 32), RWF_NOWAIT);
}

/* The kernel's number of a thread; 0: it has not begun. */
int lsi_linux_tid(const struct lsi_thread *t);

/* For threads that are busy for long and in no hurry: lets others that want this CPU go first, now and then.
 * *since: when it last did; 0 at first. */
void lsi_linux_give_way(uint64_t *since);

/* The text of a small file such as those of /proc and /sys, NUL-terminated, without a final newline.
 * Length, or -1 when it can't be read or is longer than cap - 1. */
int lsi_linux_read_text(const char *path, char *buf, size_t cap);
/* The number that such a file starts with. False: none. */
bool lsi_linux_read_number(const char *path, uint64_t *out);

/* What the change check and the planner need of a stat: device is the whole disk behind st_dev where
 * there is one, else st_dev; version is the inode and the time of the last write. */
void lsi_linux_info(const struct stat *st, struct lsi_object_info *out);
/* fstat of an open object, size of a block device included; *st (may be NULL) is what it said. 0, or
 * an errno. */
int lsi_linux_fstat(int fd, struct stat *st, struct lsi_object_info *out);
/* The error for an errno of opening or looking at an object, with its name and a remedy:
 * LSIO_ERR_SOURCE for what the user named wrongly, LSIO_ERR_IO for the rest (EMFILE among it). */
int lsi_linux_source_error(const char *name, int code, struct lsi_error *err);
/* What helps where nothing has a name: a URL of a scheme that LSIO does not have is a path, too. */
void lsi_linux_missing_remedy(const char *name, const char *usual, struct lsi_error *err);
#define LSI_LINUX_NO_SIZE 4096 /* a code that is no errno: linux_procfs.h says so of the object */

/* The mapping behind lsi_linux_info, cached: partition -> whole disk; anything else stays. The kernel's
 * numbers have 32 bits, 12 of them the driver's, and the C library packs these into the lower half of a
 * dev_t. */
uint32_t lsi_linux_whole_device(uint64_t st_dev);

/* Somewhere in the middle of the address space, on 2 MiB, far from libraries (at the top), the heap and
 * the program (at the bottom or at 0x55...). For mmap, which takes it as a hint only. NULL: no hint. */
void *lsi_linux_address_hint(void);

/* cgroup: least value of a limit file (v2 name, v1 controller and name) over this process's group
 * and its parents. UINT64_MAX: none. */
uint64_t lsi_linux_cgroup_limit(const char *v2, const char *controller, const char *v1);

#endif
