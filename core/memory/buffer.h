/* A block that grows as it is needed and is kept for the next time. One thread. */
#ifndef LSI_BUFFER_H
#define LSI_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#define LSI_PAD 64u /* bytes that are there behind what is decoded, and may be read */

struct lsi_pool;

struct lsi_buffer {
  void *data;
  size_t capacity;
  struct lsi_pool *pool; /* where its memory comes from; NULL: the heap */
};

/* Room for `bytes`, of which the first `keep` survive when it moves. False: no memory; it is as before. */
bool lsi_buffer_fit(struct lsi_buffer *b, size_t bytes, size_t keep);
/* Gives the memory back. */
void lsi_buffer_clear(struct lsi_buffer *b);

#endif
