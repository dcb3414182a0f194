/* How a job ends: its parts in order, each by the thread that has the time for it. */
#include <string.h>

#include "api/context.h"
#include "ground/mem.h"
#include "memory/array.h"
#include "seams/os.h"

static void end_sink(struct lsio_job *job, struct lsi_error *e) {
  if (!job->results.sink) return;
  if (e->code)
    lsi_sink_discard(job->results.sink);
  else
    lsi_sink_publish(job->results.sink, e);
  job->results.sink = NULL;
  if (job->array.own) lsi_array_settle(job->array.own);
}

/* What can fail does so before the output gets its name: joins the run and merges. */
void lsi_job_reduce(struct lsio_job *job) {
  struct lsi_error *e = &job->error;
  struct lsi_summary *s = &job->summary;
  uint64_t at = lsi_os_now_ns();
  int rc = lsi_run_join(job->run, e);
  if (job->results.sink && job->spec.request->cut)
    lsi_sink_set_steps(job->results.sink, lsi_run_steps(job->run));
  const int64_t left = rc < 0 || e->code ? 0 : lsi_run_fill_left(job->run, e);
  if (left < 0) rc = (int)left;
  if (rc < 0 && !e->code) e->code = rc;
  memset(s, 0, sizeof *s);
  lsi_run_summary(job->run, s);
  job->part_s[LSI_PART_READ] = s->part_s[LSI_PART_READ];
  job->part_s[LSI_PART_PLAN] = (double)(lsi_run_start_ns(job->run) - job->planned_since_ns) / 1e9;
  job->part_s[LSI_PART_POLL] =
      (double)(at - lsi_run_start_ns(job->run)) / 1e9 - job->part_s[LSI_PART_READ];
  memcpy(s->part_s, job->part_s, sizeof s->part_s);
  s->workers_wanted = job->workers_wanted;
  s->steps_left = left > 0 ? (uint64_t)left : 0;
  s->at_deadline = lsi_run_at_deadline(job->run);
  if (job->results.sink) s->bytes_written = lsi_sink_bytes_written(job->results.sink);
  if (!e->code) lsi_c_transform_merge(&job->transform, job->script, e);
  if (!e->code && job->script)
    lsi_script_host_ops->merge(job->script, &job->state, job->wants_value ? &job->state_value : NULL, e);
  s->part_s[LSI_PART_REDUCE] = lsi_job_did(job, LSI_TRACE_REDUCE, &at);
  job->ending.at = at;
}

/* May sleep as long as a disk takes. */
void lsi_job_publish(struct lsio_job *job) {
  struct lsi_job_ending *x = &job->ending;
  x->published = job->results.sink && !job->error.code;
  const bool to_file = x->published && job->results.path;
  const uint64_t cpu_before = to_file ? lsi_os_cpu_ns() : 0;
  end_sink(job, &job->error);
  if (to_file) x->cpu_ns = lsi_os_cpu_ns() - cpu_before;
  job->summary.part_s[LSI_PART_PUBLISH] = lsi_job_did(job, LSI_TRACE_PUBLISH, &x->at);
  lsi_job_release_output(job);
}

/* `done` is called last, to find the output under its name. */
void lsi_job_finish(struct lsio_job *job) {
  struct lsi_error *e = &job->error;
  struct lsi_summary *s = &job->summary;
  struct lsi_job_ending *x = &job->ending;
  if (x->published) lsi_run_published(job->run, x->cpu_ns, s);
  s->status = e->code == LSIO_ERR_CANCELLED ? "cancelled"
              : e->code                     ? "failed"
              : s->steps_failed             ? "skipped"
                                            : "done";
  s->exit_code = e->code                    ? lsi_error_exit_code(e->code)
                 : s->steps_left            ? lsi_error_exit_code(LSIO_ERR_LIMIT)
                 : job->state.error.code    ? lsi_error_exit_code(job->state.error.code)
                 : s->steps_failed          ? 1
                                            : 0;
  if (!e->code && job->script) {
    lsi_script_host_ops->done(job->script, s, e);
    s->part_s[LSI_PART_DONE] = lsi_job_since(&x->at);
    if (e->code) {
      s->status = "failed";
      s->exit_code = lsi_error_exit_code(e->code);
    }
  }
  s->state = &job->state;
  job->status = e->code;
  job->exit_code = s->exit_code;
  job->ended = true;
}

void lsi_job_never_ran(struct lsio_job *job) {
  struct lsi_summary *s = &job->summary;
  const int code = job->error.code;
  lsi_job_release_output(job);
  memcpy(s->part_s, job->part_s, sizeof s->part_s);
  s->status = code == LSIO_ERR_CANCELLED ? "cancelled" : code ? "failed" : "planned";
  s->exit_code = job->exit_code = code ? lsi_error_exit_code(code) : 0;
  s->state = &job->state;
  job->status = code;
  job->ended = true;
}
