/* See failures.h. */
#include "job/failures.h"

#include <string.h>

#include "ground/mem.h"

_Static_assert(LSI_ERRORS_KEPT <= UINT8_MAX, "their numbers are bytes");

void lsi_failures_init(struct lsi_failures *f) {
  f->n = 0;
  f->n_kept = 0;
  f->kept = NULL;
}

void lsi_failures_clear(struct lsi_failures *f) {
  lsi_free(f->kept);
  lsi_failures_init(f);
}

void lsi_failures_count(struct lsi_failures *f, const struct lsi_error *e, uint64_t n) {
  if (!n) return;
  if (!f->n) memset(f->kinds, 0, sizeof f->kinds);
  struct lsi_failed_kind *k = &f->kinds[lsi_error_kind(e)];
  f->n += n;
  if (k->n && strcmp(k->remedy, e->remedy) != 0) k->differ = true;
  k->n += n;
  if (!e->remedy[0]) return;
  if (k->remedy[0] && k->step < e->step) return;
  memcpy(k->remedy, e->remedy, sizeof k->remedy);
  k->step = e->step;
}

/* Half a megabyte: jobs that read a few bytes, thousands at a time, must not have it for nothing. */
static bool has_room(struct lsi_failures *f) {
  if (!f->kept) f->kept = lsi_reallocarray(NULL, LSI_ERRORS_KEPT, sizeof *f->kept);
  return f->kept;
}

struct lsi_error *lsi_failures_next(struct lsi_failures *f) {
  return f->n_kept < LSI_ERRORS_KEPT && has_room(f) ? &f->kept[f->n_kept++] : NULL;
}

void lsi_failures_add(struct lsi_failures *f, const struct lsi_error *e) {
  lsi_failures_count(f, e, 1);
  if (!has_room(f)) return;
  uint32_t at = f->n_kept;
  if (f->n_kept == LSI_ERRORS_KEPT) {
    at = f->order[LSI_ERRORS_KEPT - 1];
    if (e->step >= f->kept[at].step) return;
  } else {
    f->n_kept++;
  }
  f->kept[at] = *e;
  uint32_t i = f->n_kept - 1;
  for (; i && f->kept[f->order[i - 1]].step > e->step; i--) f->order[i] = f->order[i - 1];
  f->order[i] = (uint8_t)at;
}

void lsi_failures_sort(struct lsi_failures *f) {
  for (uint32_t i = 0; i < f->n_kept; i++) {
    if (f->order[i] == i) continue;
    /* Each takes its place along a circle of them that are in each other's. */
    const struct lsi_error first = f->kept[i];
    uint32_t to = i;
    for (uint32_t from; (from = f->order[to]) != i; to = from) {
      f->kept[to] = f->kept[from];
      f->order[to] = (uint8_t)to;
    }
    f->kept[to] = first;
    f->order[to] = (uint8_t)to;
  }
}
