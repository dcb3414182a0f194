/* Reference: ranges of a file, read by a pool of threads that a program makes by hand: tasks in a list under a
 * mutex, those that are done in another list, from which the thread that asked takes them. Prints one JSON
 * line. */
#include "ref_jobs.h"

static const char usage[] =
    "ref_jobs [options] FILE\n"
    "  --n=N            ranges of 4 KiB (20000)\n"
    "  --inflight=N     at once (1)\n"
    "  --threads=N      that read (2)\n"
    "  --keep-open      one descriptor for all; else each task opens and closes the file\n"
    "  --check          fstat behind open and read and compare, as who must find changes does\n";

struct task {
  struct task *next;
  uint64_t offset;
  double began;
  char data[JOB_LENGTH];
};

struct list {
  struct task *first, **last;
};

static struct {
  pthread_mutex_t mutex;
  pthread_cond_t asked, answered;
  struct list tasks, done;
  const char *path;
  int fd; /* -1: each task opens the file */
  bool check;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .asked = PTHREAD_COND_INITIALIZER, .fd = -1,
          .answered = PTHREAD_COND_INITIALIZER, .tasks.last = &pool.tasks.first, .done.last = &pool.done.first};

static void put(struct list *list, struct task *task) {
  task->next = NULL;
  *list->last = task;
  list->last = &task->next;
}

static struct task *take(struct list *list) {
  struct task *task = list->first;
  list->first = task->next;
  if (!list->first) list->last = &list->first;
  return task;
}

static void look(int fd, struct stat *st) {
  if (fstat(fd, st)) ref_die("%s: %s", pool.path, strerror(errno));
}

static void read_range(struct task *t) {
  struct stat before, after;
  const int fd = pool.fd >= 0 ? pool.fd : open(pool.path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) ref_die("%s: %s", pool.path, strerror(errno));
  if (pool.check) look(fd, &before);
  if (pread(fd, t->data, JOB_LENGTH, (off_t)t->offset) != JOB_LENGTH) ref_die("%s: short read", pool.path);
  if (pool.check) {
    look(fd, &after);
    if (before.st_size != after.st_size || before.st_mtim.tv_nsec != after.st_mtim.tv_nsec)
      ref_die("%s has changed", pool.path);
  }
  if (fd != pool.fd) close(fd);
}

static void *serve(void *unused) {
  pthread_mutex_lock(&pool.mutex);
  for (;;) {
    while (!pool.tasks.first) pthread_cond_wait(&pool.asked, &pool.mutex);
    struct task *t = take(&pool.tasks);
    pthread_mutex_unlock(&pool.mutex);
    read_range(t);
    pthread_mutex_lock(&pool.mutex);
    if (!pool.done.first) pthread_cond_signal(&pool.answered);
    put(&pool.done, t);
  }
  return unused;
}

static void ask(struct task *t, uint64_t offset) {
  t->offset = offset;
  t->began = ref_now();
  pthread_mutex_lock(&pool.mutex);
  put(&pool.tasks, t);
  pthread_mutex_unlock(&pool.mutex);
  pthread_cond_signal(&pool.asked);
}

static struct task *answer(void) {
  pthread_mutex_lock(&pool.mutex);
  while (!pool.done.first) pthread_cond_wait(&pool.answered, &pool.mutex);
  struct task *t = take(&pool.done);
  pthread_mutex_unlock(&pool.mutex);
  return t;
}

/* The first n ranges; the sum of their first words. */
static uint64_t run(struct task *tasks, uint64_t inflight, uint64_t n, uint64_t blocks, double *took) {
  uint64_t asked = 0, words = 0;
  for (; asked < n && asked < inflight; ++asked) ask(&tasks[asked], ref_block(asked, blocks) * JOB_LENGTH);
  for (uint64_t i = 0; i < n; ++i) {
    struct task *t = answer();
    took[i] = ref_now() - t->began;
    words += ref_word(t->data);
    if (asked < n) ask(t, ref_block(asked++, blocks) * JOB_LENGTH);
  }
  return words;
}

int main(int argc, char **argv) {
  const char *v;
  uint64_t n = 20000, inflight = 1, threads = 2;
  bool keep = false;
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0;
    if (!strcmp(argv[i], "--keep-open")) keep = true;
    else if (!strcmp(argv[i], "--check")) pool.check = true;
    else if ((v = ref_option(argc, argv, &i, "n"))) n = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "inflight"))) inflight = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "threads"))) threads = ref_size(v);
    else if (argv[i][0] == '-' || pool.path) ref_die("unknown option %s\n%s", argv[i], usage);
    else pool.path = argv[i];
  }
  if (!pool.path || !n || !inflight || !threads || threads > REF_MAX_THREADS) ref_die("%s", usage);
  const uint64_t blocks = ref_blocks(pool.path);
  if (keep && (pool.fd = open(pool.path, O_RDONLY | O_CLOEXEC)) < 0) ref_die("%s: %s", pool.path, strerror(errno));
  for (uint64_t i = 0; i < threads; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve, NULL)) ref_die("no thread");
  }
  struct task *tasks = ref_alloc(inflight * sizeof *tasks);
  double *took = ref_alloc((n > JOB_WARM ? n : JOB_WARM) * sizeof *took);
  run(tasks, inflight, JOB_WARM, blocks, took);
  const double t0 = ref_now(), c0 = ref_cpu();
  const uint64_t words = run(tasks, inflight, n, blocks, took);
  const double wall = ref_now() - t0, cpu = ref_cpu() - c0;
  ref_print_jobs(wall, cpu, n, words, took, NULL);
  return 0;
}
