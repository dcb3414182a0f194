/* The backend `mem`: objects in memory. The reference for authors of backends, so every hook says what
 * is asked of it; and the way to measure what the engine itself costs. Its store: mem_store.c. */
#include "test/mem_objects.h"

#include <string.h>

#include "ground/mem.h"

struct lsi_backend {
  const struct lsi_mem_objects *objects;
  uint32_t depth;
  uint32_t n_done;       /* operations held, all of them finished */
  struct lsi_op *first;  /* of those, chained by op->next, oldest first */
  struct lsi_op **last;  /* where the next one is chained to */
};

const struct lsi_mem_object *lsi_mem_find(const struct lsi_mem_objects *objects, const char *name,
                                          struct lsi_error *err) {
  for (size_t i = 0; objects && i < objects->n; i++)
    if (strcmp(objects->objects[i].name, name) == 0) return &objects->objects[i];
  lsi_fail(err, LSIO_ERR_SOURCE, 0, "there is no such object in memory");
  lsi_error_is(err, LSIO_KIND_NOT_FOUND);
  lsi_error_at(err, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return NULL;
}

struct lsi_object_info lsi_mem_info(const struct lsi_mem_object *o) {
  return (struct lsi_object_info){.size = o->size, .version = {(uintptr_t)o->data}, .device = o->device,
                                  .known = LSI_KNOWN_SIZE | LSI_KNOWN_VERSION};
}

/* Required: does it work here? Memory always does. */
static int mem_probe(struct lsi_error *err) {
  (void)err;
  return 0;
}

/* What it keeps in a handle's `own`. */
static const struct lsi_mem_object *object_of(const struct lsi_handle *h) {
  return (const struct lsi_mem_object *)(uintptr_t)h->own[0];
}

/* Required: an instance, on the thread that will use it. */
static int mem_create(const struct lsi_backend_config *config, struct lsi_backend **out,
                      struct lsi_error *err) {
  struct lsi_backend *b = lsi_calloc(1, sizeof *b);
  if (!b) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the mem backend");
  b->objects = config->user;
  b->depth = config->queue_depth;
  b->last = &b->first;
  *out = b;
  return 0;
}

/* Required: nothing is in flight any more. */
static void mem_destroy(struct lsi_backend *b) { lsi_free(b); }

/* Required: fills *h; `info` is what the object is now, so that the engine sees a change. */
static int mem_open(struct lsi_backend *b, const struct lsi_open *order, struct lsi_handle *h,
                    struct lsi_error *err) {
  const struct lsi_mem_object *o = lsi_mem_find(b->objects, order->name, err);
  if (!o) return LSIO_ERR_SOURCE;
  h->info = lsi_mem_info(o);
  h->own[0] = (uintptr_t)o;
  h->lends = !b->objects->copies;
  return 0;
}

/* Required: *now is what the object is at this moment. */
static int mem_close(struct lsi_backend *b, struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  *now = lsi_mem_info(object_of(h));
  return 0;
}

/* Required: the same of one that stays open. */
static int mem_look(struct lsi_backend *b, const struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  *now = lsi_mem_info(object_of(h));
  return 0;
}

static void finish(struct lsi_op *op) {
  const struct lsi_mem_object *o = object_of(op->handle);
  uint64_t left = op->offset < o->size ? o->size - op->offset : 0;
  op->result = (int64_t)LSI_MIN(left, (uint64_t)op->length);
  const char *from = (const char *)o->data + (left ? op->offset : 0);
  if (op->handle->lends)
    op->data = from;
  else if (op->result)
    memcpy(op->buf, from, (size_t)op->result);
}

/* Required: takes as many as it has room for and says how many. A device would start them here. */
static int mem_submit(struct lsi_backend *b, struct lsi_op *const *ops, int n) {
  int room = (int)(b->depth - b->n_done), taken = LSI_MIN(n, room);
  for (int i = 0; i < taken; i++) {
    finish(ops[i]);
    *b->last = ops[i];
    b->last = &ops[i]->next;
  }
  b->n_done += (uint32_t)taken;
  return taken;
}

/* Required: hands finished operations back, each once. A device would wait here up to timeout_ns;
 * memory is never late. */
static int mem_reap(struct lsi_backend *b, struct lsi_op **done, int max, int64_t timeout_ns,
                    struct lsi_error *err) {
  (void)timeout_ns;
  (void)err;
  int n = LSI_MIN(max, (int)b->n_done);
  for (int i = 0; i < n; i++) {
    done[i] = b->first;
    b->first = b->first->next;
  }
  b->n_done -= (uint32_t)n;
  if (!b->n_done) b->last = &b->first;
  return n;
}

/* Optional, required for those that lend: the engine is done with op->data. Nothing to give back. */
static void mem_release(struct lsi_backend *b, struct lsi_op *op) {
  (void)b;
  (void)op;
}

/* The optional hook `cancel` is left out: everything in here has finished. */
const struct lsi_backend_ops lsi_backend_mem = {
    .version = LSI_BACKEND_VERSION,
    .name = "mem",
    .probe = mem_probe,
    .create = mem_create,
    .destroy = mem_destroy,
    .open = mem_open,
    .close = mem_close,
    .submit = mem_submit,
    .reap = mem_reap,
    .release = mem_release,
    .look = mem_look,
};
