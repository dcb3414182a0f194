/* A run from start to end: threads, the first error, completions, and what is known of it meanwhile. */
#include "engine/state/engine.h"

#include <stdio.h>
#include <string.h>

#include "engine/state/run.h"
#include "engine/step/write.h"
#include "ground/mem.h"

static void free_run(struct lsi_run *run) {
  for (uint32_t i = 0; run->workers && i < run->n_workers; i++) lsi_free(run->workers[i].credits);
  while (run->first) {
    struct lsi_run_completion *c = run->first;
    run->first = c->next;
    lsi_run_free_completion(c);
  }
  lsi_free(run->workers);
  lsi_free(run->sections);
  lsi_free(run->devices);
  lsi_free(run->errors);
  lsi_free(run->summaries);
  lsi_free(run->late_units);
  if (run->cond) lsi_os_cond_destroy(run->cond);
  if (run->mutex) lsi_os_mutex_destroy(run->mutex);
  lsi_free(run);
}

static void init_devices(struct lsi_run *run) {
  const struct lsi_plan *plan = run->config.plan;
  for (uint32_t i = 0; i < plan->n_devices; i++) {
    struct lsi_device_state *d = &run->devices[i];
    uint32_t cap = run->config.queue_depth ? run->config.queue_depth : plan->devices[i].cap;
    d->cap = cap ? (int32_t)LSI_MIN(cap, (uint32_t)INT32_MAX - 1) : INT32_MAX;
    /* A small cap is shared out in smaller blocks, or one worker would hold all of it. */
    d->block = LSI_MAX(1, LSI_MIN(LSI_CREDIT_BLOCK, d->cap / (int32_t)(2 * run->n_workers)));
    atomic_init(&d->in_flight, 0);
  }
}

static int create_run(const struct lsi_run_config *config, struct lsi_run **out) {
  struct lsi_run *run = lsi_calloc(1, sizeof *run);
  if (!run) return LSIO_ERR_NOMEM;
  const struct lsi_plan *plan = config->plan;
  run->config = *config;
  run->request = config->spec->request;
  run->on_error = config->spec->on_error;
  run->n_workers = config->workers;
  run->mutex = lsi_os_mutex_create();
  run->cond = lsi_os_cond_create();
  run->workers = lsi_alloc_aligned(LSI_CACHE_LINE, run->n_workers * sizeof *run->workers);
  run->sections = lsi_alloc_aligned(LSI_CACHE_LINE, (plan->n_sections + 1u) * sizeof *run->sections);
  run->devices = lsi_alloc_aligned(LSI_CACHE_LINE, (plan->n_devices + 1u) * sizeof *run->devices);
  run->errors = lsi_calloc(LSI_ERRORS_KEPT, sizeof *run->errors);
  run->summaries = lsi_calloc(run->n_workers, sizeof *run->summaries);
  if (!run->mutex || !run->cond || !run->workers || !run->sections || !run->devices ||
      !run->errors || !run->summaries) {
    free_run(run);
    return LSIO_ERR_NOMEM;
  }
  lsi_error_clear(&run->error);
  for (uint32_t i = 0; i < plan->n_sections; i++)
    atomic_init(&run->sections[i].cursor, plan->sections[i].unit_begin);
  init_devices(run);
  lsi_writes_size(run);
  for (uint32_t i = 0; i < run->n_workers; i++) {
    struct lsi_worker *w = &run->workers[i];
    w->run = run;
    w->index = i;
    w->named = UINT32_MAX;
    lsi_error_clear(&w->error);
  }
  *out = run;
  return 0;
}

int lsi_run_start(const struct lsi_run_config *config, struct lsi_run **out,
                  struct lsi_error *err) {
  struct lsi_run *run;
  int rc = create_run(config, &run);
  if (rc < 0) return lsi_fail(err, rc, 0, "no memory for the workers");
  run->start_ns = lsi_os_now_ns();
  run->start_cpu_ns = lsi_os_cpu_ns();
  atomic_store(&run->running, run->n_workers);
  atomic_store(&run->able, run->n_workers);
  run->late_workers = run->n_workers;
  for (uint32_t i = 0; i < run->n_workers; i++) {
    char name[16];
    snprintf(name, sizeof name, "lsio-%u", i);
    int os = lsi_os_thread_start(&run->workers[i].thread, name, lsi_worker_main, &run->workers[i]);
    if (!os) continue;
    /* Those that run already stop; those that never started count as ended. */
    lsi_fail(err, LSIO_ERR_LIMIT, os, "a worker thread could not be started");
    lsi_error_remedy(err, "lower --workers, or raise the limits of memory and threads (ulimit -v, -u)");
    lsi_run_fail(run, err);
    atomic_fetch_sub(&run->running, run->n_workers - i);
    lsi_run_join(run, NULL);
    lsi_run_destroy(run);
    return LSIO_ERR_LIMIT;
  }
  *out = run;
  return 0;
}

void lsi_run_cancel(struct lsi_run *run) {
  int expected = LSI_STOP_NO;
  atomic_compare_exchange_strong(&run->stop, &expected, LSI_STOP_CANCEL);
}

void lsi_run_fail(struct lsi_run *run, const struct lsi_error *e) {
  lsi_os_lock(run->mutex);
  if (!run->error.code && atomic_load(&run->stop) != LSI_STOP_CANCEL) run->error = *e;
  lsi_os_unlock(run->mutex);
  int expected = LSI_STOP_NO;
  atomic_compare_exchange_strong(&run->stop, &expected, LSI_STOP_FAIL);
}

#define MEMORY_NS 20000000 /* between looks: one costs about 80 us */

void lsi_run_note_memory(struct lsi_run *run, bool now) {
  const uint64_t time = lsi_os_now_ns();
  if (!now && time - atomic_load(&run->memory_at_ns) < (uint64_t)MEMORY_NS) return;
  atomic_store(&run->memory_at_ns, time);
  const uint64_t used = lsi_os_memory_used();
  uint64_t seen = atomic_load(&run->memory_peak);
  while (seen < used && !atomic_compare_exchange_weak(&run->memory_peak, &seen, used)) {
  }
}

/* Waits while too much is queued: memory for results that nobody polls is bounded. */
void lsi_run_complete(struct lsi_run *run, struct lsi_run_completion *list) {
  lsi_os_lock(run->mutex);
  while (run->queued_bytes > LSI_STREAM_BYTES_MAX && atomic_load(&run->stop) == LSI_STOP_NO)
    lsi_os_wait(run->cond, run->mutex, 10000000);
  bool was_empty = !run->first;
  if (run->last) run->last->next = list;
  else run->first = list;
  for (struct lsi_run_completion *c = list; c; c = c->next) {
    run->last = c;
    run->queued_bytes += sizeof *c + c->length + (c->error ? sizeof *c->error : 0);
  }
  if (was_empty) {
    lsi_os_bell_ring(run->config.bell);
    lsi_os_wake_all(run->cond);
  }
  lsi_os_unlock(run->mutex);
}

void lsi_run_step_failed(struct lsi_worker *w, uint32_t step, const struct lsi_error *e) {
  struct lsi_run *run = w->run;
  const struct lsi_request *r = run->request;
  uint64_t chunks = lsi_request_chunk_end(r, step) - lsi_request_chunk_begin(r, step);
  atomic_fetch_add_explicit(&w->counters.failed, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&w->counters.chunks_failed, chunks, memory_order_relaxed);
  lsi_os_lock(run->mutex);
  run->n_errors++;
  if (run->n_errors_kept < LSI_ERRORS_KEPT) run->errors[run->n_errors_kept++] = *e;
  lsi_os_unlock(run->mutex);
  struct lsi_run_completion *c = lsi_calloc(1, sizeof *c);
  if (c && (c->error = lsi_malloc(sizeof *c->error))) {
    *c->error = *e;
    c->kind = LSIO_STEP_FAILED;
    c->step = r->first_index + step;
    c->tag = r->tag ? r->tag[lsi_request_chunk_begin(r, step)] : 0;
    lsi_run_complete(run, c);
    return;
  }
  lsi_free(c);
  struct lsi_error no_memory;
  lsi_error_clear(&no_memory);
  lsi_fail(&no_memory, LSIO_ERR_NOMEM, 0, "no memory to report a failed step");
  lsi_run_fail(run, &no_memory);
}

struct lsi_run_completion *lsi_run_take(struct lsi_run *run, int64_t timeout_ns) {
  uint64_t until = timeout_ns > 0 ? lsi_os_now_ns() + (uint64_t)timeout_ns : 0;
  lsi_run_note_memory(run, false); /* by who waits anyway; workers do it when they end */
  lsi_os_lock(run->mutex);
  while (!run->first && atomic_load(&run->running) && timeout_ns) {
    int64_t left = timeout_ns;
    if (timeout_ns > 0) {
      uint64_t now = lsi_os_now_ns();
      if (now >= until) break;
      left = (int64_t)(until - now);
    }
    const bool woken = lsi_os_wait(run->cond, run->mutex,
                                   left < 0 ? MEMORY_NS : LSI_MIN(left, (int64_t)MEMORY_NS));
    if (woken) continue;
    lsi_os_unlock(run->mutex);
    lsi_run_note_memory(run, false);
    lsi_os_lock(run->mutex);
  }
  struct lsi_run_completion *list = run->first;
  run->first = run->last = NULL;
  run->queued_bytes = 0;
  /* The bell goes on ringing once the run has ended: there is its end to be polled. */
  if (atomic_load(&run->running)) lsi_os_bell_clear(run->config.bell);
  if (list) lsi_os_wake_all(run->cond);
  lsi_os_unlock(run->mutex);
  return list;
}

void lsi_run_free_completion(struct lsi_run_completion *c) {
  lsi_free(c->data);
  lsi_free(c->error);
  lsi_free(c);
}

bool lsi_run_ended(const struct lsi_run *run) { return atomic_load(&run->running) == 0; }

int lsi_run_join(struct lsi_run *run, struct lsi_error *err) {
  for (uint32_t i = 0; i < run->n_workers; i++) {
    struct lsi_worker *w = &run->workers[i];
    if (w->thread) lsi_os_thread_join(w->thread);
    w->thread = NULL;
    run->summaries[i] = (struct lsi_worker_summary){
        .steps = atomic_load(&w->counters.steps),
        .wait_s = (double)(w->wait_ns + w->submit_ns + w->at_once_ns) / 1e9,
        .decode_s = (double)w->decode_ns / 1e9,
        .transform_s = (double)w->transform_ns / 1e9,
        .place_s = (double)w->place_ns / 1e9};
  }
  if (atomic_load(&run->stop) == LSI_STOP_CANCEL)
    return lsi_fail(err, LSIO_ERR_CANCELLED, 0, "the job was cancelled");
  if (run->n_late_units && !run->error.code)
    return lsi_fail(err, LSIO_ERR_BUG, 0, "large files were put off and never read");
  if (run->error.code && err && !err->code) *err = run->error;
  return run->error.code;
}

bool lsi_run_broke(const struct lsi_run *run) {
  for (uint32_t i = 0; i < run->n_workers; i++)
    if (run->workers[i].broken) return true;
  return false;
}

void lsi_run_destroy(struct lsi_run *run) {
  if (run) free_run(run);
}

/* ---- what is known of a run ---- */

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

double lsi_run_elapsed_s(const struct lsi_run *run) {
  uint64_t end = atomic_load(&run->running) ? lsi_os_now_ns() : run->end_ns;
  return (double)(end - run->start_ns) / 1e9;
}

char *lsi_run_activity(const struct lsi_run *run) {
  static const char *const phases[] = {"starting",  "reading", "decoding",
                                       "transform", "placing", "waiting for its turn to write",
                                       "ended"};
  size_t cap = (size_t)run->n_workers * 1024 + 1, len = 0;
  char *text = lsi_malloc(cap);
  if (!text) return NULL;
  text[0] = 0;
  const struct lsi_request *r = run->request;
  for (uint32_t i = 0; i < run->n_workers && len < cap; i++) {
    uint64_t a = atomic_load_explicit(&run->workers[i].activity, memory_order_acquire);
    unsigned phase = (unsigned)(a >> 56);
    uint32_t step = (uint32_t)a;
    int n = snprintf(text + len, cap - len, "worker %u: %s", i, phases[phase]);
    len += (size_t)n;
    bool in_step = phase == LSI_PHASE_DECODE || phase == LSI_PHASE_TRANSFORM ||
                   phase == LSI_PHASE_PLACE;
    if (in_step && len < cap) {
      uint32_t c = lsi_request_chunk_begin(r, step);
      n = snprintf(text + len, cap - len, " of step %llu ('%.700s', offset %llu, length %llu)",
                   (unsigned long long)(r->first_index + step),
                   lsi_request_name(r, r->object[c]), (unsigned long long)r->offset[c],
                   (unsigned long long)r->length[c]);
      len += (size_t)n;
    }
    if (len + 1 < cap) text[len++] = '\n', text[len] = 0;
  }
  return text;
}

#define BUSY 0.6 /* of what it takes: a wait ends when the first have landed, others fly on */

/* Waiting is for the device when as much was in flight meanwhile as keeps it busy, else for its answers. */
static const char *waiting_for(const struct lsi_run *run, const struct lsi_summary *s) {
  const struct lsi_plan *plan = run->config.plan;
  double flying = 0;
  uint64_t waited = 0, at_once = 0;
  for (uint32_t i = 0; i < run->n_workers; i++) {
    const struct lsi_worker *w = &run->workers[i];
    if (w->wait_ns) flying += (double)w->in_flight_ns / (double)w->wait_ns;
    waited += w->wait_ns;
    at_once += w->at_once_ns;
  }
  if (at_once > waited) return "device"; /* reading itself took the time */
  uint32_t busy_at = 0;
  for (uint32_t i = 0; s->operations && i < plan->n_devices; i++)
    busy_at += lsi_device_busy_at(&plan->devices[i], (double)s->bytes_read / (double)s->operations);
  return flying < BUSY * busy_at ? "latency" : "device";
}

/* Where the workers' time went, and that of everybody while the output was published. */
static const char *find_bound(const struct lsi_run *run, const struct lsi_summary *s) {
  double wait = 0, decode = 0, transform = 0, place = s->publish_s * run->n_workers;
  for (uint32_t i = 0; i < run->n_workers; i++) {
    const struct lsi_worker_summary *w = &run->summaries[i];
    wait += w->wait_s;
    decode += w->decode_s;
    transform += w->transform_s;
    place += w->place_s;
  }
  double most = LSI_MAX(LSI_MAX(wait, decode), LSI_MAX(transform, place));
  if (most == decode && decode > 0) return "decode";
  if (most == transform && transform > 0) return "transform";
  if (most == place && place > 0) return "sink";
  return waiting_for(run, s);
}

void lsi_run_published(const struct lsi_run *run, uint64_t ns, uint64_t cpu_ns,
                       struct lsi_summary *s) {
  s->publish_s = (double)ns / 1e9;
  s->wall_s += s->publish_s;
  s->cpu_s += (double)cpu_ns / 1e9;
  s->bound = find_bound(run, s);
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
    s.operations += w->operations;
    s.bytes_read += w->bytes_read;
    s.bytes_decoded += w->bytes_decoded;
    s.bytes_delivered += w->bytes_delivered;
    s.bytes_direct += w->bytes_direct;
    fell_back += w->ops && w->ops != run->config.backend;
  }
  s.bytes_requested = run->request->late ? lsi_request_bytes(run->request)
                                         : run->config.plan->bytes_requested;
  s.wall_s = (double)(run->end_ns - run->start_ns) / 1e9;
  s.cpu_s = (double)(run->end_cpu_ns - run->start_cpu_ns) / 1e9;
  s.peak_memory = atomic_load(&run->memory_peak);
  s.backend = (fell_back == run->n_workers ? run->config.fallback : run->config.backend)->name;
  s.n_workers = run->n_workers;
  s.workers = run->summaries;
  s.errors = run->errors;
  s.n_errors = run->n_errors;
  s.n_errors_kept = run->n_errors_kept;
  s.bound = find_bound(run, &s);
  *out = s;
}
