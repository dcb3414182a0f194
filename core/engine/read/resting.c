/* Files to which somebody was writing when they were opened: their units wait in a ring of the worker's while
 * others go on. */
#include "engine/read/resting.h"

#include "ground/mem.h"

#define WAIT_MOST_NS 1000000u /* before it is seen that the run has been stopped */
#define RESTS 8u              /* of a file that somebody writes to all the time */

/* The unit is put off for so long, and others go on meanwhile. */
int lsi_rest_put(struct lsi_worker *w, struct lsi_flight *f, int unrest_ns) {
  struct lsi_late *l = &w->reader.late;
  if (l->n_resting == l->resting_cap) {
    const uint32_t cap = l->resting_cap ? 2 * l->resting_cap : 16;
    struct lsi_resting *more = lsi_calloc(cap, sizeof *more);
    if (!more) return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory to put a file off");
    for (uint32_t i = 0; i < l->n_resting; i++)
      more[i] = l->resting[(l->resting_first + i) % l->resting_cap];
    lsi_free(l->resting);
    l->resting = more;
    l->resting_cap = cap;
    l->resting_first = 0;
  }
  l->resting[(l->resting_first + l->n_resting++) % l->resting_cap] =
      (struct lsi_resting){.unit = f->unit,
                           .tries = 1 + (l->again.unit == f->unit ? l->again.tries : 0),
                           .until_ns = lsi_os_now_ns() + (uint64_t)unrest_ns};
  f->put_off = true;
  return 1;
}

/* Whoever writes to it all the time has had enough tries: then it is read as it is. */
bool lsi_rest_may(const struct lsi_worker *w, const struct lsi_flight *f) {
  const struct lsi_late *l = &w->reader.late;
  return l->again.unit != f->unit || l->again.tries < RESTS;
}

bool lsi_rest_take(struct lsi_worker *w) {
  struct lsi_late *l = &w->reader.late;
  if (!l->n_resting || lsi_os_now_ns() < l->resting[l->resting_first].until_ns) return false;
  l->again = l->resting[l->resting_first];
  l->resting_first = (l->resting_first + 1) % l->resting_cap;
  l->n_resting--;
  w->reader.next_unit = l->again.unit;
  w->reader.units_end = l->again.unit + 1;
  return true;
}

uint64_t lsi_rest_ns(const struct lsi_worker *w) {
  const struct lsi_late *l = &w->reader.late;
  const uint64_t now = lsi_os_now_ns(), until = l->resting[l->resting_first].until_ns;
  return now < until ? LSI_MIN(until - now, (uint64_t)WAIT_MOST_NS) : 0;
}

void lsi_rest_clear(struct lsi_worker *w) {
  lsi_free(w->reader.late.resting);
  w->reader.late.resting = NULL;
}
