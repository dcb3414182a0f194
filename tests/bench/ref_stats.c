/* Reference: sum, minimum, maximum and count above a threshold of float32 files. */
#include "ref_ring.h"

static const char usage[] =
    "ref_stats [options] FILE...\n"
    "  --mode=pread|mmap|direct  page cache by pread, by mapping, or the device by io_uring (pread)\n"
    "  --chunk=SIZE              bytes computed at once (256K)\n"
    "  --block=SIZE              bytes of one O_DIRECT read (1M)\n"
    "  --depth=N                 O_DIRECT reads in flight over all threads (16)\n"
    "  --threads=N               (1)\n"
    "  --threshold=X             (0.5)\n";

enum mode { MODE_PREAD, MODE_MMAP, MODE_DIRECT };

struct worker {
  const struct ref_file *files;
  char **maps;
  const struct ref_range *ranges;
  uint64_t n, chunk, ops;
  _Atomic uint64_t *cursor;
  enum mode mode;
  float threshold;
  struct ref_ring_job ring;
  struct ref_stats stats;
};

static void on_read(void *user, const struct ref_range *r, const char *data) {
  struct worker *w = user;
  for (uint64_t at = 0; at < r->length; at += w->chunk) {
    const uint64_t left = r->length - at;
    ref_stats_add(&w->stats, (const float *)(data + at), (left < w->chunk ? left : w->chunk) / 4,
                  w->threshold);
  }
}

static void *run(void *context) {
  struct worker *w = context;
  if (w->mode == MODE_DIRECT) {
    w->ops = ref_ring_run(&w->ring);
    return NULL;
  }
  char *buffer = w->mode == MODE_PREAD ? ref_buffer(w->chunk) : NULL;
  for (;;) {
    const uint64_t first = atomic_fetch_add(w->cursor, 8);
    if (first >= w->n) return NULL;
    for (uint64_t i = first; i < w->n && i < first + 8; ++i) {
      const struct ref_range *r = &w->ranges[i];
      const char *data = buffer;
      if (w->mode == MODE_MMAP) {
        data = w->maps[r->object] + r->offset;
        if (madvise((void *)(uintptr_t)data, r->length, MADV_POPULATE_READ)) {
          ref_die("populate: %s", strerror(errno));
        }
      } else if (pread(w->files[r->object].fd, buffer, r->length, (off_t)r->offset) !=
                 (ssize_t)r->length) {
        ref_die("%s: short read", w->files[r->object].path);
      }
      ref_stats_add(&w->stats, (const float *)data, r->length / 4, w->threshold);
      ++w->ops;
    }
  }
}

int main(int argc, char **argv) {
  const char *v;
  uint64_t chunk = 256 << 10, block = 1 << 20, n;
  uint32_t threads = 1, depth = 16, n_files = 0;
  enum mode mode = MODE_PREAD;
  float threshold = 0.5f;
  struct ref_file *files = ref_alloc((size_t)argc * sizeof *files);
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0;
    if ((v = ref_option(argc, argv, &i, "mode"))) {
      mode = !strcmp(v, "mmap") ? MODE_MMAP : !strcmp(v, "direct") ? MODE_DIRECT : MODE_PREAD;
    } else if ((v = ref_option(argc, argv, &i, "chunk"))) chunk = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "block"))) block = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "depth"))) depth = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "threads"))) threads = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "threshold"))) threshold = strtof(v, NULL);
    else if (argv[i][0] == '-') ref_die("unknown option %s\n%s", argv[i], usage);
    else files[n_files++].path = argv[i];
  }
  if (!n_files || !threads || threads > REF_MAX_THREADS || !chunk || chunk % REF_PAGE ||
      block % chunk || depth < threads) {
    ref_die("%s", usage);
  }
  const double t0 = ref_now(), c0 = ref_cpu();
  ref_open(files, n_files, mode == MODE_DIRECT ? O_DIRECT : 0);
  char **maps = ref_alloc(n_files * sizeof *maps);
  for (uint32_t i = 0; mode == MODE_MMAP && i < n_files; ++i) {
    maps[i] = mmap(NULL, files[i].size, PROT_READ, MAP_SHARED, files[i].fd, 0);
    if (maps[i] == MAP_FAILED) ref_die("%s: mmap: %s", files[i].path, strerror(errno));
  }
  struct ref_range *r = ref_cut(files, n_files, mode == MODE_DIRECT ? block : chunk, &n);
  _Atomic uint64_t cursor = 0;
  struct worker *w = ref_alloc(threads * sizeof *w);
  for (uint32_t i = 0; i < threads; ++i) {
    w[i] = (struct worker){.files = files, .maps = maps, .ranges = r, .n = n, .chunk = chunk,
                           .cursor = &cursor, .mode = mode, .threshold = threshold,
                           .stats = ref_stats_zero()};
    w[i].ring = (struct ref_ring_job){
        .files = files, .n_files = n_files, .ranges = r, .n = n, .depth = depth / threads,
        .slot = (uint32_t)block, .batch = 1, .hand_out = 1, .direct = true, .cursor = &cursor,
        .on_read = on_read, .user = &w[i]};
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
