/* What the public entry points share: contexts and jobs. */
#ifndef LSI_CONTEXT_H
#define LSI_CONTEXT_H

#include <stdatomic.h>

#include "api/facts.h"
#include "api/helpers.h"
#include "api/request.h"
#include "api/transform.h"
#include "engine/state/engine.h"
#include "ground/log.h"
#include "ground/spin.h"
#include "job/settings.h"
#include "job/trace.h"

struct lsi_array;

struct lsio_context {
  uint32_t forks;       /* lsi_os_forks when it was made: forked.h */
  struct lsi_log log;
  struct lsi_script_host *host;
  struct lsi_pool *pool;
  struct lsi_ledger *ledger;
  struct lsi_crew *crew;
  struct lsi_facts *facts;
  struct lsi_helpers *helpers;
  struct lsi_alarms *alarms; /* of deadlines */
  struct lsi_trace *trace; /* the last ring is that of the threads that submit and poll; NULL: none */
  struct lsi_spin spin; /* of who waits for a job */
  bool reads_now;       /* no backend is asked for: lsio_read_now may read as it likes */
  atomic_uint_fast64_t bytes_now; /* that it has read */
  bool maps;            /* SIGBUS is handled: files may be mapped */
  struct lsi_settings settings; /* its own: once `settled` (scope.c), before a job is prepared, workers and
                                   memory are known and nothing changes */
  struct lsi_mutex *mutex; /* of what follows */
  bool settled;
  bool pinned;          /* a job had its threads tied to CPUs */
  unsigned told;        /* LSI_BEYOND_*: which warnings were said */
  uint32_t jobs;        /* so far */
  uint32_t running;     /* jobs that were started, and are not gone */
  uint32_t lives;       /* jobs that something is left of */
  struct lsi_cond *rest; /* there are none */
  uint64_t ceilings;    /* of these, in MiB */
};

/* Where a job's results go. */
struct lsi_job_results {
  struct lsi_sink *sink;  /* NULL: none, or it has ended */
  struct lsi_dtype type;  /* of the elements */
  uint32_t order;         /* of those that are streamed: enum lsio_order */
  bool variable;          /* sizes are known only when a step has run */
  bool in_place;          /* into an array, where each result has its place */
  uint64_t *pos;          /* n_steps + 1: the element at which each step's result begins; NULL if variable */
  char *path;
};

/* Results in memory: in the caller's array, or in one of ours until it is taken over. */
struct lsi_job_array {
  bool refused;           /* the caller has no use for results in memory */
  void *callers;
  uint64_t callers_bytes;
  void (*release)(void *user); /* of the caller's; NULL: none, or it has been called */
  void *release_user;
  struct lsi_array *own;
  bool taken;
  struct lsi_sink_shape shape;
};

/* Between the run's completions and those that the caller has seen; the queue's consumer's. */
struct lsi_job_taken {
  struct lsi_run_completion *pending; /* taken from the run, not yet told */
  atomic_uint_fast64_t steps, bytes;  /* told so far */
};

/* Between the end of the run and that of the job. */
struct lsi_job_ending {
  bool published;        /* there was an output, and no error before */
  uint64_t at;           /* when the last part ended */
  uint64_t cpu_ns;       /* that publishing took */
};

/* Made when they are asked for; the caller's until the job is destroyed. */
struct lsi_job_texts {
  char *summary, *summary_json;
  uint64_t state_bytes;   /* of the state in the summary, if that is large and made already */
  char *explain, *explain_json, *failures;
};

/* Where it is. */
enum lsi_job_stage { LSI_JOB_PLANS, LSI_JOB_RUNS, LSI_JOB_ENDED };

/* life.c, queue.c. */
struct lsi_job_life {
  struct lsio_queue *queue;     /* held */
  bool own_queue;               /* nobody else has it: lsio_wait takes from it */
  void *cookie;
  void (*tell)(void *user, bool ended); /* as of lsi_run_config */
  void (*drop)(struct lsio_job *job);   /* once less of `refs` */
  atomic_uint users;            /* of the caller's */
  atomic_uint refs;             /* all: users, its life until it has ended, and the queue's */
  atomic_int stage;             /* enum lsi_job_stage */
  atomic_bool cancelled;
  atomic_uint_fast64_t listed, looked_at; /* while its sources are listed */
  struct lsi_task task;         /* to plan it, and to end it */
  struct lsi_crew_task planner; /* in its place, of a small plain read */
  struct lsio_job_options options; /* until it has been planned, with copies of `args` */
  uint64_t since_ns;            /* when it was submitted */
  /* the queue's, under its mutex: */
  bool listed_there, ready;
  bool goes_on;                 /* its end has not been told there */
  struct lsio_job *next_ready, *next, **before;
};

struct lsio_job {
  struct lsio_context *context;
  struct lsi_job_life life;
  struct lsi_settings settings;
  char *script_text, *script_name;
  lsio_value *params;                     /* held; NULL: none */
  lsio_request *given;                    /* held until it has been planned; NULL: none */
  struct lsi_script *script;              /* NULL: none, a plain read */
  struct lsi_c_transform transform;       /* the program's, if it gave one */
  struct lsi_spec spec;
  const struct lsi_backend_ops *backend;
  const struct lsi_backend_ops *fallback; /* NULL: none, as from one that was asked for by name */
  struct lsi_plan *plan;
  uint64_t *device_ids; /* of the plan's devices */
  uint32_t workers;
  uint32_t workers_wanted;                /* more than `workers` where memory allows no more */
  uint64_t ceiling;                       /* bytes of memory for all of it */
  uint64_t share;                         /* of each worker */
  uint64_t window;                        /* for results that wait for their turn */
  bool stream;                            /* results become completions */
  bool wants_value;                       /* somebody may ask for it as a value */
  bool counted;                           /* among the context's running */
  uint32_t number;                        /* among the context's jobs, from 1 on */
  struct lsi_job_results results;
  struct lsi_job_array array;
  struct lsi_run *run;
  struct lsi_job_taken taken;
  struct lsi_job_ending ending;
  atomic_bool ended;                      /* what follows is known, and changes no more */
  int status;
  int exit_code;
  struct lsi_error error;
  double part_s[LSI_PARTS];               /* as far as they have passed */
  uint64_t submitted_ns;                  /* from when on its deadline counts */
  uint64_t planned_since_ns;              /* up to the start of its run */
  struct lsi_summary summary;
  struct lsi_state_json state;
  struct lsi_state_value state_value;
  struct lsi_job_texts texts;
};

/* lsio.c: a job that may use so many bytes begins, and ends. The pool keeps no more than they all may use,
 * until the next one begins. */
void lsi_context_begin(struct lsio_context *c, uint64_t ceiling);
void lsi_context_end(struct lsio_context *c, uint64_t ceiling);

/* scope.c: its settings, from its options and the environment. */
int lsi_context_take_settings(struct lsio_context *c, const struct lsio_context_options *o,
                              struct lsi_error *err);
/* Once a job's settings are all known: keeps of them what its context allows. In a context made for it, they
 * become the context's. */
void lsi_job_settle(struct lsio_job *job);
/* It is to start: are its threads to be tied to CPUs? */
bool lsi_job_pins(struct lsio_job *job, bool own_cpus);

/* inside.c: rings for `events` each, of the threads and the caller's. NULL: no memory. */
struct lsi_trace *lsi_context_make_trace(const struct lsio_context *c, uint32_t events);
double lsi_job_since(uint64_t *at); /* seconds since *at, which becomes now */
/* What a thread of the caller's did for a job since a time that *at told; *at becomes now. Seconds. */
double lsi_job_did(struct lsio_job *job, enum lsi_trace_kind kind, uint64_t *at);

/* job.c: a job (NULL: no memory), its settings, and once it is prepared its start. */
struct lsio_job *lsi_job_create(struct lsio_context *context, const struct lsio_job_options *o);
int lsi_job_take_settings(struct lsio_job *job, const struct lsio_job_options *o, struct lsi_error *err);
int lsi_job_start(struct lsio_job *job, bool own_cpus, struct lsi_error *err);

/* job.c, in this order: copies of its script; it is loaded; what it asks for, sources listed; planned and
 * started, if `starts`. `at`: when the last part ended. */
int lsi_job_copy_script(struct lsio_job *job, const struct lsio_job_options *o, struct lsi_error *err);
bool lsi_job_is_plain(const struct lsio_job *job, const struct lsio_job_options *o); /* without a script */
int lsi_job_load(struct lsio_job *job, const struct lsio_job_options *o, struct lsi_error *err);
int lsi_job_plan(struct lsio_job *job, const struct lsio_job_options *o, struct lsi_watch *watch, uint64_t at,
                 struct lsi_error *err);
/* Nothing of it runs, and nobody knows it. */
void lsi_job_free(struct lsio_job *job);

/* job_end.c, in this order, once the run has ended: merged, published, `done`, and its figures are known. */
void lsi_job_reduce(struct lsio_job *job);
void lsi_job_publish(struct lsio_job *job);
void lsi_job_finish(struct lsio_job *job);
/* It never ran: job->error tells why. */
void lsi_job_never_ran(struct lsio_job *job);

/* life.c: it is submitted; *o is what lsi_job_options_read made. */
int lsi_job_submit(struct lsio_job *job, const struct lsio_job_options *o, uint64_t at,
                   struct lsi_error *err);

/* queue.c: as lsio_queue_create; held for the caller, who drops it. NULL: no memory. */
struct lsio_queue *lsi_queue_make(struct lsio_context *context, const struct lsio_queue_options *options);
/* A job belongs to the queue from now on, until its end has been taken or it is taken out; it has
 * something to tell. */
void lsi_queue_enter(struct lsio_job *job);
void lsi_queue_leave(struct lsio_job *job);
void lsi_queue_tell(struct lsio_job *job);
/* Has l->task done, by the queue's consumer or a helper. */
void lsi_queue_do(struct lsio_job *job);
/* Its consumer takes from it until the end of its only job. */
void lsi_queue_stay(struct lsio_queue *queue);
/* One of its jobs was cancelled. Async-signal-safe. */
void lsi_queue_look(struct lsio_queue *queue);
void lsi_queue_hold(struct lsio_queue *queue);
bool lsi_queue_coordinates(const struct lsio_queue *queue);
struct lsio_context *lsi_queue_context(const struct lsio_queue *queue);
void lsi_queue_drop(struct lsio_queue *queue);

/* job_prepare.c: from the script's spec to everything that a run needs. */
int lsi_job_prepare(struct lsio_job *job, struct lsi_error *err);

/* job_numbers.c. LSIO_ERR_SCRIPT names a .npy whose header would be read as numbers. */
int lsi_job_check_numbers(const struct lsio_job *job, struct lsi_error *err);

/* job_output.c: where results go. */
/* Is an output array of the caller's what the script's sink can use? One without a sink is a sink. */
int lsi_job_check_output(struct lsio_job *job, struct lsi_error *err);
/* Their type, and whether each has a place that is known before it is read. */
void lsi_job_decide_results(struct lsio_job *job);
int lsi_job_open_sink(struct lsio_job *job, struct lsi_error *err);
/* The caller's array is not touched any more: says so, once. The run has been joined, or there is none. */
void lsi_job_release_output(struct lsio_job *job);
/* Index of the plan's device that the sink writes to directly; UINT32_MAX: none of them. */
uint32_t lsi_job_sink_device(const struct lsio_job *job);

/* job.c: programs built before a field was added have a shorter struct. False: the size is none, or it is not
 * said what the job is. */
bool lsi_job_options_read(const struct lsio_job_options *in, struct lsio_job_options *out);

/* errors.c: a copy of *e (or of `code` alone) for the caller; returns code. Where there is no memory for the
 * copy, what the caller gets and what is returned says that. */
int lsi_error_hand_out(const struct lsi_error *e, int code, lsio_error **out);

#endif
