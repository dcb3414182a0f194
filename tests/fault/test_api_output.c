/* Results in memory, as a program gets them: in its own array, which lies between pages that nobody may
 * touch, or in one that LSIO makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "codec/codec.h"
#include "polled.h"

#define PAGE 4096u
#define BYTES (sizeof api_values)

/* `bytes` bytes that end at a page of no access; the page before them has none either. Filled with a
 * pattern. */
struct guarded {
  char *base, *data;
  size_t mapped, bytes;
};

static struct guarded guard(size_t bytes) {
  struct guarded g = {.bytes = bytes, .mapped = (bytes + PAGE - 1) / PAGE * PAGE + 2 * PAGE};
  g.base = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(g.base != MAP_FAILED);
  memset(g.base, 0xA5, g.mapped);
  assert_int_equal(mprotect(g.base, PAGE, PROT_NONE), 0);
  assert_int_equal(mprotect(g.base + g.mapped - PAGE, PAGE, PROT_NONE), 0);
  g.data = g.base + g.mapped - PAGE - bytes;
  return g;
}

/* Between the first page and the array. */
static void free_guarded(struct guarded *g) {
  for (char *p = g->base + PAGE; p < g->data; p++)
    if (*p != (char)0xA5) fail_msg("byte %d before the array has been written", (int)(g->data - p));
  assert_int_equal(munmap(g->base, g->mapped), 0);
}

static lsio_job *submit_into(const char *script, void *output, size_t length) {
  struct lsio_job_options o = api_options(script, 0);
  o.output = output;
  o.output_length = length;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (polled_submit(api_context, &o, &job, &error) != 0) fail_msg("%s", lsio_error_message(error));
  return job;
}

static void ends(lsio_job *job, int code, const char *part) {
  int rc = polled_wait(job);
  const char *message = lsio_job_error(job) ? lsio_error_message(lsio_job_error(job)) : "";
  if (rc != code) fail_msg("%s: %s", lsio_error_name(rc), message);
  if (part && !strstr(message, part)) fail_msg("%s", message);
}

static void refused(const char *script, uint32_t flags, void *output, size_t length, int code,
                    const char *part) {
  struct lsio_job_options o = api_options(script, flags);
  o.output = output;
  o.output_length = length;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  int rc = polled_submit(api_context, &o, &job, &error);
  if (rc == 0) polled_destroy(job);
  if (rc != code) fail_msg("%s: %s", lsio_error_name(rc), error ? lsio_error_message(error) : "");
  if (!strstr(lsio_error_message(error), part)) fail_msg("%s", lsio_error_message(error));
  lsio_error_free(error);
}

static struct lsio_array output_of(const lsio_job *job, size_t bytes, const char *type) {
  struct lsio_array a = {.struct_size = sizeof a};
  assert_int_equal(lsio_job_output(job, &a), 0);
  assert_int_equal(a.bytes, bytes);
  assert_string_equal(a.type, type);
  assert_null(a.owner);
  return a;
}

/* ---- known places ---- */

#define IDENTITY API_HEAD " sink = lsio.memory { shape = { -1, 100 } } }\n"
#define AS_F64 API_HEAD " sink = lsio.memory { type = 'f64' } }\n"
#define DOUBLED                                                                          \
  API_HEAD " sink = lsio.memory { type = 'f64' }, transform = function(chunk)\n"         \
           " for i = 0, chunk.n - 1 do chunk.out[i] = 2 * chunk.data[i] end end }\n"

static void check_doubles(const double *out, double factor) {
  for (int i = 0; i < API_VALUES; i++)
    if (out[i] != factor * api_values[i]) fail_msg("element %d is %g", i, out[i]);
}

static void test_callers_array(void **state) {
  (void)state;
  struct guarded g = guard(BYTES);
  lsio_job *job = submit_into(IDENTITY, g.data, BYTES);
  struct lsio_array a = {.struct_size = sizeof a};
  assert_int_equal(lsio_job_output(job, &a), LSIO_ERR_BUSY);
  ends(job, 0, NULL);
  a = output_of(job, BYTES, "f32");
  assert_ptr_equal(a.data, g.data);
  assert_true(a.ndim == 2 && a.shape[0] == API_VALUES / 100 && a.shape[1] == 100);
  assert_memory_equal(g.data, api_values, BYTES);
  json_t *s = api_ends(job, 0);
  assert_true(api_number(s, "bytes_written") == BYTES && api_number(s, "bytes_delivered") == BYTES);
  json_decref(s);
  api_close(job);
  assert_memory_equal(g.data, api_values, BYTES);
  free_guarded(&g);

  static const char *const scripts[] = {AS_F64, DOUBLED};
  for (int i = 0; i < 2; i++) {
    g = guard(2 * BYTES);
    job = submit_into(scripts[i], g.data, 2 * BYTES);
    ends(job, 0, NULL);
    output_of(job, 2 * BYTES, "f64");
    check_doubles((const double *)g.data, 1 + i);
    api_close(job);
    free_guarded(&g);
  }
}

/* The array that goes with the job is the sink. */
static void test_script_without_sink(void **state) {
  (void)state;
  struct guarded g = guard(BYTES);
  lsio_job *job = submit_into(API_HEAD " }", g.data, BYTES);
  ends(job, 0, NULL);
  struct lsio_array a = output_of(job, BYTES, "f32");
  assert_true(a.ndim == 1 && a.shape[0] == API_VALUES);
  assert_memory_equal(g.data, api_values, BYTES);
  api_close(job);
  free_guarded(&g);
}

/* Places are those of the request, whatever the order of reading; here odd bytes, overlaps and gaps. */
static void test_odd_ranges(void **state) {
  (void)state;
  static const char script[] =
      "local lsio = require 'lsio'\n"
      "local o, l = {}, {}\n"
      "for i = 0, 999 do o[i + 1] = i * 7919 % 390001; l[i + 1] = i * 31 % 9973 end\n"
      "return lsio.job { source = lsio.ranges { objects = 'a.f32', offset = o, length = l },\n"
      "  sink = lsio.memory() }\n";
  size_t bytes = 0;
  for (size_t i = 0; i < 1000; i++) bytes += i * 31 % 9973;
  struct guarded g = guard(bytes);
  lsio_job *job = submit_into(script, g.data, bytes);
  ends(job, 0, NULL);
  size_t at = 0;
  for (size_t i = 0; i < 1000; at += i++ * 31 % 9973)
    if (memcmp(g.data + at, (const char *)api_values + i * 7919 % 390001, i * 31 % 9973) != 0)
      fail_msg("range %d", (int)i);
  api_close(job);
  free_guarded(&g);
}

/* Past the page cache straight into the array, where both are aligned; the end of the file is not. */
static void test_direct_reads(void **state) {
  (void)state;
  static const char *const settings[] = {"workers=2", "memory=64MiB", "direct=always", "merge=never"};
  static const char script[] = "return require 'lsio'.job { source = require 'lsio'.files('a.f32',"
                               " { chunk = 65536 }), sink = require 'lsio'.memory() }";
  for (size_t shift = 0; shift < 2; shift++) {
    char *array = aligned_alloc(PAGE, (BYTES / PAGE + 2) * PAGE);
    struct lsio_job_options o = api_options(script, 0);
    o.settings = settings;
    o.n_settings = 4;
    o.output = array + shift;
    o.output_length = BYTES;
    array[BYTES + shift] = 'x';
    lsio_job *job = NULL;
    int rc = polled_submit(api_context, &o, &job, NULL);
    if (rc == 0) rc = polled_wait(job);
    if (rc == LSIO_ERR_UNSUPPORTED) {
      polled_destroy(job);
      free(array);
      skip();
    }
    assert_int_equal(rc, 0);
    assert_memory_equal(array + shift, api_values, BYTES);
    assert_int_equal(array[BYTES + shift], 'x');
    json_t *s = api_ends(job, 0);
    assert_true(api_number(s, "bytes_direct") == BYTES);
    json_decref(s);
    api_close(job);
    free(array);
  }
}

static void test_array_of_lsio(void **state) {
  (void)state;
  lsio_job *job = api_submit(DOUBLED, 0);
  ends(job, 0, NULL);
  struct lsio_array a = output_of(job, 2 * BYTES, "f64");
  check_doubles(a.data, 2);
  api_close(job); /* and with it the array */

  job = api_submit(DOUBLED, 0);
  ends(job, 0, NULL);
  a = (struct lsio_array){.struct_size = 8};
  assert_int_equal(lsio_job_take_output(job, &a), LSIO_ERR_USAGE);
  assert_int_equal(lsio_job_take_output(job, NULL), LSIO_ERR_USAGE);
  a.struct_size = sizeof a;
  assert_int_equal(lsio_job_take_output(job, &a), 0);
  struct lsio_array again = {.struct_size = sizeof again};
  assert_int_equal(lsio_job_take_output(job, &again), LSIO_ERR_USAGE);
  assert_int_equal(lsio_job_output(job, &again), LSIO_ERR_USAGE);
  api_close(job);
  lsio_context_destroy(api_context);
  api_context = NULL;
  assert_true((uintptr_t)a.data % PAGE == 0 && a.owner != NULL);
  check_doubles(a.data, 2);
  ((double *)a.data)[API_VALUES - 1] = 1; /* it is ours to write */
  lsio_array_free(&a);
  assert_true(!a.data && !a.owner && !a.bytes);
  lsio_array_free(&a);
  lsio_array_free(NULL);
}

static void test_no_elements(void **state) {
  (void)state;
  static const char script[] =
      "local lsio = require 'lsio'\n"
      "return lsio.job { source = lsio.ranges { objects = 'a.f32', offset = { 5, 9 }, length = { 0, 0 } },\n"
      "  sink = lsio.memory(), transform = function(chunk) assert(chunk.out.n == 0) end }\n";
  lsio_job *job = api_submit(script, 0);
  ends(job, 0, NULL);
  struct lsio_array a = output_of(job, 0, "u8");
  assert_true(!a.data && a.ndim == 1 && a.shape[0] == 0);
  assert_int_equal(lsio_job_take_output(job, &a), 0);
  lsio_array_free(&a);
  api_close(job);
}

/* ---- what programs get wrong ---- */

static void test_wrong_arrays(void **state) {
  (void)state;
  static _Alignas(64) char array[2 * BYTES + 64];
  const char *const identity = IDENTITY;
  refused(identity, 0, array, BYTES - 4, LSIO_ERR_OUTPUT, "399996 bytes, but the result has 400000");
  refused(identity, 0, array, BYTES + 4, LSIO_ERR_OUTPUT, "400004 bytes, but the result has 400000");
  refused(DOUBLED, 0, array, BYTES, LSIO_ERR_OUTPUT, "100000 elements of f64");
  refused(identity, 0, array + 2, BYTES, LSIO_ERR_USAGE, "not aligned");
  refused(identity, 0, NULL, BYTES, LSIO_ERR_USAGE, "output is NULL");
  refused(API_HEAD " sink = lsio.raw('out') }", 0, array, BYTES, LSIO_ERR_USAGE, "lsio.memory()");
  refused(API_HEAD " }", LSIO_JOB_STREAM, array, BYTES, LSIO_ERR_USAGE, "stream");
  refused(identity, LSIO_JOB_STREAM, NULL, 0, LSIO_ERR_USAGE, "stream");
  refused(identity, LSIO_JOB_NO_MEMORY, NULL, 0, LSIO_ERR_SCRIPT, "lsio.npy(path)");
  refused(API_HEAD " sink = lsio.memory { shape = { 7, -1 } } }", 0, NULL, 0, LSIO_ERR_USAGE,
          "does not hold");
  refused(API_HEAD " sink = lsio.memory('path') }", 0, NULL, 0, LSIO_ERR_SCRIPT, "lsio.memory");
  refused(API_HEAD " sink = lsio.memory { order = 'completed' } }", 0, NULL, 0, LSIO_ERR_SCRIPT, "order");
  for (size_t i = 0; i < sizeof array; i++) assert_int_equal(array[i], 0);

  lsio_job *job = api_submit(API_COUNTS, 0);
  ends(job, 0, NULL);
  struct lsio_array a = {.struct_size = sizeof a};
  assert_int_equal(lsio_job_output(job, &a), LSIO_ERR_USAGE);
  api_close(job);
}

/* A program that was built before the options had an output array. */
static void test_shorter_options(void **state) {
  (void)state;
  struct lsio_job_options o = api_options(IDENTITY, 0);
  o.struct_size = offsetof(struct lsio_job_options, output);
  o.output = (void *)1;
  o.output_length = 1;
  lsio_job *job = NULL;
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
  ends(job, 0, NULL);
  output_of(job, BYTES, "f32");
  api_close(job);
}

/* ---- failures ---- */

#define FAILS_SOMETIMES                                                                            \
  API_HEAD " sink = lsio.memory(), %s transform = function(chunk)\n"                               \
           " for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end\n"                         \
           " if chunk.index %% 10 == 3 then error('no') elseif chunk.index %% 10 == 4 then return %s end\n" \
           "end }\n"

static void test_skipped_steps_are_filled(void **state) {
  (void)state;
  char script[1024];
  snprintf(script, sizeof script, FAILS_SOMETIMES, "on_error = 'skip', fill = -1,", "false");
  struct guarded g = guard(BYTES);
  lsio_job *job = submit_into(script, g.data, BYTES);
  ends(job, 0, NULL);
  assert_int_equal(lsio_job_exit_code(job), 1);
  assert_int_equal(lsio_job_error_count(job), API_STEPS / 10);
  output_of(job, BYTES, "f32");
  for (int i = 0; i < API_VALUES; i++) {
    const int step = i / (API_CHUNK / 4) % 10;
    const float want = step == 3 || step == 4 ? -1 : api_values[i];
    if (((const float *)g.data)[i] != want) fail_msg("element %d", i);
  }
  api_close(job);
  free_guarded(&g);
}

static void test_failed_and_cancelled(void **state) {
  (void)state;
  char script[1024];
  snprintf(script, sizeof script, FAILS_SOMETIMES, "", "nil");
  struct guarded g = guard(BYTES);
  struct lsio_array a = {.struct_size = sizeof a};
  lsio_job *job = submit_into(script, g.data, BYTES);
  ends(job, LSIO_ERR_TRANSFORM, "no");
  assert_int_equal(lsio_job_output(job, &a), LSIO_ERR_TRANSFORM);
  assert_int_equal(lsio_job_take_output(job, &a), LSIO_ERR_TRANSFORM);
  api_close(job);
  free_guarded(&g);
  for (int i = 0; i < 8; i++) {
    g = guard(2 * BYTES);
    job = i % 2 ? submit_into(DOUBLED, g.data, 2 * BYTES) : api_submit(DOUBLED, 0);
    usleep((useconds_t)(500 * i));
    lsio_cancel(job);
    if (i < 4) {
      const int rc = polled_wait(job);
      assert_true(rc == 0 || rc == LSIO_ERR_CANCELLED);
      assert_int_equal(lsio_job_output(job, &a), rc);
    }
    api_close(job); /* nothing writes there any more */
    free_guarded(&g);
  }
}

/* ---- results of variable size ---- */

#define EVERY_THIRD                                                                       \
  API_HEAD " sink = lsio.memory(), out_max = 100, transform = function(chunk)\n"          \
           " local k = chunk.index %% 3 * 7\n"                                            \
           " for i = 0, k - 1 do chunk.out[i] = chunk.index end return k end }\n"

static void test_counted_results(void **state) {
  (void)state;
  char script[1024];
  snprintf(script, sizeof script, EVERY_THIRD);
  size_t n = 0;
  for (int i = 0; i < API_STEPS; i++) n += (size_t)(i % 3 * 7);
  for (int own = 0; own < 2; own++) {
    struct guarded g = guard(n * 4);
    lsio_job *job = own ? submit_into(script, g.data, n * 4) : api_submit(script, 0);
    ends(job, 0, NULL);
    struct lsio_array a = output_of(job, n * 4, "f32");
    assert_true(a.ndim == 1 && a.shape[0] == (int64_t)n && (!own || a.data == g.data));
    const float *p = a.data;
    for (int i = 0; i < API_STEPS; i++)
      for (int k = 0; k < i % 3 * 7; k++) assert_true(*p++ == (float)i);
    api_close(job);
    free_guarded(&g);
  }
  struct guarded g = guard(n * 4 - 4);
  lsio_job *job = submit_into(script, g.data, n * 4 - 4);
  ends(job, LSIO_ERR_OUTPUT, "larger `output`");
  api_close(job);
  free_guarded(&g);
  refused(API_HEAD " sink = lsio.memory(), out_max = 2^50, transform = function() return 0 end }", 0, NULL,
          0, LSIO_ERR_LIMIT, "");
}

/* ---- compressed chunks ---- */

#define PARTS 5
#define PART (sizeof api_values / PARTS)

/* api_values in PARTS files of one frame each; the last holds `last` bytes, part 2 `third`. */
static void write_frames(size_t third, size_t last) {
  static char packed[2 * PART];
  for (size_t i = 0; i < PARTS; i++) {
    const size_t n = i == 2 ? third : i == PARTS - 1 ? last : PART;
    char name[16];
    snprintf(name, sizeof name, "part%d", (int)i);
    const int64_t bytes = lsi_encode(LSI_CODEC_LZ4, 0, (const char *)api_values + i * PART, n, packed,
                                     sizeof packed);
    FILE *f = fopen(name, "wb");
    assert_true(bytes > 0 && f && fwrite(packed, 1, (size_t)bytes, f) == (size_t)bytes);
    assert_int_equal(fclose(f), 0);
  }
}

static void remove_frames(void) {
  for (int i = 0; i < PARTS; i++) {
    char name[16];
    snprintf(name, sizeof name, "part%d", i);
    assert_int_equal(unlink(name), 0);
  }
}

#define FRAMES                                                                          \
  "local lsio = require 'lsio'\n"                                                       \
  "return lsio.job { source = lsio.files('part*', { whole = true }), type = 'f32', codec = 'lz4',\n"
#define SHAPED FRAMES " decoded = 80000, sink = lsio.memory { shape = { 99500 } }"

static void test_compressed_chunks_of_one_size(void **state) {
  (void)state;
  const size_t bytes = 4 * 99500;
  static const char *const scripts[] = {
      SHAPED " }", SHAPED ", transform = function(c) lsio.k.copy(c.data, c.n, c.out) end }"};
  write_frames(PART, PART - 2000);
  for (int i = 0; i < 4; i++) {
    struct guarded g = guard(bytes);
    lsio_job *job = i < 2 ? submit_into(scripts[i], g.data, bytes) : api_submit(scripts[i - 2], 0);
    ends(job, 0, NULL);
    struct lsio_array a = output_of(job, bytes, "f32");
    assert_memory_equal(a.data, api_values, bytes);
    api_close(job);
    free_guarded(&g);
  }
  refused(SHAPED " }", 0, api_values, bytes + 4, LSIO_ERR_OUTPUT, "the result has 398000");
  /* One chunk is shorter and another longer than its place. */
  write_frames(PART - 4, PART - 1996);
  for (int i = 0; i < 2; i++) {
    struct guarded g = guard(bytes);
    lsio_job *job = submit_into(scripts[i], g.data, bytes);
    ends(job, LSIO_ERR_CORRUPT, "-1 for one size");
    api_close(job);
    free_guarded(&g);
  }
  remove_frames();
}

static void test_compressed_chunks_of_any_size(void **state) {
  (void)state;
  write_frames(PART - 400, PART);
  static char want[BYTES];
  memcpy(want, api_values, 3 * PART - 400);
  memcpy(want + 3 * PART - 400, (const char *)api_values + 3 * PART, 2 * PART);
  const size_t bytes = BYTES - 400;
  static const char *const scripts[] = {FRAMES " sink = lsio.memory() }",
                                        FRAMES " decoded = 90000, sink = lsio.memory() }"};
  for (int i = 0; i < 4; i++) {
    struct guarded g = guard(BYTES);
    if (i == 2) {
      refused(scripts[0], 0, NULL, 0, LSIO_ERR_LIMIT, "`decoded`");
    } else {
      lsio_job *job = i < 2 ? submit_into(scripts[i], g.data, BYTES) : api_submit(scripts[1], 0);
      ends(job, 0, NULL);
      struct lsio_array a = output_of(job, bytes, "f32");
      assert_memory_equal(a.data, want, bytes);
      api_close(job);
    }
    free_guarded(&g);
  }
  remove_frames();
}

/* What the first pieces of a step left in its place counts once, though all of it is filled in the end. */
static void test_skipped_pieces_are_filled(void **state) {
  (void)state;
  static const char script[] =
      "local lsio = require 'lsio'\n"
      "return lsio.job { source = lsio.files('a.f32', { chunk = 40000 }), type = 'f32', piece = 4000,\n"
      "  on_error = 'skip', fill = -1, sink = lsio.%s, transform = function(c)\n"
      "  if c.index == 3 and c.last then error('no') end lsio.k.copy(c.data, c.n, c.out) end }\n";
  char text[sizeof script + 40];
  snprintf(text, sizeof text, script, "memory()");
  lsio_job *job = api_submit(text, 0);
  ends(job, 0, NULL);
  assert_int_equal(lsio_job_error_count(job), 1);
  const float *got = output_of(job, BYTES, "f32").data;
  for (int i = 0; i < API_VALUES; i++) assert_true(got[i] == (i / 10000 == 3 ? -1 : api_values[i]));
  api_close(job);
  snprintf(text, sizeof text, script, "raw('pieces.raw')");
  job = api_submit(text, 0);
  ends(job, 0, NULL);
  assert_non_null(strstr(lsio_job_summary_json(job), "\"bytes_written\": 400000,"));
  api_close(job);
  assert_int_equal(unlink("pieces.raw"), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(test_callers_array),
      API_TEST(test_script_without_sink),
      API_TEST(test_odd_ranges),
      API_TEST(test_direct_reads),
      API_TEST(test_array_of_lsio),
      API_TEST(test_no_elements),
      API_TEST(test_wrong_arrays),
      API_TEST(test_shorter_options),
      API_TEST(test_skipped_steps_are_filled),
      API_TEST(test_skipped_pieces_are_filled),
      API_TEST(test_failed_and_cancelled),
      API_TEST(test_counted_results),
      API_TEST(test_compressed_chunks_of_one_size),
      API_TEST(test_compressed_chunks_of_any_size),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
