/* A run from start to end. */
#include "engine/state/engine.h"

#include <stdio.h>
#include <string.h>

#include "engine/loop/crew.h"
#include "engine/loop/worker_memory.h"
#include "engine/state/run.h"
#include "engine/step/write_direct.h"
#include "ground/mem.h"
#include "ground/units.h"

static void free_run(struct lsi_run *run) {
  lsi_waves_clear(run);
  lsi_crew_destroy(run->own_crew);
  for (uint32_t i = 0; run->workers && i < run->n_workers; i++) lsi_free(run->workers[i].credits);
  lsi_run_free_completions(run->outcome.first);
  lsi_free(run->workers);
  lsi_free(run->wave.sections);
  lsi_free(run->devices);
  lsi_free(run->own_devices);
  if (run->outcome.failures) lsi_failures_clear(run->outcome.failures);
  lsi_free(run->outcome.failures);
  lsi_free(run->summaries);
  lsi_free(run->late.units);
  lsi_left_clear(&run->left);
  lsi_gate_clear(&run->gate);
  lsi_tally_drop(run->tally);
  if (run->cond) lsi_os_cond_destroy(run->cond);
  if (run->mutex) lsi_os_mutex_destroy(run->mutex);
  lsi_free(run);
}

static void init_devices(struct lsi_run *run) {
  const struct lsi_plan *plan = run->wave.plan;
  for (uint32_t i = 0; i < plan->n_devices; i++) {
    struct lsi_device_state *d = run->devices[i] = &run->own_devices[i];
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
  run->wave.request = config->spec->request;
  run->wave.plan = plan;
  run->last_wave = &run->wave;
  atomic_init(&run->ends_before, UINT32_MAX);
  run->on_error = config->spec->on_error;
  if (config->stream) lsi_gate_init(&run->gate, run->wave.request, config->by_step, config->window);
  run->n_workers = config->workers;
  run->mutex = lsi_os_mutex_create();
  run->cond = lsi_os_cond_create();
  run->workers = lsi_alloc_aligned(LSI_CACHE_LINE, run->n_workers * sizeof *run->workers);
  run->wave.sections =
      lsi_alloc_aligned(LSI_CACHE_LINE, (plan->n_sections + 1u) * sizeof *run->wave.sections);
  run->devices = lsi_calloc(plan->n_devices + 1u, sizeof *run->devices);
  run->own_devices = lsi_alloc_aligned(LSI_CACHE_LINE, (plan->n_devices + 1u) * sizeof *run->own_devices);
  if ((run->outcome.failures = lsi_malloc(sizeof *run->outcome.failures)))
    lsi_failures_init(run->outcome.failures);
  run->summaries = lsi_calloc(run->n_workers, sizeof *run->summaries);
  if (config->stream) run->tally = lsi_tally_create();
  if (!run->mutex || !run->cond || !run->workers || !run->wave.sections || !run->devices ||
      !run->own_devices || !run->outcome.failures || !run->summaries ||
      (config->stream && !run->tally)) {
    free_run(run);
    return LSIO_ERR_NOMEM;
  }
  lsi_error_clear(&run->outcome.error);
  for (uint32_t i = 0; i < plan->n_sections; i++)
    atomic_init(&run->wave.sections[i].cursor, plan->sections[i].unit_begin);
  init_devices(run);
  lsi_writes_size(run);
  for (uint32_t i = 0; i < run->n_workers; i++) {
    struct lsi_worker *w = &run->workers[i];
    w->run = run;
    w->index = i;
    w->reader.wave = w->stepper.wave = &run->wave;
    w->background = config->background;
    w->stepper.shown = UINT32_MAX;
    lsi_error_clear(&w->error);
  }
  *out = run;
  return 0;
}

int lsi_run_create(const struct lsi_run_config *config, struct lsi_run **out,
                   struct lsi_error *err) {
  struct lsi_run *run;
  int rc = create_run(config, &run);
  if (rc < 0) return lsi_fail(err, rc, 0, "no memory for the workers");
  run->start_ns = lsi_os_now_ns();
  run->start_cpu_ns = lsi_os_cpu_ns();
  atomic_store(&run->running, run->n_workers);
  atomic_store(&run->unsettled, run->n_workers);
  atomic_store(&run->may_open, run->n_workers);
  atomic_store(&run->unseen, run->n_workers);
  run->late.workers = run->n_workers;
  *out = run;
  return 0;
}

/* There is memory for a run that waited for it. Once it is taken up it may end, and be gone. */
static void begin_late(void *user) {
  struct lsi_run *run = user;
  struct lsi_error e;
  lsi_error_clear(&e);
  if (lsi_crew_take_up(run->config.crew, run, &e) == 0) return;
  lsi_run_fail(run, &e);
  lsi_run_never_began(run);
}

/* True: it may begin. */
static bool has_memory(struct lsi_run *run) {
  const struct lsi_run_config *c = &run->config;
  if (!c->ledger) return true;
  const uint64_t ceiling = lsi_sat_add(lsi_sat_mul(c->share, run->n_workers), c->window);
  run->claim = (struct lsi_claim){
      .bytes = LSI_MIN(lsi_run_need(run), ceiling), .granted = begin_late, .user = run};
  return lsi_ledger_ask(c->ledger, &run->claim);
}

#define STEP_NS 200000000u        /* that steps have to end by themselves, before they are interrupted, */
#define AGAIN_NS 20000000u        /* after which those that go on are interrupted again, */
#define AGAIN_MOST_NS 1000000000u /* and after how long at last */

static uint64_t ring(void *user, uint64_t now) {
  struct lsi_run *run = user;
  const struct lsi_spec *spec = run->config.spec;
  const bool first = !run->again_ns;
  if (first && lsi_run_expire(run)) return 0;
  if (lsi_run_ended(run) || !spec->transform || !spec->transform->interrupt) return 0;
  if (!first) spec->transform->interrupt(spec->transform_job);
  run->again_ns = first ? AGAIN_NS : LSI_MIN(2 * run->again_ns, (uint64_t)AGAIN_MOST_NS);
  return now + (first ? STEP_NS : run->again_ns);
}

/* It has started, and may have ended. */
static void set_deadline(struct lsi_run *run) {
  lsi_os_lock(run->mutex);
  if (atomic_load(&run->running)) {
    run->deadline = (struct lsi_alarm){.at_ns = run->config.deadline_at_ns, .ring = ring, .user = run};
    run->has_deadline = true;
    lsi_alarms_set(run->config.alarms, &run->deadline);
  }
  lsi_os_unlock(run->mutex);
}

/* It has ended. */
static void drop_deadline(struct lsi_run *run) {
  lsi_os_lock(run->mutex);
  const bool had = run->has_deadline;
  run->has_deadline = false;
  lsi_os_unlock(run->mutex);
  if (had) lsi_alarms_drop(run->config.alarms, &run->deadline);
}

int lsi_run_start(const struct lsi_run_config *config, struct lsi_run **out,
                  struct lsi_error *err) {
  int rc = lsi_run_create(config, out, err);
  if (rc < 0) return rc;
  struct lsi_run *run = *out; /* it may end, and tell so, before this returns */
  if (!config->crew && lsi_crew_create(config->pool, false, &run->own_crew) < 0)
    rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for worker threads");
  if (!config->crew) run->config.crew = run->own_crew;
  if (rc == 0 && config->deadline_at_ns) rc = lsi_alarms_begin(config->alarms, err);
  /* Else it begins at any time from here on, by another thread. */
  if (rc == 0 && has_memory(run)) {
    rc = lsi_crew_take_up(run->config.crew, run, err);
    if (rc < 0 && config->ledger) lsi_ledger_give_back(config->ledger, &run->claim);
  }
  if (rc == 0 && config->deadline_at_ns) set_deadline(run);
  if (rc == 0) return 0;
  *out = NULL;
  lsi_run_destroy(run);
  return rc;
}

void lsi_run_cancel(struct lsi_run *run) {
  int expected = LSI_STOP_NO;
  if (!atomic_compare_exchange_strong(&run->stop, &expected, LSI_STOP_CANCEL)) return;
  lsi_rouse_workers(run); /* one that waits for memory is ended by who takes from it */
}

/* Behind what there is: the lines of a text, as far as all of them find room. */
static void add_lines(char *out, size_t cap, const char *text) {
  size_t at = strlen(out);
  for (size_t n; (n = strcspn(text, "\n")) != 0; text += n + (text[n] == '\n')) {
    static const char more[] = "; ...";
    const bool fits = at + 2 + n + sizeof more <= cap;
    at += (size_t)snprintf(out + at, cap - at, fits ? "; %.*s" : more, (int)n, text);
    if (!fits) break;
  }
}

static void describe_expiry(struct lsi_run *run, char *out, size_t cap) {
  uint64_t done, failed, bytes;
  uint32_t running;
  lsi_run_progress(run, &done, &failed, &bytes, &running);
  const bool counted = !run->wave.request->cut;
  snprintf(out, cap, "the deadline of %s has passed after %s%s%s steps",
           lsi_show_time((double)run->config.deadline_ns / 1e9).text, lsi_show_count(done + failed).text,
           counted ? " of " : "", counted ? lsi_show_count(run->wave.request->n_steps).text : "");
  if (lsi_run_queued(run)) {
    add_lines(out, cap, "it waited for memory that other jobs have");
    return;
  }
  char *activity = lsi_run_activity(run);
  if (activity) add_lines(out, cap, activity);
  lsi_free(activity);
}

bool lsi_run_expire(struct lsi_run *run) {
  struct lsi_outcome *o = &run->outcome;
  const bool fails = run->on_error == LSI_ON_ERROR_FAIL;
  char text[sizeof o->at_deadline];
  describe_expiry(run, text, sizeof text);
  lsi_os_lock(run->mutex);
  const bool stops = atomic_load(&run->running) && !atomic_load(&o->expired);
  if (stops) {
    memcpy(o->at_deadline, text, sizeof text);
    atomic_store(&o->expired, true);
    if (fails && !o->error.code) {
      lsi_fail(&o->error, LSIO_ERR_LIMIT, 0, "%s", text);
      lsi_error_is(&o->error, LSIO_KIND_TIMEOUT);
      lsi_error_remedy(&o->error, "allow more time with --deadline; on_error = \"skip\" keeps what has run");
    }
    int expected = LSI_STOP_NO;
    atomic_compare_exchange_strong(&run->stop, &expected, fails ? LSI_STOP_FAIL : LSI_STOP_KEEP);
  }
  lsi_os_unlock(run->mutex);
  if (!stops) return false;
  lsi_rouse_workers(run);
  return lsi_run_leave_queue(run);
}

const char *lsi_run_at_deadline(const struct lsi_run *run) {
  return atomic_load(&run->outcome.expired) ? run->outcome.at_deadline : "";
}

bool lsi_run_queued(const struct lsi_run *run) {
  return run->config.ledger && lsi_ledger_waits(run->config.ledger, &run->claim);
}

bool lsi_run_ended(const struct lsi_run *run) { return atomic_load(&run->running) == 0; }

int lsi_run_join(struct lsi_run *run, struct lsi_error *err) {
  lsi_run_leave_queue(run);
  lsi_os_lock(run->mutex);
  while (atomic_load(&run->running)) lsi_os_wait(run->cond, run->mutex, -1);
  lsi_os_unlock(run->mutex);
  drop_deadline(run);
  for (uint32_t i = 0; i < run->n_workers; i++) {
    const struct lsi_worker *w = &run->workers[i];
    run->summaries[i] = (struct lsi_worker_summary){
        .steps = atomic_load(&w->counters.steps),
        .wait_s = (double)(w->figures.wait_ns + w->figures.submit_ns + w->figures.at_once_ns) / 1e9,
        .decode_s = (double)w->figures.decode_ns / 1e9,
        .transform_s = (double)w->figures.transform_ns / 1e9,
        .place_s = (double)w->figures.place_ns / 1e9,
        .stalled_s = (double)w->figures.stalled_ns / 1e9};
    lsi_worker_verdicts(w, run->summaries[i].tune);
  }
  if (atomic_load(&run->stop) == LSI_STOP_CANCEL)
    return lsi_fail(err, LSIO_ERR_CANCELLED, 0, "the job was cancelled");
  if (run->late.n && !run->outcome.error.code && !lsi_keeps(run))
    return lsi_fail(err, LSIO_ERR_BUG, 0, "large files were put off and never read");
  if (run->outcome.error.code && err && !err->code) *err = run->outcome.error;
  return run->outcome.error.code;
}

bool lsi_run_broke(const struct lsi_run *run) {
  for (uint32_t i = 0; i < run->n_workers; i++)
    if (run->workers[i].broken) return true;
  return false;
}

void lsi_run_destroy(struct lsi_run *run) {
  if (run) free_run(run);
}
