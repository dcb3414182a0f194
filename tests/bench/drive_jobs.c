/* Jobs of one range, as a program that serves submits them: one after the other, many at once, or beside a job
 * that takes the machine; and some equal jobs at once. Prints one JSON line. */
#include "lsio.h"
#include "ref_jobs.h"

static const char usage[] =
    "drive_jobs ranges [options] FILE              n jobs of one range of FILE\n"
    "drive_jobs beside [options] FILE JOB.lua -- PARAMETERS\n"
    "                                              such jobs every now and then, while JOB.lua runs\n"
    "                                              again and again; how long each takes\n"
    "drive_jobs equal [options] JOB.lua -- PARAMETERS [-- PARAMETERS]...\n"
    "                                              one job for each list of parameters, all at once\n"
    "  --kind=KIND      what reads the range (plain):\n"
    "                   plain   a read without a script\n"
    "                   script  a job with a transform, submitted as text each time\n"
    "                   loaded  the same script, loaded once\n"
    "  --n=N            (20000; beside: 1000)\n"
    "  --inflight=N     at once (1)\n"
    "  --every=US       beside: a job is submitted so long, up to twice that, behind the end of the last (2000)\n"
    "  --apart          each job at once in a context of its own\n"
    "  --queue          what becomes of the jobs is taken from a queue; results of scripts are streamed there\n"
    "  --set=NAME=VALUE a setting of the jobs of JOB.lua; may be repeated\n";

#define SOURCE                                                                             \
  "params = { offset = 0 },\n"                                                             \
  "  source = function(p) return lsio.ranges { objects = { p[1] }, offset = { p.offset }, length = 4096 } end"
#define COPYING "local lsio = require 'lsio'\nreturn lsio.job { type = 'f32', " SOURCE ",\n"
static const char streaming[] =
    COPYING "  out_max = 1024,\n"
            "  transform = function(chunk) lsio.k.copy(chunk.data, chunk.n, chunk.out) return chunk.n end }\n";
static const char placing[] = COPYING "  transform = function(chunk) lsio.k.copy(chunk.data, chunk.n, chunk.out) end }\n";

/* A job of one range; its place is used by one job after the other. */
struct place {
  lsio_context *context;
  lsio_script *loaded;
  lsio_queue *queue; /* NULL: jobs are waited for, each by itself */
  lsio_job *job;
  bool done;         /* the queue has told */
  double began;
  char data[JOB_LENGTH];
};

static struct {
  const char *mode, *kind, *path, *script_path;
  const char *script; /* of the jobs of JOB.lua */
  size_t script_length;
  const char **settings;
  size_t n_settings;
  char **words; /* what stands behind the first -- */
  int n_words;
  uint64_t n, inflight, blocks;
  double every;
  bool apart, queue;
} o = {.kind = "plain", .inflight = 1, .every = 2e-3};

__attribute__((noreturn)) static void fail(const lsio_error *e) {
  if (e && lsio_error_code(e) == LSIO_ERR_BUSY)
    ref_die("drive_jobs: this LSIO runs one job at a time in a context (--apart: each in its own)");
  ref_die("drive_jobs: %s", e ? lsio_error_message(e) : "no error object");
}

static lsio_context *make_context(void) {
  const struct lsio_context_options c = {.struct_size = sizeof c, .flags = LSIO_CONTEXT_SIGBUS};
  lsio_context *context;
  lsio_error *error;
  if (lsio_context_create(&c, &context, &error)) fail(error);
  return context;
}

static int submit_plain(struct place *p, uint64_t offset, lsio_error **error) {
  const int64_t at = (int64_t)offset, length = JOB_LENGTH;
  const struct lsio_request_options ranges = {.struct_size = sizeof ranges, .objects = &o.path, .n_objects = 1,
                                              .n = 1, .offset = &at, .length = &length};
  lsio_request *request;
  int rc = lsio_request_create(&ranges, &request, error);
  if (rc) return rc;
  const struct lsio_job_options job = {.struct_size = sizeof job, .flags = LSIO_JOB_NO_ENV | LSIO_JOB_NO_STATE,
                                       .request = request, .output = p->data, .output_length = JOB_LENGTH,
                                       .queue = p->queue, .cookie = p};
  rc = lsio_submit(p->context, &job, &p->job, error);
  lsio_request_release(request);
  return rc;
}

/* Streams to the queue, or has its result put in its place. */
static const char *copying(void) { return o.queue ? streaming : placing; }

/* script: NULL: the one that is loaded. */
static int submit_text(struct place *p, const char *script, uint64_t offset, lsio_error **error) {
  char word[40];
  const char *args[] = {word, o.path};
  snprintf(word, sizeof word, "--offset=%" PRIu64, offset);
  const struct lsio_job_options job = {
      .struct_size = sizeof job, .flags = LSIO_JOB_NO_ENV | (p->queue ? LSIO_JOB_STREAM : 0), .script = script,
      .output = p->queue ? NULL : p->data, .output_length = p->queue ? 0 : JOB_LENGTH,
      .script_length = script ? strlen(script) : 0, .loaded = script ? NULL : p->loaded, .args = args, .n_args = 2,
      .queue = p->queue, .cookie = p};
  return lsio_submit(p->context, &job, &p->job, error);
}

static lsio_script *load(lsio_context *context) {
  const struct lsio_job_options job = {.struct_size = sizeof job, .script = copying(), .script_length = strlen(copying())};
  lsio_script *script;
  lsio_error *error = NULL;
  if (lsio_script_load(context, &job, &script, &error)) fail(error);
  return script;
}

static void ask(struct place *p, uint64_t i) {
  const uint64_t offset = ref_block(i, o.blocks) * JOB_LENGTH;
  lsio_error *error = NULL;
  int code;
  p->began = ref_now();
  p->done = false;
  if (!strcmp(o.kind, "script")) code = submit_text(p, copying(), offset, &error);
  else if (p->loaded) code = submit_text(p, NULL, offset, &error);
  else code = submit_plain(p, offset, &error);
  if (code) fail(error);
}

/* Of whichever of the queue's jobs they are. */
static void take_events(lsio_queue *queue) {
  struct lsio_event e[64];
  const int n = lsio_queue_take(queue, e, 64, 10000);
  for (int i = 0; i < n; ++i) {
    struct place *p = e[i].cookie;
    if (e[i].kind == LSIO_EVENT_RESULTS && e[i].n == 1 && e[i].results->length == JOB_LENGTH)
      memcpy(p->data, e[i].data + e[i].results->begin, JOB_LENGTH);
    lsio_block_release(e[i].block);
    p->done = p->done || e[i].kind == LSIO_EVENT_DONE;
  }
}

/* Waits for the end of a place's job; the first word of its range, and how long it took. */
static uint64_t answer(struct place *p, double *took) {
  if (!p->queue) lsio_wait(p->job, -1);
  while (p->queue && !p->done) take_events(p->queue);
  *took = ref_now() - p->began;
  if (lsio_job_status(p->job)) fail(lsio_job_error(p->job));
  lsio_job_release(p->job);
  p->job = NULL;
  return ref_word(p->data);
}

/* The first n ranges, the oldest job being waited for; the sum of their first words. */
static uint64_t run_ranges(struct place *places, uint64_t n, double *took) {
  uint64_t words = 0;
  for (uint64_t i = 0; i < n + o.inflight; ++i) {
    struct place *p = &places[i % o.inflight];
    if (i >= o.inflight && i - o.inflight < n) words += answer(p, &took[i - o.inflight]);
    if (i < n) ask(p, i);
  }
  return words;
}

static struct place make_place(lsio_context *context) {
  struct place p = {.context = context, .loaded = strcmp(o.kind, "loaded") ? NULL : load(context)};
  lsio_error *error = NULL;
  if (o.queue && lsio_queue_create(context, NULL, &p.queue, &error)) fail(error);
  return p;
}

static struct place *make_places(void) {
  struct place *places = ref_alloc(o.inflight * sizeof *places);
  for (uint64_t i = 0; i < o.inflight; ++i) {
    if (i == 0 || o.apart) places[i] = make_place(make_context());
    else places[i] = (struct place){.context = places[0].context, .loaded = places[0].loaded, .queue = places[0].queue};
  }
  return places;
}

static void ranges(void) {
  struct place *places = make_places();
  double *took = ref_alloc((o.n > JOB_WARM ? o.n : JOB_WARM) * sizeof *took);
  run_ranges(places, o.n < JOB_WARM ? o.n : JOB_WARM, took);
  const double t0 = ref_now(), c0 = ref_cpu();
  const uint64_t words = run_ranges(places, o.n, took);
  const double wall = ref_now() - t0, cpu = ref_cpu() - c0;
  ref_print_jobs(wall, cpu, o.n, words, took, NULL);
}

/* A job of JOB.lua with these parameters, running. */
static lsio_job *submit_job(lsio_context *context, char **words, int n_words) {
  const struct lsio_job_options job = {
      .struct_size = sizeof job, .flags = LSIO_JOB_NO_ENV, .script = o.script, .script_length = o.script_length,
      .script_name = o.script_path, .args = (const char *const *)words, .n_args = (size_t)n_words,
      .settings = o.settings, .n_settings = o.n_settings};
  lsio_job *out;
  lsio_error *error = NULL;
  if (lsio_submit(context, &job, &out, &error)) fail(error);
  return out;
}

/* ---- beside ---- */

struct load {
  lsio_context *context;
  atomic_bool stop;
  uint64_t jobs;
  double busy; /* seconds from submit to end, of all */
};

static void *run_load(void *arg) {
  struct load *load = arg;
  while (!atomic_load(&load->stop)) {
    const double t0 = ref_now();
    lsio_job *job = submit_job(load->context, o.words, o.n_words);
    if (lsio_wait(job, -1)) fail(lsio_job_error(job));
    load->busy += ref_now() - t0;
    ++load->jobs;
    lsio_job_release(job);
  }
  return NULL;
}

/* Between `every` and twice that, so that no rhythm of the load's is met or missed each time. */
static void sleep_some(uint64_t i) {
  const double s = o.every * (1 + (double)ref_block(i, 1000) / 1000);
  const struct timespec t = {.tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9)};
  nanosleep(&t, NULL);
}

static void beside(void) {
  struct load load = {.context = make_context()};
  struct place place = make_place(o.apart ? make_context() : load.context);
  double *took = ref_alloc((o.n > JOB_WARM ? o.n : JOB_WARM) * sizeof *took);
  run_ranges(&place, JOB_WARM, took);
  pthread_t thread;
  uint64_t words = 0;
  const double t0 = ref_now(), c0 = ref_cpu();
  if (pthread_create(&thread, NULL, run_load, &load)) ref_die("no thread");
  for (uint64_t i = 0; i < o.n; ++i) {
    sleep_some(i);
    ask(&place, i);
    words += answer(&place, &took[i]);
  }
  const double sampled = ref_now() - t0;
  atomic_store(&load.stop, true);
  pthread_join(thread, NULL);
  const double wall = ref_now() - t0, cpu = ref_cpu() - c0;
  char more[160];
  snprintf(more, sizeof more, ", \"sampled_s\": %.3f, \"load_jobs\": %" PRIu64 ", \"load_share\": %.4f", sampled,
           load.jobs, load.busy / wall);
  ref_print_jobs(wall, cpu, o.n, words, took, more);
}

/* ---- equal ---- */

static void equal(void) {
  enum { MOST = 64 };
  lsio_job *jobs[MOST];
  lsio_context *contexts[MOST];
  char **begin[MOST];
  int n[MOST], k = 1;
  begin[0] = o.words;
  n[0] = 0;
  for (int i = 0; i < o.n_words; ++i) {
    if (strcmp(o.words[i], "--")) ++n[k - 1];
    else if (k == MOST) ref_die("at most %d jobs", MOST);
    else begin[k] = o.words + i + 1, n[k++] = 0;
  }
  for (int i = 0; i < k; ++i) contexts[i] = i && !o.apart ? contexts[0] : make_context();
  double t0 = 0, c0 = 0;
  for (int round = 0; round < 2; ++round) { /* the first one warms up */
    t0 = ref_now(), c0 = ref_cpu();
    for (int i = 0; i < k; ++i) jobs[i] = submit_job(contexts[i], begin[i], n[i]);
    for (int i = 0; i < k; ++i)
      if (lsio_wait(jobs[i], -1)) fail(lsio_job_error(jobs[i]));
    if (round == 0)
      for (int i = 0; i < k; ++i) lsio_job_release(jobs[i]);
  }
  const double wall = ref_now() - t0, cpu = ref_cpu() - c0;
  printf("{\"wall_s\": %.6f, \"cpu_s\": %.6f, \"summaries\": [", wall, cpu);
  for (int i = 0; i < k; ++i) {
    const char *summary = lsio_job_summary_json(jobs[i]);
    if (!summary) ref_die("out of memory");
    printf("%s%s", i ? ", " : "", summary);
  }
  puts("]}");
}

static void parse(int argc, char **argv) {
  const char *v;
  o.settings = ref_alloc((size_t)argc * sizeof *o.settings);
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) exit(fputs(usage, stdout) < 0);
    if (!strcmp(argv[i], "--")) {
      o.words = argv + i + 1;
      o.n_words = argc - i - 1;
      break;
    }
    if (!strcmp(argv[i], "--apart")) o.apart = true;
    else if (!strcmp(argv[i], "--queue")) o.queue = true;
    else if ((v = ref_option(argc, argv, &i, "kind"))) o.kind = v;
    else if ((v = ref_option(argc, argv, &i, "n"))) o.n = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "inflight"))) o.inflight = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "every"))) o.every = (double)ref_size(v) * 1e-6;
    else if ((v = ref_option(argc, argv, &i, "set"))) o.settings[o.n_settings++] = v;
    else if (argv[i][0] == '-') ref_die("unknown option %s\n%s", argv[i], usage);
    else if (!o.mode) o.mode = argv[i];
    else if (!o.path && strcmp(o.mode, "equal")) o.path = argv[i];
    else if (!o.script_path && strcmp(o.mode, "ranges")) o.script_path = argv[i];
    else ref_die("%s", usage);
  }
  if (strcmp(o.kind, "plain") && strcmp(o.kind, "script") && strcmp(o.kind, "loaded")) ref_die("no kind %s\n%s", o.kind, usage);
  if (!o.inflight) ref_die("%s", usage);
  if (o.path) o.blocks = ref_blocks(o.path);
  if (o.script_path) o.script = ref_read_file(o.script_path, &o.script_length);
}

int main(int argc, char **argv) {
  parse(argc, argv);
  const char *mode = o.mode ? o.mode : "";
  if (!strcmp(mode, "ranges") && o.path) {
    if (!o.n) o.n = 20000;
    ranges();
  } else if (!strcmp(mode, "beside") && o.script_path && o.n_words) {
    if (!o.n) o.n = 1000;
    o.inflight = 1;
    beside();
  } else if (!strcmp(mode, "equal") && o.script_path && o.n_words) {
    equal();
  } else {
    ref_die("%s", usage);
  }
  return 0;
}
