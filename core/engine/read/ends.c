/* The end of an object that is read once, in order: its last chunk is as long as it turns out to be, and the
 * chunks behind that are none. As with files, an empty object is one empty step. */
#include "engine/read/ends.h"

#include <inttypes.h>

#include "engine/read/operation.h"
#include "ground/mem.h"

/* What comes behind it can't be had either. */
static void failed(struct lsi_worker *w, struct lsi_eop *e) {
  const struct lsi_op *op = &e->op;
  struct lsi_error *why = lsi_op_take_why(&e->op);
  if (why) {
    w->error = *why;
  } else if (op->result == LSIO_ERR_SOURCE) {
    lsi_fail(&w->error, LSIO_ERR_SOURCE, 0, "bytes of what can be read only once have gone to another job");
    lsi_error_is(&w->error, LSIO_KIND_CHANGED);
    lsi_error_remedy(&w->error, "let the jobs of a program read it one after the other");
  } else {
    lsi_fail(&w->error, (int)op->result, op->os_code, "reading failed");
  }
  lsi_free(why);
  lsi_error_at(&w->error, lsi_request_name(e->flight->wave->request, 0), op->offset, op->length, LSI_NO_STEP);
  lsi_worker_fail(w);
}

void lsi_flight_ends(struct lsi_worker *w, struct lsi_eop *e) {
  struct lsi_flight *f = e->flight;
  struct lsi_request *r = (struct lsi_request *)(uintptr_t)f->wave->request; /* the step is this worker's */
  const uint32_t step = f->wave->plan->step_order[f->next_step];
  if (e->op.result < 0) {
    if (lsi_stopping(w->run)) lsi_free(lsi_op_take_why(&e->op));
    else failed(w, e);
    return;
  }
  const uint64_t got = (uint64_t)e->op.result;
  w->figures.bytes_read += got;
  f->bytes = e->extent->length = r->length[step] = got;
  const uint32_t number = lsi_wave_number(f->wave, step);
  const bool there = got || number == 0;
  lsi_run_ends_before(w->run, number + there);
  if (!there) f->next_step++; /* it has no step */
}
