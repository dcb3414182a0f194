/* Who takes which unit, and who may have operations in flight. The only shared writes on the path of
 * a unit: one compare-and-swap on the worker's own range per unit or batch of small ones, one on the
 * section's cursor per run of units, one addition per block of credits. */
#include "engine/state/handout.h"

#include "engine/state/run.h"

/* Guided hand-out: large runs first, single units at the end. Counted in bytes so that runs of small
 * and of large units take alike, and at most a unit for every 4 KiB, so that empty ones count too. */
static bool take_run(struct lsi_worker *w, uint32_t section_index) {
  struct lsi_run *run = w->run;
  const struct lsi_plan *plan = w->reader.wave->plan;
  const struct lsi_section *section = &plan->sections[section_index];
  struct lsi_section_state *state = &w->reader.wave->sections[section_index];
  uint_fast32_t lo = atomic_load_explicit(&state->cursor, memory_order_relaxed);
  for (;;) {
    if (lo >= section->unit_end) return false;
    uint64_t taken = atomic_load_explicit(&state->bytes_taken, memory_order_relaxed);
    uint64_t left = section->bytes > taken ? section->bytes - taken : 0;
    uint64_t want = left / (8u * run->n_workers);
    want = LSI_MIN(LSI_MAX(want, (uint64_t)64 << 10), (uint64_t)8 << 20);
    uint32_t hi = (uint32_t)lo;
    const uint64_t hi_most = LSI_MIN((uint64_t)section->unit_end, lo + want / LSI_ALIGN);
    uint64_t bytes = 0;
    const struct lsi_extent *e = &plan->extents[plan->unit_extent[hi]];
    do {
      const struct lsi_extent *end = &plan->extents[plan->unit_extent[++hi]];
      for (; e < end; e++) bytes += e->length;
    } while (hi < hi_most && bytes < want);
    if (atomic_compare_exchange_weak_explicit(&state->cursor, &lo, hi, memory_order_relaxed,
                                              memory_order_relaxed)) {
      atomic_fetch_add_explicit(&state->bytes_taken, bytes, memory_order_relaxed);
      atomic_store_explicit(&w->range, LSI_RANGE(lo, hi), memory_order_release);
      return true;
    }
  }
}

/* Small units are taken several at a time, but no more than the caller begins at once: what has been
 * taken can't be stolen. */
static bool pop(struct lsi_worker *w) {
  uint32_t most = 1;
  if (w->reader.wave->plan->unit_bytes_max <= LSI_UNIT_BATCH_BYTES)
    most = LSI_MIN(w->reader.depth.ops - w->reader.ops_in_flight, (uint32_t)LSI_UNIT_BATCH);
  uint_fast64_t r = atomic_load_explicit(&w->range, memory_order_acquire);
  while (LSI_RANGE_LO(r) < LSI_RANGE_HI(r)) {
    uint32_t lo = LSI_RANGE_LO(r), end = lo + LSI_MIN(most, LSI_RANGE_HI(r) - lo);
    if (!atomic_compare_exchange_weak_explicit(&w->range, &r, LSI_RANGE(end, LSI_RANGE_HI(r)),
                                               memory_order_acq_rel, memory_order_acquire))
      continue;
    w->reader.next_unit = lo;
    w->reader.units_end = end;
    return true;
  }
  return false;
}

/* Takes the upper half of the longest range that another worker has not begun. */
static bool steal(struct lsi_worker *w) {
  struct lsi_run *run = w->run;
  for (;;) {
    struct lsi_worker *victim = NULL;
    uint_fast64_t best = 0;
    for (uint32_t i = 0; i < run->n_workers; i++) {
      if (i == w->index) continue;
      uint_fast64_t r = atomic_load_explicit(&run->workers[i].range, memory_order_acquire);
      if (LSI_RANGE_HI(r) > LSI_RANGE_LO(r) &&
          (!victim || LSI_RANGE_HI(r) - LSI_RANGE_LO(r) > LSI_RANGE_HI(best) - LSI_RANGE_LO(best))) {
        victim = &run->workers[i];
        best = r;
      }
    }
    if (!victim) return false;
    uint32_t lo = LSI_RANGE_LO(best), hi = LSI_RANGE_HI(best), mid = lo + (hi - lo) / 2;
    if (atomic_compare_exchange_strong_explicit(&victim->range, &best, LSI_RANGE(lo, mid),
                                                memory_order_acq_rel, memory_order_acquire)) {
      atomic_store_explicit(&w->range, LSI_RANGE(mid, hi), memory_order_release);
      return true;
    }
  }
}

/* Of an object whose end shows when it is read: the next step alone, for the worker that reads it now. */
static bool take_next(struct lsi_worker *w) {
  while (atomic_load_explicit(&w->run->ends_before, memory_order_relaxed) == UINT32_MAX) {
    const struct lsi_wave *wave = w->reader.wave;
    atomic_uint_fast32_t *cursor = &wave->sections->cursor;
    uint_fast32_t unit = atomic_load_explicit(cursor, memory_order_relaxed);
    while (unit < wave->plan->n_units) {
      if (!atomic_compare_exchange_weak_explicit(cursor, &unit, unit + 1, memory_order_relaxed,
                                                 memory_order_relaxed))
        continue;
      w->reader.next_unit = (uint32_t)unit;
      w->reader.units_end = (uint32_t)unit + 1;
      return true;
    }
    if (!lsi_waves_go_on(w)) break;
  }
  return false;
}

bool lsi_take_units(struct lsi_worker *w) {
  const struct lsi_plan *plan = w->reader.wave->plan;
  for (;;) {
    if (pop(w)) return true;
    if (LSI_UNLIKELY(w->run->wave.request->cut != 0)) return take_next(w);
    bool more = false;
    /* Workers start at different devices so that all of them are busy from the start. */
    for (uint32_t i = 0; i < plan->n_sections && !more; i++)
      more = take_run(w, (w->index + i) % plan->n_sections);
    if (more) continue;
    /* Only an idle worker steals. It also keeps the units of each worker in ascending order while
     * any is in flight, on which the progress of ordered results rests. */
    if (w->reader.flights || w->stepper.n_ready || !steal(w)) return false;
  }
}

/* Without a cap there is one lease, of more than a worker can use. */
bool lsi_lease_credits(struct lsi_worker *w, uint32_t device) {
  struct lsi_device_state *d = w->run->devices[device];
  struct lsi_credit *c = &w->credits[device];
  if (d->cap == INT32_MAX) {
    *c = (struct lsi_credit){.have = UINT32_MAX / 2, .most = UINT32_MAX};
    return true;
  }
  c->most = 2 * (uint32_t)d->block;
  int_fast32_t have = atomic_load_explicit(&d->in_flight, memory_order_relaxed);
  for (;;) {
    int32_t take = LSI_MIN(d->block, d->cap - (int32_t)have);
    if (take <= 0) return false;
    if (atomic_compare_exchange_weak_explicit(&d->in_flight, &have, have + take,
                                              memory_order_relaxed, memory_order_relaxed)) {
      c->have = (uint32_t)take;
      return true;
    }
  }
}

void lsi_return_block(struct lsi_worker *w, uint32_t device) {
  struct lsi_device_state *d = w->run->devices[device];
  w->credits[device].have -= (uint32_t)d->block;
  atomic_fetch_sub_explicit(&d->in_flight, d->block, memory_order_relaxed);
}

void lsi_return_credits(struct lsi_worker *w) {
  if (!w->credits) return; /* no memory for them: the worker never opened */
  for (uint32_t i = 0; i < w->reader.wave->plan->n_devices; i++) {
    struct lsi_device_state *d = w->run->devices[i];
    if (!w->credits[i].have || d->cap == INT32_MAX) continue;
    atomic_fetch_sub_explicit(&d->in_flight, (int32_t)w->credits[i].have, memory_order_relaxed);
    w->credits[i].have = 0;
  }
}
