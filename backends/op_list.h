/* A queue of operations, linked by op->next, for backends. Not thread-safe. */
#ifndef LSI_OP_LIST_H
#define LSI_OP_LIST_H

#include "seams/backend.h"

struct lsi_op_list {
  struct lsi_op *first, **last; /* last is NULL before the first add */
};

static inline void lsi_op_list_add(struct lsi_op_list *l, struct lsi_op *op) {
  op->next = NULL;
  if (!l->first) l->last = &l->first;
  *l->last = op;
  l->last = &op->next;
}

/* NULL: empty. */
static inline struct lsi_op *lsi_op_list_take(struct lsi_op_list *l) {
  struct lsi_op *op = l->first;
  if (!op) return NULL;
  l->first = op->next;
  op->next = NULL;
  return op;
}

/* Moves up to `max` operations to an array and returns how many. */
static inline int lsi_op_list_drain(struct lsi_op_list *l, struct lsi_op **out, int max) {
  int n = 0;
  while (n < max && l->first) out[n++] = lsi_op_list_take(l);
  return n;
}

#endif
