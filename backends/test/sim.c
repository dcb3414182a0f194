#include "test/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/mem.h"
#include "seams/os.h"

#define BLOCK 4096u
#define SECTOR 512u /* what a direct write that ends early ends at */

struct entry {
  uint64_t due, tie;
  struct lsi_op *op;
  bool cancelled;
};

struct lsi_backend {
  struct lsi_sim *sim;
  uint64_t rng, now;
  uint32_t depth, n, open;
  struct entry *heap; /* unsorted: depths are small */
};

/* What it keeps in a handle. */
struct sim_object {
  uint32_t index;
  bool changed; /* modified since it was opened */
};
_Static_assert(sizeof(struct sim_object) <= LSI_HANDLE_OWN, "it fits into a handle");

static struct sim_object *object_of(const struct lsi_handle *h) {
  return (struct sim_object *)(uintptr_t)h->own; /* handles are never in const memory */
}

static uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static uint64_t draw(struct lsi_backend *b, uint64_t n) {
  return n ? mix(b->rng += 0x9e3779b97f4a7c15u) % n : 0;
}

static bool chance(struct lsi_backend *b, uint32_t per_thousand) {
  return per_thousand && draw(b, 1000) < per_thousand;
}

static void violated(const struct lsi_sim *sim, const char *what) {
  fprintf(stderr, "sim, seed %" PRIu64 ": %s\n", sim->seed, what);
  abort();
}

uint8_t lsi_sim_byte(const struct lsi_sim *sim, uint32_t object, uint64_t offset) {
  if (sim->objects[object].bytes) return sim->objects[object].bytes[offset];
  uint64_t word = mix(sim->seed ^ ((uint64_t)(object + 1) << 48) ^ (offset / 8));
  return (uint8_t)(word >> (offset % 8 * 8));
}

static bool bad_block(const struct lsi_sim *sim, uint32_t object, uint64_t block) {
  return sim->bad_block &&
         mix(mix(sim->seed + 77) ^ ((uint64_t)object << 40) ^ block) % 1000 < sim->bad_block;
}

bool lsi_sim_bad(const struct lsi_sim *sim, uint32_t object, uint64_t offset, uint64_t length) {
  for (uint64_t b = offset / BLOCK; length && b <= (offset + length - 1) / BLOCK; b++)
    if (bad_block(sim, object, b)) return true;
  return false;
}

static int find(const struct lsi_sim *sim, const char *name) {
  for (uint32_t i = 0; sim && i < sim->n_objects; i++)
    if (strcmp(sim->objects[i].name, name) == 0) return (int)i;
  return -1;
}

struct lsi_object_info lsi_sim_info(const struct lsi_sim_object *o, uint32_t i) {
  if (o->missing)
    return (struct lsi_object_info){.version = {0, LSIO_KIND_NOT_FOUND}, .known = LSI_KNOWN_FAULT};
  return (struct lsi_object_info){.size = o->size, .version = {i, 1}, .device = o->device,
                                  .known = LSI_KNOWN_SIZE | LSI_KNOWN_VERSION};
}

static struct lsi_object_info info_of(const struct lsi_sim *sim, uint32_t i, bool changed) {
  struct lsi_object_info info = lsi_sim_info(&sim->objects[i], i);
  if (changed) info.version[0] += 1000000;
  return info;
}

static int sim_probe(struct lsi_error *err) {
  (void)err;
  return 0;
}

static int missing(const char *name, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_SOURCE, ENOENT, "there is no such simulated object");
  lsi_error_at(err, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return LSIO_ERR_SOURCE;
}

static int sim_create(const struct lsi_backend_config *config, struct lsi_backend **out,
                      struct lsi_error *err) {
  if (!config->user)
    return lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "the sim backend serves LSIO's own tests only");
  struct lsi_backend *b = lsi_calloc(1, sizeof *b);
  if (b) b->heap = lsi_calloc(config->queue_depth, sizeof *b->heap);
  if (!b || !b->heap) {
    lsi_free(b);
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the sim backend");
  }
  b->sim = (struct lsi_sim *)config->user; /* its counters are written; the rest is read only */
  b->rng = mix(b->sim->seed + atomic_fetch_add(&b->sim->instances, 1) * 1000003u);
  b->depth = config->queue_depth;
  *out = b;
  return 0;
}

static void sim_destroy(struct lsi_backend *b) {
  if (b->n) violated(b->sim, "destroyed with operations in flight");
  if (b->open) violated(b->sim, "destroyed with objects open");
  lsi_free(b->heap);
  lsi_free(b);
}

/* What the engine may not believe of an object that can't be read so is garbage in its room. */
static void read_whole(struct lsi_backend *b, uint32_t i, const struct lsi_open *order,
                       struct lsi_handle *h) {
  const struct lsi_sim_object *o = &b->sim->objects[i];
  if (!order->room_bytes) return;
  h->whole = o->size < order->room_bytes && o->real_size == o->size && !o->changed_at_open &&
             !o->changed_at_close && !lsi_sim_bad(b->sim, i, 0, o->size) && chance(b, b->sim->whole);
  memset(order->room, 0xee, order->room_bytes);
  for (uint64_t at = 0; h->whole && at < o->size; at++)
    ((uint8_t *)order->room)[at] = lsi_sim_byte(b->sim, i, at);
  if (h->whole) atomic_fetch_add(&b->sim->wholes, 1);
}

static int sim_open(struct lsi_backend *b, const struct lsi_open *order, struct lsi_handle *h,
                    struct lsi_error *err) {
  int i = find(b->sim, order->name);
  if (i < 0 || b->sim->objects[i].missing || b->sim->objects[i].gone) return missing(order->name, err);
  if (b->open && chance(b, b->sim->emfile)) {
    atomic_fetch_add(&b->sim->emfiles, 1);
    return lsi_fail(err, LSIO_ERR_IO, draw(b, 2) ? EMFILE : ENFILE, "a source could not be opened");
  }
  if (order->settle && chance(b, b->sim->restless)) {
    atomic_fetch_add(&b->sim->rests, 1);
    return 1 + (int)draw(b, 100000);
  }
  h->info = info_of(b->sim, (uint32_t)i, b->sim->objects[i].changed_at_open);
  *object_of(h) = (struct sim_object){.index = (uint32_t)i};
  h->endless = b->sim->objects[i].size == LSI_ENDLESS;
  h->direct = order->direct == LSI_DIRECT_ALWAYS;
  b->open++;
  read_whole(b, (uint32_t)i, order, h);
  return 0;
}

static int sim_look(struct lsi_backend *b, const struct lsi_handle *h, struct lsi_object_info *now) {
  const struct sim_object *opened = object_of(h);
  const struct lsi_sim_object *o = &b->sim->objects[opened->index];
  *now = info_of(b->sim, opened->index, o->changed_at_open);
  if (o->real_size < o->size && !h->endless) now->size = o->real_size;
  now->version[1] += opened->changed;
  return 0;
}

static int sim_close(struct lsi_backend *b, struct lsi_handle *h, struct lsi_object_info *now) {
  const uint32_t i = object_of(h)->index;
  sim_look(b, h, now);
  if (b->sim->objects[i].changed_at_close) *now = info_of(b->sim, i, true);
  b->open--;
  return 0;
}

/* The bytes of the whole aligned hull: true ones inside the object, garbage behind its end. */
static void fill(struct lsi_backend *b, const struct lsi_op *op, uint64_t from, uint64_t to) {
  const uint32_t i = object_of(op->handle)->index;
  uint64_t end = b->sim->objects[i].real_size;
  char *base = (char *)op->buf;
  const char other = object_of(op->handle)->changed ? 0x55 : 0;
  for (uint64_t at = from; at < to; at++)
    base[(int64_t)(at - op->offset)] = at < end ? (char)lsi_sim_byte(b->sim, i, at) ^ other : (char)0xee;
}

static void read_now(struct lsi_backend *b, struct lsi_op *op) {
  struct lsi_sim *sim = b->sim;
  const uint32_t i = object_of(op->handle)->index;
  uint64_t size = sim->objects[i].real_size;
  if (sim->objects[i].changing && draw(b, 8) == 0) object_of(op->handle)->changed = true;
  uint64_t n = op->offset < size ? LSI_MIN((uint64_t)op->length, size - op->offset) : 0;
  uint64_t good = 0; /* bytes in front of the first bad block */
  while (good < n && !bad_block(sim, i, (op->offset + good) / BLOCK))
    good += BLOCK - (op->offset + good) % BLOCK;
  op->os_code = 0;
  if (good < n && (good == 0 || op->handle->endless || draw(b, 2))) {
    op->result = LSIO_ERR_IO;
    op->os_code = EIO;
    op->final = chance(b, sim->final);
    op->why = op->final || draw(b, 2) ? lsi_malloc(sizeof *op->why) : NULL;
    if (op->why) lsi_error_clear(op->why);
    lsi_fail(op->why, LSIO_ERR_IO, EIO, "the simulated disk says no");
    return;
  }
  n = LSI_MIN(n, good);
  if (n > 1 && !op->handle->endless && chance(b, sim->short_read)) {
    const uint64_t all = n;
    n = 1 + draw(b, n - 1);
    /* A device ends a read where a page ends. */
    if (op->exact && op->handle->direct) n = n < LSI_ALIGN ? all : lsi_round_down(n, LSI_ALIGN);
  }
  uint64_t hull_end = lsi_round_up(op->offset + op->length, LSI_ALIGN);
  uint64_t from = op->offset, to = op->offset + n;
  if (!op->exact && draw(b, 2)) { /* as a direct read: the whole hull */
    from = lsi_round_down(from, LSI_ALIGN);
    if (n == op->length) to = hull_end;
  }
  fill(b, op, from, to);
  op->beside = (uint32_t)(to - from - n);
  atomic_fetch_add(&sim->beside, op->beside);
  op->result = (int64_t)n;
}

static void write_now(struct lsi_backend *b, struct lsi_op *op) {
  static const int codes[] = {EIO, ENOSPC, EDQUOT};
  uint64_t n = op->length;
  op->uncopied = op->handle->direct;
  if (chance(b, b->sim->short_write)) n = draw(b, n / SECTOR + 1) * SECTOR;
  if (chance(b, b->sim->write_error)) {
    op->result = LSIO_ERR_IO;
    op->os_code = codes[draw(b, LSI_COUNTOF(codes))];
    atomic_fetch_add(&b->sim->writes_failed, 1);
    return;
  }
  const int64_t put = n ? b->sim->put(op->handle, op->buf, n, op->offset) : 0;
  op->os_code = put < 0 ? (int32_t)-put : 0;
  op->result = put < 0 ? LSIO_ERR_IO : put;
  if (n == 0) atomic_fetch_add(&b->sim->writes_failed, 1); /* nothing written is no room */
}

static void check_write(const struct lsi_sim *sim, const struct lsi_op *op) {
  if (!sim->put) violated(sim, "a write, and nowhere to put it");
  if (((uintptr_t)op->buf | op->offset | op->length) % SECTOR)
    violated(sim, "a direct write that is not aligned");
}

static void check_place(const struct lsi_sim *sim, const struct lsi_op *op) {
  const uint64_t at = (uintptr_t)op->buf;
  const bool ended = op->offset >= sim->objects[object_of(op->handle)->index].real_size;
  if (!op->exact && (at - op->offset) % LSI_ALIGN) violated(sim, "buffer not congruent to offset");
  /* What is left of a read that met the end of a truncated object lies anywhere. */
  if (op->exact && op->handle->direct && !ended && (at | op->offset | op->length) % LSI_ALIGN)
    violated(sim, "a direct read that must be exact and is not aligned");
}

static int sim_submit(struct lsi_backend *b, struct lsi_op *const *ops, int n) {
  struct lsi_sim *sim = b->sim;
  int taken = 0;
  for (; taken < n && b->n < b->depth; taken++) {
    struct lsi_op *op = ops[taken];
    if (b->n && chance(b, sim->full)) break;
    if (op->kind == LSI_OP_WRITE)
      check_write(sim, op);
    else
      check_place(sim, op);
    if (!op->length || op->length > 1u << 30) violated(sim, "operation of a wrong length");
    uint32_t device = op->handle->info.device % LSI_SIM_DEVICES;
    uint32_t now = atomic_fetch_add(&sim->in_flight[device], 1) + 1;
    if (sim->cap[device] && now > sim->cap[device]) violated(sim, "more in flight than the cap");
    uint64_t delay = sim->delay_max ? draw(b, sim->delay_max) : 0;
    const uint64_t from = sim->by_clock ? lsi_os_now_ns() : b->now;
    b->heap[b->n++] = (struct entry){from + delay, draw(b, UINT64_MAX), op, false};
    atomic_fetch_add(&sim->operations, 1);
  }
  return taken;
}

static uint32_t earliest(const struct lsi_backend *b) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < b->n; i++) {
    const struct entry *x = &b->heap[i], *y = &b->heap[best];
    if (x->due < y->due || (x->due == y->due && x->tie < y->tie)) best = i;
  }
  return best;
}

static int sim_reap(struct lsi_backend *b, struct lsi_op **done, int max, int64_t timeout_ns,
                    struct lsi_error *err) {
  (void)err;
  if (!b->n || (timeout_ns == 0 && draw(b, 2))) return 0;
  int want = 1 + (int)draw(b, (uint64_t)max), n = 0;
  const uint64_t now = b->sim->by_clock ? lsi_os_now_ns() : 0;
  while (n < want && b->n) {
    uint32_t at = earliest(b);
    struct entry e = b->heap[at];
    if (b->sim->by_clock && e.due > now && !e.cancelled) {
      if (e.due < atomic_load(&b->sim->next_ns)) atomic_store(&b->sim->next_ns, e.due);
      break;
    }
    b->heap[at] = b->heap[--b->n];
    b->now = LSI_MAX(b->now, e.due);
    if (e.cancelled) {
      e.op->result = LSIO_ERR_CANCELLED;
    } else if (chance(b, b->sim->again)) {
      e.op->result = LSIO_ERR_IO;
      e.op->os_code = draw(b, 2) ? EAGAIN : EINTR;
    } else if (e.op->kind == LSI_OP_WRITE) {
      write_now(b, e.op);
    } else {
      read_now(b, e.op);
    }
    atomic_fetch_sub(&b->sim->in_flight[e.op->handle->info.device % LSI_SIM_DEVICES], 1);
    done[n++] = e.op;
  }
  return n;
}

/* What is in flight; what comes later is not meant. */
static void sim_cancel(struct lsi_backend *b) {
  const bool can = draw(b, 2);
  for (uint32_t i = 0; i < b->n; i++) b->heap[i].cancelled |= can;
}

const struct lsi_backend_ops lsi_backend_sim = {
    .version = LSI_BACKEND_VERSION,
    .name = "sim",
    .caps = LSI_CAP_WRITES,
    .probe = sim_probe,
    .create = sim_create,
    .destroy = sim_destroy,
    .open = sim_open,
    .close = sim_close,
    .submit = sim_submit,
    .reap = sim_reap,
    .cancel = sim_cancel,
    .look = sim_look,
};

/* ---- the store ---- */

static int sim_stat_many(const void *user, const char *const *names, size_t n, struct lsi_object_info *infos,
                         struct lsi_watch *watch, bool faults, struct lsi_error *err) {
  for (size_t k = 0; k < n; k++) {
    const struct lsi_sim *sim = user;
    const int found = find(sim, names[k]), i = found >= 0 && sim->objects[found].missing ? -1 : found;
    if (i < 0 && !faults) return missing(names[k], err);
    const int rc = watch ? lsi_watch_tell(watch, n, k, err) : 0;
    if (rc < 0) return rc;
    infos[k] = i < 0 ? (struct lsi_object_info){.version = {0, LSIO_KIND_NOT_FOUND}, .known = LSI_KNOWN_FAULT}
                     : info_of(user, (uint32_t)i, false);
  }
  return 0;
}

static int sim_fault(const struct lsi_object_info *info, const char *name, struct lsi_error *err) {
  (void)info;
  return missing(name, err);
}

static void sim_model(const void *user, uint32_t device, const char *name, struct lsi_device_model *out) {
  (void)user, (void)device, (void)name;
  lsi_device_preset(LSI_DEVICE_MEMORY, out);
}

static int unsupported(const char *name, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "simulated objects can't be listed, or read whole");
  lsi_error_at(err, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return LSIO_ERR_UNSUPPORTED;
}

static int sim_list(const void *user, const char *pattern, struct lsi_watch *watch, lsi_each_name *add,
                    void *ctx, struct lsi_error *err) {
  (void)user, (void)watch;
  return strchr(pattern, '*') ? unsupported(pattern, err) : add(ctx, pattern, strlen(pattern), false);
}

static int sim_read_all(const void *user, const char *name, const struct lsi_whole *how, char **text,
                        size_t *length, struct lsi_error *err) {
  (void)user, (void)how, (void)text, (void)length;
  return unsupported(name, err);
}

static const struct lsi_backend_ops *const backends[] = {&lsi_backend_sim, NULL};

const struct lsi_store lsi_store_sim = {
    .version = LSI_STORE_VERSION,
    .name = "sim",
    .backends = backends,
    .stat_many = sim_stat_many,
    .fault = sim_fault,
    .model = sim_model,
    .changed = lsi_object_changed,
    .list = sim_list,
    .read_all = sim_read_all,
};

const struct lsi_store *const lsi_sim_stores[] = {&lsi_store_sim, NULL};
