/* The library and its settings. Read lsio.h first; programs include that. */
#ifndef LSIO_LIBRARY_H
#define LSIO_LIBRARY_H

#include "lsio/base.h"

LSIO_BEGIN

/* ---- Library ------------------------------------------------------------------------------------ */

/* "0.1.0". */
LSIO_API const char *lsio_version(void);
/* A report for people about this machine: CPUs, kernels, memory, backends and why one is refused,
 * LuaJIT and what its build is known to get wrong. Handed over: free with lsio_free. NULL when out of
 * memory. Thread-safe. */
LSIO_API char *lsio_doctor(void);
LSIO_API void lsio_free(void *p);
/* "4 KiB", "1.50 GiB": a size as LSIO shows it everywhere, in powers of 1024. Writes at most n bytes with
 * the NUL (32 are enough) and returns buf. */
LSIO_API const char *lsio_size_format(uint64_t bytes, char *buf, size_t n);

/* The settings that a job takes (`lsio_job_options.settings`, LSIO_* variables, the runner's flags,
 * `options` in a script), from one table; workers, memory, backend and pin are also a context's (see there).
 * NULL-named row ends it. Static. */
struct lsio_setting {
  const char *name;     /* "queue-depth" */
  const char *argument; /* "N", "SIZE", "auto|always|never"; "[=yes|no]": of a switch, alone it means yes */
  const char *env;      /* "LSIO_QUEUE_DEPTH" */
  const char *help;     /* one line */
};
LSIO_API const struct lsio_setting *lsio_settings(void);

LSIO_END

#endif
