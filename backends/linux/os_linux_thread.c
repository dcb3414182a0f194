/* core/seams/os.h on Linux: time, threads, doorbells, CPUs. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "ground/mem.h"
#include "linux/os_linux.h"

#define NS_PER_S 1000000000u
#define CPUS_MAX 8192u /* of one machine; the kernel's own limit on x86-64 */

/* ---- time ---- */

static const struct lsi_clock *other_clock; /* of a test */

static uint64_t clock_ns(clockid_t id) {
  if (LSI_UNLIKELY(other_clock != NULL)) return other_clock->now_ns(other_clock->user);
  struct timespec t;
  clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t lsi_os_now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t lsi_os_cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }
uint64_t lsi_os_thread_cpu_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

void lsi_os_set_clock(const struct lsi_clock *clock) { other_clock = clock; }

void lsi_os_sleep_ns(uint64_t ns) {
  if (LSI_UNLIKELY(other_clock != NULL)) {
    other_clock->sleep_ns(other_clock->user, ns);
    return;
  }
  struct timespec t = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
  while (nanosleep(&t, &t) < 0 && errno == EINTR) {
  }
}

/* ---- threads ---- */

struct lsi_thread {
  pthread_t id;
  void (*fn)(void *);
  void *arg;
  atomic_int tid; /* 0: it has not begun */
  char name[16]; /* the kernel's limit, NUL included */
};

static void *thread_main(void *p) {
  struct lsi_thread *t = p;
  pthread_setname_np(pthread_self(), t->name);
  atomic_store(&t->tid, (int)syscall(SYS_gettid));
  t->fn(t->arg);
  return NULL;
}

/* Signals stay with the host's threads; those that a fault raises must still reach their handler. */
static void block_signals(sigset_t *old) {
  sigset_t set;
  static const int keep[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGPROF};
  sigfillset(&set);
  for (size_t i = 0; i < LSI_COUNTOF(keep); i++) sigdelset(&set, keep[i]);
  pthread_sigmask(SIG_BLOCK, &set, old);
}

int lsi_os_thread_start(struct lsi_thread **out, const char *name, void (*fn)(void *), void *arg) {
  struct lsi_thread *t = lsi_calloc(1, sizeof *t);
  if (!t) return ENOMEM;
  t->fn = fn;
  t->arg = arg;
  snprintf(t->name, sizeof t->name, "%.15s", name ? name : "lsio");
  sigset_t old;
  block_signals(&old);
  int rc = pthread_create(&t->id, NULL, thread_main, t);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (rc) {
    lsi_free(t);
    return rc;
  }
  *out = t;
  return 0;
}

void lsi_os_thread_join(struct lsi_thread *t) {
  pthread_join(t->id, NULL);
  lsi_free(t);
}

int lsi_linux_tid(const struct lsi_thread *t) { return atomic_load(&t->tid); }

#define GIVE_WAY_NS 250000u

/* Who wakes up and is not at once found worth more than who runs would wait for the scheduler's next tick. */
void lsi_linux_give_way(uint64_t *since) {
  const uint64_t now = lsi_os_now_ns();
  if (now - *since < GIVE_WAY_NS) return;
  if (*since) sched_yield();
  *since = now;
}

struct lsi_mutex {
  pthread_mutex_t m;
};

struct lsi_mutex *lsi_os_mutex_create(void) {
  struct lsi_mutex *m = lsi_malloc(sizeof *m);
  if (!m) return NULL;
  pthread_mutexattr_t attr;
  pthread_mutexattr_init(&attr);
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
  /* All are held for some instructions: who sleeps in between is woken later than that. */
  pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
  const int rc = pthread_mutex_init(&m->m, &attr);
  pthread_mutexattr_destroy(&attr);
  if (!rc) return m;
  lsi_free(m);
  return NULL;
}

void lsi_os_mutex_destroy(struct lsi_mutex *m) {
  if (!m) return;
  pthread_mutex_destroy(&m->m);
  lsi_free(m);
}

void lsi_os_lock(struct lsi_mutex *m) { pthread_mutex_lock(&m->m); }
bool lsi_os_trylock(struct lsi_mutex *m) { return pthread_mutex_trylock(&m->m) == 0; }
void lsi_os_unlock(struct lsi_mutex *m) { pthread_mutex_unlock(&m->m); }

struct lsi_cond {
  pthread_cond_t c;
};

struct lsi_cond *lsi_os_cond_create(void) {
  struct lsi_cond *c = lsi_malloc(sizeof *c);
  if (!c) return NULL;
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  int rc = pthread_cond_init(&c->c, &attr);
  pthread_condattr_destroy(&attr);
  if (rc) {
    lsi_free(c);
    return NULL;
  }
  return c;
}

void lsi_os_cond_destroy(struct lsi_cond *c) {
  if (!c) return;
  pthread_cond_destroy(&c->c);
  lsi_free(c);
}

bool lsi_os_wait(struct lsi_cond *c, struct lsi_mutex *m, int64_t timeout_ns) {
  if (timeout_ns < 0) return pthread_cond_wait(&c->c, &m->m) == 0;
  uint64_t at;
  if (lsi_add_overflow(lsi_os_now_ns(), (uint64_t)timeout_ns, &at)) at = INT64_MAX;
  struct timespec t = {.tv_sec = (time_t)(at / NS_PER_S), .tv_nsec = (long)(at % NS_PER_S)};
  return pthread_cond_timedwait(&c->c, &m->m, &t) == 0;
}

void lsi_os_wake_all(struct lsi_cond *c) { pthread_cond_broadcast(&c->c); }

/* ---- doorbells ---- */

int lsi_os_bell_create(int *fd) {
  *fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return *fd < 0 ? errno : 0;
}

void lsi_os_bell_ring(int fd) {
  int saved = errno;
  uint64_t one = 1;
  /* A full counter means that it is rung already. */
  while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {
  }
  errno = saved;
}

void lsi_os_bell_clear(int fd) {
  uint64_t n;
  while (read(fd, &n, sizeof n) < 0 && errno == EINTR) {
  }
}

void lsi_os_bell_wait(int fd, int64_t timeout_ns) {
  const struct timespec t = {.tv_sec = timeout_ns / NS_PER_S, .tv_nsec = timeout_ns % NS_PER_S};
  struct pollfd p = {.fd = fd, .events = POLLIN};
  if (ppoll(&p, 1, &t, NULL) > 0) lsi_os_bell_clear(fd);
}

void lsi_os_bell_destroy(int fd) {
  if (fd >= 0) close(fd);
}

/* ---- CPUs ---- */

struct cpu_mask {
  unsigned long bits[CPUS_MAX / (8 * sizeof(unsigned long))];
};

#define BITS_PER_LONG (8 * sizeof(unsigned long))

static bool allowed_cpus(struct cpu_mask *mask) {
  memset(mask, 0, sizeof *mask);
  return sched_getaffinity(0, sizeof *mask, (cpu_set_t *)mask->bits) == 0;
}

static unsigned count_cpus(void) {
  struct cpu_mask mask;
  if (!allowed_cpus(&mask)) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (unsigned)n : 1;
  }
  unsigned n = 0;
  for (size_t i = 0; i < LSI_COUNTOF(mask.bits); i++)
    n += (unsigned)__builtin_popcountl(mask.bits[i]);
  return LSI_MAX(n, 1u);
}

/* CPUs that the quota of the cgroup (or a parent) is worth, rounded up. UINT64_MAX: no quota. */
static uint64_t quota_cpus(void) {
  uint64_t thousandths = lsi_linux_cgroup_limit("cpu.max", "cpu", "cpu.cfs_quota_us");
  return thousandths == UINT64_MAX ? UINT64_MAX : (thousandths + 999) / 1000;
}

unsigned lsi_os_cpu_count(void) {
  uint64_t n = LSI_MIN((uint64_t)count_cpus(), quota_cpus());
  return (unsigned)LSI_MAX(n, (uint64_t)1);
}

bool lsi_os_cpu_quota(void) { return quota_cpus() != UINT64_MAX; }

unsigned lsi_os_allowed_cpu(unsigned i) {
  struct cpu_mask mask;
  if (!allowed_cpus(&mask)) return i;
  i %= count_cpus();
  for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++)
    if (mask.bits[cpu / BITS_PER_LONG] >> (cpu % BITS_PER_LONG) & 1 && i-- == 0) return cpu;
  return 0;
}

int lsi_os_thread_pin(unsigned cpu) {
  struct cpu_mask mask;
  if (cpu >= CPUS_MAX) return EINVAL;
  memset(&mask, 0, sizeof mask);
  mask.bits[cpu / BITS_PER_LONG] |= 1ul << (cpu % BITS_PER_LONG);
  return sched_setaffinity(0, sizeof mask, (const cpu_set_t *)mask.bits) < 0 ? errno : 0;
}

uint32_t lsi_os_open_limit(void) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) < 0) return 1024;
  return r.rlim_cur > INT32_MAX ? INT32_MAX : (uint32_t)r.rlim_cur;
}
