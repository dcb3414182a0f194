/* The planner: request + device models -> units in order. A pure function: no clock, no I/O, no OS.
 *
 * A unit reads one or more extents; an extent is a contiguous byte range of one object that lands in
 * one contiguous buffer. Up to the device's op_max it is read by one operation, a longer one by
 * several (cut at multiples of op_max in the object, so that operations stay aligned). Every step
 * belongs to exactly one unit and each of its chunks lies within one extent of that unit. The extents
 * of a unit stand in order of (object, offset) and do not overlap, except under LSI_MERGE_NEVER. Plans are
 * immutable: any number of threads may read one. */
#ifndef LSI_PLAN_H
#define LSI_PLAN_H

#include "plan/request.h"
#include "seams/backend.h"
#include "seams/model.h"

#define LSI_UNIT_MAX (8u << 20) /* bytes of I/O in a unit, unless one step needs more */
#define LSI_OP_LONGEST (1u << 30) /* bytes: struct lsi_op's limit; models' op_max is cut to it */
#define LSI_MERGE_AUTO UINT64_MAX
#define LSI_MERGE_NEVER (UINT64_MAX - 1)

/* Bytes read ahead at least: then an operation, of a quarter of them at most, and pages that belong to two of
 * them leave room for half. */
#define LSI_AHEAD_LEAST (16u * LSI_ALIGN)

struct lsi_plan_options {
  uint64_t merge;         /* LSI_MERGE_AUTO, LSI_MERGE_NEVER (neighbours that touch stay apart too;
                             overlaps and duplicates are read each by itself), or the largest gap */
  bool in_request_order;  /* one section, units ordered by their steps' index (ordered results) */
  bool large_apart;       /* large chunks stay apart although they touch: their buffers are kept for long */
  uint64_t ahead;         /* not 0: a step of one chunk that is longer is streamed. It has a unit of its own
                             and so many bytes of buffer, through which its bytes go in order. Rounded up to
                             LSI_ALIGN, and to LSI_AHEAD_LEAST */
  uint32_t n_devices;
  const struct lsi_device_model *devices; /* copied */
};

/* Packed to 20 bytes: with its step and unit entries a chunk then takes at most 32 bytes of plan.
 * Read the fields by value; never take their address. */
struct __attribute__((packed, aligned(4))) lsi_extent {
  uint64_t offset;
  uint64_t length; /* 0 only when all its chunks are empty: no operation */
  uint32_t object;
};

struct lsi_section {
  uint32_t device;     /* index into devices; of mixed sections, the first */
  uint32_t unit_begin; /* its first unit */
  uint32_t unit_end;   /* the first one that is behind it */
  uint64_t bytes;      /* sum over its extents */
};

struct lsi_plan {
  uint32_t n_devices;
  struct lsi_device_model *devices; /* as given; op_max, merge_max and align made usable */
  uint32_t n_sections;
  struct lsi_section *sections;
  uint32_t n_units;
  uint32_t *unit_extent;  /* n_units + 1: first extent of each unit */
  uint32_t *unit_step;    /* n_units + 1: first entry in step_order of each unit */
  uint32_t n_extents;
  struct lsi_extent *extents;
  uint32_t *step_order;   /* n_steps: the steps of unit 0, then of unit 1, ... */
  uint64_t ahead;         /* of the options, rounded */
  /* what it did */
  uint64_t operations_before; /* one per non-empty chunk */
  uint64_t operations;        /* after merging and splitting */
  uint64_t merged;            /* chunks that share an operation with another */
  uint64_t split;             /* chunks read by more than one operation */
  uint64_t bytes_requested;
  uint64_t bytes_planned;     /* in all operations */
  uint64_t bytes_over_read;   /* planned bytes beyond the distinct ones asked for: the next two */
  uint64_t bytes_gaps;        /* that nobody asked for */
  uint64_t bytes_twice;       /* by which bytes are planned more than once */
  uint64_t unit_bytes_max;    /* largest unit's buffers, rounded out to LSI_ALIGN; with `ahead` and late
                                 objects at least those of a step that is streamed */
  uint64_t step_bytes_max;    /* largest step's stored bytes */
  uint32_t step_largest;      /* the index of the step that has step_bytes_max */
  double expected_s;          /* by the device models, all devices at once */
};

/* LSIO_ERR_NOMEM, or _USAGE when an object's device is not among `devices`. *out is freed with
 * lsi_plan_free. request->object_device must be set. */
int lsi_plan_build(const struct lsi_request *request, const struct lsi_plan_options *options,
                   struct lsi_plan **out, struct lsi_error *err);
void lsi_plan_free(struct lsi_plan *plan);
uint64_t lsi_plan_memory(const struct lsi_plan *plan);
/* The extent of `unit` that holds this byte range of an object: index into plan->extents, or
 * UINT32_MAX when there is none (a bug of the caller). */
uint32_t lsi_plan_find_extent(const struct lsi_plan *plan, uint32_t unit, uint32_t object,
                              uint64_t offset, uint64_t length);
/* Bytes of buffer that an extent takes: its hull of LSI_ALIGN-aligned bytes; 0 for an empty one. */
static inline uint64_t lsi_extent_buffer(const struct lsi_extent *e) {
  return e->length ? lsi_round_up(e->offset + e->length, LSI_ALIGN) -
                         lsi_round_down(e->offset, LSI_ALIGN)
                   : 0;
}
/* The same of one that is streamed with this `ahead`: so much, and room for half of it in one place, where
 * what is used at a time may be put together. */
static inline uint64_t lsi_ahead_buffer(uint64_t ahead) {
  return ahead + LSI_ALIGN + lsi_round_up(ahead / 2, LSI_ALIGN);
}
/* Is it so, with a step of a chunk of so many bytes? */
static inline bool lsi_plan_streams(const struct lsi_plan *plan, uint64_t length) {
  return plan->ahead && length > plan->ahead;
}
/* Bytes of the largest step, as far as is known: late objects may be as large as is streamed. */
static inline uint64_t lsi_plan_step_most(const struct lsi_plan *plan, const struct lsi_request *r) {
  return plan->ahead && r->late ? LSI_MAX(plan->step_bytes_max, plan->ahead + 1) : plan->step_bytes_max;
}
/* The same of a unit's only extent: of a step that stands alone, and has one chunk. */
static inline bool lsi_unit_streams(const struct lsi_plan *plan, const struct lsi_request *r, uint32_t unit) {
  const uint32_t first = plan->unit_step[unit];
  if (!lsi_plan_streams(plan, plan->extents[plan->unit_extent[unit]].length)) return false;
  return plan->unit_step[unit + 1] - first == 1 &&
         (!r->step_first || lsi_request_chunk_end(r, plan->step_order[first]) -
                                    lsi_request_chunk_begin(r, plan->step_order[first]) == 1);
}
/* Operations that an extent takes on a device with this op_max (of plan->devices: it is a multiple
 * of LSI_ALIGN there and at most LSI_OP_LONGEST). */
static inline uint64_t lsi_extent_operations(const struct lsi_extent *e, uint64_t op_max) {
  if (e->length <= op_max) return e->length != 0;
  return (e->offset + e->length - 1) / op_max - e->offset / op_max + 1;
}
/* Byte range of the i-th of them. */
static inline void lsi_extent_operation(const struct lsi_extent *e, uint64_t op_max, uint64_t i,
                                        uint64_t *offset, uint64_t *length) {
  uint64_t begin = e->offset, end = e->offset + e->length;
  if (e->length > op_max) {
    const uint64_t cut = (e->offset / op_max + i) * op_max;
    begin = LSI_MAX(begin, cut);
    end = end - cut > op_max ? cut + op_max : end;
  }
  *offset = begin;
  *length = end - begin;
}

#endif
