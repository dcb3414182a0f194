#include "engine/state/gate.h"

#include "engine/state/engine.h"
#include "ground/mem.h"
#include "memory/block.h"

struct lsi_gate_entry {
  uint32_t rank;
  struct lsi_run_completion *c;
};

void lsi_gate_init(struct lsi_gate *g, const struct lsi_request *r, bool by_step, uint64_t limit) {
  *g = (struct lsi_gate){.on = by_step || r->group_first,
                         .group_first = by_step ? NULL : r->group_first,
                         .n_ranks = by_step ? r->n_steps : r->n_groups,
                         .first_index = r->first_index,
                         .limit = limit};
}

void lsi_gate_clear(struct lsi_gate *g) {
  for (uint32_t i = 0; i < g->n; i++) lsi_run_free_completion(g->heap[i].c);
  lsi_free(g->heap);
  g->heap = NULL;
  g->n = g->cap = 0;
}

uint32_t lsi_gate_rank(const struct lsi_gate *g, uint32_t step) {
  if (!g->group_first) return step;
  uint32_t lo = 0, hi = g->n_ranks; /* the first step of `lo` is not behind `step`, that of `hi` is */
  while (hi - lo > 1) {
    const uint32_t middle = lo + (hi - lo) / 2;
    if (g->group_first[middle] <= step) lo = middle;
    else hi = middle;
  }
  return lo;
}

bool lsi_gate_may_run(const struct lsi_gate *g, uint32_t step, uint64_t bytes) {
  const uint64_t held = atomic_load_explicit(&g->held, memory_order_relaxed);
  if (bytes <= g->limit && held <= g->limit - bytes) return true;
  return lsi_gate_rank(g, step) <= atomic_load_explicit(&g->next, memory_order_relaxed);
}

bool lsi_gate_joins(const struct lsi_gate *g, uint64_t before, uint64_t step) {
  if (!g->on) return true;
  if (!g->group_first) return step == before + 1;
  return lsi_gate_rank(g, (uint32_t)(before - g->first_index)) ==
         lsi_gate_rank(g, (uint32_t)(step - g->first_index));
}

static uint64_t bytes_of(const struct lsi_run_completion *c) {
  return sizeof(struct lsi_gate_entry) + sizeof *c + c->bytes + c->n * sizeof(struct lsio_result) +
         (c->error ? sizeof *c->error : 0);
}

static uint32_t rank_of(const struct lsi_gate *g, const struct lsi_run_completion *c) {
  const uint64_t step = c->error ? c->step : c->block->results[c->from].step;
  return lsi_gate_rank(g, (uint32_t)(step - g->first_index));
}

/* ---- the heap: no entry comes before the one at half its index ---- */

static bool push(struct lsi_gate *g, struct lsi_run_completion *c, uint32_t rank) {
  if (g->n == g->cap) {
    const uint32_t cap = g->cap ? 2 * g->cap : 64;
    void *more = lsi_reallocarray(g->heap, cap, sizeof *g->heap);
    if (!more) return false;
    g->heap = more;
    g->cap = cap;
  }
  uint32_t i = g->n++;
  for (; i && g->heap[(i - 1) / 2].rank > rank; i = (i - 1) / 2) g->heap[i] = g->heap[(i - 1) / 2];
  g->heap[i] = (struct lsi_gate_entry){rank, c};
  atomic_fetch_add_explicit(&g->held, bytes_of(c), memory_order_relaxed);
  return true;
}

static struct lsi_run_completion *pop(struct lsi_gate *g) {
  struct lsi_run_completion *c = g->heap[0].c;
  const struct lsi_gate_entry last = g->heap[--g->n];
  uint32_t i = 0;
  for (uint32_t child; (child = 2 * i + 1) < g->n; i = child) {
    if (child + 1 < g->n && g->heap[child + 1].rank < g->heap[child].rank) child++;
    if (g->heap[child].rank >= last.rank) break;
    g->heap[i] = g->heap[child];
  }
  g->heap[i] = last;
  atomic_fetch_sub_explicit(&g->held, bytes_of(c), memory_order_relaxed);
  return c;
}

/* ---- passing ---- */

/* So many steps of the oldest rank, or successive ones from it on, have passed. */
static void advance(struct lsi_gate *g, uint32_t n) {
  uint32_t next = atomic_load_explicit(&g->next, memory_order_relaxed);
  if (!g->group_first) {
    next += n;
  } else {
    g->ended += n;
    if (g->ended == g->group_first[next + 1] - g->group_first[next]) {
      next++;
      g->ended = 0;
    }
  }
  atomic_store_explicit(&g->next, next, memory_order_relaxed);
}

/* It passes, and takes others with it that waited for that. Returns the end of the list. */
static struct lsi_run_completion **let_pass(struct lsi_gate *g, struct lsi_run_completion *c,
                                            struct lsi_run_completion **end) {
  for (;;) {
    *end = c;
    c->next = NULL;
    end = &c->next;
    advance(g, c->error ? 1 : c->n);
    if (!g->n || g->heap[0].rank != atomic_load_explicit(&g->next, memory_order_relaxed)) return end;
    c = pop(g);
  }
}

struct lsi_run_completion *lsi_gate_pass(struct lsi_gate *g, struct lsi_run_completion *list, bool *lost) {
  struct lsi_run_completion *first = NULL, **end = &first;
  while (list) {
    struct lsi_run_completion *c = list;
    list = c->next;
    const uint32_t rank = rank_of(g, c);
    if (rank == atomic_load_explicit(&g->next, memory_order_relaxed)) {
      end = let_pass(g, c, end);
    } else if (!push(g, c, rank)) {
      *lost = true;
      lsi_run_free_completion(c);
    }
  }
  return first;
}

struct lsi_run_completion *lsi_gate_take(struct lsi_gate *g, uint32_t most) {
  if (!g->n || g->heap[0].rank > most) return NULL;
  struct lsi_run_completion *c = pop(g);
  c->next = NULL;
  return c;
}
