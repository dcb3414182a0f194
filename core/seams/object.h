/* What is known of an object. */
#ifndef LSI_OBJECT_H
#define LSI_OBJECT_H

#include "ground/err.h"

enum lsi_known {
  LSI_KNOWN_SIZE = 1,
  LSI_KNOWN_VERSION = 2,
  LSI_KNOWN_FAULT = 4, /* nothing but that it can't be had: `version` is a code of its store's and an enum
                          lsio_kind */
  LSI_MAY_GROW = 8     /* what comes to stand behind `size`, or is written there, is no change */
};

/* As a size: it is read once, in the order of its bytes, and where it ends shows when it is read. */
#define LSI_ENDLESS ((uint64_t)INT64_MAX)

/* Kept for every object of a request, and told anew by who opens it or looks at it. */
struct lsi_object_info {
  uint64_t size;       /* bytes; a guess where it is not known */
  uint64_t version[2]; /* what changes when the content does; what it is made of is the affair of its store */
  uint32_t device;     /* what operations compete for: a number that its store has given to it */
  uint16_t store;      /* index among the run's stores: set by who asked one, not by stores and backends */
  uint16_t known;      /* enum lsi_known */
};
_Static_assert(sizeof(struct lsi_object_info) == 32, "kept for each of millions of objects");

/* Which of them are kept as faults, and are no errors: */
enum lsi_keep { LSI_KEEP_NONE, LSI_KEEP_MISSING = 1, LSI_KEEP_ALL = 2 };

/* It is a fault: the object is not there. */
static inline bool lsi_object_is_missing(const struct lsi_object_info *info) {
  return info->known & LSI_KNOWN_FAULT && info->version[1] == LSIO_KIND_NOT_FOUND;
}

/* Where version[0] tells one object from another that has its name now, and version[1] when it was
 * written to: says how `now` is no longer what `then` was, and what to do. LSIO_ERR_SOURCE, to which the
 * caller adds the name; 0: nothing shows. An object of which the version was known and is no more has
 * been replaced. */
int lsi_object_changed(const struct lsi_object_info *then, const struct lsi_object_info *now,
                       struct lsi_error *err);

#endif
