/* A worker's buffer arena: one mapping on huge pages from which the buffers of units in flight are
 * leased, first fit from the low end so that the same hot pages are used again and again. Lengths
 * are rounded to LSI_ALIGN; buffers are aligned to it. One thread. */
#ifndef LSI_ARENA_H
#define LSI_ARENA_H

#include "memory/pool.h"

/* In pages of LSI_ALIGN bytes. */
struct lsi_arena_range {
  uint32_t page;  /* the first one */
  uint32_t pages;
};

struct lsi_arena {
  char *base;
  size_t size;                  /* mapped */
  size_t used;                  /* leased now */
  size_t peak;                  /* of used */
  struct lsi_arena_range *free; /* sorted by page, never adjacent */
  uint32_t n_free;
  uint32_t n_leased;            /* buffers */
  uint32_t cap_free;
  struct lsi_pool *pool;        /* base goes back there; NULL: none */
  struct lsi_arena *parent;     /* or there: it is a part of that one */
};

/* 0 or LSIO_ERR_NOMEM. `size` is rounded up to 2 MiB; at most 16 TiB. It comes from the pool (NULL: it is
 * new) and goes back there. */
int lsi_arena_init(struct lsi_arena *a, size_t size, struct lsi_pool *pool);
/* A part of another arena, which must outlive it; `size` is rounded up to LSI_ALIGN. LSIO_ERR_NOMEM: it has
 * no room. */
int lsi_arena_carve(struct lsi_arena *a, size_t size, struct lsi_arena *parent);
/* give_back false: its memory is given up, for somebody may still write there. */
void lsi_arena_clear(struct lsi_arena *a, bool give_back);
/* NULL when no free range is long enough: release something first. */
void *lsi_arena_lease(struct lsi_arena *a, size_t bytes);
void lsi_arena_release(struct lsi_arena *a, void *p, size_t bytes);

#endif
