/* Contexts. Read lsio.h first; programs include that. */
#ifndef LSIO_CONTEXT_H
#define LSIO_CONTEXT_H

#include "lsio/error.h"

LSIO_BEGIN

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
 * takes keeps its memory, and who waits only for jobs behind it waits for ever. A step that turns out
 * larger, when it is decoded, waits for its memory in the same queue; when such steps wait for each other the
 * oldest runs after 100 ms all the same, so that one at a time may be beyond `memory`, by what it needs.
 *   A context that was made with a `backend`, be it auto, reads by that only. Else each job takes its own:
 * threads keep a ring or its like for every backend that jobs use, and none is in the way of another.
 *   A context that was made with a `pin` keeps to that. Else threads are tied to CPUs by the first job that
 * has them tied (LSIO_JOB_OWN_CPUS), and stay so: a later job's pin=never comes too late.
 * What a job wants beyond that is no error. It is a warning (to `log`, else "lsio: warning: ..." on stderr),
 * once a context for each of the four; but not where only a variable wants it that the context's `settings`
 * have overruled. */
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

/* Of what `log` takes; of two the higher one is graver. */
enum lsio_log_level {
  LSIO_LOG_PRINT = 10,  /* `print` in a job's script: what it is for */
  LSIO_LOG_INFO = 20,   /* lsio.log */
  LSIO_LOG_WARNING = 30 /* LSIO's own */
};

struct lsio_context_options {
  size_t struct_size;
  uint32_t flags;        /* enum lsio_context_flags */
  uint32_t trace_events; /* of each thread, the latest so many (40 bytes each) are kept for
                            lsio_context_trace; 0: none, and nothing is spent on them */
  const char *const *settings; /* "name=value" of workers, memory, backend, pin; copied. LSIO_ERR_USAGE: of
                                  another name, or not valid */
  size_t n_settings;
  /* NULL: what jobs print goes to stdout, the rest to stderr. Else LSIO writes to neither, and this is called
   * with each message: n bytes, whole, as one call of `print` or lsio.log made it, without the newline at its
   * end (there may be some within). No NUL stands behind it, and it may hold any bytes, also such that are no
   * UTF-8. It is valid until the call returns. `job` is the job's number (lsio_job_number); 0: it is about
   * none, as in lsio_script_wait. What a script writes itself (io.write, a program that it starts) goes where
   * it says.
   *   It is called on the thread that has something to say: for what a script does in workers (its top level,
   * `init`, `transform`, `finish`) one of the context's threads, else one that plans and ends jobs: the
   * context's, or who is in lsio_wait or lsio_queue_take; or in lsio_context_create, lsio_script_wait or
   * lsio_script_help. Several may call it at the same time; what one thread says comes in order.
   *   In the context's threads no lock is held, but the steps of all jobs that this thread has wait until it
   * returns, as behind a slow transform; those of other threads go on. In a script's coordinator functions
   * (and its top level there) the lock is held under which these run, for all jobs of the context: until it
   * returns, other jobs with scripts are neither loaded nor ended, but their steps go on. In a warning no
   * lock is held, unless it is about LuaJIT itself.
   *   So it should hand the message on and return. It must not wait for a thread that is in a call of this
   * context's, nor for a lock that such a thread holds: an interpreter's lock has to be let go of before each
   * call of LSIO's. It must not call LSIO, but for lsio_cancel, and must not leave by an exception or
   * longjmp. */
  void (*log)(void *user, uint64_t job, int level, const char *text, size_t n);
  void *log_user; /* borrowed until the context is destroyed */
};

/* `options` may be NULL; copied. */
LSIO_API int lsio_context_create(const struct lsio_context_options *options, lsio_context **out,
                                 lsio_error **error);
/* Its jobs and queues must have been released; of jobs that still run then it waits for the end. Gives back
 * the memory that it kept: buffers of its jobs, and arrays after lsio_array_free, are used again by later
 * jobs; of these it keeps no more than those jobs may use (`memory`) that are there, or else were there last.
 * NULL is fine. */
LSIO_API void lsio_context_destroy(lsio_context *context);
/* Writes what each thread did lately, and for which job (lsio_job_number), as JSON for
 * the viewers of Chrome and Perfetto (ui.perfetto.dev). Reads and writes lie beside it, each from its
 * submission until it came back, with the index of its `object`, `offset` and `length`. Any time, also while
 * jobs run. */
LSIO_API int lsio_context_trace(lsio_context *context, const char *path, lsio_error **error);

struct lsio_context_stats {
  size_t struct_size;    /* in: what the caller has room for */
  uint64_t jobs;         /* submitted so far */
  uint32_t jobs_running; /* started, and not yet gone: released and ended */
  uint32_t threads;      /* that work for jobs; they sleep while there is nothing to do */
  uint32_t attended;     /* parts of jobs that threads have, one for each worker of a job */
  uint32_t waiting;      /* parts that a thread has not yet looked at */
  uint64_t memory_limit; /* bytes for all jobs together; 0: its first job will say */
  uint64_t memory_lent;  /* bytes of buffers in use */
  uint64_t memory_kept;  /* bytes kept for the next ones */
  uint64_t memory_reserved; /* bytes of the limit that jobs hold, from before they begin to their last step */
  uint64_t jobs_queued;  /* that wait for memory to begin */
  uint64_t bytes_read;   /* so far, by all threads, and by lsio_read_now */
  uint64_t memory_held;  /* bytes of blocks that the program holds (queue.h), also of jobs that are gone */
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

LSIO_END

#endif
