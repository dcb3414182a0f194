/* Submitting jobs. */
#include "api/forked.h"

/* What the job is to be made of. */
static int refuse_parents(const lsio_context *context, const struct lsio_job_options *o,
                          struct lsi_error *err) {
  int rc = lsi_refuse_parents(lsi_is_parents(context), "the context", err);
  if (rc >= 0 && o->queue)
    rc = lsi_refuse_parents(lsi_is_parents(lsi_queue_context(o->queue)), "the queue", err);
  if (rc >= 0 && o->loaded)
    rc = lsi_refuse_parents(lsi_script_host_ops->is_parents(o->loaded), "the loaded script", err);
  return rc;
}

/* No job is made. */
static void refuse(const struct lsio_job_options *o) {
  lsi_c_transform_refuse(o->transform);
  if (o->output_release) o->output_release(o->output_user);
}

/* `wanted` is the caller's own `out`. *o receives the options. */
static int create_job(lsio_context *context, const struct lsio_job_options *options,
                      const void *wanted, struct lsio_job_options *o, struct lsio_job **out,
                      struct lsi_error *err) {
  if (!lsi_job_options_read(options, o) || !context || !wanted) {
    refuse(o);
    return lsi_fail(err, LSIO_ERR_USAGE, 0,
                    "a job needs a context, a script or a loaded one (or a request, without args and "
                    "params), `out`, and options whose struct_size is set");
  }
  const int rc = refuse_parents(context, o, err);
  if (rc < 0) {
    refuse(o);
    return rc;
  }
  *out = lsi_job_create(context, o);
  if (*out) return 0;
  refuse(o);
  return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a job");
}

/* Nobody would take its results. */
static int check_stream(const struct lsio_job_options *o, struct lsi_error *err) {
  if (!(o->flags & LSIO_JOB_STREAM) || o->queue) return 0;
  lsi_fail(err, LSIO_ERR_USAGE, 0, "a job with LSIO_JOB_STREAM has no queue that its results could go to");
  lsi_error_remedy(err, "make one with lsio_queue_create, and put it into the job's options");
  return LSIO_ERR_USAGE;
}

int lsio_submit(lsio_context *context, const struct lsio_job_options *options, lsio_job **out,
                lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsio_job_options o;
  struct lsio_job *job = NULL;
  const uint64_t at = lsi_os_now_ns();
  int rc = create_job(context, options, out, &o, &job, &e);
  if (rc >= 0) rc = check_stream(&o, &e);
  if (rc >= 0) rc = lsi_job_take_settings(job, &o, &e);
  if (rc >= 0) rc = lsi_job_copy_script(job, &o, &e);
  if (rc >= 0) rc = lsi_job_submit(job, &o, at, &e);
  if (rc < 0) {
    lsi_job_free(job);
    return lsi_error_hand_out(&e, rc, error);
  }
  *out = job;
  return 0;
}

int lsio_script_help(lsio_context *context, const struct lsio_job_options *options, char **text,
                     lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsio_job_options o;
  struct lsio_job *job = NULL;
  int rc = create_job(context, options, text, &o, &job, &e);
  if (rc >= 0) rc = lsi_job_take_settings(job, &o, &e);
  if (rc >= 0) rc = lsi_job_copy_script(job, &o, &e);
  if (rc >= 0) rc = lsi_job_load(job, &o, &e);
  if (rc >= 0 && !job->script) rc = lsi_fail(&e, LSIO_ERR_USAGE, 0, "a job without a script has no help");
  if (rc >= 0) rc = lsi_script_host_ops->help(job->script, text, &e);
  lsi_job_free(job);
  return rc < 0 ? lsi_error_hand_out(&e, rc, error) : 0;
}
