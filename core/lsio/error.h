/* Errors. Read lsio.h first; programs include that. */
#ifndef LSIO_ERROR_H
#define LSIO_ERROR_H

#include "lsio/base.h"

LSIO_BEGIN

/* ---- Errors -------------------------------------------------------------------------------------
 * X(name, value, exit code of the runner, text). Values never change. */
#define LSIO_ERRORS(X)                                                                  \
  X(LSIO_ERR_USAGE, -2, 2, "wrong option or argument")                                  \
  X(LSIO_ERR_SCRIPT, -3, 3, "the job script does not load or is not valid")             \
  X(LSIO_ERR_SOURCE, -4, 4, "a source is missing or has changed")                       \
  X(LSIO_ERR_IO, -5, 5, "input or output error")                                        \
  X(LSIO_ERR_OUTPUT, -6, 6, "the output exists, is full or may not be written")         \
  X(LSIO_ERR_TRANSFORM, -7, 7, "the transform failed")                                  \
  X(LSIO_ERR_CORRUPT, -8, 8, "corrupt data")                                            \
  X(LSIO_ERR_LIMIT, -9, 9, "a limit of memory or time was reached")                     \
  X(LSIO_ERR_NOMEM, -10, 9, "out of memory")                                            \
  X(LSIO_ERR_CANCELLED, -11, 130, "cancelled")                                          \
  X(LSIO_ERR_UNSUPPORTED, -12, 5, "not supported here")                                 \
  X(LSIO_ERR_BUSY, -13, 2, "the job is still running")                                  \
  X(LSIO_ERR_BUG, -14, 70, "internal error of LSIO, please report it")

enum lsio_err {
  LSIO_OK = 0,
#define LSIO_ERR_ENUM(name, value, exit_code, text) name = value,
  LSIO_ERRORS(LSIO_ERR_ENUM)
#undef LSIO_ERR_ENUM
};

typedef struct lsi_error lsio_error; /* opaque */

/* Static strings; any int is accepted. */
LSIO_API const char *lsio_strerror(int code);
LSIO_API const char *lsio_error_name(int code);

LSIO_API int lsio_error_code(const lsio_error *e);
/* errno, HTTP status or a library's code; 0 when there is none. */
LSIO_API int lsio_error_os_code(const lsio_error *e);
/* The whole story in one line: what, object, offset, length, step, OS text, and what to do. The
 * string belongs to the error. */
LSIO_API const char *lsio_error_message(const lsio_error *e);
/* Name of the object it is about, "" when it is about none. Belongs to the error. */
LSIO_API const char *lsio_error_object(const lsio_error *e);
/* Byte offset in the object and index of the step; UINT64_MAX when it is about none. */
LSIO_API uint64_t lsio_error_offset(const lsio_error *e);
LSIO_API uint64_t lsio_error_step(const lsio_error *e);
/* All of it as a JSON object on one line, as in the summary's `errors` and in lines of --errors: code (the
 * name), message, object, offset, length, step (null when it is about none), os_code. Bytes that are no
 * UTF-8 are written as \xNN. Handed over: free with lsio_free. NULL: out of memory. */
LSIO_API char *lsio_error_json(const lsio_error *e);
/* NULL is fine. */
LSIO_API void lsio_error_free(lsio_error *e);

LSIO_END

#endif
