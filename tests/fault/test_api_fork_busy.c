/* What children of fork do themselves; and 200 forks while 8 threads submit, take and release jobs: whatever
 * these were at, or had locked, the children are refused at once what is the parent's, run jobs of their own
 * and end, and no thread notices. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <lauxlib.h>

#include "api_job.h"
#include "fork_child.h"

#define THREADS 8

/* The sanitizers' allocators are not made for forks beside threads (their locks stay taken): children must do
 * without memory. And each fork takes long, for their shadows are copied. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FORKS 12
#define WITHOUT_MEMORY 1
#else
#define FORKS 200
#define WITHOUT_MEMORY 0
#endif

#define STREAMS API_APART "}\n"
#define DOUBLES API_HEAD " sink = lsio.raw('%s', { exists = 'replace' }), transform = function(c)\n" \
  " for i = 0, c.n - 1 do c.out[i] = 2 * c.data[i] end end }\n"

/* Each error takes a lock of libgcc, before GCC 13. */
#define FAILS API_APART " on_error = 'skip', transform = function(c) error('no') end }\n"

static atomic_bool stop;
static atomic_uint n_jobs;
static lsio_script *counts; /* shared by all threads */

/* ---- what the threads do ---- */

static lsio_job *submit(lsio_queue *queue, const char *text, const lsio_script *loaded, uint32_t flags) {
  struct lsio_job_options o = api_options(text ? text : "", flags);
  if (loaded) o.script = NULL;
  o.loaded = loaded;
  o.queue = queue;
  lsio_job *job = NULL;
  return lsio_submit(api_context, &o, &job, NULL) == 0 ? job : NULL;
}

/* Bytes of results until the job has ended, all right; SIZE_MAX: some were wrong. */
static size_t take(lsio_queue *queue) {
  size_t bytes = 0;
  for (;;) {
    struct lsio_event e[8];
    const int n = lsio_queue_take(queue, e, 8, -1);
    for (int i = 0; i < n; i++) {
      if (e[i].kind == LSIO_EVENT_DONE) return bytes;
      for (uint32_t k = 0; e[i].kind == LSIO_EVENT_RESULTS && k < e[i].n; k++) {
        const struct lsio_result *r = &e[i].results[k];
        if (memcmp(e[i].data + r->begin, api_values + r->step * 100, r->length) != 0) return SIZE_MAX;
        bytes += r->length;
      }
      lsio_block_release(e[i].block);
    }
    if (n < 0) return SIZE_MAX;
  }
}

static bool file_is_right(const char *name) {
  float *got = malloc(sizeof api_values);
  FILE *f = fopen(name, "rb");
  bool right = got && f && fread(got, 4, API_VALUES, f) == API_VALUES;
  for (int i = 0; right && i < API_VALUES; i++) right = got[i] == 2 * api_values[i];
  if (f) fclose(f);
  free(got);
  return right;
}

/* One after the other; how many went wrong. */
static void *client(void *arg) {
  const uintptr_t me = (uintptr_t)arg;
  char name[32], doubles[512];
  lsio_queue *queue;
  if (lsio_queue_create(api_context, NULL, &queue, NULL) != 0) return (void *)1;
  snprintf(name, sizeof name, "out%d.f32", (int)me);
  snprintf(doubles, sizeof doubles, DOUBLES, name);
  uintptr_t wrong = 0;
  for (unsigned i = (unsigned)me; !atomic_load(&stop); i++) {
    const unsigned kind = i % 5;
    lsio_job *job = kind == 0   ? submit(queue, STREAMS, NULL, LSIO_JOB_STREAM)
                    : kind == 1 ? submit(queue, NULL, counts, 0)
                    : kind == 2 ? submit(queue, doubles, NULL, 0)
                    : kind == 3 ? submit(queue, FAILS, NULL, 0)
                                : submit(queue, STREAMS, NULL, LSIO_JOB_STREAM);
    if (!job) return (void *)(wrong + 1);
    if (kind == 3) wrong += take(queue) != 0 || lsio_job_error_count(job) != API_STEPS;
    if (kind < 3) {
      const size_t bytes = take(queue);
      wrong += bytes != (kind ? 0 : sizeof api_values) || lsio_job_status(job) != 0;
      if (kind == 2) wrong += !file_is_right(name);
    }
    lsio_job_release(job);
    atomic_fetch_add(&n_jobs, 1);
  }
  lsio_queue_release(queue);
  unlink(name);
  return (void *)wrong;
}

/* ---- what a child does ---- */

static lsio_queue *queue; /* of the main thread, and so are these */
static lsio_job *waited, *queued;

static const char *lets_go(void) {
  lsio_cancel(waited);
  lsio_job_release(queued);
  lsio_job_release(waited);
  lsio_queue_release(queue);
  lsio_script_release(counts);
  lsio_context_destroy(api_context);
  return NULL;
}

static const char *polls(void) {
  struct lsio_event e;
  for (int i = 0; i < 1000; i++) {
    const int timeout_ms = i % 2 ? 0 : -1;
    if (lsio_queue_take(queue, &e, 1, timeout_ms) != LSIO_ERR_FORKED) return "lsio_queue_take";
    if (lsio_wait(waited, timeout_ms) != LSIO_ERR_FORKED) return "lsio_wait";
    if (lsio_queue_fd(queue) != -1) return "a descriptor";
  }
  return NULL;
}

static const char *is_refused(void) {
  struct lsio_job_options o = api_options(API_COUNTS, 0);
  lsio_job *job;
  lsio_script *script;
  lsio_queue *more;
  char *text;
  struct lsio_context_stats s = {.struct_size = sizeof s};
  lsio_context_get_stats(api_context, &s);
  if (s.jobs) return "lsio_context_get_stats";
  if (lsio_submit(api_context, &o, &job, NULL) != LSIO_ERR_FORKED) return "lsio_submit";
  if (lsio_script_load(api_context, &o, &script, NULL) != LSIO_ERR_FORKED) return "lsio_script_load";
  if (lsio_script_help(api_context, &o, &text, NULL) != LSIO_ERR_FORKED) return "lsio_script_help";
  if (lsio_queue_create(api_context, NULL, &more, NULL) != LSIO_ERR_FORKED) return "lsio_queue_create";
  return NULL;
}

/* A job that is waited for and writes a file, one with a queue, and one with a state. */
static const char *run_in(lsio_context *context) {
  char text[512], name[32];
  api_context = context;
  snprintf(name, sizeof name, "child%d.f32", (int)getpid());
  snprintf(text, sizeof text, DOUBLES, name);
  lsio_job *job = submit(NULL, text, NULL, 0);
  if (!job || lsio_wait(job, -1) != 0) return "a job with a file";
  if (!lsio_job_summary_json(job) || !file_is_right(name) || unlink(name) != 0) return "its file";
  lsio_job_release(job);
  if (lsio_queue_create(context, NULL, &queue, NULL) != 0) return "a queue";
  job = submit(queue, STREAMS, NULL, LSIO_JOB_STREAM);
  if (!job || take(queue) != sizeof api_values || lsio_job_status(job) != 0) return "a job with a queue";
  lsio_job_release(job);
  job = submit(queue, API_COUNTS, NULL, LSIO_JOB_STATE_VALUE);
  lsio_value *state;
  double n;
  if (!job || take(queue) || lsio_job_state_value(job, &state, NULL) != 0) return "a job with a state";
  if (lsio_value_as_double(lsio_value_find(state, "n"), &n) || n != API_VALUES) return "its state";
  lsio_value_release(state);
  lsio_job_release(job);
  lsio_queue_release(queue);
  return NULL;
}

static const char *runs_jobs(void) {
  const char *const settings[] = {"workers=2"};
  const struct lsio_context_options o = {.struct_size = sizeof o, .settings = settings, .n_settings = 1,
                                         .flags = LSIO_CONTEXT_SIGBUS | LSIO_CONTEXT_NO_ENV};
  lsio_context *context;
  lsio_error *e;
  if (lsio_context_create(&o, &context, &e) != 0) return lsio_error_message(e);
  const char *found = run_in(context);
  lsio_context_destroy(context);
  return found;
}

/* What it has made is its own, and not its child's. */
static const char *grandchild(void) {
  const char *found = is_refused();
  return found ? found : runs_jobs();
}

static const char *runs_jobs_and_forks(void) {
  lsio_context *context;
  if (lsio_context_create(NULL, &context, NULL) != 0) return "a context";
  const char *found = run_in(context);
  if (!found) found = fork_child(grandchild);
  if (!found) found = run_in(context);
  lsio_context_destroy(context);
  return found;
}

static const char *(*const kinds[])(void) = {WITHOUT_MEMORY ? polls : runs_jobs, lets_go, polls, is_refused};

/* ---- tests ---- */

static void children_have_contexts_of_their_own(void **state) {
  (void)state;
  fork_child_right(runs_jobs_and_forks);
}

static void forks_beside_busy_threads(void **state) {
  (void)state;
  pthread_t threads[THREADS];
  struct lsio_job_options o = api_options(API_COUNTS, 0);
  atomic_store(&stop, false);
  assert_int_equal(lsio_script_load(api_context, &o, &counts, NULL), 0);
  assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0);
  queued = submit(queue, STREAMS, NULL, LSIO_JOB_STREAM); /* whose results wait */
  waited = submit(NULL, NULL, counts, 0);
  assert_true(queued && waited);
  fflush(NULL);
  for (uintptr_t i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, client, (void *)i), 0);
  while (atomic_load(&n_jobs) < THREADS) usleep(1000);
  const char *found = NULL;
  for (int i = 0; i < FORKS && !found; i++) found = fork_child(kinds[i % 4]);
  atomic_store(&stop, true);
  for (int i = 0; i < THREADS; i++) {
    void *wrong;
    assert_int_equal(pthread_join(threads[i], &wrong), 0);
    assert_null(wrong);
  }
  if (found) fail_msg("%s", found);
  assert_int_equal(take(queue), sizeof api_values);
  assert_int_equal(lsio_wait(waited, -1), 0);
  lsio_job_release(queued);
  lsio_job_release(waited);
  lsio_queue_release(queue);
  lsio_script_release(counts);
  assert_int_equal(api_files(), 1);
}

/* As if another thread had held a lock of libgcc when it forked. */
static bool is_out_of_reach;
lua_State *__real_luaL_newstate(void);
lua_State *__wrap_luaL_newstate(void);
lua_State *__wrap_luaL_newstate(void) {
  while (is_out_of_reach) pause();
  return __real_luaL_newstate();
}

static const char *asks_twice(void) {
  is_out_of_reach = true;
  for (int i = 0; i < 2; i++) {
    lsio_context *context;
    lsio_error *e;
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    if (lsio_context_create(NULL, &context, &e) != LSIO_ERR_UNSUPPORTED) return "no error";
    clock_gettime(CLOCK_MONOTONIC, &after);
    if (!strstr(lsio_error_message(e), "; fork again")) return "no remedy";
    lsio_error_free(e);
    if (i && after.tv_sec > before.tv_sec + 3) return "it is asked again";
  }
  return NULL;
}

static void lua_that_is_out_of_reach_is_an_error(void **state) {
  (void)state;
  fork_child_right(asks_twice);
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(children_have_contexts_of_their_own),
                                     API_TEST(lua_that_is_out_of_reach_is_an_error),
                                     API_TEST(forks_beside_busy_threads)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
