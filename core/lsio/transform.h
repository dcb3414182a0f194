/* Transforms in C. Read lsio.h first; programs include that. */
#ifndef LSIO_TRANSFORM_H
#define LSIO_TRANSFORM_H

#include "lsio/base.h"

LSIO_BEGIN

/* ---- Transforms ---------------------------------------------------------------------------------
 * A function of the program's in the place of a script's `transform`: lsio_job_options.transform. The script
 * says all the rest (source, type, codec, piece, sink, out_max, on_error, fill, setup, done, ...) and has no
 * transform, init or finish of its own; in the workers of such a job no Lua is opened. What the functions
 * get are plain structs and pointers, so they may be written in whatever can make a C function (Rust's
 * extern "C", numba's cfunc); they must not let an exception or a panic out. The script's `params` are not
 * among it: what the functions need, `user` leads to.
 *
 * A worker calls its functions on one thread, in the order open_worker, steps, finish, close; different
 * workers do so at the same time, so what `user` leads to must bear that.
 *
 * States: each worker has one, which no other touches, and they are merged at the end. Either
 *   - the script has `state` as text, and perhaps `reduce`: the state is that C struct ("double sum,
 *     hist[16]; int64_t n;" is struct { double sum, hist[16]; int64_t n; }, and lsio_moments is
 *     struct { double n, mean, m2; }). It begins as its reducers say, and they merge it; the result goes to
 *     `done`, and is `state` in the summary; or
 *   - the transform has state_size bytes (zeroed before open_worker sees them), or makes its own
 *     (state_size 0: open_worker sets *state), and merges them by `merge`: lsio_job_state has the result.
 * States of workers that ran no step are not merged. Where no worker ran any, the result is what `reduce`
 * begins with, or a state that open_worker makes for it. They are merged into that of the lowest worker, in
 * the order of the workers, once all steps have run, and only if the job has not failed.
 *
 * Under on_error = "skip" a step that fails (or whose result can't be delivered, or a later piece of whose
 * chunk is damaged) leaves no trace in the state: the bytes of the script's struct, or the state_size bytes,
 * are kept before each step (or first piece) and put back. A state with memory of its own has `undo`, and
 * `save` if it needs that, in their place. */

enum lsio_step_flags {
  LSIO_STEP_FIRST = 1,   /* the data is all of the chunk, or its first piece */
  LSIO_STEP_LAST = 2,    /* all of the chunk, or its last piece */
  /* Data lies on 64 bytes. What is decoded does, and so does what is copied from the page cache, but for
   * chunks that are read together: the first of them does, others where the distance says so. What is read
   * past the page cache, or lent, lies as in its file. */
  LSIO_STEP_ALIGNED = 4,
  LSIO_STEP_PADDED = 8,  /* 64 bytes behind the data may be read; they hold anything, and may change */
  LSIO_STEP_LENT = 16,   /* the data lies in the page cache, not in LSIO's memory: should somebody write to
                            the file it may change during the step, and the job fails. Never padded */
  LSIO_STEP_OUT_ALIGNED = 32, /* out lies on 64 bytes */
  LSIO_STEP_OUT_PADDED = 64   /* 64 bytes behind out may be written. Not where it is the result's place in
                                 an array: there they are the next result's */
};

/* What a step sees. Fields are only ever added, at the end: `size` says which there are. All of it is
 * borrowed until the step returns. */
typedef struct lsio_step {
  uint32_t size;        /* in bytes, of what this LSIO fills */
  uint32_t flags;       /* enum lsio_step_flags */
  const void *data;     /* decoded, in native byte order */
  uint64_t bytes;       /* of data */
  uint64_t n;           /* its elements */
  void *out;            /* where the result goes: out_n elements of out_type. NULL: nobody wants one */
  uint64_t out_n;       /* n, or the job's out_max */
  void *scratch;        /* memory for the step's own use, on 64 bytes; holds anything */
  uint64_t scratch_bytes; /* as many as data has, or more */
  uint64_t index;       /* of the step in the request, from 0 on */
  int64_t pos;          /* of the first element in the result; -1: not known, but in a job with `piece`, where
                           it is then that in the chunk */
  uint64_t object;      /* index of its object (file) */
  uint64_t object_size; /* bytes */
  uint64_t offset;      /* of the stored bytes in the object */
  uint64_t length;      /* stored bytes */
  int64_t tag;
  const char *name;     /* of the object, NUL-terminated */
  uint64_t name_length;
  const char *type;     /* of an element of data: "f32", ...; static */
  const char *out_type;
  uint32_t item;        /* bytes of an element of data */
  uint32_t out_item;
  uint32_t worker;      /* from 0 on */
  uint32_t n_chunks;    /* 1; a later LSIO may have steps of several */
  void *user;           /* of the transform */
  char *message;        /* a step that fails may say why: text that ends with a NUL ... */
  uint64_t message_size;  /* ... within so many bytes */
  const volatile int32_t *stop; /* not 0 once the job is to end (cancelled, failed): a step that takes long
                                   should look at it now and then, and return an error */
} lsio_step;

/* What a step returns:
 *   0                  done; out, where there is one, is full
 *   k > 0              done, with k elements in out (k <= out_n; needs the job's out_max, below 2^31)
 *   LSIO_STEP_NOTHING  done, and it has no result: `fill` stands in its place, if that is fixed
 *   an LSIO_ERR_ code  it failed. LSIO_ERR_CORRUPT, _LIMIT, _UNSUPPORTED and _NOMEM (which ends the job, also
 *                      under skip) are the error's; any other negative number is LSIO_ERR_TRANSFORM there */
enum { LSIO_STEP_NOTHING = -1 };

/* Other functions return 0, or what a step that fails returns; they may put text into `message` as steps do,
 * of `size` bytes. What they return as an error ends the job. All but `step` may be NULL. */
struct lsio_transform {
  size_t struct_size;
  void *user; /* what the functions get; borrowed until release */
  /* A worker begins: *state is the state's bytes, or NULL where there are none, and may be set then. */
  int32_t (*open_worker)(void *user, uint32_t worker, void **state, char *message, size_t size);
  int32_t (*step)(const lsio_step *step, void *state);
  /* After the last step of a worker that ran any, unless the job has failed. */
  int32_t (*finish)(void *user, void *state, char *message, size_t size);
  /* Once for each state for which open_worker has returned 0: frees what it made, not the state's bytes. On
   * the worker's thread if the state was not to be merged; else once it is merged into another, by the thread
   * that ends the job, or when the job is destroyed. */
  void (*close)(void *user, void *state);
  /* Once for each transform that lsio_submit (or lsio_script_help) has been given, whatever they return:
   * LSIO will call nothing of it any more. When the job is destroyed, or before they return an error. */
  void (*release)(void *user);
  size_t state_size;  /* bytes of a state; below 2^31 */
  size_t state_align; /* a power of two, at most 2 MiB; states lie on 64 bytes at least */
  /* Adds `from` to `into`. */
  int32_t (*merge)(void *user, void *into, void *from, char *message, size_t size);
  /* Under on_error = "skip" only, and only if there is `undo`: the state's bytes are not kept then. `save`
   * before each step, or before the first piece of one; `undo` when it has failed. */
  void (*save)(void *user, void *state);
  void (*undo)(void *user, void *state);
};

LSIO_END

#endif
