/* Waves that follow one another: the next one is made when the last has been handed out, by the worker that
 * finds it so. */
#include "engine/state/wave.h"

#include "engine/state/run.h"
#include "ground/mem.h"

#define STEPS 1024u /* of a wave: some 50 us of work, and 60 KB */

static void free_wave(struct lsi_wave *wave) {
  lsi_request_free((struct lsi_request *)(uintptr_t)wave->request);
  lsi_plan_free((struct lsi_plan *)(uintptr_t)wave->plan);
  lsi_free(wave->sections);
  lsi_free(wave);
}

void lsi_wave_drop(const struct lsi_wave *wave) {
  struct lsi_wave *own = (struct lsi_wave *)(uintptr_t)wave;
  if (atomic_fetch_sub_explicit(&own->users, 1, memory_order_acq_rel) == 1) free_wave(own);
}

/* ---- making one ---- */

static int plan(const struct lsi_run *run, struct lsi_wave *wave, struct lsi_error *err) {
  const struct lsi_plan *first = run->wave.plan;
  const struct lsi_plan_options options = {.merge = LSI_MERGE_NEVER,
                                           .in_request_order = true,
                                           .n_devices = first->n_devices,
                                           .devices = first->devices};
  struct lsi_plan *made;
  int rc = lsi_plan_build(wave->request, &options, &made, err);
  if (rc < 0) return rc;
  wave->plan = made;
  wave->sections = lsi_alloc_aligned(LSI_CACHE_LINE, sizeof *wave->sections); /* in request order: one */
  if (!wave->sections) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the next chunks");
  atomic_init(&wave->sections->cursor, made->sections->unit_begin);
  return 0;
}

/* Behind the last one; *out NULL: there are no more. */
static int make(const struct lsi_run *run, struct lsi_wave **out, struct lsi_error *err) {
  const struct lsi_wave *last = run->last_wave;
  const uint64_t before = (uint64_t)last->first_step + last->request->n_steps;
  struct lsi_request *r;
  *out = NULL;
  const uint32_t most = run->config.wave_steps ? run->config.wave_steps : STEPS;
  int rc = lsi_request_cut_more(run->wave.request, before, most, &r, err);
  if (rc < 0 || !r) return rc;
  struct lsi_wave *wave = lsi_calloc(1, sizeof *wave);
  if (!wave) {
    lsi_request_free(r);
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the next chunks");
  }
  wave->request = r;
  wave->first_step = (uint32_t)before;
  wave->counted = true;
  atomic_init(&wave->users, 1); /* the run's */
  rc = plan(run, wave, err);
  if (rc < 0) free_wave(wave);
  else *out = wave;
  return rc;
}

/* Under the run's mutex. */
static int follow(struct lsi_run *run, const struct lsi_wave *from, struct lsi_error *err) {
  struct lsi_wave *next;
  if (run->last_wave != from) return 0; /* another worker has made it */
  const int rc = make(run, &next, err);
  if (rc < 0 || !next) return rc;
  lsi_wave_leave(run->last_wave);
  run->last_wave = next;
  return 0;
}

bool lsi_waves_go_on(struct lsi_worker *w) {
  struct lsi_run *run = w->run;
  const struct lsi_wave *from = w->reader.wave;
  lsi_os_lock(run->mutex);
  const int rc = follow(run, from, &w->error);
  const struct lsi_wave *to = run->last_wave;
  if (to != from) lsi_wave_use(to);
  lsi_os_unlock(run->mutex);
  if (rc < 0) lsi_worker_fail(w);
  if (to == from) return false;
  w->reader.wave = to;
  lsi_wave_leave(from);
  return true;
}

void lsi_waves_clear(struct lsi_run *run) {
  for (uint32_t i = 0; run->workers && i < run->n_workers; i++)
    if (run->workers[i].reader.wave) lsi_wave_leave(run->workers[i].reader.wave);
  if (run->last_wave) lsi_wave_leave(run->last_wave);
}
