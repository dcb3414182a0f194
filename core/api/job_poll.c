/* Jobs that are polled by themselves: completions one by one, and the end. */
#include <string.h>

#include "api/forked.h"
#include "memory/block.h"

/* ---- the end ---- */

static void publish(void *job) { lsi_job_publish(job); }

static void tell_of_end(void *arg) { lsi_run_ring(((struct lsio_job *)arg)->run, true); }

/* A file is published here only by a caller that would wait for it for ever. */
static void begin_to_end(struct lsio_job *job, bool waits) {
  struct lsi_job_ending *x = &job->ending;
  lsi_job_reduce(job);
  x->helped = !waits && job->results.sink && job->results.path;
  if (!x->helped) {
    lsi_job_publish(job);
    return;
  }
  x->task = (struct lsi_task){.run = publish, .tell = tell_of_end, .arg = job};
  lsi_run_ring(job->run, false);
  lsi_helpers_do(job->context->helpers, &x->task);
}

/* Once the run has ended and all its completions are taken. False: the output was not published in time. */
static bool end(struct lsio_job *job, int64_t timeout_ns) {
  const struct lsi_job_ending *x = &job->ending;
  if (!x->begun) begin_to_end(job, timeout_ns < 0);
  if (x->helped && !lsi_helpers_wait(job->context->helpers, &job->ending.task, timeout_ns)) return false;
  lsi_job_finish(job);
  return true;
}

/* ---- poll ---- */

static void add(atomic_uint_fast64_t *count, uint64_t n) {
  const uint64_t now = atomic_load_explicit(count, memory_order_relaxed) + n;
  atomic_store_explicit(count, now, memory_order_relaxed); /* there is one writer */
}

void lsi_job_took(struct lsio_job *job, uint64_t steps, uint64_t bytes) {
  add(&job->poll.taken_steps, steps);
  add(&job->poll.taken_bytes, bytes);
}

static void give_back(struct lsio_job *job) {
  uint64_t bytes = 0;
  for (const struct lsi_run_completion *c = job->poll.lent; c; c = c->next) bytes += c->bytes;
  lsi_job_took(job, 0, bytes);
  lsi_run_free_completions(job->poll.lent);
  job->poll.lent = NULL;
}

static struct lsio_completion completion(const struct lsi_run_completion *c, uint32_t i) {
  if (c->error)
    return (struct lsio_completion){.kind = c->kind, .step = c->step, .tag = c->tag, .error = c->error};
  const struct lsio_result *r = &c->block->results[c->from + i];
  return (struct lsio_completion){.kind = c->kind, .is_record = r->is_record, .step = r->step, .tag = r->tag,
                                  .data = r->length ? c->block->data + r->begin : NULL, .length = r->length};
}

int lsio_poll(lsio_job *job, struct lsio_completion *out, size_t max, int timeout_ms) {
  if (lsi_is_parents(job->context)) return LSIO_ERR_FORKED;
  if (job->poll.lent) give_back(job);
  if (!job->run || !max || job->poll.done) return 0;
  int64_t left_ns = timeout_ms < 0 ? -1 : (int64_t)timeout_ms * 1000000;
  const uint64_t until_ns = left_ns > 0 ? lsi_os_now_ns() + (uint64_t)left_ns : 0;
  const bool rings = job->poll.pending;
  if (!job->poll.pending && !job->ending.begun) job->poll.pending = lsi_run_take(job->run, left_ns);
  int n = 0;
  struct lsi_run_completion **tail = &job->poll.lent;
  while (job->poll.pending && (size_t)n < max && n < INT32_MAX) {
    struct lsi_run_completion *c = job->poll.pending;
    out[n++] = completion(c, job->poll.at++);
    if (job->poll.at < c->n) continue;
    job->poll.at = 0;
    job->poll.pending = c->next;
    c->next = NULL;
    *tail = c;
    tail = &c->next;
  }
  lsi_job_took(job, (uint64_t)n, 0);
  /* Taking them silenced the bell, but there is more to return. */
  if (job->poll.pending) lsi_run_ring(job->run, true);
  else if (rings) lsi_run_ring_if_due(job->run); /* else it would ring for what has been returned */
  if (n || job->poll.pending || !lsi_run_ended(job->run)) return n;
  /* What arrived between the last take and the end. */
  if (!job->ending.begun && (job->poll.pending = lsi_run_take(job->run, 0)))
    return lsio_poll(job, out, max, 0);
  if (left_ns > 0) left_ns = LSI_MAX((int64_t)(until_ns - lsi_os_now_ns()), 0);
  if (!end(job, left_ns)) return 0;
  job->poll.done = true;
  lsi_run_ring(job->run, false);
  out[0] = (struct lsio_completion){.kind = LSIO_DONE};
  return 1;
}

int lsio_wait(lsio_job *job) {
  if (lsi_is_parents(job->context)) return LSIO_ERR_FORKED;
  struct lsio_completion batch[64];
  while (job->run && !job->poll.done) lsio_poll(job, batch, LSI_COUNTOF(batch), -1);
  return lsio_job_status(job);
}

/* The run has ended, which is not what is waited for any more. */
static void ring_when_published(const struct lsio_job *job) {
  lsi_run_ring(job->run, false);
  if (lsi_helpers_ended(job->context->helpers, &job->ending.task)) lsi_run_ring(job->run, true);
}

int lsio_job_fd(const lsio_job *job) {
  if (lsi_is_parents(job->context) || !job->run) return -1;
  const int fd = lsi_run_bell(job->run);
  if (job->poll.done) lsi_run_ring(job->run, false);
  else if (job->poll.pending) lsi_run_ring(job->run, true);
  else if (job->ending.helped) ring_when_published(job);
  return fd;
}
