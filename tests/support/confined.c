#include "confined.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534
#define CANT 100
#define SIGNALLED 200

static int forbid_io_uring(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof code[0], code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -1;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

/* Never up: in a container even root may not raise a limit. */
static int lower(int what, rlim_t value) {
  struct rlimit r;
  if (value == 0) return 0;
  if (getrlimit((unsigned)what, &r) < 0) return -1;
  if (value < r.rlim_max) r.rlim_max = value;
  r.rlim_cur = r.rlim_max;
  return setrlimit((unsigned)what, &r);
}

static int confine(const struct confinement *c) {
  if (lower(RLIMIT_NOFILE, c->open_files) < 0 || lower(RLIMIT_MEMLOCK, c->locked_memory) < 0) return -1;
  if (c->nobody && geteuid() == 0 &&
      (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
    return -1;
  return c->no_io_uring ? forbid_io_uring() : 0;
}

int run_confined(const struct confinement *c, int (*fn)(void *arg), void *arg) {
  fflush(NULL);
  pid_t child = fork();
  if (child < 0) return CANT;
  if (child == 0) _exit(confine(c) < 0 ? CANT : fn(arg));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}
