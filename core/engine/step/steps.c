/* What happens to a step once its bytes are there, all on one core: prepared (prepare.c), transformed,
 * delivered (deliver.c). Errors of one step stay with it. */

#include "engine/step/steps.h"

#include "engine/read/flight.h"
#include "engine/read/unread.h"
#include "engine/step/deliver.h"
#include "engine/step/looks.h"
#include "engine/step/nontemporal.h"
#include "engine/step/pieces.h"
#include "engine/step/prepare.h"
#include "engine/step/scratch.h"
#include "engine/step/write_direct.h"

#define YIELD_NS 100000 /* of steps behind the first of a turn, after which it is another run's */
#define SAMPLE 16u /* of the steps below w->stepper.time_from, one in so many is timed */

static uint32_t number_of(const struct lsi_worker *w, uint32_t step) {
  return lsi_wave_number(w->stepper.wave, step);
}

__attribute__((noinline)) bool lsi_step_failed(struct lsi_worker *w, const struct lsi_flight *f,
                                               uint32_t step) {
  const struct lsi_run_config *config = &w->run->config;
  if (w->writer) lsi_write_drop(w);
  bool fatal = f && lsi_looks_step_failed(w, f);
  struct lsi_error own = w->error, *e = &own;
  lsi_error_clear(&w->error);
  const struct lsi_request *r = w->stepper.wave->request;
  uint32_t c = lsi_request_chunk_begin(r, step);
  const struct lsi_fault *fault = lsi_fault_find(r, c);
  /* What lies so far before an end that is not there has no offset. */
  const bool from_end = fault && fault->kind != LSI_FAULT_LARGE && fault->offset < 0;
  lsi_error_at(e, lsi_request_name(r, r->object[c]), from_end ? LSI_NO_OFFSET : r->offset[c], r->length[c],
               r->first_index + step);
  const bool skippable = (e->code == LSIO_ERR_CORRUPT && !e->remedy[0]) || e->code == LSIO_ERR_UNSUPPORTED;
  if (e->code == LSIO_ERR_CORRUPT)
    lsi_error_remedy(e, "the data is damaged or not complete, or its chunks are not what was written as one");
  if (skippable && w->run->on_error == LSI_ON_ERROR_FAIL)
    lsi_error_remedy_more(e, "--on-error skip leaves such steps out");
  const bool changed = e->code == LSIO_ERR_SOURCE && lsi_error_kind(e) == LSIO_KIND_CHANGED;
  fatal |= w->run->on_error == LSI_ON_ERROR_FAIL || changed || e->code == LSIO_ERR_OUTPUT ||
           e->code == LSIO_ERR_NOMEM || e->code == LSIO_ERR_BUG;
  lsi_run_step_failed(w, w->stepper.wave, step, e);
  w->stepper.defers = true; /* failures that nobody takes hold it up */
  if (fatal) {
    lsi_run_fail(w->run, e);
    return false;
  }
  if (!config->sink) return true;
  int rc = config->sink_variable ? lsi_sink_append(config->sink, number_of(w, step), NULL, 0, &w->error)
                                 : lsi_step_fill(w, step);
  if (rc < 0) lsi_run_fail(w->run, &w->error);
  return rc >= 0;
}

/* The shortest way, without a call: a whole chunk as it is stored, for which nothing is to be made ready. */
static inline int prepare(struct lsi_worker *w, struct lsi_flight *f, uint32_t step) {
  const struct lsi_request *r = w->stepper.wave->request;
  if (!w->stepper.untransformed || f->n_extents != 1 || f->damaged ||
      (r->length[step] & w->stepper.item_mask)) {
    lsi_set_phase(w, LSI_PHASE_DECODE, step);
    return lsi_step_prepare(w, f, step);
  }
  const struct lsi_flight_extent *x = &f->extents[0];
  lsi_set_view(w, w->stepper.chunks, step, x->data + (r->offset[step] - x->offset), r->length[step]);
  w->stepper.step.n_chunks = 1;
  return 0;
}

/* t: NULL, or takes the times before and after the three parts. Inlined twice, so that a step that is
 * not timed does not ask at each of them. */
static inline __attribute__((always_inline)) int run_step(struct lsi_worker *w, struct lsi_flight *f,
                                                          uint32_t step, uint64_t *t) {
  const struct lsi_run_config *config = &w->run->config;
  if (t) t[0] = lsi_os_now_ns();
  int rc = prepare(w, f, step);
  if (t) t[1] = t[2] = t[3] = lsi_os_now_ns();
  if (rc < 0 || !w->stepper.yields) return rc;
  if (config->spec->transform) {
    lsi_set_phase(w, LSI_PHASE_TRANSFORM, step);
    w->stepper.ran = true;
    if (LSI_UNLIKELY(w->stepper.nontemporal.possible)) lsi_nontemporal_begin(w);
    rc = config->spec->transform->step(w->stepper.transform, &w->stepper.step, &w->error);
    if (LSI_UNLIKELY(w->stepper.nontemporal.possible)) lsi_nontemporal_end(w);
    if (t) t[2] = t[3] = lsi_os_now_ns();
  }
  struct lsi_yield y;
  if (rc >= 0 && (rc = lsi_step_interpret(w, step, &y)) < 0 && config->spec->transform &&
      config->spec->transform->undo)
    config->spec->transform->undo(w->stepper.transform);
  if (rc >= 0 && (config->sink || config->stream)) {
    lsi_set_phase(w, LSI_PHASE_PLACE, step);
    rc = lsi_step_deliver(w, step, &y);
  }
  if (t) t[3] = lsi_os_now_ns();
  return rc;
}

/* t: before and after its three parts. */
static void trace_step(const struct lsi_worker *w, uint32_t step, const uint64_t *t) {
  static const enum lsi_trace_kind kinds[] = {LSI_TRACE_DECODE, LSI_TRACE_TRANSFORM, LSI_TRACE_PLACE};
  const struct lsi_request *r = w->stepper.wave->request;
  const uint64_t bytes = r->length[lsi_request_chunk_begin(r, step)];
  for (size_t i = 0; i < LSI_COUNTOF(kinds); i++)
    if (t[i + 1] > t[i])
      lsi_trace_add(w->home->trace, kinds[i], t[i], t[i + 1], w->run->config.number, r->first_index + step,
                    bytes);
}

/* What comes by pieces is decoded and transformed by turns. */
static bool run_pieces(struct lsi_worker *w, struct lsi_flight *f, uint32_t step, int *rc) {
  const uint64_t before = w->home->trace ? lsi_os_now_ns() : 0;
  const bool pieces = lsi_step_by_pieces(w, f, step, rc);
  if (pieces && w->home->trace)
    trace_step(w, step, (const uint64_t[]){before, before, lsi_os_now_ns(), 0});
  return pieces;
}

static __attribute__((noinline)) int run_timed(struct lsi_worker *w, struct lsi_flight *f,
                                               uint32_t step, unsigned weight) {
  const struct lsi_spec *spec = w->run->config.spec;
  bool decodes = spec->codec != LSI_CODEC_NONE || spec->type.big;
  uint64_t t[4];
  int rc;
  if (spec->piece && run_pieces(w, f, step, &rc)) return rc;
  rc = run_step(w, f, step, t);
  if (LSI_UNLIKELY(w->home->trace != NULL)) trace_step(w, step, t);
  uint64_t *prepare = decodes ? &w->figures.decode_ns : &w->figures.transform_ns;
  *prepare += (t[1] - t[0]) * weight;
  w->figures.transform_ns += (t[2] - t[1]) * weight;
  w->figures.place_ns += (t[3] - t[2]) * weight;
  return rc;
}

/* Its stored bytes have gone through; *chunks of them. */
static inline void count_bytes(struct lsi_worker *w, const struct lsi_request *r, uint32_t step,
                               uint64_t *chunks) {
  uint64_t bytes = 0;
  *chunks = 1;
  if (LSI_LIKELY(!r->step_first)) {
    bytes = r->length[step];
  } else {
    *chunks = r->step_first[step + 1] - r->step_first[step];
    for (uint32_t i = 0; i < *chunks; i++) bytes += r->length[r->step_first[step] + i];
  }
  lsi_count(&w->counters.bytes_done, bytes);
}

static inline void count_done(struct lsi_worker *w, const struct lsi_request *r, uint32_t step) {
  uint64_t chunks;
  count_bytes(w, r, step, &chunks);
  lsi_count(&w->counters.steps, 1);
  lsi_count(&w->counters.chunks, chunks);
}

/* Its object is not there, and that is no failure: it delivers nothing. False: that failed. */
static bool leave_out(struct lsi_worker *w, const struct lsi_request *r, uint32_t step) {
  struct lsi_yield nothing = {.nothing = true};
  lsi_error_clear(&w->error);
  if (lsi_step_deliver(w, step, &nothing) < 0) {
    lsi_worker_fail(w);
    return false;
  }
  lsi_count(&w->counters.chunks_missing, lsi_request_chunk_end(r, step) - lsi_request_chunk_begin(r, step));
  count_done(w, r, step);
  return true;
}

/* rc: what became of it, if it did not end well. False: with it the unit ends. */
static __attribute__((noinline)) bool end_otherwise(struct lsi_worker *w, const struct lsi_flight *f,
                                                    uint32_t step, int rc) {
  if (rc > 0) return true; /* it is counted when it is written */
  if (f->damaged && lsi_unread_is_missing(w)) return leave_out(w, w->stepper.wave->request, step);
  if (!lsi_step_failed(w, f, step)) return false;
  uint64_t chunks;
  count_bytes(w, w->stepper.wave->request, step, &chunks);
  return true;
}

/* Bytes that a step may need in the window. */
static uint64_t result_bytes_max(const struct lsi_worker *w, uint32_t step) {
  const struct lsi_run_config *config = &w->run->config;
  const struct lsi_request *r = w->stepper.wave->request;
  size_t item = lsi_type_size(config->sink_type.type);
  if (config->spec->has_out_max) return config->spec->out_max * item;
  uint64_t stored = 0;
  for (uint32_t c = lsi_request_chunk_begin(r, step); c < lsi_request_chunk_end(r, step); c++)
    stored += r->length[c];
  if (config->spec->codec == LSI_CODEC_NONE) return stored;
  stored = config->spec->decoded ? config->spec->decoded : LSI_MAX(w->stepper.decoded_max, 4 * stored);
  return stored / lsi_type_size(config->spec->type.type) * item;
}

/* Too many results wait to be taken. What runs next sets another phase. */
static __attribute__((noinline)) bool stall(struct lsi_worker *w, uint32_t step) {
  lsi_set_phase(w, LSI_PHASE_STALLED, step);
  return false;
}

/* False: too many results wait to be taken, or for their turn. */
static bool may_stream(struct lsi_worker *w, uint32_t step) {
  if (lsi_run_full(w->run)) return stall(w, step);
  return !w->run->gate.on || lsi_gate_may_run(&w->run->gate, number_of(w, step), result_bytes_max(w, step));
}

/* False: its result would have to wait, for its turn, for a buffer or for who polls. */
static bool may_run(struct lsi_worker *w, struct lsi_flight *f, uint32_t step) {
  const struct lsi_run_config *c = &w->run->config;
  if (w->stepper.by_pieces.begun) return true; /* it goes on */
  if (c->stream) return may_stream(w, step);
  if (lsi_run_full(w->run)) return stall(w, step); /* of failures */
  if (w->writer) return lsi_write_ready(w, f, step);
  return !c->sink_variable || lsi_sink_may_run(c->sink, number_of(w, step), result_bytes_max(w, step));
}

void lsi_step_done(struct lsi_worker *w, uint32_t step) { count_done(w, w->run->wave.request, step); }

/* A unit's bytes are in the cache now, and would not be after others' turns: so they go through all of its
 * steps, as long as these are short. */
static bool is_over(uint64_t *since) {
  const uint64_t now = lsi_os_now_ns();
  if (!*since) *since = now;
  return now - *since >= YIELD_NS;
}

/* The run is stopped: what is left of the unit does not run. */
static __attribute__((noinline)) bool leave(struct lsi_worker *w, const struct lsi_flight *f) {
  if (f->ahead) lsi_step_leave(w, f);
  lsi_left_unit(w, f->wave, f->unit, f->next_step);
  return true;
}

static inline __attribute__((always_inline)) bool run_steps(struct lsi_worker *w, struct lsi_flight *f) {
  const struct lsi_run *run = w->run;
  const struct lsi_wave *wave = w->stepper.wave = f->wave;
  const struct lsi_plan *plan = wave->plan;
  const struct lsi_request *r = wave->request;
  const uint32_t end = plan->unit_step[f->unit + 1];
  uint64_t since = 0;
  for (; f->next_step < end; f->next_step++) {
    if (lsi_stopping(run)) return leave(w, f);
    const uint32_t step = lsi_step_at(wave, f->next_step);
    if (w->stepper.defers && !may_run(w, f, step)) return false;
    const bool large = r->length[lsi_request_chunk_begin(r, step)] >= w->stepper.time_from;
    const bool timed = large || w->stepper.sample++ % SAMPLE == 0;
    const int rc = LSI_UNLIKELY(timed) ? run_timed(w, f, step, large ? 1 : SAMPLE)
                                       : run_step(w, f, step, NULL);
    if (LSI_UNLIKELY(rc == LSI_STEP_LATER)) return false;
    if (LSI_LIKELY(rc == 0)) count_done(w, r, step);
    else if (!end_otherwise(w, f, step, rc)) return true;
    if (LSI_UNLIKELY(w->stepper.looks)) lsi_looks_step_end(w);
    if (lsi_others_wait(w) && is_over(&since)) {
      f->next_step++;
      return f->next_step == end;
    }
  }
  lsi_set_reading(w);
  return true;
}

bool lsi_steps_run(struct lsi_worker *w, struct lsi_flight *f) {
  const bool ended = run_steps(w, f);
  if (LSI_UNLIKELY(w->stepper.scratch_claim.state == LSI_CLAIM_HELD)) lsi_scratch_rest(w, false);
  return ended;
}
