/* Opening files of one folder after the other, and what is learnt of small files' residency. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "linux/linux_source.h"
#include "linux/linux_source_io.h"
#include "linux/linux_small.h"

static char root[64];

static int set_up(void **state) {
  (void)state;
  snprintf(root, sizeof root, "/tmp/lsio-near-XXXXXX");
  return !mkdtemp(root);
}

static int tear_down(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf -- %s", root);
  return system(command);
}

static const char *path_of(const char *name) {
  static char path[4096];
  snprintf(path, sizeof path, "%s/%s", root, name);
  return path;
}

/* In the test's folder. */
static void run(const char *command) {
  char text[512];
  snprintf(text, sizeof text, "cd %s && { %s; }", root, command);
  assert_int_equal(system(text), 0);
}

/* The first byte of the file that was opened. */
static int first_byte(struct lsi_near *n, const char *path) {
  int fd = lsi_near_open(n, path);
  if (fd < 0) return fd;
  assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  char byte;
  assert_int_equal(read(fd, &byte, 1), 1);
  close(fd);
  return byte;
}

static void test_finds_the_same_files_as_open(void **state) {
  (void)state;
  run("mkdir a; for i in 1 2 3; do echo $i >a/$i; done; mkdir ab");
  run("echo x >ab/1; echo y >1");
  struct lsi_near n;
  lsi_near_init(&n);
  static const struct { const char *name; int want; } all[] = {
      {"a/1", '1'}, {"a/2", '2'}, {"a/3", '3'}, {"a/4", -ENOENT}, {"a/1", '1'}, {"ab/1", 'x'},
      {"a/1", '1'}, {"1", 'y'}, {"ab/1", 'x'}, {"ab/1", 'x'}, {"ab/1", 'x'}, {"no/1", -ENOENT},
      {"no/1", -ENOENT}, {"a/../1", 'y'}, {"a/../1", 'y'}, {"a//2", '2'}, {"a//3", '3'}};
  for (size_t i = 0; i < LSI_COUNTOF(all); i++)
    assert_int_equal(first_byte(&n, path_of(all[i].name)), all[i].want);
  assert_int_equal(first_byte(&n, path_of("a/1")), '1');
  assert_int_equal(first_byte(&n, path_of("a/2")), '2');
  assert_true(n.folder >= 0);
  lsi_near_clear(&n);
}

/* Names without a folder are those of the working directory, whatever came before. */
static void test_bare_names(void **state) {
  (void)state;
  run("mkdir b; echo 1 >b/1; echo 2 >1");
  char old[4096];
  assert_non_null(getcwd(old, sizeof old));
  struct lsi_near n;
  lsi_near_init(&n);
  assert_int_equal(chdir(root), 0);
  assert_int_equal(first_byte(&n, "b/1"), '1');
  assert_int_equal(first_byte(&n, "b/1"), '1');
  assert_int_equal(first_byte(&n, "1"), '2');
  assert_int_equal(chdir(old), 0);
  lsi_near_clear(&n);
}

/* Folders longer than what is remembered, up to the system's own limit. */
static void test_long_folders(void **state) {
  (void)state;
  char name[3600];
  memset(name, '/', sizeof name - 1);
  name[sizeof name - 1] = 0;
  memcpy(name + sizeof name - 2, "1", 1);
  run("echo 7 >1");
  struct lsi_near n;
  lsi_near_init(&n);
  char path[4096];
  snprintf(path, sizeof path, "%s%s", root, name);
  for (int i = 0; i < 3; i++) assert_int_equal(first_byte(&n, path), '7');
  lsi_near_clear(&n);
}

/* The name counts, not the folder that once bore it. */
static void test_folder_replaced(void **state) {
  (void)state;
  run("mkdir c; echo 1 >c/1; echo 2 >c/2");
  struct lsi_near n;
  lsi_near_init(&n);
  assert_int_equal(first_byte(&n, path_of("c/1")), '1');
  assert_int_equal(first_byte(&n, path_of("c/2")), '2');
  run("rm -r c; mkdir c; echo 3 >c/3");
  assert_int_equal(first_byte(&n, path_of("c/3")), '3');
  assert_int_equal(first_byte(&n, path_of("c/1")), -ENOENT);
  lsi_near_clear(&n);
}

/* The folder's own descriptor gives way to a file's. */
static void test_out_of_descriptors(void **state) {
  (void)state;
  run("mkdir d; echo 1 >d/1; echo 2 >d/2");
  struct lsi_near n;
  lsi_near_init(&n);
  assert_int_equal(first_byte(&n, path_of("d/1")), '1');
  struct rlimit old, few;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  few = old;
  int next = dup(0);
  assert_true(next >= 0);
  close(next);
  few.rlim_cur = (rlim_t)next + 1;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
  assert_int_equal(first_byte(&n, path_of("d/2")), '2');
  assert_int_equal(n.folder, -1);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
  lsi_near_clear(&n);
}

static int open_by_name(struct lsi_near *n, const char *name, struct lsi_handle *h) {
  const struct lsi_open order = {.name = path_of(name)};
  struct lsi_error err = {0};
  return lsi_source_open(n, &order, LSI_MAPS_NONE, h, &err);
}

/* One small file that is not in the page cache, and the next ones are not tried. */
static void test_residency_is_learnt(void **state) {
  (void)state;
  run("for i in 1 2 3; do head -c 4096 /dev/zero >$i; done; sync 1 2");
  struct lsi_near n;
  struct lsi_handle h = {0};
  struct lsi_object_info now;
  lsi_near_init(&n);
  assert_int_equal(open_by_name(&n, "1", &h), 0);
  if (lsi_linux_file(&h)->flags & LSI_FILE_WAITS) { /* tmpfs, overlay: nothing is learnt there */
    assert_int_equal(lsi_source_close(&h, &now), 0);
    skip();
  }
  assert_true(h.resident);
  static _Alignas(4096) char buf[4096];
  struct lsi_op op = {.handle = &h, .buf = buf, .length = sizeof buf};
  assert_true(lsi_file_read_resident(&n, &op));
  assert_int_equal(op.result, sizeof buf);
  bool gone = posix_fadvise(lsi_linux_file(&h)->fd, 0, 0, POSIX_FADV_DONTNEED) == 0 &&
              !lsi_file_read_resident(&n, &op);
  assert_int_equal(lsi_source_close(&h, &now), 0);
  if (gone) {
    assert_true(n.absent > 0);
    uint32_t left = n.absent;
    for (uint32_t i = 0; i <= left; i++) {
      assert_int_equal(open_by_name(&n, "2", &h), 0);
      assert_int_equal(h.resident, i == left);
      assert_int_equal(lsi_source_close(&h, &now), 0);
    }
  }
  lsi_near_clear(&n);
}

/* Opens, and closes again; what the room got stays in `room`. */
static bool opened_whole(struct lsi_near *n, const char *name, char *room, uint32_t bytes) {
  const struct lsi_open order = {.name = path_of(name), .room = room, .room_bytes = bytes};
  struct lsi_handle h = {0};
  struct lsi_error err = {0};
  struct lsi_object_info now = {0};
  assert_int_equal(lsi_source_open(n, &order, LSI_MAPS_NONE, &h, &err), 0);
  struct stat st;
  assert_int_equal(stat(path_of(name), &st), 0);
  assert_int_equal(h.info.size, st.st_size);
  assert_int_equal(h.info.version[0], st.st_ino);
  assert_int_equal(lsi_source_close(&h, &now), 0);
  assert_memory_equal(&now, &h.info, sizeof now);
  return h.whole;
}

/* Just written: a write may go on. It is not opened while that lasts, where that is asked for. */
static void test_says_what_is_not_at_rest(void **state) {
  (void)state;
  struct lsi_near n;
  lsi_near_init(&n);
  const struct lsi_open order = {.name = path_of("8"), .settle = true};
  struct lsi_handle h = {0};
  struct lsi_object_info now;
  int ns = 0;
  for (int i = 0; i < 100 && ns == 0; i++) { /* a busy machine may take longer than that to come here */
    run("printf abcdefgh >8");
    ns = lsi_source_open(&n, &order, LSI_MAPS_NONE, &h, NULL);
    if (ns == 0) assert_int_equal(lsi_source_close(&h, &now), 0);
  }
  assert_in_range(ns, 1, LSI_NEAR_REST_NS);
  run("printf abcdefgh >8");
  assert_int_equal(open_by_name(&n, "8", &h), 0);
  assert_int_equal(lsi_source_close(&h, &now), 0);
  usleep(LSI_NEAR_REST_NS / 1000);
  assert_int_equal(lsi_source_open(&n, &order, LSI_MAPS_NONE, &h, NULL), 0);
  assert_int_equal(lsi_source_close(&h, &now), 0);
  lsi_near_clear(&n);
}

/* Small files that last changed before the instance was made are read as they are opened. */
static void test_reads_what_is_at_rest(void **state) {
  (void)state;
  run("printf abcdefgh >8; printf abcdefghi >9; : >0; printf changed >later; printf abcdefgh >touched; "
      "printf abcdefgh >linked");
  static char room[9];
  struct lsi_near n;
  lsi_near_init(&n);
  assert_false(opened_whole(&n, "8", room, sizeof room)); /* it has changed too lately */
  assert_int_equal(n.unsettled, LSI_NEAR_RUN);
  for (uint32_t i = 0; i < LSI_NEAR_RUN; i++) assert_false(opened_whole(&n, "8", room, sizeof room));
  assert_int_equal(n.unsettled, 0); /* and tried again */
  lsi_near_clear(&n);
  sleep(5);
  run("printf Changed >later; touch -d 2001-01-01 touched; ln linked link");
  lsi_near_init(&n);
  const bool disk = opened_whole(&n, "8", room, sizeof room);
  if (!disk) { /* a file system without "do not wait", or one that is not known to be local */
    lsi_near_clear(&n);
    skip();
  }
  assert_memory_equal(room, "abcdefgh", 8);
  memset(room, 'x', sizeof room);
  assert_true(opened_whole(&n, "0", room, sizeof room));
  static const char *const not[] = {"9", "later", "touched", "linked"}; /* too large; changed, all of them */
  for (size_t i = 0; i < LSI_COUNTOF(not); i++) {
    n.unsettled = 0;
    assert_false(opened_whole(&n, not[i], room, sizeof room));
  }
  n.unsettled = 0;
  n.began_s += 1000; /* as if the clock had been set back since */
  assert_false(opened_whole(&n, "8", room, sizeof room));
  n.began_s -= 1000;
  n.unsettled = 0;
  assert_true(opened_whole(&n, "8", room, sizeof room));
  const struct lsi_open order = {.name = path_of("8"), .room = room, .room_bytes = sizeof room,
                                 .direct = LSI_DIRECT_ALWAYS};
  struct lsi_handle h = {0};
  struct lsi_error err = {0};
  struct lsi_object_info now;
  const int rc = lsi_source_open(&n, &order, LSI_MAPS_NONE, &h, &err);
  assert_false(h.whole); /* it was told to go past the page cache */
  if (rc == 0) assert_int_equal(lsi_source_close(&h, &now), 0);
  lsi_near_clear(&n);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_finds_the_same_files_as_open, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_bare_names, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_long_folders, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_folder_replaced, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_out_of_descriptors, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_residency_is_learnt, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_says_what_is_not_at_rest, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_reads_what_is_at_rest, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("near", tests, NULL, NULL);
}
