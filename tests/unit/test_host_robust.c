/* The Lua host under strain: no memory, several threads, many jobs, and whether the JIT compiles what
 * it should. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host_job.h"
#include "ground/mem.h"
#include "seams/os.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* Every allocation of C fails once: an error comes, nothing is leaked, and the next try works. */
static void test_no_memory(void **state) {
  (void)state;
  host_make_data();
  static const char text[] =
      "local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files('data.f32', { chunk = 400 }),\n"
      " type = 'f32', sink = lsio.npy('x.npy', { shape = { -1, 2 } }), on_error = 'skip', fill = 0,\n"
      " state = 'double n;', reduce = 'sum', transform = function(c, s) s.n = s.n + 1 end }";
  bool through = false;
  int failures = 0;
  for (uint64_t n = 1; !through; n++) {
    assert_true(n < 500);
    int64_t before = lsi_mem_live();
    struct host_job j;
    memset(&host_workers[0], 0, sizeof host_workers[0]);
    lsi_mem_fail_nth(n, false);
    int rc = host_load(&j, text, NULL);
    if (rc == 0) rc = host_ops->prepare(j.script, &j.spec, &j.err);
    if (rc == 0) rc = host_open_worker(&j, &host_workers[0], 0, 1);
    if (rc == 0) {
      rc = host_step(&j, &host_workers[0], host_floats, 100, 4, 0);
      int finished = j.spec.transform->finish(host_workers[0].state, &j.err);
      if (rc == 0) rc = finished;
      j.spec.transform->close(host_workers[0].state);
    }
    struct lsi_state_json json = {0};
    struct lsi_summary s = {.status = "done"};
    if (rc == 0) rc = host_ops->merge(j.script, &json, NULL, &j.err);
    if (rc == 0) rc = host_ops->done(j.script, &s, &j.err);
    lsi_mem_fail_nth(0, false);
    if (rc) {
      host_check_message(&j, LSIO_ERR_NOMEM, "");
      failures++;
    } else {
      assert_string_equal(json.text, "{\"n\":1}");
      through = true;
    }
    lsi_free(json.text);
    lsi_free(json.reduce);
    host_unload(&j);
    /* a state that a worker opened stays with the host */
    assert_true(lsi_mem_live() - before <= 1);
  }
  assert_true(failures > 10);
  unlink(host_data);
}

/* Creating a host without memory. */
static void test_no_memory_for_host(void **state) {
  (void)state;
  for (uint64_t n = 1; n <= 2; n++) {
    int64_t before = lsi_mem_live();
    struct lsi_error err;
    lsi_error_clear(&err);
    struct lsi_script_host *h = NULL;
    lsi_mem_fail_nth(n, false);
    int rc = host_ops->create(NULL, &h, &err);
    lsi_mem_fail_nth(0, false);
    assert_int_equal(rc, LSIO_ERR_NOMEM);
    assert_int_equal(err.code, LSIO_ERR_NOMEM);
    assert_int_equal(lsi_mem_live(), before);
  }
}

/* Lua itself runs out of memory: its own error, and the state goes on. In a child with little address
 * space, which a sanitizer could not live in. */
static void test_lua_memory(void **state) {
  (void)state;
  if (SANITIZED) skip();
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    struct rlimit limit = {(rlim_t)512 << 20, (rlim_t)512 << 20};
    setrlimit(RLIMIT_AS, &limit);
    struct host_job j;
    int rc = host_load(&j, HOST_HEAD " transform = function(c) if c.index == 0 then\n"
                           "  local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1e6) .. i end end end }", NULL);
    if (rc == 0) rc = host_ops->prepare(j.script, &j.spec, &j.err);
    if (rc == 0) rc = host_open_worker(&j, &host_workers[0], 0, 1);
    if (rc) _exit(1);
    if (host_step(&j, &host_workers[0], host_floats, 100, 4, 0) != LSIO_ERR_NOMEM) _exit(2);
    if (host_step(&j, &host_workers[0], host_floats, 100, 4, 1) != 0) _exit(3);
    j.spec.transform->close(host_workers[0].state);
    host_unload(&j);
    _exit(0);
  }
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

struct thread_arg {
  struct host_job *job;
  struct host_worker *worker;
  unsigned index;
  int rc;
};

static void work(void *arg) {
  struct thread_arg *a = arg;
  struct host_job mine = *a->job; /* its own place for errors */
  a->rc = host_open_worker(&mine, a->worker, a->index, 4);
  for (int i = 0; a->rc == 0 && i < 2000; i++)
    a->rc = host_step(&mine, a->worker, host_floats, 100, 4, i);
  if (a->rc == 0) a->rc = mine.spec.transform->finish(a->worker->state, &mine.err);
  if (a->rc) fprintf(stderr, "worker %u: %s\n", a->index, mine.err.what);
  if (a->worker->state) mine.spec.transform->close(a->worker->state);
}

/* Four workers on four threads, job after job in the same states. */
static void test_threads(void **state) {
  (void)state;
  for (int i = 0; i < 1024; i++) host_floats[i] = (float)i;
  for (int round = 0; round < 5; round++) {
    struct host_job j;
    host_start(&j, HOST_SUM, NULL);
    struct thread_arg args[4];
    struct lsi_thread *threads[4];
    for (unsigned i = 0; i < 4; i++) {
      args[i] = (struct thread_arg){&j, &host_workers[i], i, -1};
      assert_int_equal(lsi_os_thread_start(&threads[i], "work", work, &args[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) lsi_os_thread_join(threads[i]);
    for (unsigned i = 0; i < 4; i++) assert_int_equal(args[i].rc, 0);
    struct lsi_worker_summary ws[1] = {{.wait_s = 0.5}};
    struct lsi_summary s = {.status = "done", .chunks = 5, .n_workers = 1, .workers = ws};
    struct lsi_state_json json = {0};
    assert_int_equal(host_ops->merge(j.script, &json, NULL, &j.err), 0);
    assert_int_equal(host_ops->done(j.script, &s, &j.err), 0);
    assert_string_equal(json.text, "{\"above\":792000,\"n\":800000,\"sum\":39600000}");
    lsi_free(json.text);
    lsi_free(json.reduce);
    host_unload(&j);
  }
}

/* C types of a state are never freed: many jobs with the same state must share them. */
static void test_many_jobs(void **state) {
  (void)state;
  for (int i = 0; i < 3000; i++) {
    char *json = host_run(HOST_HEAD " type = 'f32', state = 'double n, h[7];', reduce = 'sum',\n"
                                    " transform = function(c, s) s.n = s.n + 1 end }", NULL, 1, 1);
    assert_string_equal(json, "{\"h\":[0,0,0,0,0,0,0],\"n\":1}");
    lsi_free(json);
  }
}

/* Kernel calls, loops over views, state arrays: the function that C calls for each step, whose first upvalue is
 * the transform, ends up in a trace of its own, with the transform in it. (Side traces of metamethods may abort;
 * that is harmless.) */
#define MANY(text) text text text text text
static void test_compiled(void **state) {
  (void)state;
  static const char *const bodies[] = {
      "s.n = s.n + lsio.k.sum(c.data, c.n) + lsio.k.count_gt(c.data, nil, 3)",
      "local a, b = lsio.k.minmax(c.data) s.n = s.n + a + b",
      "local a, b, d = lsio.k.sum_minmax(c.data) s.n = s.n + a + b + d",
      "local a, b, d, e = lsio.k.stats(c.data, c.n, 3) s.n = s.n + a + b + d + e",
      "lsio.k.moments(c.data, c.n, s.m)",
      "lsio.k.histogram(c.data, c.n, 0, 100, 8, s.h)",
      "lsio.k.scale_offset(c.data, c.n, c.out, 2, 1) lsio.k.cast(c.data, c.n, c.scratch)",
      "lsio.k.clip(c.data, c.n, c.scratch, 0, 1) s.n = s.n + c.scratch[5] + c.tag + c.random()",
      "local k, d, n = lsio.k, c.data, c.n\n" MANY(MANY("s.n = s.n + k.sum(d, n) k.clip(d, n, c.scratch, 0, 1) ")),
      "lsio.k.gt(c.data, c.n, s.mask, 3) lsio.k.bnot(s.mask, c.n, s.mask) s.n = lsio.k.count(s.mask, c.n)",
      "lsio.k.where(s.mask, c.n, c.out, c.data, 1.5) lsio.k.lt(c.data, c.n, s.mask, c.scratch)",
      "local i, v = lsio.k.argmax(c.data, c.n) s.n = s.n + i + v + lsio.k.topk(c.data, c.n, 3, s.top, s.at)",
      "lsio.k.add(c.data, c.n, c.out, c.data) lsio.k.div(c.data, c.n, c.scratch, c.out) lsio.k.flip(c.data, c.n, c.out)",
      "s.n = s.n + lsio.k.add_valid(c.data, 8, s.h, s.sums)",
      "s.n = s.n + lsio.k.group_sum(c.data, c.n, s.mask, 8, s.h) + lsio.k.group_count(s.mask, c.n, 8, s.h)",
      "lsio.k.delta(c.data, c.n, c.out) lsio.k.undelta(c.out, c.n, c.out) lsio.k.transpose(c.data, 10, 10, c.out)",
      "lsio.k.shuffle(c.data, c.n, c.out) lsio.k.unshuffle(c.data, c.n, c.out)",
      "if not shape then shape, strides = { 5, 20 }, { 1, 5 } end lsio.k.copy_strided(c.data, shape, c.out, strides)",
      "if lsio.k.sha256(c.data) == lsio.k.xxh3_64(c.data) then s.n = 1 end",
      "h = h or lsio.k.sha256_begin() h:reset() h:update(c.data) s.n = s.n + #h:hex()",
      "local t, d = 0, c.data for i = 0, c.n - 1 do t = t + d[i] end s.n = t",
      "local o, d = c.out, c.data for i = 0, c.n - 1 do o[i] = d[i] * 2 end",
      "for i = 0, c.n - 1 do local k = i % 8 s.h[k] = s.h[k] + 1 end",
      "local t, d, o = 0LL, c.data, c.out for i = 0, c.n - 1 do t = t + d[i] o[i] = d[i] end s.at[0] = t",
  };
  for (size_t i = 0; i < LSI_COUNTOF(bodies); i++) {
    char text[4096];
    snprintf(text, sizeof text,
             "local jit, start, compiled = require 'jit', nil, false\n"
             "local function event(what, tr, f, pc, other)\n"
             " if what == 'start' then start = not other and debug.getupvalue(f, 1) == 'transform' end\n"
             " if what == 'stop' and start then compiled = true end end\n"
             "local shape, strides, h\n" HOST_HEAD
             " type = '%s', state = 'double n, h[8]; lsio_moments m; uint8_t mask[100]; float top[3]; int64_t at[3]; double sums[8];',\n"
             " init = function() jit.attach(event, 'trace') end, reduce = function(a) return a end,\n"
             " transform = function(c, s) %s end,\n"
             " finish = function() jit.attach(event)\n"
             "  return not jit.status() and 'off' or compiled and 'ok' or 'interpreted' end }",
             strstr(bodies[i], "LL") ? "i64" : "f32", bodies[i]);
    char *json = host_run(text, NULL, 1, 2000);
    if (strcmp(json, "{\"result\":\"ok\"}") && strcmp(json, "{\"result\":\"off\"}")) {
      fprintf(stderr, "%s: %s\n", bodies[i], json);
      fail();
    }
    lsi_free(json);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_memory),  cmocka_unit_test(test_no_memory_for_host),
      cmocka_unit_test(test_lua_memory), cmocka_unit_test(test_threads),
      cmocka_unit_test(test_many_jobs),  cmocka_unit_test(test_compiled),
  };
  return cmocka_run_group_tests(tests, host_setup, host_teardown);
}
