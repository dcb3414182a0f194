/* Fuzz target: what the kernel tells in /proc and /sys, and a container may fake. The input is a small file
 * system: "=NAME" begins a file whose text is the lines up to the next one; it is found by every path that
 * ends in NAME. The program is linked with --wrap for the calls below, which serve these files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fuzz.h"
#include "ground/mem.h"
#include "seams/os.h"
#include "linux/os_linux.h"
#include "list.h"

#define FILES_MAX 64

static struct {
  const char *name;
  const char *text;
  size_t length;
} files[FILES_MAX];
static int n_files;
static bool serving; /* while an input runs; else the calls are the C library's, for whoever calls */

static int find(const char *path) {
  const size_t n = strlen(path);
  for (int i = 0; i < n_files; i++) {
    const size_t m = strlen(files[i].name);
    if (m && m <= n && strcmp(path + n - m, files[i].name) == 0) return i;
  }
  errno = ENOENT;
  return -1;
}

int __wrap_open(const char *path, int flags, ...);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
  if (!serving) return __real_open(path, flags, 0);
  const int i = find(path);
  FUZZ_CHECK(!(flags & (O_WRONLY | O_RDWR)));
  if (i < 0) return -1;
  const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  FUZZ_CHECK(fd >= 0);
  FUZZ_CHECK(write(fd, files[i].text, files[i].length) == (ssize_t)files[i].length);
  FUZZ_CHECK(lseek(fd, 0, SEEK_SET) == 0);
  return fd;
}

FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode) {
  if (!serving) return __real_fopen(path, mode);
  const int fd = __wrap_open(path, O_RDONLY);
  return fd < 0 ? NULL : fdopen(fd, mode);
}

int __wrap_access(const char *path, int mode);
int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode) {
  if (!serving) return __real_access(path, mode);
  FUZZ_CHECK(mode == F_OK);
  return find(path) < 0 ? -1 : 0;
}

ssize_t __wrap_readlink(const char *path, char *buf, size_t cap);
ssize_t __real_readlink(const char *path, char *buf, size_t cap);
ssize_t __wrap_readlink(const char *path, char *buf, size_t cap) {
  if (!serving) return __real_readlink(path, buf, cap);
  const int i = find(path);
  if (i < 0) return -1;
  const size_t n = LSI_MIN(cap, files[i].length);
  memcpy(buf, files[i].text, n);
  return (ssize_t)n;
}

static dev_t device_of(int i) {
  unsigned a = 0, b = 0;
  sscanf(files[i].text, "%u:%u", &a, &b);
  return makedev(a, b);
}

int __wrap_stat(const char *path, struct stat *st);
int __real_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st) {
  if (!serving) return __real_stat(path, st);
  const int i = find(path);
  if (i < 0) return -1;
  memset(st, 0, sizeof *st);
  st->st_mode = S_IFBLK;
  st->st_dev = st->st_rdev = device_of(i);
  return 0;
}

int __wrap_statfs(const char *path, struct statfs *fs);
int __real_statfs(const char *path, struct statfs *fs);
int __wrap_statfs(const char *path, struct statfs *fs) {
  if (!serving) return __real_statfs(path, fs);
  const int i = find(path);
  if (i < 0) return -1;
  memset(fs, 0, sizeof *fs);
  fs->f_type = (__typeof__(fs->f_type))strtoull(files[i].text, NULL, 0);
  return 0;
}

/* A folder lists the lines of its text. */
struct folder {
  const char *at, *end;
  struct dirent entry;
};

DIR *__wrap_opendir(const char *path);
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path) {
  if (!serving) return __real_opendir(path);
  const int i = find(path);
  if (i < 0) return NULL;
  struct folder *f = calloc(1, sizeof *f);
  FUZZ_CHECK(f);
  f->at = files[i].text;
  f->end = f->at + files[i].length;
  return (DIR *)f;
}

struct dirent *__wrap_readdir(DIR *dir);
struct dirent *__real_readdir(DIR *dir);
struct dirent *__wrap_readdir(DIR *dir) {
  if (!serving) return __real_readdir(dir);
  struct folder *f = (struct folder *)dir;
  if (f->at >= f->end) return NULL;
  const char *newline = memchr(f->at, '\n', (size_t)(f->end - f->at));
  const char *end = newline ? newline : f->end;
  const size_t n = LSI_MIN((size_t)(end - f->at), sizeof f->entry.d_name - 1);
  memcpy(f->entry.d_name, f->at, n);
  f->entry.d_name[n] = 0;
  f->at = end + 1;
  return &f->entry;
}

int __wrap_closedir(DIR *dir);
int __real_closedir(DIR *dir);
int __wrap_closedir(DIR *dir) {
  if (!serving) return __real_closedir(dir);
  free(dir);
  return 0;
}

static void cut_into_files(char *text) {
  n_files = 0;
  for (char *line = text, *next; line; line = next) {
    next = strchr(line, '\n');
    if (*line == '=' && n_files < FILES_MAX) {
      if (line > text) line[-1] = 0;
      if (next) *next = 0;
      files[n_files].name = line + 1;
      files[n_files].text = next ? next + 1 : "";
      n_files++;
    }
    if (next) next++;
  }
  for (int i = 0; i < n_files; i++) files[i].length = strlen(files[i].text);
}

static void check_device(uint64_t device) {
  struct lsi_device_model m;
  lsi_store_file.model(NULL, device, "/data/file", &m);
  FUZZ_CHECK(m.kind < LSI_DEVICE_KINDS && m.bandwidth > 0 && m.ops_per_s > 0);
  FUZZ_CHECK(m.op_max >= LSI_ALIGN && m.merge_max >= LSI_ALIGN && m.align && m.concurrency);
  FUZZ_CHECK(!m.cap || m.concurrency <= m.cap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static unsigned minor_number; /* what is known of a disk is kept: each input asks for another */
  char *text = strndup((const char *)data, size);
  FUZZ_CHECK(text);
  cut_into_files(text);
  serving = true;
  FUZZ_CHECK(lsi_os_cpu_count() >= 1);
  lsi_os_cpu_quota();
  lsi_os_memory_cgroup_limit();
  lsi_os_memory_available();
  lsi_os_memory_used();
  char *doctor = lsi_os_doctor();
  FUZZ_CHECK(doctor && strstr(doctor, "cpus: "));
  lsi_free(doctor);
  check_device(makedev(8, minor_number++ % 4096));
  check_device(makedev(0, 35));
  serving = false;
  free(text);
  return 0;
}
