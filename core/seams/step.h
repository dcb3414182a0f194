/* What one call of a transform sees. Plain declarations only: the build strips the lines that start
 * with '#' and feeds the rest to LuaJIT's ffi.cdef, so no macros, no inline functions, no includes
 * beyond this guard. Counts are doubles because LuaJIT reads them as plain numbers. */
#ifndef LSI_STEP_H
#define LSI_STEP_H
#include <stddef.h>
#include <stdint.h>

typedef struct lsi_chunk {
  const void *data;    /* decoded, native byte order; read-only; valid during the call */
  double n;            /* elements */
  double bytes;        /* n x size of the element type */
  double object;       /* 0-based index of its object */
  double object_size;  /* bytes */
  double offset;       /* of the stored bytes in the object */
  double length;       /* stored bytes */
  int64_t tag;
  const char *name;    /* NUL-terminated */
  size_t name_length;
} lsi_chunk;

struct lsi_error;

typedef struct lsi_step {
  lsi_chunk *chunk;    /* n_chunks of them; one address for the life of a worker in a job */
  uint32_t n_chunks;
  uint32_t worker;
  double index;        /* 0-based in the request (of the whole request, before --shard and --limit) */
  double pos;          /* first element's position in the result; when that is not known yet: -1, or in a
                        * job with `piece` its position within the chunk */
  void *out;           /* writable, out_n elements of the sink's type; NULL when there is no sink */
  double out_n;
  void *scratch;       /* writable, as large as the largest chunk of the step; NULL: to be asked for */
  double scratch_bytes;
  /* Makes `scratch` be there; may wait for memory. Of the step that runs, on its thread. LSIO_ERR_LIMIT:
   * there is none, LSIO_ERR_CANCELLED: the run ends. */
  int (*take_scratch)(struct lsi_step *step, struct lsi_error *err);
  int32_t piece;       /* 0 = all of the chunk, else LSI_PIECE_LATER and LSI_PIECE_MORE */
  /* set by the transform */
  int32_t result;      /* LSI_RESULT_* */
  double result_n;     /* LSI_RESULT_COUNT: elements written to out */
  const char *record;  /* LSI_RESULT_RECORD: bytes, valid until the next call */
  size_t record_length;
  /* set by the engine */
  int32_t memory;               /* LSI_MEMORY_*: where the data of a single chunk lies */
  const volatile int32_t *stop; /* not 0 once the run is to end */
} lsi_step;

enum {
  LSI_RESULT_FULL = 0,   /* out is full; in a stream without out_max: nothing to deliver */
  LSI_RESULT_COUNT = 1,  /* result_n elements of out */
  LSI_RESULT_RECORD = 2, /* a record: text of `record_length` bytes */
  LSI_RESULT_NONE = 3,   /* nothing to deliver */
  LSI_RESULT_WHOLE = 4   /* out is full, also in a stream */
};

enum {
  LSI_MEMORY_PADDED = 1, /* 64 bytes behind it may be read */
  LSI_MEMORY_LENT = 2    /* it is not the worker's: a mapped file, whose bytes may change */
};

/* A job with `piece` sees the data of a large chunk in several calls, in order. */
enum {
  LSI_PIECE_LATER = 1, /* there were pieces of this chunk before */
  LSI_PIECE_MORE = 2   /* there will be more */
};

#endif
