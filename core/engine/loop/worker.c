/* The loop of one worker: refill the window, submit, reap, and take each finished unit through all
 * its steps before the next one, so that its bytes are still in this core's cache. */
#include <errno.h>
#include <string.h>

#include "engine/read/late.h"
#include "engine/read/objects.h"
#include "engine/state/run.h"
#include "engine/step/looks.h"
#include "engine/step/write.h"
#include "ground/mem.h"
#include "job/price.h"
#include "kernels/kernels.h"

/* Steps smaller than this are timed one in several: reading the clock would cost more than they do. */
#define TIME_EVERY_BYTES (32u << 10)
#define REFILL_NS 150000u     /* of compute, after which the device may run dry */
#define REFILL_EVERY 8u       /* small units between looks at the clock */
#define TURNS 64u             /* units that had not to be waited for, before what is in flight is looked at */
#define BLOCKED_NS 50000u     /* pause when another worker holds all credits or the window */
#define CLIMB_NS 20000000u    /* time over which a window is judged */
#define CLIMB_GAIN 1.03

void lsi_worker_fail(struct lsi_worker *w) {
  lsi_run_fail(w->run, &w->error);
  lsi_error_clear(&w->error);
}

/* ---- opening and closing ---- */

/* Stored bytes that can be in flight to some use: what the caller's depth takes, else a few times what
 * a device moves in the time of one operation (LSI_ARENA_DEFAULT); never more than there is to read.
 * More would only be more memory to touch for the first time, which costs as much as reading. */
static uint64_t arena_wanted(const struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  uint64_t unit = c->plan->unit_bytes_max, wanted = LSI_ARENA_DEFAULT;
  if (c->queue_depth && c->plan->n_devices) {
    uint64_t operation = LSI_MIN(unit, c->plan->devices[0].op_max + LSI_ALIGN);
    wanted = LSI_MIN(c->queue_depth / w->run->n_workers * operation, (uint64_t)LSI_ARENA_MAX);
  }
  /* Results that are written from there keep it a while longer. */
  if (w->run->write_bytes && lsi_writer_lends(w->run)) wanted += LSI_WRITE_BYTES;
  uint64_t all = c->plan->bytes_planned + (uint64_t)c->plan->n_extents * 2 * LSI_ALIGN;
  return LSI_MAX(LSI_MIN(wanted, all), unit);
}

/* Of the `left` bytes beside the stored ones, what pieces and results gathered from them may take. */
static void divide_pieces(struct lsi_worker *w, uint64_t left, const struct lsi_price_request *step) {
  const struct lsi_run_config *c = &w->run->config;
  const bool gathers = (c->stream || (c->sink && c->sink_variable)) && !c->spec->has_out_max;
  left -= LSI_MIN(left, step->scratch);
  w->gather_limit = gathers ? left - LSI_MIN(left, step->decoded) : 0;
  w->piece_limit = LSI_MAX(step->decoded, gathers ? 0 : left - LSI_MIN(left, step->out));
}

/* How a worker's share is divided: stored bytes in the arena; what is left for one step's decoded
 * bytes, output and scratch. */
static size_t divide_share(struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  uint64_t out = w->run->write_bytes;
  uint64_t unit = c->plan->unit_bytes_max;
  bool decodes = c->spec->codec != LSI_CODEC_NONE || c->spec->type.big;
  uint64_t stored = LSI_MAX(decodes ? c->share / 4 : c->share / 2, unit);
  stored = LSI_MIN(stored, arena_wanted(w));
  /* What one step is sure to need, or usually needs, was priced and must stay free. */
  uint64_t known = c->spec->decoded ? c->spec->decoded : c->plan->step_bytes_max, usual = known;
  if (c->spec->codec != LSI_CODEC_NONE && !c->spec->decoded &&
      lsi_mul_overflow(known, LSI_USUAL_RATIO, &usual))
    usual = UINT64_MAX;
  struct lsi_price_request step;
  lsi_price_step(c->spec, usual, c->sink_type, c->sink && !c->in_place, c->stream, &step);
  uint64_t left = c->share;
  const uint64_t sure[] = {step.decoded, step.out, step.scratch};
  for (size_t i = 0; i < LSI_COUNTOF(sure); i++) left -= LSI_MIN(left, sure[i]);
  stored = LSI_MAX(LSI_MIN(stored, left), unit);
  left = c->share - LSI_MIN(c->share, stored);
  /* Of what is free beyond the step itself, at most half for results that are being written. Where one
   * result is priced, it is priced for these buffers. */
  uint64_t free_bytes = left, one = c->spec->identity ? step.scratch : step.out;
  for (size_t i = 0; i < LSI_COUNTOF(sure); i++) free_bytes -= LSI_MIN(free_bytes, sure[i]);
  out = LSI_MIN(out, one + free_bytes / 2);
  if (out < w->run->write_bytes_least)
    out = one && !c->spec->piece ? w->run->write_bytes_least : 0; /* of pieces no whole result is priced */
  w->out_bytes = (size_t)out;
  left -= LSI_MIN(left, out - LSI_MIN(out, one));
  if (c->spec->piece) {
    known = LSI_MIN(known, 2 * c->spec->piece); /* larger chunks come by pieces, or must fit what is left */
    divide_pieces(w, left, &step);
  }
  if (c->spec->has_out_max) left -= LSI_MIN(left, step.out);
  left /= lsi_price_per_byte(c->spec, c->sink_type, c->sink && !c->in_place, c->stream);
  w->decode_limit = LSI_MAX(LSI_MAX(left, known), (uint64_t)LSI_ALIGN); /* `known` was priced */
  return (size_t)LSI_MAX(stored, (uint64_t)LSI_ALIGN);
}

static uint32_t largest_step(const struct lsi_request *r) {
  uint32_t most = 1;
  if (r->step_first)
    for (uint32_t i = 0; i < r->n_steps; i++)
      most = LSI_MAX(most, r->step_first[i + 1] - r->step_first[i]);
  return most;
}

static int open_memory(struct lsi_worker *w) {
  const struct lsi_run *run = w->run;
  w->chunks_cap = largest_step(run->request);
  w->chunks = lsi_calloc(w->chunks_cap, sizeof *w->chunks);
  w->chunk_at = lsi_calloc(w->chunks_cap, sizeof *w->chunk_at);
  w->credits = lsi_calloc(run->config.plan->n_devices + 1u, sizeof *w->credits);
  if (!w->chunks || !w->chunk_at || !w->credits) return LSIO_ERR_NOMEM;
  w->plain = run->config.spec->codec == LSI_CODEC_NONE && !run->config.spec->type.big &&
             !run->request->step_first;
  w->bare = w->plain && !run->config.spec->transform;
  lsi_place_init(w);
  w->decoded.pool = w->out.pool = w->scratch.pool = w->pieces.pool = run->config.pool;
  w->yields = run->config.sink || run->config.stream || run->config.spec->transform;
  w->item_shift = (unsigned)__builtin_ctzll(lsi_type_size(run->config.spec->type.type));
  w->item_mask = lsi_type_size(run->config.spec->type.type) - 1;
  w->step.chunk = w->chunks;
  w->step.worker = w->index;
  const struct lsi_spec *spec = run->config.spec;
  w->time_from = spec->piece ? 0 : TIME_EVERY_BYTES;
  w->pos_unknown = spec->piece ? 0 : -1;
  if ((spec->codec != LSI_CODEC_NONE || spec->piece) && !(w->decoder = lsi_decoder_create()))
    return LSIO_ERR_NOMEM;
  uint32_t slots = lsi_os_open_limit() / 4 / run->n_workers;
  return lsi_objects_init(&w->objects, LSI_MIN(LSI_MAX(slots, 8u), 1024u));
}

/* No worker's window grows beyond its part of what the devices take, or one would starve another. */
static uint32_t window_limit(const struct lsi_worker *w) {
  const struct lsi_run *run = w->run;
  uint64_t all = 0;
  for (uint32_t i = 0; i < run->config.plan->n_devices; i++)
    all += (uint64_t)run->devices[i].cap;
  return (uint32_t)LSI_MAX(LSI_MIN(all / run->n_workers, (uint64_t)LSI_WINDOW_OPS_MAX), 1u);
}

/* Ranges that lie apart break even with copying at 64 KiB (CPU seconds of pread over those of mapped
 * pages, summed, 1 and 2 threads: 32 KiB 0.91, 64 KiB 1.03, 256 KiB 1.23, 1 MiB 1.6; of neighbours 1.3 to
 * 1.5 from 4 KiB on, but those are merged). */
#define MAP_EXTENT (64u << 10)

static bool mapping_pays(const struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  return c->maps && !w->placing && c->spec->codec == LSI_CODEC_NONE && c->plan->n_extents &&
         c->plan->bytes_planned / c->plan->n_extents >= MAP_EXTENT;
}

static int open_worker(struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  int rc = open_memory(w);
  if (rc < 0) return lsi_fail(&w->error, rc, 0, "no memory for a worker");
  /* The Lua state before the big mappings: it needs addresses near its library for machine code. */
  if (c->spec->transform) {
    rc = c->spec->transform->open_worker(c->spec->transform_job, w->index, w->run->n_workers,
                                         &w->step, &w->transform, &w->error);
    if (rc < 0) return rc;
    w->transform_open = true;
  }
  size_t stored = divide_share(w);
  rc = lsi_arena_init(&w->arena, stored, c->pool);
  if (rc < 0) {
    lsi_fail(&w->error, rc, 0, "no memory for a worker's buffers (%zu bytes)", stored);
    lsi_error_remedy(&w->error, "lower --memory or --workers");
    return rc;
  }
  lsi_late_init(w);
  w->window_fixed = c->queue_depth != 0;
  w->window_ops = c->queue_depth ? LSI_MAX(c->queue_depth / w->run->n_workers, 1u) : LSI_WINDOW_OPS;
  w->window_bytes = c->queue_depth ? UINT64_MAX : LSI_WINDOW_BYTES;
  lsi_set_begin_bytes(w);
  w->window_ops_max = window_limit(w);
  w->window_ops = LSI_MIN(w->window_ops, w->window_ops_max);
  struct lsi_backend_config bc = {
      .queue_depth = w->window_ops_max + LSI_WRITE_OPS,
      .open_max = (uint32_t)(w->objects.mask + 1) / 2,
      .direct = c->direct,
      .maps = mapping_pays(w),
      .arena = w->arena.base,
      .arena_size = w->arena.size,
      .workers = w->run->n_workers,
      .user = c->backend_user};
  w->ops = c->backend;
  rc = w->ops->create(&bc, &w->backend, &w->error);
  if (rc == LSIO_ERR_UNSUPPORTED && c->fallback) {
    /* It worked when it was chosen, but what it needs is shared with the user's other processes. */
    lsi_error_clear(&w->error);
    w->ops = c->fallback;
    rc = w->ops->create(&bc, &w->backend, &w->error);
  }
  if (rc < 0) return rc;
  rc = lsi_writer_open(w);
  w->defers = c->sink_variable || w->writer;
  w->looks = c->stream;
  w->careful = w->defers || w->late || w->looks;
  return rc < 0 ? lsi_fail(&w->error, rc, 0, "no memory for a worker's output buffers") : 0;
}

static void free_step_buffers(struct lsi_worker *w) {
  struct lsi_buffer *all[] = {&w->decoded, &w->out, &w->scratch, &w->pieces, &w->large};
  /* As the arena: given up where the kernel may still write there. */
  if (w->broken) w->large = (struct lsi_buffer){0};
  for (size_t i = 0; i < LSI_COUNTOF(all); i++) {
    lsi_pool_give(all[i]->pool, all[i]->data, all[i]->capacity, true);
    *all[i] = (struct lsi_buffer){0};
  }
  lsi_free(w->chunks);
  lsi_free(w->chunk_at);
  w->chunks = NULL;
  w->chunk_at = NULL;
}

static void close_worker(struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  lsi_run_note_memory(w->run, true);
  if (w->backend) {
    if (lsi_objects_close(w) < 0) lsi_worker_fail(w);
    w->ops->destroy(w->backend);
    w->backend = NULL;
  }
  if (w->transform_open) {
    if (w->ran && !lsi_stopping(w->run) && c->spec->transform->finish(w->transform, &w->error) < 0)
      lsi_worker_fail(w);
    c->spec->transform->close(w->transform);
  }
  lsi_return_credits(w);
  lsi_free_flight_pools(w);
  free_step_buffers(w);
  lsi_objects_clear(&w->objects);
  lsi_arena_clear(&w->arena, !w->broken);
  lsi_writer_close(w);
  if (w->decoder) lsi_decoder_destroy(w->decoder);
  w->decoder = NULL;
}

/* ---- units that have landed ---- */

static void keep_ready(struct lsi_worker *w, struct lsi_flight *f) {
  struct lsi_flight **at = &w->ready;
  while (*at && (*at)->unit < f->unit) at = &(*at)->next;
  f->next = *at;
  *at = f;
  w->n_ready++;
}

/* The steps of a flight have run: its buffers go back, unless a result is still written from them. */
static void spent(struct lsi_worker *w, struct lsi_flight *f) {
  if (f->writes)
    f->spent = true;
  else
    lsi_flight_end(w, f);
}

static bool run_unit(struct lsi_worker *w, struct lsi_flight *f) {
  if (!w->looks) return lsi_steps_run(w, f);
  lsi_looks_unit_begin(w, f);
  const bool ended = lsi_steps_run(w, f);
  lsi_looks_unit_end(w);
  return ended;
}

/* Runs what is ready, oldest first, as far as the window of ordered results lets it, or as long as there
 * are buffers for results. */
static bool run_ready(struct lsi_worker *w) {
  bool any = false;
  while (w->ready) {
    struct lsi_flight *f = w->ready;
    if (!run_unit(w, f)) break;
    w->ready = f->next;
    w->n_ready--;
    spent(w, f);
    any = true;
  }
  return any;
}

static void landed_carefully(struct lsi_worker *w, struct lsi_flight *f) {
  if (w->defers) {
    keep_ready(w, f);
    run_ready(w);
    return;
  }
  run_unit(w, f);
  if (w->late)
    lsi_late_end(w, f);
  else
    lsi_flight_end(w, f);
}

static inline void landed(struct lsi_worker *w, struct lsi_flight *f) {
  w->flights--;
  if (LSI_UNLIKELY(w->careful)) {
    landed_carefully(w, f);
    return;
  }
  lsi_steps_run(w, f);
  lsi_flight_end(w, f);
}

/* ---- refill ---- */

static void flush(struct lsi_worker *w) {
  if (!w->n_queue) return;
  /* Reading happens in here as well where data is resident: it counts as waiting for the device. */
  uint64_t before = lsi_os_now_ns();
  int n = w->ops->submit(w->backend, w->queue, (int)w->n_queue);
  w->submit_ns += lsi_os_now_ns() - before;
  w->n_queue -= (uint32_t)n;
  if (w->n_queue) memmove(w->queue, w->queue + n, w->n_queue * sizeof *w->queue);
}

/* True when there is more to do at once, but what is in flight must be looked at as well. */
static bool refill(struct lsi_worker *w) {
  bool blocked = false;
  while (w->retrying && !lsi_stopping(w->run) && !blocked) {
    struct lsi_flight *f = w->retrying;
    blocked = !lsi_flight_retry(w);
    if (!blocked && lsi_flight_settled(w, f)) landed(w, f);
  }
  if (w->writer) lsi_writes_issue(w);
  /* What is in the page cache is not read ahead of results that wait: it would grow cold. */
  if (w->writer && w->n_ready && w->hot) blocked = true;
  struct lsi_flight *f; /* one with nothing to read, or read already */
  unsigned turns = 0;
  for (; !blocked && turns < TURNS && (f = lsi_flights_begin(w)); turns++) landed(w, f);
  flush(w);
  return turns == TURNS;
}

/* Doubles the window while that brings more bytes a second; at the first time it does not, halves
 * it again and leaves it. */
static void climb(struct lsi_worker *w, uint64_t now) {
  if (w->window_fixed || !w->window_hit || now - w->climb_at_ns < CLIMB_NS) return;
  double rate = (double)(w->bytes_read - w->climb_bytes) / (double)(now - w->climb_at_ns);
  bool gained = rate > w->climb_rate * CLIMB_GAIN;
  if (w->climb_rate > 0 && !gained) {
    w->window_ops = LSI_MAX(w->window_ops / 2, LSI_MIN(w->window_ops_max, (uint32_t)LSI_WINDOW_OPS));
    w->window_bytes = LSI_MAX(w->window_bytes / 2, (uint64_t)LSI_WINDOW_BYTES);
    lsi_set_begin_bytes(w);
    w->window_fixed = true;
    return;
  }
  w->climb_rate = rate;
  w->climb_at_ns = now;
  w->climb_bytes = w->bytes_read;
  w->window_hit = false;
  w->window_ops = LSI_MIN(w->window_ops * 2, w->window_ops_max);
  w->window_bytes *= 2;
  lsi_set_begin_bytes(w);
  if (w->window_ops == w->window_ops_max && w->window_bytes >= w->arena.size)
    w->window_fixed = true;
}

/* ---- the loop ---- */

static bool finished(const struct lsi_worker *w) {
  return !w->flights && !w->n_ready && w->next_unit == w->units_end &&
         !(w->writer && w->writer->results);
}

/* A finished operation; returns the flight when it was the last of one. */
static inline struct lsi_flight *take_back(struct lsi_worker *w, struct lsi_op *op) {
  if (LSI_LIKELY(op->kind == LSI_OP_READ)) return lsi_flight_landed(w, (struct lsi_eop *)op);
  lsi_write_landed(w, op);
  return NULL;
}

static bool in_flight(const struct lsi_worker *w) {
  return w->ops_in_flight || (w->writer && w->writer->in_flight);
}

static int reap(struct lsi_worker *w, int64_t timeout_ns) {
  struct lsi_op *done[LSI_REAP_BATCH];
  if (timeout_ns && w->held.n) lsi_looks_flush(w); /* nobody waits for what is there */
  uint64_t before = lsi_os_now_ns();
  int n = w->ops->reap(w->backend, done, LSI_REAP_BATCH, timeout_ns, &w->error);
  uint64_t now = lsi_os_now_ns();
  if (w->writer && (w->n_ready || !w->ops_in_flight))
    w->place_ns += now - before; /* waiting for what is being written is the sink's */
  else {
    w->wait_ns += now - before;
    w->in_flight_ns += (now - before) * w->ops_in_flight;
  }
  w->last_refill_ns = now;
  if (n < 0) return n;
  climb(w, now);
  if (w->maps) lsi_mapped_choose(w);
  unsigned since = 0;
  for (int i = 0; i < n; i++) {
    struct lsi_flight *f = take_back(w, done[i]);
    if (!f) continue;
    uint64_t bytes = f->bytes;
    landed(w, f);
    if (i + 1 == n || (++since < REFILL_EVERY && bytes < REFILL_NS / 8)) continue;
    since = 0;
    uint64_t t = lsi_os_now_ns();
    if (t - w->last_refill_ns < REFILL_NS) continue;
    refill(w);
    w->last_refill_ns = t;
  }
  return n;
}

/* It is broken and gives nothing back. The memory that the kernel may still write into is given up. */
static void lose_backend(struct lsi_worker *w) {
  w->broken = true;
  lsi_flights_lost(w);
  if (w->writer) lsi_writes_lost(w);
}

/* What is in flight comes back; nothing of it runs. */
static void drain(struct lsi_worker *w) {
  const struct lsi_backend_ops *backend = w->ops;
  struct lsi_op *done[LSI_REAP_BATCH];
  if (backend->cancel) backend->cancel(w->backend);
  for (uint32_t i = 0; i < w->n_queue; i++) { /* never submitted */
    w->queue[i]->result = LSIO_ERR_CANCELLED;
    struct lsi_flight *f = take_back(w, w->queue[i]);
    if (f) lsi_flight_end(w, f), w->flights--;
  }
  w->n_queue = 0;
  if (w->writer) lsi_writes_stop(w);
  lsi_looks_flush(w);
  while (in_flight(w)) {
    int n = backend->reap(w->backend, done, LSI_REAP_BATCH, -1, &w->error);
    if (n < 0) {
      lose_backend(w);
      break;
    }
    for (int i = 0; i < n; i++) {
      struct lsi_flight *f = take_back(w, done[i]);
      if (f) lsi_flight_end(w, f), w->flights--;
    }
  }
  for (struct lsi_flight *f; (f = lsi_flight_read(w));) lsi_flight_end(w, f), w->flights--;
  if (w->issuing) lsi_flight_end(w, w->issuing), w->flights--;
  w->issuing = NULL;
  while (w->retrying) {
    struct lsi_flight *f = w->retrying;
    w->retrying = f->next;
    lsi_flight_end(w, f);
    w->flights--;
  }
  while (w->ready) {
    struct lsi_flight *f = w->ready;
    w->ready = f->next;
    lsi_flight_end(w, f);
  }
  w->n_ready = 0;
}

static void loop(struct lsi_worker *w) {
  w->climb_at_ns = lsi_os_now_ns();
  while (!lsi_stopping(w->run)) {
    const bool more = refill(w);
    bool ran = run_ready(w);
    if (!more && finished(w)) {
      lsi_looks_flush(w);
      if (!lsi_late_take(w)) break;
      continue;
    }
    if (ran || (more && !in_flight(w))) continue; /* room for more */
    if (!in_flight(w)) {
      /* Another worker holds the credits, or the step that the window waits for. It may itself wait
       * for a descriptor that this one holds. */
      lsi_return_credits(w);
      lsi_looks_flush(w);
      if (atomic_load(&w->run->starving) && lsi_objects_shed(w) < 0) lsi_worker_fail(w);
      lsi_os_sleep_ns(BLOCKED_NS);
      w->submit_ns += BLOCKED_NS;
      continue;
    }
    int n = w->ahead || more ? reap(w, 0) : 0;
    if (!n && !more && !(w->ahead && lsi_place_ahead(w)))
      n = reap(w, w->n_ready && !w->writer ? (int64_t)BLOCKED_NS : -1);
    if (n < 0) lsi_worker_fail(w);
  }
  drain(w);
}

/* Where descriptors are out, a worker that could not open leaves its work to the others. The last one
 * of all must say it. */
static bool others_do_it(struct lsi_worker *w) {
  if (w->error.os_code != EMFILE && w->error.os_code != ENFILE) return false;
  if (atomic_fetch_sub(&w->run->able, 1) == 1) return false;
  lsi_late_leave(w);
  lsi_error_clear(&w->error);
  return true;
}

void lsi_worker_main(void *arg) {
  struct lsi_worker *w = arg;
  struct lsi_run *run = w->run;
  if (run->config.pin) lsi_os_thread_pin(lsi_os_allowed_cpu(w->index));
  if (open_worker(w) == 0)
    loop(w);
  else if (!others_do_it(w))
    lsi_worker_fail(w);
  close_worker(w);
  atomic_store_explicit(&w->activity, (uint64_t)LSI_PHASE_END << 56, memory_order_relaxed);
  lsi_os_lock(run->mutex);
  /* Who sees no worker running reads the time of the end, with or without the mutex. */
  run->end_ns = lsi_os_now_ns();
  run->end_cpu_ns = lsi_os_cpu_ns();
  if (atomic_fetch_sub(&run->running, 1) == 1) lsi_os_bell_ring(run->config.bell);
  lsi_os_wake_all(run->cond);
  lsi_os_unlock(run->mutex);
}
