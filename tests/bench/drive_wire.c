/* What the transport over libcurl costs beside a bare loop over the same libcurl: CPU of the client's thread,
 * over loopback, both in turns in one run.
 *
 *     drive_wire [SECONDS of a turn, 0.5] [TURNS, 7]
 *
 * The server is a process of its own with a thread a connection. Bare: one epoll descriptor, socket_action, one
 * easy handle a connection, a hook that looks for Content-Range, the body copied to where it belongs. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "http/curl_library.h"
#include "http/http_wire.h"

#define OBJECT (64u << 20)
#define CONNECTIONS_MAX 256
#define BAR 1.10

static void die(const char *what) {
  perror(what);
  exit(1);
}

static double clock_of(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set); /* on one CPU alone it changes nothing */
}

/* -- the server -- */

static char *object;

static void put(int fd, const char *bytes, size_t n, int more) {
  for (ssize_t sent; n && (sent = send(fd, bytes, n, MSG_NOSIGNAL | more)) > 0; n -= (size_t)sent) bytes += sent;
}

static void *serve(void *arg) {
  const int fd = (int)(intptr_t)arg, one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  char request[4096], head[512];
  for (ssize_t n; (n = recv(fd, request, sizeof request - 1, 0)) > 0;) {
    unsigned long from = 0, to = OBJECT - 1;
    request[n] = 0;
    const char *range = strstr(request, "Range: bytes=");
    if (range) sscanf(range + 13, "%lu-%lu", &from, &to);
    n = snprintf(head, sizeof head,
                 "HTTP/1.1 206 Partial Content\r\nServer: bench\r\nDate: Tue, 01 Dec 2026 12:00:00 GMT\r\n"
                 "Content-Type: application/octet-stream\r\nLast-Modified: Mon, 30 Nov 2026 12:00:00 GMT\r\n"
                 "ETag: \"0123456789abcdef\"\r\nAccept-Ranges: bytes\r\nContent-Length: %lu\r\n"
                 "Content-Range: bytes %lu-%lu/%u\r\n\r\n", to - from + 1, from, to, OBJECT);
    put(fd, head, (size_t)n, MSG_MORE);
    put(fd, object + from, to - from + 1, 0);
  }
  close(fd);
  return NULL;
}

static pid_t start_server(int *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof a;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 1024) ||
      getsockname(fd, (struct sockaddr *)&a, &length))
    die("a socket");
  *port = ntohs(a.sin_port);
  const pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid) {
    close(fd);
    return pid;
  }
  pin(1);
  object = malloc(OBJECT);
  if (!object) die("malloc");
  memset(object, 'x', OBJECT);
  for (int c; (c = accept(fd, NULL, NULL)) >= 0;) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)c)) die("a thread");
    pthread_detach(thread);
  }
  _exit(1);
}

/* -- what both do -- */

static struct load {
  uint32_t connections;
  size_t size;
  double seconds;
  char url[64];
  uint64_t seed, done, wrong;
  double until;
  char *room; /* where bodies belong: one place a connection */
} load;

struct one {
  uint32_t index;
  uint64_t got;
  bool ranged;
  char header[64], expected[48];
  const char *headers[4];
  struct curl_slist list[3];
  struct lsi_wire_request request;
  CURL *easy;
};
static struct one ones[CONNECTIONS_MAX];

static void next_range(struct one *o) {
  load.seed = load.seed * 6364136223846793005u + 1442695040888963407u;
  const unsigned long from = (load.seed >> 33) % (OBJECT - load.size);
  snprintf(o->header, sizeof o->header, "Range: bytes=%lu-%lu", from, from + load.size - 1);
  snprintf(o->expected, sizeof o->expected, "bytes %lu-%lu/%u", from, from + load.size - 1, OBJECT);
  o->got = 0;
  o->ranged = false;
}

static const char more_headers[] = "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261201/us-east-1/s3/"
                                   "aws4_request, SignedHeaders=host;range;x-amz-date, Signature="
                                   "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";

static bool copy_body(struct one *o, const void *data, size_t n) {
  if (o->got + n > load.size) return false;
  memcpy(load.room + o->index * load.size + o->got, data, n);
  o->got += n;
  return true;
}

static bool count_one(struct one *o) {
  load.done++;
  load.wrong += o->got != load.size || !o->ranged;
  return load.done % 16 || clock_of(CLOCK_MONOTONIC) < load.until;
}

/* -- by the transport -- */

static const struct lsi_wire_ops *const ops = &lsi_wire_curl;
static struct lsi_wire *wire;
static uint32_t under_way;
static bool over;

static bool wire_head(void *user, const struct lsi_wire_head *h) {
  struct one *o = user;
  o->ranged = h->status == 206 && h->content_range && strcmp(h->content_range, o->expected) == 0;
  return o->ranged;
}

static bool wire_body(void *user, const void *data, size_t n) { return copy_body(user, data, n); }

static void wire_end(void *user, const struct lsi_wire_end *end) {
  struct one *o = user;
  load.wrong += end->code != LSI_WIRE_DONE;
  under_way--;
  over |= !count_one(o);
  if (over) return;
  next_range(o);
  under_way += ops->start(wire, &o->request);
}

static void by_wire(void) {
  struct lsi_error err = {0};
  const struct lsi_wire_config config = {.requests = load.connections, .connect_ms = 3100, .proxy = "", .user_agent = "b"};
  if (ops->create(&config, &wire, &err) < 0) {
    fprintf(stderr, "%s\n", err.what);
    exit(1);
  }
  over = false;
  for (uint32_t i = 0; i < load.connections; i++) {
    struct one *o = &ones[i];
    next_range(o);
    o->headers[0] = o->header;
    o->headers[1] = more_headers;
    o->headers[2] = NULL;
    o->request = (struct lsi_wire_request){.method = "GET", .url = load.url, .headers = o->headers, .head = wire_head,
                                           .body = wire_body, .end = wire_end, .user = o};
    under_way += ops->start(wire, &o->request);
  }
  const int outer = epoll_create1(EPOLL_CLOEXEC); /* a worker waits for it beside other things */
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(outer, EPOLL_CTL_ADD, ops->fd(wire), &event);
  while (under_way) {
    const uint64_t next = ops->next_ns(wire), now = next == UINT64_MAX ? 0 : ops->now_ns(wire);
    epoll_wait(outer, &event, 1, next == UINT64_MAX ? 1000 : next > now ? (int)((next - now) / 1000000 + 1) : 0);
    if (ops->run(wire, &err) < 0) exit(1);
  }
  close(outer);
  ops->destroy(wire);
}

/* -- by hand -- */

static const struct lsi_curl *curl;
static CURLM *multi;
static int epoll_fd;
static double timer;

static int bare_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known) {
  (void)easy, (void)user;
  struct epoll_event event = {.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u),
                              .data.fd = fd};
  if (what == CURL_POLL_REMOVE)
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &event);
  else if (epoll_ctl(epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) && errno == EEXIST)
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event);
  return 0;
}

static int bare_timer(CURLM *m, long ms, void *user) {
  (void)m, (void)user;
  timer = ms < 0 ? -1 : clock_of(CLOCK_MONOTONIC) + 1e-3 * (double)ms;
  return 0;
}

static size_t bare_header(char *line, size_t size, size_t n, void *user) {
  struct one *o = user;
  (void)size;
  if (n > 15 && strncasecmp(line, "content-range: ", 15) == 0)
    o->ranged = strncmp(line + 15, o->expected, strlen(o->expected)) == 0;
  return n;
}

static size_t bare_body(char *data, size_t size, size_t n, void *user) {
  (void)size;
  return copy_body(user, data, n) ? n : 0;
}

static void bare_start(struct one *o) {
  next_range(o);
  o->list[0] = (struct curl_slist){o->header, &o->list[1]};
  o->list[1] = (struct curl_slist){(char *)(uintptr_t)more_headers, NULL};
  curl->easy_setopt(o->easy, CURLOPT_URL, load.url);
  curl->easy_setopt(o->easy, CURLOPT_HTTPHEADER, o->list);
  curl->multi_add_handle(multi, o->easy);
  under_way++;
}

static void bare_take(void) {
  int left;
  for (CURLMsg *m; (m = curl->multi_info_read(multi, &left));) {
    struct one *o;
    load.wrong += m->data.result != CURLE_OK;
    curl->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &o);
    curl->multi_remove_handle(multi, o->easy);
    under_way--;
    over |= !count_one(o);
    if (!over) bare_start(o);
  }
}

static void bare_open(struct one *o) {
  o->easy = curl->easy_init();
  curl->easy_setopt(o->easy, CURLOPT_PRIVATE, o);
  curl->easy_setopt(o->easy, CURLOPT_NOSIGNAL, 1L);
  curl->easy_setopt(o->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  curl->easy_setopt(o->easy, CURLOPT_BUFFERSIZE, 128L << 10);
  curl->easy_setopt(o->easy, CURLOPT_PROXY, "");
  curl->easy_setopt(o->easy, CURLOPT_USERAGENT, "b");
  curl->easy_setopt(o->easy, CURLOPT_HEADERFUNCTION, bare_header);
  curl->easy_setopt(o->easy, CURLOPT_HEADERDATA, o);
  curl->easy_setopt(o->easy, CURLOPT_WRITEFUNCTION, bare_body);
  curl->easy_setopt(o->easy, CURLOPT_WRITEDATA, o);
}

static void by_hand(void) {
  multi = curl->multi_init();
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  curl->multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, bare_socket);
  curl->multi_setopt(multi, CURLMOPT_TIMERFUNCTION, bare_timer);
  curl->multi_setopt(multi, CURLMOPT_MAXCONNECTS, 2L * load.connections);
  over = false;
  timer = -1;
  for (uint32_t i = 0; i < load.connections; i++) bare_open(&ones[i]);
  for (uint32_t i = 0; i < load.connections; i++) bare_start(&ones[i]);
  while (under_way) {
    struct epoll_event events[128];
    int running;
    const double now = clock_of(CLOCK_MONOTONIC);
    const int n = epoll_wait(epoll_fd, events, 128, timer < 0 ? 1000 : timer > now ? (int)(1e3 * (timer - now)) + 1 : 0);
    for (int i = 0; i < n; i++)
      curl->multi_socket_action(multi, events[i].data.fd,
                                (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                                    (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0), &running);
    if (timer >= 0 && clock_of(CLOCK_MONOTONIC) >= timer) {
      timer = -1;
      curl->multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    bare_take();
  }
  for (uint32_t i = 0; i < load.connections; i++) curl->easy_cleanup(ones[i].easy);
  curl->multi_cleanup(multi);
  close(epoll_fd);
}

/* -- measuring -- */

/* CPU seconds a request. */
static double turn(void (*by)(void)) {
  load.done = 0;
  load.until = clock_of(CLOCK_MONOTONIC) + load.seconds;
  const double before = clock_of(CLOCK_THREAD_CPUTIME_ID);
  by();
  const double cpu = clock_of(CLOCK_THREAD_CPUTIME_ID) - before;
  if (load.wrong) {
    fprintf(stderr, "%llu replies were wrong\n", (unsigned long long)load.wrong);
    exit(1);
  }
  return cpu / (double)load.done;
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static bool compare(uint32_t connections, size_t size, int turns) {
  double wire_s[32], bare_s[32], ratio[32];
  load.connections = connections;
  load.size = size;
  load.room = malloc(connections * size);
  if (!load.room) die("malloc");
  memset(load.room, 0, connections * size);
  for (int i = 0; i < turns; i++) {
    const bool first = i % 2; /* who is first, is so in every other turn */
    if (first) bare_s[i] = turn(by_hand);
    wire_s[i] = turn(by_wire);
    if (!first) bare_s[i] = turn(by_hand);
    ratio[i] = wire_s[i] / bare_s[i];
  }
  free(load.room);
  qsort(wire_s, (size_t)turns, sizeof *wire_s, by_value);
  qsort(bare_s, (size_t)turns, sizeof *bare_s, by_value);
  qsort(ratio, (size_t)turns, sizeof *ratio, by_value);
  const int middle = turns / 2;
  printf("%5zu KiB, %3u connections: %8.1f us a request, bare %8.1f; %.3f CPU-s/GB, bare %.3f; ratio %.3f (%.2f to %.2f)\n",
         size >> 10, connections, 1e6 * wire_s[middle], 1e6 * bare_s[middle], 1e9 / (double)size * wire_s[middle],
         1e9 / (double)size * bare_s[middle], ratio[middle], ratio[0], ratio[turns - 1]);
  fflush(stdout);
  return ratio[middle] <= BAR;
}

int main(int argc, char **argv) {
  int port, turns = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 7;
  if (turns < 1 || turns > 32) turns = 7;
  load.seconds = argc > 1 ? strtod(argv[1], NULL) : 0.5;
  for (uint32_t i = 0; i < CONNECTIONS_MAX; i++) ones[i].index = i;
  const pid_t server = start_server(&port);
  struct lsi_error err = {0};
  curl = lsi_curl_load(&err);
  if (!curl) {
    fprintf(stderr, "%s; %s\n", err.what, err.remedy);
    return 77;
  }
  pin(0);
  snprintf(load.url, sizeof load.url, "http://127.0.0.1:%d/bucket/object", port);
  bool good = compare(16, 4096, turns);
  good &= compare(256, 4096, turns);
  good &= compare(16, 65536, turns);
  good &= compare(16, 1 << 20, turns);
  kill(server, SIGKILL);
  waitpid(server, NULL, 0);
  if (!good) printf("a ratio is above %.2f\n", BAR);
  return !good;
}
