/* Reference: small ranges in the page cache, in the order given, by pread, by mapping or by io_uring. */
#include "ref_ring.h"

static const char usage[] =
    "ref_ranges [options] --ranges=FILE.npy FILE...\n"
    "  --mode=pread|mmap|uring  (pread)\n"
    "  --threads=N              (1)\n"
    "  --depth=N                of a ring (64)\n"
    "  --place                  by pread: each to its place in an array of all, which is populated before\n"
    "  --sum                    add up every byte as 64-bit words, not only the first 8 of a range\n"
    "The first 8 bytes of every range are added up as proof (\"words\").\n";

enum mode { MODE_PREAD, MODE_MMAP, MODE_URING };

struct worker {
  const struct ref_file *files;
  char **maps;
  const struct ref_range *ranges;
  uint64_t n, ops, words;
  size_t longest;
  char *array;            /* NULL: each is read to the same place */
  const uint64_t *begin;  /* in it */
  _Atomic uint64_t *cursor;
  enum mode mode;
  bool all;
  struct ref_ring_job ring;
};

static void use(void *user, const struct ref_range *r, const char *data) {
  struct worker *w = user;
  uint64_t word, sum = 0;
  const uint32_t stop = w->all ? r->length : 8;
  for (uint32_t i = 0; i + 8 <= stop; i += 8) {
    memcpy(&word, data + i, 8);
    sum += word;
  }
  w->words += sum;
}

static void *run(void *context) {
  struct worker *w = context;
  if (w->mode == MODE_URING) {
    w->ops = ref_ring_run(&w->ring);
    return NULL;
  }
  char *buffer = w->array ? NULL : ref_buffer(w->longest);
  for (;;) {
    const uint64_t first = atomic_fetch_add(w->cursor, 256);
    if (first >= w->n) return NULL;
    for (uint64_t i = first; i < w->n && i < first + 256; ++i) {
      const struct ref_range *r = &w->ranges[i];
      char *to = w->array ? w->array + w->begin[i] : buffer;
      const char *data = to;
      if (w->mode == MODE_MMAP) {
        data = w->maps[r->object] + r->offset;
      } else if (pread(w->files[r->object].fd, to, r->length, (off_t)r->offset) !=
                 (ssize_t)r->length) {
        ref_die("%s: short read", w->files[r->object].path);
      }
      use(w, r, data);
      ++w->ops;
    }
  }
}

/* Where each begins in an array of all of them; its length in the end. */
static uint64_t *places(const struct ref_range *r, uint64_t n) {
  uint64_t *begin = ref_alloc((n + 1) * sizeof *begin);
  begin[0] = 0;
  for (uint64_t i = 0; i < n; ++i) begin[i + 1] = begin[i] + r[i].length;
  return begin;
}

int main(int argc, char **argv) {
  const char *v, *ranges = NULL;
  uint32_t threads = 1, depth = 64, n_files = 0;
  enum mode mode = MODE_PREAD;
  bool all = false, place = false;
  struct ref_file *files = ref_alloc((size_t)argc * sizeof *files);
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0;
    if (!strcmp(argv[i], "--sum")) all = true;
    else if (!strcmp(argv[i], "--place")) place = true;
    else if ((v = ref_option(argc, argv, &i, "mode"))) {
      mode = !strcmp(v, "mmap") ? MODE_MMAP : !strcmp(v, "uring") ? MODE_URING : MODE_PREAD;
    } else if ((v = ref_option(argc, argv, &i, "ranges"))) ranges = v;
    else if ((v = ref_option(argc, argv, &i, "threads"))) threads = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "depth"))) depth = (uint32_t)atoi(v);
    else if (argv[i][0] == '-') ref_die("unknown option %s\n%s", argv[i], usage);
    else files[n_files++].path = argv[i];
  }
  if (!n_files || !ranges || !threads || threads > REF_MAX_THREADS) ref_die("%s", usage);
  uint64_t n;
  struct ref_range *r = ref_load_ranges(ranges, &n);
  const uint64_t *begin = place ? places(r, n) : NULL;
  char *array = place ? ref_buffer(begin[n]) : NULL;
  const double t0 = ref_now(), c0 = ref_cpu();
  ref_open(files, n_files, 0);
  ref_check_ranges(r, n, files, n_files);
  uint64_t bytes = 0, longest = 8;
  for (uint64_t i = 0; i < n; ++i) {
    bytes += r[i].length;
    longest = r[i].length > longest ? r[i].length : longest;
  }
  char **maps = ref_alloc(n_files * sizeof *maps);
  for (uint32_t i = 0; mode == MODE_MMAP && i < n_files; ++i) {
    maps[i] = mmap(NULL, files[i].size, PROT_READ, MAP_SHARED, files[i].fd, 0);
    if (maps[i] == MAP_FAILED) ref_die("%s: mmap: %s", files[i].path, strerror(errno));
  }
  _Atomic uint64_t cursor = 0;
  struct worker *w = ref_alloc(threads * sizeof *w);
  for (uint32_t i = 0; i < threads; ++i) {
    w[i] = (struct worker){.files = files, .maps = maps, .ranges = r, .n = n, .longest = longest,
                           .array = array, .begin = begin,
                           .cursor = &cursor, .mode = mode, .all = all};
    w[i].ring = (struct ref_ring_job){
        .files = files, .n_files = n_files, .ranges = r, .n = n, .depth = depth,
        .slot = (uint32_t)((longest + REF_PAGE - 1) / REF_PAGE * REF_PAGE), .batch = 1,
        .hand_out = 256, .cursor = &cursor, .on_read = use, .user = &w[i]};
  }
  ref_threads(threads, run, w, sizeof *w);
  uint64_t ops = 0, words = 0;
  for (uint32_t i = 0; i < threads; ++i) ops += w[i].ops, words += w[i].words;
  char more[64];
  snprintf(more, sizeof more, ", \"words\": %" PRIu64, words);
  ref_print(ref_now() - t0, ref_cpu() - c0, ops, bytes, more);
  return 0;
}
