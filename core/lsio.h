/* LSIO: read millions of chunks (byte ranges of files) as fast as the storage allows and run a Lua
 * function on each while it is still in the CPU's cache.
 *
 * This header is the manual of the C library. A program
 *
 *   1. makes a context (lsio_context_create): jobs, their Lua states and the memory they leave live in it,
 *   2. submits a job (lsio_submit): the Lua source of a job script, its parameters and settings,
 *   3. polls completions in batches (lsio_poll) until the one of kind LSIO_DONE arrives,
 *   4. reads the summary, the result (a file, or an array in memory: lsio_job_output) or the error, and
 *      destroys the job and the context.
 *
 * Trust: a job script is as trusted as a shell script; it can do whatever the process can. The data
 * that it reads is not trusted.
 *
 * Conventions
 *   - Functions that can fail return 0 or a count, or a negative LSIO_ERR_* code. Where they take an
 *     `lsio_error **`, it may be NULL; on failure it receives an error object that the caller frees
 *     with lsio_error_free.
 *   - Options structs start with `struct_size`: set it to sizeof the struct and zero the rest;
 *     zero means "default" for every field.
 *   - Ownership is said at every pointer: "copied" (the caller may free it when the call returns),
 *     "borrowed until X" (it must stay valid until X), "handed over" (the receiver frees it).
 *   - Thread-safety: a context may be used from any threads at once, but for its destruction. A job may be
 *     used from one thread at a time; lsio_cancel and lsio_job_progress from any.
 *   - After fork the child must not use a context or a job of its parent.
 */
#ifndef LSIO_H
#define LSIO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LSIO_VERSION_MAJOR 0
#define LSIO_VERSION_MINOR 1
#define LSIO_VERSION_PATCH 0

#if defined(LSIO_BUILD)
#define LSIO_API __attribute__((visibility("default")))
#else
#define LSIO_API
#endif

/* ---- Errors -------------------------------------------------------------------------------------
 * X(name, value, exit code of the runner, text). Values never change. */
#define LSIO_ERRORS(X)                                                                  \
  X(LSIO_ERR_USAGE, -2, 2, "wrong option or argument")                                  \
  X(LSIO_ERR_SCRIPT, -3, 3, "the job script does not load or is not valid")             \
  X(LSIO_ERR_SOURCE, -4, 4, "a source is missing or has changed")                       \
  X(LSIO_ERR_IO, -5, 5, "input or output error")                                        \
  X(LSIO_ERR_OUTPUT, -6, 6, "the output exists, is full or may not be written")         \
  X(LSIO_ERR_TRANSFORM, -7, 7, "the transform failed")                                  \
  X(LSIO_ERR_CORRUPT, -8, 8, "corrupt data")                                            \
  X(LSIO_ERR_LIMIT, -9, 9, "a limit of memory or time was reached")                     \
  X(LSIO_ERR_NOMEM, -10, 9, "out of memory")                                            \
  X(LSIO_ERR_CANCELLED, -11, 130, "cancelled")                                          \
  X(LSIO_ERR_UNSUPPORTED, -12, 5, "not supported here")                                 \
  X(LSIO_ERR_BUSY, -13, 2, "the job is still running")                                  \
  X(LSIO_ERR_BUG, -14, 70, "internal error of LSIO, please report it")

enum lsio_err {
  LSIO_OK = 0,
#define LSIO_ERR_ENUM(name, value, exit_code, text) name = value,
  LSIO_ERRORS(LSIO_ERR_ENUM)
#undef LSIO_ERR_ENUM
};

typedef struct lsi_error lsio_error; /* opaque */

/* Static strings; any int is accepted. */
LSIO_API const char *lsio_strerror(int code);
LSIO_API const char *lsio_error_name(int code);

LSIO_API int lsio_error_code(const lsio_error *e);
/* errno, HTTP status or a library's code; 0 when there is none. */
LSIO_API int lsio_error_os_code(const lsio_error *e);
/* The whole story in one line: what, object, offset, length, step, OS text, and what to do. The
 * string belongs to the error. */
LSIO_API const char *lsio_error_message(const lsio_error *e);
/* Name of the object it is about, "" when it is about none. Belongs to the error. */
LSIO_API const char *lsio_error_object(const lsio_error *e);
/* Byte offset in the object and index of the step; UINT64_MAX when it is about none. */
LSIO_API uint64_t lsio_error_offset(const lsio_error *e);
LSIO_API uint64_t lsio_error_step(const lsio_error *e);
/* All of it as a JSON object on one line, as in the summary's `errors` and in lines of --errors: code (the
 * name), message, object, offset, length, step (null when it is about none), os_code. Bytes that are no
 * UTF-8 are written as \xNN. Handed over: free with lsio_free. NULL: out of memory. */
LSIO_API char *lsio_error_json(const lsio_error *e);
/* NULL is fine. */
LSIO_API void lsio_error_free(lsio_error *e);

/* ---- Library ------------------------------------------------------------------------------------ */

/* "0.1.0". */
LSIO_API const char *lsio_version(void);
/* A report for people about this machine: CPUs, kernels, memory, backends and why one is refused,
 * LuaJIT and what its build is known to get wrong. Handed over: free with lsio_free. NULL when out of
 * memory. Thread-safe. */
LSIO_API char *lsio_doctor(void);
LSIO_API void lsio_free(void *p);
/* "4 KiB", "1.50 GiB": a size as LSIO shows it everywhere, in powers of 1024. Writes at most n bytes with
 * the NUL (32 are enough) and returns buf. */
LSIO_API const char *lsio_size_format(uint64_t bytes, char *buf, size_t n);

/* The settings that a job takes (`lsio_job_options.settings`, LSIO_* variables, the runner's flags,
 * `options` in a script), from one table; workers, memory, backend and pin are also a context's (see there).
 * NULL-named row ends it. Static. */
struct lsio_setting {
  const char *name;     /* "queue-depth" */
  const char *argument; /* "N", "SIZE", "auto|always|never"; NULL = a switch */
  const char *env;      /* "LSIO_QUEUE_DEPTH" */
  const char *help;     /* one line */
};
LSIO_API const struct lsio_setting *lsio_settings(void);

/* ---- Context ------------------------------------------------------------------------------------ */

typedef struct lsio_context lsio_context;

/* Four settings are a context's, for all its jobs: workers (the threads that it has at most; auto: the CPUs
 * that the process may use), memory (bytes, for the buffers of all jobs; left out: 1GiB, or a quarter of
 * what is available when the context is made if that is less), backend and pin. They come from `settings`
 * in its options, else from LSIO_WORKERS and its like, which are read when it is made.
 *   In a job, `workers` is the most that it uses and `memory` its cap. Left out or auto it may use all of the
 * context's; of more than the context has it gets what there is.
 *   A job begins when what it needs for itself is free: what it has in flight, its largest step in each
 * worker (of compressed chunks whose size nobody says: as large as they usually are), and results on their
 * way. Until then it waits in a queue, in order of arrival, where one that needs much is passed by up to 64
 * that need little, for at most 100 ms. It is cancelled there like any other. A job whose results nobody
 * polls keeps its memory, and who polls only jobs that wait behind it waits for ever. A step that turns out
 * larger, when it is decoded, waits for its memory in the same queue; when such steps wait for each other the
 * oldest runs after 100 ms all the same, so that one at a time may be beyond `memory`, by what it needs.
 *   A context that was made with a `backend`, be it auto, reads by that only. Else each job takes its own:
 * threads keep a ring or its like for every backend that jobs use, and none is in the way of another.
 *   A context that was made with a `pin` keeps to that. Else threads are tied to CPUs by the first job that
 * has them tied (LSIO_JOB_OWN_CPUS), and stay so: a later job's pin=never comes too late.
 * What a job wants beyond that is no error. It is said on stderr ("lsio: warning: ..."), once a context for
 * each of the four; but not where only a variable wants it that the context's `settings` have overruled. */
enum lsio_context_flags {
  /* LSIO may handle SIGBUS in this process. Resident files are then used where they lie in the page
   * cache instead of being copied from there. Should such a file be truncated meanwhile, reading it
   * raises SIGBUS: the handler puts zeros in place of the lost pages and the job fails with
   * LSIO_ERR_SOURCE. It knows LSIO's own mappings by their addresses and passes every other SIGBUS to
   * the handler that it found, so install yours before the first context with this flag. LSIO maps
   * no file while another handler is in the place of its own; one that is put there while a job runs
   * must pass on what it does not know. The handler stays until the process ends: the library must
   * not be unloaded. Without this flag nothing is mapped and no signal is touched. */
  LSIO_CONTEXT_SIGBUS = 1,
  LSIO_CONTEXT_NO_ENV = 2, /* ignore LSIO_* environment variables; jobs have LSIO_JOB_NO_ENV */
  /* The context is made for a job, as lsio-lua makes it: of the four settings above, those that `settings` do
   * not have become what the first job has by its settings, its environment or its script's `options`. It is
   * the first one whose script loads; later ones find a context with these settings. */
  LSIO_CONTEXT_BY_FIRST_JOB = 4
};

struct lsio_context_options {
  size_t struct_size;
  uint32_t flags;        /* enum lsio_context_flags */
  uint32_t trace_events; /* of each thread, the latest so many (40 bytes each) are kept for
                            lsio_context_trace; 0: none, and nothing is spent on them */
  const char *const *settings; /* "name=value" of workers, memory, backend, pin; copied. LSIO_ERR_USAGE: of
                                  another name, or not valid */
  size_t n_settings;
};

/* `options` may be NULL; copied. */
LSIO_API int lsio_context_create(const struct lsio_context_options *options, lsio_context **out,
                                 lsio_error **error);
/* Its jobs must have been destroyed. Gives back the memory that it kept: buffers of its
 * jobs, and arrays after lsio_array_free, are used again by later jobs; of these it keeps no more than
 * those jobs may use (`memory`) that are there, or else were there last. NULL is fine. */
LSIO_API void lsio_context_destroy(lsio_context *context);
/* Writes what each thread did lately, and for which job (1, 2, ... in the order of lsio_submit), as JSON for
 * the viewers of Chrome and Perfetto (ui.perfetto.dev). Reads and writes lie beside it, each from its
 * submission until it came back, with the index of its object, offset and length. Any time, also while jobs
 * run. */
LSIO_API int lsio_context_trace(lsio_context *context, const char *path, lsio_error **error);

struct lsio_context_stats {
  size_t struct_size;    /* in: what the caller has room for */
  uint64_t jobs;         /* submitted so far */
  uint32_t jobs_running; /* started, and not yet destroyed */
  uint32_t threads;      /* that work for jobs; they sleep while there is nothing to do */
  uint32_t attended;     /* parts of jobs that threads have, one for each worker of a job */
  uint32_t waiting;      /* parts that a thread has not yet looked at */
  uint64_t memory_limit; /* bytes for all jobs together; 0: its first job will say */
  uint64_t memory_lent;  /* bytes of buffers in use */
  uint64_t memory_kept;  /* bytes kept for the next ones */
  uint64_t memory_reserved; /* bytes of the limit that jobs hold, from before they begin to their last step */
  uint64_t jobs_queued;  /* that wait for memory to begin */
  uint64_t bytes_read;   /* so far, by all threads */
};
/* How things stand, at this moment or a turn of its threads ago. Thread-safe. */
LSIO_API void lsio_context_get_stats(lsio_context *context, struct lsio_context_stats *out);
/* Of one of its `threads`, from 0 on; the fields mean the same. LSIO_ERR_USAGE: it has not so many. */
struct lsio_thread_stats {
  size_t struct_size;
  uint32_t attended, waiting;
  uint64_t bytes_read;
};
LSIO_API int lsio_context_get_thread_stats(lsio_context *context, uint32_t thread,
                                           struct lsio_thread_stats *out);

/* ---- Jobs --------------------------------------------------------------------------------------- */

typedef struct lsio_job lsio_job;
typedef struct lsi_loaded lsio_script; /* a script that stays loaded: see lsio_script_load */

enum lsio_job_flags {
  LSIO_JOB_PLAN_ONLY = 1, /* stop after planning: lsio_job_explain, then destroy */
  LSIO_JOB_STREAM = 2,    /* results of steps arrive as completions instead of in a sink */
  LSIO_JOB_NO_ENV = 4,    /* ignore LSIO_* environment variables; its context may have taken some */
  LSIO_JOB_OWN_CPUS = 8,  /* the machine is this job's: with pin = "auto", workers are tied to CPUs
                             when they use every CPU and no quota limits them */
  LSIO_JOB_NO_MEMORY = 16, /* nobody would look at results in memory: a script that wants to leave them
                              there is wrong (LSIO_ERR_SCRIPT) */
  LSIO_JOB_NO_STATE = 32  /* "state" is null in lsio_job_summary_json: what workers end with may be large,
                             and is several times as large as text while that is made */
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
  void *output;                /* array for the results, as numpy's out=; borrowed until the job is
                                  destroyed; aligned to its elements. The script's sink is then
                                  lsio.memory, which may be left out. NULL: LSIO makes an array where
                                  the sink is lsio.memory. After a job that ended with "io_uring has
                                  failed" a last read may still land in it:
                                  do not use that memory again */
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

/* Text for `--help job.lua`: the script's parameters. Handed over in *text: free with lsio_free. */
LSIO_API int lsio_script_help(lsio_context *context, const struct lsio_job_options *options,
                              char **text, lsio_error **error);

/* Loads a script once for many jobs, which are then opened by `loaded` in their options, each with args
 * and settings of its own. Of `options`, script, script_length and script_name are used. The script is
 * compiled and its top level runs here, and once in each worker that gets a job of it, instead of once
 * a job: what it leaves in file-level locals lives as long as the script, apart from the others in the
 * coordinator and in each worker, and is shared by all its jobs, also those that are open at the same
 * time. `params`, `state` and whatever else a function of the job gets belong to one job. What is wrong
 * with the script is found here (LSIO_ERR_SCRIPT); what only its args and settings can make wrong, when
 * a job is submitted. */
LSIO_API int lsio_script_load(lsio_context *context, const struct lsio_job_options *options,
                              lsio_script **out, lsio_error **error);
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
  const void *data;        /* STEP: the result; borrowed until the next lsio_poll of this job */
  size_t length;           /* in bytes */
  const lsio_error *error; /* STEP_FAILED: borrowed until the next lsio_poll of this job */
};

/* Waits up to timeout_ms (-1 = for ever, 0 = not at all) for at least one completion and takes up to
 * `max`. Returns how many, 0 on timeout. After LSIO_DONE it returns 0 at once. Workers stop reading
 * while too many results wait to be polled. An output file is made durable and gets its name (or is removed)
 * between the last step and LSIO_DONE, which may take seconds: with a limit on a thread of the context's,
 * up to four jobs' at once, so that this call returns in time; without one on the calling thread. */
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

struct lsio_progress {
  size_t struct_size;   /* set by the caller */
  uint64_t steps, steps_done, steps_failed;
  uint64_t bytes, bytes_done; /* stored bytes asked for (0: not known before all files have been
                                 opened); of steps that have ended */
  double elapsed_s;
  uint32_t workers, workers_running;
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
/* The errors of steps that failed: their count, and the first of them (at most 100 are kept). */
LSIO_API uint64_t lsio_job_error_count(const lsio_job *job);
LSIO_API const lsio_error *lsio_job_step_error(const lsio_job *job, size_t i);
/* The plan, for people (json = 0) or machines (json = 1). Belongs to the job. NULL: out of memory. */
LSIO_API const char *lsio_job_explain(lsio_job *job, int json);
/* Summary as JSON after LSIO_DONE: counts, bytes, times, bound, workers, reduced state, errors.
 * Integers of the `state` stand there with all their digits (uint64: up to 2^64 - 1), bytes of strings that
 * are no UTF-8 as \xNN; NaN and infinities are null, and `state_nonfinite` says how many. `state_error`
 * is as lsio_job_state_error, or null.
 * `bytes_direct` are bytes that no CPU copied on their way from storage into the process' memory (read
 * with O_DIRECT, or used where they lie in the page cache), or of results from there to storage: a byte
 * that went both ways counts twice. Where what was read is a result in memory already, or is written from
 * where it was read, none copies it at all. `peak_memory` is the most of the process' own memory (RssAnon +
 * RssShmem) that was seen, every 20 ms and at the workers' end; pages of files do not count.
 * Of `bytes_read` nobody asked for `bytes_gaps` (between chunks that share an operation) and
 * `bytes_alignment` (around direct reads, which take whole blocks); `bytes_twice` were read more than once
 * because chunks overlap, `bytes_retried` again, chunk by chunk, after reads that failed. Gaps and overlaps
 * are those of the plan, and 0 in a job that ended early. What the kernel reads ahead is not known.
 * `total_s` is all the time that the job took, and the sum of these: `start_s` (before_s of the options,
 * and the script's loading), `setup_s`, `list_s` (listing of sources), `plan_s`, `read_s` (from the first
 * worker's start to the last one's end), `poll_s` (until the program polled for the end), `reduce_s`,
 * `publish_s`, `done_s`. `wall_s` and `cpu_s` are of reading and publishing.
 * Belongs to the job. NULL before the end or when out of memory. */
LSIO_API const char *lsio_job_summary_json(lsio_job *job);
/* The same in one paragraph for people, in lines of at most 80 columns. Belongs to the job. */
LSIO_API const char *lsio_job_summary_text(lsio_job *job);

/* ---- Results in memory --------------------------------------------------------------------------
 * Of a job whose sink is lsio.memory: results stand in request order, without gaps. Where their sizes
 * are known before reading, transforms write straight into the array (chunk.out); that is so without
 * `out_max` and codec, and with a codec when `decoded` times the number of chunks is what the sink's
 * shape (without -1) holds, the last chunk being shorter perhaps. Else they are copied in.
 * Bytes that are the result as they are stored (no transform, no codec, the same type) are read straight
 * into the array: from the page cache always; past it where address, offset and length are multiples
 * of 4096 and the CPU is what bounds the run, or the setting `direct` is always. So do not touch the array,
 * and do not fork, while the job runs.
 * The array that LSIO makes is not part of the setting `memory`. For results of variable size, addresses
 * for the largest result are reserved, but memory is taken only as it is written.
 * Workers that wait for storage make pages ready that nobody has touched, in an array of the caller's too.
 * After a job that failed or was cancelled, what an array of the caller's holds is unspecified. */
struct lsio_array {
  size_t struct_size; /* set by the caller */
  void *data;         /* NULL when LSIO made none, having no elements for it */
  size_t bytes;       /* of the result */
  const char *type;   /* of an element, in native byte order: "f32", ...; static */
  uint32_t ndim;      /* as the sink's shape says; 1 without it */
  int64_t shape[32];
  void *owner;        /* what lsio_array_free gives back; NULL: nothing */
};

/* After LSIO_DONE of a job with lsio_job_status 0: where the result is. It belongs to the job, or to the
 * caller if it is the caller's `output`. LSIO_ERR_BUSY before the end, LSIO_ERR_USAGE when the job has no
 * result in memory, the job's error when it has failed. */
LSIO_API int lsio_job_output(const lsio_job *job, struct lsio_array *out);
/* The same, once, and hands the array over: it outlives the job and the context. */
LSIO_API int lsio_job_take_output(lsio_job *job, struct lsio_array *out);
/* Gives back an array that was handed over; *array is empty then. Thread-safe. NULL is fine. */
LSIO_API void lsio_array_free(struct lsio_array *array);

/* Cancels a job that still runs and waits for its workers, or for its output if that is being made durable.
 * NULL is fine. */
LSIO_API void lsio_job_destroy(lsio_job *job);

#ifdef __cplusplus
}
#endif
#endif
