/* Reference: lz4 frames -> float32 -> sum, minimum, maximum and count above a threshold. */
#include <lz4frame.h>
#include "ref_ring.h"

static const char usage[] =
    "ref_lz4stats [options] FILE...\n"
    "  --ranges=FILE.npy         a frame a range (default: every file is one frame)\n"
    "  --mode=pread|mmap|direct  page cache by pread, by mapping, or the device by io_uring (pread)\n"
    "  --decoded=SIZE            most bytes that a frame decodes to (1M)\n"
    "  --depth=N                 O_DIRECT reads in flight over all threads (32)\n"
    "  --threads=N               (1)\n"
    "  --threshold=X             (0.5)\n"
    "In direct mode neighbouring frames are read together, up to 1 MiB.\n";

enum mode { MODE_PREAD, MODE_MMAP, MODE_DIRECT };
enum { MERGE = 1 << 20 };

struct worker {
  const struct ref_file *files;
  char **maps;
  const struct ref_range *frames;
  uint64_t n, ops;
  _Atomic uint64_t *cursor;
  enum mode mode;
  float threshold;
  size_t decoded, longest;
  char *out;
  LZ4F_dctx *lz4;
  const uint64_t *first; /* direct: first frame of each merged read, one more at the end */
  struct ref_ring_job ring;
  struct ref_stats stats;
};

static void use_frame(struct worker *w, const char *data, uint64_t length) {
  size_t out = 0, in = 0;
  const LZ4F_decompressOptions_t o = {.stableDst = 1};
  for (;;) {
    size_t src = length - in, dst = w->decoded - out;
    const size_t e = LZ4F_decompress(w->lz4, w->out + out, &dst, data + in, &src, &o);
    if (LZ4F_isError(e)) ref_die("lz4: %s", LZ4F_getErrorName(e));
    in += src;
    out += dst;
    if (e == 0) break;
    if (!src && !dst) ref_die("lz4: truncated frame, or --decoded is too small");
  }
  ref_stats_add(&w->stats, (const float *)w->out, out / 4, w->threshold);
}

static void on_read(void *user, const struct ref_range *r, const char *data) {
  struct worker *w = user;
  const uint64_t k = (uint64_t)(r - w->ring.ranges);
  for (uint64_t i = w->first[k]; i < w->first[k + 1]; ++i) {
    use_frame(w, data + (w->frames[i].offset - r->offset), w->frames[i].length);
  }
}

static void *run(void *context) {
  struct worker *w = context;
  w->out = ref_buffer(w->decoded);
  if (LZ4F_isError(LZ4F_createDecompressionContext(&w->lz4, LZ4F_VERSION))) ref_die("lz4");
  if (w->mode == MODE_DIRECT) {
    w->ops = ref_ring_run(&w->ring);
    return NULL;
  }
  char *buffer = ref_buffer(w->longest);
  for (;;) {
    const uint64_t first = atomic_fetch_add(w->cursor, 4);
    if (first >= w->n) return NULL;
    for (uint64_t i = first; i < w->n && i < first + 4; ++i) {
      const struct ref_range *r = &w->frames[i];
      const char *data = buffer;
      if (w->mode == MODE_MMAP) {
        char *page = w->maps[r->object] + r->offset / REF_PAGE * REF_PAGE;
        data = w->maps[r->object] + r->offset;
        if (madvise(page, (size_t)(data - page) + r->length, MADV_POPULATE_READ)) {
          ref_die("populate: %s", strerror(errno));
        }
      } else if (pread(w->files[r->object].fd, buffer, r->length, (off_t)r->offset) !=
                 (ssize_t)r->length) {
        ref_die("%s: short read", w->files[r->object].path);
      }
      use_frame(w, data, r->length);
      ++w->ops;
    }
  }
}

/* Frames that touch become one read. */
static struct ref_range *merge(const struct ref_range *f, uint64_t n, uint64_t *first,
                               uint64_t *n_reads) {
  struct ref_range *r = ref_alloc(n * sizeof *r);
  uint64_t k = 0;
  for (uint64_t i = 0; i < n; ++i) {
    struct ref_range *last = k ? &r[k - 1] : NULL;
    if (last && last->object == f[i].object && last->offset + last->length == f[i].offset &&
        last->length + f[i].length <= MERGE) {
      last->length += f[i].length;
      continue;
    }
    first[k] = i;
    r[k++] = f[i];
  }
  first[k] = n;
  *n_reads = k;
  return r;
}

int main(int argc, char **argv) {
  const char *v, *ranges = NULL;
  uint64_t decoded = 1 << 20, n, n_reads = 0;
  uint32_t threads = 1, depth = 32, n_files = 0;
  enum mode mode = MODE_PREAD;
  float threshold = 0.5f;
  struct ref_file *files = ref_alloc((size_t)argc * sizeof *files);
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0;
    if ((v = ref_option(argc, argv, &i, "mode"))) {
      mode = !strcmp(v, "mmap") ? MODE_MMAP : !strcmp(v, "direct") ? MODE_DIRECT : MODE_PREAD;
    } else if ((v = ref_option(argc, argv, &i, "ranges"))) ranges = v;
    else if ((v = ref_option(argc, argv, &i, "decoded"))) decoded = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "depth"))) depth = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "threads"))) threads = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "threshold"))) threshold = strtof(v, NULL);
    else if (argv[i][0] == '-') ref_die("unknown option %s\n%s", argv[i], usage);
    else files[n_files++].path = argv[i];
  }
  if (!n_files || !threads || threads > REF_MAX_THREADS || depth < threads) ref_die("%s", usage);
  struct ref_range *f = ranges ? ref_load_ranges(ranges, &n) : NULL;
  const double t0 = ref_now(), c0 = ref_cpu();
  ref_open(files, n_files, mode == MODE_DIRECT ? O_DIRECT : 0);
  if (!f) f = ref_cut(files, n_files, UINT32_MAX, &n);
  ref_check_ranges(f, n, files, n_files);
  char **maps = ref_alloc(n_files * sizeof *maps);
  for (uint32_t i = 0; mode == MODE_MMAP && i < n_files; ++i) {
    maps[i] = mmap(NULL, files[i].size, PROT_READ, MAP_SHARED, files[i].fd, 0);
    if (maps[i] == MAP_FAILED) ref_die("%s: mmap: %s", files[i].path, strerror(errno));
  }
  uint64_t longest = MERGE, bytes = 0;
  for (uint64_t i = 0; i < n; ++i) {
    longest = f[i].length > longest ? f[i].length : longest;
    bytes += f[i].length;
  }
  uint64_t *first = ref_alloc((n + 1) * sizeof *first);
  struct ref_range *reads = mode == MODE_DIRECT ? merge(f, n, first, &n_reads) : NULL;
  _Atomic uint64_t cursor = 0;
  struct worker *w = ref_alloc(threads * sizeof *w);
  for (uint32_t i = 0; i < threads; ++i) {
    w[i] = (struct worker){.files = files, .maps = maps, .frames = f, .n = n, .cursor = &cursor,
                           .mode = mode, .threshold = threshold, .decoded = decoded,
                           .longest = longest, .first = first, .stats = ref_stats_zero()};
    w[i].ring = (struct ref_ring_job){
        .files = files, .n_files = n_files, .ranges = reads, .n = n_reads,
        .depth = depth / threads,
        .slot = (uint32_t)((longest + REF_PAGE - 1) / REF_PAGE * REF_PAGE + REF_PAGE),
        .batch = 1, .hand_out = 1, .direct = true, .cursor = &cursor, .on_read = on_read,
        .user = &w[i]};
  }
  ref_threads(threads, run, w, sizeof *w);
  uint64_t ops = 0;
  struct ref_stats all = ref_stats_zero();
  for (uint32_t i = 0; i < threads; ++i) {
    ref_stats_merge(&all, &w[i].stats);
    ops += w[i].ops;
  }
  ref_print_stats(ref_now() - t0, ref_cpu() - c0, ops, bytes, &all);
  return 0;
}
