/* What the kernel is told of a ring's work beforehand, so that it need not look it up for each operation:
 * large files, and the memory that they are read into. Where it refuses, all works without. Used on the
 * instance's thread. */
#ifndef LSI_URING_REGISTER_H
#define LSI_URING_REGISTER_H

#include <liburing.h>

#include "seams/backend.h"

struct lsi_uring_registered {
  const char *arena;     /* memory that is registered */
  size_t arena_bytes;    /* 0: none */
  void *offered;         /* memory to register, once an object is read past the page cache; NULL: none */
  size_t offered_bytes;
  int32_t *free_slots;   /* places in the ring's table of files; freed by who has this */
  uint32_t n_free_slots;
};

/* Makes the ring's table of files, with places for up to n. */
void lsi_uring_register_files(struct io_uring *ring, struct lsi_uring_registered *r, uint32_t n);
/* A place for an open file that is large enough, kept in its handle, and back. */
void lsi_uring_slot_get(struct io_uring *ring, struct lsi_uring_registered *r, struct lsi_handle *h);
void lsi_uring_slot_put(struct io_uring *ring, struct lsi_uring_registered *r, struct lsi_handle *h);
/* Registers of what is offered as much as the limit of locked memory lets one of `workers`. The first
 * call only. */
void lsi_uring_register_arena(struct io_uring *ring, struct lsi_uring_registered *r, uint32_t workers);

static inline bool lsi_uring_in_arena(const struct lsi_uring_registered *r, const void *buf,
                                      uint32_t length) {
  const char *p = buf;
  return p >= r->arena && length <= r->arena_bytes &&
         (size_t)(p - r->arena) <= r->arena_bytes - length;
}

#endif
