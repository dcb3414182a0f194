/* Transfers: what one thread asks of servers, each taken to its end. A transfer waits until its origin may
 * have one more request under way; it is tried again where that may help, goes on where it broke off, and
 * follows redirects. What a reply is worth is http_reply.h's to say, how often and when http_retry.h's.
 *   Nothing here waits, and the clock is the wire's: with a simulated one every run is the same. */
#ifndef LSI_HTTP_TRANSFER_H
#define LSI_HTTP_TRANSFER_H

#include "http/http_object.h"
#include "http/http_wire.h"

struct lsi_http_transfer {
  /* in */
  struct lsi_http_object *object;
  bool head;                                                 /* nothing but what is told of it */
  uint64_t first, length;                                    /* bytes; LSI_HTTP_REST */
  char *to;                                                  /* room for them */
  uint64_t room;                                             /* of LSI_HTTP_REST: bytes of `to` */
  bool (*grow)(struct lsi_http_transfer *t, uint64_t bytes); /* makes room for so many; NULL: it can't be */
  void *user;
  /* out */
  uint64_t got;          /* bytes; fewer than `length`: the object ends there */
  int code;              /* 0, or negative LSIO_ERR_* */
  struct lsi_error *why; /* of a failure (lsi_free); NULL: there was no memory for it */
  /* its own, while it is under way */
  struct lsi_http_pump *pump;
  struct lsi_http_origin
      *origin; /* that is asked, or was last: its object may have been led elsewhere since */
  struct lsi_http_transfer *next, **before;
  struct lsi_http_tries tries;
  struct lsi_http_verdict verdict;
  struct lsi_wire_request request;
  const char *headers[6];
  char range[64], match[LSI_HTTP_VALIDATOR_MAX + 16];
  uint64_t due_ns;               /* when it is tried again */
  uint64_t started_ns, heard_ns; /* this try; when something last came of it */
  uint64_t expected;             /* bytes of this reply's body; LSI_HTTP_REST: until it ends */
  uint64_t had;                  /* bytes before this try */
  uint8_t state, redirects;
  bool probes; /* `head` is asked for by its first byte: the server takes no HEAD */
  bool enough; /* the head of the reply said all */
  char first_byte;
};

struct lsi_http_figures {
  uint64_t requests, retries, throttled, resumed, redirects, bytes_wire, connections;
};

struct lsi_http_pump;

struct lsi_http_pump_config {
  const struct lsi_wire_ops *wire;
  struct lsi_wire_config wire_config;
  uint32_t at_once; /* requests to one origin, at most */
  uint64_t seed;    /* of the times to wait */
};

int lsi_http_pump_create(const struct lsi_http_pump_config *config, struct lsi_http_pump **out,
                         struct lsi_error *err);
/* Transfers that are under way are dropped. */
void lsi_http_pump_destroy(struct lsi_http_pump *p);
/* Of which its objects are made. */
struct lsi_http_origins *lsi_http_pump_origins(struct lsi_http_pump *p);
/* Takes it over until it comes back from lsi_http_pump_run. */
void lsi_http_pump_add(struct lsi_http_pump *p, struct lsi_http_transfer *t);
/* Does what can be done now: a list, by `next`, of those that have ended. Negative *rc: the wire is broken.
 */
struct lsi_http_transfer *lsi_http_pump_run(struct lsi_http_pump *p, int *rc, struct lsi_error *err);
/* All that are under way end with LSIO_ERR_CANCELLED, by the next run. */
void lsi_http_pump_cancel(struct lsi_http_pump *p);
uint32_t lsi_http_pump_count(const struct lsi_http_pump *p);   /* that are under way */
int lsi_http_pump_fd(const struct lsi_http_pump *p);           /* readable: run has something to do */
uint64_t lsi_http_pump_next_ns(const struct lsi_http_pump *p); /* when run is due by the clock; UINT64_MAX */
uint64_t lsi_http_pump_now_ns(const struct lsi_http_pump *p);
/* Where time is the wire's own: lets it go on, until_ns at most. False: it is the machine's, which waits. */
bool lsi_http_pump_passes(struct lsi_http_pump *p, uint64_t until_ns);
struct lsi_http_figures lsi_http_pump_figures(const struct lsi_http_pump *p);

#endif
