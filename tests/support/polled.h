/* Jobs that a test polls one by one, over the queues of lsio.h: each has a queue of its own, which the calling
 * thread coordinates, so that what a script's functions and planning do is done in polled_submit, and the end
 * in the call that takes it. Different jobs may be used by different threads. */
#ifndef LSI_TEST_POLLED_H
#define LSI_TEST_POLLED_H

#include "lsio.h"

enum polled_kind {
  POLLED_STEP = LSIO_EVENT_RESULTS, /* the result of one step */
  POLLED_STEP_FAILED = LSIO_EVENT_STEP_FAILED,
  POLLED_DONE = LSIO_EVENT_DONE
};

struct polled {
  uint32_t kind;           /* enum polled_kind */
  uint32_t is_record;      /* STEP, as all but `error`: as in struct lsio_result */
  uint64_t step;
  int64_t tag;
  const void *data;        /* until the next take of the job; NULL: it is empty */
  size_t length;
  uint32_t flags;
  const lsio_error *error; /* STEP_FAILED: until the next take of the job */
};

/* As lsio_submit, and plans it: what is found wrong before the job runs is returned, and there is no job. With
 * a queue in the options just lsio_submit. */
int polled_submit(lsio_context *context, const struct lsio_job_options *options, lsio_job **out, lsio_error **error);
/* As lsio_queue_take, of this job alone. After POLLED_DONE 0 at once. */
int polled_take(lsio_job *job, struct polled *out, size_t max, int timeout_ms);
int polled_wait(lsio_job *job); /* takes all there is; lsio_job_status. Without a queue just lsio_wait */
int polled_fd(lsio_job *job);   /* readable while there is something to take */
/* Cancels it if it still runs, and waits until nothing is left of it. NULL is fine. */
void polled_destroy(lsio_job *job);
void polled_destroy_all(void); /* those that a test has left which failed */
/* Jobs that were released may not be gone yet: waits for that, while others submit none. */
void polled_rest(lsio_context *context);
/* lsi_mem_live, but for threads that the context has started to plan and end jobs. NULL is fine. */
int64_t polled_live(const lsio_context *context);

#endif
