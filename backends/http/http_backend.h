/* What the backend `http` and the store `http` share. */
#ifndef LSI_HTTP_BACKEND_H
#define LSI_HTTP_BACKEND_H

#include "http/http_transfer.h"
#include "seams/backend.h"

/* In the place of a network, for tests: `user` of a backend's configuration. */
struct lsi_http_test {
  const struct lsi_wire_ops *wire;
  void *user; /* of lsi_wire_config */
};

/* So many requests at once to one origin. `test` may be NULL. */
void lsi_http_pump_defaults(struct lsi_http_pump_config *c, uint32_t at_once,
                            const struct lsi_http_test *test);

/* Sleeps until the pump has something to do, or `wake` (-1: none) is readable, which is silenced, or it is
 * until_ns by the pump's clock. True: the thread is wanted. */
bool lsi_http_pump_wait(struct lsi_http_pump *p, int wake, uint64_t until_ns);

#endif
