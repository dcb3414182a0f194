/* The `mapped` backend: every file is lent from a mapping, also what is not in the page cache; what
 * can't be mapped is read by threads. Only by name: the other backends map by themselves what they find
 * in the page cache. A small backend to learn from, after mem.c: a file that is read by path, operations
 * that finish at once and others that take time. */
#include "ground/mem.h"
#include "linux/linux_map.h"
#include "linux/linux_sigbus.h"
#include "linux/linux_source.h"
#include "linux/linux_source_io.h"
#include "list.h"
#include "op_list.h"
#include "op_pool.h"

struct lsi_backend {
  struct lsi_op_pool *pool; /* for what is not mapped */
  uint32_t depth;
  uint32_t held;            /* operations taken and not returned */
  struct lsi_near near;
  struct lsi_op_list ready; /* finished */
};

/* Not whether the handler of SIGBUS is installed, which is the context's to allow. */
static int mapped_probe(struct lsi_error *err) {
  (void)err;
  return 0;
}

static int mapped_create(const struct lsi_backend_config *config, struct lsi_backend **out,
                         struct lsi_error *err) {
  if (!lsi_guard_works()) {
    lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "mapped reading needs LSIO's handler of SIGBUS in its place");
    lsi_error_remedy(err, "another handler took its place after the context was made; use --backend auto");
    return LSIO_ERR_UNSUPPORTED;
  }
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

static void mapped_destroy(struct lsi_backend *b) {
  lsi_op_pool_destroy(b->pool);
  lsi_near_clear(&b->near);
  lsi_free(b);
}

static int mapped_open(struct lsi_backend *b, const struct lsi_open *order, struct lsi_handle *h,
                       struct lsi_error *err) {
  return lsi_source_open(&b->near, order, LSI_MAPS_ALL, h, err);
}

static int mapped_close(struct lsi_backend *b, struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  return lsi_source_close(h, now);
}

static int mapped_submit(struct lsi_backend *b, struct lsi_op *const *ops, int n) {
  struct lsi_op_list pooled = {0};
  uint32_t n_pooled = 0;
  int taken = 0;
  for (; taken < n && b->held < b->depth; taken++, b->held++) {
    struct lsi_op *op = ops[taken];
    if (op->handle->mapped && !op->buf) {
      lsi_map_lend(op);
      lsi_op_list_add(&b->ready, op);
    } else if (op->handle->resident && lsi_file_read_resident(&b->near, op)) {
      lsi_op_list_add(&b->ready, op);
    } else {
      lsi_op_list_add(&pooled, op);
      n_pooled++;
    }
  }
  lsi_op_pool_put(b->pool, pooled.first, n_pooled);
  return taken;
}

static int mapped_reap(struct lsi_backend *b, struct lsi_op **done, int max, int64_t timeout_ns,
                       struct lsi_error *err) {
  (void)err;
  int n = lsi_op_list_drain(&b->ready, done, max);
  if (n < max) n += lsi_op_pool_take(b->pool, done + n, max - n, n ? 0 : timeout_ns);
  b->held -= (uint32_t)n;
  return n;
}

static void mapped_cancel(struct lsi_backend *b) { lsi_op_pool_cancel(b->pool); }

const struct lsi_backend_ops lsi_backend_mapped = {
    .version = LSI_BACKEND_VERSION,
    .name = "mapped",
    .caps = LSI_CAP_MAPS,
    .probe = mapped_probe,
    .create = mapped_create,
    .destroy = mapped_destroy,
    .open = mapped_open,
    .close = mapped_close,
    .submit = mapped_submit,
    .reap = mapped_reap,
    .cancel = mapped_cancel,
    .release = lsi_map_release,
    .look = lsi_source_look,
};
