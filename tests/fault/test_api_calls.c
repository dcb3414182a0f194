/* System calls of a job in a context that has run some: what it costs to be served, in a figure that no other
 * process disturbs. A child runs jobs of one range from the page cache, and its parent counts by ptrace the calls of all
 * of its threads between two marks. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "plain.h"
#include "polled.h"

enum {
  WARM = 30,
  JOBS = 51,
  TEXT_MOST = 34,  /* of a job with a script: 24, and what a few more meetings at mutexes take */
  PLAIN_MOST = 20, /* of a plain read */
  OTHERS_MOST = 13, /* of each, but for futex and LuaJIT's */
  NUMBERS = 512,   /* of system calls; what lies beyond counts as the last */
  MARK = SYS_getppid
};

#define ONE_RANGE                                                                                     \
  "local lsio = require 'lsio'\nreturn lsio.job { type = 'f32', params = { offset = 0 },\n"           \
  " source = function(p) return lsio.ranges { objects = { 'a.f32' }, offset = { p.offset }, length = 4096 } end,\n"
#define IDENTITY ONE_RANGE "}\n"
#define COPYING ONE_RANGE " out_max = 1024,\n" \
  " transform = function(chunk) lsio.k.copy(chunk.data, chunk.n, chunk.out) return chunk.n end }\n"

/* ---- the child ---- */

static void die(const lsio_error *e) {
  fprintf(stderr, "%s\n", e ? lsio_error_message(e) : "no error object");
  _exit(1);
}

static void take(lsio_job *job, uint64_t offset) {
  struct polled c[4];
  float first = -1;
  for (bool done = false; !done;) {
    const int n = polled_take(job, c, 4, -1);
    for (int i = 0; i < n; i++) {
      if (c[i].kind == POLLED_STEP && c[i].length == 4096) memcpy(&first, c[i].data, sizeof first);
      done = done || c[i].kind == POLLED_DONE;
    }
  }
  if (lsio_job_status(job)) die(lsio_job_error(job));
  polled_destroy(job);
  if (first != api_values[offset / 4]) _exit(2);
}

static void run_text(lsio_context *context, const char *script, uint64_t offset) {
  char word[40];
  const char *args[] = {word};
  snprintf(word, sizeof word, "--offset=%d", (int)offset);
  struct lsio_job_options o = api_options(script, LSIO_JOB_STREAM);
  o.args = args;
  o.n_args = 1;
  o.n_settings = 0; /* as most programs leave them */
  lsio_job *job;
  lsio_error *error = NULL;
  if (polled_submit(context, &o, &job, &error)) die(error);
  take(job, offset);
}

static void run_identity(lsio_context *context, uint64_t offset) { run_text(context, IDENTITY, offset); }
static void run_copying(lsio_context *context, uint64_t offset) { run_text(context, COPYING, offset); }

static void run_plain(lsio_context *context, uint64_t offset) {
  float data[1024];
  const struct plain_range range = {.path = "a.f32", .offset = offset, .length = sizeof data};
  const struct plain plain = {.n = 1, .ranges = &range, .output = data, .output_length = sizeof data};
  lsio_job *job;
  lsio_error *error = NULL;
  if (plain_submit(context, &plain, &job, &error)) die(error);
  if (polled_wait(job)) die(lsio_job_error(job));
  polled_destroy(job);
  if (data[0] != api_values[offset / 4]) _exit(2);
}

static void serve(void (*run)(lsio_context *, uint64_t)) {
  signal(SIGSEGV, SIG_DFL); /* cmocka's would go on with the tests in here */
  signal(SIGABRT, SIG_DFL);
  lsio_context *context;
  lsio_error *error = NULL;
  if (lsio_context_create(NULL, &context, &error)) die(error);
  for (uint64_t i = 0; i < WARM + JOBS; i++) {
    if (i >= WARM) syscall(MARK);
    run(context, i * 4096 % 397312);
  }
  syscall(MARK);
  lsio_context_destroy(context);
  _exit(0);
}

/* ---- the parent ---- */

struct counts {
  uint32_t of[JOBS][NUMBERS];
  uint32_t total[JOBS];
  int marks;
};

static void count(struct counts *c, uint64_t number) {
  if (number == MARK) {
    c->marks++;
  } else if (c->marks > 0 && c->marks <= JOBS) {
    c->of[c->marks - 1][number < NUMBERS ? number : NUMBERS - 1]++;
    c->total[c->marks - 1]++;
  }
}

/* Follows all threads of the child to its end; its exit status. */
static int follow(pid_t child, struct counts *c) {
  for (;;) {
    int status, signal = 0;
    const pid_t who = waitpid(-1, &status, __WALL);
    if (who < 0 && errno == EINTR) continue;
    if (who < 0) return -1;
    if (!WIFSTOPPED(status)) {
      if (who == child) return status;
      continue; /* a thread has ended */
    }
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
      struct __ptrace_syscall_info info;
      if (ptrace(PTRACE_GET_SYSCALL_INFO, who, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY)
        count(c, info.entry.nr);
    } else if (!(status >> 16)) {
      signal = WSTOPSIG(status);
    }
    ptrace(PTRACE_SYSCALL, who, NULL, signal);
  }
}

/* A child that begins to run jobs when a byte comes, traced and stopped; 0 with a reason where that can't be. */
static pid_t begin(void (*run)(lsio_context *, uint64_t), int *go, const char **why) {
  struct __ptrace_syscall_info info;
  int ends[2], status;
  char byte;
  if (pipe(ends)) return *why = "no pipe", 0;
  const pid_t child = fork();
  if (child == 0) {
    close(ends[1]);
    if (read(ends[0], &byte, 1) == 1) serve(run);
    _exit(3);
  }
  close(ends[0]);
  *go = ends[1];
  if (child < 0) {
    *why = "no process";
  } else if (ptrace(PTRACE_SEIZE, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL)) {
    *why = "PTRACE_SEIZE";
  } else if (ptrace(PTRACE_INTERRUPT, child, NULL, NULL) || waitpid(child, &status, __WALL) != child) {
    *why = "PTRACE_INTERRUPT";
  } else if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) <= 0) {
    *why = "PTRACE_GET_SYSCALL_INFO, which Linux 5.3 brought";
  } else {
    return child;
  }
  const int error = errno;
  close(ends[1]);
  if (child > 0) kill(child, SIGKILL);
  while (child > 0 && waitpid(child, &status, __WALL) == child && !WIFEXITED(status) && !WIFSIGNALED(status)) {
  }
  errno = error;
  return 0;
}

/* Runs jobs in a child and counts all its calls. */
static void trace(void (*run)(lsio_context *, uint64_t), struct counts *c) {
  int go;
  const char *why = "";
  memset(c, 0, sizeof *c);
  const pid_t child = begin(run, &go, &why);
  if (!child) fail_msg("%s: %s", why, strerror(errno));
  assert_int_equal(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
  assert_int_equal(write(go, "", 1), 1);
  close(go);
  const int status = follow(child, c);
  if (!WIFEXITED(status) || WEXITSTATUS(status)) fail_msg("the child ended with status %#x", (unsigned)status);
  assert_int_equal(c->marks, JOBS + 1);
}

/* Why calls can't be counted here; NULL: they can. */
static const char *uncountable(void) {
  static char text[160];
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return "a sanitizer makes calls of its own";
#endif
  int go, status;
  const char *why = "";
  const pid_t child = begin(NULL, &go, &why);
  if (!child) {
    snprintf(text, sizeof text, "this process may not trace another: %s: %s", why, strerror(errno));
    return text;
  }
  close(go); /* it ends */
  ptrace(PTRACE_CONT, child, NULL, NULL);
  waitpid(child, &status, __WALL);
  return NULL;
}

/* ---- the figures ---- */

static const char *call_name(int number) {
  static char text[24];
  static const struct {
    int number;
    const char *name;
  } names[] = {
#define NAME(x) {SYS_##x, #x}
      NAME(read),       NAME(write),     NAME(close),         NAME(mmap),           NAME(mprotect),
      NAME(munmap),     NAME(brk),       NAME(rt_sigaction),  NAME(rt_sigprocmask), NAME(pread64),
      NAME(madvise),    NAME(exit),      NAME(fcntl),         NAME(getcwd),         NAME(prctl),
      NAME(getdents64), NAME(futex),     NAME(openat),        NAME(newfstatat),     NAME(statx),
      NAME(fstat),      NAME(fstatfs),   NAME(statfs),        NAME(readlinkat),     NAME(eventfd2),
      NAME(getrandom),  NAME(membarrier), NAME(clone3),       NAME(rseq),           NAME(set_robust_list),
      NAME(ppoll),      NAME(clock_nanosleep), NAME(io_uring_setup), NAME(io_uring_enter), NAME(io_uring_register),
      NAME(sched_getaffinity), NAME(sched_setaffinity), NAME(sched_yield), NAME(prlimit64), NAME(getrusage),
      NAME(mincore),    NAME(lseek),     NAME(sysinfo),   NAME(ioctl),         NAME(mremap),         NAME(clock_gettime),
#ifdef SYS_poll
      NAME(poll),       NAME(readlink),  NAME(access),        NAME(open),           NAME(stat),
#endif
#undef NAME
      {451, "cachestat"}, /* newer than some headers; the same everywhere */
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].number == number) return names[i].name;
  snprintf(text, sizeof text, "call %d", number);
  return text;
}

/* Most first, means of all jobs. */
static void print_calls(struct counts *c) {
  for (;;) {
    int most = -1;
    uint32_t sum[NUMBERS] = {0};
    for (int i = 0; i < NUMBERS; i++) {
      for (int k = 0; k < JOBS; k++) sum[i] += c->of[k][i];
      if (sum[i] && (most < 0 || sum[i] > sum[most])) most = i;
    }
    if (most < 0) break;
    print_message("  %-18s %6.2f\n", call_name(most), (double)sum[most] / JOBS);
    for (int k = 0; k < JOBS; k++) c->of[k][most] = 0;
  }
}

static int by_size(const void *a, const void *b) {
  const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/* Threads that meet at a mutex call futex more often than a job needs, and as slow as jobs are when they are
 * traced, most look at the process's memory, which is done every 5 ms: what counts is what a job needs, which
 * is what the job with the fewest calls makes; of these those that are no futex and not LuaJIT's apart. */
static void check_calls(void (*run)(lsio_context *, uint64_t), uint32_t most) {
  static struct counts c;
  uint32_t others[JOBS];
  trace(run, &c);
  for (int k = 0; k < JOBS; k++)
    others[k] = c.total[k] - c.of[k][SYS_futex] - c.of[k][SYS_mprotect] - c.of[k][SYS_mmap] -
                c.of[k][SYS_munmap];
  qsort(c.total, JOBS, sizeof *c.total, by_size);
  qsort(others, JOBS, sizeof *others, by_size);
  print_message("%u to %u system calls a job, at most %u; %u of its own, at most %u:\n", c.total[0],
                c.total[JOBS - 1], most, others[0], OTHERS_MOST);
  print_calls(&c);
  assert_in_range(c.total[0], 1, most);
  assert_in_range(others[0], 1, OTHERS_MOST);
}

static void of_an_identity_job(void **state) {
  (void)state;
  check_calls(run_identity, TEXT_MOST);
}

static void of_a_transform(void **state) {
  (void)state;
  check_calls(run_copying, TEXT_MOST);
}

static void of_a_plain_read(void **state) {
  (void)state;
  check_calls(run_plain, PLAIN_MOST);
}

int main(void) {
  const char *why = uncountable();
  if (why) {
    fprintf(stderr, "skipped: %s\n", why);
    return 77;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(of_an_identity_job),
      cmocka_unit_test(of_a_transform),
      cmocka_unit_test(of_a_plain_read),
  };
  return cmocka_run_group_tests_name("calls", tests, api_setup, api_teardown);
}
