/* What to read, from arrays. Read lsio.h first; programs include that. */
#ifndef LSIO_REQUEST_H
#define LSIO_REQUEST_H

#include <stddef.h>

#include "lsio/context.h"

LSIO_BEGIN

/* ---- Requests -----------------------------------------------------------------------------------
 * Ranges of objects, each of them a step, in the options of a job (`request`):
 *   - without a script the job is a plain read: bytes, as they are stored, into `output`, one range behind
 *     the other; or streamed; or into an array that LSIO makes (lsio_job_output). No Lua is involved. With a
 *     `transform` that gets them instead, as u8;
 *   - with a script they are its source, which it leaves out.
 * Objects are looked at, and ranges compared with their sizes, when a job is planned; what is wrong then ends
 * that job or, where failed steps are skipped (the setting on-error=skip), fails the steps that it is about:
 * objects that are not there or can't be read, ranges that do not lie within theirs. A request may be that of
 * any number of jobs, at the same time. Thread-safe. */

typedef struct lsio_request lsio_request;

enum lsio_request_flags {
  /* The arrays, `objects` and its names too (not the options), are borrowed until `release` is called and not
   * changed meanwhile; they are read by other threads. Creating a request then takes no time, however long
   * they are. */
  LSIO_REQUEST_BORROW = 1
};

struct lsio_request_options {
  size_t struct_size;
  uint32_t flags;             /* enum lsio_request_flags; without BORROW all is copied */
  uint32_t reserved;
  const char *const *objects; /* paths or URLs, as they are: no patterns */
  size_t n_objects;
  size_t n;                   /* ranges: elements of the arrays below, which lie aligned to them; fewer than
                                 2^32 - 1 */
  const uint32_t *object;     /* indices of objects, from 0 on. NULL: all of the only one; or of several, as
                                 many as there are ranges, each its own */
  const int64_t *offset;      /* in bytes; negative ones count from the object's end. NULL: all 0 */
  const int64_t *length;      /* in bytes, may be 0; -1: to the object's end. NULL: all of them -1 */
  const int64_t *tag;         /* what results are known by, besides their step. NULL: all 0 */
  /* NULL, or called once, when the arrays are not read any more: when the last reference goes, which may be a
   * job's, on a thread of its context; with all copied, or on failure, before lsio_request_create returns. */
  void (*release)(void *user);
  void *user;
  const int64_t *group;       /* from 0 on, never falling: all results of a group that a job streams come
                                 before any of the next (enum lsio_order). NULL: there are none */
};

/* *out is a reference, which the caller releases; jobs have their own until they have been planned.
 * LSIO_ERR_USAGE: arrays are missing or not aligned, or there are too many ranges. */
LSIO_API int lsio_request_create(const struct lsio_request_options *options, lsio_request **out,
                                 lsio_error **error);
/* Returns its argument. */
LSIO_API lsio_request *lsio_request_retain(const lsio_request *request);
/* NULL is fine. */
LSIO_API void lsio_request_release(lsio_request *request);

/* ---- Bytes at hand ---- */

/* Reads ranges of one object into `out`, one behind the other, on this thread, if that takes no waiting: what
 * leads to the object and all of the bytes are in memory (the page cache), and nobody has changed it within
 * the last seconds. That is a few microseconds, where a job takes tens for what it has threads do. `offset`
 * and `length` are n numbers each, as those of a request; `out` has room for `room` bytes.
 *   Returns how many bytes were read; negative: it is not so, or there is something wrong. Then `out` holds
 * anything, and a job reads them, or tells what is wrong. A context with a `backend` of its own has all bytes
 * read by that, and none here. What is copied keeps this thread: tens of KiB are meant. Thread-safe. */
LSIO_API int64_t lsio_read_now(lsio_context *context, const char *object, const int64_t *offset,
                               const int64_t *length, size_t n, void *out, size_t room);

LSIO_END

#endif
