/* Reference: blocks of files in the page cache, read by threads into memory of their own and handed to a
 * thread that takes them, by a list under a mutex. */
#include "ref.h"

static const char usage[] =
    "ref_stream [options] FILE...\n"
    "  --chunk=SIZE     of a block (4096)\n"
    "  --threads=N      that read (2)\n"
    "  --batch=N        blocks handed over at a time (16)\n"
    "  --check          fstat each file behind the reads of a batch, as who checks for changes must\n";

#define QUEUED_MOST (16u << 20)

struct block {
  struct block *next;
  uint64_t length;
  char data[];
};

static struct {
  pthread_mutex_t mutex;
  pthread_cond_t filled, drained;
  struct block *first, **last;
  uint64_t bytes;
  uint32_t running;
} queue = {.mutex = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER,
           .drained = PTHREAD_COND_INITIALIZER, .last = &queue.first};

struct worker {
  const struct ref_file *files;
  const struct ref_range *ranges;
  uint64_t n;
  _Atomic uint64_t *cursor;
  uint32_t batch;
  bool check;
};

static void check(const struct ref_file *f) {
  struct stat st;
  if (fstat(f->fd, &st) || (uint64_t)st.st_size != f->size) ref_die("%s has changed", f->path);
}

static void hand_over(struct block *first, struct block **last, uint64_t bytes) {
  pthread_mutex_lock(&queue.mutex);
  while (queue.bytes > QUEUED_MOST) pthread_cond_wait(&queue.drained, &queue.mutex);
  if (!queue.first) pthread_cond_signal(&queue.filled);
  *queue.last = first;
  queue.last = last;
  queue.bytes += bytes;
  pthread_mutex_unlock(&queue.mutex);
}

static void *run(void *context) {
  struct worker *w = context;
  for (;;) {
    const uint64_t from = atomic_fetch_add(w->cursor, w->batch);
    if (from >= w->n) break;
    struct block *first = NULL, **last = &first;
    uint64_t bytes = 0;
    uint32_t object = w->ranges[from].object;
    for (uint64_t i = from; i < w->n && i < from + w->batch; ++i) {
      const struct ref_range *r = &w->ranges[i];
      struct block *b = ref_alloc(sizeof *b + r->length);
      if (w->check && r->object != object) check(&w->files[object]);
      object = r->object;
      if (pread(w->files[object].fd, b->data, r->length, (off_t)r->offset) != (ssize_t)r->length)
        ref_die("%s: short read", w->files[object].path);
      b->length = r->length;
      b->next = NULL;
      *last = b;
      last = &b->next;
      bytes += r->length;
    }
    if (w->check) check(&w->files[object]);
    hand_over(first, last, bytes);
  }
  pthread_mutex_lock(&queue.mutex);
  if (--queue.running == 0) pthread_cond_signal(&queue.filled);
  pthread_mutex_unlock(&queue.mutex);
  return NULL;
}

static struct block *take(void) {
  pthread_mutex_lock(&queue.mutex);
  while (!queue.first && queue.running) pthread_cond_wait(&queue.filled, &queue.mutex);
  struct block *b = queue.first;
  queue.first = NULL;
  queue.last = &queue.first;
  queue.bytes = 0;
  pthread_cond_broadcast(&queue.drained);
  pthread_mutex_unlock(&queue.mutex);
  return b;
}

int main(int argc, char **argv) {
  const char *v;
  uint32_t threads = 2, n_files = 0, batch = 16;
  uint64_t chunk = 4096;
  bool checks = false;
  struct ref_file *files = ref_alloc((size_t)argc * sizeof *files);
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0;
    if (!strcmp(argv[i], "--check")) checks = true;
    else if ((v = ref_option(argc, argv, &i, "chunk"))) chunk = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "threads"))) threads = (uint32_t)atoi(v);
    else if ((v = ref_option(argc, argv, &i, "batch"))) batch = (uint32_t)atoi(v);
    else if (argv[i][0] == '-') ref_die("unknown option %s\n%s", argv[i], usage);
    else files[n_files++].path = argv[i];
  }
  if (!n_files || !chunk || !batch || !threads || threads > REF_MAX_THREADS) ref_die("%s", usage);
  const double t0 = ref_now(), c0 = ref_cpu();
  ref_open(files, n_files, 0);
  uint64_t n, bytes = 0, words = 0;
  const struct ref_range *r = ref_cut(files, n_files, chunk, &n);
  _Atomic uint64_t cursor = 0;
  struct worker w = {.files = files, .ranges = r, .n = n, .cursor = &cursor, .batch = batch, .check = checks};
  pthread_t thread[REF_MAX_THREADS];
  queue.running = threads;
  for (uint32_t i = 0; i < threads; ++i)
    if (pthread_create(&thread[i], NULL, run, &w)) ref_die("no thread");
  for (struct block *b, *next; (b = take()) != NULL;)
    for (; b; b = next) {
      uint32_t word = 0;
      memcpy(&word, b->data, b->length < sizeof word ? b->length : sizeof word);
      words += word;
      bytes += b->length;
      next = b->next;
      free(b);
    }
  for (uint32_t i = 0; i < threads; ++i) pthread_join(thread[i], NULL);
  char more[64];
  snprintf(more, sizeof more, ", \"words\": %" PRIu64, words);
  ref_print(ref_now() - t0, ref_cpu() - c0, n, bytes, more);
  return 0;
}
