/* Requests over libcurl: its multi handle, driven by the sockets' events and one timer. Nothing is queued
 * there: there are as many handles as requests may be under way (with 1,000 in its queue a request costs it
 * 55 us instead of 23). */
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>

#include "ground/mem.h"
#include "http/curl_request.h"
#include "seams/os.h"

#define EVENTS 128 /* taken from the kernel at once */
#define ROUNDS 8   /* of requests that end at once, and others that are begun in their place */
#define NONE UINT32_MAX

struct lsi_wire {
  struct lsi_curl_common common;
  CURLM *multi;
  struct lsi_curl_request *slots;
  uint32_t n, free;        /* how many, and the first one that is free: used last, so its memory is warm */
  uint32_t unsent;         /* requests that could not be begun and wait for `run` to say so */
  bool running;
  uint64_t timer_ns;       /* when libcurl wants to be called; UINT64_MAX: not */
  uint64_t connections;
  char *ca_file, *proxy, *user_agent;
};

static uint64_t curl_now(const struct lsi_wire *w) {
  (void)w;
  return lsi_os_now_ns();
}

/* -- hooks of the multi handle -- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket) {
  (void)easy, (void)socket;
  const uint32_t events = what == CURL_POLL_IN      ? EPOLLIN
                          : what == CURL_POLL_OUT   ? EPOLLOUT
                          : what == CURL_POLL_INOUT ? EPOLLIN | EPOLLOUT
                                                    : 0;
  return lsi_curl_watch_want(&((struct lsi_wire *)user)->common.watch, fd, events) ? 0 : -1;
}

static int on_timer(CURLM *multi, long timeout_ms, void *user) {
  struct lsi_wire *w = user;
  (void)multi;
  w->timer_ns = timeout_ms < 0 ? UINT64_MAX : curl_now(w) + (uint64_t)timeout_ms * 1000000;
  return 0;
}

/* -- its life -- */

static void curl_destroy(struct lsi_wire *w) {
  const struct lsi_curl *curl = w->common.curl;
  for (uint32_t i = 0; w->slots && i < w->n; i++) {
    struct lsi_curl_request *s = &w->slots[i];
    if (s->request && !s->unsent) curl->multi_remove_handle(w->multi, s->easy);
    lsi_curl_request_free(s);
  }
  if (w->multi) curl->multi_cleanup(w->multi); /* closes connections, which still asks the watch */
  if (w->common.share) curl->share_cleanup(w->common.share);
  lsi_curl_watch_destroy(&w->common.watch);
  lsi_free(w->slots);
  lsi_free(w->ca_file);
  lsi_free(w->proxy);
  lsi_free(w->user_agent);
  lsi_free(w);
}

static bool copy(char **to, const char *from) { return !from || (*to = lsi_strdup(from)); }

static bool make(struct lsi_wire *w, const struct lsi_wire_config *config) {
  const struct lsi_curl *curl = w->common.curl;
  w->n = LSI_MAX(1u, config->requests);
  w->slots = lsi_calloc(w->n, sizeof *w->slots);
  if (!w->slots || !copy(&w->ca_file, config->ca_file) || !copy(&w->proxy, config->proxy) ||
      !copy(&w->user_agent, config->user_agent))
    return false;
  for (uint32_t i = 0; i < w->n; i++) w->slots[i].next = i + 1 < w->n ? i + 1 : NONE;
  w->common.config = *config;
  w->common.config.ca_file = w->ca_file;
  w->common.config.proxy = w->proxy;
  w->common.config.user_agent = w->user_agent;
  w->multi = curl->multi_init();
  w->common.share = curl->share_init();
  /* The multi handle of 7.88 keeps no TLS sessions itself. */
  return w->multi && w->common.share &&
         curl->share_setopt(w->common.share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK &&
         curl->multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
         curl->multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w) == CURLM_OK &&
         curl->multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
         curl->multi_setopt(w->multi, CURLMOPT_TIMERDATA, w) == CURLM_OK &&
         curl->multi_setopt(w->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK &&
         curl->multi_setopt(w->multi, CURLMOPT_MAXCONNECTS, 2 * (long)w->n) == CURLM_OK;
}

static int curl_create(const struct lsi_wire_config *config, struct lsi_wire **out, struct lsi_error *err) {
  const struct lsi_curl *curl = lsi_curl_load(err);
  if (!curl) return LSIO_ERR_UNSUPPORTED;
  struct lsi_wire *w = lsi_calloc(1, sizeof *w);
  if (!w) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the connections of a worker");
  w->common.curl = curl;
  w->timer_ns = UINT64_MAX;
  const int rc = lsi_curl_watch_create(&w->common.watch);
  if (rc) {
    curl_destroy(w);
    return lsi_fail(err, LSIO_ERR_IO, rc, "no descriptor for the connections of a worker");
  }
  if (!make(w, config)) {
    curl_destroy(w);
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the connections of a worker");
  }
  *out = w;
  return 0;
}

/* -- requests -- */

static bool curl_start(struct lsi_wire *w, struct lsi_wire_request *r) {
  if (w->free == NONE) return false;
  struct lsi_curl_request *s = &w->slots[w->free];
  w->free = s->next;
  r->priv = s;
  if (lsi_curl_request_begin(s, &w->common, r)) {
    const CURLMcode rc = w->common.curl->multi_add_handle(w->multi, s->easy);
    if (rc == CURLM_OK) return true;
    s->unsent = true;
    s->stop = rc == CURLM_OUT_OF_MEMORY ? LSI_WIRE_NO_MEMORY : LSI_WIRE_FAILED;
  }
  w->unsent++;
  return true;
}

/* `clean`: the slot's next request may go over the same handle. */
static void release(struct lsi_wire *w, struct lsi_curl_request *s, bool clean) {
  if (!clean) lsi_curl_request_forget(s); /* an errno or a lookup of the last one may hang on it */
  if (s->unsent) w->unsent--;
  s->unsent = false;
  s->request = NULL;
  s->next = w->free;
  w->free = (uint32_t)(s - w->slots);
}

static void curl_drop(struct lsi_wire *w, struct lsi_wire_request *r) {
  struct lsi_curl_request *s = r->priv;
  r->priv = NULL;
  if (!s || s->request != r) return;
  if (!s->unsent) {
    w->connections += lsi_curl_request_connections(s);
    w->common.curl->multi_remove_handle(w->multi, s->easy);
  }
  release(w, s, false);
}

/* The slot is free before the hook is called, which may want it: so what `end` points to there is copied. */
static void tell_end(struct lsi_wire *w, struct lsi_curl_request *s, CURLcode rc) {
  struct lsi_wire_request *r = s->request;
  struct lsi_wire_end end;
  char error[CURL_ERROR_SIZE], address[sizeof s->address];
  w->connections += lsi_curl_request_ended(s, rc, &end);
  if (end.text == s->error) end.text = memcpy(error, s->error, sizeof error);
  if (end.address == s->address) end.address = memcpy(address, s->address, sizeof address);
  release(w, s, end.code == LSI_WIRE_DONE || (end.code == LSI_WIRE_REFUSED && rc == CURLE_OK));
  r->priv = NULL;
  r->end(r->user, &end);
}

static int end_unsent(struct lsi_wire *w) {
  int ended = 0;
  for (uint32_t i = 0; w->unsent && i < w->n; i++) {
    if (!w->slots[i].request || !w->slots[i].unsent) continue;
    tell_end(w, &w->slots[i], CURLE_OK);
    ended++;
  }
  return ended;
}

static int end_done(struct lsi_wire *w) {
  const struct lsi_curl *curl = w->common.curl;
  int ended = 0, left;
  for (const CURLMsg *m; (m = curl->multi_info_read(w->multi, &left));) {
    if (m->msg != CURLMSG_DONE) continue;
    const CURLcode rc = m->data.result;
    CURL *easy = m->easy_handle;
    struct lsi_curl_request *s = NULL;
    curl->easy_getinfo(easy, CURLINFO_PRIVATE, &s);
    curl->multi_remove_handle(w->multi, easy); /* the message is gone with it */
    tell_end(w, s, rc);
    ended++;
  }
  return ended;
}

/* -- the turn -- */

static CURLMcode take_events(struct lsi_wire *w) {
  struct epoll_event events[EVENTS];
  CURLMcode rc = CURLM_OK;
  int running;
  const int n = epoll_wait(w->common.watch.fd, events, EVENTS, 0);
  for (int i = 0; i < n && rc == CURLM_OK; i++) {
    const int fd = events[i].data.fd;
    if (!lsi_curl_watch_wanted(&w->common.watch, fd)) continue;
    /* What is wrong shows when it is read, or written, with its errno; CURL_CSELECT_ERR would have none. */
    const bool wrong = events[i].events & (EPOLLERR | EPOLLHUP);
    const int bits = (wrong || (events[i].events & EPOLLIN) ? CURL_CSELECT_IN : 0) |
                     (wrong || (events[i].events & EPOLLOUT) ? CURL_CSELECT_OUT : 0);
    rc = w->common.curl->multi_socket_action(w->multi, fd, bits, &running);
  }
  return rc == CURLM_BAD_SOCKET ? CURLM_OK : rc;
}

static CURLMcode take_time(struct lsi_wire *w) {
  int running;
  if (w->timer_ns == UINT64_MAX || w->timer_ns > curl_now(w)) return CURLM_OK;
  w->timer_ns = UINT64_MAX; /* it is told anew */
  return w->common.curl->multi_socket_action(w->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

static int broken(struct lsi_wire *w, CURLMcode rc, struct lsi_error *err) {
  return lsi_fail(err, rc == CURLM_OUT_OF_MEMORY ? LSIO_ERR_NOMEM : LSIO_ERR_IO, 0, "libcurl gave up: %s",
                  w->common.curl->multi_strerror(rc));
}

static int curl_run(struct lsi_wire *w, struct lsi_error *err) {
  if (w->running) return 0; /* from `end` */
  w->running = true;
  int ended = 0;
  CURLMcode rc = take_events(w);
  for (int i = 0; i < ROUNDS && rc == CURLM_OK; i++) {
    if ((rc = take_time(w)) != CURLM_OK) break;
    const int n = end_done(w) + end_unsent(w);
    ended += n;
    if (n == 0) break;
  }
  const int os_code = lsi_curl_watch_settle(&w->common.watch);
  w->running = false;
  if (rc != CURLM_OK) return broken(w, rc, err);
  if (os_code) return lsi_fail(err, LSIO_ERR_IO, os_code, "a connection can't be waited for");
  return ended;
}

static int curl_fd(const struct lsi_wire *w) { return w->common.watch.fd; }

static uint64_t curl_next(const struct lsi_wire *w) { return w->unsent ? 0 : w->timer_ns; }

static uint64_t curl_connections(const struct lsi_wire *w) { return w->connections; }

const struct lsi_wire_ops lsi_wire_curl = {
    .version = LSI_WIRE_VERSION,
    .name = "curl",
    .create = curl_create,
    .destroy = curl_destroy,
    .start = curl_start,
    .drop = curl_drop,
    .run = curl_run,
    .fd = curl_fd,
    .next_ns = curl_next,
    .now_ns = curl_now,
    .connections = curl_connections,
};
