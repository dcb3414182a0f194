/* What steps have seen counts once the object has been looked at behind the reads and is what planning
 * saw. What is placed in a sink or added to a state leaves the job only after all objects were closed,
 * which is a look; results that are streamed leave at once, so they are held for one (held.h), and so is
 * what steps saw where it lies in the page cache, for it may change while they run. */
#include "engine/step/looks.h"

#include "engine/read/unchanged.h"

void lsi_looks_unit_begin(struct lsi_worker *w, const struct lsi_flight *f) {
  w->stepper.held.running = f;
  w->stepper.held.now = (struct lsi_held_unit){.wave = f->wave, .from = f->next_step};
}

/* 0, or negative with w->error: an object of the unit is not what it was. One that is no longer open has
 * been looked at when it was closed. */
static int look(struct lsi_worker *w, const struct lsi_flight *f) {
  const struct lsi_slot *seen = NULL;
  for (uint32_t i = 0; i < f->n_extents; i++) {
    struct lsi_slot *s = f->extents[i].slot;
    if (!s || s == seen) continue;
    seen = s;
    int rc = lsi_object_look(w, s);
    if (rc < 0) return rc;
  }
  return 0;
}

void lsi_looks_flush(struct lsi_worker *w) {
  for (uint32_t i = 0; i < w->stepper.held.n; i++) {
    struct lsi_slot *s = w->stepper.held.units[i].slot;
    if (s && lsi_object_look(w, s) < 0) lsi_worker_fail(w);
  }
  lsi_held_deliver(w);
}

static bool overdue(const struct lsi_worker *w) {
  return lsi_os_now_ns() - w->stepper.held.delivered_ns >= LSI_HELD_NS;
}

/* The unit's steps up to `to`, which must wait. A unit of several objects does not. */
static void keep(struct lsi_worker *w, const struct lsi_flight *f, uint32_t to) {
  struct lsi_slot *slot = f->extents[0].slot;
  if (f->n_extents > 1) {
    slot = NULL;
    if (look(w, f) < 0) {
      lsi_held_fail(w, to, &w->error);
      lsi_worker_fail(w);
      return;
    }
  }
  lsi_held_put(w, slot, to);
  if (w->stepper.held.n == LSI_HELD_UNITS || w->stepper.held.bytes >= LSI_HELD_BYTES || overdue(w))
    lsi_looks_flush(w);
}

static bool any_lent(const struct lsi_flight *f) {
  if (f->ahead && f->ahead->lent) return true;
  for (uint32_t i = 0; i < f->n_extents; i++)
    if (f->extents[i].lent) return true;
  return false;
}

void lsi_looks_unit_end(struct lsi_worker *w) {
  const struct lsi_flight *f = w->stepper.held.running;
  const bool waits = w->run->config.stream || any_lent(f);
  if (waits && w->stepper.held.now.from < f->next_step) keep(w, f, f->next_step);
  w->stepper.held.running = NULL;
}

#define QUICK_STEPS 64u /* after so many without a transform the clock is asked: each takes some 0.1 us */

void lsi_looks_step_end(struct lsi_worker *w) {
  const struct lsi_flight *f = w->stepper.held.running;
  if (w->stepper.untransformed && (f->next_step + 1) % QUICK_STEPS) return;
  /* Behind the unit's last step its end asks the clock. */
  const bool last = f->next_step + 1 == f->wave->plan->unit_step[f->unit + 1];
  if (last || !w->stepper.held.now.first || !overdue(w)) return;
  keep(w, f, f->next_step + 1);
  w->stepper.held.now = (struct lsi_held_unit){.wave = f->wave, .from = f->next_step + 1};
}

int lsi_looks_now(struct lsi_worker *w) {
  const struct lsi_flight *f = w->stepper.held.running;
  if (!f || !any_lent(f)) return 0;
  int rc = look(w, f);
  if (rc >= 0) w->stepper.held.now.from = f->next_step + 1;
  return rc;
}

bool lsi_looks_step_failed(struct lsi_worker *w, const struct lsi_flight *f) {
  struct lsi_error why = w->error;
  lsi_error_clear(&w->error);
  const bool changed = look(w, f) < 0;
  if (changed) why = w->error;
  lsi_error_clear(&w->error);
  if (w->stepper.held.running) {
    if (changed) lsi_held_fail(w, f->next_step, &why);
    else if (w->stepper.held.now.from < f->next_step) lsi_held_put(w, NULL, f->next_step);
    w->stepper.held.now = (struct lsi_held_unit){.wave = f->wave, .from = f->next_step + 1};
    if (w->stepper.held.n == LSI_HELD_UNITS) lsi_looks_flush(w);
  }
  w->error = why;
  return changed;
}
