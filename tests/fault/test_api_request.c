/* Requests through lsio.h: every form of their arrays against the file itself, alone and as a script's source;
 * who frees what, and when; and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "ground/base.h"
#include "ground/mem.h"
#include "polled.h"

#define BYTES ((int64_t)API_VALUES * 4)
#define MOST 3000

static const char *const objects[] = {"a.f32", "b.bin", "empty.bin", "file.b"};
#define OBJECTS 4
#define B_BYTES 7001
static char b_bytes[B_BYTES];

static void make_files(void) {
  for (int i = 0; i < B_BYTES; i++) b_bytes[i] = (char)(i * 31 + (i >> 8));
  for (int k = 1; k < OBJECTS; k++) {
    FILE *f = fopen(objects[k], "wb");
    assert_non_null(f);
    if (k != 2) assert_int_equal(fwrite(b_bytes, 1, B_BYTES, f), B_BYTES);
    assert_int_equal(fclose(f), 0);
  }
}

static int remove_files(void) {
  int rc = 0;
  for (int k = 1; k < OBJECTS; k++) rc |= unlink(objects[k]);
  return rc;
}

static const char *content(uint32_t k, int64_t *size) {
  *size = k == 0 ? BYTES : k == 2 ? 0 : B_BYTES;
  return k == 0 ? (const char *)api_values : b_bytes;
}

static uint64_t rng = 3;
static uint64_t draw(uint64_t n) {
  rng = rng * 6364136223846793005u + 1442695040888963407u;
  return (rng >> 33) % n;
}

/* ---- requests, and what they are ---- */

static atomic_int released;
static void count_release(void *user) { atomic_fetch_add((atomic_int *)user, 1); }
struct drawn {
  struct lsio_request_options o;
  uint32_t object[MOST];
  int64_t offset[MOST], length[MOST], tag[MOST];
  /* what they mean */
  const char *data[MOST];
  uint64_t bytes[MOST], all;
  int64_t tag_of[MOST];
};

/* Ranges of all forms; offsets and lengths are multiples of `item`. */
static void draw_request(struct drawn *d, int64_t item) {
  const bool one = draw(3) == 0, each = !one && draw(2), whole = draw(4) == 0;
  const size_t n = each ? OBJECTS : draw(MOST);
  const bool lengths = draw(3), tags = draw(2), with_object = !one && !each;
  d->all = 0;
  for (size_t i = 0; i < n; i++) {
    const uint32_t k = one ? 0 : each ? (uint32_t)i : (uint32_t)draw(item > 1 ? 1 : OBJECTS);
    int64_t size;
    const char *data = content(k, &size);
    const int64_t from = whole ? 0 : item * (int64_t)draw((uint64_t)(size / item + 1));
    const int64_t to_end = size - from, some = item * (int64_t)draw(600);
    d->object[i] = k;
    d->offset[i] = from && draw(2) ? from - size : from;
    d->length[i] = some < to_end ? some : lengths && draw(2) ? -1 : to_end;
    d->tag[i] = (int64_t)draw(1000) - 500;
    d->data[i] = data + from;
    d->bytes[i] = (uint64_t)(lengths && some < to_end ? some : to_end);
    if (lengths || n < 20) d->all += d->bytes[i];
    d->tag_of[i] = tags ? d->tag[i] : 0;
  }
  d->o = (struct lsio_request_options){.struct_size = sizeof d->o,
                                       .flags = draw(2) ? LSIO_REQUEST_BORROW : 0,
                                       .objects = objects,
                                       .n_objects = one ? 1 : OBJECTS,
                                       .n = n,
                                       .object = with_object ? d->object : NULL,
                                       .offset = whole ? NULL : d->offset,
                                       .length = lengths ? d->length : NULL,
                                       .tag = tags ? d->tag : NULL,
                                       .release = count_release,
                                       .user = &released};
  /* To the end of a.f32 by the thousand is more than a test should read. */
  if (!lengths && n >= 20) {
    d->o.length = d->length;
    for (size_t i = 0; i < n; i++) d->all += d->bytes[i] = (uint64_t)d->length[i];
  }
}

static lsio_request *make(const struct lsio_request_options *o) {
  lsio_request *request = NULL;
  lsio_error *e = NULL;
  if (lsio_request_create(o, &request, &e)) fail_msg("%s", lsio_error_message(e));
  return request;
}

static struct lsio_job_options options_of(const lsio_request *request, uint32_t flags) {
  return (struct lsio_job_options){
      .struct_size = sizeof(struct lsio_job_options), .flags = flags | LSIO_JOB_NO_ENV, .request = request};
}

static lsio_job *submit(const struct lsio_job_options *o) {
  lsio_job *job = NULL;
  lsio_error *e = NULL;
  if (polled_submit(api_context, o, &job, &e)) fail_msg("%s", lsio_error_message(e));
  return job;
}

static void check_whole(const struct drawn *d, const char *data, size_t bytes) {
  assert_int_equal(bytes, d->all);
  for (size_t i = 0; i < d->o.n; data += d->bytes[i++])
    if (d->bytes[i] && memcmp(data, d->data[i], d->bytes[i]) != 0) fail_msg("range %zu is wrong", i);
}

/* ---- plain reads ---- */

static void ends_well(lsio_job *job) {
  if (polled_wait(job)) fail_msg("%s", lsio_error_message(lsio_job_error(job)));
}

static void into_an_array_that_lsio_makes(const struct drawn *d, const lsio_request *request) {
  const struct lsio_job_options o = options_of(request, 0);
  lsio_job *job = submit(&o);
  ends_well(job);
  struct lsio_array a = {.struct_size = sizeof a};
  assert_int_equal(lsio_job_take_output(job, &a), 0);
  assert_string_equal(a.type, "u8");
  polled_destroy(job);
  check_whole(d, a.data, a.bytes);
  lsio_array_free(&a);
}

static void into_the_callers(const struct drawn *d, const lsio_request *request, lsio_queue *queue) {
  struct lsio_job_options o = options_of(request, 0);
  char *own = malloc(d->all + 1);
  o.output = own;
  o.output_length = d->all;
  o.queue = queue;
  lsio_job *job = submit(&o);
  struct lsio_event e;
  assert_int_equal(lsio_queue_take(queue, &e, 1, -1), 1);
  assert_int_equal(e.kind, LSIO_EVENT_DONE);
  if (lsio_job_status(job)) fail_msg("%s", lsio_error_message(lsio_job_error(job)));
  lsio_job_release(job);
  check_whole(d, own, d->all);
  free(own);
}

static void streamed(const struct drawn *d, const lsio_request *request, lsio_queue *queue) {
  struct lsio_job_options o = options_of(request, LSIO_JOB_STREAM);
  o.queue = queue;
  lsio_job *job = submit(&o);
  size_t results = 0;
  for (bool done = false; !done;) {
    struct lsio_event e;
    assert_int_equal(lsio_queue_take(queue, &e, 1, -1), 1);
    done = e.kind == LSIO_EVENT_DONE;
    for (uint32_t i = 0; !done && i < e.n; i++, results++) {
      const struct lsio_result *r = &e.results[i];
      assert_true(r->step < d->o.n && r->length == d->bytes[r->step] && r->tag == d->tag_of[r->step]);
      assert_memory_equal(e.data + r->begin, d->data[r->step], r->length);
    }
    lsio_block_release(e.block);
  }
  if (lsio_job_status(job)) fail_msg("%s", lsio_error_message(lsio_job_error(job)));
  assert_int_equal(results, d->o.n);
  lsio_job_release(job);
}

static void plain_reads(void **state) {
  (void)state;
  static struct drawn d;
  make_files();
  lsio_queue *queue = NULL;
  assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0);
  for (int round = 0; round < 60; round++) {
    draw_request(&d, 1);
    atomic_store(&released, 0);
    lsio_request *request = make(&d.o);
    const bool borrowed = d.o.flags & LSIO_REQUEST_BORROW;
    assert_int_equal(atomic_load(&released), !borrowed);
    switch (round % 3) {
      case 0: into_an_array_that_lsio_makes(&d, request); break;
      case 1: into_the_callers(&d, request, queue); break;
      default: streamed(&d, request, queue);
    }
    assert_int_equal(atomic_load(&released), !borrowed);
    lsio_request_release(request);
    assert_int_equal(atomic_load(&released), 1);
  }
  lsio_queue_release(queue);
  assert_int_equal(remove_files(), 0);
}

/* Its caller lets go of it at once: it stays until its jobs have been planned, and no longer. */
static void jobs_hold_it(void **state) {
  (void)state;
  static struct drawn d;
  atomic_store(&released, 0);
  make_files();
  lsio_queue *queue = NULL;
  assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0);
  rng = 5;
  do draw_request(&d, 1);
  while (!(d.o.flags & LSIO_REQUEST_BORROW) || d.o.n < 1000);
  lsio_request *request = make(&d.o);
  struct lsio_job_options o = options_of(request, 0);
  o.queue = queue;
  lsio_job *jobs[8];
  for (int i = 0; i < 8; i++) jobs[i] = submit(&o);
  assert_ptr_equal(lsio_request_retain(request), request);
  lsio_request_release(request);
  lsio_request_release(request);
  struct lsio_event e[8];
  for (int n = 0; n < 8;) n += lsio_queue_take(queue, e, 8, -1);
  assert_int_equal(atomic_load(&released), 1); /* the jobs are still there */
  for (int i = 0; i < 8; i++) {
    struct lsio_array a = {.struct_size = sizeof a};
    assert_int_equal(lsio_job_output(jobs[i], &a), 0);
    check_whole(&d, a.data, a.bytes);
    lsio_job_release(jobs[i]);
  }
  lsio_queue_release(queue);
  assert_int_equal(remove_files(), 0);
}

/* Names may be URLs, and settings of a job hold: a shard of it. */
static void urls_and_shards(void **state) {
  (void)state;
  char folder[900], url[1024];
  assert_non_null(getcwd(folder, sizeof folder));
  snprintf(url, sizeof url, "file://%s/a.f32", folder);
  const char *names[] = {url};
  const int64_t offset[] = {0, 100, -8}, length[] = {4, 40, 8};
  const struct lsio_request_options r = {.struct_size = sizeof r, .objects = names, .n_objects = 1, .n = 3,
                                         .offset = offset, .length = length};
  lsio_request *request = make(&r);
  struct lsio_job_options o = options_of(request, 0);
  const char *const shard[] = {"shard=2/3"};
  o.settings = shard;
  o.n_settings = 1;
  lsio_job *job = submit(&o);
  ends_well(job);
  struct lsio_array a = {.struct_size = sizeof a};
  assert_int_equal(lsio_job_output(job, &a), 0);
  assert_int_equal(a.bytes, 8);
  assert_memory_equal(a.data, &api_values[API_VALUES - 2], 8);
  polled_destroy(job);
  lsio_request_release(request);
}

/* ---- with a script, or a transform ---- */

#define SUMS                                                                                  \
  "local lsio = require 'lsio'\n"                                                             \
  "return lsio.job { type = 'f32', state = 'double sum, n, tags;',\n"                         \
  " reduce = { sum = 'sum', n = 'sum', tags = 'sum' },\n"                                     \
  " transform = function(c, s) s.sum, s.n = s.sum + lsio.k.sum(c.data, c.n), s.n + c.n\n"     \
  "  s.tags = s.tags + tonumber(c.tag) end }\n"

#ifndef __SANITIZE_THREAD__ /* it does not know LuaJIT's machine code */
static void a_scripts_source(void **state) {
  (void)state;
  static struct drawn d;
  make_files();
  rng = 11;
  const struct lsio_job_options text = api_options(SUMS, 0);
  lsio_script *loaded = NULL;
  assert_int_equal(lsio_script_load(api_context, &text, &loaded, NULL), 0);
  for (int round = 0; round < 12; round++) {
    do draw_request(&d, 4);
    while (!d.o.object && d.o.n_objects != 1);
    lsio_request *request = make(&d.o);
    struct lsio_job_options o = round % 2 ? options_of(request, 0) : text;
    o.request = request;
    if (round % 2) o.loaded = loaded;
    lsio_job *job = submit(&o);
    json_t *json = api_ends(job, 0);
    double sum = 0, tags = 0;
    for (size_t i = 0; i < d.o.n; i++) {
      for (uint64_t k = 0; k < d.bytes[i] / 4; k++) sum += ((const float *)(const void *)d.data[i])[k];
      tags += (double)d.tag_of[i];
    }
    const json_t *s = json_object_get(json, "state");
    assert_true(api_number(s, "n") == (double)d.all / 4 && api_number(s, "tags") == tags);
    assert_float_equal(api_number(s, "sum"), sum, 1e-6 * (1 + sum * sum));
    json_decref(json);
    polled_destroy(job);
    lsio_request_release(request);
  }
  lsio_script_release(loaded);
  assert_int_equal(remove_files(), 0);
}
#endif

static int32_t count(const lsio_step *step, void *state) {
  *(uint64_t *)state += step->bytes;
  return strcmp(step->type, "u8") == 0 ? 0 : -1000;
}

static int32_t add(void *user, void *into, void *from, char *message, size_t size) {
  (void)user, (void)message, (void)size;
  *(uint64_t *)into += *(uint64_t *)from;
  return 0;
}

/* No Lua at all. */
static void a_transform_in_c(void **state) {
  (void)state;
  static struct drawn d;
  make_files();
  rng = 12;
  for (int round = 0; round < 10; round++) {
    draw_request(&d, 1);
    lsio_request *request = make(&d.o);
    const struct lsio_transform t = {
        .struct_size = sizeof t, .step = count, .merge = add, .state_size = 8, .state_align = 8};
    struct lsio_job_options o = options_of(request, 0);
    o.transform = &t;
    lsio_job *job = submit(&o);
    ends_well(job);
    assert_int_equal(*(uint64_t *)lsio_job_state(job), d.all);
    polled_destroy(job);
    lsio_request_release(request);
  }
  assert_int_equal(remove_files(), 0);
}

/* ---- what is wrong ---- */

static void not_created(const struct lsio_request_options *o, const char *part) {
  lsio_request *request = NULL;
  lsio_error *e = NULL;
  atomic_store(&released, 0);
  assert_int_equal(lsio_request_create(o, &request, &e), LSIO_ERR_USAGE);
  assert_null(request);
  if (!strstr(lsio_error_message(e), part)) fail_msg("%s", lsio_error_message(e));
  lsio_error_free(e);
  assert_int_equal(atomic_load(&released), o && o->struct_size && o->release);
}

static void wrong_requests(void **state) {
  (void)state;
  const uint32_t object[] = {0, 1};
  const char *none[] = {"a.f32", NULL};
  struct lsio_request_options o = {.struct_size = sizeof o, .objects = objects, .n_objects = 2, .n = 3,
                                   .release = count_release, .user = &released};
  not_created(&o, "without `object`, a request has one object, or as many as ranges; it has 2 and 3");
  o.flags = LSIO_REQUEST_BORROW;
  not_created(&o, "without `object`");
  o.n = UINT32_MAX;
  not_created(&o, "at most 4294967294 ranges");
  o.n = 2, o.objects = NULL;
  not_created(&o, "n_objects is 2, but objects is NULL");
  o.objects = none, o.flags = 0, o.object = object;
  not_created(&o, "object 1 has no name");
  o.struct_size = 0;
  not_created(&o, "struct_size");
  not_created(NULL, "struct_size");
  lsio_request_release(NULL);
}

/* A job of one range ends so, by lsio_submit or in a queue. */
static void refused(lsio_queue *queue, int64_t offset, int64_t length, uint32_t object, int code,
                    const char *part) {
  const char *names[] = {"a.f32", "none.bin", NULL};
  const struct lsio_request_options r = {.struct_size = sizeof r, .flags = LSIO_REQUEST_BORROW, .objects = names,
                                         .n_objects = 1 + LSI_MIN(object, 2u), .n = 1, .object = &object,
                                         .offset = &offset, .length = length < 0 ? NULL : &length};
  lsio_request *request = make(&r);
  struct lsio_job_options o = options_of(request, 0);
  lsio_job *job = NULL;
  lsio_error *e = NULL;
  assert_int_equal(polled_submit(api_context, &o, &job, &e), code);
  if (!strstr(lsio_error_message(e), part)) fail_msg("%s", lsio_error_message(e));
  lsio_error_free(e);
  o.queue = queue;
  job = submit(&o);
  struct lsio_event ev;
  assert_int_equal(lsio_queue_take(queue, &ev, 1, -1), 1);
  assert_int_equal(lsio_job_status(job), code);
  assert_non_null(strstr(lsio_error_message(lsio_job_error(job)), part));
  lsio_job_release(job);
  lsio_request_release(request);
}

static void wrong_ranges(void **state) {
  (void)state;
  lsio_queue *queue = NULL;
  assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0);
  refused(queue, BYTES - 3, 4, 0, LSIO_ERR_USAGE, "does not lie within its object of 400000 bytes");
  refused(queue, BYTES + 1, -1, 0, LSIO_ERR_USAGE, "lies behind the end");
  refused(queue, -BYTES - 1, -1, 0, LSIO_ERR_USAGE, "lies before the beginning");
  refused(queue, INT64_MIN, -1, 0, LSIO_ERR_USAGE, "lies before the beginning");
  refused(queue, INT64_MAX, INT64_MAX, 0, LSIO_ERR_USAGE, "does not lie within");
  refused(queue, INT64_MIN, 0, 0, LSIO_ERR_USAGE, "does not lie within");
  refused(queue, 0, 4, 1, LSIO_ERR_SOURCE, "none.bin");
  refused(queue, 0, 4, 2, LSIO_ERR_USAGE, "object 2 has no name");
  refused(queue, 0, 4, 7, LSIO_ERR_USAGE, "object 2 has no name");
  lsio_queue_release(queue);
}

static void job_refused(const struct lsio_job_options *o, int code, const char *part) {
  lsio_job *job = NULL;
  lsio_error *e = NULL;
  assert_int_equal(polled_submit(api_context, o, &job, &e), code);
  if (!strstr(lsio_error_message(e), part)) fail_msg("%s", lsio_error_message(e));
  lsio_error_free(e);
}

static void wrong_jobs(void **state) {
  (void)state;
  const struct lsio_request_options r = {.struct_size = sizeof r, .objects = objects, .n_objects = 1, .n = 1};
  lsio_request *request = make(&r);
  struct lsio_job_options o = api_options(API_COUNTS, 0);
  o.request = request;
  job_refused(&o, LSIO_ERR_SCRIPT, "the script has a source, and the program gives the job a request");
  o = api_options(SUMS, 0);
  job_refused(&o, LSIO_ERR_SCRIPT, "source is missing");
  const char *const args[] = {"--x=1"};
  o = options_of(request, 0);
  o.args = args;
  o.n_args = 1;
  job_refused(&o, LSIO_ERR_USAGE, "a request, without args and params");
  char few[8];
  o = options_of(request, 0);
  o.output = few;
  o.output_length = sizeof few;
  job_refused(&o, LSIO_ERR_OUTPUT, "the output array has 8 bytes, but the result has 400000");
  char *text;
  o = options_of(request, 0);
  assert_int_equal(lsio_script_help(api_context, &o, &text, NULL), LSIO_ERR_USAGE);
  lsio_request_release(request);
}

/* ---- memory is short ---- */

static void memory_is_short(void **state) {
  (void)state;
  static struct drawn d;
  make_files();
  rng = 21;
  for (int borrowed = 0; borrowed < 2; borrowed++) {
    do draw_request(&d, 1);
    while (d.o.n < 100 || !d.o.tag || !d.o.object);
    d.o.flags = borrowed ? LSIO_REQUEST_BORROW : 0;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
      const int64_t live = lsi_mem_live();
      const uint64_t calls = lsi_mem_calls();
      lsio_request *request = NULL;
      atomic_store(&released, 0);
      lsi_mem_fail_nth(n, false);
      int rc = lsio_request_create(&d.o, &request, NULL);
      const struct lsio_job_options o = options_of(request, LSIO_JOB_STREAM);
      lsio_job *job = NULL;
      lsio_context *context = NULL;
      if (!rc) rc = lsio_context_create(NULL, &context, NULL);
      if (!rc && !(rc = polled_submit(context, &o, &job, NULL))) rc = polled_wait(job);
      polled_destroy(job);
      lsio_context_destroy(context);
      lsio_request_release(request);
      lsi_mem_fail_nth(0, false);
      failed = lsi_mem_calls() - calls >= n;
      assert_int_equal(atomic_load(&released), 1);
      assert_int_equal(lsi_mem_live(), live);
      if (rc && rc != LSIO_ERR_NOMEM && rc != LSIO_ERR_LIMIT) fail_msg("allocation %d: code %d", (int)n, rc);
      if (!failed) assert_int_equal(rc, 0);
    }
  }
  assert_int_equal(remove_files(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(plain_reads),    API_TEST(jobs_hold_it),
                                     API_TEST(urls_and_shards),
#ifndef __SANITIZE_THREAD__
                                     API_TEST(a_scripts_source),
#endif
                                     API_TEST(a_transform_in_c), API_TEST(wrong_requests),
                                     API_TEST(wrong_ranges),   API_TEST(wrong_jobs),
                                     API_TEST(memory_is_short)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
