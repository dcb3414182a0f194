/* Values of the public API, where making one can fail for more than want of memory. */
#include "value/value.h"

#include <string.h>

#include "api/forked.h"
#include "ground/mem.h"

/* Ends a public call: nothing is handed out but by one that worked. */
static int end(int rc, const struct lsi_error *e, lsio_error **error) {
  return rc < 0 ? lsi_error_hand_out(e, rc, error) : 0;
}

static void release_all(lsio_value *const *list, size_t n) {
  for (size_t i = 0; list && i < n; i++) lsio_value_release(list[i]);
}

static int check(const char *name, bool fine, struct lsi_error *e) {
  return fine ? 0 : lsi_fail(e, LSIO_ERR_USAGE, 0, "%s needs `out`, and what it is to be made of", name);
}

int lsio_job_state_value(const lsio_job *job, lsio_value **out, lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  int rc = job ? lsi_refuse_parents(lsi_is_parents(job->context), "the job", &e) : 0;
  if (rc < 0)
    return end(rc, &e, error);
  if (!job || !out || !job->wants_value)
    rc = lsi_fail(&e, LSIO_ERR_USAGE, 0,
                  "lsio_job_state_value needs `out` and a job with the flag LSIO_JOB_STATE_VALUE");
  else if (!job->ended)
    rc = lsi_fail(&e, LSIO_ERR_BUSY, 0, "the job has not ended: its state is not known");
  else if (job->error.code)
    rc = (e = job->error).code;
  else if (job->state_value.error.code)
    rc = (e = job->state_value.error).code;
  else /* a plain read has no state */
    *out = job->state_value.value ? lsio_value_retain(job->state_value.value) : lsio_value_nil();
  return end(rc, &e, error);
}

int lsio_value_list(lsio_value *const *items, size_t n, lsio_value **out, lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  int rc = check("lsio_value_list", out && (items || !n), &e);
  if (rc)
    release_all(items, n);
  else
    rc = lsi_value_list(items, n, out, &e);
  return end(rc, &e, error);
}

int lsio_value_map(lsio_value *const *keys, lsio_value *const *values, size_t n, lsio_value **out,
                   lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  int rc = check("lsio_value_map", out && ((keys && values) || !n), &e);
  if (rc) {
    release_all(keys, n);
    release_all(values, n);
  } else {
    rc = lsi_value_map(keys, values, n, out, &e);
  }
  return end(rc, &e, error);
}

int lsio_value_record(const char *const *names, lsio_value *const *values, size_t n, lsio_value **out,
                      lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  bool fine = out && ((names && values) || !n);
  for (size_t i = 0; fine && i < n; i++) fine = names[i] != NULL;
  int rc = check("lsio_value_record", fine, &e);
  lsio_value **keys = NULL;
  if (!rc && !(keys = n <= LSIO_VALUE_COUNT_MAX ? lsi_calloc(n, sizeof *keys) : NULL))
    rc = n <= LSIO_VALUE_COUNT_MAX ? lsi_fail(&e, LSIO_ERR_NOMEM, 0, "no memory for %zu names", n)
                                   : lsi_fail(&e, LSIO_ERR_USAGE, 0, "%zu values in one: at most %d", n,
                                              LSIO_VALUE_COUNT_MAX);
  if (rc) {
    release_all(values, n);
  } else {
    for (size_t i = 0; i < n; i++) keys[i] = lsio_value_bytes(names[i], strlen(names[i]));
    rc = lsi_value_map(keys, values, n, out, &e); /* which finds what is NULL */
  }
  lsi_free(keys);
  return end(rc, &e, error);
}

int lsio_value_array(const struct lsio_value_source *source, lsio_value **out, lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  const bool known = source && source->struct_size >= sizeof *source;
  int rc = check("lsio_value_array", known && out, &e);
  if (!rc)
    rc = lsi_value_array(source, out, &e);
  else if (known && source->release)
    source->release(source->user);
  return end(rc, &e, error);
}
