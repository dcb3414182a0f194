/* A job's request: objects, chunks and steps in flat arrays, no allocation per chunk. Built by the
 * coordinator, then read-only and shared by all workers. */
#ifndef LSI_REQUEST_H
#define LSI_REQUEST_H

#include "ground/names.h"
#include "plan/faults.h"
#include "seams/object.h"

#define LSI_MAX_CHUNKS UINT32_MAX
#define LSI_TO_END ((int64_t)-1) /* as a length: up to the object's end */
#define LSI_LATE_BYTES (16u << 10) /* what planning takes a file for whose size it does not know */

/* What becomes of an object that is not there: where that is no failure, it is left out of the request, or
 * its steps deliver nothing and the fill stands in their places. */
enum lsi_missing { LSI_MISSING_ERROR, LSI_MISSING_SKIP, LSI_MISSING_FILL };

struct lsi_watch; /* core/seams/watch.h */

struct lsi_request {
  struct lsi_watch *watch;         /* who watches how objects are listed; borrowed, may be NULL */
  bool all_known;                  /* objects must not be late */
  uint8_t keeps;                   /* what can't be had is a fault, not an error: enum lsi_keep */
  uint8_t missing;                 /* enum lsi_missing */
  /* objects */
  bool late;                       /* of some, nothing is known but name, store and device. Each is the
                                      only object of one chunk, which is all of it. The worker that opens
                                      it fills in the rest, and the chunk's length. */
  uint32_t n_objects;
  struct lsi_names names;          /* n_objects */
  struct lsi_object_info *objects; /* n_objects */
  uint16_t *object_device;         /* n_objects indices into the plan's devices; set by planning */
  /* chunks; a step's chunks are neighbours */
  uint32_t n_chunks;
  uint32_t *object;                /* n_chunks */
  uint64_t *offset;                /* n_chunks, absolute */
  uint64_t *length;                /* n_chunks, may be 0; without a fault offset + length <= object's size */
  int64_t *tag;                    /* n_chunks, or NULL: all 0 */
  uint64_t cut;                    /* not 0: it has one object, whose end shows when it is read, and these are
                                      the first of its chunks, of so many bytes each; requests of their own
                                      have those behind them (cut.c) */
  uint64_t cut_most;               /* so many in all; 0: as many as there turn out to be */
  uint64_t n_missing;              /* chunks that it does not have as their objects are not there */
  struct lsi_faults faults;        /* of chunks; their lengths are as asked for, or 0 */
  /* steps */
  uint32_t n_steps;
  uint32_t *step_first;            /* n_steps + 1 chunk indices, or NULL: step i is chunk i */
  uint32_t n_groups;               /* of neighbouring steps */
  uint32_t *group_first;           /* n_groups + 1 step indices, or NULL: there are none */
  uint64_t first_index;            /* index of step 0 in the whole request (shards) */
  /* growth */
  uint32_t objects_cap;
  uint32_t chunks_cap;
  uint32_t steps_cap;
};

static inline const char *lsi_request_name(const struct lsi_request *r, uint32_t object) {
  return lsi_names_get(&r->names, object);
}
static inline uint32_t lsi_request_chunk_begin(const struct lsi_request *r, uint32_t step) {
  return r->step_first ? r->step_first[step] : step;
}
static inline uint32_t lsi_request_chunk_end(const struct lsi_request *r, uint32_t step) {
  return r->step_first ? r->step_first[step + 1] : step + 1;
}

struct lsi_request *lsi_request_create(void); /* NULL: no memory */
void lsi_request_free(struct lsi_request *r);
/* Adds an object; its info must be known before chunks of it are added. Name is copied. */
int lsi_request_add_object(struct lsi_request *r, const char *name,
                           const struct lsi_object_info *info, uint32_t *index,
                           struct lsi_error *err);
/* Adds an object for each of many names, which it may take over: then *names is empty. The caller fills
 * in the infos of objects [*first, n_objects), before chunks of them are added. */
int lsi_request_take_names(struct lsi_request *r, struct lsi_names *names, uint32_t *first,
                           struct lsi_error *err);
/* Makes the object one of which only the name is known; it is thought to lie where `beside` lies. */
void lsi_request_set_late(struct lsi_request *r, uint32_t object, const struct lsi_object_info *beside);
/* Room for n more chunks (optional). */
int lsi_request_reserve(struct lsi_request *r, uint64_t chunks, struct lsi_error *err);
/* Adds one chunk as one step. A negative offset counts from the object's end, a length may be LSI_TO_END.
 * Errors (USAGE) name the object and the range when it does not lie within it. */
int lsi_request_add_chunk(struct lsi_request *r, uint32_t object, int64_t offset, int64_t length,
                          int64_t tag, struct lsi_error *err);
/* n of them; `object`, `offset`, `length`, `tag` (or NULL) are arrays of n. */
int lsi_request_add_chunks(struct lsi_request *r, uint64_t n, const uint32_t *object,
                           const int64_t *offset, const int64_t *length, const int64_t *tag,
                           struct lsi_error *err);
/* One step of several chunks. */
int lsi_request_add_step(struct lsi_request *r, uint32_t n, const uint32_t *object,
                         const int64_t *offset, const int64_t *length, const int64_t *tag,
                         struct lsi_error *err);
/* Once all steps have been added: their groups, n numbers from 0 on that never fall. Steps next to each other
 * with the same number are one. USAGE: they are no such numbers. */
int lsi_request_set_groups(struct lsi_request *r, const int64_t *group, uint64_t n, struct lsi_error *err);
/* Cuts [offset, offset + length) of an object (a negative offset counts from its end, length UINT64_MAX = to
 * it) into chunks of `chunk` bytes (0 = one chunk), one step each; the last may be shorter; an empty range is
 * one empty step. */
int lsi_request_cut(struct lsi_request *r, uint32_t object, int64_t offset, uint64_t length,
                    uint64_t chunk, struct lsi_error *err);
/* For an object of unknown end (LSI_ENDLESS), the request's only one: its first chunks of `chunk` bytes from
 * `offset` on, and `cut`. USAGE: there are others. */
int lsi_request_cut_on(struct lsi_request *r, uint32_t object, uint64_t offset, uint64_t chunk,
                       struct lsi_error *err);
/* The chunks behind the first `before` of such a request, at most `most` (> 0) of them, as a request with the
 * same object. *out NULL: there are no more. LIMIT: more than can be counted. */
int lsi_request_cut_more(const struct lsi_request *first, uint64_t before, uint32_t most,
                         struct lsi_request **out, struct lsi_error *err);
/* Keeps steps floor(i*S/n) up to floor((i+1)*S/n) of S, then at most `limit` (0 = all). Before planning. Of a
 * request with `cut` only the limit can be. */
int lsi_request_select(struct lsi_request *r, uint32_t i, uint32_t n, uint64_t limit,
                       struct lsi_error *err);
/* Keeps the step of that index in the whole request alone. False: it is not among those that are there. */
bool lsi_request_select_step(struct lsi_request *r, uint64_t index);
/* Sum of lengths, saturating; without objects that are late and have not been opened. */
uint64_t lsi_request_bytes(const struct lsi_request *r);
uint64_t lsi_request_memory(const struct lsi_request *r); /* bytes its arrays take */

#endif
