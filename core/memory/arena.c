#include "memory/arena.h"

#include <string.h>

#include "ground/mem.h"
#include "seams/backend.h"

/* base is what it takes its memory from: NULL when there was none. */
static int init(struct lsi_arena *a, char *base, size_t size) {
  a->cap_free = 64;
  a->free = base ? lsi_malloc(a->cap_free * sizeof *a->free) : NULL;
  a->base = base;
  a->size = size;
  if (!a->free) return LSIO_ERR_NOMEM;
  a->free[0] = (struct lsi_arena_range){0, (uint32_t)(size / LSI_ALIGN)};
  a->n_free = 1;
  return 0;
}

int lsi_arena_init(struct lsi_arena *a, size_t size, struct lsi_pool *pool) {
  memset(a, 0, sizeof *a);
  size = lsi_round_up(LSI_MAX(size, (size_t)1), 2u << 20);
  if (size / LSI_ALIGN > UINT32_MAX) return LSIO_ERR_NOMEM;
  a->pool = pool;
  const int rc = init(a, lsi_pool_take(pool, size, true), size);
  if (rc < 0) lsi_arena_clear(a, a->base != NULL);
  return rc;
}

int lsi_arena_carve(struct lsi_arena *a, size_t size, struct lsi_arena *parent) {
  memset(a, 0, sizeof *a);
  size = lsi_round_up(LSI_MAX(size, (size_t)1), LSI_ALIGN);
  a->parent = parent;
  const int rc = init(a, lsi_arena_lease(parent, size), size);
  if (rc < 0) lsi_arena_clear(a, a->base != NULL);
  return rc;
}

void lsi_arena_clear(struct lsi_arena *a, bool give_back) {
  if (give_back && a->parent)
    lsi_arena_release(a->parent, a->base, a->size);
  else if (give_back)
    lsi_pool_give(a->pool, a->base, a->size, true);
  lsi_free(a->free);
  memset(a, 0, sizeof *a);
}

static uint32_t pages_of(size_t bytes) { return (uint32_t)((bytes + LSI_ALIGN - 1) / LSI_ALIGN); }

void *lsi_arena_lease(struct lsi_arena *a, size_t bytes) {
  if (bytes > a->size) return NULL;
  /* Each release may add one range: there is room for those of all that is leased, so that release can't
   * fail. */
  if (a->n_free + a->n_leased + 2 > a->cap_free) {
    struct lsi_arena_range *more = lsi_reallocarray(a->free, a->cap_free * 2u, sizeof *more);
    if (!more) return NULL;
    a->free = more;
    a->cap_free *= 2;
  }
  uint32_t pages = LSI_MAX(pages_of(bytes), 1u);
  for (uint32_t i = 0; i < a->n_free; i++) {
    struct lsi_arena_range *r = &a->free[i];
    if (r->pages < pages) continue;
    char *p = a->base + (size_t)r->page * LSI_ALIGN;
    r->page += pages;
    r->pages -= pages;
    if (r->pages == 0) {
      a->n_free--;
      memmove(r, r + 1, (a->n_free - i) * sizeof *r);
    }
    a->n_leased++;
    a->used += (size_t)pages * LSI_ALIGN;
    if (a->used > a->peak) a->peak = a->used;
    return p;
  }
  return NULL;
}

void lsi_arena_release(struct lsi_arena *a, void *p, size_t bytes) {
  uint32_t pages = LSI_MAX(pages_of(bytes), 1u);
  uint32_t page = (uint32_t)(((char *)p - a->base) / LSI_ALIGN);
  uint32_t lo = 0, hi = a->n_free; /* first range behind p */
  while (lo < hi) {
    uint32_t mid = (lo + hi) / 2;
    if (a->free[mid].page < page)
      lo = mid + 1;
    else
      hi = mid;
  }
  a->n_leased--;
  a->used -= (size_t)pages * LSI_ALIGN;
  bool joins_left = lo > 0 && a->free[lo - 1].page + a->free[lo - 1].pages == page;
  bool joins_right = lo < a->n_free && page + pages == a->free[lo].page;
  if (joins_left && joins_right) {
    a->free[lo - 1].pages += pages + a->free[lo].pages;
    a->n_free--;
    memmove(&a->free[lo], &a->free[lo + 1], (a->n_free - lo) * sizeof *a->free);
  } else if (joins_left) {
    a->free[lo - 1].pages += pages;
  } else if (joins_right) {
    a->free[lo].page = page;
    a->free[lo].pages += pages;
  } else {
    memmove(&a->free[lo + 1], &a->free[lo], (a->n_free - lo) * sizeof *a->free);
    a->free[lo] = (struct lsi_arena_range){page, pages};
    a->n_free++;
  }
}
