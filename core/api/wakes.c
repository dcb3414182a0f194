#include "api/wakes.h"

#define BUSY_NS 1000000u /* who was woken in that time will be soon again */

/* A job that is told of before the consumer has been woken again since it was submitted may be all that the
 * consumer waits for, however many others go on. */
bool lsi_wakes_holds(const struct lsi_wakes *w, uint32_t ready, uint64_t since_ns, uint64_t now_ns) {
  return now_ns < w->woken_ns + LSI_WAKE_NS && since_ns < w->woken_ns && w->running >= w->enough &&
         ready < LSI_WAKE_JOBS && !w->never;
}

bool lsi_wakes_due(const struct lsi_wakes *w, uint64_t now_ns) {
  return w->held && now_ns >= w->woken_ns + LSI_WAKE_NS;
}

/* It stays set while the consumer is busy: as a rule who comes next wakes it on the way, and to set one
 * for each wake that is held would wake the alarms' thread as often. It looks seldom, for that takes a CPU
 * from workers: what is held when it has just looked, and nobody comes, waits for so long. */
uint64_t lsi_wakes_look(const struct lsi_wakes *w, uint64_t now_ns) {
  if (w->held) return w->woken_ns + LSI_WAKE_NS;
  return w->running && now_ns < w->woken_ns + BUSY_NS ? now_ns + BUSY_NS : 0;
}
