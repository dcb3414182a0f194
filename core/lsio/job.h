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
  LSIO_JOB_PLAN_ONLY = 1, /* stop after planning: lsio_job_explain, then destroy */
  LSIO_JOB_STREAM = 2,    /* results of steps arrive as completions instead of in a sink */
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
  void *output;                /* array for the results, as numpy's out=; borrowed until `output_release` is
                                  called, or until the job is destroyed; aligned to its elements. The
                                  script's sink is then lsio.memory, which may be left out. NULL: LSIO makes
                                  an array where the sink is lsio.memory. After a job that ended with
                                  "io_uring has failed" a last read may still land in it: do not use that
                                  memory again */
  size_t output_length;        /* bytes of `output`: exactly the result's; of results of variable size
                                  (`out_max`, compressed chunks of unknown sizes) at least */
  /* NULL, or called on the calling thread up to 20 times a second while files are listed and looked
   * at: how many so far. What is not 0 ends lsio_submit with LSIO_ERR_CANCELLED. */
  int (*planning)(void *user, uint64_t listed, uint64_t looked_at);
  void *planning_user;
  const lsio_script *loaded;   /* the job is one of this script, and `script` is NULL; used until the call
                                  returns: it may be released while the job is open */
  double before_s;             /* seconds that the program took for this job before the call, as it should
                                  say at the end: they count as the job's start */
  lsio_queue *queue;           /* NULL, or where the job tells of itself: lsio_submit does not wait, and
                                  `planning` is called only with LSIO_QUEUE_COORDINATES. Held by the job.
                                  `output` is borrowed until LSIO_EVENT_DONE or, of a job that is released
                                  before, until its context is destroyed, or `output_release` called */
  void *cookie;                /* stands in the job's events */
  /* NULL, or a map: what parameters are, by their names; the job keeps a reference until it is destroyed, or
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
   * return: LSIO touches `output` no more. That is when the job has ended, however it did, before LSIO_DONE
   * or LSIO_EVENT_DONE tells of it; else when it is destroyed or, released before its end, has ended, which
   * lsio_context_destroy waits for; or before lsio_submit returns an error (but for options without
   * struct_size). lsio_job_output still tells where the array is, and what is in it. Under no lock, by the
   * thread that ends the job: the caller's, inside one of these calls, or one of the context's. It may call
   * LSIO, but for what has to do with the job. Without an `output` it is called all the same.
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

/* Loads and validates the script, runs its `setup` and `source`, plans, opens the sink and has the context's
 * workers take it up. Everything that can be found wrong before reading is found here. Any number of jobs may
 * be open in a context: its workers go on with all of them in turn, by bytes; one of a single unit of work
 * comes first. A job with priority=background gives way: a worker begins units of such jobs while no normal
 * one has any to begin there, and one byte beside every 16 of theirs, so that it ends all the same. The
 * script's coordinator functions (`setup`, `source`, `reduce`, `done`) run on the threads
 * that call lsio_submit and lsio_poll, those of one context one after the other: while they run, jobs with
 * scripts wait that another thread submits; nobody waits while sources are listed, or lists of them read. */
LSIO_API int lsio_submit(lsio_context *context, const struct lsio_job_options *options,
                         lsio_job **out, lsio_error **error);

/* 1, 2, ... in the order in which jobs were submitted to their context, and texts asked of lsio_script_help:
 * by it the context's `log` and lsio_context_trace name a job. What a script says while it is submitted comes
 * before the program can know the number. */
LSIO_API uint64_t lsio_job_number(const lsio_job *job);

/* A job with a `deadline` (a setting: "90s", "5m", "1h", "500ms", or seconds) has so long from the call of
 * lsio_submit on, its time in the queue included, whether or not anybody polls it. When that has passed, no
 * step begins any more. With on_error=fail the job ends with LSIO_ERR_LIMIT, and nothing is published; the
 * error says how far it was and what each worker was doing. With on_error=skip the steps that have not run
 * have failed (LSIO_ERR_LIMIT; their completions come as those of others that fail) and what has run is kept:
 * its results are published, with `fill` in the places of the rest, or have been streamed, its states are
 * reduced, `done` is called. The job ends well then, but with exit code 9; `steps_left` and `at_deadline` of
 * the summary tell. All these errors are LSIO_KIND_TIMEOUT.
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


enum lsio_completion_kind {
  LSIO_STEP = 1,        /* the result of one step (only with LSIO_JOB_STREAM) */
  LSIO_STEP_FAILED = 2, /* one step failed; under `on_error = "skip"` the job goes on */
  LSIO_DONE = 3         /* the last one of a job: lsio_job_status tells how it ended */
};

struct lsio_completion {
  uint32_t kind;           /* enum lsio_completion_kind */
  uint32_t is_record;      /* STEP: 1 = `data` is a record (text), 0 = elements */
  uint64_t step;           /* index of the step in the request */
  int64_t tag;             /* tag of its first chunk */
  const void *data;        /* STEP: the result, with 64 bytes behind it that may be read; on 64 bytes, unless
                              it lies where it was read (LSIO_RESULT_UNALIGNED in queue.h); borrowed until
                              the next lsio_poll of this job. NULL: it is empty */
  size_t length;           /* in bytes */
  const lsio_error *error; /* STEP_FAILED: borrowed until the next lsio_poll of this job */
};

/* Waits up to timeout_ms (-1 = for ever, 0 = not at all) for at least one completion and takes up to
 * `max`. Returns how many, 0 on timeout, LSIO_ERR_FORKED for a parent's job. After LSIO_DONE it returns 0 at
 * once. Workers stop reading while too many results wait to be polled. An output file is made durable and
 * gets its name (or is removed) between the last step and LSIO_DONE, which may take seconds: with a limit on
 * a thread of the context's, up to four jobs' at once, so that this call returns in time; without one on the
 * calling thread. */
LSIO_API int lsio_poll(lsio_job *job, struct lsio_completion *out, size_t max, int timeout_ms);
/* Polls and drops completions until the job has ended; returns lsio_job_status. */
LSIO_API int lsio_wait(lsio_job *job);
/* A descriptor that becomes readable when lsio_poll has something to return; for poll/epoll/asyncio.
 * Made when it is first asked for; belongs to the job; never read from it. -1: no descriptor was left. */
LSIO_API int lsio_job_fd(const lsio_job *job);

/* Asks the job to stop; returns at once. LSIO_DONE follows. Thread-safe and async-signal-safe. */
LSIO_API void lsio_cancel(lsio_job *job);
/* For a process that must leave although workers do not return: removes the temporary files of this
 * job, and of all others in the process. Any thread. The only sensible next call is _exit. */
LSIO_API void lsio_job_abandon(lsio_job *job);

/* Figures that the summary has as well have its names. */
struct lsio_progress {
  size_t struct_size;       /* set by the caller */
  uint64_t steps_requested; /* of which these have ended well, and these not: */
  uint64_t steps, steps_failed;
  uint64_t bytes_requested; /* stored bytes; 0: not known before all files have been opened */
  uint64_t bytes_done;      /* of them, those of steps that have ended */
  double elapsed_s;         /* since its workers started; when they have ended, the time from start to end */
  uint32_t workers, workers_running;
  uint32_t began;       /* 1: it has been planned and started, or waits for memory to begin */
  uint32_t deadline_passed; /* 1: no step begins any more, and workers that still run have not returned from
                               the step or the read that they were in */
  uint64_t listed, looked_at; /* files, before; of a job with a queue */
  uint64_t queued;     /* steps whose results, or failures, wait to be taken */
  uint64_t held_bytes; /* of results that do, or wait for their turn (order), or that the program holds: those
                          of the last poll, or in blocks (queue.h), as long as it has any of such a block */
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
/* The reduced state of a job with LSIO_JOB_STATE_VALUE, after LSIO_DONE with lsio_job_status 0: *out is a new
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
/* The errors of steps that failed: their count, and the first of them (at most 100 are kept). */
LSIO_API uint64_t lsio_job_error_count(const lsio_job *job);
LSIO_API const lsio_error *lsio_job_step_error(const lsio_job *job, size_t i);
/* The plan, for people (json = 0) or machines (json = 1). Belongs to the job. NULL: there is none (or not
 * yet), or no memory. */
LSIO_API const char *lsio_job_explain(lsio_job *job, int json);
/* The merged state of a job whose transform has `merge`. NULL: it has none, or has not ended well. Belongs to
 * the job, whose destruction closes it; until then its content is the caller's to use or to change. */
LSIO_API void *lsio_job_state(const lsio_job *job);
/* Summary as JSON after LSIO_DONE: counts, bytes, times, bound, workers, reduced state, errors.
 * `bound` is what most of the workers' time went to: "device" (or "latency", where too little was in flight
 * to keep it busy), "decode", "transform", "sink", or "consumer": they waited with results (`stalled_s` of
 * `workers`) while the program took others too slowly. It should take more at a time, or do what it does with
 * them on other threads.
 * Integers of the `state` stand there with all their digits (uint64: up to 2^64 - 1), bytes of strings that
 * are no UTF-8 as \xNN; NaN and infinities are null, and `state_nonfinite` says how many. `state_error`
 * is as lsio_job_state_error, or null.
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
 * worker's start to the last one's end), `poll_s` (until the program polled for the end), `reduce_s`,
 * `publish_s`, `done_s`. `wall_s` and `cpu_s` are of reading and publishing.
 * Belongs to the job. NULL before the end or when out of memory. */
LSIO_API const char *lsio_job_summary_json(lsio_job *job);
/* The same in one paragraph for people, in lines of at most 80 columns. Belongs to the job. */
LSIO_API const char *lsio_job_summary_text(lsio_job *job);

/* Cancels a job that still runs and waits for its workers, or for its output if that is being made durable.
 * NULL is fine. */
LSIO_API void lsio_job_destroy(lsio_job *job);

LSIO_END

#endif
