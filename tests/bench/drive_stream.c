/* Chunks of files as they are stored, delivered to a program by one of three ways: in blocks through a queue,
 * into an array of the program's, or not at all. By core/lsio.h alone. Prints one JSON line; the sum of the first
 * words of all results is the proof. */
#include <poll.h>
#include <semaphore.h>

#include "lsio.h"
#include "ref.h"

static const char usage[] =
    "drive_stream [options] FILE...\n"
    "  --deliver=HOW    blocks  of results, taken from a queue (default)\n"
    "                   array   which the program has made and populated\n"
    "                   none    a transform looks at each chunk and returns nothing\n"
    "  --wait=HOW       take    in lsio_queue_take (default)\n"
    "                   notify  until the queue's notify was called, which is counted\n"
    "                   fd      until the queue's descriptor is readable, which is counted\n"
    "  --chunk=SIZE     of a result (4096); files are whole multiples of it, for array\n"
    "  --workers=N      (2)\n"
    "  --rounds=N       jobs one after the other in one context (1); the last is measured\n"
    "  --lend           LSIO may handle SIGBUS: files in the page cache are lent, not copied\n";

enum { EVENTS = 64 };

/* Looking at a chunk costs a job that keeps nothing what looking at a result costs the program. */
#define LOOK                                                                      \
  "  state = 'double words, n;', reduce = { words = 'sum', n = 'sum' },\n"      \
  "  transform = function(chunk, state)\n"                                        \
  "    state.words, state.n = state.words + chunk.data[0], state.n + 1\n"         \
  "  end,\n"

struct result {
  uint64_t n, bytes, words, wakes, takes;
  double wall, cpu;
};

static struct {
  const char *deliver, *wait;
  const char **files;
  size_t n_files;
  uint64_t chunk, rounds;
  bool lend;
  uint32_t flags;
  char script[600], workers[40];
} o = {.deliver = "blocks", .wait = "take", .chunk = 4096, .rounds = 1, .workers = "workers=2"};

static struct {
  lsio_context *context;
  lsio_queue *queue;
  char *output;
  size_t output_length;
  sem_t told;
  atomic_ulong calls;
} d;

__attribute__((noreturn)) static void fail(const lsio_error *e) {
  ref_die("drive_stream: %s", e ? lsio_error_message(e) : "no error object");
}

static void told(void *user) {
  (void)user;
  atomic_fetch_add(&d.calls, 1);
  sem_post(&d.told);
}

static void open_queue(void) {
  const struct lsio_context_options c = {.struct_size = sizeof c, .flags = o.lend ? LSIO_CONTEXT_SIGBUS : 0};
  const struct lsio_queue_options q = {.struct_size = sizeof q, .notify = strcmp(o.wait, "notify") ? NULL : told};
  lsio_error *error;
  sem_init(&d.told, 0, 0);
  if (lsio_context_create(&c, &d.context, &error)) fail(error);
  if (lsio_queue_create(d.context, &q, &d.queue, &error)) fail(error);
}

static uint64_t word_of(const char *data, uint64_t length) {
  uint32_t word = 0;
  memcpy(&word, data, length < sizeof word ? length : sizeof word);
  return word;
}

static void look_at(const struct lsio_event *e, struct result *r) {
  for (uint32_t i = 0; i < e->n; ++i) {
    const struct lsio_result *x = &e->results[i];
    r->words += word_of(e->data + x->begin, x->length);
    r->bytes += x->length;
  }
  r->n += e->n;
}

/* Until there is something; how long lsio_queue_take may wait itself. */
static int wait_for_it(struct result *r) {
  if (!strcmp(o.wait, "take")) return -1;
  if (!strcmp(o.wait, "notify")) {
    while (sem_wait(&d.told)) {}
  } else {
    struct pollfd p = {.fd = lsio_queue_fd(d.queue), .events = POLLIN};
    while (poll(&p, 1, -1) != 1) {}
  }
  r->wakes++;
  return 0;
}

static lsio_job *submit(void) {
  const char *settings[] = {o.workers};
  const struct lsio_job_options job = {
      .struct_size = sizeof job, .flags = LSIO_JOB_NO_ENV | o.flags,
      .script = o.script, .script_length = strlen(o.script), .args = o.files, .n_args = o.n_files,
      .settings = settings, .n_settings = 1, .output = d.output, .output_length = d.output_length,
      .queue = d.queue};
  lsio_job *out;
  lsio_error *error;
  if (lsio_submit(d.context, &job, &out, &error)) fail(error);
  return out;
}

/* One job, from its submission until its end was taken. */
static lsio_job *run(struct result *r) {
  struct lsio_event events[EVENTS];
  *r = (struct result){0};
  const unsigned long calls = atomic_load(&d.calls);
  const double t0 = ref_now(), c0 = ref_cpu();
  lsio_job *job = submit();
  for (bool done = false; !done;) {
    const int timeout = wait_for_it(r), got = lsio_queue_take(d.queue, events, EVENTS, timeout);
    r->takes++;
    for (int i = 0; i < got; ++i) {
      if (events[i].kind == LSIO_EVENT_RESULTS) look_at(&events[i], r);
      lsio_block_release(events[i].block);
      done = done || events[i].kind == LSIO_EVENT_DONE;
    }
  }
  r->wall = ref_now() - t0, r->cpu = ref_cpu() - c0;
  if (!strcmp(o.wait, "notify")) r->wakes = atomic_load(&d.calls) - calls;
  if (lsio_job_status(job)) fail(lsio_job_error(job));
  return job;
}

/* What the program finds in its array, or is told by the job's state. */
static void look_behind(lsio_job *job, struct result *r) {
  for (size_t at = 0; d.output && at < d.output_length; at += o.chunk, ++r->n) {
    const uint64_t left = d.output_length - at, length = left < o.chunk ? left : o.chunk;
    r->words += word_of(d.output + at, length);
    r->bytes += length;
  }
  if (strcmp(o.deliver, "none")) return;
  lsio_value *state;
  lsio_error *error;
  if (lsio_job_state_value(job, &state, &error)) fail(error);
  if (lsio_value_as_uint(lsio_value_find(state, "words"), &r->words) ||
      lsio_value_as_uint(lsio_value_find(state, "n"), &r->n))
    ref_die("drive_stream: the state has no words");
  r->bytes = r->n * o.chunk;
  lsio_value_release(state);
}

static void make_output(void) {
  for (size_t i = 0; i < o.n_files; ++i) {
    struct stat st;
    if (stat(o.files[i], &st)) ref_die("%s: %s", o.files[i], strerror(errno));
    if ((uint64_t)st.st_size % o.chunk && i + 1 < o.n_files) ref_die("%s: not of whole chunks", o.files[i]);
    d.output_length += (size_t)st.st_size;
  }
  d.output = ref_buffer(d.output_length);
}

static void parse(int argc, char **argv) {
  const char *v;
  o.files = ref_alloc((size_t)argc * sizeof *o.files);
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) exit(fputs(usage, stdout) < 0);
    if (!strcmp(argv[i], "--lend")) o.lend = true;
    else if ((v = ref_option(argc, argv, &i, "deliver"))) o.deliver = v;
    else if ((v = ref_option(argc, argv, &i, "wait"))) o.wait = v;
    else if ((v = ref_option(argc, argv, &i, "chunk"))) o.chunk = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "rounds"))) o.rounds = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "workers"))) snprintf(o.workers, sizeof o.workers, "workers=%s", v);
    else if (argv[i][0] == '-') ref_die("unknown option %s\n%s", argv[i], usage);
    else o.files[o.n_files++] = argv[i];
  }
  const bool none = !strcmp(o.deliver, "none");
  o.flags = none ? LSIO_JOB_STATE_VALUE : strcmp(o.deliver, "blocks") ? 0 : LSIO_JOB_STREAM;
  if ((strcmp(o.deliver, "blocks") && strcmp(o.deliver, "array") && !none) ||
      (strcmp(o.wait, "take") && strcmp(o.wait, "notify") && strcmp(o.wait, "fd")) || !o.n_files || !o.chunk ||
      !o.rounds)
    ref_die("%s", usage);
  snprintf(o.script, sizeof o.script,
           "local lsio = require 'lsio'\nreturn lsio.job { type = '%s',\n"
           "  source = function(params) return lsio.files(params, { chunk = %" PRIu64 " }) end,\n%s}\n",
           none ? "u32" : "u8", o.chunk, none ? LOOK : "");
}

int main(int argc, char **argv) {
  parse(argc, argv);
  if (!strcmp(o.deliver, "array")) make_output();
  open_queue();
  struct result r = {0};
  for (uint64_t i = 0; i < o.rounds; ++i) {
    lsio_job *job = run(&r);
    if (i + 1 == o.rounds) look_behind(job, &r);
    lsio_job_release(job);
  }
  char more[160];
  snprintf(more, sizeof more, ", \"words\": %" PRIu64 ", \"wakes\": %" PRIu64 ", \"takes\": %" PRIu64, r.words,
           r.wakes, r.takes);
  ref_print(r.wall, r.cpu, r.n, r.bytes, more);
  lsio_queue_release(d.queue);
  lsio_context_destroy(d.context);
  return 0;
}
