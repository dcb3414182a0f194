/* The transport `sim`: a server of objects made of a formula, and faults drawn from one seed or ordered by a
 * test's script. Time is virtual: it goes on in `wait` and by lsi_wire_sim_advance only. For tests.
 *
 * Replies are honest but for one fault each: Range (a-b, a-, -n), If-Match and HEAD are understood, a range
 * behind the end is answered with 416. Which bytes come is always as the head says: what nobody could notice
 * does not happen.
 *
 * What came from the network is told by the descriptor, as with sockets; only a connection that is late is
 * told by next_ns. Who asks is checked all the time, abort() on violation: hooks, calls and texts as
 * http_wire.h wants them; nothing but now_ns from within `head` and `body`; requests, URLs and headers that
 * do not change while the wire has them; no start of what is under way, no drop of what is not; no wait for
 * what never comes. What was valid during a call only is overwritten behind it. */
#ifndef LSI_WIRE_SIM_H
#define LSI_WIRE_SIM_H

#include "http/http_wire.h"

/* X(name, what happens) */
#define LSI_WIRE_SIM_FAULTS(X)                                                                               \
  X(NONE, "nothing")                                                                                         \
  X(NO_NAME, "the name has no address")                                                                      \
  X(NO_HOST, "the connection is refused")                                                                    \
  X(LATE, "no connection within connect_ms")                                                                 \
  X(UNTRUSTED, "a certificate that is not accepted")                                                         \
  X(NO_TLS, "TLS fails")                                                                                     \
  X(PROXY, "the proxy refuses")                                                                              \
  X(NO_MEMORY, "no memory for the request")                                                                  \
  X(SILENT, "nothing ever comes")                                                                            \
  X(CLOSED, "closed before the head")                                                                        \
  X(RESET, "reset before the head")                                                                          \
  X(GARBLED, "no HTTP")                                                                                      \
  X(STATUS, "another status: plan.status, with a body that says why")                                        \
  X(BUSY, "429 or 503 (plan.status), Retry-After: plan.retry_after")                                         \
  X(REDIRECT, "307 to plan.location, NULL: the same object with another query")                              \
  X(WHOLE, "200 and the whole object for a range")                                                           \
  X(ERROR_200, "200 with an error in XML")                                                                   \
  X(RANGE_OTHER, "206 of another place, which Content-Range tells")                                          \
  X(RANGE_LESS, "206 of the first bytes only, which Content-Range tells")                                    \
  X(RANGE_NONE, "206 without Content-Range")                                                                 \
  X(RANGE_STAR, "206 whose Content-Range has no total")                                                      \
  X(RANGE_BAD, "206 with a Content-Range that is none")                                                      \
  X(TOTAL_OTHER, "206 with another total")                                                                   \
  X(LENGTH_NONE, "no Content-Length")                                                                        \
  X(LENGTH_OTHER, "another Content-Length, and as many bytes")                                               \
  X(LENGTH_TWICE, "two different Content-Lengths")                                                           \
  X(ENCODED, "Content-Encoding: gzip, and as many bytes as were asked for")                                  \
  X(MULTIPART, "206 of multipart/byteranges")                                                                \
  X(ETAG_NONE, "no ETag")                                                                                    \
  X(ETAG_WEAK, "a weak ETag")                                                                                \
  X(ETAG_OTHER, "the object's next version, whatever If-Match says")                                         \
  X(SHORT, "closed in the body, at plan.at")                                                                 \
  X(SHORT_CLEAN, "no Content-Length, and closed at plan.at: a reply that is whole by its own words")         \
  X(BODY_RESET, "reset in the body, at plan.at")                                                             \
  X(STALL, "nothing comes any more from plan.at on")                                                         \
  X(MORE, "no Content-Length, and more bytes than there are")                                                \
  X(TRICKLE, "the body comes byte by byte")

enum lsi_wire_sim_fault {
#define LSI_WIRE_SIM_ENUM(name, what) LSI_WIRE_SIM_##name,
  LSI_WIRE_SIM_FAULTS(LSI_WIRE_SIM_ENUM)
#undef LSI_WIRE_SIM_ENUM
  LSI_WIRE_SIM_FAULT_COUNT
};

struct lsi_wire_sim_object {
  const char *path; /* "/a": of the URL, without its query; the host does not matter */
  uint64_t size;
  uint64_t version; /* a test may raise it at any time: other bytes and another ETag */
  bool missing;     /* 404 */
};

/* What is asked for. */
struct lsi_wire_sim_ask {
  const struct lsi_wire_request *request;
  uint64_t nth;               /* among all requests of the world, from 0 on */
  int object;                 /* -1: none has this path */
  bool ranged;
  bool beyond;                /* a range that begins behind the end */
  bool matches;               /* If-Match is not there, or names the object's version */
  uint64_t offset, length;    /* within the object: the range, or all */
};

/* How it goes. Times in ns. */
struct lsi_wire_sim_plan {
  enum lsi_wire_sim_fault fault;
  uint64_t connect_ns;        /* if there is no connection to be used again */
  uint64_t latency_ns;        /* until the head comes */
  uint64_t bytes_per_s;       /* 0: the body is there with the head */
  uint64_t at;                /* bytes of the body that come before the fault */
  int status;
  const char *retry_after;    /* NULL: none */
  const char *location;
};

struct lsi_wire_sim {
  uint64_t seed;
  struct lsi_wire_sim_object *objects;
  uint32_t n_objects;
  uint32_t chance[LSI_WIRE_SIM_FAULT_COUNT]; /* in 1,000; their sum is at most 1,000 */
  uint64_t connect_ns, latency_ns; /* at most; drawn */
  uint64_t bytes_per_s;       /* 0: at once */
  uint32_t piece_max;         /* bytes of one call of `body`; 0: 16384 */
  /* May change what was drawn. NULL: none. */
  void (*script)(void *user, const struct lsi_wire_sim_ask *ask, struct lsi_wire_sim_plan *plan);
  void *user;
  bool by_clock;              /* time is lsi_os_now_ns(), and next_ns tells of all */
  /* Counted, by one thread: a world's wires are not used at the same time. */
  uint64_t wires, requests, faults[LSI_WIRE_SIM_FAULT_COUNT], dropped, bytes;
};

uint8_t lsi_wire_sim_byte(const struct lsi_wire_sim *sim, uint32_t object, uint64_t version, uint64_t offset);
const char *lsi_wire_sim_fault_text(enum lsi_wire_sim_fault fault);
/* Time goes on by so much. */
void lsi_wire_sim_advance(struct lsi_wire *w, uint64_t ns);
/* Requests that the wire has. */
uint32_t lsi_wire_sim_busy(const struct lsi_wire *w);

extern const struct lsi_wire_ops lsi_wire_sim;

#endif
