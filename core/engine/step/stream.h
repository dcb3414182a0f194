/* Results that are streamed: made or read in blocks, or copied there. Inside of the engine; one worker. */
#ifndef LSI_STREAM_H
#define LSI_STREAM_H

#include "engine/state/run.h"
#include "engine/step/result.h"

/* Where a result of at most so many bytes is to be made. NULL: nowhere, it will be copied; so it is where it
 * may turn out much smaller (`exact` false) and does not fit into what is left of a block. */
void *lsi_stream_place(struct lsi_worker *w, uint64_t bytes, bool exact);
/* Hands out what the step has yielded. 0, or negative with w->error. */
int lsi_stream_out(struct lsi_worker *w, uint32_t step, const struct lsi_yield *y);

#endif
