/* Reference: files copied, or their int16 turned into float32 / 1024, into one new npy file: fallocate,
 * then O_DIRECT writes by io_uring from reused buffers, fdatasync. */
#include "ref_ring.h"

static const char usage[] =
    "ref_write [options] --out=FILE FILE...\n"
    "  --convert        int16 to float32 / 1024 (default: a copy of float32)\n"
    "  --mode=pread|direct  files through the page cache, or by io_uring with O_DIRECT (pread)\n"
    "  --threads=N      (2)\n"
    "  --chunk=SIZE     bytes of a read (256K)\n"
    "  --depth=N        operations in flight of a thread (8)\n"
    "  --buffered       written through the page cache by pwrite\n";

enum { HEADER = 4096, HAND_OUT = 8, MOST = 64 };

struct args {
  struct ref_file *files;
  uint32_t n_files, threads, depth;
  bool convert, direct, buffered;
  uint64_t chunk;
  const char *out;
  int fd;
  uint64_t *base; /* by file: its first byte among all files' */
  struct ref_range *steps;
  uint64_t n;
  _Atomic uint64_t cursor;
};

struct slot {
  const struct ref_range *r;
  char *in, *out; /* the same for a copy */
  bool writing;
};

struct worker {
  struct args *a;
  struct io_uring ring;
  struct slot slots[MOST];
  uint32_t idle[MOST], n_idle, in_flight;
  uint64_t next, stop;
};

static void to_float(const int16_t *x, float *out, size_t n) {
  size_t i = 0;
#if defined(__AVX512F__)
  const __m512 scale = _mm512_set1_ps(1.0f / 1024);
  for (; i + 16 <= n; i += 16) {
    const __m256i a = _mm256_loadu_si256((const void *)(x + i));
    _mm512_storeu_ps(out + i, _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(a)), scale));
  }
#endif
  for (; i < n; ++i) out[i] = (float)x[i] * (1.0f / 1024);
}

static struct io_uring_sqe *entry(struct worker *w) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);
  if (!sqe) ref_die("no submission entry");
  ++w->in_flight;
  return sqe;
}

/* The chunk of slot k is in memory: converts it and begins its write. */
static void have(struct worker *w, uint32_t k) {
  const struct args *a = w->a;
  struct slot *s = &w->slots[k];
  const uint64_t ratio = a->convert ? 2 : 1, length = s->r->length * ratio;
  const uint64_t at = HEADER + (a->base[s->r->object] + s->r->offset) * ratio;
  if (a->convert) to_float((const int16_t *)(void *)s->in, (float *)(void *)s->out, s->r->length / 2);
  if (a->buffered) {
    if (pwrite(a->fd, s->out, length, (off_t)at) != (ssize_t)length) ref_die("short write");
    w->idle[w->n_idle++] = k;
    return;
  }
  struct io_uring_sqe *sqe = entry(w);
  io_uring_prep_write(sqe, a->fd, s->out, (unsigned)length, at);
  io_uring_sqe_set_data64(sqe, k);
  s->writing = true;
}

/* Gives slot k the next chunk. False: there is none. */
static bool begin(struct worker *w, uint32_t k) {
  struct args *a = w->a;
  if (w->next == w->stop) {
    w->next = atomic_fetch_add(&a->cursor, HAND_OUT);
    w->stop = w->next + HAND_OUT < a->n ? w->next + HAND_OUT : a->n;
    if (w->next >= a->n) {
      w->next = w->stop = a->n;
      return false;
    }
  }
  struct slot *s = &w->slots[k];
  s->r = &a->steps[w->next++];
  s->writing = false;
  const int fd = a->files[s->r->object].fd;
  if (!a->direct) {
    if (pread(fd, s->in, s->r->length, (off_t)s->r->offset) != (ssize_t)s->r->length)
      ref_die("short read");
    have(w, k);
    return true;
  }
  struct io_uring_sqe *sqe = entry(w);
  io_uring_prep_read(sqe, fd, s->in, s->r->length, s->r->offset);
  io_uring_sqe_set_data64(sqe, k);
  return true;
}

static void *run(void *context) {
  struct worker *w = context;
  struct args *a = w->a;
  ref_ring_open(&w->ring, MOST);
  io_uring_register_ring_fd(&w->ring);
  char *in = ref_buffer((size_t)a->chunk * (a->direct ? a->depth : 1));
  char *out = a->convert || !a->direct ? ref_buffer((size_t)a->chunk * 2 * a->depth) : NULL;
  for (uint32_t k = 0; k < a->depth; ++k) {
    struct slot *s = &w->slots[k];
    s->in = in + (a->direct ? k * a->chunk : 0); /* pread: one, which stays in the cache */
    s->out = out ? out + 2 * k * a->chunk : s->in;
    if (!a->convert && !a->direct) s->in = s->out;
    w->idle[w->n_idle++] = k;
  }
  for (bool more = true;;) {
    while (more && w->n_idle) {
      const uint32_t k = w->idle[--w->n_idle];
      more = begin(w, k);
      if (!more) w->idle[w->n_idle++] = k;
      if (!a->direct && more && w->in_flight) io_uring_submit_and_get_events(&w->ring);
    }
    if (!w->in_flight) break;
    const int e = io_uring_submit_and_wait(&w->ring, 1);
    if (e < 0 && e != -EINTR) ref_die("io_uring_enter: %s", strerror(-e));
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    uint32_t done[MOST], n = 0;
    io_uring_for_each_cqe(&w->ring, head, cqe) {
      const uint32_t k = (uint32_t)cqe->user_data;
      const struct slot *s = &w->slots[k];
      const uint64_t want = (uint64_t)s->r->length * (s->writing && a->convert ? 2 : 1);
      if (cqe->res < 0 || (uint64_t)cqe->res < want)
        ref_die("%s: %s", s->writing ? "write" : "read", cqe->res < 0 ? strerror(-cqe->res) : "short");
      done[n++] = k;
      ++seen;
    }
    io_uring_cq_advance(&w->ring, seen);
    w->in_flight -= seen;
    for (uint32_t i = 0; i < n; ++i) {
      if (w->slots[done[i]].writing) w->idle[w->n_idle++] = done[i];
      else have(w, done[i]);
    }
  }
  io_uring_queue_exit(&w->ring);
  return NULL;
}

static void open_out(struct args *a, uint64_t bytes) {
  a->fd = open(a->out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (a->fd < 0) ref_die("%s: %s", a->out, strerror(errno));
  if (posix_fallocate(a->fd, 0, (off_t)(HEADER + bytes))) ref_die("no room for %s", a->out);
  char head[HEADER];
  memset(head, ' ', sizeof head);
  memcpy(head, "\x93NUMPY\1\0\xf6\x0f", 10);
  const int n = snprintf(head + 10, HEADER - 10,
                         "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRIu64 ",), }", bytes / 4);
  head[10 + n] = ' ';
  head[HEADER - 1] = '\n';
  if (pwrite(a->fd, head, HEADER, 0) != HEADER) ref_die("%s: %s", a->out, strerror(errno));
  if (a->buffered) return;
  const int direct = open(a->out, O_WRONLY | O_DIRECT | O_CLOEXEC);
  if (direct < 0) ref_die("%s: no O_DIRECT: %s", a->out, strerror(errno));
  close(a->fd);
  a->fd = direct;
}

int main(int argc, char **argv) {
  const char *v;
  static struct args a = {.threads = 2, .depth = 8, .chunk = 256 << 10};
  a.files = ref_alloc((size_t)argc * sizeof *a.files);
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0;
    if (!strcmp(argv[i], "--convert")) a.convert = true;
    else if (!strcmp(argv[i], "--buffered")) a.buffered = true;
    else if ((v = ref_option(argc, argv, &i, "mode"))) a.direct = !strcmp(v, "direct");
    else if ((v = ref_option(argc, argv, &i, "threads"))) a.threads = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "depth"))) a.depth = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "chunk"))) a.chunk = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "out"))) a.out = v;
    else if (argv[i][0] == '-') ref_die("unknown option %s\n%s", argv[i], usage);
    else a.files[a.n_files++].path = argv[i];
  }
  if (!a.n_files || !a.out || !a.threads || a.threads > REF_MAX_THREADS || !a.depth ||
      a.depth > MOST || !a.chunk || a.chunk % REF_PAGE)
    ref_die("%s", usage);
  const double t0 = ref_now(), c0 = ref_cpu();
  ref_open(a.files, a.n_files, a.direct ? O_DIRECT : 0);
  a.steps = ref_cut(a.files, a.n_files, a.chunk, &a.n);
  a.base = ref_alloc((a.n_files + 1) * sizeof *a.base);
  a.base[0] = 0;
  for (uint32_t i = 0; i < a.n_files; ++i) {
    if (a.files[i].size % REF_PAGE) ref_die("%s is not whole pages", a.files[i].path);
    a.base[i + 1] = a.base[i] + a.files[i].size;
  }
  const uint64_t in = a.base[a.n_files];
  open_out(&a, in * (a.convert ? 2 : 1));
  struct worker *w = ref_alloc(a.threads * sizeof *w);
  memset(w, 0, a.threads * sizeof *w);
  for (uint32_t i = 0; i < a.threads; ++i) w[i].a = &a;
  ref_threads(a.threads, run, w, sizeof *w);
  if (fdatasync(a.fd)) ref_die("%s: %s", a.out, strerror(errno));
  close(a.fd);
  ref_print(ref_now() - t0, ref_cpu() - c0, a.n, in, NULL);
  return 0;
}
