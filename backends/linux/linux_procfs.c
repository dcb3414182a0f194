#include "linux/linux_procfs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The kernel's headers leave these out. */
#define CONFIGFS_MAGIC 0x62656570u
#define FUSE_CTL_MAGIC 0x65735543u
#define MQUEUE_MAGIC 0x19800202u

bool lsi_made_magic(uint64_t magic) {
  switch (magic) {
    case PROC_SUPER_MAGIC: case SYSFS_MAGIC: case CGROUP_SUPER_MAGIC: case CGROUP2_SUPER_MAGIC:
    case DEBUGFS_MAGIC: case TRACEFS_MAGIC: case SECURITYFS_MAGIC: case CONFIGFS_MAGIC:
    case EFIVARFS_MAGIC: case PSTOREFS_MAGIC: case BPF_FS_MAGIC: case NSFS_MAGIC: case BINFMTFS_MAGIC:
    case RDTGROUP_SUPER_MAGIC: case XENFS_SUPER_MAGIC: case FUSE_CTL_MAGIC: case MQUEUE_MAGIC:
    case SELINUX_MAGIC: case SMACK_MAGIC: case AAFS_MAGIC:
      return true;
    default:
      return false;
  }
}

/* Attributes in /sys tell a page and hold a line; what is binary there has the size that it tells. */
bool lsi_made_no_size(int fd, uint64_t size) {
  char last;
  return size == 0 || pread(fd, &last, 1, (off_t)(size - 1)) == 0;
}

bool lsi_made_path(const char *path, uint64_t st_dev, uint64_t size) {
  static _Atomic uint64_t other; /* the last device that is none: a million files need one look */
  if (major(st_dev) != 0 || atomic_load_explicit(&other, memory_order_relaxed) == st_dev) return false;
  struct statfs fs;
  if (statfs(path, &fs) < 0) return false;
  if (!lsi_made_magic((uint64_t)fs.f_type & UINT32_MAX)) {
    atomic_store_explicit(&other, st_dev, memory_order_relaxed);
    return false;
  }
  const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return false;
  const bool none = lsi_made_no_size(fd, size);
  close(fd);
  return none;
}
