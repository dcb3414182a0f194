/* Many jobs at once whose completions come by one queue, and how often the program is woken for them. By
 * core/lsio.h alone. Prints one JSON line. */
#include <poll.h>
#include <semaphore.h>

#include "lsio.h"
#include "ref_jobs.h"

static const char usage[] =
    "drive_queue [options] FILE     n jobs of one range of FILE\n"
    "  --n=N            (20000)\n"
    "  --inflight=N     at once (64)\n"
    "  --kind=KIND      plain   reads without a script, into memory of the program's (default)\n"
    "                   loaded  a script that is loaded once; results are streamed\n"
    "  --wait=HOW       take    in lsio_queue_take\n"
    "                   notify  until the queue's notify was called (default)\n"
    "                   fd      until the queue's descriptor is readable\n";

enum { EVENTS = 64 };

static const char script[] =
    "local lsio = require 'lsio'\nreturn lsio.job { type = 'f32', params = { offset = 0 },\n"
    "  source = function(p) return lsio.ranges { objects = { p[1] }, offset = { p.offset }, length = 4096 } end }\n";

static struct {
  const char *wait, *kind, *path;
  uint64_t n, inflight, blocks;
} o = {.wait = "notify", .kind = "plain", .n = 20000, .inflight = 64};

static struct {
  lsio_context *context;
  lsio_queue *queue;
  lsio_script *loaded;
  sem_t told;
  atomic_ulong calls;
} d;

__attribute__((noreturn)) static void fail(const lsio_error *e) {
  ref_die("drive_queue: %s", e ? lsio_error_message(e) : "no error object");
}

static void told(void *user) {
  (void)user;
  atomic_fetch_add(&d.calls, 1);
  sem_post(&d.told);
}

static void open_queue(void) {
  const struct lsio_queue_options q = {.struct_size = sizeof q, .notify = strcmp(o.wait, "notify") ? NULL : told};
  const struct lsio_job_options job = {.struct_size = sizeof job, .script = script, .script_length = strlen(script)};
  lsio_error *error;
  sem_init(&d.told, 0, 0);
  if (lsio_context_create(NULL, &d.context, &error)) fail(error);
  if (lsio_queue_create(d.context, &q, &d.queue, &error)) fail(error);
  if (!strcmp(o.kind, "loaded") && lsio_script_load(d.context, &job, &d.loaded, &error)) fail(error);
}

/* A place is used by one job after the other; it is the job's cookie. */
static void submit(char *place, uint64_t i) {
  char word[40];
  const char *args[] = {word, o.path};
  const int64_t offset = (int64_t)(ref_block(i, o.blocks) * JOB_LENGTH), length = JOB_LENGTH;
  const struct lsio_request_options range = {.struct_size = sizeof range, .objects = &o.path, .n_objects = 1, .n = 1,
                                             .offset = &offset, .length = &length};
  struct lsio_job_options job = {.struct_size = sizeof job, .flags = LSIO_JOB_NO_ENV | LSIO_JOB_NO_STATE,
                                 .queue = d.queue, .cookie = place};
  lsio_request *request = NULL;
  lsio_job *out;
  lsio_error *error;
  if (d.loaded) {
    snprintf(word, sizeof word, "--offset=%" PRId64, offset);
    job.flags |= LSIO_JOB_STREAM;
    job.loaded = d.loaded;
    job.args = args;
    job.n_args = 2;
  } else {
    if (lsio_request_create(&range, &request, &error)) fail(error);
    job.request = request;
    job.output = place;
    job.output_length = JOB_LENGTH;
  }
  if (lsio_submit(d.context, &job, &out, &error)) fail(error);
  lsio_request_release(request);
}

static int wait_for_it(uint64_t *wakes) {
  if (!strcmp(o.wait, "take")) return -1;
  if (!strcmp(o.wait, "notify")) {
    while (sem_wait(&d.told)) {}
  } else {
    struct pollfd p = {.fd = lsio_queue_fd(d.queue), .events = POLLIN};
    while (poll(&p, 1, -1) != 1) {}
  }
  ++*wakes;
  return 0;
}

struct result {
  uint64_t events, words, wakes, takes;
};

static struct result run(char *places, uint64_t n) {
  struct lsio_event events[EVENTS];
  struct result r = {0};
  uint64_t submitted = 0, ended = 0;
  for (; submitted < n && submitted < o.inflight; ++submitted) submit(places + submitted * JOB_LENGTH, submitted);
  while (ended < n) {
    const int timeout = wait_for_it(&r.wakes), got = lsio_queue_take(d.queue, events, EVENTS, timeout);
    r.takes++;
    for (int i = 0; i < got; ++i, ++r.events) {
      const struct lsio_event *e = &events[i];
      for (uint32_t k = 0; e->kind == LSIO_EVENT_RESULTS && k < e->n; ++k)
        r.words += ref_word(e->data + e->results[k].begin);
      lsio_block_release(e->block);
      if (e->kind != LSIO_EVENT_DONE) continue;
      if (lsio_job_status(e->job)) fail(lsio_job_error(e->job));
      if (!d.loaded) r.words += ref_word(e->cookie);
      lsio_job_release(e->job);
      ++ended;
      if (submitted < n) submit(e->cookie, submitted++);
    }
  }
  return r;
}

int main(int argc, char **argv) {
  const char *v;
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0;
    if ((v = ref_option(argc, argv, &i, "n"))) o.n = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "inflight"))) o.inflight = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "wait"))) o.wait = v;
    else if ((v = ref_option(argc, argv, &i, "kind"))) o.kind = v;
    else if (argv[i][0] == '-' || o.path) ref_die("unknown option %s\n%s", argv[i], usage);
    else o.path = argv[i];
  }
  if (!o.path || !o.inflight) ref_die("%s", usage);
  o.blocks = ref_blocks(o.path);
  open_queue();
  char *places = ref_alloc(o.inflight * JOB_LENGTH);
  run(places, JOB_WARM);
  const unsigned long calls = atomic_load(&d.calls);
  const double t0 = ref_now(), c0 = ref_cpu();
  struct result r = run(places, o.n);
  const double wall = ref_now() - t0, cpu = ref_cpu() - c0;
  if (!strcmp(o.wait, "notify")) r.wakes = atomic_load(&d.calls) - calls;
  char more[200];
  snprintf(more, sizeof more, ", \"words\": %" PRIu64 ", \"events\": %" PRIu64 ", \"wakes\": %" PRIu64
           ", \"takes\": %" PRIu64, r.words, r.events, r.wakes, r.takes);
  ref_print(wall, cpu, o.n, o.n * JOB_LENGTH, more);
  lsio_script_release(d.loaded);
  lsio_queue_release(d.queue);
  lsio_context_destroy(d.context);
  return 0;
}
