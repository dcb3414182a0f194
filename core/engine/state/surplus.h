/* Memory beyond what a run has reserved for each of its workers, for steps that turn out larger than usual
 * before they are transformed: asked of the context's ledger, whole, so that what all jobs use together stays
 * within what there is. One thread, the worker's. Inside of the engine. */
#ifndef LSI_SURPLUS_H
#define LSI_SURPLUS_H

#include "engine/state/run.h"

/* While a worker waits for it nobody rouses it: it looks so often. */
#define LSI_SURPLUS_NS 1000000

/* Asks for so many bytes instead of what it has. True: they are there. False: they will be, and until then it
 * has none; what it was about to do with them waits. Always true where there is no ledger. */
bool lsi_surplus_ask(struct lsi_worker *w, uint64_t bytes);
/* It has been asked for: is it there by now? */
bool lsi_surplus_came(struct lsi_worker *w);
/* Gives back what it has or waits for, and the buffers that are larger for it. */
void lsi_surplus_end(struct lsi_worker *w);

/* May the step in hand decode to so many bytes? If not it waits, and is begun again later. */
bool lsi_surplus_covers(struct lsi_worker *w, uint64_t decoded);
/* It was not covered: its buffers go back. Returns LSI_STEP_LATER. */
int lsi_surplus_later(struct lsi_worker *w);

static inline bool lsi_surplus_waits(const struct lsi_worker *w) {
  return w->surplus.asked && !w->surplus.held;
}

/* Between steps: gives back what one of them needed, unless it is for a large file that is still to be
 * decoded. */
static inline void lsi_surplus_rest(struct lsi_worker *w) {
  if (LSI_UNLIKELY(w->surplus.held) && !w->reader.late.allowed) lsi_surplus_end(w);
}

#endif
