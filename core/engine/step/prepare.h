/* From the bytes of a step to what its transform sees (prepare.c). Inside of the engine. */
#ifndef LSI_PREPARE_H
#define LSI_PREPARE_H

#include "engine/state/run.h"

/* What of a view belongs to its object. */
void lsi_name_view(struct lsi_worker *w, struct lsi_chunk *view, uint32_t object);
/* Signed conversions: one instruction each where unsigned ones are many. All are below 2^63. */
static inline void lsi_set_view(struct lsi_worker *w, struct lsi_chunk *view, uint32_t chunk,
                            const void *data, uint64_t bytes) {
  const struct lsi_request *r = w->stepper.wave->request;
  const uint32_t object = r->object[chunk];
  const uint64_t offset = r->offset[chunk], length = r->length[chunk];
  const int64_t tag = r->tag ? r->tag[chunk] : 0;
  view->data = data;
  view->n = (double)(int64_t)(bytes >> w->stepper.item_shift);
  view->bytes = (double)(int64_t)bytes;
  view->offset = (double)(int64_t)offset;
  view->length = (double)(int64_t)length;
  view->tag = tag;
  if (w->stepper.shown != object || view != w->stepper.chunks) lsi_name_view(w, view, object);
}

/* LSI_MEMORY_* of bytes that a step sees. */
int32_t lsi_memory_of(const struct lsi_worker *w, const void *data, uint64_t bytes);
int lsi_no_whole_elements(struct lsi_worker *w, uint64_t bytes); /* w->error and its code */
/* Fills w->stepper.step: views, output, scratch. Negative: w->error. */
int lsi_step_prepare(struct lsi_worker *w, struct lsi_flight *f, uint32_t step);

#endif
