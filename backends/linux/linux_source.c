/* Direct or buffered, per file, without trying the data (but for a sample where nothing better can
 * be asked): notes in backends/README.md. */
#include "linux/linux_source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/linux_fs.h"
#include "linux/linux_map.h"
#include "linux/linux_procfs.h"
#include "linux/linux_resident.h"
#include "linux/os_linux.h"

#define RESIDENT_PERCENT 60u
#define MAP_PERCENT 98u /* what is missing of a mapped file comes slowly, fault by fault */

static int no_direct(const char *name, int code, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_UNSUPPORTED, code, "the file system of a source has no direct reads");
  lsi_error_at(err, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  lsi_error_remedy(err, "leave --direct at auto");
  return LSIO_ERR_UNSUPPORTED;
}

/* Opens the file again for direct reads; -errno. -ESTALE when the name means another file by now:
 * then the first descriptor does. */
static int open_direct(const char *name, const struct lsi_object_info *info) {
  int fd = open(name, O_RDONLY | O_CLOEXEC | O_DIRECT | O_NONBLOCK);
  if (fd < 0) return -errno;
  struct lsi_object_info other;
  int code = lsi_linux_fstat(fd, NULL, &other);
  if (code == 0 && other.version[0] == info->version[0] && other.device == info->device) {
    fcntl(fd, F_SETFL, O_DIRECT);
    return fd;
  }
  close(fd);
  return code ? -code : -ESTALE;
}

/* Turns the handle direct when that is possible and pays. */
static int choose_direct(const char *name, enum lsi_direct direct, unsigned class, unsigned percent,
                         struct lsi_handle *h, struct lsi_error *err) {
  struct lsi_linux_file *f = lsi_linux_file(h);
  bool always = direct == LSI_DIRECT_ALWAYS;
  if (!always && percent >= RESIDENT_PERCENT) {
    h->resident = true;
    f->flags |= LSI_FILE_RESIDENT;
    return 0;
  }
  uint32_t align = lsi_fs_direct_align(f->fd, class, always);
  if (!align) return always ? no_direct(name, 0, err) : 0;
  int fd = open_direct(name, &h->info);
  if (fd == -EMFILE || fd == -ENFILE) return lsi_linux_source_error(name, -fd, err);
  if (fd < 0) return always ? no_direct(name, -fd, err) : 0;
  f->direct = fd;
  f->align = align;
  h->direct = true;
  if (always) f->flags |= LSI_FILE_FORCED;
  return 0;
}

/* Lends the file from a mapping where that is ordered, or pays. */
static bool choose_map(enum lsi_source_maps maps, mode_t mode, unsigned class, unsigned percent,
                       struct lsi_handle *h) {
  if (!S_ISREG(mode)) return false;
  if (maps == LSI_MAPS_RESIDENT &&
      (h->info.size < LSI_MAP_LEAST || !(class & LSI_FS_MAPS) || percent < MAP_PERCENT))
    return false;
  if (!lsi_map_file(h)) return false;
  h->resident = percent >= MAP_PERCENT;
  if (h->resident) lsi_linux_file(h)->flags |= LSI_FILE_RESIDENT;
  return true;
}

/* Percent of what will be read of it that is in the page cache. */
static unsigned wanted_resident(int fd, const struct lsi_open *order, uint64_t size) {
  if (!order->bytes || order->from >= size) return lsi_resident_percent(fd, 0, size);
  return lsi_resident_percent(fd, order->from, LSI_MIN(order->bytes, size - order->from));
}

/* Asking whether a small file is resident costs as much as half of reading it: the read that may not
 * wait is the question. After one that found nothing, as many files are read as if they were absent. */
static bool small_resident(struct lsi_near *near) {
  if (near->absent == 0) return true;
  near->absent--;
  return false;
}

int lsi_source_open(struct lsi_near *near, const struct lsi_open *order, enum lsi_source_maps maps,
                    struct lsi_handle *h, struct lsi_error *err) {
  const char *name = order->name;
  const enum lsi_direct direct = order->direct;
  struct lsi_linux_file *f = lsi_linux_file(h);
  struct stat st;
  lsi_near_run(near, order->run);
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
    h->whole = lsi_fs_class(st.st_dev, fd) & LSI_FS_MAPS &&
               lsi_near_settled(near, order->room_bytes, &st, got);
    if (h->whole) return 0;
    near->unsettled = LSI_NEAR_RUN;
  }
  fcntl(fd, F_SETFL, 0); /* a ring takes O_NONBLOCK at its word, of regular files too */
  const int unrest_ns = order->settle ? lsi_near_unrest_ns(&st) : 0;
  if (unrest_ns) {
    close(fd);
    return unrest_ns;
  }
  uint64_t size = h->info.size;
  unsigned class = lsi_fs_class(st.st_dev, fd);
  if (class & LSI_FS_MADE && lsi_made_no_size(fd, size)) {
    close(fd);
    return lsi_linux_source_error(name, LSI_LINUX_NO_SIZE, err);
  }
  if (size == 0) return 0;
  const bool small = size < LSI_FILE_SMALL && direct != LSI_DIRECT_ALWAYS;
  f->flags |= lsi_linux_file_flags(class);
  unsigned percent = 0;
  if (class & LSI_FS_MEMORY)
    percent = 100;
  else if (!(class & LSI_FS_WAITS) && !small && direct != LSI_DIRECT_ALWAYS)
    percent = wanted_resident(fd, order, size);
  if (maps != LSI_MAPS_NONE && direct != LSI_DIRECT_ALWAYS &&
      choose_map(maps, st.st_mode, class, percent, h))
    return 0;
  if (small || direct == LSI_DIRECT_NEVER || (class & LSI_FS_MEMORY && direct != LSI_DIRECT_ALWAYS)) {
    h->resident = !(class & LSI_FS_WAITS) &&
                  (small ? small_resident(near) : percent >= RESIDENT_PERCENT);
    if (h->resident) f->flags |= LSI_FILE_RESIDENT;
    return 0;
  }
  int rc = choose_direct(name, direct, class, percent, h, err);
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
  if (st.st_nlink == 0 && f->flags & LSI_FILE_LINKED) now->known = LSI_KNOWN_SIZE;
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
