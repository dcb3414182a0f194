/* Requests for an object whose end nobody knows: it is cut as it is read, so many chunks at a time. */
#include <inttypes.h>

#include "plan/request.h"

#define FIRST 64u /* as many as a small job has */

/* Appends n chunks from `offset` on, all of which lie before the longest that an object may be. */
static int add(struct lsi_request *r, uint64_t offset, uint64_t chunk, uint64_t n, struct lsi_error *err) {
  int rc = lsi_request_reserve(r, n, err);
  for (uint64_t i = 0; rc >= 0 && i < n; i++)
    rc = lsi_request_add_chunk(r, 0, (int64_t)(offset + i * chunk), (int64_t)chunk, 0, err);
  return rc;
}

/* How many chunks from `offset` on can be told apart. */
static uint64_t room(uint64_t offset, uint64_t chunk) {
  return offset < LSI_ENDLESS ? (LSI_ENDLESS - offset) / chunk : 0;
}

int lsi_request_cut_on(struct lsi_request *r, uint32_t object, uint64_t offset, uint64_t chunk,
                       struct lsi_error *err) {
  if (object || r->n_objects != 1 || r->n_steps)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "an object of unknown length is read by itself");
  if (!chunk || !room(offset, chunk))
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "there are no chunks of %" PRIu64 " bytes", chunk);
  r->cut = chunk;
  return add(r, offset, chunk, LSI_MIN(room(offset, chunk), (uint64_t)FIRST), err);
}

int lsi_request_cut_more(const struct lsi_request *first, uint64_t before, uint32_t most,
                         struct lsi_request **out, struct lsi_error *err) {
  *out = NULL;
  if (first->cut_most && before >= first->cut_most) return 0;
  const uint64_t left = first->cut_most ? first->cut_most - before : UINT64_MAX;
  /* It cannot overflow: chunk `before` - 1 is there. */
  const uint64_t offset = first->offset[0] + before * first->cut;
  const uint64_t n = LSI_MIN(LSI_MIN(left, (uint64_t)most),
                             LSI_MIN(room(offset, first->cut), LSI_MAX_CHUNKS - 1 - before));
  if (!n) {
    lsi_fail(err, LSIO_ERR_LIMIT, 0, "there are more than %" PRIu64 " chunks of %" PRIu64 " bytes", before,
             first->cut);
    lsi_error_at(err, lsi_request_name(first, 0), offset, 0, LSI_NO_STEP);
    lsi_error_remedy(err, "read larger ones (`chunk`)");
    return LSIO_ERR_LIMIT;
  }
  struct lsi_request *r = lsi_request_create();
  if (!r) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the next chunks");
  int rc = lsi_request_add_object(r, lsi_request_name(first, 0), &first->objects[0], NULL, err);
  if (rc >= 0) {
    r->object_device[0] = first->object_device[0];
    r->keeps = first->keeps;
    r->missing = first->missing;
    r->first_index = first->first_index + before;
    rc = add(r, offset, first->cut, n, err);
  }
  if (rc < 0) {
    lsi_request_free(r);
    return rc;
  }
  *out = r;
  return 0;
}
