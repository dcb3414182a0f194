#include "engine/step/stream.h"

#include <string.h>

#include "memory/block.h"

#define RESULT_BYTES 256u /* for each so many there is an entry at most */

/* A block with room for the next result: one of its own where no more may be shared. False: no memory. */
static bool next_block(struct lsi_worker *w, uint64_t bytes) {
  struct lsi_stepper *s = &w->stepper;
  const struct lsi_run_config *c = &w->run->config;
  lsi_block_drop(s->block);
  const uint64_t room = lsi_block_usual(bytes, !s->first_streamed);
  /* More results that are smaller fill the list first. */
  const uint64_t results = LSI_MIN(room / LSI_MAX(bytes / 4, RESULT_BYTES), UINT32_MAX);
  s->block = lsi_block_create(c->pool, c->ledger, room, (uint32_t)results);
  if (!s->block) s->block = lsi_block_create_own(c->ledger, bytes);
  if (s->block) lsi_block_count_in(s->block, w->run->tally);
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

/* To where it was not made. NULL: no memory. */
static const void *copy(struct lsi_worker *w, const struct lsi_yield *y, uint64_t bytes) {
  void *at = lsi_stream_place(w, bytes, true);
  if (!at || !bytes || y->data == at) return at;
  memcpy(at, y->data, bytes);
  w->figures.bytes_copied += bytes;
  return at;
}

int lsi_stream_out(struct lsi_worker *w, uint32_t step, const struct lsi_yield *y) {
  const struct lsi_request *r = w->stepper.wave->request;
  const struct lsio_result result = {.step = r->first_index + step,
                                    .tag = r->tag ? r->tag[lsi_request_chunk_begin(r, step)] : 0,
                                    .length = length_of(w, y),
                                    .is_record = y->record};
  struct lsi_block *b = w->stepper.held.running->block;
  const void *at = result.length ? y->data : b ? b->data : NULL; /* read where it stays */
  if (!b && !(at = copy(w, y, result.length)))
    return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a result");
  if (lsi_held_result(w, b ? b : w->stepper.block, at, &result) < 0)
    return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a completion");
  w->figures.bytes_delivered += result.length;
  return 0;
}
