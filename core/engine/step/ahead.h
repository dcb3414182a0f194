/* Memory of the result that is made ready before it is written to (ahead.c). Inside of the engine. */
#ifndef LSI_AHEAD_H
#define LSI_AHEAD_H

#include "engine/state/run.h"

/* Makes some of it ready. False: there is none to be made ready. */
bool lsi_ahead(struct lsi_worker *w);

#endif
