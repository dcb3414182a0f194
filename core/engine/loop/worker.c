/* The loop of one worker: begin units, submit, reap, and take each finished unit through all
 * its steps before the next one, so that its bytes are still in this core's cache. */
#include "engine/loop/worker.h"

#include <errno.h>
#include <string.h>

#include "engine/loop/depth.h"
#include "engine/loop/worker_open.h"
#include "engine/read/flight.h"
#include "engine/read/late.h"
#include "engine/read/lending.h"
#include "engine/read/objects.h"
#include "engine/step/prefault.h"
#include "engine/step/looks.h"
#include "engine/step/steps.h"
#include "engine/step/write_direct.h"

#define REAP_BATCH 32

#define REFILL_NS 150000u     /* of compute, after which the device may run dry */
#define REFILL_BYTES (REFILL_NS / 8)
#define REFILL_EVERY 8u       /* small units between looks at the clock */
#define TURNS 64u /* units that had not to be waited for, before what is in flight is looked at */
#define BLOCKED_NS 50000u     /* pause when another worker holds all credits, or the next result */

/* ---- units that have landed ---- */

static void keep_ready(struct lsi_worker *w, struct lsi_flight *f) {
  struct lsi_flight **at = &w->stepper.ready;
  while (*at && (*at)->unit < f->unit) at = &(*at)->next;
  f->next = *at;
  *at = f;
  w->stepper.n_ready++;
}

/* The steps of a flight have run: its buffers go back, unless a result is still written from them. */
static void spent(struct lsi_worker *w, struct lsi_flight *f) {
  if (f->writes)
    f->spent = true;
  else
    lsi_flight_end(w, f);
}

static bool run_unit(struct lsi_worker *w, struct lsi_flight *f) {
  if (!w->stepper.looks) return lsi_steps_run(w, f);
  lsi_looks_unit_begin(w, f);
  const bool ended = lsi_steps_run(w, f);
  lsi_looks_unit_end(w);
  return ended;
}

/* Runs what is ready, oldest first, as far as the window of ordered results lets it, or as long as there
 * are buffers for results. */
static bool run_ready(struct lsi_worker *w) {
  bool any = false;
  while (w->stepper.ready) {
    struct lsi_flight *f = w->stepper.ready;
    if (!run_unit(w, f)) break;
    w->stepper.ready = f->next;
    w->stepper.n_ready--;
    spent(w, f);
    any = true;
  }
  return any;
}

/* Also: their results wait for their turn, or for a look behind what they saw; their file is closed. */
static void landed_with_more(struct lsi_worker *w, struct lsi_flight *f) {
  if (w->stepper.defers) {
    keep_ready(w, f);
    run_ready(w);
    return;
  }
  run_unit(w, f);
  struct lsi_slot *slot = f->extents[0].slot;
  lsi_flight_end(w, f);
  if (w->reader.late.any) lsi_late_end(w, slot);
}

static inline void landed(struct lsi_worker *w, struct lsi_flight *f) {
  w->reader.flights--;
  if (LSI_UNLIKELY(!w->lands_plainly)) {
    landed_with_more(w, f);
    return;
  }
  lsi_steps_run(w, f);
  lsi_flight_end(w, f);
}

/* ---- refill ---- */

static void flush(struct lsi_worker *w) {
  if (!w->n_queue) return;
  /* Reading happens in here as well where data is resident: it counts as waiting for the device. */
  uint64_t before = lsi_os_now_ns();
  int n = w->ops->submit(w->backend, w->queue, (int)w->n_queue);
  w->figures.submit_ns += lsi_os_now_ns() - before;
  w->n_queue -= (uint32_t)n;
  if (w->n_queue) memmove(w->queue, w->queue + n, w->n_queue * sizeof *w->queue);
}

/* True when there is more to do at once, but what is in flight must be looked at as well. */
static bool refill(struct lsi_worker *w) {
  bool blocked = false;
  while (w->reader.retrying && !lsi_stopping(w->run) && !blocked) {
    struct lsi_flight *f = w->reader.retrying;
    blocked = !lsi_flight_retry(w);
    if (!blocked && lsi_flight_settled(w, f)) landed(w, f);
  }
  if (w->writer) lsi_writes_issue(w);
  /* What is in the page cache is not read ahead of results that wait: it would grow cold. */
  if (w->writer && w->stepper.n_ready && w->reader.depth.hot) blocked = true;
  struct lsi_flight *f; /* one with nothing to read, or read already */
  unsigned turns = 0;
  for (; !blocked && turns < TURNS && (f = lsi_flights_begin(w)); turns++) landed(w, f);
  flush(w);
  return turns == TURNS;
}

/* ---- the loop ---- */

static bool finished(const struct lsi_worker *w) {
  return !w->reader.flights && !w->stepper.n_ready && w->reader.next_unit == w->reader.units_end &&
         !(w->writer && w->writer->results);
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

static bool in_flight(const struct lsi_worker *w) {
  return w->reader.ops_in_flight || (w->writer && w->writer->in_flight);
}

static int reap(struct lsi_worker *w, int64_t timeout_ns) {
  struct lsi_op *done[REAP_BATCH];
  if (timeout_ns && w->stepper.held.n) lsi_looks_flush(w); /* nobody waits for what is there */
  uint64_t before = lsi_os_now_ns();
  int n = w->ops->reap(w->backend, done, REAP_BATCH, timeout_ns, &w->error);
  uint64_t now = lsi_os_now_ns();
  if (w->writer && (w->stepper.n_ready || !w->reader.ops_in_flight))
    w->figures.place_ns += now - before; /* waiting for what is being written is the sink's */
  else {
    w->figures.wait_ns += now - before;
    w->figures.in_flight_ns += (now - before) * w->reader.ops_in_flight;
  }
  w->last_refill_ns = now;
  if (n < 0) return n;
  lsi_depth_climb(w, now);
  if (w->reader.lending.maps) lsi_lending_choose(w);
  unsigned since = 0;
  for (int i = 0; i < n; i++) {
    struct lsi_flight *f = take_back(w, done[i]);
    if (!f) continue;
    uint64_t bytes = f->bytes;
    landed(w, f);
    /* A look at the clock after each large unit: of so many bytes (about one a ns goes through slow work). */
    if (i + 1 == n || (++since < REFILL_EVERY && bytes < REFILL_BYTES)) continue;
    since = 0;
    uint64_t t = lsi_os_now_ns();
    if (t - w->last_refill_ns < REFILL_NS) continue;
    refill(w);
    w->last_refill_ns = t;
  }
  return n;
}

/* It is broken and gives nothing back. The memory that the kernel may still write into is given up. */
static void lose_backend(struct lsi_worker *w) {
  w->broken = true;
  lsi_flights_lost(w);
  if (w->writer) lsi_writes_lost(w);
}

/* What is in flight comes back; nothing of it runs. */
static void drain(struct lsi_worker *w) {
  const struct lsi_backend_ops *backend = w->ops;
  struct lsi_op *done[REAP_BATCH];
  if (backend->cancel) backend->cancel(w->backend);
  for (uint32_t i = 0; i < w->n_queue; i++) { /* never submitted */
    w->queue[i]->result = LSIO_ERR_CANCELLED;
    struct lsi_flight *f = take_back(w, w->queue[i]);
    if (f) lsi_flight_end(w, f), w->reader.flights--;
  }
  w->n_queue = 0;
  if (w->writer) lsi_writes_stop(w);
  lsi_looks_flush(w);
  while (in_flight(w)) {
    int n = backend->reap(w->backend, done, REAP_BATCH, -1, &w->error);
    if (n < 0) {
      lose_backend(w);
      break;
    }
    for (int i = 0; i < n; i++) {
      struct lsi_flight *f = take_back(w, done[i]);
      if (f) lsi_flight_end(w, f), w->reader.flights--;
    }
  }
  for (struct lsi_flight *f; (f = lsi_flight_at_once(w));) lsi_flight_end(w, f), w->reader.flights--;
  if (w->reader.issuing) lsi_flight_end(w, w->reader.issuing), w->reader.flights--;
  w->reader.issuing = NULL;
  while (w->reader.retrying) {
    struct lsi_flight *f = w->reader.retrying;
    w->reader.retrying = f->next;
    lsi_flight_end(w, f);
    w->reader.flights--;
  }
  while (w->stepper.ready) {
    struct lsi_flight *f = w->stepper.ready;
    w->stepper.ready = f->next;
    lsi_flight_end(w, f);
  }
  w->stepper.n_ready = 0;
}

static void loop(struct lsi_worker *w) {
  while (!lsi_stopping(w->run)) {
    const bool more = refill(w);
    bool ran = run_ready(w);
    if (!more && finished(w)) {
      lsi_looks_flush(w);
      if (!lsi_late_take(w)) break;
      continue;
    }
    if (ran || (more && !in_flight(w))) continue; /* room for more */
    if (!in_flight(w)) {
      /* Another worker holds the credits, or the step that the window waits for. It may itself wait
       * for a descriptor that this one holds. */
      lsi_return_credits(w);
      lsi_looks_flush(w);
      if (atomic_load(&w->run->starving) && lsi_objects_shed(w) < 0) lsi_worker_fail(w);
      lsi_os_sleep_ns(BLOCKED_NS);
      w->figures.submit_ns += BLOCKED_NS;
      continue;
    }
    int n = w->stepper.prefaults || more ? reap(w, 0) : 0;
    if (!n && !more && !(w->stepper.prefaults && lsi_prefault(w)))
      n = reap(w, w->stepper.n_ready && !w->writer ? (int64_t)BLOCKED_NS : -1);
    if (n < 0) lsi_worker_fail(w);
  }
  drain(w);
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

void lsi_worker_main(void *arg) {
  struct lsi_worker *w = arg;
  struct lsi_run *run = w->run;
  if (run->config.pin) lsi_os_thread_pin(lsi_os_allowed_cpu(w->index));
  if (lsi_worker_open(w) == 0)
    loop(w);
  else if (!leaves_it_to_others(w))
    lsi_worker_fail(w);
  lsi_worker_close(w);
  atomic_store_explicit(&w->activity, (uint64_t)LSI_PHASE_END << 56, memory_order_relaxed);
  lsi_os_lock(run->mutex);
  /* Who sees no worker running reads the time of the end, with or without the mutex. */
  run->end_ns = lsi_os_now_ns();
  run->end_cpu_ns = lsi_os_cpu_ns();
  if (atomic_fetch_sub(&run->running, 1) == 1) lsi_os_bell_ring(run->config.bell);
  lsi_os_wake_all(run->cond);
  lsi_os_unlock(run->mutex);
}
