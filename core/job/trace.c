#include "job/trace.h"

#include <inttypes.h>
#include <string.h>

#include "ground/err.h"
#include "ground/mem.h"

#define EVENTS_MAX (1u << 24) /* of a ring: 640 MiB */

static const struct {
  const char *name;
  bool overlaps; /* several at once on one thread: shown beside it, not on it */
} kinds[LSI_TRACE_KINDS] = {
    [LSI_TRACE_LIST] = {"list", false},
    [LSI_TRACE_PLAN] = {"plan", false},
    [LSI_TRACE_OPEN] = {"open", false},
    [LSI_TRACE_WAIT] = {"wait", false},
    [LSI_TRACE_IDLE] = {"idle", false},
    [LSI_TRACE_DECODE] = {"decode", false},
    [LSI_TRACE_TRANSFORM] = {"transform", false},
    [LSI_TRACE_PLACE] = {"place", false},
    [LSI_TRACE_REDUCE] = {"reduce", false},
    [LSI_TRACE_PUBLISH] = {"publish", false},
    [LSI_TRACE_READ] = {"read", true},
    [LSI_TRACE_WRITE] = {"write", true},
};

struct lsi_trace *lsi_trace_create(uint32_t rings, uint32_t events) {
  uint64_t slots = 1; /* one more, for the event that is being written */
  while (slots <= events && slots < EVENTS_MAX) slots *= 2;
  struct lsi_trace *t = lsi_calloc(1, sizeof *t);
  if (!t) return NULL;
  t->rings = lsi_alloc_aligned(LSI_CACHE_LINE, rings * sizeof *t->rings);
  if (!t->rings) {
    lsi_free(t);
    return NULL;
  }
  for (; t->n_rings < rings; t->n_rings++) {
    struct lsi_trace_ring *r = &t->rings[t->n_rings];
    r->slots = lsi_reallocarray(NULL, slots, sizeof *r->slots);
    if (!r->slots) {
      lsi_trace_free(t);
      return NULL;
    }
    r->mask = slots - 1;
    atomic_init(&r->n, 0);
    snprintf(r->name, sizeof r->name, "thread %u", t->n_rings);
  }
  return t;
}

void lsi_trace_free(struct lsi_trace *t) {
  if (!t) return;
  for (uint32_t i = 0; i < t->n_rings; i++) lsi_free(t->rings[i].slots);
  lsi_free(t->rings);
  lsi_free(t);
}

void lsi_trace_name(struct lsi_trace_ring *r, const char *name) {
  snprintf(r->name, sizeof r->name, "%s", name);
  for (char *c = r->name; *c; c++) /* it is written as it is */
    if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\') *c = '?';
}

static bool overlaps(uint32_t kind) { return kind < LSI_TRACE_KINDS && kinds[kind].overlaps; }

/* What an operation has beside lies in the upper parts of words of which it needs less. */
static uint64_t pack_bytes(const struct lsi_trace_event *e) {
  return overlaps(e->kind) ? (uint64_t)e->object << 32 | (uint32_t)e->bytes : e->bytes;
}

static uint32_t pack_kind(const struct lsi_trace_event *e) {
  return overlaps(e->kind) ? (uint32_t)(1 - e->outcome) << 8 | e->kind : e->kind;
}

/* The writer stores its count when an event is whole, and each word with release: a reader that loads a word
 * of a later event then also sees the count that the writer had before it. So it knows, by the count behind
 * its copy, which of the events it copied were there all the time. */
void lsi_trace_put(struct lsi_trace_ring *r, const struct lsi_trace_event *e) {
  const uint64_t n = atomic_load_explicit(&r->n, memory_order_relaxed);
  struct lsi_trace_slot *s = &r->slots[n & r->mask];
  const uint64_t words[LSI_TRACE_WORDS] = {e->begin_ns, e->end_ns, e->step, pack_bytes(e),
                                           (uint64_t)e->job << 32 | pack_kind(e)};
  for (size_t i = 0; i < LSI_TRACE_WORDS; i++)
    atomic_store_explicit(&s->word[i], words[i], memory_order_release);
  atomic_store_explicit(&r->n, n + 1, memory_order_release);
}

static struct lsi_trace_event load(struct lsi_trace_slot *s) {
  uint64_t words[LSI_TRACE_WORDS];
  for (size_t i = 0; i < LSI_TRACE_WORDS; i++)
    words[i] = atomic_load_explicit(&s->word[i], memory_order_acquire);
  struct lsi_trace_event e = {words[0], words[1], words[2], words[3], (uint32_t)(words[4] >> 32),
                              (uint32_t)words[4], 0, 0};
  if (!overlaps(e.kind & 0xff) || e.kind >> 16) return e;
  e.object = (uint32_t)(e.bytes >> 32);
  e.bytes = (uint32_t)e.bytes;
  e.outcome = 1 - (int32_t)(e.kind >> 8);
  e.kind &= 0xff;
  return e;
}

size_t lsi_trace_copy(struct lsi_trace_ring *r, struct lsi_trace_event *out, uint64_t *lost) {
  const uint64_t end = atomic_load_explicit(&r->n, memory_order_acquire);
  const uint64_t first = end - LSI_MIN(end, r->mask);
  for (uint64_t i = first; i < end; i++) out[i - first] = load(&r->slots[i & r->mask]);
  /* By now the writer may be at event `now`, in the place of the one a whole ring before. */
  const uint64_t now = atomic_load_explicit(&r->n, memory_order_relaxed);
  *lost = LSI_MIN(now - LSI_MIN(now, r->mask), end);
  const uint64_t n = end - *lost;
  if (*lost > first) memmove(out, out + (*lost - first), (size_t)n * sizeof *out);
  return (size_t)n;
}

/* ---- JSON ---- */

/* Microseconds, as the format has them, to the nanosecond. */
static void put_us(FILE *to, uint64_t ns) {
  fprintf(to, "%" PRIu64 ".%03u", ns / 1000, (unsigned)(ns % 1000));
}

static void put_operation(const struct lsi_trace_event *e, FILE *to) {
  fprintf(to, ",\"args\":{\"job\":%" PRIu32, e->job);
  if (e->object != UINT32_MAX) fprintf(to, ",\"object\":%" PRIu32, e->object);
  fprintf(to, ",\"offset\":%" PRIu64 ",\"length\":%" PRIu64, e->step, e->bytes);
  fprintf(to, ",\"outcome\":\"%s\"}}",
          e->outcome < 0 ? lsio_error_name(e->outcome) : e->outcome ? "short" : "done");
}

static void put_args(const struct lsi_trace_event *e, FILE *to) {
  const char *comma = "";
  fputs(",\"args\":{", to);
  if (e->job) fprintf(to, "\"job\":%" PRIu32, e->job), comma = ",";
  if (e->step != LSI_TRACE_NONE) fprintf(to, "%s\"step\":%" PRIu64, comma, e->step), comma = ",";
  if (e->bytes) fprintf(to, "%s\"bytes\":%" PRIu64, comma, e->bytes);
  fputs("}}", to);
}

static void put_head(FILE *to, const char *name, const char *phase, uint32_t thread, uint64_t ns) {
  fprintf(to, ",\n{\"name\":\"%s\",\"cat\":\"lsio\",\"ph\":\"%s\"", name, phase);
  fprintf(to, ",\"pid\":1,\"tid\":%" PRIu32 ",\"ts\":", thread);
  put_us(to, ns);
}

/* `id` tells apart what overlaps. */
static void put_event(const struct lsi_trace_event *e, uint32_t thread, uint64_t zero, uint64_t id,
                      FILE *to) {
  const bool known = e->kind < LSI_TRACE_KINDS;
  const char *name = known ? kinds[e->kind].name : "unknown";
  const uint64_t begin = e->begin_ns - zero, end = LSI_MAX(e->end_ns, e->begin_ns) - zero;
  if (overlaps(e->kind)) {
    put_head(to, name, "b", thread, begin);
    fprintf(to, ",\"id\":\"%" PRIu64 "\"", id);
    put_operation(e, to);
    put_head(to, name, "e", thread, end);
    fprintf(to, ",\"id\":\"%" PRIu64 "\"}", id);
    return;
  }
  put_head(to, name, "X", thread, begin);
  fputs(",\"dur\":", to);
  put_us(to, end - begin);
  put_args(e, to);
}

static void put_meta(const char *name, uint32_t thread, FILE *to) {
  fprintf(to, ",\n{\"name\":\"%s\",\"ph\":\"M\",\"pid\":1,\"tid\":%" PRIu32 ",\"args\":{", name, thread);
}

/* What one ring held when it was copied. */
struct copied {
  struct lsi_trace_event *events;
  size_t n;
};

static void put_all(const struct lsi_trace *t, const struct copied *c, uint64_t lost, FILE *to) {
  uint64_t zero = UINT64_MAX, id = 0;
  for (uint32_t i = 0; i < t->n_rings; i++)
    for (size_t k = 0; k < c[i].n; k++) zero = LSI_MIN(zero, c[i].events[k].begin_ns);
  fprintf(to, "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"lost_events\":%" PRIu64 "},\n", lost);
  fputs("\"traceEvents\":[\n", to);
  fputs("{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"args\":{\"name\":\"lsio\"}}", to);
  for (uint32_t i = 0; i < t->n_rings; i++) {
    put_meta("thread_name", i + 1, to);
    fprintf(to, "\"name\":\"%s\"}}", t->rings[i].name);
    put_meta("thread_sort_index", i + 1, to);
    fprintf(to, "\"sort_index\":%" PRIu32 "}}", i);
    for (size_t k = 0; k < c[i].n; k++) put_event(&c[i].events[k], i + 1, zero, ++id, to);
  }
  fputs("\n]}\n", to);
}

int lsi_trace_write(struct lsi_trace *t, FILE *to) {
  struct copied *c = lsi_calloc(t->n_rings, sizeof *c);
  int rc = c ? 0 : LSIO_ERR_NOMEM;
  uint64_t lost = 0;
  for (uint32_t i = 0; !rc && i < t->n_rings; i++) {
    uint64_t gone;
    c[i].events = lsi_reallocarray(NULL, t->rings[i].mask, sizeof *c[i].events);
    if (!c[i].events) rc = LSIO_ERR_NOMEM;
    else c[i].n = lsi_trace_copy(&t->rings[i], c[i].events, &gone), lost += gone;
  }
  if (!rc) put_all(t, c, lost, to);
  if (!rc && (fflush(to) != 0 || ferror(to))) rc = LSIO_ERR_IO;
  for (uint32_t i = 0; c && i < t->n_rings; i++) lsi_free(c[i].events);
  lsi_free(c);
  return rc;
}
