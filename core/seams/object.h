/* What is known of an object. */
#ifndef LSI_OBJECT_H
#define LSI_OBJECT_H

#include "ground/err.h"

/* Kept for every object of a request, and told anew by who opens it or looks at it. */
struct lsi_object_info {
  uint64_t device; /* st_dev-like identity: what operations compete for */
  uint64_t inode;
  uint64_t size;
  int64_t mtime_ns;
};

/* Says how `now` is no longer what `then` was, and what to do: LSIO_ERR_SOURCE, to which the caller adds the
 * name. 0: nothing shows. */
int lsi_object_changed(const struct lsi_object_info *then, const struct lsi_object_info *now,
                       struct lsi_error *err);

#endif
