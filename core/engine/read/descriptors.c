/* When descriptors are out: who waits for one, and when that is in vain. */
#include "engine/read/descriptors.h"

static uint32_t open_elsewhere(const struct lsi_worker *w) {
  return w->home->descriptors ? atomic_load(&w->home->descriptors->open) : 0;
}

static void starve(struct lsi_worker *w, bool yes) {
  if (w->reader.objects.starving == yes) return;
  w->reader.objects.starving = yes;
  atomic_fetch_add(&w->run->starving, yes ? 1 : -1u);
  if (w->home->descriptors) atomic_fetch_add(&w->home->descriptors->starving, yes ? 1 : -1u);
}

/* Descriptors are out and this worker has none to give. Something of it in flight will give one back;
 * so may other workers, of its run or of others, unless all of its run wait like this one and no other has an
 * object open (seen twice, as one may just have ended). */
bool lsi_descriptors_may_wait(struct lsi_worker *w) {
  if (w->reader.flights || w->stepper.n_ready) return true;
  starve(w, true);
  bool before = w->reader.objects.all_starve;
  w->reader.objects.all_starve =
      atomic_load(&w->run->starving) >= atomic_load(&w->run->running) && !open_elsewhere(w);
  return !(before && w->reader.objects.all_starve);
}

void lsi_descriptors_has(struct lsi_worker *w) {
  if (w->home->descriptors) atomic_fetch_add(&w->home->descriptors->open, 1);
  lsi_descriptors_leave(w);
}

void lsi_descriptors_gave(struct lsi_worker *w) {
  if (w->home->descriptors) atomic_fetch_sub(&w->home->descriptors->open, 1);
}

void lsi_descriptors_leave(struct lsi_worker *w) {
  starve(w, false);
  w->reader.objects.all_starve = false;
}

bool lsi_descriptors_wanted(const struct lsi_worker *w) {
  return atomic_load(&w->run->starving) ||
         (w->home->descriptors && atomic_load(&w->home->descriptors->starving));
}
