#include "seams/object.h"

int lsi_object_changed(const struct lsi_object_info *then, const struct lsi_object_info *now,
                       struct lsi_error *err) {
  const char *how = NULL;
  if (now->device != then->device || now->inode != then->inode) how = "was replaced";
  else if (now->size < then->size) how = "was truncated";
  else if (now->size > then->size) how = "has grown";
  else if (now->mtime_ns != then->mtime_ns) how = "was modified";
  if (!how) return 0;
  lsi_fail(err, LSIO_ERR_SOURCE, 0, "a source %s while the job was running", how);
  lsi_error_remedy(err, "nothing was published; run the job again when the source is at rest");
  return LSIO_ERR_SOURCE;
}
