/* Whether large parts of files that are mapped are lent, used where they lie in the page cache, or copied.
 * What steps saw there may have changed meanwhile: see looks.c. */
#include "engine/read/lending.h"

/* Whether lending beats copying depends on the machine, on the transform and on how large the pieces
 * are in which the page cache holds a file (from 4 KiB to 2 MiB; the kernel does not tell): between 0.7
 * and 1.6 times the speed were seen on one machine. So both are used in turn, and the one that took
 * less CPU time a byte, steps and all, is kept until the next comparison. Of all trials together: parts
 * of a file may lie in larger pieces than the rest. */
static const struct lsi_trial_rules lending = {
    .kind = LSI_TRIAL_TURNS,
    .worth = 0.92,           /* taking the mapping down comes on top */
    .settle = LSI_HOT_BYTES, /* units begun before the change */
    .span = (uint64_t)2 << 20,
    .trials = 8,             /* enough is lent that pages are dropped behind it once, which costs too */
    .patience = (uint64_t)256 << 20, /* how results are stored is compared by results: they may be few */
    .keep = (uint64_t)512 << 20,     /* another file may be held in other pieces */
    .keep_most = (uint64_t)16 << 30,
};
#define STORES_FIRST ((uint64_t)2 << 20) /* bytes read, before which how to store begins to be compared */

uint64_t lsi_lending_most(const struct lsi_worker *w, const struct lsi_slot *s) {
  return !s->handle.mapped || w->reader.lending.trial.now ? LSI_OP_LONGEST : 0;
}

static void use(struct lsi_worker *w, const struct lsi_slot *s) {
  w->reader.lending.most = lsi_lending_most(w, s);
}

/* The first mapped file. */
static void begin(struct lsi_worker *w) {
  struct lsi_lending *l = &w->reader.lending;
  l->maps = w->stepper.looks = true;
  w->lands_plainly = w->stepper.untransformed = false;
  /* Decoders read their input more than once: never where it may change meanwhile. And where the read
   * is the only copy there is nothing to save. */
  const bool never = w->run->config.spec->codec != LSI_CODEC_NONE || w->reader.straight.possible;
  const bool always = w->ops->caps & LSI_CAP_MAPS;
  const uint64_t wait = w->stepper.nontemporal.possible ? STORES_FIRST : 0;
  lsi_trial_init(&l->trial, &lending, w->figures.bytes_read + wait);
  const int8_t lately = w->home->lends;
  if (lately >= 0) lsi_trial_adopt(&l->trial, (uint32_t)lately, w->figures.bytes_read + lending.keep / 4);
  if (never || always) lsi_trial_fix(&l->trial, !never);
}

void lsi_lending_object(struct lsi_worker *w, const struct lsi_slot *s) {
  struct lsi_lending *l = &w->reader.lending;
  w->reader.depth.hot = s->handle.resident;
  lsi_depth_begin(&w->reader.depth);
  if (s->handle.mapped && !l->maps) begin(w);
  use(w, s);
}

void lsi_lending_choose(struct lsi_worker *w) {
  struct lsi_trial *t = &w->reader.lending.trial;
  const struct lsi_slot *last = w->reader.objects.last;
  const uint64_t read = w->figures.bytes_read;
  const uint32_t comparisons = t->comparisons;
  if (!last || !last->handle.mapped || !lsi_trial_due_on(t, read, last->object)) return;
  lsi_trial_step(t, &w->comparing, (struct lsi_trial_seen){.at = read,
                                                           .units = read,
                                                           .cost = lsi_worker_cpu_ns(w),
                                                           .subject = last->object});
  if (t->comparisons != comparisons) w->home->lends = (int8_t)t->verdict;
  use(w, last);
}
