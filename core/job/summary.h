/* The figures of a run: filled by the engine, shown by the runner, handed to done(result, info). */
#ifndef LSI_SUMMARY_H
#define LSI_SUMMARY_H

#include "seams/xform.h"

struct lsi_worker_summary {
  uint64_t steps;
  double wait_s;      /* for the device */
  double decode_s;
  double transform_s;
  double place_s;     /* handing results to the sink */
};

struct lsi_summary {
  const char *status;      /* "done", "skipped", "failed", "cancelled" */
  int exit_code;
  uint64_t chunks, chunks_failed;
  uint64_t steps, steps_failed;
  uint64_t operations;
  uint64_t bytes_requested, bytes_read, bytes_decoded, bytes_delivered, bytes_written, bytes_direct;
  double wall_s, cpu_s;
  double publish_s;        /* of wall_s: the output flushed, durable and named, after the last step */
  uint64_t peak_memory;    /* bytes of RssAnon + RssShmem, the most that was seen */
  const char *backend;
  const char *bound;       /* "device", "decode", "transform", "sink" or "latency" */
  uint32_t n_workers;
  uint32_t workers_wanted; /* more than n_workers: the memory ceiling allowed no more */
  const struct lsi_worker_summary *workers;
  uint64_t n_errors;               /* in all, kept or not */
  const struct lsi_error *errors;  /* the first n_errors_kept */
  uint32_t n_errors_kept;
  const struct lsi_state_json *state; /* NULL: workers were not merged */
};

/* An error as it stands in the summary, on one line (lsi_free), NULL = no memory. */
char *lsi_error_json(const struct lsi_error *e);
/* JSON text (lsi_free), NULL = no memory. */
char *lsi_summary_json(const struct lsi_summary *s);
/* A paragraph for people (lsi_free). */
char *lsi_summary_text(const struct lsi_summary *s);

#endif
