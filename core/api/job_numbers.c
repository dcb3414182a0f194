/* Sources that are no plain numbers: a .npy file that is read from its start gives its header as elements,
 * and nothing that a job does with them shows it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/context.h"
#include "lists/npy.h"
#include "seams/store.h"

#define HEAD_MOST 8192u /* bytes of a header, and of a file that is looked at */
#define OTHERS_MOST 64u /* files called .npy that are none, behind which no more are looked at */

/* What stands in a script for the type; 8 bytes. */
static void show_type(struct lsi_dtype t, char *out) {
  snprintf(out, 8, "%s%s", lsi_type_name((enum lsi_type)t.type), t.big ? "be" : "");
}

static void show_shape(const struct lsi_npy_header *h, char *out, size_t cap) {
  size_t at = (size_t)snprintf(out, cap, "{");
  for (uint32_t i = 0; i < h->ndim && at + 32 < cap; i++)
    at += (size_t)snprintf(out + at, cap - at, "%s %" PRId64, i ? "," : "", h->shape[i]);
  snprintf(out + at, cap - at, "%s }%s", at + 32 < cap ? "" : ", ...",
           h->fortran ? " in Fortran order" : "");
}

static int is_npy(const struct lsio_job *job, const char *name, const char *head, size_t n,
                  struct lsi_error *err) {
  struct lsi_npy_header h;
  struct lsi_error why;
  char type[8], shape[160];
  show_type(job->spec.type, type);
  lsi_fail(err, LSIO_ERR_SCRIPT, 0,
           "the file is a NumPy array (.npy), whose header would be read as elements of type %s", type);
  lsi_error_at(err, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  lsi_error_clear(&why);
  if (lsi_npy_read_header(head, n, name, &h, &why) < 0) {
    lsi_error_remedy(err, "%s", why.what);
    return LSIO_ERR_SCRIPT;
  }
  show_type(h.type, type);
  show_shape(&h, shape, sizeof shape);
  lsi_error_remedy(err, "write type = \"%s\" and, for the source, offset = %" PRIu64 "; its shape is %s",
                   type, h.data_offset, shape);
  return LSIO_ERR_SCRIPT;
}

static bool is_called_npy(const char *name) {
  const size_t n = strlen(name);
  return n > 4 && strcmp(name + n - 4, ".npy") == 0;
}

/* Looks at the first object that is read from its start, and at those that are called .npy. */
int lsi_job_check_numbers(const struct lsio_job *job, struct lsi_error *err) {
  const struct lsi_request *r = job->spec.request;
  if (job->spec.codec != LSI_CODEC_NONE || job->spec.type.type == LSI_U8) return 0;
  char head[HEAD_MOST];
  uint32_t last = UINT32_MAX, n_others = 0;
  for (uint32_t c = 0; c < r->n_chunks && n_others < OTHERS_MOST; c++) {
    const uint32_t object = r->object[c];
    if (r->offset[c] || !r->length[c] || object == last) continue;
    const char *name = lsi_request_name(r, object);
    const struct lsi_store *store = lsi_stores[r->objects[object].store];
    const bool first = last == UINT32_MAX;
    last = object;
    if (!store->read_part || (!first && !is_called_npy(name))) continue;
    const size_t n = store->read_part(NULL, name, 0, head, sizeof head);
    if (lsi_npy_begins(head, n)) return is_npy(job, name, head, n, err);
    n_others++;
  }
  return 0;
}
