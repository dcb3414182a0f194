#include "ground/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int lsi_log_line(const struct lsi_log *log, uint64_t job, int level, const char *text, size_t n) {
  if (log && log->take) {
    log->take(log->user, job, level, text, n - 1);
    return 0;
  }
  FILE *f = level == LSIO_LOG_PRINT ? stdout : stderr;
  errno = 0;
  if (fwrite(text, 1, n, f) == n && fflush(f) == 0) return 0;
  return errno ? errno : EIO;
}

void lsi_log_warn(const struct lsi_log *log, uint64_t job, const char *text) {
  if (log && log->take) log->take(log->user, job, LSIO_LOG_WARNING, text, strlen(text));
  else fprintf(stderr, "lsio: warning: %s\n", text);
}
