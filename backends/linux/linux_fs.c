#include "linux/linux_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "linux/linux_procfs.h"
#include "seams/backend.h"

/* Since Linux 6.1; older headers lack it. */
#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x00002000u
#endif
#define XFS_MAGIC 0x58465342u
#define CLASS_SLOTS 256u

/* Beside those of enum lsi_fs_class. */
enum { KNOWN = 64, DIO_4096 = 128 };

/* statx with the fields that Linux 6.1 added, whatever the C library's header knows. */
struct statx_time {
  int64_t sec;
  uint32_t nsec;
  int32_t reserved;
};
struct statx_buf {
  uint32_t mask, blksize;
  uint64_t attributes;
  uint32_t nlink, uid, gid;
  uint16_t mode, spare0;
  uint64_t ino, size, blocks, attributes_mask;
  struct statx_time atime, btime, ctime, mtime;
  uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
  uint64_t mnt_id;
  uint32_t dio_mem_align, dio_offset_align;
  uint64_t spare3[12];
};

/* ---- the class, kept per st_dev ---- */

/* preadv2 of one byte: EOPNOTSUPP says that the file system knows no "do not wait". */
static bool knows_nowait(int fd) {
  char byte;
  struct iovec v = {&byte, 1};
  return preadv2(fd, &v, 1, 0, RWF_NOWAIT) >= 0 || errno != EOPNOTSUPP;
}

static unsigned classify(int fd) {
  unsigned class = KNOWN;
  struct statfs fs;
  uint64_t magic = fstatfs(fd, &fs) == 0 ? (uint64_t)fs.f_type & UINT32_MAX : 0;
  if (magic == TMPFS_MAGIC || magic == RAMFS_MAGIC || magic == HUGETLBFS_MAGIC)
    class |= LSI_FS_MEMORY | LSI_FS_WAITS;
  /* Kernels before 6.1 do not tell the alignment; with these two 4096 is always enough. */
  if (magic == EXT4_SUPER_MAGIC || magic == XFS_MAGIC) class |= DIO_4096 | LSI_FS_MAPS;
  if (magic == BTRFS_SUPER_MAGIC || magic == F2FS_SUPER_MAGIC) class |= LSI_FS_MAPS;
  if (lsi_made_magic(magic)) class |= LSI_FS_MADE;
  if (!(class & LSI_FS_WAITS) && !knows_nowait(fd)) class |= LSI_FS_WAITS;
  return class;
}

unsigned lsi_fs_class(uint64_t st_dev, int fd) {
  static _Atomic uint64_t cache[CLASS_SLOTS];
  if (st_dev >> 56) return classify(fd);
  _Atomic uint64_t *slot = &cache[(st_dev * 0x9e3779b97f4a7c15u >> 32) % CLASS_SLOTS];
  uint64_t seen = atomic_load_explicit(slot, memory_order_relaxed);
  if (seen >> 8 == st_dev && (seen & KNOWN)) return (unsigned)(seen & 0xff);
  unsigned class = classify(fd);
  atomic_store_explicit(slot, st_dev << 8 | class, memory_order_relaxed);
  return class;
}

/* ---- direct reads and writes ---- */

uint32_t lsi_fs_direct_align(int fd, unsigned class, bool asked) {
  if (class & LSI_FS_MEMORY && !asked) return 0;
  struct statx_buf s;
  memset(&s, 0, sizeof s);
  syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &s);
  uint32_t align = class & DIO_4096 || asked ? LSI_ALIGN : 0;
  if (s.mask & STATX_DIOALIGN) {
    align = LSI_MAX(s.dio_mem_align, s.dio_offset_align);
    if (s.dio_mem_align == 0 || s.dio_offset_align == 0) align = 0;
  }
  return align & (align - 1) || align > LSI_ALIGN ? 0 : align;
}
