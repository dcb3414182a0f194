/* Errors of jobs as programs handle them: their kind, and where they come from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "polled.h"

#define JOB(rest) "local lsio = require 'lsio'\nreturn lsio.job { " rest " }"

static void make_file(const char *name, size_t bytes) {
  FILE *f = fopen(name, "wb");
  assert_non_null(f);
  assert_int_equal(ftruncate(fileno(f), (off_t)bytes), 0);
  fclose(f);
}

/* The error that such a job ends with, here or there (lsio_error_free). */
static lsio_error *error_of_named(const char *script, const char *name) {
  struct lsio_job_options o = api_options(script, 0);
  o.script_name = name;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (polled_submit(api_context, &o, &job, &error) != 0) return error;
  polled_wait(job);
  error = lsio_error_dup(lsio_job_error(job));
  polled_destroy(job);
  if (!error) fail_msg("it works: %s", script);
  return error;
}

static lsio_error *error_of(const char *script) { return error_of_named(script, "job.lua"); }

static void kinds_of_jobs(void **state) {
  (void)state;
  make_file("there.raw", 8);
  static const struct {
    const char *script;
    int kind, retryable;
  } jobs[] = {
      {JOB("source = lsio.files('none')"), LSIO_KIND_NOT_FOUND, 0},
      {JOB("source = lsio.files('none*')"), LSIO_KIND_NOT_FOUND, 0},
      {JOB("source = lsio.files('.')"), LSIO_KIND_USAGE, 0},
      {JOB("source = lsio.files('/proc/self/maps')"), LSIO_KIND_UNSUPPORTED, 0},
      {JOB("source = lsio.files('s3://b/k')"), LSIO_KIND_UNSUPPORTED, 0},
      {JOB("source = lsio.files('a.f32'), sink = lsio.raw('there.raw')"), LSIO_KIND_EXISTS, 0},
      {JOB("source = lsio.files('a.f32'), sink = lsio.raw('no/folder')"), LSIO_KIND_NOT_FOUND, 0},
      {JOB("source = lsio.files('a.f32'), codec = 'zstd'"), LSIO_KIND_CORRUPT, 0},
      {JOB("source = lsio.files('a.f32'), transform = function() error 'no' end"), LSIO_KIND_TRANSFORM, 0},
      {JOB("source = lsio.files('big.u8', { whole = true }), transform = function() end"), LSIO_KIND_LIMIT, 0},
      {JOB("sauce = 1"), LSIO_KIND_SCRIPT, 0},
      {JOB("source = lsio.files('b.u8', { chunk = 4096 }), transform = function(chunk)\n"
           "  if chunk.index == 0 then local f = io.open('b.u8', 'ab') f:write 'x' f:close() end end"),
       LSIO_KIND_CHANGED, 1},
  };
  make_file("b.u8", 65536);
  make_file("big.u8", 256u << 20);
  for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
    lsio_error *e = error_of(jobs[i].script);
    if (lsio_error_kind(e) != jobs[i].kind || lsio_error_is_retryable(e) != jobs[i].retryable)
      fail_msg("%s: %s, %d: %s", jobs[i].script, lsio_error_kind_name(lsio_error_kind(e)),
               lsio_error_is_retryable(e), lsio_error_message(e));
    lsio_error_free(e);
  }
  unlink("there.raw");
  unlink("b.u8");
  unlink("big.u8");
}

/* A file that ends before planning said, where it is read, not only looked at. */
static void truncated(void **state) {
  (void)state;
  make_file("b.u8", 1 << 20);
  lsio_error *e = error_of(JOB("source = lsio.files('b.u8', { chunk = 4096 }),\n"
                               "options = { workers = 1, queue_depth = 1, backend = 'pread' },\n"
                               "transform = function(chunk) if chunk.index == 0 then\n"
                               "  io.open('b.u8', 'wb'):close() end end"));
  assert_int_equal(lsio_error_code(e), LSIO_ERR_SOURCE);
  assert_int_equal(lsio_error_kind(e), LSIO_KIND_CHANGED);
  lsio_error_free(e);
  unlink("b.u8");
}

/* ---- where they come from ---- */

#define STEP(rest) JOB("source = lsio.files('a.f32', { chunk = 4000 }), type = 'f32',\ntransform = function(chunk)\n" rest "\nend")

static void check_place(const char *script, const char *file, int line) {
  lsio_error *e = error_of(script);
  if (strcmp(lsio_error_file(e), file) != 0 || lsio_error_line(e) != line)
    fail_msg("%s: '%s', %d: %s", script, lsio_error_file(e), lsio_error_line(e), lsio_error_message(e));
  lsio_error_free(e);
}

static void lines_of_scripts(void **state) {
  (void)state;
  check_place(JOB("source = lsio.files('none')"), "", 0);
  check_place(JOB("\n\nsauce = 1"), "job.lua", 4);
  check_place("local x = 1\n\nlocal = 2", "job.lua", 3);
  check_place("\nreturn 1", "job.lua", 0);
  check_place("\nerror 'early'", "job.lua", 2);
  check_place("\nerror({})", "job.lua", 2);
  check_place(JOB("source = lsio.files('a.f32'),\noptions = {\nworkers = 'many' }"), "job.lua", 4);
  check_place(JOB("\nsource = function() local n = nil + 1 end"), "job.lua", 3);
  check_place(JOB("source = lsio.files('a.f32'),\nsetup = function()\nerror 'no' end"), "job.lua", 4);
  check_place(JOB("source = lsio.files('a.f32'),\ntransform = function() end,\ndone = function() error 'no' end"),
              "job.lua", 4);
  check_place(JOB("source = lsio.files('a.f32'), state = 'double n;', transform = function() end,\n"
                  "finish = function() return { n = 1 } end, reduce = function() end,\n"
                  "init = function()\nerror 'no' end"), "job.lua", 5);
  check_place(STEP("error 'no'"), "job.lua", 4);
  check_place(STEP("error('no', 0)"), "job.lua", 4);
  check_place(STEP("error('https://x:80: refused', 0)"), "job.lua", 4);
  check_place(STEP("local function f()\nerror('no', 2) end\nf()"), "job.lua", 6);
  check_place(STEP("\n(nil)()"), "job.lua", 5);
  check_place(STEP("return chunk.nonsense"), "job.lua", 4);
  check_place(STEP("return print"), "job.lua", 3);
  check_place(STEP("local s = lsio.k.sum(chunk.data, -1)"), "job.lua", 4);
  check_place(STEP("return lsio.k.sum(chunk.data, -1)"), "job.lua", 3);
  check_place(STEP("local w = coroutine.wrap(function()\nerror 'no' end)\nw()"), "job.lua", 6);
  check_place(STEP("local c = coroutine.create(function()\nerror 'no' end)\nerror(select(2, coroutine.resume(c)), 0)"),
              "job.lua", 5);
}

static void write_file(const char *name, const char *text) {
  FILE *f = fopen(name, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static void lines_of_modules(void **state) {
  (void)state;
  write_file("good.lua", "return { fail = function()\n error 'no' end }");
  write_file("bad.lua", "\n\n\nlocal = 1");
  check_place("\nlocal m = require 'bad'", "./bad.lua", 4);
  check_place("local m = require 'good'\n\nm.fail()", "./good.lua", 2);
  check_place(STEP("require 'good'.fail()"), "./good.lua", 2);
  check_place(STEP("local ok, text = pcall(require, 'bad')\nerror 'my own'"), "job.lua", 5);
  unlink("good.lua");
  unlink("bad.lua");
}

/* Lua's messages have names of at most 60 bytes. */
static void long_names(void **state) {
  (void)state;
  char name[600];
  memset(name, 'x', sizeof name);
  memcpy(name, "folder/", 7);
  static const struct {
    const char *script;
    int line;
  } jobs[] = {{"\n\nlocal = 2", 3}, {JOB("\nsauce = 1"), 3}, {STEP("error 'no'"), 4}, {STEP("return print"), 3}};
  for (size_t length = 55; length < sizeof name; length += length < 65 ? 1 : 97) {
    memcpy(name + length - 4, ".lua", 5);
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
      lsio_error *e = error_of_named(jobs[i].script, name);
      const char *file = lsio_error_file(e), *dots = strncmp(file, "...", 3) == 0 ? file + 3 : file;
      assert_int_equal(lsio_error_line(e), jobs[i].line);
      if (length < 200) assert_string_equal(file, name);
      assert_true(strlen(file) >= 200 || dots == file);
      assert_string_equal(dots, name + length - strlen(dots));
      lsio_error_free(e);
    }
    memset(name + length - 4, 'x', 5);
  }
}

static void lines_of_steps(void **state) {
  (void)state;
  struct lsio_job_options o = api_options(STEP("if chunk.index == 3 then\nerror 'no' end"), 0);
  static const char *const skip[] = {"on_error=skip"};
  o.settings = skip;
  o.n_settings = 1;
  lsio_job *job = NULL;
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
  json_t *summary = api_ends(job, 0);
  const lsio_error *e = lsio_job_step_error(job, 0);
  assert_string_equal(lsio_error_file(e), "job.lua");
  assert_int_equal(lsio_error_line(e), 5);
  const json_t *shown = json_array_get(json_object_get(summary, "errors"), 0);
  assert_string_equal(json_string_value(json_object_get(shown, "file")), "job.lua");
  assert_int_equal(json_integer_value(json_object_get(shown, "line")), 5);
  json_decref(summary);
  polled_destroy(job);
  lsio_error *none = error_of(JOB("source = lsio.files('none')"));
  char *text = lsio_error_json(none);
  json_t *o2 = json_loads(text, 0, NULL);
  assert_true(json_is_null(json_object_get(o2, "file")) && json_is_null(json_object_get(o2, "line")));
  json_decref(o2);
  lsio_free(text);
  lsio_error_free(none);
}

int main(void) {
  const struct CMUnitTest tests[] = {API_TEST(kinds_of_jobs),    API_TEST(truncated),
                                     API_TEST(lines_of_scripts), API_TEST(lines_of_modules),
                                     API_TEST(long_names),       API_TEST(lines_of_steps)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
