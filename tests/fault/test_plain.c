/* Plain reads, many at once in one context: from several threads, destroyed in any order, cancelled, beside a
 * job with a script; and what is wrong with a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/context.h"
#include "api_job.h"
#include "ground/base.h"
#include "ground/mem.h"
#include "seams/os.h"
#include "plain.h"
#include "polled.h"

#define BYTES ((uint64_t)API_VALUES * 4)

static const char *const settings[] = {"workers=2", "memory=64MiB"};

static lsio_job *submit(const struct plain_range *ranges, size_t n, void *output, uint64_t length) {
  const struct plain p = {.n = n, .ranges = ranges, .output = output, .output_length = length,
                              .settings = settings, .n_settings = 2};
  lsio_job *job = NULL;
  lsio_error *e = NULL;
  if (plain_submit(api_context, &p, &job, &e) != 0) fail_msg("%s", lsio_error_message(e));
  return job;
}

static uint64_t random_below(uint64_t *seed, uint64_t n) {
  *seed = *seed * 6364136223846793005u + 1442695040888963407u;
  return (*seed >> 33) % n;
}

/* Ranges of a.f32 and b.f32, which hold the same. */
static uint64_t draw_ranges(uint64_t *seed, struct plain_range *ranges, size_t n) {
  uint64_t all = 0;
  for (size_t i = 0; i < n; i++) {
    const uint64_t offset = random_below(seed, BYTES), most = LSI_MIN(BYTES - offset, (uint64_t)9000);
    ranges[i] = (struct plain_range){random_below(seed, 2) ? "a.f32" : "b.f32", offset,
                                         random_below(seed, most + 1), (int64_t)i - 3};
    all += ranges[i].length;
  }
  return all;
}

static void make_b(void) {
  FILE *f = fopen("b.f32", "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(api_values, 1, sizeof api_values, f), sizeof api_values);
  assert_int_equal(fclose(f), 0);
}

static void test_into_memory(void **state) {
  (void)state;
  struct plain_range ranges[300];
  uint64_t seed = 7;
  make_b();
  const uint64_t all = draw_ranges(&seed, ranges, 300);
  char *out = malloc(all);
  lsio_job *job = submit(ranges, 300, out, all);
  assert_int_equal(polled_wait(job), 0);
  polled_destroy(job);
  const char *at = out;
  for (int i = 0; i < 300; i++) {
    assert_memory_equal(at, (const char *)api_values + ranges[i].offset, ranges[i].length);
    at += ranges[i].length;
  }
  free(out);
  assert_int_equal(unlink("b.f32"), 0);
}

/* Takes all that the job has, which must be what its ranges say. Any thread: no assertion of cmocka's. */
static int wrong_results(lsio_job *job, const struct plain_range *ranges, size_t n) {
  size_t results = 0;
  for (int ends = 0; !ends;) {
    struct polled c[8];
    const int got = polled_take(job, c, 8, -1);
    for (int i = 0; i < got; i++) {
      ends |= c[i].kind == POLLED_DONE;
      if (c[i].kind == POLLED_DONE) continue;
      const struct plain_range *r = c[i].step < n ? &ranges[c[i].step] : NULL;
      if (!r || c[i].kind != POLLED_STEP || c[i].tag != r->tag || c[i].length != r->length ||
          (r->length && memcmp(c[i].data, (const char *)api_values + r->offset, r->length) != 0))
        return 1;
      results++;
    }
  }
  return results != n;
}

static void test_streamed(void **state) {
  (void)state;
  struct plain_range ranges[200];
  uint64_t seed = 8;
  make_b();
  draw_ranges(&seed, ranges, 200);
  lsio_job *job = submit(ranges, 200, NULL, 0);
  assert_int_equal(wrong_results(job, ranges, 200), 0);
  polled_destroy(job);
  assert_int_equal(unlink("b.f32"), 0);
}

#define AT_ONCE 24
#define EACH 5

/* Several jobs at once, ended in an order of its own: some cancelled, some never polled. */
static void *client(void *arg) {
  uint64_t seed = (uintptr_t)arg;
  struct plain_range ranges[AT_ONCE][EACH];
  lsio_job *jobs[AT_ONCE] = {0};
  size_t wrong = 0;
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < AT_ONCE; i++) {
      draw_ranges(&seed, ranges[i], EACH);
      const struct plain p = {.n = EACH, .ranges = ranges[i], .settings = settings, .n_settings = 2};
      wrong += plain_submit(api_context, &p, &jobs[i], NULL) != 0;
    }
    for (int left = AT_ONCE; left > 0; left--) {
      int i = (int)random_below(&seed, AT_ONCE);
      while (!jobs[i]) i = (i + 1) % AT_ONCE;
      const uint64_t how = random_below(&seed, 8);
      if (how == 0) lsio_cancel(jobs[i]);
      if (how > 1) wrong += (size_t)wrong_results(jobs[i], ranges[i], EACH);
      polled_destroy(jobs[i]);
      jobs[i] = NULL;
    }
  }
  return (void *)wrong;
}

static void test_several_threads(void **state) {
  (void)state;
  make_b();
#ifndef __SANITIZE_THREAD__ /* it does not know LuaJIT's machine code */
  lsio_job *beside = api_submit(API_COUNTS, 0); /* one with a script */
#endif
  api_clients(client);
#ifndef __SANITIZE_THREAD__
  assert_int_equal(polled_wait(beside), 0);
  api_close(beside);
#endif
  assert_int_equal(unlink("b.f32"), 0);
}

/* Until it has ended. */
static void run_in_queue(lsio_queue *queue, const lsio_request *request) {
  const struct lsio_job_options o = {.struct_size = sizeof o, .request = request, .queue = queue};
  lsio_job *job = NULL;
  struct lsio_event e;
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
  assert_int_equal(lsio_queue_take(queue, &e, 1, 60000), 1);
  assert_int_equal(lsio_job_status(job), 0);
  lsio_job_release(job);
}

/* A small one needs no thread but that which reads; one of many ranges is planned by a helper. */
static void test_who_plans(void **state) {
  (void)state;
  enum { MANY = 20000 };
  const char *const path = "a.f32";
  static int64_t length[MANY];
  for (int i = 0; i < MANY; i++) length[i] = 8;
  struct lsio_request_options o = {
      .struct_size = sizeof o, .objects = &path, .n_objects = 1, .n = 10, .length = length};
  lsio_request *few = NULL, *many = NULL;
  assert_int_equal(lsio_request_create(&o, &few, NULL), 0);
  o.n = MANY;
  assert_int_equal(lsio_request_create(&o, &many, NULL), 0);
  lsio_queue *queue = NULL;
  assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0);
  const struct plain_range range = {"a.f32", 0, 8, 0};
  lsio_job *first = submit(&range, 1, NULL, 0); /* without a queue: planned here */
  assert_int_equal(polled_wait(first), 0);
  polled_destroy(first);
  const uint64_t began = lsi_os_now_ns();
  for (int i = 0; i < 50; i++) run_in_queue(queue, few);
  /* But for one in 5 s, which a helper plans, who looks at the machine anew. */
  if (lsi_os_now_ns() - began < 2000000000) assert_int_equal(lsi_helpers_size(api_context->helpers), 0);
  run_in_queue(queue, many);
  assert_int_equal(lsi_helpers_size(api_context->helpers), 1);
  lsio_request_release(few);
  lsio_request_release(many);
  lsio_queue_release(queue);
}

static int refused(const struct plain_range *ranges, size_t n, const char *part) {
  const struct plain p = {.n = n, .ranges = ranges};
  lsio_job *job = NULL;
  lsio_error *e = NULL;
  const int rc = plain_submit(api_context, &p, &job, &e);
  assert_null(job);
  if (rc && !strstr(lsio_error_message(e), part)) fail_msg("%s", lsio_error_message(e));
  lsio_error_free(e);
  return rc;
}

static void test_wrong_requests(void **state) {
  (void)state;
  const struct plain_range missing = {"none.f32", 0, 4, 0}, beyond = {"a.f32", BYTES - 3, 4, 0},
                               huge = {"a.f32", UINT64_MAX, 4, 0}, nameless = {NULL, 0, 4, 0};
  assert_int_equal(refused(&missing, 1, "none.f32"), LSIO_ERR_SOURCE);
  assert_int_equal(refused(&beyond, 1, "a.f32"), LSIO_ERR_USAGE);
  assert_int_equal(refused(&huge, 1, "a.f32"), LSIO_ERR_USAGE);
  assert_int_equal(refused(&nameless, 1, "object 0 has no name"), LSIO_ERR_USAGE);
  assert_int_equal(refused(NULL, 1, "without `object`"), LSIO_ERR_USAGE);
  lsio_job *job = submit(NULL, 0, NULL, 0); /* nothing to read is no mistake */
  assert_int_equal(polled_wait(job), 0);
  polled_destroy(job);
}

/* Arrays that are borrowed are read as what they are, by code that counts on where that lies. */
static void test_arrays_lie_aligned(void **state) {
  (void)state;
  static const char *const names[] = {"object", "offset", "length", "tag", "group"};
  static const char *const objects[] = {"a.f32"};
  _Alignas(8) static char zeros[32];
  for (size_t i = 0; i < LSI_COUNTOF(names); i++) {
    for (uint32_t flags = 0; flags <= LSIO_REQUEST_BORROW; flags++) {
      const void *at[LSI_COUNTOF(names)] = {zeros, zeros, zeros, zeros, zeros};
      at[i] = zeros + (i ? 4 : 2);
      struct lsio_request_options o = {.struct_size = sizeof o, .flags = flags, .objects = objects,
                                       .n_objects = 1, .n = 2, .object = at[0], .offset = at[1],
                                       .length = at[2], .tag = at[3], .group = at[4]};
      lsio_request *request = NULL;
      lsio_error *e = NULL;
      assert_int_equal(lsio_request_create(&o, &request, &e), LSIO_ERR_USAGE);
      if (!strstr(lsio_error_message(e), names[i]) || !strstr(lsio_error_message(e), "not aligned"))
        fail_msg("%s", lsio_error_message(e));
      lsio_error_free(e);
      o.n = 0; /* of no elements */
      assert_int_equal(lsio_request_create(&o, &request, NULL), 0);
      lsio_request_release(request);
    }
  }
}

/* Two jobs in a context of their own; 0, or the code that one of them got. */
static int two_jobs(const struct plain_range *ranges) {
  lsio_context *context = NULL;
  lsio_job *jobs[2] = {0};
  int rc = lsio_context_create(NULL, &context, NULL);
  const struct plain p = {.n = EACH, .ranges = ranges, .settings = settings, .n_settings = 2};
  for (int i = 0; rc == 0 && i < 2; i++) rc = plain_submit(context, &p, &jobs[i], NULL);
  for (int i = 0; i < 2; i++) {
    const int ended = jobs[i] ? polled_wait(jobs[i]) : 0;
    if (rc == 0) rc = ended;
    polled_destroy(jobs[i]);
  }
  lsio_context_destroy(context);
  return rc;
}

/* Every allocation fails once, and with it all that follow: nothing is lost, and the error says so. */
static void test_allocations_fail(void **state) {
  (void)state;
  struct plain_range ranges[EACH];
  uint64_t seed = 5;
  make_b();
  draw_ranges(&seed, ranges, EACH);
  for (int forever = 0; forever < 2; forever++) {
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
      const int64_t live = lsi_mem_live();
      const uint64_t calls = lsi_mem_calls();
      lsi_mem_fail_nth(n, forever);
      const int rc = two_jobs(ranges);
      lsi_mem_fail_nth(0, false);
      failed = lsi_mem_calls() - calls >= n;
      if (lsi_mem_live() != live)
        fail_msg("allocation %d: %d blocks lost", (int)n, (int)(lsi_mem_live() - live));
      if (rc && rc != LSIO_ERR_NOMEM && rc != LSIO_ERR_LIMIT) fail_msg("allocation %d: code %d", (int)n, rc);
      if (!failed) assert_int_equal(rc, 0);
    }
  }
  assert_int_equal(unlink("b.f32"), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(test_into_memory), API_TEST(test_streamed),
                                     API_TEST(test_several_threads), API_TEST(test_who_plans),
                                     API_TEST(test_wrong_requests), API_TEST(test_arrays_lie_aligned),
                                     API_TEST(test_allocations_fail)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
