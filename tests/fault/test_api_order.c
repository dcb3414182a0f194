/* Streams in an order: results and failures come in that of the steps, or of their groups, whatever takes how
 * long; all of them, or, of a job that ends early, those up to the first step that has not run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "ground/mem.h"
#include "polled.h"

/* Steps that take 0 to 0.4 ms, by no rule; some of them fail. */
#define TAKES                                                                          \
  " local t = os.clock() + (chunk.index * 7919 % 10 == 0 and 0.0004 or 0)\n"           \
  " while os.clock() < t do end\n"
#define ECHO API_APART " transform = function(chunk)\n" TAKES " return 'x' .. chunk.index end }\n"
#define SKIPS                                                                          \
  API_APART " on_error = 'skip', transform = function(chunk)\n" TAKES                  \
            " if chunk.index % 7 == 3 then error('no') end\n"                          \
            " if chunk.index % 5 == 0 then return false end\n"                         \
            " return 'x' .. chunk.index end }\n"
#define FAILS                                                                          \
  API_APART " transform = function(chunk)\n" TAKES                                     \
            " if chunk.index == 500 then error('no') end return 'x' .. chunk.index end }\n"
/* Groups of 10, and within them as they come. */
#define GROUPED                                                                        \
  "local lsio = require 'lsio'\n"                                                      \
  "local o, at, g = {}, {}, {}\n"                                                      \
  "for i = 0, 999 do o[i + 1], at[i + 1], g[i + 1] = 0, i * 400, math.floor(i / 10) * 3 end\n" \
  "return lsio.job { source = lsio.ranges { objects = { 'a.f32' }, object = o, offset = at, length = 400,\n" \
  "  group = g }, type = 'f32', merge = 'never', on_error = 'skip', transform = function(chunk)\n" TAKES \
  " if chunk.index % 7 == 3 then error('no') end return 'x' .. chunk.index end }\n"

static const char *const four[] = {"workers=4", "memory=64MiB"};
static lsio_queue *queue;

/* What comes: of `n` steps in groups of so many. */
struct order {
  uint64_t n, group;
  uint64_t came, failed;
  bool seen[API_STEPS];
  bool right;
};

static void next(struct order *o, uint64_t step, bool failed) {
  const uint64_t group = o->came / o->group;
  o->right &= step < o->n && !o->seen[step] && step / o->group == group;
  if (step < o->n) o->seen[step] = true;
  o->came++;
  o->failed += failed;
}

static void begin(struct order *o, uint64_t n, uint64_t group) {
  *o = (struct order){.n = n, .group = group, .right = true};
}

static lsio_job *submit(const char *script, uint32_t order, const char *const *settings, lsio_queue *q) {
  struct lsio_job_options o = api_options(script, LSIO_JOB_STREAM);
  o.order = order;
  o.queue = q;
  o.settings = settings ? settings : four;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (polled_submit(api_context, &o, &job, &error) != 0) fail_msg("%s", lsio_error_message(error));
  return job;
}

static void poll_all(lsio_job *job, struct order *o) {
  struct polled c[7];
  for (;;) {
    const int n = polled_take(job, c, 7, 60000);
    if (n == 0) fail_msg("nothing comes after %d steps", (int)o->came);
    for (int i = 0; i < n; i++) {
      if (c[i].kind == POLLED_DONE) return;
      next(o, c[i].step, c[i].kind == POLLED_STEP_FAILED);
      char want[32];
      snprintf(want, sizeof want, "x%d", (int)c[i].step);
      if (c[i].length) o->right &= c[i].length == strlen(want) && !memcmp(c[i].data, want, c[i].length);
    }
  }
}

/* The end of one job. */
static void take_all(struct order *o) {
  struct lsio_event e;
  for (;;) {
    if (lsio_queue_take(queue, &e, 1, 60000) != 1) fail_msg("nothing comes after %d steps", (int)o->came);
    if (e.kind == LSIO_EVENT_DONE) return;
    if (e.kind == LSIO_EVENT_STEP_FAILED) next(o, lsio_error_step(e.error), true);
    for (uint32_t i = 0; i < e.n; i++) next(o, e.results[i].step, false);
    lsio_block_release(e.block);
  }
}

static int with_queue(void **state) {
  const int rc = api_begin(state);
  return rc ? rc : lsio_queue_create(api_context, NULL, &queue, NULL);
}

static int without_queue(void **state) {
  lsio_queue_release(queue);
  return api_end(state);
}

#define QUEUE_TEST(name) cmocka_unit_test_setup_teardown(name, with_queue, without_queue)

/* ---- all comes ---- */

static void test_in_the_order_of_steps(void **state) {
  (void)state;
  struct order o;
  lsio_job *job = submit(ECHO, LSIO_ORDER_REQUEST, NULL, NULL);
  begin(&o, API_STEPS, 1);
  poll_all(job, &o);
  assert_true(o.right && o.came == API_STEPS && !o.failed);
  assert_int_equal(lsio_job_status(job), 0);
  polled_destroy(job);
  job = submit(SKIPS, LSIO_ORDER_REQUEST, NULL, queue);
  begin(&o, API_STEPS, 1);
  take_all(&o);
  assert_true(o.right && o.came == API_STEPS && o.failed == 143);
  assert_int_equal(lsio_job_exit_code(job), 1);
  lsio_job_release(job);
}

static void test_by_groups(void **state) {
  (void)state;
  struct order o;
  lsio_job *job = submit(GROUPED, LSIO_ORDER_COMPLETED, NULL, queue);
  begin(&o, API_STEPS, 10);
  take_all(&o);
  assert_true(o.right && o.came == API_STEPS && o.failed == 143);
  lsio_job_release(job);
  job = submit(GROUPED, LSIO_ORDER_REQUEST, NULL, queue); /* which includes that of groups */
  begin(&o, API_STEPS, 1);
  take_all(&o);
  assert_true(o.right && o.came == API_STEPS);
  lsio_job_release(job);
  static const char *const part[] = {"workers=4", "shard=1/3", "limit=100"};
  struct lsio_job_options p = api_options(GROUPED, LSIO_JOB_STREAM);
  p.queue = queue;
  p.settings = part;
  p.n_settings = 3;
  assert_int_equal(polled_submit(api_context, &p, &job, NULL), 0);
  struct lsio_event e;
  uint64_t group = 0, n = 0;
  for (;;) {
    assert_int_equal(lsio_queue_take(queue, &e, 1, 60000), 1);
    if (e.kind == LSIO_EVENT_DONE) break;
    for (uint32_t i = 0; i < e.n || (e.error && !i); i++, n++) {
      const uint64_t step = e.error ? lsio_error_step(e.error) : e.results[i].step;
      assert_true(step >= 333 && step < 433 && step / 10 >= group);
      group = step / 10;
    }
    lsio_block_release(e.block);
  }
  assert_int_equal(n, 100);
  lsio_job_release(job);
}

/* Of a plain read, backwards through the file. */
static void test_groups_of_a_request(void **state) {
  (void)state;
  static int64_t offset[API_STEPS], length[API_STEPS], group[API_STEPS];
  static uint32_t object[API_STEPS];
  for (int i = 0; i < API_STEPS; i++) {
    offset[i] = (API_STEPS - 1 - i) * 400;
    length[i] = 400;
    group[i] = i / 50;
  }
  const char *const objects[] = {"a.f32"};
  for (uint32_t flags = 0; flags < 2; flags++) {
    const struct lsio_request_options r = {.struct_size = sizeof r, .flags = flags, .objects = objects,
                                           .n_objects = 1, .n = API_STEPS, .object = object, .offset = offset,
                                           .length = length, .group = group};
    struct lsio_job_options p = {.struct_size = sizeof p, .flags = LSIO_JOB_STREAM, .queue = queue,
                                 .settings = four, .n_settings = 2};
    lsio_request *request;
    assert_int_equal(lsio_request_create(&r, &request, NULL), 0);
    p.request = request;
    lsio_job *job;
    for (uint32_t order = 0; order < 2; order++) {
      struct order o;
      p.order = order;
      assert_int_equal(polled_submit(api_context, &p, &job, NULL), 0);
      begin(&o, API_STEPS, order ? 1 : 50);
      take_all(&o);
      assert_true(o.right && o.came == API_STEPS);
      lsio_job_release(job);
    }
    lsio_request_release(request);
  }
}

/* ---- less comes ---- */

static void test_a_job_that_fails(void **state) {
  (void)state;
  for (int i = 0; i < 10; i++) {
    struct order o;
    lsio_job *job = submit(FAILS, LSIO_ORDER_REQUEST, NULL, queue);
    begin(&o, API_STEPS, 1);
    take_all(&o);
    assert_true(o.right && o.failed == (o.came > 500));
    assert_int_equal(lsio_job_status(job), LSIO_ERR_TRANSFORM);
    assert_int_equal(lsio_job_error_count(job), 1);
    lsio_job_release(job);
  }
}

static void test_a_job_that_is_cancelled(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    struct order o;
    lsio_job *job = submit(i % 2 ? GROUPED : SKIPS, i % 2 ? LSIO_ORDER_COMPLETED : LSIO_ORDER_REQUEST, NULL, queue);
    usleep((useconds_t)i * 300);
    lsio_cancel(job);
    begin(&o, API_STEPS, i % 2 ? 10 : 1);
    take_all(&o);
    assert_true(o.right);
    lsio_job_release(job);
  }
}

/* What has not run has failed, in its place. */
static void test_a_deadline(void **state) {
  (void)state;
  static const char *const soon[] = {"workers=4", "deadline=15ms"};
  for (int i = 0; i < 6; i++) {
    struct order o;
    lsio_job *job = submit(i % 2 ? GROUPED : SKIPS, i % 2 ? LSIO_ORDER_COMPLETED : LSIO_ORDER_REQUEST, soon, queue);
    begin(&o, API_STEPS, i % 2 ? 10 : 1);
    take_all(&o);
    struct lsio_progress p = {.struct_size = sizeof p};
    lsio_job_progress(job, &p); /* or it was late while sources were listed */
    assert_int_equal(lsio_job_status(job), p.began ? 0 : LSIO_ERR_LIMIT);
    assert_true(o.right && o.came == (p.began ? API_STEPS : 0));
    lsio_job_release(job);
  }
}

static void refused(const char *script, uint32_t flags, uint32_t order, int code, const char *part) {
  struct lsio_job_options o = api_options(script, flags);
  o.order = order;
  lsio_job *job;
  lsio_error *error = NULL;
  assert_int_equal(polled_submit(api_context, &o, &job, &error), code);
  if (!strstr(lsio_error_message(error), part)) fail_msg("%s", lsio_error_message(error));
  lsio_error_free(error);
}

#define OF_GROUPS(list)                                                                             \
  "local lsio = require 'lsio'\nreturn lsio.job { source = lsio.ranges { objects = { 'a.f32' },\n"  \
  "  object = { 0, 0, 0 }, offset = { 0, 4, 8 }, length = 4, group = " list " }, type = 'f32' }\n"

static void test_what_is_refused(void **state) {
  (void)state;
  refused(ECHO, 0, LSIO_ORDER_REQUEST, LSIO_ERR_USAGE, "streams none");
  refused(ECHO, LSIO_JOB_STREAM, 2, LSIO_ERR_USAGE, "2 is no enum lsio_order");
  refused(OF_GROUPS("{ 0, 2, 1 }"), LSIO_JOB_STREAM, 0, LSIO_ERR_USAGE,
          "the group of step 2 is 1, but that of the step before it 2: groups never fall");
  refused(OF_GROUPS("{ 0, -1, 1 }"), LSIO_JOB_STREAM, 0, LSIO_ERR_SCRIPT, "group[2] is -1, not a whole number from 0");
  refused(OF_GROUPS("{ 0, 1 }"), LSIO_JOB_STREAM, 0, LSIO_ERR_SCRIPT, "group has 2 elements, offset has 3");
  refused(OF_GROUPS("7"), LSIO_JOB_STREAM, 0, LSIO_ERR_SCRIPT, "group must be an array");
}

/* ---- memory ---- */

/* Results of 400 kB, of which next to none may wait: `memory` has room for a few. */
static void test_little_memory(void **state) {
  (void)state;
  static const char script[] =
      "local lsio = require 'lsio'\nlocal at = {} for i = 1, 100 do at[i] = 0 end\n"
      "return lsio.job { source = lsio.ranges { objects = { 'a.f32' }, object = at, offset = at, length = 400000 },\n"
      "  type = 'f32', merge = 'never' }\n";
  static const char *const little[] = {"workers=4", "memory=4MiB"};
  for (int i = 0; i < 3; i++) {
    struct order o;
    lsio_job *job = submit(script, LSIO_ORDER_REQUEST, little, queue);
    begin(&o, 100, 1);
    take_all(&o);
    assert_true(o.right && o.came == 100);
    assert_int_equal(lsio_job_status(job), 0);
    lsio_job_release(job);
  }
}

/* The first step waits; the others go on as far as there is room for what waits for it, and no further. */
static void test_behind_one_that_takes_long(void **state) {
  (void)state;
  static const char script[] =
      "local lsio = require 'lsio'\nlocal at = {} for i = 1, 400 do at[i] = 0 end\n"
      "return lsio.job { source = lsio.ranges { objects = { 'a.f32' }, object = at, offset = at, length = 400000 },\n"
      "  type = 'f32', merge = 'never', transform = function(chunk)\n"
      "    while chunk.index == 0 and not io.open('go') do end\n"
      "    lsio.k.copy(chunk.data, chunk.n, chunk.out) return chunk.n end, out_max = 100000 }\n";
  struct order o;
  lsio_job *job = submit(script, LSIO_ORDER_REQUEST, NULL, NULL);
  struct lsio_progress p = {.struct_size = sizeof p};
  for (uint64_t before = UINT64_MAX; !p.steps || p.steps != before; lsio_job_progress(job, &p)) {
    before = p.steps;
    usleep(300000);
  }
  assert_true(p.queued == 0 && p.steps > 10 && p.steps < 60 && p.stalled == 0);
  assert_true(p.held_bytes > 8u << 20 && p.held_bytes <= (uint64_t)(16 + 4) << 20); /* a quarter of the memory */
  fclose(fopen("go", "w"));
  begin(&o, 400, 1);
  struct polled c;
  while (polled_take(job, &c, 1, 60000) == 1 && c.kind != POLLED_DONE) next(&o, c.step, c.kind == POLLED_STEP_FAILED);
  unlink("go");
  assert_true(o.right && o.came == 400);
  lsio_job_progress(job, &p);
  assert_true(p.queued == 0 && p.held_bytes == 0);
  polled_destroy(job);
}

static void *client(void *seed) {
  uintptr_t wrong = 0;
  for (int i = 0; i < 12; i++) {
    struct order o;
    const bool grouped = ((uintptr_t)seed + (uintptr_t)i) % 2;
    lsio_job *job = submit(grouped ? GROUPED : SKIPS, grouped ? LSIO_ORDER_COMPLETED : LSIO_ORDER_REQUEST, NULL, NULL);
    begin(&o, API_STEPS, grouped ? 10 : 1);
    poll_all(job, &o);
    wrong += !o.right || o.came != API_STEPS;
    polled_destroy(job);
  }
  return (void *)wrong;
}

static void test_many_at_once(void **state) {
  (void)state;
  api_clients(client);
}

/* ---- no memory ---- */

#define FEW                                                                            \
  "local lsio = require 'lsio'\n"                                                      \
  "return lsio.job { source = lsio.files('a.f32', { chunk = 4000 }), type = 'f32', merge = 'never',\n" \
  " on_error = 'skip', transform = function(chunk)\n"                                  \
  " if chunk.index % 7 == 3 then error('no') end return 'x' .. chunk.index end }\n"

static bool one_without_memory(uint64_t n, bool forever, bool *good) {
  struct order o;
  struct lsio_job_options options = api_options(FEW, LSIO_JOB_STREAM | LSIO_JOB_NO_STATE);
  options.order = LSIO_ORDER_REQUEST;
  lsio_job *job = NULL;
  begin(&o, 100, 1);
  const uint64_t calls = lsi_mem_calls();
  lsi_mem_fail_nth(n, forever);
  const int rc = polled_submit(api_context, &options, &job, NULL);
  if (rc == 0) poll_all(job, &o);
  const bool all = lsi_mem_calls() - calls < n;
  lsi_mem_fail_nth(0, false);
  *good = rc == 0 && lsio_job_status(job) == 0;
  if (!o.right || (*good && o.came != 100)) fail_msg("allocation %d: out of order, or lost", (int)n);
  polled_destroy(job);
  return all;
}

static void test_every_allocation_fails(void **state) {
  (void)state;
  for (int forever = 0; forever < 2; forever++) {
    int errors = 0;
    bool all = false, good = false;
    for (uint64_t n = 1; !all || !good; n++) {
      all = one_without_memory(n, forever, &good);
      errors += !good;
    }
    assert_true(errors > 20);
  }
}

int main(void) {
  alarm(600); /* a test that fails leaves jobs open, for which their context would wait */
  const struct CMUnitTest tests[] = {
      QUEUE_TEST(test_in_the_order_of_steps),
      QUEUE_TEST(test_by_groups),
      QUEUE_TEST(test_groups_of_a_request),
      QUEUE_TEST(test_a_job_that_fails),
      QUEUE_TEST(test_a_job_that_is_cancelled),
      QUEUE_TEST(test_a_deadline),
      QUEUE_TEST(test_what_is_refused),
      QUEUE_TEST(test_little_memory),
      API_TEST(test_behind_one_that_takes_long),
      API_TEST(test_many_at_once),
      API_TEST(test_every_allocation_fails),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
