/* Chunks that can't be had, as is known before anything is read: faults of a request. Where steps that fail
 * are skipped, they are failures of their steps. Such a chunk has its place in the request, and its length
 * where that was asked for, so that the places of other results do not depend on it; nothing is planned or
 * read for it. */
#ifndef LSI_FAULTS_H
#define LSI_FAULTS_H

#include "ground/err.h"

struct lsi_request;

enum lsi_fault_kind {
  LSI_FAULT_OBJECT,  /* that of its object, which says why */
  LSI_FAULT_OUTSIDE, /* it does not lie within its object */
  LSI_FAULT_LARGE    /* its step does not fit into memory */
};

struct lsi_fault {
  uint32_t chunk;
  uint8_t kind;    /* enum lsi_fault_kind */
  int64_t offset;  /* as it was asked for; LARGE: bytes that its step needs, */
  int64_t length;  /* and those that there are */
};

struct lsi_faults {
  struct lsi_fault *at; /* by chunk */
  uint32_t n, cap;
};

/* Of a chunk behind all those that have one, or to be sorted in afterwards. LSIO_ERR_NOMEM. */
int lsi_fault_add(struct lsi_request *r, const struct lsi_fault *fault, struct lsi_error *err);
void lsi_faults_sort(struct lsi_request *r);
/* That of a chunk, or NULL. */
const struct lsi_fault *lsi_fault_find(const struct lsi_request *r, uint32_t chunk);
/* Keeps those of chunks [begin, end), which become the first ones. */
void lsi_faults_select(struct lsi_request *r, uint32_t begin, uint32_t end);
/* The range does not lie within its object. Returns `code`. */
int lsi_fault_outside(const struct lsi_request *r, uint32_t object, int64_t offset, int64_t length, int code,
                      struct lsi_error *err);
/* Says what it is; the object is not named where its store is to do that (LSI_FAULT_OBJECT: 0). */
int lsi_fault_error(const struct lsi_request *r, const struct lsi_fault *fault, struct lsi_error *err);

#endif
