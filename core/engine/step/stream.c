#include "engine/step/stream.h"

#include <string.h>

#include "memory/block.h"

/* Bytes of a worker's first block, and of those after it: a job of one small result takes little, one of many
 * hands out many at once. Results that are large have blocks of several, and at last of their own. */
#define FIRST (64u << 10)
#define LATER (256u << 10)
#define SEVERAL 4u
#define SEVERAL_MOST (4u << 20)

/* A block with room for the next result: one of its own where no more may be shared. False: no memory. */
static bool next_block(struct lsi_worker *w, uint64_t bytes) {
  struct lsi_stepper *s = &w->stepper;
  const struct lsi_run_config *c = &w->run->config;
  const uint64_t usual = s->block ? LATER : FIRST;
  const uint64_t several = lsi_sat_mul(bytes, SEVERAL) <= SEVERAL_MOST ? bytes * SEVERAL : bytes;
  lsi_block_drop(s->block);
  s->block = lsi_block_create(c->pool, c->ledger, LSI_MAX(s->first_streamed ? several : bytes, usual));
  if (!s->block) s->block = lsi_block_create_own(c->ledger, bytes);
  s->first_streamed = true;
  return s->block != NULL;
}

void *lsi_stream_place(struct lsi_worker *w, uint64_t bytes, bool exact) {
  void *at = lsi_block_place(w->stepper.block, bytes);
  if (at || !exact || !next_block(w, bytes)) return at;
  return lsi_block_place(w->stepper.block, bytes);
}

static uint64_t length_of(const struct lsi_worker *w, const struct lsi_yield *y) {
  const struct lsi_run_config *c = &w->run->config;
  if (y->record) return y->length;
  if (y->nothing) return 0;
  return y->count * lsi_type_size(c->spec->identity ? c->spec->type.type : c->sink_type.type);
}

int lsi_stream_out(struct lsi_worker *w, uint32_t step, const struct lsi_yield *y) {
  const struct lsi_request *r = w->stepper.wave->request;
  const struct lsio_result result = {.step = r->first_index + step,
                                    .tag = r->tag ? r->tag[lsi_request_chunk_begin(r, step)] : 0,
                                    .length = length_of(w, y),
                                    .is_record = y->record};
  void *at = lsi_stream_place(w, result.length, true);
  if (!at) return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a result");
  const bool copies = result.length && y->data != at;
  if (copies) memcpy(at, y->data, result.length);
  if (lsi_held_result(w, w->stepper.block, &result) < 0)
    return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a completion");
  w->figures.bytes_delivered += result.length;
  w->figures.bytes_copied += copies ? result.length : 0;
  return 0;
}
