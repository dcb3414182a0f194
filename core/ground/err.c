#include "ground/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ground/show.h"

void lsi_error_clear(struct lsi_error *e) {
  if (!e) return;
  memset(e, 0, sizeof *e);
  e->offset = LSI_NO_OFFSET;
  e->step = LSI_NO_STEP;
}

int lsi_fail(struct lsi_error *e, int code, int os_code, const char *fmt, ...) {
  if (!e || e->code) return code;
  lsi_error_clear(e);
  e->code = code;
  e->os_code = os_code;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(e->what, sizeof e->what, fmt, ap);
  va_end(ap);
  return code;
}

static bool is_status(int os_code) { return os_code >= 200 && os_code < 600; }

/* The end of a name of n bytes where it is longer than the place for it. */
static void put_name(char *to, size_t cap, const char *name, size_t n) {
  const bool cut = n > cap - 1;
  const size_t keep = cut ? cap - 1 - 3 : n;
  if (cut) memcpy(to, "...", 3);
  memcpy(to + (cut ? 3 : 0), name + (n - keep), keep);
  to[keep + (cut ? 3 : 0)] = 0;
}

void lsi_error_at(struct lsi_error *e, const char *object, uint64_t offset, uint64_t length,
                  uint64_t step) {
  if (!e || !e->code) return;
  if (object && !e->object[0] && strstr(object, "://")) {
    char shown[2048];
    lsi_name_show(object, shown, sizeof shown);
    put_name(e->object, sizeof e->object, shown, strlen(shown));
  } else if (object && !e->object[0]) {
    put_name(e->object, sizeof e->object, object, strlen(object));
  }
  if (e->offset == LSI_NO_OFFSET && offset != LSI_NO_OFFSET) {
    e->offset = offset;
    e->length = length;
  }
  if (e->step == LSI_NO_STEP) e->step = step;
}

void lsi_error_from(struct lsi_error *e, const char *file, size_t n, int line) {
  if (!e || !e->code || e->file[0] || !n) return;
  put_name(e->file, sizeof e->file, file, n);
  e->line = line;
}

void lsi_error_is(struct lsi_error *e, int kind) {
  if (e && e->code && !e->kind) e->kind = kind;
}

void lsi_error_remedy(struct lsi_error *e, const char *fmt, ...) {
  if (!e || !e->code || e->remedy[0]) return;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(e->remedy, sizeof e->remedy, fmt, ap);
  va_end(ap);
}

void lsi_error_remedy_more(struct lsi_error *e, const char *text) {
  if (!e || !e->code) return;
  const size_t n = strlen(e->remedy);
  snprintf(e->remedy + n, sizeof e->remedy - n, "%s%s", n ? "; " : "", text);
}

/* snprintf at the end of what is there; keeps counting past the end as snprintf does. */
static void put(char *buf, size_t cap, size_t *len, const char *fmt, ...) LSI_PRINTF(4, 5);
static void put(char *buf, size_t cap, size_t *len, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  size_t at = LSI_MIN(*len, cap);
  int n = vsnprintf(cap ? buf + at : NULL, cap - at, fmt, ap);
  va_end(ap);
  if (n > 0) *len += (size_t)n;
}

/* Names of files and words of hostile lists must not steer the terminal that shows them. */
static void disarm(char *text) {
  for (char *p = text; *p; p++)
    if (((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f) *p = '?';
}

/* An errno, or the status of a reply, which is more than any. */
static void put_code(char *buf, size_t cap, size_t *len, int code, bool number) {
  if (is_status(code)) put(buf, cap, len, ": HTTP status %d", code);
  else if (number) put(buf, cap, len, ": %s (%d)", strerror(code), code);
  else put(buf, cap, len, ": %s", strerror(code));
}

size_t lsi_error_format(const struct lsi_error *e, char *buf, size_t cap) {
  size_t len = 0;
  if (cap) buf[0] = 0;
  put(buf, cap, &len, "%s", e->what[0] ? e->what : lsio_strerror(e->code));
  const char *sep = ": ";
  const size_t from = len;
  if (e->object[0]) put(buf, cap, &len, "%sobject '%s'", sep, e->object), sep = ", ";
  for (size_t i = from; i < len && i < cap; i++) /* a name may hold what would look like another line */
    if (buf[i] == '\n' || buf[i] == '\t') buf[i] = '?';
  if (e->offset != LSI_NO_OFFSET)
    put(buf, cap, &len, "%soffset %llu, length %llu", sep, (unsigned long long)e->offset,
        (unsigned long long)e->length),
        sep = ", ";
  if (e->step != LSI_NO_STEP)
    put(buf, cap, &len, "%sstep %llu", sep, (unsigned long long)e->step);
  if (e->os_code > 0) put_code(buf, cap, &len, e->os_code, true);
  if (e->remedy[0]) put(buf, cap, &len, "; %s", e->remedy);
  if (cap) disarm(buf);
  return len;
}

size_t lsi_error_line(const struct lsi_error *e, char *buf, size_t cap) {
  size_t len = 0;
  if (cap) buf[0] = 0;
  if (e->object[0]) put(buf, cap, &len, "%s: ", e->object);
  const size_t named = len;
  if (e->offset != LSI_NO_OFFSET && e->offset)
    put(buf, cap, &len, "offset %llu%s", (unsigned long long)e->offset, e->step != LSI_NO_STEP ? ", " : ": ");
  if (e->step != LSI_NO_STEP) put(buf, cap, &len, "step %llu: ", (unsigned long long)e->step);
  put(buf, cap, &len, "%s", e->what[0] ? e->what : lsio_strerror(e->code));
  if (e->os_code > 0) put_code(buf, cap, &len, e->os_code, false);
  if (cap) disarm(buf);
  for (size_t i = 0; cap && buf[i]; i++)
    if (buf[i] == '\n' || buf[i] == '\t') buf[i] = i < named ? '?' : ' ';
  return len;
}

/* ---- kinds ---- */

/* What an errno says by itself, of sources, outputs and reads; 0: nothing. */
static int kind_of_errno(int code) {
  switch (code) {
  case ENOENT:
  case ENOTDIR: return LSIO_KIND_NOT_FOUND;
  case EACCES:
  case EPERM:
  case EROFS: return LSIO_KIND_PERMISSION;
  case EEXIST: return LSIO_KIND_EXISTS;
  case ESTALE: return LSIO_KIND_CHANGED;
  case ENOSPC:
  case EDQUOT: return LSIO_KIND_NO_SPACE;
  case EFBIG: return LSIO_KIND_LIMIT;
  case ETIMEDOUT: return LSIO_KIND_TIMEOUT;
  case ENOMEM: return LSIO_KIND_NO_MEMORY;
  default: return 0;
  }
}

int lsi_error_kind(const struct lsi_error *e) {
  if (e->kind) return e->kind;
  const int told = kind_of_errno(e->os_code);
  switch (e->code) {
  case 0: return LSIO_KIND_NONE;
  case LSIO_ERR_USAGE: return LSIO_KIND_USAGE;
  case LSIO_ERR_SCRIPT: return LSIO_KIND_SCRIPT;
  case LSIO_ERR_SOURCE: return told ? told : LSIO_KIND_USAGE; /* it is there, but can't be one */
  case LSIO_ERR_IO: return told ? told : LSIO_KIND_IO;
  case LSIO_ERR_OUTPUT: return told ? told : e->os_code ? LSIO_KIND_IO : LSIO_KIND_USAGE;
  case LSIO_ERR_TRANSFORM: return LSIO_KIND_TRANSFORM;
  case LSIO_ERR_CORRUPT: return LSIO_KIND_CORRUPT;
  case LSIO_ERR_LIMIT: return LSIO_KIND_LIMIT;
  case LSIO_ERR_NOMEM: return LSIO_KIND_NO_MEMORY;
  case LSIO_ERR_CANCELLED: return LSIO_KIND_CANCELLED;
  case LSIO_ERR_UNSUPPORTED: return LSIO_KIND_UNSUPPORTED;
  case LSIO_ERR_BUSY: return LSIO_KIND_BUSY;
  case LSIO_ERR_BUG: return LSIO_KIND_BUG;
  case LSIO_ERR_FORKED: return LSIO_KIND_FORKED;
  case LSIO_ERR_TIMEOUT: return LSIO_KIND_TIMEOUT;
  default: return LSIO_KIND_OTHER;
  }
}

bool lsi_error_passes(const struct lsi_error *e) {
  switch (lsi_error_kind(e)) {
  case LSIO_KIND_CHANGED:
  case LSIO_KIND_TIMEOUT:
  case LSIO_KIND_NO_MEMORY:
  case LSIO_KIND_BUSY: return true;
  case LSIO_KIND_IO:
  case LSIO_KIND_LIMIT: break;
  default: return false;
  }
  const int status = is_status(e->os_code) ? e->os_code : 0;
  if (status == 408 || status == 425 || status == 429 || status >= 500) return true;
  switch (e->os_code) { /* what others have in use, and networks */
  case EAGAIN:
  case EBUSY:
  case EINTR:
  case EMFILE:
  case ENFILE:
  case ENOBUFS:
  case ECONNABORTED:
  case ECONNREFUSED:
  case ECONNRESET:
  case EHOSTUNREACH:
  case ENETDOWN:
  case ENETRESET:
  case ENETUNREACH: return true;
  default: return false;
  }
}

const char *lsio_error_kind_name(int kind) {
  switch (kind) {
#define LSI_CASE(name, value, word) \
  case value:                       \
    return word;
    LSIO_KINDS(LSI_CASE)
#undef LSI_CASE
  default:
    return "other";
  }
}

/* ---- codes ---- */

int lsi_error_exit_code(int code) {
  switch (code) {
#define LSI_CASE(name, value, exit_code, text) \
  case value:                                  \
    return exit_code;
    LSIO_ERRORS(LSI_CASE)
#undef LSI_CASE
  default:
    return code == 0 ? 0 : 5;
  }
}

const char *lsio_strerror(int code) {
  switch (code) {
  case 0:
    return "no error";
#define LSI_CASE(name, value, exit_code, text) \
  case value:                                  \
    return text;
    LSIO_ERRORS(LSI_CASE)
#undef LSI_CASE
  default:
    return "unknown LSIO error";
  }
}

const char *lsio_error_name(int code) {
  switch (code) {
  case 0:
    return "LSIO_OK";
#define LSI_CASE(name, value, exit_code, text) \
  case value:                                  \
    return #name;
    LSIO_ERRORS(LSI_CASE)
#undef LSI_CASE
  default:
    return "LSIO_ERR_?";
  }
}
