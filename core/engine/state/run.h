/* The inside of the engine: a run and its workers. Shared by the folders of core/engine, and nobody else. */
#ifndef LSI_RUN_H
#define LSI_RUN_H

#include <stdatomic.h>

#include "engine/state/alarms.h"
#include "engine/state/engine.h"
#include "engine/state/figures.h"
#include "engine/state/gate.h"
#include "engine/state/handout.h"
#include "engine/state/home.h"
#include "engine/state/left.h"
#include "engine/state/outcome.h"
#include "engine/state/reader.h"
#include "engine/state/stepper.h"
#include "engine/state/wave.h"
#include "engine/state/writer.h"
#include "memory/ledger.h"
#include "seams/os.h"

/* LSI_STOP_KEEP: a deadline has passed, and what has run is kept: its states, and its results, which still
 * land. */
enum { LSI_STOP_NO, LSI_STOP_CANCEL, LSI_STOP_FAIL, LSI_STOP_KEEP };
enum lsi_phase { LSI_PHASE_START, LSI_PHASE_READ, LSI_PHASE_DECODE, LSI_PHASE_TRANSFORM,
                 LSI_PHASE_PLACE, LSI_PHASE_STALLED, LSI_PHASE_END };

/* The queue between engine and backend: new operations fill it this far, retries a little further,
 * and a continued short read always finds room. */
#define LSI_QUEUE_ISSUE 64
#define LSI_QUEUE_RETRY 128
#define LSI_QUEUE_MAX 192

#define LSI_REFILL_NS 150000u /* of compute, after which the device may run dry */

/* Where a worker is on its way through a run: worker.c. */
enum lsi_stage { LSI_STAGE_NEW, LSI_STAGE_GOING, LSI_STAGE_STOPPING, LSI_STAGE_DONE, LSI_STAGE_ENDED };

/* What a worker has of the ledger beside what its run has: surplus.c. */
struct lsi_surplus {
  struct lsi_claim claim;
  bool asked; /* it is held, or waits */
  bool held;
};

struct lsi_worker {
  struct lsi_run *run;
  uint32_t index;
  enum lsi_stage stage;
  struct lsi_home *home;
  _Atomic(struct lsi_home *) roused; /* the same, for other threads, once it has been taken up */
  struct lsi_instance *instance;     /* of the home's */
  struct lsi_backend *backend;
  const struct lsi_backend_ops *ops; /* its own: the run's, or the run's fallback */
  bool broken;                       /* the backend gave some operations not back */
  bool lands_plainly; /* of a unit that has landed the steps run, and nothing else is done */
  struct lsi_op *queue[LSI_QUEUE_MAX]; /* made, not yet taken by the backend */
  uint32_t n_queue;
  struct lsi_credit *credits;        /* per device */
  struct lsi_reader reader;
  struct lsi_stepper stepper;
  struct lsi_surplus surplus;
  const struct lsi_trial *comparing; /* the token of trial.h; NULL: nobody compares */
  uint64_t others_cpu_ns;            /* that others of its thread took while it compared */
  uint64_t left_cpu_ns;              /* the thread's at the end of its turn; 0: it does not compare */
  struct lsi_writer *writer;         /* of a direct sink; NULL: none */
  struct lsi_figures figures;
  uint64_t last_refill_ns;
  uint64_t blocked_ns;               /* after LSI_TURN_BLOCKED: how long it may be left alone */
  uint32_t may_begin;                /* units, in this turn */
  uint64_t served;                   /* bytes of units that it has begun */
  uint64_t bytes_counted;            /* of figures.bytes_read, as its thread's */
  bool background;                   /* as its run */
  bool idle;                         /* of its thread (member.c): it could do nothing in its last turn */
  struct lsi_worker *next;           /* its thread's own */
  struct lsi_error error;            /* scratch for one failure */
  _Alignas(LSI_CACHE_LINE) struct lsi_counters counters;
  _Alignas(LSI_CACHE_LINE) atomic_uint_fast64_t range; /* units not begun: lo << 32 | hi */
  atomic_uint_fast64_t activity;     /* phase << 56 | step */
};

/* A unit whose file turned out too large for the arena: see late.c. */
struct lsi_late_unit {
  uint32_t unit;
  uint64_t need; /* bytes of memory */
};

/* Under the run's mutex. */
struct lsi_late_units {
  struct lsi_late_unit *units;
  uint32_t n;
  uint32_t workers; /* that may still put units off */
};

struct lsi_run {
  struct lsi_run_config config;
  struct lsi_wave wave;      /* all of it, or the first one */
  struct lsi_wave *last_wave;
  atomic_uint ends_before;   /* the step from which on an object of unknown end has none; UINT32_MAX: not
                                known yet */
  enum lsi_on_error on_error;
  uint32_t n_workers;
  struct lsi_worker *workers;
  struct lsi_device_state **devices; /* its own, or those of all runs */
  struct lsi_device_state *own_devices;
  struct lsi_crew *own_crew;         /* NULL: it has been given one */
  struct lsi_claim claim;            /* of the ledger's memory */
  uint64_t reserved;                 /* of that, each worker's */
  atomic_int stop;
  atomic_uint running;
  atomic_uint unsettled;     /* of them: those that have not looked whether they are the last to end */
  atomic_uint starving;      /* workers that wait for a descriptor */
  atomic_uint unseen;        /* workers that no thread has looked at yet */
  atomic_uint may_open;      /* workers that have opened or may still: see leaves_it_to_others() */
  uint64_t
      write_bytes; /* of buffers that a worker can use for results of a direct sink; 0: not direct */
  uint64_t write_bytes_least; /* for the largest result */
  atomic_uint_fast64_t memory_peak;  /* greatest use seen */
  uint64_t start_ns;
  uint64_t end_ns;
  uint64_t start_cpu_ns;
  uint64_t end_cpu_ns;
  struct lsi_worker_summary *summaries;
  struct lsi_mutex *mutex;
  struct lsi_cond *cond;
  struct lsi_outcome outcome;
  struct lsi_gate gate;      /* of results that are streamed */
  struct lsi_tally *tally;   /* of those that the program holds in blocks; NULL: none are streamed */
  struct lsi_late_units late;
  struct lsi_left left;
  struct lsi_alarm deadline; /* set while `has_deadline` */
  bool has_deadline;
  uint64_t again_ns;         /* after which steps that go on are interrupted again; 0: it has not passed */
};

static inline bool lsi_stopping(const struct lsi_run *run) {
  return atomic_load_explicit(&run->stop, memory_order_relaxed) != LSI_STOP_NO;
}

/* It is stopped, but what has run is kept. */
static inline bool lsi_keeps(const struct lsi_run *run) {
  return atomic_load_explicit(&run->stop, memory_order_relaxed) == LSI_STOP_KEEP;
}

/* Nobody will ask for what has run. */
static inline bool lsi_abandoned(const struct lsi_run *run) { return lsi_stopping(run) && !lsi_keeps(run); }

/* Ends the wait of a worker's thread for what is in flight. Any thread; async-signal-safe. */
static inline void lsi_rouse(struct lsi_home *h) {
  if (h && h->bell >= 0 && atomic_load(&h->reaping)) lsi_os_bell_ring(h->bell);
}

/* The same for all that the run's workers wait for. */
static inline void lsi_rouse_workers(struct lsi_run *run) {
  for (uint32_t i = 0; i < run->n_workers; i++) lsi_rouse(atomic_load(&run->workers[i].roused));
}

/* What its turns took of the thread's CPU time, beside something that is constant while it compares. */
static inline uint64_t lsi_worker_cpu_ns(const struct lsi_worker *w) {
  return lsi_os_thread_cpu_ns() - w->others_cpu_ns;
}

/* Other runs want this thread too. */
static inline bool lsi_others_wait(const struct lsi_worker *w) {
  return LSI_UNLIKELY(atomic_load_explicit(&w->home->others, memory_order_relaxed) != 0);
}

/* Among all of the run: units that are in order stay so from wave to wave. */
static inline uint32_t lsi_flight_number(const struct lsi_flight *f) { return f->wave->first_step + f->unit; }

/* A flight whose steps may run, among the others: in the order of units, but behind one whose step is under
 * way. */
static inline void lsi_ready_put(struct lsi_worker *w, struct lsi_flight *f) {
  struct lsi_flight **at = &w->stepper.ready;
  if (w->stepper.by_pieces.begun) at = &(*at)->next;
  while (*at && lsi_flight_number(*at) < lsi_flight_number(f)) at = &(*at)->next;
  f->next = *at;
  *at = f;
  w->stepper.n_ready++;
}

static inline bool lsi_take_credit(struct lsi_worker *w, uint32_t device) {
  struct lsi_credit *c = &w->credits[device];
  if (LSI_UNLIKELY(!c->have) && !lsi_lease_credits(w, device)) return false;
  c->have--;
  return true;
}
static inline void lsi_give_credit(struct lsi_worker *w, uint32_t device) {
  struct lsi_credit *c = &w->credits[device];
  if (LSI_UNLIKELY(++c->have >= c->most)) lsi_return_block(w, device);
}

/* Between steps. */
static inline void lsi_set_reading(struct lsi_worker *w) {
  atomic_store_explicit(&w->activity, (uint64_t)LSI_PHASE_READ << 56, memory_order_release);
}

static inline void lsi_set_phase(struct lsi_worker *w, enum lsi_phase phase, uint32_t step) {
  const uint32_t number = lsi_wave_number(w->stepper.wave, step);
  /* Released: who reads it looks at the step's length, which may have become known just now. */
  atomic_store_explicit(&w->activity, (uint64_t)phase << 56 | number, memory_order_release);
}

/* So much waits to be polled that no step with a result is to run: what nobody polls is bounded. */
static inline bool lsi_run_full(const struct lsi_run *run) {
  return atomic_load_explicit(&run->outcome.queued_bytes, memory_order_relaxed) > LSI_QUEUED_BYTES_MAX;
}

/* It waits with results for whoever takes those that are there. */
static inline bool lsi_stalled(const struct lsi_worker *w) {
  return atomic_load_explicit(&w->activity, memory_order_relaxed) >> 56 == LSI_PHASE_STALLED;
}

static inline void lsi_count(atomic_uint_fast64_t *counter, uint64_t n) {
  /* One writer: no need for a locked instruction. */
  atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                        memory_order_relaxed);
}

#endif
