/* Results on their way to who asked for them: one behind the other in memory that several hold by counting,
 * so that they are made, or read, where they stay. One thread fills a block, entry by entry, as others read
 * the entries that they were given; whoever lets go last gives its memory back, also after its context.
 *   While the program has some of a block all of it counts as lent in the context's ledger. Blocks that
 * results share have at most half of the limit there; beyond that each result gets one of its own, as large
 * as it is, so that a program may hold any number of results, and those only. */
#ifndef LSI_BLOCK_H
#define LSI_BLOCK_H

#include <stdatomic.h>

#include "lsio.h"
#include "memory/ledger.h"
#include "memory/pool.h"

#define LSI_BLOCK_ALIGN 64u /* each result begins so, for vector loads; as many bytes behind it may be read */

/* What a program holds of one job, which its blocks outlive. */
struct lsi_tally {
  atomic_uint refs;
  atomic_uint_fast64_t bytes; /* of results */
};
struct lsi_tally *lsi_tally_create(void); /* held once; NULL: no memory */
void lsi_tally_drop(struct lsi_tally *t); /* NULL is fine */

struct lsi_block {
  atomic_uint refs;          /* with one for all that the program has */
  atomic_uint users;         /* those */
  uint32_t n, cap;           /* entries */
  uint32_t forks;            /* lsi_os_forks when it was made: in a child of fork there is no data */
  uint32_t promised;         /* of those that are not there yet or are, for what is leased */
  bool is_shared, is_mapped; /* else its memory is in one piece with this */
  bool is_lost;              /* the kernel may still write there: the memory goes nowhere */
  struct lsi_pool *pool;     /* of what is shared; NULL: none */
  struct lsi_ledger *ledger; /* where it counts; NULL: nowhere */
  struct lsi_tally *tally;   /* held, likewise */
  atomic_uint_fast64_t lent; /* bytes of the results that the program was given of it */
  size_t size;               /* of all of it */
  uint64_t used, room;       /* bytes of data */
  char *data;
  struct lsio_result *results;
};

/* Bytes of a worker's first block and of others, with lists 64 and 256 KiB. */
#define LSI_BLOCK_FIRST ((uint64_t)60 << 10)
#define LSI_BLOCK_LATER ((uint64_t)252 << 10)
/* Bytes to make a worker's next block for results like one of so many: a job of one small result takes
 * little, one of many hands out many at once. Those that are large have blocks of several, and at last of
 * their own. */
uint64_t lsi_block_usual(uint64_t bytes, bool first);
/* Room for so many bytes of data (with what is lost to alignment), from the beginning of a page on, and for
 * so many results at least; held once. NULL: no memory, or what is shared has its half. */
struct lsi_block *lsi_block_create(struct lsi_pool *pool, struct lsi_ledger *ledger, uint64_t room,
                                   uint32_t results);
/* The same for one result of so many bytes, and no more; or for several, if they take 4 KiB together. NULL:
 * no memory. It begins at a page from LSI_BLOCK_OWN_MAPPED bytes on. */
#define LSI_BLOCK_OWN_MAPPED (1u << 20)
struct lsi_block *lsi_block_create_own(struct lsi_ledger *ledger, uint64_t bytes);
void lsi_block_hold(struct lsi_block *b);
void lsi_block_drop(struct lsi_block *b); /* NULL is fine */

/* Before any of its results is lent: they count there too (NULL: nowhere). */
void lsi_block_count_in(struct lsi_block *b, struct lsi_tally *t);
/* Results of so many bytes are about to be lent. */
void lsi_block_count(struct lsi_block *b, uint64_t bytes);
/* What held it becomes the program's; the program has it once more; and once less (NULL is fine). */
void lsi_block_lend(struct lsi_block *b);
void lsi_block_lend_again(struct lsi_block *b);
void lsi_block_regain(struct lsi_block *b);

/* Where the next result goes, if it has at most so many bytes; NULL: there is no room, or no block. */
static inline void *lsi_block_place(const struct lsi_block *b, uint64_t bytes) {
  if (!b || b->n == b->cap || bytes > b->room - b->used || b->room - b->used - bytes < LSI_BLOCK_ALIGN)
    return NULL;
  return b->data + b->used;
}

/* Or: so many bytes at a multiple of `align`, a power of two up to a page, for results that lie anywhere in
 * there, at most so many. NULL: there is no room, or no block. Never in a block that has places, too. */
void *lsi_block_lease(struct lsi_block *b, uint64_t bytes, uint64_t align, uint32_t results);
/* The last lease ends there. */
void lsi_block_trim(struct lsi_block *b, const void *end);
/* What lies in that place, or in a lease, is a result: its begin is set, its length taken. Returns its
 * index. */
uint32_t lsi_block_add(struct lsi_block *b, const void *at, struct lsio_result result);
/* The kernel may still write there: before its last holder drops it. */
void lsi_block_give_up(struct lsi_block *b);

#endif
