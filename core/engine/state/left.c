#include "engine/state/left.h"

#include "engine/state/run.h"
#include "ground/mem.h"

static void add(struct lsi_left *l, uint32_t from, uint32_t to) {
  if (from >= to) return;
  if (l->n == l->cap) {
    const uint32_t cap = l->cap ? 2 * l->cap : 16;
    void *more = lsi_reallocarray(l->ranges, cap, sizeof *l->ranges);
    if (!more) {
      l->lost = true;
      return;
    }
    l->ranges = more;
    l->cap = cap;
  }
  l->ranges[l->n++] = (struct lsi_left_range){from, to};
}

void lsi_left_unit(struct lsi_worker *w, const struct lsi_wave *wave, uint32_t unit, uint32_t from) {
  struct lsi_run *run = w->run;
  if (!lsi_keeps(run)) return;
  lsi_os_lock(run->mutex);
  add(&run->left, wave->first_step + from, wave->first_step + wave->plan->unit_step[unit + 1]);
  lsi_os_unlock(run->mutex);
}

static void left_units(struct lsi_run *run, const struct lsi_wave *wave, uint32_t from, uint32_t to) {
  const uint32_t *first = wave->plan->unit_step;
  if (from < to) add(&run->left, wave->first_step + first[from], wave->first_step + first[to]);
}

void lsi_left_put_off(struct lsi_worker *w) {
  struct lsi_run *run = w->run;
  const struct lsi_late *l = &w->reader.late;
  if (!l->any || !lsi_keeps(run)) return;
  lsi_os_lock(run->mutex);
  for (uint32_t i = 0; i < l->n_resting; i++) {
    const uint32_t unit = l->resting[(l->resting_first + i) % l->resting_cap].unit;
    left_units(run, &run->wave, unit, unit + 1);
  }
  if (l->pending) left_units(run, &run->wave, l->taken, l->taken + 1);
  lsi_os_unlock(run->mutex);
}

/* Units that are handed out to nobody, or that nobody has begun. */
static void left_by_all(struct lsi_run *run) {
  const struct lsi_wave *last = run->last_wave;
  const struct lsi_plan *plan = last->plan;
  for (uint32_t i = 0; i < plan->n_sections && !run->wave.request->cut; i++)
    left_units(run, last, (uint32_t)atomic_load(&last->sections[i].cursor), plan->sections[i].unit_end);
  for (uint32_t i = 0; i < run->n_workers; i++) {
    const struct lsi_worker *w = &run->workers[i];
    const uint64_t r = atomic_load(&w->range);
    left_units(run, &run->wave, LSI_RANGE_LO(r), LSI_RANGE_HI(r));
    left_units(run, w->reader.wave, w->reader.next_unit, w->reader.units_end);
  }
  for (uint32_t i = 0; i < run->late.n; i++)
    left_units(run, &run->wave, run->late.units[i].unit, run->late.units[i].unit + 1);
}

/* Of an object of unknown end nobody knows how many are left: all that were not handed out count as one. */
static void left_of_the_rest(struct lsi_run *run) {
  const struct lsi_wave *last = run->last_wave;
  const uint32_t taken = lsi_wave_number(last, (uint32_t)atomic_load(&last->sections->cursor));
  add(&run->left, taken, lsi_run_steps(run));
}

int64_t lsi_left_count(struct lsi_run *run) {
  struct lsi_left *l = &run->left;
  left_by_all(run);
  if (run->wave.request->cut) left_of_the_rest(run);
  const uint32_t n = lsi_run_steps(run);
  if (l->lost) return LSIO_ERR_NOMEM;
  if (!l->n) return 0;
  l->steps = lsi_calloc((size_t)n / 64 + 1, sizeof *l->steps);
  if (!l->steps) return LSIO_ERR_NOMEM;
  for (uint32_t i = 0; i < l->n; i++)
    for (uint32_t at = l->ranges[i].from; at < l->ranges[i].to; at++) {
      const uint32_t step = run->wave.request->cut ? at : run->wave.plan->step_order[at];
      if (step >= n) continue; /* behind an end */
      l->steps[step / 64] |= (uint64_t)1 << step % 64;
    }
  for (uint32_t i = 0; i <= n / 64; i++)
    l->n_steps += (uint32_t)__builtin_popcountll(l->steps[i]);
  return l->n_steps;
}

uint32_t lsi_left_next(const struct lsi_run *run, uint32_t step) {
  const struct lsi_left *l = &run->left;
  const uint32_t n = lsi_run_steps(run);
  if (!l->steps || step >= n) return UINT32_MAX;
  uint64_t word = l->steps[step / 64] >> step % 64 << step % 64;
  for (uint32_t i = step / 64; i <= n / 64; word = ++i <= n / 64 ? l->steps[i] : 0)
    if (word) return i * 64 + (uint32_t)__builtin_ctzll(word);
  return UINT32_MAX;
}

void lsi_left_clear(struct lsi_left *l) {
  lsi_free(l->ranges);
  lsi_free(l->steps);
}
