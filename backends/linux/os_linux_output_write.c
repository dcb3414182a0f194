/* core/seams/os.h on Linux: output files, made and written. They get their name only when they are whole
 * (os_linux_publish.c). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/linux_fs.h"
#include "linux/linux_handle.h"
#include "linux/os_linux_output.h"

int lsi_os_temp_create(const char *path, bool replace, struct lsi_os_file **out, struct lsi_error *err) {
  struct lsi_os_file *f = lsi_output_create(path, replace);
  if (!f) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for an output file");
  int code = lsi_output_find(f);
  if (!code) code = lsi_output_begin(f);
  if (code) {
    int rc = code == ENOMEM ? lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for an output file")
                            : lsi_output_fail(f, code, "an output file can't be created", err);
    lsi_output_free(f);
    return rc;
  }
  *out = f;
  return 0;
}

int lsi_os_file_reserve(struct lsi_os_file *f, uint64_t bytes, struct lsi_error *err) {
  if (bytes == 0) return 0;
  if (bytes > INT64_MAX) return lsi_output_error(f->path, EFBIG, "an output file is too large", err);
  int rc;
  do {
    rc = fallocate(f->fd, 0, 0, (off_t)bytes);
  } while (rc < 0 && errno == EINTR);
  if (rc == 0 || (errno != ENOSPC && errno != EDQUOT && errno != EFBIG)) return 0;
  return lsi_output_error(f->path, errno, "there is no room for an output file", err);
}

/* Opens it again: by its descriptor's name in /proc as long as it has none of its own. 0 or an errno. */
static int open_direct(struct lsi_os_file *f, const struct stat *st) {
  const int flags = O_RDWR | O_DIRECT | O_CLOEXEC;
  char proc[32];
  snprintf(proc, sizeof proc, "/proc/self/fd/%d", f->fd);
  f->direct = open(proc, flags);
  if (f->direct < 0 && errno == ENOENT && atomic_load(&f->linked)) /* there is no /proc */
    f->direct = openat(f->dir, f->temp, flags | O_NOFOLLOW);
  if (f->direct < 0) return errno;
  struct stat other;
  int code = fstat(f->direct, &other) < 0 ? errno : 0;
  if (!code && other.st_ino == st->st_ino && other.st_dev == st->st_dev) return 0;
  close(f->direct);
  f->direct = -1;
  return code ? code : ESTALE;
}

int lsi_os_file_direct(struct lsi_os_file *f, enum lsi_direct direct, struct lsi_handle *h,
                       struct lsi_error *err) {
  const bool always = direct == LSI_DIRECT_ALWAYS;
  struct stat st;
  struct lsi_linux_file *file = lsi_linux_file(h);
  memset(h, 0, sizeof *h);
  lsi_linux_file_init(file, f->fd);
  int code = lsi_linux_fstat(f->fd, &st, &h->info);
  if (code) return lsi_output_error(f->path, code, "an output file can't be looked at", err);
  if (direct == LSI_DIRECT_NEVER) return 0;
  const unsigned class = lsi_fs_class(st.st_dev, f->fd);
  file->flags |= lsi_linux_file_flags(class);
  const uint32_t align = lsi_fs_direct_align(f->fd, class, always);
  code = align ? open_direct(f, &st) : EINVAL;
  if (!code) {
    file->direct = f->direct;
    file->align = align;
    h->direct = true;
    if (always) file->flags |= LSI_FILE_FORCED;
    return 0;
  }
  if (!always) return 0;
  lsi_fail(err, LSIO_ERR_UNSUPPORTED, code, "the file system of the output has no direct writes");
  lsi_error_at(err, f->path, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  lsi_error_remedy(err, "leave --direct at auto");
  return LSIO_ERR_UNSUPPORTED;
}

int lsi_os_file_write_error(const struct lsi_os_file *f, int code, struct lsi_error *err) {
  return lsi_output_error(f->path, code, "an output file can't be written", err);
}

int lsi_os_file_write(struct lsi_os_file *f, const void *data, uint64_t length, uint64_t offset,
                      struct lsi_error *err) {
  const char *p = data;
  while (length) {
    size_t part = (size_t)LSI_MIN(length, (uint64_t)1 << 30);
    ssize_t put = pwrite(f->fd, p, part, (off_t)offset);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return lsi_os_file_write_error(f, put < 0 ? errno : ENOSPC, err);
    p += put;
    offset += (uint64_t)put;
    length -= (uint64_t)put;
  }
  return 0;
}

int lsi_os_file_truncate(struct lsi_os_file *f, uint64_t bytes, struct lsi_error *err) {
  int rc;
  do {
    rc = ftruncate(f->fd, (off_t)bytes);
  } while (rc < 0 && errno == EINTR);
  return rc == 0 ? 0 : lsi_output_error(f->path, errno, "an output file can't be given its size", err);
}

int lsi_os_file_sync(struct lsi_os_file *f, struct lsi_error *err) {
  /* No second try: after a failure the kernel may say yes though the data is lost. */
  if (fdatasync(f->fd) == 0) return 0;
  return lsi_output_error(f->path, errno, "an output file did not reach the disk", err);
}
