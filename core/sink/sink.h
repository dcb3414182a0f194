/* Where results of steps go. Fixed sizes: every step's place is known before it runs and workers
 * write side by side. Variable sizes: results pass a window that gives them their place in request
 * order (or, with order = "completed", in order of completion). */
#ifndef LSI_SINK_H
#define LSI_SINK_H

#include "job/spec.h"
#include "seams/backend.h"

struct lsi_sink;

struct lsi_sink_shape {
  uint32_t ndim;
  int64_t size[32];
};

struct lsi_sink_config {
  const struct lsi_sink_spec *spec; /* borrowed until close */
  const char *path;                 /* with {shard} replaced; copied; NULL: in memory */
  void *memory;                     /* in memory: borrowed until close; NULL with no bytes */
  uint64_t memory_bytes;            /* fixed: exactly the result; variable: room for it */
  struct lsi_sink_shape *shape;     /* NULL, or set when it is published; borrowed until then */
  struct lsi_dtype type;            /* of the elements written */
  uint32_t n_steps;
  bool variable;                    /* sizes are known only when a step has run; else fixed */
  uint64_t total;                   /* fixed: elements in all */
  uint64_t window_bytes;            /* variable: memory for results that wait for their turn */
  uint64_t first_index;             /* index of step 0 in the whole request */
  enum lsi_direct direct;           /* fixed: whole pages may go round the page cache, must, or not */
};

/* Checks path and shape, creates the temporary file. LSIO_ERR_OUTPUT / _USAGE. */
int lsi_sink_open(const struct lsi_sink_config *config, struct lsi_sink **out,
                  struct lsi_error *err);

/* Fixed: writes `count` elements at element position `pos`. Any thread. */
int lsi_sink_place(struct lsi_sink *s, uint64_t pos, const void *data, uint64_t count,
                   struct lsi_error *err);

/* Of `count` elements placed, others will be placed over them: they count once. Any thread. */
void lsi_sink_uncount(struct lsi_sink *s, uint64_t count);

/* Fixed and in memory: the place of the element at `pos`. What has been written there is handed over
 * by lsi_sink_place with that address and is not copied. */
void *lsi_sink_at(const struct lsi_sink *s, uint64_t pos);

/* Fixed, and direct: what a backend's writes go to. NULL: everything goes through lsi_sink_place. */
const struct lsi_handle *lsi_sink_handle(const struct lsi_sink *s);
/* Where a result lies in the file, in bytes, and which whole pages of it are to be written directly: of
 * results with too few of them none, so that whether a page is written directly or through the page
 * cache depends on its place alone and is never both. */
struct lsi_sink_span {
  uint64_t begin;
  uint64_t end;
  uint64_t direct_begin; /* of the direct pages */
  uint64_t direct_end;   /* direct_begin: there are none */
};
struct lsi_sink_span lsi_sink_span(const struct lsi_sink *s, uint64_t pos, uint64_t count);
/* Writes what is not direct of a result that lies at `data` as a whole. Any thread. */
int lsi_sink_write_edges(struct lsi_sink *s, const struct lsi_sink_span *span, const void *data,
                         struct lsi_error *err);
/* A backend has written `length` bytes of direct pages: makes them durable if each result must be. */
int lsi_sink_landed(struct lsi_sink *s, uint64_t length, struct lsi_error *err);
/* A backend's write of those bytes has ended with an errno. Returns LSIO_ERR_OUTPUT. */
int lsi_sink_not_written(struct lsi_sink *s, int os_code, uint64_t offset, uint64_t length,
                         struct lsi_error *err);

/* In memory: `bytes` at `place` are part of a large array whose pages are there: stores that pass the cache
 * by are the fastest. Any thread. */
bool lsi_sink_nontemporal(const struct lsi_sink *s, const void *place, uint64_t bytes);
/* In memory: there may be something for lsi_sink_populate to do. */
bool lsi_sink_untouched(const struct lsi_sink *s);
/* In memory: has the system make the pages of the first untouched 2 MiB between the element at `pos` and
 * `ahead` bytes behind it. False: there are none, or it can't. For threads that would wait. */
bool lsi_sink_populate(struct lsi_sink *s, uint64_t pos, uint64_t ahead);

/* Variable. A step may only run when lsi_sink_may_run says yes for its largest result: the oldest
 * step without a result always may; others only while the window has room for `bytes_max` beside what
 * is reserved. A yes is a reservation that the following append (count 0 if nothing) settles. */
bool lsi_sink_may_run(struct lsi_sink *s, uint32_t step, uint64_t bytes_max);
/* Hands over the result of a step: written at once if its place is known, else copied, also when it is
 * larger than what was reserved for it: where sizes are guessed (a codec without `decoded`), the window may
 * exceed its bytes by one result of each worker. Waiting instead could wait for a step that only this
 * worker can run. Every step of the request must be appended exactly once, also those that failed (count 0,
 * or `fill` elements). */
int lsi_sink_append(struct lsi_sink *s, uint32_t step, const void *data, uint64_t count,
                    struct lsi_error *err);

/* Variable: how many steps there are, where that was not known (n_steps UINT32_MAX) before all had been
 * appended. Before publishing. */
void lsi_sink_set_steps(struct lsi_sink *s, uint32_t n_steps);

uint64_t lsi_sink_bytes_written(const struct lsi_sink *s);
uint64_t lsi_sink_window_peak(const struct lsi_sink *s); /* bytes */

/* Completes headers and shape, syncs as asked, gives the file its name; memory stays with its owner.
 * Frees s whatever happens; on failure what stood under the final name before stands there still (see
 * lsi_os_files_publish). */
int lsi_sink_publish(struct lsi_sink *s, struct lsi_error *err);
/* Nothing is published; frees s. */
void lsi_sink_discard(struct lsi_sink *s);

#endif
