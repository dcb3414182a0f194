/* Reads of what is at hand: lsio_read_now, and the store's hook behind it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "linux/linux_fs.h"
#include "linux/store_file.h"
#include "lsio.h"

#define SIZE 70000
#define FAR (((int64_t)5 << 30) + 123) /* beyond what 32 bits hold */

static char root[64], path[128], far_path[128];
static char data[SIZE];
static lsio_context *context;

static void write_file(const char *name, const void *bytes, size_t n, int64_t at) {
  const int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, bytes, n, at), n);
  assert_int_equal(fdatasync(fd), 0); /* written back: it can be dropped from the cache */
  close(fd);
}

static int64_t read_now(const char *name, int64_t offset, int64_t length, void *out, size_t room) {
  return lsio_read_now(context, name, &offset, &length, 1, out, room);
}

/* The same, of what is at hand: it may take a few, as a path is not followed while others rename or mount. */
static int64_t read_soon(const char *name, int64_t offset, int64_t length, void *out, size_t room) {
  int64_t got = -1;
  for (int i = 0; i < 1000 && got < 0; i++) got = read_now(name, offset, length, out, room);
  return got;
}

static int64_t read_soon_n(const int64_t *offset, const int64_t *length, size_t n, void *out, size_t room) {
  int64_t got = -1;
  for (int i = 0; i < 1000 && got < 0; i++) got = lsio_read_now(context, path, offset, length, n, out, room);
  return got;
}

static void read_once(const char *name, int64_t at) {
  char buf[SIZE];
  const int fd = open(name, O_RDONLY | O_CLOEXEC);
  assert_true(fd >= 0 && pread(fd, buf, sizeof buf, at) > 0);
  close(fd);
}

/* What has just been written may still change while it is read: the files are left alone until they count. */
static int set_up(void **state) {
  (void)state;
  snprintf(root, sizeof root, "/var/tmp/lsio-now-XXXXXX");
  if (!mkdtemp(root)) return -1;
  snprintf(path, sizeof path, "%s/a", root);
  snprintf(far_path, sizeof far_path, "%s/far", root);
  for (size_t i = 0; i < SIZE; i++) data[i] = (char)(i * 31 >> 3);
  write_file(path, data, SIZE, 0);
  write_file(far_path, data, SIZE, FAR);
  struct lsio_context_options o = {.struct_size = sizeof o, .flags = LSIO_CONTEXT_NO_ENV};
  if (lsio_context_create(&o, &context, NULL) < 0) return -1;
  struct stat st;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  const bool able = fstat(fd, &st) == 0 && lsi_fs_class(st.st_dev, fd) & LSI_FS_MAPS;
  close(fd);
  char byte;
  assert_true(read_now(path, 0, 1, &byte, 1) < 0); /* it is new */
  for (int i = 0; able && i < 600 && read_now(path, 0, 1, &byte, 1) < 0; i++) {
    read_once(path, 0);
    usleep(20000);
  }
  if (!able) print_message("the folder for temporary files is on no local disk's file system\n");
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  lsio_context_destroy(context);
  char command[128];
  snprintf(command, sizeof command, "rm -rf -- %s", root);
  return system(command);
}

/* Nothing here can be had at once on other file systems. */
static void need_disk(void) {
  char byte;
  read_once(path, 0);
  if (read_soon(path, 0, 1, &byte, 1) != 1) skip();
}

static void test_ranges_are_read(void **state) {
  (void)state;
  need_disk();
  char out[SIZE + 1];
  const int64_t offset[] = {0, 4095, -10, 69990, SIZE, 5}, length[] = {100, 5000, 10, -1, -1, 0};
  memset(out, 0x5a, sizeof out);
  assert_int_equal(read_soon_n(offset, length, 6, out, sizeof out), 5120);
  assert_memory_equal(out, data, 100);
  assert_memory_equal(out + 100, data + 4095, 5000);
  assert_memory_equal(out + 5100, data + SIZE - 10, 10);
  assert_memory_equal(out + 5110, data + SIZE - 10, 10);
  assert_int_equal(out[5120], 0x5a);
  assert_int_equal(read_soon(path, 0, -1, out, SIZE), SIZE);
  assert_memory_equal(out, data, SIZE);
  assert_int_equal(read_soon(path, -SIZE, 1, out, 1), 1);
  read_once(far_path, FAR);
  assert_int_equal(read_soon(far_path, FAR + 7, 50, out, 50), 50);
  assert_memory_equal(out, data + 7, 50);
}

static void test_what_does_not_fit_is_left(void **state) {
  (void)state;
  need_disk();
  char out[SIZE];
  static const struct {
    int64_t offset, length;
    size_t room;
  } wrong[] = {{0, SIZE + 1, SIZE}, {SIZE, 1, SIZE}, {SIZE + 1, 0, SIZE}, {SIZE + 1, -1, SIZE}, {-SIZE - 1, 1, SIZE},
               {INT64_MIN, 1, SIZE}, {INT64_MAX, 1, SIZE}, {INT64_MAX, INT64_MAX, SIZE}, {1, INT64_MAX, SIZE},
               {0, -2, SIZE}, {0, INT64_MIN, SIZE}, {0, 100, 99}, {0, -1, SIZE - 1}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    if (read_now(path, wrong[i].offset, wrong[i].length, out, wrong[i].room) >= 0) fail_msg("case %zu", i);
  const int64_t offset[] = {0, 0}, length[] = {60, 60};
  assert_true(lsio_read_now(context, path, offset, length, 2, out, 119) < 0);
  assert_int_equal(read_soon_n(offset, length, 2, out, 120), 120);
  assert_true(lsio_read_now(context, path, offset, length, 0, out, 120) < 0);
  assert_true(lsio_read_now(context, NULL, offset, length, 2, out, 120) < 0);
  assert_true(lsio_read_now(NULL, path, offset, length, 2, out, 120) < 0);
}

static void test_what_is_no_file_is_left(void **state) {
  (void)state;
  need_disk();
  char out[10], pipe_path[128], link_path[128];
  snprintf(pipe_path, sizeof pipe_path, "%s/pipe", root);
  snprintf(link_path, sizeof link_path, "%s/link", root);
  assert_int_equal(mkfifo(pipe_path, 0600), 0);
  assert_int_equal(symlink("a", link_path), 0);
  read_once(link_path, 0); /* the time of its first use is written down */
  assert_int_equal(read_soon(link_path, 0, 10, out, 10), 10);
  const char *const others[] = {pipe_path, root, "/dev/zero", "/proc/self/status", "/nowhere/x", "", "file:///etc/passwd"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (read_now(others[i], 0, 1, out, 10) >= 0) fail_msg("%s", others[i]);
}

/* True when no page of the first file is in memory. */
static bool is_absent(void) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
  void *map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  unsigned char pages[SIZE / 4096 + 1] = {1};
  assert_int_equal(mincore(map, SIZE, pages), 0);
  munmap(map, SIZE);
  unsigned char any = 0;
  for (size_t i = 0; i < sizeof pages; i++) any |= pages[i];
  return !(any & 1);
}

static void test_what_waits_for_a_device_is_left(void **state) {
  (void)state;
  need_disk();
  char out[10];
  if (!is_absent()) skip();
  assert_true(read_now(path, 50000, 10, out, 10) < 0);
  read_once(path, 0);
  assert_int_equal(read_soon(path, 50000, 10, out, 10), 10);
}

static void test_what_changes_is_left(void **state) {
  (void)state;
  need_disk();
  char out[10], name[128];
  snprintf(name, sizeof name, "%s/b", root);
  write_file(name, data, 100, 0);
  assert_true(read_now(name, 0, 10, out, 10) < 0);
  assert_int_equal(rename(path, name), 0); /* sets ctime */
  assert_true(read_now(name, 0, 10, out, 10) < 0);
  assert_int_equal(rename(name, path), 0);
}

static void test_contexts(void **state) {
  (void)state;
  char out[10];
  struct lsio_context_stats before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
  read_once(path, 0);
  lsio_context_get_stats(context, &before);
  const int64_t got = read_now(path, 0, 10, out, 10), zero = 0, ten = 10;
  lsio_context_get_stats(context, &after);
  assert_int_equal(after.bytes_read - before.bytes_read, got < 0 ? 0 : 10);
  assert_int_equal(after.jobs, before.jobs);
  const char *const settings[] = {"backend=pread"};
  struct lsio_context_options o = {.struct_size = sizeof o, .flags = LSIO_CONTEXT_NO_ENV, .settings = settings, .n_settings = 1};
  lsio_context *other;
  assert_int_equal(lsio_context_create(&o, &other, NULL), 0);
  assert_true(lsio_read_now(other, path, &zero, &ten, 1, out, 10) < 0);
  lsio_context_destroy(other);
  const pid_t child = fork();
  if (child == 0) _exit(read_now(path, 0, 10, out, 10) < 0 ? 0 : 1);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ranges_are_read),
      cmocka_unit_test(test_what_does_not_fit_is_left),
      cmocka_unit_test(test_what_is_no_file_is_left),
      cmocka_unit_test(test_what_waits_for_a_device_is_left),
      cmocka_unit_test(test_contexts),
      cmocka_unit_test(test_what_changes_is_left), /* the last: the file has changed */
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
