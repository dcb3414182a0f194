/* What test_backends.c runs its suite on: each backend in each of its ways of reading, with the same
 * objects behind it. */
#ifndef LSI_BACKEND_VARIANTS_H
#define LSI_BACKEND_VARIANTS_H

#include "seams/backend.h"
#include "test/mem_objects.h"
#include "test/sim.h"

#define DEPTH 64u
#define ARENA_BYTES ((size_t)16 << 20)
#define SLOT (ARENA_BYTES / DEPTH) /* for one operation and its guards */
#define GUARD 0xa5                 /* fills what no backend may touch */

struct variant {
  const char *label, *backend;
  enum lsi_direct direct;
  bool cold;       /* the files are pushed out of the page cache first */
  bool tmpfs;      /* the files lie in /dev/shm */
  bool no_arena;   /* buffers are not registered */
  bool lends;      /* mem only */
  bool maps;       /* files large enough are lent from mappings */
};

/* Sizes of the objects, which are named by their index. */
enum { BIG = 5, EMPTY = 6, OBJECTS = 7 };
extern const uint64_t object_sizes[OBJECTS];

/* A variant made ready. */
struct stage {
  const struct variant *v;
  const struct lsi_store *store; /* of the objects */
  bool files;                    /* it is that of files */
  const struct lsi_backend_ops *ops;
  struct lsi_backend *b;
  struct lsi_backend_config config;
  struct lsi_error err;
  char dir[64];
  char names[OBJECTS][96];
  char *arena;
  uint64_t rng;
  struct lsi_mem_objects mem;
  struct lsi_mem_object mem_objects[OBJECTS];
  struct lsi_sim sim;
  struct lsi_sim_object sim_objects[OBJECTS];
  unsigned char *data[OBJECTS]; /* what the objects hold */
};

/* What is asked of the variant's `open`. */
#define STAGE_ORDER(s, path) \
  (&(struct lsi_open){.name = (path), .direct = (s)->v->direct, .maps = (s)->v->maps})

/* 0, or 77 when this machine can't (no io_uring, no direct reads). */
int stage_open(struct stage *s, const struct variant *v);
void stage_close(struct stage *s);
/* An operation in slot `slot` of the arena, a page of guard before its hull and one behind it. */
void stage_op(struct stage *s, struct lsi_op *op, struct lsi_handle *h, unsigned slot,
              uint64_t offset, uint32_t length);
/* LSIO's handler of SIGBUS is in its place: to be called in each test, as cmocka puts its own there
 * before each. */
void stage_guard(void);
uint64_t stage_random(struct stage *s, uint64_t below);

/* A backend of any store by its name; *store (which may be NULL) becomes that store. NULL: there is none. */
const struct lsi_backend_ops *backend_find(const char *name, const struct lsi_store **store);

extern const struct variant variants[];
extern const unsigned n_variants;

#endif
