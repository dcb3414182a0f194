/* Units of streams whose bytes are their results are read into the blocks in which the program gets these: no
 * copy of ours. What lies between results and beside them stays in the block, too; so where results have less
 * than half of what is read, they are copied out of the arena instead, and where no more may be shared
 * (memory/block.h), all but single large ones. */
#include "engine/read/lease.h"

/* As in the arena: so much for all units of the worker that have not ended, and one at least. */
static bool has_room(const struct lsi_worker *w, uint64_t bytes) {
  const uint64_t used = w->reader.straight.leased + w->reader.arena.used;
  return !used || used + bytes <= w->reader.arena.size;
}

/* A device writes into whole huge pages: of small ones each operation pins hundreds, and goes to the device
 * in pieces (1 MiB: 100 us of CPU instead of 30, two thirds of the speed). Not where a worker has little. */
#define HUGE_BYTES ((uint64_t)2 << 20)
#define HUGE_SHARE (32 * HUGE_BYTES)

/* What is copied from the page cache stays in a core's cache in small blocks, which come back soon. */
static uint64_t room_of_next(const struct lsi_worker *w, uint64_t bytes, bool direct) {
  if (!w->reader.straight.first_leased) return LSI_MAX(bytes, LSI_BLOCK_FIRST);
  return LSI_MAX(bytes, direct && w->run->config.share >= HUGE_SHARE ? HUGE_BYTES : LSI_BLOCK_LATER);
}

/* Of a new block: of the worker's, or of the unit's own. NULL: none, they are to be copied. */
static void *lease_new(struct lsi_worker *w, struct lsi_block **from, uint64_t bytes, uint64_t align,
                       uint32_t results) {
  struct lsi_straight *s = &w->reader.straight;
  const struct lsi_run_config *c = &w->run->config;
  const uint64_t room = room_of_next(w, bytes, align == LSI_ALIGN);
  const uint64_t units = room / LSI_MAX(bytes, 1u) + 1; /* like this one */
  const uint64_t all = LSI_MIN(lsi_sat_mul(results, units), LSI_MAX(room / LSI_BLOCK_ALIGN, results));
  struct lsi_block *b = lsi_block_create(c->pool, c->ledger, room, (uint32_t)LSI_MIN(all, UINT32_MAX));
  if (b) {
    lsi_block_count_in(b, w->run->tally);
    lsi_block_drop(s->block);
    *from = s->block = b;
    s->first_leased = true;
    lsi_block_hold(b);
    return lsi_block_lease(b, bytes, align, results);
  }
  if (results > 1 || bytes < LSI_BLOCK_OWN_MAPPED) return NULL;
  *from = lsi_block_create_own(c->ledger, bytes);
  if (!*from) return NULL;
  lsi_block_count_in(*from, w->run->tally);
  return lsi_block_lease(*from, bytes, align, results);
}

/* For the unit, until it ends. */
static void *lease(struct lsi_worker *w, struct lsi_flight *f, uint64_t bytes, uint64_t align,
                   uint32_t results) {
  struct lsi_straight *s = &w->reader.straight;
  void *at = lsi_block_lease(s->block, bytes, align, results);
  if (at) {
    f->block = s->block;
    lsi_block_hold(f->block);
  } else if (!(at = lease_new(w, &f->block, bytes, align, results))) {
    return NULL;
  }
  f->one.buffer_bytes = (size_t)bytes;
  s->leased += bytes;
  return at;
}

/* Bytes of all results of the unit; more than of what is read, where they overlap. */
static uint64_t bytes_of_results(const struct lsi_flight *f, const struct lsi_flight_extent *x) {
  const struct lsi_plan *plan = f->wave->plan;
  const struct lsi_request *r = f->wave->request;
  const uint32_t begin = plan->unit_step[f->unit], end = plan->unit_step[f->unit + 1];
  if (end - begin == 1) return x->length;
  uint64_t bytes = 0;
  for (uint32_t k = begin; k < end; k++) bytes = lsi_sat_add(bytes, r->length[plan->step_order[k]]);
  return bytes;
}

int lsi_lease_extent(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x) {
  const struct lsi_plan *plan = f->wave->plan;
  const bool direct = x->slot->handle.direct;
  if (f->n_extents > 1) return LSI_LEASE_NONE; /* of no one-chunk steps */
  const uint64_t from = direct ? lsi_round_down(x->offset, LSI_ALIGN) : x->offset;
  const uint64_t to = direct ? lsi_round_up(x->offset + x->length, LSI_ALIGN) : x->offset + x->length;
  if (bytes_of_results(f, x) < (to - from) / 2) return LSI_LEASE_NONE;
  if (!has_room(w, to - from)) return LSI_LEASE_LATER;
  char *at = lease(w, f, to - from, direct ? LSI_ALIGN : LSI_BLOCK_ALIGN,
                   plan->unit_step[f->unit + 1] - plan->unit_step[f->unit]);
  if (!at) return LSI_LEASE_NONE;
  x->exact = !direct;
  x->data = at + (x->offset - from);
  return LSI_LEASE_DONE;
}

void *lsi_lease_room(struct lsi_worker *w, struct lsi_flight *f, uint64_t bytes) {
  return has_room(w, bytes) ? lease(w, f, bytes, LSI_BLOCK_ALIGN, 1) : NULL;
}

void lsi_lease_trim(struct lsi_worker *w, struct lsi_flight *f, const void *room, uint64_t bytes) {
  w->reader.straight.leased -= f->one.buffer_bytes - bytes;
  f->one.buffer_bytes = (size_t)bytes;
  lsi_block_trim(f->block, (const char *)room + bytes);
}
