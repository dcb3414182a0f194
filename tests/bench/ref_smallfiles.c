/* Reference: statistics of float32 over every file of a folder's folders, each read whole. The threads
 * share out the folders; each lists its own, opens, reads, computes and closes. */
#include <dirent.h>
#include <sys/syscall.h>
#include "ref_ring.h"

static const char usage[] =
    "ref_smallfiles [options] FOLDER\n"
    "  --mode=pread|uring  read by pread, or through io_uring after the open (pread)\n"
    "  --check             also fstat after the open and before the close, and compare: what a program\n"
    "                      does that must know that a file has not changed while it read it\n"
    "  --folders=N         only the first N folders (all)\n"
    "  --depth=N           reads in flight over all threads (128)\n"
    "  --threads=N         (1)\n"
    "  --threshold=X       (0.5)\n";

enum { SLOT = 8192 }; /* of a buffer: one more byte than a file has tells its end */

/* What getdents64 fills. */
struct entry {
  uint64_t inode;
  int64_t next;
  uint16_t length;
  uint8_t type;
  char name[];
};

struct open_file {
  int fd;
  struct stat st;
};

struct worker {
  char **folders;
  uint32_t n_folders;
  _Atomic uint32_t *cursor;
  bool uring, check;
  uint32_t depth;
  float threshold;
  char *arena;
  struct io_uring ring;
  struct open_file *files; /* by slot of the arena */
  uint32_t *idle, n_idle;
  uint64_t ops;
  struct ref_stats stats;
};

static void opened(const struct worker *w, struct open_file *f, int folder, const char *name) {
  f->fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
  if (f->fd < 0 || (w->check && fstat(f->fd, &f->st))) ref_die("%s: %s", name, strerror(errno));
}

static void finish(struct worker *w, struct open_file *f, const char *data, ssize_t got) {
  if (got < 0 || got == SLOT) ref_die("a file can't be read, or is too long");
  ref_stats_add(&w->stats, (const float *)(const void *)data, (uint64_t)got / 4, w->threshold);
  if (w->check) {
    struct stat st;
    if (fstat(f->fd, &st) || st.st_size != f->st.st_size || st.st_nlink == 0 ||
        st.st_mtim.tv_sec != f->st.st_mtim.tv_sec || st.st_mtim.tv_nsec != f->st.st_mtim.tv_nsec) {
      ref_die("a file has changed");
    }
  }
  close(f->fd);
  ++w->ops;
}

static void reap(struct worker *w, uint32_t wait) {
  const int e = io_uring_submit_and_wait(&w->ring, wait);
  if (e < 0 && e != -EINTR) ref_die("io_uring_enter: %s", strerror(-e));
  struct io_uring_cqe *cqe;
  unsigned head, seen = 0;
  io_uring_for_each_cqe(&w->ring, head, cqe) {
    const uint32_t k = (uint32_t)cqe->user_data;
    finish(w, &w->files[k], w->arena + (size_t)k * SLOT, cqe->res);
    w->idle[w->n_idle++] = k;
    ++seen;
  }
  io_uring_cq_advance(&w->ring, seen);
}

static void read_file(struct worker *w, int folder, const char *name) {
  if (!w->uring) {
    struct open_file f;
    opened(w, &f, folder, name);
    finish(w, &f, w->arena, pread(f.fd, w->arena, SLOT, 0));
    return;
  }
  if (!w->n_idle) reap(w, w->depth < 16 ? 1 : 16);
  const uint32_t k = w->idle[--w->n_idle];
  opened(w, &w->files[k], folder, name);
  struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);
  if (!sqe) ref_die("no submission entry");
  io_uring_prep_read(sqe, w->files[k].fd, w->arena + (size_t)k * SLOT, SLOT, 0);
  io_uring_sqe_set_data64(sqe, k);
  /* The device works while the next ones are opened. */
  if (io_uring_sq_ready(&w->ring) >= 8) io_uring_submit(&w->ring);
}

static void read_folder(struct worker *w, const char *path, char *entries, size_t size) {
  const int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) ref_die("%s: %s", path, strerror(errno));
  for (;;) {
    const long n = syscall(SYS_getdents64, folder, entries, size);
    if (n < 0) ref_die("%s: %s", path, strerror(errno));
    if (n == 0) break;
    for (long at = 0; at < n;) {
      const struct entry *e = (const struct entry *)(const void *)(entries + at);
      at += e->length;
      if (e->type == DT_REG) read_file(w, folder, e->name);
    }
  }
  close(folder);
}

static void *run(void *context) {
  struct worker *w = context;
  const size_t size = 256 << 10;
  char *entries = ref_alloc(size);
  w->arena = ref_buffer((size_t)w->depth * SLOT);
  if (w->uring) {
    ref_ring_open(&w->ring, w->depth);
    io_uring_register_ring_fd(&w->ring);
    w->files = ref_alloc(w->depth * sizeof *w->files);
    w->idle = ref_alloc(w->depth * sizeof *w->idle);
    while (w->n_idle < w->depth) w->idle[w->n_idle] = w->n_idle, ++w->n_idle;
  }
  for (;;) {
    const uint32_t i = atomic_fetch_add(w->cursor, 1);
    if (i >= w->n_folders) break;
    read_folder(w, w->folders[i], entries, size);
  }
  while (w->uring && w->n_idle < w->depth) reap(w, 1);
  if (w->uring) io_uring_queue_exit(&w->ring);
  return NULL;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The folders in a folder, sorted: about the order in which they were made and lie on the disk. */
static char **list_folders(const char *root, uint32_t *n) {
  DIR *dir = opendir(root);
  if (!dir) ref_die("%s: %s", root, strerror(errno));
  char **list = NULL;
  uint32_t cap = 0;
  *n = 0;
  struct dirent *e;
  while ((e = readdir(dir))) {
    if (e->d_type != DT_DIR || e->d_name[0] == '.') continue;
    if (*n == cap && !(list = realloc(list, (cap = cap * 2 + 64) * sizeof *list))) ref_die("memory");
    const size_t size = strlen(root) + strlen(e->d_name) + 2;
    char *path = ref_alloc(size);
    snprintf(path, size, "%s/%s", root, e->d_name);
    list[(*n)++] = path;
  }
  closedir(dir);
  qsort(list, *n, sizeof *list, by_name);
  return list;
}

int main(int argc, char **argv) {
  const char *v, *root = NULL;
  uint32_t threads = 1, depth = 128, most = UINT32_MAX;
  bool uring = false, check = false;
  float threshold = 0.5f;
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0;
    if (!strcmp(argv[i], "--check")) check = true;
    else if ((v = ref_option(argc, argv, &i, "mode"))) uring = !strcmp(v, "uring");
    else if ((v = ref_option(argc, argv, &i, "folders"))) most = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "depth"))) depth = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "threads"))) threads = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "threshold"))) threshold = strtof(v, NULL);
    else if (argv[i][0] == '-' || root) ref_die("%s", usage);
    else root = argv[i];
  }
  if (!root || !threads || threads > REF_MAX_THREADS || depth < threads) ref_die("%s", usage);
  const double t0 = ref_now(), c0 = ref_cpu();
  uint32_t n_folders;
  char **folders = list_folders(root, &n_folders);
  if (n_folders > most) n_folders = most;
  _Atomic uint32_t cursor = 0;
  struct worker *w = ref_alloc(threads * sizeof *w);
  for (uint32_t i = 0; i < threads; ++i) {
    w[i] = (struct worker){.folders = folders, .n_folders = n_folders, .cursor = &cursor,
                           .uring = uring, .check = check, .depth = uring ? depth / threads : 1,
                           .threshold = threshold, .stats = ref_stats_zero()};
  }
  ref_threads(threads, run, w, sizeof *w);
  uint64_t ops = 0;
  struct ref_stats all = ref_stats_zero();
  for (uint32_t i = 0; i < threads; ++i) {
    ref_stats_merge(&all, &w[i].stats);
    ops += w[i].ops;
  }
  ref_print_stats(ref_now() - t0, ref_cpu() - c0, ops, 4 * all.n, &all);
  return 0;
}
