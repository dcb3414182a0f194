/* The caller's array is given back once, whatever becomes of its job, and nothing touches it afterwards: then
 * its pages may not be touched at all. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "ground/mem.h"
#include "polled.h"

#define BYTES (sizeof api_values)
#define MAPPED ((BYTES + 4095) / 4096 * 4096)

/* One of a job's. */
struct array {
  void *data;
  atomic_int releases;
  bool right; /* it held the values when it was given back */
};

static void make(struct array *a) {
  *a = (struct array){.data = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)};
  assert_true(a->data != MAP_FAILED);
}

static void given_back(void *user) {
  struct array *a = user;
  if (atomic_fetch_add(&a->releases, 1)) return;
  a->right = memcmp(a->data, api_values, BYTES) == 0;
  mprotect(a->data, MAPPED, PROT_NONE);
}

/* It has been given back. */
static void drop(struct array *a, const char *where) {
  if (atomic_load(&a->releases) != 1) fail_msg("%s: given back %d times", where, atomic_load(&a->releases));
  assert_int_equal(munmap(a->data, MAPPED), 0);
}

static struct lsio_job_options options(const char *script, uint32_t flags, struct array *a) {
  struct lsio_job_options o = api_options(script, flags);
  o.output = a->data;
  o.output_length = BYTES;
  o.output_release = given_back;
  o.output_user = a;
  return o;
}

static lsio_job *submit(const struct lsio_job_options *o) {
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (lsio_submit(api_context, o, &job, &error) != 0) fail_msg("%s", lsio_error_message(error));
  return job;
}

#define COPY API_HEAD " }\n"
/* Its first step makes a file and goes on until the job is cancelled. */
#define SPINS                                                                                   \
  API_HEAD " sink = lsio.memory(), transform = function(chunk)\n"                               \
           "  for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end\n"                     \
           "  if chunk.index == 0 then io.open('began', 'w'):close()\n"                         \
           "    while io.open('began') do end end end }\n"
#define FAILS                                                                                   \
  API_HEAD " sink = lsio.memory(), transform = function(chunk)\n"                               \
           "  if chunk.index == 500 then error('no') end end }\n"

#define SLOW                                                                                    \
  API_APART " sink = lsio.memory(), on_error = 'skip', fill = -1, transform = function(chunk)\n" \
            "  local t = os.clock() while os.clock() - t < 0.002 do end end }\n"

static void wait_for_began(void) {
  while (access("began", F_OK) != 0) usleep(1000);
}

/* ---- jobs that are waited for ---- */

static void test_before_its_end_is_told(void **state) {
  (void)state;
  struct array a;
  make(&a);
  const struct lsio_job_options o = options(COPY, 0, &a);
  lsio_job *job = submit(&o);
  while (lsio_job_status(job) == LSIO_ERR_BUSY) continue;
  assert_int_equal(lsio_job_status(job), 0);
  assert_int_equal(atomic_load(&a.releases), 1);
  assert_true(a.right);
  struct lsio_array out = {.struct_size = sizeof out};
  assert_int_equal(lsio_job_output(job, &out), 0);
  assert_ptr_equal(out.data, a.data);
  lsio_job_summary_json(job);
  polled_destroy(job);
  drop(&a, "done");
}

static void test_failed_cancelled_destroyed(void **state) {
  (void)state;
  struct array a;
  make(&a);
  struct lsio_job_options o = options(FAILS, 0, &a);
  lsio_job *job = submit(&o);
  assert_int_equal(lsio_wait(job, -1), LSIO_ERR_TRANSFORM);
  assert_int_equal(atomic_load(&a.releases), 1);
  polled_destroy(job);
  drop(&a, "failed");

  for (int i = 0; i < 3; i++) {
    make(&a);
    o = options(SPINS, 0, &a);
    job = submit(&o);
    wait_for_began();
    assert_int_equal(atomic_load(&a.releases), 0);
    lsio_cancel(job);
    assert_int_equal(atomic_load(&a.releases), 0); /* the step goes on */
    unlink("began");
    if (i == 1) lsio_wait(job, -1);
    if (i == 1) assert_int_equal(atomic_load(&a.releases), 1);
    polled_destroy(job);
    drop(&a, "cancelled and destroyed");
  }
}

/* The places of what has not run are filled after all workers have ended. */
static void test_filled_at_the_end(void **state) {
  (void)state;
  struct array a;
  make(&a);
  struct lsio_job_options o = options(SLOW, 0, &a);
  static const char *const soon[] = {"workers=2", "deadline=300ms"};
  o.settings = soon;
  lsio_job *job = submit(&o);
  assert_int_equal(lsio_wait(job, -1), 0);
  assert_int_equal(lsio_job_exit_code(job), 9);
  assert_int_equal(atomic_load(&a.releases), 1);
  polled_destroy(job);
  drop(&a, "at its deadline");
}

static void refused(const char *where, const struct lsio_job_options *o, struct array *a, int code) {
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  int rc = lsio_submit(api_context, o, &job, &error);
  if (rc == 0) rc = lsio_wait(job, -1); /* what is found when it is planned */
  lsio_job_release(job);
  if (rc != code) fail_msg("%s: %s", where, lsio_error_name(rc));
  lsio_error_free(error);
  drop(a, where);
}

static void test_what_is_refused(void **state) {
  (void)state;
  struct array a;
  make(&a);
  struct lsio_job_options o = options(COPY, 0, &a);
  o.script = NULL;
  refused("no script", &o, &a, LSIO_ERR_USAGE);
  make(&a);
  o = options("return 1 +", 0, &a);
  refused("a script that is none", &o, &a, LSIO_ERR_SCRIPT);
  make(&a);
  o = options(COPY, 0, &a);
  o.output_length = 17;
  refused("a wrong size", &o, &a, LSIO_ERR_OUTPUT);
  make(&a);
  o = options(COPY, LSIO_JOB_STREAM, &a);
  refused("a stream", &o, &a, LSIO_ERR_USAGE);
  make(&a);
  o = options(COPY, 0, &a);
  static const char *const wrong[] = {"workers=many"};
  o.settings = wrong;
  o.n_settings = 1;
  refused("a setting", &o, &a, LSIO_ERR_USAGE);
  make(&a);
  o = options(API_HEAD " sink = lsio.raw('out') }\n", 0, &a);
  refused("a file", &o, &a, LSIO_ERR_USAGE);
}

static void test_without_a_run(void **state) {
  (void)state;
  struct array a;
  make(&a);
  struct lsio_job_options o = options(COPY, 0, &a);
  char *text;
  assert_int_equal(lsio_script_help(api_context, &o, &text, NULL), 0);
  lsio_free(text);
  drop(&a, "help");
  make(&a);
  o = options(COPY, LSIO_JOB_PLAN_ONLY, &a);
  lsio_job *job = submit(&o);
  assert_int_equal(lsio_wait(job, -1), 0);
  assert_int_equal(atomic_load(&a.releases), 1);
  polled_destroy(job);
  drop(&a, "a plan");
  make(&a); /* nothing to give back, but somebody who wants to know */
  o = options(COPY, 0, &a);
  o.output = NULL;
  o.output_length = 0;
  job = submit(&o);
  assert_int_equal(lsio_wait(job, -1), 0);
  polled_destroy(job);
  drop(&a, "no array");
}

/* ---- jobs of a queue ---- */

static void take_end(lsio_queue *queue, int code, const char *where, struct array *a) {
  struct lsio_event e;
  do assert_int_equal(lsio_queue_take(queue, &e, 1, -1), 1);
  while (e.kind != LSIO_EVENT_DONE);
  if (lsio_job_status(e.job) != code) fail_msg("%s: %s", where, lsio_error_name(lsio_job_status(e.job)));
  assert_int_equal(atomic_load(&a->releases), 1);
  lsio_job_release(e.job);
  drop(a, where);
}

static void test_ends_in_a_queue(void **state) {
  (void)state;
  static const struct {
    const char *where, *script;
    uint32_t flags;
    int code;
    bool cancel;
  } ends[] = {
      {"done", COPY, 0, 0, false},
      {"failed", FAILS, 0, LSIO_ERR_TRANSFORM, false},
      {"no script", "return 1 +", 0, LSIO_ERR_SCRIPT, false},
      {"a plan", COPY, LSIO_JOB_PLAN_ONLY, 0, false},
      {"a stream", COPY, LSIO_JOB_STREAM, LSIO_ERR_USAGE, false},
      {"cancelled", SPINS, 0, LSIO_ERR_CANCELLED, true},
  };
  for (uint32_t flags = 0; flags < 2; flags++) {
    const struct lsio_queue_options q = {.struct_size = sizeof q, .flags = flags}; /* LSIO_QUEUE_COORDINATES */
    lsio_queue *queue;
    assert_int_equal(lsio_queue_create(api_context, &q, &queue, NULL), 0);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
      struct array a;
      make(&a);
      struct lsio_job_options o = options(ends[i].script, ends[i].flags, &a);
      o.queue = queue;
      lsio_job *job = submit(&o);
      struct lsio_event none;
      while (ends[i].cancel && access("began", F_OK) != 0) lsio_queue_take(queue, &none, 1, 1);
      if (ends[i].cancel) lsio_cancel(job);
      unlink("began");
      take_end(queue, ends[i].code, ends[i].where, &a);
    }
    lsio_queue_release(queue);
  }
}

/* Nobody knows them any more, and they end by themselves: the context's end waits for that. */
static void test_released_before_its_end(void **state) {
  (void)state;
  struct array a[4];
  lsio_queue *queue;
  assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0);
  for (int i = 0; i < 4; i++) {
    make(&a[i]);
    struct lsio_job_options o = options(i % 2 ? COPY : SPINS, 0, &a[i]);
    o.queue = queue;
    lsio_job *job = submit(&o);
    if (i % 2 == 0) wait_for_began();
    lsio_job_release(job);
    if (i % 2 == 0) assert_int_equal(atomic_load(&a[i].releases), 0);
    unlink("began");
  }
  lsio_queue_release(queue);
  lsio_context_destroy(api_context);
  api_context = NULL;
  for (int i = 0; i < 4; i++) drop(&a[i], "released");
}

static void *client(void *seed) {
  uintptr_t wrong = 0, r = (uintptr_t)seed;
  for (int i = 0; i < 30; i++) {
    struct array a = {.data = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)};
    const struct lsio_job_options o = options(i % 3 ? COPY : FAILS, 0, &a);
    lsio_job *job = NULL;
    wrong += lsio_submit(api_context, &o, &job, NULL) != 0;
    r = r * 6364136223846793005u + 1442695040888963407u;
    if ((r >> 33) % 3 == 0) usleep((r >> 40) % 500);
    if ((r >> 36) % 2) lsio_cancel(job);
    if ((r >> 37) % 2) wrong += lsio_wait(job, -1) == 0 && !a.right;
    polled_destroy(job);
    wrong += atomic_load(&a.releases) != 1;
    munmap(a.data, MAPPED);
  }
  return (void *)wrong;
}

static void test_many_at_once(void **state) {
  (void)state;
  api_clients(client);
}

/* ---- no memory ---- */

/* Of a context that is made before; `queued` jobs may fail late. */
static void one_without_memory(uint64_t n, bool forever, bool queued, bool *all, bool *good) {
  struct array a;
  make(&a);
  struct lsio_job_options o = options(COPY, LSIO_JOB_NO_STATE, &a);
  lsio_queue *queue = NULL;
  lsio_job *job = NULL;
  struct lsio_event e;
  if (queued) assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0);
  o.queue = queue;
  const uint64_t calls = lsi_mem_calls();
  lsi_mem_fail_nth(n, forever);
  const int rc = lsio_submit(api_context, &o, &job, NULL);
  *good = rc == 0 && !queued && lsio_wait(job, -1) == 0;
  while (rc == 0 && queued && (lsio_queue_take(queue, &e, 1, -1) != 1 || e.kind != LSIO_EVENT_DONE)) {
  }
  if (rc == 0 && queued) *good = lsio_job_status(job) == 0;
  *all = lsi_mem_calls() - calls < n;
  lsi_mem_fail_nth(0, false);
  if (atomic_load(&a.releases) != 1) fail_msg("allocation %d: given back %d times", (int)n, a.releases);
  if (*good && !a.right) fail_msg("allocation %d: wrong values", (int)n);
  if (queued) lsio_job_release(job);
  else polled_destroy(job);
  lsio_queue_release(queue);
  drop(&a, "no memory");
}

static void test_every_allocation_fails(void **state) {
  (void)state;
  for (int kind = 0; kind < 4; kind++) {
    int errors = 0;
    bool all = false, good = false;
    for (uint64_t n = 1; !all || !good; n++) {
      one_without_memory(n, kind % 2, kind / 2, &all, &good);
      errors += !good;
    }
    assert_true(errors > 20);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(test_before_its_end_is_told),
      API_TEST(test_failed_cancelled_destroyed),
      API_TEST(test_filled_at_the_end),
      API_TEST(test_what_is_refused),
      API_TEST(test_without_a_run),
      API_TEST(test_ends_in_a_queue),
      API_TEST(test_released_before_its_end),
      API_TEST(test_many_at_once),
      API_TEST(test_every_allocation_fails),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
