/* Errors. Read lsio.h first; programs include that. */
#ifndef LSIO_ERROR_H
#define LSIO_ERROR_H

#include "lsio/base.h"

LSIO_BEGIN

/* ---- Errors -------------------------------------------------------------------------------------
 * X(name, value, exit code of the runner, text). Values never change. */
#define LSIO_ERRORS(X)                                                                      \
  X(LSIO_ERR_USAGE, -2, 2, "wrong option or argument")                                      \
  X(LSIO_ERR_SCRIPT, -3, 3, "the job script does not load or is not valid")                 \
  X(LSIO_ERR_SOURCE, -4, 4, "a source is missing or has changed")                           \
  X(LSIO_ERR_IO, -5, 5, "input or output error")                                            \
  X(LSIO_ERR_OUTPUT, -6, 6, "the output exists, is full or may not be written")             \
  X(LSIO_ERR_TRANSFORM, -7, 7, "the transform failed")                                      \
  X(LSIO_ERR_CORRUPT, -8, 8, "corrupt data")                                                \
  X(LSIO_ERR_LIMIT, -9, 9, "a limit was reached, such as that of memory")                   \
  X(LSIO_ERR_NOMEM, -10, 9, "out of memory")                                                \
  X(LSIO_ERR_CANCELLED, -11, 130, "cancelled")                                              \
  X(LSIO_ERR_UNSUPPORTED, -12, 5, "not supported here")                                     \
  X(LSIO_ERR_BUSY, -13, 2, "the job is still running")                                      \
  X(LSIO_ERR_BUG, -14, 70, "internal error of LSIO, please report it")                      \
  X(LSIO_ERR_FORKED, -15, 2, "it was made before a fork, by the parent of this process")    \
  X(LSIO_ERR_TIMEOUT, -16, 9, "the deadline has passed")

enum lsio_err {
  LSIO_OK = 0,
#define LSIO_ERR_ENUM(name, value, exit_code, text) name = value,
  LSIO_ERRORS(LSIO_ERR_ENUM)
#undef LSIO_ERR_ENUM
};

/* What sort of thing went wrong: what a program that handles errors, or a binding that maps them to its
 * language's own, asks for. A code says which part of a job failed, and its exit code; a kind says why. So a
 * source and the folder of an output that are not there have different codes and one kind.
 * X(name, value, name in JSON). Values and names never change; there may be more of them. */
#define LSIO_KINDS(X)                                                                               \
  X(LSIO_KIND_NONE, 0, "none")               /* there is no error */                                \
  X(LSIO_KIND_OTHER, 1, "other")             /* none of these */                                    \
  X(LSIO_KIND_USAGE, 2, "usage")             /* what was asked for can't be: a wrong setting, a     \
                                                directory as a source, a shape of other size */     \
  X(LSIO_KIND_SCRIPT, 3, "script")           /* the job script does not load or is not valid */     \
  X(LSIO_KIND_NOT_FOUND, 4, "not_found")     /* no such source, or no folder for the output */      \
  X(LSIO_KIND_PERMISSION, 5, "permission")   /* not allowed, or a read-only file system */          \
  X(LSIO_KIND_EXISTS, 6, "exists")           /* the output is there, and is not to be replaced */   \
  X(LSIO_KIND_CHANGED, 7, "changed")         /* a source changed or went away while it was read */  \
  X(LSIO_KIND_IO, 8, "io")                   /* a device or the system failed to read or write */   \
  X(LSIO_KIND_NO_SPACE, 9, "no_space")       /* no room on the output's file system, or of a quota */ \
  X(LSIO_KIND_TIMEOUT, 10, "timeout")        /* a deadline has passed, or nobody answered in time */ \
  X(LSIO_KIND_CANCELLED, 11, "cancelled")                                                           \
  X(LSIO_KIND_TRANSFORM, 12, "transform")    /* code of the job's failed while it ran */            \
  X(LSIO_KIND_CORRUPT, 13, "corrupt")        /* data are not what they should be */                 \
  X(LSIO_KIND_LIMIT, 14, "limit")            /* more than a limit allows: memory, sizes, counts */  \
  X(LSIO_KIND_NO_MEMORY, 15, "no_memory")    /* the system gave no memory */                        \
  X(LSIO_KIND_UNSUPPORTED, 16, "unsupported") /* this machine, build or version can't do it */      \
  X(LSIO_KIND_BUSY, 17, "busy")              /* the job is still running */                         \
  X(LSIO_KIND_FORKED, 18, "forked")          /* it belongs to the parent of this process */         \
  X(LSIO_KIND_BUG, 19, "bug")                /* of LSIO */

enum lsio_kind {
#define LSIO_KIND_ENUM(name, value, word) name = value,
  LSIO_KINDS(LSIO_KIND_ENUM)
#undef LSIO_KIND_ENUM
};

typedef struct lsi_error lsio_error; /* opaque */

/* Static strings; any int is accepted. */
LSIO_API const char *lsio_strerror(int code);
LSIO_API const char *lsio_error_name(int code);
LSIO_API const char *lsio_error_kind_name(int kind); /* "not_found"; of others "other" */

/* What follows takes an error that is not NULL. One that a function handed over does not change: any threads
 * may read it at the same time. One that belongs to a job, or is borrowed, is its job's thread's. */

LSIO_API int lsio_error_code(const lsio_error *e);
LSIO_API int lsio_error_kind(const lsio_error *e); /* enum lsio_kind */
/* errno, HTTP status or a library's code; 0 when there is none. */
LSIO_API int lsio_error_os_code(const lsio_error *e);
/* The whole story in one line: what, object, offset, length, step, OS text, and what to do. The
 * string belongs to the error. */
LSIO_API const char *lsio_error_message(const lsio_error *e);
/* Name of the object it is about, "" when it is about none. Belongs to the error. */
LSIO_API const char *lsio_error_object(const lsio_error *e);
/* Byte offset and length in the object, and index of the step; UINT64_MAX when it is about none. */
LSIO_API uint64_t lsio_error_offset(const lsio_error *e);
LSIO_API uint64_t lsio_error_length(const lsio_error *e);
LSIO_API uint64_t lsio_error_step(const lsio_error *e);
/* Where in the job's script, or in a file that it requires, it comes from: the line that raised it, that
 * called what failed (of a transform that ended with that call: where the transform begins), or that does not
 * compile. The file by the name that the script was given (script_name, "job"), long ones without their
 * beginning; "" when it comes from none. The line counts from 1 on; 0 when it is not known. The message says
 * the same in its own words. Belongs to the error. */
LSIO_API const char *lsio_error_file(const lsio_error *e);
LSIO_API int lsio_error_line(const lsio_error *e);
/* 1: the same request, made again as it is, may succeed, for what was in its way passes by itself: memory,
 * descriptors or threads that others had in use, a server or device that did not answer in time, a source
 * that changed while it was read (a new job reads it as it is then), a deadline that a busy machine missed,
 * a job that still runs. 0: something has to be changed before: the arguments, the script, the data,
 * permissions, the room on a disk, a limit; or nobody knows. It says nothing about how often or how soon to
 * try, and what a script has done before the error may happen again. */
LSIO_API int lsio_error_is_retryable(const lsio_error *e);
/* A copy, which outlives what *e belongs to and does not change. Handed over: free with lsio_error_free. Of
 * NULL: NULL. Where there is no memory for a copy, an error that says so (LSIO_ERR_NOMEM). */
LSIO_API lsio_error *lsio_error_dup(const lsio_error *e);
/* All of it as a JSON object on one line, as in the summary's `errors` and in lines of --errors: code (the
 * name), kind (its name), message, object, offset, length, step, file, line (null where there is none),
 * os_code. Bytes that are no UTF-8 are written as \xNN. Handed over: free with lsio_free. NULL: out of
 * memory. */
LSIO_API char *lsio_error_json(const lsio_error *e);
/* NULL is fine. */
LSIO_API void lsio_error_free(lsio_error *e);

LSIO_END

#endif
