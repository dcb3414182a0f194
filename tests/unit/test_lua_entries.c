/* Many jobs open at once in one state of Lua, loaded scripts, and memory that many jobs leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "host_job.h"
#include "seams/os.h"

#define JOBS 3
static struct host_job jobs[JOBS];
static struct host_worker workers[JOBS];

static void open_job(int i, const char *text, const char *args) {
  host_start(&jobs[i], text, args);
  const int rc = host_open_worker(&jobs[i], &workers[i], 0, 1);
  if (rc) fail_msg("open: %s", jobs[i].err.what);
}

static int step(int i, double index) {
  return host_step(&jobs[i], &workers[i], host_floats, 100, 4, index);
}

static void run_step(int i, double index) {
  if (step(i, index)) fail_msg("step: %s", jobs[i].err.what);
}

static void close_worker(int i) {
  jobs[i].spec.transform->close(workers[i].state);
  workers[i].state = NULL;
}

/* Its result as JSON (lsi_free). */
static char *end_job(int i) {
  char *json = host_end(&jobs[i], &workers[i], 1);
  host_unload(&jobs[i]);
  return json;
}

static void ends_as(int i, const char *json) {
  char *got = end_job(i);
  assert_string_equal(got, json);
  lsi_free(got);
}

static void drop_job(int i) {
  close_worker(i);
  host_unload(&jobs[i]);
}

/* What tells one job from another must not come from the one that opened last. */
#define OWN                                                                                       \
  "local lsio = require 'lsio'\nlocal calls = 0\nlocal function count() calls = calls + 1 end\n"  \
  "return lsio.job { source = lsio.files('null'), type = 'f32', params = { add = 1, fail = -1 },\n" \
  " state = 'double n; double h[3];', reduce = 'sum', seed = 5,\n"                                 \
  " transform = function(c, s, p) count()\n"                                                       \
  "  if c.index == p.fail then error('step ' .. c.index) end\n"                                    \
  "  s.n = s.n + p.add s.h[c.index % 3] = s.h[c.index % 3] + calls\n"                              \
  "  return ('%s %d %.6f'):format(p.add, c.index, c.random()) end }\n"

static void has_record(int i, const char *text) {
  const struct lsi_step *s = &workers[i].step;
  assert_int_equal(s->result, LSI_RESULT_RECORD);
  if (strlen(text) > s->record_length || memcmp(s->record, text, strlen(text)))
    fail_msg("%.*s, not %s", (int)s->record_length, s->record, text);
}

static void test_steps_in_turn(void **state) {
  (void)state;
  open_job(0, OWN, "--add=1");
  char alone[4][64];
  for (int k = 0; k < 4; k++) {
    run_step(0, k);
    snprintf(alone[k], sizeof alone[k], "%.*s", (int)workers[0].step.record_length, workers[0].step.record);
  }
  ends_as(0, "{\"h\":[5,2,3],\"n\":4}");
  open_job(0, OWN, "--add=1");
  open_job(1, OWN, "--add=10 --fail=2");
  open_job(2, HOST_HEAD " type = 'f32', state = function() return { list = '' } end, reduce = { list = 'concat' },\n"
                        " transform = function(c, s) s.list = s.list .. c.index end }", NULL);
  for (int k = 0; k < 4; k++) {
    run_step(0, k);
    if (k == 2) {
      assert_int_equal(step(1, k), LSIO_ERR_TRANSFORM);
      host_check_message(&jobs[1], LSIO_ERR_TRANSFORM, "job.lua:7: step 2");
    } else {
      run_step(1, k);
      has_record(1, k == 0 ? "10 0 " : k == 1 ? "10 1 " : "10 3 ");
    }
    has_record(0, alone[k]); /* it stays until its job's next step, and its numbers are its own */
    run_step(2, k);
  }
  drop_job(1);
  run_step(0, 4);
  ends_as(2, "{\"list\":\"0123\"}");
  ends_as(0, "{\"h\":[5,7,3],\"n\":5}");
}

static void test_any_order_of_closing(void **state) {
  (void)state;
  static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  for (int failing = -1; failing < JOBS; failing++)
    for (int o = 0; o < 6; o++) {
      for (int i = 0; i < JOBS; i++) open_job(i, OWN, i == failing ? "--fail=1" : "--add=2");
      for (int k = 0; k < 2; k++)
        for (int i = 0; i < JOBS; i++) assert_int_equal(step(i, k), i == failing && k ? LSIO_ERR_TRANSFORM : 0);
      for (int n = 0; n < JOBS; n++) {
        const int i = orders[o][n];
        if (i == failing)
          drop_job(i);
        else
          ends_as(i, "{\"h\":[1,2,0],\"n\":4}");
        for (int m = n + 1; m < JOBS; m++)
          if (orders[o][m] != failing) jobs[orders[o][m]].err.code = 0;
      }
    }
}

/* The third time it comes from what was kept of the second: nobody can tell. */
static void test_compiled_once(void **state) {
  (void)state;
  static const char text[] =
      "#!/usr/bin/env lsio-lua\nlocal lsio, n = require 'lsio', 0 assert(select('#', ...) == 0)\n"
      "n = n + 1 assert(n == 1)\nreturn lsio.job { source = lsio.files('null'), transform = function(c)\n"
      "  n = n + 1\n  local t = nil\n  return n, t.x\nend }";
  for (int k = 0; k < 4; k++) {
    open_job(0, text, NULL);
    assert_int_equal(step(0, 0), LSIO_ERR_TRANSFORM);
    host_check_message(&jobs[0], LSIO_ERR_TRANSFORM, "job.lua:7: attempt to index local 't' (a nil value)");
    drop_job(0);
    host_rejects("local a\nreturn lsio.job { source = }", "job.lua:2: unexpected symbol near '}'");
    host_rejects("local lsio = require 'lsio'\nreturn lsio.job {\n source = lsio.files('null'),\n typo = 1 }",
                 "job.lua:4: unknown key of lsio.job \"typo\"");
  }
}

/* ---- loaded scripts ---- */

static void release(void) {
  host_ops->release(host_loaded);
  host_loaded = NULL;
}

static int keep(const char *text, struct lsi_error *err) {
  const struct lsi_script_source src = {.text = text, .length = strlen(text), .name = "kept.lua"};
  lsi_error_clear(err);
  int rc = host_ops->keep(host_context, &src, &host_loaded, err);
  if (rc) return rc;
  rc = host_ops->open(host_loaded, err);
  if (!rc) return host_ops->open(host_loaded, err); /* it has run */
  release();
  return rc;
}

static void keep_script(const char *text) {
  struct lsi_error err;
  if (keep(text, &err)) fail_msg("%s", err.what);
}

#define COUNTER                                                                                  \
  "local lsio = require 'lsio'\nlocal jobs = 0\n"                                                \
  "return lsio.job { source = lsio.files('null'), type = 'f32', params = { add = 1 },\n"          \
  " state = 'double n, job;', reduce = { n = 'sum', job = 'max' },\n"                             \
  " init = function(s) jobs = jobs + 1 s.job = jobs end,\n"                                       \
  " transform = function(c, s, p) s.n = s.n + p.add end }\n"

static void test_loaded_script(void **state) {
  (void)state;
  keep_script(COUNTER);
  for (int k = 1; k <= 1000; k++) {
    char args[40], json[60];
    snprintf(args, sizeof args, "--add=%d", k);
    open_job(0, NULL, args);
    run_step(0, 0);
    run_step(0, 1);
    snprintf(json, sizeof json, "{\"job\":%d,\"n\":%d}", k, 2 * k);
    ends_as(0, json);
  }
  /* Two at once share the file's locals and nothing else; the script outlives its handle. */
  open_job(0, NULL, "--add=3");
  open_job(1, NULL, "--add=4");
  release();
  for (int k = 0; k < 2; k++) {
    run_step(0, k);
    run_step(1, k);
  }
  ends_as(1, "{\"job\":1002,\"n\":8}");
  run_step(0, 2);
  ends_as(0, "{\"job\":1001,\"n\":9}");
  keep_script(COUNTER);
  open_job(0, NULL, NULL);
  ends_as(0, "{\"job\":1,\"n\":0}");
  release();
}

static void test_loaded_script_that_fails(void **state) {
  (void)state;
  struct lsi_error err;
  assert_int_equal(keep("local lsio = require 'lsio'\nerror('top')", &err), LSIO_ERR_SCRIPT);
  assert_string_equal(err.what, "kept.lua:2: top");
  assert_int_equal(keep("return {}", &err), LSIO_ERR_SCRIPT);
  assert_int_equal(keep("x =", &err), LSIO_ERR_SCRIPT);
  /* Only in a worker, and only once: the next job runs it again. */
  keep_script("local lsio = require 'lsio'\nif io.open('broken') then error('broken') end\n"
              "return lsio.job { source = lsio.files('null'), transform = function() end }");
  FILE *f = fopen("broken", "w");
  fclose(f);
  host_start(&jobs[0], NULL, NULL);
  assert_int_equal(host_open_worker(&jobs[0], &workers[0], 0, 1), LSIO_ERR_SCRIPT);
  host_check_message(&jobs[0], LSIO_ERR_SCRIPT, "kept.lua:2: broken");
  host_unload(&jobs[0]);
  unlink("broken");
  open_job(0, NULL, NULL);
  run_step(0, 0);
  drop_job(0);
  /* What is wrong with a job of it is no fault of the script. */
  assert_int_equal(host_load(&jobs[0], NULL, "--nope=1"), LSIO_ERR_USAGE);
  host_check_message(&jobs[0], LSIO_ERR_USAGE, "unknown parameter --nope");
  host_unload(&jobs[0]);
  open_job(0, NULL, NULL);
  drop_job(0);
  release();
}

/* A worker drops what was released at its next job. */
static void test_released_script_is_dropped(void **state) {
  (void)state;
  keep_script("local lsio, t = require 'lsio', {}\nfor i = 1, 2e6 do t[i] = i end\n"
              "return lsio.job { source = lsio.files('null'), transform = function() return #t > 0 and false end }");
  open_job(0, NULL, NULL);
  run_step(0, 0);
  drop_job(0);
  release();
  for (int k = 0; k < 2; k++) {
    open_job(0, HOST_HEAD " params = { most = 1e9 }, transform = function(c, s, p)\n"
                          "  assert(collectgarbage 'count' < p.most, collectgarbage 'count') end }",
             k ? "--most=16000" : NULL);
    run_step(0, 0);
    drop_job(0);
  }
}

/* Every allocation of C fails once, from loading to the release. */
static void test_no_memory(void **state) {
  (void)state;
  bool through = false;
  int failures = 0;
  for (uint64_t n = 1; !through; n++) {
    assert_true(n < 500);
    const int64_t before = lsi_mem_live();
    struct host_job *j = &jobs[0];
    memset(&workers[0], 0, sizeof workers[0]);
    memset(j, 0, sizeof *j);
    lsi_mem_fail_nth(n, false);
    int rc = keep(COUNTER, &j->err);
    bool loaded = rc == 0;
    if (rc == 0) rc = host_load(j, NULL, "--add=2");
    if (rc == 0) rc = host_ops->prepare(j->script, &j->spec, &j->err);
    if (rc == 0) rc = host_open_worker(j, &workers[0], 0, 1);
    if (rc == 0) {
      rc = step(0, 0);
      const int finished = j->spec.transform->finish(workers[0].state, &j->err);
      if (rc == 0) rc = finished;
      close_worker(0);
    }
    struct lsi_state_json json = {0};
    if (rc == 0) rc = host_ops->merge(j->script, &json, NULL, &j->err);
    lsi_mem_fail_nth(0, false);
    if (loaded) release();
    if (rc) {
      host_check_message(j, LSIO_ERR_NOMEM, "");
      failures++;
    } else {
      assert_string_equal(json.text, "{\"job\":1,\"n\":2}");
      through = true;
    }
    lsi_free(json.text);
    lsi_free(json.reduce);
    if (loaded) host_unload(j);
    /* What a worker has yet to drop goes with its next job. */
    open_job(1, HOST_HEAD " transform = function() end }", NULL);
    drop_job(1);
    if (lsi_mem_live() > before + (n == 1)) fail_msg("allocation %d: blocks are lost", (int)n);
  }
  assert_true(failures > 10);
}

/* ---- threads ---- */

struct thread_arg {
  unsigned index;
  int rc;
};

static void work(void *arg) {
  struct thread_arg *a = arg;
  struct host_job mine = jobs[0]; /* its own place for errors */
  struct host_worker *w = &host_workers[a->index];
  a->rc = host_open_worker(&mine, w, a->index, 4);
  for (int k = 0; a->rc == 0 && k < 50; k++) a->rc = host_step(&mine, w, host_floats, 100, 4, k);
  if (a->rc == 0) a->rc = mine.spec.transform->finish(w->state, &mine.err);
  if (w->state) mine.spec.transform->close(w->state);
}

/* One loaded script on four threads at once, loaded and released again and again. */
static void test_loaded_on_threads(void **state) {
  (void)state;
  for (int round = 0; round < 20; round++) {
    keep_script(COUNTER);
    for (int k = 1; k <= 3; k++) {
      host_start(&jobs[0], NULL, NULL);
      struct thread_arg args[4];
      struct lsi_thread *threads[4];
      for (unsigned i = 0; i < 4; i++) {
        args[i] = (struct thread_arg){i, -1};
        assert_int_equal(lsi_os_thread_start(&threads[i], "work", work, &args[i]), 0);
      }
      for (unsigned i = 0; i < 4; i++) lsi_os_thread_join(threads[i]);
      for (unsigned i = 0; i < 4; i++) assert_int_equal(args[i].rc, 0);
      if (k == 3) release();
      struct lsi_state_json json = {0};
      assert_int_equal(host_ops->merge(jobs[0].script, &json, NULL, &jobs[0].err), 0);
      char wanted[60];
      snprintf(wanted, sizeof wanted, "{\"job\":%d,\"n\":200}", k);
      assert_string_equal(json.text, wanted);
      lsi_free(json.text);
      lsi_free(json.reduce);
      host_unload(&jobs[0]);
    }
  }
}

/* ---- memory ---- */

static long rss_kib(void) {
  long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f || fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
  if (f) fclose(f);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1 /* freed memory waits in quarantine */
#else
#define SANITIZED 0
#endif

static int scale(int n) { return getenv("LSIO_SWEEP") ? 100000 : n; }

/* Runs n jobs, the k-th of text_of(k); memory must not grow by more than 4 MiB after the first `warm`. */
static void stays_small(int n, int warm, int steps, void (*text_of)(int k, char *text, size_t cap)) {
  long before = 0, most = 0;
  for (int k = 0; k < n; k++) {
    char text[1024];
    text_of(k, text, sizeof text);
    open_job(0, text, NULL);
    for (int i = 0; i < steps; i++) run_step(0, i);
    lsi_free(end_job(0));
    const long now = k % 64 ? 0 : rss_kib();
    if (k <= warm)
      before = now > before ? now : before;
    else
      most = now > most ? now : most;
  }
  if (!SANITIZED && most > before + 4096) fail_msg("%ld KiB after %d jobs, %ld KiB later", before, warm, most);
}

static void same_text(int k, char *text, size_t cap) {
  (void)k;
  snprintf(text, cap, "%s", OWN);
}

static void own_loop(int k, char *text, size_t cap) {
  snprintf(text, cap,
           HOST_HEAD " type = 'f32', state = 'double n;', reduce = 'sum', transform = function(c, s)\n"
                     "  for i = 0, c.n - 1 do s.n = s.n + c.data[i] * %d end end }", k);
}

static void own_layout(int k, char *text, size_t cap) {
  snprintf(text, cap,
           HOST_HEAD " type = 'f32', state = 'double a%d, b, c; i32 d, h%d[%d]; lsio_moments m;', reduce = 'none',\n"
                     " transform = function(c, s) s.a%d = s.h%d[0] + s.m.n end }", k, k % 100, k % 7 + 1, k, k % 100);
}

static void own_type(int k, char *text, size_t cap) {
  (void)k;
  snprintf(text, cap, "local ffi = require 'ffi'\nlocal t = ffi.typeof 'struct { double a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p; }'\n"
                      HOST_HEAD " transform = function(c, s) assert(t(1).a == 1) end }");
}

static void test_memory_of_many_jobs(void **state) {
  (void)state;
  stays_small(scale(3000), 1000, 1, same_text);
}
static void test_memory_of_many_scripts(void **state) {
  (void)state;
  stays_small(scale(3000), 1000, 2, own_loop);
}
/* C types are never freed, and there is room for 65,536 of them. */
static void test_memory_of_many_layouts(void **state) {
  (void)state;
  stays_small(5000, 1000, 1, own_layout);
}
static void test_memory_of_types_of_scripts(void **state) {
  (void)state;
  stays_small(5000, 1000, 1, own_type);
}

/* Arrays as long as the request must not live on while it runs. */
static void test_large_arrays_go(void **state) {
  (void)state;
  open_job(0, "local lsio = require 'lsio'\nreturn lsio.job { source = function()\n"
              "  local offset, length = {}, {}\n"
              "  for i = 1, 1e6 do offset[i], length[i] = 0, 0 end\n"
              "  return lsio.ranges { objects = { 'null' }, offset = offset, length = length } end,\n"
              " transform = function() end, done = function()\n"
              "  assert(collectgarbage 'count' < 8000, collectgarbage 'count') end }", NULL);
  run_step(0, 0);
  lsi_free(end_job(0));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_steps_in_turn),
      cmocka_unit_test(test_any_order_of_closing),
      cmocka_unit_test(test_compiled_once),
      cmocka_unit_test(test_loaded_script),
      cmocka_unit_test(test_loaded_script_that_fails),
      cmocka_unit_test(test_released_script_is_dropped),
      cmocka_unit_test(test_no_memory),
      cmocka_unit_test(test_loaded_on_threads),
      cmocka_unit_test(test_memory_of_many_jobs),
      cmocka_unit_test(test_memory_of_many_scripts),
      cmocka_unit_test(test_memory_of_many_layouts),
      cmocka_unit_test(test_memory_of_types_of_scripts),
      cmocka_unit_test(test_large_arrays_go),
  };
  return cmocka_run_group_tests(tests, host_setup, host_teardown);
}
