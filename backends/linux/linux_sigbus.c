/* The handler of SIGBUS and its table. What the handler calls is async-signal-safe: atomics that are
 * lock-free, and mmap, which on Linux is one system call. */
#include "linux/linux_sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "linux/os_linux.h"

/* A quarter of what vm.max_map_count lets a process have by default, and at most that share of what
 * it says here: the rest belongs to the host, its allocator and its compiler. */
#define PLACES 16384u
#define SHARE 4u

/* A range. `from` is 0 in a free place and while a place is being filled. A handler on another thread
 * may read it at any moment: it takes `to` only between two equal readings of `from`. */
struct place {
  _Atomic uintptr_t from;
  _Atomic uintptr_t to;
  atomic_bool taken;
  atomic_bool lost; /* some of its pages were */
};

static struct place places[PLACES];
static atomic_uint used;      /* taken now */
static atomic_uint top;       /* places from here on have never been taken */
static atomic_uint next_free; /* where to look first */
static unsigned most;         /* that may be taken; set once */
static uintptr_t page;        /* size of one; set once */
static int install_code;      /* of lsi_os_sigbus_install */
static struct sigaction before; /* who had the signal; set once */
static atomic_bool before_spent; /* it had asked to be called once only, and was */

_Static_assert(ATOMIC_POINTER_LOCK_FREE == 2 && ATOMIC_BOOL_LOCK_FREE == 2 &&
               ATOMIC_INT_LOCK_FREE == 2, "a signal handler can't take locks");

/* ---- the table ---- */

int lsi_guard_add(const void *from, size_t bytes) {
  if (atomic_fetch_add(&used, 1) < most) {
    unsigned start = atomic_load(&next_free);
    for (unsigned n = 0; n < PLACES; n++) {
      unsigned i = (start + n) % PLACES;
      struct place *p = &places[i];
      bool no = false;
      if (!atomic_compare_exchange_strong(&p->taken, &no, true)) continue;
      unsigned seen = atomic_load(&top);
      while (seen <= i && !atomic_compare_exchange_weak(&top, &seen, i + 1)) {
      }
      atomic_store(&next_free, i + 1);
      atomic_store(&p->lost, false);
      atomic_store(&p->to, (uintptr_t)from + bytes);
      atomic_store(&p->from, (uintptr_t)from);
      return (int)i;
    }
  }
  atomic_fetch_sub(&used, 1);
  return -1;
}

void lsi_guard_remove(int place) {
  struct place *p = &places[place];
  atomic_store(&p->from, 0);
  atomic_store(&p->taken, false);
  atomic_store(&next_free, (unsigned)place);
  atomic_fetch_sub(&used, 1);
}

bool lsi_guard_lost(int place) { return atomic_load(&places[place].lost); }

/* ---- the handler ---- */

static bool put_zeros(uintptr_t from, uintptr_t to) {
  return mmap((void *)from, to - from, PROT_READ,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

/* True when the address lies in a guarded range, which is then marked and readable again: zeros from
 * the lost page to the end, as what follows the new end of a file is gone with it. Where the kernel has
 * no room for one mapping more, zeros everywhere. */
static bool rescue(uintptr_t at) {
  const unsigned n = atomic_load(&top);
  for (unsigned i = 0; i < n; i++) {
    struct place *p = &places[i];
    const uintptr_t from = atomic_load(&p->from), to = atomic_load(&p->to);
    if (at < from || at >= to || !from || atomic_load(&p->from) != from) continue;
    atomic_store(&p->lost, true);
    return put_zeros(at & ~(page - 1), to) || put_zeros(from, to);
  }
  return false;
}

/* Not ours: as if this handler were not there. A fault happens again on return and then kills the
 * process as it should; a signal that was sent must be sent again. */
static void leave_to_default(int number, bool fault) {
  struct sigaction standard;
  memset(&standard, 0, sizeof standard);
  standard.sa_handler = SIG_DFL;
  sigaction(number, &standard, NULL);
  if (!fault) raise(number); /* blocked until this handler returns */
}

static void pass_on(int number, siginfo_t *info, void *context, bool fault) {
  if (before.sa_flags & (int)SA_RESETHAND && atomic_exchange(&before_spent, true))
    leave_to_default(number, fault);
  else if (before.sa_flags & SA_SIGINFO)
    before.sa_sigaction(number, info, context);
  else if (before.sa_handler == SIG_DFL || (before.sa_handler == SIG_IGN && fault))
    leave_to_default(number, fault); /* the kernel lets nobody ignore a fault */
  else if (before.sa_handler != SIG_IGN)
    before.sa_handler(number);
}

static void on_sigbus(int number, siginfo_t *info, void *context) {
  const int saved = errno;
  const bool fault = info->si_code > 0; /* else kill() or the like, and there is no address */
  if (!fault || !rescue((uintptr_t)info->si_addr)) pass_on(number, info, context, fault);
  errno = saved;
}

/* ---- installing ---- */

static void install(void) {
  page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uint64_t maps;
  most = PLACES;
  if (lsi_linux_read_number("/proc/sys/vm/max_map_count", &maps))
    most = (unsigned)LSI_MIN(maps / SHARE, (uint64_t)PLACES);
  struct sigaction ours;
  memset(&ours, 0, sizeof ours);
  if (sigaction(SIGBUS, NULL, &before) < 0) {
    install_code = errno;
    return;
  }
  /* What the other one asked for holds while it is called from here. */
  ours.sa_mask = before.sa_mask;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (before.sa_flags & (SA_NODEFER | SA_RESTART));
  ours.sa_sigaction = on_sigbus;
  if (sigaction(SIGBUS, &ours, NULL) < 0) install_code = errno;
}

int lsi_os_sigbus_install(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install);
  return install_code;
}

bool lsi_guard_works(void) {
  struct sigaction now;
  return sigaction(SIGBUS, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
         now.sa_sigaction == on_sigbus;
}
