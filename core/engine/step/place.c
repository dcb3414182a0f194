/* Results in memory. Reading straight into their array: steps without a transform whose bytes are the
 * result need no copy of ours. Storing past the cache, and having memory ready before it is written. */
#include "engine/state/run.h"
#include "kernels/kernels.h"

#define JUDGE_NS 20000000u /* a worker's first so many tell what bounds the run */
#define AHEAD ((uint64_t)32 << 20) /* of a worker's reading, memory of the result is made ready */
#define TRIALS 6u /* stores through the cache and past it, by turns; each: */
#define SETTLE_BYTES ((uint64_t)2 << 20) /* of results first, ... */
#define TRIAL_BYTES ((uint64_t)8 << 20)  /* ... then these count */
#define WORSE 1.05 /* what stores past the cache may take more, for they spare other workers */
#define WAITS 8u           /* waiting less than one in WAITS, the CPU is the bound */

/* Is the extent just what its steps yield, in the order of their places? *pos: of its first element.
 * A unit of one-chunk steps has one extent. */
static bool is_result(const struct lsi_worker *w, const struct lsi_flight *f,
                      const struct lsi_flight_extent *x, uint64_t *pos) {
  const struct lsi_plan *plan = w->run->config.plan;
  const struct lsi_request *r = w->run->request;
  const uint64_t *places = w->run->config.sink_pos;
  uint64_t at = x->offset, next = 0;
  for (uint32_t k = plan->unit_step[f->unit]; k < plan->unit_step[f->unit + 1]; k++) {
    const uint32_t s = plan->step_order[k];
    if (!r->length[s]) continue;
    if (at == x->offset) *pos = next = places[s];
    if (r->offset[s] != at || places[s] != next || r->length[s] & w->item_mask) return false;
    at += r->length[s];
    next = places[s + 1];
  }
  return at == x->offset + x->length;
}

/* A device writes into a small arena faster than across a large array (2.6 against 2.25 GB/s on the disk
 * this was measured on), but then the CPU copies: 0.1 s/GB. */
static bool cpu_is_the_bound(struct lsi_worker *w) {
  if (w->place.judged) return w->place.straight;
  const uint64_t now = lsi_os_now_ns();
  if (!w->place.judge_at_ns) {
    w->place.judge_at_ns = now;
    w->place.judge_wait_ns = w->wait_ns + w->submit_ns;
  } else if (now - w->place.judge_at_ns >= JUDGE_NS) {
    const uint64_t waited = w->wait_ns + w->submit_ns - w->place.judge_wait_ns;
    w->place.straight = waited < (now - w->place.judge_at_ns) / WAITS;
    w->place.judged = true;
  }
  return w->place.straight;
}

void lsi_place_init(struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  w->ahead = c->in_place && lsi_sink_untouched(c->sink);
  w->streams = c->in_place && c->spec->transform;
  w->placing = c->in_place && w->bare && c->sink_type.type == c->spec->type.type;
  w->place.judged = w->place.straight = c->direct == LSI_DIRECT_ALWAYS;
}

bool lsi_place_extent(struct lsi_worker *w, const struct lsi_flight *f, struct lsi_flight_extent *x) {
  const struct lsi_handle *h = &x->slot->handle;
  uint64_t pos = 0;
  if (!is_result(w, f, x, &pos)) return false;
  char *to = lsi_sink_at(w->run->config.sink, pos);
  /* What is not aligned would go through the page cache. */
  if (h->direct && (((uintptr_t)to | x->offset | x->length) % LSI_ALIGN || !cpu_is_the_bound(w)))
    return false;
  x->data = to;
  return true;
}

/* ---- results that bypass the cache ---- */

/* Whether that pays depends on what a transform does (one that reads its result again loses) and on the
 * memory: stores are slower by themselves, but what they leave in the cache is written later and in the
 * way of everything, reading among it. So both are used in turns, and what all of a worker's work takes
 * a byte of result is compared, by its CPU time: waiting for a device says nothing. */
static void compare_stores(struct lsi_place *p) {
  const uint64_t cpu = lsi_os_thread_cpu_ns();
  if (p->stream_settling) {
    p->stream_settling = false;
    p->stream_from = p->stream_done;
    p->stream_cpu_ns = cpu;
    p->stream_next = p->stream_done + TRIAL_BYTES;
    return;
  }
  if (p->stream_trials) {
    const double took = (double)(cpu - p->stream_cpu_ns) / (double)(p->stream_done - p->stream_from);
    double *least = &p->stream_least[p->stream];
    /* The least of each kind: what is more is other people's doing. */
    if (*least == 0 || took < *least) *least = took;
  }
  if (p->stream_trials == TRIALS) {
    p->stream = p->stream_least[1] < WORSE * p->stream_least[0];
    p->stream_chosen = true;
    return;
  }
  p->stream = p->stream_trials++ % 2;
  p->stream_settling = true;
  p->stream_next = p->stream_done + SETTLE_BYTES;
}

void lsi_stream_begin(struct lsi_worker *w) {
  struct lsi_place *p = &w->place;
  const struct lsi_run_config *c = &w->run->config;
  const uint64_t bytes = (uint64_t)w->step.out_n * lsi_type_size(c->sink_type.type);
  if (!lsi_sink_streams(c->sink, w->step.out, bytes)) return;
  if (!p->stream_chosen && p->stream_done >= p->stream_next) compare_stores(p);
  p->stream_done += bytes;
  if (p->stream) lsi_kernels_stream(w->step.out, bytes);
}

void lsi_stream_end(struct lsi_worker *w) {
  if (w->place.stream) lsi_kernels_stream(NULL, 0);
}

/* ---- memory that is touched ahead ---- */

/* From where the oldest unit in flight, or thereabouts, has its place. */
bool lsi_place_ahead(struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  if (!c->plan->n_units) return false;
  uint32_t unit = LSI_MIN(w->next_unit, c->plan->n_units - 1);
  unit -= LSI_MIN(unit, w->flights);
  const uint32_t step = c->plan->step_order[c->plan->unit_step[unit]];
  const uint64_t before = lsi_os_now_ns();
  const bool some = lsi_sink_populate(c->sink, c->sink_pos[step], LSI_MIN(AHEAD, c->share));
  w->submit_ns += lsi_os_now_ns() - before; /* it would have waited */
  return some;
}
