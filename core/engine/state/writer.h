/* Results of one worker on their way to a direct sink: write_direct.c. */
#ifndef LSI_WRITER_H
#define LSI_WRITER_H

#include "memory/arena.h"
#include "sink/sink.h"

struct lsi_flight;

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
  uint64_t issued;            /* bytes given to operations */
  uint64_t to_issue;          /* bytes left for them */
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
  struct lsi_write *at; /* made ready for the next step's result; NULL: goes through the page cache */
  struct lsi_write *free;
  struct lsi_write *first;      /* with operations to be made */
  struct lsi_write *last;
  struct lsi_write_op *free_ops;
  struct lsi_write_op *again;   /* to be tried again */
  uint32_t results;             /* that have not landed, with `at` */
  uint32_t in_flight;           /* operations, with those in the worker's queue */
  struct lsi_write all[LSI_WRITE_RESULTS];
  struct lsi_write_op ops[LSI_WRITE_OPS];
};

#endif
