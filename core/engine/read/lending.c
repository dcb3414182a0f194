/* Whether large parts of files that are mapped are lent, used where they lie in the page cache, or copied.
 * What steps saw there may have changed meanwhile: see looks.c. */
#include <string.h>

#include "engine/read/lending.h"

/* Whether lending beats copying depends on the machine, on the transform and on how large the pieces
 * are in which the page cache holds a file (from 4 KiB to 2 MiB; the kernel does not tell): between 0.7
 * and 1.6 times the speed were seen on one machine. So both are used in turn, and the one that took
 * less CPU time a byte, steps and all, is kept until the next comparison. */
#define SETTLE_BYTES LSI_HOT_BYTES /* after a change: units begun before it */
#define TRIAL_BYTES (2u << 20)
#define TRIALS 8                   /* of a comparison: lent and copied by turns; of what is lent enough
                                      that pages are dropped behind it once, which costs too */
#define KEEP_BYTES                                                                                      \
  (512u << 20) /* ... in one file, a quarter where the next one begins, for that may be
                                      held in other pieces; each time nothing changes twice as much, ... */
#define KEEP_MOST (16ull << 30)    /* ... up to this */
#define WORTH 0.92                 /* of the time of copying: taking the mapping down comes on top */

uint64_t lsi_lending_most(const struct lsi_worker *w, const struct lsi_slot *s) {
  return !s->handle.mapped || w->reader.lending.lend ? LSI_OP_LONGEST : 0;
}

static void set_lending(struct lsi_worker *w, bool lend) {
  struct lsi_lending *l = &w->reader.lending;
  l->lend = lend;
  l->most = w->reader.late.any ? 0 : lsi_lending_most(w, w->reader.objects.last);
}

/* The first mapped file. */
static void begin(struct lsi_worker *w) {
  struct lsi_lending *l = &w->reader.lending;
  l->maps = w->stepper.looks = true;
  w->lands_plainly = w->stepper.untransformed = false;
  /* Decoders read their input more than once: never where it may change meanwhile. And where the read
   * is the only copy there is nothing to save. */
  const bool never = w->run->config.spec->codec != LSI_CODEC_NONE || w->reader.straight.possible;
  l->lend = w->ops->caps & LSI_CAP_MAPS && !never;
  l->fixed = l->lend || never;
  /* How to store is tried first. */
  l->next = w->figures.bytes_read + (w->stepper.past_cache.possible ? TRIAL_BYTES : 0);
  l->wait = w->figures.bytes_read + KEEP_BYTES / 2;
}

void lsi_lending_object(struct lsi_worker *w, const struct lsi_slot *s) {
  struct lsi_lending *l = &w->reader.lending;
  w->reader.depth.hot = s->handle.resident;
  lsi_depth_begin(&w->reader.depth);
  if (s->handle.mapped && !l->maps) begin(w);
  l->most = w->reader.late.any ? 0 : lsi_lending_most(w, s);
}

static void next_trial(struct lsi_worker *w) {
  struct lsi_lending *l = &w->reader.lending;
  l->trials--;
  set_lending(w, !l->lend);
  l->settling = true;
  l->next = w->figures.bytes_read + SETTLE_BYTES;
}

void lsi_lending_choose(struct lsi_worker *w) {
  struct lsi_lending *l = &w->reader.lending;
  const struct lsi_slot *last = w->reader.objects.last;
  /* One comparison after the other; but that of stores takes results, and there may be few of them. */
  if (w->stepper.past_cache.trials && !w->stepper.past_cache.chosen && !l->comparing &&
      w->figures.bytes_read < l->wait)
    return;
  if (l->fixed || !last || !last->handle.mapped) return;
  const bool other = !l->comparing && last->object != l->object && w->figures.bytes_read >= l->next_file;
  if (w->figures.bytes_read < l->next && !other) return;
  const uint64_t cpu = lsi_os_thread_cpu_ns();
  if (l->settling) {
    l->settling = false;
    l->from_bytes = w->figures.bytes_read;
    l->from_cpu_ns = cpu;
    l->next = w->figures.bytes_read + TRIAL_BYTES;
    return;
  }
  if (l->comparing) {
    l->cpu_ns[l->lend] += cpu - l->from_cpu_ns;
    l->bytes[l->lend] += w->figures.bytes_read - l->from_bytes;
    if (l->trials) {
      next_trial(w);
      return;
    }
    l->comparing = false;
    /* Of all trials together: parts of a file may lie in larger pieces than the rest. */
    const bool lend = (double)l->cpu_ns[1] * (double)l->bytes[0] <
                      WORTH * (double)l->cpu_ns[0] * (double)l->bytes[1];
    set_lending(w, lend);
    l->keep = lend == l->lends && l->keep ? LSI_MIN(2 * l->keep, KEEP_MOST) : KEEP_BYTES;
    l->lends = lend;
    l->next = w->figures.bytes_read + l->keep;
    l->next_file = w->figures.bytes_read + l->keep / 4;
    l->object = last->object;
    return;
  }
  l->comparing = true;
  memset(l->cpu_ns, 0, sizeof l->cpu_ns);
  memset(l->bytes, 0, sizeof l->bytes);
  l->trials = TRIALS;
  next_trial(w);
}
