/* Completions of many jobs in one place. Read lsio.h first; programs include that. */
#ifndef LSIO_QUEUE_H
#define LSIO_QUEUE_H

#include "lsio/job.h"

LSIO_BEGIN

/* ---- Queues -------------------------------------------------------------------------------------
 * Jobs that are submitted with a `queue` in their options tell there what has come of them: results in
 * blocks, steps that failed, and their end. No call but a take that may wait does wait. The script's
 * coordinator functions, listing, planning, merging and publishing run on threads of the context, at most
 * four, or on one that waits in lsio_queue_take.
 *   A queue has one consumer at a time; its other functions are thread-safe. A context may have any number
 * of queues, of any number of jobs.
 *   The consumer is woken at once where it waits in lsio_queue_take. By the descriptor or the function below
 * it is when it has not been for 200 us, for a job that was submitted since, and while few jobs of the queue
 * go on: fewer than 8 for each worker of the context. Otherwise it is woken once for all that comes until
 * those 200 us are over (1 ms where nothing more comes just then), or until 64 jobs have something. Who takes
 * before that finds what there is. */

enum lsio_queue_flags {
  /* What threads of the context would do for its jobs, as said above, is done in lsio_queue_take instead,
   * however short it is to wait: for a program that has a thread for that, or wants to have a script's
   * functions run there. `planning` of a job's options is called. */
  LSIO_QUEUE_COORDINATES = 1
};

struct lsio_queue_options {
  size_t struct_size;
  uint32_t flags;      /* enum lsio_queue_flags */
  uint32_t reserved;
  /* Called when there is something to take and was nothing before, or a little later, as said above; once
   * until the next take. From threads of the context, under no lock: it is only to wake the consumer, who may
   * be in lsio_queue_take already. It may cancel and release jobs, and release queues, this one too; it must
   * not wait, or destroy the context. NULL: the consumer waits there, or by the descriptor. */
  void (*notify)(void *user);
  void *notify_user;
  void (*notify_destroy)(void *user); /* once, when notify will not be called any more; may be NULL */
};

/* `options` may be NULL; copied. The queue must be released before its context is destroyed. */
LSIO_API int lsio_queue_create(lsio_context *context, const struct lsio_queue_options *options,
                               lsio_queue **out, lsio_error **error);
/* Jobs that are still to end may go on; nobody will be told. NULL is fine. */
LSIO_API void lsio_queue_release(lsio_queue *queue);
/* A descriptor that is readable while there is something to take for which the consumer is to be woken; never
 * read from it. It may be so for nothing, as when a take was faster than who tells of what it took; the next
 * take silences it. Made when it is first asked for; belongs to the queue. -1: no descriptor was left. */
LSIO_API int lsio_queue_fd(lsio_queue *queue);

enum lsio_result_flags {
  /* It does not begin on 64 bytes: it lies where it was read, together with others or past the page cache, at
   * a place in its file that does not either. */
  LSIO_RESULT_UNALIGNED = 1
};

/* One result: that of a step. */
struct lsio_result {
  uint64_t step;      /* index of the step in the request */
  int64_t tag;        /* tag of its first chunk */
  uint64_t begin;     /* byte of its block's data where it begins: on 64 bytes, unless a flag says why not.
                         64 behind its end may be read, and hold anything */
  uint64_t length;    /* in bytes */
  uint32_t is_record; /* 1: a record (text), 0: elements */
  uint32_t flags;     /* enum lsio_result_flags */
};

enum lsio_event_kind {
  LSIO_EVENT_RESULTS = 1,     /* of steps, of a job with LSIO_JOB_STREAM */
  LSIO_EVENT_STEP_FAILED = 2, /* under `on_error = "skip"` the job goes on */
  LSIO_EVENT_DONE = 3         /* the last one of its job: lsio_job_status tells how it ended */
};

struct lsio_event {
  uint32_t kind;           /* enum lsio_event_kind */
  uint32_t n;              /* RESULTS: how many */
  lsio_job *job;
  void *cookie;            /* of the job's options */
  lsio_block *block;       /* RESULTS: held for the caller, who gives it back with lsio_block_release */
  const char *data;        /* of the block; what results in other events of it have stands there too */
  const struct lsio_result *results; /* n of them, as long as the block is held */
  const lsio_error *error; /* STEP_FAILED: borrowed until the next take */
};

/* Waits up to timeout_ms (-1: for ever, 0: not at all) until there is something, and takes up to `max`.
 * Returns how many; 0: nothing came in time; LSIO_ERR_FORKED: it is a parent's. Jobs have turns. With -1 it
 * may do meanwhile what a thread of the context would do for the queue's jobs: load scripts, list and plan,
 * merge and publish. Workers stop reading for a job of whose results too many wait here. */
LSIO_API int lsio_queue_take(lsio_queue *queue, struct lsio_event *out, size_t max, int timeout_ms);

/* ---- Blocks -------------------------------------------------------------------------------------
 * A transform writes its results where the program finds them, and stored bytes that are the result (no
 * transform, no codec, native byte order, one chunk a step) are read there. Chunks that are read together
 * stay so, with what lies between them, unless that is more than half: then they are copied.
 *   Results of several steps share a block where they lie near each other; it goes when nobody holds it, all
 * at once. So a program that keeps one result keeps what shares its block, and all of that counts against the
 * `memory` of the context for as long (memory_held of its stats), also when the job has ended.
 *   Shared blocks have at most half of that memory, those that wait here with them. Beyond it each result
 * comes in a block of its own, no larger than it must be (small ones together, up to 4 KiB), until blocks are
 * given back: where it was not made or read there it is copied, which `bytes_copied` of the summary counts.
 * So
 *   - a program may hold all results of any job: nothing waits for it to release them, and memory grows by
 *     what it holds, be that many times `memory`, with a few per cent for lists and pages (of results below
 *     1 KiB more: each takes a multiple of 64 bytes, and one struct lsio_result);
 *   - what it holds, up to half of `memory`, is not there for jobs that are to begin: they may have to wait
 *     for others to end, or for blocks, but never for blocks alone: one job always begins;
 *   - a program that does not take what waits here has its job's workers stop when that is more than 16 MiB.
 *     They go on when it takes; whether it releases does not matter. */

/* Any thread; a block outlives its event, job, queue and context, but its memory is not inherited by children
 * of fork. NULL is fine for release. */
LSIO_API void lsio_block_retain(lsio_block *block);
LSIO_API void lsio_block_release(lsio_block *block);

LSIO_END

#endif
