/* Jobs without a queue: their end is waited for, or nobody does, at any time of their lives; and nothing is left
 * of them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "fork_child.h"
#include "ground/mem.h"
#include "plain.h"
#include "polled.h"

/* Its steps wait for the file `go`. */
#define HELD                                                                                          \
  API_HEAD " state = 'double n;', reduce = { n = 'sum' }, transform = function(chunk, state)\n"       \
           "  repeat local f = io.open('go') until f and f:close() state.n = state.n + chunk.n end }\n"

static void let_go(void) {
  FILE *f = fopen("go", "wb");
  assert_non_null(f);
  fclose(f);
}

static lsio_job *submit(const char *script, uint32_t flags) {
  const struct lsio_job_options o = api_options(script, flags);
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (lsio_submit(api_context, &o, &job, &error) != 0) fail_msg("%s", lsio_error_message(error));
  return job;
}

static void until_began(lsio_job *job) {
  for (struct lsio_progress p = {.struct_size = sizeof p}; !p.began; usleep(100)) lsio_job_progress(job, &p);
}

static int end(void **state) {
  unlink("go");
  return api_end(state);
}

static void it_says_what_the_job_is(void **state) {
  (void)state;
  lsio_job *job = submit(HELD, 0);
  assert_int_equal(lsio_wait(job, 0), LSIO_ERR_BUSY);
  assert_int_equal(lsio_wait(job, 20), LSIO_ERR_BUSY);
  assert_int_equal(lsio_job_status(job), LSIO_ERR_BUSY);
  let_go();
  assert_int_equal(lsio_wait(job, 60000), 0);
  for (int ms = -1; ms < 2; ms++) assert_int_equal(lsio_wait(job, ms), 0); /* again, at once */
  json_decref(api_ends(job, 0));
  lsio_job_release(job);
}

/* What a thread of the context would do is done by who waits, if none has begun. */
static void who_waits_helps(void **state) {
  (void)state;
  static const char *const scripts[] = {API_COUNTS, API_HEAD " sink = lsio.memory() }", "return 1 +"};
  static const int ends[] = {0, 0, LSIO_ERR_SCRIPT};
  for (int i = 0; i < 300; i++) {
    lsio_job *job = submit(scripts[i % 3], 0);
    if (i % 4 == 0) usleep((unsigned)(i * 37) % 2000);
    assert_int_equal(lsio_wait(job, i % 5 ? -1 : 60000), ends[i % 3]);
    lsio_job_release(job);
  }
}

/* Whoever sleeps twice in a row is in no lock on its way. */
static void *let_go_once_waited_for(void *arg) {
  (void)arg;
  for (int rounds = 0; rounds < 3; usleep(1000)) rounds = thread_sleeps(getpid()) ? rounds + 1 : 0;
  let_go();
  return NULL;
}

/* Its end, too: nobody is woken for that. */
static void who_waits_for_ever_ends_it(void **state) {
  (void)state;
  char who[32] = "", me[32] = "";
  lsio_job *job = submit(API_HEAD " transform = function() repeat local f = io.open('go') until f and f:close() end,\n"
                         " done = function() local f, to = io.open('/proc/thread-self/comm'), io.open('who', 'w')\n"
                         " to:write(f:read('*a')) to:close() f:close() end }", 0);
  until_began(job);
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, let_go_once_waited_for, NULL), 0);
  assert_int_equal(lsio_wait(job, -1), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  lsio_job_release(job);
  FILE *f = fopen("who", "r"), *comm = fopen("/proc/thread-self/comm", "r");
  assert_true(f && comm && fgets(who, sizeof who, f) && fgets(me, sizeof me, comm));
  assert_string_equal(who, me);
  fclose(f);
  fclose(comm);
  unlink("who");
}

static void errors_are_the_jobs_end(void **state) {
  (void)state;
  static const struct {
    const char *script;
    int code;
    const char *part;
  } cases[] = {{"return 1 +", LSIO_ERR_SCRIPT, "unexpected symbol"},
               {API_HEAD " no_such_key = 1 }", LSIO_ERR_SCRIPT, "no_such_key"},
               {"local lsio = require 'lsio' return lsio.job { source = lsio.files('none.f32', { whole = true }) }",
                LSIO_ERR_SOURCE, "none.f32"},
               {API_HEAD " transform = function() error('no') end }", LSIO_ERR_TRANSFORM, "no"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    lsio_job *job = submit(cases[i].script, 0);
    assert_int_equal(lsio_wait(job, -1), cases[i].code);
    const lsio_error *e = lsio_job_error(job);
    assert_int_equal(lsio_error_code(e), cases[i].code);
    if (!strstr(lsio_error_message(e), cases[i].part)) fail_msg("%s", lsio_error_message(e));
    json_decref(api_ends(job, cases[i].code));
    lsio_job_release(job);
  }
}

static void refused(const struct lsio_job_options *o, const char *part) {
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  assert_int_equal(lsio_submit(api_context, o, &job, &error), LSIO_ERR_USAGE);
  assert_null(job);
  if (!strstr(lsio_error_message(error), part)) fail_msg("%s", lsio_error_message(error));
  lsio_error_free(error);
}

static void what_can_not_be_is_refused(void **state) {
  (void)state;
  struct lsio_job_options o = api_options(API_COUNTS, LSIO_JOB_STREAM);
  refused(&o, "lsio_queue_create");
  static const char *const wrong[] = {"workers=many"};
  o = api_options(API_COUNTS, 0);
  o.settings = wrong;
  o.n_settings = 1;
  refused(&o, "workers");
  static const char *const none[] = {"a", NULL};
  o.settings = none + 1;
  refused(&o, "settings[0] is NULL");
  o.n_settings = 0;
  o.args = none;
  o.n_args = 2;
  refused(&o, "args[1] is NULL");
  lsio_queue *queue;
  assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0);
  o = api_options(API_COUNTS, 0);
  o.queue = queue;
  lsio_job *job = NULL;
  assert_int_equal(lsio_submit(api_context, &o, &job, NULL), 0);
  for (int ms = -1; ms < 2; ms++) assert_int_equal(lsio_wait(job, ms), LSIO_ERR_USAGE);
  struct lsio_event e = {0};
  assert_int_equal(lsio_queue_take(queue, &e, 1, -1), 1);
  assert_true(e.kind == LSIO_EVENT_DONE && e.job == job);
  assert_int_equal(lsio_wait(job, -1), LSIO_ERR_USAGE);
  lsio_job_release(job);
  lsio_queue_release(queue);
}

static void nobody_waits(void **state) {
  (void)state;
  lsio_job *held = submit(HELD, 0);
  lsio_job_release(held); /* before it is planned, perhaps */
  held = submit(HELD, 0);
  until_began(held);
  lsio_job_release(held); /* while it runs */
  let_go();
  for (int i = 0; i < 4; i++) {
    lsio_job *job = submit(i % 2 ? API_COUNTS : "return 1 +", 0);
    while (lsio_job_status(job) == LSIO_ERR_BUSY) usleep(100);
    if (i < 2) lsio_job_retain(job);
    lsio_job_release(job); /* after its end */
    if (i < 2) lsio_job_release(job);
  }
  polled_rest(api_context); /* nothing is left */
}

/* More than would wait in a queue, and stop the workers until it is taken. */
static void failures_need_nobody(void **state) {
  (void)state;
  enum { N = 30000 };
  lsio_job *job = submit("local lsio = require 'lsio'\nlocal o = {} for i = 1, 30000 do o[i] = 4 * (i % 1000) end\n"
                         "return lsio.job { type = 'f32', merge = 'never', on_error = 'skip',\n"
                         " source = lsio.ranges { objects = { 'a.f32' }, offset = o, length = 4 },\n"
                         " transform = function() error('no') end }\n", 0);
  for (int i = 0; i < 60000 && lsio_job_status(job) == LSIO_ERR_BUSY; i++) usleep(1000);
  assert_int_equal(lsio_job_status(job), 0);
  assert_int_equal(lsio_job_error_count(job), N);
  assert_non_null(lsio_job_step_error(job, 99));
  struct lsio_progress now = {.struct_size = sizeof now};
  lsio_job_progress(job, &now);
  assert_true(now.queued == 0 && now.steps_failed == N);
  assert_int_equal(lsio_wait(job, -1), 0);
  lsio_job_release(job);
}

static void *cancel_later(void *job) {
  usleep(20000);
  lsio_cancel(job);
  return NULL;
}

static int32_t spin(const lsio_step *step, void *state) {
  (void)state;
  while (!__atomic_load_n(step->stop, __ATOMIC_RELAXED)) usleep(100);
  return 0;
}

static void cancelled_while_somebody_waits(void **state) {
  (void)state;
  const struct lsio_transform t = {.struct_size = sizeof t, .step = spin};
  struct lsio_job_options o = api_options(API_HEAD "}", 0);
  o.transform = &t;
  lsio_job *job = NULL;
  pthread_t thread;
  assert_int_equal(lsio_submit(api_context, &o, &job, NULL), 0);
  assert_int_equal(pthread_create(&thread, NULL, cancel_later, job), 0);
  assert_int_equal(lsio_wait(job, -1), LSIO_ERR_CANCELLED);
  assert_int_equal(pthread_join(thread, NULL), 0);
  lsio_job_release(job);
}

/* Each has jobs of its own: waited for, or not, or cancelled. */
static void *client(void *arg) {
  uint64_t seed = (uintptr_t)arg;
  uintptr_t wrong = 0;
  float data[1000];
  const struct plain_range range = {"a.f32", 4000, sizeof data, 0};
  for (int i = 0; i < 200; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const unsigned how = (unsigned)(seed >> 60);
    memset(data, 0, sizeof data);
    const struct plain p = {.n = 1, .ranges = &range, .output = data, .output_length = sizeof data};
    const struct lsio_job_options o = api_options(API_COUNTS, 0);
    const bool is_plain = (seed >> 50) % 4;
    lsio_job *job = NULL;
    if (is_plain ? plain_submit(api_context, &p, &job, NULL) : lsio_submit(api_context, &o, &job, NULL))
      return (void *)(wrong + 1);
    if (how == 0) lsio_cancel(job);
    if (how == 1 && !is_plain) {
      lsio_job_release(job);
      continue;
    }
    if (how < 8) wrong += lsio_wait(job, -1) != 0 && how;
    else while (lsio_wait(job, how % 3) == LSIO_ERR_BUSY) continue;
    wrong += how && is_plain && memcmp(data, api_values + 1000, sizeof data) != 0;
    lsio_job_release(job);
  }
  return (void *)wrong;
}

static void many_at_once(void **state) {
  (void)state;
  api_clients(client);
}

/* Each allocation fails once, or it and all later ones: an error at once, or as the end. */
static void no_memory(void **state) {
  (void)state;
  for (int forever = 0; forever < 2; forever++) {
    int errors = 0;
    for (uint64_t n = 1, all = 0; !all; n++) {
      const struct lsio_job_options o = api_options(API_COUNTS, LSIO_JOB_NO_STATE);
      lsio_job *job = NULL;
      polled_rest(api_context);
      const uint64_t calls = lsi_mem_calls();
      lsi_mem_fail_nth(n, forever);
      const int rc = lsio_submit(api_context, &o, &job, NULL);
      const int status = rc ? rc : lsio_wait(job, -1);
      all = lsi_mem_calls() - calls < n;
      lsi_mem_fail_nth(0, false);
      if (status && status != LSIO_ERR_NOMEM && status != LSIO_ERR_LIMIT && status != LSIO_ERR_SCRIPT)
        fail_msg("allocation %d: %s", (int)n, lsio_error_name(status));
      errors += status != 0;
      if (all) assert_int_equal(status, 0);
      lsio_job_release(job);
    }
    assert_true(errors > 20);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(it_says_what_the_job_is),        TEST(who_waits_helps), TEST(who_waits_for_ever_ends_it),
      TEST(errors_are_the_jobs_end),
      TEST(what_can_not_be_is_refused),     TEST(nobody_waits),    TEST(failures_need_nobody),
      TEST(cancelled_while_somebody_waits), TEST(many_at_once),    TEST(no_memory)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
