/* When descriptors are out: who waits for one, and when that is in vain. */
#include "engine/read/descriptors.h"

/* Descriptors are out and this worker has none to give. Something of it in flight will give one back;
 * so may other workers, unless all of them wait like this one (seen twice, as one may just have ended). */
bool lsi_descriptors_may_wait(struct lsi_worker *w) {
  if (w->reader.flights || w->stepper.n_ready) return true;
  if (!w->reader.objects.starving) atomic_fetch_add(&w->run->starving, 1);
  w->reader.objects.starving = true;
  bool before = w->reader.objects.all_starve;
  w->reader.objects.all_starve = atomic_load(&w->run->starving) >= atomic_load(&w->run->running);
  return !(before && w->reader.objects.all_starve);
}

void lsi_descriptors_has(struct lsi_worker *w) {
  if (w->reader.objects.starving) atomic_fetch_sub(&w->run->starving, 1);
  w->reader.objects.starving = w->reader.objects.all_starve = false;
}
