/* Many small ranges of files into an array that this program has made and populated: from arrays of its own,
 * without a script, or from a list in a file by a script. By core/lsio.h alone. Prints one JSON line; the sum of
 * the first 8 bytes of all ranges is the proof. */
#include "lsio.h"
#include "ref.h"

static const char usage[] =
    "drive_ranges [options] --ranges=FILE.npy FILE...\n"
    "  --how=HOW       borrowed  arrays that the request borrows (default)\n"
    "                  copied    arrays that it copies\n"
    "                  listed    the list, by lsio.ranges of a script\n"
    "  --workers=N     (2)\n"
    "  --rounds=N      jobs one after the other in one context (1); the last is measured\n";

static const char script[] =
    "local lsio = require 'lsio'\nreturn lsio.job { type = 'u8', params = { ranges = '' },\n"
    "  source = function(p)\n    local objects = {}\n    for i = 1, #p do objects[i] = p[i] end\n"
    "    return lsio.ranges { file = p.ranges, objects = objects }\n  end }\n";

static struct {
  const char *how, *list;
  const char **files; /* behind "--ranges=..." */
  size_t n_files;
  uint64_t rounds;
  char workers[40];
} o = {.how = "borrowed", .rounds = 1, .workers = "workers=2"};

static struct {
  lsio_context *context;
  lsio_queue *queue;
  uint64_t n;
  uint32_t *object;
  int64_t *offset, *length;
  char *output;
  size_t output_length;
} d;

__attribute__((noreturn)) static void fail(const lsio_error *e) {
  ref_die("drive_ranges: %s", e ? lsio_error_message(e) : "no error object");
}

static double thread_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void load(void) {
  struct ref_range *r = ref_load_ranges(o.list, &d.n);
  d.object = ref_alloc(d.n * sizeof *d.object);
  d.offset = ref_alloc(d.n * sizeof *d.offset);
  d.length = ref_alloc(d.n * sizeof *d.length);
  for (uint64_t i = 0; i < d.n; ++i) {
    d.object[i] = r[i].object;
    d.offset[i] = (int64_t)r[i].offset;
    d.length[i] = r[i].length;
    d.output_length += r[i].length;
  }
  free(r);
  d.output = ref_buffer(d.output_length);
}

static lsio_job *submit(void) {
  const char *settings[] = {o.workers};
  struct lsio_job_options job = {
      .struct_size = sizeof job, .flags = LSIO_JOB_NO_ENV, .settings = settings, .n_settings = 1,
      .output = d.output, .output_length = d.output_length, .queue = d.queue};
  const struct lsio_request_options ranges = {
      .struct_size = sizeof ranges, .flags = strcmp(o.how, "copied") ? LSIO_REQUEST_BORROW : 0,
      .objects = o.files + 1, .n_objects = o.n_files, .n = d.n, .object = d.object, .offset = d.offset,
      .length = d.length};
  lsio_request *request = NULL;
  lsio_job *out;
  lsio_error *error;
  if (!strcmp(o.how, "listed")) {
    job.script = script;
    job.script_length = strlen(script);
    job.args = o.files;
    job.n_args = o.n_files + 1;
  } else if (lsio_request_create(&ranges, &request, &error)) {
    fail(error);
  }
  job.request = request;
  if (lsio_submit(d.context, &job, &out, &error)) fail(error);
  lsio_request_release(request);
  return out;
}

struct result {
  double wall, cpu, calls; /* calls: CPU of this thread in those that must not hold it */
};

static void run(struct result *r) {
  const double t0 = ref_now(), c0 = ref_cpu(), own = thread_cpu();
  lsio_job *job = submit();
  r->calls = thread_cpu() - own;
  struct lsio_event e;
  while (lsio_queue_take(d.queue, &e, 1, 1000) == 0 || e.kind != LSIO_EVENT_DONE) {}
  r->wall = ref_now() - t0, r->cpu = ref_cpu() - c0;
  if (lsio_job_status(job)) fail(lsio_job_error(job));
  lsio_job_release(job);
}

static void parse(int argc, char **argv) {
  const char *v;
  o.files = ref_alloc(((size_t)argc + 1) * sizeof *o.files);
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) exit(fputs(usage, stdout) < 0);
    if ((v = ref_option(argc, argv, &i, "ranges"))) o.list = v;
    else if ((v = ref_option(argc, argv, &i, "how"))) o.how = v;
    else if ((v = ref_option(argc, argv, &i, "rounds"))) o.rounds = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "workers"))) snprintf(o.workers, sizeof o.workers, "workers=%s", v);
    else if (argv[i][0] == '-') ref_die("unknown option %s\n%s", argv[i], usage);
    else o.files[++o.n_files] = argv[i];
  }
  if (!o.list || !o.n_files || !o.rounds ||
      (strcmp(o.how, "borrowed") && strcmp(o.how, "copied") && strcmp(o.how, "listed")))
    ref_die("%s", usage);
  const size_t size = strlen(o.list) + sizeof "--ranges=";
  char *word = ref_alloc(size);
  snprintf(word, size, "--ranges=%s", o.list);
  o.files[0] = word;
}

int main(int argc, char **argv) {
  parse(argc, argv);
  load();
  lsio_error *error;
  if (lsio_context_create(NULL, &d.context, &error) || lsio_queue_create(d.context, NULL, &d.queue, &error)) fail(error);
  struct result r = {0};
  for (uint64_t i = 0; i < o.rounds; ++i) run(&r);
  uint64_t words = 0;
  const char *at = d.output;
  for (uint64_t i = 0; i < d.n; at += d.length[i++]) {
    uint64_t word = 0;
    memcpy(&word, at, d.length[i] < 8 ? (size_t)d.length[i] : 8);
    words += word;
  }
  char more[120];
  snprintf(more, sizeof more, ", \"words\": %" PRIu64 ", \"calls_us\": %.1f", words, r.calls * 1e6);
  ref_print(r.wall, r.cpu, d.n, d.output_length, more);
  lsio_queue_release(d.queue);
  lsio_context_destroy(d.context);
  return 0;
}
