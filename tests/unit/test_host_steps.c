/* Jobs written in Lua at work, without an engine: steps over memory, results, errors, merging. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host_job.h"
#include "ground/mem.h"

static void test_contract_example(void **state) {
  (void)state;
  host_gives(HOST_SUM, NULL, 2, 10, "{\"above\":990,\"n\":1000,\"sum\":49500}");
  host_gives(HOST_SUM, "--t=49.5", 3, 10, "{\"above\":500,\"n\":1000,\"sum\":49500}");
  host_gives(HOST_SUM, "--t 98.5", 1, 10, "{\"above\":10,\"n\":1000,\"sum\":49500}");
  host_gives(HOST_SUM, NULL, 1, 0, "{\"above\":0,\"n\":0,\"sum\":0}");
}

/* Every field of a chunk, its views, its errors. */
static void test_chunk(void **state) {
  (void)state;
  host_gives(HOST_HEAD " type = 'f32', state = function() return { n = 0 } end, reduce = 'sum',\n"
             " transform = function(c, s)\n"
             "  assert(c.n == 100 and c.bytes == 400 and c.object == 3 and c.object_size == 4096)\n"
             "  assert(c.offset == 128 and c.length == 400 and c.tag == 77 and c.name == 'x.f32')\n"
             "  assert(c.pos == c.index * 10 and c.type == 'f32' and c.data.type == 'f32')\n"
             "  assert(c.worker == c.index % 2 and c.data.n == 100 and #c.data == 100)\n"
             "  assert(c.data[0] == 0 and c.data[99] == 99 and c.data.ptr[7] == 7)\n"
             "  assert(c.out.n == 100 and c.scratch.n == 100)\n"
             "  for i = 0, c.n - 1 do c.out[i] = c.data[i] * 2; c.scratch[i] = 1 end\n"
             "  assert(c.out[99] == 198 and lsio.k.sum(c.scratch) == 100)\n"
             "  local sum, lo, hi, above = lsio.k.stats(c.data, c.n, 3)\n"
             "  assert(sum == 4950 and lo == 0 and hi == 99 and above == 96)\n"
             "  sum, lo, hi, above = lsio.k.sum_minmax(c.data, 10)\n"
             "  assert(sum == 45 and lo == 0 and hi == 9 and above == nil)\n"
             "  for _, f in ipairs { function() return c.data[100] end, function() return "
             "c.data[-1] end,\n"
             "    function() return c.data[0.5] end, function() return c.data[0/0] end,\n"
             "    function() c.data[0] = 1 end, function() c.out[100] = 1 end, function() c.n = "
             "1 end,\n"
             "    function() c.x = 1 end, function() return c.data.x end, function() c.data = "
             "c.out end,\n"
             "    function() c.out.n = 5 end, function() c.out['1'] = 5 end, function() "
             "c.out[1.5] = 5 end } do\n"
             "   assert(not pcall(f)) end\n"
             "  s.n = s.n + 1\n"
             " end }",
        NULL, 2, 300, "{\"n\":300}");
  host_step_fails(HOST_HEAD " type = 'f32',\n transform = function(c)\n  return c.data[c.n] end }",
             "job.lua:6: index 100 is out of range: valid are 0 to 99");
  host_step_fails(HOST_HEAD " type = 'f32',\n transform = function(c)\n  local x = c.dat end }",
             "job.lua:6: unknown field of chunk \"dat\"; did you mean \"data\"?");
  host_step_fails(HOST_HEAD " type = 'f32',\n transform = function(c)\n  c.data[1] = 3 end }",
             "read-only; write to chunk.out or chunk.scratch");
  host_step_fails(HOST_HEAD " type = 'f32',\n transform = function(c)\n  local x = c.data[1.5] "
      "end }",
             "job.lua:6: index 1.5 is not a whole number");
  host_step_fails(HOST_HEAD " type = 'f32',\n transform = function(c)\n  total = 1 end }",
             "job.lua:6: a job can't write the global \"total\"");
  host_step_fails(HOST_HEAD " type = 'f32',\n transform = function(c)\n  lsio.k.summ(c.data) end }",
             "job.lua:6: unknown lsio.k function \"summ\"; did you mean \"sum\"?");
  host_step_fails(HOST_HEAD " type = 'f32',\n transform = function(c)\n  lsio.k.sum(c.data, 101) "
      "end }",
             "job.lua:6: sum: n is 101, not a whole number from 0 to 100");
  host_step_fails(HOST_HEAD " type = 'f32',\n transform = function(c)\n  lsio.k.stats(c.data) end }",
             "job.lua:6: stats: the value to compare with must be a number, not nil");
  host_step_fails(HOST_HEAD " type = 'f32',\n transform = function(c)\n  local x = nil + 1 end }",
      "job.lua:6: attempt to");
  host_step_fails(HOST_HEAD " type = 'f32', state = 'double sum;',\n transform = function(c, "
      "s)\n  s.sun = 1 end }",
             "job.lua:6: unknown state field \"sun\"; did you mean \"sum\"?");
}

static int32_t result_of(const char *body, const char *more, struct host_worker **w, struct host_job *j) {
  static char text[2048];
  snprintf(text, sizeof text, HOST_HEAD " type = 'f32', %s\n transform = function(c, s)\n %s end "
      "}", more, body);
  host_start(j, text, NULL);
  assert_int_equal(host_open_worker(j, &host_workers[0], 0, 1), 0);
  int rc = host_step(j, &host_workers[0], host_floats, 100, 4, 5);
  *w = &host_workers[0];
  return rc ? rc : host_workers[0].step.result;
}

static void check_result(const char *body, const char *more, int32_t result, double n,
                         const char *record) {
  struct host_worker *w;
  struct host_job j;
  int32_t got = result_of(body, more, &w, &j);
  assert_int_equal(got, result);
  if (result == LSI_RESULT_COUNT) assert_true(w->step.result_n == n);
  if (record) {
    assert_int_equal(w->step.record_length, strlen(record));
    assert_memory_equal(w->step.record, record, strlen(record));
  }
  if (result < 0) host_check_message(&j, result, "job.lua:5: ");
  j.spec.transform->close(w->state);
  host_unload(&j);
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
  check_result("return { n = c.n, list = { 1, 2.5, 'x' }, b = true, e = {}, f = 1/0, i = "
      "12345678901234567LL }", "",
               LSI_RESULT_RECORD, 0,
               "{\"b\":true,\"e\":{},\"f\":null,\"i\":12345678901234567,\"list\":[1,2.5,\"x\"],\"n\":100}");
  check_result("return { ['\\255'] = '\\195\\169\\128', n = 18446744073709551615ULL }", "", LSI_RESULT_RECORD, 0,
               "{\"n\":18446744073709551615,\"\\\\xFF\":\"\xC3\xA9\\\\x80\"}");
  check_result("return { 7, ['1'] = 8 }", "", LSIO_ERR_TRANSFORM, 0, NULL);
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
  host_gives(HOST_HEAD " type = 'f32', state = 'f64 s, p; f32 lo, hi; i64 big; u8 h[4]; double "
      "hist[10]; u32 bits, all; lsio_moments m; double private;',\n"
             " reduce = { s = 'sum', p = 'prod', lo = 'min', hi = 'max', big = 'sum', h = 'sum', "
             "hist = 'sum',"
             " bits = 'bor', all = 'band', m = 'moments', private = 'none' },\n"
             " transform = function(c, s)\n"
             "  s.s = s.s + 1; s.p = s.p * 2; s.lo = math.min(s.lo, c.index); s.hi = "
             "math.max(s.hi, c.index)\n"
             "  s.big = s.big + 2LL ^ 53; s.h[c.index % 4] = s.h[c.index % 4] + 1\n"
             "  lsio.k.histogram(c.data, c.n, 0, 100, 10, s.hist)\n"
             "  s.bits = bit.bor(s.bits, bit.lshift(1, c.index)); s.all = bit.band(s.all, 7)\n"
             "  lsio.k.moments(c.data, c.n, s.m)\n"
             " end,\n"
             " done = function(r) assert(r.private == nil and r.h[0] == 3 and r.h.n == 4 and "
             "#r.hist == 10)\n"
             "  assert(not pcall(function() return r.h[4] end) and r.m.n == 1000)\n"
             "  assert(r.big == 10 * 2LL ^ 53 and type(r.s) == 'number') end }",
        NULL, 3, 10,
        "{\"all\":7,\"big\":90071992547409920,\"bits\":1023,\"h\":[3,3,2,2],\"hi\":9,"
        "\"hist\":[100,100,100,100,"
        "100,100,100,100,100,100],\"lo\":0,\"m\":{\"m2\":833250,\"mean\":49.5,\"n\":1000},\"p\":1024,"
        "\"s\":10}");
  host_gives(HOST_HEAD " type = 'f32', state = function() return { list = {}, text = '', counts "
      "= {}, best = -1/0 } end,\n"
             " transform = function(c, s) s.list[#s.list + 1] = c.index; s.text = s.text .. "
             "c.index\n"
             "  local k = 'k' .. c.index % 2; s.counts[k] = (s.counts[k] or 0) + 1\n"
             "  s.best = math.max(s.best, c.index) end,\n"
             " reduce = { list = 'concat', text = 'concat', counts = 'sum', best = 'max' } }",
        NULL, 2, 5,
        "{\"best\":4,\"counts\":{\"k0\":3,\"k1\":2},\"list\":[0,2,4,1,3],\"text\":\"02413\"}");
  host_gives(HOST_HEAD " type = 'f32', state = 'double n;', transform = function(c, s) s.n = s.n "
      "+ 1 end,\n"
             " finish = function(s, p) return { n = s.n, who = { 'w' } } end,\n"
             " reduce = function(a, b) return { n = a.n + b.n, who = { a.who[1] .. b.who[1] } } "
             "end }",
        NULL, 3, 7, "{\"n\":7,\"who\":[\"www\"]}");
  host_gives(HOST_HEAD " type = 'f32', state = 'double n;', transform = function(c, s) s.n = s.n "
      "+ 1 end,\n"
             " finish = function(s) return s.n end, reduce = 'sum', done = function(r) assert(r "
             "== 7) end }",
        NULL, 2, 7, "{\"result\":7}");
  host_gives(HOST_HEAD " type = 'f32', transform = function(c, s) assert(s == nil) end,\n"
             " done = function(r) assert(r == nil) end }",
        NULL, 2, 7, "{}");
  host_gives(HOST_HEAD " type = 'f32', state = 'double n;', reduce = { n = 'max' }, init = "
      "function(s, w, p) s.n = w end,\n"
             " transform = function(c, s) end }",
        NULL, 3, 7, "{\"n\":2}");
}

/* finish for its side effects only, with several workers. */
static void test_finish_without_value(void **state) {
  (void)state;
  host_gives(HOST_HEAD " state = 'double n;', transform = function() end,\n"
             " finish = function() assert(package.once == nil) package.once = 1 end,\n"
             " done = function(r) assert(r == nil) end }", NULL, 3, 7, "{}");
}

/* A view that was kept is empty when the call has returned, also when the call failed. */
static void test_kept_view(void **state) {
  (void)state;
  struct host_job j;
  host_start(&j, "local kept\n" HOST_HEAD " type = 'f32', reduce = 'sum', transform = function(c)\n"
                 "  kept = c.data if c.index == 1 then error('x') end end,\n"
                 " finish = function() assert(kept.n == 0 and not pcall(function() return kept[0] end))\n"
                 "  return 1 end }", NULL);
  for (int failing = 0; failing < 2; failing++) {
    assert_int_equal(host_open_worker(&j, &host_workers[0], 0, 1), 0);
    assert_int_equal(host_step(&j, &host_workers[0], host_floats, 100, 4, failing),
                     failing ? LSIO_ERR_TRANSFORM : 0);
    lsi_error_clear(&j.err);
    assert_int_equal(j.spec.transform->finish(host_workers[0].state, &j.err), 0);
    j.spec.transform->close(host_workers[0].state);
  }
  host_unload(&j);
}

/* A failed step leaves the state as it was. */
static void test_skip(void **state) {
  (void)state;
  struct host_job j;
  host_start(&j, HOST_HEAD " type = 'f32', on_error = 'skip', state = 'double n, a[3];', reduce "
      "= 'sum',\n"
                 " transform = function(c, s) s.n = s.n + 1; s.a[1] = s.a[1] + 1\n"
                 "  if c.index % 2 == 1 then error('odd') end end }", NULL);
  assert_int_equal(j.settings.on_error, LSI_ON_ERROR_SKIP);
  assert_int_equal(j.spec.on_error, LSI_ON_ERROR_SKIP);
  assert_int_equal(host_open_worker(&j, &host_workers[0], 0, 1), 0);
  for (int i = 0; i < 400; i++) {
    int rc = host_step(&j, &host_workers[0], host_floats, 100, 4, i);
    assert_int_equal(rc, i % 2 ? LSIO_ERR_TRANSFORM : 0);
    if (rc) host_check_message(&j, LSIO_ERR_TRANSFORM, "job.lua:6: odd");
  }
  lsi_error_clear(&j.err);
  char *json = host_end(&j, host_workers, 1);
  assert_string_equal(json, "{\"a\":[0,200,0],\"n\":200}");
  lsi_free(json);
  host_unload(&j);
}

/* Pieces of a step: one copy of the state for all, taken before the first. */
static void test_pieces(void **state) {
  (void)state;
  struct host_job j;
  struct host_worker *w = &host_workers[0];
  host_start(&j, HOST_HEAD " type = 'f32', piece = 400, on_error = 'skip', reduce = 'sum',\n"
                 " state = 'double n, first, last, random;', transform = function(c, s)\n"
                 "  s.n = s.n + 1; s.random = s.random + c.random()\n"
                 "  if c.first then s.first = s.first + 1 end\n"
                 "  if c.last then s.last = s.last + 1 end\n"
                 "  if c.index == 1 and c.last then error('third') end end }", NULL);
  assert_int_equal(j.spec.piece, 400);
  assert_int_equal(host_open_worker(&j, w, 0, 1), 0);
  static const int32_t pieces[] = {LSI_PIECE_MORE, LSI_PIECE_LATER | LSI_PIECE_MORE, LSI_PIECE_LATER};
  for (int step = 0; step < 3; step++)
    for (int i = 0; i < 3; i++) {
      w->step.piece = pieces[i];
      int rc = host_step(&j, w, host_floats, 100, 4, step);
      assert_int_equal(rc, step == 1 && i == 2 ? LSIO_ERR_TRANSFORM : 0);
      if (rc) host_check_message(&j, LSIO_ERR_TRANSFORM, "job.lua:9: third");
      if (step == 2 && i == 1) { /* what comes next can't be decoded */
        j.spec.transform->undo(w->state);
        break;
      }
    }
  w->step.piece = 0;
  lsi_error_clear(&j.err);
  char *json = host_end(&j, host_workers, 1);
  assert_non_null(strstr(json, "\"first\":1,\"last\":1,\"n\":3,"));
  lsi_free(json);
  host_unload(&j);
}

/* Two jobs in one context see nothing of each other. */
static void test_fresh_environment(void **state) {
  (void)state;
  host_gives("string.hello = 1\n" HOST_HEAD " transform = function() end }", NULL, 1, 1, "{}");
  host_gives("assert(rawget(string, 'hello') == nil)\n" HOST_HEAD " transform = function() end "
      "}", NULL, 1, 1, "{}");
}

/* chunk.random: the same for a step on any worker, different between steps and seeds. */
static void test_random(void **state) {
  (void)state;
  static const char text[] =
      HOST_HEAD " type = 'f32', seed = 4, state = function() return { at = {} } end, reduce = { "
          "at = 'sum' },\n"
           " transform = function(c, s) local a, b = c.random(), c.random(10)\n"
           "  assert(a >= 0 and a < 1 and b >= 1 and b <= 10 and b % 1 == 0)\n"
           "  assert(not pcall(c.random, 5, 1))\n"
           "  s.at['s' .. c.index] = a end }";
  char *one = host_run(text, NULL, 1, 20), *three = host_run(text, NULL, 3, 20);
  assert_string_equal(one, three);
  assert_non_null(strstr(one, "\"s19\":0."));
  lsi_free(one);
  lsi_free(three);
  host_gives(HOST_HEAD " type = 'f32', transform = function(c)\n"
                       "  local came = {}\n"
                       "  for i = 1, 1000 do local r = c.random(3, 5) came[r] = (came[r] or 0) + 1 end\n"
                       "  assert(came[3] > 250 and came[4] > 250 and came[5] > 250)\n"
                       "  assert(came[3] + came[4] + came[5] == 1000 and c.random(7, 7) == 7) end }",
             NULL, 1, 3, "{}");
}

/* A Lua state in which something went badly wrong goes on with the next step. */
static void test_hard_errors(void **state) {
  (void)state;
  static const char *const bodies[] = {
      "local function f() return f() + 1 end f()", "error()", "error({})", "error(nil)",
      "error(setmetatable({}, { __tostring = function() error('again') end }))",
      "coroutine.wrap(function() error('inside') end)()"};
  for (size_t i = 0; i < LSI_COUNTOF(bodies); i++) {
    struct host_job j;
    char text[512];
    snprintf(text, sizeof text,
             HOST_HEAD " transform = function(c) if c.index == 0 then %s end end }", bodies[i]);
    host_start(&j, text, NULL);
    assert_int_equal(host_open_worker(&j, &host_workers[0], 0, 1), 0);
    assert_int_equal(host_step(&j, &host_workers[0], host_floats, 100, 4, 0), LSIO_ERR_TRANSFORM);
    assert_true(j.err.what[0]);
    assert_int_equal(host_step(&j, &host_workers[0], host_floats, 100, 4, 1), 0);
    j.spec.transform->close(host_workers[0].state);
    host_unload(&j);
  }
}

static void test_worker_errors(void **state) {
  (void)state;
  struct host_job j;
  host_start(&j, HOST_HEAD " init = function(s, w)\n error('no ' .. w) end, transform = "
      "function() end }", NULL);
  assert_int_equal(host_open_worker(&j, &host_workers[0], 2, 3), LSIO_ERR_TRANSFORM);
  host_check_message(&j, LSIO_ERR_TRANSFORM, "job.lua:5: no 2");
  host_unload(&j);
  host_start(&j, HOST_HEAD " finish = function(s)\n return { f = print } end, transform = "
      "function() end, reduce = 'sum' }", NULL);
  assert_int_equal(host_open_worker(&j, &host_workers[0], 0, 1), 0);
  assert_int_equal(j.spec.transform->finish(host_workers[0].state, &j.err), LSIO_ERR_TRANSFORM);
  host_check_message(&j, LSIO_ERR_TRANSFORM, "what finish returned.f is a function");
  j.spec.transform->close(host_workers[0].state);
  host_unload(&j);
  host_start(&j, HOST_HEAD " finish = function() return 3 end, transform = function() end }", NULL);
  assert_int_equal(host_open_worker(&j, &host_workers[0], 0, 1), 0);
  assert_int_equal(j.spec.transform->finish(host_workers[0].state, &j.err), LSIO_ERR_TRANSFORM);
  host_check_message(&j, LSIO_ERR_TRANSFORM, "has no reduce");
  j.spec.transform->close(host_workers[0].state);
  host_unload(&j);
  host_start(&j, HOST_HEAD " state = function() return 3 end, transform = function() end }", NULL);
  assert_int_equal(host_open_worker(&j, &host_workers[0], 0, 1), LSIO_ERR_TRANSFORM);
  host_check_message(&j, LSIO_ERR_TRANSFORM, "the function state returned 3, not a table");
  host_unload(&j);
  host_start(&j, HOST_HEAD " done = function(r, info)\n error('in done') end }", NULL);
  struct lsi_summary s = {.status = "done"};
  struct lsi_state_json json = {0};
  assert_int_equal(host_ops->merge(j.script, &json, NULL, &j.err), 0);
  assert_int_equal(host_ops->done(j.script, &s, &j.err), LSIO_ERR_TRANSFORM);
  host_check_message(&j, LSIO_ERR_TRANSFORM, "job.lua:5: in done");
  lsi_free(json.text);
  lsi_free(json.reduce);
  host_unload(&j);
}

/* What a reduce function returns goes to done as it is, JSON or not. */
static void ends(const char *reduced, bool no_json, const char *text) {
  char job[1024];
  snprintf(job, sizeof job,
           HOST_HEAD " type = 'f32', state = 'double n, h[2]; int64_t big;', transform = function(c, s) s.n = 1 end,\n"
                     " init = function(s) s.big = 2LL ^ 60 end,\n"
                     " reduce = function(a, b) %s end, done = function(r) assert(r.done == 7) end }", reduced);
  struct host_job j;
  host_start(&j, job, NULL);
  for (unsigned i = 0; i < 2; i++) {
    assert_int_equal(host_open_worker(&j, &host_workers[i], i, 2), 0);
    assert_int_equal(host_step(&j, &host_workers[i], host_floats, 100, 4, i), 0);
  }
  for (unsigned i = 0; i < 2; i++) {
    assert_int_equal(j.spec.transform->finish(host_workers[i].state, &j.err), 0);
    j.spec.transform->close(host_workers[i].state);
  }
  struct lsi_state_json json = {0};
  struct lsi_summary s = {.status = "done"};
  assert_int_equal(host_ops->merge(j.script, &json, NULL, &j.err), 0);
  assert_int_equal(host_ops->done(j.script, &s, &j.err), 0);
  assert_int_equal(json.text == NULL, no_json);
  assert_int_equal(json.error.code, no_json ? LSIO_ERR_OUTPUT : 0);
  const char *got = no_json ? json.error.what : json.text;
  if (!strstr(got, text)) fail_msg("%s: %s", reduced, got);
  lsi_free(json.text);
  lsi_free(json.reduce);
  host_unload(&j);
}

static void test_ends_of_a_reduce_function(void **state) {
  (void)state;
  ends("a.done = 7 return a", false, "{\"big\":1152921504606846976,\"done\":7,\"h\":[0,0],\"n\":1}");
  ends("a.x = '\\255\\195\\169' a.done = 7 return a", false, "\"x\":\"\\\\xFF\xC3\xA9\"");
  ends("return { done = 7, f = { 1, print } }", true, "a function can't be part of the state at f[2]");
  ends("a.done, a.t = 7, a return a", true, "nests deeper than 64 tables (or contains itself)");
  ends("return { done = 7, [true] = 1 }", true, "the state has a key of type boolean");
  ends("return { done = 7, p = require 'ffi'.new 'double *' }", true, "a cdata can't be part of the state at p");
  ends("return setmetatable({ done = 7 }, { __index = function(_, k) error(k) end })", false, "{\"done\":7}");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_contract_example),
      cmocka_unit_test(test_chunk),
      cmocka_unit_test(test_results),
      cmocka_unit_test(test_reduce),
      cmocka_unit_test(test_finish_without_value),
      cmocka_unit_test(test_kept_view),
      cmocka_unit_test(test_skip),
      cmocka_unit_test(test_pieces),
      cmocka_unit_test(test_fresh_environment),
      cmocka_unit_test(test_random),
      cmocka_unit_test(test_hard_errors),
      cmocka_unit_test(test_worker_errors),
      cmocka_unit_test(test_ends_of_a_reduce_function),
  };
  return cmocka_run_group_tests(tests, host_setup, host_teardown);
}
