/* core/seams/os.h on Linux: children of fork. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "linux/os_linux_output.h"
#include "linux/stream.h"

#define LOOKS 20
#define LOOK_NS 2000000u

/* ---- counting ---- */

uint32_t lsi_os_forks;

/* There is one thread, and no fork of a parent's thread holds what this takes. */
static void in_child(void) {
  lsi_os_forks++;
  lsi_output_forked();
  lsi_stream_forked();
}

static int watch_code; /* of lsi_os_forks_watch */

static void watch(void) { watch_code = pthread_atfork(NULL, NULL, in_child); }

int lsi_os_forks_watch(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch);
  return watch_code;
}

/* ---- locks of threads that are not here ---- */

/* Of libgcc, before GCC 13: under its one mutex it looks for the unwind information of machine code, and adds
 * and removes such. Whatever a thread was at, one pointer is left to be set or is set: lists stay whole, but
 * for code of the parent's. No handler of fork can have that mutex; so it is known by who waits for it. */
#ifdef __GLIBC__
/* NULL: for nothing that is known. */
static pthread_mutex_t *waits_for(int tid) {
  char path[64], text[256];
  long call;
  unsigned long long address;
  Dl_info in;
  snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
  if (lsi_linux_read_text(path, text, sizeof text) < 0 || sscanf(text, "%ld %llx", &call, &address) != 2)
    return NULL;
  pthread_mutex_t *m = (pthread_mutex_t *)(uintptr_t)address;
  if (call != SYS_futex || !dladdr(m, &in) || !in.dli_fname || !strstr(in.dli_fname, "libgcc_s")) return NULL;
  return m->__data.__kind == PTHREAD_MUTEX_TIMED_NP ? m : NULL;
}

static bool is_here(int tid) { return syscall(SYS_tgkill, getpid(), tid, 0) == 0 || errno != ESRCH; }

/* The owner is written once it has the mutex, and taken back before it gives that back: none is one of the
 * parent's too, but perhaps one that is here and will soon have done so. */
static bool has_no_owner_here(const pthread_mutex_t *m) {
  for (int i = 0; i < LOOKS; i++) {
    const int owner = __atomic_load_n(&m->__data.__owner, __ATOMIC_RELAXED);
    if (owner) return !is_here(owner);
    lsi_os_sleep_ns(LOOK_NS);
  }
  return true;
}

/* What the C library's own unlocking of such a mutex does not ask is who does it. */
bool lsi_os_thread_unblock(const struct lsi_thread *t) {
  const int tid = lsi_linux_tid(t);
  pthread_mutex_t *m = tid ? waits_for(tid) : NULL;
  return m && has_no_owner_here(m) && waits_for(tid) == m && pthread_mutex_unlock(m) == 0;
}
#else
bool lsi_os_thread_unblock(const struct lsi_thread *t) {
  (void)t;
  return false;
}
#endif
