/* Jobs written in Lua, up to the first step: what loads, what does not and what it says; params,
 * sources, sinks. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host_job.h"
#include "ground/mem.h"
#include "lists/npy.h"

static void test_load_errors(void **state) {
  (void)state;
  host_rejects("return lsio.job {", "job.lua:1:");
  host_rejects("x = 1", "job.lua:1: a job can't write the global \"x\"");
  host_rejects("\nlocal y = prin", "job.lua:2: undefined global \"prin\"; did you mean \"print\"?");
  host_rejects("",
      "job.lua: a script ends with \"return lsio.job { ... }\"; this one returned nothing");
  host_rejects("return 7", "this one returned 7");
  host_rejects("local lsio = require 'lsio' lsio.job { source = lsio.files 'x' }",
      "did not return it");
  host_rejects("\x1bLJ\x02\n\x02", "bytecode");
  host_rejects("error({})", "the error value is a table");
  host_rejects("error(setmetatable({}, { __tostring = function() return 'custom' end }))",
      "job.lua:1: custom");
  host_rejects("error('plain', 0)", "job.lua:1: plain");
  host_rejects("local lsio = require 'lsio'\nreturn lsio.jop {}",
      "job.lua:2: unknown lsio function \"jop\"; did you mean \"job\"?");
  host_rejects("local lsio = require 'lsio'\nlsio.job = 1", "job.lua:2: lsio can't be changed");
  host_rejects("local lsio = require 'lsio'\nreturn lsio.job { transform = function() end }",
      "source is missing");
  host_rejects(HOST_HEAD " tranform = function() end }",
      "job.lua:4: unknown key of lsio.job \"tranform\"; did you mean \"transform\"?");
  host_rejects(HOST_HEAD " transform = 3 }", "job.lua:4: transform must be a function, not 3");
  host_rejects(HOST_HEAD " type = 'f23' }",
      "job.lua:4: unknown type \"f23\"; did you mean \"f32\"?");
  host_rejects(HOST_HEAD " codec = 'lz5' }",
      "job.lua:4: unknown codec \"lz5\"; did you mean \"lz4\"?");
  host_rejects(HOST_HEAD " codec = 'lz4_block' }", "needs decoded");
  host_rejects(HOST_HEAD " on_error = 'ignore' }", "valid: \"fail\", \"skip\"");
  host_rejects(HOST_HEAD " params = { a = {} } }", "params.a: the default must be");
  host_rejects(HOST_HEAD " params = { a = { 1, 2 } } }", "params.a: the help must be a string");
  host_rejects(HOST_HEAD " out_max = 5 }", "there is no transform");
  host_rejects(HOST_HEAD " options = { wrokers = 3 } }", "workers");
  host_rejects(HOST_HEAD " options = { workers = 'many' } }", "job.lua:4:");
  host_rejects(HOST_HEAD " state = 'double a;' }", "state has no use without a transform");
  host_rejects(HOST_HEAD " piece = '1MiB' }", "there is no transform");
  host_rejects("local lsio = require 'lsio'\nlocal s = lsio.files('x', { chnk = 3 })",
      "job.lua:2: unknown option of lsio.files \"chnk\"; did you mean \"chunk\"?");
  host_rejects("local lsio = require 'lsio'\nlocal s = lsio.files('x', { chunk = '3 furlongs' })",
      "job.lua:2: lsio.files: chunk must be a size");
  host_rejects("local lsio = require 'lsio'\nlocal s = lsio.npy('x', { exists = 'maybe' })",
      "valid: \"error\", \"replace\"");
  host_rejects("local lsio = require 'lsio'\nlocal s = lsio.npy('x', { shape = { -1, -1 } })",
      "one -1");
  host_rejects("local lsio = require 'lsio'\nlocal s = lsio.ranges { offset = {} }",
      "objects (a list of paths) is missing");
  host_rejects("require 'nothing_there'", "module 'nothing_there' not found");
}

#define T " transform = function() end,"

static void test_state_errors(void **state) {
  (void)state;
  host_rejects(HOST_HEAD T " state = 'dobule a;' }",
      "state: unknown type \"dobule\"; did you mean \"double\"?");
  host_rejects(HOST_HEAD T " state = 'double a, a;' }", "declared twice");
  host_rejects(HOST_HEAD T " state = 'double *a;' }", "neither a name nor name[count]");
  host_rejects(HOST_HEAD T " state = 'double a[0];' }", "from 1, not 0");
  host_rejects(HOST_HEAD T " state = '' }", "no fields");
  host_rejects(HOST_HEAD T " state = 'double a;', reduce = { b = 'sum' } }",
      "unknown state field \"b\"");
  host_rejects(HOST_HEAD T " state = 'double a, b;', reduce = { a = 'sum' } }",
      "\"b\" of state has no reducer");
  host_rejects(HOST_HEAD T " state = 'double a;', reduce = { a = 'som' } }",
      "unknown reducer \"som\"; did you mean \"sum\"?");
  host_rejects(HOST_HEAD T " state = 'double a;', reduce = { a = 'band' } }", "wants integers");
  host_rejects(HOST_HEAD T " state = 'double a;', reduce = { a = 'moments' } }", "does not fit");
  host_rejects(HOST_HEAD T " state = 'lsio_moments a;', reduce = { a = 'sum' } }",
      "its reducer is \"moments\"");
  host_rejects(HOST_HEAD T " state = 'double a;', done = function() end }", "reduce is missing");
  host_rejects(HOST_HEAD T " state = function() return {} end, done = function() end }",
               "reduce is missing");
  host_rejects(HOST_HEAD T " reduce = 'sum' }", "neither state nor finish");
  host_rejects(HOST_HEAD T " state = 'u8 big[5000];', reduce = { big = 'sum' }, on_error = "
      "'skip' }", "at most 4096");
  host_rejects(HOST_HEAD T " sink = lsio.npy('x'), on_error = 'skip' }", "needs fill");
}

static void params_fail(const char *args, const char *part) {
  struct host_job j;
  assert_int_equal(host_load(&j, HOST_SUM, args), LSIO_ERR_USAGE);
  host_check_message(&j, LSIO_ERR_USAGE, part);
  host_unload(&j);
}

static void test_params(void **state) {
  (void)state;
  params_fail("--tt=3", "unknown parameter \"--tt\"; did you mean \"--t\"?");
  params_fail("--t=abc", "--t wants a number, not \"abc\"");
  params_fail("--t", "--t wants a value");
  params_fail("--on=maybe", "true or false");
  params_fail("--no-on=1", "takes no value");
  params_fail("-x", "unknown option -x");
  struct host_job j;
  assert_int_equal(host_load(&j, HOST_SUM, "--on --word=hello --no-on first -5 -- --last"), 0);
  char *text;
  assert_int_equal(host_ops->help(j.script, &text, &j.err), 0);
  assert_non_null(strstr(text, "--t N"));
  assert_non_null(strstr(text, "count above (default 0.5)"));
  lsi_free(text);
  host_unload(&j);
  static const char words[] =
      "local lsio = require 'lsio'\n"
      "return lsio.job { source = function(p) assert(p[1] == 'a' and p[2] == '-5' and p[3] == "
      "'--b')\n"
      " assert(p.flag == false and p.other_flag == true and p.s == 'v w') return "
      "lsio.files(p.path) end,\n"
      " params = { flag = true, other_flag = false, s = '', path = 'null' },\n"
      " setup = function(p) return { extra = { 1, 2, x = 'y' }, big = 2LL ^ 60 } end,\n"
      " state = function(p) assert(p.extra[2] == 2 and p.extra.x == 'y' and p[1] == 'a')\n"
      "  assert(p.big == 2LL ^ 60) return {} end,\n"
      " transform = function() end }\n";
  assert_int_equal(host_load(&j, words, "--no-flag --other-flag a -5"), 0);
  host_unload(&j);
}

static void test_prepare(void **state) {
  (void)state;
  host_make_data();
  char text[2048];
  struct host_job j;
  snprintf(text, sizeof text,
           "local lsio = require 'lsio'\nreturn lsio.job { type = 'f32', seed = 9, fill = -1,\n"
           " source = lsio.files({ '%s', '%s' }, { chunk = 1024 }), options = { workers = 3 },\n"
           " sink = lsio.npy('/tmp/x-{shard}.npy', { type = 'f64', shape = { -1, 4 }, exists = "
           "'replace',\n"
           " order = 'completed', durability = 'none' }), out_max = 9,\n"
           " transform = function(c) for i = 0, 8 do c.out[i] = c.data[i] + 0.25 end return 9 "
           "end }",
           host_data, host_data);
  host_start(&j, text, NULL);
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
  assert_true(j.spec.sink.replace && j.spec.sink.as_completed);
  assert_int_equal(j.spec.sink.durability, LSI_DURABLE_NONE);
  assert_true(j.spec.has_out_max && j.spec.out_max == 9 && j.spec.has_fill && j.spec.fill == -1);
  assert_int_equal(host_open_worker(&j, &host_workers[0], 0, 1), 0);
  assert_int_equal(host_step(&j, &host_workers[0], host_floats, 100, 4, 0), 0);
  assert_true(((double *)host_workers[0].out)[3] == host_floats[3] + 0.25);
  j.spec.transform->close(host_workers[0].state);
  host_unload(&j);
  host_prepare_fails("local lsio = require 'lsio'\nreturn lsio.job { source = "
      "lsio.files('/nowhere/at/all') }",
              LSIO_ERR_SOURCE, "/nowhere/at/all");
  host_prepare_fails("local lsio = require 'lsio'\nreturn lsio.job { source = "
      "lsio.files('/nowhere/*.x') }",
              LSIO_ERR_SOURCE, "/nowhere/*.x");
  host_prepare_fails("local lsio = require 'lsio'\nreturn lsio.job { source = function() return "
      "3 end }",
              LSIO_ERR_SCRIPT, "the function source returned 3");
  host_prepare_fails("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files('null', "
      "{ chunk = 10 }), type = 'f32' }",
              LSIO_ERR_SCRIPT, "no multiple of the 4 bytes");
  host_prepare_fails(HOST_HEAD " setup = function() return { f = print } end, transform = "
      "function() end }",
              LSIO_ERR_SCRIPT, "params.f is a function");
  host_prepare_fails(HOST_HEAD " setup = function()\n local x = nil .. 'a' end, transform = "
      "function() end }",
              LSIO_ERR_SCRIPT, "job.lua:5: attempt to");
  unlink(host_data);
}

static void ranges(const char *body, uint32_t n, const int64_t *want) {
  char text[2048];
  snprintf(text, sizeof text,
           "local lsio, ffi = require 'lsio', require 'ffi'\nlocal path = '%s'\nreturn lsio.job "
           "{ source = lsio.ranges { %s } }",
           host_data, body);
  struct host_job j;
  host_start(&j, text, NULL);
  const struct lsi_request *r = j.spec.request;
  assert_int_equal(r->n_chunks, n);
  for (uint32_t i = 0; i < n; i++) {
    assert_int_equal(r->object[i], want[4 * i]);
    assert_int_equal(r->offset[i], want[4 * i + 1]);
    assert_int_equal(r->length[i], want[4 * i + 2]);
    assert_int_equal(r->tag ? r->tag[i] : 0, want[4 * i + 3]);
  }
  assert_true(j.spec.identity);
  host_unload(&j);
}

#define LATE 600 /* files in each folder: of both together only the first of each is looked at */

static void each_late_file(const char *folder, bool make) {
  char path[128];
  for (int i = 0; i < LATE; i++) {
    snprintf(path, sizeof path, "%s/%03d", folder, i);
    FILE *f = make ? fopen(path, "w") : NULL;
    if (f) fclose(f);
    else unlink(path);
  }
}

/* A file that is not looked at lies on the device of its folder. */
static void test_late_files_of_two_devices(void **state) {
  (void)state;
  char other[] = "/dev/shm/lsio-host-XXXXXX", text[512];
  struct stat here, there;
  if (!mkdtemp(other)) skip();
  assert_int_equal(mkdir("late", 0755), 0);
  assert_int_equal(stat("late", &here) | stat(other, &there), 0);
  each_late_file("late", true);
  each_late_file(other, true);
  snprintf(text, sizeof text, "local lsio = require 'lsio'\n"
                              "return lsio.job { source = lsio.files({ 'late/*', '%s/*' }, { whole = true }),\n"
                              "  transform = function() end }\n", other);
  struct host_job j;
  host_start(&j, text, NULL);
  const struct lsi_request *r = j.spec.request;
  uint64_t device[2];
  int n[2] = {0}, wrong = 0, known = 0;
  for (uint32_t i = 0; i < r->n_objects; i++) {
    const bool far = lsi_request_name(r, i)[0] == '/';
    if (!n[far]++) device[far] = r->objects[i].device;
    wrong += r->objects[i].device != device[far];
    known += (r->objects[i].known & LSI_KNOWN_SIZE) != 0;
  }
  host_unload(&j);
  each_late_file("late", false);
  each_late_file(other, false);
  assert_int_equal(rmdir("late") | rmdir(other), 0);
  assert_int_equal(n[0], LATE);
  assert_int_equal(n[1], LATE);
  assert_int_equal(known, 2);
  assert_int_equal(wrong, 0);
  if (here.st_dev == there.st_dev) skip();
  assert_true(device[0] != device[1]);
}

static void test_ranges(void **state) {
  (void)state;
  host_make_data();
  static const int64_t want[] = {0, 0, 10, 5, 1, 3990, 10, 6, 0, 0, 10, -7};
  ranges("objects = { path, path }, object = { 0, 1, 0 }, offset = { 0, -10, 0 }, length = { 10, "
      "10, 10 },"
         " tag = { 5, 6, -7 }", 3, want);
  ranges("objects = { path, path }, object = ffi.new('int32_t[3]', { 0, 1, 0 }),"
         " offset = ffi.new('int64_t[?]', 3, { 0, -10, 0 }), length = 10,"
         " tag = ffi.new('int64_t[3]', { 5, 6, -7 })", 3, want);
  static const int64_t one[] = {0, 8, 16, 0};
  ranges("objects = path, offset = { 8 }, length = { 16 }", 1, one);
  static const int64_t ends[] = {0, 8, 3992, 0, 0, 3998, 2, 0};
  ranges("objects = path, offset = { 8, -2 }", 2, ends);
  ranges("objects = path, offset = { 8, -2 }, length = -1", 2, ends);
  ranges("objects = path, offset = { 8, -2 }, length = { -1, -1 }", 2, ends);
  ranges("objects = path, offset = { 8, -2 }, length = ffi.new('int64_t[2]', -1, 2)", 2, ends);
  host_prepare_fails("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.ranges { "
      "objects = 'null',"
              " offset = { 0 }, length = { -2 } } }",
              LSIO_ERR_SCRIPT, "length[1] is -2, not a whole number from 0, or -1: up to the object's end");
  host_prepare_fails("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.ranges { "
      "objects = 'null',"
              " object = { 1 }, offset = { 0 }, length = { 0 } } }",
              LSIO_ERR_SCRIPT, "not among the 1 objects");
  host_prepare_fails("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.ranges { "
      "objects = 'null',"
              " offset = { 0, 1 }, length = { 0 } } }",
              LSIO_ERR_SCRIPT, "length has 1 elements, offset has 2");
  host_prepare_fails("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.ranges { "
      "objects = 'null',"
              " offset = { 0.5 }, length = { 0 } } }",
              LSIO_ERR_SCRIPT, "offset[1] is 0.5");
  static const char csv[] = "ranges.csv";
  FILE *f = fopen(csv, "w");
  fprintf(f, "path,offset,length,tag\n%s,8,16,3\n%s,-4,4,9\n", host_data, host_data);
  fclose(f);
  char body[128];
  snprintf(body, sizeof body, "file = '%s'", csv);
  static const int64_t rows[] = {0, 8, 16, 3, 0, 3996, 4, 9};
  ranges(body, 2, rows);
  unlink(csv);
  char header[LSI_NPY_DATA];
  const int64_t shape[] = {2, 3}, data[] = {1, 8, 16, 0, -4, 4};
  size_t n = lsi_npy_write_header(header, sizeof header, (struct lsi_dtype){LSI_I64, false}, 2, shape);
  f = fopen("ranges.npy", "wb");
  fwrite(header, n, 1, f);
  fwrite(data, sizeof data, 1, f);
  fclose(f);
  static const int64_t npy_rows[] = {1, 8, 16, 0, 0, 3996, 4, 0};
  ranges("file = 'ranges.npy', objects = { path, path }", 2, npy_rows);
  host_prepare_fails("local lsio = require 'lsio'\nreturn lsio.job { source = lsio.ranges {"
                     " file = 'ranges.npy', objects = 'data.f32' } }",
                     LSIO_ERR_USAGE, "speaks of object 1, but there are 1 objects");
  unlink("ranges.npy");
  unlink(host_data);
}

/* Every name that the declarations for editors speak of exists. */
static void test_types_for_editors(void **state) {
  (void)state;
  const char *root = getenv("LSIO_SOURCE_DIR");
  if (!root) skip();
  char text[2048];
  snprintf(text, sizeof text,
           "local lsio = require 'lsio'\nlocal declared, n = assert(loadfile('%s/lua/types/lsio.lua'))(), 0\n"
           "local function check(has, real)\n"
           " for name, v in pairs(has) do n = n + 1 assert(type(real[name]) == type(v), name)\n"
           "  if type(v) == 'table' then check(v, real[name]) end end end\n"
           "check(declared, lsio) assert(n > 30)\n"
           "return lsio.job { source = lsio.files('null') }", root);
  struct host_job j;
  int rc = host_load(&j, text, NULL);
  if (rc) fprintf(stderr, "%s\n", j.err.what);
  assert_int_equal(rc, 0);
  host_unload(&j);
}

static void test_doctor(void **state) {
  (void)state;
  char *text = host_ops->doctor();
  assert_non_null(text);
  assert_non_null(strstr(text, "LuaJIT 2.1"));
  assert_non_null(strstr(text, "JIT: "));
  lsi_free(text);
}

/* Each kernel is found under its name, the first one that is asked for and all others; no name stands for none. */
static void test_kernels_by_name(void **state) {
  (void)state;
  struct host_job j;
  host_start(&j,
      "local lsio = require 'lsio'\n"
      "local _, message = pcall(function() return lsio.k.zzzzzzzzzz end)\n"
      "local n = 0\n"
      "for name in assert(message:match 'valid: (.*)$'):gmatch '[%w_]+' do\n"
      "  n = n + 1\n"
      "  if type(lsio.k[name]) ~= 'function' then error(name .. ' is none') end\n"
      "end\n"
      "for _, part in ipairs { 'bytes', 'group', 'hash', 'map', 'mask', 'order', 'pair', 'reduce', 'select' } do\n"
      "  for name, f in pairs(require('lsio.k_' .. part)) do\n"
      "    n = n - 1\n"
      "    if lsio.k[name] ~= f then error(name .. ' is another one') end\n"
      "  end\n"
      "end\n"
      "assert(n == 0, n)\n"
      "return lsio.job { source = lsio.files('null') }\n", NULL);
  host_unload(&j);
  host_rejects("local lsio = require 'lsio'\nreturn lsio.k.scale_ofset",
      "job.lua:2: unknown lsio.k function \"scale_ofset\"; did you mean \"scale_offset\"?");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_load_errors),
      cmocka_unit_test(test_state_errors),
      cmocka_unit_test(test_params),
      cmocka_unit_test(test_prepare),
      cmocka_unit_test(test_late_files_of_two_devices),
      cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_types_for_editors),
      cmocka_unit_test(test_kernels_by_name),
      cmocka_unit_test(test_doctor),
  };
  return cmocka_run_group_tests(tests, host_setup, host_teardown);
}
