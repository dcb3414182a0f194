/* Children of fork: of their parent's contexts, and of what was made in them, they have a copy without its
 * threads, whose locks others may have held, and descriptors that are the parent's as well. So every entry of
 * lsio.h that takes such a thing asks first whose it is: it refuses it, says that it knows nothing, or lets
 * go of it by doing nothing at all. tests/fault/test_api_fork.c has what each does. */
#ifndef LSI_FORKED_H
#define LSI_FORKED_H

#include "api/context.h"
#include "seams/os.h"

static inline bool lsi_is_parents(const struct lsio_context *c) {
  return LSI_UNLIKELY(c->forks != lsi_os_forks);
}

/* errors.c: if `what` is a parent's ("the queue") fails with LSIO_ERR_FORKED, which it returns; else 0. */
int lsi_refuse_parents(bool is_parents, const char *what, struct lsi_error *err);
/* What every parent's job has for its error. */
const lsio_error *lsi_error_of_parents(void);

#endif
