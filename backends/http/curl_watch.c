#include "http/curl_watch.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "ground/mem.h"

struct lsi_watched {
  uint8_t wanted, armed; /* EPOLLIN, EPOLLOUT: what libcurl wants, what the kernel was told */
  bool own;              /* it is told to us when it is closed */
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

/* The kernel forgets what is closed, and libcurl closes some descriptors (of its lookups) without telling: so
 * what is armed here may be unknown there, and the other way round. */
static int arm(struct lsi_curl_watch *w, struct lsi_watched *s, int fd) {
  struct epoll_event event = {.events = s->wanted, .data.fd = fd};
  int rc = 0;
  if (!s->wanted) {
    epoll_ctl(w->fd, EPOLL_CTL_DEL, fd, &event);
  } else {
    rc = epoll_ctl(w->fd, s->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    if (rc < 0 && errno == ENOENT) rc = epoll_ctl(w->fd, EPOLL_CTL_ADD, fd, &event);
    if (rc < 0 && errno == EEXIST) rc = epoll_ctl(w->fd, EPOLL_CTL_MOD, fd, &event);
  }
  s->armed = rc < 0 ? 0 : s->wanted;
  return rc < 0 ? errno : 0;
}

bool lsi_curl_watch_opened(struct lsi_curl_watch *w, int fd) {
  struct lsi_watched *s = of(w, fd);
  if (!s) return false;
  s->own = true;
  s->wanted = s->armed = 0;
  return true;
}

void lsi_curl_watch_closed(struct lsi_curl_watch *w, int fd) {
  if ((uint32_t)fd >= w->n) return;
  struct lsi_watched *s = &w->of[fd];
  s->own = false;
  s->wanted = s->armed = 0;
}

bool lsi_curl_watch_want(struct lsi_curl_watch *w, int fd, uint32_t events) {
  struct lsi_watched *s = of(w, fd);
  if (!s) return false;
  s->wanted = (uint8_t)events;
  if (!events && !s->own)
    arm(w, s, fd); /* it may be closed, and its number used again, before we hear of it */
  else if (s->wanted != s->armed || !s->own)
    touch(w, s, fd);
  return true;
}

bool lsi_curl_watch_wanted(struct lsi_curl_watch *w, int fd) {
  struct lsi_watched *s = of(w, fd);
  if (!s || s->wanted) return true;
  touch(w, s, fd);
  return false;
}

int lsi_curl_watch_settle(struct lsi_curl_watch *w) {
  int rc = 0;
  for (uint32_t i = 0; i < w->n_dirty; i++) {
    const int fd = w->dirty[i];
    struct lsi_watched *s = &w->of[fd];
    s->dirty = false;
    if (s->wanted == s->armed && s->own) continue;
    if (!s->wanted && !s->own) continue; /* closed meanwhile, or told at once */
    const int failed = arm(w, s, fd);
    if (failed) rc = failed;
  }
  w->n_dirty = 0;
  return rc;
}
