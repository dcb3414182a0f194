/* Reference: reads of a list of ranges, or of whole files in blocks, by io_uring with O_DIRECT. */
#include "ref_ring.h"

static const char usage[] =
    "ref_uring [options] FILE...\n"
    "  --ranges=FILE.npy  int64 (N,3): object, offset, length (default: the files cut into blocks)\n"
    "  --block=SIZE       block size when cutting (256K)\n"
    "  --limit=N          only the first N ranges\n"
    "  --shuffle=SEED     random order\n"
    "  --threads=N        (1)\n"
    "  --depth=N          reads in flight over all threads (128)\n"
    "  --batch=N          completions to wait for (a quarter of a thread's depth, at most 16)\n"
    "  --buffered         through the page cache\n"
    "  --sum              add up all bytes as 64-bit words (shown as \"words\")\n";

struct worker {
  struct ref_ring_job job;
  uint64_t done, words;
};

static void add_words(void *user, const struct ref_range *r, const char *data) {
  uint64_t sum = 0, word;
  uint32_t i = 0;
  for (; i + 8 <= r->length; i += 8) {
    memcpy(&word, data + i, 8);
    sum += word;
  }
  *(uint64_t *)user += sum;
}

static void *run(void *context) {
  struct worker *w = context;
  w->done = ref_ring_run(&w->job);
  return NULL;
}

static void shuffle(struct ref_range *r, uint64_t n, uint64_t seed) {
  for (uint64_t i = n; i > 1; --i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const uint64_t k = (uint64_t)(((unsigned __int128)(seed ^ seed >> 29) * i) >> 64);
    const struct ref_range t = r[i - 1];
    r[i - 1] = r[k];
    r[k] = t;
  }
}

int main(int argc, char **argv) {
  const char *ranges = NULL, *v;
  uint64_t block = 256 << 10, limit = 0, seed = 0, n;
  uint32_t threads = 1, depth = 128, batch = 0, n_files = 0;
  bool direct = true, sum = false;
  struct ref_file *files = ref_alloc((size_t)argc * sizeof *files);
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0;
    if (!strcmp(argv[i], "--buffered")) direct = false;
    else if (!strcmp(argv[i], "--sum")) sum = true;
    else if ((v = ref_option(argc, argv, &i, "ranges"))) ranges = v;
    else if ((v = ref_option(argc, argv, &i, "block"))) block = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "limit"))) limit = strtoull(v, NULL, 10);
    else if ((v = ref_option(argc, argv, &i, "shuffle"))) seed = strtoull(v, NULL, 10) | 1;
    else if ((v = ref_option(argc, argv, &i, "threads"))) threads = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "depth"))) depth = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "batch"))) batch = (uint32_t)atoi(v);
    else if (argv[i][0] == '-') ref_die("unknown option %s\n%s", argv[i], usage);
    else files[n_files++].path = argv[i];
  }
  if (!n_files || !block || !threads || threads > REF_MAX_THREADS || depth < threads) {
    ref_die("%s", usage);
  }
  struct ref_range *r = ranges ? ref_load_ranges(ranges, &n) : NULL;
  const double t0 = ref_now(), c0 = ref_cpu();
  ref_open(files, n_files, direct ? O_DIRECT : 0);
  if (!r) r = ref_cut(files, n_files, block, &n);
  if (seed) shuffle(r, n, seed);
  if (limit && limit < n) n = limit;
  ref_check_ranges(r, n, files, n_files);
  uint64_t longest = 1, bytes = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const uint64_t hull = r[i].offset % REF_PAGE + r[i].length;
    longest = hull > longest ? hull : longest;
    bytes += r[i].length;
  }
  _Atomic uint64_t cursor = 0;
  struct worker *w = ref_alloc(threads * sizeof *w);
  const uint32_t each = depth / threads;
  for (uint32_t i = 0; i < threads; ++i) {
    w[i] = (struct worker){
        .job = {.files = files, .n_files = n_files, .ranges = r, .n = n, .depth = each,
                .slot = (uint32_t)((longest + REF_PAGE - 1) / REF_PAGE * REF_PAGE),
                .batch = batch ? batch : each < 8 ? 1 : each / 4 < 16 ? each / 4 : 16,
                .hand_out = 32, .direct = direct, .cursor = &cursor,
                .on_read = sum ? add_words : NULL, .user = &w[i].words}};
    if (n / 32 < 8 * threads) w[i].job.hand_out = 1;
  }
  ref_threads(threads, run, w, sizeof *w);
  uint64_t done = 0, words = 0;
  for (uint32_t i = 0; i < threads; ++i) done += w[i].done, words += w[i].words;
  char more[64];
  snprintf(more, sizeof more, ", \"words\": %" PRIu64, words);
  ref_print(ref_now() - t0, ref_cpu() - c0, done, bytes, sum ? more : NULL);
  return 0;
}
