/* Plain reads by a list of ranges that name their objects. */
#ifndef PLAIN_H
#define PLAIN_H

#include "lsio.h"

struct plain_range {
  const char *path;
  uint64_t offset, length; /* bytes */
  int64_t tag;
};

struct plain {
  size_t n;
  const struct plain_range *ranges; /* of at most 8 paths; NULL for tests of what is wrong */
  void *output;                     /* NULL: they are streamed */
  uint64_t output_length;
  const char *const *settings;
  size_t n_settings;
};

/* As lsio_submit. */
int plain_submit(lsio_context *context, const struct plain *plain, lsio_job **out, lsio_error **error);

#endif
