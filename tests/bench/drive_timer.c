/* How late a thread wakes that sleeps until each next millisecond, as an event loop's timer does: beside nothing,
 * beside plain threads that spin, or as the loop that itself drives jobs which take the machine, by calls that
 * must not hold it. By core/lsio.h alone. Prints one JSON line. */
#include "lsio.h"
#include "ref_jobs.h"

static const char usage[] =
    "drive_timer none [options]\n"
    "drive_timer spin [options]\n"
    "drive_timer jobs [options] JOB.lua -- PARAMETERS   again and again, one after the other\n"
    "  --n=N              milliseconds (3000)\n"
    "  --threads=N        spin: that spin (2)\n"
    "  --set=NAME=VALUE   a setting of the jobs; may be repeated\n";

enum { EVENTS = 64, MS = 1000000 };

static struct {
  const char *mode, *script_path, *script;
  size_t script_length;
  const char **settings, **words;
  size_t n_settings, n_words;
  uint64_t n;
  uint32_t threads;
} o = {.n = 3000, .threads = 2};

static struct {
  lsio_context *context;
  lsio_queue *queue;
  lsio_job *job; /* that runs */
  uint64_t ended;
} d;

static atomic_bool stop;

__attribute__((noreturn)) static void fail(const lsio_error *e) {
  ref_die("drive_timer: %s", e ? lsio_error_message(e) : "no error object");
}

static double thread_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static long voluntary_switches(void) {
  struct rusage u;
  getrusage(RUSAGE_THREAD, &u);
  return u.ru_nvcsw;
}

static void *spin(void *arg) {
  volatile uint64_t n = 0;
  while (!atomic_load_explicit(&stop, memory_order_relaxed)) n = n + 1;
  return arg;
}

static void submit(void) {
  const struct lsio_job_options job = {
      .struct_size = sizeof job, .flags = LSIO_JOB_NO_ENV, .script = o.script, .script_length = o.script_length,
      .script_name = o.script_path, .args = o.words, .n_args = o.n_words, .settings = o.settings,
      .n_settings = o.n_settings, .queue = d.queue};
  lsio_error *error;
  if (lsio_submit(d.context, &job, &d.job, &error)) fail(error);
}

/* What the loop does at each of its turns. */
static void turn(void) {
  struct lsio_event events[EVENTS];
  if (!d.job) submit();
  const int n = lsio_queue_take(d.queue, events, EVENTS, 0);
  for (int i = 0; i < n; ++i) {
    lsio_block_release(events[i].block);
    if (events[i].kind != LSIO_EVENT_DONE) continue;
    if (lsio_job_status(d.job)) fail(lsio_job_error(d.job));
    lsio_job_release(d.job);
    d.job = NULL;
    ++d.ended;
  }
}

struct figures {
  double *late;      /* of each millisecond, in seconds */
  double call_cpu;   /* of the calling thread: the most that one turn took */
  double call_wall;  /* the same by the clock, other threads' turns on this CPU included */
  long slept;        /* voluntary switches within turns */
};

static void run_loop(uint64_t n, struct figures *f) {
  const bool jobs = !strcmp(o.mode, "jobs");
  struct timespec next;
  clock_gettime(CLOCK_MONOTONIC, &next);
  for (uint64_t i = 0; i < n; ++i) {
    next.tv_nsec += MS;
    if (next.tv_nsec >= 1000 * MS) next.tv_nsec -= 1000 * MS, ++next.tv_sec;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL)) {}
    const double now = ref_now();
    f->late[i] = now - ((double)next.tv_sec + 1e-9 * (double)next.tv_nsec);
    if (!jobs) continue;
    const double c0 = thread_cpu();
    const long slept = voluntary_switches();
    turn();
    const double cpu = thread_cpu() - c0, wall = ref_now() - now;
    f->slept += voluntary_switches() - slept;
    if (cpu > f->call_cpu) f->call_cpu = cpu;
    if (wall > f->call_wall) f->call_wall = wall;
  }
}

static void open_queue(void) {
  const struct lsio_context_options c = {.struct_size = sizeof c, .flags = LSIO_CONTEXT_SIGBUS};
  lsio_error *error;
  if (lsio_context_create(&c, &d.context, &error)) fail(error);
  if (lsio_queue_create(d.context, NULL, &d.queue, &error)) fail(error);
}

static void close_queue(void) {
  if (d.job) lsio_job_release(d.job);
  lsio_queue_release(d.queue);
  lsio_context_destroy(d.context);
}

static void parse(int argc, char **argv) {
  const char *v;
  o.settings = ref_alloc((size_t)argc * sizeof *o.settings);
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) exit(fputs(usage, stdout) < 0);
    if (!strcmp(argv[i], "--")) {
      o.words = (const char **)argv + i + 1;
      o.n_words = (size_t)(argc - i - 1);
      break;
    }
    if ((v = ref_option(argc, argv, &i, "n"))) o.n = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "threads"))) o.threads = (uint32_t)ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "set"))) o.settings[o.n_settings++] = v;
    else if (argv[i][0] == '-') ref_die("unknown option %s\n%s", argv[i], usage);
    else if (!o.mode) o.mode = argv[i];
    else if (!o.script_path) o.script_path = argv[i];
    else ref_die("%s", usage);
  }
  const bool jobs = o.mode && !strcmp(o.mode, "jobs");
  if (!o.mode || (strcmp(o.mode, "none") && strcmp(o.mode, "spin") && !jobs) || jobs != (o.script_path != NULL) ||
      !o.n || o.threads > REF_MAX_THREADS)
    ref_die("%s", usage);
  if (jobs) o.script = ref_read_file(o.script_path, &o.script_length);
}

int main(int argc, char **argv) {
  parse(argc, argv);
  pthread_t threads[REF_MAX_THREADS];
  const uint32_t n_spin = strcmp(o.mode, "spin") ? 0 : o.threads;
  for (uint32_t i = 0; i < n_spin; ++i)
    if (pthread_create(&threads[i], NULL, spin, NULL)) ref_die("no thread");
  if (o.script) open_queue();
  const uint64_t warm = o.n / 10 + 1;
  struct figures f = {.late = ref_alloc((warm > o.n ? warm : o.n) * sizeof *f.late)};
  run_loop(warm, &f);
  f = (struct figures){.late = f.late};
  d.ended = 0;
  const double t0 = ref_now(), c0 = ref_cpu();
  run_loop(o.n, &f);
  const double wall = ref_now() - t0, cpu = ref_cpu() - c0;
  atomic_store(&stop, true);
  for (uint32_t i = 0; i < n_spin; ++i) pthread_join(threads[i], NULL);
  char more[320];
  qsort(f.late, o.n, sizeof *f.late, ref_by_size);
  snprintf(more, sizeof more,
           ", \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, \"busy\": %.3f, \"jobs\": %" PRIu64
           ", \"turn_cpu_us\": %.1f, \"turn_us\": %.1f, \"slept\": %ld",
           f.late[(o.n - 1) / 2] * 1e6, f.late[(o.n - 1) * 99 / 100] * 1e6, f.late[o.n - 1] * 1e6, cpu / wall,
           d.ended, f.call_cpu * 1e6, f.call_wall * 1e6, f.slept);
  ref_print(wall, cpu, o.n, 0, more);
  if (o.script) close_queue();
  return 0;
}
