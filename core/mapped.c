/* Files that are mapped. What steps saw where it lies may have changed or been lost meanwhile, so it
 * counts only once the object has been looked at afterwards and is what planning saw. If it is not, all
 * steps since the last look have failed, with LSIO_ERR_SOURCE or LSIO_ERR_IO, and the run ends: nothing
 * of it is merged or published, and what goes out as a stream is looked at before it goes. */
#include <string.h>

#include "run.h"

/* Whether lending beats copying depends on the machine, on the transform and on how large the pieces
 * are in which the page cache holds a file (from 4 KiB to 2 MiB; the kernel does not tell): between 0.7
 * and 1.6 times the speed were seen on one machine. So both are used in turn, and the one that took
 * less CPU time a byte, steps and all, is kept until the next comparison. */
#define SETTLE_BYTES LSI_HOT_BYTES /* after a change: units begun before it */
#define TRIAL_BYTES (2u << 20)
#define TRIALS 8                   /* of a comparison: lent and copied by turns; of what is lent enough
                                      that pages are dropped behind it once, which costs too */
#define KEEP_BYTES (512u << 20)    /* ... in one file, a quarter where the next one begins, for that may be
                                      held in other pieces; each time nothing changes twice as much, ... */
#define KEEP_MOST (16ull << 30)    /* ... up to this */
#define WORTH 0.92                 /* of the time of copying: taking the mapping down comes on top */

uint64_t lsi_lend_most(const struct lsi_worker *w, const struct lsi_slot *s) {
  return !s->handle.mapped || w->lending.lend ? LSI_OP_LONGEST : 0;
}

static void set_lending(struct lsi_worker *w, bool lend) {
  w->lending.lend = lend;
  w->lend_most = w->late ? 0 : lsi_lend_most(w, w->objects.last);
}

void lsi_mapped_use(struct lsi_worker *w) {
  if (w->maps) return;
  w->maps = w->careful = true;
  w->bare = false;
  /* Decoders read their input more than once: never where it may change meanwhile. And where the read
   * is the only copy there is nothing to save. */
  const bool never = w->run->config.spec->codec != LSI_CODEC_NONE || w->placing;
  w->lending.lend = w->ops->caps & LSI_CAP_MAPS && !never;
  w->lending.fixed = w->lending.lend || never;
  w->lending.next = w->bytes_read + (w->streams ? TRIAL_BYTES : 0); /* how to store is tried first */
  w->lending.wait = w->bytes_read + KEEP_BYTES / 2;
}

static void next_trial(struct lsi_worker *w) {
  struct lsi_lending *l = &w->lending;
  l->trials--;
  set_lending(w, !l->lend);
  l->settling = true;
  l->next = w->bytes_read + SETTLE_BYTES;
}

void lsi_mapped_choose(struct lsi_worker *w) {
  struct lsi_lending *l = &w->lending;
  const struct lsi_slot *last = w->objects.last;
  /* One comparison after the other; but that of stores takes results, and there may be few of them. */
  if (w->place.stream_trials && !w->place.stream_chosen && !l->comparing && w->bytes_read < l->wait) return;
  if (l->fixed || !last || !last->handle.mapped) return;
  const bool other = !l->comparing && last->object != l->object && w->bytes_read >= l->next_file;
  if (w->bytes_read < l->next && !other) return;
  const uint64_t cpu = lsi_os_thread_cpu_ns();
  if (l->settling) {
    l->settling = false;
    l->from_bytes = w->bytes_read;
    l->from_cpu_ns = cpu;
    l->next = w->bytes_read + TRIAL_BYTES;
    return;
  }
  if (l->comparing) {
    l->cpu_ns[l->lend] += cpu - l->from_cpu_ns;
    l->bytes[l->lend] += w->bytes_read - l->from_bytes;
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
    l->next = w->bytes_read + l->keep;
    l->next_file = w->bytes_read + l->keep / 4;
    l->object = last->object;
    return;
  }
  l->comparing = true;
  memset(l->cpu_ns, 0, sizeof l->cpu_ns);
  memset(l->bytes, 0, sizeof l->bytes);
  l->trials = TRIALS;
  next_trial(w);
}

/* 0, or negative with w->error: an object of the unit is not what it was. */
static int look(struct lsi_worker *w, const struct lsi_flight *f) {
  const struct lsi_slot *seen = NULL;
  for (uint32_t i = 0; i < f->n_extents; i++) {
    struct lsi_slot *s = f->extents[i].slot;
    if (!f->extents[i].lent || s == seen || !s->handle.mapped) continue;
    seen = s;
    int rc = lsi_object_look(w, s);
    if (rc < 0) return rc;
  }
  return 0;
}

/* Steps that had counted as done. */
static void fail_steps(struct lsi_worker *w, uint32_t from, uint32_t to, const struct lsi_error *why) {
  const struct lsi_request *r = w->run->request;
  for (uint32_t at = from; at < to; at++) {
    const uint32_t step = w->run->config.plan->step_order[at];
    const uint32_t c = lsi_request_chunk_begin(r, step), end = lsi_request_chunk_end(r, step);
    struct lsi_error e = *why;
    lsi_error_at(&e, lsi_request_name(r, r->object[c]), r->offset[c], r->length[c],
                 r->first_index + step);
    atomic_fetch_sub_explicit(&w->counters.steps, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&w->counters.chunks, end - c, memory_order_relaxed);
    lsi_run_step_failed(w, step, &e);
  }
}

int lsi_mapped_look(struct lsi_worker *w) {
  int rc = look(w, w->running);
  if (rc < 0) return rc;
  w->unlooked = w->running->next_step + 1;
  return 0;
}

bool lsi_mapped_step_failed(struct lsi_worker *w) {
  const struct lsi_flight *f = w->running;
  if (!f) return false; /* of a step whose result was on its way */
  const struct lsi_error own = w->error;
  lsi_error_clear(&w->error);
  const bool changed = look(w, f) < 0;
  if (changed)
    fail_steps(w, w->unlooked, f->next_step, &w->error);
  else
    w->error = own;
  w->unlooked = f->next_step + 1;
  return changed;
}

void lsi_mapped_unit_begin(struct lsi_worker *w, const struct lsi_flight *f) {
  w->running = f;
  w->unlooked = f->next_step;
}

void lsi_mapped_unit_end(struct lsi_worker *w) {
  const struct lsi_flight *f = w->running;
  w->running = NULL;
  if (lsi_stopping(w->run) || w->unlooked >= f->next_step || look(w, f) == 0) return;
  const struct lsi_transform_ops *t = w->run->config.spec->transform;
  if (t && t->undo) t->undo(w->transform);
  fail_steps(w, w->unlooked, f->next_step, &w->error);
  lsi_worker_fail(w);
}
