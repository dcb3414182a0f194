/* Several jobs at once in one context while the N-th of something fails, once or from then on: allocations,
 * maps of memory, threads, bells, rings, states of Lua. Two plain reads, a job of a loaded script and one with a
 * script of its own are open at the same time, in a new context with a trace and in one that has done all that
 * before. Every job has the right result or an error that says what is short; what failed once takes one job
 * with it at most; nothing is lost, and nothing hangs. The linker's --wrap puts this program between LSIO, the
 * system and LuaJIT (tests/CMakeLists.txt). LSIO_SWEEP=1 leaves no N out. */
#include <dirent.h>
#include <errno.h>
#include <liburing.h>
#include <lauxlib.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/context.h"
#include "api_job.h"
#include "ground/mem.h"
#include "memory/pool.h"
#include "plain.h"
#include "polled.h"

#define CALLS_MAX 20000
#define DENSE 64 /* the first N, of which none is left out */
#define RANGES 40
#define PATIENCE_MS 20000

/* ---- what fails ---- */

enum fault { NOTHING, ALLOC, MAP, THREAD, BELL, RING, STATE, FAULTS };
static const char *const names[FAULTS] = {"nothing", "allocation", "map", "thread", "bell", "ring", "state of Lua"};

static enum fault failing;
static atomic_int counted, fail_at; /* of `failing` only, without allocations */
static atomic_bool fail_forever;
static atomic_llong mapped_bytes;

static bool fails(enum fault fault) {
  if (fault != failing) return false;
  const int n = atomic_fetch_add(&counted, 1) + 1, at = atomic_load(&fail_at);
  return at && (n == at || (n > at && atomic_load(&fail_forever)));
}

#define WRAPPED(result, name, ...)   \
  result __real_##name(__VA_ARGS__); \
  result __wrap_##name(__VA_ARGS__); \
  result __wrap_##name(__VA_ARGS__)

WRAPPED(void *, lsi_os_map, size_t bytes) {
  void *p = fails(MAP) ? NULL : __real_lsi_os_map(bytes);
  if (p) atomic_fetch_add(&mapped_bytes, (long long)bytes);
  return p;
}

WRAPPED(void, lsi_os_unmap, void *p, size_t bytes) {
  if (p) atomic_fetch_sub(&mapped_bytes, (long long)bytes);
  __real_lsi_os_unmap(p, bytes);
}

WRAPPED(int, pthread_create, pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *), void *arg) {
  return fails(THREAD) ? EAGAIN : __real_pthread_create(id, attr, fn, arg);
}

WRAPPED(int, eventfd, unsigned count, int flags) {
  return fails(BELL) ? (errno = EMFILE, -1) : __real_eventfd(count, flags);
}

WRAPPED(int, io_uring_queue_init_params, unsigned n, struct io_uring *ring, struct io_uring_params *p) {
  return fails(RING) ? -ENOMEM : __real_io_uring_queue_init_params(n, ring, p);
}

WRAPPED(lua_State *, luaL_newstate, void) { return fails(STATE) ? NULL : __real_luaL_newstate(); }

static void arm(enum fault fault, int n, bool forever) {
  failing = fault;
  atomic_store(&fail_forever, forever);
  atomic_store(&counted, 0);
  atomic_store(&fail_at, n);
  if (fault == ALLOC) lsi_mem_fail_nth((uint64_t)n, forever);
}

static void disarm(void) {
  lsi_mem_fail_nth(0, false);
  failing = NOTHING;
}

/* ---- four jobs at once ---- */

static const char loaded_text[] =
    "local lsio = require 'lsio'\n"
    "return lsio.job { source = lsio.files('a.f32', { chunk = '40KiB' }), type = 'f32',\n"
    " params = { by = { 1, 'factor' } }, state = 'double n, sum;', reduce = 'sum',\n"
    " transform = function(chunk, state, params)\n"
    "  state.n, state.sum = state.n + chunk.n, state.sum + params.by * lsio.k.sum(chunk.data) end,\n"
    " done = function(r) assert(r.n == 100000 and r.sum % 3 == 0, 'the sum is wrong') end }\n";
static const char own_text[] =
    "local lsio = require 'lsio'\n"
    "return lsio.job { source = lsio.files('a.f32', { chunk = '40KiB' }), type = 'f32', out_max = 10240,\n"
    " transform = function(chunk)\n"
    "  lsio.k.scale_offset(chunk.data, chunk.n, chunk.out, 2, 0) return chunk.n end }\n";

enum { STREAM, LOADED, OWN, MEMORY, JOBS };
static const char *const job_names[JOBS] = {"the streamed read", "the job of a loaded script",
                                            "the job with its own script", "the read into memory"};

static struct plain_range ranges[RANGES];
static uint64_t ranges_bytes;

struct scene {
  lsio_context *context;
  lsio_script *script;
  lsio_job *jobs[JOBS];
  int rc[JOBS];
  char *output;
  int errors;
  const char *where;
};

/* Every error has words, and is about what is short. */
static void note(struct scene *s, const char *what, int rc, const lsio_error *e) {
  if (!rc) return;
  s->errors++;
  if (!e) fail_msg("%s: %s: %s without an error", s->where, what, lsio_error_name(rc));
  if (lsio_error_code(e) != rc) fail_msg("%s: %s: %d, and its error is %d", s->where, what, rc, lsio_error_code(e));
  const char *text = lsio_error_message(e);
  if (!text[0]) fail_msg("%s: %s: no message", s->where, what);
  if (rc != LSIO_ERR_NOMEM && rc != LSIO_ERR_LIMIT)
    fail_msg("%s: %s: %s: %s", s->where, what, lsio_error_name(rc), text);
}

static const char *const settings[] = {"workers=2", "memory=64MiB", "merge=never"};

/* These stream, and are polled; the others are waited for. */
static bool streams(int i) { return i == STREAM || i == OWN; }

static void submit_plain(struct scene *s, int i) {
  const struct plain p = {.n = RANGES, .ranges = ranges, .output = streams(i) ? NULL : s->output,
                              .output_length = streams(i) ? 0 : ranges_bytes, .settings = settings,
                              .n_settings = 3};
  lsio_error *e = NULL;
  s->rc[i] = plain_submit(s->context, &p, &s->jobs[i], &e);
  note(s, job_names[i], s->rc[i], e);
  lsio_error_free(e);
}

static void submit_script(struct scene *s, int i) {
  static const char *const args[] = {"--by=3"};
  struct lsio_job_options o = api_options(i == OWN ? own_text : loaded_text, i == OWN ? LSIO_JOB_STREAM : 0);
  o.settings = settings; /* so many units that both threads get a state of Lua */
  o.n_settings = 3;
  if (i == LOADED) {
    if (!s->script) return;
    o.script = NULL;
    o.script_length = 0;
    o.loaded = s->script;
    o.args = args;
    o.n_args = 1;
  }
  lsio_error *e = NULL;
  s->rc[i] = (streams(i) ? polled_submit : lsio_submit)(s->context, &o, &s->jobs[i], &e);
  note(s, job_names[i], s->rc[i], e);
  lsio_error_free(e);
}

static void load_script(struct scene *s) {
  const struct lsio_job_options o = api_options(loaded_text, 0);
  lsio_error *e = NULL;
  const int rc = lsio_script_load(s->context, &o, &s->script, &e);
  note(s, "loading the script", rc, e);
  lsio_error_free(e);
}

/* The result of a step; what it is short of the right one fails the test. */
static void check_step(const struct scene *s, int i, const struct polled *c) {
  bool right;
  if (i == STREAM) {
    const struct plain_range *r = &ranges[c->step];
    right = c->step < RANGES && c->length == r->length && c->tag == r->tag &&
            memcmp(c->data, (const char *)api_values + r->offset, r->length) == 0;
  } else {
    const size_t at = (size_t)c->step * 10240;
    const float *got = c->data;
    right = c->length == 4 * LSI_MIN((size_t)10240, API_VALUES - at);
    for (size_t k = 0; right && k < c->length / 4; k++) right = got[k] == 2 * api_values[at + k];
  }
  if (!right) fail_msg("%s: %s: step %d is wrong", s->where, job_names[i], (int)c->step);
}

static unsigned drive(struct scene *s, int i) {
  struct polled batch[4];
  unsigned steps = 0;
  for (;;) {
    struct pollfd fd = {.fd = polled_fd(s->jobs[i]), .events = POLLIN};
    if (fd.fd >= 0 && poll(&fd, 1, PATIENCE_MS) != 1) fail_msg("%s: %s: its bell is silent", s->where, job_names[i]);
    const int n = polled_take(s->jobs[i], batch, 4, PATIENCE_MS);
    if (n <= 0) fail_msg("%s: %s hangs", s->where, job_names[i]);
    for (int k = 0; k < n; k++) {
      if (batch[k].kind == POLLED_DONE) return steps;
      if (batch[k].kind != POLLED_STEP) continue;
      check_step(s, i, &batch[k]);
      steps++;
    }
  }
}

static void end_job(struct scene *s, int i) {
  if (!s->jobs[i]) return;
  const unsigned steps = streams(i) ? drive(s, i) : 0;
  if (!streams(i) && lsio_wait(s->jobs[i], PATIENCE_MS) == LSIO_ERR_BUSY)
    fail_msg("%s: %s hangs", s->where, job_names[i]);
  const int rc = lsio_job_status(s->jobs[i]);
  s->rc[i] = rc;
  note(s, job_names[i], rc, lsio_job_error(s->jobs[i]));
  const unsigned all = i == STREAM ? RANGES : i == OWN ? (API_VALUES + 10239) / 10240 : 0;
  if (!rc && steps != all) fail_msg("%s: %s: %u of %u steps", s->where, job_names[i], steps, all);
  for (int k = 0, at = 0; !rc && i == MEMORY && k < RANGES; at += (int)ranges[k++].length)
    if (memcmp(s->output + at, (const char *)api_values + ranges[k].offset, ranges[k].length) != 0)
      fail_msg("%s: %s: range %d is wrong", s->where, job_names[i], k);
  lsio_job_summary_json(s->jobs[i]);
  lsio_free(lsio_job_activity(s->jobs[i]));
  polled_destroy(s->jobs[i]);
}

/* All four are open at once; the script goes while its job is open. */
static void four_jobs(struct scene *s) {
  struct lsio_context_stats stats = {.struct_size = sizeof stats};
  memset(s->output, 0, ranges_bytes);
  submit_plain(s, STREAM);
  load_script(s);
  submit_script(s, LOADED);
  submit_script(s, OWN);
  submit_plain(s, MEMORY);
  lsio_context_get_stats(s->context, &stats);
  lsio_script_release(s->script);
  s->script = NULL;
  for (int i = JOBS; i-- > 0;) end_job(s, i);
  memset(s->jobs, 0, sizeof s->jobs);
}

static void cold(struct scene *s) {
  const struct lsio_context_options o = {.struct_size = sizeof o, .trace_events = 64};
  lsio_error *e = NULL;
  int rc = lsio_context_create(&o, &s->context, &e);
  note(s, "the context", rc, e);
  lsio_error_free(e);
  if (rc) return;
  four_jobs(s);
  e = NULL;
  rc = lsio_context_trace(s->context, "trace.json", &e);
  note(s, "the trace", rc, e);
  lsio_error_free(e);
  lsio_context_destroy(s->context);
}

/* Nothing is left that waits for a thread's next job, and nothing that threads keep. */
static void settle(lsio_context *context) {
  if (!context) return;
  struct scene s = {.context = context, .where = "a job between"};
  submit_script(&s, OWN);
  end_job(&s, OWN);
  assert_int_equal(s.errors, 0);
  polled_rest(context);
  lsi_crew_trim(context->crew);
}

static int descriptors(void) {
  int n = 0;
  DIR *d = opendir("/proc/self/fd");
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

/* Makes the N-th fail. False: there are not so many. */
static bool run_badly(enum fault fault, int n, bool forever, lsio_context *warm, char *output) {
  char where[120];
  snprintf(where, sizeof where, "%s context: %s %d%s fails", warm ? "old" : "new", names[fault], n,
           forever ? " and all later" : "");
  struct scene s = {.context = warm, .output = output, .where = where};
  settle(warm);
  const int64_t live = polled_live(warm);
  const int open_before = descriptors();
  const uint64_t calls = lsi_mem_calls();
  const long long kept = warm ? (long long)lsi_pool_kept(warm->pool) : 0, mapped = mapped_bytes - kept;
  arm(fault, n, forever);
  if (warm) four_jobs(&s);
  else cold(&s);
  disarm();
  const int got = fault == ALLOC ? (int)(lsi_mem_calls() - calls) : atomic_load(&counted);
  settle(warm);
  if (!forever && s.errors > 1) fail_msg("%s: %d errors", where, s.errors);
  if (polled_live(warm) != live) fail_msg("%s: %d blocks lost", where, (int)(polled_live(warm) - live));
  if (descriptors() != open_before) fail_msg("%s: descriptors lost", where);
  if (mapped_bytes - (warm ? (long long)lsi_pool_kept(warm->pool) : 0) != mapped) fail_msg("%s: maps lost", where);
  if (got < n && s.errors) fail_msg("%s: nothing did", where);
  return got >= n;
}

static bool every;

static void sweep(enum fault fault, lsio_context *warm, char *output) {
  for (int forever = 0; forever < 2; forever++) {
    int n = 1;
    while (run_badly(fault, n, forever, warm, output)) {
      if (n > CALLS_MAX) fail_msg("%s: never ends", names[fault]);
      n += every || n < DENSE ? 1 : 1 + n / 64;
    }
    if (n == 1 && !warm) fail_msg("no %s was asked for", names[fault]);
  }
}

static void in_new_contexts(void **state) {
  (void)state;
  char *output = malloc(ranges_bytes);
  for (enum fault fault = ALLOC; fault < FAULTS; fault++) sweep(fault, NULL, output);
  free(output);
}

/* With as many threads as each job uses: all of them are there after the first. */
static void in_one_context(void **state) {
  (void)state;
  char *output = malloc(ranges_bytes);
  const struct lsio_context_options two = {.struct_size = sizeof two, .flags = LSIO_CONTEXT_NO_ENV,
                                           .settings = settings, .n_settings = 1};
  lsio_context *context;
  assert_int_equal(lsio_context_create(&two, &context, NULL), 0);
  struct scene s = {.context = context, .output = output, .where = "without faults"};
  four_jobs(&s);
  assert_int_equal(s.errors, 0);
  for (enum fault fault = ALLOC; fault < FAULTS; fault++) {
    for (int i = 0; i < (fault == RING ? 4 : 1); i++) sweep(fault, context, output); /* what it takes adds up */
    four_jobs(&s);
    assert_int_equal(s.errors, 0);
  }
  lsio_context_destroy(context);
  free(output);
}

static int setup(void **state) {
  every = getenv("LSIO_SWEEP") != NULL;
  uint64_t seed = 11;
  for (int i = 0; i < RANGES; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const uint64_t length = (seed >> 33) % 20000;
    ranges[i] = (struct plain_range){"a.f32", (seed >> 20) % (API_VALUES * 4 - length), length, i};
    ranges_bytes += length;
  }
  return api_setup(state);
}

static int teardown(void **state) {
  unlink("trace.json");
  return api_teardown(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(in_new_contexts), API_TEST(in_one_context)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
