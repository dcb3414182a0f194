#include "plan/faults.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ground/mem.h"
#include "ground/units.h"
#include "plan/request.h"

static int reserve(struct lsi_faults *f, struct lsi_error *err) {
  if (f->n < f->cap) return 0;
  const uint32_t cap = f->cap ? f->cap + f->cap / 2 : 16; /* there are fewer than chunks: below UINT32_MAX */
  struct lsi_fault *at = lsi_reallocarray(f->at, LSI_MAX(cap, f->cap + 1), sizeof *at);
  if (!at) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to keep what a request can't have");
  f->at = at;
  f->cap = LSI_MAX(cap, f->cap + 1);
  return 0;
}

int lsi_fault_add(struct lsi_request *r, const struct lsi_fault *fault, struct lsi_error *err) {
  const int rc = reserve(&r->faults, err);
  if (rc == 0) r->faults.at[r->faults.n++] = *fault;
  return rc;
}

/* The first one that is of this chunk, or of one behind it. */
static uint32_t lower(const struct lsi_faults *f, uint32_t chunk) {
  uint32_t low = 0, high = f->n;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (f->at[middle].chunk < chunk) low = middle + 1;
    else high = middle;
  }
  return low;
}

static int compare(const void *x, const void *y) {
  const struct lsi_fault *a = x, *b = y;
  return a->chunk < b->chunk ? -1 : a->chunk > b->chunk;
}

void lsi_faults_sort(struct lsi_request *r) {
  if (r->faults.n) qsort(r->faults.at, r->faults.n, sizeof *r->faults.at, compare);
}

const struct lsi_fault *lsi_fault_find(const struct lsi_request *r, uint32_t chunk) {
  const struct lsi_faults *f = &r->faults;
  if (LSI_LIKELY(!f->n)) return NULL;
  const uint32_t i = lower(f, chunk);
  return i < f->n && f->at[i].chunk == chunk ? &f->at[i] : NULL;
}

void lsi_faults_select(struct lsi_request *r, uint32_t begin, uint32_t end) {
  struct lsi_faults *f = &r->faults;
  const uint32_t from = lower(f, begin), to = lower(f, end);
  if (f->n) memmove(f->at, f->at + from, (to - from) * sizeof *f->at);
  f->n = to - from;
  for (uint32_t i = 0; i < f->n; i++) f->at[i].chunk -= begin;
}

int lsi_fault_outside(const struct lsi_request *r, uint32_t object, int64_t offset, int64_t length, int code,
                      struct lsi_error *err) {
  const int64_t size = (int64_t)r->objects[object].size;
  if (length == LSI_TO_END && offset)
    lsi_fail(err, code, 0, "the offset %" PRId64 " lies %s of its object of %" PRId64 " bytes", offset,
             offset < 0 ? "before the beginning" : "behind the end", size);
  else
    lsi_fail(err, code, 0, "the range of offset %" PRId64 " and length %" PRId64
                           " does not lie within its object of %" PRId64 " bytes", offset, length, size);
  if (length < LSI_TO_END) lsi_error_remedy(err, "lengths are 0 or more, or -1: to the object's end");
  else if (code == LSIO_ERR_SOURCE) lsi_error_remedy(err, "the object is shorter than was asked for");
  lsi_error_at(err, lsi_request_name(r, object), LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return code;
}

static int too_large(const struct lsi_fault *f, struct lsi_error *err) {
  const uint64_t need = (uint64_t)f->offset;
  lsi_fail(err, LSIO_ERR_LIMIT, 0, "a step needs %" PRIu64 " bytes of memory, but the job may use %" PRId64,
           need, f->length);
  lsi_error_remedy(err, "allow more with --memory %" PRIu64 "MiB, take chunks in pieces (`piece`), or read "
                        "smaller chunks", lsi_mebibytes(need));
  return LSIO_ERR_LIMIT;
}

int lsi_fault_error(const struct lsi_request *r, const struct lsi_fault *f, struct lsi_error *err) {
  if (f->kind == LSI_FAULT_OBJECT) return 0;
  if (f->kind == LSI_FAULT_LARGE) return too_large(f, err);
  return lsi_fault_outside(r, r->object[f->chunk], f->offset, f->length, LSIO_ERR_SOURCE, err);
}
