/* The handler of SIGBUS, in child processes, as it is installed once and for good: what is lost of a
 * guarded mapping becomes zeros, and every other SIGBUS reaches whoever had it before. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "confined.h"
#include "linux/linux_sigbus.h"
#include "seams/os.h"

#define PAGE 4096u
#define PAGES 64u
#define BYTES ((size_t)PAGES * PAGE)
#define MUST(where, condition) \
  if (!(condition)) return where

/* A nameless file of BYTES bytes, each the number of its page, and 1 more so that none is 0. */
static int make_file(void) {
  char name[] = "/tmp/lsio-guard-XXXXXX";
  int fd = mkstemp(name);
  if (fd < 0) abort();
  unlink(name);
  for (unsigned i = 0; i < PAGES; i++) {
    char block[PAGE];
    memset(block, (int)i + 1, sizeof block);
    if (write(fd, block, sizeof block) != (ssize_t)sizeof block) abort();
  }
  return fd;
}

static volatile unsigned char *map_file(int fd) {
  void *p = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) abort();
  return p;
}

/* Pages from the first that read right, and whether the rest read as zeros. */
static unsigned right_pages(const volatile unsigned char *p, bool *zeros_then) {
  unsigned n = 0;
  while (n < PAGES && p[n * PAGE] == n + 1 && p[n * PAGE + PAGE - 1] == n + 1) n++;
  *zeros_then = true;
  for (size_t at = (size_t)n * PAGE; at < BYTES; at += 512) *zeros_then = *zeros_then && p[at] == 0;
  return n;
}

static int in_child(int (*fn)(void *)) { return run_confined(&(struct confinement){0}, fn, NULL); }

/* ---- what is guarded ---- */

static int truncate_under_reader(void *arg) {
  (void)arg;
  MUST(1, lsi_os_sigbus_install() == 0 && lsi_guard_works());
  int fd = make_file();
  volatile unsigned char *p = map_file(fd);
  int place = lsi_guard_add((void *)p, BYTES);
  MUST(2, place >= 0 && !lsi_guard_lost(place));
  bool zeros;
  MUST(3, right_pages(p, &zeros) == PAGES && !lsi_guard_lost(place));
  MUST(4, ftruncate(fd, 10 * PAGE) == 0);
  errno = 4711;
  MUST(5, right_pages(p, &zeros) == 10 && zeros && lsi_guard_lost(place));
  MUST(6, errno == 4711);
  /* It was another file's pages: what is done to the file now does not show. */
  MUST(7, ftruncate(fd, BYTES) == 0 && p[40 * PAGE] == 0);
  lsi_guard_remove(place);
  MUST(8, munmap((void *)p, BYTES) == 0);
  p = map_file(fd);
  int again = lsi_guard_add((void *)p, BYTES);
  MUST(9, again >= 0 && !lsi_guard_lost(again) && right_pages(p, &zeros) == 10);
  MUST(10, !lsi_guard_lost(again)); /* a hole is no loss */
  return 0;
}

static void lost_pages_read_as_zeros(void **state) {
  (void)state;
  assert_int_equal(in_child(truncate_under_reader), 0);
}

/* The guard is inherited with the mapping. */
static int fork_and_truncate(void *arg) {
  (void)arg;
  MUST(1, lsi_os_sigbus_install() == 0);
  int fd = make_file();
  volatile unsigned char *p = map_file(fd);
  int place = lsi_guard_add((void *)p, BYTES);
  bool zeros;
  MUST(2, right_pages(p, &zeros) == PAGES && ftruncate(fd, 0) == 0);
  pid_t child = fork();
  if (child == 0) _exit(right_pages(p, &zeros) == 0 && zeros && lsi_guard_lost(place) ? 0 : 1);
  int status;
  MUST(3, waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  MUST(4, !lsi_guard_lost(place)); /* the parent has read nothing since */
  MUST(5, right_pages(p, &zeros) == 0 && zeros && lsi_guard_lost(place));
  return 0;
}

static void a_child_is_guarded_too(void **state) {
  (void)state;
  assert_int_equal(in_child(fork_and_truncate), 0);
}

/* Threads come and go with mappings of their own while others lose pages. */
static void *map_and_lose(void *arg) {
  for (int round = 0; round < 60; round++) {
    int fd = make_file();
    volatile unsigned char *p = map_file(fd);
    int place = lsi_guard_add((void *)p, BYTES);
    unsigned keep = (unsigned)(round * 7 + *(int *)arg) % (PAGES + 1);
    bool zeros;
    if (place < 0 || ftruncate(fd, (off_t)keep * PAGE)) return "set up";
    if (right_pages(p, &zeros) != keep || !zeros) return "bytes";
    if (lsi_guard_lost(place) != (keep < PAGES)) return "mark";
    lsi_guard_remove(place);
    munmap((void *)p, BYTES);
    close(fd);
  }
  return NULL;
}

static int many_threads(void *arg) {
  (void)arg;
  MUST(1, lsi_os_sigbus_install() == 0);
  pthread_t threads[4];
  int numbers[4];
  for (int i = 0; i < 4; i++) {
    numbers[i] = i * 13;
    MUST(2, pthread_create(&threads[i], NULL, map_and_lose, &numbers[i]) == 0);
  }
  for (int i = 0; i < 4; i++) {
    void *wrong;
    MUST(3, pthread_join(threads[i], &wrong) == 0);
    MUST(4, wrong == NULL);
  }
  return 0;
}

static void threads_lose_pages_at_once(void **state) {
  (void)state;
  assert_int_equal(in_child(many_threads), 0);
}

static int fill_the_table(void *arg) {
  (void)arg;
  MUST(1, lsi_os_sigbus_install() == 0);
  int n = 0, last = -1;
  for (int place; (place = lsi_guard_add((void *)(uintptr_t)(((uintptr_t)1 << 40) + (uintptr_t)n * PAGE),
                                         PAGE)) >= 0; n++)
    last = place;
  MUST(2, n >= 16 && n <= 16384);
  lsi_guard_remove(last);
  MUST(3, lsi_guard_add((void *)((uintptr_t)1 << 41), PAGE) == last);
  MUST(4, lsi_guard_add((void *)((uintptr_t)1 << 41), PAGE) == -1);
  return 0;
}

static void a_full_table_says_so(void **state) {
  (void)state;
  assert_int_equal(in_child(fill_the_table), 0);
}

/* ---- what is not ---- */

static sigjmp_buf back;
static volatile sig_atomic_t calls;
static void *volatile fault_at;

static void host_with_info(int number, siginfo_t *info, void *context) {
  (void)context;
  if (number == SIGBUS) calls++;
  fault_at = info->si_addr;
  if (info->si_code > 0) siglongjmp(back, 1);
}

static void host_plain(int number) {
  if (number == SIGBUS) calls++;
}

static void host_is(void (*with_info)(int, siginfo_t *, void *), void (*plain)(int), int flags) {
  struct sigaction a;
  memset(&a, 0, sizeof a);
  a.sa_flags = flags;
  if (with_info) {
    a.sa_flags |= SA_SIGINFO;
    a.sa_sigaction = with_info;
  } else {
    a.sa_handler = plain;
  }
  sigaction(SIGBUS, &a, NULL);
}

/* A foreign mapping whose pages are gone. */
static volatile unsigned char *lost_mapping(void) {
  int fd = make_file();
  volatile unsigned char *p = map_file(fd);
  if (ftruncate(fd, 0)) abort();
  return p;
}

static int foreign_to_host(void *arg) {
  (void)arg;
  host_is(host_with_info, NULL, 0);
  MUST(1, lsi_os_sigbus_install() == 0);
  volatile unsigned char *foreign = lost_mapping(), *own = lost_mapping();
  int place = lsi_guard_add((void *)own, BYTES);
  for (int i = 1; i <= 3; i++) {
    if (sigsetjmp(back, 1) == 0) {
      (void)foreign[5 * PAGE + 7];
      return 2;
    }
    MUST(3, calls == i && fault_at == (void *)(foreign + 5 * PAGE + 7));
  }
  MUST(4, own[9] == 0 && lsi_guard_lost(place) && calls == 3);
  /* Sent, not raised by a fault: there is no address to believe. */
  MUST(5, kill(getpid(), SIGBUS) == 0 && calls == 4);
  return 0;
}

static void foreign_faults_reach_the_host(void **state) {
  (void)state;
  assert_int_equal(in_child(foreign_to_host), 0);
}

static int plain_host(void *arg) {
  (void)arg;
  host_is(NULL, host_plain, 0);
  MUST(1, lsi_os_sigbus_install() == 0);
  MUST(2, raise(SIGBUS) == 0 && calls == 1);
  MUST(3, raise(SIGBUS) == 0 && calls == 2);
  return 0;
}

static int host_for_once(void *arg) {
  (void)arg;
  host_is(NULL, host_plain, (int)SA_RESETHAND);
  MUST(1, lsi_os_sigbus_install() == 0);
  MUST(2, raise(SIGBUS) == 0 && calls == 1);
  raise(SIGBUS);
  return 3;
}

static void hosts_are_called_as_they_asked(void **state) {
  (void)state;
  assert_int_equal(in_child(plain_host), 0);
  assert_int_equal(in_child(host_for_once), 200 + SIGBUS);
}

static int nobody_handles_fault(void *arg) {
  (void)arg;
  host_is(NULL, SIG_DFL, 0);
  MUST(1, lsi_os_sigbus_install() == 0);
  (void)lost_mapping()[0];
  return 2;
}

static int nobody_handles_kill(void *arg) {
  (void)arg;
  host_is(NULL, SIG_DFL, 0);
  MUST(1, lsi_os_sigbus_install() == 0);
  kill(getpid(), SIGBUS);
  return 2;
}

static int ignored_kill_then_fault(void *arg) {
  (void)arg;
  host_is(NULL, SIG_IGN, 0);
  MUST(1, lsi_os_sigbus_install() == 0);
  MUST(2, kill(getpid(), SIGBUS) == 0);
  (void)lost_mapping()[0];
  return 3;
}

static void the_default_still_ends_the_process(void **state) {
  (void)state;
  assert_int_equal(in_child(nobody_handles_fault), 200 + SIGBUS);
  assert_int_equal(in_child(nobody_handles_kill), 200 + SIGBUS);
  assert_int_equal(in_child(ignored_kill_then_fault), 200 + SIGBUS);
}

static int replaced(void *arg) {
  (void)arg;
  MUST(1, !lsi_guard_works());
  MUST(2, lsi_os_sigbus_install() == 0 && lsi_guard_works());
  host_is(host_with_info, NULL, 0);
  MUST(3, !lsi_guard_works());
  MUST(4, lsi_os_sigbus_install() == 0 && !lsi_guard_works()); /* not a second time */
  return 0;
}

static void a_later_handler_is_noticed(void **state) {
  (void)state;
  assert_int_equal(in_child(replaced), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lost_pages_read_as_zeros),
      cmocka_unit_test(a_child_is_guarded_too),
      cmocka_unit_test(threads_lose_pages_at_once),
      cmocka_unit_test(a_full_table_says_so),
      cmocka_unit_test(foreign_faults_reach_the_host),
      cmocka_unit_test(hosts_are_called_as_they_asked),
      cmocka_unit_test(the_default_still_ends_the_process),
      cmocka_unit_test(a_later_handler_is_noticed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
