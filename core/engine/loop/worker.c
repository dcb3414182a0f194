/* The turns of one worker: begin units, submit, reap, and take each finished unit through all
 * its steps before the next one, so that its bytes are still in this core's cache. */
#include "engine/loop/worker.h"

#include <errno.h>
#include <string.h>

#include "engine/loop/depth.h"
#include "engine/loop/worker_open.h"
#include "engine/read/descriptors.h"
#include "engine/read/flight.h"
#include "engine/read/late.h"
#include "engine/read/lease.h"
#include "engine/read/lending.h"
#include "engine/read/objects.h"
#include "engine/state/surplus.h"
#include "engine/step/prefault.h"
#include "engine/step/looks.h"
#include "engine/step/pieces.h"
#include "engine/step/scratch.h"
#include "engine/step/steps.h"
#include "engine/step/write_direct.h"

#define REAP_BATCH 32
#define REAP_CROWDED 1 /* one unit, and then it is another run's turn */

#define REFILL_BYTES (LSI_REFILL_NS / 8)
#define REFILL_EVERY 8u       /* small units between looks at the clock */
#define TURNS 64u /* units that had not to be waited for, before what is in flight is looked at */
#define BLOCKED_NS 50000     /* pause when another worker holds all credits, or the next result */
#define UNPOLLED_NS 60000000000u /* pause while nobody polls what is there: who polls rouses */

/* ---- units that have landed ---- */

/* The steps of a flight have run: its buffers go back, unless a result is still written from them, or more is
 * being read, which a step that failed has no use for; a file that nobody else asks for is closed. */
static void spent(struct lsi_worker *w, struct lsi_flight *f) {
  if (f->writes || f->ops_left) {
    f->spent = true;
    w->reader.flights += f->ops_left > 0;
    return;
  }
  struct lsi_slot *slot = f->extents[0].slot;
  f->spent = false;
  lsi_lease_end(w, f);
  lsi_ahead_end(w, f);
  lsi_flight_end(w, f);
  if (w->reader.late.any) lsi_late_end(w, slot);
}

static bool run_unit(struct lsi_worker *w, struct lsi_flight *f) {
  if (!w->stepper.looks) return lsi_steps_run(w, f);
  lsi_looks_unit_begin(w, f);
  const bool ended = lsi_steps_run(w, f);
  lsi_looks_unit_end(w);
  return ended;
}

static uint64_t progress_of(const struct lsi_flight *f) { return f->ahead ? f->ahead->used : f->next_step; }

/* Runs what is ready, oldest first, as far as the window of ordered results lets it, as long as there are
 * buffers for results, and while results are polled. */
static bool run_ready(struct lsi_worker *w) {
  bool any = false;
  while (w->stepper.ready) {
    struct lsi_flight *f = w->stepper.ready;
    const uint64_t before = progress_of(f);
    const bool ended = run_unit(w, f);
    any |= ended || progress_of(f) != before;
    if (!ended) break;
    w->stepper.ready = f->next;
    w->stepper.n_ready--;
    spent(w, f);
    if (lsi_others_wait(w)) break;
  }
  return any;
}

/* Also: their results wait for their turn, or for a look behind what they saw; their file is closed. */
static void landed_with_more(struct lsi_worker *w, struct lsi_flight *f) {
  if (f->spent) {
    spent(w, f);
    return;
  }
  if (!w->stepper.ready && run_unit(w, f)) {
    spent(w, f);
    return;
  }
  lsi_ready_put(w, f);
  run_ready(w);
}

static inline void landed(struct lsi_worker *w, struct lsi_flight *f) {
  w->reader.flights--;
  if (LSI_UNLIKELY(!w->lands_plainly)) {
    landed_with_more(w, f);
    return;
  }
  if (LSI_LIKELY(lsi_steps_run(w, f)))
    lsi_flight_end(w, f);
  else
    lsi_ready_put(w, f);
}

/* ---- traces of operations ---- */

static __attribute__((noinline)) void trace_submitted(struct lsi_op *const *ops, int n, uint64_t now) {
  for (int i = 0; i < n; i++) ops[i]->begun_ns = now;
}

/* What has come back by `now`: of any worker of the thread. */
static void trace_operation(struct lsi_trace_ring *ring, const struct lsi_op *op, uint64_t now) {
  const struct lsi_worker *w = op->owner;
  const bool reads = op->kind == LSI_OP_READ, is_short = op->result < (int64_t)op->length;
  const struct lsi_trace_event e = {
      .begin_ns = op->begun_ns,
      .end_ns = now,
      .step = op->offset,
      .bytes = op->length,
      .job = w->run->config.number,
      .kind = reads ? LSI_TRACE_READ : LSI_TRACE_WRITE,
      .object = reads ? ((const struct lsi_eop *)op)->extent->slot->object : UINT32_MAX,
      .outcome = op->result < 0 ? (int32_t)op->result : is_short ? LSI_TRACE_SHORT : 0};
  lsi_trace_put(ring, &e);
}

static __attribute__((noinline)) void trace_reaped(const struct lsi_worker *w, struct lsi_op *const *ops,
                                                   int n, uint64_t before, uint64_t now) {
  struct lsi_trace_ring *ring = w->home->trace;
  lsi_trace_add(ring, LSI_TRACE_WAIT, before, now, w->run->config.number, LSI_TRACE_NONE, 0);
  for (int i = 0; i < n; i++) trace_operation(ring, ops[i], now);
}

/* ---- refill ---- */

/* True when more can be begun: it was full, and is taken. */
static bool flush(struct lsi_worker *w) {
  if (!w->n_queue) return false;
  const bool full = w->n_queue >= LSI_QUEUE_ISSUE;
  /* Reading happens in here as well where data is resident: it counts as waiting for the device. */
  uint64_t before = lsi_os_now_ns();
  int n = w->ops->submit(w->backend, w->queue, (int)w->n_queue);
  w->figures.submit_ns += lsi_os_now_ns() - before;
  if (LSI_UNLIKELY(w->home->trace)) trace_submitted(w->queue, n, before);
  w->n_queue -= (uint32_t)n;
  if (w->n_queue) memmove(w->queue, w->queue + n, w->n_queue * sizeof *w->queue);
  return full && !w->n_queue;
}

/* True when there is more to do at once, but what is in flight must be looked at as well. */
static bool refill(struct lsi_worker *w) {
  bool blocked = false;
  while (w->reader.retrying && !lsi_stopping(w->run) && !blocked) {
    struct lsi_flight *f = w->reader.retrying;
    blocked = !lsi_flight_retry(w);
    if (!blocked && lsi_flight_settled(w, f)) landed(w, f);
  }
  if (w->reader.streamed) lsi_ahead_issue(w);
  if (w->writer) lsi_writes_issue(w);
  /* What is in the page cache is not read ahead of results that wait: it would grow cold. */
  if (w->writer && w->stepper.n_ready && w->reader.depth.hot) blocked = true;
  struct lsi_flight *f; /* one with nothing to read, or read already */
  unsigned turns = 0;
  do /* a device that is slow to answer has all that it may have at once, not a queue's worth a round trip */
    for (; !blocked && turns < TURNS && (f = lsi_flights_begin(w)); turns++) landed(w, f);
  while (flush(w) && w->ops->caps & LSI_CAP_PACES && !blocked && turns < TURNS);
  return turns == TURNS;
}

/* ---- the loop ---- */

static bool finished(const struct lsi_worker *w) {
  return !w->reader.flights && !w->stepper.n_ready && w->reader.next_unit == w->reader.units_end &&
         !w->reader.refrains && !(w->writer && w->writer->results);
}

/* A finished operation; returns the flight when it was the last of one. */
static inline struct lsi_flight *take_back(struct lsi_worker *w, struct lsi_op *op) {
  if (LSI_LIKELY(op->kind == LSI_OP_READ)) return lsi_flight_landed(w, (struct lsi_eop *)op);
  uint32_t step;
  const int rc = lsi_write_landed(w, op, &step);
  if (rc > 0) lsi_step_done(w, step);
  if (rc < 0) lsi_step_failed(w, NULL, step);
  return NULL;
}

/* Its steps do not run any more. */
static __attribute__((noinline)) void drop(struct lsi_worker *w, struct lsi_flight *f) {
  if (f->ahead) lsi_step_leave(w, f);
  if (!f->spent) lsi_left_unit(w, f->wave, f->unit, f->next_step);
  f->spent = false;
  lsi_lease_end(w, f);
  lsi_ahead_end(w, f);
  lsi_flight_end(w, f);
}

/* A finished operation, of any worker of this thread. Its unit runs if that was the last one, unless its run
 * is stopped; while there are other runs it waits for its worker's turn. */
static inline __attribute__((always_inline)) void take_in(struct lsi_op *op) {
  struct lsi_worker *w = op->owner;
  struct lsi_flight *f = take_back(w, op);
  if (!f) return;
  if (LSI_UNLIKELY(w->stage == LSI_STAGE_STOPPING)) {
    drop(w, f);
    w->reader.flights--;
  } else if (lsi_others_wait(w)) {
    w->reader.flights--;
    lsi_ready_put(w, f);
  } else {
    landed(w, f);
  }
}

static bool in_flight(const struct lsi_worker *w) {
  return w->reader.ops_in_flight || (w->writer && w->writer->in_flight);
}

static int reap(struct lsi_worker *w, int64_t timeout_ns) {
  struct lsi_op *done[REAP_BATCH];
  if (timeout_ns && w->stepper.held.n) lsi_looks_flush(w); /* nobody waits for what is there */
  uint64_t before = lsi_os_now_ns();
  const bool sleeps = timeout_ns < 0;
  if (sleeps) { /* from here on it is rung for; what came before is seen here */
    atomic_store(&w->home->reaping, true);
    if (lsi_others_wait(w) || lsi_stopping(w->run)) timeout_ns = 0;
  }
  const int most = lsi_others_wait(w) ? REAP_CROWDED : REAP_BATCH;
  int n = w->ops->reap(w->backend, done, most, timeout_ns, &w->error);
  if (sleeps) atomic_store_explicit(&w->home->reaping, false, memory_order_relaxed);
  uint64_t now = lsi_os_now_ns();
  if (w->writer && (w->stepper.n_ready || !w->reader.ops_in_flight))
    w->figures.place_ns += now - before; /* waiting for what is being written is the sink's */
  else if (lsi_stalled(w)) {
    w->figures.stalled_ns += now - before;
  } else {
    w->figures.wait_ns += now - before;
    w->figures.in_flight_ns += (now - before) * w->reader.ops_in_flight;
  }
  w->last_refill_ns = now;
  if (LSI_UNLIKELY(w->home->trace)) trace_reaped(w, done, n, before, now);
  if (n < 0) return n;
  lsi_depth_climb(w, now);
  if (w->reader.lending.maps) lsi_lending_choose(w);
  unsigned since = 0;
  for (int i = 0; i < n; i++) {
    const uint64_t bytes = done[i]->length;
    take_in(done[i]);
    /* A look at the clock after each large unit: of so many bytes (about one a ns goes through slow work). */
    if (i + 1 == n || (++since < REFILL_EVERY && bytes < REFILL_BYTES)) continue;
    since = 0;
    uint64_t t = lsi_os_now_ns();
    if (t - w->last_refill_ns < LSI_REFILL_NS) continue;
    refill(w);
    w->last_refill_ns = t;
  }
  return n;
}

/* ---- the end of a run that is stopped ---- */

/* It is broken and gives nothing back. The memory that the kernel may still write into is given up. */
static void lose_backend(struct lsi_worker *w) {
  w->broken = true;
  w->n_queue = 0;
  lsi_flights_lost(w);
  if (w->writer) {
    lsi_writes_stop(w);
    lsi_writes_lost(w);
  }
}

static __attribute__((noinline)) void take_in_late(struct lsi_op *op) { take_in(op); }

/* Results are still on their way, which are kept. */
static bool keeps_writing(const struct lsi_worker *w) {
  return w->writer && w->writer->results && lsi_keeps(w->run);
}

/* Operations that were never submitted come back now, but for the writes of what is kept. */
static void take_queue_back(struct lsi_worker *w) {
  const bool writes = keeps_writing(w);
  const uint32_t n = w->n_queue;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < n; i++) {
    struct lsi_op *op = w->queue[i];
    if (writes && op->kind == LSI_OP_WRITE) {
      w->queue[kept++] = op;
      continue;
    }
    op->result = LSIO_ERR_CANCELLED;
    take_in_late(op);
  }
  w->n_queue = kept;
}

/* No more is begun; what is in flight is asked to come back soon. */
static void stop(struct lsi_worker *w) {
  w->stage = LSI_STAGE_STOPPING;
  if (w->writer) lsi_write_drop(w);
  /* Or those of other runs, or results, would be cancelled too. */
  if (w->ops->cancel && w->instance->users == 1 && !keeps_writing(w)) w->ops->cancel(w->backend);
  take_queue_back(w);
  if (w->writer && !lsi_keeps(w->run)) lsi_writes_stop(w);
  lsi_looks_flush(w);
}

/* Nothing is in flight: what waited gives back what it holds. */
static void drop_waiting(struct lsi_worker *w) {
  for (struct lsi_flight *f; (f = lsi_flight_at_once(w));) drop(w, f), w->reader.flights--;
  if (w->reader.issuing) drop(w, w->reader.issuing), w->reader.flights--;
  w->reader.issuing = NULL;
  while (w->reader.retrying) {
    struct lsi_flight *f = w->reader.retrying;
    w->reader.retrying = f->next;
    drop(w, f);
    w->reader.flights--;
  }
  while (w->stepper.ready) {
    struct lsi_flight *f = w->stepper.ready;
    w->stepper.ready = f->next;
    drop(w, f);
  }
  w->stepper.n_ready = 0;
}

/* Takes what has come back, and goes on writing results that are kept. */
static void take_last(struct lsi_worker *w, int64_t most_ns) {
  struct lsi_op *done[REAP_BATCH];
  if (keeps_writing(w)) {
    lsi_writes_issue(w);
    flush(w);
  }
  if (!in_flight(w)) return;
  const uint64_t before = w->home->trace ? lsi_os_now_ns() : 0;
  const int n = w->ops->reap(w->backend, done, REAP_BATCH, most_ns, &w->error);
  if (w->home->trace) trace_reaped(w, done, n, before, lsi_os_now_ns());
  if (n < 0) {
    lsi_worker_fail(w);
    lose_backend(w);
  }
  for (int i = 0; i < n; i++) take_in_late(done[i]);
}

/* False: some is still in flight, or waits to be. */
static bool drained(struct lsi_worker *w, int64_t most_ns) {
  take_last(w, most_ns);
  if (in_flight(w) || keeps_writing(w)) return false;
  drop_waiting(w);
  return true;
}

/* ---- a turn ---- */

/* It waits with nothing in flight: for others, who may themselves wait for a credit or a descriptor that it
 * holds. */
static void hold_nothing(struct lsi_worker *w) {
  lsi_return_credits(w);
  lsi_looks_flush(w);
  if (lsi_descriptors_wanted(w) && lsi_objects_shed(w) < 0) lsi_worker_fail(w);
}

/* Nothing is in flight, and nothing can be begun now: another worker holds the credits, or the step that
 * the window waits for, or nobody polls results, or memory is short. */
static enum lsi_turn blocked(struct lsi_worker *w) {
  hold_nothing(w);
  lsi_surplus_rest(w);
  lsi_scratch_rest(w, false);
  w->blocked_ns = lsi_run_full(w->run) ? UNPOLLED_NS : BLOCKED_NS;
  if (lsi_surplus_waits(w)) w->blocked_ns = LSI_SURPLUS_NS;
  return LSI_TURN_BLOCKED;
}

bool lsi_worker_waits(const struct lsi_worker *w) {
  return !lsi_stopping(w->run) && (w->blocked_ns != UNPOLLED_NS || lsi_run_full(w->run));
}

/* No unit is left, in flight or to be begun. */
static enum lsi_turn run_out(struct lsi_worker *w) {
  if (!w->reader.late.any) w->stage = LSI_STAGE_DONE;
  hold_nothing(w);
  switch (lsi_late_take(w, &w->blocked_ns)) {
    case LSI_LATE_TAKEN: return LSI_TURN_WENT;
    case LSI_LATE_WAITS: return LSI_TURN_BLOCKED;
    default: break;
  }
  w->stage = LSI_STAGE_DONE;
  return LSI_TURN_WENT;
}

/* While there are other runs: what is resident grows cold during their turns, so it is used before more is
 * begun. What comes from a device is begun first, for the device to go on. */
static bool runs_first(struct lsi_worker *w) {
  return w->stepper.ready && w->reader.depth.hot && lsi_others_wait(w) && run_ready(w);
}

static enum lsi_turn go(struct lsi_worker *w, int64_t most_ns) {
  if (runs_first(w)) return LSI_TURN_WENT;
  const bool more = refill(w);
  const bool ran = run_ready(w);
  if (!more && finished(w)) return run_out(w);
  if (ran && w->reader.streamed && in_flight(w) && reap(w, 0) < 0) lsi_worker_fail(w);
  if (ran || (more && !in_flight(w))) return LSI_TURN_WENT; /* room for more */
  if (!in_flight(w)) return blocked(w);
  int n = w->stepper.prefaults || more ? reap(w, 0) : 0;
  if (n == 0 && !more) {
    if (w->stepper.prefaults && lsi_prefault(w)) return LSI_TURN_WENT;
    const bool soon = w->stepper.n_ready && !w->writer && !lsi_ahead_waits(w->stepper.ready);
    n = reap(w, soon && (most_ns < 0 || most_ns > BLOCKED_NS) ? BLOCKED_NS : most_ns);
  }
  if (n < 0) lsi_worker_fail(w);
  runs_first(w);
  return n || more ? LSI_TURN_WENT : LSI_TURN_WAITS;
}

/* Where descriptors are out, a worker that could not open leaves its work to the others. The last one
 * of all must say it. */
static bool leaves_it_to_others(struct lsi_worker *w) {
  if (w->error.os_code != EMFILE && w->error.os_code != ENFILE) return false;
  if (atomic_fetch_sub(&w->run->may_open, 1) == 1) return false;
  lsi_late_leave(w);
  lsi_error_clear(&w->error);
  return true;
}

/* Of a run that has been stopped meanwhile nothing is opened. */
static void open(struct lsi_worker *w) {
  w->stage = lsi_stopping(w->run) ? LSI_STAGE_DONE : LSI_STAGE_GOING;
  if (w->stage == LSI_STAGE_DONE) return;
  if (lsi_worker_open(w) == 0) {
    lsi_set_reading(w);
    return;
  }
  w->stage = LSI_STAGE_DONE;
  if (!leaves_it_to_others(w)) lsi_worker_fail(w);
}

static void end(struct lsi_worker *w) {
  lsi_left_put_off(w);
  lsi_worker_close(w);
  w->stage = LSI_STAGE_ENDED;
  atomic_store_explicit(&w->activity, (uint64_t)LSI_PHASE_END << 56, memory_order_relaxed);
}

enum lsi_turn lsi_worker_turn(struct lsi_worker *w, int64_t most_ns) {
  if (LSI_LIKELY(w->stage == LSI_STAGE_GOING)) {
    if (LSI_LIKELY(!lsi_stopping(w->run))) return go(w, most_ns);
    stop(w);
  }
  switch (w->stage) {
    case LSI_STAGE_NEW: open(w); return LSI_TURN_WENT;
    case LSI_STAGE_STOPPING:
      if (!drained(w, most_ns)) return in_flight(w) ? LSI_TURN_WAITS : blocked(w);
      /* fall through */
    default: end(w); return LSI_TURN_ENDED;
  }
}
