/* Results in memory. Read lsio.h first; programs include that. */
#ifndef LSIO_RESULT_H
#define LSIO_RESULT_H

#include "lsio/job.h"

LSIO_BEGIN

/* ---- Results in memory --------------------------------------------------------------------------
 * Of a job whose sink is lsio.memory: results stand in request order, without gaps. Where their sizes
 * are known before reading, transforms write straight into the array (chunk.out); that is so without
 * `out_max` and codec, and with a codec when `decoded` times the number of chunks is what the sink's
 * shape (without -1) holds, the last chunk being shorter perhaps. Else they are copied in.
 * Bytes that are the result as they are stored (no transform, no codec, the same type) are read straight
 * into the array: from the page cache always; past it where address, offset and length are multiples
 * of 4096 and the CPU is what bounds the run, or the setting `direct` is always. So do not touch the array,
 * and do not fork, while the job runs.
 * The array that LSIO makes is not part of the setting `memory`. For results of variable size, addresses
 * for the largest result are reserved, but memory is taken only as it is written.
 * Workers that wait for storage make pages ready that nobody has touched, in an array of the caller's too.
 * After a job that failed or was cancelled, what an array of the caller's holds is unspecified. */
struct lsio_array {
  size_t struct_size; /* set by the caller */
  void *data;         /* NULL when LSIO made none, having no elements for it */
  size_t bytes;       /* of the result */
  const char *type;   /* of an element, in native byte order: "f32", ...; static */
  uint32_t ndim;      /* as the sink's shape says; 1 without it */
  int64_t shape[32];
  void *owner;        /* what lsio_array_free gives back; NULL: nothing */
};

/* After the end of a job with lsio_job_status 0: where the result is. It belongs to the job, or to the
 * caller if it is the caller's `output`. LSIO_ERR_BUSY before the end, LSIO_ERR_USAGE when the job has no
 * result in memory, the job's error when it has failed. */
LSIO_API int lsio_job_output(const lsio_job *job, struct lsio_array *out);
/* The same, once, and hands the array over: it outlives the job and the context. */
LSIO_API int lsio_job_take_output(lsio_job *job, struct lsio_array *out);
/* Gives back an array that was handed over; *array is empty then. Thread-safe. NULL is fine. */
LSIO_API void lsio_array_free(struct lsio_array *array);

LSIO_END

#endif
