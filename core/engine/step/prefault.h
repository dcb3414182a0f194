/* Memory of the result that is made ready before it is written to (prefault.c). Inside of the engine. */
#ifndef LSI_PREFAULT_H
#define LSI_PREFAULT_H

#include "engine/state/run.h"

/* Makes some of it ready. False: there is none to be made ready. */
bool lsi_prefault(struct lsi_worker *w);

#endif
