/* The store `file` on Linux: whole files, pipes and standard input in memory. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "ground/mem.h"
#include "linux/os_linux.h"
#include "linux/store_file.h"

#define LOOK_MS 50 /* between two looks at the watch, while nothing comes */

struct whole {
  int fd;
  char *text;
  size_t n, cap;
};

/* What follows returns 0, an errno, or an LSIO_ERR_*, which is negative, with *err filled. */

/* Until there is something to read, be it an error: whoever writes into a pipe may take his time. */
static int wait_readable(int fd, struct lsi_watch *watch, struct lsi_error *err) {
  for (;;) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    const int n = poll(&p, 1, watch ? LOOK_MS : -1);
    const bool again = n == 0 || (n < 0 && errno == EINTR);
    const int rc = watch ? lsi_watch_tell(watch, 0, 0, err) : 0;
    if (rc < 0 || !again) return rc;
  }
}

/* Room for one byte and the NUL at least. */
static int grow(struct whole *w) {
  if (w->n + 1 < w->cap) return 0;
  const size_t cap = w->cap ? w->cap : 32 * 1024;
  char *more = cap > SIZE_MAX / 2 ? NULL : lsi_realloc(w->text, cap * 2);
  if (!more) return ENOMEM;
  w->text = more;
  w->cap = cap * 2;
  return 0;
}

/* *end: all of it is there. */
static int read_stretch(struct whole *w, const struct lsi_whole *how, bool *end, struct lsi_error *err) {
  int rc = grow(w);
  if (!rc) rc = wait_readable(w->fd, how->watch, err);
  if (rc) return rc;
  const ssize_t got = read(w->fd, w->text + w->n, LSI_MIN(w->cap - 1 - w->n, (size_t)LSI_WHOLE_STRETCH));
  if (got < 0) return errno == EINTR || errno == EAGAIN ? 0 : errno;
  *end = got == 0;
  w->n += (size_t)got;
  if (w->n > how->limit) return EFBIG;
  return how->look ? how->look(how->user, w->text, w->n, err) : 0;
}

static int failed(const char *path, bool standard, const struct lsi_whole *how, int code,
                  struct lsi_error *err) {
  const unsigned long long most = how->limit;
  if (code == EISDIR) return lsi_linux_source_error(path, code, err);
  if (code == ENOMEM) {
    code = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to read a file whole");
  } else if (code == EFBIG) {
    code = lsi_fail(err, LSIO_ERR_LIMIT, 0, "a file is longer than the %llu bytes that are read of it", most);
  } else if (code == EBADF && standard) {
    code = lsi_fail(err, LSIO_ERR_SOURCE, code, "standard input is closed");
    lsi_error_remedy(err, "give it something to read (COMMAND | ..., or < FILE), or name a file");
  } else if (code > 0) {
    code = lsi_fail(err, LSIO_ERR_IO, code, "a file can't be read");
  }
  lsi_error_at(err, standard ? "standard input" : path, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return code;
}

int lsi_file_read_all(const void *user, const char *path, const struct lsi_whole *how, char **text,
                      size_t *length, struct lsi_error *err) {
  (void)user;
  const bool standard = strcmp(path, "-") == 0;
  /* A pipe that has a name is opened without waiting for who writes into it: that is waited for below. */
  struct whole w = {.fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (w.fd < 0) return lsi_linux_source_error(path, errno, err);
  bool end = false;
  int rc = 0;
  while (rc == 0 && !end) rc = read_stretch(&w, how, &end, err);
  if (!standard) close(w.fd);
  if (rc) {
    lsi_free(w.text);
    return failed(path, standard, how, rc, err);
  }
  w.text[w.n] = 0;
  *text = w.text;
  *length = w.n;
  return 0;
}
