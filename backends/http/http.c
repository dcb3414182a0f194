/* The backend `http`: objects by GET, ranges by Range. Opening asks nobody: planning knows what the object
 * is, and each reply proves that its bytes are of that version. What was asked for comes back when all of it
 * is there, in whatever order servers answer. */
#include <inttypes.h>
#include <string.h>

#include "ground/mem.h"
#include "http/http_backend.h"
#include "seams/os.h"
#include "list.h"

#define CONNECTIONS 256u /* to one origin, of all workers together */

/* An operation under way. */
struct flight {
  struct lsi_http_transfer transfer;
  struct lsi_op *op;
  struct flight *next; /* unused ones */
};

struct lsi_backend {
  struct lsi_http_pump *pump;
  struct flight *flights, *unused;
  struct lsi_http_transfer *ended; /* not taken yet */
  uint32_t depth;
  int wake;
};

/* What a handle keeps. */
struct held {
  struct lsi_http_object *object;
};

static struct held *held_of(const struct lsi_handle *h) {
  return (struct held *)(uintptr_t)h->own;
}

static int http_probe(struct lsi_error *err) {
  struct lsi_wire *w;
  const struct lsi_wire_config config = {.requests = 1, .connect_ms = LSI_HTTP_CONNECT_MS};
  const int rc = lsi_wire_curl.create(&config, &w, err);
  if (rc < 0) return rc;
  lsi_wire_curl.destroy(w);
  return 0;
}

static int make_flights(struct lsi_backend *b) {
  b->flights = lsi_calloc(b->depth, sizeof *b->flights);
  if (!b->flights) return -1;
  for (uint32_t i = 0; i < b->depth; i++) {
    b->flights[i].next = b->unused;
    b->unused = &b->flights[i];
  }
  return 0;
}

static int http_create(const struct lsi_backend_config *config, struct lsi_backend **out,
                       struct lsi_error *err) {
  struct lsi_backend *b = lsi_calloc(1, sizeof *b);
  const uint32_t most = LSI_MAX(CONNECTIONS / LSI_MAX(config->workers, 1u), 1u);
  struct lsi_http_pump_config c;
  if (b) {
    b->depth = config->queue_depth;
    b->wake = config->wake;
  }
  if (!b || make_flights(b) < 0) {
    lsi_free(b);
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a backend");
  }
  lsi_http_pump_defaults(&c, most, config->user);
  const int rc = lsi_http_pump_create(&c, &b->pump, err);
  if (rc == 0) {
    *out = b;
    return 0;
  }
  lsi_free(b->flights);
  lsi_free(b);
  return rc;
}

static void http_destroy(struct lsi_backend *b) {
  lsi_http_pump_destroy(b->pump);
  lsi_free(b->flights);
  lsi_free(b);
}

/* ---- objects ---- */

static int http_open(struct lsi_backend *b, const struct lsi_open *order, struct lsi_handle *h,
                     struct lsi_error *err) {
  struct lsi_http_object *o = lsi_malloc(sizeof *o);
  if (!o) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to open an object");
  const int rc = lsi_http_object_init(lsi_http_pump_origins(b->pump), o, order->name, err);
  if (rc < 0) {
    lsi_free(o);
    return rc;
  }
  lsi_http_object_know(o, order->known);
  h->info = *order->known;
  h->direct = h->lends = h->mapped = h->resident = h->whole = h->endless = false;
  held_of(h)->object = o;
  return 0;
}

static int http_close(struct lsi_backend *b, struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  struct lsi_http_object *o = held_of(h)->object;
  *now = h->info;
  lsi_http_object_clear(o);
  lsi_free(o);
  held_of(h)->object = NULL;
  return 0;
}

/* Each reply has said it of its bytes. */
static int http_look(struct lsi_backend *b, const struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  *now = h->info;
  return 0;
}

/* ---- operations ---- */

static int http_submit(struct lsi_backend *b, struct lsi_op *const *ops, int n) {
  int taken = 0;
  for (; taken < n && b->unused; taken++) {
    struct flight *f = b->unused;
    struct lsi_op *op = ops[taken];
    b->unused = f->next;
    f->op = op;
    f->transfer = (struct lsi_http_transfer){.object = held_of(op->handle)->object,
                                             .first = op->offset,
                                             .length = op->length,
                                             .to = op->buf,
                                             .user = f};
    lsi_http_pump_add(b->pump, &f->transfer);
  }
  return taken;
}

static struct lsi_op *give_back(struct lsi_backend *b, struct lsi_http_transfer *t) {
  struct flight *f = t->user;
  struct lsi_op *op = f->op;
  op->result = t->code < 0 ? t->code : (int64_t)t->got;
  op->os_code = t->why ? t->why->os_code : 0;
  op->final = true; /* it was tried as often as that makes sense */
  op->uncopied = false;
  op->beside = 0;
  op->why = t->code < 0 ? t->why : NULL;
  f->next = b->unused;
  b->unused = f;
  return op;
}

static int take(struct lsi_backend *b, struct lsi_op **done, int max) {
  int n = 0;
  while (b->ended && n < max) {
    struct lsi_http_transfer *t = b->ended;
    b->ended = t->next;
    done[n++] = give_back(b, t);
  }
  return n;
}

static int http_reap(struct lsi_backend *b, struct lsi_op **done, int max, int64_t timeout_ns,
                     struct lsi_error *err) {
  if (b->ended) return take(b, done, max);
  const uint64_t until =
      timeout_ns < 0 ? UINT64_MAX : lsi_sat_add(lsi_http_pump_now_ns(b->pump), (uint64_t)timeout_ns);
  for (;;) {
    int rc;
    b->ended = lsi_http_pump_run(b->pump, &rc, err);
    if (rc < 0) return rc;
    if (b->ended) return take(b, done, max);
    if (!timeout_ns || !lsi_http_pump_count(b->pump)) return 0;
    if (lsi_http_pump_wait(b->pump, b->wake, until) ||
        (until != UINT64_MAX && lsi_http_pump_now_ns(b->pump) >= until))
      timeout_ns = 0;
  }
}

static void http_cancel(struct lsi_backend *b) {
  lsi_http_pump_cancel(b->pump);
}

const struct lsi_backend_ops lsi_backend_http = {
    .version = LSI_BACKEND_VERSION,
    .name = "http",
    .caps = LSI_CAP_WAKES | LSI_CAP_PINNED | LSI_CAP_PACES,
    .probe = http_probe,
    .create = http_create,
    .destroy = http_destroy,
    .open = http_open,
    .close = http_close,
    .submit = http_submit,
    .reap = http_reap,
    .cancel = http_cancel,
    .look = http_look,
};
