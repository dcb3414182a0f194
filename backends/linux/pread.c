/* The `pread` backend: threads that block, for every place where io_uring is not allowed or would
 * itself be a pool of threads. What lies in the page cache is read at once by the worker. */
#include "ground/mem.h"
#include "linux/linux_map.h"
#include "linux/linux_source.h"
#include "linux/linux_source_io.h"
#include "list.h"
#include "op_list.h"
#include "op_pool.h"

#define HOT_BYTES (256u * 1024) /* of the page cache copied before they are processed */

struct lsi_backend {
  struct lsi_op_pool *pool;
  uint32_t depth;
  uint32_t held;                /* operations taken and not returned */
  struct lsi_near near;
  struct lsi_op_list ready;     /* finished */
  struct lsi_op_list resident;  /* to be read from the page cache just before they are processed */
};

static int pread_probe(struct lsi_error *err) {
  (void)err;
  return 0; /* POSIX; there is no Linux without it */
}

static int pread_create(const struct lsi_backend_config *config, struct lsi_backend **out,
                        struct lsi_error *err) {
  struct lsi_backend *b = lsi_calloc(1, sizeof *b);
  if (b) b->pool = lsi_op_pool_create(lsi_file_do, lsi_op_pool_threads(config->workers), -1);
  if (!b || !b->pool) {
    lsi_free(b);
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a backend");
  }
  b->depth = LSI_MAX(config->queue_depth, 1u);
  lsi_near_init(&b->near);
  *out = b;
  return 0;
}

static void pread_destroy(struct lsi_backend *b) {
  lsi_op_pool_destroy(b->pool);
  lsi_near_clear(&b->near);
  lsi_free(b);
}

static int pread_open(struct lsi_backend *b, const struct lsi_open *order, struct lsi_handle *h,
                      struct lsi_error *err) {
  return lsi_source_open(&b->near, order, order->maps ? LSI_MAPS_RESIDENT : LSI_MAPS_NONE, h, err);
}

static int pread_close(struct lsi_backend *b, struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  return lsi_source_close(h, now);
}

static int pread_submit(struct lsi_backend *b, struct lsi_op *const *ops, int n) {
  struct lsi_op_list pooled = {0};
  uint32_t n_pooled = 0;
  int taken = 0;
  for (; taken < n && b->held < b->depth; taken++, b->held++) {
    struct lsi_op *op = ops[taken];
    const uint32_t flags = lsi_linux_file(op->handle)->flags;
    if (op->handle->mapped && !op->buf) {
      lsi_map_lend(op);
      lsi_op_list_add(&b->ready, op);
    } else if (!op->handle->direct && flags & (LSI_FILE_RESIDENT | LSI_FILE_MEMORY)) {
      lsi_op_list_add(&b->resident, op);
    } else {
      lsi_op_list_add(&pooled, op);
      n_pooled++;
    }
  }
  lsi_op_pool_put(b->pool, pooled.first, n_pooled);
  return taken;
}

/* Reads resident data, a cache's worth at a time, so that it is still hot when it is processed. What
 * has left the page cache meanwhile goes to a thread. */
static int read_resident(struct lsi_backend *b, struct lsi_op **done, int max) {
  uint64_t bytes = 0;
  int n = 0;
  while (n < max && bytes < HOT_BYTES && b->resident.first) {
    struct lsi_op *op = lsi_op_list_take(&b->resident);
    bytes += op->length;
    if (lsi_linux_file(op->handle)->flags & LSI_FILE_MEMORY) {
      lsi_file_do(op); /* does not block: there is no device */
    } else if (!lsi_file_read_resident(&b->near, op)) {
      lsi_op_pool_put(b->pool, op, 1);
      continue;
    }
    done[n++] = op;
  }
  return n;
}

static int pread_reap(struct lsi_backend *b, struct lsi_op **done, int max, int64_t timeout_ns,
                      struct lsi_error *err) {
  (void)err;
  int n = lsi_op_list_drain(&b->ready, done, max);
  if (n < max) n += lsi_op_pool_take(b->pool, done + n, max - n, 0);
  while (n < max && b->resident.first) {
    n += read_resident(b, done + n, max - n);
    if (n) break;
  }
  if (!n && timeout_ns) n = lsi_op_pool_take(b->pool, done, max, timeout_ns);
  b->held -= (uint32_t)n;
  return n;
}

static void pread_cancel(struct lsi_backend *b) {
  struct lsi_op *op;
  while ((op = lsi_op_list_take(&b->resident))) {
    op->result = LSIO_ERR_CANCELLED;
    op->os_code = 0;
    lsi_op_list_add(&b->ready, op);
  }
  lsi_op_pool_cancel(b->pool);
}

const struct lsi_backend_ops lsi_backend_pread = {
    .version = LSI_BACKEND_VERSION,
    .name = "pread",
    .caps = LSI_CAP_WRITES,
    .probe = pread_probe,
    .create = pread_create,
    .destroy = pread_destroy,
    .open = pread_open,
    .close = pread_close,
    .submit = pread_submit,
    .reap = pread_reap,
    .cancel = pread_cancel,
    .release = lsi_map_release,
    .look = lsi_source_look,
};
