/* core/seams/os.h on Linux: what --doctor says about this machine. */
#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ground/mem.h"
#include "ground/units.h"
#include "linux/os_linux.h"

#define TEXT_CAP 4096u

struct text {
  char *at;
  size_t length;
};

static void say(struct text *t, const char *fmt, ...) LSI_PRINTF(2, 3);
static void say(struct text *t, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(t->at + t->length, TEXT_CAP - t->length, fmt, ap);
  va_end(ap);
  if (n > 0) t->length = LSI_MIN(t->length + (size_t)n, (size_t)TEXT_CAP - 1);
}

/* "512 MiB", "none". */
static struct lsi_shown size_text(uint64_t bytes) {
  static const struct lsi_shown none = {"none"};
  return bytes == UINT64_MAX ? none : lsi_show_size(bytes);
}

static void say_cpus(struct text *t) {
  uint64_t thousandths = lsi_linux_cgroup_limit("cpu.max", "cpu", "cpu.cfs_quota_us");
  say(t, "cpus: %u usable of %ld", lsi_os_cpu_count(), sysconf(_SC_NPROCESSORS_CONF));
  if (thousandths == UINT64_MAX)
    say(t, ", no cgroup quota\n");
  else
    say(t, ", cgroup quota %.2f\n", (double)thousandths / 1000);
}

/* Root has CAP_IPC_LOCK, except in most containers. */
static bool may_lock_any_memory(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
  return syscall(SYS_capget, &header, data) == 0 && data[0].effective & (1u << CAP_IPC_LOCK);
}

static void say_limits(struct text *t) {
  struct rlimit r;
  say(t, "memory: %s available", size_text(lsi_os_memory_available()).text);
  say(t, ", cgroup limit %s\n", size_text(lsi_os_memory_cgroup_limit()).text);
  if (getrlimit(RLIMIT_MEMLOCK, &r) == 0)
    say(t, "memlock: %s%s\n",
        r.rlim_cur == RLIM_INFINITY ? "unlimited" : size_text(r.rlim_cur).text,
        may_lock_any_memory() ? " (does not bind this process)"
        : r.rlim_cur != RLIM_INFINITY && r.rlim_cur < (64u << 20)
            ? " (little: buffers may go unregistered; ulimit -l)"
            : "");
  say(t, "open files: %u at once%s\n", lsi_os_open_limit(),
      lsi_os_open_limit() < 1024 ? " (few; ulimit -n)" : "");
}

static void say_huge_pages(struct text *t) {
  char mode[128];
  if (lsi_linux_read_text("/sys/kernel/mm/transparent_hugepage/enabled", mode, sizeof mode) <= 0) {
    say(t, "huge pages: not in this kernel\n");
    return;
  }
  const char *from = strchr(mode, '['), *to = from ? strchr(from, ']') : NULL;
  int n = to ? (int)(to - from - 1) : 0;
  say(t, "huge pages: %.*s%s\n", n, from ? from + 1 : "",
      n == 5 && strncmp(from + 1, "never", 5) == 0
          ? " (buffers are slower; echo madvise > /sys/kernel/mm/transparent_hugepage/enabled)"
          : "");
}

char *lsi_os_doctor(void) {
  struct text t = {lsi_calloc(1, TEXT_CAP), 0};
  if (!t.at) return NULL;
  struct utsname u;
  if (uname(&u) == 0) say(&t, "kernel: %s %s %s\n", u.sysname, u.release, u.machine);
  say_cpus(&t);
  say_limits(&t);
  say_huge_pages(&t);
  uint64_t disabled;
  if (lsi_linux_read_number("/proc/sys/kernel/io_uring_disabled", &disabled))
    say(&t, "io_uring_disabled: %llu%s\n", (unsigned long long)disabled,
        disabled == 0   ? " (allowed)"
        : disabled == 1 ? " (only for privileged users and io_uring_group)"
                        : " (for nobody)");
  return t.at;
}
