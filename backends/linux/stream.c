/* The backend `stream`: standard input, which is read once and in order, by all workers of a job together.
 * Each has one read; whose turn it is follows from its offset alone. It reads into its own memory, so that
 * the bytes are in its core's cache, and hands the turn on; nobody reads ahead but the kernel, in the pipe.
 *   One position and one list of who waits, under a mutex that is never held while anything sleeps. */
#include "linux/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "ground/mem.h"
#include "linux/os_linux.h"
#include "list.h"

/* So much may wait in a pipe while the workers are busy: as much as anybody may ask for (pipe-max-size). */
#define PIPE_BYTES (1 << 20)

struct lsi_backend {
  struct lsi_op *op;        /* NULL: none in flight */
  uint64_t got;             /* bytes of it */
  bool over;                /* it is to come back as it is */
  bool reads;               /* it is its turn, which it has taken */
  int wake;                 /* of the thread; -1: none */
  int bell;                 /* rung when it may be its turn */
  struct lsi_backend *next; /* of all that wait */
};

static struct {
  pthread_mutex_t mutex;
  uint64_t position;
  bool taken;               /* somebody reads */
  bool ended;
  struct lsi_backend *waiting;
} input = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void lsi_stream_forked(void) {
  pthread_mutex_init(&input.mutex, NULL);
  input.taken = false;
  input.waiting = NULL;
}

uint64_t lsi_stream_position(void) {
  pthread_mutex_lock(&input.mutex);
  const uint64_t position = input.position;
  pthread_mutex_unlock(&input.mutex);
  return position;
}

int lsi_stream_info(struct lsi_object_info *out) {
  *out = (struct lsi_object_info){.size = LSI_ENDLESS, .known = LSI_KNOWN_SIZE | LSI_KNOWN_VERSION};
  const int flags = fcntl(STDIN_FILENO, F_GETFL);
  if (flags < 0) return errno;
  return (flags & O_ACCMODE) == O_WRONLY ? EBADF : 0;
}

/* ---- whose turn it is ---- */

static void leave_list(struct lsi_backend *b) {
  struct lsi_backend **at = &input.waiting;
  while (*at && *at != b) at = &(*at)->next;
  if (*at) *at = b->next;
}

/* Under the mutex: those for whom something has changed look again. */
static void ring_next(void) {
  for (struct lsi_backend *b = input.waiting; b; b = b->next)
    if (input.ended || b->op->offset <= input.position) lsi_os_bell_ring(b->bell);
}

enum turn { NOT_YET, MINE, OVER };

/* Is it b's turn? Then it has it until it gives it back; else it waits among the others. */
static enum turn take_turn(struct lsi_backend *b) {
  struct lsi_op *op = b->op;
  enum turn turn = NOT_YET;
  if (b->reads) return MINE;
  pthread_mutex_lock(&input.mutex);
  leave_list(b);
  if (input.position > op->offset || input.ended) {
    const bool lost = input.position > op->offset; /* to another job's reads */
    op->result = lost ? LSIO_ERR_SOURCE : 0;
    turn = OVER;
  } else if (input.position == op->offset && !input.taken) {
    input.taken = b->reads = true;
    turn = MINE;
  } else {
    b->next = input.waiting;
    input.waiting = b;
  }
  pthread_mutex_unlock(&input.mutex);
  return turn;
}

/* b has read its last byte of the operation. */
static void give_turn(struct lsi_backend *b, bool ended) {
  pthread_mutex_lock(&input.mutex);
  input.position += b->got;
  input.ended |= ended;
  input.taken = b->reads = false;
  ring_next();
  pthread_mutex_unlock(&input.mutex);
}

/* ---- reading ---- */

/* Sleeps until there is something to read, if it is b's turn, or it may be, or its thread is wanted, or for
 * so long. True: there is something to read, be it an error. */
static bool wait(const struct lsi_backend *b, int64_t timeout_ns) {
  struct pollfd p[3] = {{.fd = b->reads ? STDIN_FILENO : -1, .events = POLLIN},
                        {.fd = b->wake, .events = POLLIN},
                        {.fd = b->bell, .events = POLLIN}};
  const struct timespec t = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
  if (ppoll(p, LSI_COUNTOF(p), timeout_ns < 0 ? NULL : &t, NULL) <= 0) return false;
  if (p[1].revents && timeout_ns) lsi_os_bell_clear(b->wake);
  if (p[2].revents) lsi_os_bell_clear(b->bell);
  return p[0].revents != 0;
}

/* As much as there is. True: the operation is over. */
static bool read_some(struct lsi_backend *b) {
  struct lsi_op *op = b->op;
  const ssize_t n = read(STDIN_FILENO, (char *)op->buf + b->got, op->length - b->got);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return false;
  if (n < 0) {
    op->result = LSIO_ERR_IO;
    op->os_code = errno;
  } else {
    b->got += (uint64_t)n;
    op->result = (int64_t)b->got;
    if (n && b->got < op->length) return false;
  }
  give_turn(b, n == 0);
  return true;
}

static int stream_probe(struct lsi_error *err) {
  (void)err;
  return 0;
}

static int stream_create(const struct lsi_backend_config *config, struct lsi_backend **out,
                         struct lsi_error *err) {
  struct lsi_backend *b = lsi_calloc(1, sizeof *b);
  if (!b) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a backend");
  b->wake = config->wake;
  const int code = lsi_os_bell_create(&b->bell);
  if (code) {
    lsi_free(b);
    return lsi_fail(err, LSIO_ERR_IO, code, "no descriptor for a doorbell");
  }
  *out = b;
  return 0;
}

static void stream_destroy(struct lsi_backend *b) {
  lsi_os_bell_destroy(b->bell);
  lsi_free(b);
}

static int stream_open(struct lsi_backend *b, const struct lsi_open *order, struct lsi_handle *h,
                       struct lsi_error *err) {
  (void)b, (void)order;
  const int code = lsi_stream_info(&h->info);
  if (code) return lsi_fail(err, LSIO_ERR_SOURCE, code, "standard input can't be read");
  h->endless = true;
  fcntl(STDIN_FILENO, F_SETPIPE_SZ, PIPE_BYTES); /* if it is a pipe, and may be */
  return 0;
}

static int stream_close(struct lsi_backend *b, struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  *now = h->info;
  return 0;
}

static int stream_submit(struct lsi_backend *b, struct lsi_op *const *ops, int n) {
  if (b->op || !n) return 0;
  b->op = ops[0];
  b->got = 0;
  b->over = false;
  return 1;
}

static int stream_reap(struct lsi_backend *b, struct lsi_op **done, int max, int64_t timeout_ns,
                       struct lsi_error *err) {
  (void)err, (void)max;
  if (!b->op) return 0;
  while (!b->over) {
    const enum turn turn = take_turn(b);
    b->over = turn == OVER;
    if (b->over) break;
    const bool readable = wait(b, timeout_ns);
    if (readable) b->over = read_some(b);
    else if (turn == MINE || timeout_ns >= 0 || take_turn(b) == NOT_YET) break;
  }
  if (!b->over) return 0;
  done[0] = b->op;
  b->op = NULL;
  return 1;
}

/* What has been read of it is lost with it: the run has been stopped. */
static void stream_cancel(struct lsi_backend *b) {
  if (!b->op || b->over) return;
  b->over = true;
  b->op->result = LSIO_ERR_CANCELLED;
  b->op->os_code = 0;
  pthread_mutex_lock(&input.mutex);
  leave_list(b);
  pthread_mutex_unlock(&input.mutex);
  if (b->reads) give_turn(b, false);
}

static int stream_look(struct lsi_backend *b, const struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  *now = h->info;
  return 0;
}

const struct lsi_backend_ops lsi_backend_stream = {
    .version = LSI_BACKEND_VERSION,
    .name = "stream",
    .caps = LSI_CAP_WAKES | LSI_CAP_IN_ORDER,
    .probe = stream_probe,
    .create = stream_create,
    .destroy = stream_destroy,
    .open = stream_open,
    .close = stream_close,
    .submit = stream_submit,
    .reap = stream_reap,
    .cancel = stream_cancel,
    .look = stream_look,
};
