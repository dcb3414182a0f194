/* Direct or buffered, per file, without trying the data (but for a sample where nothing better can
 * be asked): notes in backends/README.md. */
#include "linux/linux_source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "linux/linux_procfs.h"
#include "linux/linux_map.h"
#include "linux/os_linux.h"

/* Since Linux 6.1; older headers lack it. */
#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x00002000u
#endif
/* cachestat(2), Linux 6.5: the number is the same on every architecture. */
#define SYS_CACHESTAT 451
#define XFS_MAGIC 0x58465342u

#define PAGE 4096u
#define RESIDENT_PERCENT 60u
#define MAP_PERCENT 98u /* what is missing of a mapped file comes slowly, fault by fault */
#define WHOLE_BYTES (64ull << 20) /* up to here cachestat looks at the whole file (about 0.2 ms) */
#define WINDOWS 64u               /* beyond, at so many windows */
#define WINDOW_BYTES (256u << 10)
#define SAMPLES 8u
#define CLASS_SLOTS 256u

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

struct cachestat_range {
  uint64_t off, len;
};
struct cachestat {
  uint64_t nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted;
};

/* ---- the class of a file system, kept per st_dev ---- */

/* MAPS: a local disk's, whose fstat tells every change at once and whose page cache holds large folios.
 * Of the others tmpfs is slower to map than to read (0.13 against 0.10 CPU s/GB). */
enum { CLASS_KNOWN = 1, CLASS_WAITS = 2, CLASS_MEMORY = 4, CLASS_DIO_4096 = 8, CLASS_MADE = 16,
       CLASS_MAPS = 32 };

/* preadv2 of one byte: EOPNOTSUPP says that the file system knows no "do not wait". */
static bool knows_nowait(int fd) {
  char byte;
  struct iovec v = {&byte, 1};
  return preadv2(fd, &v, 1, 0, RWF_NOWAIT) >= 0 || errno != EOPNOTSUPP;
}

static unsigned classify(int fd) {
  unsigned class = CLASS_KNOWN;
  struct statfs fs;
  uint64_t magic = fstatfs(fd, &fs) == 0 ? (uint64_t)fs.f_type & UINT32_MAX : 0;
  if (magic == TMPFS_MAGIC || magic == RAMFS_MAGIC || magic == HUGETLBFS_MAGIC)
    class |= CLASS_MEMORY | CLASS_WAITS;
  /* Kernels before 6.1 do not tell the alignment; with these two 4096 is always enough. */
  if (magic == EXT4_SUPER_MAGIC || magic == XFS_MAGIC) class |= CLASS_DIO_4096 | CLASS_MAPS;
  if (magic == BTRFS_SUPER_MAGIC || magic == F2FS_SUPER_MAGIC) class |= CLASS_MAPS;
  if (lsi_made_magic(magic)) class |= CLASS_MADE;
  if (!(class & CLASS_WAITS) && !knows_nowait(fd)) class |= CLASS_WAITS;
  return class;
}

static unsigned class_of(uint64_t st_dev, int fd) {
  static _Atomic uint64_t cache[CLASS_SLOTS];
  if (st_dev >> 56) return classify(fd);
  _Atomic uint64_t *slot = &cache[(st_dev * 0x9e3779b97f4a7c15u >> 32) % CLASS_SLOTS];
  uint64_t seen = atomic_load_explicit(slot, memory_order_relaxed);
  if (seen >> 8 == st_dev && (seen & CLASS_KNOWN)) return (unsigned)(seen & 0xff);
  unsigned class = classify(fd);
  atomic_store_explicit(slot, st_dev << 8 | class, memory_order_relaxed);
  return class;
}

/* ---- residency ---- */

/* Pages of a range in the page cache; false when the kernel won't say. */
static bool cached_pages(int fd, uint64_t offset, uint64_t length, uint64_t *pages) {
  struct cachestat_range range = {offset, length};
  struct cachestat stat;
  if (syscall(SYS_CACHESTAT, fd, &range, &stat, 0u) < 0) return false;
  *pages += stat.nr_cache;
  return true;
}

/* Eight single pages spread over the file; a page that is not there counts as "not resident". */
static unsigned sampled_resident(int fd, uint64_t size) {
  unsigned hits = 0;
  for (unsigned i = 0; i < SAMPLES; i++) {
    char byte;
    struct iovec v = {&byte, 1};
    uint64_t at = lsi_round_down(size / SAMPLES * i, PAGE);
    hits += preadv2(fd, &v, 1, (off_t)at, RWF_NOWAIT) == 1;
  }
  return hits * 100 / SAMPLES;
}

/* Percent of the file in the page cache. */
static unsigned resident(int fd, uint64_t size) {
  uint64_t pages = 0, looked = 0;
  if (size <= WHOLE_BYTES) {
    if (!cached_pages(fd, 0, size, &pages)) return sampled_resident(fd, size);
    looked = (size + PAGE - 1) / PAGE;
  } else {
    for (unsigned i = 0; i < WINDOWS; i++) {
      uint64_t at = lsi_round_down(size / WINDOWS * i, PAGE);
      if (!cached_pages(fd, at, WINDOW_BYTES, &pages)) return sampled_resident(fd, size);
      looked += WINDOW_BYTES / PAGE;
    }
  }
  return (unsigned)LSI_MIN(pages * 100 / looked, (uint64_t)100);
}

/* ---- opening ---- */

static int no_direct(const char *name, int code, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_UNSUPPORTED, code, "the file system of a source has no direct reads");
  lsi_error_at(err, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  lsi_error_remedy(err, "leave --direct at auto");
  return LSIO_ERR_UNSUPPORTED;
}

/* Alignment for direct reads, 0 = can't. */
static uint32_t direct_align(const struct statx_buf *s, unsigned class, bool asked) {
  uint32_t align = class & CLASS_DIO_4096 || asked ? LSI_ALIGN : 0;
  if (s->mask & STATX_DIOALIGN) {
    align = LSI_MAX(s->dio_mem_align, s->dio_offset_align);
    if (s->dio_mem_align == 0 || s->dio_offset_align == 0) align = 0;
  }
  return align & (align - 1) || align > LSI_ALIGN ? 0 : align;
}

/* Opens the file again for direct reads; -errno. -ESTALE when the name means another file by now:
 * then the first descriptor does. */
static int open_direct(const char *name, const struct lsi_object_info *info) {
  int fd = open(name, O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (fd < 0) return -errno;
  struct lsi_object_info other;
  int code = lsi_linux_fstat(fd, NULL, &other);
  if (code == 0 && other.inode == info->inode && other.device == info->device) return fd;
  close(fd);
  return code ? -code : -ESTALE;
}

/* Turns the handle direct when that is possible and pays. */
static int choose_direct(const char *name, enum lsi_direct direct, const struct statx_buf *s,
                         unsigned class, unsigned percent, struct lsi_handle *h,
                         struct lsi_error *err) {
  struct lsi_linux_file *f = lsi_linux_file(h);
  bool always = direct == LSI_DIRECT_ALWAYS;
  uint32_t align = direct_align(s, class, always);
  if (!align) return always ? no_direct(name, 0, err) : 0;
  if (!always && percent >= RESIDENT_PERCENT) {
    h->resident = true;
    f->flags |= LSI_FILE_RESIDENT;
    return 0;
  }
  int fd = open_direct(name, &h->info);
  if (fd == -EMFILE || fd == -ENFILE) return lsi_linux_source_error(name, -fd, err);
  if (fd < 0) return always ? no_direct(name, -fd, err) : 0;
  f->direct = fd;
  f->align = align;
  h->direct = true;
  if (always) f->flags |= LSI_FILE_FORCED;
  return 0;
}

uint32_t lsi_file_direct_align(int fd, uint64_t st_dev, bool asked, uint32_t *flags) {
  unsigned class = class_of(st_dev, fd);
  *flags = (class & CLASS_WAITS ? LSI_FILE_WAITS : 0u) | (class & CLASS_MEMORY ? LSI_FILE_MEMORY : 0u);
  if (class & CLASS_MEMORY && !asked) return 0;
  struct statx_buf s;
  memset(&s, 0, sizeof s);
  syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &s);
  return direct_align(&s, class, asked);
}

/* Lends the file from a mapping where that is ordered, or pays. */
static bool choose_map(enum lsi_source_maps maps, mode_t mode, unsigned class, unsigned percent,
                       struct lsi_handle *h) {
  if (!S_ISREG(mode)) return false;
  if (maps == LSI_MAPS_RESIDENT &&
      (h->info.size < LSI_MAP_LEAST || !(class & CLASS_MAPS) || percent < MAP_PERCENT))
    return false;
  if (!lsi_map_file(h)) return false;
  h->resident = percent >= MAP_PERCENT;
  if (h->resident) lsi_linux_file(h)->flags |= LSI_FILE_RESIDENT;
  return true;
}

/* Asking whether a small file is resident costs as much as half of reading it: the read that may not
 * wait is the question. After one that found nothing, as many files are read as if they were absent. */
static bool small_resident(struct lsi_near *near) {
  if (near->absent == 0) return true;
  near->absent--;
  return false;
}

int lsi_source_open(struct lsi_near *near, const struct lsi_open *order, enum lsi_direct direct,
                    enum lsi_source_maps maps, struct lsi_handle *h, struct lsi_error *err) {
  const char *name = order->name;
  struct lsi_linux_file *f = lsi_linux_file(h);
  struct stat st;
  int fd = lsi_near_open(near, name);
  const bool try = fd >= 0 && order->room && direct != LSI_DIRECT_ALWAYS && maps != LSI_MAPS_ALL;
  const int64_t got = try ? lsi_near_read(near, fd, order->room, order->room_bytes) : -1;
  int code = fd < 0 ? -fd : lsi_linux_fstat(fd, &st, &h->info);
  if (code) {
    if (fd >= 0) close(fd);
    return lsi_linux_source_error(name, code, err);
  }
  lsi_linux_file_init(f, fd);
  h->lends = h->mapped = h->direct = h->resident = h->whole = false;
  if (st.st_nlink) f->flags |= LSI_FILE_LINKED;
  if (got >= 0) {
    h->whole = class_of(st.st_dev, fd) & CLASS_MAPS && lsi_near_settled(near, order->room_bytes, &st, got);
    if (h->whole) return 0;
    near->unsettled = LSI_NEAR_RUN;
  }
  const int unrest_ns = order->settle ? lsi_near_unrest_ns(&st) : 0;
  if (unrest_ns) {
    close(fd);
    return unrest_ns;
  }
  uint64_t size = h->info.size;
  unsigned class = class_of(st.st_dev, fd);
  if (class & CLASS_MADE && lsi_made_no_size(fd, size)) {
    close(fd);
    return lsi_linux_source_error(name, LSI_LINUX_NO_SIZE, err);
  }
  if (size == 0) return 0;
  const bool small = size < LSI_FILE_SMALL && direct != LSI_DIRECT_ALWAYS;
  if (class & CLASS_WAITS) f->flags |= LSI_FILE_WAITS;
  if (class & CLASS_MEMORY) f->flags |= LSI_FILE_MEMORY;
  unsigned percent = 0;
  if (class & CLASS_MEMORY)
    percent = 100;
  else if (!(class & CLASS_WAITS) && !small && direct != LSI_DIRECT_ALWAYS)
    percent = resident(fd, size);
  if (maps != LSI_MAPS_NONE && direct != LSI_DIRECT_ALWAYS &&
      choose_map(maps, st.st_mode, class, percent, h))
    return 0;
  if (small || direct == LSI_DIRECT_NEVER || (class & CLASS_MEMORY && direct != LSI_DIRECT_ALWAYS)) {
    h->resident = !(class & CLASS_WAITS) &&
                  (small ? small_resident(near) : percent >= RESIDENT_PERCENT);
    if (h->resident) f->flags |= LSI_FILE_RESIDENT;
    return 0;
  }
  struct statx_buf s;
  memset(&s, 0, sizeof s);
  syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &s);
  int rc = choose_direct(name, direct, &s, class, percent, h, err);
  if (rc < 0) {
    close(fd);
    return rc;
  }
  /* Reads come as planned ranges: reading ahead would fetch what nobody asked for. */
  if (!h->direct && !(f->flags & LSI_FILE_RESIDENT)) posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  return 0;
}

int lsi_source_look(struct lsi_backend *b, const struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  const struct lsi_linux_file *f = lsi_linux_file(h);
  struct stat st;
  if (lsi_linux_fstat(f->fd, &st, now)) return LSIO_ERR_SOURCE;
  /* Replaced: what we have read is whole, but no longer what the name stands for. */
  if (st.st_nlink == 0 && f->flags & LSI_FILE_LINKED) now->inode = 0;
  return lsi_map_lost(h) ? LSIO_ERR_IO : 0;
}

int lsi_source_close(struct lsi_handle *h, struct lsi_object_info *now) {
  struct lsi_linux_file *f = lsi_linux_file(h);
  int rc = h->whole ? 0 : lsi_source_look(NULL, h, now);
  if (h->whole) *now = h->info;
  lsi_map_drop(h);
  lsi_linux_close(f->fd);
  if (f->direct >= 0) close(f->direct);
  f->fd = f->direct = -1;
  return rc;
}

int lsi_source_stat(const void *user, const char *name, struct lsi_object_info *out,
                    struct lsi_error *err) {
  (void)user;
  return lsi_os_stat(name, out, err);
}

/* ---- reading and writing ---- */

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
