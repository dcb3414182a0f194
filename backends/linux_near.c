#include "linux_near.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void lsi_near_init(struct lsi_near *n) {
  n->folder = -1;
  n->length = 0;
  n->absent = 0;
}

void lsi_near_clear(struct lsi_near *n) {
  if (n->folder >= 0) close(n->folder);
  n->folder = -1;
}

static int open_path(const char *name) {
  int fd;
  do {
    fd = open(name, O_RDONLY | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  return fd < 0 ? -errno : fd;
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
  int fd = n->folder < 0 ? -1 : openat(n->folder, name + length, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) return fd;
  /* Out of descriptors, or the folder was replaced: the whole path gives the answer. */
  lsi_near_clear(n);
  return open_path(name);
}
