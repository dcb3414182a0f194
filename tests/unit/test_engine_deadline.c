/* A deadline that passes between two turns of a crew in a time of its own, at any of them, while the N-th
 * allocation after it fails: what has run is kept and the rest has failed, or the run says that there was no
 * memory. And the figures of a run of a million steps of which few have run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "crew_world.h"
#include "ground/mem.h"

static uint8_t sim_byte(const void *ctx, uint32_t object, uint64_t offset) {
  return lsi_sim_byte(ctx, object, offset);
}

static void begin(struct world *w, uint64_t seed) {
  memset(w, 0, sizeof *w);
  w->dice.rng = seed;
  make_objects(w, seed);
  w->sim.bad_block = w->sim.emfile = 0;
  assert_int_equal(lsi_crew_create(NULL, true, &w->crew), 0);
}

static void start(struct world *w, uint64_t seed, struct engine_job *j, struct engine_started *s) {
  j->byte_at = sim_byte;
  j->ctx = &w->sim;
  j->config.backend = &lsi_backend_sim;
  j->config.backend_user = &w->sim;
  j->config.stores = lsi_sim_stores;
  j->config.crew = w->crew;
  j->config.deadline_ns = 1000000000;
  for (uint32_t d = 0; d < j->plan->n_devices; d++)
    w->sim.cap[d] = j->config.queue_depth ? j->config.queue_depth : j->plan->devices[d].cap;
  engine_time_begin(&w->time);
  engine_job_start(j, seed, true, s);
}

static uint64_t n_kept, n_nomem;

/* True: what was to fail has not come to pass. */
static bool one_seed(uint64_t seed, uint64_t n) {
  static struct world w;
  begin(&w, seed);
  struct engine_job j;
  struct lsi_object_info late[OBJECTS];
  for (uint32_t i = 0; i < OBJECTS; i++) late[i] = w.infos[i], late[i].known = 0;
  if (seed % 3) engine_job_build(&j, seed, OBJECTS, w.names, w.infos, 60);
  else engine_job_build_files(&j, seed, OBJECTS, w.names, late);
  j.spec.on_error = LSI_ON_ERROR_SKIP;
  struct engine_started s;
  start(&w, seed, &j, &s);
  for (uint64_t t = draw(&w, 30); t && !lsi_run_ended(s.run); t--) turns(&w);
  const uint64_t calls = lsi_mem_calls();
  lsi_mem_fail_nth(n, false);
  lsi_run_expire(s.run);
  for (uint64_t t = 0; !lsi_run_ended(s.run); t++) {
    if (t > 1000000) fail_msg("seed %llu: the run hangs", (unsigned long long)seed);
    turns(&w);
  }
  struct lsi_error e;
  lsi_error_clear(&e);
  const bool left = s.run->left.n_steps;
  const int rc = engine_job_finish(&s, &e);
  lsi_mem_fail_nth(0, false);
  const bool all = lsi_mem_calls() - calls < n;
  const bool too_large = rc == LSIO_ERR_LIMIT && j.spec.request->late;
  if (rc && !too_large && (rc != LSIO_ERR_NOMEM || all))
    fail_msg("seed %llu, allocation %llu: code %d: %s", (unsigned long long)seed, (unsigned long long)n, rc, e.what);
  n_kept += rc == 0 && left;
  n_nomem += rc == LSIO_ERR_NOMEM;
  engine_job_free(&j);
  engine_time_end();
  lsi_crew_destroy(w.crew);
  return all;
}

static void every_allocation(uint64_t seed) {
  for (uint64_t n = 1; !one_seed(seed, n) && n < 200; n++) continue;
}

static void it_passes_and_memory_is_short(void **state) {
  (void)state;
  const uint64_t n = engine_job_seeds(every_allocation, 20, 100);
  if (n >= 50) assert_true(n_kept > n && n_nomem > n);
}

#define MANY 1000000u

/* Steps of several chunks, too, which count by themselves. */
static void make_many(struct world *w, struct engine_job *j) {
  memset(j, 0, sizeof *j);
  lsi_spec_init(&j->spec);
  struct lsi_request *r = j->spec.request = lsi_request_create();
  struct lsi_error e;
  lsi_error_clear(&e);
  uint32_t index;
  assert_int_equal(lsi_request_add_object(r, w->names[0], &w->infos[0], &index, &e), 0);
  for (uint32_t i = 0; i < MANY; i++) {
    const uint32_t object[2] = {0, 0};
    const int64_t offset[2] = {i % 1000, 0}, length[2] = {1, 1}, tag[2] = {i, 0};
    assert_int_equal(lsi_request_add_step(r, 1 + i % 2, object, offset, length, tag, &e), 0);
  }
  struct lsi_device_model model;
  lsi_device_preset(LSI_DEVICE_NVME, &model);
  const struct lsi_plan_options options = {.merge = LSI_MERGE_NEVER, .n_devices = 1, .devices = &model};
  assert_int_equal(lsi_plan_build(r, &options, &j->plan, &e), 0);
  j->spec.type = (struct lsi_dtype){LSI_U8, false};
  j->spec.identity = true;
  j->config = (struct lsi_run_config){.spec = &j->spec, .plan = j->plan, .sink_type = j->spec.type, .workers = 2,
                                      .share = 8u << 20};
}

static void a_million_steps_take_no_million_errors(void **state) {
  (void)state;
  static struct world w;
  begin(&w, 1);
  w.objects[0].size = w.objects[0].real_size = w.infos[0].size = 4096;
  w.sim = (struct lsi_sim){.seed = 1, .objects = w.objects, .n_objects = OBJECTS, .by_clock = true};
  struct engine_job j;
  make_many(&w, &j);
  j.spec.on_error = LSI_ON_ERROR_SKIP;
  struct engine_started s;
  start(&w, 1, &j, &s);
  for (unsigned i = 0; i < 20; i++) turns(&w);
  lsi_run_expire(s.run);
  while (!lsi_run_ended(s.run)) turns(&w);
  const int64_t live = lsi_mem_live();
  uint64_t n = 0, chunks = 0, last = 0;
  for (struct lsi_run_completion *c; (c = lsi_run_take(s.run));) {
    assert_true(lsi_mem_live() - live < 1000);
    for (struct lsi_run_completion *next; c; c = next, n++) {
      next = c->next;
      assert_true(c->error && (!n || c->step > last) && c->tag == (int64_t)c->step);
      assert_int_equal(c->error->code, LSIO_ERR_LIMIT);
      assert_true(c->error->step == c->step && c->error->offset == c->step % 1000);
      last = c->step;
      chunks += 1 + c->step % 2;
      lsi_run_free_completion(c);
    }
  }
  struct lsi_error e;
  lsi_error_clear(&e);
  assert_int_equal(lsi_run_join(s.run, &e), 0);
  assert_true(lsi_run_fill_left(s.run, &e) == (int64_t)n);
  struct lsi_summary sum;
  lsi_run_summary(s.run, &sum);
  assert_true(n > 0 && sum.steps + n == MANY);
  assert_int_equal(sum.steps_failed, n);
  assert_int_equal(sum.chunks_failed, chunks);
  assert_int_equal(sum.error_count, n);
  assert_int_equal(sum.n_errors_kept, LSI_ERRORS_KEPT);
  const char *at = lsi_run_at_deadline(s.run);
  if (!strstr(at, "the deadline of 1 s has passed after ") || !strstr(at, " of 1,000,000 steps; worker 0: ") ||
      !strstr(at, "; worker 1: "))
    fail_msg("%s", at);
  lsi_run_destroy(s.run);
  lsi_free(s.failed);
  engine_job_free(&j);
  engine_time_end();
  lsi_crew_destroy(w.crew);
}

/* It has ended: nothing has passed. */
static void too_late_changes_nothing(void **state) {
  (void)state;
  for (int skip = 0; skip < 2; skip++) {
    static struct world w;
    begin(&w, 7);
    struct engine_job j;
    engine_job_build(&j, 7, OBJECTS, w.names, w.infos, 60);
    struct engine_started s;
    j.spec.on_error = skip ? LSI_ON_ERROR_SKIP : LSI_ON_ERROR_FAIL;
    start(&w, 7, &j, &s);
    while (!lsi_run_ended(s.run)) turns(&w);
    lsi_run_expire(s.run);
    assert_string_equal(lsi_run_at_deadline(s.run), "");
    assert_int_equal(engine_job_finish(&s, NULL), 0);
    assert_int_equal(j.summary.steps, j.spec.request->n_steps);
    engine_job_free(&j);
    engine_time_end();
    lsi_crew_destroy(w.crew);
  }
}

int main(void) {
  engine_job_pieces = true;
  const struct CMUnitTest tests[] = {cmocka_unit_test(it_passes_and_memory_is_short),
                                     cmocka_unit_test(a_million_steps_take_no_million_errors),
                                     cmocka_unit_test(too_late_changes_nothing)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
