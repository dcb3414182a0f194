/* The Lua host through its operations, without an engine: scripts good and bad, steps over memory,
 * finish and done. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem.h"
#include "spec.h"
#include "summary.h"

static struct lsi_script_host *host;
static const struct lsi_script_ops *ops;

static char directory[] = "/tmp/lsio_host_XXXXXX";

/* The current directory is a fresh one that holds an empty file "null". */
static int setup(void **state) {
  (void)state;
  if (!mkdtemp(directory) || chdir(directory)) return -1;
  FILE *f = fopen("null", "w");
  if (!f || fclose(f)) return -1;
  ops = lsi_script_host_ops;
  struct lsi_error err;
  lsi_error_clear(&err);
  int rc = ops->create(&host, &err);
  if (rc) fprintf(stderr, "%s\n", err.what);
  return rc;
}

static int teardown(void **state) {
  (void)state;
  ops->destroy(host);
  unlink("null");
  return rmdir(directory);
}

struct job {
  struct lsi_settings settings;
  struct lsi_script *script;
  struct lsi_spec spec;
  struct lsi_error err;
};

/* Loads a script with a few words of command line (space-separated). */
static int load(struct job *j, const char *text, const char *args) {
  memset(j, 0, sizeof *j);
  lsi_settings_init(&j->settings);
  lsi_spec_init(&j->spec);
  lsi_error_clear(&j->err);
  char copy[256];
  snprintf(copy, sizeof copy, "%s", args ? args : "");
  const char *words[16];
  size_t n = 0;
  for (char *w = strtok(copy, " "); w; w = strtok(NULL, " ")) words[n++] = w;
  struct lsi_script_source src = {text, strlen(text), "job.lua", words, n};
  return ops->load(host, &src, &j->settings, &j->script, &j->err);
}

static void unload(struct job *j) {
  if (j->script) ops->unload(j->script);
  lsi_spec_clear(&j->spec);
}

static void message(const struct job *j, char *buf, size_t cap) {
  lsi_error_format(&j->err, buf, cap);
}

static void check_message(const struct job *j, int code, const char *part) {
  char text[2048];
  message(j, text, sizeof text);
  if (j->err.code != code || !strstr(text, part)) {
    fprintf(stderr, "wanted code %d with \"%s\"\ngot    code %d: %s\n", code, part, j->err.code, text);
    fail();
  }
}

/* The script must not load; the message must hold `part`. */
static void bad(const char *text, const char *part) {
  struct job j;
  int rc = load(&j, text, NULL);
  if (rc == 0) fprintf(stderr, "loaded, but should not: %s\n", text);
  assert_int_equal(rc, LSIO_ERR_SCRIPT);
  check_message(&j, LSIO_ERR_SCRIPT, part);
  unload(&j);
}

/* The script loads, but prepare must fail. */
static void bad_prepare(const char *text, int code, const char *part) {
  struct job j;
  int rc = load(&j, text, NULL);
  if (rc) fprintf(stderr, "%s\n", j.err.what);
  assert_int_equal(rc, 0);
  assert_int_equal(ops->prepare(j.script, &j.spec, &j.err), code);
  check_message(&j, code, part);
  unload(&j);
}

/* A file that sources in these tests name. */
static const char data_path[] = "data.f32";
static void make_data(void) {
  FILE *f = fopen(data_path, "wb");
  assert_non_null(f);
  for (int i = 0; i < 1000; i++) {
    float v = (float)i;
    fwrite(&v, sizeof v, 1, f);
  }
  fclose(f);
}

#define HEAD "local lsio = require 'lsio'\nreturn lsio.job {\n source = lsio.files('null'),\n"

/* ---- running steps ---- */

struct worker {
  struct lsi_step step;
  struct lsi_chunk chunk;
  void *state;
  char scratch[65536];
  char out[65536];
};

static int open_worker(struct job *j, struct worker *w, unsigned index, unsigned n) {
  memset(w, 0, sizeof *w);
  w->step.chunk = &w->chunk;
  w->step.n_chunks = 1;
  w->step.worker = index;
  return j->spec.transform->open_worker(j->spec.transform_job, index, n, &w->step, &w->state, &j->err);
}

static int run_step(struct job *j, struct worker *w, const void *data, double n, size_t size,
                    double index) {
  w->chunk = (struct lsi_chunk){.data = data,
                                .n = n,
                                .bytes = n * (double)size,
                                .object = 3,
                                .object_size = 4096,
                                .offset = 128,
                                .length = n * (double)size,
                                .tag = 77,
                                .name = "x.f32",
                                .name_length = 5};
  w->step.index = index;
  w->step.pos = index * 10;
  w->step.out = w->out;
  w->step.out_n = n;
  w->step.scratch = w->scratch;
  w->step.scratch_bytes = n * (double)size;
  lsi_error_clear(&j->err);
  return j->spec.transform->step(w->state, &w->step, &j->err);
}

static void start(struct job *j, const char *text, const char *args) {
  int rc = load(j, text, args);
  if (rc == 0) rc = ops->prepare(j->script, &j->spec, &j->err);
  if (rc) {
    char m[2048];
    message(j, m, sizeof m);
    fprintf(stderr, "%s\n", m);
  }
  assert_int_equal(rc, 0);
}

/* Ends all workers, merges, returns the state's JSON (lsi_free). */
static char *end(struct job *j, struct worker *w, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (!w[i].state) continue;
    int rc = j->spec.transform->finish(w[i].state, &j->err);
    if (rc) fprintf(stderr, "finish: %s\n", j->err.what);
    assert_int_equal(rc, 0);
  }
  for (size_t i = 0; i < n; i++)
    if (w[i].state) j->spec.transform->close(w[i].state);
  struct lsi_worker_summary ws[2] = {{.steps = 4, .wait_s = 0.5}, {.steps = 1}};
  struct lsi_summary s = {.status = "done", .chunks = 5, .backend = "mem", .bound = "device",
                          .n_workers = 2, .workers = ws, .wall_s = 1.5};
  char *json = NULL;
  int rc = ops->done(j->script, &s, &json, &j->err);
  if (rc) fprintf(stderr, "done: %s\n", j->err.what);
  assert_int_equal(rc, 0);
  assert_non_null(json);
  return json;
}

static struct worker workers[4];
static float floats[1024];

/* Runs `steps` steps of 100 floats 0..99 over `n` workers, round robin. */
static char *run_all(const char *text, const char *args, size_t n, int steps) {
  struct job j;
  start(&j, text, args);
  for (int i = 0; i < 1024; i++) floats[i] = (float)i;
  for (size_t i = 0; i < n; i++) assert_int_equal(open_worker(&j, &workers[i], (unsigned)i, (unsigned)n), 0);
  for (int i = 0; i < steps; i++) {
    int rc = run_step(&j, &workers[i % (int)n], floats, 100, 4, i);
    if (rc) fprintf(stderr, "step: %s\n", j.err.what);
    assert_int_equal(rc, 0);
  }
  for (size_t i = 0; i < n; i++)
    if ((int)i >= steps) {
      j.spec.transform->close(workers[i].state);
      workers[i].state = NULL;
    }
  char *json = end(&j, workers, n);
  unload(&j);
  return json;
}

static void gives(const char *text, const char *args, size_t n, int steps, const char *json) {
  char *got = run_all(text, args, n, steps);
  assert_string_equal(got, json);
  lsi_free(got);
}

/* The transform fails at its first step with a message that holds `part`. */
static void step_fails(const char *text, const char *part) {
  struct job j;
  start(&j, text, NULL);
  for (int i = 0; i < 1024; i++) floats[i] = (float)i;
  assert_int_equal(open_worker(&j, &workers[0], 0, 1), 0);
  assert_int_equal(run_step(&j, &workers[0], floats, 100, 4, 0), LSIO_ERR_TRANSFORM);
  check_message(&j, LSIO_ERR_TRANSFORM, part);
  j.spec.transform->close(workers[0].state);
  unload(&j);
}

/* ---- tests ---- */

static void test_load_errors(void **state) {
  (void)state;
  bad("return lsio.job {", "job.lua:1:");
  bad("x = 1", "job.lua:1: a job can't write the global \"x\"");
  bad("\nlocal y = prin", "job.lua:2: undefined global \"prin\"; did you mean \"print\"?");
  bad("", "job.lua: a script ends with \"return lsio.job { ... }\"; this one returned nothing");
  bad("return 7", "this one returned 7");
  bad("local lsio = require 'lsio' lsio.job { source = lsio.files 'x' }", "did not return it");
  bad("\x1bLJ\x02\n\x02", "bytecode");
  bad("error({})", "the error value is a table");
  bad("error(setmetatable({}, { __tostring = function() return 'custom' end }))", "job.lua:1: custom");
  bad("error('plain', 0)", "job.lua:1: plain");
  bad("local lsio = require 'lsio'\nreturn lsio.jop {}",
      "job.lua:2: unknown lsio function \"jop\"; did you mean \"job\"?");
  bad("local lsio = require 'lsio'\nlsio.job = 1", "job.lua:2: lsio can't be changed");
  bad("local lsio = require 'lsio'\nreturn lsio.job { transform = function() end }", "source is missing");
  bad(HEAD " tranform = function() end }", "job.lua:4: unknown key of lsio.job \"tranform\"; did you mean \"transform\"?");
  bad(HEAD " transform = 3 }", "job.lua:4: transform must be a function, not 3");
  bad(HEAD " type = 'f23' }", "job.lua:4: unknown type \"f23\"; did you mean \"f32\"?");
  bad(HEAD " codec = 'lz5' }", "job.lua:4: unknown codec \"lz5\"; did you mean \"lz4\"?");
  bad(HEAD " codec = 'lz4_block' }", "needs decoded");
  bad(HEAD " on_error = 'ignore' }", "valid: \"fail\", \"skip\"");
  bad(HEAD " params = { a = {} } }", "params.a: the default must be");
  bad(HEAD " params = { a = { 1, 2 } } }", "params.a: the help must be a string");
  bad(HEAD " out_max = 5 }", "there is no transform");
  bad(HEAD " options = { wrokers = 3 } }", "workers");
  bad(HEAD " options = { workers = 'many' } }", "job.lua:4:");
  bad(HEAD " state = 'double a;' }", "state has no use without a transform");
  bad(HEAD " piece = '1MiB' }", "not available");
  bad("local lsio = require 'lsio'\nlocal s = lsio.files('x', { chnk = 3 })", "job.lua:2: unknown option of lsio.files \"chnk\"; did you mean \"chunk\"?");
  bad("local lsio = require 'lsio'\nlocal s = lsio.files('x', { chunk = '3 furlongs' })", "job.lua:2: lsio.files: chunk must be a size");
  bad("local lsio = require 'lsio'\nlocal s = lsio.npy('x', { exists = 'maybe' })", "valid: \"error\", \"replace\"");
  bad("local lsio = require 'lsio'\nlocal s = lsio.npy('x', { shape = { -1, -1 } })", "one -1");
  bad("local lsio = require 'lsio'\nlocal s = lsio.ranges { offset = {} }", "objects (a list of paths) is missing");
  bad("require 'nothing_there'", "module 'nothing_there' not found");
}

#define T " transform = function() end,"

static void test_state_errors(void **state) {
  (void)state;
  bad(HEAD T " state = 'dobule a;' }", "state: unknown type \"dobule\"; did you mean \"double\"?");
  bad(HEAD T " state = 'double a, a;' }", "declared twice");
  bad(HEAD T " state = 'double *a;' }", "neither a name nor name[count]");
  bad(HEAD T " state = 'double a[0];' }", "from 1, not 0");
  bad(HEAD T " state = '' }", "no fields");
  bad(HEAD T " state = 'double a;', reduce = { b = 'sum' } }", "unknown state field \"b\"");
  bad(HEAD T " state = 'double a, b;', reduce = { a = 'sum' } }", "\"b\" of state has no reducer");
  bad(HEAD T " state = 'double a;', reduce = { a = 'som' } }", "unknown reducer \"som\"; did you mean \"sum\"?");
  bad(HEAD T " state = 'double a;', reduce = { a = 'band' } }", "wants integers");
  bad(HEAD T " state = 'double a;', reduce = { a = 'moments' } }", "does not fit");
  bad(HEAD T " state = 'lsio_moments a;', reduce = { a = 'sum' } }", "its reducer is \"moments\"");
  bad(HEAD T " state = 'double a;', done = function() end }", "reduce is missing");
  bad(HEAD T " reduce = 'sum' }", "neither state nor finish");
  bad(HEAD T " state = 'u8 big[5000];', reduce = { big = 'sum' }, on_error = 'skip' }", "at most 4096");
  bad(HEAD T " sink = lsio.npy('x'), on_error = 'skip' }", "needs fill");
}

#define SUM                                                                              \
  "local lsio = require 'lsio'\n"                                                        \
  "return lsio.job { source = lsio.files('null'), type = 'f32',\n"                  \
  " params = { t = { 0.5, 'count above' }, on = false, word = 'x' },\n"                  \
  " state = 'double sum, above, n;',\n"                                                  \
  " transform = function(chunk, state, params)\n"                                        \
  "  state.sum = state.sum + lsio.k.sum(chunk.data, chunk.n)\n"                          \
  "  state.above = state.above + lsio.k.count_gt(chunk.data, chunk.n, params.t)\n"       \
  "  state.n = state.n + chunk.n\n"                                                      \
  " end,\n"                                                                              \
  " reduce = { sum = 'sum', above = 'sum', n = 'sum' },\n"                               \
  " done = function(r, info) assert(info.chunks == 5 and info.status == 'done')\n"       \
  "  assert(info.workers[1].wait_s == 0.5) end }\n"

static void test_contract_example(void **state) {
  (void)state;
  gives(SUM, NULL, 2, 10, "{\"above\":990,\"n\":1000,\"sum\":49500}");
  gives(SUM, "--t=49.5", 3, 10, "{\"above\":500,\"n\":1000,\"sum\":49500}");
  gives(SUM, "--t 98.5", 1, 10, "{\"above\":10,\"n\":1000,\"sum\":49500}");
  gives(SUM, NULL, 1, 0, "{\"above\":0,\"n\":0,\"sum\":0}");
}

static void params_fail(const char *args, const char *part) {
  struct job j;
  assert_int_equal(load(&j, SUM, args), LSIO_ERR_USAGE);
  check_message(&j, LSIO_ERR_USAGE, part);
  unload(&j);
}

static void test_params(void **state) {
  (void)state;
  params_fail("--tt=3", "unknown parameter \"--tt\"; did you mean \"--t\"?");
  params_fail("--t=abc", "--t wants a number, not \"abc\"");
  params_fail("--t", "--t wants a value");
  params_fail("--on=maybe", "true or false");
  params_fail("--no-on=1", "takes no value");
  params_fail("-x", "unknown option -x");
  struct job j;
  assert_int_equal(load(&j, SUM, "--on --word=hello --no-on first -5 -- --last"), 0);
  char *text;
  assert_int_equal(ops->help(j.script, &text, &j.err), 0);
  assert_non_null(strstr(text, "--t N"));
  assert_non_null(strstr(text, "count above (default 0.5)"));
  lsi_free(text);
  unload(&j);
  static const char words[] =
      "local lsio = require 'lsio'\n"
      "return lsio.job { source = function(p) assert(p[1] == 'a' and p[2] == '-5' and p[3] == '--b')\n"
      " assert(p.flag == false and p.other_flag == true and p.s == 'v w') return lsio.files(p.path) end,\n"
      " params = { flag = true, other_flag = false, s = '', path = 'null' },\n"
      " setup = function(p) return { extra = { 1, 2, x = 'y' }, big = 2LL ^ 60 } end,\n"
      " state = function(p) assert(p.extra[2] == 2 and p.extra.x == 'y' and p[1] == 'a')\n"
      "  assert(p.big == 2LL ^ 60) return {} end,\n"
      " transform = function() end }\n";
  assert_int_equal(load(&j, words, "--no-flag --other-flag a -5"), 0);
  unload(&j);
}

/* Every field of a chunk, its views, its errors. */
static void test_chunk(void **state) {
  (void)state;
  gives(HEAD " type = 'f32', state = function() return { n = 0 } end, reduce = 'sum',\n"
             " transform = function(c, s)\n"
             "  assert(c.n == 100 and c.bytes == 400 and c.object == 3 and c.object_size == 4096)\n"
             "  assert(c.offset == 128 and c.length == 400 and c.tag == 77 and c.name == 'x.f32')\n"
             "  assert(c.pos == c.index * 10 and c.type == 'f32' and c.data.type == 'f32')\n"
             "  assert(c.worker == c.index % 2 and c.data.n == 100 and #c.data == 100)\n"
             "  assert(c.data[0] == 0 and c.data[99] == 99 and c.data.ptr[7] == 7)\n"
             "  assert(c.out.n == 100 and c.scratch.n == 100)\n"
             "  for i = 0, c.n - 1 do c.out[i] = c.data[i] * 2; c.scratch[i] = 1 end\n"
             "  assert(c.out[99] == 198 and lsio.k.sum(c.scratch) == 100)\n"
             "  for _, f in ipairs { function() return c.data[100] end, function() return c.data[-1] end,\n"
             "    function() return c.data[0.5] end, function() return c.data[0/0] end,\n"
             "    function() c.data[0] = 1 end, function() c.out[100] = 1 end, function() c.n = 1 end,\n"
             "    function() c.x = 1 end, function() return c.data.x end, function() c.data = c.out end,\n"
             "    function() c.out.n = 5 end, function() c.out['1'] = 5 end, function() c.out[1.5] = 5 end } do\n"
             "   assert(not pcall(f)) end\n"
             "  s.n = s.n + 1\n"
             " end }",
        NULL, 2, 300, "{\"n\":300}");
  step_fails(HEAD " type = 'f32',\n transform = function(c)\n  return c.data[c.n] end }",
             "job.lua:6: index 100 is out of range: valid are 0 to 99");
  step_fails(HEAD " type = 'f32',\n transform = function(c)\n  local x = c.dat end }",
             "job.lua:6: unknown field of chunk \"dat\"; did you mean \"data\"?");
  step_fails(HEAD " type = 'f32',\n transform = function(c)\n  c.data[1] = 3 end }",
             "read-only; write to chunk.out or chunk.scratch");
  step_fails(HEAD " type = 'f32',\n transform = function(c)\n  local x = c.data[1.5] end }",
             "job.lua:6: index 1.5 is not a whole number");
  step_fails(HEAD " type = 'f32',\n transform = function(c)\n  total = 1 end }",
             "job.lua:6: a job can't write the global \"total\"");
  step_fails(HEAD " type = 'f32',\n transform = function(c)\n  lsio.k.sun(c.data) end }",
             "job.lua:6: unknown lsio.k function \"sun\"; did you mean \"sum\"?");
  step_fails(HEAD " type = 'f32',\n transform = function(c)\n  lsio.k.sum(c.data, 101) end }",
             "job.lua:6: sum: n is 101, not a whole number from 0 to 100");
  step_fails(HEAD " type = 'f32',\n transform = function(c)\n  local x = nil + 1 end }", "job.lua:6: attempt to");
  step_fails(HEAD " type = 'f32', state = 'double sum;',\n transform = function(c, s)\n  s.sun = 1 end }",
             "job.lua:6: unknown state field \"sun\"; did you mean \"sum\"?");
}

static int32_t result_of(const char *body, const char *more, struct worker **w, struct job *j) {
  static char text[2048];
  snprintf(text, sizeof text, HEAD " type = 'f32', %s\n transform = function(c, s)\n %s end }", more, body);
  start(j, text, NULL);
  assert_int_equal(open_worker(j, &workers[0], 0, 1), 0);
  int rc = run_step(j, &workers[0], floats, 100, 4, 5);
  *w = &workers[0];
  return rc ? rc : workers[0].step.result;
}

static void check_result(const char *body, const char *more, int32_t result, double n,
                         const char *record) {
  struct worker *w;
  struct job j;
  int32_t got = result_of(body, more, &w, &j);
  if (got < 0) fprintf(stderr, "%s\n", j.err.what);
  assert_int_equal(got, result);
  if (result == LSI_RESULT_COUNT) assert_true(w->step.result_n == n);
  if (record) {
    assert_int_equal(w->step.record_length, strlen(record));
    assert_memory_equal(w->step.record, record, strlen(record));
  }
  if (result < 0) check_message(&j, result, "job.lua:5: ");
  j.spec.transform->close(w->state);
  unload(&j);
}

static void test_results(void **state) {
  (void)state;
  check_result("", "", LSI_RESULT_FULL, 0, NULL);
  check_result("return nil", "", LSI_RESULT_FULL, 0, NULL);
  check_result("return false", "", LSI_RESULT_NONE, 0, NULL);
  check_result("return 7", "out_max = 100,", LSI_RESULT_COUNT, 7, NULL);
  check_result("return 0", "out_max = 100,", LSI_RESULT_COUNT, 0, NULL);
  check_result("return 'a\\0b'", "", LSI_RESULT_RECORD, 0, NULL);
  check_result("return 'text'", "", LSI_RESULT_RECORD, 0, "text");
  check_result("return { n = c.n, list = { 1, 2.5, 'x' }, b = true, e = {}, f = 1/0, i = 12345678901234567LL }", "",
               LSI_RESULT_RECORD, 0,
               "{\"b\":true,\"e\":{},\"f\":null,\"i\":12345678901234567,\"list\":[1,2.5,\"x\"],\"n\":100}");
  check_result("return true", "", LSIO_ERR_TRANSFORM, 0, NULL);
  check_result("return 7", "", LSIO_ERR_TRANSFORM, 0, NULL);
  check_result("return 101", "out_max = 200,", LSIO_ERR_TRANSFORM, 0, NULL);
  check_result("return 1.5", "out_max = 200,", LSIO_ERR_TRANSFORM, 0, NULL);
  check_result("return -1", "out_max = 200,", LSIO_ERR_TRANSFORM, 0, NULL);
  check_result("return print", "", LSIO_ERR_TRANSFORM, 0, NULL);
  check_result("return { f = print }", "", LSIO_ERR_TRANSFORM, 0, NULL);
}

static void test_reduce(void **state) {
  (void)state;
  gives(HEAD " type = 'f32', state = 'f64 s, p; f32 lo, hi; i64 big; u8 h[4]; double hist[10]; u32 bits, all; lsio_moments m; double private;',\n"
             " reduce = { s = 'sum', p = 'prod', lo = 'min', hi = 'max', big = 'sum', h = 'sum', hist = 'sum',"
             " bits = 'bor', all = 'band', m = 'moments', private = 'none' },\n"
             " transform = function(c, s)\n"
             "  s.s = s.s + 1; s.p = s.p * 2; s.lo = math.min(s.lo, c.index); s.hi = math.max(s.hi, c.index)\n"
             "  s.big = s.big + 2LL ^ 53; s.h[c.index % 4] = s.h[c.index % 4] + 1\n"
             "  lsio.k.histogram(c.data, c.n, 0, 100, 10, s.hist)\n"
             "  s.bits = bit.bor(s.bits, bit.lshift(1, c.index)); s.all = bit.band(s.all, 7)\n"
             "  lsio.k.moments(c.data, c.n, s.m)\n"
             " end,\n"
             " done = function(r) assert(r.private == nil and r.h[0] == 3 and r.h.n == 4 and #r.hist == 10)\n"
             "  assert(not pcall(function() return r.h[4] end) and r.m.n == 1000)\n"
             "  assert(r.big == 10 * 2LL ^ 53 and type(r.s) == 'number') end }",
        NULL, 3, 10,
        "{\"all\":7,\"big\":90071992547409920,\"bits\":1023,\"h\":[3,3,2,2],\"hi\":9,\"hist\":[100,100,100,100,"
        "100,100,100,100,100,100],\"lo\":0,\"m\":{\"m2\":833250,\"mean\":49.5,\"n\":1000},\"p\":1024,"
        "\"s\":10}");
  gives(HEAD " type = 'f32', state = function() return { list = {}, text = '', counts = {}, best = -1/0 } end,\n"
             " transform = function(c, s) s.list[#s.list + 1] = c.index; s.text = s.text .. c.index\n"
             "  local k = 'k' .. c.index % 2; s.counts[k] = (s.counts[k] or 0) + 1\n"
             "  s.best = math.max(s.best, c.index) end,\n"
             " reduce = { list = 'concat', text = 'concat', counts = 'sum', best = 'max' } }",
        NULL, 2, 5,
        "{\"best\":4,\"counts\":{\"k0\":3,\"k1\":2},\"list\":[0,2,4,1,3],\"text\":\"02413\"}");
  gives(HEAD " type = 'f32', state = 'double n;', transform = function(c, s) s.n = s.n + 1 end,\n"
             " finish = function(s, p) return { n = s.n, who = { 'w' } } end,\n"
             " reduce = function(a, b) return { n = a.n + b.n, who = { a.who[1] .. b.who[1] } } end }",
        NULL, 3, 7, "{\"n\":7,\"who\":[\"www\"]}");
  gives(HEAD " type = 'f32', state = 'double n;', transform = function(c, s) s.n = s.n + 1 end,\n"
             " finish = function(s) return s.n end, reduce = 'sum', done = function(r) assert(r == 7) end }",
        NULL, 2, 7, "{\"result\":7}");
  gives(HEAD " type = 'f32', transform = function(c, s) assert(s == nil) end,\n"
             " done = function(r) assert(r == nil) end }",
        NULL, 2, 7, "{}");
  gives(HEAD " type = 'f32', state = 'double n;', reduce = { n = 'max' }, init = function(s, w, p) s.n = w end,\n"
             " transform = function(c, s) end }",
        NULL, 3, 7, "{\"n\":2}");
}

/* A failed step leaves the state as it was. */
static void test_skip(void **state) {
  (void)state;
  struct job j;
  start(&j, HEAD " type = 'f32', on_error = 'skip', state = 'double n, a[3];', reduce = 'sum',\n"
                 " transform = function(c, s) s.n = s.n + 1; s.a[1] = s.a[1] + 1\n"
                 "  if c.index % 2 == 1 then error('odd') end end }", NULL);
  assert_int_equal(j.settings.on_error, LSI_ON_ERROR_SKIP);
  assert_int_equal(j.spec.on_error, LSI_ON_ERROR_SKIP);
  assert_int_equal(open_worker(&j, &workers[0], 0, 1), 0);
  for (int i = 0; i < 400; i++) {
    int rc = run_step(&j, &workers[0], floats, 100, 4, i);
    assert_int_equal(rc, i % 2 ? LSIO_ERR_TRANSFORM : 0);
    if (rc) check_message(&j, LSIO_ERR_TRANSFORM, "job.lua:6: odd");
  }
  lsi_error_clear(&j.err);
  char *json = end(&j, workers, 1);
  assert_string_equal(json, "{\"a\":[0,200,0],\"n\":200}");
  lsi_free(json);
  unload(&j);
}

/* Two jobs in one context see nothing of each other. */
static void test_fresh_environment(void **state) {
  (void)state;
  gives("string.hello = 1\n" HEAD " transform = function() end }", NULL, 1, 1, "{}");
  gives("assert(rawget(string, 'hello') == nil)\n" HEAD " transform = function() end }", NULL, 1, 1, "{}");
}

static void test_prepare(void **state) {
  (void)state;
  make_data();
  char text[2048];
  struct job j;
  snprintf(text, sizeof text,
           "local lsio = require 'lsio'\nreturn lsio.job { type = 'f32', seed = 9, fill = -1,\n"
           " source = lsio.files({ '%s', '%s' }, { chunk = 1024 }), options = { workers = 3 },\n"
           " sink = lsio.npy('/tmp/x-{shard}.npy', { type = 'f64', shape = { -1, 4 }, exists = 'replace',\n"
           " order = 'any', durability = 'none' }), out_max = 9,\n"
           " transform = function(c) for i = 0, 8 do c.out[i] = c.data[i] + 0.25 end return 9 end }",
           data_path, data_path);
  start(&j, text, NULL);
  assert_int_equal(j.spec.request->n_objects, 2);
  assert_int_equal(j.spec.request->n_steps, 8);
  assert_int_equal(j.spec.request->length[3], 4000 - 3 * 1024);
  assert_int_equal(j.spec.type.type, LSI_F32);
  assert_int_equal(j.settings.workers, 3);
  assert_int_equal(j.spec.seed, 9);
  assert_int_equal(j.spec.sink.kind, LSI_SINK_NPY);
  assert_string_equal(j.spec.sink.path, "/tmp/x-{shard}.npy");
  assert_true(j.spec.sink.has_type && j.spec.sink.type.type == LSI_F64);
  assert_true(j.spec.sink.ndim == 2 && j.spec.sink.shape[0] == -1 && j.spec.sink.shape[1] == 4);
  assert_true(j.spec.sink.replace && j.spec.sink.any_order);
  assert_int_equal(j.spec.sink.durability, LSI_DURABLE_NONE);
  assert_true(j.spec.has_out_max && j.spec.out_max == 9 && j.spec.has_fill && j.spec.fill == -1);
  assert_int_equal(open_worker(&j, &workers[0], 0, 1), 0);
  assert_int_equal(run_step(&j, &workers[0], floats, 100, 4, 0), 0);
  assert_true(((double *)workers[0].out)[3] == floats[3] + 0.25);
  j.spec.transform->close(workers[0].state);
  unload(&j);
  bad_prepare("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files('/nowhere/at/all') }",
              LSIO_ERR_SOURCE, "/nowhere/at/all");
  bad_prepare("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files('/nowhere/*.x') }",
              LSIO_ERR_SOURCE, "/nowhere/*.x");
  bad_prepare("local lsio = require 'lsio'\nreturn lsio.job { source = function() return 3 end }",
              LSIO_ERR_SCRIPT, "the function source returned 3");
  bad_prepare("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files('null', { chunk = 10 }), type = 'f32' }",
              LSIO_ERR_SCRIPT, "no multiple of the 4 bytes");
  bad_prepare(HEAD " setup = function() return { f = print } end, transform = function() end }",
              LSIO_ERR_SCRIPT, "params.f is a function");
  bad_prepare(HEAD " setup = function()\n local x = nil .. 'a' end, transform = function() end }",
              LSIO_ERR_SCRIPT, "job.lua:5: attempt to");
  unlink(data_path);
}

static void ranges(const char *body, uint32_t n, const int64_t *want) {
  char text[2048];
  snprintf(text, sizeof text,
           "local lsio, ffi = require 'lsio', require 'ffi'\nlocal path = '%s'\nreturn lsio.job { source = lsio.ranges { %s } }",
           data_path, body);
  struct job j;
  start(&j, text, NULL);
  const struct lsi_request *r = j.spec.request;
  assert_int_equal(r->n_chunks, n);
  for (uint32_t i = 0; i < n; i++) {
    assert_int_equal(r->object[i], want[4 * i]);
    assert_int_equal(r->offset[i], want[4 * i + 1]);
    assert_int_equal(r->length[i], want[4 * i + 2]);
    assert_int_equal(r->tag ? r->tag[i] : 0, want[4 * i + 3]);
  }
  assert_true(j.spec.identity);
  unload(&j);
}

static void test_ranges(void **state) {
  (void)state;
  make_data();
  static const int64_t want[] = {0, 0, 10, 5, 1, 3990, 10, 6, 0, 0, 10, -7};
  ranges("objects = { path, path }, object = { 0, 1, 0 }, offset = { 0, -10, 0 }, length = { 10, 10, 10 },"
         " tag = { 5, 6, -7 }", 3, want);
  ranges("objects = { path, path }, object = ffi.new('int32_t[3]', { 0, 1, 0 }),"
         " offset = ffi.new('int64_t[?]', 3, { 0, -10, 0 }), length = 10,"
         " tag = ffi.new('int64_t[3]', { 5, 6, -7 })", 3, want);
  static const int64_t one[] = {0, 8, 16, 0};
  ranges("objects = path, offset = { 8 }, length = { 16 }", 1, one);
  bad_prepare("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.ranges { objects = 'null',"
              " object = { 1 }, offset = { 0 }, length = { 0 } } }",
              LSIO_ERR_SCRIPT, "not among the 1 objects");
  bad_prepare("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.ranges { objects = 'null',"
              " offset = { 0, 1 }, length = { 0 } } }",
              LSIO_ERR_SCRIPT, "length has 1 elements, offset has 2");
  bad_prepare("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.ranges { objects = 'null',"
              " offset = { 0.5 }, length = { 0 } } }",
              LSIO_ERR_SCRIPT, "offset[1] is 0.5");
  static const char csv[] = "ranges.csv";
  FILE *f = fopen(csv, "w");
  fprintf(f, "path,offset,length,tag\n%s,8,16,3\n%s,-4,4,9\n", data_path, data_path);
  fclose(f);
  char body[128];
  snprintf(body, sizeof body, "file = '%s'", csv);
  static const int64_t rows[] = {0, 8, 16, 3, 0, 3996, 4, 9};
  ranges(body, 2, rows);
  unlink(csv);
  unlink(data_path);
}

/* chunk.random: the same for a step on any worker, different between steps and seeds. */
static void test_random(void **state) {
  (void)state;
  static const char text[] =
      HEAD " type = 'f32', seed = 4, state = function() return { at = {} } end, reduce = { at = 'sum' },\n"
           " transform = function(c, s) local a, b = c.random(), c.random(10)\n"
           "  assert(a >= 0 and a < 1 and b >= 1 and b <= 10 and b % 1 == 0)\n"
           "  assert(not pcall(c.random, 5, 1))\n"
           "  s.at['s' .. c.index] = a end }";
  char *one = run_all(text, NULL, 1, 20), *three = run_all(text, NULL, 3, 20);
  assert_string_equal(one, three);
  assert_non_null(strstr(one, "\"s19\":0."));
  lsi_free(one);
  lsi_free(three);
}

/* A Lua state that ran out of stack or memory goes on with the next step. */
static void test_hard_errors(void **state) {
  (void)state;
  static const char *const bodies[] = {
      "local function f() return f() + 1 end f()", "error()", "error({})", "error(nil)",
      "error(setmetatable({}, { __tostring = function() error('again') end }))",
      "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1e8 + i) end"};
  for (size_t i = 0; i < LSI_COUNTOF(bodies); i++) {
    if (i == 5 && getenv("LSIO_SKIP_OOM")) continue;
    struct job j;
    char text[512];
    snprintf(text, sizeof text, HEAD " transform = function(c) if c.index == 0 then %s end end }", bodies[i]);
    start(&j, text, NULL);
    assert_int_equal(open_worker(&j, &workers[0], 0, 1), 0);
    if (i != 5) {
      int rc = run_step(&j, &workers[0], floats, 100, 4, 0);
      assert_int_equal(rc, LSIO_ERR_TRANSFORM);
      assert_true(j.err.what[0]);
    }
    assert_int_equal(run_step(&j, &workers[0], floats, 100, 4, 1), 0);
    j.spec.transform->close(workers[0].state);
    unload(&j);
  }
}

static void test_worker_errors(void **state) {
  (void)state;
  struct job j;
  start(&j, HEAD " init = function(s, w)\n error('no ' .. w) end, transform = function() end }", NULL);
  assert_int_equal(open_worker(&j, &workers[0], 2, 3), LSIO_ERR_TRANSFORM);
  check_message(&j, LSIO_ERR_TRANSFORM, "job.lua:5: no 2");
  unload(&j);
  start(&j, HEAD " finish = function(s)\n return { f = print } end, transform = function() end, reduce = 'sum' }", NULL);
  assert_int_equal(open_worker(&j, &workers[0], 0, 1), 0);
  assert_int_equal(j.spec.transform->finish(workers[0].state, &j.err), LSIO_ERR_TRANSFORM);
  check_message(&j, LSIO_ERR_TRANSFORM, "what finish returned.f is a function");
  j.spec.transform->close(workers[0].state);
  unload(&j);
  start(&j, HEAD " done = function(r, info)\n error('in done') end }", NULL);
  struct lsi_summary s = {.status = "done"};
  char *json = NULL;
  assert_int_equal(ops->done(j.script, &s, &json, &j.err), LSIO_ERR_SCRIPT);
  check_message(&j, LSIO_ERR_SCRIPT, "job.lua:5: in done");
  lsi_free(json);
  unload(&j);
}

static void test_doctor(void **state) {
  (void)state;
  char *text = ops->doctor();
  assert_non_null(text);
  assert_non_null(strstr(text, "LuaJIT 2.1"));
  assert_non_null(strstr(text, "JIT: "));
  lsi_free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_load_errors),      cmocka_unit_test(test_state_errors),
      cmocka_unit_test(test_contract_example), cmocka_unit_test(test_params),
      cmocka_unit_test(test_chunk),            cmocka_unit_test(test_results),
      cmocka_unit_test(test_reduce),           cmocka_unit_test(test_skip),
      cmocka_unit_test(test_fresh_environment), cmocka_unit_test(test_prepare),
      cmocka_unit_test(test_ranges),           cmocka_unit_test(test_random),
      cmocka_unit_test(test_hard_errors),      cmocka_unit_test(test_worker_errors),
      cmocka_unit_test(test_doctor),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
