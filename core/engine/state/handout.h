/* Who takes which unit, and who may have operations in flight (handout.c). */
#ifndef LSI_HANDOUT_H
#define LSI_HANDOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ground/base.h"

struct lsi_worker;

#define LSI_CREDIT_BLOCK 8               /* operations in flight, leased to a worker at a time */
#define LSI_UNIT_BATCH 8                 /* small units are taken so many at a time */
#define LSI_UNIT_BATCH_BYTES (64u << 10) /* none of the plan is larger: small */

/* Units that a worker has been handed: from the first that it has not taken to the one behind the last. */
#define LSI_RANGE(lo, hi) ((uint64_t)(lo) << 32 | (uint32_t)(hi))
#define LSI_RANGE_LO(r) ((uint32_t)((r) >> 32))
#define LSI_RANGE_HI(r) ((uint32_t)(r))

/* A section of the plan. */
struct lsi_section_state {
  _Alignas(LSI_CACHE_LINE) atomic_uint_fast32_t cursor; /* next unit to hand out */
  atomic_uint_fast64_t bytes_taken;
};

struct lsi_device_state {
  _Alignas(LSI_CACHE_LINE) atomic_int_fast32_t in_flight; /* leased to workers */
  int32_t cap;                                            /* INT32_MAX = none */
  int32_t block;
};

/* What a worker may still have in flight on a device. */
struct lsi_credit {
  uint32_t have; /* leased and unused */
  uint32_t most; /* having so many, it gives a block back */
};

/* Sets the reader's next_unit and units_end; false = none left. */
bool lsi_take_units(struct lsi_worker *w);
bool lsi_lease_credits(struct lsi_worker *w, uint32_t device);
void lsi_return_block(struct lsi_worker *w, uint32_t device);
void lsi_return_credits(struct lsi_worker *w);

#endif
