/* The `pread` backend: threads that block, for every place where io_uring is not allowed or would
 * itself be a pool of threads. What lies in the page cache is read at once by the worker. */
#include "linux_file.h"
#include "list.h"
#include "mem.h"
#include "pread_pool.h"

struct lsi_backend {
  struct lsi_pread_pool *pool;
  uint32_t depth, held; /* held: taken and not returned */
  enum lsi_direct direct;
  struct lsi_op *first, **last; /* finished at submit, oldest first */
};

static int pread_probe(struct lsi_error *err) {
  (void)err;
  return 0; /* POSIX; there is no Linux without it */
}

static int pread_create(const struct lsi_backend_config *config, struct lsi_backend **out,
                        struct lsi_error *err) {
  struct lsi_backend *b = lsi_calloc(1, sizeof *b);
  if (b) b->pool = lsi_pread_pool_create(lsi_pread_pool_threads(config->workers), -1);
  if (!b || !b->pool) {
    lsi_free(b);
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a backend");
  }
  b->depth = LSI_MAX(config->queue_depth, 1u);
  b->direct = config->direct;
  b->last = &b->first;
  *out = b;
  return 0;
}

static void pread_destroy(struct lsi_backend *b) {
  lsi_pread_pool_destroy(b->pool);
  lsi_free(b);
}

static int pread_open(struct lsi_backend *b, const char *name, struct lsi_handle *h,
                      struct lsi_error *err) {
  return lsi_file_open(name, b->direct, h, err);
}

static int pread_close(struct lsi_backend *b, struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  return lsi_file_close(h, now);
}

/* True when the operation could be answered without waiting. */
static bool read_at_once(struct lsi_op *op) {
  uint64_t flags = op->handle->priv[1];
  if (flags & LSI_FILE_MEMORY && !op->handle->direct) {
    lsi_file_read_blocking(op); /* does not block: there is no device */
    return true;
  }
  return (flags & LSI_FILE_RESIDENT) && !(flags & LSI_FILE_WAITS) && lsi_file_read_resident(op);
}

static int pread_submit(struct lsi_backend *b, struct lsi_op *const *ops, int n) {
  struct lsi_op *first = NULL, **last = &first;
  uint32_t pooled = 0;
  int taken = 0;
  for (; taken < n && b->held < b->depth; taken++, b->held++) {
    struct lsi_op *op = ops[taken];
    op->next = NULL;
    if (read_at_once(op)) {
      *b->last = op;
      b->last = &op->next;
    } else {
      *last = op;
      last = &op->next;
      pooled++;
    }
  }
  lsi_pread_pool_put(b->pool, first, pooled);
  return taken;
}

static int pread_reap(struct lsi_backend *b, struct lsi_op **done, int max, int64_t timeout_ns,
                      struct lsi_error *err) {
  (void)err;
  int n = 0;
  while (n < max && b->first) {
    done[n] = b->first;
    b->first = b->first->next;
    done[n++]->next = NULL;
  }
  if (!b->first) b->last = &b->first;
  if (n < max) n += lsi_pread_pool_take(b->pool, done + n, max - n, n ? 0 : timeout_ns);
  b->held -= (uint32_t)n;
  return n;
}

static void pread_cancel(struct lsi_backend *b) { lsi_pread_pool_cancel(b->pool); }

const struct lsi_backend_ops lsi_backend_pread = {
    .version = LSI_BACKEND_VERSION,
    .name = "pread",
    .caps = LSI_CAP_OS_FILES,
    .probe = pread_probe,
    .stat = lsi_file_stat,
    .create = pread_create,
    .destroy = pread_destroy,
    .open = pread_open,
    .close = pread_close,
    .submit = pread_submit,
    .reap = pread_reap,
    .cancel = pread_cancel,
};
