/* All that core needs of an operating system; implemented by backends/linux/os_linux_*.c. What sources
 * are, and what they hold, is asked of their store (store.h). Functions return 0 or a positive errno-like
 * code unless said otherwise. Thread-safe. */
#ifndef LSI_OS_H
#define LSI_OS_H

#include "seams/backend.h"
#include "seams/model.h"

/* -- time -- */
uint64_t lsi_os_now_ns(void);        /* monotonic */
uint64_t lsi_os_cpu_ns(void);        /* CPU time of the process */
uint64_t lsi_os_thread_cpu_ns(void); /* CPU time of this thread */
void lsi_os_sleep_ns(uint64_t ns);
/* Another time for the whole process, for tests: all of the above ask it. NULL: the machine's own. Set while
 * no other thread runs; borrowed. */
struct lsi_clock {
  uint64_t (*now_ns)(void *user);
  void (*sleep_ns)(void *user, uint64_t ns);
  void *user;
};
void lsi_os_set_clock(const struct lsi_clock *clock);

/* -- threads -- */
struct lsi_thread;
int lsi_os_thread_start(struct lsi_thread **out, const char *name, void (*fn)(void *), void *arg);
void lsi_os_thread_join(struct lsi_thread *t); /* frees t */
int lsi_os_thread_pin(unsigned cpu);           /* the calling thread */
struct lsi_mutex;
struct lsi_mutex *lsi_os_mutex_create(void); /* NULL: no memory */
void lsi_os_mutex_destroy(struct lsi_mutex *m);
void lsi_os_lock(struct lsi_mutex *m);
bool lsi_os_trylock(struct lsi_mutex *m); /* false: somebody has it */
void lsi_os_unlock(struct lsi_mutex *m);
struct lsi_cond;
struct lsi_cond *lsi_os_cond_create(void);
void lsi_os_cond_destroy(struct lsi_cond *c);
/* timeout_ns < 0: for ever. False on timeout. */
bool lsi_os_wait(struct lsi_cond *c, struct lsi_mutex *m, int64_t timeout_ns);
void lsi_os_wake_all(struct lsi_cond *c);

/* A doorbell: a descriptor that is readable while rung (eventfd). -1 and errno code on failure. */
int lsi_os_bell_create(int *fd);
void lsi_os_bell_ring(int fd);  /* async-signal-safe */
void lsi_os_bell_clear(int fd);
void lsi_os_bell_wait(int fd, int64_t timeout_ns); /* until it is rung, or for so long; it is silent then */
void lsi_os_bell_destroy(int fd);

/* -- fork -- */
/* How many forks lie between the process that first called lsi_os_forks_watch and this one: what has been
 * made by a parent remembers another number. Changes before fork returns in a child, and at no other time. */
extern uint32_t lsi_os_forks;
/* From now on forks are counted, and a child knows none of the parent's output files. Once and for all: a
 * second call only repeats what the first one returned. */
int lsi_os_forks_watch(void);
/* In a child: does the thread wait for a lock of the C compiler's library that a thread of the parent held at
 * the fork? Then it is given back. */
bool lsi_os_thread_unblock(const struct lsi_thread *t);

/* -- CPUs and memory -- */
/* Worker count by default: min(allowed CPUs, ceil(cgroup cpu.max)), at least 1. */
unsigned lsi_os_cpu_count(void);
bool lsi_os_cpu_quota(void);               /* a cgroup limits CPU time */
unsigned lsi_os_allowed_cpu(unsigned i);   /* number of the i-th allowed CPU */
/* Least of available memory and what the cgroup leaves, in bytes. */
uint64_t lsi_os_memory_available(void);
uint64_t lsi_os_memory_cgroup_limit(void); /* UINT64_MAX = none */
/* Memory of the process's own now, in bytes: RssAnon + RssShmem. Pages of files, mapped or code, are the
 * page cache's. */
uint64_t lsi_os_memory_used(void);
/* Anonymous memory of whole 64 KiB, on 2 MiB boundaries with huge pages advised if it is as large, not
 * inherited by fork, at an address far from libraries so that LuaJIT finds room for machine code near itself.
 * NULL: none. */
void *lsi_os_map(size_t bytes);
/* All of it, or a part of whole 64 KiB. */
void lsi_os_unmap(void *p, size_t bytes);
/* Are the pages of `bytes` (more than 0) at p there? A sample of them is looked at. */
bool lsi_os_populated(const void *p, size_t bytes);
/* Makes the pages of [p, p + bytes) be there, as writing to each would, without changing what they hold,
 * also while others write to them. False: it can't. */
bool lsi_os_populate(void *p, size_t bytes);
/* Whether a child of fork has the memory of a map (or some of it) too. */
void lsi_os_inherit(void *p, size_t bytes, bool inherit);
/* Gives the pages back but keeps the addresses. */
void lsi_os_discard(void *p, size_t bytes);
/* The process's handler of SIGBUS, which lets mapped sources lose pages without a crash; calls the one
 * that was there for all that is not LSIO's. Installed once and for good: a second call only repeats
 * what the first one returned. */
int lsi_os_sigbus_install(void);
uint64_t lsi_os_random(void);
/* Soft limit of open descriptors, at most 2^31 - 1. */
uint32_t lsi_os_open_limit(void);

/* -- output files -- */
/* The numbers of the device that will hold an output file; `path` may not exist yet. */
void lsi_os_output_model(const char *path, struct lsi_device_model *out);
struct lsi_os_file;
/* A new file in the directory of `path`, without a name where the file system allows it, else under a
 * hidden one (mode 0666 less umask). The name must be free, of links to nowhere too. With `replace` a plain
 * file may stand there, or links that lead to one or to a free name, which is then meant, in its directory:
 * the new file gets the old one's mode, owner, group and POSIX access list, or, where this process may not
 * give them, a narrower mode. LSIO_ERR_OUTPUT with cause and remedy. */
int lsi_os_temp_create(const char *path, bool replace, struct lsi_os_file **out, struct lsi_error *err);
/* Reserves space; quietly does nothing where the file system can't. ENOSPC is LSIO_ERR_OUTPUT. */
int lsi_os_file_reserve(struct lsi_os_file *f, uint64_t bytes, struct lsi_error *err);
/* All of it or an error; several threads at once on disjoint ranges. */
int lsi_os_file_write(struct lsi_os_file *f, const void *data, uint64_t length, uint64_t offset,
                      struct lsi_error *err);
/* Opens it once more for writes past the page cache: *h is what a backend's writes go to, which each
 * worker copies; f goes on owning the descriptors. h->direct stays false where the file system has no
 * such writes or `direct` forbids them; LSI_DIRECT_ALWAYS makes that LSIO_ERR_UNSUPPORTED. Once a file. */
int lsi_os_file_direct(struct lsi_os_file *f, enum lsi_direct direct, struct lsi_handle *h,
                       struct lsi_error *err);
/* The error, with remedy, of a backend's write that ended with errno `code`. Returns LSIO_ERR_OUTPUT. */
int lsi_os_file_write_error(const struct lsi_os_file *f, int code, struct lsi_error *err);
int lsi_os_file_truncate(struct lsi_os_file *f, uint64_t bytes, struct lsi_error *err);
/* fdatasync. A failure is final: never called again on this file. */
int lsi_os_file_sync(struct lsi_os_file *f, struct lsi_error *err);
/* Gives n files (at least 1, all with `replace` or none) their names, all or none: after a failure what
 * stood under the names before stands there again, where the file system has hard links. The last one is
 * what readers look for. LSIO_ERR_OUTPUT when a name has been taken since. sync_dir: fsync of the
 * directories after it, whose failure is one of all. Closes and frees all of them, whatever happens. */
int lsi_os_files_publish(struct lsi_os_file *const *files, unsigned n, bool sync_dir, struct lsi_error *err);
/* Removes the file, closes and frees. */
void lsi_os_file_discard(struct lsi_os_file *f);
/* Leaving in a hurry, from any thread: removes the temporary names of all files of this process that are
 * neither published nor discarded. */
void lsi_os_files_abandon(void);
bool lsi_os_exists(const char *path);

/* Text for --doctor about this machine and this OS: kernel, CPUs, cgroup, memlock, huge pages, fd limit.
 * Handed over (lsi_free). */
char *lsi_os_doctor(void);

#endif
