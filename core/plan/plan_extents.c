/* A unit's extents: which of them holds a chunk, and which chunks share an operation of theirs. */
#include <stdlib.h>

#include "ground/mem.h"
#include "plan/plan_impl.h"

static bool holds(const struct lsi_extent *e, uint32_t object, uint64_t offset, uint64_t length) {
  return e->object == object && e->offset <= offset && offset - e->offset <= e->length &&
         length <= e->length - (offset - e->offset);
}

uint32_t lsi_plan_find_extent(const struct lsi_plan *p, uint32_t unit, uint32_t object,
                              uint64_t offset, uint64_t length) {
  const uint32_t first = p->unit_extent[unit];
  uint32_t lo = first, hi = p->unit_extent[unit + 1];
  while (lo < hi) { /* the first extent that starts behind (object, offset) */
    const uint32_t mid = lo + (hi - lo) / 2;
    const struct lsi_extent *e = &p->extents[mid];
    if (e->object < object || (e->object == object && e->offset <= offset))
      lo = mid + 1;
    else
      hi = mid;
  }
  /* Under LSI_MERGE_NEVER several may start there, shorter ones first: take the tightest. */
  uint32_t found = UINT32_MAX;
  while (lo-- > first && holds(&p->extents[lo], object, offset, length) &&
         (found == UINT32_MAX || p->extents[lo].offset == p->extents[found].offset))
    found = lo;
  return found;
}

/* ---- who shares an operation with whom, in a unit of several ---- */

static int compare(const void *x, const void *y) {
  const struct lsi_plan_span *a = x, *b = y;
  if (a->extent != b->extent) return a->extent < b->extent ? -1 : 1;
  if (a->first != b->first) return a->first < b->first ? -1 : 1;
  return a->last < b->last ? -1 : a->last > b->last;
}

static bool push(struct lsi_plan_spans *v, uint32_t n, struct lsi_plan_span span) {
  if (n == v->cap) {
    const uint64_t cap = LSI_MIN(v->cap + (uint64_t)v->cap / 2 + 64, UINT32_MAX);
    struct lsi_plan_span *at = lsi_reallocarray(v->at, cap, sizeof *at);
    if (!at) return false;
    v->at = at;
    v->cap = (uint32_t)cap;
  }
  v->at[n] = span;
  return true;
}

int lsi_plan_count_unit(const struct lsi_request *r, struct lsi_plan *p, uint32_t unit,
                        struct lsi_plan_spans *v, struct lsi_error *err) {
  uint32_t n = 0;
  bool sorted = true;
  for (uint32_t j = p->unit_step[unit]; j < p->unit_step[unit + 1]; j++) {
    const uint32_t step = p->step_order[j], end = lsi_request_chunk_end(r, step);
    for (uint32_t c = lsi_request_chunk_begin(r, step); c < end; c++) {
      if (r->length[c] == 0) continue;
      const uint32_t object = r->object[c];
      struct lsi_plan_span span = {
          .extent = lsi_plan_find_extent(p, unit, object, r->offset[c], r->length[c])};
      const uint64_t op_max = p->devices[r->object_device[object]].op_max;
      if (p->extents[span.extent].length > op_max) {
        span.first = r->offset[c] / op_max;
        span.last = (r->offset[c] + r->length[c] - 1) / op_max;
      }
      p->split += span.last > span.first;
      if (!push(v, n, span)) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to plan");
      sorted = sorted && (n == 0 || compare(&v->at[n - 1], &v->at[n]) <= 0);
      n++;
    }
  }
  if (!sorted) qsort(v->at, n, sizeof *v->at, compare);
  uint64_t reach = 0; /* the furthest operation of the spans before, in this extent */
  for (uint32_t i = 0; i < n; i++) {
    const struct lsi_plan_span *a = &v->at[i];
    const bool begins = i == 0 || v->at[i - 1].extent != a->extent;
    const bool before = !begins && reach >= a->first;
    const bool after = i + 1 < n && v->at[i + 1].extent == a->extent && v->at[i + 1].first <= a->last;
    p->merged += before || after;
    reach = begins ? a->last : LSI_MAX(reach, a->last);
  }
  return 0;
}
