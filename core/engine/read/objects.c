/* Open objects of one worker: a hash table over a fixed number of slots, the least recently used
 * unused one is closed for the next. */
#include "engine/read/objects.h"

#include <errno.h>
#include <string.h>

#include "engine/read/descriptors.h"
#include "engine/read/unchanged.h"
#include "ground/mem.h"

#define SPAN_EXTENTS 16u
#define NO_SLOT 0u /* indices are stored + 1 */

static void slot_put(struct lsi_objects *o, struct lsi_slot *s) {
  s->open = false;
  s->hash_next = o->free;
  o->free = (uint32_t)(s - o->slots) + 1;
}

int lsi_objects_init(struct lsi_objects *o, uint32_t slots) {
  memset(o, 0, sizeof *o);
  uint32_t buckets = 16;
  while (buckets < 2 * slots) buckets *= 2;
  o->slots = lsi_calloc(slots, sizeof *o->slots);
  o->buckets = lsi_calloc(buckets, sizeof *o->buckets);
  if (!o->slots || !o->buckets) {
    lsi_objects_clear(o);
    return LSIO_ERR_NOMEM;
  }
  o->mask = buckets - 1;
  for (uint32_t i = slots; i > 0; i--) slot_put(o, &o->slots[i - 1]);
  return 0;
}

void lsi_objects_clear(struct lsi_objects *o) {
  lsi_free(o->slots);
  lsi_free(o->buckets);
  memset(o, 0, sizeof *o);
}

static uint32_t *bucket_of(struct lsi_objects *o, uint32_t object) {
  return &o->buckets[(object * 2654435761u >> 7) & o->mask];
}

static void lru_remove(struct lsi_objects *o, struct lsi_slot *s) {
  if (s->newer) o->slots[s->newer - 1].older = s->older;
  else o->newest = s->older;
  if (s->older) o->slots[s->older - 1].newer = s->newer;
  else o->oldest = s->newer;
}

static void lru_push(struct lsi_objects *o, struct lsi_slot *s) {
  uint32_t me = (uint32_t)(s - o->slots) + 1;
  s->newer = NO_SLOT;
  s->older = o->newest;
  if (o->newest) o->slots[o->newest - 1].newer = me;
  else o->oldest = me;
  o->newest = me;
}

static int slot_close(struct lsi_worker *w, struct lsi_slot *s) {
  struct lsi_objects *o = &w->reader.objects;
  uint32_t me = (uint32_t)(s - o->slots) + 1;
  uint32_t *at = bucket_of(o, s->object);
  while (*at && *at != me) at = &o->slots[*at - 1].hash_next;
  if (*at) *at = s->hash_next;
  lru_remove(o, s);
  slot_put(o, s);
  if (o->last == s) o->last = NULL;
  struct lsi_object_info now = s->handle.info;
  lsi_descriptors_gave(w);
  return lsi_unchanged_settle(w, s, w->ops->close(w->backend, &s->handle, &now), &now);
}

/* The least recently used slot that nothing refers to; NULL when all are in use. */
static struct lsi_slot *oldest_unused(struct lsi_objects *o) {
  for (uint32_t i = o->oldest; i; i = o->slots[i - 1].newer)
    if (o->slots[i - 1].refs == 0) return &o->slots[i - 1];
  return NULL;
}

/* A free slot, closing another object if need be. NULL with w->error.code 0: all are in use. */
static struct lsi_slot *slot_get(struct lsi_worker *w) {
  struct lsi_objects *o = &w->reader.objects;
  if (!o->free) {
    struct lsi_slot *victim = oldest_unused(o);
    if (!victim || slot_close(w, victim) < 0) return NULL;
  }
  struct lsi_slot *s = &o->slots[o->free - 1];
  o->free = s->hash_next;
  return s;
}

/* Opens an object in a slot; when descriptors run out, closes unused objects one by one. Negative without
 * w->error: all are in use, try again when a unit has ended. Else as the hook `open`. */
static int slot_open(struct lsi_worker *w, struct lsi_slot *s, const struct lsi_open *order) {
  w->reader.objects.refused = false;
  for (;;) {
    memset(&s->handle, 0, sizeof s->handle);
    int rc = w->ops->open(w->backend, order, &s->handle, &w->error);
    if (rc >= 0) {
      lsi_descriptors_has(w);
      return rc;
    }
    bool out_of_descriptors =
        rc == LSIO_ERR_IO && (w->error.os_code == EMFILE || w->error.os_code == ENFILE);
    struct lsi_slot *other = out_of_descriptors ? oldest_unused(&w->reader.objects) : NULL;
    if (!other) {
      if (out_of_descriptors && lsi_descriptors_may_wait(w)) {
        lsi_error_clear(&w->error);
        return LSIO_ERR_LIMIT;
      }
      lsi_error_at(&w->error, order->name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
      if (out_of_descriptors)
        lsi_error_remedy(&w->error, "raise the limit of open files (ulimit -n)");
      w->reader.objects.refused = !out_of_descriptors;
      return rc;
    }
    lsi_error_clear(&w->error);
    rc = slot_close(w, other);
    if (rc < 0) return rc;
  }
}

static struct lsi_slot *find(struct lsi_worker *w, uint32_t object) {
  struct lsi_objects *o = &w->reader.objects;
  for (uint32_t i = *bucket_of(o, object); i; i = o->slots[i - 1].hash_next) {
    struct lsi_slot *s = &o->slots[i - 1];
    if (s->object != object) continue;
    lru_remove(o, s);
    lru_push(o, s);
    s->refs++;
    o->last = s;
    return s;
  }
  return NULL;
}

/* Takes a slot that has just been opened among the others. */
static void keep(struct lsi_worker *w, struct lsi_slot *s, uint32_t object) {
  struct lsi_objects *o = &w->reader.objects;
  s->object = object;
  s->device = w->run->wave.request->object_device[object];
  s->open = true;
  s->refs = 1;
  uint32_t *bucket = bucket_of(o, object);
  s->hash_next = *bucket;
  *bucket = (uint32_t)(s - o->slots) + 1;
  lru_push(o, s);
  o->last = s;
}

/* What all extents of the object span, where they are few enough to look for them: asking about the whole of
 * a large file can cost more than reading a little of it. */
static void set_span(const struct lsi_worker *w, uint32_t object, struct lsi_open *order) {
  const struct lsi_plan *plan = w->run->wave.plan;
  if (plan->n_extents > SPAN_EXTENTS || w->run->wave.request->late) return;
  uint64_t from = UINT64_MAX, to = 0;
  for (const struct lsi_extent *e = plan->extents, *end = e + plan->n_extents; e < end; e++) {
    if (e->object != object) continue;
    from = LSI_MIN(from, e->offset);
    to = LSI_MAX(to, e->offset + e->length);
  }
  order->from = from;
  order->bytes = to > from ? to - from : 0;
}

static struct lsi_slot *open_new(struct lsi_worker *w, uint32_t object, struct lsi_late_open *how) {
  struct lsi_slot *s = slot_get(w);
  if (!s) return NULL;
  how->order.name = lsi_request_name(w->run->wave.request, object);
  how->order.known = &w->run->wave.request->objects[object];
  how->order.run = w->run->config.number;
  how->order.direct = w->run->config.direct;
  set_span(w, object, &how->order);
  how->order.maps = w->reader.lending.allowed;
  struct lsi_trace_ring *const ring = w->home->trace;
  const uint64_t before = ring ? lsi_os_now_ns() : 0;
  const int rc = slot_open(w, s, &how->order);
  if (ring)
    lsi_trace_add(ring, LSI_TRACE_OPEN, before, lsi_os_now_ns(), w->run->config.number, LSI_TRACE_NONE,
                  s->handle.info.size);
  if (rc == 0) return s;
  how->unrest_ns = rc > 0 ? rc : 0;
  slot_put(&w->reader.objects, s);
  return NULL;
}

struct lsi_slot *lsi_object_open(struct lsi_worker *w, uint32_t object) {
  struct lsi_slot *s = find(w, object);
  struct lsi_late_open how = {0};
  if (s || !(s = open_new(w, object, &how))) return s;
  keep(w, s, object);
  if (lsi_unchanged(w, object, &s->handle.info) < 0) {
    s->refs = 0;
    return NULL;
  }
  return s;
}

struct lsi_slot *lsi_object_open_late(struct lsi_worker *w, uint32_t object, struct lsi_late_open *how) {
  how->whole = false;
  how->unrest_ns = 0;
  if (w->run->wave.request->objects[object].known & LSI_KNOWN_SIZE) return lsi_object_open(w, object);
  struct lsi_slot *s = open_new(w, object, how);
  if (!s) return NULL;
  s->handle.info.store = w->run->wave.request->objects[object].store;
  w->run->config.spec->request->objects[object] = s->handle.info;
  how->whole = s->handle.whole;
  if (!how->whole) {
    keep(w, s, object);
    return s;
  }
  slot_put(&w->reader.objects, s);
  lsi_descriptors_gave(w);
  struct lsi_object_info now = s->handle.info;
  return lsi_unchanged_by(w, object, w->ops->close(w->backend, &s->handle, &now), &now) < 0 ? NULL : s;
}

int lsi_objects_shed(struct lsi_worker *w) {
  for (struct lsi_flight *f = w->stepper.ready; f; f = f->next) {
    if (f->ahead) continue; /* more is read of it */
    for (struct lsi_flight_extent *x = f->extents, *end = x + f->n_extents; x < end; x++) {
      if (!x->slot || x->lent) continue;
      x->slot->refs--;
      x->slot = NULL;
    }
  }
  for (struct lsi_slot *s; (s = oldest_unused(&w->reader.objects));) {
    int rc = slot_close(w, s);
    if (rc < 0) return rc;
  }
  return 0;
}

int lsi_object_close(struct lsi_worker *w, struct lsi_slot *s) {
  return s->refs ? 0 : slot_close(w, s);
}

int lsi_objects_close(struct lsi_worker *w) {
  int rc = 0;
  while (w->reader.objects.newest) {
    struct lsi_slot *s = &w->reader.objects.slots[w->reader.objects.newest - 1];
    uint32_t object = s->object;
    int one = slot_close(w, s);
    if (one >= 0 && rc >= 0 && !(w->ops->caps & LSI_CAP_PINNED)) one = lsi_unchanged_name(w, object);
    if (one < 0) rc = one;
  }
  return rc;
}
