#include "memory/block.h"

#include "ground/mem.h"
#include "seams/os.h"

#define RESULTS_LEAST 16u
#define OWN_LEAST 4096u /* bytes of results that have a block of their own together */

#define SEVERAL 4u
#define SEVERAL_MOST (4u << 20)

uint64_t lsi_block_usual(uint64_t bytes, bool first) {
  const uint64_t several = lsi_sat_mul(bytes, SEVERAL);
  if (first) return LSI_MAX(bytes, LSI_BLOCK_FIRST);
  return LSI_MAX(several <= SEVERAL_MOST ? several : bytes, LSI_BLOCK_LATER);
}

/* Data first, at the beginning of a page where it is mapped, the list behind it. */
static void lay_out(struct lsi_block *b, char *memory, uint64_t list) {
  b->data = memory;
  b->room = b->size - list;
  b->results = (struct lsio_result *)(void *)(memory + b->room);
}

static struct lsi_block *init(struct lsi_block *b, struct lsi_ledger *ledger, uint64_t cap, uint64_t size) {
  *b = (struct lsi_block){
      .cap = (uint32_t)cap, .forks = lsi_os_forks, .ledger = ledger, .size = (size_t)size};
  atomic_init(&b->refs, 1);
  if (ledger) lsi_ledger_hold(ledger);
  return b;
}

/* Bytes for so many results with so much data. */
static uint64_t size_of(uint64_t room, uint64_t cap, uint64_t *list) {
  *list = lsi_round_up(cap * sizeof(struct lsio_result), LSI_BLOCK_ALIGN);
  return lsi_sat_add(lsi_sat_add(room, 2 * LSI_BLOCK_ALIGN - 1), *list) & ~(uint64_t)(LSI_BLOCK_ALIGN - 1);
}

struct lsi_block *lsi_block_create(struct lsi_pool *pool, struct lsi_ledger *ledger, uint64_t room,
                                   uint32_t results) {
  const uint32_t cap = LSI_MAX(results, RESULTS_LEAST);
  uint64_t list, size = size_of(room, cap, &list);
  if (size > SIZE_MAX - LSI_POOL_SMALL) return NULL;
  size = lsi_round_up(size, LSI_POOL_SMALL);
  if (ledger && !lsi_ledger_share(ledger, size)) return NULL;
  struct lsi_block *b = lsi_malloc(sizeof *b);
  char *memory = b ? lsi_pool_take_small(pool, (size_t)size) : NULL;
  if (!memory) {
    if (ledger) lsi_ledger_unshare(ledger, size);
    lsi_free(b);
    return NULL;
  }
  init(b, ledger, cap, size);
  b->is_shared = true;
  b->pool = pool;
  if (pool) lsi_pool_hold(pool);
  lay_out(b, memory, list);
  return b;
}

/* In one piece with what tells of it, or mapped. */
struct lsi_block *lsi_block_create_own(struct lsi_ledger *ledger, uint64_t bytes) {
  const uint64_t step = LSI_MAX(lsi_round_up(LSI_MIN(bytes, (uint64_t)OWN_LEAST), LSI_BLOCK_ALIGN), 1u);
  const uint64_t cap = LSI_MIN(LSI_MAX(OWN_LEAST / step, 1u), OWN_LEAST / LSI_BLOCK_ALIGN);
  uint64_t list;
  const uint64_t size = size_of(cap > 1 ? cap * step : bytes, cap, &list);
  const bool mapped = size >= LSI_BLOCK_OWN_MAPPED;
  if (size > SIZE_MAX - LSI_POOL_SMALL) return NULL;
  struct lsi_block *b = lsi_malloc(sizeof *b + (mapped ? 0 : (size_t)size + LSI_BLOCK_ALIGN));
  char *memory = NULL;
  if (b) memory = mapped ? lsi_os_map((size_t)size)
                         : (char *)lsi_round_up((uintptr_t)(b + 1), LSI_BLOCK_ALIGN);
  if (!memory) {
    lsi_free(b);
    return NULL;
  }
  init(b, ledger, cap, size);
  b->is_mapped = mapped;
  lay_out(b, memory, list);
  return b;
}

static bool is_parents(const struct lsi_block *b) { return LSI_UNLIKELY(b->forks != lsi_os_forks); }

/* All of its memory, as it counts. */
static uint64_t bytes_of(const struct lsi_block *b) {
  if (b->is_shared) return b->size;
  return b->is_mapped ? lsi_round_up(b->size, LSI_POOL_SMALL) : sizeof *b + b->size + LSI_BLOCK_ALIGN;
}

struct lsi_tally *lsi_tally_create(void) {
  struct lsi_tally *t = lsi_calloc(1, sizeof *t);
  if (t) atomic_init(&t->refs, 1);
  return t;
}

void lsi_tally_drop(struct lsi_tally *t) {
  if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1) lsi_free(t);
}

void lsi_block_count_in(struct lsi_block *b, struct lsi_tally *t) {
  b->tally = t;
  if (t) atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

void lsi_block_count(struct lsi_block *b, uint64_t bytes) {
  if (!b->tally) return;
  atomic_fetch_add_explicit(&b->lent, bytes, memory_order_relaxed);
  atomic_fetch_add_explicit(&b->tally->bytes, bytes, memory_order_relaxed);
}

void lsi_block_hold(struct lsi_block *b) { atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed); }

void lsi_block_drop(struct lsi_block *b) {
  if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1) return;
  lsi_tally_drop(b->tally);
  if (is_parents(b)) { /* its memory, and what counts it, are not there */
    lsi_free(b);
    return;
  }
  if (b->is_lost) {
    lsi_pool_drop(b->pool);
  } else if (b->is_shared) {
    lsi_pool_give_small(b->pool, b->data, b->size);
    lsi_pool_drop(b->pool);
    if (b->ledger) lsi_ledger_unshare(b->ledger, b->size);
  } else if (b->is_mapped) {
    lsi_os_unmap(b->data, b->size);
  }
  lsi_ledger_drop(b->ledger);
  lsi_free(b);
}

void lsi_block_lend(struct lsi_block *b) {
  if (atomic_fetch_add(&b->users, 1)) lsi_block_drop(b); /* the program has one already, for all of its own */
  else if (b->ledger) lsi_ledger_lend(b->ledger, bytes_of(b));
}

void lsi_block_lend_again(struct lsi_block *b) {
  atomic_fetch_add_explicit(&b->users, 1, memory_order_relaxed);
}

void lsi_block_regain(struct lsi_block *b) {
  if (!b || atomic_fetch_sub(&b->users, 1) != 1) return;
  const uint64_t lent = atomic_exchange(&b->lent, 0);
  if (b->tally) atomic_fetch_sub_explicit(&b->tally->bytes, lent, memory_order_relaxed);
  if (b->ledger && !is_parents(b)) lsi_ledger_regain(b->ledger, bytes_of(b));
  lsi_block_drop(b);
}

void lsi_block_give_up(struct lsi_block *b) { b->is_lost = true; }

void *lsi_block_lease(struct lsi_block *b, uint64_t bytes, uint64_t align, uint32_t results) {
  if (!b || results > b->cap - b->promised) return NULL;
  const uint64_t at = lsi_round_up(b->used, align), room = b->room - LSI_BLOCK_ALIGN;
  if (at > room || bytes > room - at) return NULL;
  b->promised += results;
  b->used = lsi_round_up(at + bytes, LSI_BLOCK_ALIGN);
  return b->data + at;
}

void lsi_block_trim(struct lsi_block *b, const void *end) {
  b->used = lsi_round_up((uint64_t)((const char *)end - b->data), LSI_BLOCK_ALIGN);
}

uint32_t lsi_block_add(struct lsi_block *b, const void *at, struct lsio_result result) {
  result.begin = (uint64_t)((const char *)at - b->data);
  if (result.length && result.begin % LSI_BLOCK_ALIGN) result.flags |= LSIO_RESULT_UNALIGNED;
  const uint64_t end = LSI_MIN(lsi_round_up(result.begin + result.length, LSI_BLOCK_ALIGN), b->room);
  b->used = LSI_MAX(b->used, end);
  b->results[b->n] = result;
  return b->n++;
}
