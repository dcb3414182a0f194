/* Identity steps into an array of the caller's, against the simulated backend: random cuts, orders and
 * faults. The array lies between pages of no access; afterwards each step's place holds its bytes, or
 * `fill` where they could not be had. LSIO_SIM_SEEDS says how many seeds, LSIO_SIM_SEED runs one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "engine/state/engine.h"
#include "engine_job.h"
#include "ground/mem.h"
#include "run_take.h"
#include "seams/os.h"
#include "test/sim.h"

#define FILL 0x5a
#define OBJECTS 3

struct world {
  uint64_t seed, rng;
  struct lsi_sim sim;
  struct lsi_sim_object objects[OBJECTS];
  struct lsi_spec spec;
  struct lsi_plan *plan;
  uint64_t *pos;
  char *map, *array, outside;
  size_t mapped, bytes;
};

static uint64_t draw(struct world *w, uint64_t n) {
  uint64_t z = (w->rng += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return n ? (z ^ (z >> 31)) % n : 0;
}

static void make_objects(struct world *w) {
  const bool calm = draw(w, 2);
  w->sim = (struct lsi_sim){.seed = w->seed, .objects = w->objects, .n_objects = OBJECTS};
  w->sim.delay_max = (uint32_t)draw(w, 2) * 50;
  if (!calm) {
    w->sim.bad_block = (uint32_t)draw(w, 3) * 20;
    w->sim.short_read = (uint32_t)draw(w, 3) * 100;
    w->sim.again = (uint32_t)draw(w, 2) * 20;
    w->sim.full = (uint32_t)draw(w, 2) * 200;
  }
  for (uint32_t i = 0; i < OBJECTS; i++) {
    struct lsi_sim_object *o = &w->objects[i];
    snprintf(o->name, sizeof o->name, "object%u", i);
    o->size = o->real_size = draw(w, 4) ? draw(w, 400000) : draw(w, 2) * LSI_ALIGN;
    o->device = i & 1;
  }
}

/* Neighbours in order, which merge into whole reads; now and then one that is out of order. */
static void make_request(struct world *w) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsi_request *r = w->spec.request = lsi_request_create();
  for (uint32_t i = 0; i < OBJECTS; i++) {
    const struct lsi_sim_object *o = &w->objects[i];
    const struct lsi_object_info info = lsi_sim_info(o, i);
    uint32_t index;
    assert_int_equal(lsi_request_add_object(r, o->name, &info, &index, &e), 0);
  }
  static const uint64_t cuts[] = {LSI_ALIGN, 3 * LSI_ALIGN, 65536, 1000, 4097, 0};
  for (uint32_t i = 0; i < OBJECTS; i++) {
    const uint64_t size = w->objects[i].size, at = draw(w, 2) ? 0 : draw(w, size + 1);
    const uint64_t cut = cuts[draw(w, LSI_COUNTOF(cuts))];
    assert_int_equal(lsi_request_cut(r, i, at, UINT64_MAX, cut, &e), 0);
    for (uint64_t n = draw(w, 3); n; n--) {
      const uint64_t from = draw(w, size + 1);
      assert_int_equal(lsi_request_add_chunk(r, i, (int64_t)from, (int64_t)draw(w, size - from + 1), 0, &e),
                       0);
    }
  }
  for (uint64_t n = draw(w, 2) * draw(w, 5); n; n--) { /* two trade places */
    const uint64_t a = draw(w, r->n_chunks), b = draw(w, r->n_chunks);
    const uint64_t object = r->object[a], offset = r->offset[a], length = r->length[a];
    r->object[a] = r->object[b], r->offset[a] = r->offset[b], r->length[a] = r->length[b];
    r->object[b] = (uint32_t)object, r->offset[b] = offset, r->length[b] = length;
  }
}

static void make_plan(struct world *w) {
  struct lsi_request *r = w->spec.request;
  struct lsi_error e;
  lsi_error_clear(&e);
  lsi_free(r->object_device);
  r->object_device = lsi_calloc(OBJECTS, sizeof *r->object_device);
  struct lsi_device_model models[2];
  for (int i = 0; i < 2; i++) {
    lsi_device_preset((enum lsi_device_kind)draw(w, LSI_DEVICE_KINDS), &models[i]);
    if (draw(w, 2)) models[i].op_max = LSI_ALIGN << draw(w, 4);
  }
  for (uint32_t i = 0; i < OBJECTS; i++) r->object_device[i] = i & 1;
  static const uint64_t merges[] = {LSI_MERGE_AUTO, LSI_MERGE_NEVER, 0, 5000};
  struct lsi_plan_options options = {
      .merge = merges[draw(w, LSI_COUNTOF(merges))], .n_devices = 2, .devices = models};
  assert_int_equal(lsi_plan_build(r, &options, &w->plan, &e), 0);
  w->pos = lsi_calloc(r->n_steps + 1u, sizeof *w->pos);
  for (uint32_t s = 0; s < r->n_steps; s++) w->pos[s + 1] = w->pos[s] + r->length[s];
  w->bytes = w->pos[r->n_steps];
}

/* Ends at a page of no access, or begins behind one. */
static void make_array(struct world *w) {
  const size_t room = lsi_round_up(w->bytes, LSI_ALIGN);
  w->mapped = room + 2 * LSI_ALIGN;
  w->map = mmap(NULL, w->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(w->map != MAP_FAILED);
  w->outside = draw(w, 2) ? (char)0xee : 0; /* 0: nobody has touched it */
  if (w->outside) memset(w->map, w->outside, w->mapped);
  mprotect(w->map, LSI_ALIGN, PROT_NONE);
  mprotect(w->map + w->mapped - LSI_ALIGN, LSI_ALIGN, PROT_NONE);
  w->array = w->map + LSI_ALIGN + (draw(w, 2) ? 0 : room - w->bytes);
}

static void check_array(struct world *w, uint64_t failed) {
  const struct lsi_request *r = w->spec.request;
  uint64_t bad = 0;
  for (uint32_t s = 0; s < r->n_steps; s++) {
    const bool lost = lsi_sim_bad(&w->sim, r->object[s], r->offset[s], r->length[s]);
    bad += lost;
    for (uint64_t i = 0; i < r->length[s]; i++) {
      const uint8_t want = lost ? FILL : lsi_sim_byte(&w->sim, r->object[s], r->offset[s] + i);
      if ((uint8_t)w->array[w->pos[s] + i] != want)
        fail_msg("seed %llu: step %u, byte %llu", (unsigned long long)w->seed, s, (unsigned long long)i);
    }
  }
  if (bad != failed) fail_msg("seed %llu: %d failed, %d should", (unsigned long long)w->seed, (int)failed, (int)bad);
  for (char *p = w->map + LSI_ALIGN; p < w->map + w->mapped - LSI_ALIGN; p++)
    if ((p < w->array || p >= w->array + w->bytes) && *p != w->outside)
      fail_msg("seed %llu: a byte outside the array", (unsigned long long)w->seed);
}

static uint64_t run(struct world *w, struct lsi_run_config *c) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsi_run *run;
  assert_int_equal(lsi_run_start(c, &run, &e), 0);
  while (!lsi_run_ended(run)) {
    for (struct lsi_run_completion *done = run_take(run, 1000000000), *next; done; done = next) {
      next = done->next;
      lsi_run_free_completion(done);
    }
  }
  int rc = lsi_run_join(run, &e);
  if (rc != 0) fail_msg("seed %llu: %s", (unsigned long long)w->seed, e.what);
  struct lsi_summary s = {0};
  lsi_run_summary(run, &s);
  lsi_run_destroy(run);
  return s.steps_failed;
}

static void one_seed(uint64_t seed) {
  struct world w = {.seed = seed, .rng = seed};
  lsi_spec_init(&w.spec);
  make_objects(&w);
  make_request(&w);
  make_plan(&w);
  make_array(&w);
  w.spec.type = (struct lsi_dtype){LSI_U8, false};
  w.spec.identity = w.spec.has_fill = true;
  w.spec.fill = FILL;
  w.spec.on_error = LSI_ON_ERROR_SKIP;
  w.spec.sink.kind = LSI_SINK_MEMORY;
  struct lsi_sink_config sc = {.spec = &w.spec.sink, .memory = w.array, .memory_bytes = w.bytes,
                               .type = w.spec.type, .n_steps = w.spec.request->n_steps, .total = w.bytes};
  struct lsi_run_config c = {.spec = &w.spec, .plan = w.plan, .stores = lsi_sim_stores, .backend = &lsi_backend_sim,
                             .backend_user = &w.sim, .sink_pos = w.pos, .sink_type = w.spec.type,
                             .in_place = true, .workers = 1 + (uint32_t)draw(&w, 3),
                             .share = w.plan->unit_bytes_max + (1u << 20),
                             .direct = draw(&w, 2) ? LSI_DIRECT_ALWAYS : LSI_DIRECT_AUTO};
  c.tune = (struct lsi_tune){.lend = (uint8_t)draw(&w, 3), .straight = (uint8_t)draw(&w, 3)};
  struct lsi_error e;
  lsi_error_clear(&e);
  if (lsi_sink_open(&sc, &c.sink, &e) != 0) fail_msg("%s", e.what);
  const uint64_t failed = run(&w, &c);
  assert_int_equal(lsi_sink_publish(c.sink, &e), 0);
  check_array(&w, failed);
  munmap(w.map, w.mapped);
  lsi_plan_free(w.plan);
  lsi_free(w.pos);
  lsi_spec_clear(&w.spec);
}

static void results_land_in_their_place(void **state) {
  (void)state;
  engine_job_seeds(one_seed, 1, 500);
}

/* Chunks that end inside of an element have a place for their whole elements only. */
static void parts_of_elements_stay_outside(void **state) {
  (void)state;
  struct lsi_sim_object object = {.name = "object0", .size = 12, .real_size = 12};
  const struct lsi_object_info info = lsi_sim_info(&object, 0);
  struct lsi_sim sim = {.seed = 1, .objects = &object, .n_objects = 1};
  uint8_t array[16];
  memset(array, 0xee, sizeof array);
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsi_spec spec;
  lsi_spec_init(&spec);
  spec.request = lsi_request_create();
  spec.type = (struct lsi_dtype){LSI_I32, false};
  spec.identity = spec.has_fill = true;
  spec.fill = FILL;
  spec.on_error = LSI_ON_ERROR_SKIP;
  spec.sink.kind = LSI_SINK_MEMORY;
  assert_int_equal(lsi_request_add_object(spec.request, object.name, &info, NULL, &e), 0);
  for (int64_t at = 0; at < 12; at += 6)
    assert_int_equal(lsi_request_add_chunk(spec.request, 0, at, 6, 0, &e), 0);
  struct lsi_device_model model;
  lsi_device_preset((enum lsi_device_kind)0, &model);
  const struct lsi_plan_options options = {.merge = LSI_MERGE_AUTO, .n_devices = 1, .devices = &model};
  struct lsi_plan *plan;
  assert_int_equal(lsi_plan_build(spec.request, &options, &plan, &e), 0);
  const uint64_t pos[] = {0, 1, 2};
  struct lsi_sink_config sc = {.spec = &spec.sink, .memory = array, .memory_bytes = 8, .type = spec.type,
                               .n_steps = 2, .total = 2};
  struct world w = {.seed = 0};
  struct lsi_run_config c = {.spec = &spec, .plan = plan, .stores = lsi_sim_stores,
                             .backend = &lsi_backend_sim, .backend_user = &sim,
                             .sink_pos = pos, .sink_type = spec.type, .in_place = true, .workers = 1,
                             .share = 1u << 20};
  assert_int_equal(lsi_sink_open(&sc, &c.sink, &e), 0);
  assert_int_equal(run(&w, &c), 2);
  assert_int_equal(lsi_sink_publish(c.sink, &e), 0);
  for (size_t i = 0; i < 8; i++) assert_int_equal(array[i], i % 4 ? 0 : FILL);
  for (size_t i = 8; i < sizeof array; i++) assert_int_equal(array[i], 0xee);
  lsi_plan_free(plan);
  lsi_spec_clear(&spec);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(results_land_in_their_place),
                                     cmocka_unit_test(parts_of_elements_stay_outside)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
