/* Objects that can't be had, and ranges outside them, of requests through lsio.h: where failed steps are skipped
 * each step ends once, with its bytes or the reason, whoever waits for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "ground/base.h"
#include "polled.h"

static const char *const objects[] = {"a.f32", "none.bin", "folder"};

/* Ranges of 40 bytes, and what comes of them. */
static const struct {
  uint32_t object;
  int64_t offset;
  int kind; /* LSIO_KIND_NONE: it is read */
} ranges[] = {{0, 0, LSIO_KIND_NONE},
              {1, 0, LSIO_KIND_NOT_FOUND},
              {0, API_VALUES * 4 - 40, LSIO_KIND_NONE},
              {0, API_VALUES * 4 - 39, LSIO_KIND_USAGE},
              {2, 0, LSIO_KIND_USAGE},
              {0, -40, LSIO_KIND_NONE},
              {1, 1 << 20, LSIO_KIND_NOT_FOUND},
              {0, -API_VALUES * 4 - 1, LSIO_KIND_USAGE}};
#define RANGES LSI_COUNTOF(ranges)

static lsio_request *make(void) {
  static uint32_t object[RANGES];
  static int64_t offset[RANGES], length[RANGES];
  for (size_t i = 0; i < RANGES; i++) object[i] = ranges[i].object, offset[i] = ranges[i].offset, length[i] = 40;
  const struct lsio_request_options r = {.struct_size = sizeof r, .objects = objects, .n_objects = 3, .n = RANGES,
                                         .object = object, .offset = offset, .length = length};
  lsio_request *out = NULL;
  assert_int_equal(lsio_request_create(&r, &out, NULL), 0);
  return out;
}

static const char *const skip[] = {"on-error=skip", "workers=2"};

static struct lsio_job_options options(lsio_request *request, const char *script, uint32_t flags) {
  struct lsio_job_options o = script ? api_options(script, flags)
                                     : (struct lsio_job_options){.struct_size = sizeof o, .flags = flags};
  o.request = request;
  o.settings = skip;
  o.n_settings = 2;
  o.flags |= LSIO_JOB_NO_ENV;
  return o;
}

static void check(const struct polled *c) {
  const int64_t at = ranges[c->step].offset < 0 ? ranges[c->step].offset + API_VALUES * 4 : ranges[c->step].offset;
  if (c->kind == POLLED_STEP_FAILED) {
    assert_int_equal(lsio_error_kind(c->error), ranges[c->step].kind);
    assert_string_equal(lsio_error_object(c->error), objects[ranges[c->step].object]);
    return;
  }
  assert_int_equal(ranges[c->step].kind, LSIO_KIND_NONE);
  assert_int_equal(c->length, 40);
  assert_memory_equal(c->data, (const char *)api_values + at, 40);
}

static void stream(uint32_t order) {
  lsio_request *request = make();
  struct lsio_job_options o = options(request, NULL, LSIO_JOB_STREAM);
  o.order = order;
  lsio_job *job = NULL;
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
  unsigned came[RANGES] = {0}, n = 0;
  for (struct polled c; polled_take(job, &c, 1, 20000) == 1 && c.kind != POLLED_DONE; n++) {
    assert_true(c.step < RANGES && !came[c.step]++);
    if (order == LSIO_ORDER_REQUEST) assert_int_equal(c.step, n);
    check(&c);
  }
  assert_int_equal(n, RANGES);
  assert_int_equal(lsio_job_status(job), 0);
  assert_int_equal(lsio_job_exit_code(job), 1);
  assert_int_equal(lsio_job_error_count(job), 5);
  polled_destroy(job);
  lsio_request_release(request);
}

static void streams(void **state) {
  (void)state;
  assert_int_equal(mkdir("folder", 0755), 0);
  for (int i = 0; i < 20; i++) stream(i % 2 ? LSIO_ORDER_REQUEST : 0);
  assert_int_equal(rmdir("folder"), 0);
}

static void scripts(void **state) {
  (void)state;
  assert_int_equal(mkdir("folder", 0755), 0);
  lsio_request *request = make();
  const struct lsio_job_options o = options(
      request, "local lsio = require 'lsio'\n"
               "return lsio.job { type = 'u8', fill = 7, sink = lsio.memory(),\n"
               "  transform = function(c) lsio.k.copy(c.data, c.n, c.out) end }\n", 0);
  lsio_job *job = NULL;
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
  assert_int_equal(polled_wait(job), 0);
  struct lsio_array a = {.struct_size = sizeof a};
  assert_int_equal(lsio_job_output(job, &a), 0);
  assert_int_equal(a.bytes, 40 * RANGES);
  for (size_t i = 0; i < RANGES; i++) {
    const int64_t at = ranges[i].offset < 0 ? ranges[i].offset + API_VALUES * 4 : ranges[i].offset;
    char sevens[40];
    memset(sevens, 7, sizeof sevens);
    const char *want = ranges[i].kind ? sevens : (const char *)api_values + at;
    assert_memory_equal((const char *)a.data + 40 * i, want, 40);
  }
  assert_int_equal(lsio_job_exit_code(job), 1);
  polled_destroy(job);
  lsio_request_release(request);
  assert_int_equal(rmdir("folder"), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(streams), API_TEST(scripts)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
