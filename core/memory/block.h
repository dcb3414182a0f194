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

struct lsi_block {
  atomic_uint refs;          /* with one for all that the program has */
  atomic_uint users;         /* those */
  uint32_t n, cap;           /* entries */
  uint32_t forks;            /* lsi_os_forks when it was made: in a child of fork there is no data */
  bool is_shared, is_mapped; /* else its memory is in one piece with this */
  struct lsi_pool *pool;     /* of what is shared; NULL: none */
  struct lsi_ledger *ledger; /* where it counts; NULL: nowhere */
  size_t size;               /* of all of it */
  uint64_t used, room;       /* bytes of data */
  char *data;
  struct lsio_result *results;
};

/* Room for so many bytes of data (with what is lost to alignment), held once; at least as many entries as
 * there are 256 bytes. NULL: no memory, or what is shared has its half. */
struct lsi_block *lsi_block_create(struct lsi_pool *pool, struct lsi_ledger *ledger, uint64_t room);
/* The same for one result of so many bytes, and no more; or for several, if they take 4 KiB together. NULL:
 * no memory. */
struct lsi_block *lsi_block_create_own(struct lsi_ledger *ledger, uint64_t bytes);
void lsi_block_hold(struct lsi_block *b);
void lsi_block_drop(struct lsi_block *b); /* NULL is fine */

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

/* What lies in that place is a result: its begin is set, its length taken. Returns its index. */
uint32_t lsi_block_add(struct lsi_block *b, struct lsio_result result);

#endif
