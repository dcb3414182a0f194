/* Results whose size is known only when a step has run. In request order the result of the oldest
 * missing step is written at once, straight from the worker's buffer: that is the share that makes
 * progress always possible, and it costs no window memory. Later ones wait as copies. Small results
 * are gathered so that a million of them are not a million writes. */
#include <string.h>

#include "ground/mem.h"
#include "sink/sink_impl.h"

#define STAGE_MAX (1u << 20)       /* bytes gathered before a write */
#define STAGE_FROM (1u << 20)      /* windows smaller than this gather nothing */
#define STAGES 2                   /* one fills while the other is written */
#define BATCH_MAX 32               /* writes made per turn without the mutex */
#define RING_FIRST 64              /* steps that the ring holds at first */
#define INDEX_ROWS 2048            /* rows of the index gathered before a write */

enum entry_state { ENTRY_MISSING, ENTRY_RESERVED, ENTRY_HELD };

/* What is known of a step from `next` on. */
struct entry {
  const void *data;  /* HELD: its elements: a copy that the window owns, or the worker's buffer */
  uint64_t count;    /* HELD */
  uint64_t reserved; /* RESERVED: bytes */
  uint8_t state;     /* enum entry_state */
  bool owned;
};

enum write_kind { WRITE_BORROWED, WRITE_OWNED, WRITE_STAGE };

struct write {
  const void *data;
  uint64_t length;
  uint64_t offset; /* in the file */
  enum write_kind kind;
};

/* Places that have been given and are written once the mutex is free. */
struct batch {
  struct write writes[BATCH_MAX];
  size_t n;
};

struct lsi_window {
  struct lsi_sink *sink;
  struct lsi_mutex *mutex;
  bool as_completed;
  uint64_t limit;          /* bytes for held and reserved results */
  /* under mutex */
  uint32_t next;           /* oldest step without a result */
  uint64_t appended;       /* steps */
  uint64_t pos;            /* elements that have a place */
  struct entry *ring;      /* of ring_cap, a power of two; step & (ring_cap - 1) */
  uint64_t ring_cap;
  uint64_t held;           /* bytes of results that wait for their turn */
  uint64_t reserved;       /* bytes for results of steps that may run */
  uint64_t peak;           /* of held */
  size_t stage_cap;        /* bytes of a buffer in which small results are gathered; 0: there are none */
  char *free_stages[STAGES];
  size_t n_free_stages;
  char *stage;             /* being filled, or NULL */
  size_t stage_length;
  uint64_t stage_offset;   /* in the file */
  int64_t *rows;           /* of the index, not yet written */
  size_t n_rows;
  uint64_t rows_written;   /* before those */
  struct lsi_error error;  /* the first failure; later calls return it too */
};

int lsi_window_create(struct lsi_sink *s, uint64_t bytes, struct lsi_window **out,
                      struct lsi_error *err) {
  struct lsi_window *w = lsi_calloc(1, sizeof *w);
  if (!w) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the output window");
  w->sink = s;
  w->as_completed = s->spec->as_completed;
  lsi_error_clear(&w->error);
  w->mutex = lsi_os_mutex_create();
  w->ring_cap = RING_FIRST;
  w->ring = lsi_calloc(w->ring_cap, sizeof *w->ring);
  bool ok = w->mutex && w->ring;
  if (bytes >= STAGE_FROM) w->stage_cap = (size_t)LSI_MIN(bytes / 16, (uint64_t)STAGE_MAX);
  for (size_t i = 0; ok && w->stage_cap && i < STAGES; i++) {
    char *stage = lsi_malloc(w->stage_cap);
    if (stage) w->free_stages[w->n_free_stages++] = stage;
    ok = stage != NULL;
  }
  w->limit = bytes - STAGES * w->stage_cap;
  if (w->as_completed) {
    w->rows = lsi_malloc(INDEX_ROWS * LSI_INDEX_ROW);
    ok = ok && w->rows;
  }
  if (!ok) {
    lsi_window_destroy(w);
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the output window");
  }
  *out = w;
  return 0;
}

void lsi_window_destroy(struct lsi_window *w) {
  if (!w) return;
  for (uint64_t i = 0; w->ring && i < w->ring_cap; i++)
    if (w->ring[i].state == ENTRY_HELD && w->ring[i].owned) lsi_free((void *)w->ring[i].data);
  for (size_t i = 0; i < w->n_free_stages; i++) lsi_free(w->free_stages[i]);
  lsi_free(w->stage);
  lsi_free(w->ring);
  lsi_free(w->rows);
  if (w->mutex) lsi_os_mutex_destroy(w->mutex);
  lsi_free(w);
}

uint64_t lsi_window_elements(const struct lsi_window *w) {
  lsi_os_lock(w->mutex);
  uint64_t pos = w->pos;
  lsi_os_unlock(w->mutex);
  return pos;
}
uint64_t lsi_window_rows(const struct lsi_window *w) { return w->rows_written + w->n_rows; }
uint64_t lsi_window_peak(const struct lsi_window *w) {
  return w->peak + STAGES * w->stage_cap + w->ring_cap * sizeof *w->ring;
}

/* ---- under the mutex ---- */

static struct entry *entry_at(struct lsi_window *w, uint32_t step) {
  return &w->ring[step & (w->ring_cap - 1)];
}

/* Room for a step in the ring; steps before `next` have none. False: no memory. */
static bool reach(struct lsi_window *w, uint32_t step) {
  const uint64_t distance = (uint64_t)step - w->next;
  if (distance < w->ring_cap) return true;
  uint64_t cap = w->ring_cap;
  while (cap <= distance) cap *= 2;
  struct entry *ring = lsi_calloc((size_t)cap, sizeof *ring);
  if (!ring) return false;
  for (uint64_t i = 0; i < w->ring_cap; i++) {
    uint64_t old = w->next + i;
    ring[old & (cap - 1)] = w->ring[old & (w->ring_cap - 1)];
  }
  lsi_free(w->ring);
  w->ring = ring;
  w->ring_cap = cap;
  return true;
}

static int failed(const struct lsi_window *w, struct lsi_error *err) {
  if (err && !err->code) *err = w->error;
  return w->error.code;
}

static void note_peak(struct lsi_window *w) {
  if (w->held > w->peak) w->peak = w->held;
}

/* Writes the batch without the mutex and gives back its memory. */
static void write_batch(struct lsi_window *w, struct batch *b) {
  if (!b->n) return;
  struct lsi_error error;
  lsi_error_clear(&error);
  bool ok = !w->error.code;
  lsi_os_unlock(w->mutex);
  uint64_t freed = 0;
  for (size_t i = 0; i < b->n; i++) {
    const struct write *x = &b->writes[i];
    if (ok) ok = lsi_sink_write(w->sink, x->data, x->length, x->offset, &error) == 0;
    if (x->kind == WRITE_OWNED) {
      lsi_free((void *)x->data);
      freed += x->length;
    }
  }
  lsi_os_lock(w->mutex);
  w->held -= freed;
  for (size_t i = 0; i < b->n; i++)
    if (b->writes[i].kind == WRITE_STAGE)
      w->free_stages[w->n_free_stages++] = (char *)b->writes[i].data;
  if (error.code && !w->error.code) w->error = error;
  b->n = 0;
}

static void push(struct batch *b, const void *data, uint64_t length, uint64_t offset,
                 enum write_kind kind) {
  b->writes[b->n++] = (struct write){data, length, offset, kind};
}

static void push_stage(struct lsi_window *w, struct batch *b) {
  if (!w->stage) return;
  if (w->stage_length)
    push(b, w->stage, w->stage_length, w->stage_offset, WRITE_STAGE);
  else
    w->free_stages[w->n_free_stages++] = w->stage;
  w->stage = NULL;
  w->stage_length = 0;
}

/* Gives the elements their place: gathers them, or adds up to two writes to the batch. */
static void emit(struct lsi_window *w, struct batch *b, const void *data, uint64_t count,
                 bool owned) {
  const uint64_t length = count * w->sink->item;
  const uint64_t offset = w->sink->header + w->pos * w->sink->item;
  if (!count) return;
  w->pos += count;
  const bool small = length <= w->stage_cap / 2;
  if (!small || w->stage_length + length > w->stage_cap) push_stage(w, b);
  if (small && !w->stage && w->n_free_stages) {
    w->stage = w->free_stages[--w->n_free_stages];
    w->stage_offset = offset;
  }
  if (!small || !w->stage) { /* large, or both gathering buffers are being written */
    push(b, data, length, offset, owned ? WRITE_OWNED : WRITE_BORROWED);
    return;
  }
  memcpy(w->stage + w->stage_length, data, (size_t)length);
  w->stage_length += (size_t)length;
  if (owned) {
    lsi_free((void *)data);
    w->held -= length;
  }
}

/* Gives places to all results that have their turn. */
static void drain(struct lsi_window *w, struct batch *b) {
  while (w->next < w->sink->n_steps) {
    struct entry *e = entry_at(w, w->next);
    if (e->state != ENTRY_HELD) break;
    emit(w, b, e->data, e->count, e->owned);
    memset(e, 0, sizeof *e);
    w->next++;
    if (b->n + 2 > BATCH_MAX) write_batch(w, b);
  }
  write_batch(w, b);
}

/* ---- the index of order = "completed" ---- */

static int write_rows(struct lsi_window *w, struct lsi_error *err) {
  if (!w->n_rows) return 0;
  int rc = lsi_os_file_write(w->sink->index, w->rows, w->n_rows * LSI_INDEX_ROW,
                             LSI_INDEX_HEADER + w->rows_written * LSI_INDEX_ROW, err);
  if (rc) return rc;
  w->rows_written += w->n_rows;
  w->n_rows = 0;
  return 0;
}

static void add_row(struct lsi_window *w, uint32_t step, uint64_t count) {
  int64_t *row = w->rows + 3 * w->n_rows++;
  row[0] = (int64_t)(w->sink->first_index + step);
  row[1] = (int64_t)w->pos;
  row[2] = (int64_t)count;
  if (w->n_rows == INDEX_ROWS) write_rows(w, w->error.code ? NULL : &w->error);
}

/* ---- the interface ---- */

/* Bytes that a step `step` costs beyond its result when results of so many before it are missing: many
 * tiny ones would fill memory with what is known of them. */
static uint64_t far_ahead(const struct lsi_window *w, uint32_t step) {
  const uint64_t distance = (uint64_t)step - w->next;
  return distance < RING_FIRST ? 0 : distance * 2 * sizeof(struct entry);
}

static bool has_room(const struct lsi_window *w, uint32_t step, uint64_t bytes) {
  uint64_t sum;
  return !lsi_add_overflow(w->held + w->reserved + far_ahead(w, step), bytes, &sum) &&
         sum <= w->limit;
}

bool lsi_window_may_run(struct lsi_window *w, uint32_t step, uint64_t bytes_max) {
  if (w->as_completed) return true;
  lsi_os_lock(w->mutex);
  /* After a failure nobody shall wait: the append reports it. */
  bool yes = step <= w->next || w->error.code;
  const bool seen = !yes && (uint64_t)step - w->next < w->ring_cap;
  if (seen && entry_at(w, step)->state != ENTRY_MISSING) {
    yes = true;
  } else if (!yes && has_room(w, step, bytes_max) && reach(w, step)) {
    struct entry *e = entry_at(w, step);
    e->state = ENTRY_RESERVED;
    e->reserved = bytes_max;
    w->reserved += bytes_max;
    yes = true;
  }
  lsi_os_unlock(w->mutex);
  return yes;
}

static int append_completed(struct lsi_window *w, uint32_t step, const void *data, uint64_t count,
                            struct lsi_error *err) {
  struct batch b = {.n = 0};
  lsi_os_lock(w->mutex);
  if (!w->error.code) {
    w->appended++;
    add_row(w, step, count);
    emit(w, &b, data, count, false);
    write_batch(w, &b);
  }
  int rc = failed(w, err);
  lsi_os_unlock(w->mutex);
  return rc;
}

/* Copies a result that must wait. Gives up the mutex meanwhile. */
static void *hold_copy(struct lsi_window *w, const void *data, uint64_t length) {
  w->held += length;
  note_peak(w);
  lsi_os_unlock(w->mutex);
  void *copy = lsi_malloc((size_t)length);
  if (copy) memcpy(copy, data, (size_t)length);
  lsi_os_lock(w->mutex);
  if (!copy) w->held -= length;
  return copy;
}

static int append_ordered(struct lsi_window *w, uint32_t step, const void *data, uint64_t count,
                          struct lsi_error *err) {
  struct batch b = {.n = 0};
  const uint64_t length = count * w->sink->item;
  lsi_os_lock(w->mutex);
  if (w->error.code) goto out;
  if (step < w->next || (reach(w, step) && entry_at(w, step)->state == ENTRY_HELD)) {
    lsi_fail(&w->error, LSIO_ERR_BUG, 0, "step %u was appended to the output twice", step);
    goto out;
  }
  if (!reach(w, step)) {
    lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for the output window");
    goto out;
  }
  w->reserved -= entry_at(w, step)->reserved;
  entry_at(w, step)->reserved = 0;
  bool owned = step != w->next && count;
  if (owned) {
    data = hold_copy(w, data, length);
    if (!data) {
      lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for %llu bytes of results that wait",
               (unsigned long long)length);
      lsi_error_remedy(&w->error, "use fewer --workers or order = \"completed\"");
      goto out;
    }
  }
  *entry_at(w, step) = (struct entry){
      .data = data, .count = count, .state = ENTRY_HELD, .owned = owned};
  w->appended++;
  drain(w, &b);
out:;
  int rc = failed(w, err);
  lsi_os_unlock(w->mutex);
  return rc;
}

int lsi_window_append(struct lsi_window *w, uint32_t step, const void *data, uint64_t count,
                      struct lsi_error *err) {
  const struct lsi_sink *s = w->sink;
  uint64_t length;
  if (step >= s->n_steps)
    return lsi_fail(err, LSIO_ERR_BUG, 0, "step %u of %u appended to the output", step, s->n_steps);
  if (lsi_mul_overflow(count, s->item, &length) || length > SIZE_MAX / 2)
    return lsi_fail(err, LSIO_ERR_BUG, 0, "a result of %llu elements", (unsigned long long)count);
  return w->as_completed ? append_completed(w, step, data, count, err)
                      : append_ordered(w, step, data, count, err);
}

int lsi_window_flush(struct lsi_window *w, struct lsi_error *err) {
  struct batch b = {.n = 0};
  lsi_os_lock(w->mutex);
  if (!w->error.code && w->appended != w->sink->n_steps)
    lsi_fail(&w->error, LSIO_ERR_BUG, 0, "%llu of %u steps gave the output a result",
             (unsigned long long)w->appended, w->sink->n_steps);
  if (!w->error.code) {
    push_stage(w, &b);
    write_batch(w, &b);
  }
  if (!w->error.code && w->as_completed) write_rows(w, &w->error);
  int rc = failed(w, err);
  lsi_os_unlock(w->mutex);
  return rc;
}
