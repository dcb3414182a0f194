/* See outcome.h. */
#include "engine/state/outcome.h"

#include "engine/state/run.h"
#include "ground/mem.h"
#include "ground/units.h"

void lsi_run_fail(struct lsi_run *run, const struct lsi_error *e) {
  lsi_os_lock(run->mutex);
  if (!run->outcome.error.code && atomic_load(&run->stop) != LSI_STOP_CANCEL) run->outcome.error = *e;
  lsi_os_unlock(run->mutex);
  int expected = LSI_STOP_NO;
  if (!atomic_compare_exchange_strong(&run->stop, &expected, LSI_STOP_FAIL)) return;
  lsi_rouse_workers(run);
}

void lsi_worker_fail(struct lsi_worker *w) {
  lsi_run_fail(w->run, &w->error);
  lsi_error_clear(&w->error);
}

bool lsi_run_has_told(const struct lsi_run *run) {
  return atomic_load_explicit(&run->outcome.queued_bytes, memory_order_relaxed) != 0;
}

/* Under the mutex, or when all workers have ended. */
static void count_steps(struct lsi_run *run, const struct lsi_run_completion *list) {
  uint64_t steps = 0;
  for (const struct lsi_run_completion *c = list; c; c = c->next) steps += c->error ? 1 : c->n;
  lsi_count(&run->outcome.told_steps, steps);
}

/* What of the list may be told now, with what waited for it. */
static struct lsi_run_completion *pass(struct lsi_run *run, struct lsi_run_completion *list, bool *lost) {
  uint64_t bytes = 0;
  for (const struct lsi_run_completion *c = list; c; c = c->next) bytes += c->bytes;
  lsi_count(&run->outcome.told_bytes, bytes);
  if (run->gate.on) list = lsi_gate_pass(&run->gate, list, lost);
  count_steps(run, list);
  return list;
}

static void fail_for_memory(struct lsi_run *run, const char *what) {
  struct lsi_error e;
  lsi_error_clear(&e);
  lsi_fail(&e, LSIO_ERR_NOMEM, 0, "%s", what);
  lsi_run_fail(run, &e);
}

void lsi_run_complete(struct lsi_run *run, struct lsi_run_completion *list, bool wake) {
  bool lost = false;
  lsi_os_lock(run->mutex);
  list = pass(run, list, &lost);
  const bool tells = list && !run->outcome.first;
  if (run->outcome.last) run->outcome.last->next = list;
  else run->outcome.first = list;
  uint64_t bytes = 0;
  for (struct lsi_run_completion *c = list; c; c = c->next) {
    run->outcome.last = c;
    bytes += sizeof *c + c->bytes + (c->error ? sizeof *c->error : 0);
  }
  lsi_count(&run->outcome.queued_bytes, bytes);
  lsi_os_unlock(run->mutex);
  /* Of workers that end only the last one tells so; others may still take long. */
  if (tells && run->config.tell && (wake || atomic_load(&run->running) > 1))
    run->config.tell(run->config.tell_user, false);
  if (lost) fail_for_memory(run, "no memory for results that wait for their turn");
}

/* NULL: there is no memory for it, and the run fails. */
static struct lsi_run_completion *failure(struct lsi_run *run, uint64_t index, int64_t tag,
                                          const struct lsi_error *e) {
  struct lsi_run_completion *c = lsi_calloc(1, sizeof *c);
  if (!c || !(c->error = lsi_malloc(sizeof *c->error))) {
    lsi_free(c);
    fail_for_memory(run, "no memory to report a failed step");
    return NULL;
  }
  *c->error = *e;
  c->step = index;
  c->tag = tag;
  return c;
}

static int64_t tag_of(const struct lsi_request *r, uint32_t step) {
  return r->tag ? r->tag[lsi_request_chunk_begin(r, step)] : 0;
}

void lsi_run_step_failed(struct lsi_worker *w, const struct lsi_wave *wave, uint32_t step,
                         const struct lsi_error *e) {
  struct lsi_run *run = w->run;
  const struct lsi_request *r = wave->request;
  uint64_t chunks = lsi_request_chunk_end(r, step) - lsi_request_chunk_begin(r, step);
  atomic_fetch_add_explicit(&w->counters.failed, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&w->counters.chunks_failed, chunks, memory_order_relaxed);
  lsi_os_lock(run->mutex);
  lsi_failures_add(run->outcome.failures, e);
  lsi_os_unlock(run->mutex);
  struct lsi_run_completion *c =
      run->config.untold ? NULL : failure(run, r->first_index + step, tag_of(r, step), e);
  if (c) lsi_run_complete(run, c, true);
}

/* ---- steps that a deadline has left ---- */

#define LEFT_BATCH 64u /* of them, with their errors, are handed out at a time */

static void describe_left(const struct lsi_run *run, uint32_t step, struct lsi_error *e) {
  const struct lsi_step_place at = lsi_run_place(run, step);
  lsi_error_clear(e);
  lsi_fail(e, LSIO_ERR_LIMIT, 0, "not run: the deadline of %s had passed",
           lsi_show_time((double)run->config.deadline_ns / 1e9).text);
  lsi_error_is(e, LSIO_KIND_TIMEOUT);
  lsi_error_at(e, at.name, at.offset, at.length, run->wave.request->first_index + step);
  lsi_error_remedy(e, "allow more time with --deadline");
}

/* All workers have ended, and nothing has failed for good: what has not run has failed. Errors of steps that
 * did run come before those. */
static void count_left(struct lsi_run *run) {
  const struct lsi_request *r = run->wave.request;
  struct lsi_failures *f = run->outcome.failures;
  if (run->outcome.error.code) return;
  const int64_t n = lsi_left_count(run);
  if (n < 0) {
    fail_for_memory(run, "no memory to tell which steps have run");
    return;
  }
  uint64_t chunks = r->step_first ? 0 : (uint64_t)n;
  for (uint32_t s = 0; r->step_first && (s = lsi_left_next(run, s)) != UINT32_MAX; s++)
    chunks += lsi_request_chunk_end(r, s) - lsi_request_chunk_begin(r, s);
  struct lsi_counters *counters = &run->workers[0].counters;
  atomic_fetch_add(&counters->failed, (uint64_t)n);
  atomic_fetch_add(&counters->chunks_failed, chunks);
  if (!n) return;
  struct lsi_error first;
  describe_left(run, lsi_left_next(run, 0), &first);
  lsi_failures_count(f, &first, (uint64_t)n);
  struct lsi_error *e;
  for (uint32_t s = 0; (s = lsi_left_next(run, s)) != UINT32_MAX && (e = lsi_failures_next(f)); s++)
    describe_left(run, s, e);
}

/* The next of them, or what has waited for it behind the gate; NULL: there is none. */
static struct lsi_run_completion *next_left(struct lsi_run *run) {
  const uint32_t step = lsi_left_next(run, run->left.told);
  const uint32_t rank = step == UINT32_MAX ? UINT32_MAX : lsi_gate_rank(&run->gate, step);
  struct lsi_run_completion *waited = lsi_gate_take(&run->gate, rank);
  if (waited || step == UINT32_MAX) return waited;
  struct lsi_error e;
  run->left.told = step + 1;
  describe_left(run, step, &e);
  const struct lsi_request *r = run->wave.request;
  return failure(run, r->first_index + step, r->cut ? 0 : tag_of(r, step), &e);
}

/* There may be millions, so that their errors are made when they are asked for. By who takes, once the run
 * has ended and all else is taken. */
static struct lsi_run_completion *take_left(struct lsi_run *run) {
  struct lsi_run_completion *first = NULL, **end = &first;
  for (uint32_t i = 0; i < LEFT_BATCH && (*end = next_left(run)); i++) end = &(*end)->next;
  count_steps(run, first);
  return first;
}

struct lsi_run_completion *lsi_run_take(struct lsi_run *run) {
  lsi_run_leave_queue(run);
  lsi_run_note_memory(run, false); /* by who waits anyway; workers do it when they end */
  lsi_os_lock(run->mutex);
  struct lsi_run_completion *list = run->outcome.first;
  const bool was_full = lsi_run_full(run);
  run->outcome.first = run->outcome.last = NULL;
  atomic_store_explicit(&run->outcome.queued_bytes, 0, memory_order_relaxed);
  const bool ended = !atomic_load(&run->running);
  lsi_os_unlock(run->mutex);
  if (was_full) lsi_rouse_workers(run);
  if (LSI_UNLIKELY(!list && ended && run->left.steps)) list = take_left(run);
  return list;
}

static void workers_ended(struct lsi_run *run, uint32_t n) {
  /* Who sees no worker running may end the run: others begin with its memory before that. Two that end at
   * once both see the other one running. */
  const bool settles = atomic_fetch_sub(&run->unsettled, n) == n;
  if (settles) lsi_failures_sort(run->outcome.failures);
  if (settles && lsi_keeps(run)) count_left(run);
  if (settles && run->config.ledger) lsi_ledger_give_back(run->config.ledger, &run->claim);
  lsi_os_lock(run->mutex);
  /* Who sees no worker running reads the time of the end, with or without the mutex. */
  run->end_ns = lsi_os_now_ns();
  const bool last = atomic_load(&run->running) == n;
  if (last) run->end_cpu_ns = lsi_os_cpu_ns();
  atomic_fetch_sub(&run->running, n);
  lsi_os_wake_all(run->cond);
  /* From here on it may be gone, if this was the last one and nobody is to be told of that. */
  void (*const tell)(void *, bool) = run->config.tell;
  void *const user = run->config.tell_user;
  lsi_os_unlock(run->mutex);
  if (last && tell) tell(user, true);
}

void lsi_run_worker_ended(struct lsi_run *run, uint32_t withdrawn) { workers_ended(run, 1 + withdrawn); }

void lsi_worker_never_began(struct lsi_worker *w) {
  w->stage = LSI_STAGE_ENDED;
  atomic_store_explicit(&w->activity, (uint64_t)LSI_PHASE_END << 56, memory_order_relaxed);
}

void lsi_run_never_began(struct lsi_run *run) {
  for (uint32_t i = 0; i < run->n_workers; i++) lsi_worker_never_began(&run->workers[i]);
  workers_ended(run, run->n_workers);
}

bool lsi_run_leave_queue(struct lsi_run *run) {
  const bool waited =
      run->config.ledger && lsi_stopping(run) && lsi_ledger_withdraw(run->config.ledger, &run->claim);
  if (waited) lsi_run_never_began(run);
  return waited;
}
