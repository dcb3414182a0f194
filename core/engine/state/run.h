/* The engine's inside: one run, its workers, units in flight. Shared by the files listed in engine.h
 * and by nobody else. */
#ifndef LSI_RUN_H
#define LSI_RUN_H

#include <stdatomic.h>

#include "codec/codec.h"
#include "engine/read/lending.h"
#include "engine/state/engine.h"
#include "engine/state/held.h"
#include "engine/step/place.h"
#include "memory/arena.h"
#include "seams/os.h"

enum { LSI_STOP_NO, LSI_STOP_CANCEL, LSI_STOP_FAIL };
enum lsi_phase { LSI_PHASE_START, LSI_PHASE_READ, LSI_PHASE_DECODE, LSI_PHASE_TRANSFORM,
                 LSI_PHASE_PLACE, LSI_PHASE_WINDOW, LSI_PHASE_END };

#define LSI_ERRORS_KEPT 100
#define LSI_CREDIT_BLOCK 8        /* operations in flight, leased to a worker at a time */
#define LSI_UNIT_BATCH 8          /* small units, taken at a time; ... */
#define LSI_UNIT_BATCH_BYTES (64u << 10) /* ... where no unit of the plan is larger than this */
#define LSI_REAP_BATCH 32
/* Files read as they are opened, before their steps run: one at a time, the kernel's code, ours and the
 * transform's push each other out of the core's caches (4 % of the CPU of 4 KiB files). */
#define LSI_READ_BATCH 16
/* The queue between engine and backend: new operations fill it this far, retries a little further,
 * and a continued short read always finds room. */
#define LSI_QUEUE_ISSUE 64
#define LSI_QUEUE_RETRY 128
/* In flight of what is resident: there is no latency to hide, and the bytes stay in the L2 cache from
 * the copy to the transform. */
#define LSI_HOT_BYTES (256u << 10)
#define LSI_WINDOW_OPS 32         /* where a worker's window starts, ... */
#define LSI_WINDOW_BYTES (2u << 20)
#define LSI_WINDOW_OPS_MAX 512    /* ... and where climbing ends */
#define LSI_ARENA_DEFAULT (4u << 20)
#define LSI_ARENA_MAX (64u << 20)
#define LSI_STREAM_BYTES_MAX (16u << 20)

struct lsi_eop;

/* An operation of the engine around the backend's. */
struct lsi_eop {
  struct lsi_op op; /* first: the backend hands back its address */
  struct lsi_flight *flight;
  struct lsi_flight_extent *extent; /* of the flight */
  struct lsi_eop *next_free;
  uint32_t chunk;   /* UINT32_MAX, or the chunk that it reads alone after a failure */
  uint32_t retries;
};

/* Part of an extent's range that could not be read. */
struct lsi_hole {
  uint64_t offset, length;
  int code, os_code;
  uint32_t extent;  /* within the flight */
  uint32_t chunk;   /* UINT32_MAX, or the only chunk that it is about: one that was read alone */
  bool end; /* the object ended here although it was longer when planned */
};

/* An extent of a unit in flight. */
struct lsi_flight_extent {
  uint64_t offset, length;    /* of the extent, in the object */
  struct lsi_slot *slot;      /* the open object */
  void *buffer;               /* leased; NULL when lent or empty */
  size_t buffer_bytes;
  bool loan;                  /* operations have no buffer: they are lent */
  const char *data;           /* the byte at `offset` */
  struct lsi_eop *lent;       /* the operation that release() gets back */
  uint64_t issued;            /* bytes of it given to operations */
};

/* A unit whose I/O has begun. From `damaged` to `n_old_holes` all is zero until something fails. */
struct lsi_flight {
  struct lsi_flight *next;
  uint32_t unit;
  uint32_t n_extents;
  struct lsi_flight_extent *issuing; /* its operations are being made */
  uint32_t ops_left;          /* in flight */
  uint64_t bytes;             /* of its extents */
  struct lsi_flight_extent *extents; /* = &one or allocated */
  uint32_t next_step;         /* position in plan->step_order (deferred flights resume here) */
  bool damaged;               /* some of it could not be read, at least at first */
  bool retried;               /* chunks have been read one by one */
  bool lost;                  /* no memory to say what failed: all of it has */
  struct lsi_hole *holes;
  uint32_t n_holes;
  bool retrying;              /* chunk by chunk: among w->retrying */
  uint32_t retry_step, retry_chunk;
  uint32_t writes;            /* results that are being written from its buffers */
  bool spent;                 /* its steps have run; it waits for those */
  struct lsi_hole *old_holes; /* of the first try */
  uint32_t n_old_holes;
  struct lsi_flight_extent one;
};

/* An open object. */
struct lsi_slot {
  struct lsi_handle handle;
  uint32_t object;
  uint32_t device;            /* of the object, index into the plan's */
  uint32_t refs;              /* extents in flight */
  uint32_t hash_next;         /* slot index + 1 */
  uint32_t newer, older;      /* LRU list, slot index + 1 */
  bool open;
};

struct lsi_objects {
  struct lsi_slot *slots;
  uint32_t free;               /* slot index + 1, chained by hash_next */
  uint32_t *buckets, mask;
  uint32_t newest, oldest;
  struct lsi_slot *last;
};

struct lsi_buffer {
  void *data;
  size_t capacity;
  struct lsi_pool *pool; /* NULL: none */
};

/* What a worker may still have in flight on a device. */
struct lsi_credit {
  uint32_t have;               /* leased and unused */
  uint32_t most;               /* having so many, it gives a block back */
};

struct lsi_counters { /* written by one worker, read by any */
  atomic_uint_fast64_t steps, failed, chunks, chunks_failed, bytes_done;
};

struct lsi_worker {
  struct lsi_run *run;
  uint32_t index;
  struct lsi_thread *thread;
  struct lsi_backend *backend;
  const struct lsi_backend_ops *ops; /* its own: the run's, or the run's fallback */
  struct lsi_arena arena;
  struct lsi_objects objects;
  uint64_t lend_most;            /* of the last object opened, see mapped.h; 0 with late */
  /* work */
  uint32_t next_unit, units_end; /* taken, not yet in flight */
  struct lsi_flight *issuing;    /* its operations are being made */
  struct lsi_flight *ready;      /* complete, waiting for the window; by unit */
  uint32_t n_ready;
  struct lsi_flight *read, **read_end; /* read as they were opened, in order; their steps have not run */
  uint32_t n_read;
  bool read_runs;                /* all of these first, then more are opened */
  struct lsi_flight *retrying;   /* being read again, chunk by chunk */
  struct lsi_flight *free_flights;
  uint32_t flights;              /* in flight, without ready ones */
  struct lsi_eop *free_ops;
  struct lsi_eop **op_blocks;
  uint32_t n_op_blocks;
  struct lsi_op *queue[192];     /* made, not yet taken by the backend */
  uint32_t n_queue;
  uint32_t ops_in_flight;        /* with those in queue */
  uint64_t bytes_in_flight;
  struct lsi_credit *credits;    /* per device */
  /* window */
  bool hot;                      /* the last object opened is resident */
  uint64_t begin_bytes;          /* units begin while less is in flight: window, or what stays hot */
  uint32_t window_ops, window_ops_max;
  uint64_t window_bytes;
  bool starving, all_starve; /* for a descriptor; see may_wait() */
  bool window_fixed, window_hit;
  uint64_t climb_at_ns, climb_bytes;
  double climb_rate;
  uint32_t climb_misses;
  /* steps */
  struct lsi_step step;
  struct lsi_chunk *chunks;
  uint64_t *chunk_at;            /* offsets in `decoded` */
  uint32_t chunks_cap;
  uint32_t named;                /* object that chunks[0] shows */
  struct lsi_decoder *decoder;
  struct lsi_buffer decoded, out, scratch;
  struct lsi_writer *writer;     /* of a direct sink; see write.h */
  size_t out_bytes;              /* for its buffers */
  bool defers;                   /* steps may have to wait: for the window, or for a write to land */
  uint64_t decode_limit;
  uint64_t time_from;            /* steps of so many stored bytes or more are timed; 0 with pieces */
  double pos_unknown;            /* of a whole chunk whose place is not known */
  struct lsi_buffer pieces;      /* with `piece` only: where they are decoded, ... */
  uint64_t piece_limit;          /* ... which takes at most so much of memory, with the decoder's own; ... */
  uint64_t gather_limit;         /* ... and results that are put together from them so many bytes */
  unsigned item_shift;           /* an element of the sources has 1 << item_shift bytes, ... */
  uint64_t item_mask;            /* ... which is item_mask + 1 */
  bool broken;                   /* the backend gave some operations not back */
  bool plain;                    /* elements are used as they are stored, one chunk a step */
  bool bare;                     /* plain, and no transform; no longer once a file is mapped */
  bool careful;                  /* units need more than their steps run: see landed_carefully */
  bool maps;                     /* a mapped file has been opened */
  struct lsi_lending lending;    /* where they are used */
  bool looks;                    /* steps count only after a look behind their reads: held.h */
  struct lsi_held held;
  bool yields;                   /* steps have a transform, or somewhere to go */
  bool placing;                  /* bytes are read straight into the result where that can be */
  bool ahead;                    /* the result lies in memory that nobody has touched yet */
  bool streams;                  /* transforms may store past the cache */
  struct lsi_place place;
  void *transform;
  bool transform_open, ran;
  /* files of which only names were planned: late.c */
  bool late;
  uint32_t late_opens;
  uint64_t late_max;             /* stored bytes of a step up to which it is read like any other */
  uint64_t late_allowed;         /* bytes that a larger one may need; 0: it is put off */
  struct lsi_buffer large;
  /* accounting */
  uint64_t operations, bytes_read, bytes_decoded, bytes_delivered, bytes_direct;
  uint64_t wait_ns, decode_ns, transform_ns, place_ns;
  uint64_t at_once_ns;       /* reading files as they are opened */
  uint64_t submit_ns;        /* waiting too, but not for what is in flight: in submit, or for others */
  uint64_t in_flight_ns;     /* wait_ns times the reads in flight */
  uint64_t last_refill_ns;
  uint32_t sample;
  uint64_t decoded_max;          /* largest chunk decoded so far */
  struct lsi_error error;        /* scratch for one failure */
  _Alignas(LSI_CACHE_LINE) struct lsi_counters counters;
  _Alignas(LSI_CACHE_LINE) atomic_uint_fast64_t range; /* units not begun: lo << 32 | hi */
  atomic_uint_fast64_t activity; /* phase << 56 | step */
};

/* A unit whose file turned out too large for the arena: see late.c. */
struct lsi_late_unit {
  uint32_t unit;
  uint64_t need; /* bytes of memory */
};
/* What beginning a unit or an extent of it can come to, beside 1 (done), 0 (no room now) and errors. */
enum { LSI_PUT_OFF = 2, LSI_READ, LSI_BATCH_READ, LSI_GO_ON };

struct lsi_section_state {
  _Alignas(LSI_CACHE_LINE) atomic_uint_fast32_t cursor; /* next unit to hand out */
  atomic_uint_fast64_t bytes_taken;
};

struct lsi_device_state {
  _Alignas(LSI_CACHE_LINE) atomic_int_fast32_t in_flight; /* leased to workers */
  int32_t cap;                                            /* INT32_MAX = none */
  int32_t block;
};

struct lsi_run {
  struct lsi_run_config config;
  const struct lsi_request *request;
  uint32_t n_workers;
  struct lsi_worker *workers;
  struct lsi_section_state *sections;
  struct lsi_device_state *devices;
  atomic_int stop;
  atomic_uint running;
  atomic_uint starving; /* workers that wait for a descriptor */
  atomic_uint able; /* workers that have opened or may still; see others_do_it() */
  enum lsi_on_error on_error;
  atomic_uint_fast64_t memory_peak, memory_at_ns; /* greatest use seen; when it was last looked at */
  uint64_t write_bytes; /* of buffers that a worker can use for results of a direct sink; 0: not direct */
  uint64_t write_bytes_least; /* for the largest result */
  uint64_t start_ns, end_ns, start_cpu_ns, end_cpu_ns;
  /* under mutex */
  struct lsi_mutex *mutex;
  struct lsi_cond *cond;
  struct lsi_error error;
  struct lsi_error *errors;
  uint32_t n_errors_kept;
  uint64_t n_errors;
  struct lsi_run_completion *first, *last;
  uint64_t queued_bytes;
  struct lsi_worker_summary *summaries;
  struct lsi_late_unit *late_units;
  uint32_t n_late_units;
  uint32_t late_workers; /* that may still put units off */
};

static inline bool lsi_stopping(const struct lsi_run *run) {
  return atomic_load_explicit(&run->stop, memory_order_relaxed) != LSI_STOP_NO;
}

/* engine.c */
void lsi_run_fail(struct lsi_run *run, const struct lsi_error *e); /* the first one wins; stops */
/* Notes how much memory the process uses, if the last time is long enough ago (`now`: in any case). */
void lsi_run_note_memory(struct lsi_run *run, bool now);
void lsi_run_complete(struct lsi_run *run, struct lsi_run_completion *list); /* handed over */
void lsi_run_step_failed(struct lsi_worker *w, uint32_t step, const struct lsi_error *e);

/* handout.c */
bool lsi_take_units(struct lsi_worker *w); /* sets next_unit and units_end; false = none left */
bool lsi_lease_credits(struct lsi_worker *w, uint32_t device);
void lsi_return_block(struct lsi_worker *w, uint32_t device);
void lsi_return_credits(struct lsi_worker *w);

static inline bool lsi_take_credit(struct lsi_worker *w, uint32_t device) {
  struct lsi_credit *c = &w->credits[device];
  if (LSI_UNLIKELY(!c->have) && !lsi_lease_credits(w, device)) return false;
  c->have--;
  return true;
}
static inline void lsi_give_credit(struct lsi_worker *w, uint32_t device) {
  struct lsi_credit *c = &w->credits[device];
  if (LSI_UNLIKELY(++c->have >= c->most)) lsi_return_block(w, device);
}

/* worker.c */
void lsi_worker_main(void *worker);
void lsi_worker_fail(struct lsi_worker *w); /* ends the run with w->error */

/* flight.c */
/* Makes the operations of one unit after the other while there is room and something to do. Returns a
 * flight that has settled in here: one with nothing to read or read already, or whose last operation came
 * back while it waited for room. NULL: no more for now. */
struct lsi_flight *lsi_flights_begin(struct lsi_worker *w);
/* The first of those that were read as they were opened, or NULL. */
struct lsi_flight *lsi_flight_read(struct lsi_worker *w);
/* An operation brought less than it asked for: true when it goes on, else the rest is a hole. */
bool lsi_flight_short(struct lsi_worker *w, struct lsi_eop *e);
/* Copies what was lent to its place in the extent's buffer and gives it back. */
void lsi_flight_copy(struct lsi_worker *w, struct lsi_eop *e);
/* Puts a flight with holes among those whose chunks are read one by one; false: not, or not again. */
bool lsi_flight_begin_retry(struct lsi_worker *w, struct lsi_flight *f);
/* Goes on with the first flight of w->retrying; false when out of credit or room. */
bool lsi_flight_retry(struct lsi_worker *w);
void lsi_flight_free(struct lsi_flight *f); /* one that does not go back to the pool */
/* The bytes of a chunk as they lie in its extent; NULL with w->error if some could not be read. NULL is
 * also what an empty chunk may get. */
const char *lsi_flight_bytes(struct lsi_worker *w, const struct lsi_flight *f, uint32_t chunk,
                             uint32_t step);
void lsi_free_flight_pools(struct lsi_worker *w);
/* The backend is broken: ends those whose operations it never gives back. The run is stopping. */
void lsi_flights_lost(struct lsi_worker *w);

/* True when nothing of the flight is in flight any more; starts the retries of what failed. */
static inline bool lsi_flight_settled(struct lsi_worker *w, struct lsi_flight *f) {
  if (f->ops_left || f == w->issuing || f->retrying) return false;
  return LSI_LIKELY(!f->n_holes) || !lsi_flight_begin_retry(w, f);
}

static inline void lsi_op_put(struct lsi_worker *w, struct lsi_eop *e) {
  e->next_free = w->free_ops;
  w->free_ops = e;
}

/* Takes a finished operation; returns the flight when that was its last. */
static inline struct lsi_flight *lsi_flight_landed(struct lsi_worker *w, struct lsi_eop *e) {
  struct lsi_op *op = &e->op;
  struct lsi_flight *f = e->flight;
  struct lsi_flight_extent *x = e->extent;
  w->operations++;
  if (LSI_LIKELY(op->result >= (int64_t)op->length)) {
    w->bytes_read += (uint64_t)op->result;
    w->bytes_direct += op->direct ? (uint64_t)op->result : 0;
  } else if (lsi_flight_short(w, e))
    return NULL;
  w->bytes_in_flight -= op->length;
  w->ops_in_flight--;
  lsi_give_credit(w, x->slot->device);
  if (op->data && !x->buffer) { /* lent: kept until the flight ends */
    x->data = op->data;
    x->lent = e;
  } else {
    if (LSI_UNLIKELY(op->data != NULL)) lsi_flight_copy(w, e);
    lsi_op_put(w, e);
  }
  f->ops_left--;
  return lsi_flight_settled(w, f) ? f : NULL;
}

static inline void lsi_flight_end(struct lsi_worker *w, struct lsi_flight *f) {
  for (struct lsi_flight_extent *x = f->extents, *end = x + f->n_extents; x < end; x++) {
    if (x->lent) {
      w->ops->release(w->backend, &x->lent->op);
      lsi_op_put(w, x->lent);
    }
    if (x->buffer) lsi_arena_release(&w->arena, x->buffer, x->buffer_bytes);
    if (x->slot) x->slot->refs--;
  }
  if (LSI_UNLIKELY(f->damaged || f->extents != &f->one)) {
    lsi_flight_free(f);
    return;
  }
  f->next = w->free_flights; /* clean, so that none must be cleared when it is used again */
  w->free_flights = f;
}

static inline void lsi_set_begin_bytes(struct lsi_worker *w) {
  w->begin_bytes = w->hot ? LSI_MIN(w->window_bytes, (uint64_t)LSI_HOT_BYTES) : w->window_bytes;
}

static inline void lsi_set_phase(struct lsi_worker *w, enum lsi_phase phase, uint32_t step) {
  /* Released: who reads it looks at the step's length, which may have become known just now. */
  atomic_store_explicit(&w->activity, (uint64_t)phase << 56 | step, memory_order_release);
}

/* prepare.c */
/* Room for `bytes`, of which the first `keep` survive when it moves. */
bool lsi_buffer_fit(struct lsi_buffer *b, size_t bytes, size_t keep);
/* What of a view belongs to its object. */
void lsi_name_view(struct lsi_worker *w, struct lsi_chunk *view, uint32_t object);
/* Signed conversions: one instruction each where unsigned ones are many. All are below 2^63. */
static inline void lsi_set_view(struct lsi_worker *w, struct lsi_chunk *view, uint32_t chunk,
                            const void *data, uint64_t bytes) {
  const struct lsi_request *r = w->run->request;
  const uint32_t object = r->object[chunk];
  const uint64_t offset = r->offset[chunk], length = r->length[chunk];
  const int64_t tag = r->tag ? r->tag[chunk] : 0;
  view->data = data;
  view->n = (double)(int64_t)(bytes >> w->item_shift);
  view->bytes = (double)(int64_t)bytes;
  view->offset = (double)(int64_t)offset;
  view->length = (double)(int64_t)length;
  view->tag = tag;
  if (w->named != object || view != w->chunks) lsi_name_view(w, view, object);
}

int lsi_no_whole_elements(struct lsi_worker *w, uint64_t bytes); /* w->error and its code */
/* Fills w->step: views, output, scratch. Negative: w->error. */
int lsi_step_prepare(struct lsi_worker *w, struct lsi_flight *f, uint32_t step);

/* deliver.c */
/* What the step yields: elements (data, count) or a record. */
struct lsi_yield {
  const void *data;
  uint64_t count;
  bool record, nothing;
  size_t length;
};

/* Where a step of n elements writes: sets w->step's out and out_n. */
int lsi_step_out(struct lsi_worker *w, uint32_t step, double n);
/* What the transform said of its result, or the identity's. Negative: w->error. */
int lsi_step_interpret(struct lsi_worker *w, uint32_t step, struct lsi_yield *y);
/* Takes it to the sink or the stream: 0, or 1 when it is on its way there and counts when it has landed. */
int lsi_step_deliver(struct lsi_worker *w, uint32_t step, struct lsi_yield *y);
/* `fill` in the place of a step that delivers nothing. */
int lsi_step_fill(struct lsi_worker *w, uint32_t step);
/* Of a step with a fixed place: that its result has `count` elements as the place does. */
int lsi_step_check_room(struct lsi_worker *w, uint32_t step, uint64_t count);
/* A part of such a result, elements [first, first + n): where it is made ready, NULL without memory; then
 * it is taken to its place, or that filled if *y is nothing; and after the last one, as of deliver. */
void *lsi_step_part_out(struct lsi_worker *w, uint32_t step, uint64_t first, uint64_t n);
int lsi_step_part_place(struct lsi_worker *w, uint32_t step, uint64_t first, uint64_t n,
                        const struct lsi_yield *y);
int lsi_step_parts_end(struct lsi_worker *w);
/* The step has failed after its first n elements were taken there. */
void lsi_step_parts_undo(struct lsi_worker *w, uint64_t n);

/* pieces.c */
/* All of a step, by pieces; *rc as of lsi_step_deliver(). False: its chunk is to be taken whole. */
bool lsi_step_by_pieces(struct lsi_worker *w, struct lsi_flight *f, uint32_t step, int *rc);

/* steps.c */
/* Steps run in the order of their offsets, which is not that of the request: what the request says of
 * the steps to come is fetched this many ahead, else each costs three misses of the cache. */
#define LSI_PREFETCH_STEPS 12u
/* The step at position `at` of the plan's order. Always inline: GCC takes a function that only
 * prefetches for one without effect and drops its calls. */
static inline __attribute__((always_inline)) uint32_t lsi_step_at(const struct lsi_run *run,
                                                                  uint32_t at) {
  const struct lsi_request *r = run->request;
  if (!r->step_first && at + LSI_PREFETCH_STEPS < r->n_steps) {
    uint32_t ahead = run->config.plan->step_order[at + LSI_PREFETCH_STEPS];
    __builtin_prefetch(&r->offset[ahead]);
    __builtin_prefetch(&r->length[ahead]);
    __builtin_prefetch(&r->object[ahead]);
  }
  return run->config.plan->step_order[at];
}
/* Runs the flight's steps from next_step on; false when it must wait: for the window, or for a write. */
bool lsi_steps_run(struct lsi_worker *w, struct lsi_flight *f);
/* Counts a step whose result is where it belongs. */
void lsi_step_done(struct lsi_worker *w, uint32_t step);
/* Keeps w->error as the step's, of flight f (NULL: its result was on its way). False: it ends the run. */
bool lsi_step_failed(struct lsi_worker *w, const struct lsi_flight *f, uint32_t step);

#endif
