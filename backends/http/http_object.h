/* Objects as they are asked for, and the servers that have them: one thread's. */
#ifndef LSI_HTTP_OBJECT_H
#define LSI_HTTP_OBJECT_H

#include "http/http_reply.h"
#include "http/http_retry.h"
#include "http/url.h"

#define LSI_HTTP_REDIRECTS_MOST 5u

struct lsi_http_transfer;

/* Scheme, host and port: what they take at once, what was tried again, and who waits for a turn. */
struct lsi_http_origin {
  char *text;
  struct lsi_http_pace pace;
  struct lsi_http_bucket bucket;
  uint32_t flying;
  struct lsi_http_transfer *queue, **queue_end;
  struct lsi_http_origin *next;
};

struct lsi_http_origins {
  struct lsi_http_origin *first;
  uint32_t at_once; /* requests, at most, to each */
};

void lsi_http_origins_clear(struct lsi_http_origins *all);

/* What the transfers of one object share: its owner's, who keeps it still while there are any. */
struct lsi_http_object {
  const char *name; /* as it is named; borrowed */
  /* That, and where it has led: requests that are under way have theirs, so they all stay. The last one is
   * asked. */
  struct lsi_url urls[LSI_HTTP_REDIRECTS_MOST + 1];
  uint8_t redirects;              /* that were followed */
  struct lsi_http_origin *origin; /* of the last url */
  struct lsi_http_known known;    /* size and validator; replies teach them where they are not known */
};

static inline const struct lsi_url *lsi_http_object_url(const struct lsi_http_object *o) {
  return &o->urls[o->redirects];
}

/* Parses the name. *o is cleared when no request of it is under way. */
int lsi_http_object_init(struct lsi_http_origins *all, struct lsi_http_object *o, const char *name,
                         struct lsi_error *err);
void lsi_http_object_clear(struct lsi_http_object *o);
/* What planning knows of it. */
void lsi_http_object_know(struct lsi_http_object *o, const struct lsi_object_info *info);
/* What planning may know of it by now. */
struct lsi_object_info lsi_http_object_info(const struct lsi_http_object *o);
/* What its requests compete for: its server, as a number. */
uint32_t lsi_http_device(const struct lsi_url *url);
/* It is to be had elsewhere, as its server says. LSIO_ERR_SOURCE: not there. */
int lsi_http_object_move(struct lsi_http_origins *all, struct lsi_http_object *o, const char *location,
                         struct lsi_error *err);

#endif
