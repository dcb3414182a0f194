/* URLs of http and https, as people write them and as they go out. */
#ifndef LSI_URL_H
#define LSI_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/err.h"

struct lsi_url {
  char *text;          /* as it is asked for: no userinfo, no fragment, scheme and host in lower case */
  char *origin;        /* scheme://host:port, the port always there */
  char *authorization; /* a header, "Authorization: Basic ..."; NULL: there was no userinfo */
  size_t path;         /* where the path begins in `text` */
  bool tls;
};

/* %XX that are there stay as they are; what may not stand in a URL is written so. LSIO_ERR_SOURCE: it is
 * none, and why, without what may be secret. *out is cleared with lsi_url_clear; nothing is there after an
 * error. */
int lsi_url_parse(const char *given, struct lsi_url *out, struct lsi_error *err);
/* Where a Location header leads from there (RFC 3986, section 5.2). Userinfo is not handed on. */
int lsi_url_resolve(const struct lsi_url *base, const char *location, struct lsi_url *out,
                    struct lsi_error *err);
void lsi_url_clear(struct lsi_url *u);

#endif
