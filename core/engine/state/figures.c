/* What is known of a run, while it runs and afterwards. */
#include "engine/state/figures.h"

#include <stdio.h>

#include "engine/state/bound.h"
#include "engine/state/run.h"
#include "ground/mem.h"
#include "ground/show.h"

/* Of the process, when it was last looked: what a job of microseconds takes shows in the next look. */
static atomic_uint_fast64_t looked_at_ns, used_then;

void lsi_run_note_memory(struct lsi_run *run, bool now) {
  const uint64_t time = lsi_os_now_ns();
  if (time - atomic_load(&looked_at_ns) >= (now ? LSI_MEMORY_LEAST_NS : LSI_MEMORY_NS)) {
    atomic_store(&looked_at_ns, time);
    atomic_store(&used_then, lsi_os_memory_used());
  }
  const uint64_t used = atomic_load(&used_then);
  uint64_t seen = atomic_load(&run->memory_peak);
  while (seen < used && !atomic_compare_exchange_weak(&run->memory_peak, &seen, used)) {
  }
}

void lsi_run_progress(const struct lsi_run *run, uint64_t *steps_done, uint64_t *steps_failed,
                      uint64_t *bytes_done, uint32_t *workers_running) {
  *steps_done = *steps_failed = *bytes_done = 0;
  for (uint32_t i = 0; i < run->n_workers; i++) {
    const struct lsi_counters *c = &run->workers[i].counters;
    *steps_done += atomic_load_explicit(&c->steps, memory_order_relaxed);
    *steps_failed += atomic_load_explicit(&c->failed, memory_order_relaxed);
    *bytes_done += atomic_load_explicit(&c->bytes_done, memory_order_relaxed);
  }
  *workers_running = atomic_load(&run->running);
}

void lsi_run_told(const struct lsi_run *run, uint64_t *steps, uint64_t *bytes) {
  *steps = atomic_load_explicit(&run->outcome.told_steps, memory_order_relaxed);
  *bytes = atomic_load_explicit(&run->outcome.told_bytes, memory_order_relaxed);
}

uint64_t lsi_run_lent(const struct lsi_run *run) {
  return run->tally ? atomic_load_explicit(&run->tally->bytes, memory_order_relaxed) : 0;
}

uint32_t lsi_run_stalled(const struct lsi_run *run) {
  uint32_t n = 0;
  if (!lsi_run_full(run)) return 0; /* they are about to go on */
  for (uint32_t i = 0; i < run->n_workers; i++) n += lsi_stalled(&run->workers[i]);
  return n;
}

double lsi_run_elapsed_s(const struct lsi_run *run) {
  uint64_t end = atomic_load(&run->running) ? lsi_os_now_ns() : run->end_ns;
  return (double)(end - run->start_ns) / 1e9;
}

uint64_t lsi_run_start_ns(const struct lsi_run *run) { return run->start_ns; }

char *lsi_run_activity(const struct lsi_run *run) {
  static const char *const phases[] = {"starting",  "reading", "decoding",
                                       "transform", "placing", "waiting for results to be taken",
                                       "ended"};
  size_t cap = (size_t)run->n_workers * 1024 + 1, len = 0;
  char *text = lsi_malloc(cap);
  if (!text) return NULL;
  text[0] = 0;
  const struct lsi_request *r = run->wave.request;
  for (uint32_t i = 0; i < run->n_workers && len < cap; i++) {
    uint64_t a = atomic_load_explicit(&run->workers[i].activity, memory_order_acquire);
    unsigned phase = (unsigned)(a >> 56);
    uint32_t step = (uint32_t)a;
    int n = snprintf(text + len, cap - len, "worker %u: %s", i, phases[phase]);
    len += (size_t)n;
    bool in_step = phase == LSI_PHASE_DECODE || phase == LSI_PHASE_TRANSFORM ||
                   phase == LSI_PHASE_PLACE;
    if (in_step && len < cap) {
      const struct lsi_step_place at = lsi_run_place(run, step);
      char name[701];
      lsi_name_show(at.name, name, sizeof name);
      n = snprintf(text + len, cap - len, " of step %llu ('%s', offset %llu, length %llu)",
                   (unsigned long long)(r->first_index + step), name, (unsigned long long)at.offset,
                   (unsigned long long)at.length);
      len += (size_t)n;
    }
    if (len + 1 < cap) text[len++] = '\n', text[len] = 0;
  }
  return text;
}

void lsi_run_published(const struct lsi_run *run, uint64_t cpu_ns, struct lsi_summary *s) {
  s->wall_s += s->part_s[LSI_PART_PUBLISH];
  s->cpu_s += (double)cpu_ns / 1e9;
  s->bound = lsi_run_bound(run, s);
}

static struct lsi_verdict verdict_of(const struct lsi_trial *t) {
  return (struct lsi_verdict){.tried = lsi_trial_tried(t),
                              .decided = t->pinned || t->comparisons,
                              .pinned = t->pinned,
                              .verdict = t->verdict,
                              .comparisons = t->comparisons,
                              .took = {lsi_trial_unit_cost(t, 0), lsi_trial_unit_cost(t, 1)}};
}

void lsi_worker_verdicts(const struct lsi_worker *w, struct lsi_verdict *tune) {
  const struct lsi_depth *d = &w->reader.depth;
  tune[LSI_TRIED_LEND] = verdict_of(&w->reader.lending.trial);
  tune[LSI_TRIED_STORES] = verdict_of(&w->stepper.nontemporal.trial);
  tune[LSI_TRIED_STRAIGHT] = verdict_of(&w->reader.straight.trial);
  tune[LSI_TRIED_DEPTH] = verdict_of(&d->trial);
  tune[LSI_TRIED_DEPTH].tried = tune[LSI_TRIED_DEPTH].decided; /* every worker begins to climb */
  tune[LSI_TRIED_DEPTH].verdict = d->ops;
}

/* Where sizes show when objects are opened or read: of what has been. */
static uint64_t bytes_requested(const struct lsi_run *run) {
  const struct lsi_request *r = run->wave.request;
  uint64_t done = 0;
  if (!r->cut) return r->late ? lsi_request_bytes(r) : run->wave.plan->bytes_requested;
  for (uint32_t i = 0; i < run->n_workers; i++) done += atomic_load(&run->workers[i].counters.bytes_done);
  return done;
}

void lsi_run_summary(const struct lsi_run *run, struct lsi_summary *out) {
  struct lsi_summary s = {0};
  uint32_t fell_back = 0;
  for (uint32_t i = 0; i < run->n_workers; i++) {
    const struct lsi_worker *w = &run->workers[i];
    s.steps += atomic_load(&w->counters.steps);
    s.steps_failed += atomic_load(&w->counters.failed);
    s.chunks += atomic_load(&w->counters.chunks);
    s.chunks_failed += atomic_load(&w->counters.chunks_failed);
    s.chunks_missing += atomic_load(&w->counters.chunks_missing);
    s.operations += w->figures.operations;
    s.bytes_read += w->figures.bytes_read + w->figures.bytes_beside;
    s.bytes_alignment += w->figures.bytes_beside;
    s.bytes_retried += w->figures.bytes_retried;
    s.bytes_decoded += w->figures.bytes_decoded;
    s.bytes_delivered += w->figures.bytes_delivered;
    s.bytes_copied += w->figures.bytes_copied;
    s.bytes_direct += w->figures.bytes_direct + w->figures.bytes_beside;
    fell_back += w->ops && w->ops != run->config.backend;
  }
  s.chunks_missing += run->wave.request->n_missing;
  s.bytes_requested = bytes_requested(run);
  const bool whole = atomic_load(&run->stop) == LSI_STOP_NO;
  s.bytes_gaps = whole ? run->wave.plan->bytes_gaps : 0;
  s.bytes_twice = whole ? run->wave.plan->bytes_twice : 0;
  s.wall_s = s.part_s[LSI_PART_READ] = (double)(run->end_ns - run->start_ns) / 1e9;
  s.cpu_s = (double)(run->end_cpu_ns - run->start_cpu_ns) / 1e9;
  s.peak_memory = atomic_load(&run->memory_peak);
  s.backend = (fell_back == run->n_workers ? run->config.fallback : run->config.backend)->name;
  s.n_workers = run->n_workers;
  s.workers = run->summaries;
  s.errors = run->outcome.failures->kept;
  s.error_count = run->outcome.failures->n;
  s.n_errors_kept = run->outcome.failures->n_kept;
  s.kinds = s.error_count ? run->outcome.failures->kinds : NULL;
  s.bound = lsi_run_bound(run, &s);
  *out = s;
}
