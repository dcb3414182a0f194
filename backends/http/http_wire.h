/* How requests travel: bytes out, heads and bodies in. No policy: what a reply means, what is tried again and
 * when is up to who asks (http_transfer.c). One const table per transport; an instance belongs to one thread
 * and is created, used and destroyed on it. None of its calls waits.
 *
 * A request is started, tells of its head, of its body in the order of its bytes, and of its end, once. The
 * hooks are called from `run` only. In `head` and `body` no call of the wire is allowed but now_ns; in `end`
 * all are, but run and destroy. */
#ifndef LSI_HTTP_WIRE_H
#define LSI_HTTP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/err.h"

#define LSI_WIRE_VERSION 1u

/* How a request ended. */
enum lsi_wire_code {
  LSI_WIRE_DONE,      /* the reply came whole, as far as its own words tell */
  LSI_WIRE_REFUSED,   /* head or body said no: its connection is closed unless nothing more was to come */
  LSI_WIRE_NO_NAME,   /* the host's name has no address (now) */
  LSI_WIRE_NO_HOST,   /* no address answers: refused, unreachable */
  LSI_WIRE_LATE,      /* no connection within connect_ms */
  LSI_WIRE_UNTRUSTED, /* TLS: the certificate is not accepted */
  LSI_WIRE_NO_TLS,    /* TLS: no agreement, or it was broken */
  LSI_WIRE_PROXY,     /* the proxy refuses, or can't be reached */
  LSI_WIRE_CLOSED,    /* the connection was closed, or lost, before the head was whole */
  LSI_WIRE_BROKEN,    /* the same, in the body */
  LSI_WIRE_GARBLED,   /* what came is no HTTP, or a head without end */
  LSI_WIRE_NO_MEMORY,
  LSI_WIRE_FAILED /* whatever else: `text` says it */
};

/* Of the last head: those before it (1xx, that of a proxy's CONNECT) are not told. */
struct lsi_wire_head {
  int status; /* 200, ... */
  /* Values of the headers that are asked for, without blanks around them, NUL-terminated; NULL: it is not
   * there. Of one that came several times with different values the first, and `repeated` says so. Valid
   * during the call. */
  const char *content_length, *content_range, *content_type, *content_encoding, *etag, *last_modified,
      *location, *retry_after, *date, *accept_ranges, *request_id, *server;
  bool repeated; /* Content-Length or Content-Range came with different values */
};

struct lsi_wire_end {
  enum lsi_wire_code code;
  int os_code;         /* errno of a socket; 0: unknown */
  bool reused;         /* it went over a connection that was there */
  uint64_t body;       /* bytes of the body that were told */
  uint64_t wire;       /* bytes that were received for it, heads too, before TLS */
  const char *text;    /* what went wrong, for people, without URL; "" if nothing did. Valid during the
                          call, as the two below */
  const char *address; /* of the other side, "127.0.0.1:8080"; "": there was no connection */
  const char *tls;     /* "TLSv1.3", ...; "": none, or not known */
};

struct lsi_wire_request {
  /* In; borrowed until its end. */
  const char *method;         /* GET or HEAD */
  const char *url;            /* as it goes out: encoded, without userinfo and fragment */
  const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
  bool fresh;                 /* on a new connection */
  bool (*head)(void *user, const struct lsi_wire_head *head); /* false: no more of it is wanted */
  bool (*body)(void *user, const void *data, size_t n);       /* likewise */
  void (*end)(void *user, const struct lsi_wire_end *end);    /* the request is its owner's again */
  void *user;
  void *priv; /* the wire's while it has the request */
};

struct lsi_wire_config {
  uint32_t requests;   /* at once, at most; each may have a connection */
  uint32_t connect_ms; /* for name, connection and TLS */
  const char *ca_file; /* of certificates to trust in the place of the system's; NULL: those */
  const char *proxy;   /* URL; "": none, whatever the environment says; NULL: what that says */
  bool untrusted;      /* certificates are not checked */
  const char *user_agent;
  void *user; /* wire_sim: its world (test/wire_sim.h) */
};            /* copied */

struct lsi_wire; /* each transport defines its own */

struct lsi_wire_ops {
  uint32_t version; /* LSI_WIRE_VERSION */
  const char *name;
  int (*create)(const struct lsi_wire_config *config, struct lsi_wire **out, struct lsi_error *err);
  /* What is under way goes, without its `end` being called. Takes no time, also where a name is looked up. */
  void (*destroy)(struct lsi_wire *w);
  /* Takes it, or says that it has as many as it may (false). Whatever is wrong comes by `end`. */
  bool (*start)(struct lsi_wire *w, struct lsi_wire_request *r);
  /* It goes, as by destroy: its `end` is not called, no hook is, and its connection is closed. */
  void (*drop)(struct lsi_wire *w, struct lsi_wire_request *r);
  /* Does what can be done now. Returns how many requests have ended; negative: the wire itself is broken. */
  int (*run)(struct lsi_wire *w, struct lsi_error *err);
  /* Readable when `run` has something to do. */
  int (*fd)(const struct lsi_wire *w);
  /* Optional, of a wire whose time is not the machine's: lets it go on until fd is readable or it is next_ns,
   * but no further than until_ns. NULL: poll is to be asked. */
  void (*wait)(struct lsi_wire *w, uint64_t until_ns);
  /* When `run` wants to be called at the latest, by now_ns; UINT64_MAX: not before fd says so. */
  uint64_t (*next_ns)(const struct lsi_wire *w);
  /* The clock of next_ns, and of who asks: monotonic. */
  uint64_t (*now_ns)(const struct lsi_wire *w);
  /* Connections that were made so far. */
  uint64_t (*connections)(const struct lsi_wire *w);
};

extern const struct lsi_wire_ops lsi_wire_curl;

#endif
