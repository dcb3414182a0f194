/* Settle, try, keep: see trial.h. */
#include "engine/state/trial.h"

#include <math.h>
#include <string.h>

enum { IDLE, SETTLING, TRYING };

void lsi_trial_init(struct lsi_trial *t, const struct lsi_trial_rules *rules, uint64_t at) {
  t->rules = rules;
  if (t->pinned) return;
  *t = (struct lsi_trial){.rules = rules, .next = at, .next_other = UINT64_MAX};
}

void lsi_trial_adopt(struct lsi_trial *t, uint32_t now, uint64_t at) {
  if (t->pinned) return;
  t->now = t->verdict = now;
  t->next = at;
}

static void stop(struct lsi_trial *t) {
  t->state = IDLE;
  t->next = t->next_other = UINT64_MAX;
}

void lsi_trial_fix(struct lsi_trial *t, uint32_t now) {
  *t = (struct lsi_trial){.rules = t->rules, .now = now};
  stop(t);
}

void lsi_trial_pin(struct lsi_trial *t, uint32_t now) {
  lsi_trial_fix(t, now);
  t->pinned = true;
  t->verdict = now;
}

void lsi_trial_top(struct lsi_trial *t) { stop(t); }

double lsi_trial_unit_cost(const struct lsi_trial *t, unsigned i) {
  const struct lsi_trial_figures *of = t->comparisons ? &t->kept[i] : &t->of[i];
  return of->units > 0 ? of->cost / of->units : (double)NAN;
}

/* b over a? By products, as nothing may have been done: then it is not. */
static bool better(struct lsi_trial_figures b, struct lsi_trial_figures a, double worth) {
  return b.cost * a.units < worth * a.cost * b.units;
}

static uint64_t after(uint64_t at, uint64_t more) {
  uint64_t sum;
  return lsi_add_overflow(at, more, &sum) ? UINT64_MAX - 1 : sum;
}

static void try_from(struct lsi_trial *t, const struct lsi_trial_seen *seen) {
  t->state = TRYING;
  t->from_units = seen->units;
  t->from_cost = seen->cost;
  t->next = after(seen->at, t->rules->span);
}

/* What changes now does not count until it has settled. */
static void settle(struct lsi_trial *t, const struct lsi_trial_seen *seen) {
  t->state = SETTLING;
  t->next = after(seen->at, t->rules->settle);
  if (!t->rules->settle) try_from(t, seen);
}

static void next_turn(struct lsi_trial *t, const struct lsi_trial_seen *seen) {
  t->left--;
  t->now = !t->now;
  settle(t, seen);
}

/* Whoever has waited long enough takes it from another. */
static bool take_token(struct lsi_trial *t, const struct lsi_trial **busy, uint64_t at) {
  if (*busy) {
    if (!t->give_up) t->give_up = after(at, t->rules->patience);
    if (at < t->give_up) {
      t->next = LSI_MIN(after(at, t->rules->settle), t->give_up); /* asked again */
      t->next_other = UINT64_MAX;
      return false;
    }
  }
  t->give_up = 0;
  *busy = t;
  return true;
}

static void begin(struct lsi_trial *t, const struct lsi_trial **busy, const struct lsi_trial_seen *seen) {
  const bool turns = t->rules->kind == LSI_TRIAL_TURNS;
  if (turns && !take_token(t, busy, seen->at)) return;
  t->next_other = UINT64_MAX;
  memset(t->of, 0, sizeof t->of);
  t->left = t->rules->trials;
  if (turns)
    next_turn(t, seen);
  else
    settle(t, seen);
}

/* What comes out is used from now on. */
static void decide(struct lsi_trial *t, uint32_t now) {
  t->comparisons++;
  t->now = t->verdict = now;
  memcpy(t->kept, t->of, sizeof t->kept);
}

static void keep(struct lsi_trial *t, const struct lsi_trial **busy, const struct lsi_trial_seen *seen) {
  const struct lsi_trial_rules *r = t->rules;
  const uint32_t now = better(t->of[1], t->of[0], r->worth);
  const bool same = t->comparisons && now == t->verdict;
  if (*busy == t) *busy = NULL;
  decide(t, now);
  t->subject = seen->subject;
  stop(t);
  if (!r->keep) return;
  t->keep = same ? LSI_MIN(after(t->keep, t->keep), r->keep_most) : r->keep;
  t->next = after(seen->at, t->keep);
  t->next_other = after(seen->at, t->keep / 4);
}

static void turn_ends(struct lsi_trial *t, const struct lsi_trial **busy, const struct lsi_trial_seen *seen,
                      struct lsi_trial_figures took) {
  struct lsi_trial_figures *of = &t->of[t->now];
  if (!t->rules->least) {
    of->units += took.units;
    of->cost += took.cost;
  } else if (of->units == 0 || better(took, *of, 1))
    *of = took;
  if (t->left)
    next_turn(t, seen);
  else
    keep(t, busy, seen);
}

static void rung_ends(struct lsi_trial *t, const struct lsi_trial_seen *seen, struct lsi_trial_figures took) {
  t->of[0] = t->of[1];
  t->of[1] = took;
  /* Before the first rung, and on one whose answers had not come yet, nothing was done: up. */
  const bool up = t->of[0].units == 0 || better(t->of[1], t->of[0], t->rules->worth);
  decide(t, up ? t->now + 1 : t->now - 1);
  if (up)
    settle(t, seen);
  else
    stop(t);
}

void lsi_trial_step(struct lsi_trial *t, const struct lsi_trial **busy, struct lsi_trial_seen seen) {
  if (t->state == IDLE) {
    begin(t, busy, &seen);
    return;
  }
  if (t->state == SETTLING) {
    try_from(t, &seen);
    return;
  }
  const struct lsi_trial_figures took = {(double)(seen.units - t->from_units),
                                         (double)(seen.cost - t->from_cost)};
  switch (t->rules->kind) {
    case LSI_TRIAL_TURNS: turn_ends(t, busy, &seen, took); return;
    case LSI_TRIAL_LADDER: rung_ends(t, &seen, took); return;
    case LSI_TRIAL_WATCH: break;
  }
  t->of[0] = took;
  decide(t, took.cost < t->rules->worth * took.units);
  stop(t);
}
