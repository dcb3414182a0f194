/* Results on their way to a direct sink: the whole pages of each are written past the page cache by the
 * worker's backend, several at a time, while the worker computes the next ones into other buffers that
 * are still hot. A step is done when its result has landed. Inside of the engine; one worker. */
#ifndef LSI_WRITE_DIRECT_H
#define LSI_WRITE_DIRECT_H

#include "engine/state/run.h"

/* Looks at the run's sink and sets run->write_bytes and write_bytes_least. With less than that, results
 * that need a buffer go through the page cache. */
void lsi_writes_size(struct lsi_run *run);
/* True when results of this run are written from where they were read: no buffers are needed, but the
 * arena holds what is being written. */
bool lsi_writer_lends(const struct lsi_run *run);
/* After the backend; `bytes` of buffers. w->writer stays NULL where there is nothing to write directly or
 * the backend can't. LSIO_ERR_NOMEM. */
int lsi_writer_open(struct lsi_worker *w, size_t bytes);
/* Nothing is in flight. */
void lsi_writer_close(struct lsi_worker *w);

/* Makes the way ready that the result of `step` will take: sets writer->at. False: wait until another one
 * has landed. */
bool lsi_write_ready(struct lsi_worker *w, struct lsi_flight *f, uint32_t step);
/* Where the result of that step is to be made, NULL when it lies somewhere already or has no such way. */
void *lsi_write_place(const struct lsi_worker *w);
/* The result is there: 1 = on its way, or negative with w->error. */
int lsi_write_start(struct lsi_worker *w, const void *data);
/* The step had no result after all. */
void lsi_write_drop(struct lsi_worker *w);
/* Makes operations as far as there is room. */
void lsi_writes_issue(struct lsi_worker *w);
/* Takes back a finished operation. 1: with it the result of *step has landed; negative: that step has
 * failed with w->error; 0: neither. */
int lsi_write_landed(struct lsi_worker *w, struct lsi_op *op, uint32_t *step);
/* The run stops: makes no more operations. Those in flight still land, but no step is done by that. */
void lsi_writes_stop(struct lsi_worker *w);
/* After that, and after the backend broke: those in flight never land. */
void lsi_writes_lost(struct lsi_worker *w);

#endif
