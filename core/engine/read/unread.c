/* See unread.h. What planning knows can't be had is told by its fault; an object that goes away, or may not
 * be read, between planning and the worker that opens it is told by the error of opening it, which its flight
 * keeps. Either way its steps come to their turn as others do, and fail where their bytes are asked for. */
#include "engine/read/unread.h"

#include "ground/mem.h"

static bool has_fault(const struct lsi_flight *f) {
  const struct lsi_plan *plan = f->wave->plan;
  const struct lsi_request *r = f->wave->request;
  for (uint32_t i = plan->unit_step[f->unit]; i < plan->unit_step[f->unit + 1]; i++) {
    const uint32_t step = plan->step_order[i], end = lsi_request_chunk_end(r, step);
    for (uint32_t c = lsi_request_chunk_begin(r, step); c < end; c++)
      if (lsi_fault_find(r, c)) return true;
  }
  return false;
}

bool lsi_unread_planned(struct lsi_flight *f, struct lsi_flight_extent *x, uint32_t object) {
  if (!f->damaged) f->apart = f->damaged = has_fault(f);
  if (!(f->wave->request->objects[object].known & LSI_KNOWN_FAULT)) return false;
  x->slot = NULL;
  x->loan = false;
  return true;
}

/* Of the object, and of nothing that others need too. */
static bool is_own(const struct lsi_error *e) {
  switch (e->code) {
  case LSIO_ERR_IO: return lsi_error_kind(e) != LSIO_KIND_NO_MEMORY;
  case LSIO_ERR_LIMIT: return true;
  case LSIO_ERR_SOURCE: return lsi_error_kind(e) != LSIO_KIND_CHANGED;
  default: return false;
  }
}

int lsi_unread_refused(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x) {
  const struct lsi_run *run = w->run;
  const bool refused = w->reader.objects.refused;
  w->reader.objects.refused = false;
  const bool missing = lsi_unread_is_missing(w);
  const bool skips = run->on_error == LSI_ON_ERROR_SKIP || missing;
  if (!refused || !skips || !is_own(&w->error)) return w->error.code;
  struct lsi_unread *u = lsi_malloc(sizeof *u);
  if (!u) {
    lsi_error_clear(&w->error);
    return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory to report a source that can't be opened");
  }
  *u = (struct lsi_unread){.next = f->unread, .extent = (uint32_t)(x - f->extents), .why = w->error};
  f->unread = u;
  f->apart = f->damaged = true;
  x->length = x->issued = 0;
  x->loan = false;
  lsi_error_clear(&w->error);
  return 1;
}

bool lsi_unread_is(struct lsi_worker *w, const struct lsi_flight *f, uint32_t chunk, uint32_t extent) {
  const struct lsi_request *r = f->wave->request;
  const struct lsi_fault *fault = lsi_fault_find(r, chunk);
  if (fault) {
    const struct lsi_object_info *info = &r->objects[r->object[chunk]];
    if (fault->kind == LSI_FAULT_OBJECT)
      w->run->config.stores[info->store]->fault(info, lsi_request_name(r, r->object[chunk]), &w->error);
    else
      lsi_fault_error(r, fault, &w->error);
    return true;
  }
  for (const struct lsi_unread *u = f->unread; u; u = u->next) {
    if (u->extent != extent) continue;
    w->error = u->why;
    return true;
  }
  return false;
}

bool lsi_unread_is_missing(const struct lsi_worker *w) {
  return w->run->wave.request->missing != LSI_MISSING_ERROR && w->error.code == LSIO_ERR_SOURCE &&
         lsi_error_kind(&w->error) == LSIO_KIND_NOT_FOUND;
}

void lsi_unread_free(struct lsi_flight *f) {
  while (f->unread) {
    struct lsi_unread *u = f->unread;
    f->unread = u->next;
    lsi_free(u);
  }
}
