/* What jobs print, what scripts log, and warnings: to a program that wants it, else to stdout and stderr.
 * Thread-safe; takes no lock but stdio's, and none at all where a program takes it. */
#ifndef LSI_LOG_H
#define LSI_LOG_H

#include "ground/base.h"
#include "lsio.h"

struct lsi_log {
  void (*take)(void *user, uint64_t job, int level, const char *text, size_t n); /* NULL: nobody does */
  void *user;
};

/* One message of n bytes, of which the last is a newline that the program does not get. 0, or the errno with
 * which stdout (LSIO_LOG_PRINT) or stderr did not take it. Of `log`, NULL: nobody takes it. */
int lsi_log_line(const struct lsi_log *log, uint64_t job, int level, const char *text, size_t n);
/* A warning, of one line without a newline. */
void lsi_log_warn(const struct lsi_log *log, uint64_t job, const char *text);

#endif
