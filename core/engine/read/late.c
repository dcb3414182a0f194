/* Files that planning has only seen listed. Looking at each of a million files costs more than reading
 * the small ones, so that of regular files that are read whole only the names are planned; what a file
 * is, is known when it is first opened, by the one worker whose unit it is. Plans count it as of
 * LSI_LATE_BYTES. Those that turn out too large for a worker's arena wait until all the others are done;
 * what does not fit into a worker's share then is read by the last worker that is left, with the memory
 * of all. One to which somebody is writing when it is opened is put off for some milliseconds. */
#include "engine/read/late.h"

#include <inttypes.h>

#include "engine/read/ahead.h"
#include "engine/read/lease.h"
#include "engine/read/lending.h"
#include "engine/read/objects.h"
#include "engine/read/resting.h"
#include "engine/state/surplus.h"
#include "ground/mem.h"
#include "job/price.h"

#define WAIT_NS 50000  /* for the other workers to leave */
#define SAMPLE 16u     /* of the files that are read as they are opened, one in so many is timed */

void lsi_late_init(struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  w->reader.late.any = w->run->wave.request->late;
  const struct lsi_request *r = w->run->wave.request;
  w->reader.opens_apart = w->reader.late.any || w->run->wave.plan->ahead || r->faults.n || r->cut;
  uint64_t left = c->share - LSI_MIN(c->share, (uint64_t)w->reader.arena.size);
  left /= lsi_price_per_byte(c->spec, c->sink_type, false, c->stream);
  w->reader.late.most = LSI_MIN(left, (uint64_t)w->reader.arena.size);
  w->reader.late.again.unit = UINT32_MAX;
}

static void set_length(struct lsi_worker *w, const struct lsi_flight *f, struct lsi_flight_extent *x,
                       uint32_t object) {
  struct lsi_request *r = w->run->config.spec->request;
  const uint32_t step = f->wave->plan->step_order[f->next_step];
  x->length = r->length[lsi_request_chunk_begin(r, step)] = r->objects[object].size;
}

/* It can't be opened: nothing is known of it. */
static void set_unknown(struct lsi_worker *w, const struct lsi_flight *f, struct lsi_flight_extent *x,
                        uint32_t object) {
  struct lsi_request *r = w->run->config.spec->request;
  if (r->objects[object].known & LSI_KNOWN_SIZE) return;
  x->length = r->length[lsi_request_chunk_begin(r, f->wave->plan->step_order[f->next_step])] = 0;
}

/* For what a small file holds: where results are handed out, or in the arena. */
static void *take_room(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x) {
  if (w->reader.late.most < LSI_LATE_BYTES) return NULL;
  void *room = w->reader.straight.into_blocks ? lsi_lease_room(w, f, LSI_LATE_BYTES) : NULL;
  if (room) return room;
  x->buffer_bytes = LSI_LATE_BYTES;
  return x->buffer = lsi_arena_lease(&w->reader.arena, LSI_LATE_BYTES);
}

static void give_room_back(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x,
                           const void *room) {
  if (f->block) lsi_lease_trim(w, f, room, 0);
  lsi_lease_end(w, f);
  if (x->buffer) lsi_arena_release(&w->reader.arena, x->buffer, LSI_LATE_BYTES);
  x->buffer = NULL;
}

/* Reading a small file that lies in the page cache takes less than what it takes to come back to it: it
 * is read as it is opened. */
static bool open_and_read(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x,
                          uint32_t object, int *unrest_ns) {
  void *const room = take_room(w, f, x);
  const bool timed = w->reader.late.opens++ % SAMPLE == 0;
  const uint64_t from = timed ? lsi_os_now_ns() : 0;
  struct lsi_late_open how = {.order = {.room = room,
                                        .room_bytes = room ? LSI_LATE_BYTES : 0,
                                        .settle = lsi_rest_may(w, f)}};
  x->slot = lsi_object_open_late(w, object, &how);
  *unrest_ns = how.unrest_ns;
  if (!how.whole || !x->slot) {
    give_room_back(w, f, x, room);
    return false;
  }
  if (timed) w->figures.at_once_ns += (lsi_os_now_ns() - from) * SAMPLE;
  x->slot = NULL; /* it is closed */
  x->loan = false;
  x->data = room;
  set_length(w, f, x, object);
  if (f->block) lsi_lease_trim(w, f, room, x->length);
  x->issued = x->length;
  w->figures.operations += x->length > 0;
  w->figures.bytes_read += x->length;
  return true;
}

void lsi_late_end(struct lsi_worker *w, struct lsi_slot *slot) {
  if (slot && lsi_object_close(w, slot) < 0) lsi_worker_fail(w);
}

/* What a worker needs to run a step of so many bytes. */
static uint64_t need_of(const struct lsi_worker *w, uint64_t bytes) {
  const struct lsi_run_config *c = &w->run->config;
  struct lsi_price_request p;
  lsi_price_step(c->spec, bytes, c->sink_type, false, c->stream, &p);
  lsi_price_least(&p);
  const uint64_t parts[] = {w->reader.arena.size, 2 * LSI_ALIGN, p.decoded, p.out, p.scratch};
  uint64_t need = bytes;
  for (size_t i = 0; i < LSI_COUNTOF(parts); i++)
    if (lsi_add_overflow(need, parts[i], &need)) return UINT64_MAX;
  return need;
}

static int put_off(struct lsi_worker *w, struct lsi_flight *f, uint64_t need) {
  struct lsi_run *run = w->run;
  lsi_os_lock(run->mutex);
  struct lsi_late_unit *more =
      lsi_reallocarray(run->late.units, (size_t)run->late.n + 1, sizeof *more);
  if (more) {
    run->late.units = more;
    more[run->late.n++] = (struct lsi_late_unit){f->unit, need};
  }
  lsi_os_unlock(run->mutex);
  if (!more) return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory to put a large file off");
  f->put_off = true;
  return 1;
}

static int large(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x,
                 uint32_t object) {
  const uint64_t need = need_of(w, x->length);
  if (!w->reader.late.allowed || w->reader.flights || w->stepper.n_ready) return put_off(w, f, need);
  const struct lsi_request *r = f->wave->request;
  if (need > w->reader.late.allowed) {
    /* With more memory its arena would be larger too. */
    const uint64_t enough = need + (LSI_MAX(w->reader.arena.size, LSI_ARENA_USUAL) - w->reader.arena.size);
    lsi_fail(&w->error, LSIO_ERR_LIMIT, 0,
             "a step needs %" PRIu64 " bytes of memory, but the job may use %" PRIu64, enough,
             w->reader.late.allowed);
    lsi_error_at(&w->error, lsi_request_name(r, object), 0, x->length, LSI_NO_STEP);
    lsi_error_remedy(&w->error, "allow more with --memory %" PRIu64 "MiB or read it in chunks (`chunk`)",
                     (enough >> 20) + 1);
    w->reader.objects.refused = true;
    return LSIO_ERR_LIMIT;
  }
  x->loan = false;
  if (w->reader.straight.into_blocks && lsi_lease_extent(w, f, x) == LSI_LEASE_DONE) return 1;
  if (!lsi_buffer_fit(&w->reader.late.large, (size_t)lsi_round_up(x->length, LSI_ALIGN), 0))
    return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory to read a large file");
  x->data = w->reader.late.large.data;
  return 1;
}

int lsi_late_open(struct lsi_worker *w, struct lsi_flight *f, struct lsi_flight_extent *x,
                  uint32_t object) {
  int unrest_ns;
  f->at_once = open_and_read(w, f, x, object, &unrest_ns);
  if (f->at_once) return 1;
  if (unrest_ns) return lsi_rest_put(w, f, unrest_ns);
  if (!x->slot) {
    if (w->error.code) set_unknown(w, f, x, object);
    return w->error.code;
  }
  lsi_lending_object(w, x->slot);
  x->loan = x->slot->handle.lends;
  set_length(w, f, x, object);
  if (lsi_plan_streams(f->wave->plan, x->length)) return lsi_ahead_begin(w, f);
  const bool lent = x->loan && x->length <= lsi_lending_most(w, x->slot);
  return lent || x->length <= w->reader.late.most ? 1 : large(w, f, x, object);
}

/* Memory for a unit that was put off: what its run has reserved, and more of the ledger's. What it decodes to
 * is not known, so that it may take all that it is allowed. */
static void ask_for_memory(struct lsi_worker *w, const struct lsi_late_unit *u, bool all) {
  const struct lsi_run *run = w->run;
  const uint64_t reserved = run->reserved * (all ? run->n_workers : 1u);
  const uint64_t need = run->config.spec->codec == LSI_CODEC_NONE ? u->need : w->reader.late.allowed;
  /* What does not fit in any case is not waited for: it is refused when it is opened. */
  if (need > reserved && u->need <= w->reader.late.allowed) lsi_surplus_ask(w, need - reserved);
}

/* The last one has run. */
static void give_memory_back(struct lsi_worker *w) {
  if (!w->surplus.asked) return;
  lsi_buffer_clear(&w->reader.late.large);
  lsi_surplus_end(w);
}

static enum lsi_late_found begin_taken(struct lsi_worker *w, uint64_t *wait_ns) {
  if (lsi_surplus_waits(w) && !lsi_surplus_came(w)) {
    *wait_ns = LSI_SURPLUS_NS;
    return LSI_LATE_WAITS;
  }
  w->reader.late.pending = false;
  w->reader.next_unit = w->reader.late.taken;
  w->reader.units_end = w->reader.late.taken + 1;
  return LSI_LATE_TAKEN;
}

enum lsi_late_found lsi_late_take(struct lsi_worker *w, uint64_t *wait_ns) {
  struct lsi_run *run = w->run;
  if (!w->reader.late.any) return LSI_LATE_NONE;
  if (w->reader.late.pending) return begin_taken(w, wait_ns);
  give_memory_back(w);
  if (w->reader.late.n_resting) {
    *wait_ns = lsi_rest_ns(w);
    return LSI_LATE_WAITS;
  }
  lsi_os_lock(run->mutex);
  const bool last = run->late.workers == 1;
  uint32_t i = 0;
  while (i < run->late.n && run->late.units[i].need > run->config.share) i++;
  if (i == run->late.n && last) { /* the largest first: should it not fit, the error says all */
    i = 0;
    for (uint32_t k = 1; k < run->late.n; k++)
      if (run->late.units[k].need > run->late.units[i].need) i = k;
  }
  const bool found = i < run->late.n, all = found && run->late.units[i].need > run->config.share;
  if (all && atomic_load(&run->running) > 1) { /* they are closing, and their memory is free when they have */
    lsi_os_unlock(run->mutex);
    *wait_ns = WAIT_NS;
    return LSI_LATE_WAITS;
  }
  struct lsi_late_unit u = {0};
  if (found) {
    u = run->late.units[i];
    run->late.units[i] = run->late.units[--run->late.n];
  } else {
    run->late.workers--; /* leaves: what is put off from now on is for others */
  }
  lsi_os_unlock(run->mutex);
  if (!found) return LSI_LATE_NONE;
  w->reader.late.allowed = run->config.share * (all ? run->n_workers : 1u);
  w->reader.late.taken = u.unit;
  w->reader.late.pending = true;
  ask_for_memory(w, &u, all);
  return begin_taken(w, wait_ns);
}

void lsi_late_leave(struct lsi_worker *w) {
  lsi_os_lock(w->run->mutex);
  w->run->late.workers--;
  lsi_os_unlock(w->run->mutex);
}
