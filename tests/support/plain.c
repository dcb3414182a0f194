#include "plain.h"

#include <stdlib.h>
#include <string.h>

#include "polled.h"

#define PATHS 8

static uint32_t find(const char **paths, size_t *n, const char *path) {
  size_t i = 0;
  while (i < *n && paths[i] != path && (!path || !paths[i] || strcmp(paths[i], path) != 0)) i++;
  if (i == PATHS) abort();
  if (i == *n) paths[(*n)++] = path;
  return (uint32_t)i;
}

static int make_request(const struct plain *p, lsio_request **request, lsio_error **error) {
  const char *paths[PATHS];
  size_t n_paths = 0;
  const size_t n = p->ranges ? p->n : 0;
  uint32_t *object = malloc((n + 1) * sizeof *object);
  int64_t *offset = malloc((n + 1) * sizeof *offset), *length = malloc((n + 1) * sizeof *length),
          *tag = malloc((n + 1) * sizeof *tag);
  if (!object || !offset || !length || !tag) abort();
  for (size_t i = 0; i < n; i++) {
    object[i] = find(paths, &n_paths, p->ranges[i].path);
    offset[i] = (int64_t)p->ranges[i].offset;
    length[i] = (int64_t)p->ranges[i].length;
    tag[i] = p->ranges[i].tag;
  }
  const struct lsio_request_options o = {.struct_size = sizeof o, .objects = paths, .n_objects = n_paths, .n = p->n,
                                         .object = p->ranges ? object : NULL, .offset = offset,
                                         .length = length, .tag = tag};
  const int rc = lsio_request_create(&o, request, error);
  free(object);
  free(offset);
  free(length);
  free(tag);
  return rc;
}

int plain_submit(lsio_context *context, const struct plain *p, lsio_job **out, lsio_error **error) {
  lsio_request *request = NULL;
  int rc = make_request(p, &request, error);
  if (rc) return rc;
  const struct lsio_job_options o = {.struct_size = sizeof o, .request = request, .output = p->output,
                                     .output_length = p->output_length, .settings = p->settings,
                                     .n_settings = p->n_settings,
                                     .flags = LSIO_JOB_NO_ENV | LSIO_JOB_NO_STATE | (p->output ? 0u : LSIO_JOB_STREAM)};
  rc = (p->output ? lsio_submit : polled_submit)(context, &o, out, error);
  lsio_request_release(request);
  return rc;
}
