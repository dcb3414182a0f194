#include "seams/object.h"

static const char *how_changed(const struct lsi_object_info *then, const struct lsi_object_info *now) {
  const bool version = then->known & LSI_KNOWN_VERSION, may_grow = then->known & LSI_MAY_GROW;
  if (now->device != then->device) return "was replaced";
  if (version && !(now->known & LSI_KNOWN_VERSION)) return "was replaced or deleted";
  if (version && now->version[0] != then->version[0]) return "was replaced";
  if (then->known & now->known & LSI_KNOWN_SIZE && now->size < then->size) return "was truncated";
  if (may_grow) return NULL;
  if (then->known & now->known & LSI_KNOWN_SIZE && now->size > then->size) return "has grown";
  return version && now->version[1] != then->version[1] ? "was modified" : NULL;
}

int lsi_object_changed(const struct lsi_object_info *then, const struct lsi_object_info *now,
                       struct lsi_error *err) {
  const char *how = how_changed(then, now);
  if (!how) return 0;
  lsi_fail(err, LSIO_ERR_SOURCE, 0, "a source %s while the job was running", how);
  lsi_error_is(err, LSIO_KIND_CHANGED);
  lsi_error_remedy(err, "nothing was published; run the job again when the source is at rest");
  return LSIO_ERR_SOURCE;
}
