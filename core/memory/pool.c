#include "memory/pool.h"

#include <string.h>

#include "ground/mem.h"
#include "seams/os.h"

#define BLOCK ((size_t)2 << 20)
#define KEPT_MAX 128 /* blocks */

struct kept {
  char *data;
  size_t bytes;
};

struct lsi_pool {
  struct lsi_mutex *mutex;
  uint32_t owners;
  uint64_t limit, kept_bytes, lent_bytes, made;
  uint32_t n;
  struct kept kept[KEPT_MAX]; /* oldest first */
};

struct lsi_pool *lsi_pool_create(void) {
  struct lsi_pool *p = lsi_calloc(1, sizeof *p);
  if (!p) return NULL;
  p->owners = 1;
  p->mutex = lsi_os_mutex_create();
  if (p->mutex) return p;
  lsi_free(p);
  return NULL;
}

/* ---- under the mutex ---- */

static struct kept leave(struct lsi_pool *p, uint32_t i) {
  const struct kept k = p->kept[i];
  p->kept_bytes -= k.bytes;
  p->n--;
  memmove(&p->kept[i], &p->kept[i + 1], (p->n - i) * sizeof *p->kept);
  return k;
}

static bool has_room(const struct lsi_pool *p, uint64_t more) {
  return more <= p->limit && p->lent_bytes + p->kept_bytes <= p->limit - more;
}

/* Gives the oldest back to the system until `more` bytes have room. */
static void make_room(struct lsi_pool *p, uint64_t more) {
  while (p->n && !has_room(p, more)) {
    const struct kept k = leave(p, 0);
    lsi_os_unmap(k.data, k.bytes);
  }
}

/* The smallest that is large enough, but not so large that most of it would be lost. */
static char *reuse(struct lsi_pool *p, size_t size) {
  uint32_t best = p->n;
  for (uint32_t i = 0; i < p->n; i++) {
    const size_t bytes = p->kept[i].bytes;
    if (bytes < size || bytes / 2 > size) continue;
    if (best == p->n || bytes <= p->kept[best].bytes) best = i;
  }
  if (best == p->n) return NULL;
  const struct kept k = leave(p, best);
  if (k.bytes > size) lsi_os_unmap(k.data + size, k.bytes - size);
  return k.data;
}

/* ---- owners ---- */

void lsi_pool_limit(struct lsi_pool *p, uint64_t bytes) {
  lsi_os_lock(p->mutex);
  p->limit = bytes;
  make_room(p, 0);
  lsi_os_unlock(p->mutex);
}

void lsi_pool_close(struct lsi_pool *p) { lsi_pool_limit(p, 0); }

void lsi_pool_hold(struct lsi_pool *p) {
  lsi_os_lock(p->mutex);
  p->owners++;
  lsi_os_unlock(p->mutex);
}

void lsi_pool_drop(struct lsi_pool *p) {
  if (!p) return;
  lsi_os_lock(p->mutex);
  const bool last = --p->owners == 0;
  lsi_os_unlock(p->mutex);
  if (!last) return;
  lsi_pool_close(p);
  lsi_os_mutex_destroy(p->mutex);
  lsi_free(p);
}

/* ---- blocks ---- */

static void *take(struct lsi_pool *p, size_t bytes, size_t unit, bool counted) {
  if (!p) return lsi_os_map(bytes);
  if (!bytes || bytes > SIZE_MAX - unit) return NULL;
  const size_t size = (size_t)lsi_round_up(bytes, unit);
  lsi_os_lock(p->mutex);
  char *data = reuse(p, size);
  if (!data) {
    make_room(p, counted ? size : 0);
    data = lsi_os_map(size);
    if (!data) { /* addresses may be short: those of what is kept will do */
      make_room(p, UINT64_MAX);
      data = lsi_os_map(size);
    }
    p->made += data != NULL;
  }
  if (data && counted) p->lent_bytes += size;
  lsi_os_unlock(p->mutex);
  return data;
}

static void give(struct lsi_pool *p, void *data, size_t bytes, size_t unit, bool counted) {
  if (!data) return;
  if (!p) {
    lsi_os_unmap(data, bytes);
    return;
  }
  const size_t size = (size_t)lsi_round_up(bytes, unit);
  lsi_os_lock(p->mutex);
  if (counted) p->lent_bytes -= size;
  make_room(p, size);
  const bool keep = p->n < KEPT_MAX && has_room(p, size);
  if (keep) {
    p->kept[p->n++] = (struct kept){data, size};
    p->kept_bytes += size;
  }
  lsi_os_unlock(p->mutex);
  if (!keep) lsi_os_unmap(data, size);
}

void *lsi_pool_take(struct lsi_pool *p, size_t bytes, bool counted) { return take(p, bytes, BLOCK, counted); }

void lsi_pool_give(struct lsi_pool *p, void *data, size_t bytes, bool counted) {
  give(p, data, bytes, BLOCK, counted);
}

void *lsi_pool_take_small(struct lsi_pool *p, size_t bytes) { return take(p, bytes, LSI_POOL_SMALL, true); }

void lsi_pool_give_small(struct lsi_pool *p, void *data, size_t bytes) {
  give(p, data, bytes, LSI_POOL_SMALL, true);
}

uint64_t lsi_pool_kept(struct lsi_pool *p) {
  lsi_os_lock(p->mutex);
  const uint64_t bytes = p->kept_bytes;
  lsi_os_unlock(p->mutex);
  return bytes;
}

uint64_t lsi_pool_lent(struct lsi_pool *p) {
  lsi_os_lock(p->mutex);
  const uint64_t bytes = p->lent_bytes;
  lsi_os_unlock(p->mutex);
  return bytes;
}

uint64_t lsi_pool_made(struct lsi_pool *p) {
  lsi_os_lock(p->mutex);
  const uint64_t made = p->made;
  lsi_os_unlock(p->mutex);
  return made;
}
