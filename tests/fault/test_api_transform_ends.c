/* How transforms in C begin and end, through lsio.h: what is refused, what fails and with which words, that
 * each is released exactly once whatever happens, cancelling, many jobs, and no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api_job.h"
#include "ground/mem.h"
#include "polled.h"

static atomic_int opened, closed, finished, merged, released;

static void reset(void) {
  atomic_store(&opened, 0), atomic_store(&closed, 0), atomic_store(&finished, 0);
  atomic_store(&merged, 0), atomic_store(&released, 0);
}

static int32_t open_one(void *user, uint32_t worker, void **state, char *message, size_t size) {
  (void)user, (void)worker, (void)state, (void)message, (void)size;
  atomic_fetch_add(&opened, 1);
  return 0;
}

static int32_t count(const lsio_step *step, void *state) {
  *(uint64_t *)state += step->n;
  return 0;
}

static int32_t finish_one(void *user, void *state, char *message, size_t size) {
  (void)user, (void)state, (void)message, (void)size;
  atomic_fetch_add(&finished, 1);
  return 0;
}

static int32_t merge_one(void *user, void *into, void *from, char *message, size_t size) {
  (void)user, (void)message, (void)size;
  *(uint64_t *)into += *(uint64_t *)from;
  atomic_fetch_add(&merged, 1);
  return 0;
}

static void close_one(void *user, void *state) {
  (void)user, (void)state;
  atomic_fetch_add(&closed, 1);
}

static void release_one(void *user) {
  (void)user;
  atomic_fetch_add(&released, 1);
}

#define COUNT                                                                                                  \
  { .struct_size = sizeof(struct lsio_transform), .open_worker = open_one, .step = count, .finish = finish_one, \
    .close = close_one, .release = release_one, .state_size = 8, .merge = merge_one }

/* ---- refused ---- */

static void refused(const char *script, const struct lsio_transform *t, int code, const char *part) {
  struct lsio_job_options o = api_options(script, 0);
  o.transform = t;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  reset();
  assert_int_equal(polled_submit(api_context, &o, &job, &error), code);
  assert_null(job);
  if (!strstr(lsio_error_message(error), part)) fail_msg("%s", lsio_error_message(error));
  lsio_error_free(error);
  assert_int_equal(atomic_load(&opened), 0);
}

static void test_what_is_refused(void **unused) {
  (void)unused;
  const struct lsio_transform t = COUNT;
  struct lsio_transform none = COUNT, odd = COUNT, huge = COUNT, early = COUNT, plain = {.struct_size = sizeof plain, .step = count};
  none.step = NULL;
  odd.state_align = 24;
  huge.state_size = (size_t)1 << 31;
  early.struct_size = 24;
  static const struct {
    const char *more;
    int code;
    const char *part;
  } all[] = {{"transform = function() end }", LSIO_ERR_SCRIPT, "job.lua:3: the script has a transform, and the program"},
             {"init = function() end }", LSIO_ERR_SCRIPT, "job.lua:3: init runs in workers"},
             {"finish = function() end, reduce = 'sum' }", LSIO_ERR_SCRIPT, "finish runs in workers"},
             {"state = function() return {} end }", LSIO_ERR_SCRIPT, "state is a function"},
             {"state = 'double n;', reduce = 'sum' }", LSIO_ERR_SCRIPT, "job.lua:3: the script has a state, and the"},
             {"reduce = 'sum' }", LSIO_ERR_SCRIPT, "neither state nor finish"},
             {"out_max = 2147483648, sink = lsio.memory() }", LSIO_ERR_USAGE, "out_max below 2147483648"},
             {"on_error = 'skip', sink = lsio.memory() }", LSIO_ERR_SCRIPT, "fill"},
             {"= }", LSIO_ERR_SCRIPT, "job.lua:3"}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    char script[400];
    snprintf(script, sizeof script, "%s%s", API_HEAD, all[i].more);
    refused(script, &t, all[i].code, all[i].part);
    assert_int_equal(atomic_load(&released), 1);
  }
  refused(API_HEAD "}", &none, LSIO_ERR_USAGE, "a `step`");
  assert_int_equal(atomic_load(&released), 1);
  refused(API_HEAD "}", &odd, LSIO_ERR_USAGE, "state_align is 24");
  assert_int_equal(atomic_load(&released), 1);
  refused(API_HEAD "}", &huge, LSIO_ERR_USAGE, "at most 2147483647 bytes");
  assert_int_equal(atomic_load(&released), 1);
  refused(API_HEAD "}", &early, LSIO_ERR_USAGE, "struct_size");
  assert_int_equal(atomic_load(&released), 0); /* it is not known that there is such a thing */
  refused(API_HEAD " state = 'double n;', on_error = 'skip', reduce = 'concat' }", &plain, LSIO_ERR_SCRIPT, "concat");
  struct lsio_job_options o = api_options(API_HEAD "}", 0);
  o.transform = &t;
  lsio_job *job;
  reset();
  assert_int_equal(polled_submit(NULL, &o, &job, NULL), LSIO_ERR_USAGE);
  assert_int_equal(atomic_load(&released), 1);
  o.script = NULL;
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), LSIO_ERR_USAGE);
  assert_int_equal(atomic_load(&released), 2);
}

static void test_plans_and_help(void **unused) {
  (void)unused;
  const struct lsio_transform t = COUNT;
  reset();
  lsio_job *job = api_submit_c(API_HEAD "}", LSIO_JOB_PLAN_ONLY, &t);
  assert_int_equal(lsio_wait(job, -1), 0);
  assert_non_null(lsio_job_explain(job, 0));
  assert_int_equal(atomic_load(&released), 0);
  api_close(job);
  assert_int_equal(atomic_load(&released), 1);
  struct lsio_job_options o = api_options(API_HEAD " params = { least = { 1, 'the least' } } }", 0);
  o.transform = &t;
  char *text = NULL;
  assert_int_equal(lsio_script_help(api_context, &o, &text, NULL), 0);
  assert_non_null(strstr(text, "the least"));
  lsio_free(text);
  assert_int_equal(atomic_load(&released), 2);
  assert_int_equal(atomic_load(&opened), 0);
}

/* What is of use only with a transform is no mistake of a script that may get one. */
static void test_loaded_scripts(void **unused) {
  (void)unused;
  const struct lsio_transform t = {.struct_size = sizeof t, .step = count};
  struct lsio_job_options o = api_options(API_HEAD " state = 'uint64_t n;', reduce = 'sum' }", 0);
  lsio_script *script;
  lsio_error *error = NULL;
  lsio_job *job = NULL;
  assert_int_equal(lsio_script_load(api_context, &o, &script, NULL), 0);
  o.script = NULL;
  o.loaded = script;
  assert_int_equal(polled_submit(api_context, &o, &job, &error), LSIO_ERR_SCRIPT);
  assert_non_null(strstr(lsio_error_message(error), "job.lua:3: state has no use without a transform"));
  lsio_error_free(error);
  o.transform = &t;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
    json_t *summary = api_ends(job, 0);
    assert_true(api_number(json_object_get(summary, "state"), "n") == API_VALUES);
    json_decref(summary);
    polled_destroy(job);
  }
  lsio_script_release(script);
}

/* ---- what fails ---- */

static int32_t no_open(void *user, uint32_t worker, void **state, char *message, size_t size) {
  (void)user, (void)state;
  snprintf(message, size, "no lamp for worker %d", (int)worker);
  return -1;
}
static int32_t no_step(const lsio_step *step, void *state) {
  (void)state;
  memset(step->message, 'x', step->message_size); /* and no end */
  return step->index == 77 ? LSIO_ERR_UNSUPPORTED : 0;
}
static int32_t no_finish(void *user, void *state, char *message, size_t size) {
  (void)user, (void)state, (void)message, (void)size;
  return -99;
}
static int32_t no_merge(void *user, void *into, void *from, char *message, size_t size) {
  (void)user, (void)into, (void)from;
  snprintf(message, size, "oil and water");
  return LSIO_ERR_LIMIT;
}
static int32_t no_memory(const lsio_step *step, void *state) {
  (void)step, (void)state;
  return LSIO_ERR_NOMEM;
}

static void fails(const struct lsio_transform *t, int code, const char *part) {
  reset();
  lsio_job *job = api_submit_c(API_APART " on_error = 'skip' }", 0, t);
  json_decref(api_ends(job, code));
  if (!strstr(lsio_error_message(lsio_job_error(job)), part)) fail_msg("%s", lsio_error_message(lsio_job_error(job)));
  assert_null(lsio_job_state(job));
  api_close(job);
  assert_int_equal(atomic_load(&closed), atomic_load(&opened));
  assert_int_equal(atomic_load(&released), 1);
}

static void test_what_fails(void **unused) {
  (void)unused;
  struct lsio_transform t = COUNT;
  t.open_worker = no_open;
  fails(&t, LSIO_ERR_TRANSFORM, "no lamp for worker ");
  t = (struct lsio_transform)COUNT;
  t.finish = no_finish;
  fails(&t, LSIO_ERR_TRANSFORM, "finish of the program's transform returned -99 and gave no message");
  t = (struct lsio_transform)COUNT;
  t.step = no_memory;
  fails(&t, LSIO_ERR_NOMEM, "step of the program's transform returned -10");
  t = (struct lsio_transform)COUNT;
  t.step = no_step;
  lsio_job *job = api_submit_c(API_HEAD "}", 0, &t);
  json_decref(api_ends(job, LSIO_ERR_UNSUPPORTED));
  assert_int_equal(lsio_error_step(lsio_job_error(job)), 77);
  assert_int_equal(lsio_error_offset(lsio_job_error(job)), 77 * API_CHUNK);
}

/* Both workers have run a step, for each waits for the other in its first one. */
static int32_t meet(const lsio_step *step, void *state) {
  uint64_t *seen = state;
  api_meet(step, (*seen)++ == 0);
  return 0;
}

static void test_merge_fails(void **unused) {
  (void)unused;
  struct lsio_transform t = COUNT;
  t.step = meet;
  t.merge = no_merge;
  atomic_store(&api_arrived, 0);
  fails(&t, LSIO_ERR_LIMIT, "oil and water");
  t.merge = merge_one;
  atomic_store(&api_arrived, 0);
  reset();
  lsio_job *job = api_submit_c(API_APART "}", 0, &t);
  json_decref(api_ends(job, 0));
  assert_int_equal(*(const uint64_t *)lsio_job_state(job), API_STEPS);
  assert_int_equal(atomic_load(&merged), 1);
  assert_int_equal(atomic_load(&finished), 2);
}

static void test_no_step_no_finish(void **unused) {
  (void)unused;
  struct lsio_transform t = COUNT;
  t.merge = NULL;
  reset();
  json_decref(api_ends(api_submit_c("local lsio = require 'lsio'\nreturn lsio.job { type = 'f32',\n"
                                    "source = lsio.ranges { objects = { 'a.f32' }, offset = {}, length = {} } }",
                                    0, &t), 0));
  assert_int_equal(atomic_load(&finished), 0);
}

/* ---- cancelled ---- */

static int32_t spin(const lsio_step *step, void *state) {
  *(uint64_t *)state += 1;
  atomic_fetch_add(&api_arrived, 1);
  while (!*step->stop) continue;
  return LSIO_ERR_TRANSFORM;
}

static void test_cancelled_while_it_spins(void **unused) {
  (void)unused;
  struct lsio_transform t = COUNT;
  t.step = spin;
  for (int destroyed = 0; destroyed < 2; destroyed++) {
    reset();
    atomic_store(&api_arrived, 0);
    lsio_job *job = api_submit_c(API_HEAD "}", 0, &t);
    while (!atomic_load(&api_arrived)) continue;
    assert_null(lsio_job_state(job));
    if (!destroyed) {
      lsio_cancel(job);
      json_decref(api_ends(job, LSIO_ERR_CANCELLED));
    }
    api_close(job);
    assert_int_equal(atomic_load(&closed), atomic_load(&opened));
    assert_int_equal(atomic_load(&finished), 0);
    assert_int_equal(atomic_load(&released), 1);
  }
}

/* ---- many ---- */

static void *client(void *seed) {
  const bool own = (uintptr_t)seed % 2;
  uintptr_t wrong = 0;
  const struct lsio_transform t = COUNT, plain = {.struct_size = sizeof plain, .step = count, .release = release_one};
  struct lsio_job_options o = api_options(own ? API_APART "}" : API_APART " state = 'uint64_t n;', reduce = 'sum' }", 0);
  o.transform = own ? &t : &plain;
  for (int i = 0; i < 20; i++) {
    lsio_job *job[2];
    for (int k = 0; k < 2; k++)
      if (polled_submit(api_context, &o, &job[k], NULL)) return (void *)1000;
    for (int k = 0; k < 2; k++) {
      wrong += polled_wait(job[k]) != 0;
      wrong += own ? *(const uint64_t *)lsio_job_state(job[k]) != API_VALUES
                   : !strstr(lsio_job_summary_json(job[k]), "\"n\":100000");
      polled_destroy(job[k]);
    }
  }
  return (void *)wrong;
}

static void test_many_jobs_at_once(void **unused) {
  (void)unused;
  reset();
  api_clients(client);
  assert_int_equal(atomic_load(&released), 160);
  assert_int_equal(atomic_load(&closed), atomic_load(&opened));
}

/* Of a queue: planned, merged and freed by the context's threads. The options' struct need not live on. */
static void test_jobs_of_a_queue(void **unused) {
  (void)unused;
  lsio_queue *queue;
  lsio_job *job[3];
  reset();
  assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0);
  for (int i = 0; i < 3; i++) {
    struct lsio_transform t = COUNT;
    struct lsio_job_options o = api_options(i == 2 ? "return 1 +" : API_APART "}", 0);
    o.transform = &t;
    o.queue = queue;
    assert_int_equal(polled_submit(api_context, &o, &job[i], NULL), 0);
    memset(&t, 0xff, sizeof t);
  }
  struct lsio_event e;
  for (int ended = 0; ended < 3; ended += e.kind == LSIO_EVENT_DONE)
    assert_int_equal(lsio_queue_take(queue, &e, 1, -1), 1);
  for (int i = 0; i < 2; i++) assert_int_equal(*(const uint64_t *)lsio_job_state(job[i]), API_VALUES);
  assert_int_equal(lsio_job_status(job[2]), LSIO_ERR_SCRIPT);
  assert_null(lsio_job_state(job[2]));
  for (int i = 0; i < 3; i++) lsio_job_release(job[i]);
  lsio_queue_release(queue);
  lsio_context_destroy(api_context); /* waits for those that are still being freed */
  api_context = NULL;
  assert_int_equal(atomic_load(&closed), atomic_load(&opened));
  assert_int_equal(atomic_load(&released), 3);
}

/* ---- no memory ---- */

static void job_without_memory(uint64_t n, bool forever, bool own, bool *all, bool *good) {
  const struct lsio_transform t = COUNT, plain = {.struct_size = sizeof plain, .step = count, .release = release_one};
  struct lsio_job_options o = api_options(own ? API_HEAD " on_error = 'skip' }"
                                              : API_HEAD " state = 'uint64_t n;', reduce = 'sum', on_error = 'skip' }",
                                          LSIO_JOB_NO_STATE);
  o.transform = own ? &t : &plain;
  const int64_t live = lsi_mem_live();
  const uint64_t calls = lsi_mem_calls();
  lsio_job *job = NULL;
  reset();
  lsi_mem_fail_nth(n, forever);
  lsio_context *context = NULL;
  *good = false;
  const struct lsio_context_options c = {.struct_size = sizeof c, .flags = LSIO_CONTEXT_NO_ENV};
  if (lsio_context_create(&c, &context, NULL) == 0) {
    const int rc = polled_submit(context, &o, &job, NULL);
    *good = rc == 0 && polled_wait(job) == 0;
    const uint64_t *state = job ? lsio_job_state(job) : NULL;
    if (*good && own && (!state || *state != API_VALUES)) fail_msg("allocation %d: a wrong sum", (int)n);
    if (!*good && state) fail_msg("allocation %d: a state of a failed job", (int)n);
    polled_destroy(job);
    if (atomic_load(&released) != 1) fail_msg("allocation %d: released %d times", (int)n, atomic_load(&released));
    lsio_context_destroy(context);
  }
  *all = lsi_mem_calls() - calls < n;
  lsi_mem_fail_nth(0, false);
  if (own && atomic_load(&closed) != atomic_load(&opened)) fail_msg("allocation %d: a state is left open", (int)n);
  if (lsi_mem_live() != live) fail_msg("allocation %d: %d blocks are lost", (int)n, (int)(lsi_mem_live() - live));
}

static void test_every_allocation_fails(void **unused) {
  (void)unused;
  for (int kind = 0; kind < 4; kind++) {
    int errors = 0;
    bool all = false, good = false;
    for (uint64_t n = 1; !all; n++) {
      job_without_memory(n, kind % 2, kind / 2, &all, &good);
      errors += !good;
    }
    assert_true(good && errors > 40);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(test_what_is_refused),
      API_TEST(test_plans_and_help),
      API_TEST(test_loaded_scripts),
      API_TEST(test_what_fails),
      API_TEST(test_merge_fails),
      API_TEST(test_no_step_no_finish),
      API_TEST(test_cancelled_while_it_spins),
      API_TEST(test_many_jobs_at_once),
      API_TEST(test_jobs_of_a_queue),
      API_TEST(test_every_allocation_fails),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
