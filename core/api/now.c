/* Reads without a job, of what is at hand. */
#include <string.h>

#include "api/forked.h"
#include "seams/store.h"

int64_t lsio_read_now(lsio_context *c, const char *object, const int64_t *offset, const int64_t *length,
                      size_t n, void *out, size_t room) {
  if (!c || lsi_is_parents(c) || !c->reads_now || !object || !offset || !length || !n) return -1;
  if (strstr(object, "://")) return -1;
  const struct lsi_store *store = lsi_stores[0]; /* of what has no scheme */
  const int64_t got = store->read_now ? store->read_now(NULL, object, offset, length, n, out, room) : -1;
  if (got > 0) atomic_fetch_add_explicit(&c->bytes_now, (uint64_t)got, memory_order_relaxed);
  return got;
}
