/* Steps by their run's numbers, which go on from wave to wave. */
#include "engine/state/run.h"

void lsi_run_ends_before(struct lsi_run *run, uint32_t number) {
  uint32_t seen = atomic_load(&run->ends_before);
  while (number < seen && !atomic_compare_exchange_weak(&run->ends_before, &seen, number)) {
  }
}

uint32_t lsi_run_steps(const struct lsi_run *run) {
  const struct lsi_wave *last = run->last_wave;
  if (!run->wave.request->cut) return run->wave.request->n_steps;
  const uint32_t end = atomic_load(&run->ends_before);
  if (end != UINT32_MAX) return end;
  /* As far as they have been handed out; if there were to be more, the next one stands for these. */
  const uint32_t taken = lsi_wave_number(last, (uint32_t)atomic_load(&last->sections->cursor));
  return run->wave.request->cut_most && taken >= run->wave.request->cut_most ? taken : taken + 1;
}

bool lsi_run_was_whole(const struct lsi_run *run) {
  return !atomic_load(&run->running) && atomic_load(&run->stop) == LSI_STOP_NO;
}

struct lsi_step_place lsi_run_place(const struct lsi_run *run, uint32_t number) {
  const struct lsi_request *r = run->wave.request;
  if (r->cut) return (struct lsi_step_place){lsi_request_name(r, 0), r->offset[0] + number * r->cut, r->cut};
  const uint32_t c = lsi_request_chunk_begin(r, number);
  return (struct lsi_step_place){lsi_request_name(r, r->object[c]), r->offset[c], r->length[c]};
}
