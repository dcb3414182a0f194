#include "tiny_http.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 4096

/* What is done once the text is out. */
enum then { KEEP, CLOSE, RESET, HOLD, FLOOD_LINE, FLOOD_HEAD, FLOOD_BODY };

static const struct answer {
  const char *path, *text;
  enum then then;
} answers[] = {
    {"/silent", "", HOLD},
    {"/close", "", CLOSE},
    {"/reset", "", RESET},
    {"/half-head", "HTTP/1.1 200 OK\r\nContent-Le", CLOSE},
    {"/head-no-end", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", CLOSE},
    {"/only-early", "HTTP/1.1 103 Early Hints\r\nEtag: \"early\"\r\n\r\n", CLOSE},
    {"/short", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789", CLOSE},
    {"/short-chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n", CLOSE},
    {"/bad-chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nxyz\r\n", CLOSE},
    {"/short-reset", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789", RESET},
    {"/stall", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789", HOLD},
    {"/delimited", "HTTP/1.1 200 OK\r\n\r\n0123456789", CLOSE},
    {"/trailers",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"head\"\r\n\r\n"
     "a\r\n0123456789\r\n0\r\nETag: \"trailer\"\r\nHTTP/1.1: 500\r\n\r\n",
     KEEP},
    {"/early",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nETag: \"early\"\r\nContent-Length: 7\r\n\r\n"
     "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate",
     KEEP},
    {"/garbage", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n\r\n", CLOSE},
    {"/bad-status", "HTTP/1.1 2x6 OK\r\nContent-Length: 0\r\n\r\n", CLOSE},
    {"/bad-length", "HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n0123456789", CLOSE},
    {"/no-colon", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nno header\r\n\r\nbody", KEEP},
    {"/nul", "HTTP/1.1 200 OK\r\nETag: \"a%b\"\r\nContent-Length: 4\r\n\r\nnull", KEEP}, /* % becomes a NUL */
    {"/repeated", "HTTP/1.1 200 OK\r\nContent-Range: a\r\nContent-Length: 4\r\nContent-Range: b\r\n\r\nfour", KEEP},
    {"/busy", "HTTP/1.1 503 Slow Down\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", KEEP},
    {"/busy-body", "HTTP/1.1 503 Slow Down\r\nContent-Length: 9\r\n\r\nslow down", KEEP},
    {"/moved", "HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:1/else\r\nContent-Length: 0\r\n\r\n", KEEP},
    {"/zipped", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x01", KEEP},
    {"/line-no-end", "HTTP/1.1 200 OK\r\nETag: ", FLOOD_LINE},
    {"/many-lines", "HTTP/1.1 200 OK\r\n", FLOOD_HEAD},
    {"/many-heads", "", FLOOD_HEAD},
    {"/endless", "HTTP/1.1 200 OK\r\nETag: \"endless\"\r\n\r\n", FLOOD_BODY},
};

struct tiny_http {
  int fd, port;
  pthread_t thread;
  pthread_mutex_t lock;
  atomic_uint n;
  struct connection {
    struct tiny_http *server;
    pthread_t thread;
    int fd; /* -1: closed */
  } connections[CONNECTIONS];
};

static bool put(int fd, const void *bytes, size_t n) {
  while (n) {
    const ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes = (const char *)bytes + sent;
    n -= (size_t)sent;
  }
  return true;
}

static bool flood(int fd, const char *text) {
  char many[16384];
  const size_t length = strlen(text), times = sizeof many / length;
  for (size_t i = 0; i < times; i++) memcpy(many + i * length, text, length);
  while (put(fd, many, times * length));
  return false;
}

static bool put_object(int fd, const char *request, bool head_only) {
  unsigned long long from = 0, to = TINY_HTTP_OBJECT - 1;
  const char *range = strstr(request, "\r\nRange: bytes=");
  if (range) sscanf(range + 15, "%llu-%llu", &from, &to);
  char head[512];
  int n = snprintf(head, sizeof head,
                   "HTTP/1.1 %s\r\nServer: tiny\r\nDate: Tue, 01 Dec 2026 12:00:00 GMT\r\n"
                   "Content-Type: application/octet-stream\r\nLast-Modified: Mon, 30 Nov 2026 12:00:00 GMT\r\n"
                   "eTaG:\t" TINY_HTTP_ETAG " \r\nAccept-Ranges: bytes\r\nx-amz-request-id: 4711\r\n"
                   "Content-Length: %llu\r\n",
                   range ? "206 Partial Content" : "200 OK", to - from + 1);
  if (range)
    n += snprintf(head + n, sizeof head - (size_t)n, "Content-Range: bytes %llu-%llu/%u\r\n", from, to, TINY_HTTP_OBJECT);
  n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
  if (!put(fd, head, (size_t)n)) return false;
  uint8_t bytes[65536];
  while (!head_only && from <= to) {
    size_t k = 0;
    for (; k < sizeof bytes && from <= to; k++) bytes[k] = tiny_http_byte(from++);
    if (!put(fd, bytes, k)) return false;
  }
  return true;
}

static bool put_answer(int fd, const struct answer *a) {
  char text[512];
  const size_t n = strlen(a->text);
  memcpy(text, a->text, n + 1);
  for (char *c = text; strcmp(a->path, "/nul") == 0 && *c; c++) *c = *c == '%' ? 0 : *c;
  if (n && !put(fd, text, n)) return false;
  const struct linger hard = {1, 0};
  char byte;
  switch (a->then) {
    case KEEP:
      return true;
    case HOLD:
      recv(fd, &byte, 1, 0);
      return false;
    case RESET:
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
      return false;
    case FLOOD_LINE:
      return flood(fd, "xxxxxxxx");
    case FLOOD_HEAD:
      return flood(fd, n ? "X-Filler: xxxxxxxxxxxxxxxx\r\n" : "HTTP/1.1 102 Processing\r\n\r\n");
    case FLOOD_BODY:
      return flood(fd, "xxxxxxxx");
    default:
      return false;
  }
}

/* False: the connection is to be closed. */
static bool answer(int fd, const char *request) {
  char method[16], path[64];
  if (sscanf(request, "%15s %63s", method, path) != 2) return false;
  if (strcmp(method, "CONNECT") == 0) {
    static const char no[] = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    return put(fd, no, sizeof no - 1);
  }
  if (strncmp(path, "/object", 7) == 0) return put_object(fd, request, strcmp(method, "HEAD") == 0);
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
    if (strcmp(path, answers[i].path) == 0) return put_answer(fd, &answers[i]);
  static const char none[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
  return put(fd, none, sizeof none - 1);
}

static void *serve(void *arg) {
  struct connection *c = arg;
  char request[8192];
  size_t n = 0;
  for (bool on = true; on;) {
    const ssize_t got = recv(c->fd, request + n, sizeof request - 1 - n, 0);
    if (got <= 0) break;
    n += (size_t)got;
    request[n] = 0;
    if (request[0] == 0x16) break; /* TLS */
    if (!strstr(request, "\r\n\r\n")) continue;
    n = 0; /* nobody sends two at once */
    on = answer(c->fd, request);
  }
  pthread_mutex_lock(&c->server->lock);
  close(c->fd);
  c->fd = -1;
  pthread_mutex_unlock(&c->server->lock);
  return NULL;
}

static void *accept_all(void *arg) {
  struct tiny_http *s = arg;
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 256 << 10);
  for (int fd; (fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const unsigned i = atomic_load(&s->n);
    if (i == CONNECTIONS) abort();
    s->connections[i].server = s;
    s->connections[i].fd = fd;
    if (pthread_create(&s->connections[i].thread, &attr, serve, &s->connections[i])) abort();
    atomic_store(&s->n, i + 1);
  }
  pthread_attr_destroy(&attr);
  return NULL;
}

struct tiny_http *tiny_http_start(void) {
  struct tiny_http *s = calloc(1, sizeof *s);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof a;
  if (!s) abort();
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  pthread_mutex_init(&s->lock, NULL);
  if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&a, sizeof a) || listen(s->fd, 1024) ||
      getsockname(s->fd, (struct sockaddr *)&a, &length) || pthread_create(&s->thread, NULL, accept_all, s)) {
    perror("tiny_http");
    abort();
  }
  s->port = ntohs(a.sin_port);
  return s;
}

int tiny_http_port(const struct tiny_http *s) { return s->port; }

unsigned tiny_http_accepted(const struct tiny_http *s) { return atomic_load(&s->n); }

void tiny_http_stop(struct tiny_http *s) {
  shutdown(s->fd, SHUT_RDWR); /* accept returns */
  pthread_join(s->thread, NULL);
  pthread_mutex_lock(&s->lock);
  for (unsigned i = 0; i < s->n; i++)
    if (s->connections[i].fd >= 0) shutdown(s->connections[i].fd, SHUT_RDWR);
  pthread_mutex_unlock(&s->lock);
  for (unsigned i = 0; i < s->n; i++) pthread_join(s->connections[i].thread, NULL);
  close(s->fd);
  pthread_mutex_destroy(&s->lock);
  free(s);
}
