/* To look inside: what a context has in hand, and what its threads did. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/forked.h"
#include "memory/ledger.h"
#include "memory/pool.h"
#include "seams/os.h"

#define TRACE_RINGS_MOST 256u

struct lsi_trace *lsi_context_make_trace(const struct lsio_context *c, uint32_t events) {
  const uint32_t rings = LSI_MIN(2 * lsi_facts_machine(c->facts).cpus + 16, TRACE_RINGS_MOST);
  struct lsi_trace *t = lsi_trace_create(rings + 1, events);
  if (t) lsi_trace_name(&t->rings[rings], "coordinator");
  return t;
}

double lsi_job_since(uint64_t *at) {
  const uint64_t before = *at;
  *at = lsi_os_now_ns();
  return (double)(*at - before) / 1e9;
}

double lsi_job_did(struct lsio_job *job, enum lsi_trace_kind kind, uint64_t *at) {
  struct lsio_context *c = job->context;
  const uint64_t before = *at;
  const double seconds = lsi_job_since(at);
  if (c->trace) {
    lsi_os_lock(c->mutex);
    lsi_trace_add(&c->trace->rings[c->trace->n_rings - 1], kind, before, *at, job->number, LSI_TRACE_NONE, 0);
    lsi_os_unlock(c->mutex);
  }
  return seconds;
}

int lsio_context_trace(lsio_context *c, const char *path, lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  if (c && lsi_refuse_parents(lsi_is_parents(c), "the context", &e) < 0)
    return lsi_error_hand_out(&e, e.code, error);
  if (!c || !path || !c->trace) {
    lsi_fail(&e, LSIO_ERR_USAGE, 0, "a trace needs a path, and a context that was made with trace_events");
    return lsi_error_hand_out(&e, e.code, error);
  }
  FILE *f = fopen(path, "we");
  int rc = f ? lsi_trace_write(c->trace, f) : LSIO_ERR_OUTPUT;
  int code = rc < 0 ? errno : 0;
  if (f && fclose(f) != 0 && rc >= 0) rc = LSIO_ERR_OUTPUT, code = errno;
  if (rc >= 0) return 0;
  if (rc == LSIO_ERR_IO) rc = LSIO_ERR_OUTPUT;
  lsi_fail(&e, rc, code, "the trace could not be written");
  lsi_error_at(&e, path, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return lsi_error_hand_out(&e, rc, error);
}

static void look_at_context(lsio_context *c, struct lsio_context_stats *out) {
  struct lsio_context_stats s = {0};
  const struct lsi_crew_figures all = lsi_crew_look(c->crew, LSI_CREW_ALL);
  s.threads = all.threads;
  s.attended = all.attended;
  s.waiting = all.waiting;
  s.bytes_read = all.bytes_read + atomic_load_explicit(&c->bytes_now, memory_order_relaxed);
  struct lsi_ledger_figures memory;
  lsi_ledger_look(c->ledger, &memory);
  s.memory_limit = memory.limit == UINT64_MAX ? 0 : memory.limit;
  s.memory_reserved = memory.held;
  s.memory_held = memory.lent;
  s.jobs_queued = memory.waits;
  s.memory_kept = lsi_pool_kept(c->pool);
  s.memory_lent = lsi_pool_lent(c->pool);
  lsi_os_lock(c->mutex);
  s.jobs = c->jobs;
  s.jobs_running = c->running;
  lsi_os_unlock(c->mutex);
  *out = s;
}

void lsio_context_get_stats(lsio_context *c, struct lsio_context_stats *out) {
  struct lsio_context_stats s = {0};
  if (!lsi_is_parents(c)) look_at_context(c, &s);
  const size_t size = LSI_MIN(out->struct_size, sizeof s);
  s.struct_size = out->struct_size;
  memcpy(out, &s, size);
}

int lsio_context_get_thread_stats(lsio_context *c, uint32_t i, struct lsio_thread_stats *out) {
  if (lsi_is_parents(c)) return LSIO_ERR_FORKED;
  const struct lsi_crew_figures f = lsi_crew_look(c->crew, i);
  if (i >= f.threads) return LSIO_ERR_USAGE;
  const struct lsio_thread_stats s = {
      .struct_size = sizeof s, .attended = f.attended, .waiting = f.waiting, .bytes_read = f.bytes_read};
  const size_t size = LSI_MIN(out->struct_size, sizeof s), asked = out->struct_size;
  memcpy(out, &s, size);
  out->struct_size = asked;
  return 0;
}
