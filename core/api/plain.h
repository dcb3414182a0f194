/* Reading ranges as they are: a job without a script, and so without Lua. Inside of the library, until the
 * public header has requests without scripts. Thread-safe: several at once in one context. */
#ifndef LSI_PLAIN_H
#define LSI_PLAIN_H

#include "lsio.h"

struct lsi_plain_range {
  const char *path; /* or a URL */
  uint64_t offset, length; /* bytes; a range that does not lie within its object is LSIO_ERR_USAGE */
  int64_t tag;
};

struct lsi_plain {
  size_t n;
  const struct lsi_plain_range *ranges; /* a step each */
  void *output;                 /* where they go, one after the other; NULL: they are streamed */
  uint64_t output_length;       /* the sum of their lengths */
  const char *const *settings;  /* as in struct lsio_job_options */
  size_t n_settings;
};

/* As lsio_submit. All is copied but `output`, which is borrowed until the job is destroyed. */
int lsi_submit_plain(lsio_context *context, const struct lsi_plain *plain, lsio_job **out,
                     lsio_error **error);

#endif
