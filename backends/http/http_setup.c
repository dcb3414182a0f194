#include "http/http_backend.h"
#include "seams/os.h"

#include <stdlib.h>

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
                                                     .world = test ? test->world : NULL},
                                     .at_once = at_once,
                                     .seed = lsi_os_now_ns()};
}
