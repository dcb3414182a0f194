/* The transport over libcurl: one multi handle, whose sockets lie in an epoll descriptor. Requests are never
 * queued in libcurl, which takes longer the more there are: there are as many easy handles as may be under
 * way. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "ground/mem.h"
#include "http/curl_library.h"
#include "http/http_wire.h"
#include "http/wire_head.h"
#include "seams/os.h"

#define BUFFER_BYTES 131072L /* 0.19 CPU s/GB at 1 MiB a request; 0.34 with 16 KiB */
#define IDLE_S 20L           /* servers close idle connections, as a rule later than that */
#define LIFE_S 300L          /* so that addresses that a name has newly got are used */
#define EVENTS 64

struct slot {
  CURL *easy;
  struct lsi_wire *wire;
  struct lsi_wire_request *request;
  struct curl_slist *headers;
  struct lsi_wire_head_text head;
  uint64_t body;
  bool refused, garbled;
  CURLcode result;
  struct slot *next; /* unused, or ended */
  char error[CURL_ERROR_SIZE];
};

struct lsi_wire {
  const struct lsi_curl *curl;
  CURLM *multi;
  CURLSH *share;
  int epoll;
  uint64_t due_ns; /* of libcurl's timer */
  uint64_t connections;
  struct lsi_wire_config config;
  char *ca_file, *proxy, *user_agent;
  struct slot *slots, *unused, *ended;
};

/* ---- what libcurl calls ---- */

static size_t on_header(char *line, size_t size, size_t n, void *user) {
  struct slot *s = user;
  switch (lsi_wire_head_line(&s->head, line, size * n)) {
  case LSI_WIRE_MORE: return size * n;
  case LSI_WIRE_BAD: s->garbled = true; return 0;
  default: break;
  }
  s->refused = !s->request->head(s->request->user, &s->head.head);
  return s->refused ? 0 : size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *user) {
  struct slot *s = user;
  s->body += size * n;
  s->refused = !s->request->body(s->request->user, data, size * n);
  return s->refused ? 0 : size * n;
}

/* Closed sockets leave the epoll descriptor by themselves. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known) {
  (void)easy;
  struct lsi_wire *w = user;
  if (what == CURL_POLL_REMOVE) {
    epoll_ctl(w->epoll, EPOLL_CTL_DEL, fd, NULL);
    return 0;
  }
  struct epoll_event e = {
      .events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u), .data.fd = fd};
  if (epoll_ctl(w->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e) < 0 && errno == EEXIST)
    epoll_ctl(w->epoll, EPOLL_CTL_MOD, fd, &e);
  w->curl->curl_multi_assign(w->multi, fd, w);
  return 0;
}

static int on_timer(CURLM *multi, long ms, void *user) {
  (void)multi;
  struct lsi_wire *w = user;
  w->due_ns = ms < 0 ? UINT64_MAX : lsi_os_now_ns() + (uint64_t)ms * 1000000u;
  return 0;
}

/* ---- making ---- */

static bool set_easy(struct lsi_wire *w, struct slot *s) {
  const struct lsi_curl *c = w->curl;
  CURL *e = s->easy;
  const CURLcode codes[] = {
      c->curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L),
      c->curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https"),
      c->curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1),
      c->curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L),
      c->curl_easy_setopt(e, CURLOPT_BUFFERSIZE, BUFFER_BYTES),
      c->curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L),
      c->curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, IDLE_S),
      c->curl_easy_setopt(e, CURLOPT_MAXLIFETIME_CONN, LIFE_S),
      c->curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)w->config.connect_ms),
      c->curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L),
      c->curl_easy_setopt(e, CURLOPT_SHARE, w->share),
      c->curl_easy_setopt(e, CURLOPT_ERRORBUFFER, s->error),
      c->curl_easy_setopt(e, CURLOPT_PRIVATE, s),
      c->curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header),
      c->curl_easy_setopt(e, CURLOPT_HEADERDATA, s),
      c->curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body),
      c->curl_easy_setopt(e, CURLOPT_WRITEDATA, s),
      c->curl_easy_setopt(e, CURLOPT_USERAGENT, w->user_agent),
      w->proxy ? c->curl_easy_setopt(e, CURLOPT_PROXY, w->proxy) : CURLE_OK,
      w->ca_file ? c->curl_easy_setopt(e, CURLOPT_CAINFO, w->ca_file) : CURLE_OK,
      c->curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, w->config.untrusted ? 0L : 1L),
      c->curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, w->config.untrusted ? 0L : 2L),
  };
#if LIBCURL_VERSION_NUM >= 0x075700 /* a name that is still looked up is not waited for; older ones do */
  c->curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
#endif
  for (size_t i = 0; i < LSI_COUNTOF(codes); i++)
    if (codes[i] != CURLE_OK) return false;
  return true;
}

static bool set_multi(struct lsi_wire *w) {
  const struct lsi_curl *c = w->curl;
  return w->multi && w->share &&
         c->curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
         c->curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w) == CURLM_OK &&
         c->curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
         c->curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w) == CURLM_OK &&
         c->curl_multi_setopt(w->multi, CURLMOPT_MAXCONNECTS, (long)w->config.requests * 2) == CURLM_OK &&
         c->curl_multi_setopt(w->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK &&
         c->curl_share_setopt(w->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK;
}

static bool copy(char **to, const char *from) {
  *to = from ? lsi_strndup(from, strlen(from)) : NULL;
  return *to || !from;
}

static void curl_destroy(struct lsi_wire *w) {
  const struct lsi_curl *c = w->curl;
  for (uint32_t i = 0; w->slots && i < w->config.requests; i++) {
    struct slot *s = &w->slots[i];
    if (s->request) c->curl_multi_remove_handle(w->multi, s->easy);
    if (s->easy) c->curl_easy_cleanup(s->easy);
    c->curl_slist_free_all(s->headers);
  }
  if (w->multi) c->curl_multi_cleanup(w->multi);
  if (w->share) c->curl_share_cleanup(w->share);
  if (w->epoll >= 0) close(w->epoll);
  lsi_free(w->slots);
  lsi_free(w->ca_file);
  lsi_free(w->proxy);
  lsi_free(w->user_agent);
  lsi_free(w);
}

static int curl_create(const struct lsi_wire_config *config, struct lsi_wire **out, struct lsi_error *err) {
  const struct lsi_curl *c = lsi_curl_library(err);
  if (!c) return LSIO_ERR_UNSUPPORTED;
  struct lsi_wire *w = lsi_calloc(1, sizeof *w);
  if (!w) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for connections");
  w->curl = c;
  w->config = *config;
  w->due_ns = UINT64_MAX;
  w->epoll = epoll_create1(EPOLL_CLOEXEC);
  const int code = w->epoll < 0 ? errno : 0;
  w->slots = lsi_calloc(config->requests, sizeof *w->slots);
  w->multi = c->curl_multi_init();
  w->share = c->curl_share_init();
  const bool made = w->slots && copy(&w->ca_file, config->ca_file) && copy(&w->proxy, config->proxy) &&
                    copy(&w->user_agent, config->user_agent) && set_multi(w);
  if (code || !made) {
    curl_destroy(w);
    return lsi_fail(err, code ? LSIO_ERR_IO : LSIO_ERR_NOMEM, code, "connections can't be made");
  }
  for (uint32_t i = config->requests; i > 0; i--) {
    w->slots[i - 1].wire = w;
    w->slots[i - 1].next = w->unused;
    w->unused = &w->slots[i - 1];
  }
  *out = w;
  return 0;
}

/* ---- requests ---- */

static bool set_request(struct lsi_wire *w, struct slot *s, const struct lsi_wire_request *r) {
  const struct lsi_curl *c = w->curl;
  const bool head = strcmp(r->method, "HEAD") == 0;
  if (!s->easy) {
    s->easy = c->curl_easy_init();
    if (!s->easy || !set_easy(w, s)) return false;
  }
  for (const char *const *h = r->headers; h && *h; h++) {
    struct curl_slist *more = c->curl_slist_append(s->headers, *h);
    if (!more) return false;
    s->headers = more;
  }
  return c->curl_easy_setopt(s->easy, CURLOPT_URL, r->url) == CURLE_OK &&
         c->curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers) == CURLE_OK &&
         (head ? c->curl_easy_setopt(s->easy, CURLOPT_NOBODY, 1L)
               : c->curl_easy_setopt(s->easy, CURLOPT_HTTPGET, 1L)) == CURLE_OK &&
         c->curl_easy_setopt(s->easy, CURLOPT_FRESH_CONNECT, r->fresh ? 1L : 0L) == CURLE_OK;
}

static void free_slot(struct lsi_wire *w, struct slot *s) {
  w->curl->curl_slist_free_all(s->headers);
  s->headers = NULL;
  s->request = NULL;
  s->next = w->unused;
  w->unused = s;
}

static void put_ended(struct lsi_wire *w, struct slot *s, CURLcode result) {
  s->result = result;
  s->next = w->ended;
  w->ended = s;
}

static bool curl_start(struct lsi_wire *w, struct lsi_wire_request *r) {
  struct slot *s = w->unused;
  if (!s) return false;
  w->unused = s->next;
  s->request = r;
  r->priv = s;
  s->body = 0;
  s->refused = s->garbled = false;
  s->error[0] = 0;
  lsi_wire_head_begin(&s->head);
  if (!set_request(w, s, r) || w->curl->curl_multi_add_handle(w->multi, s->easy) != CURLM_OK) {
    put_ended(w, s, CURLE_OUT_OF_MEMORY);
    w->due_ns = 0;
  }
  return true;
}

static void curl_drop(struct lsi_wire *w, struct lsi_wire_request *r) {
  struct slot *s = r->priv;
  for (struct slot **at = &w->ended; *at; at = &(*at)->next) {
    if (*at != s) continue;
    *at = s->next;
    free_slot(w, s);
    return;
  }
  w->curl->curl_multi_remove_handle(w->multi, s->easy);
  free_slot(w, s);
}

/* ---- ends ---- */

static enum lsi_wire_code code_of(const struct lsi_wire *w, const struct slot *s) {
  long proxy = 0;
  if (s->result == CURLE_OK) return s->head.told ? LSI_WIRE_DONE : LSI_WIRE_CLOSED;
  if (s->garbled) return LSI_WIRE_GARBLED;
  if (s->refused) return LSI_WIRE_REFUSED;
  if (s->easy) w->curl->curl_easy_getinfo(s->easy, CURLINFO_HTTP_CONNECTCODE, &proxy);
  if (proxy && (proxy < 200 || proxy > 299)) return LSI_WIRE_PROXY;
  switch (s->result) {
  case CURLE_COULDNT_RESOLVE_HOST: return LSI_WIRE_NO_NAME;
  case CURLE_COULDNT_RESOLVE_PROXY:
  case CURLE_PROXY: return LSI_WIRE_PROXY;
  case CURLE_COULDNT_CONNECT: return LSI_WIRE_NO_HOST;
  case CURLE_OPERATION_TIMEDOUT: return LSI_WIRE_LATE;
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CACERT_BADFILE: return LSI_WIRE_UNTRUSTED;
  case CURLE_SSL_CONNECT_ERROR: return LSI_WIRE_NO_TLS;
  case CURLE_GOT_NOTHING: return LSI_WIRE_CLOSED;
  case CURLE_RECV_ERROR:
  case CURLE_SEND_ERROR: return s->head.told ? LSI_WIRE_BROKEN : LSI_WIRE_CLOSED;
  case CURLE_PARTIAL_FILE: return LSI_WIRE_BROKEN;
  case CURLE_UNSUPPORTED_PROTOCOL:
  case CURLE_WEIRD_SERVER_REPLY: return LSI_WIRE_GARBLED;
  /* A head beyond 100 KiB, too, is out of memory to libcurl. */
  case CURLE_OUT_OF_MEMORY: return s->head.seen ? LSI_WIRE_GARBLED : LSI_WIRE_NO_MEMORY;
  default: return LSI_WIRE_FAILED;
  }
}

static void tell_end(struct lsi_wire *w, struct slot *s) {
  const struct lsi_curl *c = w->curl;
  struct lsi_wire_request *r = s->request;
  long made = 0, port = 0, os = 0;
  curl_off_t body = 0;
  long heads = 0;
  const char *ip = "";
  char address[80] = "", text[CURL_ERROR_SIZE];
  if (s->easy) {
    c->curl_easy_getinfo(s->easy, CURLINFO_NUM_CONNECTS, &made);
    c->curl_easy_getinfo(s->easy, CURLINFO_PRIMARY_PORT, &port);
    c->curl_easy_getinfo(s->easy, CURLINFO_OS_ERRNO, &os);
    c->curl_easy_getinfo(s->easy, CURLINFO_SIZE_DOWNLOAD_T, &body);
    c->curl_easy_getinfo(s->easy, CURLINFO_HEADER_SIZE, &heads);
    c->curl_easy_getinfo(s->easy, CURLINFO_PRIMARY_IP, &ip);
  }
  w->connections += (uint64_t)LSI_MAX(made, 0L);
  if (ip && *ip) snprintf(address, sizeof address, strchr(ip, ':') ? "[%s]:%ld" : "%s:%ld", ip, port);
  const struct lsi_wire_end end = {.code = code_of(w, s),
                                   .body = s->body,
                                   .reused = made == 0,
                                   .os_code = s->result == CURLE_OK ? 0 : (int)os,
                                   .wire =
                                       (uint64_t)LSI_MAX(body, (curl_off_t)0) + (uint64_t)LSI_MAX(heads, 0L),
                                   .text = text,
                                   .address = address,
                                   .tls = ""};
  const bool silent = end.code == LSI_WIRE_DONE || end.code == LSI_WIRE_REFUSED;
  snprintf(text, sizeof text, "%s", silent ? "" : *s->error ? s->error : c->curl_easy_strerror(s->result));
  free_slot(w, s);
  r->end(r->user, &end);
}

/* ---- turns ---- */

static int act(struct lsi_wire *w, struct lsi_error *err) {
  struct epoll_event events[EVENTS];
  int running, n;
  CURLMcode rc = CURLM_OK;
  if (w->due_ns != UINT64_MAX && lsi_os_now_ns() >= w->due_ns) {
    w->due_ns = UINT64_MAX;
    rc = w->curl->curl_multi_socket_action(w->multi, CURL_SOCKET_TIMEOUT, 0, &running);
  }
  do {
    n = epoll_wait(w->epoll, events, EVENTS, 0);
    for (int i = 0; rc == CURLM_OK && i < n; i++) {
      const uint32_t e = events[i].events;
      const int what = (e & EPOLLIN ? CURL_CSELECT_IN : 0) | (e & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                       (e & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
      rc = w->curl->curl_multi_socket_action(w->multi, events[i].data.fd, what, &running);
    }
  } while (rc == CURLM_OK && n == EVENTS);
  if (rc == CURLM_OK) return 0;
  return lsi_fail(err, rc == CURLM_OUT_OF_MEMORY ? LSIO_ERR_NOMEM : LSIO_ERR_BUG, 0,
                  "libcurl has failed (%d)", (int)rc);
}

static int curl_run(struct lsi_wire *w, struct lsi_error *err) {
  const int rc = act(w, err);
  int left, n = 0;
  if (rc < 0) return rc;
  for (CURLMsg *m; (m = w->curl->curl_multi_info_read(w->multi, &left));) {
    struct slot *s = NULL;
    const CURLcode result = m->data.result; /* the message goes with its handle */
    CURL *easy = m->easy_handle;
    if (m->msg != CURLMSG_DONE) continue;
    w->curl->curl_easy_getinfo(easy, CURLINFO_PRIVATE, &s);
    w->curl->curl_multi_remove_handle(w->multi, easy);
    put_ended(w, s, result);
  }
  for (; w->ended; n++) {
    struct slot *s = w->ended;
    w->ended = s->next;
    tell_end(w, s);
  }
  return n;
}

static int curl_fd(const struct lsi_wire *w) {
  return w->epoll;
}
static uint64_t curl_next_ns(const struct lsi_wire *w) {
  return w->ended ? 0 : w->due_ns;
}
static uint64_t curl_connections(const struct lsi_wire *w) {
  return w->connections;
}

static uint64_t curl_now_ns(const struct lsi_wire *w) {
  (void)w;
  return lsi_os_now_ns();
}

const struct lsi_wire_ops lsi_wire_curl = {
    .version = LSI_WIRE_VERSION,
    .name = "curl",
    .create = curl_create,
    .destroy = curl_destroy,
    .start = curl_start,
    .drop = curl_drop,
    .run = curl_run,
    .fd = curl_fd,
    .next_ns = curl_next_ns,
    .now_ns = curl_now_ns,
    .connections = curl_connections,
};
