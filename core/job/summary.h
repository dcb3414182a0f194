/* The figures of a run: filled by the engine, shown by the runner, handed to done(result, info). */
#ifndef LSI_SUMMARY_H
#define LSI_SUMMARY_H

#include "job/failures.h"
#include "seams/xform.h"

/* What a worker found out by trying. */
struct lsi_verdict {
  bool tried;           /* else there was nothing to decide, and the rest says nothing */
  bool decided;         /* else the run ended before */
  bool pinned;          /* by a setting */
  uint32_t verdict;     /* 0 no, 1 yes; of depth: operations in flight */
  uint32_t comparisons; /* that came to a verdict */
  double took[2];       /* a unit, without and with it; NAN: not known */
};
enum lsi_tried { LSI_TRIED_LEND, LSI_TRIED_STORES, LSI_TRIED_STRAIGHT, LSI_TRIED_DEPTH, LSI_TRIED };
struct lsi_tried_kind {
  const char *name;
  const char *figure;   /* the name of took */
  bool both;            /* took has two, else one */
  bool count;           /* the verdict is a number */
};
extern const struct lsi_tried_kind lsi_tried_kinds[LSI_TRIED];

/* The time that a job takes, in the order in which it passes. */
enum lsi_part {
  LSI_PART_START,   /* what the program did for it before, and the script's loading */
  LSI_PART_SETUP,   /* the script's function */
  LSI_PART_LIST,    /* files listed and looked at, lists of ranges read */
  LSI_PART_PLAN,    /* the plan, the output, the workers' memory */
  LSI_PART_READ,    /* from the first worker's start to the last one's end */
  LSI_PART_POLL,    /* until the program polled for the end */
  LSI_PART_REDUCE,  /* what workers end with merged */
  LSI_PART_PUBLISH, /* the output flushed, durable and named */
  LSI_PART_DONE,    /* the script's function */
  LSI_PARTS
};
struct lsi_part_kind {
  const char *name;  /* in JSON */
  const char *shown; /* to people */
};
extern const struct lsi_part_kind lsi_part_kinds[LSI_PARTS];

struct lsi_worker_summary {
  uint64_t steps;
  double wait_s;      /* for the device */
  double decode_s;
  double transform_s;
  double place_s;     /* handing results to the sink */
  double stalled_s;   /* with results, until the program took others */
  struct lsi_verdict tune[LSI_TRIED];
};

struct lsi_summary {
  const char *status;      /* "done", "skipped", "failed", "cancelled" */
  int exit_code;
  uint64_t chunks, chunks_failed;
  uint64_t chunks_missing; /* whose objects are not there, where the job allows that */
  uint64_t steps, steps_failed;
  uint64_t steps_left;     /* of those that failed: not run, for the deadline had passed */
  const char *at_deadline; /* what was going on when that passed; "" or NULL: it has not */
  uint64_t operations;
  uint64_t bytes_requested, bytes_read, bytes_decoded, bytes_delivered, bytes_copied, bytes_written,
      bytes_direct;
  /* Of bytes_read, those that nobody asked for, or that were read again: */
  uint64_t bytes_gaps;      /* between chunks that share an operation; as planned, 0 after an early end */
  uint64_t bytes_twice;     /* by which bytes that several chunks have are read more than once; likewise */
  uint64_t bytes_alignment; /* around direct reads, which take whole blocks */
  uint64_t bytes_retried;   /* chunk by chunk, after reads that failed */
  double wall_s, cpu_s;     /* of reading and publishing */
  double part_s[LSI_PARTS]; /* they add up to all the time that the job took */
  uint64_t peak_memory;    /* bytes of RssAnon + RssShmem, the most that was seen */
  const char *backend;
  const char *bound;       /* "device", "decode", "transform", "sink", "latency" or "consumer" */
  uint32_t n_workers;
  uint32_t workers_wanted; /* more than n_workers: the memory ceiling allowed no more */
  const struct lsi_worker_summary *workers;
  uint64_t error_count;            /* in all, kept or not */
  const struct lsi_error *errors;  /* n_errors_kept of them: by steps, those that were not run at the end */
  uint32_t n_errors_kept;
  const struct lsi_failed_kind *kinds; /* LSI_KINDS of them; NULL: no step has failed */
  const struct lsi_state_json *state; /* NULL: workers were not merged */
};

/* An error as it stands in the summary, on one line (lsi_free), NULL = no memory. */
char *lsi_error_json(const struct lsi_error *e);
/* JSON text (lsi_free), NULL = no memory. */
char *lsi_summary_json(const struct lsi_summary *s);
/* A paragraph for people (lsi_free), in lines of at most 80 columns. NULL = no memory. */
char *lsi_summary_text(const struct lsi_summary *s);
/* The failures of steps that were run, at a glance: see lsio_job_failures_text. "": there are none. */
char *lsi_failures_text(const struct lsi_summary *s);
double lsi_summary_total_s(const struct lsi_summary *s); /* all parts */

#endif
