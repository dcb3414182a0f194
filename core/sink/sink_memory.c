/* A sink in memory: the caller's array, or one of LSIO's. Steps of known places write there themselves
 * (lsi_sink_at), others pass the window as they would on their way into a file.
 *
 * Memory that nobody has touched yet is slow to write and must not be written past the cache, so what is
 * known of it is kept per 2 MiB (a huge page): whether the pages are there. A block that a step has been
 * written to counts as not there until somebody populates it, which then costs nothing. */
#include <string.h>

#include "ground/mem.h"
#include "kernels/kernels.h"
#include "sink/sink_impl.h"

#define LEAST (64u << 10) /* making the pages of less ready takes more calls than it spares */
#define BLOCK ((uint64_t)2 << 20)
#define LARGE ((uint64_t)32 << 20) /* arrays from here on do not stay in a cache; */
#define LARGE_WRITE (64u << 10)    /* nor do single results from here on */

enum { UNTOUCHED, BEING_POPULATED, POPULATED };

static uint64_t block_of(const struct lsi_sink *s, const char *p) {
  return (uint64_t)(p - (char *)lsi_round_down((uintptr_t)s->memory, BLOCK)) / BLOCK;
}

int lsi_sink_memory_open(struct lsi_sink *s, struct lsi_error *err) {
  uint64_t bytes;
  if (!s->variable && (lsi_mul_overflow(s->total, s->item, &bytes) || bytes != s->memory_bytes))
    return lsi_fail(err, LSIO_ERR_BUG, 0, "%llu elements of %llu bytes for an array of %llu bytes",
                    (unsigned long long)s->total, (unsigned long long)s->item,
                    (unsigned long long)s->memory_bytes);
  if (!s->memory_bytes) return 0;
  s->populated = s->memory_bytes < LEAST || lsi_os_populated(s->memory, s->memory_bytes);
  if (s->populated) return 0;
  s->n_blocks = block_of(s, s->memory + s->memory_bytes - 1) + 1;
  s->blocks = lsi_calloc(s->n_blocks, sizeof *s->blocks);
  return s->blocks ? 0 : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the sink");
}

void *lsi_sink_at(const struct lsi_sink *s, uint64_t pos) {
  return s->memory ? s->memory + pos * s->item : NULL; /* no array: no elements */
}

bool lsi_sink_nontemporal(const struct lsi_sink *s, const void *place, uint64_t bytes) {
  if (s->memory_bytes < LARGE || bytes < LARGE_WRITE || !s->memory) return false;
  if (s->populated) return true;
  const uint64_t last = block_of(s, (const char *)place + bytes - 1);
  for (uint64_t b = block_of(s, place); b <= last; b++)
    if (atomic_load_explicit(&s->blocks[b], memory_order_acquire) != POPULATED) return false;
  return true;
}

bool lsi_sink_untouched(const struct lsi_sink *s) { return s->blocks != NULL; }

bool lsi_sink_populate(struct lsi_sink *s, uint64_t pos, uint64_t ahead) {
  const uint64_t from = pos * s->item;
  if (!s->blocks || from >= s->memory_bytes) return false;
  const uint64_t to = from + LSI_MIN(ahead, s->memory_bytes - from);
  const uint64_t last = block_of(s, s->memory + to - 1);
  char *const first = (char *)lsi_round_down((uintptr_t)s->memory, BLOCK);
  for (uint64_t b = block_of(s, s->memory + from); b <= last; b++) {
    unsigned char untouched = UNTOUCHED;
    if (!atomic_compare_exchange_strong(&s->blocks[b], &untouched, BEING_POPULATED)) continue;
    char *p = LSI_MAX(first + b * BLOCK, s->memory);
    char *end = LSI_MIN(first + (b + 1) * BLOCK, s->memory + s->memory_bytes);
    if (!lsi_os_populate(p, (size_t)(end - p))) continue; /* and nobody tries again */
    atomic_store_explicit(&s->blocks[b], POPULATED, memory_order_release);
    return true;
  }
  return false;
}

int lsi_sink_memory_write(struct lsi_sink *s, const void *data, uint64_t length, uint64_t offset,
                          struct lsi_error *err) {
  uint64_t end;
  if (lsi_add_overflow(offset, length, &end) || end > s->memory_bytes) {
    lsi_fail(err, LSIO_ERR_OUTPUT, 0,
             "the output array has %llu bytes, but the results up to here have %llu",
             (unsigned long long)s->memory_bytes, (unsigned long long)end);
    lsi_error_remedy(err, "give the job a larger `output`");
    return LSIO_ERR_OUTPUT;
  }
  char *to = s->memory + offset;
  if (data != to) lsi_kernels()->copy(data, (size_t)length, to, lsi_sink_nontemporal(s, to, length));
  atomic_fetch_add_explicit(&s->written, length, memory_order_relaxed);
  return 0;
}
