#include "http/curl_watch.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "ground/mem.h"

struct lsi_watched {
  uint8_t wanted, armed; /* EPOLLIN, EPOLLOUT: what libcurl wants, what the kernel was told */
  bool own;              /* made by us, and told to us when it is closed: `armed` is what the kernel knows */
  bool stray;            /* an event came that nobody wants */
  bool dirty;
};

int lsi_curl_watch_create(struct lsi_curl_watch *w) {
  *w = (struct lsi_curl_watch){.fd = epoll_create1(EPOLL_CLOEXEC)};
  return w->fd < 0 ? errno : 0;
}

void lsi_curl_watch_destroy(struct lsi_curl_watch *w) {
  if (w->fd >= 0) close(w->fd);
  lsi_free(w->of);
  lsi_free(w->dirty);
}

static struct lsi_watched *of(struct lsi_curl_watch *w, int fd) {
  if ((uint32_t)fd < w->n) return &w->of[fd];
  const uint32_t n = LSI_MAX(64u, 2u * (uint32_t)fd);
  struct lsi_watched *more = lsi_reallocarray(w->of, n, sizeof *more);
  if (more) w->of = more;
  int *dirty = lsi_reallocarray(w->dirty, n, sizeof *dirty);
  if (dirty) w->dirty = dirty;
  if (!more || !dirty) return NULL;
  memset(&w->of[w->n], 0, (n - w->n) * sizeof *more);
  w->n = n;
  return &w->of[fd];
}

static void touch(struct lsi_curl_watch *w, struct lsi_watched *s, int fd) {
  if (!s->dirty) w->dirty[w->n_dirty++] = fd;
  s->dirty = true;
}

bool lsi_curl_watch_opened(struct lsi_curl_watch *w, int fd) {
  struct lsi_watched *s = of(w, fd);
  if (!s) return false;
  s->own = true;
  s->armed = 0;
  /* One address refuses, its socket is closed, and that of the next has its number: for libcurl nothing has
   * changed. */
  if (s->wanted) touch(w, s, fd);
  return true;
}

void lsi_curl_watch_closed(struct lsi_curl_watch *w, int fd) {
  if ((uint32_t)fd >= w->n) return;
  w->of[fd].own = false;
  w->of[fd].armed = 0;
}

bool lsi_curl_watch_want(struct lsi_curl_watch *w, int fd, uint32_t events) {
  struct lsi_watched *s = of(w, fd);
  if (!s) return false;
  /* One that is still connecting has been closed without a word to us (7.88). */
  if (!events && (s->wanted & EPOLLOUT)) s->own = false;
  s->wanted = (uint8_t)events;
  if (events && !(s->own && s->wanted == s->armed)) touch(w, s, fd);
  return true;
}

bool lsi_curl_watch_wanted(struct lsi_curl_watch *w, int fd) {
  struct lsi_watched *s = of(w, fd);
  if (!s || s->wanted) return true;
  s->stray = true;
  touch(w, s, fd);
  return false;
}

/* Where it is not our own, the kernel may have forgotten what was armed, or know another of its number. */
static int arm(struct lsi_curl_watch *w, struct lsi_watched *s, int fd) {
  struct epoll_event event = {.events = s->wanted, .data.fd = fd};
  int rc = epoll_ctl(w->fd, s->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
  if (rc < 0 && errno == ENOENT) rc = epoll_ctl(w->fd, EPOLL_CTL_ADD, fd, &event);
  if (rc < 0 && errno == EEXIST) rc = epoll_ctl(w->fd, EPOLL_CTL_MOD, fd, &event);
  s->armed = rc < 0 ? 0 : s->wanted;
  return rc < 0 && errno != EBADF ? errno : 0; /* of what is closed libcurl will tell by itself */
}

int lsi_curl_watch_settle(struct lsi_curl_watch *w) {
  int rc = 0;
  for (uint32_t i = 0; i < w->n_dirty; i++) {
    const int fd = w->dirty[i];
    struct lsi_watched *s = &w->of[fd];
    struct epoll_event none = {0};
    int failed = 0;
    if (s->wanted && !(s->own && s->wanted == s->armed)) failed = arm(w, s, fd);
    if (!s->wanted && s->stray) {
      epoll_ctl(w->fd, EPOLL_CTL_DEL, fd, &none);
      s->armed = 0;
    }
    if (failed) rc = failed;
    s->dirty = s->stray = false;
  }
  w->n_dirty = 0;
  return rc;
}
