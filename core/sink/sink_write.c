/* How results get into a sink's file: written through the page cache here, or their whole pages by a
 * backend, which goes round it. Above that stand sink.c, which knows a result's place, and
 * sink_window.c, which finds one. */
#include "sink/sink_impl.h"

/* Fewer whole pages of a result go through the page cache: chunks of 32 KiB are written in 0.7 of the time so
 * (virtio disk, 2 workers), chunks of 16 KiB in 1.4. */
#define DIRECT_LEAST (32u << 10)

int lsi_sink_landed(struct lsi_sink *s, uint64_t length, struct lsi_error *err) {
  int rc = 0;
  if (s->spec->durability == LSI_DURABLE_EACH) {
    /* After a failure the kernel has forgotten the dirty pages, and would say that all is well. */
    if (atomic_load(&s->sync_failed)) {
      lsi_fail(err, LSIO_ERR_OUTPUT, 0,
               "an earlier result did not reach the disk, so this one may not have either");
      lsi_error_is(err, LSIO_KIND_IO);
      return LSIO_ERR_OUTPUT;
    }
    rc = lsi_os_file_sync(s->file, err);
    if (rc) atomic_store(&s->sync_failed, true);
  }
  if (!rc) atomic_fetch_add_explicit(&s->written, length, memory_order_relaxed);
  return rc;
}

int lsi_sink_write(struct lsi_sink *s, const void *data, uint64_t length, uint64_t offset,
                   struct lsi_error *err) {
  if (!s->file) return lsi_sink_memory_write(s, data, length, offset, err);
  int rc = lsi_os_file_write(s->file, data, length, offset, err);
  if (!rc) rc = lsi_sink_landed(s, length, err);
  if (rc) lsi_error_at(err, s->path, offset, length, LSI_NO_STEP);
  return rc;
}

const struct lsi_handle *lsi_sink_handle(const struct lsi_sink *s) {
  return s->handle.direct ? &s->handle : NULL;
}

struct lsi_sink_span lsi_sink_span(const struct lsi_sink *s, uint64_t pos, uint64_t count) {
  const uint64_t begin = s->header + pos * s->item, end = begin + count * s->item;
  struct lsi_sink_span span = {.begin = begin, .end = end, .direct_begin = end, .direct_end = end};
  const uint64_t first = lsi_round_up(begin, LSI_ALIGN), last = lsi_round_down(end, LSI_ALIGN);
  if (last > first && last - first >= DIRECT_LEAST) {
    span.direct_begin = first;
    span.direct_end = last;
  }
  return span;
}

int lsi_sink_write_edges(struct lsi_sink *s, const struct lsi_sink_span *span, const void *data,
                         struct lsi_error *err) {
  const uint64_t head = span->direct_begin - span->begin, tail = span->end - span->direct_end;
  int rc = head ? lsi_sink_write(s, data, head, span->begin, err) : 0;
  if (rc || !tail) return rc;
  const char *from = (const char *)data + (span->direct_end - span->begin);
  return lsi_sink_write(s, from, tail, span->direct_end, err);
}

int lsi_sink_not_written(struct lsi_sink *s, int os_code, uint64_t offset, uint64_t length,
                         struct lsi_error *err) {
  int rc = lsi_os_file_write_error(s->file, os_code, err);
  lsi_error_at(err, s->path, offset, length, LSI_NO_STEP);
  return rc;
}
