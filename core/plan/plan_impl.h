/* What the planner's files share; job/price.c reads it as well, and nobody else. */
#ifndef LSI_PLAN_IMPL_H
#define LSI_PLAN_IMPL_H

#include "plan/plan.h"

/* How far ahead to ask for memory in a walk by order: hides one access at 10 ns an entry. */
#define LSI_PLAN_PREFETCH 24u

/* Bytes of scratch that sorting n things takes. */
#define LSI_PLAN_SORT_SCRATCH 16u

/* Sorts n things stably by (device, object, offset) and writes their indices to order. Thing i is the
 * chunk first[i], or chunk i when first is NULL. With device == NULL devices do not count. `scratch`
 * is LSI_PLAN_SORT_SCRATCH * n bytes, aligned to 8. */
void lsi_plan_sort(const struct lsi_request *r, uint32_t n, const uint32_t *first,
                   const uint16_t *device, void *scratch, uint32_t *order);

/* What merging costs on one device, in bytes that it could have moved meanwhile. */
struct lsi_plan_cost {
  uint64_t op;        /* one more operation */
  uint64_t merge_max; /* the device's */
  uint64_t large;     /* chunks of this size are efficient operations by themselves */
  uint64_t op_max;    /* the device's */
  uint64_t align;     /* the device's */
  bool adds;          /* lsi_device_adds */
  bool joins;         /* large chunks that touch share operations too */
};

/* What is read of one device. */
struct lsi_plan_totals {
  uint64_t operations;
  uint64_t bytes;
};

/* Counts the distinct bytes of ranges that come in order of object and offset. */
struct lsi_plan_distinct {
  uint64_t sum;
  uint64_t begin;  /* of the last range of the object */
  uint64_t end;    /* of what has been seen of the object */
  uint32_t object; /* of the last range */
  bool disorder;   /* a range came out of order: the sum is not right */
};
struct lsi_plan_counted {
  struct lsi_plan_distinct asked; /* of chunks */
  struct lsi_plan_distinct read;  /* of extents */
};
static inline void lsi_plan_distinct_add(struct lsi_plan_distinct *d, uint32_t object,
                                         uint64_t begin, uint64_t length) {
  if (object != d->object) {
    d->disorder |= object < d->object;
    d->object = object;
    d->begin = d->end = 0;
  }
  d->disorder |= begin < d->begin;
  d->begin = begin;
  if (begin + length > d->end) {
    d->sum = lsi_sat_add(d->sum, begin + length - LSI_MAX(begin, d->end));
    d->end = begin + length;
  }
}

/* plan_slow.c: chooses, for this request what a device with connections merges and splits. */
int lsi_plan_adapt(const struct lsi_request *r, struct lsi_plan *plan, struct lsi_error *err);

/* Fills units, extents, sections and the counts of *plan from plan->step_order. */
int lsi_plan_sweep(const struct lsi_request *r, const struct lsi_plan_options *options,
                   struct lsi_plan *plan, struct lsi_plan_totals *totals,
                   struct lsi_plan_counted *counted, struct lsi_error *err);

/* Where a chunk is read. */
struct lsi_plan_span {
  uint32_t extent;
  uint64_t first; /* operation of the extent that the chunk needs */
  uint64_t last;  /* the last one that it needs */
};
struct lsi_plan_spans {
  struct lsi_plan_span *at;
  uint32_t cap;
};
/* Counts merged and split for a unit whose chunks may share several operations. *spans, which is of no use
 * between two calls, grows. */
int lsi_plan_count_unit(const struct lsi_request *r, struct lsi_plan *plan, uint32_t unit,
                        struct lsi_plan_spans *spans, struct lsi_error *err);

#endif
