#include "http/http_object.h"

#include <string.h>

#include "ground/mem.h"

/* ---- origins ---- */

static struct lsi_http_origin *origin_of(struct lsi_http_origins *all, const char *text) {
  for (struct lsi_http_origin *o = all->first; o; o = o->next)
    if (strcmp(o->text, text) == 0) return o;
  struct lsi_http_origin *o = lsi_calloc(1, sizeof *o);
  if (o) o->text = lsi_strndup(text, strlen(text));
  if (!o || !o->text) {
    lsi_free(o);
    return NULL;
  }
  o->queue_end = &o->queue;
  lsi_http_pace_init(&o->pace, all->at_once);
  lsi_http_bucket_init(&o->bucket);
  o->next = all->first;
  return all->first = o;
}

void lsi_http_origins_clear(struct lsi_http_origins *all) {
  while (all->first) {
    struct lsi_http_origin *o = all->first;
    all->first = o->next;
    lsi_free(o->text);
    lsi_free(o);
  }
}

/* ---- objects ---- */

int lsi_http_object_init(struct lsi_http_origins *all, struct lsi_http_object *o, const char *name,
                         struct lsi_error *err) {
  *o = (struct lsi_http_object){.name = name};
  const int rc = lsi_url_parse(name, &o->urls[0], err);
  if (rc < 0) return rc;
  o->origin = origin_of(all, o->urls[0].origin);
  if (o->origin) return 0;
  lsi_url_clear(&o->urls[0]);
  return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a server's name");
}

void lsi_http_object_clear(struct lsi_http_object *o) {
  for (unsigned i = 0; i <= o->redirects; i++) lsi_url_clear(&o->urls[i]);
}

/* Within one origin credentials go along. */
static bool keep_credentials(const struct lsi_url *from, struct lsi_url *to) {
  if (!from->authorization || strcmp(from->origin, to->origin) != 0) return true;
  to->authorization = lsi_strndup(from->authorization, strlen(from->authorization));
  return to->authorization != NULL;
}

int lsi_http_object_move(struct lsi_http_origins *all, struct lsi_http_object *o, const char *location,
                         struct lsi_error *err) {
  const struct lsi_url *from = lsi_http_object_url(o);
  struct lsi_url to;
  if (o->redirects == LSI_HTTP_REDIRECTS_MOST)
    return lsi_fail(err, LSIO_ERR_SOURCE, 0, "the server redirects more than %u times",
                    LSI_HTTP_REDIRECTS_MOST);
  int rc = lsi_url_resolve(from, location, &to, err);
  if (rc < 0) return rc;
  struct lsi_http_origin *origin = origin_of(all, to.origin);
  if (!origin || !keep_credentials(from, &to))
    rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to follow a redirect");
  if (rc == 0 && from->tls && !to.tls)
    rc = lsi_fail(err, LSIO_ERR_SOURCE, 0,
                  "the server redirects from https to http, which would give the bytes away");
  if (rc < 0) {
    lsi_url_clear(&to);
    return rc;
  }
  o->urls[++o->redirects] = to;
  o->origin = origin;
  return 0;
}

void lsi_http_object_know(struct lsi_http_object *o, const struct lsi_object_info *info) {
  o->known.has_size = info->known & LSI_KNOWN_SIZE;
  o->known.size = info->size;
  o->known.has_version = info->known & LSI_KNOWN_VERSION;
  memcpy(o->known.version, info->version, sizeof o->known.version);
}

uint32_t lsi_http_device(const struct lsi_url *url) {
  uint64_t hash[2];
  lsi_http_version(url->origin, hash);
  return (uint32_t)hash[0];
}

struct lsi_object_info lsi_http_object_info(const struct lsi_http_object *o) {
  struct lsi_object_info info = {.size = o->known.has_size ? o->known.size : 0,
                                 .device = lsi_http_device(lsi_http_object_url(o))};
  info.known =
      (uint16_t)((o->known.has_size ? LSI_KNOWN_SIZE : 0) | (o->known.has_version ? LSI_KNOWN_VERSION : 0));
  memcpy(info.version, o->known.version, sizeof info.version);
  return info;
}
