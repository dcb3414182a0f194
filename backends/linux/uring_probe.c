#include "linux/uring_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "linux/os_linux.h"

/* From the best downwards; a kernel that does not know a flag answers EINVAL. DEFER_TASKRUN (6.1)
 * keeps completions from interrupting the transform, COOP_TASKRUN (5.19) does most of that. */
static const unsigned tiers[] = {
#if defined(IORING_SETUP_SINGLE_ISSUER) && defined(IORING_SETUP_DEFER_TASKRUN)
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
        IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
#endif
#if defined(IORING_SETUP_COOP_TASKRUN)
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
#endif
    IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
};

/* Waits with a timeout, and completions that are never dropped (5.11 and 5.5). */
#define NEEDED (IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP)

/* A ring may lie where another thread's did. The kernel sees to their order, which ThreadSanitizer can't see:
 * their memory does not come from the C library's mmap. So who makes one comes behind all that are gone. */
static atomic_uint gone;

void lsi_uring_ring_destroy(struct io_uring *ring) {
  atomic_fetch_add(&gone, 1);
  io_uring_queue_exit(ring);
}

int lsi_uring_ring_create(struct io_uring *ring, unsigned entries, unsigned completions) {
  int rc = -EINVAL;
  for (size_t i = 0; i < LSI_COUNTOF(tiers) && rc == -EINVAL; i++) {
    struct io_uring_params p = {.flags = tiers[i], .cq_entries = completions};
    rc = io_uring_queue_init_params(entries, ring, &p);
    if (rc == 0 && (p.features & NEEDED) != NEEDED) {
      lsi_uring_ring_destroy(ring);
      return -ENOSYS;
    }
  }
  (void)atomic_load(&gone);
  if (rc == 0) io_uring_ring_dontfork(ring); /* fails only where fork is no danger either */
  return rc;
}

int lsi_uring_refused(int code, struct lsi_error *err) {
  uint64_t disabled = 0;
  lsi_linux_read_number("/proc/sys/kernel/io_uring_disabled", &disabled);
  bool forbidden = code == EPERM || code == EACCES;
  if (forbidden && disabled) {
    lsi_fail(err, LSIO_ERR_UNSUPPORTED, code,
             "io_uring is switched off (kernel.io_uring_disabled = %llu)",
             (unsigned long long)disabled);
    lsi_error_remedy(err, "sysctl kernel.io_uring_disabled=0, or --backend pread");
  } else if (forbidden) {
    lsi_fail(err, LSIO_ERR_UNSUPPORTED, code, "io_uring is forbidden to this process");
    lsi_error_remedy(err, "allow the io_uring calls in the container's seccomp profile, or "
                          "--backend pread");
  } else if (code == ENOSYS || code == EINVAL) {
    lsi_fail(err, LSIO_ERR_UNSUPPORTED, code, "this kernel has no io_uring, or one too old");
    lsi_error_remedy(err, "Linux 5.11 or later, or --backend pread");
  } else if (code == ENOMEM) {
    lsi_fail(err, LSIO_ERR_UNSUPPORTED, code, "no memory that may be locked for an io_uring");
    lsi_error_remedy(err, "raise the limit of locked memory (ulimit -l), or --backend pread");
  } else {
    lsi_fail(err, LSIO_ERR_UNSUPPORTED, code, "io_uring does not work here");
    lsi_error_remedy(err, "--backend pread");
  }
  return LSIO_ERR_UNSUPPORTED;
}

/* Submits what is prepared and waits for its one completion. The result, or -errno. */
static int run_one(struct io_uring *ring) {
  struct io_uring_cqe *cqe = NULL;
  int rc;
  do {
    rc = io_uring_submit_and_wait(ring, 1);
  } while (rc == -EINTR);
  if (rc < 0) return rc;
  do {
    rc = io_uring_wait_cqe(ring, &cqe);
  } while (rc == -EINTR);
  if (rc < 0) return rc;
  rc = cqe->res;
  io_uring_cqe_seen(ring, cqe);
  return rc;
}

/* Some file that can be read: this program, or memory where /proc is missing. */
static int open_something(void) {
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) return fd;
  fd = memfd_create("lsio-probe", MFD_CLOEXEC);
  if (fd >= 0 && write(fd, "LSIO", 4) != 4) {
    close(fd);
    return -1;
  }
  return fd;
}

/* 0 or an errno. */
static int prove(struct io_uring *ring) {
  io_uring_prep_nop(io_uring_get_sqe(ring));
  int rc = run_one(ring);
  if (rc < 0) return -rc;
  int fd = open_something();
  if (fd < 0) return errno;
  char through_ring[4] = "", plain[4] = "";
  io_uring_prep_read(io_uring_get_sqe(ring), fd, through_ring, sizeof through_ring, 0);
  rc = run_one(ring);
  bool same = rc == (int)sizeof plain && pread(fd, plain, sizeof plain, 0) == (int)sizeof plain &&
              memcmp(plain, through_ring, sizeof plain) == 0;
  close(fd);
  return rc < 0 ? -rc : same ? 0 : EIO;
}

int lsi_uring_probe(struct lsi_error *err) {
  struct io_uring ring;
  int code = -lsi_uring_ring_create(&ring, 8, 16);
  if (code == 0) {
    code = prove(&ring);
    lsi_uring_ring_destroy(&ring);
  }
  return code ? lsi_uring_refused(code, err) : 0;
}
