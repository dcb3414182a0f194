/* The frame of the references that take bytes from files through a function: options, modes, threads,
 * compressed frames, each decoded whole, and an array for results. A reference is then a function of one step and the table below. */
#ifndef BENCH_REF_JOB_H
#define BENCH_REF_JOB_H

#include <blosc.h>
#include <lz4frame.h>
#include <zstd.h>
#include "ref_ring.h"

struct ref_job {
  const char *name, *what;
  size_t state_size;           /* of a thread's state */
  void (*begin)(void *state);  /* NULL: zeroed */
  /* n bytes of elements; `out`: where their results belong, or NULL. Any alignment of data. */
  void (*step)(void *state, const char *data, size_t n, char *out);
  void (*merge)(void *into, const void *from);
  void (*show)(const void *state, char *text, size_t cap); /* more members of the JSON line */
  unsigned out_ratio;          /* bytes of results for a byte of input; 0: no array */
};

enum ref_mode { REF_PREAD, REF_MMAP, REF_DIRECT };
enum ref_codec { REF_NONE, REF_LZ4, REF_BLOSC, REF_ZSTD };
enum { REF_MERGE = 1 << 20, REF_HAND_OUT = 8, REF_LARGE = 1 << 20 };

struct ref_args {
  const struct ref_job *job;
  struct ref_file *files;
  uint32_t n_files, threads, depth;
  enum ref_mode mode;
  enum ref_codec codec;
  uint64_t chunk, block, decoded;
  const char *ranges;
  /* made from them */
  char **maps;
  uint64_t *base;              /* by file: its first byte among all files' */
  struct ref_range *steps;     /* what one step takes: a chunk or a frame, as stored */
  uint64_t n, longest, bytes;
  struct ref_range *reads;     /* direct: what one read takes ... */
  uint64_t *first, n_reads;    /* ... and its first step, one more at the end */
  char *out;
  _Atomic uint64_t cursor;
};

struct ref_worker {
  struct ref_args *a;
  void *state;
  char *decoded;
  LZ4F_dctx *dctx;
  ZSTD_DCtx *zstd;
  struct ref_ring_job ring;
  uint64_t ops;
};

static inline size_t ref_decode(struct ref_worker *w, const char *data, uint64_t length) {
  size_t out = 0, in = 0;
  if (w->a->codec == REF_BLOSC) {
    const int n = blosc_decompress_ctx(data, w->decoded, w->a->decoded, 1);
    if (n <= 0) ref_die("blosc: a bad frame, or --decoded is too small");
    return (size_t)n;
  }
  if (w->a->codec == REF_ZSTD) {
    const size_t n = ZSTD_decompressDCtx(w->zstd, w->decoded, w->a->decoded, data, length);
    if (ZSTD_isError(n)) ref_die("zstd: %s", ZSTD_getErrorName(n));
    return n;
  }
  const LZ4F_decompressOptions_t o = {.stableDst = 1};
  for (;;) {
    size_t src = length - in, dst = w->a->decoded - out;
    const size_t e = LZ4F_decompress(w->dctx, w->decoded + out, &dst, data + in, &src, &o);
    if (LZ4F_isError(e)) ref_die("lz4: %s", LZ4F_getErrorName(e));
    in += src;
    out += dst;
    if (e == 0) return out;
    if (!src && !dst) ref_die("lz4: truncated frame, or --decoded is too small");
  }
}

static inline void ref_step(struct ref_worker *w, uint64_t i, const char *data) {
  const struct ref_args *a = w->a;
  const struct ref_range *r = &a->steps[i];
  uint64_t at = i * a->decoded;
  size_t n = r->length;
  if (a->codec) {
    n = ref_decode(w, data, n);
    data = w->decoded;
  } else {
    at = a->base[r->object] + r->offset;
  }
  a->job->step(w->state, data, n, a->out ? a->out + at * a->job->out_ratio : NULL);
}

static inline void ref_on_read_steps(void *user, const struct ref_range *r, const char *data) {
  struct ref_worker *w = user;
  const struct ref_args *a = w->a;
  const uint64_t k = (uint64_t)(r - a->reads);
  for (uint64_t i = a->first[k]; i < a->first[k + 1]; ++i)
    ref_step(w, i, data + (a->steps[i].offset - r->offset));
}

static inline const char *ref_map_step(const struct ref_args *a, const struct ref_range *r) {
  char *page = a->maps[r->object] + r->offset / REF_PAGE * REF_PAGE;
  char *data = a->maps[r->object] + r->offset;
  if (madvise(page, (size_t)(data - page) + r->length, MADV_POPULATE_READ))
    ref_die("populate: %s", strerror(errno));
  return data;
}

static inline void *ref_run_worker(void *context) {
  struct ref_worker *w = context;
  struct ref_args *a = w->a;
  if (a->codec) {
    w->decoded = ref_buffer(a->decoded);
    if (LZ4F_isError(LZ4F_createDecompressionContext(&w->dctx, LZ4F_VERSION))) ref_die("lz4");
    if (!(w->zstd = ZSTD_createDCtx())) ref_die("zstd");
  }
  if (a->mode == REF_DIRECT) {
    w->ops = ref_ring_run(&w->ring);
    return NULL;
  }
  char *buffer = ref_buffer(a->longest);
  const uint64_t take = a->codec && a->decoded > REF_LARGE ? 1 : REF_HAND_OUT;
  for (;;) {
    const uint64_t first = atomic_fetch_add(&a->cursor, take);
    if (first >= a->n) return NULL;
    for (uint64_t i = first; i < a->n && i < first + take; ++i, ++w->ops) {
      const struct ref_range *r = &a->steps[i];
      if (a->mode == REF_MMAP) {
        ref_step(w, i, ref_map_step(a, r));
        continue;
      }
      if (pread(a->files[r->object].fd, buffer, r->length, (off_t)r->offset) != (ssize_t)r->length)
        ref_die("%s: short read", a->files[r->object].path);
      ref_step(w, i, buffer);
    }
  }
}

/* Steps that touch become one read, of at most `block` bytes. */
static inline void ref_merge_reads(struct ref_args *a) {
  a->reads = ref_alloc(a->n * sizeof *a->reads);
  a->first = ref_alloc((a->n + 1) * sizeof *a->first);
  uint64_t k = 0;
  for (uint64_t i = 0; i < a->n; ++i) {
    struct ref_range *last = k ? &a->reads[k - 1] : NULL;
    const struct ref_range *r = &a->steps[i];
    if (last && last->object == r->object && last->offset + last->length == r->offset &&
        last->length + r->length <= a->block) {
      last->length += r->length;
      continue;
    }
    a->first[k] = i;
    a->reads[k++] = *r;
  }
  a->first[k] = a->n;
  a->n_reads = k;
}

static inline void ref_prepare(struct ref_args *a) {
  ref_open(a->files, a->n_files, a->mode == REF_DIRECT ? O_DIRECT : 0);
  if (!a->steps) a->steps = ref_cut(a->files, a->n_files, a->codec ? UINT32_MAX : a->chunk, &a->n);
  ref_check_ranges(a->steps, a->n, a->files, a->n_files);
  a->maps = ref_alloc(a->n_files * sizeof *a->maps);
  for (uint32_t i = 0; a->mode == REF_MMAP && i < a->n_files; ++i) {
    a->maps[i] = mmap(NULL, a->files[i].size, PROT_READ, MAP_SHARED, a->files[i].fd, 0);
    if (a->maps[i] == MAP_FAILED) ref_die("%s: mmap: %s", a->files[i].path, strerror(errno));
  }
  a->longest = a->mode == REF_DIRECT ? a->block : 0;
  for (uint64_t i = 0; i < a->n; ++i) {
    a->longest = a->steps[i].length > a->longest ? a->steps[i].length : a->longest;
    a->bytes += a->steps[i].length;
  }
  if (a->mode == REF_DIRECT) ref_merge_reads(a);
}

/* The array for results is the caller's: made and populated before the clock starts. */
static inline void ref_make_output(struct ref_args *a) {
  a->base = ref_alloc((a->n_files + 1) * sizeof *a->base);
  a->base[0] = 0;
  for (uint32_t i = 0; i < a->n_files; ++i) {
    struct stat st;
    if (stat(a->files[i].path, &st)) ref_die("%s: %s", a->files[i].path, strerror(errno));
    a->base[i + 1] = a->base[i] + (uint64_t)st.st_size;
  }
  const uint64_t in = a->codec ? a->n * a->decoded : a->base[a->n_files];
  if (a->job->out_ratio) a->out = ref_buffer(in * a->job->out_ratio);
}

static inline void ref_usage(const struct ref_job *job, FILE *f) {
  fprintf(f, "%s [options] FILE...\n%s\n"
          "  --mode=pread|mmap|direct  page cache by pread, by mapping, or the device by io_uring (pread)\n"
          "  --threads=N               (1)\n"
          "  --chunk=SIZE              bytes of a step (256K)\n"
          "  --codec=none|lz4|blosc|zstd  a frame is a step, decoded whole (none)\n"
          "  --ranges=FILE.npy         where the frames lie (every file is one)\n"
          "  --decoded=SIZE            most bytes that a frame decodes to (1M)\n"
          "  --block=SIZE              direct: neighbouring steps are read together up to this (1M)\n"
          "  --depth=N                 direct: reads in flight over all threads (16; with a codec: 32)\n",
          job->name, job->what);
}

static inline enum ref_codec ref_codec_of(const char *name) {
  return !strcmp(name, "lz4") ? REF_LZ4 : !strcmp(name, "blosc") ? REF_BLOSC
         : !strcmp(name, "zstd") ? REF_ZSTD : REF_NONE;
}

static inline void ref_parse(struct ref_args *a, int argc, char **argv) {
  const char *v;
  a->files = ref_alloc((size_t)argc * sizeof *a->files);
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) {
      ref_usage(a->job, stdout);
      exit(0);
    } else if ((v = ref_option(argc, argv, &i, "mode"))) {
      a->mode = !strcmp(v, "mmap") ? REF_MMAP : !strcmp(v, "direct") ? REF_DIRECT : REF_PREAD;
    } else if ((v = ref_option(argc, argv, &i, "codec"))) a->codec = ref_codec_of(v);
    else if ((v = ref_option(argc, argv, &i, "ranges"))) a->ranges = v;
    else if ((v = ref_option(argc, argv, &i, "decoded"))) a->decoded = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "chunk"))) a->chunk = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "block"))) a->block = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "depth"))) a->depth = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "threads"))) a->threads = (uint32_t)atoi(v);
    else if (argv[i][0] == '-') ref_die("unknown option %s", argv[i]);
    else a->files[a->n_files++].path = argv[i];
  }
  if (!a->depth) a->depth = a->codec ? 32 : 16;
  if (!a->n_files || !a->threads || a->threads > REF_MAX_THREADS || !a->chunk ||
      a->depth < a->threads || a->block % REF_PAGE) {
    ref_usage(a->job, stderr);
    exit(1);
  }
}

static inline int ref_job_main(const struct ref_job *job, int argc, char **argv) {
  static struct ref_args a = {.threads = 1, .chunk = 256 << 10, .block = REF_MERGE,
                              .decoded = 1 << 20};
  a.job = job;
  ref_parse(&a, argc, argv);
  if (a.ranges) a.steps = ref_load_ranges(a.ranges, &a.n);
  ref_make_output(&a);
  const double t0 = ref_now(), c0 = ref_cpu();
  ref_prepare(&a);
  struct ref_worker *w = ref_alloc(a.threads * sizeof *w);
  for (uint32_t i = 0; i < a.threads; ++i) {
    w[i] = (struct ref_worker){.a = &a, .state = ref_buffer(job->state_size)};
    if (job->begin) job->begin(w[i].state);
    w[i].ring = (struct ref_ring_job){
        .files = a.files, .n_files = a.n_files, .ranges = a.reads, .n = a.n_reads,
        .depth = a.depth / a.threads,
        .slot = (uint32_t)((a.longest + REF_PAGE - 1) / REF_PAGE * REF_PAGE + REF_PAGE),
        .batch = 1, .hand_out = 1, .direct = true, .cursor = &a.cursor,
        .on_read = ref_on_read_steps, .user = &w[i]};
  }
  ref_threads(a.threads, ref_run_worker, w, sizeof *w);
  uint64_t ops = w[0].ops;
  for (uint32_t i = 1; i < a.threads; ++i) {
    job->merge(w[0].state, w[i].state);
    ops += w[i].ops;
  }
  const double wall = ref_now() - t0, cpu = ref_cpu() - c0;
  char more[512] = "";
  if (job->show) job->show(w[0].state, more, sizeof more);
  if (a.out) {
    const uint64_t n = (a.codec ? a.n * a.decoded : a.base[a.n_files]) * job->out_ratio / 4;
    snprintf(more, sizeof more, ", \"sum\": %.17g", ref_sum((const float *)a.out, n));
  }
  ref_print(wall, cpu, ops, a.bytes, more);
  return 0;
}

#endif
