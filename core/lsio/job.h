/* Jobs: scripts, submission, and how they stand. Read lsio.h first; programs include that. */
#ifndef LSIO_JOB_H
#define LSIO_JOB_H

#include "lsio/context.h"
#include "lsio/value.h"
#include "lsio/request.h"
#include "lsio/transform.h"

LSIO_BEGIN

/* ---- Jobs --------------------------------------------------------------------------------------- */

typedef struct lsio_job lsio_job;
typedef struct lsio_queue lsio_queue; /* where jobs tell of themselves: queue.h */
typedef struct lsi_block lsio_block;  /* of results: queue.h */
typedef struct lsi_loaded lsio_script; /* a script that stays loaded: see lsio_script_load */

enum lsio_job_flags {
  LSIO_JOB_PLAN_ONLY = 1, /* it ends when it is planned: lsio_job_explain */
  LSIO_JOB_STREAM = 2,    /* results of steps are told to the `queue` instead of going to a sink */
  LSIO_JOB_NO_ENV = 4,    /* ignore LSIO_* environment variables; its context may have taken some */
  LSIO_JOB_OWN_CPUS = 8,  /* the machine is this job's: with pin = "auto", workers are tied to CPUs
                             when they use every CPU and no quota limits them */
  LSIO_JOB_NO_MEMORY = 16, /* nobody would look at results in memory: a script that wants to leave them
                              there is wrong (LSIO_ERR_SCRIPT) */
  LSIO_JOB_NO_STATE = 32, /* "state" is null in lsio_job_summary_json: what workers end with may be large,
                             and is several times as large as text while that is made */
  LSIO_JOB_STATE_VALUE = 64 /* lsio_job_state_value will be called */
};

/* In which order the results of a job with LSIO_JOB_STREAM, and failures of its steps, come. */
enum lsio_order {
  LSIO_ORDER_COMPLETED = 0, /* as they come; but where steps have groups (`group` of lsio.ranges, or of
                               lsio_request), all of a group come before any of the next */
  LSIO_ORDER_REQUEST = 1    /* that of the steps */
};

struct lsio_job_options {
  size_t struct_size;
  const char *script;          /* Lua source text, never bytecode; copied */
  size_t script_length;        /* in bytes */
  const char *script_name;     /* file path, for messages and `require`; NULL = "job"; copied */
  const char *const *args;     /* parameters: "--threshold=0.7" (or two words), and words; copied */
  size_t n_args;
  const char *const *settings; /* "name=value", names of lsio_settings(); copied; these win over
                                  the environment, which wins over the script's `options` */
  size_t n_settings;
  uint32_t flags;              /* enum lsio_job_flags */
  void *output;                /* array for the results, as numpy's out=; borrowed until the job
                                  has ended, or `output_release` is called; aligned to its elements. The
                                  script's sink is then lsio.memory, which may be left out. NULL: LSIO makes
                                  an array where the sink is lsio.memory. After a job that ended with
                                  "io_uring has failed" a last read may still land in it: do not use that
                                  memory again */
  size_t output_length;        /* bytes of `output`: exactly the result's; of results of variable size
                                  (`out_max`, compressed chunks of unknown sizes) at least */
  /* NULL, or called up to 20 times a second while files are listed and looked at: how many so far. What is
   * not 0 ends the job with LSIO_ERR_CANCELLED. Only of jobs of a queue with LSIO_QUEUE_COORDINATES, by who
   * takes from that; others see it in lsio_job_progress. */
  int (*planning)(void *user, uint64_t listed, uint64_t looked_at);
  void *planning_user;
  const lsio_script *loaded;   /* the job is one of this script, and `script` is NULL; used until the call
                                  returns: it may be released while the job is open */
  double before_s;             /* seconds that the program took for this job before the call, as it should
                                  say at the end: they count as the job's start */
  lsio_queue *queue;           /* where the job tells of itself; held by the job. NULL: nowhere, and its end
                                  is waited for with lsio_wait */
  void *cookie;                /* stands in the job's events */
  /* NULL, or a map: what parameters are, by their names; the job keeps a reference until it is gone, or
   * the call fails. Each is what the script's default for it is, a number, bytes, a bool, a list or map, or
   * an array of the same type, else LSIO_ERR_USAGE; nil leaves the default. It wins over `args`. In Lua
   * integers beyond 2^53 are int64 or uint64, nil within a list leaves a hole, and an array, at any depth, is
   * a 0-based view for reading of the same memory in all workers, flat, whatever its shape. */
  const lsio_value *params;
  const struct lsio_transform *transform; /* not NULL: the job's transform is these functions, and the script
                                             has none: see lsio_transform. The struct is copied, `user` handed
                                             over until `release` */
  const lsio_request *request; /* not NULL: what the job reads. The script has no source then; or there is no
                                  script, and no args and params: see lsio_request. Held until the job is
                                  planned */
  /* NULL, or called once for each job that lsio_submit (or lsio_script_help) has been given, whatever they
   * return: LSIO touches `output` no more. That is when the job has ended, however it did, before
   * anybody is told of it; of one that is released before its end too, which lsio_context_destroy waits for;
   * or before lsio_submit returns an error (but for options without struct_size). lsio_job_output still tells
   * where the array is, and what is in it. Under no lock, by the thread that ends the job: the caller's,
   * inside a call that submits or waits, or one of the context's. It may call LSIO, but for what has to do
   * with the job. Without an `output` it is called all the same.
   *   Never after "io_uring has failed" with reads under way: the kernel may still write there, and nobody
   * knows until when. Nor while a worker does not return (lsio_job_abandon). */
  void (*output_release)(void *user);
  void *output_user;
  /* With an order, or groups, results that come before their turn wait, up to a quarter of the job's
   * `memory`; for those whose turn it is there is always room. Steps are read in the order of the request
   * then, not in that of their places on a device: a request that jumps about in its files is read slower.
   * Where a job ends early (it failed or was cancelled), what comes behind the first step that has not run is
   * not told; lsio_job_step_error has the errors. */
  uint32_t order;    /* enum lsio_order, of a streamed job */
  uint32_t reserved;
};

/* Returns before the script is loaded, and waits for nothing. What then becomes of the job is a matter of the
 * context's threads, or of who waits for it: they load and validate the script, run its `setup` and `source`,
 * plan, open the sink and have the context's workers take it up, and at last merge and publish. What they
 * find wrong ends the job: lsio_job_status, lsio_job_error. Refused here are options and settings
 * (LSIO_ERR_USAGE), and a job for which there is no memory. *out is the caller's, for lsio_job_release. Any
 * number of jobs may be open in a context: its workers go on with all of them in turn, by bytes; one of a
 * single unit of work comes first. A job with priority=background gives way: a worker begins units of such
 * jobs while no normal one has any to begin there, and one byte beside every 16 of theirs, so that it ends
 * all the same. The script's coordinator functions (`setup`, `source`, `reduce`, `done`) of one context run
 * one after the other: while one does, other jobs with scripts are neither loaded nor ended, but their steps
 * go on, and sources are listed. */
LSIO_API int lsio_submit(lsio_context *context, const struct lsio_job_options *options,
                         lsio_job **out, lsio_error **error);

/* 1, 2, ... in the order in which jobs were submitted to their context, and texts asked of lsio_script_help:
 * by it the context's `log` and lsio_context_trace name a job. What a script says while it is submitted comes
 * before the program can know the number. Thread-safe. */
LSIO_API uint64_t lsio_job_number(const lsio_job *job);

/* A job with a `deadline` (a setting: "90s", "5m", "1h", "500ms", or seconds) has so long from the call of
 * lsio_submit on, its time in the queue included, whether or not anybody waits for it. When that has passed,
 * no step begins any more. With on_error=fail the job ends with LSIO_ERR_LIMIT, and nothing is published; the
 * error says how far it was and what each worker was doing. With on_error=skip the steps that have not run
 * have failed (LSIO_ERR_LIMIT; they are told as others that fail) and what has run is kept: its results are
 * published, with `fill` in the places of the rest, or have been streamed, its states are reduced, `done` is
 * called. The job ends well then, but with exit code 9; `steps_left` and `at_deadline` of the summary tell.
 * All these errors are LSIO_KIND_TIMEOUT.
 *   What runs at that moment is not cut short: a step ends, a read comes back, and then the job ends. Only
 * transforms in Lua are interrupted, 200 ms later, and fail, where LSIO is built with the LuaJIT that it
 * makes (cmake -DLSIO_LUAJIT=upstream; lsio_doctor tells). A worker that does not return keeps the job open:
 * lsio_job_progress says so (deadline_passed, workers_running). The listing of sources stops as well, and
 * the job fails, for what would be left is not known. Not covered are the script's own `setup`, `source`,
 * `reduce` and `done`, lists of ranges and plans while they are read and made, and the publishing of outputs
 * whose steps have all run. */

/* Text for `--help job.lua`: the script's parameters. Handed over in *text: free with lsio_free. */
LSIO_API int lsio_script_help(lsio_context *context, const struct lsio_job_options *options,
                              char **text, lsio_error **error);

/* A script for many jobs, which are then opened by `loaded` in their options, each with args and settings
 * of its own. Of `options`, script, script_length and script_name are used. It is compiled and its top
 * level runs once in the context, for the first of its jobs, and once in each worker that gets one,
 * instead of once a job: what it leaves in file-level locals lives as long as the script, apart from the
 * others in the coordinator and in each worker, and is shared by all its jobs, also those that are open at
 * the same time. `params`, `state` and whatever else a function of the job gets belong to one job. What is
 * wrong with the script ends each of its jobs (LSIO_ERR_SCRIPT). Does not wait. */
LSIO_API int lsio_script_load(lsio_context *context, const struct lsio_job_options *options,
                              lsio_script **out, lsio_error **error);
/* Has it compiled and run in the context now, unless a job has, and tells what is wrong with it: 0, or
 * LSIO_ERR_SCRIPT among others; what only args, settings or a transform can make wrong, jobs tell. Waits
 * for the top level, and before that for any coordinator function of another job that runs at this moment. */
LSIO_API int lsio_script_wait(lsio_script *script, lsio_error **error);
/* Jobs of it may still be open: the script goes with the last of them. Release it before its context is
 * destroyed. NULL is fine. */
LSIO_API void lsio_script_release(lsio_script *script);

/* Of a job without a queue: waits up to timeout_ms (-1: for ever, 0: not at all) until it has ended, and
 * returns lsio_job_status; LSIO_ERR_BUSY: it has not in that time. One thread at a time may wait for a job;
 * of others, each may wait for one of its own. With -1 it may do meanwhile what a thread of the context would
 * do for the job: load its script, list and plan, merge and publish. Waiting once more says the same at once.
 * LSIO_ERR_USAGE: of a job with a queue the end is told there. */
LSIO_API int lsio_wait(lsio_job *job, int timeout_ms);

/* Asks the job to stop; returns at once. Its end follows. Thread-safe and async-signal-safe. */
LSIO_API void lsio_cancel(lsio_job *job);
/* For a process that must leave although workers do not return: removes the temporary files of this
 * job, and of all others in the process. Any thread. The only sensible next call is _exit. */
LSIO_API void lsio_job_abandon(lsio_job *job);

/* Figures that the summary has as well have its names. */
struct lsio_progress {
  size_t struct_size;       /* set by the caller */
  uint64_t steps_requested; /* UINT64_MAX: not known before standard input has ended. Of them these have ended
                               well, and these not: */
  uint64_t steps, steps_failed;
  uint64_t bytes_requested; /* stored bytes; 0: not known before all files have been opened, or standard
                               input has ended */
  uint64_t bytes_done;      /* of them, those of steps that have ended */
  double elapsed_s;         /* since its workers started; when they have ended, the time from start to end */
  uint32_t workers, workers_running;
  uint32_t began;       /* 1: it has been planned and started, or waits for memory to begin */
  uint32_t deadline_passed; /* 1: no step begins any more, and workers that still run have not returned from
                               the step or the read that they were in */
  uint64_t listed, looked_at; /* files, before */
  uint64_t queued;     /* steps whose results, or failures, wait to be taken */
  uint64_t held_bytes; /* of results that do, or wait for their turn (order), or that the program holds in
                          blocks (queue.h), as long as it has any of such a block */
  uint32_t stalled;    /* workers that wait with results until some are taken: the program is too slow */
  uint32_t reserved;
};
LSIO_API void lsio_job_progress(const lsio_job *job, struct lsio_progress *out);
/* What each worker is doing ("worker 0: transform of step 17 ('x.f32', offset 4096, length 4096)"),
 * a line each. Handed over: free with lsio_free. */
LSIO_API char *lsio_job_activity(const lsio_job *job);

/* 0 = done, negative = LSIO_ERR_* that ended it; LSIO_ERR_BUSY while it runs. */
LSIO_API int lsio_job_status(const lsio_job *job);
/* The exit code that the runner would give (0 done, 1 finished with skipped steps, ...). */
LSIO_API int lsio_job_exit_code(const lsio_job *job);
/* The error that ended the job; NULL when it succeeded. Belongs to the job. */
LSIO_API const lsio_error *lsio_job_error(const lsio_job *job);
/* Why `state` is null in the summary of a job that succeeded: what workers ended with has no form in JSON,
 * as a table with the keys 1 and "1" has none. The status is 0 then, and the exit code 6. NULL: it has, or it
 * was not asked for (LSIO_JOB_NO_STATE). Belongs to the job. */
LSIO_API const lsio_error *lsio_job_state_error(const lsio_job *job);
/* The reduced state of a job with LSIO_JOB_STATE_VALUE, at its end with lsio_job_status 0: *out is a new
 * reference to a list or map, which outlives job and context. Lists and maps are what the summary's JSON has
 * as arrays and objects: a table with the keys 1 to n and no others is a list, any other one a map, the empty
 * one too, and a state that is no table is in a map under "result". Nothing is made fit for JSON: keys that
 * are numbers are numbers, NaN and infinities doubles, strings bytes.
 *   Numbers are as declared where fields of a `state` that is text are merged by names: INT for integers,
 * UINT for uint64_t, DOUBLE for floats and moments. Else int64 is INT, uint64 UINT, and a number of Lua is
 * INT where it is whole, below 2^53 and not -0, as JSON has it, or else DOUBLE; lsio_value_as_double takes
 * both.
 *   Arrays have one dimension and the type of the view that `done` sees: f64, or i64 or u64 where a 64-bit
 * integer in it is beyond 2^53. Those that reducers have merged are that memory itself, not a copy.
 *   LSIO_ERR_BUSY before the end; LSIO_ERR_USAGE without the flag; the job's error when it has failed;
 * LSIO_ERR_OUTPUT when something in the state is no value, as a function. */
LSIO_API int lsio_job_state_value(const lsio_job *job, lsio_value **out, lsio_error **error);
/* The errors of steps that failed: their count, and those with the lowest steps, at most 100, in the order of
 * these. Steps that were not run, because a deadline had passed, come behind the others. */
LSIO_API uint64_t lsio_job_error_count(const lsio_job *job);
LSIO_API const lsio_error *lsio_job_step_error(const lsio_job *job, size_t i);
/* The plan, for people (json = 0) or machines (json = 1). Belongs to the job. NULL: there is none (or not
 * yet), or no memory. */
LSIO_API const char *lsio_job_explain(lsio_job *job, int json);
/* The merged state of a job whose transform has `merge`. NULL: it has none, or has not ended well. Belongs to
 * the job, with which it is closed; until then its content is the caller's to use or to change. */
LSIO_API void *lsio_job_state(const lsio_job *job);
/* Summary as JSON after the end: counts, bytes, times, bound, workers, reduced state, errors.
 * `bound` is what most of the workers' time went to: "device" (or "latency", where too little was in flight
 * to keep it busy), "decode", "transform", "sink", or "consumer": they waited with results (`stalled_s` of
 * `workers`) while the program took others too slowly. It should take more at a time, or do what it does with
 * them on other threads.
 * Integers of the `state` stand there with all their digits (uint64: up to 2^64 - 1), bytes of strings that
 * are no UTF-8 as \xNN; NaN and infinities are null, and `state_nonfinite` says how many. `state_error`
 * is as lsio_job_state_error, or null. `reduce` is what has merged it: the name of a reducer, "function", or
 * an object with a name for each field; null where nothing has. By that states of shards are merged.
 * `bytes_direct` are bytes that no CPU copied on their way from storage into the process' memory (read
 * with O_DIRECT, or used where they lie in the page cache), or of results from there to storage: a byte
 * that went both ways counts twice. Where what was read is a result in memory already, or is written from
 * where it was read, none copies it at all. `peak_memory` is the most of the process' own memory (RssAnon +
 * RssShmem) that was seen, every 20 ms and at the workers' end; pages of files do not count.
 * `bytes_copied` are bytes of streamed results that were not made, or read, where the program finds them.
 * Of `bytes_read` nobody asked for `bytes_gaps` (between chunks that share an operation) and
 * `bytes_alignment` (around direct reads, which take whole blocks); `bytes_twice` were read more than once
 * because chunks overlap, `bytes_retried` again, chunk by chunk, after reads that failed. Gaps and overlaps
 * are those of the plan, and 0 in a job that ended early. What the kernel reads ahead is not known.
 * Of `steps_failed` those in `steps_left` were not run, because the deadline had passed; `at_deadline` says
 * how far the job was then and what each worker was doing, and is null if it has not passed.
 * `total_s` is all the time that the job took, and the sum of these: `start_s` (before_s of the options,
 * and the script's loading), `setup_s`, `list_s` (listing of sources), `plan_s`, `read_s` (from the first
 * worker's start to the last one's end), `poll_s` (until a thread had time for its end), `reduce_s`,
 * `publish_s`, `done_s`. `wall_s` and `cpu_s` are of reading and publishing.
 * Belongs to the job. NULL before the end or when out of memory. */
LSIO_API const char *lsio_job_summary_json(lsio_job *job);
/* The same in one paragraph for people, in lines of at most 80 columns. How many steps failed stands there,
 * by kind; lsio_job_failures_text tells which. Belongs to the job. */
LSIO_API const char *lsio_job_summary_text(lsio_job *job);
/* Steps that failed, for people, in lines of at most 80 columns: of the first ten a line each, which begins
 * with the name of the object ("x.f32: offset 4096, step 5: ..."); how many more there are, by kind; what
 * can be done, once a kind. "": none has failed. Belongs to the job. NULL before the end or when out of
 * memory. */
LSIO_API const char *lsio_job_failures_text(lsio_job *job);

/* Once more, or once less: with the last one the job is cancelled if it still runs, and ends by itself, with
 * its `output` borrowed until then. After that nothing is told of it; an event that another thread is about
 * to take may be of it. Returns at once. Thread-safe. NULL is fine for release. */
LSIO_API void lsio_job_retain(lsio_job *job);
LSIO_API void lsio_job_release(lsio_job *job);

LSIO_END

#endif
