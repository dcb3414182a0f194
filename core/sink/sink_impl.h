/* The inside of a sink, shared by the files sink*.c and by nobody else. */
#ifndef LSI_SINK_IMPL_H
#define LSI_SINK_IMPL_H

#include <stdatomic.h>

#include "seams/os.h"
#include "sink/sink.h"

struct lsi_window;

struct lsi_sink {
  const struct lsi_sink_spec *spec;
  char *path;                         /* NULL: in memory */
  char *index_path;                   /* NULL unless the order is "completed" */
  struct lsi_os_file *file;           /* NULL: in memory */
  struct lsi_os_file *index;          /* NULL: none */
  struct lsi_handle handle;           /* fixed: for direct writes, if handle.direct */
  struct lsi_dtype type;
  uint64_t item;                      /* bytes of an element */
  uint64_t header;                    /* bytes before the first element */
  uint64_t total;                     /* fixed: elements */
  uint64_t first_index;
  uint32_t n_steps;
  bool variable;
  char *memory;                       /* of a sink in memory; NULL: it has no bytes */
  uint64_t memory_bytes;
  bool populated;                     /* all pages of `memory` have been there from the beginning */
  atomic_uchar *blocks;               /* what is known of its blocks (sink_memory.c); NULL: populated */
  uint64_t n_blocks;
  struct lsi_sink_shape *shape;       /* NULL, or where publish leaves what it has become */
  atomic_uint_fast64_t written;       /* fixed: bytes, without headers */
  atomic_bool sync_failed;
  struct lsi_window *window;          /* variable only */
};

#define LSI_INDEX_HEADER 4096u
#define LSI_INDEX_ROW (3 * sizeof(int64_t))

/* sink_write.c: writes at a byte offset of the file and, as asked for, syncs it. Any thread. */
int lsi_sink_write(struct lsi_sink *s, const void *data, uint64_t length, uint64_t offset,
                   struct lsi_error *err);

/* sink_memory.c */
int lsi_sink_memory_open(struct lsi_sink *s, struct lsi_error *err);
int lsi_sink_memory_write(struct lsi_sink *s, const void *data, uint64_t length, uint64_t offset,
                          struct lsi_error *err);

/* The window gives results of steps their place. All but create, flush and destroy: any thread. */
int lsi_window_create(struct lsi_sink *s, uint64_t bytes, struct lsi_window **out,
                      struct lsi_error *err);
bool lsi_window_may_run(struct lsi_window *w, uint32_t step, uint64_t bytes_max);
int lsi_window_append(struct lsi_window *w, uint32_t step, const void *data, uint64_t count,
                      struct lsi_error *err);
/* Writes what is still in memory. LSIO_ERR_BUG if a step has not been appended. */
int lsi_window_flush(struct lsi_window *w, struct lsi_error *err);
uint64_t lsi_window_elements(const struct lsi_window *w); /* appended so far */
uint64_t lsi_window_rows(const struct lsi_window *w);     /* of the index */
uint64_t lsi_window_peak(const struct lsi_window *w);     /* bytes of memory */
void lsi_window_destroy(struct lsi_window *w);            /* NULL is fine */

#endif
