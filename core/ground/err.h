/* The one error type inside LSIO. Functions return 0 (or a count) on success and a negative
 * LSIO_ERR_* (core/lsio.h) on failure; a `struct lsi_error *` beside it, which may be NULL, takes the
 * details. The struct is of fixed size so that reporting an error can never itself fail for want of
 * memory. Not thread-safe: one owner at a time. */
#ifndef LSI_ERR_H
#define LSI_ERR_H

#include "ground/base.h"
#include "lsio.h"

#define LSI_NO_OFFSET UINT64_MAX
#define LSI_NO_STEP UINT64_MAX

struct lsi_error {
  int code;         /* LSIO_ERR_*, 0 = no error */
  int os_code;      /* errno, HTTP status or library code; 0 = none */
  int kind;         /* LSIO_KIND_*, where code and os_code do not tell; 0 = they do */
  uint64_t offset;  /* in the object, LSI_NO_OFFSET = not about a place */
  uint64_t length;
  uint64_t step;    /* index of the step in the request, LSI_NO_STEP = not about a step */
  char object[512]; /* name of the object, "" = not about one; long names keep their end */
  char file[256];   /* of a script, where it comes from a line of one, else ""; long names keep their end */
  int line;         /* of it, from 1 on; 0 = not known */
  char what[768];   /* what happened, one sentence without a full stop */
  char remedy[256]; /* what the user can do about it; may be "" */
  char text[1700];  /* lsio_error_message's answer, made when asked for */
};

void lsi_error_clear(struct lsi_error *e);

/* Fills *e (when not NULL) and returns `code`, so that `return lsi_fail(e, ...)` works. Only the
 * first failure is kept: an error that is already set stays. */
int lsi_fail(struct lsi_error *e, int code, int os_code, const char *fmt, ...) LSI_PRINTF(4, 5);
/* Adds where it happened to the error that is set; each field only if it is not yet known. */
void lsi_error_at(struct lsi_error *e, const char *object, uint64_t offset, uint64_t length,
                  uint64_t step);
/* Adds the place in a script that it comes from, unless one is known: n bytes of a name, a line or 0. */
void lsi_error_from(struct lsi_error *e, const char *file, size_t n, int line);
/* What kind of error it is that is set, where its code and os_code do not tell (LSIO_KIND_*). */
void lsi_error_is(struct lsi_error *e, int kind);
void lsi_error_remedy(struct lsi_error *e, const char *fmt, ...) LSI_PRINTF(2, 3);
/* Something else that can be done, behind the remedy where there is one. */
void lsi_error_remedy_more(struct lsi_error *e, const char *text);

/* "what: object 'x', offset 3, length 4, step 5: No such file or directory (ENOENT); remedy".
 * Writes at most `cap` bytes with the NUL and returns the length it has or would have. */
size_t lsi_error_format(const struct lsi_error *e, char *buf, size_t cap);

/* "x.f32: offset 4096, step 5: what: No such file or directory", for lists of many: the name first, no line
 * break, no remedy, and no offset where that is 0. */
size_t lsi_error_line(const struct lsi_error *e, char *buf, size_t cap);

/* LSIO_KIND_*. */
int lsi_error_kind(const struct lsi_error *e);
/* See lsio_error_is_retryable. */
bool lsi_error_passes(const struct lsi_error *e);

/* The process exit code that an error code stands for (2 to 9, 70 for a bug, 130). */
int lsi_error_exit_code(int code);

#endif
