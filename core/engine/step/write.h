/* Results on their way to a direct sink: the whole pages of each are written past the page cache by the
 * worker's backend, several at a time, while the worker computes the next ones into other buffers that
 * are still hot. A step is done when its result has landed. Inside of the engine; one worker. */
#ifndef LSI_WRITE_H
#define LSI_WRITE_H

#include "engine/state/run.h"

#define LSI_WRITE_OPS 16u             /* most in flight of one worker */
#define LSI_WRITE_OP_BYTES (1u << 20) /* a result's pages are cut into operations of so many bytes */
#define LSI_WRITE_RESULTS 64u         /* of one worker that have not landed */
/* Buffers of one worker, or two of its largest result. More take longer to fill: with 8 MiB they lie in
 * memory, not in a cache of 1 MiB beside a shared one of 32 (int16 to float32: 0.24 against 0.19 s of CPU
 * for 4 GiB), and the disk is as busy with 4. */
#define LSI_WRITE_BYTES (4u << 20)

/* A result. */
struct lsi_write {
  struct lsi_write *next;     /* among the free ones, or those with operations to be made */
  uint32_t step;
  uint32_t ops_left;          /* in flight */
  struct lsi_sink_span span;
  const char *data;           /* the byte for span.begin: in `buffer`, or NULL before it is known */
  uint64_t issued;            /* bytes given to operations, ... */
  uint64_t to_issue;          /* ... and bytes left for them */
  void *buffer;               /* leased; NULL: written from where the flight has it */
  size_t buffer_bytes;
  struct lsi_flight *flight;  /* kept until then; NULL with a buffer */
  bool lost;                  /* some of it was not written */
};

struct lsi_write_op {
  struct lsi_op op; /* first: the backend hands back its address */
  struct lsi_write *write;
  struct lsi_write_op *next; /* among the free ones, or those to be tried again */
  uint32_t retries;
};

struct lsi_writer {
  struct lsi_handle handle;     /* the worker's own copy */
  uint32_t device;              /* of the plan, whose cap it keeps; UINT32_MAX: none */
  struct lsi_arena buffers;
  struct lsi_write *at;         /* made ready for the next step's result; NULL: goes through the page cache */
  struct lsi_write *free;
  struct lsi_write *first, *last; /* with operations to be made */
  struct lsi_write_op *free_ops, *again;
  uint32_t results;             /* that have not landed, with `at` */
  uint32_t in_flight;           /* operations, with those in the worker's queue */
  struct lsi_write all[LSI_WRITE_RESULTS];
  struct lsi_write_op ops[LSI_WRITE_OPS];
};

/* Looks at the run's sink and sets run->write_bytes and write_bytes_least. With less than that, results
 * that need a buffer go through the page cache. */
void lsi_writes_size(struct lsi_run *run);
/* True when results of this run are written from where they were read: no buffers are needed, but the
 * arena holds what is being written. */
bool lsi_writer_lends(const struct lsi_run *run);
/* After the backend. w->writer stays NULL where there is nothing to write directly or the backend can't.
 * LSIO_ERR_NOMEM. */
int lsi_writer_open(struct lsi_worker *w);
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
/* Takes back a finished operation. */
void lsi_write_landed(struct lsi_worker *w, struct lsi_op *op);
/* The run stops: makes no more operations. Those in flight still land. */
void lsi_writes_stop(struct lsi_worker *w);
/* After that, and after the backend broke: those in flight never land. */
void lsi_writes_lost(struct lsi_worker *w);

#endif
