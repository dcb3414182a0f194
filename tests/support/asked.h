/* One request over a transport, for tests: what it wants, what it was told. Its hooks hold the transport to
 * the order of http_wire.h: one head, then the body, then one end. */
#ifndef ASKED_H
#define ASKED_H

#include "http/http_wire.h"

#define ASKED_ALL UINT64_MAX

struct asked {
  struct lsi_wire_request request;
  char url[256], range[64];
  const char *headers[4];
  /* Orders. */
  bool refuse_head;
  uint64_t refuse_at;            /* of the body, from this byte on */
  uint8_t (*byte)(uint64_t);     /* of the object; NULL: the body is not compared, but kept */
  uint64_t offset;               /* of the body's first byte in it */
  void (*then)(struct asked *a); /* called by its end */
  void *user;
  /* Told. */
  int heads, ends, status;
  bool repeated;
  char length[32], content_range[64], type[64], encoding[32], etag[64], modified[64], location[128];
  char retry_after[32], date[64], accept_ranges[32], id[32], server[32];
  uint64_t got, wrong, pieces;   /* bytes of the body, those that differ, calls */
  char body[64];                 /* the first ones, NUL-terminated */
  struct lsi_wire_end end;       /* its texts are the three below */
  char text[512], address[128], tls[32];
};

/* All zero but its request: GET of the URL. */
void asked_get(struct asked *a, const char *url);
/* And of a part of an object. */
void asked_range(struct asked *a, const char *url, uint64_t offset, uint64_t length, uint8_t (*byte)(uint64_t));
/* Runs the transport until all n have ended; false: not within 20 s. Waits by its descriptor and timer. */
bool asked_wait(const struct lsi_wire_ops *ops, struct lsi_wire *w, const struct asked *list, size_t n);
/* Runs it for so long. */
void asked_pass(const struct lsi_wire_ops *ops, struct lsi_wire *w, unsigned ms);

#endif
