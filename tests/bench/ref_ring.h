/* A fast io_uring read loop that the references share: one ring a thread, registered files, registered
 * buffers on huge pages, DEFER_TASKRUN where the kernel has it, ranges handed out by one atomic cursor. */
#ifndef BENCH_REF_RING_H
#define BENCH_REF_RING_H

#include <liburing.h>
#include "ref.h"

struct ref_ring;
/* Called once for every range, with its bytes. */
typedef void ref_on_read(void *user, const struct ref_range *r, const char *data);

struct ref_ring_job {
  const struct ref_file *files;
  uint32_t n_files;
  const struct ref_range *ranges;
  uint64_t n;
  uint32_t depth;       /* of one thread */
  uint32_t slot;        /* bytes of one buffer, a multiple of a page */
  uint32_t batch;       /* completions to wait for */
  uint32_t hand_out;    /* ranges taken from the cursor at once */
  bool direct;          /* ranges are rounded out to pages */
  _Atomic uint64_t *cursor;
  ref_on_read *on_read;
  void *user;
};

static inline void ref_ring_open(struct io_uring *ring, uint32_t depth) {
  static const unsigned tries[] = {
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CLAMP,
      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CLAMP, IORING_SETUP_CLAMP};
  for (size_t i = 0; i < sizeof tries / sizeof *tries; ++i) {
    struct io_uring_params p = {.flags = tries[i]};
    const int e = io_uring_queue_init_params(depth, ring, &p);
    if (!e) return;
    if (e != -EINVAL) ref_die("io_uring: %s", strerror(-e));
  }
  ref_die("io_uring: no set of flags is accepted");
}

/* Runs until the cursor is past the last range. Returns the number of reads. */
static inline uint64_t ref_ring_run(const struct ref_ring_job *job) {
  struct io_uring ring;
  ref_ring_open(&ring, job->depth);
  io_uring_register_ring_fd(&ring);
  int *fds = ref_alloc(job->n_files * sizeof *fds);
  for (uint32_t i = 0; i < job->n_files; ++i) fds[i] = job->files[i].fd;
  if (io_uring_register_files(&ring, fds, job->n_files)) ref_die("cannot register the files");
  char *arena = ref_buffer((size_t)job->depth * job->slot);
  const struct iovec whole = {arena, (size_t)job->depth * job->slot};
  const bool fixed = io_uring_register_buffers(&ring, &whole, 1) == 0;
  const struct ref_range **slot = ref_alloc(job->depth * sizeof *slot);
  uint32_t *idle = ref_alloc(job->depth * sizeof *idle);
  uint32_t n_idle = job->depth, in_flight = 0;
  for (uint32_t i = 0; i < job->depth; ++i) idle[i] = i;
  uint64_t next = 0, stop = 0, done = 0;
  bool more = true;
  for (;;) {
    while (n_idle && more) {
      if (next == stop) {
        next = atomic_fetch_add_explicit(job->cursor, job->hand_out, memory_order_relaxed);
        stop = next + job->hand_out < job->n ? next + job->hand_out : job->n;
        if (next >= job->n) {
          more = false;
          break;
        }
      }
      const struct ref_range *r = &job->ranges[next++];
      const uint32_t k = idle[--n_idle];
      const uint64_t begin = job->direct ? r->offset / REF_PAGE * REF_PAGE : r->offset;
      const uint64_t end = r->offset + r->length;
      const uint64_t length = job->direct ? (end + REF_PAGE - 1) / REF_PAGE * REF_PAGE - begin
                                          : end - begin;
      if (length > job->slot) ref_die("a range is longer than the buffer");
      struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
      if (!sqe) ref_die("no submission entry");
      char *to = arena + (size_t)k * job->slot;
      if (fixed) io_uring_prep_read_fixed(sqe, (int)r->object, to, (unsigned)length, begin, 0);
      else io_uring_prep_read(sqe, (int)r->object, to, (unsigned)length, begin);
      sqe->flags |= IOSQE_FIXED_FILE;
      io_uring_sqe_set_data64(sqe, k);
      slot[k] = r;
      ++in_flight;
    }
    if (!in_flight) break;
    const uint32_t want = in_flight < job->batch ? in_flight : job->batch;
    const int e = io_uring_submit_and_wait(&ring, more ? want : 1);
    if (e < 0 && e != -EINTR) ref_die("io_uring_enter: %s", strerror(-e));
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(&ring, head, cqe) {
      const uint32_t k = (uint32_t)cqe->user_data;
      const struct ref_range *r = slot[k];
      const uint64_t skip = job->direct ? r->offset % REF_PAGE : 0;
      if (cqe->res < 0) ref_die("read: %s", strerror(-cqe->res));
      if ((uint64_t)cqe->res < skip + r->length) ref_die("short read");
      if (job->on_read) job->on_read(job->user, r, arena + (size_t)k * job->slot + skip);
      idle[n_idle++] = k;
      ++seen;
    }
    io_uring_cq_advance(&ring, seen);
    in_flight -= seen;
    done += seen;
  }
  io_uring_queue_exit(&ring);
  free(fds);
  free(slot);
  free(idle);
  return done;
}

#endif
