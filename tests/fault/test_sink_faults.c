/* Sinks on disks that are full, read-only or absent: a clear error and nothing left behind. */
#include <errno.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "sink_support.h"

#define DISK_BYTES (1 << 20)

/* A tmpfs of 1 MiB over the test's directory; skips when that is not allowed. */
static void mount_disk(void) {
  if (mount("none", dir, "tmpfs", 0, "size=1m") != 0) skip();
}

static int unmounting_teardown(void **state) {
  (void)umount(dir);
  return teardown(state);
}

#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, unmounting_teardown)

static void check_no_space(void) {
  char text[2048];
  lsi_error_format(&err, text, sizeof text);
  if (!strstr(text, "No space left on device")) fail_msg("%s", text);
  assert_string_equal(err.object, path);
  assert_true(err.remedy[0] != 0);
}

static void test_full_disk_fixed(void **state) {
  (void)state;
  mount_disk();
  struct lsi_sink_config c = config_for(LSI_F64, 1);
  struct lsi_sink *s;
  c.total = DISK_BYTES / 8; /* with the header a page too many: known before anything is read */
  assert_int_equal(lsi_sink_open(&c, &s, &err), LSIO_ERR_OUTPUT);
  check_no_space();
  assert_int_equal(files(), 0);
}

/* The disk is filled by others while the job runs. */
static void test_full_disk_variable(void **state) {
  (void)state;
  mount_disk();
  static char block[64 << 10];
  memset(block, 7, sizeof block);
  for (int gathered = 0; gathered < 2; gathered++) {
    struct lsi_sink_config c = config_for(LSI_U8, 400);
    c.variable = true;
    c.window_bytes = gathered ? 2 << 20 : 1 << 16;
    const uint64_t length = gathered ? 20000 : sizeof block;
    struct lsi_sink *s;
    lsi_error_clear(&err);
    assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
    int rc = 0;
    uint32_t step = 0;
    for (; !rc && step < c.n_steps; step++) rc = lsi_sink_append(s, step, block, length, &err);
    assert_int_equal(rc, LSIO_ERR_OUTPUT);
    check_no_space();
    /* Every later call says the same, whoever makes it, and nobody waits for a window. */
    struct lsi_error again;
    lsi_error_clear(&again);
    assert_true(lsi_sink_may_run(s, c.n_steps - 1, UINT64_MAX));
    assert_int_equal(lsi_sink_append(s, c.n_steps - 1, block, 1, &again), LSIO_ERR_OUTPUT);
    assert_string_equal(again.what, err.what);
    lsi_error_clear(&again);
    assert_int_equal(lsi_sink_publish(s, &again), LSIO_ERR_OUTPUT);
    assert_int_equal(again.os_code, ENOSPC);
    assert_int_equal(files(), 0);
  }
}

static void test_read_only_disk(void **state) {
  (void)state;
  mount_disk();
  if (mount("none", dir, NULL, MS_REMOUNT | MS_RDONLY, "size=1m") != 0) skip();
  struct lsi_sink_config c = config_for(LSI_U8, 1);
  assert_int_equal(open_code(&c), LSIO_ERR_OUTPUT);
  assert_int_equal(err.os_code, EROFS);
  assert_string_equal(err.object, path);
  assert_true(err.remedy[0] != 0);
}

static void test_directory_without_permission(void **state) {
  (void)state;
  if (geteuid() == 0 && seteuid(65534) != 0) skip(); /* root may write everywhere */
  struct lsi_sink_config c = config_for(LSI_U8, 1);
  int rc = open_code(&c);
  if (geteuid() == 65534) assert_int_equal(seteuid(0), 0);
  if (geteuid() == 0) {
    assert_int_equal(rc, LSIO_ERR_OUTPUT);
    assert_int_equal(err.os_code, EACCES);
    assert_true(err.remedy[0] != 0);
  } else {
    assert_int_equal(rc, 0); /* it is our own directory */
  }
  assert_int_equal(files(), 0);
}

static void test_missing_directory(void **state) {
  (void)state;
  char deep[160];
  snprintf(deep, sizeof deep, "%s/none/out.npy", dir);
  struct lsi_sink_config c = config_for(LSI_U8, 1);
  c.path = deep;
  assert_int_equal(open_code(&c), LSIO_ERR_OUTPUT);
  assert_int_equal(err.os_code, ENOENT);
  assert_string_equal(err.object, deep);
  assert_true(err.remedy[0] != 0);
  snprintf(deep, sizeof deep, "%s/file", dir);
  FILE *f = fopen(deep, "w");
  fclose(f);
  snprintf(deep, sizeof deep, "%s/file/out.npy", dir);
  assert_int_equal(open_code(&c), LSIO_ERR_OUTPUT);
  assert_int_equal(files(), 1);
}

/* The directory vanishes while the job runs. */
static void test_directory_removed(void **state) {
  (void)state;
  char inner[100], out[160];
  snprintf(inner, sizeof inner, "%s/inner", dir);
  snprintf(out, sizeof out, "%s/out.raw", inner);
  assert_int_equal(mkdir(inner, 0777), 0);
  struct lsi_sink_config c = config_for(LSI_U8, 1);
  spec.kind = LSI_SINK_RAW;
  c.total = 1;
  c.path = out;
  struct lsi_sink *s;
  assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
  assert_int_equal(lsi_sink_place(s, 0, "x", 1, &err), 0);
  DIR *d = opendir(inner);
  for (struct dirent *e; (e = readdir(d));) {
    char name[400];
    snprintf(name, sizeof name, "%s/%s", inner, e->d_name);
    unlink(name);
  }
  closedir(d);
  assert_int_equal(rmdir(inner), 0);
  assert_int_equal(lsi_sink_publish(s, &err), LSIO_ERR_OUTPUT);
  assert_string_equal(err.object, out);
  assert_int_equal(files(), 0);
}

/* The index of order = "completed" cannot be published: its data must not stand alone, and the reverse. */
static void test_both_files_or_none(void **state) {
  (void)state;
  char index[160];
  snprintf(index, sizeof index, "%s.index.npy", path);
  spec.as_completed = true;
  const char *taken[] = {index, path};
  for (int i = 0; i < 2; i++) {
    struct lsi_sink_config c = config_for(LSI_U8, 1);
    c.variable = true;
    struct lsi_sink *s;
    lsi_error_clear(&err);
    assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
    assert_int_equal(lsi_sink_append(s, 0, "abc", 3, &err), 0);
    FILE *f = fopen(taken[i], "w");
    fputs("mine", f);
    fclose(f);
    assert_int_equal(lsi_sink_publish(s, &err), LSIO_ERR_OUTPUT);
    assert_string_equal(err.object, taken[i]);
    assert_int_equal(files(), 1);
    size_t n;
    char *text = slurp(taken[i], &n);
    assert_string_equal(text, "mine");
    free(text);
    unlink(taken[i]);
  }
}

/* A limit on file sizes stands for any failing write; it needs no root. */
static void test_failing_writes(void **state) {
  (void)state;
  struct rlimit old, limit;
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  limit = old;
  limit.rlim_cur = 8192;
  static char block[10000];
  for (int completed = 0; completed < 2; completed++) {
    struct lsi_sink_config c = config_for(LSI_U8, 3);
    c.variable = true;
    spec.as_completed = completed;
    struct lsi_sink *s;
    lsi_error_clear(&err);
    assert_int_equal(lsi_sink_open(&c, &s, &err), 0);
    assert_int_equal(lsi_sink_append(s, 0, block, 4000, &err), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int rc = lsi_sink_append(s, 1, block, sizeof block, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, LSIO_ERR_OUTPUT);
    assert_int_equal(err.os_code, EFBIG);
    assert_int_equal(err.offset, 4096 + 4000);
    assert_int_equal(lsi_sink_publish(s, NULL), LSIO_ERR_OUTPUT);
    assert_int_equal(files(), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      DISK_TEST(test_full_disk_fixed),   DISK_TEST(test_full_disk_variable),
      DISK_TEST(test_read_only_disk),    TEST(test_directory_without_permission),
      TEST(test_missing_directory),      TEST(test_directory_removed),
      TEST(test_both_files_or_none),     TEST(test_failing_writes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
