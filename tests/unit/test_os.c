/* core/seams/os.h, and the store `file`: what every operating system's side must do. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "list.h"
#include "seams/os.h"

static char dir[64], old_dir[4096];

/* Each test works in a new folder of its own. */
static int set_up(void **state) {
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/lsio-os-XXXXXX");
  return !getcwd(old_dir, sizeof old_dir) || !mkdtemp(dir) || chmod(dir, 0755) < 0 || chdir(dir) < 0;
}

static int tear_down(void **state) {
  (void)state;
  char command[128];
  if (chdir(old_dir) < 0) return 1;
  snprintf(command, sizeof command, "rm -rf -- %s", dir);
  return system(command);
}

static void touch(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  assert_int_equal(fclose(f), 0);
}

/* ---- threads and time ---- */

struct meeting {
  struct lsi_mutex *mutex;
  struct lsi_cond *cond;
  int here;
  atomic_int sum;
};

static void come(void *arg) {
  struct meeting *m = arg;
  for (int i = 0; i < 1000; i++) atomic_fetch_add(&m->sum, 1);
  lsi_os_lock(m->mutex);
  m->here++;
  lsi_os_wake_all(m->cond);
  lsi_os_unlock(m->mutex);
}

static void threads_meet(void **state) {
  (void)state;
  struct meeting m = {.mutex = lsi_os_mutex_create(), .cond = lsi_os_cond_create()};
  struct lsi_thread *t[4];
  for (int i = 0; i < 4; i++)
    assert_int_equal(lsi_os_thread_start(&t[i], "a name too long for it", come, &m), 0);
  lsi_os_lock(m.mutex);
  while (m.here < 4) assert_true(lsi_os_wait(m.cond, m.mutex, -1));
  lsi_os_unlock(m.mutex);
  for (int i = 0; i < 4; i++) lsi_os_thread_join(t[i]);
  assert_int_equal(atomic_load(&m.sum), 4000);
  lsi_os_cond_destroy(m.cond);
  lsi_os_mutex_destroy(m.mutex);
}

static void a_wait_ends_in_time(void **state) {
  (void)state;
  struct lsi_mutex *m = lsi_os_mutex_create();
  struct lsi_cond *c = lsi_os_cond_create();
  uint64_t began = lsi_os_now_ns();
  lsi_os_lock(m);
  while (lsi_os_wait(c, m, 20000000)) {
  }
  lsi_os_unlock(m);
  assert_true(lsi_os_now_ns() - began >= 20000000);
  lsi_os_cond_destroy(c);
  lsi_os_mutex_destroy(m);
}

static void sleep_and_clocks(void **state) {
  (void)state;
  uint64_t wall = lsi_os_now_ns(), cpu = lsi_os_thread_cpu_ns();
  lsi_os_sleep_ns(10000000);
  assert_true(lsi_os_now_ns() - wall >= 10000000);
  assert_true(lsi_os_thread_cpu_ns() - cpu < 10000000);
  assert_true(lsi_os_cpu_ns() >= lsi_os_thread_cpu_ns());
}

static bool readable(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, 0) == 1;
}

static void a_bell_rings_until_it_is_cleared(void **state) {
  (void)state;
  int fd;
  assert_int_equal(lsi_os_bell_create(&fd), 0);
  assert_false(readable(fd));
  lsi_os_bell_ring(fd);
  lsi_os_bell_ring(fd);
  assert_true(readable(fd));
  lsi_os_bell_clear(fd);
  assert_false(readable(fd));
  lsi_os_bell_clear(fd); /* does not wait */
  lsi_os_bell_destroy(fd);
}

static void block_all(void *arg) {
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, NULL, &now);
  *(bool *)arg = sigismember(&now, SIGINT) && sigismember(&now, SIGTERM) && !sigismember(&now, SIGBUS);
}

static void threads_leave_signals_to_the_host(void **state) {
  (void)state;
  struct lsi_thread *t;
  bool right = false;
  assert_int_equal(lsi_os_thread_start(&t, "signals", block_all, &right), 0);
  lsi_os_thread_join(t);
  assert_true(right);
}

/* ---- CPUs and memory ---- */

static void cpus_are_the_allowed_ones(void **state) {
  (void)state;
  cpu_set_t set, one;
  assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
  unsigned n = (unsigned)CPU_COUNT(&set);
  assert_in_range(lsi_os_cpu_count(), 1, n);
  for (unsigned i = 0; i < n; i++) assert_true(CPU_ISSET(lsi_os_allowed_cpu(i), &set));
  unsigned last = lsi_os_allowed_cpu(n - 1);
  assert_int_equal(lsi_os_thread_pin(last), 0);
  assert_int_equal(sched_getaffinity(0, sizeof one, &one), 0);
  assert_true(CPU_COUNT(&one) == 1 && CPU_ISSET(last, &one));
  assert_int_equal(lsi_os_cpu_count(), 1);
  assert_int_equal(sched_setaffinity(0, sizeof set, &set), 0);
  assert_int_not_equal(lsi_os_thread_pin(1u << 20), 0);
}

static void memory_is_measured(void **state) {
  (void)state;
  assert_true(lsi_os_memory_available() > 1u << 20);
  assert_true(lsi_os_memory_cgroup_limit() > 1u << 20);
  uint64_t before = lsi_os_memory_used();
  size_t bytes = (size_t)32 << 20;
  char *p = lsi_os_map(bytes);
  assert_non_null(p);
  memset(p, 1, bytes);
  uint64_t full = lsi_os_memory_used(); /* under ThreadSanitizer with the shadow of what was written */
  assert_true(full >= before + bytes / 2);
  assert_int_equal((uintptr_t)p % (2u << 20), 0);
  lsi_os_discard(p, bytes);
  assert_true(lsi_os_memory_used() < full - bytes / 2);
  assert_int_equal(p[0] | p[bytes - 1] | p[bytes / 2], 0); /* gone, but there */
  lsi_os_unmap(p, bytes);
  assert_null(lsi_os_map(0));
  assert_null(lsi_os_map(SIZE_MAX));
  assert_null(lsi_os_map(SIZE_MAX / 2));
}

static void maps_are_not_inherited(void **state) {
  (void)state;
  char *p = lsi_os_map(4096);
  p[0] = 1;
  pid_t child = fork();
  if (child == 0) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_DFL);
    _exit(((volatile char *)p)[0] == 1 ? 3 : 4);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status));
  lsi_os_unmap(p, 4096);
}

static void random_numbers_differ(void **state) {
  (void)state;
  uint64_t a = lsi_os_random(), b = lsi_os_random();
  assert_true(a != b);
  assert_in_range(lsi_os_open_limit(), 8, INT32_MAX);
}

/* ---- what sources are ---- */

static int stat_one(const char *path, struct lsi_object_info *out, struct lsi_error *err) {
  return lsi_store_file.stat_many(NULL, &path, 1, out, NULL, false, err);
}

static void stat_tells_what_is_there(void **state) {
  (void)state;
  struct lsi_object_info info;
  struct lsi_error err = {0};
  touch("file", "12345");
  assert_int_equal(stat_one("file", &info, &err), 0);
  struct stat st;
  assert_int_equal(stat("file", &st), 0);
  assert_int_equal(info.size, 5);
  assert_int_equal(info.version[0], st.st_ino);
  assert_int_equal(info.version[1], st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec);
  assert_int_equal(info.known, LSI_KNOWN_SIZE | LSI_KNOWN_VERSION);
  assert_int_equal(mkfifo("fifo", 0600), 0);
  const struct {
    const char *path;
    int code;
  } bad[] = {{"nothing", ENOENT}, {"file/x", ENOTDIR}, {".", EISDIR}, {"fifo", EINVAL}};
  for (size_t i = 0; i < LSI_COUNTOF(bad); i++) {
    lsi_error_clear(&err);
    assert_int_equal(stat_one(bad[i].path, &info, &err), LSIO_ERR_SOURCE);
    assert_int_equal(err.os_code, bad[i].code);
    assert_string_equal(err.object, bad[i].path);
    assert_true(err.what[0]);
  }
}

static void stat_many_tells_the_first_that_fails(void **state) {
  (void)state;
  enum { N = 6000 };
  static char names[N][16];
  static const char *paths[N];
  static struct lsi_object_info infos[N];
  struct lsi_error err = {0};
  for (int i = 0; i < N; i++) {
    snprintf(names[i], sizeof names[i], "%d", i % 100);
    paths[i] = names[i];
    if (i < 100) touch(names[i], i % 2 ? "odd" : "even");
  }
  assert_int_equal(lsi_store_file.stat_many(NULL, paths, N, infos, NULL, false, &err), 0);
  for (int i = 0; i < N; i++) assert_int_equal(infos[i].size, i % 2 ? 3 : 4);
  assert_int_equal(lsi_store_file.stat_many(NULL, paths, 0, infos, NULL, false, &err), 0);
  for (int round = 0; round < 20; round++) {
    paths[3001] = "first";
    paths[3002] = paths[5999] = "later";
    lsi_error_clear(&err);
    assert_int_equal(lsi_store_file.stat_many(NULL, paths, N, infos, NULL, false, &err), LSIO_ERR_SOURCE);
    assert_string_equal(err.object, "first");
  }
}

static int read_whole(const char *name, uint64_t limit, char **text, size_t *n, struct lsi_error *err) {
  return lsi_store_file.read_all(NULL, name, &(struct lsi_whole){.limit = limit}, text, n, err);
}

static void a_whole_file_is_read(void **state) {
  (void)state;
  char *text;
  size_t n;
  struct lsi_error err = {0};
  touch("f", "hello");
  assert_int_equal(read_whole("f", 5, &text, &n, &err), 0);
  assert_int_equal(n, 5);
  assert_memory_equal(text, "hello", 5);
  lsi_free(text);
  assert_int_equal(read_whole("f", 4, &text, &n, &err), LSIO_ERR_LIMIT);
  assert_string_equal(err.object, "f");
  lsi_error_clear(&err);
  assert_int_equal(read_whole("g", 4, &text, &n, &err), LSIO_ERR_SOURCE);
  lsi_error_clear(&err);
  assert_int_equal(read_whole(".", 4, &text, &n, &err), LSIO_ERR_SOURCE);
  /* Larger than the first buffer. */
  FILE *f = fopen("big", "w");
  for (int i = 0; i < 100000; i++) fprintf(f, "%07d\n", i);
  fclose(f);
  assert_int_equal(read_whole("big", UINT64_MAX, &text, &n, &err), 0);
  assert_int_equal(n, 800000);
  assert_memory_equal(text + 8 * 99999, "0099999\n", 8);
  lsi_free(text);
  int saved = dup(0), fd = open("f", O_RDONLY);
  assert_int_equal(dup2(fd, 0), 0);
  assert_int_equal(read_whole("-", 100, &text, &n, &err), 0);
  dup2(saved, 0);
  close(saved);
  close(fd);
  assert_int_equal(n, 5);
  lsi_free(text);
}

/* ---- devices ---- */

static void devices_have_models(void **state) {
  (void)state;
  struct lsi_object_info info;
  struct lsi_error err = {0};
  struct lsi_device_model m;
  touch("file", "x");
  assert_int_equal(stat_one("file", &info, &err), 0);
  lsi_store_file.model(NULL, info.device, "file", &m);
  assert_true(m.bandwidth > 0 && m.ops_per_s > 0 && m.op_max >= LSI_ALIGN && m.concurrency > 0);
  lsi_store_file.model(NULL, info.device, NULL, &m);
  assert_true(m.bandwidth > 0);
  lsi_store_file.model(NULL, 0, "/nowhere", &m);
  assert_true(m.bandwidth > 0);
  if (access("/dev/shm", W_OK) == 0) {
    lsi_store_file.model(NULL, 0, "/dev/shm", &m);
    assert_int_equal(m.kind, LSI_DEVICE_MEMORY);
  }
}

static void doctor_speaks(void **state) {
  (void)state;
  char *text = lsi_os_doctor();
  assert_non_null(text);
  static const char *const words[] = {"kernel: ", "cpus: ", "memory: ", "memlock: ", "open files: ",
                                      "huge pages: "};
  for (size_t i = 0; i < LSI_COUNTOF(words); i++) assert_non_null(strstr(text, words[i]));
  lsi_free(text);
}

int main(void) {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      T(threads_meet), T(a_wait_ends_in_time), T(sleep_and_clocks),
      T(a_bell_rings_until_it_is_cleared), T(threads_leave_signals_to_the_host),
      T(cpus_are_the_allowed_ones), T(memory_is_measured), T(maps_are_not_inherited),
      T(random_numbers_differ), T(stat_tells_what_is_there),
      T(stat_many_tells_the_first_that_fails), T(a_whole_file_is_read),
      T(devices_have_models), T(doctor_speaks),
  };
  return cmocka_run_group_tests_name("os", tests, NULL, NULL);
}
