/* A sink in memory: the caller's array, or one of LSIO's. Steps of known places write there themselves
 * (lsi_sink_at), others pass the window as they would on their way into a file. */
#include <string.h>

#include "sink_impl.h"

int lsi_sink_memory_check(const struct lsi_sink *s, struct lsi_error *err) {
  uint64_t bytes;
  if (s->variable) return 0; /* the room is known, what comes is not */
  if (!lsi_mul_overflow(s->total, s->item, &bytes) && bytes == s->memory_bytes) return 0;
  return lsi_fail(err, LSIO_ERR_BUG, 0, "%llu elements of %llu bytes for an array of %llu bytes",
                  (unsigned long long)s->total, (unsigned long long)s->item,
                  (unsigned long long)s->memory_bytes);
}

void *lsi_sink_at(const struct lsi_sink *s, uint64_t pos) {
  return s->memory ? s->memory + pos * s->item : NULL; /* no array: no elements */
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
  if (data != s->memory + offset) memcpy(s->memory + offset, data, (size_t)length);
  atomic_fetch_add_explicit(&s->written, length, memory_order_relaxed);
  return 0;
}
