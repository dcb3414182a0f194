#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "http/http_backend.h"
#include "seams/os.h"

/* As other programs have it. */
static const char *trusted(void) {
  const char *file = getenv("SSL_CERT_FILE");
  return file && *file ? file : NULL;
}

void lsi_http_pump_defaults(struct lsi_http_pump_config *c, uint32_t at_once,
                            const struct lsi_http_test *test) {
  *c = (struct lsi_http_pump_config){.wire = test ? test->wire : &lsi_wire_curl,
                                     .wire_config = {.requests = at_once,
                                                     .connect_ms = LSI_HTTP_CONNECT_MS,
                                                     .user_agent = "lsio",
                                                     .ca_file = trusted(),
                                                     .user = test ? test->user : NULL},
                                     .at_once = at_once,
                                     .seed = lsi_os_now_ns()};
}

bool lsi_http_pump_wait(struct lsi_http_pump *p, int wake, uint64_t until_ns) {
  const uint64_t due = LSI_MIN(lsi_http_pump_next_ns(p), until_ns);
  if (lsi_http_pump_passes(p, due)) return false;
  const uint64_t now = lsi_http_pump_now_ns(p), ns = due > now ? due - now : 0;
  struct pollfd fds[2] = {{.fd = lsi_http_pump_fd(p), .events = POLLIN}, {.fd = wake, .events = POLLIN}};
  const struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
  if (ppoll(fds, 2, due == UINT64_MAX ? NULL : &t, NULL) <= 0 || !fds[1].revents) return false;
  lsi_os_bell_clear(wake);
  return true;
}
