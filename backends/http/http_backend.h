/* What the backend `http` and the store `http` share. */
#ifndef LSI_HTTP_BACKEND_H
#define LSI_HTTP_BACKEND_H

#include "http/http_transfer.h"
#include "seams/backend.h"

/* In the place of a network, for tests: `user` of a backend's configuration. */
struct lsi_http_test {
  const struct lsi_wire_ops *wire;
  void *world; /* of lsi_wire_config */
  /* In the place of sleeping: lets time pass, until due_ns at most. True: the thread is wanted. */
  bool (*wait)(const struct lsi_http_test *test, struct lsi_http_pump *pump, uint64_t due_ns);
};

/* So many requests at once to one origin. `test` may be NULL. */
void lsi_http_pump_defaults(struct lsi_http_pump_config *c, uint32_t at_once,
                            const struct lsi_http_test *test);

#endif
