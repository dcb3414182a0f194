/* Is an object still what planning saw? Asked when it is opened, behind its reads, when it is closed, and
 * of its name at the end. */
#include "engine/read/unchanged.h"

int lsi_unchanged(struct lsi_worker *w, uint32_t object, const struct lsi_object_info *now) {
  const struct lsi_request *r = w->run->wave.request;
  const struct lsi_object_info *then = &r->objects[object];
  const int rc = w->run->config.stores[then->store]->changed(then, now, &w->error);
  if (rc < 0) lsi_error_at(&w->error, lsi_request_name(r, object), LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return rc;
}

/* What the backend said of an object of the request: 0, or negative with w->error. */
int lsi_unchanged_by(struct lsi_worker *w, uint32_t object, int rc,
                     const struct lsi_object_info *now) {
  if (rc != LSIO_ERR_SOURCE) { /* lost pages are a sign of truncation first of all */
    const int changed = lsi_unchanged(w, object, now);
    if (changed < 0 || rc >= 0) return changed;
  }
  if (rc == LSIO_ERR_SOURCE) {
    lsi_fail(&w->error, rc, 0, "a source could not be looked at again");
    lsi_error_is(&w->error, LSIO_KIND_CHANGED);
  } else {
    lsi_fail(&w->error, rc, 0, "pages of a mapped source could not be read while steps used them");
  }
  lsi_error_at(&w->error, lsi_request_name(w->run->wave.request, object), LSI_NO_OFFSET, 0, LSI_NO_STEP);
  if (rc != LSIO_ERR_SOURCE)
    lsi_error_remedy(&w->error, "its disk may be failing, or it was truncated and restored; with "
                                "--direct always the read that fails is named");
  return rc;
}

/* Whatever way bytes came: a look is behind all reads that ended before it. */
int lsi_unchanged_settle(struct lsi_worker *w, const struct lsi_slot *s, int rc,
                         const struct lsi_object_info *now) {
  rc = lsi_unchanged_by(w, s->object, rc, now);
  if (w->stepper.held.n) lsi_held_settle(w, s, rc < 0 ? &w->error : NULL);
  return rc;
}

int lsi_object_look(struct lsi_worker *w, struct lsi_slot *s) {
  struct lsi_object_info now = s->handle.info;
  return lsi_unchanged_settle(w, s, w->ops->look(w->backend, &s->handle, &now), &now);
}

/* A descriptor still shows an object that was replaced under its name: look the name up again. */
int lsi_unchanged_name(struct lsi_worker *w, uint32_t object) {
  const struct lsi_run_config *c = &w->run->config;
  const char *name = lsi_request_name(w->run->wave.request, object);
  struct lsi_object_info now;
  const struct lsi_store *store = c->stores[w->run->wave.request->objects[object].store];
  int rc = store->stat_many(c->backend_user, &name, 1, &now, NULL, false, &w->error);
  if (rc < 0) {
    lsi_error_at(&w->error, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
    return rc;
  }
  return lsi_unchanged(w, object, &now);
}
