/* The `uring` backend: one ring per worker. What lies in the page cache is read where that is
 * cheapest, what a file system would hand to hidden kernel threads goes to our own pool, and all the
 * rest through the ring in batches: one system call submits and waits. */
#include <errno.h>
#include <liburing.h>
#include <poll.h>

#include "ground/mem.h"
#include "linux/linux_map.h"
#include "linux/linux_source.h"
#include "linux/linux_source_io.h"
#include "linux/uring_probe.h"
#include "linux/uring_register.h"
#include "list.h"
#include "op_list.h"
#include "op_pool.h"
#include "seams/os.h"

#define ENTRIES_MOST 256u          /* of the submission queue; more are flushed in between */
#define FLUSH_NS 50000u            /* of compute since the last look: what is queued goes off now */
#define WAIT_MOST 16u              /* completions to wait for at once */
#define HOT_BYTES (256u * 1024)    /* of the page cache copied before they are processed */
#define RING_HOT (16u * 1024)      /* reads of resident data up to this length go through the ring */
#define RETRIES 8u                 /* of EAGAIN and EINTR, then a thread does it */
#define PAUSE_NS 1000000u          /* when the kernel is short of memory */
#define SLOT_READS 16u             /* of a file, after which a slot in the ring's table pays its two calls */

#define LOOK_NS 1000000            /* between looks for the bell where it can't end a wait */

#define TAG_BELL 1u                /* user_data that is no operation */
#define TAG_CANCEL 2u
#define TAG_WAKE 3u

/* What this file keeps in an operation. */
enum { AT = 0, HOW = 1, TRIES = 2 }; /* indices of op->priv: offset read at; flags below; attempts */
enum { HOW_DIRECT = 1 };

struct lsi_backend {
  struct io_uring ring;
  uint32_t depth;          /* operations that it takes at most */
  uint32_t held;           /* operations taken and not returned */
  uint32_t in_ring;        /* operations with a queue entry */
  bool cancelling;         /* an order to cancel is out: ECANCELED is its doing */
  uint32_t queued;         /* entries not yet told to the kernel */
  uint64_t left_at_ns;     /* when reap last returned */
  struct lsi_op_list ready;    /* finished */
  struct lsi_op_list resident; /* to be read from the page cache just before they are processed */
  struct lsi_op_pool *pool; /* for files that wait; made when the first is opened */
  int wake;                /* a bell that ends waits without limit, -1 = none */
  uint32_t wakes_armed;    /* polls of it in the ring */
  bool woken;
  int bell;                /* the pool's doorbell, -1 = none */
  bool bell_armed;         /* the ring polls it */
  struct lsi_uring_registered registered;
  struct lsi_near near;
  uint32_t workers;
};

/* ---- instance ---- */

static unsigned power_of_two(unsigned n) {
  unsigned p = 8;
  while (p < n && p < 1u << 15) p *= 2;
  return p;
}

/* The ring's own memory counts as locked too: where that is scarce, a shorter queue must do. */
static int make_ring(struct lsi_backend *b) {
  for (;;) {
    unsigned entries = power_of_two(LSI_MIN(b->depth, ENTRIES_MOST));
    /* Room for every operation, doorbells and cancels: completions never overflow. */
    int rc = lsi_uring_ring_create(&b->ring, entries, power_of_two(b->depth + 16 + WAIT_MOST));
    if (rc != -ENOMEM || b->depth <= 8) return rc;
    b->depth /= 2;
  }
}

static int uring_create(const struct lsi_backend_config *config, struct lsi_backend **out,
                        struct lsi_error *err) {
  struct lsi_backend *b = lsi_calloc(1, sizeof *b);
  if (!b) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a backend");
  b->depth = LSI_MIN(LSI_MAX(config->queue_depth, 1u), 1u << 14);
  b->workers = config->workers;
  b->bell = -1;
  b->wake = config->wake;
  lsi_near_init(&b->near);
  int rc = make_ring(b);
  if (rc < 0) {
    lsi_free(b);
    return lsi_uring_refused(-rc, err);
  }
  lsi_uring_register_files(&b->ring, &b->registered, config->open_max);
  b->registered.offered = config->arena;
  b->registered.offered_bytes = config->arena_size;
  *out = b;
  return 0;
}

static void uring_destroy(struct lsi_backend *b) {
  lsi_op_pool_destroy(b->pool);
  lsi_uring_ring_destroy(&b->ring);
  lsi_os_bell_destroy(b->bell);
  lsi_near_clear(&b->near);
  lsi_free(b->registered.free_slots);
  lsi_free(b);
}

/* For files whose file system can't promise not to wait. */
static int make_pool(struct lsi_backend *b, struct lsi_error *err) {
  if (b->pool) return 0;
  int code = b->bell < 0 ? lsi_os_bell_create(&b->bell) : 0;
  if (code) return lsi_fail(err, LSIO_ERR_IO, code, "no descriptor for a doorbell");
  b->pool = lsi_op_pool_create(lsi_file_do, lsi_op_pool_threads(b->workers), b->bell);
  return b->pool ? 0 : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a pool of threads");
}

static int uring_open(struct lsi_backend *b, const struct lsi_open *order, struct lsi_handle *h,
                      struct lsi_error *err) {
  int rc = lsi_source_open(&b->near, order, order->maps ? LSI_MAPS_RESIDENT : LSI_MAPS_NONE, h, err);
  if (rc || h->mapped) return rc;
  if (lsi_linux_file(h)->flags & LSI_FILE_WAITS && (rc = make_pool(b, err)) < 0) {
    struct lsi_object_info now;
    lsi_source_close(h, &now);
    return rc;
  }
  /* Not before it pays: registering makes the kernel clear and pin all of it. */
  if (h->direct) lsi_uring_register_arena(&b->ring, &b->registered, b->workers);
  return 0;
}

static int uring_close(struct lsi_backend *b, struct lsi_handle *h, struct lsi_object_info *now) {
  lsi_uring_slot_put(&b->ring, &b->registered, h);
  return lsi_source_close(h, now);
}

/* ---- the submission queue ---- */

static uint32_t pooled(const struct lsi_backend *b) {
  return b->pool ? lsi_op_pool_held(b->pool) : 0;
}

/* The bell counts as often as completions are waited for, so that it alone ends the wait. */
static void arm_wakes(struct lsi_backend *b, unsigned wait) {
  while (b->wake >= 0 && b->wakes_armed < wait) {
    struct io_uring_sqe *e = io_uring_get_sqe(&b->ring);
    if (!e) return; /* what is queued comes back first */
    io_uring_prep_poll_add(e, b->wake, POLLIN);
    e->user_data = TAG_WAKE;
    b->wakes_armed++;
  }
}

/* One system call that submits and waits, or (timeout 0) lets the kernel run what completions need.
 * 0, or a negative errno: the ring is broken. */
static int enter(struct lsi_backend *b, int64_t timeout_ns) {
  int rc;
  /* A share of what is in flight: fewer wake-ups, and never long after the first. */
  const unsigned wait = pooled(b) ? 1 : LSI_MIN(LSI_MAX(b->in_ring / 8, 1u), WAIT_MOST);
  if (timeout_ns < 0) {
    arm_wakes(b, wait);
    rc = io_uring_submit_and_wait(&b->ring, wait);
  } else if (timeout_ns == 0) {
    rc = io_uring_submit_and_get_events(&b->ring);
  } else {
    struct __kernel_timespec t = {.tv_sec = timeout_ns / 1000000000,
                                  .tv_nsec = timeout_ns % 1000000000};
    struct io_uring_cqe *cqe;
    rc = io_uring_submit_and_wait_timeout(&b->ring, &cqe, wait, &t, NULL);
  }
  b->queued = io_uring_sq_ready(&b->ring);
  if (rc == -EAGAIN || rc == -EBUSY || rc == -ENOMEM) {
    lsi_os_sleep_ns(PAUSE_NS);
    return 0;
  }
  return rc < 0 && rc != -EINTR && rc != -ETIME ? rc : 0;
}

/* An empty entry; NULL when the queue stays full. */
static struct io_uring_sqe *get_entry(struct lsi_backend *b) {
  struct io_uring_sqe *e = io_uring_get_sqe(&b->ring);
  if (e) return e;
  enter(b, 0);
  return io_uring_get_sqe(&b->ring);
}

/* Queues the operation in the ring. False: no room. */
static bool queue_op(struct lsi_backend *b, struct lsi_op *op) {
  struct io_uring_sqe *e = get_entry(b);
  if (!e) return false;
  struct lsi_handle *h = op->handle;
  struct lsi_linux_file *f = lsi_linux_file(h);
  if (LSI_UNLIKELY(f->slot < 0 && f->reads < SLOT_READS) && ++f->reads == SLOT_READS)
    lsi_uring_slot_get(&b->ring, &b->registered, h);
  struct lsi_file_call r = lsi_file_plan(op);
  if (op->kind == LSI_OP_WRITE)
    io_uring_prep_write(e, r.fd, r.buf, r.length, r.offset);
  else if (lsi_uring_in_arena(&b->registered, r.buf, r.length))
    io_uring_prep_read_fixed(e, r.fd, r.buf, r.length, r.offset, 0);
  else
    io_uring_prep_read(e, r.fd, r.buf, r.length, r.offset);
  op->priv[AT] = r.offset;
  op->priv[HOW] = r.fd == f->direct ? HOW_DIRECT : 0;
  if (f->slot >= 0 && h->direct == (op->priv[HOW] == HOW_DIRECT)) {
    e->fd = f->slot;
    e->flags |= IOSQE_FIXED_FILE;
  }
  io_uring_sqe_set_data(e, op);
  if (!b->in_ring) b->cancelling = false; /* what it was about has come back */
  b->in_ring++;
  b->queued++;
  return true;
}

static void to_pool(struct lsi_backend *b, struct lsi_op *op) {
  op->next = NULL;
  lsi_op_pool_put(b->pool, op, 1);
}

/* A write. An output is not opened here, so its pool is made when its first write comes. */
static bool start_write(struct lsi_backend *b, struct lsi_op *op) {
  if (!(lsi_linux_file(op->handle)->flags & LSI_FILE_WAITS)) return queue_op(b, op);
  struct lsi_error ignored;
  lsi_error_clear(&ignored);
  if (make_pool(b, &ignored) == 0) {
    to_pool(b, op);
  } else {
    lsi_file_do(op);
    lsi_op_list_add(&b->ready, op);
  }
  return true;
}

/* Sends one operation on its way. False: nothing taken, the queue is full. */
static bool start(struct lsi_backend *b, struct lsi_op *op) {
  const uint32_t flags = lsi_linux_file(op->handle)->flags;
  op->priv[TRIES] = 0;
  if (LSI_UNLIKELY(op->kind == LSI_OP_WRITE)) return start_write(b, op);
  if (op->handle->mapped && !op->buf) {
    lsi_map_lend(op);
    lsi_op_list_add(&b->ready, op);
  } else if (lsi_file_beyond(op)) {
    lsi_file_finish(op, op->offset, 0, false);
    lsi_op_list_add(&b->ready, op);
  } else if (!op->handle->direct && flags & (LSI_FILE_RESIDENT | LSI_FILE_MEMORY) &&
             (flags & LSI_FILE_MEMORY || !(flags & LSI_FILE_WAITS))) {
    lsi_op_list_add(&b->resident, op);
  } else if (flags & LSI_FILE_WAITS) {
    to_pool(b, op);
  } else {
    return queue_op(b, op);
  }
  return true;
}

static int uring_submit(struct lsi_backend *b, struct lsi_op *const *ops, int n) {
  int taken = 0;
  while (taken < n && b->held < b->depth && start(b, ops[taken])) {
    taken++;
    b->held++;
  }
  /* Reap follows at once and its system call takes these along, unless steps are being computed. */
  if (b->queued && lsi_os_now_ns() - b->left_at_ns > FLUSH_NS)
    enter(b, 0); /* should it fail, reap will hear of it */
  return taken;
}

/* ---- completions ---- */

/* True when the operation is finished; else it is on its way again. */
static bool complete(struct lsi_backend *b, struct lsi_op *op, int32_t got) {
  b->in_ring--;
  bool again = got == -EAGAIN || got == -EINTR;
  bool direct = op->priv[HOW] == HOW_DIRECT;
  if (got == -ECANCELED && b->cancelling) {
    op->result = LSIO_ERR_CANCELLED;
    op->os_code = 0;
    return true;
  }
  if (got == -ECANCELED) { /* the kernel could start no thread for it: a limit of processes */
    lsi_file_do(op);
    return true;
  }
  bool buffered = direct && got < 0 && lsi_file_turn_buffered(op->handle, got);
  if (((again && op->priv[TRIES]++ < RETRIES) || buffered) && queue_op(b, op)) return false;
  if (again || buffered) { /* there is no room for it in flight: done here, now */
    lsi_file_do(op);
    return true;
  }
  lsi_file_finish(op, op->priv[AT], got, direct);
  return true;
}

/* Takes up to max finished operations out of the completion queue. */
static int drain(struct lsi_backend *b, struct lsi_op **done, int max) {
  struct io_uring_cqe *cqe;
  unsigned head, seen = 0;
  int n = 0;
  io_uring_for_each_cqe(&b->ring, head, cqe) {
    if (n == max) break;
    seen++;
    if (cqe->user_data == TAG_BELL) {
      b->bell_armed = false;
    } else if (cqe->user_data == TAG_WAKE) {
      b->wakes_armed--;
      b->woken = true;
    } else if (cqe->user_data != TAG_CANCEL) {
      struct lsi_op *op = (struct lsi_op *)(uintptr_t)cqe->user_data;
      if (complete(b, op, cqe->res)) done[n++] = op;
    }
  }
  io_uring_cq_advance(&b->ring, seen);
  return n;
}

/* Reads resident data, a cache's worth at a time, so that it is still hot when it is processed.
 * Short reads of large files go through the ring, which is cheaper than a call for each. Sets *more
 * when the ring has got some of them: their completions are there after a flush. */
static int read_resident(struct lsi_backend *b, struct lsi_op **done, int max, bool *more) {
  uint64_t bytes = 0;
  int n = 0, queued = 0;
  while (n + queued < max && bytes < HOT_BYTES && b->resident.first) {
    struct lsi_op *op = b->resident.first;
    const uint32_t flags = lsi_linux_file(op->handle)->flags;
    bytes += op->length;
    if (flags & LSI_FILE_MEMORY) {
      lsi_file_do(op); /* does not block: there is no device */
      done[n++] = lsi_op_list_take(&b->resident);
    } else if ((op->length > RING_HOT || op->handle->info.size < LSI_FILE_SMALL) &&
               lsi_file_read_resident(&b->near, op)) {
      done[n++] = lsi_op_list_take(&b->resident);
    } else {
      lsi_op_list_take(&b->resident);
      if (queue_op(b, op)) {
        queued++;
      } else {
        lsi_file_do(op);
        done[n++] = op;
      }
    }
  }
  *more = queued > 0;
  return n;
}

/* ---- waiting ---- */

/* Makes the ring wake up when the pool has something. */
static void arm_bell(struct lsi_backend *b) {
  struct io_uring_sqe *e = b->bell_armed ? NULL : get_entry(b);
  if (!e) return;
  io_uring_prep_poll_add(e, b->bell, POLLIN);
  e->user_data = TAG_BELL;
  b->bell_armed = true;
  b->queued++;
}

/* What can be had without waiting. */
static int collect(struct lsi_backend *b, struct lsi_op **done, int max, int *rc) {
  bool more = false;
  int n = lsi_op_list_drain(&b->ready, done, max);
  if (n < max && pooled(b)) n += lsi_op_pool_take(b->pool, done + n, max - n, 0);
  if (n < max && b->resident.first) {
    if (b->queued) *rc = enter(b, 0); /* the device works while we copy */
    n += read_resident(b, done + n, max - n, &more);
  }
  if (more) *rc = enter(b, 0);
  if (n < max) n += drain(b, done + n, max - n);
  if (n && b->queued) *rc = enter(b, 0); /* nobody will wait for a while */
  return n;
}

static int uring_reap(struct lsi_backend *b, struct lsi_op **done, int max, int64_t timeout_ns,
                      struct lsi_error *err) {
  uint64_t began = 0;
  int64_t left = timeout_ns;
  bool looked = false;
  int n, rc = 0;
  for (;;) {
    n = collect(b, done, max, &rc);
    if (n || rc < 0 || !b->held || b->woken) break;
    if (b->resident.first) continue;
    if (looked && timeout_ns == 0) break;
    looked = true;
    if (timeout_ns > 0) {
      const uint64_t now = lsi_os_now_ns();
      if (!began) began = now;
      left = timeout_ns - (int64_t)(now - began);
      if (left <= 0) break;
    }
    if (pooled(b) && !b->in_ring) {
      /* What waits there knows nothing of the ring's bell. */
      n = lsi_op_pool_take(b->pool, done, max, left < 0 && b->wake >= 0 ? LOOK_NS : left);
      if (n || timeout_ns >= 0 || b->wake >= 0) break;
      continue;
    }
    if (pooled(b) && timeout_ns != 0) {
      lsi_os_bell_clear(b->bell);
      arm_bell(b);
      n = lsi_op_pool_take(b->pool, done, max, 0); /* what came before the clearing */
      if (n) break;
    }
    rc = enter(b, left);
    if (rc < 0) break;
  }
  if (LSI_UNLIKELY(b->woken)) {
    lsi_os_bell_clear(b->wake);
    b->woken = false;
  }
  b->held -= (uint32_t)n;
  b->left_at_ns = lsi_os_now_ns();
  if (n || rc >= 0) return n;
  lsi_fail(err, LSIO_ERR_IO, -rc, "io_uring has failed");
  lsi_error_remedy(err, "try --backend pread");
  return LSIO_ERR_IO;
}

static void uring_cancel(struct lsi_backend *b) {
  struct lsi_op *op;
  while ((op = lsi_op_list_take(&b->resident))) {
    op->result = LSIO_ERR_CANCELLED;
    op->os_code = 0;
    lsi_op_list_add(&b->ready, op);
  }
  if (b->pool) lsi_op_pool_cancel(b->pool);
#ifdef IORING_ASYNC_CANCEL_ANY
  struct io_uring_sqe *e = b->in_ring ? get_entry(b) : NULL;
  if (!e) return;
  b->cancelling = true;
  io_uring_prep_cancel64(e, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
  e->user_data = TAG_CANCEL;
  enter(b, 0);
#endif
}

const struct lsi_backend_ops lsi_backend_uring = {
    .version = LSI_BACKEND_VERSION,
    .name = "uring",
    .caps = LSI_CAP_WRITES | LSI_CAP_WAKES,
    .probe = lsi_uring_probe,
    .create = uring_create,
    .destroy = uring_destroy,
    .open = uring_open,
    .close = uring_close,
    .submit = uring_submit,
    .reap = uring_reap,
    .cancel = uring_cancel,
    .release = lsi_map_release,
    .look = lsi_source_look,
};
