/* The engine runs a plan: one worker per core takes units, leases their buffers, has them read, and
 * takes each step through decode, transform and placement on the same core. What the API calls of it; who
 * implements what:
 *
 *   loop/engine.c     a run from start to end
 *   loop/crew.c       the threads, each with workers of many runs; home.c what they keep from run to run
 *   state/outcome.c   the error that ended it, failed steps, completions that wait to be taken
 *   state/figures.c   what is known of it, while it runs and afterwards; bound.c what held it up
 *
 * What a worker does, in the order in which a unit passes:
 *
 *   loop/worker_open.c  its memory (worker_memory.c), backend and transform
 *   loop/worker.c       its turns: refill, submit, reap; depth.c how much it has in flight
 *   state/handout.c     who takes which unit (cursors, stealing) and who may have operations in flight
 *   read/objects.c      open objects; unchanged.c: are they what planning saw; descriptors.c: none are left
 *   read/late.c         files of which planning only saw the names; resting.c: those being written to
 *   read/flight.c       a unit in flight: leases, operations (operation.c); retry.c what comes short or fails
 *   read/ahead.c        a step that is streamed: read bit by bit, some of it ahead of its pieces
 *   read/straight.c     reading straight into the result; lease.c: into the blocks of a stream
 *   read/lending.c      whether files that are mapped are used where they lie
 *   step/steps.c        the steps of a unit whose bytes are there
 *   step/prepare.c      from stored bytes to what the transform sees; pieces.c: all of it piece by piece
 *   state/alarms.c      deadlines, minded by one thread of a context
 *   state/gate.c        results that are streamed in an order
 *   state/waves.c       chunks that follow, of an object whose end shows when it is read (read/ends.c)
 *   state/left.c        which steps a deadline leaves; their places in the output are filled by result.c
 *   step/scratch.c      memory that a transform may ask for
 *   step/result.c       where a result is made; prefault.c: its pages made ready; nontemporal.c: stores past
 *                       the CPU's cache
 *   step/deliver.c      from what a step yields to the sink or the stream
 *   step/write_direct.c results that a backend writes past the page cache while the worker goes on
 *   step/looks.c        what counts only after a look behind its reads, kept by state/held.c
 */
#ifndef LSI_ENGINE_H
#define LSI_ENGINE_H

#include "job/spec.h"
#include "job/summary.h"
#include "plan/plan.h"
#include "seams/store.h"
#include "sink/sink.h"

/* Decoded over stored bytes, where nothing is known of it yet: lz4 and zstd of numbers seldom do better. */
#define LSI_USUAL_RATIO 4

struct lsi_alarms;
struct lsi_ledger;
struct lsi_pool;
struct lsi_trace;
struct lsi_run;

/* The threads of a context (loop/crew.h). `pool` is borrowed until destroy. by_hand: there are none, a test
 * gives the turns. 0 or LSIO_ERR_NOMEM. */
struct lsi_crew;
int lsi_crew_create(struct lsi_pool *pool, bool by_hand, struct lsi_crew **out);
/* Before its first run: thread i adds what it does to the i-th ring, while there is one. Borrowed. */
void lsi_crew_trace(struct lsi_crew *crew, struct lsi_trace *trace);
/* Before its first run: its threads wait awake so long before they sleep, where one run follows another. */
void lsi_crew_spin(struct lsi_crew *crew, uint32_t ns);
/* Before its first run: it has at most so many threads, and usually has them. */
void lsi_crew_limit(struct lsi_crew *crew, uint32_t threads);
void lsi_crew_destroy(struct lsi_crew *crew); /* none of its runs is left. NULL is fine */
/* Of one thread or LSI_CREW_ALL. */
struct lsi_crew_figures {
  uint32_t threads;    /* of the crew */
  uint32_t attended;   /* workers that take turns */
  uint32_t waiting;    /* workers to be taken up */
  uint64_t bytes_read; /* ever */
};
#define LSI_CREW_ALL UINT32_MAX
struct lsi_crew_figures lsi_crew_look(struct lsi_crew *crew, uint32_t thread);
/* Has all threads give back what no run uses: open rings, memory. Returns when they have. */
void lsi_crew_trim(struct lsi_crew *crew);

/* Something short, as the planning of a small job, done by the thread that has the least to do, between two
 * turns. Its owner's memory until `run` is called, and may be gone when that returns. False: there are no
 * threads yet. */
struct lsi_crew_task {
  void (*run)(void *arg);
  void *arg;
  struct lsi_crew_task *next;
};
bool lsi_crew_do(struct lsi_crew *crew, struct lsi_crew_task *task);

struct lsi_run_config {
  const struct lsi_spec *spec;       /* borrowed until destroy, as all below */
  const struct lsi_plan *plan;
  const struct lsi_backend_ops *backend;
  const struct lsi_backend_ops *fallback; /* for a worker where that is UNSUPPORTED; NULL: none */
  const struct lsi_store *const *stores; /* of the request's objects */
  const void *backend_user;          /* what these and the backend serve: a test's objects, or NULL */
  struct lsi_sink *sink;             /* NULL: none */
  bool sink_variable;                /* how it was opened */
  bool in_place;                     /* fixed and in memory: steps write where their result belongs */
  const uint64_t *sink_pos;          /* fixed: n_steps + 1 element positions */
  struct lsi_dtype sink_type;
  uint32_t sink_device;              /* of the plan, on which the sink lies; UINT32_MAX: on none */
  bool stream;                       /* results become completions */
  bool by_step;                      /* these come in the order of steps; else, if the request has groups, in
                                        that of groups. The plan is in request order then */
  bool untold;                       /* nobody takes: steps that fail are counted, and no completions */
  uint32_t workers;
  uint64_t share;                    /* bytes of memory a worker may use */
  uint64_t window;                   /* bytes beside, for results that wait for their turn */
  struct lsi_ledger *ledger;         /* where it gets its memory before it begins; NULL: nowhere */
  uint32_t queue_depth;              /* per device, 0 = by the device */
  enum lsi_direct direct;
  bool maps;                         /* SIGBUS is handled: files may be mapped */
  bool pin;
  struct lsi_tune tune;              /* what workers need not try */
  struct lsi_pool *pool;             /* of big blocks; NULL: none */
  const uint64_t *device_ids;        /* of the plan's devices: what is in flight there counts for all runs of
                                        the crew. NULL: for this one only */
  struct lsi_crew *crew;             /* NULL: threads of its own */
  bool background;                   /* begins what other runs leave (loop/member.c) */
  uint32_t wave_steps;               /* of each wave behind the first; 0: the usual */
  uint32_t number;                   /* of the job, in traces */
  struct lsi_alarms *alarms;         /* that mind its deadline */
  uint64_t deadline_at_ns;           /* 0: none */
  uint64_t deadline_ns;              /* how long that was, for messages */
  /* NULL, or called when completions wait and none did before, and last when all workers have ended: then the
   * run may be destroyed there. By workers, or who ends a run that waits for memory; under no lock. */
  void (*tell)(void *user, bool ended);
  void *tell_user;
};

/* Completions as they wait to be taken, results [from, from + n) of the block, or a step that failed; freed
 * with lsi_run_free_completion. */
struct lsi_run_completion {
  struct lsi_run_completion *next;
  uint32_t from, n;
  struct lsi_block *block; /* held */
  uint64_t bytes;          /* of these results */
  uint64_t step;           /* that failed */
  int64_t tag;             /* of its first chunk */
  struct lsi_error *error; /* NULL: results */
};

/* A run whose workers wait for their turns (loop/worker.h): nothing happens without them. */
int lsi_run_create(const struct lsi_run_config *config, struct lsi_run **out, struct lsi_error *err);
/* The same, and the crew takes up its workers, when there is memory for them. On failure nothing runs. */
int lsi_run_start(const struct lsi_run_config *config, struct lsi_run **out, struct lsi_error *err);
/* Async-signal-safe. */
void lsi_run_cancel(struct lsi_run *run);
/* Its deadline has passed: no step begins any more. Where failed steps are skipped, those that have not run
 * are that, and what has run is kept; else it fails with LSIO_ERR_LIMIT. Nothing, if it has ended. Any
 * thread. True: it waited for memory, has ended by this, and may be gone. */
bool lsi_run_expire(struct lsi_run *run);
/* Then: how far it was, and what each worker was doing, on one line; "" if it has ended before. */
const char *lsi_run_at_deadline(const struct lsi_run *run);
/* Takes the completions that wait (a list, oldest first), or NULL. */
struct lsi_run_completion *lsi_run_take(struct lsi_run *run);
bool lsi_run_has_told(const struct lsi_run *run); /* there are completions to be taken */
void lsi_run_free_completion(struct lsi_run_completion *c);
void lsi_run_free_completions(struct lsi_run_completion *list);
/* All workers have ended, and nothing has stopped them before the end. */
bool lsi_run_was_whole(const struct lsi_run *run);
/* True once all workers have ended; lsi_run_take may still have completions. */
bool lsi_run_queued(const struct lsi_run *run); /* it waits for memory: no worker has begun */
/* Ends a run that is stopped while it waits for memory: it need not wait to begin. True: it did, and if
 * somebody is told of its end it may be gone. */
bool lsi_run_leave_queue(struct lsi_run *run);
bool lsi_run_ended(const struct lsi_run *run);
/* Notes how much memory the process uses, looking if the last time is long enough ago (`now`: a little). */
void lsi_run_note_memory(struct lsi_run *run, bool now);
/* Waits until all workers have ended. 0, or the code of the error that ended the run, in *err too. */
int lsi_run_join(struct lsi_run *run, struct lsi_error *err);
/* After join, if it has not failed: what stands in the output for steps that a deadline has left. How many
 * steps that are, or negative. */
int64_t lsi_run_fill_left(struct lsi_run *run, struct lsi_error *err);
/* After join: how many steps there were, where that shows only in the reading too. A deadline may have left
 * some. */
uint32_t lsi_run_steps(const struct lsi_run *run);
/* After join: a backend broke with operations in flight, for which the kernel may still write to the sink's
 * memory. */
bool lsi_run_broke(const struct lsi_run *run);
void lsi_run_progress(const struct lsi_run *run, uint64_t *steps_done, uint64_t *steps_failed,
                      uint64_t *bytes_done, uint32_t *workers_running);
/* Steps whose results, or failure, are there to be taken or have been, and bytes of these results; workers
 * that wait until some are taken. */
void lsi_run_told(const struct lsi_run *run, uint64_t *steps, uint64_t *bytes);
uint64_t lsi_run_lent(const struct lsi_run *run); /* bytes of results that the program holds in blocks */
uint32_t lsi_run_stalled(const struct lsi_run *run);
double lsi_run_elapsed_s(const struct lsi_run *run); /* until now, or until its end */
uint64_t lsi_run_start_ns(const struct lsi_run *run); /* when its first worker was started */
/* Text, a line per worker (lsi_free). */
char *lsi_run_activity(const struct lsi_run *run);
/* After join: sets *out to what the engine knows and the rest to 0. `workers` and `errors` point into the
 * run. */
void lsi_run_summary(const struct lsi_run *run, struct lsi_summary *out);
/* Adds what the output took to be complete and durable after the workers had ended: LSI_PART_PUBLISH, which
 * is there, and so much CPU. */
void lsi_run_published(const struct lsi_run *run, uint64_t cpu_ns, struct lsi_summary *s);
void lsi_run_destroy(struct lsi_run *run); /* after join */

#endif
