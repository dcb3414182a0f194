/* What the public entry points share: contexts and jobs. */
#ifndef LSI_CONTEXT_H
#define LSI_CONTEXT_H

#include "engine/state/engine.h"

struct lsi_array;

struct lsio_context {
  struct lsi_script_host *host;
  struct lsio_job *job; /* the one that is open */
  struct lsi_pool *pool;
  bool maps;            /* SIGBUS is handled: files may be mapped */
};

struct lsio_job {
  struct lsio_context *context;
  struct lsi_settings settings;
  char *script_text, *script_name;
  struct lsi_script *script;
  struct lsi_spec spec;
  const struct lsi_backend_ops *backend, *fallback; /* no fallback (NULL) from one asked for by name */
  struct lsi_plan *plan;
  uint32_t workers, workers_wanted;
  uint64_t ceiling, share, window;
  struct lsi_dtype sink_type;
  bool sink_variable, stream;
  uint64_t *sink_pos;
  char *sink_path;
  struct lsi_sink *sink;
  /* results in memory: in the caller's array, or in one of ours until it is taken over */
  bool no_memory_sink, no_state, in_place, taken;
  void *output;
  uint64_t output_length;
  struct lsi_array *array;
  struct lsi_sink_shape shape;
  struct lsi_run *run;
  int bell;
  /* polling */
  struct lsi_run_completion *pending; /* taken from the run, not yet returned */
  struct lsi_run_completion *lent;    /* returned by the last poll */
  bool ended, done_polled;
  /* the end */
  int status, exit_code;
  struct lsi_error error;
  struct lsi_summary summary;
  struct lsi_state_json state;
  char *json, *text, *explain_text, *explain_json;
};

/* job_prepare.c: from the script's spec to everything that a run needs. */
int lsi_job_prepare(struct lsio_job *job, struct lsi_error *err);

/* job_output.c: where results go. */
/* Is an output array of the caller's what the script's sink can use? One without a sink is a sink. */
int lsi_job_check_output(struct lsio_job *job, struct lsi_error *err);
/* Their type, and whether each has a place that is known before it is read. */
void lsi_job_decide_results(struct lsio_job *job);
int lsi_job_open_sink(struct lsio_job *job, struct lsi_error *err);
/* Index of the plan's device that the sink writes to directly; UINT32_MAX: none of them. */
uint32_t lsi_job_sink_device(const struct lsio_job *job);

/* lsio.c: a copy of *e (or of `code` alone) for the caller; returns code. Where there is no memory for the
 * copy, what the caller gets and what is returned says that. */
int lsi_error_hand_out(const struct lsi_error *e, int code, lsio_error **out);

#endif
