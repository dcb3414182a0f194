/* What a job's steps need of memory is known before anything is read, and then it suffices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "codec/codec.h"
#include "polled.h"

static struct lsio_job_options options(const char *script, uint32_t flags, const char *memory) {
  static const char *settings[4];
  settings[0] = "workers=1";
  settings[1] = memory;
  settings[2] = "merge=never";
  struct lsio_job_options o = api_options(script, flags);
  o.settings = settings;
  o.n_settings = 3;
  return o;
}

static void is_refused_for(const char *object, const char *script, uint32_t flags, const char *memory) {
  struct lsio_job_options o = options(script, flags, memory);
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  const int rc = polled_submit(api_context, &o, &job, &error);
  if (rc == 0) polled_destroy(job);
  if (rc != LSIO_ERR_LIMIT) fail_msg("%s %s", lsio_error_name(rc), error ? lsio_error_message(error) : "");
  assert_string_equal(lsio_error_object(error), object);
  assert_non_null(strstr(lsio_error_message(error), "--memory"));
  lsio_error_free(error);
}

static int ends(const char *script, uint32_t flags, const char *memory) {
  struct lsio_job_options o = options(script, flags, memory);
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (polled_submit(api_context, &o, &job, &error) != 0) fail_msg("%s", lsio_error_message(error));
  const int rc = polled_wait(job);
  if (rc) fprintf(stderr, "%s\n", lsio_error_message(lsio_job_error(job)));
  polled_destroy(job);
  return rc;
}

static void is_refused(const char *script, uint32_t flags, const char *memory) {
  is_refused_for("a.f32", script, flags, memory);
}

/* 400 kB of u8 become 3.2 MB of f64 on their way into the sink. */
static void conversion_is_priced(void **state) {
  (void)state;
  static const char script[] =
      "local lsio = require 'lsio'\n"
      "return lsio.job { source = lsio.files('a.f32', { whole = true }), type = 'u8',\n"
      "  sink = lsio.raw('out.raw', { type = 'f64' }) }\n";
  is_refused(script, 0, "memory=3MiB");
  assert_int_equal(ends(script, 0, "memory=4MiB"), 0);
  assert_int_equal(unlink("out.raw"), 0);
}

/* 4 MB of output a step, which a stream takes as a sink would. */
static void output_of_streams_is_priced(void **state) {
  (void)state;
  static const char script[] = API_HEAD " out_max = 1000000,\n"
                                        " transform = function(chunk) return 1 end }\n";
  is_refused(script, LSIO_JOB_STREAM, "memory=2MiB");
  assert_int_equal(ends(script, LSIO_JOB_STREAM, "memory=8MiB"), 0);
}

/* Nearly all of the memory is for one step's output: what is left must go to its elements in native
 * order before it goes to reading ahead. */
static void what_was_priced_suffices(void **state) {
  (void)state;
  static const char script[] =
      "local lsio = require 'lsio'\n"
      "return lsio.job { source = lsio.files('a.f32', { chunk = 40000 }), type = 'f32be',\n"
      "  sink = lsio.raw('out.raw', { type = 'f32' }), out_max = 3113228,\n"
      "  transform = function(chunk) chunk.out[0] = chunk.index return 1 end }\n";
  assert_int_equal(ends(script, 0, "memory=16MiB"), 0);
  assert_int_equal(unlink("out.raw"), 0);
}

/* 600,000 decoded bytes fit many times into 6 MiB, but as f64 they need eight times as much again. */
static void output_counts_in_its_own_type(void **state) {
  (void)state;
  static char raw[600000], packed[4096];
  const int64_t n = lsi_encode(LSI_CODEC_ZSTD, 0, raw, sizeof raw, packed, sizeof packed);
  assert_true(n > 0);
  FILE *f = fopen("z", "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(packed, 1, (size_t)n, f), (size_t)n);
  assert_int_equal(fclose(f), 0);
  static const char script[] =
      "local lsio = require 'lsio'\n"
      "return lsio.job { source = lsio.files('z', { whole = true }), type = 'u8', codec = 'zstd',\n"
      "  sink = lsio.raw('out.raw', { type = 'f64' }),\n"
      "  transform = function(chunk) for i = 0, chunk.n - 1 do chunk.out[i] = 1 end end }\n";
  assert_int_equal(ends(script, 0, "memory=6MiB"), LSIO_ERR_LIMIT);
  assert_int_equal(ends(script, 0, "memory=16MiB"), 0);
  assert_int_equal(unlink("out.raw"), 0);
  assert_int_equal(unlink("z"), 0);
}

#define WHOLE_B(transform)                                                              \
  "local lsio = require 'lsio'\n"                                                       \
  "return lsio.job { source = lsio.files('b', { whole = true }), type = 'u8',\n"        \
  "  transform = function(chunk) " transform " end }\n"

/* Beside its chunk, a step may have scratch for as much again. */
static void scratch_counts_once_it_is_used(void **state) {
  (void)state;
  static const char script[] = WHOLE_B("lsio.k.copy(chunk.data, chunk.n, chunk.scratch)");
  FILE *f = fopen("b", "wb");
  assert_non_null(f);
  assert_int_equal(ftruncate(fileno(f), 4 << 20), 0);
  fclose(f);
  const struct lsio_job_options o = options(script, 0, "memory=7MiB");
  lsio_job *job = NULL;
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
  assert_int_equal(polled_wait(job), LSIO_ERR_LIMIT);
  const char *message = lsio_error_message(lsio_job_error(job));
  if (!strstr(message, "chunk.scratch takes 41943") || !strstr(message, "'b'")) fail_msg("%s", message);
  polled_destroy(job);
  assert_int_equal(ends(script, 0, "memory=9MiB"), 0);
  assert_int_equal(ends(WHOLE_B("assert(lsio.k.sum(chunk.data) == 0)"), 0, "memory=5MiB"), 0);
  is_refused_for("b", WHOLE_B("assert(chunk.n == 4194304)"), 0, "memory=3MiB");
  /* Again and again, and where the transform goes on without. */
  assert_int_equal(ends(WHOLE_B("for i = 1, 1000 do assert(chunk.scratch.n == chunk.n) end"), 0, "memory=9MiB"), 0);
  assert_int_equal(ends(WHOLE_B("assert(not pcall(function() return chunk.scratch end))"), 0, "memory=7MiB"), 0);
  assert_int_equal(unlink("b"), 0);
}

#define LATE_FILES 1100 /* so many that planning looks at few of them */
#define LATE_BYTES (16u << 20)

/* A file whose size is only known when it is opened: what its step needs is said with its result. */
static void late_files_are_priced(void **state) {
  (void)state;
  static const char script[] =
      "local lsio = require 'lsio'\n"
      "return lsio.job { source = lsio.files('d/*', { whole = true }), type = 'u8',\n"
      "  transform = function(chunk) lsio.k.copy(chunk.data, chunk.n, chunk.out) return 'x' end }\n";
  char name[32], memory[32];
  assert_int_equal(mkdir("d", 0755), 0);
  for (int i = 0; i < LATE_FILES; i++) {
    snprintf(name, sizeof name, "d/%04d", i);
    FILE *f = fopen(name, "wb");
    assert_non_null(f);
    if (i == 500) assert_int_equal(ftruncate(fileno(f), LATE_BYTES), 0);
    fclose(f);
  }
  const struct lsio_job_options o = options(script, LSIO_JOB_STREAM, "memory=6MiB");
  lsio_job *job = NULL;
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
  assert_int_equal(polled_wait(job), LSIO_ERR_LIMIT);
  const char *message = lsio_error_message(lsio_job_error(job)), *at = strstr(message, "a step needs ");
  if (!at) fail_msg("%s", message);
  const unsigned long long need = strtoull(at + strlen("a step needs "), NULL, 10);
  assert_string_equal(lsio_error_object(lsio_job_error(job)), "d/0500");
  assert_true(need > 2 * LATE_BYTES); /* stored and result */
  polled_destroy(job);
  snprintf(memory, sizeof memory, "memory=%lluMiB", (need >> 20) + 1);
  assert_int_equal(ends(script, LSIO_JOB_STREAM, memory), 0);
  for (int i = 0; i < LATE_FILES; i++) {
    snprintf(name, sizeof name, "d/%04d", i);
    assert_int_equal(unlink(name), 0);
  }
  assert_int_equal(rmdir("d"), 0);
}

#define FAT ((size_t)16 << 20) /* decoded, and as much scratch */
#define FAT_FILES 6
#define FAT_JOBS 6

static void write_fat_files(void) {
  char *raw = calloc(1, FAT), packed[8192], name[32];
  assert_non_null(raw);
  const int64_t n = lsi_encode(LSI_CODEC_ZSTD, 0, raw, FAT, packed, sizeof packed);
  assert_true(n > 0);
  free(raw);
  for (int i = 0; i < FAT_FILES; i++) {
    snprintf(name, sizeof name, "fat%d", i);
    FILE *f = fopen(name, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(packed, 1, (size_t)n, f), (size_t)n);
    assert_int_equal(fclose(f), 0);
  }
}

/* Nothing tells that their chunks need 16 or 32 MiB each, of the 64 that there are for all of them. */
static void share_what_they_did_not_reserve(const char *script) {
  write_fat_files();
  const char *const memory = "memory=64MiB", *const workers = "workers=1";
  const struct lsio_context_options c = {.struct_size = sizeof c, .settings = &memory, .n_settings = 1};
  lsio_context *context;
  assert_int_equal(lsio_context_create(&c, &context, NULL), 0);
  struct lsio_job_options o = api_options(script, 0);
  o.settings = &workers;
  o.n_settings = 1;
  lsio_job *jobs[FAT_JOBS];
  for (int i = 0; i < FAT_JOBS; i++) assert_int_equal(polled_submit(context, &o, &jobs[i], NULL), 0);
  uint64_t most = 0;
  struct lsio_context_stats s = {.struct_size = sizeof s};
  struct lsio_progress p = {.struct_size = sizeof p};
  for (int i = 0; i < FAT_JOBS; i++) {
    do {
      lsio_context_get_stats(context, &s);
      if (s.memory_lent > most) most = s.memory_lent;
      lsio_job_progress(jobs[i], &p);
    } while (p.workers_running);
    assert_int_equal(polled_wait(jobs[i]), 0);
    assert_non_null(strstr(lsio_job_summary_json(jobs[i]), "100663296"));
    polled_destroy(jobs[i]);
  }
  /* One may go beyond, when two wait for each other; arenas and what buffers are rounded up to. */
  if (most > (64 + 32 + 16) << 20) fail_msg("%llu bytes of buffers at once", (unsigned long long)most);
  lsio_context_get_stats(context, &s);
  assert_int_equal(s.memory_reserved, 0);
  lsio_context_destroy(context);
  for (int i = 0; i < FAT_FILES; i++) {
    char name[32];
    snprintf(name, sizeof name, "fat%d", i);
    assert_int_equal(unlink(name), 0);
  }
}

#define FAT_SUM(more)                                                                                \
  "local lsio = require 'lsio'\n"                                                                    \
  "return lsio.job { source = lsio.files('fat*', { whole = true }), type = 'u8', codec = 'zstd',\n"  \
  "  state = 'double n;', reduce = { n = 'sum' },\n"                                                 \
  "  transform = function(chunk, state) state.n = state.n + chunk.n " more " end }\n"

static void jobs_share_what_they_did_not_reserve(void **state) {
  (void)state;
  share_what_they_did_not_reserve(FAT_SUM(""));
}

static void jobs_share_scratch(void **state) {
  (void)state;
  share_what_they_did_not_reserve(FAT_SUM("lsio.k.fill(chunk.scratch, chunk.n, chunk.index)\n"
                                          "assert(lsio.k.sum(chunk.scratch) == chunk.n * chunk.index)"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(conversion_is_priced),
      API_TEST(output_of_streams_is_priced),
      API_TEST(what_was_priced_suffices),
      API_TEST(output_counts_in_its_own_type),
      API_TEST(scratch_counts_once_it_is_used),
      API_TEST(late_files_are_priced),
      API_TEST(jobs_share_what_they_did_not_reserve),
      API_TEST(jobs_share_scratch),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
