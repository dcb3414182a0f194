#include "http/curl_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ground/mem.h"
#include "http/curl_code.h"

#define BUFFER_BYTES (128L << 10) /* with 16 KiB, the default, 1 MiB costs 1.8 times the CPU */
#define IDLE_S 20L                /* servers close what is idle for longer, just when it is used again */
#define LIFE_S 300L               /* so that connections follow the answers of DNS */
#define USED_PROXY ((CURLINFO)(CURLINFO_LONG + 66)) /* CURLINFO_USED_PROXY of 8.7 */

/* -- hooks -- */

static const char *tls_of(const struct lsi_curl_request *s) {
  struct curl_tlssessioninfo *info = NULL;
  if (!s->curl->tls_version) return "";
  if (s->curl->easy_getinfo(s->easy, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK) return "";
  if (!info || info->backend != CURLSSLBACKEND_OPENSSL || !info->internals) return "";
  return s->curl->tls_version(info->internals);
}

static bool stop(struct lsi_curl_request *s, enum lsi_wire_code code) {
  s->stop = code;
  return false;
}

/* Refused: the connection goes, unless nothing more is to come over it. */
static bool told(struct lsi_curl_request *s) {
  struct lsi_wire_head head;
  lsi_head_get(&s->head, &head);
  if (s->secure) s->tls = tls_of(s); /* the connection is here now, and not when all has ended */
  if (s->request->head(s->request->user, &head)) return true;
  s->stop = LSI_WIRE_REFUSED;
  return s->head_only || head.status == 204 || head.status == 304 ||
         (head.content_length && strcmp(head.content_length, "0") == 0);
}

static size_t on_header(char *line, size_t size, size_t n, void *user) {
  struct lsi_curl_request *s = user;
  (void)size; /* always 1 */
  s->answered = true;
  bool on = true;
  switch (lsi_head_line(&s->head, line, n)) {
    case LSI_HEAD_MORE:
      break;
    case LSI_HEAD_WHOLE:
      on = told(s);
      break;
    case LSI_HEAD_GARBLED:
      on = stop(s, LSI_WIRE_GARBLED);
      break;
    case LSI_HEAD_NO_MEMORY:
      on = stop(s, LSI_WIRE_NO_MEMORY);
      break;
  }
  return on ? n : 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *user) {
  struct lsi_curl_request *s = user;
  (void)size; /* likewise */
  if (!s->head.whole) return stop(s, LSI_WIRE_GARBLED);
  if (s->stop != LSI_WIRE_DONE) return 0; /* a body where none could be */
  s->body += n;
  if (s->request->body(s->request->user, data, n)) return n;
  return stop(s, LSI_WIRE_REFUSED);
}

static curl_socket_t on_open(void *user, curlsocktype purpose, struct curl_sockaddr *a) {
  struct lsi_curl_request *s = user;
  struct lsi_curl_common *common = s->common;
  (void)purpose;
  s->connects = true;
  const int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
  const bool known = fd >= 0 && lsi_curl_watch_opened(&common->watch, fd);
  common->no_socket = known ? 0 : fd < 0 ? errno : ENOMEM;
  if (fd >= 0 && !known) close(fd);
  return known ? fd : CURL_SOCKET_BAD;
}

static int on_close(void *user, curl_socket_t fd) {
  lsi_curl_watch_closed(&((struct lsi_curl_common *)user)->watch, fd);
  return close(fd);
}

/* -- options -- */

#define SET(option, value) ((s->set = curl->easy_setopt(s->easy, (option), (value))) == CURLE_OK)

static bool set_trust(struct lsi_curl_request *s, const struct lsi_curl *curl,
                      const struct lsi_wire_config *config) {
  bool ok = true;
  if (config->untrusted) { /* not every libcurl knows proxies over TLS */
    (void)(SET(CURLOPT_PROXY_SSL_VERIFYPEER, 0L) && SET(CURLOPT_PROXY_SSL_VERIFYHOST, 0L));
    ok = SET(CURLOPT_SSL_VERIFYPEER, 0L) && SET(CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (ok && config->ca_file) { /* in the place of the system's: of its folder too */
    (void)(SET(CURLOPT_PROXY_CAINFO, config->ca_file) && SET(CURLOPT_PROXY_CAPATH, NULL));
    ok = SET(CURLOPT_CAINFO, config->ca_file) && SET(CURLOPT_CAPATH, NULL);
  }
  return ok;
}

static bool set_always(struct lsi_curl_request *s, struct lsi_curl_common *common) {
  const struct lsi_curl *curl = common->curl;
  const struct lsi_wire_config *config = &common->config;
  bool ok = SET(CURLOPT_PRIVATE, s) && SET(CURLOPT_ERRORBUFFER, s->error) && SET(CURLOPT_NOSIGNAL, 1L) &&
            SET(CURLOPT_QUICK_EXIT, 1L); /* without it a lookup that hangs holds up drop and destroy */
  ok = ok && SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
       SET(CURLOPT_PROTOCOLS_STR, "http,https") && SET(CURLOPT_FOLLOWLOCATION, 0L) &&
       SET(CURLOPT_PATH_AS_IS, 1L) && SET(CURLOPT_HTTP_CONTENT_DECODING, 0L) &&
       SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) && SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  ok = ok && SET(CURLOPT_BUFFERSIZE, BUFFER_BYTES) && SET(CURLOPT_TCP_NODELAY, 1L) &&
       SET(CURLOPT_TCP_KEEPALIVE, 1L) && SET(CURLOPT_MAXAGE_CONN, IDLE_S) &&
       SET(CURLOPT_MAXLIFETIME_CONN, LIFE_S) && SET(CURLOPT_DNS_SHUFFLE_ADDRESSES, 1L) &&
       SET(CURLOPT_CONNECTTIMEOUT_MS, (long)config->connect_ms) && SET(CURLOPT_SHARE, common->share);
  ok = ok && SET(CURLOPT_OPENSOCKETFUNCTION, on_open) && SET(CURLOPT_OPENSOCKETDATA, s) &&
       SET(CURLOPT_CLOSESOCKETFUNCTION, on_close) && SET(CURLOPT_CLOSESOCKETDATA, common) &&
       SET(CURLOPT_HEADERFUNCTION, on_header) && SET(CURLOPT_HEADERDATA, s) &&
       SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, s);
  if (config->proxy) ok = ok && SET(CURLOPT_PROXY, config->proxy);
  if (config->user_agent) ok = ok && SET(CURLOPT_USERAGENT, config->user_agent);
  return ok && set_trust(s, curl, config);
}

/* libcurl only reads the list, and only while the request is under way. */
static bool set_headers(struct lsi_curl_request *s, const struct lsi_curl *curl, const char *const *headers) {
  uint32_t n = 0;
  while (headers && headers[n]) n++;
  if (n > s->lines_room) {
    struct curl_slist *more = lsi_reallocarray(s->lines, n, sizeof *more);
    if (!more) return false;
    s->lines = more;
    s->lines_room = n;
  }
  for (uint32_t i = 0; i < n; i++)
    s->lines[i] = (struct curl_slist){.data = (char *)(uintptr_t)headers[i], .next = &s->lines[i + 1]};
  if (n) s->lines[n - 1].next = NULL;
  return SET(CURLOPT_HTTPHEADER, n ? s->lines : NULL);
}

static bool set_request(struct lsi_curl_request *s, const struct lsi_curl *curl,
                        const struct lsi_wire_request *r) {
  bool ok = SET(CURLOPT_URL, r->url) && set_headers(s, curl, r->headers);
  const bool head_only = strcmp(r->method, "HEAD") == 0;
  if (head_only != s->head_only)
    ok = ok && (head_only ? SET(CURLOPT_NOBODY, 1L) : SET(CURLOPT_HTTPGET, 1L));
  if (r->fresh != s->fresh) ok = ok && SET(CURLOPT_FRESH_CONNECT, r->fresh ? 1L : 0L);
  s->head_only = head_only;
  s->fresh = r->fresh;
  return ok;
}

bool lsi_curl_request_begin(struct lsi_curl_request *s, struct lsi_curl_common *common,
                            struct lsi_wire_request *r) {
  s->common = common;
  s->curl = common->curl;
  s->request = r;
  s->body = 0;
  s->stop = LSI_WIRE_DONE;
  s->answered = s->unsent = s->connects = false;
  s->secure = strncmp(r->url, "https", 5) == 0;
  s->tls = "";
  s->error[0] = 0;
  lsi_head_start(&s->head);
  bool ok = s->easy != NULL;
  if (!ok) {
    s->easy = s->curl->easy_init();
    s->head_only = s->fresh = false;
    ok = s->easy && set_always(s, common);
  }
  if (ok && set_request(s, s->curl, r)) return true;
  s->unsent = true;
  const bool unknown = s->easy && s->set != CURLE_OK && s->set != CURLE_OUT_OF_MEMORY;
  s->stop = unknown ? LSI_WIRE_FAILED : LSI_WIRE_NO_MEMORY;
  return false;
}

/* -- the end -- */

static long number(const struct lsi_curl_request *s, CURLINFO info, long otherwise) {
  long value;
  return s->curl->easy_getinfo(s->easy, info, &value) == CURLE_OK ? value : otherwise;
}

/* Until it connects, the handle tells of the last request. */
uint32_t lsi_curl_request_connections(const struct lsi_curl_request *s) {
  curl_off_t connected = 0;
  const long made = s->connects ? number(s, CURLINFO_NUM_CONNECTS, 0) : 0;
  if (made <= 0 || s->curl->easy_getinfo(s->easy, CURLINFO_CONNECT_TIME_T, &connected) != CURLE_OK) return 0;
  return connected > 0 ? (uint32_t)made : 0;
}

/* It is nearly always the same as that of the last request. */
static const char *address_of(struct lsi_curl_request *s) {
  const char *ip = NULL;
  if (s->curl->easy_getinfo(s->easy, CURLINFO_PRIMARY_IP, &ip) != CURLE_OK || !ip || !*ip) return "";
  const long port = number(s, CURLINFO_PRIMARY_PORT, 0);
  if (port == s->port && strcmp(ip, s->ip) == 0) return s->address;
  s->port = port;
  snprintf(s->ip, sizeof s->ip, "%s", ip);
  snprintf(s->address, sizeof s->address, strchr(s->ip, ':') ? "[%s]:%ld" : "%s:%ld", s->ip, port);
  return s->address;
}

static const char *text_of(const struct lsi_curl_request *s, CURLcode rc, enum lsi_wire_code code) {
  if (code == LSI_WIRE_DONE || code == LSI_WIRE_REFUSED) return "";
  if (code == LSI_WIRE_NO_MEMORY) return "there is no memory for a request";
  if (s->unsent && s->set == CURLE_OK) return "libcurl takes no more requests";
  if (s->unsent) return s->curl->easy_strerror(s->set);
  if (s->stop == LSI_WIRE_GARBLED) return "what came is no head of a reply";
  if (rc == CURLE_OK) return "the connection was closed within the head";
  if (code == LSI_WIRE_GARBLED && rc == CURLE_OUT_OF_MEMORY) return "a line of the head has no end";
  return s->error[0] && !strstr(s->error, "://") ? s->error : s->curl->easy_strerror(rc);
}

/* libcurl calls it a server that can't be reached, too. */
static int no_socket(const struct lsi_curl_common *common, CURLcode rc) {
  const int n = rc == CURLE_COULDNT_CONNECT ? common->no_socket : 0;
  return n == EMFILE || n == ENFILE || n == ENOMEM || n == ENOBUFS ? n : 0;
}

static enum lsi_wire_code code_of(const struct lsi_curl_request *s, CURLcode rc) {
  if (s->stop == LSI_WIRE_REFUSED && s->head.whole) return LSI_WIRE_REFUSED;
  if (s->stop != LSI_WIRE_DONE) return s->stop;
  if (rc == CURLE_OK && s->head.whole) return LSI_WIRE_DONE;
  const int without = no_socket(s->common, rc);
  if (without) return without == EMFILE || without == ENFILE ? LSI_WIRE_FAILED : LSI_WIRE_NO_MEMORY;
  curl_off_t first = 0;
  s->curl->easy_getinfo(s->easy, CURLINFO_STARTTRANSFER_TIME_T, &first);
  return lsi_curl_code(&(struct lsi_curl_ended){
      .rc = rc,
      .head = s->head.whole,
      .answered = s->answered || first > 0,
      .may_proxy = !s->common->config.proxy || *s->common->config.proxy,
      .connect_status = number(s, CURLINFO_HTTP_CONNECTCODE, 0),
      .used_proxy = number(s, USED_PROXY, -1),
      .url = s->request->url,
      .text = s->error,
  });
}

uint32_t lsi_curl_request_ended(struct lsi_curl_request *s, CURLcode rc, struct lsi_wire_end *end) {
  if (s->unsent) {
    *end = (struct lsi_wire_end){.code = s->stop, .text = text_of(s, rc, s->stop), .address = "", .tls = ""};
    return 0;
  }
  const enum lsi_wire_code code = code_of(s, rc);
  const uint32_t connections = lsi_curl_request_connections(s);
  curl_off_t received = 0;
  s->curl->easy_getinfo(s->easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
  *end = (struct lsi_wire_end){
      .code = code,
      .body = s->body,
      .wire = s->head.bytes + LSI_MAX((uint64_t)received, s->body),
      .text = text_of(s, rc, code),
      .address = address_of(s),
      .tls = s->tls,
  };
  if (s->stop == LSI_WIRE_DONE && code != LSI_WIRE_GARBLED && lsi_curl_has_errno(rc)) {
    const int without = no_socket(s->common, rc);
    end->os_code = without ? without : (int)number(s, CURLINFO_OS_ERRNO, 0);
    if (without && code == LSI_WIRE_FAILED) end->text = "there is no descriptor left for a connection";
  }
  end->reused = *end->address && number(s, CURLINFO_NUM_CONNECTS, 1) == 0;
  return connections;
}

void lsi_curl_request_forget(struct lsi_curl_request *s) {
  if (s->easy) s->curl->easy_cleanup(s->easy);
  s->easy = NULL;
}

void lsi_curl_request_free(struct lsi_curl_request *s) {
  lsi_curl_request_forget(s);
  lsi_head_free(&s->head);
  lsi_free(s->lines);
}
