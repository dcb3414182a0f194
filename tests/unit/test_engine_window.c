/* The engine with results of variable size, in order, through a window that holds few of them, against the
 * simulated backend: whatever order units come in, the run goes on, and the results stand in the order of the
 * request. LSIO_SIM_SEEDS / 5 seeds; LSIO_SIM_SEED runs one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/state/engine.h"
#include "engine_job.h"
#include "ground/mem.h"
#include "run_take.h"
#include "seams/os.h"
#include "test/sim.h"

#define OBJECTS 3
#define SMALL 3000u   /* bytes of a chunk at most, ... */
#define LARGE 500000u /* ... in one of ten jobs: an arena of 2 MiB holds few of these */
#define HANGS_NS 20000000000u

/* ---- the transform: the first bytes of each chunk, as many as its index says ---- */

static uint64_t count_of(uint64_t index, uint64_t n) { return index % 5 == 4 ? 0 : n - index % 3 * (n / 3); }

static int open_worker(void *job, unsigned worker, unsigned n_workers, struct lsi_step *step, void **state,
                       struct lsi_error *err) {
  (void)job, (void)worker, (void)n_workers, (void)step, (void)err;
  *state = NULL;
  return 0;
}

static int step(void *state, struct lsi_step *s, struct lsi_error *err) {
  (void)state, (void)err;
  const uint64_t n = count_of((uint64_t)s->index, (uint64_t)s->chunk[0].n);
  if (n) memcpy(s->out, s->chunk[0].data, n);
  s->result = LSI_RESULT_COUNT;
  s->result_n = (double)n;
  return 0;
}

static int finish(void *state, struct lsi_error *err) {
  (void)state, (void)err;
  return 0;
}

static void close_worker(void *state) { (void)state; }

static const struct lsi_transform_ops transform = {
    .name = "test", .open_worker = open_worker, .step = step, .finish = finish, .close = close_worker};

/* ---- one job ---- */

static void make_request(struct engine_job *j, struct lsi_sim_object *objects, uint64_t most) {
  struct lsi_error e;
  lsi_error_clear(&e);
  lsi_spec_init(&j->spec);
  struct lsi_request *r = j->spec.request = lsi_request_create();
  for (uint32_t i = 0; i < OBJECTS; i++) {
    struct lsi_sim_object *o = &objects[i];
    snprintf(o->name, sizeof o->name, "object%u", i);
    o->size = o->real_size = 4 * most;
    const struct lsi_object_info info = lsi_sim_info(o, i);
    assert_int_equal(lsi_request_add_object(r, o->name, &info, NULL, &e), 0);
  }
  const uint64_t n = 30 + engine_job_random(j, most == LARGE ? 50 : 300);
  for (uint64_t i = 0; i < n; i++)
    assert_int_equal(lsi_request_add_chunk(r, (uint32_t)engine_job_random(j, OBJECTS),
                                           (int64_t)engine_job_random(j, 3 * most),
                                           (int64_t)engine_job_random(j, most + 1), 0, &e), 0);
}

static uint64_t n_left; /* jobs whose deadline left some steps */

static void take_failures(bool *failed, struct lsi_run_completion *c) {
  for (struct lsi_run_completion *then; c; c = then) {
    then = c->next;
    assert_non_null(c->error);
    assert_false(failed[c->step]);
    failed[c->step] = true;
    lsi_run_free_completion(c);
  }
}

static void run(uint64_t seed, struct lsi_run_config *c, int64_t expires_ns, bool *failed) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsi_run *run;
  assert_int_equal(lsi_run_start(c, &run, &e), 0);
  const uint64_t began = lsi_os_now_ns();
  if (expires_ns >= 0) {
    lsi_os_sleep_ns((uint64_t)expires_ns);
    lsi_run_expire(run);
  }
  while (!lsi_run_ended(run)) {
    take_failures(failed, run_take(run, 100000000));
    if (lsi_os_now_ns() - began < HANGS_NS) continue;
    fprintf(stderr, "seed %llu: the run hangs\n", (unsigned long long)seed);
    abort();
  }
  for (struct lsi_run_completion *more; (more = lsi_run_take(run));) take_failures(failed, more);
  if (lsi_run_join(run, &e)) fail_msg("seed %llu: %s", (unsigned long long)seed, e.what);
  const int64_t left = lsi_run_fill_left(run, &e);
  assert_true(left >= 0);
  n_left += left > 0;
  lsi_run_destroy(run);
}

static void check(uint64_t seed, const struct lsi_sim *sim, const struct lsi_request *r, const uint8_t *got,
                  const bool *failed) {
  for (uint32_t s = 0; s < r->n_steps; s++)
    for (uint64_t i = 0, n = failed[s] ? 0 : count_of(s, r->length[s]); i < n; i++)
      if (*got++ != lsi_sim_byte(sim, r->object[s], r->offset[s] + i))
        fail_msg("seed %llu: step %u, byte %llu", (unsigned long long)seed, s, (unsigned long long)i);
}

static void one_seed(uint64_t seed) {
  struct engine_job j = {.rng = seed};
  struct lsi_sim_object objects[OBJECTS];
  memset(objects, 0, sizeof objects);
  const uint64_t most = engine_job_random(&j, 10) ? SMALL : LARGE;
  make_request(&j, objects, most);
  struct lsi_request *r = j.spec.request;
  struct lsi_sim sim = {.seed = seed, .objects = objects, .n_objects = OBJECTS, .delay_max = 50};
  struct lsi_device_model model;
  lsi_device_preset((enum lsi_device_kind)engine_job_random(&j, LSI_DEVICE_KINDS), &model);
  const struct lsi_plan_options options = {.merge = engine_job_random(&j, 2) ? LSI_MERGE_NEVER : LSI_MERGE_AUTO,
                                           .in_request_order = true, .n_devices = 1, .devices = &model};
  struct lsi_error e;
  lsi_error_clear(&e);
  assert_int_equal(lsi_plan_build(r, &options, &j.plan, &e), 0);
  j.spec.type = (struct lsi_dtype){LSI_U8, false};
  j.spec.transform = &transform;
  j.spec.has_out_max = true;
  j.spec.out_max = most;
  j.spec.sink.kind = LSI_SINK_MEMORY;
  const uint64_t room = (uint64_t)r->n_steps * most;
  uint8_t *memory = lsi_calloc(1, room);
  const struct lsi_sink_config sc = {.spec = &j.spec.sink, .memory = memory, .memory_bytes = room,
                                     .type = j.spec.type, .n_steps = r->n_steps, .variable = true,
                                     .window_bytes = (1 + engine_job_random(&j, 6)) * most};
  struct lsi_run_config c = {.spec = &j.spec, .plan = j.plan, .stores = lsi_sim_stores,
                             .backend = &lsi_backend_sim, .backend_user = &sim, .sink_type = j.spec.type, .sink_variable = true,
                             .sink_device = UINT32_MAX, .workers = 1 + (uint32_t)engine_job_random(&j, 3),
                             .share = LSI_MAX(j.plan->unit_bytes_max, (uint64_t)1 << 20) + most};
  if (lsi_sink_open(&sc, &c.sink, &e)) fail_msg("%s", e.what);
  const uint64_t sleeps_ns = engine_job_random(&j, 2) ? 0 : engine_job_random(&j, 1000000);
  const int64_t expires_ns = engine_job_random(&j, 3) ? -1 : (int64_t)sleeps_ns;
  if (expires_ns >= 0) j.spec.on_error = LSI_ON_ERROR_SKIP;
  bool *failed = lsi_calloc(r->n_steps, sizeof *failed);
  run(seed, &c, expires_ns, failed);
  assert_int_equal(lsi_sink_publish(c.sink, &e), 0);
  check(seed, &sim, r, memory, failed);
  lsi_free(failed);
  lsi_free(memory);
  lsi_plan_free(j.plan);
  lsi_spec_clear(&j.spec);
}

static void results_come_out_in_order(void **state) {
  (void)state;
  const uint64_t n = engine_job_seeds(one_seed, 5, 300);
  if (n >= 100) assert_true(n_left > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(results_come_out_in_order)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
