#include "linux/linux_small.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "linux/os_linux.h"

#define SETTLED_S 3 /* a file system's times may be whole seconds, and late by a tick */

int64_t lsi_linux_clock_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec;
}

bool lsi_linux_settled(const struct stat *st, int64_t began_s) {
  /* Had the clock been set back in between, it would show here. */
  return st->st_nlink && st->st_ctim.tv_sec + SETTLED_S < began_s && lsi_linux_clock_s() >= began_s;
}

void lsi_near_init(struct lsi_near *n) {
  n->folder = -1;
  n->run = n->length = 0;
  n->absent = n->unsettled = 0;
  n->began_s = lsi_linux_clock_s();
}

void lsi_near_clear(struct lsi_near *n) {
  if (n->folder >= 0) close(n->folder);
  n->folder = -1;
}

void lsi_near_run(struct lsi_near *n, uint32_t run) {
  if (n->run == run) return;
  n->run = run;
  n->length = 0;
  lsi_near_clear(n);
}

/* What has become a pipe since it was listed is not waited for. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK)

static bool is_pipe(const char *name) {
  struct stat st;
  return stat(name, &st) == 0 && S_ISFIFO(st.st_mode);
}

static int open_path(const char *name) {
  int flags = OPEN_FLAGS;
  for (;;) {
    const int fd = lsi_linux_openat(AT_FDCWD, name, flags);
    if (fd >= 0) return fd;
    const int code = errno;
    if (code == EINTR) continue;
    /* Whoever has a lease of the file is asked for it, and that is waited for. */
    if (code != EAGAIN || !(flags & O_NONBLOCK) || is_pipe(name)) return -code;
    flags &= ~O_NONBLOCK;
  }
}

/* Remembers the folder of a name; true when it is that of the name before. */
static bool same_folder(struct lsi_near *n, const char *name, uint32_t length) {
  if (n->length == length && memcmp(n->path, name, length) == 0) return true;
  lsi_near_clear(n);
  memcpy(n->path, name, length);
  n->path[length] = 0;
  n->length = length;
  return false;
}

int lsi_near_open(struct lsi_near *n, const char *name) {
  const char *slash = strrchr(name, '/');
  size_t length = slash ? (size_t)(slash - name) + 1 : 0;
  if (!length || length >= sizeof n->path || !same_folder(n, name, (uint32_t)length))
    return open_path(name);
  if (n->folder < 0) n->folder = open(n->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  int fd = n->folder < 0 ? -1 : lsi_linux_openat(n->folder, name + length, OPEN_FLAGS);
  if (fd >= 0) return fd;
  /* Out of descriptors, or the folder was replaced: the whole path gives the answer. */
  lsi_near_clear(n);
  return open_path(name);
}

int64_t lsi_near_read(struct lsi_near *n, int fd, void *room, uint32_t room_bytes) {
  if (n->absent) return -1; /* counted by who opens */
  if (n->unsettled) {
    n->unsettled--;
    return -1;
  }
  const ssize_t got = lsi_linux_pread_now(fd, room, room_bytes, 0);
  if (got < 0 && errno == EAGAIN) n->absent = LSI_NEAR_RUN;
  else if (got < 0) n->unsettled = errno == EOPNOTSUPP ? UINT32_MAX : LSI_NEAR_RUN;
  return got;
}

int lsi_near_unrest_ns(const struct stat *st) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const int64_t s = (int64_t)now.tv_sec - st->st_ctim.tv_sec;
  if (s < 0 || s > 1) return 0; /* or of another clock */
  const int64_t ns = s * 1000000000 + now.tv_nsec - st->st_ctim.tv_nsec;
  return ns < 0 || ns >= LSI_NEAR_REST_NS ? 0 : (int)(LSI_NEAR_REST_NS - ns);
}

bool lsi_near_settled(const struct lsi_near *n, uint32_t room_bytes, const struct stat *st, int64_t got) {
  const bool all = got == st->st_size && got < (int64_t)room_bytes && S_ISREG(st->st_mode);
  return all && lsi_linux_settled(st, n->began_s);
}
